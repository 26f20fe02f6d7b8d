"""Reading Delta tables (of dlt's filesystem destination) by SQL, from a snapshot of the table.

Facts: deltalake 1.6's QueryBuilder (DataFusion) knows no schemas. PyArrow's own datasets cannot
filter its files by text: after a merge they hold string views, and their statistics strings.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import sqlglot
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from sqlglot import exp
from sqlglot.errors import SqlglotError

from hog_dagster.warehouse._dlt.client import LAKE, LAKE_TABLE, ROW_ID, stored_name
from hog_dagster.warehouse._sql import Statement, Statements
from hog_dagster.warehouse.base import OpenTable
from hog_dagster.warehouse.errors import InvalidQuery
from hog_dagster.warehouse.schema import ARROW_TYPES, Column, Table


def _arrow_name(kind: pa.DataType) -> str:
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


def delta_table(client: Any, table: Table) -> Any:
    """The Delta table as it stands now. DestinationUndefinedEntity when there is none."""
    from deltalake import DeltaTable
    from dlt.common.libs.deltalake import deltalake_storage_options

    location = client.get_open_table_location("delta", stored_name(client, table.name))
    options = deltalake_storage_options(
        client.config.credentials, client.config.deltalake_storage_options
    )
    if not DeltaTable.is_deltatable(location, options):
        raise DestinationUndefinedEntity(table.name)
    return DeltaTable(location, storage_options=options)


def delta_columns(client: Any, table: Table) -> list[Column] | None:
    """The Delta table's own columns; None when there is no such table."""
    try:
        delta = delta_table(client, table)
    except DestinationUndefinedEntity:
        return None
    return [
        Column(field.name, _arrow_name(field.type), "", field.nullable)
        for field in pa.schema(delta.schema().to_arrow())
        if field.name != ROW_ID
    ]


def _run(tables: Mapping[str, Any], sql: str) -> pa.RecordBatchReader:
    from deltalake import QueryBuilder

    builder = QueryBuilder()
    for name, delta in tables.items():
        builder = builder.register(name, delta)
    return pa.RecordBatchReader.from_stream(builder.execute(sql))


def open_delta(delta: Any, statements: Statements) -> OpenTable:
    """A snapshot of a Delta table, open to be read."""
    table = statements.table

    def batches(query: Statement, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        schema = table.arrow_schema_of(names)
        for batch in _run({LAKE_TABLE: delta}, query.sql):
            arrays = [column.cast(f.type) for column, f in zip(batch.columns, schema, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def rows(statement: Statement) -> list[Sequence[Any]]:
        found = _run({LAKE_TABLE: delta}, statement.sql).read_all()
        return list(zip(*(column.to_pylist() for column in found.columns), strict=True))

    def terms(names: Sequence[str]) -> list[Any]:
        return [exp.alias_(statements.term(name), f"c{i}") for i, name in enumerate(names)]

    return OpenTable(statements, rows, terms, batches)


def query_delta(statement: str, open_table: Callable[[str, str], Any]) -> pa.Table:
    """The response to a statement that names tables as ``schema.table``; ``open_table`` gives them.
    InvalidQuery where the statement cannot be read."""
    try:
        query = sqlglot.parse_one(statement, dialect=LAKE.name)
    except SqlglotError as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InvalidQuery(f"the query of Delta tables cannot be read: {reason}") from None
    tables: dict[str, Any] = {}
    for named in query.find_all(exp.Table):
        if not named.db:
            continue
        name = f"{named.db}__{named.name}"
        if name not in tables:
            delta = open_table(named.db, named.name)
            if delta is None:
                continue
            tables[name] = delta
        alias = named.alias or named.name
        named.replace(exp.alias_(LAKE.table([name]), alias, table=True, quoted=True))
    response = _run(tables, LAKE.sql(query)).read_all()
    plain = [_plain(field) for field in response.schema]
    return response.cast(pa.schema(plain))


def _plain(field: pa.Field) -> pa.Field:
    if pa.types.is_string_view(field.type):
        return pa.field(field.name, pa.string())
    return pa.field(field.name, pa.binary()) if pa.types.is_binary_view(field.type) else field
