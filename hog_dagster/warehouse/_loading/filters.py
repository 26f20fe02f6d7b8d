"""A window and a scope as an Arrow expression: for files, and for rows in memory."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hog_dagster.warehouse._loading.conform import is_many
from hog_dagster.warehouse._sql import bound
from hog_dagster.warehouse.schema import Table, Window, arrow_type


def arrow_filter(
    table: Table,
    window: Window | None,
    scope: Mapping[str, Any],
    physical: Mapping[str, str] | None = None,
) -> Any:
    """The condition; None for everything. ``physical`` maps declared names to those of the rows."""
    names = physical or {name: name for name in table.column_names}
    parts = []
    if window is not None and table.time_column is not None:
        field = pc.field(names[table.time_column])
        kind = arrow_type(table.column(table.time_column).type)
        naive = kind.tz is None
        parts.append(field >= pa.scalar(bound(window.start, naive), kind))
        parts.append(field < pa.scalar(bound(window.end, naive), kind))
    for key, value in scope.items():
        field, kind = pc.field(names[key]), arrow_type(table.column(key).type)
        if value is None:
            parts.append(field.is_null())
        elif is_many(value):
            parts.append(field.isin(pa.array(list(value), kind)))
        else:
            parts.append(field == pa.scalar(value, kind))
    whole = None
    for part in parts:
        whole = part if whole is None else whole & part
    return whole
