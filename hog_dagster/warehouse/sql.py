"""SQL both adapters share: quoted identifiers, bound values, conditions of windows and scopes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hog_dagster.warehouse.conform import is_many
from hog_dagster.warehouse.schema import Table, Window

__all__ = ["Where", "bound", "literal", "ordering", "percent", "quote"]


def quote(name: str) -> str:
    """An identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'


def percent(sql: str) -> str:
    """SQL without placeholders, fit for a statement with ``%s`` ones in it."""
    return sql.replace("%", "%%")


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


def ordering(table: Table, order_by: str | Sequence[str] | None, limit: int | None) -> str:
    """`` ORDER BY ... LIMIT ...``, or nothing. ValueError for an unknown column or bad limit."""
    names = [order_by] if isinstance(order_by, str) else list(order_by or ())
    terms = []
    for name in names:
        column, direction = (name[1:], " DESC") if name.startswith("-") else (name, "")
        if column not in table:
            raise ValueError(f"{table.schema}.{table.name} has no column {column} to order by")
        terms.append(quote(column) + direction)
    sql = f" ORDER BY {', '.join(terms)}" if terms else ""
    if limit is not None:
        if limit < 0:
            raise ValueError(f"limit {limit} is negative")
        sql += f" LIMIT {int(limit)}"
    return sql
