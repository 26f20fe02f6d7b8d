"""Tables that can be trusted: declared schemas, loads in one transaction, in DuckDB or PostgreSQL.

Knows neither Dagster nor PostHog: rows come in as Arrow batches or dicts, and land whole.
"""

from typing import TYPE_CHECKING, Any

from hog_dagster.warehouse import errors
from hog_dagster.warehouse.base import LoadResult, Warehouse
from hog_dagster.warehouse.duckdb import DuckDB
from hog_dagster.warehouse.errors import WarehouseError
from hog_dagster.warehouse.schema import Column, Table, Window

if TYPE_CHECKING:
    from hog_dagster.warehouse.postgres import Postgres

__all__ = [
    "Column",
    "DuckDB",
    "LoadResult",
    "Postgres",
    "Table",
    "Warehouse",
    "WarehouseError",
    "Window",
    "errors",
]


def __getattr__(name: str) -> Any:
    """Adapters that need an extra are imported when they are asked for."""
    if name == "Postgres":
        try:
            from hog_dagster.warehouse.postgres import Postgres
        except ModuleNotFoundError as missing:
            raise ModuleNotFoundError(
                f"the PostgreSQL warehouse needs {missing.name}, of the extra 'postgres': "
                "pip install 'hog-dagster[postgres]'"
            ) from missing
        return Postgres
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
