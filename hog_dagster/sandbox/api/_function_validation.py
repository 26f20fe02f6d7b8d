"""What the server checks in a hog function's body, in its order and in its words.

Facts: PostHog's hog function serializers of both generations and recorded 400 answers. A change of
metadata alone checks the stored inputs and filters again.
"""

from dataclasses import dataclass, field
from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._function_inputs import check_inputs, check_schema
from hog_dagster.sandbox.world import (
    HogError,
    HogFunction,
    compile_filters,
    compile_hog,
    compile_template,
    find_template,
    reserved_functions,
)

__all__ = ["Checked", "check_function"]

TYPES = (
    "destination",
    "site_destination",
    "internal_destination",
    "source_webhook",
    "warehouse_source_webhook",
    "site_app",
    "transformation",
)
NEWER_TYPES = ("transformation_log",)
SOURCES = ("events", "person-updates", "data-warehouse-table")
NEWER_SOURCES = ("data-warehouse-view",)
JAVASCRIPT = ("site_destination", "site_app")
MAX_HOG = 100 * 1024
CAPS = {"transformation": (20, "transformation"), "transformation_log": (5, "log transformation")}


@dataclass
class Checked:
    """A body that passed: the fields to write, secrets apart."""

    fields: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, Any] = field(default_factory=dict)
    supplied: set[str] = field(default_factory=set)


def check_function(
    body: dict[str, Any],
    instance: HogFunction | None,
    *,
    newer: bool,
    peers: list[HogFunction],
    create: bool = True,
    log_transformations: bool = False,
) -> Checked:
    """The fields that a body would write, or the 400 that the server answers.

    Args:
        instance: the stored function of an update, None for a create or for one that is unknown.
        peers: the live functions of the project, for the cap on transformations.
        create: whether the source is required, as for a create or a test run.
    """
    data = dict(body)
    kind = data.get("type", instance.type if instance else "destination")
    template_id = instance.template_id if instance else data.get("template_id")
    template = _template(template_id, create=create and instance is None, newer=newer)
    if create and instance is None and template is not None:
        for name, source in (("hog", "code"), ("inputs_schema", "inputs_schema")):
            data[name] = data.get(name) or template[source]
        for name in ("icon_url", "description", "name"):
            data[name] = data.get(name) or template[name]
    schema = data.get("inputs_schema", instance.inputs_schema if instance else [])
    given = data.get("inputs", instance.inputs if instance else {})
    filters = data.get("filters", instance.filters if instance else {}) or {}
    enabled = _flag(data, "enabled", instance.enabled if instance else False)
    deleted = _flag(data, "deleted", False)
    _type(kind, instance, newer=newer)
    fields = _plain(data)
    schema = check_schema(schema, newer=newer)
    stored = instance.secrets if instance else {}
    inputs, secrets, supplied = check_inputs(given, schema, stored, newer=newer)
    fields["type"] = kind
    fields["inputs_schema"], fields["inputs"] = schema, inputs
    fields["filters"] = _filters(filters, kind, will_run=enabled and not deleted, newer=newer)
    if "masking" in data:
        fields["masking"] = _masking(data["masking"])
    if data.get("mappings") is not None:
        fields["mappings"] = _mappings(data["mappings"], newer=newer)
    elif "mappings" in data:
        fields["mappings"] = None
    fields["template_id"] = template_id
    if data.get("execution_order") is not None:
        fields["execution_order"] = _order(data["execution_order"])
    if newer and create and kind == "transformation_log" and not log_transformations:
        raise errors.bad_input("Log transformations are not enabled for this team.", "type")
    _cap(kind, enabled, deleted, instance, peers)
    if fields.get("mappings") is not None:
        fields["filters"].pop("events", None)
        fields["filters"].pop("actions", None)
        if kind not in ("site_destination", "destination"):
            raise errors.bad_input("Mappings are only allowed for destinations.", "mappings")
    if data.get("hog") is not None:
        _source(fields, str(data["hog"]), kind, template, newer=newer)
    if create and not fields.get("hog"):
        raise errors.bad_input("Required.", "hog")
    return Checked(fields, secrets, supplied)


def _template(template_id: Any, *, create: bool, newer: bool) -> dict[str, Any] | None:
    if not template_id:
        return None
    template = find_template(template_id)
    if template is None:
        raise errors.bad_input(f"No template found for id '{template_id}'", "template_id")
    if newer and create and template["status"] == "hidden":
        raise errors.bad_input(
            f"Template '{template_id}' is internal and cannot be used to create a function.",
            "template_id",
        )
    return template


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if "name" in data:
        fields["name"] = None if data["name"] is None else _text(data["name"], "name", 400)
    if "description" in data:
        fields["description"] = _text(data["description"], "description", None)
    if "icon_url" in data:
        fields["icon_url"] = data["icon_url"]
    for name in ("enabled", "deleted"):
        if name in data:
            fields[name] = _flag(data, name, False)
    if "hog" in data:
        _text(data["hog"], "hog", None)
    return fields


def _text(value: Any, attr: str, length: int | None) -> str:
    if value is None:
        raise errors.validation("null", "This field may not be null.", attr)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise errors.bad_input("Not a valid string.", attr)
    text = str(value)
    if length is not None and len(text) > length:
        raise errors.validation(
            "max_length", f"Ensure this field has no more than {length} characters.", attr
        )
    return text


def _flag(data: dict[str, Any], name: str, default: bool) -> bool:
    value = data.get(name)
    if value is None:
        return default
    if value in (True, False) or str(value).lower() in ("true", "false"):
        return value is True or str(value).lower() in ("true", "1")
    raise errors.bad_input("Must be a valid boolean.", name)


def _order(value: Any) -> int:
    if isinstance(value, bool) or not str(value).lstrip("-").isdigit():
        raise errors.bad_input("A valid integer is required.", "execution_order")
    order = int(value)
    if order < 0:
        raise errors.validation(
            "min_value", "Ensure this value is greater than or equal to 0.", "execution_order"
        )
    if order > 32767:
        raise errors.validation(
            "max_value", "Ensure this value is less than or equal to 32767.", "execution_order"
        )
    return order


def _type(kind: Any, instance: HogFunction | None, *, newer: bool) -> None:
    if kind is None:
        return
    if kind not in TYPES and not (newer and kind in NEWER_TYPES):
        raise errors.invalid_choice(kind, "type")
    if newer and kind == "warehouse_source_webhook":
        raise errors.bad_input(
            "Cannot create or modify warehouse source webhook functions via this API.", "type"
        )
    if instance is not None and instance.type != kind:
        raise errors.bad_input("Cannot modify the type of an existing function", "type")


def _filters(filters: Any, kind: Any, *, will_run: bool, newer: bool) -> dict[str, Any]:
    if not isinstance(filters, dict):
        raise errors.bad_input(
            f"Invalid data. Expected a dictionary, but got {type(filters).__name__}.",
            "filters__non_field_errors",
        )
    source = filters.get("source", "events")
    if source not in SOURCES and not (newer and source in NEWER_SOURCES):
        raise errors.invalid_choice(source, "filters__source")
    for name in ("actions", "events", "properties", "data_warehouse"):
        if name in filters and not isinstance(filters[name], list):
            raise errors.validation(
                "not_a_list",
                f'Expected a list of items but got type "{type(filters[name]).__name__}".',
                f"filters__{name}",
            )
    if newer and source == "data-warehouse-view" and will_run and not filters.get("data_warehouse"):
        raise errors.bad_input("Select the materialized view to trigger on.", "filters")
    kept = dict(filters)
    if source == "person-updates" or source.startswith("data-warehouse"):
        kept.pop("events", None)
        kept.pop("actions", None)
    if kind in JAVASCRIPT:
        kept.pop("bytecode", None)
        return {"source": source, **kept, "transpiled": {"lang": "ts", "code": "true", "stl": []}}
    return compile_filters(kept)


def _masking(masking: Any) -> dict[str, Any] | None:
    if masking is None:
        return None
    if not isinstance(masking, dict):
        raise errors.bad_input(
            f"Invalid data. Expected a dictionary, but got {type(masking).__name__}.",
            "masking__non_field_errors",
        )
    if "ttl" not in masking:
        raise errors.required("masking__ttl")
    ttl = masking["ttl"]
    if isinstance(ttl, bool) or not isinstance(ttl, int):
        raise errors.bad_input("A valid integer is required.", "masking__ttl")
    if ttl < 60:
        raise errors.validation(
            "min_value", "Ensure this value is greater than or equal to 60.", "masking__ttl"
        )
    if ttl > 86400:
        raise errors.validation(
            "max_value", "Ensure this value is less than or equal to 86400.", "masking__ttl"
        )
    if "hash" not in masking:
        raise errors.required("masking__hash")
    return {**masking, "bytecode": compile_template(masking["hash"])}


def _mappings(mappings: Any, *, newer: bool) -> list[dict[str, Any]]:
    if not isinstance(mappings, list):
        raise errors.validation(
            "not_a_list",
            f'Expected a list of items but got type "{type(mappings).__name__}".',
            "mappings",
        )
    kept: list[dict[str, Any]] = []
    for item in mappings:
        schema = check_schema(item.get("inputs_schema") or [], newer=newer)
        inputs, _, _ = check_inputs(item.get("inputs") or {}, schema, {}, newer=newer)
        filters = compile_filters(item.get("filters") or {})
        kept.append({**item, "inputs_schema": schema, "inputs": inputs, "filters": filters})
    return kept


def _cap(
    kind: Any,
    enabled: bool,
    deleted: bool,
    instance: HogFunction | None,
    peers: list[HogFunction],
) -> None:
    if kind not in CAPS or not enabled or deleted:
        return
    if instance is not None and instance.enabled and not instance.deleted:
        return
    most, name = CAPS[kind]
    if sum(row.type == kind and row.enabled for row in peers) >= most:
        raise errors.bad_input(
            f"Maximum of {most} enabled {name} functions allowed per team. Please contact support "
            "if you need this limit increased, or disable some existing ones.",
            "type",
        )


def _source(fields: dict[str, Any], source: str, kind: Any, template: Any, *, newer: bool) -> None:
    if len(source.encode()) > MAX_HOG:
        raise errors.bad_input(
            f"HOG code exceeds maximum size of {MAX_HOG // 1024}KB. Please simplify your code or "
            "contact support if you need this limit increased.",
            "hog",
        )
    fields["hog"] = source
    if kind in JAVASCRIPT:
        fields["bytecode"], fields["transpiled"] = None, f"(function () {{ {source} }})"
        return
    try:
        fields["bytecode"], fields["transpiled"] = compile_hog(source), None
        used = reserved_functions(source) if newer else set()
    except HogError:
        raise errors.bad_input("Hog code has errors.", "hog") from None
    used -= reserved_functions(template["code"]) if template else set()
    if used:
        raise errors.bad_input(
            "Reserved for PostHog's own use and not callable from a function's code: "
            f"{', '.join(sorted(used))}. Use the matching workflow step or destination template "
            "instead.",
            "hog",
        )
