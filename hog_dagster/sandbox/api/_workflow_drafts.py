"""Staged drafts and version history of newer servers: publish, discard, revisions, surgical graph
edits.

Facts: the hog_flow view. A draft is a whole snapshot of the content; publishing copies it to the
live row.
"""

import copy
from typing import Any

from hog_dagster.sandbox.api import _revisions, errors
from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.api._confirmation import previewed_by, sign
from hog_dagster.sandbox.api._workflow_validation import (
    check_actions,
    check_one_trigger,
    check_workflow,
)
from hog_dagster.sandbox.api._workflow_writes import check_base, content_of, save_live, write_draft
from hog_dagster.sandbox.api._workflows import detail, find, masked
from hog_dagster.sandbox.world import Workflow

_IMPACT = ("deleted_steps", "position_unknown", "empty_variables", "schedule_conflicts")
_NO_DRAFT = "This workflow has no staged draft to publish."
OPERATIONS = {
    "update_action": ("id", "patch"),
    "add_action": ("action",),
    "remove_action": ("id",),
    "add_edge": ("edge",),
    "remove_edge": ("edge",),
    "replace_action_edges": ("id", "edges"),
}


def publish(call: Call) -> Answer:
    """POST hog_flows/{id}/publish/: a preview with a token, then, with the token, the publish."""
    row, body = find(call), call.object()
    if not row.draft:
        raise errors.bad_input(_NO_DRAFT)
    if body.get("confirm") is not True:
        return Answer(
            {
                "published": False,
                "in_flight_runs": _in_flight(call, row),
                "draft_updated_at": row.draft_updated_at,
                "confirm_token": sign(call, _draft_value(row)),
                "impact": {**{name: [] for name in _IMPACT}, "position_unknown": None},
            }
        )
    previewed = previewed_by(
        call,
        body,
        missing="Required when confirming a publish — call publish without confirm first to "
        "preview the impact and get a token.",
        expired="Expired — preview the publish again to get a fresh token.",
        forged="Invalid — call publish without confirm first to preview the impact and get a "
        "token.",
    )
    if previewed != _draft_value(row):
        raise errors.stale_update()
    check_actions(row.draft["actions"], newer=True)
    save_live(call, row, row.draft)
    row.draft = row.draft_updated_at = None
    nothing = dict.fromkeys(("in_flight_runs", "draft_updated_at", "confirm_token", "impact"))
    return Answer({"published": True, **nothing, "workflow": detail(call, row)})


def discard_draft(call: Call) -> Answer:
    """POST hog_flows/{id}/discard_draft/: harmless when there is none."""
    row = find(call)
    row.draft = row.draft_updated_at = None
    row.updated_at = call.now
    return Answer(detail(call, row))


def list_revisions(call: Call) -> Answer:
    """GET hog_flows/{id}/revisions/: a page, newest first, without content."""
    return _revisions.list_page(call, find(call, leaky=False), maximum=500)


def retrieve_revision(call: Call) -> Answer:
    """GET hog_flows/{id}/revisions/{version}/."""
    return _revisions.retrieve(call, find(call), "workflow", masked)


def restore_revision(call: Call) -> Answer:
    """POST hog_flows/{id}/revisions/{version}/restore/."""
    row = find(call)
    _revisions.restore(call, row, "workflow")
    return Answer(detail(call, row))


def patch_graph(call: Call) -> Answer:
    """PATCH hog_flows/{id}/graph/: a list of small edits, all or none."""
    row, body = find(call), call.object()
    operations = body.get("operations")
    if operations is None:
        raise errors.required("operations")
    if not isinstance(operations, list) or not operations:
        raise errors.validation("empty", "This list may not be empty.", "operations")
    for index, item in enumerate(operations):
        _check_operation(item, f"operations__{index}")
    to_draft = call.agent and row.status == "active"
    check_base(row, body, draft=to_draft)
    base = row.draft if to_draft and row.draft else content_of(row)
    actions, edges = copy.deepcopy(base["actions"]), copy.deepcopy(base["edges"])
    for item in operations:
        actions, edges = _operate(item, actions, edges)
    changed = {"actions": actions, "edges": edges}
    check_workflow(changed, partial=True, strict=True, newer=True)
    check_one_trigger(actions)
    if to_draft:
        write_draft(call, row, changed)
    else:
        save_live(call, row, changed)
    return Answer(detail(call, row))


def _check_operation(item: Any, attr: str) -> None:
    name = item.get("op") if isinstance(item, dict) else None
    if name is None:
        raise errors.required(f"{attr}__op")
    if name not in OPERATIONS:
        raise errors.invalid_choice(name, f"{attr}__op")
    missing = [field for field in OPERATIONS[name] if item.get(field) is None]
    if missing:
        raise errors.bad_input(
            f"op '{name}' requires: {', '.join(missing)}", f"{attr}__non_field_errors"
        )


def _operate(
    item: dict[str, Any], actions: list[Any], edges: list[Any]
) -> tuple[list[Any], list[Any]]:
    name, wanted = item["op"], item.get("id")
    if name == "add_action":
        return [*actions, item["action"]], [*edges, *item.get("edges", [])]
    if name == "add_edge":
        return actions, [*edges, item["edge"]]
    if name == "remove_edge":
        return actions, [edge for edge in edges if not _same(edge, item["edge"])]
    if not any(action["id"] == wanted for action in actions):
        raise errors.bad_input(f"Action '{wanted}' not found in this workflow.", "graph__0")
    if name == "update_action":
        for action in actions:
            if action["id"] == wanted:
                _merge(action, item["patch"])
        return actions, edges
    if name == "replace_action_edges":
        others = [edge for edge in edges if edge.get("from") != wanted]
        return actions, [*others, *item["edges"]]
    onward = next((edge["to"] for edge in edges if edge.get("from") == wanted), None)
    kept = [edge for edge in edges if edge.get("from") != wanted]
    for edge in kept:
        if edge.get("to") == wanted and onward is not None:
            edge["to"] = onward
    kept = [edge for edge in kept if edge.get("to") != wanted]
    return [action for action in actions if action["id"] != wanted], kept


def _merge(whole: dict[str, Any], part: dict[str, Any]) -> None:
    """A deep merge in which null deletes."""
    for name, value in part.items():
        if value is None:
            whole.pop(name, None)
        elif isinstance(value, dict) and isinstance(whole.get(name), dict):
            _merge(whole[name], value)
        else:
            whole[name] = value


def _same(edge: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(edge.get(name) == other.get(name) for name in ("from", "to", "type", "index"))


def _draft_value(row: Workflow) -> str:
    stamp = row.draft_updated_at.isoformat() if row.draft_updated_at else ""
    return f"{row.id}:{stamp}"


def _in_flight(call: Call, row: Workflow) -> int:
    runs = call.site.world.runs.values()
    return sum(run.workflow_id == row.id and run.status == "running" for run in runs)
