"""Workflows and hog functions that are deleted or archived keep their rows, and so their names."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import build_catalog_assets, build_hog_functions_asset
from hog_dagster.assets._function_tables import HOG_FUNCTIONS
from hog_dagster.assets._workflow_tables import WORKFLOWS
from hog_dagster.lineage._options import AssetOptions
from hog_dagster.policies import HogFunctionSelection, WorkflowSelection
from hog_dagster.resources import PostgresWarehouse
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import Table

NOW = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
ONCE = AssetOptions(retry_policy=None)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(populate=False, now=NOW, limits=False) as running:
        yield running


@pytest.fixture(params=["duckdb", "postgres"])
def given(request: pytest.FixtureRequest, sandbox: Sandbox, resources: Any) -> dict[str, Any]:
    made = resources(sandbox)
    if request.param == "postgres":
        made["warehouse"] = PostgresWarehouse(url=request.getfixturevalue("postgres_url"))
    return made


def load(given: dict[str, Any], asset: dg.AssetsDefinition, table: Table) -> dict[str, Any]:
    """The metadata of the load."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [asset],
            resources=given,
            instance=instance,
            selection=[dg.AssetKey(["posthog", table.name])],
        )
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def rows(given: dict[str, Any], table: Table) -> dict[str, dict[str, Any]]:
    with given["warehouse"].open() as warehouse:
        return {row["name"]: row for row in warehouse.read(table).to_pylist()}


def test_a_workflow_that_is_deleted_or_archived_keeps_its_row(sandbox: Sandbox, given):
    world = sandbox.world
    made = {name: world.add_workflow(name) for name in ("Stays", "Deleted", "Archived")}
    world.add_workflow("Never selected", status="draft")
    asset = build_catalog_assets(options=ONCE, selection=WorkflowSelection(statuses=["active"]))
    load(given, asset, WORKFLOWS)
    assert set(rows(given, WORKFLOWS)) == set(made)
    del world.workflows[made["Deleted"]["id"]]
    world.workflows[made["Archived"]["id"]].status = "archived"
    metadata = load(given, asset, WORKFLOWS)
    first = rows(given, WORKFLOWS)
    assert set(first) == set(made)
    assert first["Stays"]["deleted_seen_at"] is None
    assert first["Deleted"]["deleted_seen_at"] is not None
    assert first["Archived"]["deleted_seen_at"] is not None
    assert (first["Deleted"]["status"], first["Archived"]["status"]) == ("active", "archived")
    assert (metadata["posthog/active"], metadata["posthog/deleted"]) == (1, 2)
    sandbox.clock.advance(3600)
    world.workflows[made["Archived"]["id"]].status = "active"
    load(given, asset, WORKFLOWS)
    second = rows(given, WORKFLOWS)
    assert second["Archived"]["deleted_seen_at"] is None
    assert second["Deleted"]["deleted_seen_at"] == first["Deleted"]["deleted_seen_at"]


def test_a_hog_function_that_is_deleted_or_not_selected_keeps_its_row(sandbox: Sandbox, given):
    world = sandbox.world
    made = {name: world.add_hog_function(name) for name in ("Stays", "Deleted", "Off")}
    asset = build_hog_functions_asset(options=ONCE, selection=HogFunctionSelection(enabled=True))
    load(given, asset, HOG_FUNCTIONS)
    del world.hog_functions[made["Deleted"]["id"]]
    world.hog_functions[made["Off"]["id"]].enabled = False
    metadata = load(given, asset, HOG_FUNCTIONS)
    found = rows(given, HOG_FUNCTIONS)
    gone = {name: row["deleted_seen_at"] is not None for name, row in found.items()}
    assert gone == {"Stays": False, "Deleted": True, "Off": True}
    assert (metadata["posthog/enabled"], metadata["posthog/disabled"]) == (1, 0)


def test_a_table_loaded_by_an_older_version_gets_the_column(sandbox: Sandbox, given):
    made = sandbox.world.add_workflow("Deleted")
    columns = tuple(c for c in WORKFLOWS.columns if c.name != "deleted_seen_at")
    older = Table("workflows", columns, key=WORKFLOWS.key, schema=WORKFLOWS.schema)
    row = {"project_id": 1, "id": made["id"], "name": "Deleted", "_loaded_at": NOW}
    with given["warehouse"].open() as warehouse:
        warehouse.replace(older, [[{c.name: None for c in columns} | row]])
    del sandbox.world.workflows[made["id"]]
    load(given, build_catalog_assets(options=ONCE), WORKFLOWS)
    assert rows(given, WORKFLOWS)["Deleted"]["deleted_seen_at"] is not None
