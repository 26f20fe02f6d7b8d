"""Rows of objects that PostHog lists no more, kept so that older rows of other tables keep a name.

Facts: a deleted object leaves no trace but its absence from a whole listing; an archived workflow
may still be listed, and leaves a selection by status.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from hog_dagster.assets._loading import rows_before
from hog_dagster.warehouse import Column, Table, Warehouse

#: The column that says so.
DELETED = Column(
    "deleted_seen_at",
    "timestamptz",
    "When a listing first lacked it (UTC): it was deleted, or left the selection, as an archived "
    "one does. Null while it is there.",
)
_OURS = ("project_id", "_loaded_at")


def loaded_rows(warehouse: Warehouse, table: Table, *, project_id: int) -> list[dict[str, Any]]:
    """The rows of a catalog as they were loaded before, with all its columns."""
    stored = warehouse.describe(table)
    if stored is None:
        return []
    # A table loaded by an older version has not all columns yet.
    there = {warehouse.stored_name(column.name) for column in stored}
    names = [c.name for c in table.columns if warehouse.stored_name(c.name) in there]
    rows = rows_before(warehouse, table, columns=names, scope={"project_id": project_id})
    return [{**dict.fromkeys(table.column_names), **row} for row in rows]


def departed(
    rows: Iterable[Mapping[str, Any]],
    *,
    here: Collection[str],
    moment: datetime,
    now: Callable[[str], Mapping[str, Any] | None] = lambda ident: None,
) -> Iterator[Mapping[str, Any]]:
    """The rows to keep of objects that were loaded before and are not among those `here`.

    `now` gives the row of an object that is listed and not read, None for one that is not listed.
    """
    for row in rows:
        if row["id"] in here:
            continue
        kept = {name: value for name, value in row.items() if name not in _OURS}
        kept |= now(row["id"]) or {}
        yield kept | {DELETED.name: row.get(DELETED.name) or moment}
