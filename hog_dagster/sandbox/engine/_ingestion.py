"""Captured events, applied some time after their request: `$groupidentify` changes its group."""

from datetime import datetime
from typing import Any

from hog_dagster.sandbox.world import World

MAX_TYPES = 5


def ingest(world: World) -> None:
    """Let every captured event take effect whose time has come."""
    with world.lock:
        _ingest(world, world.clock.now())


def _ingest(world: World, now: datetime) -> None:
    state = world
    due = [event for at, event in state.pending_events if at <= now]
    if not due:
        return
    state.pending_events = [item for item in state.pending_events if item[0] > now]
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


def _identify(world: World, properties: dict[str, Any], now: datetime) -> None:
    """Merge ``$group_set`` into the group; a new type takes the next free index, of five.

    An event without a person profile is taken and changes nothing.
    """
    if properties.get("$process_person_profile") is False:
        return
    kind, key = properties.get("$group_type"), properties.get("$group_key")
    changes = properties.get("$group_set") or {}
    if not kind or key in (None, "") or not isinstance(changes, dict):
        return
    state = world
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
