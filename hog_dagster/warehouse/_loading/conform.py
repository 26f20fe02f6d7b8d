"""Rows of any origin -> Arrow tables of a declared table: columns by name, types without loss.

Values are converted only where nothing is lost (Arrow's own safe casts); anything else is refused
before a database is touched.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from hog_dagster.warehouse._loading.repeated import listed, repeated
from hog_dagster.warehouse.errors import InvalidRows
from hog_dagster.warehouse.schema import Column, Table, Window, arrow_type

Rows = Sequence[Mapping[str, Any]]
Batch = pa.RecordBatch | pa.Table | Rows
Scope = Mapping[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_many(value: Any) -> bool:
    """Whether a scope's value stands for several ("any of these") and not for one."""
    return isinstance(value, (list, tuple, set, frozenset))


def to_arrow(table: Table, batch: Batch) -> pa.Table:
    """One batch as an Arrow table of the columns it has; dicts are read by declared type."""
    if isinstance(batch, pa.Table):
        return batch
    if isinstance(batch, pa.RecordBatch):
        return pa.Table.from_batches([batch])
    if not isinstance(batch, Sequence) or not all(isinstance(row, Mapping) for row in batch):
        raise InvalidRows(
            f"{table.schema}.{table.name}: a batch must be an Arrow table, a record batch or a "
            f"list of dicts, not {type(batch).__name__}"
        )
    names: dict[str, None] = {}
    for row in batch:
        names.update(dict.fromkeys(row))
    _refuse_unknown(table, names)
    present = [name for name in table.column_names if name in names]
    arrays = [_column_of_dicts(table, table.column(name), batch) for name in present]
    return pa.Table.from_arrays(arrays, names=present)


def _column_of_dicts(table: Table, column: Column, rows: Rows) -> pa.Array:
    values = [row.get(column.name) for row in rows]
    try:
        if column.type == "json":
            return pa.array([_json_text(value) for value in values], pa.string())
        if column.type == "timestamptz":
            for value in values:
                if isinstance(value, datetime) and value.tzinfo is None:
                    raise ValueError("there are moments that have no time zone")
            if any(isinstance(value, str) for value in values):
                return pc.cast(pa.array(values, pa.string()), arrow_type(column.type))
        return pa.array(values, arrow_type(column.type))
    except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        raise _unfit(table, column, error) from None


def _json_text(value: Any) -> str | None:
    """JSON text stays as it is; anything else is encoded."""
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value, enc_hook=str).decode()


def conform(table: Table, rows: pa.Table, *, window: Window | None, scope: Scope) -> pa.Table:
    """The rows with exactly the declared columns, in declared order and type.

    Columns the rows lack are filled from the scope, else with nulls. Raises InvalidRows for a
    column that is not declared, a value that does not fit its type, a null where none is allowed,
    a row outside the window or the scope.
    """
    _refuse_unknown(table, rows.column_names)
    if len(set(rows.column_names)) != rows.num_columns:
        raise InvalidRows(f"{_name(table)}: the rows hold a column twice: {rows.column_names}")
    present = set(rows.column_names)
    arrays: list[pa.ChunkedArray | pa.Array] = []
    for column in table.columns:
        if column.name in present:
            arrays.append(_convert(table, column, rows.column(column.name)))
        else:
            value = scope.get(column.name)
            value = None if is_many(value) else value
            arrays.append(repeated(value, arrow_type(column.type), rows.num_rows))
    conformed = pa.Table.from_arrays(arrays, schema=table.arrow_schema)
    if conformed.num_rows:
        _check_required(table, conformed)
        _check_window(table, conformed, window)
        _check_scope(table, conformed, scope)
    return conformed


def _refuse_unknown(table: Table, names: Any) -> None:
    if unknown := [str(name) for name in names if name not in table]:
        raise InvalidRows(
            f"{_name(table)} does not declare column {', '.join(unknown)}; declare it, or leave "
            "it out of the rows"
        )


def _convert(table: Table, column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    target = arrow_type(column.type)
    try:
        values = _plain(values)
        source = values.type
        if source == target:
            if pa.types.is_temporal(target):
                _refuse_far(values)
            return values
        if column.type == "json" and not _is_text(source):
            return pa.chunked_array([[_json_text(v) for v in values.to_pylist()]], pa.string())
        if column.type == "timestamptz" and pa.types.is_timestamp(source) and source.tz is None:
            raise ValueError("its timestamps have no time zone; make them aware, in UTC")
        if column.type == "timestamp" and pa.types.is_timestamp(source) and source.tz is not None:
            raise ValueError("its timestamps have a time zone; declare the column timestamptz")
        if not _is_kin(source, target):
            raise ValueError(f"they are {source}")
        if pa.types.is_timestamp(source) and pa.types.is_timestamp(target):
            _refuse_far(pc.cast(values, pa.timestamp("us", source.tz), safe=False))
            # Nanoseconds are cut to microseconds, the unit of both databases.
            return pc.cast(values, target, safe=False)
        cast = pc.cast(values, target)
        if pa.types.is_date(target):
            _refuse_far(cast)
        return cast
    except (ValueError, TypeError, pa.ArrowException) as error:
        raise _unfit(table, column, error) from None


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values without what Arrow has around them: dictionaries, run lengths, its type for JSON."""
    kind = plain_type(values.type)
    if kind == values.type:
        return values
    chunks = []
    for chunk in values.chunks:
        if pa.types.is_run_end_encoded(chunk.type):
            chunk = pc.call_function("run_end_decode", [chunk])
        if isinstance(chunk, pa.ExtensionArray):
            chunk = chunk.storage
        if pa.types.is_dictionary(chunk.type):
            # Arrow takes nothing out of a dictionary of string views, which polars has.
            words = chunk.dictionary
            words = words.cast(pa.string()) if pa.types.is_string_view(words.type) else words
            chunk = pc.call_function("take", [words, chunk.indices])
        chunks.append(chunk)
    return pa.chunked_array(chunks, chunks[0].type if chunks else kind)


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of values whatever Arrow has around them."""
    if pa.types.is_run_end_encoded(kind) or pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    return kind.storage_type if getattr(kind, "extension_name", "") == "arrow.json" else kind


_BOUNDS = (datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
_MICROSECONDS = [(at - _EPOCH) // timedelta(microseconds=1) for at in _BOUNDS]
_DAYS = [(at - _EPOCH).days for at in _BOUNDS]


def _refuse_far(values: pa.ChunkedArray) -> None:
    """ValueError for a moment that no datetime holds; infinity of a database is one."""
    if is_far(values):
        raise ValueError("there are moments before year 1 or after year 9999, or infinite ones")


def is_far(values: pa.ChunkedArray | pa.Array) -> bool:
    """Whether there is a moment that no datetime holds, or a day that no date holds."""
    days = pa.types.is_date(values.type)
    ends = pc.call_function("min_max", [values.cast(pa.int32() if days else pa.int64())])
    first, last = ends["min"].as_py(), ends["max"].as_py()
    least, most = _DAYS if days else _MICROSECONDS
    return first is not None and (first < least or last > most)


def _is_kin(source: pa.DataType, target: pa.DataType) -> bool:
    """Whether values of the one type mean the same in the other, where they fit at all."""
    t = pa.types
    if t.is_null(source):
        return True
    if t.is_string(target):
        return _is_text(source)
    if t.is_integer(target) or t.is_floating(target) or t.is_decimal(target):
        return t.is_integer(source) or t.is_floating(source) or t.is_decimal(source)
    if t.is_timestamp(target):
        return t.is_timestamp(source) or (_is_text(source) and target.tz is not None)
    if t.is_date(target):
        return t.is_date(source)
    if t.is_binary(target):
        kinds = (t.is_binary, t.is_large_binary, t.is_fixed_size_binary, t.is_binary_view)
        return any(is_so(source) for is_so in kinds)
    return source == target


def _is_text(data_type: pa.DataType) -> bool:
    return (
        pa.types.is_string(data_type)
        or pa.types.is_large_string(data_type)
        or pa.types.is_string_view(data_type)
        or pa.types.is_null(data_type)
    )


def _check_required(table: Table, rows: pa.Table) -> None:
    for column in table.columns:
        if table.required(column) and (nulls := rows.column(column.name).null_count):
            raise InvalidRows(
                f"{_name(table)}: column {column.name} may not be null, and is null in {nulls} of "
                f"{rows.num_rows} rows"
            )


def _check_window(table: Table, rows: pa.Table, window: Window | None) -> None:
    if window is None or table.time_column is None:
        return
    times = rows.column(table.time_column)
    if times.null_count:
        raise InvalidRows(
            f"{_name(table)}: {times.null_count} rows have no {table.time_column}, so they belong "
            f"to no window; the load was of {window}"
        )
    bounds = pc.call_function("min_max", [times.cast(pa.int64())]).as_py()
    first, last = (_EPOCH + timedelta(microseconds=bounds[end]) for end in ("min", "max"))
    if first < window.start or last >= window.end:
        raise InvalidRows(
            f"{_name(table)}: rows with {table.time_column} from {first} to {last} do not lie in "
            f"the window {window} that is being replaced; the next load would double them"
        )


def _check_scope(table: Table, rows: pa.Table, scope: Scope) -> None:
    for name, value in scope.items():
        values = rows.column(name)
        kind = arrow_type(table.column(name).type)
        if value is None:
            fits = values.is_null()
        else:
            allowed = listed(value if is_many(value) else [value], kind)
            options = pc.SetLookupOptions(value_set=allowed)
            fits = pc.call_function("is_in", [values], options)
        if not pc.call_function("all", [fits]).as_py():
            raise InvalidRows(
                f"{_name(table)}: there are rows whose {name} is not in the scope that is being "
                "replaced; the next load would double them"
            )


# What Arrow says besides the value, which may be anybody's address.
_SAID = re.compile(
    r"tried to convert to .*|truncated converting to .*|as a scalar of type .*|not in range.*"
    r"|would lose data|too large to convert|with type \S+: .*"
)


def reason_of(error: BaseException) -> str:
    """Why Arrow refuses values, without the value it quotes."""
    if isinstance(error, UnicodeError):
        return "there is text with half of a surrogate pair, which is no character"
    if isinstance(error, ValueError) and not isinstance(error, pa.ArrowException):
        return str(error)
    said = _SAID.search((str(error).splitlines() or [""])[0])
    return said[0] if said else type(error).__name__


def _unfit(table: Table, column: Column, error: BaseException) -> InvalidRows:
    return InvalidRows(
        f"{_name(table)}: the values for column {column.name} do not fit its type "
        f"{column.type}: {reason_of(error)}"
    )


def _name(table: Table) -> str:
    return f"{table.schema}.{table.name}"
