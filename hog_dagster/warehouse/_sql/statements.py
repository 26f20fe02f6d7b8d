"""The statements of one declared table: rows, counts, groups, conditions.

Everything here is an expression first and text in an engine's dialect at the end. Nulls come last
in every order, whatever an engine does by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from hog_dagster._shared.lazy import Lazy
from hog_dagster.warehouse._loading.conform import is_many
from hog_dagster.warehouse._sql.dialects import Dialect, Statement
from hog_dagster.warehouse.schema import Table, Window

if TYPE_CHECKING:
    from sqlglot import exp
else:
    exp = Lazy("sqlglot.expressions")


@dataclass(frozen=True)
class Second:
    """The second that the moments of a column fall in, to group by."""

    column: str


By = str | Second
"""What rows are grouped by: a column, or the second of one."""
Measure = Literal["count"] | tuple[Literal["sum", "min", "max"], str]
"""What is measured of a group: its rows, or a column of them."""
Between = Mapping[str, tuple[datetime | None, datetime | None]]
"""Bounds of columns of moments: from (included) and until (excluded)."""

_TEXTS = ("text", "char", "varchar")
_FUNCTIONS = {"sum": "Sum", "min": "Min", "max": "Max"}


@dataclass(frozen=True)
class Place:
    """Where a table stands in an engine: the parts of its name (catalog, schema and table, or
    fewer), the names of columns that are not stored as declared, and the types of the columns it
    has, by declared name; None for all, as declared."""

    path: tuple[str, ...]
    names: Mapping[str, str] = field(default_factory=dict)
    stored: Mapping[str, str] | None = None

    @classmethod
    def of(cls, table: Table, stored: Mapping[str, str] | None = None) -> Place:
        """Of a table that is called as declared."""
        return cls((table.schema, table.name), stored=stored)


class Statements:
    """The statements of a declared table in an engine's dialect."""

    def __init__(self, dialect: Dialect, table: Table, place: Place | None = None) -> None:
        self.dialect = dialect
        self.table = table
        self.place: Place = place or Place.of(table)
        self._values: list[Any] = []

    # -- parts

    @property
    def target(self) -> exp.Table:
        """The table's name."""
        return self.dialect.table(self.place.path)

    def column(self, name: str, alias: str | None = None) -> exp.Column:
        """A column by its declared name."""
        return self.dialect.column(self.place.names.get(name, name), alias)

    def _has(self, name: str) -> bool:
        return self.place.stored is None or name in self.place.stored

    def _value(self, value: Any) -> exp.Expr:
        if not self.dialect.binds:
            return self.dialect.literal(value)
        self._values.append(value)
        return exp.Placeholder()

    def _done(self, expression: exp.Expr) -> Statement:
        values, self._values = self._values, []
        return Statement(self.dialect.sql(expression), values)

    def condition(
        self,
        window: Window | None,
        scope: Mapping[str, Any],
        between: Between | None = None,
        *,
        alias: str | None = None,
    ) -> exp.Expr | None:
        """The rows of a window and scope; None for all."""
        spans: dict[str, tuple[datetime | None, datetime | None]] = dict(between or {})
        if window is not None and self.table.time_column is not None:
            spans = {self.table.time_column: (window.start, window.end), **spans}
        parts: list[exp.Expr] = []
        for name, (start, end) in spans.items():
            for at, compare in ((start, exp.GTE), (end, exp.LT)):
                if at is not None:
                    column = self.column(name, alias)
                    value = self._value(bound(at, self._naive(name)))
                    parts.append(compare(this=column, expression=value))
        for name, value in scope.items():
            parts.append(self._match(name, value, alias))
        return exp.and_(*parts) if parts else None

    def _naive(self, name: str) -> bool:
        """Whether the moments of a column have no zone."""
        kind = (self.place.stored or {}).get(name)
        declared = self.table.column(name).type
        return (kind if kind in ("timestamptz", "timestamp") else declared) == "timestamp"

    def _match(self, name: str, value: Any, alias: str | None) -> exp.Expr:
        """The column equals the value, or any of the values."""
        column: exp.Expr = self.column(name, alias)
        kind = (self.place.stored or {}).get(name, "text")
        if self.table.column(name).type == "text" and not kind.startswith(_TEXTS):
            # An enum or a uuid: a text that is none of its values is no error but no row.
            column = exp.cast(column, "text")
        if value is None:
            return exp.Is(this=column, expression=exp.null())
        if not is_many(value):
            return exp.EQ(this=column, expression=self._value(value))
        given = list(value)
        found = [self._value(one) for one in given if one is not None]
        parts: list[exp.Expr] = []
        if found:
            parts.append(exp.In(this=column, expressions=found))
        if len(found) < len(given):
            parts.append(exp.Is(this=column.copy(), expression=exp.null()))
        if not parts:
            one, two = exp.Literal.number(1), exp.Literal.number(0)
            return exp.EQ(this=one, expression=two)
        return exp.paren(exp.or_(*parts)) if len(parts) > 1 else parts[0]

    def condition_sql(
        self, window: Window | None, scope: Mapping[str, Any], *, alias: str | None = None
    ) -> Statement:
        """The condition alone; one that always holds for everything."""
        condition = self.condition(window, scope, alias=alias)
        one = exp.Literal.number(1)
        return self._done(condition or exp.EQ(this=one, expression=one.copy()))

    # -- rows

    def term(self, name: str, *, cast: bool = False) -> exp.Expr:
        """A column as a row's value: null where the table lacks it, JSON as text."""
        kind = self.table.column(name).type
        if not self._has(name):
            term: exp.Expr = exp.null()
        else:
            term = self.column(name)
            if not cast and (self.place.stored or {}).get(name) == "json":
                return self.dialect.json_text(term)
        return exp.cast(term, self.dialect.kind(kind)) if cast else term

    def select(
        self,
        terms: Iterable[exp.Expr],
        window: Window | None,
        scope: Mapping[str, Any],
        order: Sequence[tuple[str, bool]] = (),
        limit: int | None = None,
    ) -> Statement:
        """Rows; ``order`` are columns, and whether each is descending."""
        query = exp.select(*terms).from_(self.target).where(self.condition(window, scope))
        if keys := [(name, down) for name, down in order if self._has(name)]:
            query = query.order_by(*(_ordered(self.column(name), down) for name, down in keys))
        if limit is not None:
            query = query.limit(limit)
        return self._done(query)

    def delete(self, window: Window | None, scope: Mapping[str, Any]) -> Statement:
        """Take the rows of a window and scope away."""
        return self._done(exp.Delete(this=self.target, where=_where(self.condition(window, scope))))

    def fill(
        self, column: str, by: str, values: Mapping[str, str], scope: Mapping[str, Any]
    ) -> Statement:
        """Where a column is null: the value that belongs to another column's."""
        pairs = [
            exp.If(this=self._value(key), true=self._value(value)) for key, value in values.items()
        ]
        case = exp.Case(this=self.column(by), ifs=pairs)
        setting = exp.EQ(this=self.column(column), expression=case)
        only = {**scope, column: None, by: list(values)}
        where = _where(self.condition(None, only))
        return self._done(exp.Update(this=self.target, expressions=[setting], where=where))

    def take_replaced(self, stage: str) -> str:
        """Take the rows away whose key is among those of a staged table."""
        keys = [self.dialect.identifier(name).sql() for name in self.table.key]
        same = " AND ".join(f"s.{key} = t.{key}" for key in keys)
        target = self.dialect.sql(self.target)
        return f"DELETE FROM {target} AS t USING {stage} AS s WHERE {same}"

    def insert_last(self, stage: str, number: str) -> str:
        """Insert of the staged rows the last one of each key, by the column that numbers them."""
        names, keys = (
            ", ".join(self.dialect.identifier(name).sql() for name in some)
            for some in (self.table.column_names, self.table.key)
        )
        return (
            f"INSERT INTO {self.dialect.sql(self.target)} ({names}) SELECT {names} FROM ("
            f"SELECT *, row_number() OVER (PARTITION BY {keys} ORDER BY {number} DESC) AS "
            f"{number}_back FROM {stage}) AS staged WHERE {number}_back = 1"
        )

    # -- counts and groups

    def count(self, window: Window | None, scope: Mapping[str, Any]) -> Statement:
        """How many rows there are."""
        query = exp.select(exp.Count(this=exp.Star())).from_(self.target)
        return self._done(query.where(self.condition(window, scope)))

    def count_between(self, ends: Sequence[datetime], scope: Mapping[str, Any]) -> Statement:
        """How many rows lie between neighbours of these moments, in their order: the number of the
        earlier one, and how many. One pass, whatever the number of moments."""
        column = self.dialect.sql(self.column(self.table.time_column or ""))
        case = self._between(column, ends, 0, len(ends) - 1)
        where = self.condition_sql(Window(ends[0], ends[-1]), scope)
        number, target = (self.dialect.sql(one) for one in (self.dialect.column("n"), self.target))
        return Statement(
            f"SELECT {number}, COUNT(*) FROM (SELECT {case} AS {number} FROM {target} "
            f"WHERE {where.sql}) AS numbered GROUP BY {number}",
            where.values,
        )

    def _between(self, column: str, ends: Sequence[datetime], first: int, last: int) -> str:
        """The number of the moment that a row comes after; each question halves what is left.

        As text: a tree of sqlglot takes half a minute for the hours of two years.
        """
        if last - first == 1:
            return str(first)
        middle, name = (first + last) // 2, self.table.time_column or ""
        value = self._value(bound(ends[middle], self._naive(name)))
        mark = self.dialect.sql(value)
        before = self._between(column, ends, first, middle)
        return (
            f"CASE WHEN {column} < {mark} THEN {before} "
            f"ELSE {self._between(column, ends, middle, last)} END"
        )

    def doubled(self, window: Window | None, scope: Mapping[str, Any]) -> Statement:
        """How many keys stand in more than one row."""
        keys = [self.column(name) for name in self.table.key]
        inner = exp.select(exp.Literal.number(1)).from_(self.target)
        inner = inner.where(self.condition(window, scope))
        more = exp.GT(this=exp.Count(this=exp.Star()), expression=exp.Literal.number(1))
        inner = inner.group_by(*keys).having(more)
        return self._done(exp.select(exp.Count(this=exp.Star())).from_(inner.subquery("doubled")))

    def aggregate(
        self,
        by: Sequence[By],
        measures: Mapping[str, Measure],
        window: Window | None,
        scope: Mapping[str, Any],
        between: Between | None = None,
        *,
        at_least: int | None = None,
        limit: int | None = None,
    ) -> Statement:
        """Groups of rows and what is measured of them, in that order of columns; those of the
        greatest first measure come first."""
        groups = [self._group(one) for one in by]
        measured = {name: self._measured(one) for name, one in measures.items()}
        # Columns are told apart by their place: an alias that is a column's name as well would be
        # taken for that column in some engines, for the alias in others.
        names = [f"g{number}" for number in range(len(groups))]
        terms = [
            exp.alias_(term, name, quoted=True) for term, name in zip(groups, names, strict=True)
        ]
        terms += [
            exp.alias_(term, f"m{number}", quoted=True)
            for number, term in enumerate(measured.values())
        ]
        query = exp.select(*terms).from_(self.target)
        query = query.where(self.condition(window, scope, between))
        if groups:
            query = query.group_by(*(group.copy() for group in groups))
        if at_least is not None:
            number = exp.Literal.number(at_least)
            query = query.having(exp.GTE(this=exp.Count(this=exp.Star()), expression=number))
        if limit is not None:
            # Of equal groups those come first whose columns do, so that a response is one response.
            order = [_ordered(self.dialect.column("m0"), True)]
            order += [_ordered(self.dialect.column(name), False) for name in names]
            query = query.order_by(*order).limit(limit)
        return self._done(query)

    def _group(self, by: By) -> exp.Expr:
        if isinstance(by, Second):
            return (
                self.dialect.second(self.column(by.column)) if self._has(by.column) else exp.null()
            )
        return self.term(by)

    def _measured(self, measure: Measure) -> exp.Expr:
        if measure == "count":
            return exp.Count(this=exp.Star())
        function, name = measure
        if not self._has(name):
            return exp.null()
        return getattr(exp, _FUNCTIONS[function])(this=self.column(name))


def named(dialect: Dialect, path: Sequence[str], columns: Sequence[str] | None) -> str:
    """Rows of any table by the parts of its name; with no columns given all of them and no row."""
    table = dialect.table(path)
    if columns is None:
        return dialect.sql(exp.select(exp.Star()).from_(table).limit(0))
    return dialect.sql(exp.select(*(dialect.column(name) for name in columns)).from_(table))


def _where(condition: exp.Expr | None) -> exp.Where | None:
    return exp.Where(this=condition) if condition is not None else None


def _ordered(column: exp.Expr, down: bool) -> exp.Ordered:
    return exp.Ordered(this=column, desc=down, nulls_first=False)


def bound(at: datetime, naive: bool) -> datetime:
    """A window's end as the column's type has it: naive columns are taken to be in UTC."""
    return at.replace(tzinfo=None) if naive else at


def order_terms(
    table: Table, order_by: str | Sequence[str] | None, limit: int | None
) -> list[tuple[str, bool]]:
    """Columns to order by, and whether descending. ValueError for what cannot be meant."""
    if limit is not None and limit < 0:
        raise ValueError(f"limit {limit} is negative")
    names = [order_by] if isinstance(order_by, str) else list(order_by or ())
    terms = [(name[1:], True) if name.startswith("-") else (name, False) for name in names]
    for column, _ in terms:
        if column not in table:
            raise ValueError(f"{table.schema}.{table.name} has no column {column} to order by")
    return terms
