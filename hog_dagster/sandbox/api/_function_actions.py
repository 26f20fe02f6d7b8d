"""What hog functions can be made to do: test runs, broadcast, rearrange, icons, rerun, backfills,
masked secrets.

Facts: PostHog's hog function view of both generations, recorded answers, and the worker's API. What
really runs is kept in `World.function_sends`.
"""

import re
from contextlib import suppress
from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.api._function_drafts import snapshot
from hog_dagster.sandbox.api._function_inputs import MASK
from hog_dagster.sandbox.api._function_rows import CONTENT, detail, find, live
from hog_dagster.sandbox.api._function_validation import check_function
from hog_dagster.sandbox.api._list_filters import bad_filters_refused
from hog_dagster.sandbox.api._runs import DISABLED, queue
from hog_dagster.sandbox.engine import audience
from hog_dagster.sandbox.world import FUNCTION, FunctionSend, HogFunction, is_uuid, thrown

RERUNNABLE = ("destination", "internal_destination")
_ORDERED = ("transformation", "transformation_log")
_ICONS = {"slack.com": "Slack", "hubspot.com": "HubSpot", "zapier.com": "Zapier"}
#: A transparent image of one pixel.
_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6300010000"
    "050001 0d0a2db40000000049454e44ae426082".replace(" ", "")
)


def invocations(call: Call) -> Answer:
    """POST hog_functions/{id}/invocations/: run a configuration once, mocked unless told otherwise.

    An unknown id is no 404: the configuration runs as that of a new function. A function that fails
    is a 200 with ``status: "error"``.
    """
    body, newer = call.object(), call.site.newer
    row: HogFunction | None = None
    with suppress(errors.ApiError):
        row = find(call)
    configuration = body.get("configuration")
    if newer and body.get("use_draft"):
        configuration = _draft_configuration(call, row)
    elif "configuration" not in body:
        if newer:
            raise errors.bad_input("Required unless use_draft is true.", "configuration")
        raise errors.raw_fields({"configuration": ["This field is required."]})
    if not isinstance(configuration, dict):
        words = f"Invalid data. Expected a dictionary, but got {type(configuration).__name__}."
        raise errors.raw_fields({"configuration": {"non_field_errors": [words]}})
    try:
        checked = check_function(
            configuration,
            row,
            newer=newer,
            peers=[],
            create=row is None,
            log_transformations=True,
        )
    except errors.ApiError as error:
        raise errors.raw_fields({"configuration": _nested(error)}) from None
    event = body.get("clickhouse_event") or body.get("globals")
    if isinstance(event, dict) and not body.get("clickhouse_event"):
        event = event.get("event")
    if not isinstance(event, dict):
        raise _refused(call, "Missing event")
    wanted = body.get("invocation_id")
    if wanted is not None and not is_uuid(wanted):
        raise _refused(call, "Invalid invocation ID")
    kind = checked.fields.get("type")
    if kind in ("site_destination", "site_app"):
        raise _refused(call, "Unsupported function type")
    fields = {**(snapshot(row) if row else {}), **checked.fields}
    mocked = body.get("mock_async_functions", True)
    return Answer(_test_run(call, row, fields, event, mocked=bool(mocked)))


def _test_run(
    call: Call,
    row: HogFunction | None,
    fields: dict[str, Any],
    event: dict[str, Any],
    *,
    mocked: bool,
) -> dict[str, Any]:
    source, kind = str(fields.get("hog") or ""), fields.get("type")
    logs: list[dict[str, Any]] = []

    def ended(status: str, result: Any = None, *faults: str) -> dict[str, Any]:
        return {"result": result, "status": status, "errors": [*faults], "logs": logs}

    def say(level: str, message: str) -> None:
        stamp = call.now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{call.now.microsecond // 1000:03}Z"
        logs.append({"level": level, "timestamp": stamp, "message": message})

    names = [item.get("id") for item in (fields.get("filters") or {}).get("events") or []]
    if names and event.get("event") not in names and None not in names:
        say("info", "Mapping trigger not matching filters was ignored.")
        return ended("skipped")
    native = str(fields.get("template_id") or "").startswith(("native-", "segment-"))
    failure = thrown(source)
    if "fetch(" in source and failure is None:
        if mocked and not native:
            say("info", "Async function 'fetch' was mocked with arguments:")
            url = (fields.get("inputs") or {}).get("url", {}).get("value", "")
            say("info", f"fetch('{url}', ...)")
        else:
            _send(call, row.id if row else "new", "test", str(event.get("distinct_id") or ""))
    if failure is not None:
        say("error", f"Error executing function on event {event.get('uuid')}: Error('{failure}')")
        return ended("error", None, failure)
    say("info", "Function completed in 1.2ms. Sync: 1ms. Mem: 100 bytes. Ops: 10.")
    result = None
    if kind in _ORDERED and not re.fullmatch(r"\s*return\s+null;?\s*", source):
        result = event
    return ended("success", result)


def _draft_configuration(call: Call, row: HogFunction | None) -> dict[str, Any]:
    if row is None or not row.draft:
        raise errors.bad_input("This function has no staged draft to test.", "use_draft")
    whole = detail(call, row)
    configuration = {**whole, **{name: row.draft[name] for name in CONTENT if name in row.draft}}
    inputs = dict(configuration.get("inputs") or {})
    for item in configuration["inputs_schema"]:
        if item.get("secret") and row.secrets.get(item["key"]):
            inputs[item["key"]] = {"secret": True}
    inputs.update(row.draft_secrets or {})
    return {**configuration, "inputs": inputs}


def _nested(error: errors.ApiError) -> Any:
    """An error of the configuration as DRF's own nested dict of lists."""
    body: Any = [error.body["detail"]]
    for part in reversed((error.body["attr"] or "non_field_errors").split("__")):
        body = {part: body}
    return body


def _refused(call: Call, message: str) -> errors.ApiError:
    """The worker's refusal: older servers lose its words."""
    body: dict[str, Any] = {"status": "error"}
    if call.site.newer:
        body["errors"] = [message]
    return errors.ApiError(400, body)


def _send(call: Call, function_id: str, kind: str, target: str) -> None:
    call.site.world.function_sends.append(
        FunctionSend(function_id=function_id, at=call.now, kind=kind, target=target)
    )


def broadcast(call: Call) -> Answer:
    """POST hog_functions/{id}/broadcast/ (older servers): really runs once per matching person."""
    row = find(call)
    if not row.enabled:
        raise errors.plain_error(400, "Cannot broadcast: function is disabled")
    with bad_filters_refused():
        people = audience(call.site.world.people, row.filters)
    for person in people:
        _send(call, row.id, "broadcast", person.distinct_id)
    return Answer({"success": True})


def rerun(call: Call) -> Answer:
    """POST hog_functions/{id}/rerun/ (newer servers): the counts of the response are always 0."""
    row = find(call)
    if row.type not in RERUNNABLE:
        raise errors.rerun_failed(400, f"Re-runs aren't supported for '{row.type}' functions.")
    if not row.enabled:
        raise errors.bad_input(DISABLED)
    return queue(call, FUNCTION, row.id)


def rearrange(call: Call) -> Answer:
    """PATCH hog_functions/rearrange/: all or nothing; answers all live functions of the type."""
    orders = call.object().get("orders") or {}
    if not orders:
        raise errors.bad_input("No orders provided")
    if not isinstance(orders, dict) or not all(is_uuid(key) for key in orders):
        raise errors.server_error()
    kinds = _ORDERED if call.site.newer else _ORDERED[:1]
    rows = {row.id: row for row in live(call) if row.type in kinds}
    missing = [key for key in orders if key.lower() not in rows]
    if missing:
        raise errors.bad_input(f"HogFunction with id {missing[0]} does not exist")
    found = {rows[key.lower()].type for key in orders}
    if len(found) > 1:
        raise errors.bad_input("Cannot rearrange functions of different types in one request")
    if not all(_storable(value) for value in orders.values()):
        raise errors.server_error()
    for key, value in orders.items():
        row = rows[key.lower()]
        if row.execution_order != value:
            row.execution_order, row.updated_at = int(value), call.now
    kind = found.pop()
    shown = [row for row in live(call) if row.type == kind]
    shown.sort(key=lambda row: row.execution_order or 0)
    return Answer([detail(call, row) for row in shown])


def _storable(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 32767


def icons(call: Call) -> Answer:
    """GET hog_functions/icons/?query=: brands, or nothing without a query."""
    term = (call.param("query") or "").lower()
    found = [(id, name) for id, name in _ICONS.items() if term and term in f"{id} {name}".lower()]
    url = "/api/projects/@current/hog_functions/icon/?id="
    return Answer([{"id": id, "name": name, "url": url + id} for id, name in found])


def icon(call: Call) -> Answer:
    """GET hog_functions/icon/?id=: image bytes."""
    id = call.param("id")
    if not id:
        raise errors.bad_input("id is required")
    if id not in _ICONS:
        raise errors.not_found()
    headers = {"Content-Type": "image/png"}
    if call.site.newer:
        headers["Cache-Control"] = "public, max-age=86400"
    return Answer(_PIXEL, headers=headers)


def enable_backfills(call: Call) -> Answer:
    """POST hog_functions/{id}/enable_backfills/ (newer servers; closed to keys)."""
    row = find(call)
    if row.batch_export_id:
        raise errors.plain_error(400, "Backfills already enabled for this function")
    if row.type != "destination":
        raise errors.plain_error(400, "Backfills are only supported for destination functions.")
    if row.filters.get("source", "events") != "events":
        raise errors.plain_error(
            400, "Backfills are only supported for event-sourced destinations."
        )
    row.batch_export_id = call.site.world.ids.row(call.now)
    return Answer({"batch_export_id": row.batch_export_id})


def masked_secrets(call: Call) -> Answer:
    """GET hog_functions/masked_secrets/: functions that hold the mask in place of a secret."""
    found: list[dict[str, Any]] = []
    for row in sorted(live(call), key=lambda item: item.updated_at, reverse=True):
        keys, staged = _masked_keys(row.secrets), _masked_keys(row.draft_secrets or {})
        if keys or staged:
            about = {"id": row.id, "name": row.name or "", "type": row.type or ""}
            held = {"enabled": row.enabled, "input_keys": keys, "draft_input_keys": staged}
            found.append({**about, **held})
    return Answer(found)


def _masked_keys(secrets: dict[str, Any]) -> list[str]:
    return sorted(key for key, item in secrets.items() if item.get("value") == MASK)
