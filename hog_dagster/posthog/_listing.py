"""A lazy list of models that a notebook can use: one by name, all as a frame.

Facts: pandas and polars are imported when a frame is made, and not before.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, get_args
from uuid import UUID

from hog_dagster.posthog import errors
from hog_dagster.posthog.models.base import Model, User

M = TypeVar("M", bound=Model)
P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

_NAMES = ("name", "derived_name", "group_key", "short_id", "id")


class Listing(Iterator[M], Generic[M]):
    """Rows that are read while you go through them, once.

    Example:
        .. code-block:: python

            client.workflows.list().to_frame()
            client.workflows.list(status="active").get("Trial ending")
    """

    def __init__(self, rows: Iterator[M], noun: str, model: type[M]) -> None:
        self._rows = rows
        self._noun = noun
        self._model = model

    def __iter__(self) -> Iterator[M]:
        return self

    def __next__(self) -> M:
        return next(self._rows)

    def __repr__(self) -> str:
        return f"<{self._noun}: read as you go through them; .to_frame() reads all>"

    def get(self, name: str) -> M:
        """The one with this name, key or id; reads on until the end, since two may have one name.

        Raises:
            NotFound: none has it, or several have.
        """
        return by_name(self, name, self._noun)

    def to_frame(self, kind: Literal["pandas", "polars"] = "pandas") -> Any:
        """All rows as a data frame; see :func:`to_frame`."""
        return to_frame(self, kind, model=self._model)

    def to_polars(self) -> Any:
        """All rows as a data frame of polars."""
        return self.to_frame("polars")


def listed(
    noun: str, model: type[M]
) -> Callable[[Callable[Concatenate[S, P], Iterator[M]]], Callable[Concatenate[S, P], Listing[M]]]:
    """Have a method that gives rows give a :class:`Listing`; the noun is in the plural."""

    def decorate(
        method: Callable[Concatenate[S, P], Iterator[M]],
    ) -> Callable[Concatenate[S, P], Listing[M]]:
        @functools.wraps(method)
        def called(self: S, *args: P.args, **given: P.kwargs) -> Listing[M]:
            return Listing(method(self, *args, **given), noun, model)

        return called

    return decorate


def by_id_or_name(
    id: str,
    ask: Callable[[str], T],
    rows: Callable[[], Iterable[Model]],
    noun: str,
    *,
    again: bool = True,
) -> T:
    """The response of an endpoint of one object, given by its id, else by its name.

    ``again``: whether the endpoint may be asked a second time, with the id of a name that it did
    not find; not so for a write, which finds only what is surely a name.

    Raises:
        NotFound: none has that id or name, or several have the name.
    """
    text = id.strip()
    if _is_name(text):
        return ask(_id_of(by_name(rows(), text, noun)))
    try:
        return ask(id)
    except errors.EndpointMissing:
        raise
    except errors.NotFound as missing:
        if _is_uuid(text) or not again:
            raise
        try:
            found, near = _matches(rows(), text)
        except errors.PostHogError:
            raise missing from None
        if not found and not near:
            raise
    return ask(_id_of(_only(found, near, text, noun)))


def id_of(id: str, rows: Callable[[], Iterable[Model]], noun: str) -> str:
    """The id of an object given by its id or its name; what may be an id is not looked up.

    Raises:
        NotFound: none has that name, or several have it.
    """
    return _id_of(by_name(rows(), id, noun)) if _is_name(id.strip()) else id


def _id_of(row: Model) -> str:
    return str(getattr(row, "id", ""))


def _is_name(text: str) -> bool:
    """Whether a text is surely no id: ids of PostHog's have digits, and no blanks."""
    if not re.fullmatch(r"[\w-]*", text):
        return True
    return len(text) > 3 and not any(sign.isdigit() for sign in text)


def _is_uuid(text: str) -> bool:
    """Whether a text is an id of PostHog's, in any spelling."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def by_name(rows: Iterable[M], name: str, noun: str) -> M:
    """The only row with this name, key or id; upper and lower case count only where two differ by
    them alone.

    Raises:
        NotFound: none has it, or several have; the text names the nearest, or their ids.
    """
    return _only(*_matches(rows, name), name, noun)


def _matches(rows: Iterable[M], name: str) -> tuple[list[M], list[str]]:
    """The rows with this name, and the names nearest to it."""
    wanted, known = name.strip(), []
    exact: list[M] = []
    folded: list[M] = []
    for row in rows:
        names = _names(row)
        if wanted in names:
            exact.append(row)
        elif wanted.casefold() in (one.casefold() for one in names):
            folded.append(row)
        known += names[:1]
    return exact or folded, get_close_matches(wanted, known, 3, 0.6)


def _only(found: list[M], near: list[str], name: str, noun: str) -> M:
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(str(getattr(row, "id", row)) for row in found[:5])
        raise errors.NotFound(
            f"{len(found)} {noun} are called {name!r}: give the id of one ({ids}).", status=404
        )
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise errors.NotFound(f"None of the {noun} is called {name!r}.{hint}", status=404)


def _names(row: Model) -> list[str]:
    """What an object is called: its name first, then keys and ids."""
    properties = getattr(row, "group_properties", None)
    named = properties.get("name") if isinstance(properties, Mapping) else None
    given = [named, *(getattr(row, one, None) for one in _NAMES)]
    return [str(one) for one in given if one]


def to_frame(
    rows: Iterable[Model], kind: Literal["pandas", "polars"] = "pandas", *, model: Any = None
) -> Any:
    """Models as a data frame: a row each, a column per field.

    Times are of a type with the zone UTC, so they are shown with it; who made something is a text;
    what is nested is JSON. Columns in which nothing stands are left out.

    Args:
        rows: models of one kind, from any list of the client.
        kind: whose data frame.
        model: the kind of the rows, for the columns of an empty frame; by default that of the
            first row.

    Returns:
        A pandas or polars DataFrame, as `kind` says.

    Raises:
        ModuleNotFoundError: polars is not installed; the text names the extra.
        ValueError: there is no such kind.
    """
    if kind not in ("pandas", "polars"):
        raise ValueError(f"kind is {kind!r}: give pandas or polars")
    held = list(rows)
    model = model or (type(held[0]) if held else None)
    columns: dict[str, list[Any]] = {}
    times: set[str] = set()
    for name, field in model.model_fields.items() if model is not None else ():
        if field.exclude:
            continue
        values = [_cell(getattr(row, name, None)) for row in held]
        if held and all(value is None for value in values):
            continue
        columns[name] = values
        if _is_time(field.annotation):
            times.add(name)
        else:
            columns[name] = _of_one_kind(values)
    return _pandas(columns, times) if kind == "pandas" else _polars(columns, times)


def _cell(value: Any) -> Any:
    """A value as a cell holds it."""
    if value is None or isinstance(value, bool | int | float | str | datetime):
        return value
    if isinstance(value, User):
        return value.email or value.first_name or str(value.id or "") or None
    if isinstance(value, Model):
        value = value.model_dump(mode="json", by_alias=True)
    elif isinstance(value, list | tuple):
        value = [
            one.model_dump(mode="json", by_alias=True) if isinstance(one, Model) else one
            for one in value
        ]
    if value in ([], {}, ()):
        return None
    if isinstance(value, list | tuple | Mapping):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)


def _of_one_kind(values: list[Any]) -> list[Any]:
    """Values of several kinds as text: a column has one."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1 or kinds == {int, float}:
        return values
    return [value if value is None or isinstance(value, str) else str(value) for value in values]


def _is_time(hint: Any) -> bool:
    return hint is datetime or any(_is_time(arg) for arg in get_args(hint))


def _pandas(columns: Mapping[str, list[Any]], times: set[str]) -> Any:
    import pandas as pd

    frame = pd.DataFrame(dict(columns))
    for name in times & set(columns):
        frame[name] = pd.to_datetime(pd.Series(columns[name], dtype="object"), utc=True)
    return frame


def _polars(columns: Mapping[str, list[Any]], times: set[str]) -> Any:
    try:
        import polars as pl
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "polars frames need the extra 'polars': pip install 'hog-dagster[polars]'"
        ) from missing
    aware = pl.Datetime("us", "UTC")
    return pl.DataFrame(
        [
            pl.Series(name, values, dtype=aware if name in times else None)
            for name, values in columns.items()
        ]
    )
