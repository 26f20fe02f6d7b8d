"""Workflows (hog flows): list, retrieve, logs and metrics.

Facts: PostHog's hog_flow view in two generations, and recorded responses of a real server.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call, fields
from hog_dagster.sandbox.api._list_filters import contains, plain_tests
from hog_dagster.sandbox.api._paging import page
from hog_dagster.sandbox.api._workflow_validation import STATUSES
from hog_dagster.sandbox.world import Schedule, Workflow, is_uuid, secret_inputs, shown_action

SUMMARY = (
    "id name description version status origin_product created_at created_by updated_at trigger "
    "user_access_level"
)
_ROW = (
    "id name description version status created_at created_by updated_at trigger trigger_masking "
    "conversion exit_condition edges actions abort_action variables billable_action_types"
)
_SCHEDULE = "id rrule starts_at timezone variables status next_run_at created_at updated_at"
_MESSAGING = ("function_email", "function_sms", "function_push")


def listed(call: Call, row: Workflow) -> dict[str, Any]:
    """A workflow as a row of the list: the whole graph, compiled filters included."""
    if not call.site.newer:
        return fields(row, _ROW)
    more = ("origin_product", "email_sending_rate_limit", "user_access_level")
    body = fields(row, _ROW, trigger=masked(row.trigger), actions=masked(row.actions))
    return {**body, **dict.fromkeys(more)}


def detail(call: Call, row: Workflow) -> dict[str, Any]:
    """A workflow as retrieve, create and update answer it."""
    body = listed(call, row)
    # A list field with its defaults here; the list shows the column as it is stored.
    body["actions"] = [shown_action(action) for action in body["actions"] or []]
    if isinstance(body["trigger_masking"], dict):
        order = ("ttl", "threshold", "hash", "bytecode")
        body["trigger_masking"] = {name: row.trigger_masking.get(name) for name in order}
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


def schedule_row(schedule: Schedule) -> dict[str, Any]:
    """A schedule as the API shows it."""
    return fields(schedule, _SCHEDULE)


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
        bodies = [listed(call, row) for row in rows]
        if call.agent:
            bodies = [{name: body[name] for name in SUMMARY.split()} for body in bodies]
        return page(call, bodies, default=100, maximum=500)
    rows.sort(key=lambda row: row.updated_at, reverse=True)
    if call.site.shuffle_ties:
        rows = _shuffled_ties(call, rows)
    return page(call, [listed(call, row) for row in rows], default=100)


def retrieve(call: Call) -> Answer:
    """GET hog_flows/{id}/."""
    return Answer(detail(call, find(call)))


def _filter(call: Call) -> Callable[[Workflow], bool]:
    tests = plain_tests(call, call.site.world.workflows.values(), author=not call.site.newer)
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


def _newer_filters(call: Call, rows: list[Workflow]) -> list[Workflow]:
    search = (call.param("search") or "").strip()
    if search:
        if len(search) > 200:
            raise errors.bad_input("Search term cannot exceed 200 characters", "search")
        pattern = re.compile(re.escape(search).replace(r"\ ", r"[\s\-_]*"), re.IGNORECASE)
        rows = [
            row for row in rows if pattern.search(row.name or "") or pattern.search(row.description)
        ]
    author = call.param("created_by")
    if author:
        if not is_uuid(author):
            raise errors.bad_input("Must be a valid user uuid", "created_by")
        rows = [row for row in rows if row.created_by and row.created_by.uuid == author.lower()]
    kind = call.param("type")
    if kind:
        if kind not in ("messaging", "automation"):
            raise errors.bad_input("Must be one of: messaging, automation", "type")
        rows = [row for row in rows if _kind(row) == kind]
    return rows


def _kind(row: Workflow) -> str:
    types = {action.get("type") for action in row.actions or []}
    return "messaging" if types & set(_MESSAGING) else "automation"


def _shuffled_ties(call: Call, rows: list[Workflow]) -> list[Workflow]:
    generator = call.site.world.ids.random
    keyed = [(row.updated_at, generator.random(), row) for row in rows]
    keyed.sort(key=lambda item: item[:2], reverse=True)
    return [row for _, _, row in keyed]
