"""Puts the names of workflows and hog functions beside their ids, in the rows that are loaded.

Facts: names are those of the catalog's table, so that no request is made for them; a row keeps the
name that its workflow had when the row was loaded last.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hog_dagster.warehouse import Table

__all__ = ["name_column", "named", "named_rows"]

_NAMES = {"workflow_id": "workflow_name", "function_id": "function_name"}


def name_column(table: Table) -> tuple[str, str] | None:
    """The column of the owner's id, and the one of its name; None of a table without them."""
    for owner, name in _NAMES.items():
        if owner in table and name in table:
            return owner, name
    return None


def named(
    table: Table, batches: Iterable[pa.RecordBatch], names: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    """The same rows with the owner's name; one that is not known leaves the row's as it is.

    Args:
        table: of the rows.
        batches: rows with all of its columns.
        names: id -> name.
    """
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
    """The same for rows that are mappings; those of a table without such columns as they are."""
    columns = name_column(table)
    for row in rows:
        if columns is None:
            yield row
        else:
            yield {columns[1]: names.get(row[columns[0]]), **row}
