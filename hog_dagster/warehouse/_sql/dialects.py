"""How each engine writes names, values, moments and JSON: sqlglot's dialects, and where they differ
from how tables are loaded here.

Facts: sqlglot 30's generators; the types that dlt 1.31 gives to columns in each engine (ClickHouse
``DateTime64(6, 'UTC')``, MySQL ``DATETIME(6)`` in UTC, BigQuery ``JSON``, Redshift ``SUPER``,
Snowflake ``VARIANT``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hog_dagster._shared.lazy import Lazy

if TYPE_CHECKING:
    from sqlglot import exp
else:
    exp = Lazy("sqlglot.expressions")

# Our types as sqlglot's, where an engine is to cast.
_TYPES = {
    "text": "text",
    "bigint": "bigint",
    "integer": "int",
    "double": "double",
    "boolean": "boolean",
    "timestamptz": "timestamptz",
    "timestamp": "timestamp",
    "date": "date",
    "json": "json",
    "bytes": "blob",
}
# The function that writes a JSON value as text; a cast to text elsewhere.
_JSON_TEXT = {"bigquery": "TO_JSON_STRING", "snowflake": "TO_JSON", "redshift": "JSON_SERIALIZE"}
# Engines whose moments have no zone; they are stored in UTC.
_NAIVE = ("mysql", "clickhouse")


@dataclass(frozen=True)
class Statement:
    """A statement and the values to bind to its placeholders, in order."""

    sql: str
    values: list[Any] = field(default_factory=list)


def quote(name: str) -> str:
    """An identifier in double quotes, as standard SQL, DuckDB and PostgreSQL have it."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class Dialect:
    """How an engine, by sqlglot's name of it, writes SQL; where it does not bind values to
    placeholders, they are literals."""

    name: str
    binds: bool = False

    def sql(self, expression: exp.Expr) -> str:
        """The text of an expression."""
        return expression.sql(dialect=self.name, comments=False)

    def identifier(self, name: str) -> exp.Identifier:
        """A name, quoted."""
        # In a statement with placeholders, psycopg takes a single percent sign for one of them.
        name = name.replace("%", "%%") if self.name == "postgres" and self.binds else name
        return exp.to_identifier(name, quoted=True)

    def table(self, path: Sequence[str]) -> exp.Table:
        """A table by the parts of its name: catalog, schema and table, or fewer."""
        parts = [self.identifier(part) for part in path]
        names = dict(zip(("this", "db", "catalog"), reversed(parts), strict=False))
        return exp.Table(**names)

    def column(self, name: str, table: str | None = None) -> exp.Column:
        """A column; ``table`` is an alias and is not quoted."""
        return exp.Column(
            this=self.identifier(name), table=exp.to_identifier(table) if table else None
        )

    def kind(self, type_name: str) -> exp.DataType:
        """One of our column types."""
        if type_name == "json" and self.name == "postgres":
            return exp.DataType.build("jsonb")
        return exp.DataType.build(_TYPES.get(type_name) or type_name)

    def literal(self, value: Any) -> exp.Expr:
        """A value as the engine writes it; ValueError for a kind of value that has no literal."""
        if value is None:
            return exp.null()
        if isinstance(value, bool):
            return exp.Boolean(this=value)
        if isinstance(value, (int, Decimal)) or (isinstance(value, float) and math.isfinite(value)):
            number = exp.Literal.number(str(abs(value)))
            return exp.Neg(this=number) if value < 0 else number
        if isinstance(value, datetime):
            return self.moment(value)
        if isinstance(value, date):
            return exp.cast(exp.Literal.string(value.isoformat()), "date")
        if isinstance(value, str):
            return exp.Literal.string(value)
        raise ValueError(f"a {type(value).__name__} cannot be written as a value in SQL")

    def moment(self, at: datetime) -> exp.Expr:
        """A moment; one without a zone is for columns without one."""
        aware = at.tzinfo is not None
        utc = at.astimezone(UTC).replace(tzinfo=None) if aware else at
        text = exp.Literal.string(utc.isoformat(sep=" ", timespec="microseconds"))
        if self.name == "clickhouse":
            digits, zone = exp.Literal.number(6), exp.Literal.string("UTC")
            return exp.Anonymous(this="toDateTime64", expressions=[text, digits, zone])
        if self.name in _NAIVE:
            return exp.cast(text, exp.DataType.build("datetime(6)", dialect="mysql"))
        if aware:
            return exp.cast(exp.Literal.string(f"{text.name}+00:00"), "timestamptz")
        return exp.cast(text, "timestamp")

    def json_text(self, column: exp.Expr) -> exp.Expr:
        """A JSON column as text."""
        if function := _JSON_TEXT.get(self.name):
            return exp.Anonymous(this=function, expressions=[column])
        return exp.cast(column, "text")

    def second(self, column: exp.Expr) -> exp.Expr:
        """The second that a moment falls in."""
        if self.name == "mysql":  # casting to DATETIME would round
            text = exp.Literal.string("%Y-%m-%d %T")
            return exp.Anonymous(this="DATE_FORMAT", expressions=[column, text])
        return exp.TimestampTrunc(this=column, unit=exp.var("SECOND"))
