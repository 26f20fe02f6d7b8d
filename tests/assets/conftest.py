"""A sandbox, a DuckDB file and the resources of an asset run."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hog_dagster.resources import (
    DuckDBWarehouse,
    LedgerResource,
    PostgresWarehouse,
    PostHogResource,
    WarehouseResource,
)
from hog_dagster.sandbox import Sandbox
from tests.assets.kit import NOW

Resources = Callable[[Sandbox], dict[str, Any]]


#: For tests of what loads: in DuckDB, and in PostgreSQL.
WAREHOUSES = pytest.mark.parametrize("resources", ["duckdb", "postgres"], indirect=True)


@pytest.fixture
def resources(request: pytest.FixtureRequest, tmp_path: Path) -> Resources:
    """Resources of one PostHog project loading in one DuckDB file, or PostgreSQL database."""
    warehouse: WarehouseResource = DuckDBWarehouse(path=str(tmp_path / "warehouse.duckdb"))
    if getattr(request, "param", "duckdb") == "postgres":
        warehouse = PostgresWarehouse(url=request.getfixturevalue("postgres_url"))

    def make(sandbox: Sandbox) -> dict[str, Any]:
        return {
            "posthog": PostHogResource(
                host=sandbox.url, api_key=sandbox.api_key, project_id=str(sandbox.project_id)
            ),
            "warehouse": warehouse,
            "ledger": LedgerResource(url=f"sqlite:///{tmp_path / 'ledger.sqlite'}"),
        }

    return make


@pytest.fixture
def lab(
    request: pytest.FixtureRequest, resources: Resources, instance: dg.DagsterInstance
) -> Iterator[Callable[..., Any]]:
    """Makes the `Lab` of a test module, with a sandbox of a generation."""
    with ExitStack() as stack:

        def make(generation: Any = "current", **options: Any) -> Any:
            given = {"populate": False, "limits": False, "now": NOW, **options}
            sandbox = stack.enter_context(Sandbox(generation, **given))
            return request.module.Lab(sandbox, resources(sandbox), instance)

        yield make


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance that forgets."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance
