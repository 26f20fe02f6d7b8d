"""What the tests of engines share: a PostHog, rows that every check finds fault with, and what
DuckDB says of them."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from hog_dagster.resources import PostHogResource
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import DuckDB
from tests.warehouse.warehouse_engines import load, put_on_record, verdicts

__all__ = ["expected", "instance", "owner", "posthog", "reference", "sandbox"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(populate=False, limits=False) as running:
        yield running


@pytest.fixture(scope="module")
def owner(sandbox: Sandbox) -> str:
    """A workflow that PostHog knows and has no rows of."""
    return sandbox.world.add_workflow('It\'s "one"')["id"]


@pytest.fixture(scope="module")
def posthog(sandbox: Sandbox) -> PostHogResource:
    return PostHogResource(
        host=sandbox.url, api_key=sandbox.api_key, project_id=str(sandbox.project_id)
    )


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        put_on_record(made)
        yield made


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, owner: str) -> DuckDB:
    house = DuckDB(tmp_path_factory.mktemp("engines") / "w.duckdb")
    load(house, owner)
    return house


@pytest.fixture(scope="module")
def expected(
    reference: DuckDB, posthog: PostHogResource, instance: dg.DagsterInstance
) -> dict[tuple[str, str], Any]:
    """What every check says: (check, table) -> outcome."""
    return verdicts(reference, posthog, instance)
