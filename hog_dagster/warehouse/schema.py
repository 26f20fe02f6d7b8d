"""Declared tables: columns with types, key, time column; half-open UTC windows.

The types are the few that DuckDB, PostgreSQL and Arrow all hold without loss.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

import pyarrow as pa

__all__ = [
    "ARROW_TYPES",
    "Column",
    "Table",
    "Window",
    "arrow_type",
    "common_type",
    "read_as",
    "widens",
]

ARROW_TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "timestamptz": pa.timestamp("us", "UTC"),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
    "json": pa.string(),
    "bytes": pa.binary(),
}
_DECIMAL = re.compile(r"decimal\((\d{1,2}),(\d{1,2})\)")

# Old type -> declared type: the stored values of the one are all values of the other.
_WIDER = {("integer", "bigint"), ("integer", "double"), ("json", "text")}
# A database's own type -> the type of ours that holds each of its values.
_FOREIGN = {
    "tinyint": "integer",
    "utinyint": "integer",
    "smallint": "integer",
    "usmallint": "integer",
    "uinteger": "bigint",
    "oid": "bigint",
    "ubigint": "decimal(20,0)",
    "real": "double",
    "float": "double",
    "timestamp_s": "timestamp",
    "timestamp_ms": "timestamp",
}
# Types of which some values are none of ours: reading refuses or cuts them.
_NEARLY = {
    "hugeint": "decimal(38,0)",
    "uhugeint": "decimal(38,0)",
    "timestamp_ns": "timestamp",
}
# PostgreSQL's moments of fewer digits than six, and its texts of a length.
_MOMENT = re.compile(r"timestamp\(\d\) with(out)? time zone")
_VARYING = re.compile(r"character varying(\(\d+\))?")
# How many digits whole numbers may have.
_WHOLE_DIGITS = {"integer": 10, "bigint": 19}


def arrow_type(type_name: str) -> pa.DataType:
    """The Arrow type that carries a column type. ValueError for a type that does not exist."""
    if type_name in ARROW_TYPES:
        return ARROW_TYPES[type_name]
    if match := _DECIMAL.fullmatch(type_name):
        return pa.decimal128(int(match[1]), int(match[2]))
    known = ", ".join(ARROW_TYPES)
    raise ValueError(f"column type {type_name!r} is not one of {known}, decimal(p,s)")


def _held_by(kind: str) -> str | None:
    """The type of ours that holds each value of a database's own type; None for any other."""
    if moment := _MOMENT.fullmatch(kind):
        return "timestamp" if moment[1] else "timestamptz"
    return "text" if _VARYING.fullmatch(kind) else _FOREIGN.get(kind)


def read_as(kind: str) -> str:
    """The type of ours that a column of any type is read as: text where no other is like it."""
    try:
        arrow_type(kind)
    except ValueError:
        return _held_by(kind) or _NEARLY.get(kind, "text")
    return kind


def widens(stored: str, declared: str) -> bool:
    """Whether a stored column may be changed to the declared type without losing a value."""
    if (own := _held_by(stored)) is not None:
        return own == declared or widens(own, declared)
    if (stored, declared) in _WIDER:
        return True
    old, new = _digits(stored), _digits(declared)
    if new is None:
        return False
    if old is None:
        return stored in _WHOLE_DIGITS and new[0] >= _WHOLE_DIGITS[stored]
    return new[0] >= old[0] and new[1] >= old[1]


def _digits(type_name: str) -> tuple[int, int] | None:
    """The digits of a decimal type before and after its point; None for any other type."""
    match = _DECIMAL.fullmatch(type_name)
    return (int(match[1]) - int(match[2]), int(match[2])) if match else None


def common_type(stored: str, arriving: str) -> str | None:
    """The narrowest type that holds the values of both types of number; None where there is none.

    Whole numbers and doubles have no common type for all values, but for those up to 2**53: where
    one is double the response is double, and a load refuses the values that do not fit.
    """
    stored = _held_by(stored) or stored
    if stored == arriving or widens(arriving, stored):
        return stored
    if widens(stored, arriving):
        return arriving
    kinds = {stored, arriving}
    if kinds <= {"bigint", "integer", "double"}:
        return "double"
    digits = [_digits(one) or (_WHOLE_DIGITS.get(one, -1), 0) for one in (stored, arriving)]
    if min(before for before, _ in digits) < 0:
        return None
    before, after = (max(one[part] for one in digits) for part in (0, 1))
    return f"decimal({before + after},{after})" if before + after <= 38 else None


@dataclass(frozen=True)
class Column:
    """One column: ``name``, ``type`` (text, bigint, integer, double, boolean, timestamptz, date,
    json, timestamp, bytes or decimal(p,s)), a ``description`` a stranger understands (it becomes
    the database's comment), and whether it may be null."""

    name: str
    type: str
    description: str = ""
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """A declared table.

    ``key`` names the columns that together identify a row: a load in which two rows share one is
    refused. ``time_column`` (timestamptz, or timestamp taken as UTC) is what windows are compared
    with. Names are kept as written: adapters quote them. ``former`` is what the table was called
    before: where only that one is there, the next load renames it.

    Raises ValueError for a declaration that cannot be a table.
    """

    name: str
    columns: tuple[Column, ...]
    description: str = ""
    key: tuple[str, ...] = ()
    time_column: str | None = None
    schema: str = "posthog"
    former: str | None = None
    _by_name: dict[str, Column] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "key", tuple(self.key))
        by_name = {column.name: column for column in self.columns}
        object.__setattr__(self, "_by_name", by_name)
        if not self.columns:
            raise ValueError(f"table {self.name} declares no columns")
        for name in (self.schema, self.name, *by_name):
            if not name or "\0" in name:
                raise ValueError(f"table {self.name!r}: {name!r} cannot be a name")
        # DuckDB compares names without case: two columns "A" and "a" would be one.
        folded = [column.name.lower() for column in self.columns]
        if doubled := sorted({name for name in folded if folded.count(name) > 1}):
            raise ValueError(f"table {self.name} declares {', '.join(doubled)} more than once")
        for column in self.columns:
            arrow_type(column.type)
        if unknown := [name for name in self.key if name not in by_name]:
            raise ValueError(f"table {self.name}: key names unknown columns {', '.join(unknown)}")
        if self.time_column is not None:
            time = by_name.get(self.time_column)
            if time is None or time.type not in ("timestamptz", "timestamp"):
                raise ValueError(
                    f"table {self.name}: time column {self.time_column!r} must be a declared "
                    "timestamptz column"
                )

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    def __contains__(self, column_name: object) -> bool:
        return column_name in self._by_name

    def column(self, name: str) -> Column:
        """The declared column of that name. KeyError when there is none."""
        return self._by_name[name]

    def required(self, column: Column) -> bool:
        """Whether a null in this column is refused: declared so, or part of the key."""
        return not column.nullable or column.name in self.key

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The Arrow schema of the rows, in declared order (timestamps in microseconds, UTC)."""
        return self.arrow_schema_of(self.column_names)

    def arrow_schema_of(self, names: Sequence[str]) -> pa.Schema:
        return pa.schema([(name, arrow_type(self._by_name[name].type)) for name in names])


@dataclass(frozen=True, order=True)
class Window:
    """A half-open stretch of time, [start, end), kept in UTC. Both ends must be aware.

    Raises ValueError for naive ends or an end that is not after the start.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for end in ("start", "end"):
            value = getattr(self, end)
            if value.tzinfo is None or value.utcoffset() is None:
                raise ValueError(
                    f"window {end} {value.isoformat()} has no time zone; "
                    "give datetime(..., tzinfo=timezone.utc)"
                )
            object.__setattr__(self, end, value.astimezone(UTC))
        if self.start >= self.end:
            raise ValueError(f"window starts at {self.start} and ends at {self.end}: empty")

    @classmethod
    def day(cls, day: date) -> "Window":
        """The UTC day of that date."""
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return cls(start, start + timedelta(days=1))

    @classmethod
    def hour(cls, at: datetime) -> "Window":
        """The clock hour that an aware datetime falls in."""
        start = at.replace(minute=0, second=0, microsecond=0)
        return cls(start, start + timedelta(hours=1))

    @classmethod
    def joined(cls, windows: Iterable["Window"]) -> list["Window"]:
        """Windows, oldest first, each with its neighbours as one."""
        joined: list[Window] = []
        for window in windows:
            if joined and joined[-1].end == window.start:
                joined[-1] = cls(joined[-1].start, window.end)
            else:
                joined.append(window)
        return joined

    def __str__(self) -> str:
        return f"[{self.start:%Y-%m-%dT%H:%M:%SZ}, {self.end:%Y-%m-%dT%H:%M:%SZ})"
