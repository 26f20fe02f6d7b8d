"""One fixture, ``warehouse``, that stands for each adapter in turn."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from warehouse_processes import open_warehouse
from warehouse_tables import behind

from hog_dagster.warehouse import Warehouse

ADAPTERS = ["duckdb", "postgres"]
DLT = ["dlt-duckdb", "dlt-postgres", "dlt-delta"]


def _address(request: pytest.FixtureRequest, folder: Path) -> str:
    if not request.param.endswith("postgres"):
        return str(folder)
    return request.getfixturevalue("postgres_url")


@pytest.fixture(params=ADAPTERS)
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse of each adapter."""
    with open_warehouse(request.param, _address(request, tmp_path)) as opened:
        yield opened


@pytest.fixture(params=DLT)
def dlt_warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse in each of the destinations that dlt is tested on."""
    with open_warehouse(request.param, _address(request, tmp_path)) as opened:
        yield opened


@pytest.fixture
def run_sql(warehouse: Warehouse) -> Callable[[str], None]:
    """Does something to the database behind the warehouse's back."""
    return lambda sql: behind(warehouse, sql)
