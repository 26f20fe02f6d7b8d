"""One fixture, ``warehouse``, that stands for each adapter in turn."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hog_dagster.warehouse import DuckDB, Warehouse

ADAPTERS = ["duckdb"]


@pytest.fixture(params=ADAPTERS)
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse of each adapter."""
    with DuckDB(tmp_path / "house.duckdb") as opened:
        yield opened
