"""ClickHouse's names for the types of a query's columns, and values as its JSON prints them.

Facts: recorded `types` of typed queries; what cannot be told from the query is told from DuckDB.
"""

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from hog_dagster.sandbox.api._insight_math.query_data import iso, number

_ZONED = "DateTime64(6, '{zone}')"
_NAMED = {
    _ZONED: "timestamp created_at updated_at scheduled_at first_scheduled_at",
    f"Nullable({_ZONED})": "started_at finished_at",
    "UUID": "uuid person_id id",
    "String": "event properties",
    "Int64": "count index",
    "UInt8": "attempts is_retry is_deleted",
    "UInt64": "version",
    "Nullable(Int64)": "duration_ms",
}
#: What the columns of the tables are called in ClickHouse; ``{zone}`` is the project's.
COLUMN_TYPES: Mapping[str, str] = {
    name: kind for kind, names in _NAMED.items() for name in names.split()
}
_COUNTS = {"count", "countif", "uniq", "uniqif", "uniqexact", "length", "countdistinct"}
_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Like, exp.ILike)
_FLAGS = (*_COMPARED, exp.In, exp.And, exp.Or, exp.Not, exp.Is, exp.Between)
_ANSWERED = {
    "Date": "todate today yesterday tostartofweek tostartofmonth",
    "String": "tostring lower upper concat formatdatetime",
    "DateTime('{zone}')": ("now tostartofminute tostartofhour tostartofday tostartofinterval"),
    _ZONED: "todatetime todatetime64",
    "Nullable(Float64)": "tofloat",
    "Nullable(Int64)": "toint",
    "UInt32": "tounixtimestamp",
    "Int64": "datediff",
}
_FIXED = {name: kind for kind, names in _ANSWERED.items() for name in names.split()}
_FROM_DUCKDB: Mapping[str, str] = {
    "VARCHAR": "String",
    "BIGINT": "Int64",
    "HUGEINT": "Int64",
    "INTEGER": "Int32",
    "UBIGINT": "UInt64",
    "DOUBLE": "Float64",
    "FLOAT": "Float32",
    "BOOLEAN": "UInt8",
    "DATE": "Date",
    "JSON": "String",
    "UUID": "UUID",
}
_PASSED_ON = {"max", "min", "any", "anylast", "argmax", "argmin", "maxif", "minif", "argmaxif"}


def column_type(node: exp.Expr | None, duckdb_type: str, zone: str) -> str:
    """ClickHouse's type of a selected expression."""
    found = _of(node) if node is not None else None
    return (found or _translated(duckdb_type)).replace("{zone}", zone)


def _of(node: exp.Expr) -> str | None:
    if isinstance(node, exp.Alias | exp.Paren):
        return _of(node.this)
    if isinstance(node, exp.Column | exp.Bracket | exp.Dot):
        return _column(node)
    if isinstance(node, _FLAGS):
        return "UInt8"
    if isinstance(node, exp.Literal):
        return "String" if node.is_string else _integer(node.this)
    if isinstance(node, exp.If):
        return _maybe_null("if", [node.this, node.args["true"], node.args["false"]])
    if not isinstance(node, exp.Anonymous | exp.AnonymousAggFunc):
        return None
    name = (node.this if isinstance(node.this, str) else node.this.name).lower()
    first = node.expressions[0] if node.expressions else None
    if name in _COUNTS:
        return "UInt64"
    if name in _FIXED:
        return _FIXED[name]
    if name in _PASSED_ON and first is not None:
        return _of(first)
    if name in ("multiif", "nullif"):
        return _maybe_null(name, node.expressions)
    if name in ("avg", "avgif", "median", "quantile"):
        inner = _of(first) if first is not None else None
        return "Nullable(Float64)" if inner and inner.startswith("Nullable") else "Float64"
    if name in ("grouparray", "groupuniqarray") and first is not None:
        one = first.expressions[0] if isinstance(first, exp.Distinct) else first
        inner = _of(one)
        return f"Array({_bare(inner)})" if inner else None
    if name in ("sum", "sumif") and first is not None:
        inner = _of(first)
        return "Int64" if inner in ("Int64", "Int32") else inner
    return None


def _maybe_null(name: str, args: list[exp.Expr]) -> str | None:
    """The type of a choice, which is nullable where one of its values is null."""
    if name == "nullif":
        values = args[:1]
    else:
        values = args[1:-1:2] + args[-1:]
    kinds = [_of(value) for value in values if not isinstance(value, exp.Null)]
    if not kinds or kinds[0] is None:
        return None
    return f"Nullable({_bare(kinds[0])})" if name == "nullif" or len(kinds) < len(values) else None


def _column(node: exp.Expr) -> str | None:
    if isinstance(node, exp.Bracket):
        return "Nullable(String)"
    if isinstance(node, exp.Column):
        names = [part.name for part in node.parts]
        if "properties" in names[:-1]:
            return "Nullable(String)"
        return COLUMN_TYPES.get(names[-1])
    return None


def _bare(kind: str | None) -> str:
    kind = kind or "String"
    return kind.removeprefix("Nullable(").removesuffix(")") if "Nullable(" in kind else kind


def _integer(text: str) -> str:
    if not text.isdigit():
        return "Float64"
    value = int(text)
    return next((f"UInt{bits}" for bits in (8, 16, 32) if value < 1 << bits), "UInt64")


def _translated(kind: str) -> str:
    if kind.endswith("[]"):
        return f"Array({_translated(kind[:-2])})"
    if kind.startswith("TIMESTAMP"):
        return "DateTime64(6, '{zone}')"
    if kind.startswith("DECIMAL"):
        return "Float64"
    return _FROM_DUCKDB.get(kind, "String")


def cells(column: pa.ChunkedArray, zone: ZoneInfo) -> list[Any]:
    """A column of DuckDB's answer as the API answers it."""
    if pa.types.is_string(column.type) or pa.types.is_null(column.type):
        return column.to_pylist()
    if pa.types.is_timestamp(column.type) and column.type.tz and zone.key == "UTC":
        plain = column.cast(pa.timestamp("us"))
        options = pc.StrftimeOptions("%Y-%m-%dT%H:%M:%SZ")
        texts: pa.ChunkedArray = pc.call_function("strftime", [plain], options)
        return [text and text.replace(".000000Z", "Z") for text in texts.to_pylist()]
    if pa.types.is_timestamp(column.type) and column.type.tz:
        column = column.cast(pa.timestamp("us", tz="UTC"))
    return [_cell(value, zone) for value in column.to_pylist()]


def _cell(value: Any, zone: ZoneInfo) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Decimal):
        return number(float(value))
    if isinstance(value, datetime):
        return iso(value.astimezone(zone) if value.tzinfo else value.replace(tzinfo=zone))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, list | tuple):
        return [_cell(item, zone) for item in value]
    if isinstance(value, dict):
        return [_cell(item, zone) for item in value.values()]
    if isinstance(value, bytes):
        return json.loads(json.dumps(value.decode("utf-8", "replace")))
    return value
