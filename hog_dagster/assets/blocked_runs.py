"""Runs that wait for a replay, as a snapshot: blocked ones where listed, failed ones elsewhere.

Facts: docs-era servers list blocked runs; newer ones dropped that endpoint and keep the result of
every run for 30 days, whose failed runs are what can be rerun.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from hog_dagster.assets import landing
from hog_dagster.assets._guard import SnapshotGuard
from hog_dagster.assets._homes import opened_for
from hog_dagster.assets._run_rows import masked
from hog_dagster.assets.options import AssetOptions, WorkflowSelection
from hog_dagster.assets.rankings import waiting
from hog_dagster.assets.workflow_tables import BLOCKED_RUNS, WORKFLOWS
from hog_dagster.failures import dagster_failures
from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog.models import Workflow
from hog_dagster.resource_names import prefixed
from hog_dagster.resources import PostHogResource, WarehouseResource

__all__ = ["build_blocked_runs_asset"]


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
        with dagster_failures(), opened_for(warehouse, posthog) as opened:
            client = posthog.client
            project = int(posthog.project_id)
            requests, started = client.requests_made, time.monotonic()
            workflows = [
                w for w in client.workflows.list() if w in selection and w.status != "draft"
            ]
            read, notes = _reader(client, lookback)
            by_id = {workflow.id: workflow for workflow in workflows}
            guard = SnapshotGuard(
                opened, table, "workflow_id", {"project_id": project}, context.log.warning
            )
            rows = guard.each(
                list(by_id) if read else [],
                lambda id: (read or _none)(by_id[id]),
                workers=options.workers,
            )
            load = opened.replace(
                table,
                masked(landing.arrow_batches(table, rows, project_id=project), "mask"),
                scope={"project_id": project},
            )
            landed = landing.Landed(
                load, client.requests_made - requests, time.monotonic() - started
            )
            return dg.MaterializeResult(
                metadata=guard.metadata({w.id: w.name or w.id for w in workflows})
                | landing.result_metadata(
                    table,
                    landed,
                    warehouse=opened,
                    posthog=posthog,
                    url=posthog.workflows_url,
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
