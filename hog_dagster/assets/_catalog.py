"""The catalog of workflows as snapshot tables: workflows, steps, arrows, schedules, batch jobs.

Facts: `GET /hog_flows/` rows carry the whole graph, so one walk fills three tables; schedules and
batch jobs cost one request per workflow each; on docs-era servers those two may refuse every key.
Hard deletes leave no trace, so only a complete listing shows them: tables are replaced whole, and
a workflow that is gone keeps its row in `workflows`.
"""

import itertools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import dagster as dg

from hog_dagster._dagster.failures import dagster_failures
from hog_dagster._shared.secrets import without_secrets
from hog_dagster.assets import _loading as loading
from hog_dagster.assets._departed import departed, loaded_rows
from hog_dagster.assets._guard import SnapshotGuard
from hog_dagster.assets._log_sources import BATCH_TRIGGERS, SCHEDULE_TRIGGERS, chosen_text
from hog_dagster.assets._owner_names import named_rows
from hog_dagster.assets._project_hosts import opened_for
from hog_dagster.assets._redact import redact_definition
from hog_dagster.assets._shared_reads import WORKFLOWS as LISTED
from hog_dagster.assets._shared_reads import listed_at, workflows_of
from hog_dagster.assets._sources import listing_metadata
from hog_dagster.assets._summary import counts_by
from hog_dagster.assets._workflow_tables import (
    WORKFLOW_ACTIONS,
    WORKFLOW_BATCH_JOBS,
    WORKFLOW_EDGES,
    WORKFLOW_SCHEDULES,
    WORKFLOWS,
)
from hog_dagster.lineage import AssetOptions, WorkflowSelection
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog.models import BatchJob, Workflow, WorkflowSchedule
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import LoadResult, Table, Warehouse
from hog_dagster.warehouse.errors import TableMissing

__all__ = ["CATALOG_TABLES", "build_catalog_assets"]

CATALOG_TABLES = (
    WORKFLOWS,
    WORKFLOW_ACTIONS,
    WORKFLOW_EDGES,
    WORKFLOW_SCHEDULES,
    WORKFLOW_BATCH_JOBS,
)

#: Statuses that are counted in the metadata even where nothing has them.
_STATUSES = {
    WORKFLOWS: ("active", "draft", "archived"),
    WORKFLOW_SCHEDULES: ("active", "paused"),
    WORKFLOW_BATCH_JOBS: (),
}


def build_catalog_assets(
    *,
    options: AssetOptions | None = None,
    selection: WorkflowSelection | None = None,
    name: str = "posthog_workflow_catalog",
) -> dg.AssetsDefinition:
    """The assets `workflows`, `workflow_actions`, `workflow_edges`, `workflow_schedules` and
    `workflow_batch_jobs`, one step, any subset of them materializable.

    Needs the resources `posthog` (scope hog_flow:read) and `warehouse`. Requests: one per 500
    workflows; one per workflow that people or schedules start for its schedules, and one per batch
    workflow for its batch jobs.

    Args:
        options: how the assets look.
        selection: which workflows; all by default.
        name: of the step.

    Returns:
        The assets definition.
    """
    options = options or AssetOptions()
    selection = selection or WorkflowSelection()
    workflows_key = options.key(WORKFLOWS.name)
    specs = [
        loading.table_spec(
            table,
            options,
            group="workflows",
            deps=[] if table is WORKFLOWS else [workflows_key],
        )._replace(skippable=True)
        for table in CATALOG_TABLES
    ]

    @loading.table_assets(
        options,
        name=name,
        specs=specs,
        can_subset=True,
    )
    def catalog(
        context: dg.AssetExecutionContext, posthog: PostHogResource, warehouse: WarehouseResource
    ) -> Iterator[dg.MaterializeResult]:
        with dagster_failures(), opened_for(warehouse, posthog) as opened:
            client = posthog.client
            listed = workflows_of(client)
            chosen = [workflow for workflow in listed if workflow in selection]
            context.log.info(
                f"{len(listed)} workflows in project {posthog.project_id}, {len(chosen)} selected"
            )
            for table in CATALOG_TABLES:
                key = options.key(table.name)
                if key in context.selected_asset_keys:
                    gone: list[Mapping[str, Any]] = []
                    if table is WORKFLOWS:
                        gone = _gone(listed, chosen, posthog, opened)
                    with ExitStack() as stack:
                        metadata = _load(
                            context, table, chosen, posthog, opened, options, gone, stack
                        )
                    if "posthog/notes" not in metadata:  # Else it was not read.
                        metadata |= listing_metadata(
                            listed_at(client, LISTED),
                            chosen_text(selection),
                            client.project_id,
                            opened,
                        )
                    yield dg.MaterializeResult(asset_key=key, metadata=metadata)

    return catalog


def _gone(
    listed: Sequence[Workflow],
    chosen: Sequence[Workflow],
    posthog: PostHogResource,
    warehouse: Warehouse,
) -> list[Mapping[str, Any]]:
    """Rows of workflows that were loaded before and are deleted, or not selected any more."""
    here = {workflow.id for workflow in chosen}
    others = {workflow.id: workflow for workflow in listed if workflow.id not in here}

    def now(ident: str) -> Mapping[str, Any] | None:
        return (
            _workflow_row(others[ident], posthog.workflow_url(ident)) if ident in others else None
        )

    return list(
        departed(
            loaded_rows(warehouse, WORKFLOWS, project_id=int(posthog.project_id)),
            here=here,
            moment=loading.server_now(posthog.client),
            now=now,
        )
    )


def _load(
    context: dg.AssetExecutionContext,
    table: Table,
    workflows: Sequence[Workflow],
    posthog: PostHogResource,
    warehouse: Warehouse,
    options: AssetOptions,
    gone: Sequence[Mapping[str, Any]],
    stack: ExitStack,
) -> dict[str, Any]:
    """Load one table; the connection of the load is kept until the stack is left."""
    client = posthog.client
    requests, started = client.requests_made, time.monotonic()
    project = int(posthog.project_id)
    skipped: list[str] = []
    had = _with_rows(warehouse, table, project)
    of = {workflow.id: workflow.name for workflow in workflows}
    guard = SnapshotGuard(
        warehouse, table, "workflow_id", {"project_id": project}, context.log.warning, of
    )
    stack.enter_context(warehouse.loading())
    try:
        rows = _rows(table, workflows, posthog, client, options.workers, had, guard)
        rows = named_rows(table, itertools.chain(rows, gone), of)
        batches = loading.arrow_batches(table, rows, project_id=project)
        load = warehouse.replace(table, batches, scope={"project_id": project})
    except (errors.NotOpenToKeys, errors.EndpointMissing) as error:
        skipped.append(f"Not read, what was loaded earlier stays: {error}")
        context.log.warning(skipped[0])
        load = LoadResult(rows=warehouse.count(table, scope={"project_id": project}))
        warehouse.upsert(table, [])
    numbers: dict[str, int] = {}
    if table in _STATUSES:
        scope: dict[str, Any] = {"project_id": project}
        if table is WORKFLOWS:
            scope["deleted_seen_at"] = None
        numbers = counts_by(warehouse, table, "status", scope, always=_STATUSES[table])
    if table is WORKFLOWS:
        numbers["posthog/deleted"] = len(gone)
    names = {workflow.id: workflow.name or workflow.id for workflow in workflows}
    return guard.metadata(names) | loading.result_metadata(
        table,
        loading.Loaded(load, client.requests_made - requests, time.monotonic() - started),
        warehouse=warehouse,
        posthog=posthog,
        url=posthog.workflows_url,
        shown=loading.preview(warehouse, table, project_id=project),
        numbers=numbers,
        notes=skipped,
    )


def _rows(
    table: Table,
    workflows: Sequence[Workflow],
    posthog: PostHogResource,
    client: PostHogClient,
    workers: int,
    had: Collection[str],
    guard: SnapshotGuard,
) -> Iterator[Mapping[str, Any]]:
    if table is WORKFLOWS:
        yield from (_workflow_row(w, posthog.workflow_url(w.id)) for w in workflows)
    elif table is WORKFLOW_ACTIONS:
        for workflow in workflows:
            yield from _action_rows(workflow)
    elif table is WORKFLOW_EDGES:
        for workflow in workflows:
            yield from _edge_rows(workflow)
    elif table is WORKFLOW_SCHEDULES:
        chosen = _triggered(workflows, SCHEDULE_TRIGGERS, had)
        yield from _of_each(chosen, client.workflows.schedules, _schedule_row, workers, guard)
    else:
        chosen = _triggered(workflows, BATCH_TRIGGERS, had)
        yield from _of_each(chosen, client.workflows.batch_jobs, _batch_job_row, workers, guard)


def _triggered(
    workflows: Sequence[Workflow], kinds: Sequence[str], had: Collection[str]
) -> list[Workflow]:
    """Those whose trigger is of these kinds, or is not known, or that have rows already: others
    cannot have any."""
    return [w for w in workflows if (w.trigger.get("type") or kinds[0]) in kinds or w.id in had]


def _with_rows(warehouse: Warehouse, table: Table, project_id: int) -> set[str]:
    """The workflows that have rows in the table."""
    if table not in (WORKFLOW_SCHEDULES, WORKFLOW_BATCH_JOBS):
        return set()
    try:
        found = warehouse.read(table, columns=["workflow_id"], scope={"project_id": project_id})
    except TableMissing:
        return set()
    return set(found.column("workflow_id").to_pylist())


def _of_each(
    workflows: Sequence[Workflow],
    read: Callable[[str], Iterable[Any]],
    row: Callable[[str, Any], Mapping[str, Any]],
    workers: int,
    guard: SnapshotGuard,
) -> Iterator[Mapping[str, Any]]:
    def rows(workflow_id: str) -> list[Mapping[str, Any]]:
        return [row(workflow_id, item) for item in read(workflow_id)]

    yield from guard.each([workflow.id for workflow in workflows], rows, workers=workers)


def _email(user: Any) -> str | None:
    return getattr(user, "email", None)


def _workflow_row(workflow: Workflow, url: str) -> Mapping[str, Any]:
    return {
        "id": workflow.id,
        "name": workflow.name,
        "description": workflow.description and without_secrets(workflow.description),
        "status": workflow.status,
        "version": workflow.version,
        "trigger_type": workflow.trigger.get("type"),
        "exit_condition": workflow.exit_condition,
        "action_count": len(workflow.actions),
        "billable_action_types": workflow.billable_action_types,
        "variables": redact_definition(workflow.variables),
        "trigger": redact_definition(workflow.trigger),
        "conversion": redact_definition(workflow.conversion),
        "created_by_email": _email(workflow.created_by),
        "created_at": workflow.created_at,
        "updated_at": workflow.updated_at,
        "url": url,
        "_raw": redact_definition(workflow.model_extra or {}),
    }


def _action_rows(workflow: Workflow) -> Iterator[Mapping[str, Any]]:
    for position, action in enumerate(workflow.actions):
        yield {
            "workflow_id": workflow.id,
            "action_id": action.id,
            "position": position,
            "name": action.name,
            "description": action.description and without_secrets(action.description),
            "type": action.type,
            "template_id": action.config.get("template_id"),
            "on_error": action.on_error,
            "config": redact_definition(action.config),
            "filters": redact_definition(action.filters),
            "_raw": redact_definition(action.model_extra or {}),
        }


def _edge_rows(workflow: Workflow) -> Iterator[Mapping[str, Any]]:
    for position, edge in enumerate(workflow.edges):
        yield {
            "workflow_id": workflow.id,
            "position": position,
            "from_action_id": edge.from_,
            "to_action_id": edge.to,
            "type": edge.type,
            "branch_index": edge.index,
            "_raw": redact_definition(edge.model_extra or {}),
        }


def _schedule_row(workflow_id: str, schedule: WorkflowSchedule) -> Mapping[str, Any]:
    return {
        "workflow_id": workflow_id,
        "id": schedule.id,
        "status": schedule.status,
        "rrule": schedule.rrule,
        "starts_at": schedule.starts_at,
        "timezone": schedule.timezone,
        "next_run_at": schedule.next_run_at,
        "variables": redact_definition(schedule.variables),
        "created_at": schedule.created_at,
        "updated_at": schedule.updated_at,
        "_raw": redact_definition(schedule.model_extra or {}),
    }


def _batch_job_row(workflow_id: str, job: BatchJob) -> Mapping[str, Any]:
    return {
        "workflow_id": workflow_id,
        "id": job.id,
        "status": job.status,
        "filters": redact_definition(job.filters),
        "variables": redact_definition(job.variables),
        "created_by_email": _email(job.created_by),
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "_raw": redact_definition(job.model_extra or {}),
    }
