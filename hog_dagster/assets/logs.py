"""Log lines of workflow runs, every one once, in daily or hourly partitions.

Facts: `GET /hog_flows/{id}/logs/` gives 500 rows a page, newest first, with no cursor but time
and no tie-breaker; the client's walk makes every row come once. PostHog keeps logs for 90 days.
Lines of runs of a batch job are filed under the job and are not served by this endpoint.
"""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import pyarrow as pa

from hog_dagster.assets import landing
from hog_dagster.assets.concurrency import interleave
from hog_dagster.assets.options import AssetOptions, WorkflowSelection
from hog_dagster.assets.partitions import RETENTION_DAYS
from hog_dagster.assets.redact import MessagePolicy, redact_messages
from hog_dagster.assets.workflow_tables import WORKFLOW_LOGS, WORKFLOWS
from hog_dagster.failures import dagster_failures
from hog_dagster.posthog import PostHogClient
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import Window

__all__ = ["build_workflow_logs_asset"]

#: How long PostHog keeps these rows.
RETENTION = timedelta(days=RETENTION_DAYS["workflow_logs"])


def build_workflow_logs_asset(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    selection: WorkflowSelection | None = None,
    messages: MessagePolicy = "mask",
    level: str | None = None,
) -> dg.AssetsDefinition:
    """The asset `workflow_logs`: one row per log line.

    Needs the resources `posthog` (scope hog_flow:read) and `warehouse`. Requests: about one per 500
    lines, and at least one per workflow, whatever the number of partitions in the run.

    Args:
        partitions_def: daily or hourly, in UTC.
        options: how the asset looks.
        selection: which workflows; all by default.
        messages: what happens to the text, which can hold names and e-mail addresses: `mask` takes
            them out, `keep` lands them, `drop` lands an empty text.
        level: only these levels, comma-separated (`WARN,ERROR`); all by default.

    Returns:
        The assets definition; a backfill is one run.
    """
    options = options or AssetOptions()
    selection = selection or WorkflowSelection()
    table = WORKFLOW_LOGS

    @dg.multi_asset(
        name="posthog_workflow_logs",
        specs=[
            landing.table_spec(
                table,
                options,
                family="workflows",
                deps=[options.key(WORKFLOWS.name)],
                partitions_def=partitions_def,
                metadata={"posthog/messages": messages},
            )
        ],
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=options.retry_policy,
        pool=options.pool,
    )
    def workflow_logs(
        context: dg.AssetExecutionContext, posthog: PostHogResource, warehouse: WarehouseResource
    ) -> dg.MaterializeResult:
        with dagster_failures(), warehouse.open() as opened:
            client = posthog.client
            project = int(posthog.project_id)
            workflows = [w.id for w in client.workflows.list() if w in selection]

            def batches(window: Window) -> Iterator[pa.RecordBatch]:
                return interleave(
                    workflows,
                    lambda workflow_id: _batches(
                        client, workflow_id, window, project, messages, level
                    ),
                    workers=options.workers,
                )

            return landing.land_partitions(
                context,
                table,
                batches,
                posthog=posthog,
                warehouse=opened,
                order_by="-timestamp",
                url=f"{posthog.project_url}/workflows",
                retention=RETENTION,
            )

    return workflow_logs


def _batches(
    client: PostHogClient,
    workflow_id: str,
    window: Window,
    project_id: int,
    messages: MessagePolicy,
    level: str | None,
) -> Iterator[pa.RecordBatch]:
    constants = {
        "project_id": project_id,
        "workflow_id": workflow_id,
        "_loaded_at": landing.now(),
    }
    for batch in client.workflows.log_batches(
        workflow_id, after=window.start, before=window.end, level=level
    ):
        index = batch.schema.get_field_index("message")
        batch = batch.set_column(index, "message", redact_messages(batch.column(index), messages))
        yield landing.stamped(WORKFLOW_LOGS, batch, constants)
