"""DuckDB's catalog and errors: tables made and widened as declared, failures translated.

Facts: DuckDB's duckdb_columns() and duckdb_tables(), and its error texts (1.4 to 2.0).
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from hog_dagster.warehouse._loading.changes import plan_changes
from hog_dagster.warehouse._sql import Statement, named
from hog_dagster.warehouse._sql import duckdb as sql
from hog_dagster.warehouse._sql.definitions import Definitions
from hog_dagster.warehouse.errors import (
    InvalidRows,
    SchemaConflict,
    WarehouseError,
    WarehouseUnavailable,
    WarehouseUnreadable,
    raise_plainly,
    without_values,
)
from hog_dagster.warehouse.schema import Column, Table

_TYPES = {
    "text": "VARCHAR",
    "bigint": "BIGINT",
    "integer": "INTEGER",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "json": "JSON",
    "bytes": "BLOB",
}
_NAMES: dict[str, str] = {sql: name for name, sql in _TYPES.items()}
# A table that is not there and ends like one of these is a file to DuckDB: "shop"."json".
_FILES = {"csv", "tsv", "json", "jsonl", "ndjson", "parquet", "gz", "zst", "xlsx"}


def scalar(con: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any] = ()) -> Any:
    """The one value a statement returns; None when it returns no row."""
    rows = con.execute(sql, list(values)).fetchall()  # all of them: nothing stays open
    return rows[0][0] if rows else None


def affected(con: duckdb.DuckDBPyConnection) -> int:
    """How many rows the statement just executed inserted or deleted."""
    row = con.fetchone()
    return int(row[0]) if row else 0


def describe_table(con: duckdb.DuckDBPyConnection, table: Table) -> list[Column] | None:
    """The table's real columns, or None. DuckDB compares names without case, and so do we."""
    rows: list[tuple[str, str, str | None, bool]] = con.execute(
        sql.COLUMNS, [table.schema, table.name]
    ).fetchall()
    columns = [
        Column(name, _NAMES.get(kind) or kind.lower(), comment or "", nullable)
        for name, kind, comment, nullable in rows
    ]
    return columns or None


def stored_types(con: duckdb.DuckDBPyConnection, table: Table) -> dict[str, str] | None:
    """Real column types by name (as declared, where only the case differs); None: no table.

    Asked of the table itself: DuckDB's catalog functions take thirty times as long.
    """
    if table.name.lower().rpartition(".")[2] in _FILES and not _is_table(con, table):
        return None
    try:
        relation = con.sql(named(sql.DIALECT, (table.schema, table.name), None))
    except duckdb.CatalogException:
        return None
    declared = {name.lower(): name for name in table.column_names}
    return {
        declared.get(name.lower(), name): _NAMES.get(str(kind)) or str(kind).lower()
        for name, kind in zip(relation.columns, relation.types, strict=True)
    }


def prepare(con: duckdb.DuckDBPyConnection, table: Table, *, described: bool, whole: bool) -> None:
    """Make the table, or bring it to the declaration. SchemaConflict where no rule does that.

    ``described`` says that the comments of an unchanged table are known to be as declared,
    ``whole`` that all its rows are about to be deleted, so that columns may change their types.
    """
    make = Definitions(sql.DIALECT, table)
    stored = stored_types(con, table)
    if stored is None and table.former:
        former = replace(table, name=table.former, former=None)
        if _is_table(con, former):
            con.execute(Definitions(sql.DIALECT, former).rename_to(table.name))
            stored = stored_types(con, table)
    if stored is None:
        con.execute(make.create_schema())
        con.execute(make.create_table())
        for statement in make.comments(None, {}):
            con.execute(statement)
        return
    changes = plan_changes(
        table,
        stored,
        holds_nothing=lambda column: whole or not scalar(con, make.has_value(column)),
        loses_digits=lambda column: bool(scalar(con, make.loses_digits(column))),
    )
    if described and not changes:
        return
    if not _is_table(con, table):
        raise SchemaConflict(
            f"{table.schema}.{table.name} is a view in the database; drop or rename it"
        )
    for column in changes.added:
        con.execute(make.add_column(column))
    for column in changes.widened:
        con.execute(make.retype(column, "value"))
    for column in changes.retyped:
        con.execute(make.retype(column, "nothing"))
    declared = {name.lower(): name for name in table.column_names}
    have = {
        declared.get(column.name.lower(), column.name): column.description
        for column in describe_table(con, table) or ()
    }
    for statement in make.comments(scalar(con, sql.COMMENT, [table.schema, table.name]), have):
        con.execute(statement)


def _is_table(con: duckdb.DuckDBPyConnection, table: Table) -> bool:
    return bool(scalar(con, sql.TABLES, [table.schema, table.name]))


def refuse_doubles(con: duckdb.DuckDBPyConnection, table: Table, statement: Statement) -> None:
    """InvalidRows when the statement counts keys that stand in more than one row."""
    if doubled := scalar(con, statement.sql, statement.values):
        raise InvalidRows(
            f"{table.schema}.{table.name}: {doubled} keys ({', '.join(table.key)}) would stand in "
            "more than one row; nothing was written"
        )


def arrow_reader(relation: duckdb.DuckDBPyRelation, rows: int = 65_536) -> pa.RecordBatchReader:
    """A relation as a stream of record batches (the method's name changed with DuckDB 1.4)."""
    reader = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader
    return reader(rows)


@contextmanager
def translated(location: str, table: Table | None) -> Iterator[None]:
    """DuckDB's errors as the warehouse's, naming the table and the file."""
    try:
        yield
    except duckdb.Error as error:
        failure = _plain(f"{table.schema}.{table.name} in {location}" if table else location, error)
    else:
        return
    raise_plainly(failure)  # out of the handler: DuckDB's own error quotes values of rows


def _plain(place: str, error: duckdb.Error) -> WarehouseError:
    """DuckDB's error as the warehouse's."""
    text = (str(error).splitlines() or [""])[0].split("  Input:")[0]
    if "Ambiguous reference to catalog or schema" in text:
        return WarehouseUnreadable(
            f"{place}: DuckDB names a database after its file, so a file called like a schema in "
            "it makes every table name ambiguous. Give the file another name, warehouse.duckdb "
            "for example"
        )
    if isinstance(error, (duckdb.ConversionException, duckdb.ConstraintException)):
        return InvalidRows(f"{place}: DuckDB refuses the rows: {without_values(text)}")
    if short_of_memory(error):
        return WarehouseUnavailable(
            f"{place}: DuckDB needs more memory than it may use. Raise memory_limit of the "
            "warehouse (DuckDBWarehouse, the field warehouse, or HOG_DAGSTER_MEMORY_LIMIT). "
            f"DuckDB says: {without_values(text)}"
        )
    if isinstance(error, duckdb.IOException):
        return WarehouseUnavailable(f"{place}: {text}")
    return WarehouseError(f"{place}: {without_values(text)}")


def short_of_memory(error: duckdb.Error) -> bool:
    """Whether the memory that DuckDB may use was too little (at a commit, the error is another)."""
    text = str(error)
    return isinstance(error, duckdb.OutOfMemoryException) or (
        "failed to pin block" in text or "failed to allocate" in text
    )


def held_elsewhere(error: duckdb.Error) -> bool:
    """Whether the file could not be opened because another connection has it open."""
    text = str(error)
    return "Could not set lock" in text or "different configuration" in text


def holder_of(error: duckdb.Error) -> str | None:
    """The process DuckDB names as the holder of its lock."""
    match = re.search(r"\(PID (\d+)\)", str(error))
    return f"process {match[1]}" if match else None


def unreadable(path: Path, error: duckdb.Error) -> WarehouseUnreadable:
    """Why a file cannot be opened at all, and what to do."""
    text = str(error).splitlines()[0]
    if "not a valid DuckDB database" in text:
        return WarehouseUnreadable(
            f"{path} exists but is not a DuckDB database. Move it away, or name another file"
        )
    return WarehouseUnreadable(f"cannot open {path} as a DuckDB database: {text}")
