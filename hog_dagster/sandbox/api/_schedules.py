"""Schedules of workflows. Facts: the schedule serializer and recorded answers."""

from datetime import datetime, timedelta
from typing import Any

from hog_dagster.sandbox.api import _fields as fields
from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._batch_jobs import jsonb
from hog_dagster.sandbox.api._calls import Answer, Call, odd_time
from hog_dagster.sandbox.api._confirmation import check_audience_token
from hog_dagster.sandbox.api._workflows import find, schedule_row
from hog_dagster.sandbox.engine import check_rule, next_occurrences
from hog_dagster.sandbox.world import Schedule, Workflow, is_uuid

_NOT_ACTIVE = (
    "Workflow must be active before scheduling - a draft's audience can still be edited after "
    "previewing. Enable it with workflows-enable, then preview and schedule."
)


def list_schedules(call: Call) -> Answer:
    """GET hog_flows/{id}/schedules/: a bare array, newest first."""
    rows = _of(call, find(call, leaky=not call.site.newer))
    rows.sort(key=lambda row: row.created_at, reverse=True)
    shown = [schedule_row(row) for row in rows]
    for row in shown:
        row["variables"] = jsonb(row["variables"])
    return Answer([odd_time(call, row) for row in shown])


def create_schedule(call: Call) -> Answer:
    """POST hog_flows/{id}/schedules/: 201 and one object.

    Twice makes two, and doubles what is sent.
    """
    workflow = find(call, leaky=not call.site.newer)
    body = call.object()
    if call.site.newer and call.agent:
        if workflow.status != "active":
            raise errors.bad_input(_NOT_ACTIVE)
        check_audience_token(call, workflow, body)
    fields.present(body, "rrule", "starts_at")
    row = call.site.world.add_schedule(workflow.id, **_checked(call, body, None))
    return Answer(schedule_row(row), status=201)


def update_schedule(call: Call) -> Answer:
    """PATCH hog_flows/{id}/schedules/{schedule_id}/. `status` is read-only and silently ignored."""
    row = _one(call)
    body = call.object()
    for name, value in _checked(call, body, row).items():
        setattr(row, name, value)
    if any(name in body for name in ("rrule", "starts_at", "timezone")):
        row.next_run_at = None
        if row.status != "paused":
            row.status = "active"
    row.updated_at = call.now
    return Answer(schedule_row(row))


def delete_schedule(call: Call) -> Answer:
    """DELETE hog_flows/{id}/schedules/{schedule_id}/: 204."""
    del call.site.world.schedules[_one(call).id]
    return Answer(status=204)


def _of(call: Call, workflow: Workflow) -> list[Schedule]:
    rows = call.site.world.schedules.values()
    return [row for row in rows if row.workflow_id == workflow.id]


def _one(call: Call) -> Schedule:
    workflow = find(call)
    wanted = call.args["schedule_id"]
    if not is_uuid(wanted):
        raise errors.server_error()
    row = call.site.world.schedules.get(wanted)
    if row is None or row.workflow_id != workflow.id:
        raise errors.not_found("Schedule not found")
    return row


def _checked(call: Call, body: dict[str, Any], row: Schedule | None) -> dict[str, Any]:
    """The writable fields of a body, checked as a whole with what is stored."""
    given: dict[str, Any] = {}
    if "rrule" in body:
        given["rrule"] = fields.text(body["rrule"], "rrule", blank=False)
    if "starts_at" in body:
        given["starts_at"] = fields.time(body["starts_at"], "starts_at")
    if "timezone" in body:
        given["timezone"] = fields.text(body["timezone"], "timezone", blank=False)
    if "variables" in body:
        given["variables"] = body["variables"]
    rule = given.get("rrule", row.rrule if row else "")
    starts_at: datetime = given.get("starts_at", row.starts_at if row else call.now)
    zone = given.get("timezone", row.timezone if row else "UTC")
    if "rrule" in given:
        try:
            check_rule(rule)
        except (TypeError, ValueError):
            raise errors.bad_input("Invalid RRULE.", "rrule") from None
    try:
        sample = next_occurrences(rule, starts_at, zone, after=call.now, count=2)
    except (KeyError, ValueError):
        raise errors.bad_input("Invalid or unknown timezone.", "timezone") from None
    if not sample:
        raise errors.bad_input("Schedule produces no future occurrences.", "rrule")
    if len(sample) == 2 and sample[1] - sample[0] < timedelta(hours=1):
        raise errors.bad_input("Schedules must run at most once per hour.", "rrule")
    return given
