"""The fields that PostHog's public schema requires of a response, where the schema is right.

A shape is a mapping of field to kind: str, int, num, bool, time, obj, list or any; a question mark
at the end allows null. Fields that a shape does not name may be there too.
"""

from typing import Any

__all__ = ["SHAPES", "array_of", "page_of", "schema_of"]

_KINDS: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "num": {"type": "number"},
    "bool": {"type": "boolean"},
    "time": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$"},
    "obj": {"type": "object"},
    "list": {"type": "array"},
    "any": {},
}

SHAPES: dict[str, dict[str, str]] = {
    "user": {
        "id": "int",
        "uuid": "str",
        "distinct_id": "str?",
        "first_name": "str",
        "last_name": "str",
        "email": "str",
        "is_email_verified": "bool?",
        "hedgehog_config": "obj?",
        "role_at_organization": "any",
    },
    "hog function row": {
        "id": "str",
        "type": "str?",
        "name": "str?",
        "description": "str",
        "created_at": "time",
        "created_by": "user?",
        "updated_at": "time",
        "enabled": "bool",
        "hog": "str",
        "filters": "obj?",
        "icon_url": "str?",
        "template": "template?",
        "status": "status?",
        "execution_order": "int?",
    },
    "hog function": {
        "id": "str",
        "type": "str?",
        "name": "str?",
        "description": "str",
        "created_at": "time",
        "created_by": "user?",
        "updated_at": "time",
        "enabled": "bool",
        "hog": "str",
        "bytecode": "any",
        "transpiled": "str?",
        "inputs_schema": "list",
        "inputs": "obj",
        "filters": "obj",
        "masking": "obj?",
        "mappings": "list?",
        "icon_url": "str?",
        "template": "template?",
        "status": "status?",
        "execution_order": "int?",
    },
    "status": {"state": "int", "tokens": "int"},
    "template": {
        "id": "str",
        "name": "str",
        "description": "str?",
        "code": "str",
        "code_language": "str",
        "inputs_schema": "list",
        "type": "str",
        "status": "str",
        "category": "list",
        "free": "bool",
        "icon_url": "str?",
        "filters": "any",
        "masking": "any",
        "mapping_templates": "list?",
    },
    "group": {
        "group_type_index": "int",
        "group_key": "str",
        "group_properties": "obj",
        "created_at": "time",
    },
    "group type": {
        "group_type": "str",
        "group_type_index": "int",
        "name_singular": "str?",
        "name_plural": "str?",
        "detail_dashboard": "int?",
        "default_columns": "list?",
    },
    "usage metric": {
        "id": "str",
        "name": "str",
        "format": "str",
        "interval": "int",
        "display": "str",
        "filters": "obj",
        "math": "str",
        "math_property": "str?",
    },
    "insight basics": {
        "id": "int",
        "short_id": "str",
        "name": "str?",
        "derived_name": "str?",
        "query": "obj?",
        "dashboards": "list",
        "dashboard_tiles": "list",
        "description": "str?",
        "last_refresh": "time?",
        "tags": "list",
        "updated_at": "time",
        "created_by": "user?",
        "created_at": "time",
        "last_modified_at": "time",
        "favorited": "bool",
        "user_access_level": "str?",
    },
    "insight": {
        "id": "int",
        "short_id": "str",
        "query": "obj?",
        "order": "int?",
        "deleted": "bool",
        "cache_target_age": "time?",
        "next_allowed_client_refresh": "time?",
        "result": "any",
        "hasMore": "bool?",
        "columns": "list?",
        "created_by": "user?",
        "last_modified_by": "user?",
        "is_sample": "bool",
        "effective_restriction_level": "int",
        "effective_privilege_level": "int",
        "timezone": "str?",
        "is_cached": "bool",
        "query_status": "obj?",
        "hogql": "str?",
        "types": "list?",
    },
    "workflow": {
        "id": "str",
        "name": "str?",
        "description": "str",
        "version": "int",
        "status": "str",
        "created_at": "time",
        "created_by": "user?",
        "updated_at": "time",
        "trigger": "any",
        "trigger_masking": "obj?",
        "conversion": "any",
        "exit_condition": "str",
        "edges": "any",
        "actions": "any",
        "abort_action": "str?",
        "variables": "list?",
        "billable_action_types": "list?",
    },
    "batch job": {
        "id": "str",
        "status": "str",
        "hog_flow": "str",
        "filters": "obj",
        "variables": "obj",
        "created_at": "time",
        "created_by": "user?",
        "updated_at": "time",
    },
    "schedule": {
        "id": "str",
        "rrule": "str",
        "starts_at": "time",
        "timezone": "str",
        "variables": "obj",
        "status": "str",
        "next_run_at": "time?",
        "created_at": "time",
        "updated_at": "time",
    },
    "log entry": {
        "log_source_id": "str",
        "instance_id": "str",
        "timestamp": "time",
        "level": "str",
        "message": "str",
    },
    "metrics": {"labels": "list", "series": "list"},
    "totals": {"totals": "obj"},
    "query status": {
        "id": "str",
        "team_id": "int",
        "query_async": "bool",
        "complete": "bool",
        "error": "bool",
        "error_message": "str?",
        "start_time": "time?",
        "end_time": "time?",
        "expiration_time": "time?",
        "results": "any",
    },
}


def _kind(name: str) -> dict[str, Any]:
    plain = name.removesuffix("?")
    found = _KINDS.get(plain) or schema_of(plain) if plain != "any" else {}
    if plain == name:
        return found
    return {"anyOf": [found, {"type": "null"}]}


def schema_of(shape: str) -> dict[str, Any]:
    """The JSON Schema of a shape."""
    fields = SHAPES[shape]
    return {
        "type": "object",
        "required": list(fields),
        "properties": {name: _kind(kind) for name, kind in fields.items()},
    }


def array_of(shape: str) -> dict[str, Any]:
    """The JSON Schema of a bare array with at least one row."""
    return {"type": "array", "minItems": 1, "items": schema_of(shape)}


def page_of(shape: str, *, counted: bool = True) -> dict[str, Any]:
    """The JSON Schema of a page with at least one row."""
    link = {"type": ["string", "null"], "pattern": "^http://"}
    fields: dict[str, Any] = {"next": link, "previous": link, "results": array_of(shape)}
    if counted:
        fields["count"] = {"type": "integer"}
    return {"type": "object", "required": list(fields), "properties": fields}
