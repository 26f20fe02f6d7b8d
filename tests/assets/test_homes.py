"""Two servers with one project number do not overwrite each other's rows in one warehouse."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import pytest

from hog_dagster.assets import build_catalog_assets
from hog_dagster.assets._workflow_tables import WORKFLOWS
from hog_dagster.lineage._options import AssetOptions
from hog_dagster.posthog import PostHogClient
from hog_dagster.resources import DuckDBWarehouse, PostgresWarehouse, PostHogResource
from hog_dagster.sandbox import Sandbox


class Named(PostHogResource):
    """A resource whose server has a name of its own, and is in this process."""

    servers: ClassVar[dict[str, Sandbox]] = {}

    def _open(self) -> PostHogClient:
        return PostHogClient(
            self.host,
            self.api_key,
            self.project_id,
            limits=False,
            transport=self.servers[self.host].transport(),
        )


def named(sandbox: Sandbox, host: str) -> Named:
    Named.servers[host] = sandbox
    return Named(host=host, api_key=sandbox.api_key, project_id="1")


NOW = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)


@pytest.fixture
def load() -> Any:
    asset = build_catalog_assets(options=AssetOptions(retry_policy=None))

    def load(posthog: PostHogResource, warehouse: Any) -> dg.ExecuteInProcessResult:
        with dg.DagsterInstance.ephemeral() as instance:
            return dg.materialize(
                [asset],
                resources={"posthog": posthog, "warehouse": warehouse},
                instance=instance,
                selection=[dg.AssetKey(["posthog", "workflows"])],
                raise_on_error=False,
            )

    return load


def sandbox_with(name: str) -> Sandbox:
    sandbox = Sandbox(populate=False, now=NOW, limits=False)
    sandbox.world.add_workflow(name)
    return sandbox


def names(warehouse: Any) -> list[str]:
    with warehouse.open() as opened:
        return opened.read(WORKFLOWS, scope={"deleted_seen_at": None}).column("name").to_pylist()


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_a_project_of_another_server_with_the_number_of_one_that_is_there_is_refused(
    engine: str, load: Any, tmp_path: Path, request: pytest.FixtureRequest
):
    eu = named(sandbox_with("Of the EU"), "https://eu.posthog.test")
    us = named(sandbox_with("Of the US"), "https://us.posthog.test")
    warehouse: Any = DuckDBWarehouse(path=str(tmp_path / "warehouse.duckdb"))
    if engine == "postgres":
        warehouse = PostgresWarehouse(url=request.getfixturevalue("postgres_url"))
    assert load(eu, warehouse).success
    refused = load(us, warehouse)
    assert not refused.success
    (event,) = refused.get_step_failure_events()
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    said = str(failure.description)
    assert "eu.posthog.test" in said
    assert "us.posthog.test" in said
    assert names(warehouse) == ["Of the EU"]
    assert load(eu, warehouse).success


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("https://posthog.test", "https://PostHog.test:8443"),
        ("http://127.0.0.1:8001", "http://127.0.0.1:8002"),
        ("http://localhost:8001", "http://[::1]:8002"),
        ("http://localhost:8001", "https://posthog.test"),
    ],
)
def test_a_server_may_come_back_on_another_port_and_this_machine_is_not_checked(
    first: str, second: str, load: Any, tmp_path: Path
):
    warehouse = DuckDBWarehouse(path=str(tmp_path / "warehouse.duckdb"))
    assert load(named(sandbox_with("Before"), first), warehouse).success
    assert load(named(sandbox_with("After"), second), warehouse).success
    assert names(warehouse) == ["After"]
