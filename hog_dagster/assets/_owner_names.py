"""Adds the names of workflows and hog functions to the rows that are loaded.

Facts: the names come from the catalog's table, so no request is made for them; a row keeps the name
that its workflow had when the row was last loaded.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hog_dagster.warehouse import Table

_NAMES = {"workflow_id": "workflow_name", "function_id": "function_name"}


def owner_of(table: Table) -> tuple[str, str]:
    """The column of the owner's id, and what it is: a workflow or a function."""
    owner = "workflow_id" if "workflow_id" in table else "function_id"
    return owner, owner.removesuffix("_id")


def name_column(table: Table) -> tuple[str, str] | None:
    """The columns of the owner's id and name; None for a table without them."""
    for owner, name in _NAMES.items():
        if owner in table and name in table:
            return owner, name
    return None


def named(
    table: Table, batches: Iterable[pa.RecordBatch], names: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    """The same rows with the owner's name; where it is not known, the row keeps its own."""
    columns = name_column(table)
    if columns is None or not names:
        yield from batches
        return
    owner, name = columns
    ids, texts = pa.array(list(names), pa.string()), pa.array(list(names.values()), pa.string())
    for batch in batches:
        place = pc.call_function(
            "index_in", [batch.column(owner)], pc.SetLookupOptions(value_set=ids)
        )
        known = pc.call_function("coalesce", [texts.take(place), batch.column(name)])
        index = batch.schema.get_field_index(name)
        yield batch.set_column(index, batch.schema.field(index), known)


def named_rows(
    table: Table, rows: Iterable[Mapping[str, Any]], names: Mapping[str, str | None]
) -> Iterator[Mapping[str, Any]]:
    """As `named`, for rows that are mappings; a table without such columns is not changed."""
    columns = name_column(table)
    for row in rows:
        if columns is None:
            yield row
        else:
            yield {columns[1]: names.get(row[columns[0]]), **row}
