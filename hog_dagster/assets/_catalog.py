"""The catalog of workflows as snapshot tables: workflows, steps, arrows, schedules, batch jobs.

Facts: `GET /hog_flows/` rows carry the whole graph, so one walk fills three tables; schedules and
batch jobs cost one request per workflow each; on docs-era servers those two may refuse every key.
Hard deletes leave no trace, so only a complete listing shows them: tables are replaced whole, and
a workflow that is gone keeps its row in `workflows`.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import dagster as dg

from hog_dagster._shared.secrets import without_secrets
from hog_dagster.assets import _loading as loading
from hog_dagster.assets._departed import departed, loaded_rows
from hog_dagster.assets._guard import SnapshotGuard
from hog_dagster.assets._log_sources import BATCH_TRIGGERS, SCHEDULE_TRIGGERS, chosen_text
from hog_dagster.assets._redact import redact_definition
from hog_dagster.assets._shared_reads import WORKFLOWS as LISTED
from hog_dagster.assets._shared_reads import listed_at, workflows_of
from hog_dagster.assets._sources import listing_metadata
from hog_dagster.assets._steps import Results, Row, Step, snapshot_step
from hog_dagster.assets._summary import counts_by
from hog_dagster.assets._workflow_tables import (
    WORKFLOW_ACTIONS,
    WORKFLOW_BATCH_JOBS,
    WORKFLOW_EDGES,
    WORKFLOW_SCHEDULES,
    WORKFLOWS,
)
from hog_dagster.lineage import AssetOptions, WorkflowSelection
from hog_dagster.posthog import errors
from hog_dagster.posthog.models import Workflow
from hog_dagster.warehouse import LoadResult, Table

_TABLES = (
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

    @snapshot_step(
        options,
        {table: [] if table is WORKFLOWS else [WORKFLOWS] for table in _TABLES},
        group="workflows",
        name=name,
    )
    def catalog(step: Step) -> Results:
        listed = workflows_of(step.client)
        chosen = [workflow for workflow in listed if workflow in selection]
        names = {workflow.id: workflow.name for workflow in chosen}
        step.context.log.info(
            f"{len(listed)} workflows in project {step.project}, {len(chosen)} selected"
        )
        listing = partial(_listing, step, chosen_text(selection))
        for table in step.selected(_TABLES):
            gone = _gone(step, listed, chosen) if table is WORKFLOWS else []
            guard = step.guard(table, "workflow_id", names)
            yield step.load(
                table,
                itertools.chain(_rows(step, table, chosen, guard), gone),
                absent=(errors.NotOpenToKeys, errors.EndpointMissing),
                guard=guard,
                names=names,
                numbers=partial(_numbers, step, table, len(gone)),
                listing=listing,
            )

    return catalog


def _listing(step: Step, chosen: str) -> Row:
    at = listed_at(step.client, LISTED)
    return listing_metadata(at, chosen, step.project, step.warehouse)


def _numbers(step: Step, table: Table, gone: int, load: LoadResult) -> Row:
    """How many rows have each status, of workflows those that are there."""
    if table not in _STATUSES:
        return {}
    scope: dict[str, Any] = dict(step.scope)
    if table is WORKFLOWS:
        scope["deleted_seen_at"] = None
    numbers = counts_by(step.warehouse, table, "status", scope, always=_STATUSES[table])
    return numbers | ({"posthog/deleted": gone} if table is WORKFLOWS else {})


def _gone(step: Step, listed: Sequence[Workflow], chosen: Sequence[Workflow]) -> list[Row]:
    """Rows of workflows that were loaded before and are deleted, or not selected any more."""
    here = {workflow.id for workflow in chosen}
    others = {workflow.id: workflow for workflow in listed if workflow.id not in here}
    return list(
        departed(
            loaded_rows(step.warehouse, WORKFLOWS, project_id=step.project),
            here=here,
            moment=loading.server_now(step.client),
            now=lambda id: _workflow_row(step, others[id]) if id in others else None,
        )
    )


def _rows(
    step: Step, table: Table, workflows: Sequence[Workflow], guard: SnapshotGuard
) -> Iterable[Row]:
    if table is WORKFLOWS:
        return (_workflow_row(step, workflow) for workflow in workflows)
    if table in _PARTS:
        return (row for workflow in workflows for row in _PARTS[table](workflow))
    kinds, service = _OF_EACH[table], step.client.workflows
    read = service.schedules if table is WORKFLOW_SCHEDULES else service.batch_jobs
    # Others cannot have any: their trigger is of another kind, and they have no rows.
    had = loading.rows_before(step.warehouse, table, columns=["workflow_id"], scope=step.scope)
    with_rows = {row["workflow_id"] for row in had}
    asked = [
        workflow.id
        for workflow in workflows
        if (workflow.trigger.get("type") or kinds[0]) in kinds or workflow.id in with_rows
    ]

    def rows(workflow_id: str) -> list[Row]:
        return [_row_of_each(table, workflow_id, item) for item in read(workflow_id)]

    return guard.each(asked, rows, workers=step.options.workers)


def _email(user: Any) -> str | None:
    return getattr(user, "email", None)


def _raw(model: Any) -> Any:
    return redact_definition(model.model_extra or {})


def _workflow_row(step: Step, workflow: Workflow) -> Row:
    return loading.row_of(
        WORKFLOWS,
        workflow,
        description=workflow.description and without_secrets(workflow.description),
        trigger_type=workflow.trigger.get("type"),
        action_count=len(workflow.actions),
        variables=redact_definition(workflow.variables),
        trigger=redact_definition(workflow.trigger),
        conversion=redact_definition(workflow.conversion),
        created_by_email=_email(workflow.created_by),
        url=step.posthog.workflow_url(workflow.id),
        _raw=_raw(workflow),
    )


def _action_rows(workflow: Workflow) -> Iterator[Row]:
    for position, action in enumerate(workflow.actions):
        yield loading.row_of(
            WORKFLOW_ACTIONS,
            action,
            workflow_id=workflow.id,
            action_id=action.id,
            position=position,
            description=action.description and without_secrets(action.description),
            template_id=action.config.get("template_id"),
            config=redact_definition(action.config),
            filters=redact_definition(action.filters),
            _raw=_raw(action),
        )


def _edge_rows(workflow: Workflow) -> Iterator[Row]:
    for position, edge in enumerate(workflow.edges):
        yield {
            "workflow_id": workflow.id,
            "position": position,
            "from_action_id": edge.from_,
            "to_action_id": edge.to,
            "type": edge.type,
            "branch_index": edge.index,
            "_raw": _raw(edge),
        }


def _row_of_each(table: Table, workflow_id: str, item: Any) -> Row:
    """A schedule, or a batch job."""
    special = {"workflow_id": workflow_id, "variables": redact_definition(item.variables)}
    if table is WORKFLOW_BATCH_JOBS:
        special["filters"] = redact_definition(item.filters)
        special["created_by_email"] = _email(item.created_by)
    return loading.row_of(table, item, **special, _raw=_raw(item))


#: Tables of parts of a workflow, which come with it.
_PARTS = {WORKFLOW_ACTIONS: _action_rows, WORKFLOW_EDGES: _edge_rows}
#: Tables that cost a request per workflow, and the triggers of workflows that can have rows.
_OF_EACH = {WORKFLOW_SCHEDULES: SCHEDULE_TRIGGERS, WORKFLOW_BATCH_JOBS: BATCH_TRIGGERS}
