"""Statements that only DuckDB has: its catalog, loads from a stream, settings."""

from hog_dagster.warehouse._sql.dialects import Dialect, quote
from hog_dagster.warehouse.schema import Table

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


def threads(number: int) -> str:
    """Let DuckDB use so many threads."""
    return f"SET threads = {number}"


def memory_limit(size: str) -> str:
    """Let DuckDB use as much memory."""
    return f"SET memory_limit = {DIALECT.sql(DIALECT.literal(size))}"


def insert(table: Table, source: str) -> str:
    """Insert the rows of a registered stream, by column name."""
    target = f"{quote(table.schema)}.{quote(table.name)}"
    return f"INSERT INTO {target} BY NAME SELECT * FROM {source}"


def keep(source: str) -> str:
    """Keep the rows of a registered stream, to read them twice."""
    return f"CREATE TEMP TABLE {source}_kept AS SELECT * FROM {source}"
