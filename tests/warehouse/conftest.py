"""One fixture, ``warehouse``, that stands for each adapter in turn."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from warehouse_tables import behind

from hog_dagster.warehouse import DuckDB, Postgres, Warehouse

ADAPTERS = ["duckdb", "postgres"]


@pytest.fixture(params=ADAPTERS)
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse of each adapter."""
    opened: Warehouse
    if request.param == "duckdb":
        opened = DuckDB(tmp_path / "house.duckdb")
    else:
        opened = Postgres(request.getfixturevalue("postgres_url"))
    with opened:
        yield opened


@pytest.fixture
def run_sql(warehouse: Warehouse) -> Callable[[str], None]:
    """Does something to the database behind the warehouse's back."""
    return lambda sql: behind(warehouse, sql)
