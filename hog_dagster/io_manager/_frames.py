"""Data frames of any library -> rows for the warehouse, and back.

Facts: frames of polars, DuckDB, ibis, arro3, cuDF and others give themselves out as Arrow by the
PyCapsule protocol (``__arrow_c_stream__``). pandas' columns of objects need help: a dict has no
fixed shape, and becomes JSON before Arrow can guess a struct from the first ones. polars gives
columns of Python objects out as their addresses, and 128-bit integers as a type no other knows.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa

from hog_dagster.warehouse import Column, plain_type, reason_of
from hog_dagster.warehouse.errors import InvalidRows

#: What an input's annotation may be, and how it is called in settings.
FRAMES = {
    "pandas": "pandas.DataFrame",
    "polars": "polars.DataFrame",
    "polars lazy": "polars.LazyFrame",
    "arrow": "pyarrow.Table",
}


@dataclass(frozen=True)
class Rows:
    """A frame as Arrow batches, and the columns it shows.

    ``untyped`` names those without a single value, whose type nobody can know; they are declared
    text until a value comes.
    """

    columns: list[Column]
    batches: Iterable[pa.Table | pa.RecordBatch]
    untyped: frozenset[str] = field(default_factory=frozenset)


def kind_of(annotation: Any) -> str | type | None:
    """The frame an annotation asks for: its name in ``FRAMES``, or the class itself where that can
    be made ``from_arrow``; None for anything else."""
    module, name = getattr(annotation, "__module__", ""), getattr(annotation, "__name__", "")
    library = str(module).split(".")[0]
    for kind, wanted in FRAMES.items():
        if (library, name) == tuple(wanted.split(".")) or (
            library == "pyarrow" and wanted == f"pyarrow.{name}"
        ):
            return kind
    return annotation if callable(getattr(annotation, "from_arrow", None)) else None


def to_rows(frame: Any, name: str) -> Rows:
    """A DataFrame of pandas, a LazyFrame of polars, or any frame, table, batch or reader that gives
    itself out as Arrow, as rows. InvalidRows for anything else, or a column that no type carries.
    """
    library = type(frame).__module__.split(".")[0]
    if library == "polars" and type(frame).__name__ == "LazyFrame":
        frame = frame.collect()
    if library == "pandas" and type(frame).__name__ == "DataFrame":
        table, as_json = _of_pandas(frame, name)
        return _rows(table.schema, [table], name, as_json)
    if library == "polars":
        _refuse_own_types(frame, name)
    if isinstance(frame, pa.Table):
        return _rows(frame.schema, [frame], name)
    try:
        if hasattr(frame, "__arrow_c_stream__"):
            reader = pa.RecordBatchReader.from_stream(frame)
            return _rows(reader.schema, reader, name)
        if hasattr(frame, "__arrow_c_array__"):
            batch = pa.record_batch(frame)
            return _rows(batch.schema, [batch], name)
    except pa.ArrowException as error:
        failure = InvalidRows(
            f"{name}: the {type(frame).__module__}.{type(frame).__name__} cannot be given out as "
            f"Arrow: {reason_of(error)}"
        )
    else:
        failure = InvalidRows(
            f"{name}: a {type(frame).__module__}.{type(frame).__name__} cannot be stored as a "
            "table; return a pandas or polars DataFrame, an Arrow table, batch or reader, or any "
            "frame that has __arrow_c_stream__"
        )
    raise failure


# What polars holds and Arrow does not, with what to do about it.
_OWN_TYPES = {
    "Object": "Python objects; make it text, numbers or structs first",
    "Int128": "128-bit integers; cast it to Int64, Decimal(38, 0) or String first",
    "UInt128": "128-bit integers; cast it to Int64, Decimal(38, 0) or String first",
}


def _refuse_own_types(frame: Any, name: str) -> None:
    schema = getattr(frame, "schema", None) or {}
    for column, kind in schema.items():
        for one in _types_within(kind):
            if remedy := _OWN_TYPES.get(str(one)):
                raise InvalidRows(f"{name}: column {column} holds {remedy}")


def _types_within(kind: Any) -> Iterator[Any]:
    """A type of polars, and those of its items or fields."""
    yield kind
    for field_of in getattr(kind, "fields", ()):
        yield from _types_within(field_of.dtype)
    if (inner := getattr(kind, "inner", None)) is not None:
        yield from _types_within(inner)


def _rows(
    schema: pa.Schema,
    batches: Iterable[pa.Table | pa.RecordBatch],
    name: str,
    as_json: Iterable[str] = (),
) -> Rows:
    if len(set(schema.names)) != len(schema.names):
        raise InvalidRows(f"{name}: the frame holds a column twice: {', '.join(schema.names)}")
    columns, untyped = [], set()
    for arrow in schema:
        kind = "json" if arrow.name in as_json else type_name(arrow.type)
        if kind is None:
            raise InvalidRows(
                f"{name}: column {arrow.name} holds {arrow.type}, for which there is no column "
                "type; make it text or a number first"
            )
        if pa.types.is_null(arrow.type):
            untyped.add(arrow.name)
        columns.append(Column(arrow.name, kind))
    return Rows(columns, batches, frozenset(untyped))


def type_name(kind: pa.DataType) -> str | None:
    """Our column type for values of an Arrow type; None where there is none.

    All integers are bigint and all floats double, so that a frame with larger numbers later on
    changes nothing; whatever is nested is JSON.
    """
    t = pa.types
    if getattr(kind, "extension_name", "") == "arrow.json":
        return "json"
    kind = plain_type(kind)
    tests = {
        "text": (t.is_string, t.is_large_string, t.is_string_view, t.is_null),
        "boolean": (t.is_boolean,),
        "bigint": (t.is_integer,),
        "double": (t.is_floating,),
        "date": (t.is_date,),
        "bytes": (t.is_binary, t.is_large_binary, t.is_fixed_size_binary, t.is_binary_view),
        "json": (
            t.is_struct,
            t.is_list,
            t.is_large_list,
            t.is_fixed_size_list,
            t.is_list_view,
            t.is_large_list_view,
            t.is_map,
        ),
    }
    for name, ask in tests.items():
        if any(is_so(kind) for is_so in ask):
            return name
    if t.is_timestamp(kind):
        return "timestamp" if kind.tz is None else "timestamptz"
    if t.is_decimal(kind):
        digits = kind.precision - min(kind.scale, 0)
        return f"decimal({digits},{max(kind.scale, 0)})" if digits <= 38 else None
    return None


def _of_pandas(frame: Any, name: str) -> tuple[pa.Table, set[str]]:
    """A pandas frame without its index, and the columns that were encoded as JSON."""
    arrays, as_json = [], set()
    names = [str(column) for column in frame.columns]
    for position, column in enumerate(names):
        values = frame.iloc[:, position]
        try:
            if values.dtype == object and any(_is_nested(value) for value in values):
                as_json.add(column)
                arrays.append(pa.array([_json(value) for value in values], pa.string()))
            else:
                arrays.append(pa.array(values, from_pandas=True))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise InvalidRows(f"{name}: {_unlike(column, values, error)}") from None
    return pa.Table.from_arrays(arrays, names=names), as_json


def _unlike(column: str, values: Iterable[Any], error: Exception) -> str:
    """Why the values of a column are of no one type."""
    for value in values:
        if isinstance(value, Decimal) and value.is_infinite():
            return f"column {column} holds infinite decimals; make them null, or the column floats"
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            return (
                f"column {column} holds whole numbers of more than 64 bits; make it Decimal (38 "
                "digits at most) or text"
            )
    return f"the values for column {column} are not of one type: {reason_of(error)}"


def _is_nested(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple, set)) or type(value).__name__ == "ndarray"


def _json(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and value != value):
        return None
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return msgspec.json.encode(value, enc_hook=_plain).decode()


def _plain(value: Any) -> Any:
    """NumPy's scalars and arrays as Python's values; anything else as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def from_arrow(rows: pa.Table, kind: str | type) -> Any:
    """Arrow rows as the frame called ``kind`` in ``FRAMES``, or of the class ``kind``.

    Integers with nulls become pandas' Int64, which loses nothing; its default, float, would.
    """
    if not isinstance(kind, str):
        return kind.from_arrow(rows)  # type: ignore[attr-defined]
    if kind == "arrow":
        return rows
    if kind == "pandas":
        return _to_pandas(rows)
    try:
        import polars
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "polars frames need the extra 'polars': pip install 'hog-dagster[polars]'"
        ) from missing
    frame = polars.from_arrow(rows)
    assert isinstance(frame, polars.DataFrame)
    return frame.lazy() if kind == "polars lazy" else frame


def _to_pandas(rows: pa.Table) -> Any:
    import pandas as pd

    frame = rows.to_pandas()
    for arrow in rows.schema:
        column = rows.column(arrow.name)
        if pa.types.is_integer(arrow.type) and column.null_count:
            frame[arrow.name] = column.to_pandas(types_mapper={arrow.type: pd.Int64Dtype()}.get)
    return frame
