"""Writing groups: create, update and delete a property, the short-lived upsert.

Facts: PostHog's groups view of both generations. The row is stored first and the event captured
after it, so that a response that says failed may have changed the group; nothing locks the property
map.
"""

from datetime import timedelta
from typing import Any

from hog_dagster.sandbox.api import _fields as fields
from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._activity import log_activity
from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.api._groups import find_group, group_row
from hog_dagster.sandbox.engine import ingest
from hog_dagster.sandbox.world import Group

INT32 = 2**31
_TAKEN = "A group with this key already exists"


def create(call: Call) -> Answer:
    """POST groups/: 201 and the group. A duplicate is a 400; an unknown type a 404, after it."""
    body = call.object()
    index = _index(body)
    key = _key(body)
    properties = body.get("group_properties")
    properties = {} if properties is None else properties
    world = call.site.world
    ingest(world)
    if f"{index}/{key}" in world.groups:
        raise errors.bad_input(_TAKEN, "detail")
    group = world.add_group(index, key, properties, created_at=call.now, visible_at=_visible(call))
    _capture(call, group, "group create")
    for name, value in properties.items():
        _log(call, group, "create_group", name, "created", None, value)
    return Answer(group_row(group), status=201)


def update_property(call: Call) -> Answer:
    """POST groups/update_property/: ``{"key", "value"}`` of one group; 200 and the group."""
    group, body = find_group(call), call.object()
    key, value = body.get("key"), body.get("value")
    if not key:
        raise _field_required(call, "key")
    if value is None:
        raise _field_required(call, "value")
    known = key in group.group_properties
    before = group.group_properties.get(key)
    store(call, group, {**group.group_properties, key: value})
    _capture(call, group, f"group property {'update' if known else 'create'}")
    verb, action = ("update", "changed") if known else ("create", "created")
    _log(call, group, f"{verb}_property", key, action, before, value)
    return Answer(group_row(group))


def delete_property(call: Call) -> Answer:
    """POST groups/delete_property/: ``{"$unset": name}``; not idempotent."""
    group, body = find_group(call), call.object()
    key, newer = body.get("$unset"), call.site.newer
    if newer and not isinstance(key, str):
        raise errors.bad_input(
            "This field is required and must be a string (the property name to delete).", "$unset"
        )
    if not isinstance(key, str) or key not in group.group_properties:
        if newer:
            raise errors.bad_input(f"Property '{key}' does not exist on this group.", "$unset")
        raise errors.server_error()
    if newer:
        _type_name(call, group)
    before = group.group_properties[key]
    left = {name: value for name, value in group.group_properties.items() if name != key}
    store(call, group, left)
    _capture(call, group, "group property deletion", attr="$unset")
    _log(call, group, "update_property", key, "deleted", before, None)
    return Answer(group_row(group))


def upsert_properties(call: Call) -> Answer:
    """POST groups/upsert_properties/: on servers of one 14 days only; else no such endpoint."""
    if not call.site.world.upsert_properties:
        raise errors.endpoint_not_found()
    group, body = find_group(call), call.object()
    changes = body.get("group_properties")
    if not isinstance(changes, dict):
        raise errors.required("group_properties")
    held = group.group_properties
    store(call, group, {**held, **changes})
    _capture(call, group, "group properties upsert")
    for name, value in changes.items():
        verb = "changed" if name in held else "created"
        _log(call, group, "update_property", name, verb, held.get(name), value)
    return Answer(group_row(group))


def store(call: Call, group: Group, properties: dict[str, Any]) -> None:
    """Write a group's properties; lists of newer servers see them after the lag."""
    group.group_properties = properties
    group.listed.append((_visible(call), dict(properties)))
    del group.listed[:-20]


def _visible(call: Call) -> Any:
    return call.now + timedelta(seconds=call.site.world.groups_lag)


def _index(body: dict[str, Any]) -> int:
    fields.present(body, "group_type_index")
    return fields.integer(body["group_type_index"], "group_type_index", -INT32, INT32 - 1)


def _key(body: dict[str, Any]) -> str:
    fields.present(body, "group_key")
    return fields.text(body["group_key"], "group_key", 400, blank=False).strip()


def _field_required(call: Call, name: str) -> errors.ApiError:
    """Older servers answer with code and detail swapped."""
    if call.site.newer:
        return errors.bad_input("This field is required.", name)
    return errors.validation("This field is required.", "required", name)


def _type_name(call: Call, group: Group) -> str:
    row = call.site.world.group_types.get(group.group_type_index)
    if row is None:
        raise errors.not_found()
    return row.group_type


def _capture(call: Call, group: Group, operation: str, attr: str | None = None) -> None:
    """The event that follows a stored change: the part that can fail."""
    _type_name(call, group)
    failure = call.site.world.capture_failure
    if failure is None:
        return
    plain = isinstance(failure, str)
    kind = failure if plain else "capture_http_error"
    body: dict[str, Any] = {"attr": attr} if attr else {}
    body |= {"code": f"Failed to submit {operation} event.", "detail": kind, "type": kind}
    raise errors.ApiError(400 if isinstance(failure, str) else failure, body)


def _log(
    call: Call,
    group: Group,
    activity: str,
    name: str,
    action: str,
    before: Any,
    after: Any,
) -> None:
    change = {"type": "Group", "action": action, "field": None, "before": before, "after": after}
    log_activity(call, "Group", group.id, activity, str(name), [change])
