"""Workflows (hog flows): list, retrieve, create, update, delete, logs and metrics.

Facts: PostHog's hog_flow view in two generations, and recorded answers of a real server.
"""

import copy
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from hog_dagster.sandbox import errors
from hog_dagster.sandbox.families import Answer, Call, page, read_datetime
from hog_dagster.sandbox.graphs import compile_graph
from hog_dagster.sandbox.ids import is_uuid
from hog_dagster.sandbox.logs import answer_logs
from hog_dagster.sandbox.metrics import answer_metrics, answer_totals
from hog_dagster.sandbox.model import Revision, Workflow
from hog_dagster.sandbox.templates import secret_inputs
from hog_dagster.sandbox.validation import (
    STATUSES,
    check_actions,
    check_one_trigger,
    check_workflow,
)

__all__ = ["detail", "find", "listed", "schedule_row"]

CONTENT = ("actions", "edges", "trigger", "conversion", "exit_condition", "variables")
WRITABLE = ("name", "description", "status", "trigger_masking", *CONTENT)
_MESSAGING = ("function_email", "function_sms", "function_push")


# -- reading ---------------------------------------------------------------------------------------


def listed(call: Call, row: Workflow) -> dict[str, Any]:
    """A workflow as a row of the list: the whole graph, compiled filters included."""
    body = {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "version": row.version,
        "status": row.status,
        "created_at": row.created_at,
        "created_by": row.created_by,
        "updated_at": row.updated_at,
        "trigger": row.trigger,
        "trigger_masking": row.trigger_masking,
        "conversion": row.conversion,
        "exit_condition": row.exit_condition,
        "edges": row.edges,
        "actions": row.actions,
        "abort_action": row.abort_action,
        "variables": row.variables,
        "billable_action_types": row.billable_action_types,
    }
    if call.site.newer:
        body["trigger"], body["actions"] = masked(row.trigger), masked(row.actions)
        body |= {
            "origin_product": "workflows",
            "email_sending_rate_limit": None,
            "user_access_level": None,
        }
    return body


def detail(call: Call, row: Workflow) -> dict[str, Any]:
    """A workflow as retrieve, create and update answer it."""
    body = listed(call, row)
    body["actions"] = body["actions"] or []  # a list field here, the raw column in the list
    if call.site.newer:
        body["edges"] = body["edges"] or []
        body |= {
            "schedules": [
                schedule_row(item)
                for item in call.site.world.schedules.values()
                if item.workflow_id == row.id
            ],
            "draft": masked(row.draft),
            "draft_updated_at": row.draft_updated_at,
            "action_redirects": None,
        }
    return body


def schedule_row(schedule: Any) -> dict[str, Any]:
    """A schedule as the API shows it."""
    body = msgspec.structs.asdict(schedule)
    del body["workflow_id"]
    order = ("id", "rrule", "starts_at", "timezone", "variables", "status", "next_run_at")
    return {name: body[name] for name in (*order, "created_at", "updated_at")}


def masked(value: Any) -> Any:
    """A copy in which secret inputs read ``{"secret": true}``, as newer servers answer."""
    if isinstance(value, list):
        return [masked(item) for item in value]
    if not isinstance(value, dict):
        return value
    secrets = secret_inputs(value.get("template_id")) if "inputs" in value else set()
    copied = {name: masked(item) for name, item in value.items()}
    for name, item in (copied.get("inputs") or {}).items() if "inputs" in copied else ():
        if name in secrets or (isinstance(item, dict) and item.get("secret") is True):
            copied["inputs"][name] = {"secret": True}
    return copied


def find(call: Call, *, leaky: bool = True) -> Workflow:
    """The workflow a detail action is about.

    The server fetches it through the filters of the list, so that some query parameters filter the
    parent away (404) or are refused (400); `leaky=False` for actions that do not.

    Raises:
        ApiError: 404 "Not found."; 400 for a filter that cannot be read.
    """
    row = call.site.world.workflows.get(call.args["id"])
    keep = _filter(call) if leaky else None
    if row is None or (keep is not None and not keep(row)):
        raise errors.not_found()
    return row


def list_workflows(call: Call) -> Answer:
    """GET hog_flows/. Newest update first; older servers break ties by nothing."""
    keep = _filter(call)
    rows = [row for row in call.site.world.workflows.values() if keep(row)]
    if call.site.newer:
        rows = _newer_filters(call, rows)
        rows.sort(key=lambda row: (row.updated_at, row.id), reverse=True)
        return page(call, [listed(call, row) for row in rows], default=100, maximum=500)
    rows.sort(key=lambda row: row.updated_at, reverse=True)
    if call.site.shuffle_ties:
        rows = _shuffled_ties(call, rows)
    return page(call, [listed(call, row) for row in rows], default=100)


def retrieve(call: Call) -> Answer:
    """GET hog_flows/{id}/."""
    return Answer(detail(call, find(call)))


def logs(call: Call) -> Answer:
    """GET hog_flows/{id}/logs/.

    Runs of a batch job are not here: they are logged under the job's id.
    """
    return answer_logs(call, find(call).id)


def metrics(call: Call) -> Answer:
    """GET hog_flows/{id}/metrics/."""
    return answer_metrics(call, find(call).id)


def totals(call: Call) -> Answer:
    """GET hog_flows/{id}/metrics/totals/."""
    return answer_totals(call, find(call).id)


def _filter(call: Call) -> Callable[[Workflow], bool]:
    tests: list[Callable[[Workflow], bool]] = []
    wanted = call.param("id")
    if wanted:
        if not is_uuid(wanted):
            raise errors.bad_input("Enter a valid UUID.", "id")
        tests.append(lambda row: row.id == wanted.lower())
    author = call.param("created_by")
    if author:
        tests.append(_by_author(call, author))
    for name in ("created_at", "updated_at"):
        text = call.param(name)
        if text:
            tests.append(_at(name, text))
    if call.site.newer and call.param("status"):
        status = call.param("status")
        if status not in STATUSES:
            raise errors.bad_input(
                f"Select a valid choice. {status} is not one of the available choices.", "status"
            )
        tests.append(lambda row: row.status == status)
    trigger = call.param("trigger")
    if trigger:
        try:
            part = json.loads(trigger)
        except ValueError:
            raise errors.bad_input("Invalid trigger", "trigger") from None
        if part:
            tests.append(lambda row: contains(row.trigger, part))
    return lambda row: all(test(row) for test in tests)


def _by_author(call: Call, text: str) -> Callable[[Workflow], bool]:
    """Older servers take the user's number here, newer ones the uuid: a breaking change."""
    if call.site.newer:
        if not is_uuid(text):
            raise errors.bad_input("Must be a valid user uuid", "created_by")
        return lambda row: row.created_by is not None and row.created_by.uuid == text.lower()
    known = {str(call.site.world.user.id)} | {
        str(row.created_by.id) for row in call.site.world.workflows.values() if row.created_by
    }
    if text not in known:
        raise errors.validation(
            "invalid_choice",
            "Select a valid choice. That choice is not one of the available choices.",
            "created_by",
        )
    return lambda row: row.created_by is not None and str(row.created_by.id) == text


def _at(name: str, text: str) -> Callable[[Workflow], bool]:
    try:
        moment = read_datetime(text)
    except ValueError:
        raise errors.bad_input("Enter a valid date/time.", name) from None
    return lambda row: getattr(row, name) == moment


def _newer_filters(call: Call, rows: list[Workflow]) -> list[Workflow]:
    search = call.param("search")
    if search and len(search) > 200:
        raise errors.bad_input("Ensure this value has at most 200 characters.", "search")
    for word in (search or "").lower().split():
        rows = [row for row in rows if word in f"{row.name or ''}\n{row.description}".lower()]
    kinds = call.param("type")
    if kinds:
        wanted = kinds.split(",")
        rows = [row for row in rows if _kind(row) in wanted]
    return rows


def _kind(row: Workflow) -> str:
    return "messaging" if set(row.billable_action_types) & set(_MESSAGING) else "automation"


def _shuffled_ties(call: Call, rows: list[Workflow]) -> list[Workflow]:
    generator = call.site.world.ids.random
    keyed = [(row.updated_at, generator.random(), row) for row in rows]
    keyed.sort(key=lambda item: item[:2], reverse=True)
    return [row for _, _, row in keyed]


def contains(whole: Any, part: Any) -> bool:
    """PostgreSQL's jsonb containment, ``whole @> part``."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            name in whole and contains(whole[name], item) for name, item in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and all(
            any(contains(candidate, item) for candidate in whole) for item in part
        )
    return whole == part


# -- writing ---------------------------------------------------------------------------------------


def create(call: Call) -> Answer:
    """POST hog_flows/. Not idempotent: the same body twice makes two workflows."""
    body, newer = call.object(), call.site.newer
    strict = newer or body.get("status") == "active"
    check_workflow(body, partial=False, strict=strict, newer=newer)
    check_one_trigger(body["actions"])
    world, now = call.site.world, call.now
    row = Workflow(id=world.ids.row(now), created_at=now, updated_at=now, created_by=world.user)
    apply(row, body)
    world.workflows[row.id] = row
    return Answer(detail(call, row), status=201)


def update(call: Call) -> Answer:
    """PUT and PATCH hog_flows/{id}/.

    `actions` and `edges` are replaced whole; the last writer wins.
    """
    row, body, newer = find(call), call.object(), call.site.newer
    partial = call.method == "PATCH"
    if newer:
        check_base(row, body)
    status = body.get("status") or row.status
    check_workflow(body, partial=partial, strict=newer or status == "active", newer=newer)
    if status == "active" and row.status != "active" and "actions" not in body:
        check_actions(row.actions, newer=newer)
    check_one_trigger(body.get("actions", row.actions))
    before = copy.deepcopy({name: getattr(row, name) for name in CONTENT})
    was_live = row.status == "active"
    apply(row, body)
    if newer and was_live and before != {name: getattr(row, name) for name in CONTENT}:
        keep_revision(row, before, call.now)
    row.updated_at = call.now
    return Answer(detail(call, row))


def check_base(row: Workflow, body: dict[str, Any]) -> None:
    """409 stale_update when the caller's `base_updated_at` is older than the stored row."""
    base = body.get("base_updated_at")
    if base is None:
        return
    try:
        moment = read_datetime(str(base))
    except ValueError:
        raise errors.bad_input(
            "Datetime has wrong format. Use one of these formats instead: "
            "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].",
            "base_updated_at",
        ) from None
    if row.updated_at > moment:
        raise errors.conflict(
            "stale_update",
            "This workflow was updated elsewhere since you loaded it. "
            "Reload to get the latest version before saving.",
        )


def keep_revision(row: Workflow, before: dict[str, Any], now: datetime) -> None:
    """Keep the replaced content as a revision and count the version up."""
    row.revisions.append(Revision(version=row.version, created_at=now, content=before))
    row.version += 1


def apply(row: Workflow, body: dict[str, Any]) -> None:
    """Write a checked body into a row; secrets that come back masked keep their stored value."""
    stored = {action.get("id"): action for action in row.actions} if row.actions else {}
    for name in WRITABLE:
        if name in body and name not in ("trigger", "actions"):
            setattr(row, name, copy.deepcopy(body[name]))
    if "actions" in body:
        row.actions = [stored_action(action, stored) for action in body["actions"]]
    if isinstance(row.conversion, dict):
        row.conversion.setdefault("bytecode", [])
    compile_graph(row)


def stored_action(action: dict[str, Any], stored: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    """An action as the serializer stores it: defaults filled in, unknown fields dropped."""
    kept: dict[str, Any] = {
        "id": action["id"],
        "name": action["name"],
        "description": action.get("description", ""),
        "on_error": action.get("on_error"),
    }
    for name in ("created_at", "updated_at"):
        if name in action:
            kept[name] = action[name]
    kept |= {
        "filters": action.get("filters"),
        "type": action["type"],
        "config": copy.deepcopy(action["config"]),
        "output_variable": action.get("output_variable"),
    }
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
