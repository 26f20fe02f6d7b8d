"""From YAML to settings: every value is checked at load, and what is wrong is said in one sentence.

A sentence names the file and line, the field's path, what it holds and what to write. Facts:
Dagster hands a component its attributes as plain values, and beside them a tree of positions; a
template (`{{ env.X }}`) stands for a value of any type, and for null where the variable is unset.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import dagster as dg
from pydantic import BaseModel, TypeAdapter, ValidationError

from hog_dagster.policies import as_meant, did_you_mean, unknown_field
from hog_dagster.settings import Everywhere, read_settings

#: Where a path stands: keys and positions in lists.
Path_ = tuple[str | int, ...]
_TEMPLATE = re.compile(r"\{[{%]")
_VARIABLE = re.compile(r"\benv\.(\w+)|\benv\(\s*['\"](\w+)['\"]\s*\)")
#: A variable as a shell has it, and the fields that are taken from variables.
_SHELL = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")
_CONNECTING = frozenset(
    {
        "alerts",
        "api_key",
        "ca_file",
        "client_certificate",
        "host",
        "ledger",
        "project_id",
        "rate_limit",
        "warehouse",
    }
)
#: Without these a code location loads all the same, and says what is missing.
_MAY_BE_UNSET = frozenset({"host", "api_key", "project_id"})
#: Where alerts go. Without these it loads too, so that CI needs no such secrets; a tick of the
#: alert sensor says what is missing as soon as there is something to send.
_SENDING = re.compile(
    r"^alerts\.(slack_webhook|webhook|heartbeat_url|webserver_url"
    r"|email\.(host|user|password|sender|to(\[\d+\])?))$"
)
_SECRET = re.compile(
    r"^(api_key|ledger|rate_limit|client_certificate|warehouse(\.(postgres|dlt\.credentials))?"
    r"|alerts\.(slack_webhook|webhook|heartbeat_url|email\.(user|password)))$"
)


class YamlError(ValueError):
    """A component's YAML cannot be used; a line for each thing that is wrong."""


def strict() -> bool:
    """Whether warnings about YAML are errors: HOG_DAGSTER_STRICT, for CI."""
    return read_settings(Everywhere).strict


@dataclass
class Source:
    """Where the settings of a component stand, and what there is to say about them."""

    context: dg.ResolutionContext | None = None  # None for settings given in Python
    problems: list[str] = field(default_factory=list)  # sentences about what cannot be
    notes: list[str] = field(default_factory=list)  # sentences about what would do nothing
    #: Field -> names of the variables it takes that are not set.
    unset: dict[str, list[str]] = field(default_factory=dict)

    def place(self, path: Sequence[str | int]) -> str:
        """`defs/posthog/defs.yaml:12: `, or nothing where there is no file."""
        tree = self.context.source_position_tree if self.context else None
        if tree is None:
            return ""
        position, _ = tree.lookup_closest_and_path(["attributes", *path], None)
        file = Path(position.filename)
        if file.is_absolute() and file.is_relative_to(Path.cwd()):
            file = file.relative_to(Path.cwd())
        return f"{file}:{position.start.line}: "

    def problem(self, path: Sequence[str | int], text: str) -> None:
        """Say what cannot be."""
        self.problems.append(f"{self.place(path)}{text}")

    def note(self, path: Sequence[str | int], text: str) -> None:
        """Say what would do nothing."""
        said = f"{self.place(path)}{text}"
        if said not in self.notes:
            self.notes.append(said)

    def end(self) -> None:
        """Refuse by a YamlError settings that are wrong, and with HOG_DAGSTER_STRICT those that
        would do nothing."""
        wrong = [*self.problems, *(self.notes if strict() else [])]
        if wrong:
            raise YamlError("\n".join(wrong))


def read_fields(kind: type[BaseModel], raw: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """The settings of the fields of `kind` that `raw` gives, checked; `source` takes what is
    wrong."""
    found: dict[str, Any] = {}
    for name, value in raw.items():
        given = kind.model_fields[name]
        try:
            rendered = _rendered(value, (name,), source)
        except _Unusable:
            continue
        if value is not None and rendered is None and name in source.unset:
            continue
        hint: Any = (
            Annotated[(given.annotation, *given.metadata)] if given.metadata else (given.annotation)
        )
        try:
            found[name] = TypeAdapter(hint).validate_python(as_meant(rendered, hint))
        except ValidationError as error:
            explain(error.errors(include_url=False), name, hint, rendered, source)
        except ValueError as error:
            source.problem((name,), _ended(f"{_holds((name,), rendered)}: {error}"))
    return found


def is_template(value: Any) -> bool:
    """Whether a value of YAML is filled in by Dagster."""
    return isinstance(value, str) and _TEMPLATE.search(value) is not None


def dotted(path: Sequence[str | int]) -> str:
    """`batch_jobs[0].cron`"""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


# --- templates ----------------------------------------------------------------------------------


class _Unusable(Exception):
    """A template cannot be rendered; the source knows why."""


def _rendered(value: Any, path: Path_, source: Source) -> Any:
    if isinstance(value, Mapping):
        return {key: _rendered(one, (*path, str(key)), source) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rendered(one, (*path, number), source) for number, one in enumerate(value)]
    if not isinstance(value, str):
        return value
    if path[0] in _CONNECTING and (shell := _SHELL.fullmatch(value.strip())):
        name = shell[1]
        source.problem(
            path,
            f"{dotted(path)} is ${name}, which a shell would fill in and YAML does not: write "
            f"'{{{{ env.{name} }}}}'.",
        )
        raise _Unusable
    if not _TEMPLATE.search(value) or source.context is None:
        return value
    sending = _SENDING.fullmatch(dotted(path)) is not None
    unset = [
        name
        for found in _VARIABLE.findall(value)
        # A secret that CI does not have is an empty variable there.
        if (name := found[0] or found[1])
        and (name not in os.environ or (sending and not os.environ[name].strip()))
    ]
    try:
        # Without its place, which is said here.
        made = dg.ResolutionContext(scope=source.context.scope).resolve_value(value)
    except Exception as error:
        if unset:
            made = None
        else:
            source.problem(
                path, f"{dotted(path)} is a template that cannot be read: {_last(error)}"
            )
            raise _Unusable from None
    if not unset or not (made in (None, "") or "None" in str(made)):
        return made
    names = " and ".join(dict.fromkeys(unset))
    text = f"{dotted(path)} needs {names}, which {'is' if len({*unset}) == 1 else 'are'} not set"
    if len(path) == 1 and path[0] in _MAY_BE_UNSET:
        source.unset[str(path[0])] = unset
        also = "; https://us.posthog.com is used" if path[0] == "host" else ""
        source.note(path, f"{text}{also}: set it, or write it in .env.")
        return None
    if sending:
        link = path[-1] == "webserver_url"
        lost = "alerts have no links" if link else "nothing is sent by it"
        source.note(path, f"{text}, so {lost}: set it, or write it in .env.")
        return None if link else dg.EnvVar(unset[0])
    source.problem(path, f"{text}: set it, write it in .env, or correct its name.")
    raise _Unusable


def _last(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200].rstrip(".") + "." if lines else f"{type(error).__name__}."


# --- what is wrong ------------------------------------------------------------------------------


def explain(
    errors: Sequence[Mapping[str, Any]], name: str, hint: Any, value: Any, source: Source
) -> None:
    """Say what is wrong with a field, a sentence for each place. The errors are pydantic's, each
    with its place below the field; `hint` is the field's type."""
    said: set[str] = set()
    # A value that fits neither a number nor a text is meant to be a number.
    found = [
        (_path_of(name, one["loc"], one["type"], value), one)
        for one in sorted(errors, key=lambda one: not str(one["type"]).startswith("int_"))
    ]
    meant = _misspelt(found)
    for path, one in found:
        where = dotted(path)
        if where in said or where in meant.values():
            continue
        said.add(where)
        kind = one["type"]
        if kind == "extra_forbidden":
            parent = _hint_at(hint, path[1:-1])
            fields = parent.model_fields if parent is not None else ()
            if where in meant:
                fields = [meant[where].rpartition(".")[2]]
            source.problem(path, unknown_field(where, fields, dotted(path[:-1])))
        elif kind == "missing":
            source.problem(path[:-1], _ended(f"{where} is missing: {_wanted(one, hint, path)}"))
        elif kind == "value_error" and isinstance(one["input"], Mapping | BaseModel):
            source.problem(path, _ended(f"{where}: {_wanted(one, hint, path)}"))
        else:
            held = _holds(path, one["input"])
            source.problem(path, _ended(f"{held}: {_wanted(one, hint, path)}"))


def _misspelt(found: Sequence[tuple[Path_, Mapping[str, Any]]]) -> dict[str, str]:
    """Fields that there are not -> those that are missing in the same place, one each."""
    pairs: dict[str, str] = {}
    for parent in {path[:-1] for path, _ in found}:
        unknown, missing = (
            {dotted(path) for path, one in found if path[:-1] == parent and one["type"] == kind}
            for kind in ("extra_forbidden", "missing")
        )
        if len(unknown) == len(missing) == 1:
            pairs[unknown.pop()] = missing.pop()
    return pairs


def _ended(text: str) -> str:
    return text if text.endswith("?") else f"{text.rstrip('.')}."


def _path_of(name: str, loc: tuple[str | int, ...], kind: str, value: Any) -> Path_:
    """The path in the YAML: without what pydantic says of unions, and without the position in a
    list that is one item."""
    path: list[str | int] = [name]
    at = value
    for number, part in enumerate(loc):
        if isinstance(at, Mapping) and (
            part in at or (kind == "missing" and number == len(loc) - 1)
        ):
            path.append(part)
            at = at.get(part)
        elif isinstance(at, list) and isinstance(part, int) and part < len(at):
            path.append(part)
            at = at[part]
    return tuple(path)


def _hint_at(hint: Any, path: Sequence[str | int]) -> type[BaseModel] | None:
    """The record at a path below a field."""
    record = _record_of(hint)
    for part in path:
        if isinstance(part, int):
            continue
        if record is None or part not in record.model_fields:
            return None
        record = _record_of(record.model_fields[part].annotation)
    return record


def _may_be_null(hint: Any, path: Path_) -> bool:
    parent = _hint_at(hint, path[1:-1])
    field = parent.model_fields.get(str(path[-1])) if parent is not None else None
    return field is not None and type(None) in get_args(field.annotation)


def _record_of(hint: Any) -> type[BaseModel] | None:
    if isinstance(hint, type) and not get_origin(hint):
        return hint if issubclass(hint, BaseModel) else None
    return next((found for arg in get_args(hint) if (found := _record_of(arg))), None)


def _holds(path: Path_, value: Any) -> str:
    if _SECRET.fullmatch(dotted(path)) or not isinstance(value, str | int | float | bool):
        what = {dict: "a mapping", list: "a list", type(None): "empty"}.get(type(value), "")
        return f"{dotted(path)} is {what}" if what else f"{dotted(path)} cannot be used"
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    if "@" in shown and "://" in shown:  # a user's name and password
        return f"{dotted(path)} cannot be used"
    return f"{dotted(path)} is {shown[:80]}"


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping",
    "mapping": "a mapping",
    "model": "a mapping of its fields",
}


def _wanted(one: Mapping[str, Any], hint: Any, path: Path_) -> str:
    kind, context = str(one["type"]), one.get("ctx", {})
    if kind == "value_error":
        return str(context.get("error", one["msg"])).rstrip(".")
    if kind in ("literal_error", "enum"):
        known = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        if not isinstance(one["input"], str):
            return f"give one of {', '.join(known)}"
        return did_you_mean(one["input"], known, f"give one of {', '.join(known)}")
    limits = {
        "greater_than_equal": ("ge", "{} or more"),
        "greater_than": ("gt", "more than {}"),
        "less_than_equal": ("le", "{} or less"),
        "less_than": ("lt", "less than {}"),
        "string_too_long": ("max_length", "at most {} characters"),
        "string_pattern_mismatch": ("pattern", "a text that fits {}"),
    }
    if kind == "too_short":
        return "give an item, at least"
    if one["input"] is False and _may_be_null(hint, path):
        return "write null to leave it out"
    if kind == "string_type" and isinstance(one["input"], int | float):
        return "give a text in quotes"
    if kind == "dict_type" and one["input"] is None:
        return "give a mapping"
    if kind in limits:
        key, text = limits[kind]
        return "give " + text.format(
            f"{context[key]:g}" if key in ("ge", "gt", "le", "lt") else (context[key])
        )
    if kind == "missing":
        record = _hint_at(hint, path[1:-1])
        given = record.model_fields.get(str(path[-1])) if record is not None else None
        said = (given.description or "") if given is not None else ""
        return f"give it ({said.rstrip('.')})" if said else "give it"
    stem = kind.partition("_")[0]
    if stem in ("model", "dataclass") and (record := _hint_at(hint, path[1:])) is not None:
        return f"give a mapping of its fields ({', '.join(record.model_fields)})"
    return f"give {_KINDS.get(stem, 'another value')}"
