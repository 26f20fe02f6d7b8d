"""Metrics per UTC hour, in daily or hourly partitions: of workflows per step, of hog functions.

Facts: `GET .../{id}/metrics/` adds run-level and step-level counts of one name up, and cannot be
asked for the run level alone; `instance_id=` picks one step. So the run level is what is left of
the whole after its steps. Windows shift with the project's time zone unless read as
`hourly_metrics` does. Runs of batch jobs are counted under the job: only SQL shows those, and the
levels as they are.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow as pa

from hog_dagster.assets import landing
from hog_dagster.assets.bulk import APP_METRICS, BulkMode, BulkReader, Owners
from hog_dagster.assets.concurrency import interleave
from hog_dagster.assets.families import Family, Source, WorkflowFamily
from hog_dagster.assets.options import AssetOptions, WorkflowSelection
from hog_dagster.assets.partition_landing import land_partitions
from hog_dagster.assets.partitions import RETENTION_DAYS
from hog_dagster.assets.summary import METRICS
from hog_dagster.assets.workflow_tables import WORKFLOW_METRICS
from hog_dagster.failures import dagster_failures
from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog.hogql import QueryPage
from hog_dagster.resource_names import prefixed
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import Table, Window

__all__ = ["build_metrics_asset", "build_workflow_metrics_asset", "metric_rows"]


def build_workflow_metrics_asset(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    selection: WorkflowSelection | None = None,
    lookback: int = 0,
    bulk: BulkMode = "off",
) -> dg.AssetsDefinition:
    """The asset `workflow_metrics`: one row per workflow, level, step, UTC hour and metric.

    Needs the resources `posthog` (scope hog_flow:read; query:read for the bulk path) and
    `warehouse`. Requests per workflow: one, and one per step, whatever the number of partitions in
    the run (up to 31 days); by the bulk path one per 50,000 rows.

    Args:
        partitions_def: daily or hourly, in UTC.
        options: how the asset looks.
        selection: which workflows; all by default.
        lookback: how many partitions before each of the run's are read again with it, for counts
            that arrived late.
        bulk: `auto` reads by PostHog's SQL where key and server let us, counts of batch jobs'
            runs included, and falls back by itself. Steps that were deleted since keep their
            level there; otherwise their counts stay on the run level.

    Returns:
        The assets definition; a backfill is one run.
    """
    return build_metrics_asset(
        WorkflowFamily(selection or WorkflowSelection()),
        WORKFLOW_METRICS,
        partitions_def,
        options=options,
        lookback=lookback,
        bulk=bulk,
    )


def build_metrics_asset(
    family: Family,
    table: Table,
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    lookback: int = 0,
    bulk: BulkMode = "off",
) -> dg.AssetsDefinition:
    """The asset of a family's metrics; see `build_workflow_metrics_asset`."""
    options = options or AssetOptions()
    retention = timedelta(days=RETENTION_DAYS[table.name])

    @dg.multi_asset(
        name=options.named(f"posthog_{table.name}"),
        specs=[
            landing.table_spec(
                table,
                options,
                family=family.name,
                deps=[options.key(family.catalog.name)],
                partitions_def=partitions_def,
                metadata={"posthog/bulk": bulk},
            )
        ],
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=options.retry_policy,
        pool=options.pool,
    )
    @prefixed(options.prefix)
    def metrics(
        context: dg.AssetExecutionContext, posthog: PostHogResource, warehouse: WarehouseResource
    ) -> dg.MaterializeResult:
        with dagster_failures(), warehouse.open() as opened:
            client, notes = posthog.client, list[str]()
            project = int(posthog.project_id)
            sources = family.sources(client)
            reader = BulkReader(
                context, client, family, sources, bulk, notes, retention, options.workers
            )

            def batches(counts: Iterable[Mapping[str, Any]]) -> Iterator[pa.RecordBatch]:
                rows = ({name: row[name] for name in row if name in table} for row in counts)
                return landing.arrow_batches(table, rows, project_id=project)

            def rest(window: Window) -> Iterator[pa.RecordBatch]:
                return batches(
                    interleave(
                        sources,
                        lambda source: metric_rows(client, family, source, window),
                        workers=options.workers,
                    )
                )

            def by_sql(page: QueryPage, owners: Owners) -> Iterator[pa.RecordBatch]:
                return batches(_rows_of_page(page, owners, family))

            return land_partitions(
                context,
                table,
                lambda window: reader.read(APP_METRICS, window, by_sql, rest),
                posthog=posthog,
                warehouse=opened,
                order_by="-hour",
                url=family.page(posthog.project_url),
                retention=retention,
                owners=reader.replaced(APP_METRICS, table),
                measure=METRICS,
                notes=notes,
                lookback=lookback,
            )

    return metrics


def metric_rows(
    client: PostHogClient, family: Family, source: Source, window: Window
) -> list[Mapping[str, Any]]:
    """The counts of one workflow or function and window, by the ordinary endpoint.

    Steps are asked first and the whole last, so that counts arriving in between cannot make the run
    level negative. Counts of steps that were deleted since stay on the run level.
    """
    service = family.service(client)
    rows: list[Mapping[str, Any]] = []
    of_steps: dict[tuple[datetime, str], int] = defaultdict(int)
    for step in source.steps:
        for point in service.hourly_metrics(
            source.id, start=window.start, end=window.end, instance_id=step
        ):
            of_steps[point.hour, point.name] += point.value
            rows.append(_row(family, source.id, "", step, point.hour, point.name, point.value))
    for point in service.hourly_metrics(source.id, start=window.start, end=window.end):
        left = point.value - of_steps[point.hour, point.name]
        if left > 0:
            rows.append(_row(family, source.id, "", "", point.hour, point.name, left))
    return rows


def _rows_of_page(page: QueryPage, owners: Owners, family: Family) -> Iterator[Mapping[str, Any]]:
    """The counts of an answer. Steps of a function, should there be any, are added up."""
    whose = {
        **{id: (id, "") for id in owners.sources},
        **{j: (w, j) for j, w in owners.jobs.items()},
    }
    totals: dict[tuple[int, str, str, str], int] = defaultdict(int)
    for hour, owner, step, metric, total in page.rows:
        if owner in whose and total:
            step = step if family.kind == "hog_flow" else ""
            totals[int(hour), owner, step, metric] += int(total)
    for (hour, owner, step, metric), total in totals.items():
        source, job = whose[owner]
        moment = datetime.fromtimestamp(hour, UTC)
        yield _row(family, source, job, step, moment, metric, total)


def _row(
    family: Family, source_id: str, job: str, step: str, hour: datetime, metric: str, value: int
) -> Mapping[str, Any]:
    return {
        family.id_column: source_id,
        "batch_job_id": job,
        "level": "action" if step else "run",
        "action_id": step,
        "hour": hour,
        "metric": metric,
        "value": value,
    }
