"""What `dg check yaml` and editors know of the YAML: the JSON schema of the records.

Facts: Dagster makes a component's schema from its model and reads YAML with it; a template may
stand for any value that is no mapping; one item of a list may stand alone.
"""

import functools
from collections.abc import Mapping
from typing import Annotated, Any

import dagster as dg
from pydantic import BaseModel, TypeAdapter, create_model, model_validator

_TEMPLATE = {"type": "string", "pattern": r"\{[{%]"}
_MODELS: dict[type, type["RawAttributes"]] = {}


class RawAttributes(BaseModel):
    """The attributes as YAML has them; they are read when the component is made."""

    raw: dict[str, Any] = {}

    @model_validator(mode="wrap")
    @classmethod
    def _kept(cls, value: Any, handler: Any) -> Any:
        return value if isinstance(value, cls) else cls.model_construct(raw=dict(value))


class _Resolved(dg.Resolvable, dg.Model):
    """A record that Dagster reads."""


@functools.cache
def other_fields(component: type[BaseModel], ours: frozenset[str]) -> type[_Resolved]:
    """A record of the component's other fields, which Dagster reads: its own, and those that a
    subclass adds."""
    others: dict[str, Any] = {
        name: (given.rebuild_annotation(), given)
        for name, given in component.model_fields.items()
        if name not in ours
    }
    return create_model(f"{component.__name__}Others", __base__=_Resolved, **others)


def attributes_model(component: type[BaseModel], ours: frozenset[str]) -> type[RawAttributes]:
    """The model of a component's attributes; `ours` are records of ours, or plain."""
    if component not in _MODELS:

        class Attributes(RawAttributes):
            __doc__ = component.__doc__

            @classmethod
            def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
                return _schema(component, ours)

        Attributes.__name__ = Attributes.__qualname__ = f"{component.__name__}Model"
        _MODELS[component] = Attributes
    return _MODELS[component]


def _schema(component: type[BaseModel], ours: frozenset[str]) -> dict[str, Any]:
    whole = other_fields(component, ours).model().model_json_schema()
    whole["title"] = component.__name__
    known = whole.setdefault("$defs", {})
    for name in ours:
        field = component.model_fields[name]
        hint: Any = (
            Annotated[(field.annotation, *field.metadata)] if field.metadata else (field.annotation)
        )
        made = TypeAdapter(hint).json_schema()
        known |= {key: _loose(one) for key, one in made.pop("$defs", {}).items()}
        described: dict[str, Any] = {}
        if field.description:
            described["description"] = field.description
        if field.examples:
            described["examples"] = field.examples
        whole["properties"][name] = {**_loose(made), **described}
    return whole


def _loose(given: Any) -> Any:
    """A schema that takes a template for each value, and one item for a list."""
    if not isinstance(given, Mapping):
        return given
    node: dict[str, Any] = dict(given)
    if "properties" in node:
        node["properties"] = {key: _loose(one) for key, one in node["properties"].items()}
        return {"anyOf": [node, {"type": "string"}]} if node.pop("x-or-text", False) else node
    for key in ("anyOf", "oneOf"):
        if key in node:
            node[key] = [_loose(one) for one in node[key]]
            return node
    if node.get("type") == "array":
        item: Any = _loose(node.get("items", {}))
        node |= {"items": item}
        named = {key: node.pop(key) for key in ("description", "default") if key in node}
        return {"anyOf": [node, item, _TEMPLATE], **named}
    if node.get("type") == "object":
        if isinstance(node.get("additionalProperties"), Mapping):
            node["additionalProperties"] = _loose(node["additionalProperties"])
        return node
    plain = node.get("type") == "string" and not {"enum", "pattern", "const"} & set(node)
    if "type" not in node or plain or node.get("type") == "null":
        return node
    named = {key: node.pop(key) for key in ("description", "default", "title") if key in node}
    return {"anyOf": [node, _TEMPLATE], **named}
