"""Reading Delta tables (of dlt's filesystem destination) by SQL, from a snapshot of the table.

Facts: deltalake 1.6's QueryBuilder (DataFusion) knows no schemas. PyArrow's own datasets cannot
filter its files by text: after a merge they hold string views, and their statistics strings.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from hog_dagster.warehouse._sql.conditions import quote
from hog_dagster.warehouse.schema import ARROW_TYPES, Table

__all__ = ["arrow_name", "count_delta", "query_delta", "read_delta"]

_TABLE = "t"
# "schema"."table" or schema.table, as a statement names a table.
_NAMED = re.compile(r'"([^"]+)"\."([^"]+)"|\b([A-Za-z_]\w*)\.([A-Za-z_]\w*)\b')


def arrow_name(kind: pa.DataType) -> str:
    """Our name of an Arrow type, or Arrow's own where we have none."""
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    for name, known in ARROW_TYPES.items():
        if kind == known:
            return name
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return "bytes"
    return str(kind)


def _run(tables: Mapping[str, Any], sql: str) -> pa.RecordBatchReader:
    from deltalake import QueryBuilder

    builder = QueryBuilder()
    for name, delta in tables.items():
        builder = builder.register(name, delta)
    return pa.RecordBatchReader.from_stream(builder.execute(sql))


def read_delta(
    delta: Any,
    table: Table,
    names: Sequence[str],
    physical: Mapping[str, str],
    where: str,
    order: Sequence[tuple[str, bool]],
    limit: int | None,
) -> Iterator[pa.RecordBatch]:
    """The rows for which the condition holds; columns the table does not have yet are null.

    ``physical`` maps the declared names to the stored ones.
    """
    have = {field.name for field in pa.schema(delta.schema().to_arrow())}
    terms = [quote(physical[n]) if physical[n] in have else "NULL" for n in names]
    columns = ", ".join(f"{term} AS c{i}" for i, term in enumerate(terms))
    sql = f"SELECT {columns} FROM {_TABLE} WHERE {where}"
    keys = [
        f"{quote(physical[name])}{' DESC' if down else ''}"
        for name, down in order
        if physical[name] in have
    ]
    if keys:
        sql += f" ORDER BY {', '.join(keys)}"
    if limit is not None:
        sql += f" LIMIT {limit}"
    schema = table.arrow_schema_of(names)
    for batch in _run({_TABLE: delta}, sql):
        arrays = [column.cast(f.type) for column, f in zip(batch.columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def count_delta(delta: Any, where: str) -> int:
    """How many rows the condition holds for."""
    answer = _run({_TABLE: delta}, f"SELECT count(*) AS n FROM {_TABLE} WHERE {where}")
    return int(answer.read_all().column(0)[0].as_py())


def query_delta(sql: str, open_table: Callable[[str, str], Any]) -> pa.Table:
    """The answer to a statement that names tables as ``schema.table``; ``open_table`` gives them.

    Names that are no table's (of a column, say) are left as they are.
    """
    tables: dict[str, Any] = {}

    def known(match: re.Match[str]) -> str:
        schema, name = match[1] or match[3], match[2] or match[4]
        alias = f"{schema}__{name}"
        if alias not in tables:
            delta = open_table(schema, name)
            if delta is None:
                return match[0]
            tables[alias] = delta
        return quote(alias)

    text = _NAMED.sub(known, sql)
    answer = _run(tables, text).read_all()
    plain = [_plain(field) for field in answer.schema]
    return answer.cast(pa.schema(plain))


def _plain(field: pa.Field) -> pa.Field:
    if pa.types.is_string_view(field.type):
        return pa.field(field.name, pa.string())
    return pa.field(field.name, pa.binary()) if pa.types.is_binary_view(field.type) else field
