"""Workflows (hog flows): create, update, delete, and on newer servers drafts and versions.

Facts: PostHog's hog_flow view in two generations, and recorded responses of a real server.
"""

import copy
from typing import Any

from hog_dagster.sandbox.api import _revisions, errors
from hog_dagster.sandbox.api._activity import changes_between, log_activity
from hog_dagster.sandbox.api._calls import Answer, Call, read_datetime
from hog_dagster.sandbox.api._workflow_validation import (
    check_actions,
    check_ids,
    check_one_trigger,
    check_workflow,
)
from hog_dagster.sandbox.api._workflows import detail, find
from hog_dagster.sandbox.world import Workflow, compile_graph, derive_trigger, is_uuid

CONTENT = (
    *("actions", "edges", "trigger", "trigger_masking", "conversion", "exit_condition"),
    "variables",
)
ACTION_FIELDS = (
    *("id", "name", "description", "on_error", "created_at", "updated_at", "filters", "type"),
    *("config", "output_variable"),
)
WRITABLE = ("name", "description", "status", *CONTENT)
#: What the activity log calls a workflow.
SCOPE = "HogFlow"


def create(call: Call) -> Answer:
    """POST hog_flows/. Not idempotent: the same body twice makes two workflows."""
    body, newer = call.object(), call.site.newer
    strict = newer or body.get("status") == "active"
    check_workflow(body, partial=False, strict=strict, newer=newer)
    check_one_trigger(body["actions"])
    if newer:
        check_ids(body["actions"])
    if newer and call.agent and body.get("status") == "active":
        raise errors.bad_input(
            "You can't one-shot active workflows via MCP. Create as draft, test with "
            "workflows-test-run, then enable with workflows-enable."
        )
    world, now = call.site.world, call.now
    row = Workflow(id=world.ids.row(now), created_at=now, updated_at=now, created_by=world.user)
    apply(row, body)
    world.workflows[row.id] = row
    log_activity(call, SCOPE, row.id, "created", row.name or "", [])
    return Answer(detail(call, row), status=201)


def update(call: Call) -> Answer:
    """PUT and PATCH hog_flows/{id}/. `actions` and `edges` are replaced whole; last writer wins."""
    row, body, newer = find(call), call.object(), call.site.newer
    before = _as_answered(row)
    partial = call.method == "PATCH"
    status = body.get("status") or row.status
    check_workflow(body, partial=partial, strict=newer or status == "active", newer=newer)
    if status == "active" and row.status != "active" and "actions" not in body:
        check_actions(row.actions, newer=newer)
    check_one_trigger(body.get("actions", row.actions))
    if not newer:
        apply(row, body)
        row.updated_at = call.now
        _log_update(call, row, before)
        return Answer(detail(call, row))
    check_ids(body.get("actions", []))
    to_draft = _routed_to_draft(call, row, body)
    check_base(row, body, draft=to_draft)
    if to_draft:
        write_draft(call, row, body)
        body = {name: value for name, value in body.items() if name not in CONTENT}
    if not to_draft or any(name in WRITABLE for name in body):
        save_live(call, row, body)
    _log_update(call, row, before)
    return Answer(detail(call, row))


def _as_answered(row: Workflow) -> dict[str, Any]:
    """What an entry of the activity log can tell of a workflow."""
    return copy.deepcopy({name: getattr(row, name) for name in (*WRITABLE, "draft")})


def _log_update(call: Call, row: Workflow, before: dict[str, Any]) -> None:
    changes = changes_between(SCOPE, before, _as_answered(row))
    if changes:
        log_activity(call, SCOPE, row.id, "updated", row.name or "", changes)


def _routed_to_draft(call: Call, row: Workflow, body: dict[str, Any]) -> bool:
    """Whether an update of an active workflow stages a draft; an agent's always does."""
    content = bool(set(body) & set(CONTENT))
    if not call.agent:
        return row.status == "active" and bool(body.get("stage_draft")) and content
    others = set(body) - {"status"}
    if "status" in body and others:
        raise errors.bad_input(
            "Status changes via MCP must use workflows-enable / workflows-disable / "
            "workflows-archive — they can't be combined with other field updates."
        )
    if set(body) & {"actions", "edges"}:
        raise errors.bad_input(
            "actions/edges can't be replaced via workflows-update - a partial list silently drops "
            "every step it omits. Edit the graph with workflows-patch-graph instead; it changes "
            "steps by id and leaves the rest of the graph untouched."
        )
    return row.status == "active" and content


def check_base(row: Workflow, body: dict[str, Any], *, draft: bool = False) -> None:
    """409 stale_update when the caller's `base_updated_at` is older than the stored row."""
    base = body.get("base_updated_at")
    if base is None:
        return
    try:
        moment = read_datetime(str(base))
    except ValueError:
        return  # what cannot be parsed guards nothing
    guard = row.draft_updated_at if draft and row.draft_updated_at else row.updated_at
    if guard > moment:
        raise errors.stale_update()


def save_live(call: Call, row: Workflow, body: dict[str, Any]) -> None:
    """Write onto the live row of a newer server; a change of content is a new version."""
    before = content_of(row)
    apply(row, body)
    row.updated_at = call.now
    after = content_of(row)
    if after != before:
        _revisions.keep(call, row, before, after)


def write_draft(call: Call, row: Workflow, body: dict[str, Any]) -> None:
    """Stage content in the draft, which is always a whole snapshot."""
    draft = {**content_of(row), **(row.draft or {})}
    changes = {name: copy.deepcopy(body[name]) for name in CONTENT if name in body}
    if "actions" in changes:
        stored = {action["id"]: action for action in draft["actions"]}
        changes["actions"] = [stored_action(action, stored) for action in changes["actions"]]
        changes["trigger"] = derive_trigger(changes["actions"])
    row.draft = {**draft, **changes}
    row.draft_updated_at = call.now


def content_of(row: Workflow) -> dict[str, Any]:
    """A snapshot of a workflow's content: what drafts stage and revisions keep."""
    content = copy.deepcopy({name: getattr(row, name) for name in CONTENT})
    return {**content, "actions": content["actions"] or [], "edges": content["edges"] or []}


def apply(row: Workflow, body: dict[str, Any]) -> None:
    """Write a checked body into a row; secrets that come back masked keep their stored value."""
    stored = {action.get("id"): action for action in row.actions} if row.actions else {}
    fresh = copy.deepcopy(row)
    for name in WRITABLE:
        if name in body and name not in ("trigger", "actions"):
            setattr(fresh, name, copy.deepcopy(body[name]))
    if "actions" in body:
        fresh.actions = [stored_action(action, stored) for action in body["actions"]]
    compile_graph(fresh)
    for name in row.__struct_fields__:
        setattr(row, name, getattr(fresh, name))


def stored_action(action: dict[str, Any], stored: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    """An action as the serializer stores it: unknown fields dropped, kept secrets put back."""
    kept = {name: copy.deepcopy(action[name]) for name in ACTION_FIELDS if name in action}
    kept = {"description": "", "filters": None, **kept}
    inputs = kept["config"].get("inputs") if isinstance(kept["config"], dict) else None
    inputs = inputs if isinstance(inputs, dict) else {}
    before = (stored.get(action["id"], {}).get("config") or {}).get("inputs") or {}
    for name, value in inputs.items():
        if value == {"secret": True} and name in before:
            inputs[name] = before[name]
    return kept


def destroy(call: Call) -> Answer:
    """DELETE hog_flows/{id}/: a hard delete, of active workflows too. Schedules go along."""
    forget(call, find(call))
    return Answer(status=204)


def forget(call: Call, row: Workflow) -> int:
    """Delete a workflow; how many rows went, the cascaded schedules included."""
    world = call.site.world
    gone = [key for key, item in world.schedules.items() if item.workflow_id == row.id]
    for key in gone:
        del world.schedules[key]
    del world.workflows[row.id]
    log_activity(call, SCOPE, row.id, "deleted", row.name or "", [])
    return 1 + len(gone)


def bulk_delete(call: Call) -> Answer:
    """POST hog_flows/bulk_delete/: archived ones only; the rest is skipped without a word."""
    data = call.data()
    ids = data.get("ids", []) if isinstance(data, dict) else []
    if not ids or not isinstance(ids, list):
        raise errors.plain_error(400, "A non-empty list of 'ids' is required")
    if not all(is_uuid(str(item)) for item in ids):
        raise errors.plain_error(400, "One or more IDs are not valid UUIDs")
    rows = [call.site.world.workflows.get(str(item).lower()) for item in dict.fromkeys(ids)]
    return Answer(
        {"deleted": sum(forget(call, row) for row in rows if row and row.status == "archived")}
    )
