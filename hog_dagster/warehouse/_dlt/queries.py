"""Statements of the user's own: in the SQL of a destination, or over Delta tables."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pyarrow as pa
from dlt.common.destination.exceptions import DestinationException, DestinationUndefinedEntity

from hog_dagster.warehouse._dlt.client import as_text, first_line, translated
from hog_dagster.warehouse._dlt.lake import delta_table, query_delta
from hog_dagster.warehouse.errors import InvalidQuery, WarehouseError
from hog_dagster.warehouse.schema import Column, Table

#: Opens dlt's client of a dataset.
_ClientOf = Callable[[str], AbstractContextManager[Any]]
_Parameters = Sequence[Any] | Mapping[str, Any] | None


def query_sql(kind: str, client_of: _ClientOf, statement: str, params: _Parameters) -> pa.Table:
    """The rows of a statement in the destination's own SQL; InvalidQuery where it refuses it."""
    with client_of("hog_dagster") as client:
        arguments = tuple(params.values() if isinstance(params, Mapping) else params or ())
        text = statement if arguments else as_text(statement, client)
        try:
            with client.sql_client.execute_query(text, *arguments) as cursor:
                names = [column[0] for column in cursor.description]
                rows = cursor.fetchall()
        except DestinationException as error:
            raise InvalidQuery(f"{kind} refuses the query: {first_line(error)}") from None
    columns = [pa.array([row[i] for row in rows]) for i in range(len(names))]
    return pa.Table.from_arrays(columns, names=names)


def query_lake(kind: str, client_of: _ClientOf, statement: str, params: _Parameters) -> pa.Table:
    """The rows of a statement over Delta tables; InvalidQuery if it has parameters, or failed."""
    if params:
        raise InvalidQuery("queries of Delta tables take no parameters")

    def open_table(schema: str, name: str) -> Any:
        with client_of(schema) as client:
            try:
                return delta_table(client, Table(name, (Column("_", "text"),), schema=schema))
            except DestinationUndefinedEntity:
                return None

    try:
        with translated(kind, None):
            return query_delta(statement, open_table)
    except InvalidQuery:
        raise
    except WarehouseError as error:
        raise InvalidQuery(f"the query of Delta tables failed: {error}") from None
