"""How a component is made of its YAML: our fields by our records, the others by Dagster.

Facts: Dagster asks a component for the model of its attributes, validates them with it, and hands
the model back with the context of templates and positions.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import dagster as dg
from dagster.components.resolved.base import resolve_fields
from pydantic import BaseModel, TypeAdapter, ValidationError

from hog_dagster.components._records import Partitions
from hog_dagster.components._schema import RawAttributes, attributes_model, other_fields
from hog_dagster.components._yaml import Source, explain, is_template, read_fields
from hog_dagster.policies import unknown_field

#: Fields whose values Dagster reads.
_DAGSTERS = frozenset({"op", "translation", "defs_state"})


def own_fields(kind: Any) -> frozenset[str]:
    """The fields that we read; the others are Dagster's, or a subclass's."""
    first = next(one for one in kind.__mro__ if YamlSettings in one.__bases__)
    return frozenset(first.model_fields) - _DAGSTERS


if TYPE_CHECKING:

    class _Component(dg.Model, dg.Resolvable):
        """What it stands before."""
else:
    _Component = object


class YamlSettings(_Component):
    """Makes a component of its YAML; stands before Dagster's own bases."""

    _source: Source

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The attributes as YAML has them; their schema is that of the records."""
        return attributes_model(cls, own_fields(cls))

    @classmethod
    def resolve_from_model(cls, context: dg.ResolutionContext, model: BaseModel) -> Self:
        """The component of its attributes; a YamlError with a line for each thing that is wrong."""
        if not isinstance(model, RawAttributes):
            return super().resolve_from_model(context, model)
        source, own = Source(context), own_fields(cls)
        for name in model.raw:
            if name not in cls.model_fields:
                source.problem((name,), unknown_field(name, cls.model_fields))
        key = model.raw.get("api_key")
        if isinstance(key, str) and key.strip() and not {"{", "$"} & {*key}:
            source.note(
                ("api_key",),
                "api_key is a literal: anybody who reads this file has the key; write "
                "'{{ env.POSTHOG_API_KEY }}'.",
            )
        ours = {name: value for name, value in model.raw.items() if name in own}
        values = read_fields(cls, ours, source)
        for name in ("ca_file", "client_certificate"):
            if (file := values.get(name)) and not Path(file).expanduser().is_file():
                source.note(
                    (name,), f"{name} names no file here, without which PostHog is not reached."
                )
        if not values.get("partitions", Partitions()).start_date:
            source.note(
                ("partitions",),
                "partitions.start_date is not given, so the first partition moves each month and "
                f"days that were loaded leave: write start_date: '{Partitions().day}'.",
            )
        others = _others(cls, model.raw, own, source)
        if source.problems:
            source.end()
        if others is not None:
            values |= resolve_fields(others, other_fields(cls, own), context)
        try:
            made = cls(**values)
        except ValidationError as error:
            for one in error.errors(include_url=False):
                at = [part for part in one["loc"] if isinstance(part, str | int)][:1]
                text = str(one.get("ctx", {}).get("error", one["msg"]))
                source.problem(at or ["batch_jobs"], text)
            source.end()
            raise
        made._source = source
        return made


def _others(
    kind: Any, raw: Mapping[str, Any], own: frozenset[str], source: Source
) -> BaseModel | None:
    """The fields that Dagster reads, checked; None where none is given."""
    given = {
        name: value for name, value in raw.items() if name in kind.model_fields and name not in own
    }
    if not given:
        return None
    model: Any = other_fields(kind, own).model()
    try:
        made = TypeAdapter(model).validate_python(given)
    except ValidationError as error:
        # Each of them may be a template, so that pydantic also says that it is no text.
        wrong = [
            one for one in error.errors(include_url=False) if one["loc"][1:] and not _no_text(one)
        ]
        for name in dict.fromkeys(one["loc"][0] for one in error.errors(include_url=False)):
            below = [{**one, "loc": one["loc"][1:]} for one in wrong if one["loc"][0] == name]
            hint = model.model_fields[name].annotation
            explain(_joined(below), str(name), hint, given[str(name)], source)
        return None
    for name, value in given.items():
        if name in _DAGSTERS and isinstance(value, str) and not is_template(value):
            wrong_kind = {"loc": (), "type": "model_type", "input": value, "msg": ""}
            explain([wrong_kind], name, model.model_fields[name].annotation, value, source)
    return made


def _no_text(one: Mapping[str, Any]) -> bool:
    return one["type"] == "string_type" and one["loc"][-1] == "str"


def _joined(errors: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The errors, with the values of a choice between two records said at once."""
    found: dict[Any, Any] = {}
    for one in errors:
        parts = [part for part in one["loc"] if not str(part).endswith("Model")]
        key = (one["type"], *parts)
        if key in found and one["type"] == "literal_error":
            known = f"{found[key]['ctx']['expected']}, {one['ctx']['expected']}"
            found[key] = {**found[key], "ctx": {"expected": known}}
        else:
            found.setdefault(key, one)
    return list(found.values())
