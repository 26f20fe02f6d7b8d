"""Tables that can be trusted: declared schemas, loads in one transaction, in one of many databases.

Knows neither Dagster nor PostHog: rows come in as Arrow batches or dicts, and load whole.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hog_dagster.warehouse import errors
from hog_dagster.warehouse.base import Between, By, LoadResult, Measure, Second, Warehouse
from hog_dagster.warehouse.errors import WarehouseError
from hog_dagster.warehouse.schema import Column, Table, Window

if TYPE_CHECKING:
    from hog_dagster.warehouse._dlt.adapter import Dlt
    from hog_dagster.warehouse._duckdb.adapter import DuckDB
    from hog_dagster.warehouse._postgres.adapter import Postgres

from hog_dagster.warehouse._loading.conform import conform as conform
from hog_dagster.warehouse._loading.conform import plain_type as plain_type
from hog_dagster.warehouse._loading.conform import reason_of as reason_of
from hog_dagster.warehouse._loading.conform import to_arrow as to_arrow
from hog_dagster.warehouse._loading.filters import arrow_filter as arrow_filter
from hog_dagster.warehouse._loading.repeated import repeated as repeated

__all__ = [
    "Between",
    "By",
    "Column",
    "Dlt",
    "DuckDB",
    "LoadResult",
    "Measure",
    "Postgres",
    "Second",
    "Table",
    "Warehouse",
    "WarehouseError",
    "Window",
    "arrow_filter",
    "conform",
    "errors",
    "plain_type",
    "reason_of",
    "repeated",
    "to_arrow",
]

#: Names in `__all__` that are for the other rooms; docs/reference does not list them.
INTERNAL = (
    "arrow_filter",
    "conform",
    "plain_type",
    "reason_of",
    "repeated",
    "to_arrow",
)


#: Adapter -> its module, and the extra that brings what it needs; duckdb is always there.
_ADAPTERS = {
    "Dlt": ("_dlt.adapter", "dlt"),
    "DuckDB": ("_duckdb.adapter", ""),
    "Postgres": ("_postgres.adapter", "postgres"),
}


def __getattr__(name: str) -> Any:
    """Adapters are imported when they are asked for: engines and sqlglot take a second."""
    if name not in _ADAPTERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, extra = _ADAPTERS[name]
    try:
        return getattr(import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as missing:
        if not extra:
            raise
        raise ModuleNotFoundError(
            f"the warehouse {name} needs {missing.name}, of the extra {extra!r}: "
            f"pip install 'hog-dagster[{extra}]'"
        ) from missing
