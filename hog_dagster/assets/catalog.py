"""The catalog of workflows as snapshot tables: workflows, steps, arrows, schedules, batch jobs.

Facts: `GET /hog_flows/` rows carry the whole graph, so one walk fills three tables; schedules and
batch jobs cost one request per workflow each; on docs-era servers those two may refuse every key.
Hard deletes leave no trace, so only a complete listing shows them: tables are replaced whole.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from hog_dagster.assets import landing
from hog_dagster.assets.concurrency import interleave
from hog_dagster.assets.options import AssetOptions, WorkflowSelection
from hog_dagster.assets.redact import redact_definition
from hog_dagster.assets.summary import counts_by
from hog_dagster.assets.workflow_tables import (
    WORKFLOW_ACTIONS,
    WORKFLOW_BATCH_JOBS,
    WORKFLOW_EDGES,
    WORKFLOW_SCHEDULES,
    WORKFLOWS,
)
from hog_dagster.failures import dagster_failures
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog.models import BatchJob, Workflow, WorkflowSchedule
from hog_dagster.resource_names import prefixed
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import LoadResult, Table, Warehouse

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

    Needs the resources `posthog` (scope hog_flow:read) and `warehouse`. Requests: one per hundred
    workflows, and one per workflow for each of schedules and batch jobs.

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
        landing.table_spec(
            table,
            options,
            family="workflows",
            deps=[] if table is WORKFLOWS else [workflows_key],
        )._replace(skippable=True)
        for table in CATALOG_TABLES
    ]

    @dg.multi_asset(
        name=options.named(name),
        specs=specs,
        can_subset=True,
        retry_policy=options.retry_policy,
        pool=options.pool,
    )
    @prefixed(options.prefix)
    def catalog(
        context: dg.AssetExecutionContext, posthog: PostHogResource, warehouse: WarehouseResource
    ) -> Iterator[dg.MaterializeResult]:
        with dagster_failures(), warehouse.open() as opened:
            client = posthog.client
            listed = list(client.workflows.list())
            chosen = [workflow for workflow in listed if workflow in selection]
            context.log.info(
                f"{len(listed)} workflows in project {posthog.project_id}, {len(chosen)} selected"
            )
            for table in CATALOG_TABLES:
                key = options.key(table.name)
                if key in context.selected_asset_keys:
                    metadata = _land(context, table, chosen, posthog, opened, options)
                    yield dg.MaterializeResult(asset_key=key, metadata=metadata)

    return catalog


def _land(
    context: dg.AssetExecutionContext,
    table: Table,
    workflows: Sequence[Workflow],
    posthog: PostHogResource,
    warehouse: Warehouse,
    options: AssetOptions,
) -> dict[str, Any]:
    client = posthog.client
    requests, started = client.requests_made, time.monotonic()
    project = int(posthog.project_id)
    skipped: list[str] = []
    try:
        batches = landing.arrow_batches(
            table, _rows(table, workflows, posthog, client, options.workers), project_id=project
        )
        load = warehouse.replace(table, batches, scope={"project_id": project})
    except (errors.NotOpenToKeys, errors.EndpointMissing) as error:
        skipped.append(f"Not read, what landed earlier stays: {error}")
        context.log.warning(skipped[0])
        load = LoadResult(
            rows=warehouse.count(table, scope={"project_id": project}),
            bytes=0,
            seconds=0.0,
            deleted=0,
        )
        warehouse.upsert(table, [])
    numbers: dict[str, int] = {}
    if table in _STATUSES:
        scope = {"project_id": project}
        numbers = counts_by(warehouse, table, "status", scope, always=_STATUSES[table])
    return landing.result_metadata(
        table,
        landing.Landed(load, client.requests_made - requests, time.monotonic() - started),
        warehouse=warehouse,
        posthog=posthog,
        url=f"{posthog.project_url}/workflows",
        shown=landing.preview(warehouse, table, project_id=project),
        numbers=numbers,
        notes=skipped,
    )


def _rows(
    table: Table,
    workflows: Sequence[Workflow],
    posthog: PostHogResource,
    client: PostHogClient,
    workers: int,
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
        yield from _of_each(workflows, client.workflows.schedules, _schedule_row, workers)
    else:
        yield from _of_each(workflows, client.workflows.batch_jobs, _batch_job_row, workers)


def _of_each(
    workflows: Sequence[Workflow],
    read: Callable[[str], Iterable[Any]],
    row: Callable[[str, Any], Mapping[str, Any]],
    workers: int,
) -> Iterator[Mapping[str, Any]]:
    def rows(workflow: Workflow) -> list[Mapping[str, Any]]:
        return [row(workflow.id, item) for item in read(workflow.id)]

    yield from interleave(workflows, rows, workers=workers)


def _email(user: Any) -> str | None:
    return getattr(user, "email", None)


def _workflow_row(workflow: Workflow, url: str) -> Mapping[str, Any]:
    return {
        "id": workflow.id,
        "name": workflow.name,
        "description": workflow.description,
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
            "description": action.description,
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
