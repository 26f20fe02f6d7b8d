"""Runs as tables: those that wait for a replay (a snapshot), and all runs (partitions).

Facts: docs-era servers list blocked runs; newer ones dropped that endpoint and keep the result of
every run for 30 days at `GET /hog_flows/{id}/invocation_results/` (scopes hog_flow:read and
person:read), whose failed runs are what can be rerun. SQL shows the same rows, one per change of a
run, which are collapsed as that endpoint does.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow as pa

from hog_dagster.assets import landing
from hog_dagster.assets.bulk import INVOCATION_RESULTS, BulkMode, BulkReader, Owners
from hog_dagster.assets.concurrency import interleave
from hog_dagster.assets.families import WorkflowFamily
from hog_dagster.assets.options import AssetOptions, WorkflowSelection
from hog_dagster.assets.partition_landing import land_partitions
from hog_dagster.assets.partitions import RETENTION_DAYS
from hog_dagster.assets.rankings import waiting
from hog_dagster.assets.redact import MessagePolicy, redact_messages
from hog_dagster.assets.summary import RUNS
from hog_dagster.assets.workflow_tables import BLOCKED_RUNS, WORKFLOW_RUNS, WORKFLOWS
from hog_dagster.failures import dagster_failures
from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog.hogql import QueryPage
from hog_dagster.posthog.models import InvocationResult, Workflow
from hog_dagster.resource_names import prefixed
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import Window

__all__ = ["build_blocked_runs_asset", "build_workflow_runs_asset"]

#: How long PostHog keeps these rows.
RETENTION = timedelta(days=RETENTION_DAYS["workflow_runs"])


def build_blocked_runs_asset(
    *,
    options: AssetOptions | None = None,
    selection: WorkflowSelection | None = None,
    lookback: timedelta = timedelta(days=7),
) -> dg.AssetsDefinition:
    """The asset `blocked_runs`: runs that wait for a replay, as of now.

    Needs the resources `posthog` (scope hog_flow:read; on newer servers person:read too) and
    `warehouse`. Requests: at least one per workflow that is not a draft.

    Args:
        options: how the asset looks.
        selection: which workflows; all but drafts by default.
        lookback: on newer servers, how far back failed runs are looked for.

    Returns:
        The assets definition.
    """
    options = options or AssetOptions()
    selection = selection or WorkflowSelection()
    table = BLOCKED_RUNS

    @dg.multi_asset(
        name=options.named("posthog_blocked_runs"),
        specs=[
            landing.table_spec(table, options, family="acts", deps=[options.key(WORKFLOWS.name)])
        ],
        retry_policy=options.retry_policy,
        pool=options.pool,
    )
    @prefixed(options.prefix)
    def blocked_runs(
        context: dg.AssetExecutionContext, posthog: PostHogResource, warehouse: WarehouseResource
    ) -> dg.MaterializeResult:
        with dagster_failures(), warehouse.open() as opened:
            client = posthog.client
            project = int(posthog.project_id)
            requests, started = client.requests_made, time.monotonic()
            workflows = [
                w for w in client.workflows.list() if w in selection and w.status != "draft"
            ]
            read, notes = _reader(client, lookback)
            rows = interleave(workflows if read else [], read or _none, workers=options.workers)
            load = opened.replace(
                table,
                _masked(landing.arrow_batches(table, rows, project_id=project), "mask"),
                scope={"project_id": project},
            )
            landed = landing.Landed(
                load, client.requests_made - requests, time.monotonic() - started
            )
            return dg.MaterializeResult(
                metadata=landing.result_metadata(
                    table,
                    landed,
                    warehouse=opened,
                    posthog=posthog,
                    url=f"{posthog.project_url}/workflows",
                    shown=landing.preview(opened, table, project_id=project, order_by="-at"),
                    numbers=waiting(opened, landing.server_now(client), {"project_id": project}),
                    notes=notes,
                )
            )

    return blocked_runs


def _none(workflow: Workflow) -> Sequence[Mapping[str, Any]]:
    return ()


def _reader(client: PostHogClient, lookback: timedelta) -> tuple[Any, list[str]]:
    if client.server.has("blocked_runs"):

        def blocked(workflow: Workflow) -> Iterator[Mapping[str, Any]]:
            for run in client.workflows.blocked_runs(workflow.id):
                yield {
                    "workflow_id": workflow.id,
                    "instance_id": run.instance_id,
                    "reason": "blocked",
                    "at": run.timestamp,
                    "action_id": run.action_id,
                    "event_uuid": run.event_uuid,
                    "error_kind": None,
                    "message": run.message,
                    "replayable": bool(run.action_id and run.event_uuid),
                }

        return blocked, ["This server lists blocked runs; a replay resumes each at its step."]
    if client.server.has("invocation_results"):
        end = landing.server_now(client) + timedelta(seconds=1)

        def failed(workflow: Workflow) -> Iterator[Mapping[str, Any]]:
            for run in client.workflows.invocation_results(
                workflow.id, after=end - lookback, before=end, status="failed"
            ):
                yield {
                    "workflow_id": workflow.id,
                    "instance_id": run.invocation_id,
                    "reason": "failed",
                    "at": run.scheduled_at,
                    "action_id": None,
                    "event_uuid": None,
                    "error_kind": run.error_kind,
                    "message": run.error_message,
                    "replayable": True,
                }

        note = (
            "This server has no blocked runs any more (removed in May 2026): these are runs that "
            f"failed in the last {lookback.days} days; a rerun starts each again."
        )
        return failed, [note]
    note = (
        "Not read: to this key, the server offers neither blocked runs nor results of runs. "
        "`hog-dagster doctor` says which scopes are missing."
    )
    return None, [note]


def build_workflow_runs_asset(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    selection: WorkflowSelection | None = None,
    messages: MessagePolicy = "mask",
    lookback: int = 0,
    bulk: BulkMode = "off",
) -> dg.AssetsDefinition:
    """The asset `workflow_runs`: one row per run, on servers that keep results of runs.

    Needs the resources `posthog` (scopes hog_flow:read and person:read; query:read for the bulk
    path) and `warehouse`. PostHog keeps results for 30 days. On servers without them the table
    stays empty and the metadata says so.

    Args:
        partitions_def: daily or hourly, in UTC.
        options: how the asset looks.
        selection: which workflows; all by default.
        messages: what happens to error texts; distinct ids land only with `keep`.
        lookback: how many partitions before each of the run's are read again with it, for runs
            that ended since.
        bulk: `auto` reads by PostHog's SQL where key and server let us, and falls back by itself.

    Returns:
        The assets definition; a backfill is one run.
    """
    options = options or AssetOptions()
    table = WORKFLOW_RUNS
    family = WorkflowFamily(selection or WorkflowSelection())

    @dg.multi_asset(
        name=options.named("posthog_workflow_runs"),
        specs=[
            landing.table_spec(
                table,
                options,
                family=family.name,
                deps=[options.key(WORKFLOWS.name)],
                partitions_def=partitions_def,
                metadata={"posthog/messages": messages, "posthog/bulk": bulk},
            )
        ],
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=options.retry_policy,
        pool=options.pool,
    )
    @prefixed(options.prefix)
    def workflow_runs(
        context: dg.AssetExecutionContext, posthog: PostHogResource, warehouse: WarehouseResource
    ) -> dg.MaterializeResult:
        with dagster_failures(), warehouse.open() as opened:
            client, notes = posthog.client, list[str]()
            project = int(posthog.project_id)
            kept = client.server.has("invocation_results")
            sources = family.sources(client) if kept else []
            if not kept:
                notes.append("This server keeps no results of runs, or not for this key.")
            reader = BulkReader(
                context, client, family, sources, bulk, notes, RETENTION, options.workers
            )

            def batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[pa.RecordBatch]:
                return _masked(landing.arrow_batches(table, rows, project_id=project), messages)

            def rest(window: Window) -> Iterator[pa.RecordBatch]:
                def rows(workflow_id: str) -> Iterator[Mapping[str, Any]]:
                    for run in client.workflows.invocation_results(
                        workflow_id, after=window.start, before=window.end
                    ):
                        yield _run_row(workflow_id, run, messages)

                ids = [source.id for source in sources]
                return batches(interleave(ids, rows, workers=options.workers))

            def by_sql(page: QueryPage, owners: Owners) -> Iterator[pa.RecordBatch]:
                return batches(_rows_of_page(page, owners, messages))

            return land_partitions(
                context,
                table,
                lambda window: reader.read(INVOCATION_RESULTS, window, by_sql, rest),
                posthog=posthog,
                warehouse=opened,
                order_by="-scheduled_at",
                url=family.page(posthog.project_url),
                retention=RETENTION,
                owners=reader.replaced(INVOCATION_RESULTS, table),
                measure=RUNS,
                notes=notes,
                lookback=lookback,
            )

    return workflow_runs


def _run_row(workflow_id: str, run: InvocationResult, messages: MessagePolicy) -> Mapping[str, Any]:
    return {
        "workflow_id": workflow_id,
        "invocation_id": run.invocation_id,
        "status": run.status,
        "error_kind": run.error_kind,
        "error_message": run.error_message,
        "distinct_id": run.distinct_id if messages == "keep" else None,
        "person_id": run.person_id,
        "scheduled_at": run.scheduled_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "duration_ms": run.duration_ms,
        "attempts": run.attempts,
        "is_retry": run.is_retry,
        "_raw": {
            name: value
            for name, value in (run.model_extra or {}).items()
            if name != "invocation_globals"
        },
    }


def _rows_of_page(
    page: QueryPage, owners: Owners, messages: MessagePolicy
) -> Iterator[Mapping[str, Any]]:
    """Runs by SQL, those that were deleted left out."""
    names = [name.removeprefix("last_") for name in page.columns]
    ours = set(owners.sources)
    for values in page.rows:
        row = dict(zip(names, values, strict=True))
        if row["function_id"] not in ours or row["is_deleted"]:
            continue
        run = InvocationResult.model_validate(
            {
                **{name: row[name] for name in names if name in InvocationResult.model_fields},
                "scheduled_at": datetime.fromisoformat(row["due_at"]),
            }
        )
        yield _run_row(row["function_id"], run, messages)


def _masked(batches: Iterator[pa.RecordBatch], policy: MessagePolicy) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for name in ("message", "error_message"):
            index = batch.schema.get_field_index(name)
            if index >= 0:
                batch = batch.set_column(
                    index, batch.schema.field(index), redact_messages(batch.column(index), policy)
                )
        yield batch
