"""HogQLQuery and data tables: one row per row, typed from ClickHouse's types.

Facts: ``result`` is a list of row lists, ``columns`` the names; ``types`` holds pairs of name and
type, or the types alone for data tables (whose ``person`` and ``*`` are objects all the same).
Some node tables (TracesQuery) answer rows as objects, whose names need not be those in ``columns``:
``total_cost`` is ``totalCost`` in the row. What no column has becomes a column of its own.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from hog_dagster.posthog._insight_rows.cells import Zone, find_zone, whole
from hog_dagster.posthog._insight_rows.clickhouse import CellType, cell_type
from hog_dagster.posthog._insight_rows.columns import ColumnType, RowColumn, TidyRows, UnknownShape

TAIL: tuple[RowColumn, ...] = (
    RowColumn("_row_number", "bigint", "Place of the row in the response, from 0.", nullable=False),
    RowColumn("_computed_at", "timestamptz", "The moment PostHog computed the result."),
    RowColumn(
        "_unknown",
        "boolean",
        "True when this part of the response has a shape that is not known; it is whole in _raw.",
        nullable=False,
    ),
    RowColumn("_raw", "json", "Values of this row that do not fit their column's type, else null."),
)

_OBJECTS = frozenset(("*", "person", "person_display_name", "group"))
_BIGGEST = 2**63
#: Columns that rows may add to those of the query; keys beyond them stay in ``_raw``.
_MOST_FOREIGN = 100
_TRUTH = {"true": True, "false": False, "1": True, "0": False}
_UNFIT = object()


def column_names(names: Sequence[str]) -> list[str]:
    """Names a database table can have, one per name given: lower case, letters, digits and
    underscores, none twice: ``count()`` -> ``count``, ``uniq(person_id)`` -> ``uniq_person_id``.
    """
    found: list[str] = []
    for index, name in enumerate(names):
        plain = re.sub(r"\W+", "_", name.strip().lower()).strip("_") or f"column_{index + 1}"
        plain = f"_{plain}" if plain[0].isdigit() else plain
        found.append(_unused(plain[:60], found))
    return found


def _unused(name: str, taken: Sequence[str]) -> str:
    candidate, n = name, 1
    while candidate in taken:
        n += 1
        candidate = f"{name}_{n}"
    return candidate


def sql_rows(insight: Mapping[str, Any], zone: Zone, computed_at: datetime | None) -> TidyRows:
    """The rows of a table answer, and what did not fit.

    Raises:
        UnknownShape: the result is not a list of rows of as many values as there are columns.
    """
    declared = _declared(insight)
    result = insight.get("result")
    if not isinstance(result, list):
        raise UnknownShape(f"a table answered {type(result).__name__}, not a list of rows")
    rows: list[dict[str, Any]] = []
    unfit: dict[str, int] = {}
    places = {key: index for index, one in enumerate(declared) for key in one.keys}
    for index, response in enumerate(result):
        row: dict[str, Any] = {}
        raw: dict[str, Any] = {}
        values = _values(response, declared, places, raw)
        if raw:
            unfit["(none)"] = unfit.get("(none)", 0) + len(raw)
        for one, value in zip(declared, values, strict=True):
            name = one.column.name
            cell = _fit(value, one.type, zone)
            if cell is _UNFIT:
                raw[name] = value
                unfit[name] = unfit.get(name, 0) + 1
                cell = None
            row[name] = cell
        row.update(_row_number=index, _computed_at=computed_at, _unknown=False, _raw=raw or None)
        rows.append(row)
    problems = tuple(
        f"column {name}: {count} values do not fit its type" for name, count in unfit.items()
    )
    columns = (*(one.column for one in declared), *TAIL)
    return TidyRows("sql", columns, rows, problems=problems)


@dataclass(frozen=True, slots=True)
class _Declared:
    """A column, its type, the names that rows which are objects have it under, and whether only
    such rows name it."""

    column: RowColumn
    type: CellType
    keys: tuple[str, ...]
    foreign: bool


def _declared(insight: Mapping[str, Any]) -> list[_Declared]:
    names, types = insight.get("columns"), insight.get("types")
    result = insight.get("result")
    rows = result if isinstance(result, list) else []
    if not isinstance(names, list):
        if not all(isinstance(row, Mapping) for row in rows):
            raise UnknownShape("a table without the names of its columns")
        names = []
    names = [str(name) for name in names]
    found: list[_Declared] = []
    taken: list[str] = [column.name for column in TAIL]
    for index, (name, keys) in enumerate(_keys(names, rows)):
        unique = _unused(name or f"column_{index + 1}", taken)
        taken.append(unique)
        foreign = index >= len(names)
        said = None if foreign else _said_type(types, index)
        if _is_object(name) and isinstance(types, list) and types and isinstance(types[0], str):
            kind = CellType("json")
        elif said is not None:
            kind = cell_type(said)
        else:
            kind = CellType(_seen_type(rows, index, keys))
        about = f"Column {name} of the query" + (f", {said} in ClickHouse." if said else ".")
        if foreign:
            about = f"Field {name} of the rows."
        found.append(_Declared(RowColumn(unique, kind.type, about), kind, keys, foreign))
    return found


def _keys(names: list[str], rows: Sequence[Any]) -> list[tuple[str, tuple[str, ...]]]:
    """Each column's name and the names its values have in rows that are objects: its own, or
    another spelling of it; after them what only the rows name."""
    seen = dict.fromkeys(str(key) for row in rows if isinstance(row, Mapping) for key in row)
    foreign = [key for key in seen if key not in names]
    found: list[tuple[str, tuple[str, ...]]] = []
    for index, name in enumerate(names):
        spelled = (
            [key for key in foreign if _snake(key) == _snake(name)] if name not in seen else []
        )
        keys = (spelled[0],) if len(spelled) == 1 else (name,)
        found.append((name, keys if name not in names[:index] else ()))
    known = {key for _, keys in found for key in keys}
    alone = [key for key in foreign if key not in known]
    return [*found, *((key, (key,)) for key in alone[:_MOST_FOREIGN])]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _values(
    row: Any, declared: Sequence[_Declared], places: Mapping[str, int], raw: dict[str, Any]
) -> list[Any]:
    """A row's values in the order of the columns; what has no column goes to ``raw``."""
    if isinstance(row, Mapping):
        values: list[Any] = [None] * len(declared)
        for key, value in row.items():
            if (place := places.get(str(key))) is not None:
                values[place] = value
            else:
                raw[str(key)] = value
        return values
    named = sum(not one.foreign for one in declared)
    if not isinstance(row, list) or len(row) != named:
        raise UnknownShape(f"a row that is not a list of {named} values")
    return [*row, *[None] * (len(declared) - named)]


def _said_type(types: Any, index: int) -> str | None:
    if not isinstance(types, list) or index >= len(types):
        return None
    said = types[index]
    if isinstance(said, (list, tuple)) and len(said) == 2:
        said = said[1]
    return said if isinstance(said, str) else None


def _is_object(name: str) -> bool:
    """Whether a data table's column holds objects; a select may name it: ``person -- Who``."""
    return name.split(" -- ")[0].strip() in _OBJECTS


def _seen_type(rows: list[Any], index: int, keys: Sequence[str]) -> ColumnType:
    kinds: set[type] = set()
    for row in rows:
        values: Iterable[Any] = ()
        if isinstance(row, Mapping):
            values = map(row.get, keys)
        elif isinstance(row, list):
            values = row[index : index + 1]
        kinds |= {type(value) for value in values if value is not None}
    if kinds & {dict, list}:
        return "json"
    if kinds == {bool}:
        return "boolean"
    if kinds == {int}:
        return "bigint"
    if kinds and kinds <= {int, float}:
        return "double"
    return "text"


def fit_cell(value: Any, type: ColumnType | CellType) -> tuple[bool, Any]:
    """Whether a JSON value fits a column's type, and the cell it makes (None when it does not).

    A time without an offset is one of the zone that the type names, else UTC.
    """
    cell = _fit(value, type if isinstance(type, CellType) else CellType(type), Zone())
    return (False, None) if cell is _UNFIT else (True, cell)


def _fit(value: Any, kind: CellType, zone: Zone) -> Any:
    """The value in its column's type, or ``_UNFIT``."""
    if value is None or kind.type == "json":
        return value
    if kind.type == "text":
        return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    if kind.type in ("bigint", "integer"):
        number = int(value) if isinstance(value, bool) else whole(value)
        return number if number is not None and -_BIGGEST <= number < _BIGGEST else _UNFIT
    if kind.type == "double":
        return _double(value)
    if kind.type == "boolean":
        return _TRUTH.get(str(value).lower(), _UNFIT)
    if kind.type == "date":
        return _date(value)
    return _instant(value, kind, zone)


def _double(value: Any) -> Any:
    if isinstance(value, (dict, list, bool)):
        return _UNFIT
    try:
        return float(value)
    except (ValueError, OverflowError):
        return _UNFIT


def _date(value: Any) -> Any:
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else _UNFIT
    except ValueError:
        return _UNFIT


def _instant(value: Any, kind: CellType, zone: Zone) -> Any:
    if not isinstance(value, str):
        return _UNFIT
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return _UNFIT
    if found.tzinfo is None:
        # ClickHouse's own text form has no offset: its type names the zone, else the project's.
        found = found.replace(tzinfo=find_zone(kind.zone).info or zone.info or UTC)
    return found.astimezone(UTC)
