"""Metrics per UTC hour, in daily or hourly partitions: of workflows per step, of hog functions.

Facts: SQL shows the counts of runs and of each step as they are, and those of batch jobs' runs,
which are counted under the job. REST adds the levels up: see `_metric_rows`.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow as pa

from hog_dagster._dagster.failures import dagster_failures
from hog_dagster.assets import _loading as loading
from hog_dagster.assets._concurrency import interleave
from hog_dagster.assets._guard import SourceGuard
from hog_dagster.assets._hogql import APP_METRICS
from hog_dagster.assets._log_sources import LogSource, Source, WorkflowLogSource
from hog_dagster.assets._metric_rows import metric_rows, row_of, steps_loaded
from hog_dagster.assets._object_pages import report_objects
from hog_dagster.assets._partition_loading import Before, before_loading, load_partitions
from hog_dagster.assets._partitions import RETENTION_DAYS
from hog_dagster.assets._project_hosts import opened_with
from hog_dagster.assets._reader import Reader
from hog_dagster.assets._report import Report
from hog_dagster.assets._sources import Listed, listed
from hog_dagster.assets._sql_pages import Owners
from hog_dagster.assets._sql_table import ReadBy
from hog_dagster.assets._summary import METRICS
from hog_dagster.assets._workflow_tables import WORKFLOW_METRICS
from hog_dagster.lineage import AssetOptions, WorkflowSelection
from hog_dagster.posthog import QueryPage
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import Table, Warehouse, Window

__all__ = ["build_metrics_asset", "build_workflow_metrics_asset"]


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
    return build_metrics_asset(
        WorkflowLogSource(selection or WorkflowSelection()),
        WORKFLOW_METRICS,
        partitions_def,
        options=options,
        lookback=lookback,
        read_by=read_by,
    )


def build_metrics_asset(
    log_source: LogSource,
    table: Table,
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    lookback: int = 0,
    read_by: ReadBy = "auto",
) -> dg.AssetsDefinition:
    """The asset of a log source's metrics; see `build_workflow_metrics_asset`."""
    options = options or AssetOptions()
    retention = timedelta(days=RETENTION_DAYS[table.name])

    @loading.partitioned_asset(
        table,
        partitions_def,
        options,
        group=log_source.name,
        deps=[options.key(log_source.catalog.name)],
        metadata={"posthog/read_by": read_by},
    )
    def metrics(
        context: dg.AssetExecutionContext, posthog: PostHogResource, warehouse: WarehouseResource
    ) -> dg.MaterializeResult:
        project = int(posthog.project_id)

        def first(there: Warehouse) -> tuple[Before, Listed]:
            before = before_loading(context, table, there, project, lookback)
            return before, listed(
                context, posthog.client, there, log_source, options, before.windows
            )

        with dagster_failures(), opened_with(warehouse, posthog, first) as (opened, found):
            client, report = posthog.client, Report()
            before, known_of = found
            sources = known_of.sources_of(client, log_source)
            names = {source.id: source.name for source in sources}
            reader = Reader(
                context,
                client,
                log_source,
                sources,
                APP_METRICS,
                read_by,
                report,
                retention,
                options.workers,
                jobs=known_of.jobs,
            )

            no_jobs = {"batch_job_id": ""} if "batch_job_id" in table else {}

            def batches(counts: Iterable[Mapping[str, Any]]) -> Iterator[pa.RecordBatch]:
                rows = ({name: row[name] for name in row if name in table} for row in counts)
                return loading.arrow_batches(table, rows, project_id=project)

            def loaded_of(part: Window, only: Mapping[str, Any]) -> Iterator[pa.RecordBatch]:
                scope = {"project_id": project, **only}
                return loading.loaded_before(opened, table, part, scope)

            def rest(window: Window) -> Iterator[pa.RecordBatch]:
                def loaded(source_id: str, part: Window) -> Iterator[Mapping[str, Any]]:
                    scope: dict[str, Any] = {"project_id": project, log_source.id_column: source_id}
                    if "batch_job_id" in table:
                        scope["batch_job_id"] = ""
                    for batch in loading.loaded_before(opened, table, part, scope):
                        yield from batch.to_pylist()

                guard: SourceGuard[Mapping[str, Any]] = SourceGuard(
                    report, loaded, context.log.warning, names
                )
                known = steps_loaded(opened, table, project)

                def counts(source: Source) -> Iterator[Mapping[str, Any]]:
                    def read(part: Window) -> list[Mapping[str, Any]]:
                        steps = known.get(source.id, frozenset())
                        return metric_rows(client, log_source, source, part, steps, report)

                    return guard.read(source.id, window, read)

                asked = reader.asked_one_by_one(window, "metrics")
                read = interleave(asked, counts, workers=options.workers)
                alone = len(asked) == 1 < len(sources)
                yield from batches(itertools.chain(read, guard.finish(alone=alone)))
                yield from reader.left_alone(
                    window, asked, lambda only: loaded_of(window, {**only, **no_jobs})
                )

            def by_sql(page: QueryPage, owners: Owners) -> Iterator[pa.RecordBatch]:
                return batches(_rows_of_page(page, owners, log_source))

            result = load_partitions(
                context,
                table,
                lambda window: reader.read(window, by_sql, rest, loaded_of),
                posthog=posthog,
                warehouse=opened,
                order_by="-hour",
                url=log_source.page(posthog),
                retention=retention,
                owners=lambda stretch: reader.replaced(table, stretch, "metrics"),
                measure=METRICS,
                before=before,
                report=report,
            )
            report_objects(context, opened, table, options, posthog, before.own)
            return result

    return metrics


def _rows_of_page(
    page: QueryPage, owners: Owners, log_source: LogSource
) -> Iterator[Mapping[str, Any]]:
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
