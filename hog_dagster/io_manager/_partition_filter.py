"""Dagster's partitions as rows of a table: windows of its time column, values of its other columns.

Facts: a time partition is a half-open stretch between two aware moments, whatever its time zone; a
single run may hold many partitions, and for several dimensions all combinations of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import dagster as dg

from hog_dagster.warehouse import Column, Window


@dataclass(frozen=True)
class Dimension:
    """One dimension of an asset's partitions: its name (None where there is only one), what it
    consists of, and the column that says to which partition a row belongs."""

    name: str | None
    partitions: dg.PartitionsDefinition
    column: str

    @property
    def by_time(self) -> bool:
        """Whether its partitions are stretches of time."""
        return isinstance(self.partitions, dg.TimeWindowPartitionsDefinition)

    def key(self, partition: str) -> str:
        """The key in this dimension of one of the asset's partitions."""
        if self.name is None:
            return partition
        assert isinstance(partition, dg.MultiPartitionKey)
        return partition.keys_by_dimension[self.name]


@dataclass(frozen=True)
class Slice:
    """Rows that are replaced or read together: of a window, with certain values."""

    window: Window | None
    scope: Mapping[str, Any]


def dimensions(partitions: dg.PartitionsDefinition, expression: Any, asset: str) -> list[Dimension]:
    """The dimensions of an asset's partitions; ValueError where the expression (its metadata
    `partition_expr`: a column, or dimension -> column) does not name a column for each of them."""
    if isinstance(partitions, dg.MultiPartitionsDefinition):
        names = [part.name for part in partitions.partitions_defs]
        if not isinstance(expression, Mapping) or set(expression) != set(names):
            raise ValueError(
                f"{asset} has the partition dimensions {' and '.join(names)}: say which column "
                f"each stands in, metadata={{'partition_expr': {{{names[0]!r}: '<column>', ...}}}}"
            )
        return [
            Dimension(part.name, part.partitions_def, str(expression[part.name]))
            for part in partitions.partitions_defs
        ]
    if not isinstance(expression, str):
        raise ValueError(
            f"{asset} is partitioned: say by which column, "
            "metadata={'partition_expr': '<column>'}"
        )
    return [Dimension(None, partitions, expression)]


def slices(
    parts: Sequence[Dimension], columns: Mapping[str, Column], keys: Sequence[str]
) -> tuple[list[Slice], dict[str, Slice]]:
    """The rows of some partitions: all together in as few slices as there can be, and of each key.
    ValueError where a column is of a type that cannot tell such partitions apart."""
    of_key = {key: _slice_of(parts, columns, key) for key in keys}
    windows = sorted({one.window for one in of_key.values() if one.window is not None})
    values = {
        name: list(dict.fromkeys(v for one in of_key.values() for v in one.scope[name]))
        for name in (next(iter(of_key.values())).scope if of_key else ())
    }
    combinations = max(len(windows), 1)
    for dimension in parts:
        if dimension.column in values:
            combinations *= len({dimension.key(key) for key in keys})
    if combinations != len(of_key):
        return list(of_key.values()), of_key
    fixed = {name: many[0] if len(many) == 1 else many for name, many in values.items()}
    whole = [Slice(window, fixed) for window in (Window.joined(windows) or [None])]
    return whole, of_key


def _slice_of(parts: Sequence[Dimension], columns: Mapping[str, Column], key: str) -> Slice:
    window, scope = None, {}
    for dimension in parts:
        column, own = columns[dimension.column], dimension.key(key)
        if dimension.by_time and column.type in ("timestamptz", "timestamp"):
            if window is not None:
                raise ValueError("only one dimension of time can be a column of timestamps")
            start, end = _ends(dimension, own)
            window = Window(start, end)
        elif dimension.by_time and column.type == "date":
            scope[column.name] = _days(*_ends(dimension, own), column.name)
        else:
            scope[column.name] = [_value(own, column)]
    return Slice(window, scope)


def _ends(dimension: Dimension, key: str) -> tuple[datetime, datetime]:
    assert isinstance(dimension.partitions, dg.TimeWindowPartitionsDefinition)
    window = dimension.partitions.time_window_for_partition_key(key)
    return window.start, window.end


def _days(start: datetime, end: datetime, column: str) -> list[date]:
    """The days of a partition by its own time zone's calendar."""
    if start.time() != time(0) or end.time() != time(0):
        raise ValueError(
            f"{column} is a column of dates, and a partition begins or ends within a day; "
            "partition by a column of timestamps"
        )
    return [start.date() + timedelta(days=n) for n in range((end.date() - start.date()).days)]


def _value(key: str, column: Column) -> Any:
    """A partition's key as a value of the column."""
    try:
        if column.type == "text":
            return key
        if column.type in ("bigint", "integer"):
            return int(key)
        if column.type.startswith("decimal"):
            return Decimal(key)
        if column.type == "date":
            return date.fromisoformat(key)
        if column.type == "boolean":
            return {"true": True, "false": False}[key.lower()]
    except (ValueError, KeyError, InvalidOperation):
        raise ValueError(
            f"the partition {key!r} is no value of column {column.name}, which is {column.type}"
        ) from None
    raise ValueError(
        f"column {column.name} is {column.type}, which cannot tell partitions apart; use a text, "
        "number, date or boolean column, or one of timestamps for time partitions"
    )
