"""ClickHouse types, as PostHog names them in a response's ``types``, to declared column types.

Facts: ClickHouse's type names; PostHog also answers with PostgreSQL's for tables it reads there.
"""

from dataclasses import dataclass

from hog_dagster.posthog._insight_rows.columns import ColumnType

_WRAPPERS = frozenset(("nullable", "lowcardinality"))
_ALIKE: tuple[tuple[ColumnType, tuple[str, ...]], ...] = (
    ("boolean", ("bool", "boolean")),
    ("date", ("date", "date32")),
    ("double", ("double", "double precision", "real", "bfloat16", "numeric")),
    ("bigint", ("integer", "int", "bigint", "smallint")),
    ("timestamptz", ("timestamptz", "timestamp with time zone")),
    ("timestamptz", ("timestamp", "timestamp without time zone")),
    ("json", ("array", "tuple", "map", "nested", "json", "jsonb", "object", "variant", "dynamic")),
    ("json", ("point", "ring", "linestring", "multilinestring", "polygon", "multipolygon")),
)
_EXACT: dict[str, ColumnType] = {name: kind for kind, names in _ALIKE for name in names}


@dataclass(frozen=True, slots=True)
class CellType:
    """A declared type; ``zone`` is the time zone that a DateTime names."""

    type: ColumnType
    zone: str | None = None


def cell_type(name: str) -> CellType:
    """The declared type of a ClickHouse type.

    Whole numbers up to 64 bits are bigint (of UInt64 the lower half fits), wider ones text;
    Decimal is double; arrays, tuples, maps and JSON are json; what is not known is text.
    """
    base, arguments = _split(name)
    while base in _WRAPPERS and arguments:
        base, arguments = _split(arguments[0])
    if base == "simpleaggregatefunction" and len(arguments) > 1:
        return cell_type(arguments[1])
    if base.startswith("datetime"):
        zones = [a.strip("'\" ") for a in arguments if a.strip().startswith(("'", '"'))]
        return CellType("timestamptz", zones[0] if zones else None)
    if base.startswith(("decimal", "float")):
        return CellType("double")
    if base.startswith(("int", "uint")) and base.lstrip("uint").isdigit():
        return CellType("bigint" if int(base.lstrip("uint")) <= 64 else "text")
    if base.startswith("interval"):
        return CellType("bigint")
    return CellType(_EXACT.get(base, "text"))


def _split(name: str) -> tuple[str, list[str]]:
    """``Map(String, Array(Int8))`` -> ``map`` and its arguments, quotes and nesting respected."""
    name = name.strip()
    base, bracket, rest = name.partition("(")
    if not bracket or not rest.endswith(")"):
        return name.lower(), []
    arguments, depth, quote, current = [], 0, "", ""
    for letter in rest[:-1]:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
        elif letter == "," and depth == 0:
            arguments.append(current.strip())
            current = ""
            continue
        current += letter
    arguments.append(current.strip())
    return base.strip().lower(), arguments
