"""What the server checks in a hog function's body, in its order and in its words.

Facts: PostHog's hog function serializers of both generations and recorded 400 answers. A change of
metadata alone checks the stored inputs and filters again.
"""

from dataclasses import dataclass, field
from typing import Any

from hog_dagster.sandbox.api import _fields as fields
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

TYPES = (
    *("destination", "site_destination", "internal_destination", "source_webhook"),
    *("warehouse_source_webhook", "site_app", "transformation"),
)
NEWER_TYPES = (*TYPES, "transformation_log")
SOURCES = ("events", "person-updates", "data-warehouse-table")
NEWER_SOURCES = (*SOURCES, "data-warehouse-view")
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

    `instance` is the stored function of an update; `peers` are the live functions, for the cap on
    transformations; with `create` the source is required.
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
    kept = _plain(data)
    schema = check_schema(schema, newer=newer)
    stored = instance.secrets if instance else {}
    inputs, secrets, supplied = check_inputs(given, schema, stored, newer=newer)
    kept["type"] = kind
    kept["inputs_schema"], kept["inputs"] = schema, inputs
    kept["filters"] = _filters(filters, kind, will_run=enabled and not deleted, newer=newer)
    if "masking" in data:
        kept["masking"] = _masking(data["masking"])
    if "mappings" in data:
        held = data["mappings"]
        kept["mappings"] = None if held is None else _mappings(held, newer=newer)
    kept["template_id"] = template_id
    if data.get("execution_order") is not None:
        order = fields.integer(data["execution_order"], "execution_order", 0, 32767)
        kept["execution_order"] = order
    if newer and create and kind == "transformation_log" and not log_transformations:
        raise errors.bad_input("Log transformations are not enabled for this team.", "type")
    _cap(kind, enabled, deleted, instance, peers)
    if kept.get("mappings") is not None:
        kept["filters"].pop("events", None)
        kept["filters"].pop("actions", None)
        if kind not in ("site_destination", "destination"):
            raise errors.bad_input("Mappings are only allowed for destinations.", "mappings")
    if data.get("hog") is not None:
        _source(kept, str(data["hog"]), kind, template, newer=newer)
    if create and not kept.get("hog"):
        raise errors.bad_input("Required.", "hog")
    return Checked(kept, secrets, supplied)


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
    kept: dict[str, Any] = {}
    if "name" in data:
        kept["name"] = None if data["name"] is None else fields.text(data["name"], "name", 400)
    if "description" in data:
        kept["description"] = fields.text(data["description"], "description")
    if "icon_url" in data:
        kept["icon_url"] = data["icon_url"]
    for name in ("enabled", "deleted"):
        if name in data:
            kept[name] = _flag(data, name, False)
    if "hog" in data:
        fields.text(data["hog"], "hog")
    return kept


def _flag(data: dict[str, Any], name: str, default: bool) -> bool:
    value = data.get(name)
    return default if value is None else fields.boolean(value, name)


def _type(kind: Any, instance: HogFunction | None, *, newer: bool) -> None:
    if kind is None:
        return
    fields.choice(kind, NEWER_TYPES if newer else TYPES, "type")
    if newer and kind == "warehouse_source_webhook":
        raise errors.bad_input(
            "Cannot create or modify warehouse source webhook functions via this API.", "type"
        )
    if instance is not None and instance.type != kind:
        raise errors.bad_input("Cannot modify the type of an existing function", "type")


def _filters(filters: Any, kind: Any, *, will_run: bool, newer: bool) -> dict[str, Any]:
    kept = dict(fields.nested(filters, "filters"))
    source = kept.get("source", "events")
    if source not in (NEWER_SOURCES if newer else SOURCES):
        raise errors.invalid_choice(source, "filters__source")
    for name in ("actions", "events", "properties", "data_warehouse"):
        if name in kept:
            fields.list_of(kept[name], f"filters__{name}")
    if newer and source == "data-warehouse-view" and will_run and not kept.get("data_warehouse"):
        raise errors.bad_input("Select the materialized view to trigger on.", "filters")
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
    fields.present(fields.nested(masking, "masking"), "ttl", attr="masking")
    fields.integer(masking["ttl"], "masking__ttl", 60, 86400)
    fields.present(masking, "hash", attr="masking")
    return {**masking, "bytecode": compile_template(masking["hash"])}


def _mappings(mappings: Any, *, newer: bool) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for item in fields.list_of(mappings, "mappings"):
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


def _source(kept: dict[str, Any], source: str, kind: Any, template: Any, *, newer: bool) -> None:
    if len(source.encode()) > MAX_HOG:
        raise errors.bad_input(
            f"HOG code exceeds maximum size of {MAX_HOG // 1024}KB. Please simplify your code or "
            "contact support if you need this limit increased.",
            "hog",
        )
    kept["hog"] = source
    if kind in JAVASCRIPT:
        kept["bytecode"], kept["transpiled"] = None, f"(function () {{ {source} }})"
        return
    try:
        kept["bytecode"], kept["transpiled"] = compile_hog(source), None
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
