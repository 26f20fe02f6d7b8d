"""SQL both adapters share: quoted identifiers, bound values, conditions of windows and scopes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hog_dagster.warehouse._loading.conform import is_many
from hog_dagster.warehouse.schema import Table, Window

__all__ = [
    "Where",
    "bound",
    "literal",
    "order_terms",
    "ordering",
    "percent",
    "quote",
    "standard_literal",
]


def quote(name: str) -> str:
    """An identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'


def percent(sql: str) -> str:
    """SQL without placeholders, fit for a statement with ``%s`` ones in it."""
    return sql.replace("%", "%%")


def standard_literal(value: Any) -> str:
    """A value as standard SQL writes it, where no database says otherwise."""
    if value is None or isinstance(value, bool):
        return {None: "NULL", True: "TRUE", False: "FALSE"}[value]
    return str(value) if isinstance(value, (int, float)) else literal(str(value))


def literal(text: str) -> str:
    """A string literal, for the statements that take no bound values (comments)."""
    return "'" + text.replace("'", "''") + "'"


@dataclass
class Where:
    """A condition and its values, in the database's placeholder style."""

    placeholder: str
    parts: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        placeholder: str,
        table: Table,
        window: Window | None,
        scope: Mapping[str, Any],
        prefix: str = "",
    ) -> "Where":
        where = cls(placeholder)
        if window is not None and table.time_column is not None:
            column = prefix + where.quoted(table.time_column)
            naive = table.column(table.time_column).type == "timestamp"
            where.parts.append(f"{column} >= {placeholder} AND {column} < {placeholder}")
            where.values += [bound(window.start, naive), bound(window.end, naive)]
        for name, value in scope.items():
            where.match(prefix + where.quoted(name), value)
        return where

    def quoted(self, name: str) -> str:
        return percent(quote(name)) if self.placeholder == "%s" else quote(name)

    def match(self, column: str, value: Any) -> None:
        """Add: the column equals the value, or any of the values."""
        if value is None:
            self.parts.append(f"{column} IS NULL")
        elif is_many(value):
            values = list(value)
            marks = ", ".join([self.placeholder] * len(values))
            self.parts.append(f"{column} IN ({marks})" if values else "FALSE")
            self.values += values
        else:
            self.parts.append(f"{column} = {self.placeholder}")
            self.values.append(value)

    @property
    def sql(self) -> str:
        """`` WHERE ...``, or nothing."""
        return f" WHERE {' AND '.join(self.parts)}" if self.parts else ""


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


def ordering(table: Table, order_by: str | Sequence[str] | None, limit: int | None) -> str:
    """`` ORDER BY ... LIMIT ...``, or nothing. ValueError for an unknown column or bad limit."""
    terms = [
        quote(column) + (" DESC" if down else "")
        for column, down in order_terms(table, order_by, limit)
    ]
    sql = f" ORDER BY {', '.join(terms)}" if terms else ""
    return sql if limit is None else f"{sql} LIMIT {int(limit)}"
