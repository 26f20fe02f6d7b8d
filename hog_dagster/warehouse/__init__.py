"""Tables that can be trusted: declared schemas, loads in one transaction, in DuckDB or PostgreSQL.

Knows neither Dagster nor PostHog: rows come in as Arrow batches or dicts, and land whole.
"""

from hog_dagster.warehouse import errors
from hog_dagster.warehouse.base import LoadResult, Warehouse
from hog_dagster.warehouse.duckdb import DuckDB
from hog_dagster.warehouse.errors import WarehouseError
from hog_dagster.warehouse.schema import Column, Table, Window

__all__ = [
    "Column",
    "DuckDB",
    "LoadResult",
    "Table",
    "Warehouse",
    "WarehouseError",
    "Window",
    "errors",
]
