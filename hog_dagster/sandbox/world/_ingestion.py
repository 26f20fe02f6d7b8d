"""The ingestion endpoints: events by the project token, `$groupidentify` applied after a while.

Facts: PostHog's capture service. It takes any well-formed token and answers at once; what the token
is good for is decided later, in silence. Personal keys are refused.
"""

import base64
import binascii
import gzip
import json
import zlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call

if TYPE_CHECKING:
    from hog_dagster.sandbox.world._family_builders import FamilyBuilders

__all__ = ["PROJECT_TOKEN", "apply_due", "capture"]

PROJECT_TOKEN = "phc_sandbox"
MAX_BODY = 20 * 1024 * 1024
MAX_TYPES = 5


def capture(call: Call) -> Answer:
    """POST /batch/, /capture/, /e/, /i/v0/e/: ``api_key`` and one event or a batch of them."""
    if len(call.raw_body) > MAX_BODY:
        raise _plain(413, "event too big")
    body = _body(call)
    token = ""
    events: list[Any]
    if isinstance(body, list):
        events = body
        token = str(next((_token(item) for item in events if _token(item)), ""))
    else:
        token = _token(body) or ""
        events = body["batch"] if isinstance(body.get("batch"), list) else [body]
    if not token:
        raise _plain(401, "missing api_key: no project token in the request")
    if token.startswith("phx_"):
        raise _plain(401, "API key is not valid: personal_api_key")
    for event in events:
        if not isinstance(event, dict) or not event.get("event"):
            raise _plain(400, "event submitted with an empty event name")
        if not _distinct_id(event):
            raise _plain(400, "event submitted without a distinct_id")
    if token == PROJECT_TOKEN:
        state = call.site.world.families
        due = call.now + timedelta(seconds=state.ingestion_lag)
        for event in events:
            kept = {**event, "distinct_id": _distinct_id(event)}
            kept.setdefault("timestamp", call.now.isoformat())
            state.pending.append((due, kept))
    return Answer({"status": "Ok"})


def apply_due(world: "FamilyBuilders", now: datetime) -> None:
    """Let every captured event take effect whose time has come."""
    state = world.families
    due = [event for at, event in state.pending if at <= now]
    if not due:
        return
    state.pending = [item for item in state.pending if item[0] > now]
    seen = {event.uuid for event in state.events}
    rows: list[dict[str, Any]] = []
    for event in due:
        if event.get("uuid") in seen:
            continue
        if event["event"] == "$groupidentify":
            _identify(world, event.get("properties") or {}, now)
        rows.append(_row(event, now))
        seen.add(event.get("uuid") or "")
    world.add_events(rows)


def _identify(world: "FamilyBuilders", properties: dict[str, Any], now: datetime) -> None:
    """Merge ``$group_set`` into the group; a new type takes the next free index, of five.

    An event without a person profile is taken and changes nothing.
    """
    if properties.get("$process_person_profile") is False:
        return
    kind, key = properties.get("$group_type"), properties.get("$group_key")
    changes = properties.get("$group_set") or {}
    if not kind or key in (None, "") or not isinstance(changes, dict):
        return
    state = world.families
    row = next((item for item in state.group_types.values() if item.group_type == kind), None)
    if row is None:
        if len(state.group_types) >= MAX_TYPES:
            return
        row = world.add_group_type(str(kind), created_at=now)
    group = state.groups.get(f"{row.group_type_index}/{key}")
    if group is None:
        world.add_group(row.group_type_index, str(key), changes, created_at=now)
        return
    group.group_properties = {**group.group_properties, **changes}
    group.listed.append((now, dict(group.group_properties)))
    del group.listed[:-20]


def _row(event: dict[str, Any], now: datetime) -> dict[str, Any]:
    try:
        at = datetime.fromisoformat(str(event.get("timestamp")))
        at = at.astimezone(now.tzinfo) if at.tzinfo else at.replace(tzinfo=now.tzinfo)
    except ValueError:
        at = now
    properties = event.get("properties") or {}
    return {
        "event": event["event"],
        "timestamp": at,
        "distinct_id": event["distinct_id"],
        "uuid": event.get("uuid"),
        "properties": {k: v for k, v in properties.items() if k != "$set"},
        "person_properties": properties.get("$set") or event.get("$set") or {},
    }


def _token(body: Any) -> str | None:
    if not isinstance(body, dict):
        return None
    held = body.get("properties")
    inner = held.get("token") if isinstance(held, dict) else None
    return body.get("api_key") or body.get("token") or inner


def _distinct_id(event: dict[str, Any]) -> str | None:
    held = event.get("properties")
    inner = held.get("distinct_id") if isinstance(held, dict) else None
    found = event.get("distinct_id") or event.get("$distinct_id") or inner
    return None if found is None else str(found)


def _plain(status: int, text: str) -> errors.ApiError:
    return errors.ApiError(status, text.encode(), {"Content-Type": "text/plain; charset=utf-8"})


def _body(call: Call) -> Any:
    raw = call.raw_body
    packed = call.headers.get("content-encoding") == "gzip" or call.param("compression") in (
        "gzip",
        "gzip-js",
    )
    try:
        if packed or raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        elif call.param("compression") == "base64":
            raw = base64.b64decode(raw)
        body = json.loads(raw)
    except (ValueError, OSError, zlib.error, binascii.Error, EOFError):
        raise _plain(400, "failed to parse request") from None
    if not isinstance(body, dict | list):
        raise _plain(400, "failed to parse request")
    return body
