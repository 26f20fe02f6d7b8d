"""Statements that only DuckDB has: its catalog, loads from a stream, counts by windows."""

from collections.abc import Mapping, Sequence
from typing import Any

from hog_dagster.warehouse._sql.dialects import Dialect, Statement, quote
from hog_dagster.warehouse._sql.statements import Statements, bound
from hog_dagster.warehouse.schema import Column, Table, Window

__all__ = [
    "BEGIN",
    "COLUMNS",
    "COMMENT",
    "COMMIT",
    "DIALECT",
    "ROLLBACK",
    "SETTINGS",
    "TABLES",
    "count_in",
    "holds_value",
    "insert",
    "insert_last",
    "keep",
    "loses_digits",
    "memory_limit",
    "no_rows",
    "take_replaced",
    "threads",
]

DIALECT = Dialect("duckdb", binds=True)

BEGIN, COMMIT, ROLLBACK = "BEGIN TRANSACTION", "COMMIT", "ROLLBACK"
SETTINGS = "SET TimeZone = 'UTC'; SET enable_progress_bar = false"
_NAMED = (
    "WHERE database_name = current_database() AND lower(schema_name) = lower(?) "
    "AND lower(table_name) = lower(?)"
)
COLUMNS = (
    "SELECT column_name, data_type, comment, is_nullable FROM duckdb_columns() "
    f"{_NAMED} ORDER BY column_index"
)
TABLES = f"SELECT count(*) FROM duckdb_tables() {_NAMED}"
COMMENT = f"SELECT comment FROM duckdb_tables() {_NAMED}"


def _of(table: Table) -> str:
    return f"{quote(table.schema)}.{quote(table.name)}"


def _keys(table: Table) -> str:
    return ", ".join(quote(name) for name in table.key)


def threads(number: int) -> str:
    """Let DuckDB use so many threads."""
    return f"SET threads = {number}"


def memory_limit(size: str) -> str:
    """Let DuckDB use as much memory."""
    return f"SET memory_limit = {DIALECT.sql(DIALECT.literal(size))}"


def no_rows(table: Table) -> str:
    """A query that shows the table's columns and reads nothing."""
    return f"SELECT * FROM {_of(table)} LIMIT 0"


def insert(table: Table, source: str) -> str:
    """Insert the rows of a registered stream, by column name."""
    return f"INSERT INTO {_of(table)} BY NAME SELECT * FROM {source}"


def keep(source: str) -> str:
    """Keep the rows of a registered stream, to read them twice."""
    return f"CREATE TEMP TABLE {source}_kept AS SELECT * FROM {source}"


def take_replaced(table: Table, source: str) -> str:
    """Take away the rows whose key is among the kept ones."""
    keys = _keys(table)
    return f"DELETE FROM {_of(table)} WHERE ({keys}) IN (SELECT ({keys}) FROM {source}_kept)"


def insert_last(table: Table, source: str, number: str) -> str:
    """Insert of the kept rows the last one of each key."""
    return (
        f"INSERT INTO {_of(table)} BY NAME SELECT * EXCLUDE {number} FROM {source}_kept "
        f"QUALIFY row_number() OVER (PARTITION BY {_keys(table)} ORDER BY {number} DESC) = 1"
    )


def holds_value(table: Table, column: Column) -> str:
    """Whether a column has a value in any row."""
    return f"SELECT EXISTS (SELECT 1 FROM {_of(table)} WHERE {quote(column.name)} IS NOT NULL)"


def loses_digits(table: Table, column: Column) -> str:
    """Whether a column holds a whole number beyond those that are all doubles too."""
    name = quote(column.name)
    return (
        f"SELECT EXISTS (SELECT 1 FROM {_of(table)} "
        f"WHERE {name} NOT BETWEEN -9007199254740992 AND 9007199254740992)"
    )


def count_in(table: Table, windows: Sequence[Window], scope: Mapping[str, Any]) -> Statement:
    """The number of each window that has rows, and how many."""
    time_column = table.time_column or ""
    naive = table.column(time_column).type == "timestamp"
    spans: list[Any] = []
    for index, window in enumerate(windows):
        spans += [index, bound(window.start, naive), bound(window.end, naive)]
    only = Statements(DIALECT, table).condition_sql(None, scope, alias="t")
    column = f"t.{quote(time_column)}"
    return Statement(
        f"SELECT w.i, count(*) FROM {_of(table)} t JOIN "
        f"(VALUES {', '.join(['(?, ?, ?)'] * len(windows))}) w(i, a, b) "
        f"ON {column} >= w.a AND {column} < w.b WHERE {only.sql} GROUP BY w.i",
        spans + only.values,
    )
