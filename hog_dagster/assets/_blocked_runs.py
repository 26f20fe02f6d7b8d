"""Runs that wait for a replay, as a snapshot: blocked ones where listed, failed ones elsewhere.

Facts: docs-era servers list blocked runs; newer ones dropped that endpoint and keep the result of
every run for 30 days, whose failed runs are what can be rerun. By SQL those of all workflows come
together; by REST a workflow at a time, and PostHog's global metrics say which had failures.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from hog_dagster._dagster.failures import dagster_failures
from hog_dagster.assets import _loading as loading
from hog_dagster.assets._guard import SnapshotGuard
from hog_dagster.assets._hogql import INVOCATION_RESULTS
from hog_dagster.assets._idle import failed_in
from hog_dagster.assets._log_sources import BATCH_TRIGGERS, Source, WorkflowLogSource
from hog_dagster.assets._owner_names import named_rows
from hog_dagster.assets._partitions import RETENTION_DAYS
from hog_dagster.assets._project_hosts import opened_with
from hog_dagster.assets._rankings import waiting
from hog_dagster.assets._reader import Reader
from hog_dagster.assets._report import Report
from hog_dagster.assets._run_rows import masked, rows_of_page
from hog_dagster.assets._shared_reads import workflows_of
from hog_dagster.assets._sql_pages import Owners
from hog_dagster.assets._sql_table import ReadBy
from hog_dagster.assets._workflow_tables import BLOCKED_RUNS, WORKFLOW_RUNS, WORKFLOWS
from hog_dagster.lineage import AssetOptions, WorkflowSelection
from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog.models import Workflow
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import Warehouse, Window
from hog_dagster.warehouse.errors import TableMissing

__all__ = ["build_blocked_runs_asset"]


def build_blocked_runs_asset(
    *,
    options: AssetOptions | None = None,
    selection: WorkflowSelection | None = None,
    lookback: timedelta = timedelta(days=7),
    read_by: ReadBy = "auto",
) -> dg.AssetsDefinition:
    """The asset `blocked_runs`: runs that wait for a replay, as of now.

    Needs the resources `posthog` (scopes hog_flow:read and query:read; without the latter on newer
    servers person:read) and `warehouse`. Requests: one per 50,000 failed runs; without query:read
    one per workflow that had failures, or that sends batches, whose failures are counted elsewhere;
    on docs-era servers one per workflow that is not a draft.

    Args:
        options: how the asset looks.
        selection: which workflows; all but drafts by default.
        lookback: on newer servers, how far back failed runs are looked for.
        read_by: `auto` reads by PostHog's SQL where key and server let us, by REST elsewhere;
            `rest` and `hogql` by that only.

    Returns:
        The assets definition.
    """
    options = options or AssetOptions()
    selection = selection or WorkflowSelection()
    table = BLOCKED_RUNS

    @loading.table_assets(
        options,
        name="posthog_blocked_runs",
        specs=[
            loading.table_spec(table, options, group="actions", deps=[options.key(WORKFLOWS.name)])
        ],
    )
    def blocked_runs(
        context: dg.AssetExecutionContext, posthog: PostHogResource, warehouse: WarehouseResource
    ) -> dg.MaterializeResult:
        project = int(posthog.project_id)

        def unfinished(there: Warehouse) -> set[str]:
            """Workflows with runs that had failed, or not ended, when they were read last."""
            only = {"project_id": project, "status": ["failed", "running"]}
            try:
                found = there.read(WORKFLOW_RUNS, columns=["workflow_id"], scope=only)
            except TableMissing:
                return set()
            return set(found.column("workflow_id").to_pylist())

        with dagster_failures(), opened_with(warehouse, posthog, unfinished) as (opened, known):
            client = posthog.client
            requests, started = client.requests_made, time.monotonic()
            workflows = [w for w in workflows_of(client) if w in selection and w.status != "draft"]
            by_id = {workflow.id: workflow for workflow in workflows}
            guard = SnapshotGuard(
                opened,
                table,
                "workflow_id",
                {"project_id": project},
                context.log.warning,
                {workflow.id: workflow.name for workflow in workflows},
            )
            found, notes = _by_sql(context, client, workflows, selection, lookback, read_by)
            rows: Iterable[Mapping[str, Any]] = found or ()
            if found is None:
                read, asked, notes = _reader(client, workflows, lookback, known, notes)
                rows = guard.each(
                    [workflow.id for workflow in asked],
                    lambda id: read(by_id[id]),
                    workers=options.workers,
                )
            with opened.loading():
                rows = named_rows(table, rows, {w.id: w.name for w in workflows})
                load = opened.replace(
                    table,
                    masked(loading.arrow_batches(table, rows, project_id=project), "mask"),
                    scope={"project_id": project},
                )
                loaded = loading.Loaded(
                    load, client.requests_made - requests, time.monotonic() - started
                )
                now = loading.server_now(client)
                return dg.MaterializeResult(
                    metadata=guard.metadata({w.id: w.name or w.id for w in workflows})
                    | loading.result_metadata(
                        table,
                        loaded,
                        warehouse=opened,
                        posthog=posthog,
                        url=posthog.workflows_url,
                        shown=loading.preview(opened, table, project_id=project, order_by="-at"),
                        numbers=waiting(opened, now, {"project_id": project}),
                        notes=notes,
                    )
                )

    return blocked_runs


def _by_sql(
    context: dg.AssetExecutionContext,
    client: PostHogClient,
    workflows: Sequence[Workflow],
    selection: WorkflowSelection,
    lookback: timedelta,
    read_by: ReadBy,
) -> tuple[list[Mapping[str, Any]] | None, list[str]]:
    """The failed runs of all workflows at once, and notes; None where SQL does not tell."""
    report = Report()
    chosen = [Source(workflow.id, name=workflow.name or "") for workflow in workflows]
    retention = timedelta(days=RETENTION_DAYS[WORKFLOW_RUNS.name])
    log_source = WorkflowLogSource(selection)
    reader = Reader(
        context, client, log_source, chosen, INVOCATION_RESULTS, read_by, report, retention
    )
    since = loading.server_now(client) - lookback
    pages = reader.found(lambda of, name, kind, ids: of.failed_sql(name, kind, ids, since))
    if pages is None:
        return None, report.notes
    rows = [
        _row(run["workflow_id"], run["invocation_id"], run)
        for page in pages
        for run in rows_of_page("workflow_id", page, Owners([w.id for w in workflows]), "keep")
    ]
    return rows, [_FAILED.format(lookback.days)]


#: Said of failed runs, with the number of days.
_FAILED = (
    "This server has no blocked runs any more (removed in May 2026): these are runs that failed in "
    "the last {} days; a rerun starts each again."
)


def _reader(
    client: PostHogClient,
    workflows: Sequence[Workflow],
    lookback: timedelta,
    known: Collection[str],
    notes: Sequence[str],
) -> tuple[Callable[[Workflow], Iterator[Mapping[str, Any]]], Sequence[Workflow], list[str]]:
    """How a workflow is asked by REST, which are, and notes.

    Args:
        client: an open client.
        workflows: all but drafts.
        lookback: how far back failed runs are looked for.
        known: workflows with runs that had failed, or not ended, when they were read last: PostHog
            gives up on runs without counting them.
        notes: why SQL did not tell.
    """
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

        note = "This server lists blocked runs; a replay resumes each at its step."
        return blocked, workflows, [note]
    end = loading.server_now(client) + timedelta(seconds=1)

    def failed(workflow: Workflow) -> Iterator[Mapping[str, Any]]:
        for run in client.workflows.invocation_results(
            workflow.id, after=end - lookback, before=end, status="failed"
        ):
            yield _row(workflow.id, run.invocation_id, run.model_dump())

    if client.server.has("invocation_results"):
        failing = failed_in(client, Window(end - lookback, end))
        asked = [
            workflow
            for workflow in workflows
            if failing is None
            or workflow.id in failing
            or workflow.id in known
            or workflow.trigger.get("type") in BATCH_TRIGGERS
        ]
        return failed, asked, [*notes, _FAILED.format(lookback.days)]
    note = (
        "Not read: to this key, the server offers neither blocked runs nor results of runs. "
        "`hog-dagster doctor` says which scopes are missing."
    )
    return failed, [], [note]


def _row(workflow_id: str, run_id: str, run: Mapping[str, Any]) -> Mapping[str, Any]:
    """A failed run."""
    return {
        "workflow_id": workflow_id,
        "instance_id": run_id,
        "reason": "failed",
        "at": run["scheduled_at"],
        "action_id": None,
        "event_uuid": None,
        "error_kind": run["error_kind"],
        "message": run["error_message"],
        "replayable": True,
    }
