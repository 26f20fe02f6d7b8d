"""dlt's clients and errors: names and values in the destination's SQL, failures by their cause.

Facts: dlt 1.31's job clients, their capabilities and its exceptions.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pyarrow as pa
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.exceptions import DltException, TransientException
from dlt.load.exceptions import (
    LoadClientJobException,
    LoadClientJobFailed,
    LoadClientJobTerminalRetry,
)

from hog_dagster.warehouse._loading.conform import is_many
from hog_dagster.warehouse._sql import Dialect, Place, Statements
from hog_dagster.warehouse.errors import (
    InvalidRows,
    WarehouseError,
    WarehouseUnavailable,
    WarehouseUnreadable,
    raise_plainly,
    without_values,
)
from hog_dagster.warehouse.schema import Table, Window

# Known and meant: JSON travels as text and is declared JSON; PostgreSQL gets its rows as SQL.
_KNOWN = ("several column hints were different", "ArrowToInsertValuesWriter writer is used")
logging.getLogger("dlt").addFilter(
    lambda record: not any(words in record.getMessage() for words in _KNOWN)
)

ROW_ID = "_hog_row_id"
TABLE_MARK = "hog_dagster_target"
"""Stands for the table in a condition until dlt's own placeholder does."""
LAKE = Dialect("duckdb")
"""What Delta's engine (DataFusion) reads: the statements here are the same in DuckDB's words."""
LAKE_TABLE = "t"


def file_format(destination: Any) -> str:
    """How rows travel: never as CSV, in which dlt makes empty strings null; and not as Parquet into
    PostgreSQL, where dlt's loader can carry neither JSON nor an empty result."""
    formats = destination.capabilities().supported_loader_file_formats
    if destination.destination_type.endswith(".postgres") or "parquet" not in formats:
        return "insert_values"
    return "parquet"


def schema_name(table: Table) -> str:
    """A name dlt takes whatever the table is called; one schema per table, so that loads of
    different tables have nothing in common."""
    words = f"{table.schema}.{table.name}"
    return f"hog_dagster_{hashlib.blake2b(words.encode(), digest_size=8).hexdigest()}"


def stored_name(client: Any, name: str) -> str:
    """The name dlt gives to a table or column."""
    return client.schema.naming.normalize_identifier(name)


def dialect_of(client: Any) -> Dialect:
    """The SQL the destination reads."""
    return Dialect(client.capabilities.sqlglot_dialect or "")


def statements_of(client: Any, table: Table, stored: Mapping[str, str] | None) -> Statements:
    """The statements of a table; ``stored`` are the types of its columns by stored name, where it
    is there."""
    names = {name: stored_column_name(client, name) for name in table.column_names}
    has = None
    if stored is not None:
        folded = {_folded(client, name): kind for name, kind in stored.items()}
        has = {n: folded[own] for n, own in names.items() if own in folded}
    if is_lake(client):
        return Statements(LAKE, table, Place((LAKE_TABLE,), names, has))
    name = stored_name(client, table.name)
    path = client.sql_client.make_qualified_table_name_path(name, quote=False)
    return Statements(dialect_of(client), table, Place(tuple(path), names, has))


def stored_column_name(client: Any, name: str) -> str:
    """A column's name as the destination itself has it."""
    return _folded(client, stored_name(client, name))


def _folded(client: Any, name: str) -> str:
    """Some engines write names in capitals, and then tell them from others."""
    if is_lake(client):
        return name
    return client.sql_client.escape_column_name(name, quote=False)


def is_lake(client: Any) -> bool:
    """Whether tables are files, which no SQL client of the destination reads."""
    return client.config.destination_type.endswith("filesystem")


def same_key_sql(client: Any, table: Table) -> str:
    """The rows whose key is among the arriving ones, as a condition for dlt's merge."""
    if is_lake(client):
        return ""
    statements = statements_of(client, table, None)
    same = []
    for name in table.key:
        arriving, own = (
            for_dlt(statements.dialect.sql(statements.column(name, alias)), client)
            for alias in ("arriving", TABLE_MARK)
        )
        same.append(f"{arriving} = {own}")
    return f"EXISTS (SELECT 1 FROM {{staging_table}} arriving WHERE {' AND '.join(same)})"


def leaving_sql(client: Any, statements: Statements, window: Window | None, scope: Any) -> str:
    """The rows of a window and scope, as a condition for dlt's merge. ValueError for a value of a
    scope that dlt does not carry: it cuts the text at every semicolon, those within quotes too."""
    for name, value in scope.items():
        for one in value if is_many(value) else (value,):
            if isinstance(one, str) and any(char in one for char in ";\\\0\n\r"):
                raise ValueError(
                    f"the scope's value for {name} holds a semicolon, a backslash or a line break, "
                    "which dlt does not carry safely in a condition"
                )
    alias = TABLE_MARK if is_lake(client) else None
    return for_dlt(statements.condition_sql(window, scope, alias=alias).sql, client)


def for_dlt(sql: str, client: Any) -> str:
    """A condition as dlt formats it: its placeholder stands for the table, other braces double."""
    sql = sql.replace("{", "{{").replace("}", "}}").replace(f"{TABLE_MARK}.", "{table}.")
    return as_text(sql, client)


def as_text(sql: str, client: Any) -> str:
    """A statement as the destination's client takes it: SQLAlchemy's sees parameters in colons."""
    return sql.replace(":", "\\:") if client.config.destination_type.endswith("sqlalchemy") else sql


def with_row_ids(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Delta merges by key only: each row gets an id that no other row ever had, so that a table's
    declared key may come and go."""
    load = uuid4().hex
    start = 0
    for batch in batches:
        ids = pa.array([f"{load}-{start + i}" for i in range(batch.num_rows)])
        yield batch.append_column(ROW_ID, ids)
        start += batch.num_rows


def without(batches: Iterator[pa.RecordBatch], dropped: set[int]) -> Iterator[pa.RecordBatch]:
    """The rows but for those with the given numbers."""
    start = 0
    for batch in batches:
        kept = [i not in dropped for i in range(start, start + batch.num_rows)]
        start += batch.num_rows
        yield batch if all(kept) else batch.filter(pa.array(kept))


# Drivers of many engines, each with errors of its own: these words mean that waiting does not help.
_NO_ENTRY = ("authentication", "password", "denied", "permission", "does not exist", "unauthorized")
# Not of any driver: a call that makes no sense, or a fault of ours.
_OURS = (WarehouseError, ValueError, TypeError, LookupError, AttributeError, AssertionError)


@contextmanager
def translated(kind: str, table: Table | None) -> Iterator[None]:
    """dlt's errors, and those of drivers that dlt passes through, as the warehouse's, by cause."""
    place = f"{table.schema}.{table.name} in {kind}" if table else kind
    try:
        yield
    except DltException as error:
        failure = _plain(place, error)
    except _OURS:
        raise
    except Exception as error:
        text = first_line(error)
        if any(word in text.lower() for word in _NO_ENTRY):
            failure = WarehouseUnreadable(f"{place} lets nobody in so: {text}")
        else:
            failure = WarehouseUnavailable(f"{place} cannot be reached: {text}")
    else:
        return
    raise_plainly(failure)  # out of the handler: the errors of drivers quote values of rows


def _plain(place: str, error: DltException) -> WarehouseError:
    """dlt's error as the warehouse's, by its cause."""
    chain: list[BaseException] = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    jobs = [cause for cause in chain if isinstance(cause, LoadClientJobException)]
    text = first_line((jobs[0].client_exception if jobs else None) or chain[-1])
    if any(isinstance(job, (LoadClientJobFailed, LoadClientJobTerminalRetry)) for job in jobs):
        return InvalidRows(f"{place}: the destination refuses the rows: {text}")
    if jobs or any(isinstance(cause, TransientException) for cause in chain):
        return WarehouseUnavailable(f"{place}: {text}")
    if any(isinstance(cause, ConfigurationException) for cause in chain):
        return WarehouseUnreadable(f"{place} is not configured for dlt: {text}")
    return WarehouseError(f"{place}: {text}")


def first_line(error: object) -> str:
    """What an error says first, without the values it quotes."""
    return without_values(str(error)) or type(error).__name__
