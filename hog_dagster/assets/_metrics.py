"""Metrics per UTC hour, in daily or hourly partitions: of workflows per step, of hog functions.

Facts: SQL shows the counts of runs and of each step as they are, and those of batch jobs' runs,
which are counted under the job. REST adds the levels up: see `_metric_rows`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import dagster as dg
import pyarrow as pa

from hog_dagster.assets import _loading as loading
from hog_dagster.assets._hogql import APP_METRICS
from hog_dagster.assets._log_sources import LogSource, Source, WorkflowLogSource
from hog_dagster.assets._metric_rows import metric_rows, row_of, steps_loaded
from hog_dagster.assets._object_pages import report_objects
from hog_dagster.assets._partition_loading import OnDense, PartitionStep, partition_step
from hog_dagster.assets._sql_pages import Owners
from hog_dagster.assets._sql_table import ReadBy
from hog_dagster.assets._steps import Results, Row
from hog_dagster.assets._summary import METRICS
from hog_dagster.assets._workflow_tables import WORKFLOW_METRICS
from hog_dagster.lineage import AssetOptions, WorkflowSelection
from hog_dagster.posthog import QueryPage
from hog_dagster.warehouse import Table, Window


def build_workflow_metrics_asset(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    selection: WorkflowSelection | None = None,
    lookback: int = 0,
    read_by: ReadBy = "auto",
) -> dg.AssetsDefinition:
    """The asset `workflow_metrics`: one row per workflow, level, step, UTC hour and metric.

    Needs the resources `posthog` (scopes hog_flow:read and query:read) and `warehouse`. Requests:
    one per 50,000 rows and two; without query:read one per workflow and one per step, whatever the
    number of partitions in the run (up to 31 days).

    Args:
        partitions_def: daily or hourly, in UTC.
        options: how the asset looks.
        selection: which workflows; all by default.
        lookback: how many partitions before each of the run's are read again with it, for counts
            that arrived late.
        read_by: `auto` reads by PostHog's SQL where key and server let us, counts of batch jobs'
            runs included, and by REST elsewhere; `rest` and `hogql` by that only. By REST, counts
            of steps that were removed since can have the level `removed`.

    Returns:
        The assets definition; a backfill is one run.
    """
    source = WorkflowLogSource(selection or WorkflowSelection())
    return build_metrics_asset(source, WORKFLOW_METRICS, partitions_def, options, lookback, read_by)


def build_metrics_asset(
    log_source: LogSource,
    table: Table,
    partitions_def: dg.TimeWindowPartitionsDefinition,
    options: AssetOptions | None,
    lookback: int,
    read_by: ReadBy,
) -> dg.AssetsDefinition:
    """The asset of a log source's metrics; see `build_workflow_metrics_asset`."""

    @partition_step(
        table,
        partitions_def,
        options or AssetOptions(),
        group=log_source.name,
        deps=[log_source.catalog],
        lookback=lookback,
        log_source=log_source,
        metadata={"posthog/read_by": read_by},
    )
    def metrics(step: PartitionStep) -> Results:
        reader = step.reader(APP_METRICS, read_by)

        def batches(counts: Iterable[Row]) -> Iterator[pa.RecordBatch]:
            rows = ({name: row[name] for name in row if name in table} for row in counts)
            return loading.arrow_batches(table, rows, project_id=step.project)

        def by_sql(page: QueryPage, owners: Owners) -> Iterator[pa.RecordBatch]:
            return batches(_rows_of_page(page, owners, log_source))

        def rest(window: Window) -> Iterator[pa.RecordBatch]:
            known = steps_loaded(step.warehouse, table, step.project)

            def read(source: Source, part: Window, dense: OnDense) -> list[Row]:
                steps = known.get(source.id, frozenset())
                return metric_rows(step.client, log_source, source, part, steps, step.report)

            yield from step.by_rest(reader, window, read, batches, loading.rows_in)

        yield step.load_from(reader, by_sql, rest, order_by="-hour", measure=METRICS)
        report_objects(step.context, step.warehouse, table, step.options, step.posthog, step.own)

    return metrics


def _rows_of_page(page: QueryPage, owners: Owners, log_source: LogSource) -> Iterator[Row]:
    """The counts of a response. Steps of a function, should there be any, are added up."""
    whose = {
        **{id: (id, "") for id in owners.sources},
        **{j: (w, j) for j, w in owners.jobs.items()},
    }
    totals: dict[tuple[int, str, str, str], int] = defaultdict(int)
    for hour, owner, step, metric, total in page.rows:
        if owner in whose and total:
            step = step if log_source.kind == "hog_flow" else ""
            totals[int(hour), owner, step, metric] += int(total)
    for (hour, owner, step, metric), total in totals.items():
        source, job = whose[owner]
        moment = datetime.fromtimestamp(hour, UTC)
        yield row_of(log_source, source, job, step, moment, metric, total)
