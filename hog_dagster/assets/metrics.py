"""Metrics of workflows per step and UTC hour, in daily or hourly partitions.

Facts: `GET /hog_flows/{id}/metrics/` adds run-level and step-level counts of one name up, and
cannot be asked for the run level alone; `instance_id=` picks one step. So the run level is what
is left of
the whole after its steps. Windows shift with the project's time zone unless read as
`hourly_metrics` does. Runs of batch jobs are counted under the job and are not here.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from hog_dagster.assets import landing
from hog_dagster.assets.concurrency import interleave
from hog_dagster.assets.options import AssetOptions, WorkflowSelection
from hog_dagster.assets.partitions import RETENTION_DAYS
from hog_dagster.assets.workflow_tables import WORKFLOW_METRICS, WORKFLOWS
from hog_dagster.failures import dagster_failures
from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog.models import Workflow
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import Window

__all__ = ["build_workflow_metrics_asset", "metric_rows"]

#: How long PostHog keeps these rows.
RETENTION = timedelta(days=RETENTION_DAYS["workflow_metrics"])


def build_workflow_metrics_asset(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    selection: WorkflowSelection | None = None,
) -> dg.AssetsDefinition:
    """The asset `workflow_metrics`: one row per workflow, level, step, UTC hour and metric.

    Needs the resources `posthog` (scope hog_flow:read) and `warehouse`. Requests per workflow: one,
    and one per step, whatever the number of partitions in the run (up to 31 days).

    Args:
        partitions_def: daily or hourly, in UTC.
        options: how the asset looks.
        selection: which workflows; all by default.

    Returns:
        The assets definition; a backfill is one run.
    """
    options = options or AssetOptions()
    selection = selection or WorkflowSelection()
    table = WORKFLOW_METRICS

    @dg.multi_asset(
        name="posthog_workflow_metrics",
        specs=[
            landing.table_spec(
                table,
                options,
                family="workflows",
                deps=[options.key(WORKFLOWS.name)],
                partitions_def=partitions_def,
            )
        ],
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=options.retry_policy,
        pool=options.pool,
    )
    def workflow_metrics(
        context: dg.AssetExecutionContext, posthog: PostHogResource, warehouse: WarehouseResource
    ) -> dg.MaterializeResult:
        with dagster_failures(), warehouse.open() as opened:
            client = posthog.client
            project = int(posthog.project_id)
            workflows = [w for w in client.workflows.list() if w in selection]

            def rows(window: Window) -> Iterator[Mapping[str, Any]]:
                return interleave(
                    workflows, lambda w: metric_rows(client, w, window), workers=options.workers
                )

            return landing.land_partitions(
                context,
                table,
                lambda window: landing.arrow_batches(table, rows(window), project_id=project),
                posthog=posthog,
                warehouse=opened,
                order_by="-hour",
                url=f"{posthog.project_url}/workflows",
                retention=RETENTION,
            )

    return workflow_metrics


def metric_rows(
    client: PostHogClient, workflow: Workflow, window: Window
) -> Sequence[Mapping[str, Any]]:
    """The rows of `workflow_metrics` of one workflow and window.

    Steps are asked first and the whole last, so that counts arriving in between cannot make the run
    level negative. Counts of steps that were deleted since stay on the run level.
    """
    rows: list[Mapping[str, Any]] = []
    of_steps: dict[tuple[datetime, str], int] = defaultdict(int)
    for action in workflow.actions:
        for point in client.workflows.hourly_metrics(
            workflow.id, start=window.start, end=window.end, instance_id=action.id
        ):
            if point.value:
                of_steps[point.hour, point.name] += point.value
                rows.append(_row(workflow.id, "action", action.id, point))
    for point in client.workflows.hourly_metrics(workflow.id, start=window.start, end=window.end):
        left = point.value - of_steps[point.hour, point.name]
        if left > 0:
            rows.append({**_row(workflow.id, "run", "", point), "value": left})
    return rows


def _row(workflow_id: str, level: str, action_id: str, point: Any) -> dict[str, Any]:
    return {
        "workflow_id": workflow_id,
        "level": level,
        "action_id": action_id,
        "hour": point.hour,
        "metric": point.name,
        "value": point.value,
    }
