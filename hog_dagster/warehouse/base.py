"""The one interface of all warehouses, and what its adapters share.

A load is one transaction: make or widen the table, delete the rows of the window and scope, insert
the new ones by column name. Readers see the old rows or the new ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType, TracebackType
from typing import Any, Self

import pyarrow as pa

from hog_dagster.warehouse._loading.conform import Batch, Scope, is_far
from hog_dagster.warehouse._sql import (
    Between,
    By,
    Measure,
    Second,
    Statement,
    Statements,
    order_terms,
)
from hog_dagster.warehouse.errors import TableMissing, WarehouseError
from hog_dagster.warehouse.schema import Column, Table, Window, read_as

__all__ = [
    "COUNTED",
    "Between",
    "By",
    "LoadResult",
    "Measure",
    "OpenTable",
    "Second",
    "Warehouse",
    "check_load",
    "check_upsert",
    "missing",
    "refuse_far",
    "selected",
]

COUNTED: Mapping[str, Measure] = MappingProxyType({"rows": "count"})
"""What is measured of a group when nothing else is asked: the number of its rows."""


@dataclass(frozen=True)
class LoadResult:
    """What a load did: rows loaded, their size in bytes as Arrow, seconds the database was held
    (not those spent waiting for rows), rows deleted to make place. The sum of several is their
    `sum(loads, LoadResult())`."""

    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    deleted: int = 0

    def __add__(self, other: "LoadResult") -> "LoadResult":
        return LoadResult(
            self.rows + other.rows,
            self.bytes + other.bytes,
            self.seconds + other.seconds,
            self.deleted + other.deleted,
        )


@dataclass(frozen=True)
class OpenTable:
    """A table that is there: its statements in the engine's words, and what runs one of them.

    ``terms`` are columns as ``batches`` takes them: it gives the rows of a statement of such terms,
    of the declared types."""

    statements: Statements
    rows: Callable[[Statement], Sequence[Sequence[Any]]]
    terms: Callable[[Sequence[str]], list[Any]]
    batches: Callable[[Statement, Sequence[str]], Iterable[pa.RecordBatch]]


#: ClickHouse takes statements of 256 kB, BigQuery of 1 MB, PostgreSQL 65,535 parameters.
_WINDOWS_AT_ONCE = 500


class Warehouse(ABC):
    """A place where declared tables live. Safe to share between threads.

    All methods raise errors of ``hog_dagster.warehouse.errors``; ValueError for calls that make no
    sense whatever the data (a window for a table without a time column).
    """

    kind: str
    retypes = True
    """Whether a load that replaces the whole table may give its columns other types."""

    @property
    @abstractmethod
    def location(self) -> str:
        """Where the tables are, for people and metadata. Holds no secret."""

    def table_name(self, table: Table) -> str:
        """``schema.table``, as a user would write it in SQL."""
        return f"{table.schema}.{table.name}"

    def stored_name(self, column: str) -> str:
        """What tells columns apart here: columns with the same stored name are one column."""
        return column

    def holds(self, declared: str, stored: str) -> bool:
        """Whether a column that is stored as the one type is, here, one of the declared type."""
        return declared == stored

    @abstractmethod
    def replace(
        self,
        table: Table,
        batches: Iterable[Batch],
        *,
        window: Window | None = None,
        scope: Scope | None = None,
    ) -> LoadResult:
        """Replace the rows of the window and the scope by the given ones, in one transaction.

        Without a window the whole table (within the scope) is replaced; with neither, columns may
        change their types as well. A scope maps columns to a
        value, or to a list of values meaning any of them; columns the rows lack are filled from
        it. The table is made or widened as declared, with no rows too. Rows outside the window or
        the scope are refused: the next load would not find them to delete.
        """

    @abstractmethod
    def upsert(
        self, table: Table, batches: Iterable[Batch], *, scope: Scope | None = None
    ) -> LoadResult:
        """Insert the rows, replacing those with the same key; other rows stay.

        Where two of the given rows share a key the later one stands. ``deleted`` counts rows that
        were replaced. ValueError for a table without a key.
        """

    def fill(
        self, table: Table, column: str, *, by: str, values: Mapping[str, str], scope: Scope
    ) -> int:
        """Give a text column that is new its values in the rows of earlier loads.

        Only nulls are replaced, in one transaction, which also adds the column where a load has
        not (DuckDB, PostgreSQL). Engines that change no row in place leave them.

        Args:
            table: the table, as declared.
            column: the column to fill.
            by: the column that says which value a row gets.
            values: value of `by` -> value of the column; rows of others stay null.
            scope: rows with these values only.

        Returns:
            How many rows were changed.
        """
        return 0

    def read_batches(
        self,
        table: Table,
        *,
        columns: Sequence[str] | None = None,
        window: Window | None = None,
        scope: Scope | None = None,
        order_by: str | Sequence[str] | None = None,
        limit: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The rows as record batches of the declared types. TableMissing before the first load.

        ``order_by`` takes column names, descending with a minus in front. Close the iterator, or
        walk it to its end: until then it may keep writers out.
        """
        names = selected(table, columns)
        fixed, order = check_load(table, window, scope), order_terms(table, order_by, limit)
        with self._opened(table) as there:
            if there is None:
                raise self._missing(table)
            terms = there.terms(names)
            query = there.statements.select(terms, window, fixed, order, limit)
            for batch in there.batches(query, names):
                yield refuse_far(table, batch)

    def read(
        self,
        table: Table,
        *,
        columns: Sequence[str] | None = None,
        window: Window | None = None,
        scope: Scope | None = None,
        order_by: str | Sequence[str] | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        """``read_batches`` as one Arrow table."""
        names = selected(table, columns)
        batches = self.read_batches(
            table, columns=names, window=window, scope=scope, order_by=order_by, limit=limit
        )
        return pa.Table.from_batches(batches, schema=table.arrow_schema_of(names))

    @abstractmethod
    @contextmanager
    def _opened(self, table: Table) -> Iterator[OpenTable | None]:
        """A table, on one connection; None when it is not there."""
        yield

    def _missing(self, table: Table) -> TableMissing:
        """The error for a table that is not there."""
        return missing(self.table_name(table), self.location)

    def count(
        self, table: Table, *, window: Window | None = None, scope: Scope | None = None
    ) -> int:
        """How many rows there are; 0 when the table does not exist yet."""
        fixed = check_load(table, window, scope)
        with self._opened(table) as there:
            if there is None:
                return 0
            ((rows,),) = there.rows(there.statements.count(window, fixed))
        return int(rows)

    def count_by_day(
        self, table: Table, windows: Sequence[Window], *, scope: Scope | None = None
    ) -> dict[Window, int]:
        """How many rows lie in each of the windows (days, as a rule): one query for 500."""
        if not windows:
            return {}
        fixed, counts = check_load(table, windows[0], scope), dict.fromkeys(windows, 0)
        with self._opened(table) as there:
            wanted = sorted(counts) if there is not None else []
            for start in range(0, len(wanted), _WINDOWS_AT_ONCE):
                some = wanted[start : start + _WINDOWS_AT_ONCE]
                ends = sorted({end for window in some for end in (window.start, window.end)})
                place = {end: number for number, end in enumerate(ends)}
                rows = there.rows(there.statements.count_between(ends, fixed)) if there else ()
                found = {int(number): int(rows) for number, rows in rows}
                for window in some:
                    inside = range(place[window.start], place[window.end])
                    counts[window] = sum(found.get(number, 0) for number in inside)
        return counts

    def aggregate(
        self,
        table: Table,
        *,
        by: Sequence[By] = (),
        measures: Mapping[str, Measure] = COUNTED,
        window: Window | None = None,
        scope: Scope | None = None,
        between: Between | None = None,
        at_least: int | None = None,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """What is measured of groups of rows, computed by the database.

        Args:
            table: the table; TableMissing before the first load.
            by: what rows are grouped by: columns, or ``Second(column)``. Without any all rows are
                one group.
            measures: name in the result -> ``"count"``, or ``("sum" | "min" | "max", column)``.
            window: rows of this window only.
            scope: rows with these values only.
            between: column of moments -> (from, until); rows within these bounds only. Until is
                excluded, None is no bound.
            at_least: groups of as many rows or more only.
            limit: at most as many groups: those of which the first measure is greatest.

        Returns:
            A dict for each group: the columns it is grouped by, and the measures. Moments are
            aware, in UTC, JSON is text.
        """
        fixed = check_load(table, window, scope)
        with self._opened(table) as there:
            if there is None:
                raise self._missing(table)
            query = there.statements.aggregate(
                by, measures, window, fixed, between, at_least=at_least, limit=limit
            )
            rows = there.rows(query)
        return _groups(table, by, measures, rows)

    @abstractmethod
    def read_named(self, path: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of any table or view of the database, whoever made it.

        Args:
            path: the parts of its name, one to three, as the user writes them.
            columns: the columns to read; None for the column names alone, without any row.

        Raises:
            InvalidQuery: there is no such table, or no such column.
        """

    @abstractmethod
    def describe(self, table: Table) -> list[Column] | None:
        """The columns the database really has, with their comments; None without a table.

        Types the integration does not use are given in the database's own words.
        """

    def readable(self, table: Table, stored: Sequence[Column]) -> list[Column]:
        """The columns that ``describe`` gave, each with the type of ours that it is read as.

        The database's own types become the type that is like them, and text where none is.
        """
        return [replace(column, type=read_as(column.type)) for column in stored]

    @abstractmethod
    def query(
        self, statement: str, params: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> pa.Table:
        """Run one read-only statement, in the database's own SQL and placeholder style."""

    def reading(self) -> AbstractContextManager[None]:
        """Within it all reads of this thread share one connection.

        Only for what is read at once: the connection may keep writers out.
        """
        return nullcontext()

    def loading(self) -> AbstractContextManager[None]:
        """Within it the connection of this thread's first load stays open, and what this thread
        reads and loads after that goes through it.

        Only for what is done at once after the load: the connection keeps others out.
        """
        return nullcontext()

    def close(self) -> None:  # noqa: B027 (most hold nothing between calls)
        """Give back what the warehouse holds. It may be used again afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def check_load(table: Table, window: Window | None, scope: Scope | None) -> dict[str, Any]:
    """The scope as a dict; ValueError where window or scope do not suit the table."""
    if window is not None and table.time_column is None:
        raise ValueError(f"{table.schema}.{table.name} has no time column to take a window of")
    scope = dict(scope or {})
    if unknown := [name for name in scope if name not in table]:
        raise ValueError(
            f"{table.schema}.{table.name}: the scope names unknown columns {', '.join(unknown)}"
        )
    return scope


def check_upsert(table: Table, scope: Scope | None) -> dict[str, Any]:
    """The scope as a dict; ValueError where the scope does not suit the table, or it has no key."""
    if not table.key:
        raise ValueError(f"{table.schema}.{table.name} declares no key to upsert by")
    return check_load(table, None, scope)


def selected(table: Table, columns: Sequence[str] | None) -> list[str]:
    """The column names to read, all by default. ValueError for one that is not declared."""
    names = list(table.column_names) if columns is None else list(columns)
    if unknown := [name for name in names if name not in table]:
        raise ValueError(
            f"{table.schema}.{table.name} has no column {', '.join(unknown)}; it has "
            f"{', '.join(table.column_names)}"
        )
    return names


def refuse_far(table: Table, batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch that was read; WarehouseError where it holds a moment that no datetime holds."""
    for name, values in zip(batch.schema.names, batch.columns, strict=True):
        dates = pa.types.is_date(values.type)
        if (dates or pa.types.is_timestamp(values.type)) and is_far(values):
            raise WarehouseError(
                f"{table.schema}.{table.name}: column {name} holds {'days' if dates else 'moments'}"
                " before year 1 or after year 9999, or infinite ones. Read the table without that "
                "column, or put null in their place"
            )
    return batch


def missing(table: str, place: str) -> TableMissing:
    """The error for a table that is not there."""
    return TableMissing(
        f"{table} is not in {place}: nothing has been loaded into it yet. Materialize its asset "
        "first"
    )


def _groups(
    table: Table, by: Sequence[By], measures: Mapping[str, Measure], rows: Iterable[Sequence[Any]]
) -> list[dict[str, Any]]:
    """The rows of an aggregate statement as dicts, with the declared types' values."""
    kinds: dict[str, str] = {}
    for one in by:
        name = one.column if isinstance(one, Second) else one
        kinds[name] = table.column(name).type
    for name, measure in measures.items():
        kinds[name] = "bigint" if measure == "count" else table.column(measure[1]).type
    return [
        {name: _plain(value, kind) for (name, kind), value in zip(kinds.items(), row, strict=True)}
        for row in rows
    ]


def _plain(value: Any, kind: str) -> Any:
    """A value of a driver as a plain one of a declared type."""
    if value is None:
        return None
    if kind in ("timestamptz", "timestamp"):
        at: datetime = datetime.fromisoformat(value) if isinstance(value, str) else value
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        return at if kind == "timestamptz" else at.replace(tzinfo=None)
    if kind in ("bigint", "integer"):
        return int(value)
    if kind == "double":
        return float(value)
    if kind.startswith("decimal"):
        return value if isinstance(value, Decimal) else Decimal(str(value))
    return bool(value) if kind == "boolean" else value


def local_key(table: Table, window: Window | None, scope: Mapping[str, Any]) -> bool:
    """Whether two rows with one key can only be both inside the window and scope, or neither."""
    in_window = window is None or table.time_column in table.key
    return in_window and all(name in table.key for name in scope)
