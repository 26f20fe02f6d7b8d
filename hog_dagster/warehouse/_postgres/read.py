"""Rows of PostgreSQL as Arrow: tables by COPY in CSV, read by Arrow's own parser; queries by row.

COPY sends one message a row, so chunks of whole rows can be cut without looking into them.
"""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from io import BytesIO
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg.types.string import TextLoader
from pyarrow import csv

from hog_dagster.warehouse._loading.conform import reason_of
from hog_dagster.warehouse._sql import Statement
from hog_dagster.warehouse.errors import InvalidQuery, WarehouseError, raise_plainly
from hog_dagster.warehouse.schema import Table, arrow_type

_CHUNK_BYTES = 4 * 1024 * 1024

# PostgreSQL's type numbers (pg_type.dat) of what queries usually return.
_BY_OID: dict[int, pa.DataType] = {
    16: pa.bool_(),
    17: pa.binary(),
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    25: pa.string(),
    700: pa.float32(),
    701: pa.float64(),
    1043: pa.string(),
    1082: pa.date32(),
    1114: pa.timestamp("us"),
    1184: pa.timestamp("us", "UTC"),
}
_NUMERIC_OID = 1700


def copy_batches(
    cursor: psycopg.Cursor[Any], copying: Statement, table: Table, names: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Stream the rows that a COPY gives out as record batches of the declared types."""
    pending: list[bytes] = []
    size = 0
    # psycopg leaves a COPY without values as it is.
    text = copying.sql if copying.values else copying.sql.replace("%%", "%")
    with cursor.copy(text.encode(), copying.values) as copy:
        for row in copy:
            pending.append(bytes(row))
            size += len(row)
            if size >= _CHUNK_BYTES:
                yield from _parse(pending, table, names)
                pending, size = [], 0
        if pending:
            yield from _parse(pending, table, names)


def _parse(rows: list[bytes], table: Table, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    kinds = [table.column(name).type for name in names]
    wire = {str(i): _wire_type(kind) for i, kind in enumerate(kinds)}
    data = b"".join(rows)
    try:
        parsed = csv.read_csv(
            BytesIO(data),
            # One block: Arrow's parser takes no value that goes on into the next but one.
            read_options=csv.ReadOptions(
                column_names=list(wire), use_threads=False, block_size=len(data) + 1
            ),
            parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types=wire,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        columns = [_declared(parsed.column(i), kind) for i, kind in enumerate(kinds)]
    except (pa.ArrowException, UnicodeDecodeError) as error:
        failure = _unreadable(table, names, error)
    else:
        yield from pa.Table.from_arrays(columns, schema=table.arrow_schema_of(names)).to_batches()
        return
    raise_plainly(failure)


def _unreadable(table: Table, names: Sequence[str], error: Exception) -> WarehouseError:
    """Why rows cannot be read, without the value that Arrow quotes."""
    place = f"{table.schema}.{table.name}"
    column = re.search(r"CSV column #(\d+)", str(error))
    if column is None:
        return WarehouseError(f"{place}: a row cannot be read: {reason_of(error)}")
    name = names[int(column[1])]
    kind = table.column(name).type
    if "UTF8" in str(error):
        return WarehouseError(
            f"{place}: column {name} holds text that is not UTF-8, in a database that says nothing "
            "of its encoding (SQL_ASCII). Only a database that was made with ENCODING 'UTF8' can "
            "be read safely"
        )
    return WarehouseError(
        f"{place}: column {name} holds values that no {kind} of Arrow is: infinity, NaN, a date "
        "before year 1 or more digits. Read the table without that column, or put null in their "
        "place"
    )


def _wire_type(kind: str) -> pa.DataType:
    if kind in ("timestamptz", "timestamp"):
        return pa.int64()
    if kind == "boolean":
        return pa.int8()
    return pa.string() if kind == "bytes" else arrow_type(kind)


def _declared(column: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    if kind == "bytes":
        values = [None if text is None else bytes.fromhex(text) for text in column.to_pylist()]
        return pa.chunked_array([values], pa.binary())
    return pc.cast(column, arrow_type(kind))


def read_unusual_as_text(cursor: psycopg.Cursor[Any]) -> None:
    """Have the values of unusual types as the server writes them; before a query is run."""
    for info in cursor.adapters.types:
        for number in (info.oid, info.array_oid):
            if number and number not in _BY_OID and number != _NUMERIC_OID:
                cursor.adapters.register_loader(number, TextLoader)


def rows_to_arrow(cursor: psycopg.Cursor[Any]) -> pa.Table:
    """The response to any query, its types taken from the cursor; unusual ones become text.
    InvalidQuery for a numeric that is NaN, infinite, or has more digits than Arrow's decimals."""
    rows = cursor.fetchall()
    names, arrays = [], []
    for index, column in enumerate(cursor.description or ()):
        values = [row[index] for row in rows]
        kind = _BY_OID.get(column.type_code)
        names.append(column.name)
        if kind is not None:
            arrays.append(pa.array(values, kind))
        elif column.type_code == _NUMERIC_OID:
            arrays.append(_decimals(column.name, values))
        else:
            arrays.append(pa.array([v if v is None else str(v) for v in values], pa.string()))
    return pa.Table.from_arrays(arrays, names=names)


def _decimals(name: str, values: Sequence[Decimal | None]) -> pa.Array:
    try:
        if all(value is None or value.is_finite() for value in values):
            return pa.array(values)
    except pa.ArrowException:
        pass
    raise InvalidQuery(
        f"column {name} of the query holds numbers that no decimal of Arrow is: NaN, infinity or "
        "more than 76 digits. Leave it out, or cast it to double precision or text"
    )
