"""Our declared tables in dlt's terms: column hints, conditions, types read back.

Facts: dlt 1.31's schema (data types, hints) and its destinations' own escaping of names and values.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hog_dagster.warehouse._loading.stage import Stage
from hog_dagster.warehouse.errors import InvalidRows, SchemaConflict
from hog_dagster.warehouse.schema import Column, Table, arrow_type, widens

_STORED = {
    "text": "text",
    "bigint": "bigint",
    "double": "double",
    "bool": "boolean",
    "timestamp": "timestamptz",
    "date": "date",
    "json": "json",
    "binary": "bytes",
    "decimal": "decimal",
    "wei": "decimal",
}
# Digits after the point that dlt gives a decimal by default.
_SCALE = 9
# What destinations may store for a declared type: few have 32-bit integers, some no JSON, and not
# all tell timestamps with a zone from those without.
_SAME = {
    "integer": {"bigint"},
    "json": {"text"},
    "text": {"json"},
    "timestamp": {"timestamptz"},
    "timestamptz": {"timestamp"},
}


def column_hints(table: Table, *, json_as_text: bool) -> dict[str, dict[str, Any]]:
    """What dlt cannot see from the Arrow types: which texts are JSON, and the descriptions.

    Where ``json_as_text``, JSON stays text: SQLAlchemy would encode the text once more.
    """
    hints: dict[str, dict[str, Any]] = {}
    for column in table.columns:
        hint = {"data_type": "json"} if column.type == "json" and not json_as_text else {}
        if column.description:
            hint["description"] = column.description
        hints[column.name] = hint
    return hints


def arrow_tables(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Rows as dlt takes them: a table for each batch, or one without rows where there are none."""
    empty = True
    for batch in batches:
        empty = False
        yield _wide_numbers(pa.Table.from_batches([batch]))
    if empty:
        yield _wide_numbers(schema.empty_table())


def _wide_numbers(rows: pa.Table) -> pa.Table:
    """The rows with 64-bit integers and decimals of 38 digits only: dlt cannot widen a column."""
    return rows.cast(pa.schema([pa.field(field.name, _wide(field.type)) for field in rows.schema]))


def _wide(kind: pa.DataType) -> pa.DataType:
    if kind == pa.int32():
        return pa.int64()
    if not pa.types.is_decimal128(kind):
        return kind
    scale = max(kind.scale, _SCALE)
    return kind if kind.precision - kind.scale + scale > 38 else pa.decimal128(38, scale)


def stored_column(name: str, hints: Mapping[str, Any]) -> Column:
    """A column as the destination reports it."""
    kind = str(hints.get("data_type"))
    named = _STORED.get(kind, kind)
    if kind == "timestamp" and hints.get("timezone") is False:
        named = "timestamp"
    if named == "decimal":
        named = f"decimal({hints.get('precision')},{hints.get('scale')})"
    return Column(name, named, hints.get("description") or "", bool(hints.get("nullable", True)))


def refuse_other_types(table: Table, stored: Iterable[Column], physical: Mapping[str, str]) -> None:
    """SchemaConflict for a stored column of another type: dlt would put the values elsewhere."""
    have = {column.name: column.type for column in stored}
    for column in table.columns:
        kind = have.get(physical[column.name])
        if kind is None or stored_as(column.type, kind):
            continue
        raise SchemaConflict(
            f"{table.schema}.{table.name}: column {column.name} is {kind} at the destination and "
            f"{column.type} in the declaration, and dlt converts no columns. Make its values "
            f"{kind}, give the column another name, or drop the table and load it again"
        )


def stored_as(declared: str, stored: str) -> bool:
    """Whether destinations may store a declared type so, and hold all its values."""
    if declared == stored or stored in _SAME.get(declared, ()):
        return True
    return stored.startswith("decimal") and widens(declared, stored)


def rows_to_batch(table: Table, names: Sequence[str], rows: Sequence[Any]) -> pa.RecordBatch:
    """Rows of a destination's cursor as a batch of the declared types."""
    arrays = []
    for index, name in enumerate(names):
        kind = table.column(name).type
        values = [_value(row[index], kind) for row in rows]
        arrays.append(pa.array(values, arrow_type(kind)))
    return pa.RecordBatch.from_arrays(arrays, schema=table.arrow_schema_of(names))


def _value(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind in ("json", "text"):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if kind in ("timestamptz", "timestamp"):
        at: datetime = datetime.fromisoformat(value) if isinstance(value, str) else value
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        return at if kind == "timestamptz" else at.replace(tzinfo=None)
    return bytes(value) if kind == "bytes" else value


def refuse_bad_json(table: Table, stage: Stage) -> None:
    """InvalidRows for text that is no JSON: not every destination would notice."""
    names = [column.name for column in table.columns if column.type == "json"]
    for batch in stage.batches() if names else ():
        for name in names:
            for text in batch.column(name).to_pylist():
                try:
                    json.loads(text) if text is not None else None
                except ValueError:
                    raise InvalidRows(
                        f"{table.schema}.{table.name}: the values for column {name} are not all "
                        "JSON; nothing was written"
                    ) from None


def last_of_each_key(table: Table, stage: Stage) -> tuple[int, set[int]]:
    """How many keys stand in more than one row, and the numbers of the rows that are not the last
    of their key. Holds the keys in memory, and no other column."""
    keys = [batch.select(list(table.key)) for batch in stage.batches()]
    if not keys:
        return 0, set()
    rows = pa.Table.from_batches(keys)
    rows = rows.append_column("_n", pa.array(range(rows.num_rows), pa.int64()))
    groups = rows.group_by(list(table.key)).aggregate([("_n", "max"), ("_n", "count")])
    doubled = pc.call_function("greater", [groups.column("_n_count"), pa.scalar(1)])
    count = pc.call_function("sum", [doubled.cast(pa.int64())]).as_py() or 0
    if not count:
        return 0, set()
    last = set(groups.column("_n_max").to_pylist())
    return count, set(range(rows.num_rows)) - last
