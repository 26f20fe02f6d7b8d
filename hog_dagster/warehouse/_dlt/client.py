"""dlt's clients and errors: names and values in the destination's SQL, failures by their cause.

Facts: dlt 1.31's job clients, their capabilities and its exceptions.
"""

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

from hog_dagster.warehouse._dlt.tables import condition
from hog_dagster.warehouse._sql.conditions import quote, standard_literal
from hog_dagster.warehouse.errors import (
    InvalidRows,
    WarehouseError,
    WarehouseUnavailable,
    WarehouseUnreadable,
)
from hog_dagster.warehouse.schema import Table, Window

__all__ = [
    "ROW_ID",
    "TABLE_MARK",
    "column_sql",
    "file_format",
    "for_dlt",
    "same_key_sql",
    "stored_name",
    "table_sql",
    "term_sql",
    "translated",
    "where_sql",
    "with_row_ids",
    "without",
]

# Known and meant: JSON travels as text and is declared JSON; PostgreSQL gets its rows as SQL.
_KNOWN = ("several column hints were different", "ArrowToInsertValuesWriter writer is used")
logging.getLogger("dlt").addFilter(
    lambda record: not any(words in record.getMessage() for words in _KNOWN)
)

ROW_ID = "_hog_row_id"
TABLE_MARK = "\0"
"""Stands for the table in a condition until dlt's own placeholder does."""


def file_format(destination: Any) -> str:
    """How rows travel: never as CSV, in which dlt makes empty strings null; and not as Parquet into
    PostgreSQL, where dlt's loader can carry neither JSON nor an empty result."""
    formats = destination.capabilities().supported_loader_file_formats
    if destination.destination_type.endswith(".postgres") or "parquet" not in formats:
        return "insert_values"
    return "parquet"


def stored_name(client: Any, name: str) -> str:
    """The name dlt gives to a table or column."""
    return client.schema.naming.normalize_identifier(name)


def column_sql(client: Any, name: str) -> str:
    stored = stored_name(client, name)
    if client.config.destination_type.endswith("filesystem"):
        return quote(stored)  # dlt escapes nothing there, and Delta's engine reads SQL
    return client.capabilities.escape_identifier(stored)


def table_sql(client: Any, table: Table) -> str:
    return client.sql_client.make_qualified_table_name(stored_name(client, table.name))


def where_sql(
    client: Any, table: Table, window: Window | None, scope: Mapping[str, Any], prefix: str = ""
) -> str:
    """The window and scope as the destination's SQL."""
    return condition(
        table,
        window,
        scope,
        name=lambda name: prefix + column_sql(client, name),
        literal=literal(client),
    )


def same_key_sql(client: Any, table: Table) -> str:
    """The rows whose key is among the arriving ones, as a condition for dlt's merge."""
    keys = [for_dlt(column_sql(client, name)) for name in table.key]
    same = " AND ".join(f"arriving.{key} = {{table}}.{key}" for key in keys)
    return f"EXISTS (SELECT 1 FROM {{staging_table}} arriving WHERE {same})"


def for_dlt(sql: str) -> str:
    """A condition as dlt formats it: its placeholder stands for the table, other braces double."""
    return sql.replace("{", "{{").replace("}", "}}").replace(TABLE_MARK, "{table}.")


def literal(client: Any) -> Any:
    """How the destination writes values into SQL."""
    if not hasattr(client, "sql_client") or client.config.destination_type == "filesystem":
        return standard_literal  # what Delta's own engine reads
    return client.capabilities.escape_literal or standard_literal


def term_sql(client: Any, table: Table, name: str) -> str:
    """A column in a SELECT."""
    column = column_sql(client, name)
    if client.config.destination_type == "postgres" and table.column(name).type == "json":
        return f"{column}::text"  # psycopg2 would decode it, and a string is no longer JSON then
    return column


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
        chain: list[BaseException] = [error]
        while chain[-1].__cause__ is not None:
            chain.append(chain[-1].__cause__)
        jobs = [cause for cause in chain if isinstance(cause, LoadClientJobException)]
        said = (jobs[0].client_exception if jobs else None) or chain[-1]
        text = _first_line(said)
        if any(isinstance(job, (LoadClientJobFailed, LoadClientJobTerminalRetry)) for job in jobs):
            raise InvalidRows(f"{place}: the destination refuses the rows: {text}") from error
        if jobs or any(isinstance(cause, TransientException) for cause in chain):
            raise WarehouseUnavailable(f"{place}: {text}") from error
        if any(isinstance(cause, ConfigurationException) for cause in chain):
            raise WarehouseUnreadable(f"{place} is not configured for dlt: {text}") from error
        raise WarehouseError(f"{place}: {text}") from error
    except _OURS:
        raise
    except Exception as error:
        text = _first_line(error)
        if any(word in text.lower() for word in _NO_ENTRY):
            raise WarehouseUnreadable(f"{place} lets nobody in so: {text}") from error
        raise WarehouseUnavailable(f"{place} cannot be reached: {text}") from error


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:500]
