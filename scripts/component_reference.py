"""``python -m scripts.component_reference PAGE``: generates the list of YAML fields in a page.

Facts: fields, types, defaults and descriptions come from the component's own declarations, so the
page cannot differ from the code.
"""

import dataclasses
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import dagster as dg
from dagster.components.resolved.core_models import OpSpec
from dagster.components.utils.defs_state import DefsStateConfigArgs
from pydantic import BaseModel

from hog_dagster._shared.markdown import cell
from hog_dagster.components._component import PostHogProjectComponent

__all__ = ["field_paths", "reference", "rewritten"]

BEGIN, END = "<!-- fields: made by scripts.component_reference -->", "<!-- end of fields -->"
#: Dagster's own records, which Dagster's documentation describes.
_DAGSTERS = (OpSpec, DefsStateConfigArgs)


@dataclasses.dataclass(frozen=True)
class Line:
    """One field: its path, type, default and meaning."""

    path: str
    type: str
    default: str
    meaning: str


def field_paths() -> list[str]:
    """Every field of the YAML, such as `sensors.replay.dry_run`."""
    return [line.path for _, lines in _sections() for line in lines]


def reference() -> str:
    """The fields as Markdown: one table for the component, and one for each record below it."""
    parts = []
    for record, lines in _sections():
        if record:
            parts.append(f"\n### {record}\n")
        parts.append("| field | takes | default | meaning |\n| --- | --- | --- | --- |")
        parts += [
            f"| `{line.path}` | {line.type} | {line.default} | {line.meaning} |" for line in lines
        ]
    return "\n".join(parts)


def rewritten(page: Path) -> str:
    """The page with the current fields.

    Raises:
        ValueError: the page lacks the marks.
    """
    text = page.read_text("utf-8")
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError(f"{page} has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{reference()}\n{END}{after}"


def _sections() -> Iterator[tuple[str, list[Line]]]:
    own, below = [], []
    for name, given in PostHogProjectComponent.model_fields.items():
        made = given.get_default(call_default_factory=True)
        record = _record(given.annotation)
        shown = "" if record else _shown(made)
        if name == "partitions":
            shown = ""
        own.append(Line(name, _type(given.annotation), shown, cell(given.description or "")))
        if record is not None:
            below.append((name, record, _many(given.annotation)))
    yield "", own
    for name, record, many in below:
        yield from _record_sections(f"{name}[]" if many else name, record)


def _record_sections(path: str, record: type) -> Iterator[tuple[str, list[Line]]]:
    lines, below = [], []
    for name, hint, made, said in _fields(record):
        inner = _record(hint)
        meaning = said or (_first(inner) if inner else "")
        default = "" if inner else _shown(made)
        if name == "start_date":
            default = "90 days ago, the first of that month"
        lines.append(Line(f"{path}.{name}", _type(hint), default, meaning))
        if inner is not None:
            below.append((f"{path}.{name}", inner))
    yield path, lines
    for name, inner in below:
        yield from _record_sections(name, inner)


def _fields(record: type) -> Iterator[tuple[str, Any, Any, str]]:
    """Name, type, default and meaning of each field of a dataclass or a pydantic record."""
    if issubclass(record, BaseModel):
        for name, given in record.model_fields.items():
            made = None if given.is_required() else given.get_default(call_default_factory=True)
            yield name, given.annotation, made, cell(given.description or "")
        return
    hints, said = typing.get_type_hints(record), _said(record)
    for field in dataclasses.fields(record):
        yield field.name, hints[field.name], _default(field), said.get(field.name, "")


def _record(hint: Any) -> type | None:
    """Our own record in the type of a field, alone, in a list or optional."""
    if isinstance(hint, type) and hint not in _DAGSTERS:
        ours = hint.__module__.startswith("hog_dagster.") and issubclass(hint, BaseModel)
        return hint if ours or dataclasses.is_dataclass(hint) else None
    if get_origin(hint) in (typing.Union, types.UnionType, Sequence, list, tuple):
        return next((found for arg in get_args(hint) if (found := _record(arg))), None)
    return None


def _many(hint: Any) -> bool:
    if get_origin(hint) in (Sequence, list, tuple):
        return True
    return any(_many(arg) for arg in get_args(hint))


def _type(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin is typing.Annotated and not _templated(hint):
        return _type(args[0])
    if origin is Literal:
        return " or ".join(f"`{arg}`" for arg in sorted(args))
    if origin in (typing.Union, types.UnionType):
        named = [_type(arg) for arg in args if arg is not type(None)]
        null = ["null"] if type(None) in args else []
        return ", ".join(dict.fromkeys([*named, *null]))
    if origin in (Sequence, list, tuple):
        return f"list of {_type(args[0])}"
    if origin in (Mapping, dict):
        return "mapping"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return " or ".join(f"`{member.value}`" for member in hint)
    if origin is typing.Annotated or (callable(hint) and not isinstance(hint, type)):
        return "template or fields of an asset spec"
    plain = {str: "text", int: "number", float: "number", bool: "true or false"}
    return plain.get(hint, "record")


def _templated(hint: Any) -> bool:
    """Whether Dagster resolves the value with a resolver, such as a translation."""
    return any(isinstance(one, dg.Resolver) for one in get_args(hint))


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _shown(value: Any) -> str:
    if value is None or value in ("", (), {}, []) or isinstance(value, _DAGSTERS):
        return "" if not isinstance(value, DefsStateConfigArgs) else "`LOCAL_FILESYSTEM`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`"


def _said(record: type) -> dict[str, str]:
    """Field -> its description in the docstring of the record."""
    _, _, args = (record.__doc__ or "").partition("Args:\n")
    found = re.findall(r"^ {8}([\w, ]+): (.*(?:\n {12}.*)*)", args, re.MULTILINE)
    return {name: cell(text) for names, text in found for name in names.split(", ")}


def _first(record: type) -> str:
    """The first sentence of a record's docstring."""
    text = cell((record.__doc__ or "").partition("\n\n")[0])
    return text if text.endswith(".") else f"{text}."


if __name__ == "__main__":
    if len(sys.argv) > 1:
        given_page = Path(sys.argv[1])
        given_page.write_text(rewritten(given_page), "utf-8")
    else:
        print(reference())
