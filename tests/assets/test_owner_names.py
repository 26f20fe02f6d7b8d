"""Names of workflows and hog functions stand beside their ids, in tables loaded earlier too."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import (
    build_blocked_runs_asset,
    build_catalog_assets,
    build_hog_function_logs_asset,
    build_hog_functions_asset,
    build_workflow_logs_asset,
    build_workflow_metrics_asset,
    build_workflow_runs_asset,
)
from hog_dagster.assets._function_tables import HOG_FUNCTION_LOGS
from hog_dagster.assets._owner_names import name_column
from hog_dagster.assets._workflow_tables import (
    BLOCKED_RUNS,
    WORKFLOW_ACTIONS,
    WORKFLOW_BATCH_JOBS,
    WORKFLOW_EDGES,
    WORKFLOW_LOGS,
    WORKFLOW_METRICS,
    WORKFLOW_RUNS,
    WORKFLOW_SCHEDULES,
)
from hog_dagster.resources import DltWarehouse, DuckDBWarehouse
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import Table, Warehouse
from tests.assets import kit
from tests.assets.conftest import WAREHOUSES
from tests.warehouse.warehouse_processes import open_warehouse

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MONDAY = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)
DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-01", end_date="2026-11-23")
ASSETS = [
    build_catalog_assets(),
    build_hog_functions_asset(),
    build_blocked_runs_asset(),
    build_workflow_logs_asset(DAYS),
    build_workflow_metrics_asset(DAYS),
    build_workflow_runs_asset(DAYS),
    build_hog_function_logs_asset(DAYS),
]
TABLES = (
    WORKFLOW_ACTIONS,
    WORKFLOW_EDGES,
    WORKFLOW_SCHEDULES,
    WORKFLOW_BATCH_JOBS,
    BLOCKED_RUNS,
    WORKFLOW_LOGS,
    WORKFLOW_METRICS,
    WORKFLOW_RUNS,
    HOG_FUNCTION_LOGS,
)


@pytest.fixture
def world() -> Iterator[Sandbox]:
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        yield sandbox


def fill(sandbox: Sandbox) -> str:
    """A batch workflow and a function with rows in every table."""
    world = sandbox.world
    workflow = world.add_workflow("Welcome", "batch")["id"]
    world.add_schedule(workflow, "FREQ=DAILY")
    world.add_batch_job(workflow)
    world.add_run(workflow, "failed", NOW - timedelta(days=1), "r1")
    world.add_run(workflow, "failed", MONDAY, "r2")
    world.emit_metric(workflow, MONDAY, "failed", "failure")
    function = world.add_hog_function("Slack")["id"]
    line = {"instance_id": "f", "timestamp": MONDAY, "message": "sent"}
    world.add_logs(function, [line])
    return workflow


def load(sandbox: Sandbox, resources: Any, instance: Any, day: str, *names: str) -> dict[str, Any]:
    given = resources(sandbox)
    result = dg.materialize(
        ASSETS,
        resources=given,
        instance=instance,
        run_config=kit.QUIET,
        tags=kit.days(day),
        selection=[dg.AssetKey(["posthog", name]) for name in names] if names else None,
    )
    assert result.success
    return given


CATALOGS = [
    "workflows",
    *(t.name for t in TABLES[:5]),
    "hog_functions",
]


@WAREHOUSES
def test_every_table_with_an_id_of_a_workflow_or_function_has_its_name(world, resources, instance):
    fill(world)
    load(world, resources, instance, "2026-11-16", *CATALOGS)
    given = load(world, resources, instance, "2026-11-16", *(t.name for t in TABLES[5:]))
    with given["warehouse"].open() as warehouse:
        for table in TABLES:
            columns = name_column(table)
            assert columns is not None
            found = set(warehouse.read(table, columns=[columns[1]]).column(0).to_pylist())
            assert found == {"Slack" if table is HOG_FUNCTION_LOGS else "Welcome"}, table.name


def test_a_renamed_workflow_keeps_its_old_name_in_days_that_are_not_read_again(
    world, resources, instance
):
    workflow = fill(world)
    load(world, resources, instance, "2026-11-16", "workflows")
    load(world, resources, instance, "2026-11-16", "workflow_runs")
    world.world.workflows[workflow].name = "Welcome 2"
    load(world, resources, instance, "2026-11-16", "workflows")
    given = load(world, resources, instance, "2026-11-20", "workflow_runs")
    with given["warehouse"].open() as warehouse:
        rows = warehouse.read(WORKFLOW_RUNS, order_by="first_scheduled_at").to_pylist()
    assert [row["workflow_name"] for row in rows] == ["Welcome", "Welcome 2"]


def earlier(table: Table) -> Table:
    """The table as versions before had it: without names."""
    name = (name_column(table) or ("", ""))[1]
    return replace(table, columns=tuple(c for c in table.columns if c.name != name))


@WAREHOUSES
@pytest.mark.parametrize(
    "table",
    [
        *(
            pytest.param(t, marks=pytest.mark.integration)
            for t in (WORKFLOW_LOGS, WORKFLOW_METRICS)
        ),
        WORKFLOW_RUNS,
    ],
)
def test_rows_that_an_earlier_version_loaded_get_their_names_at_the_next_load(
    table, world, resources, instance
):
    workflow = fill(world)
    given = load(world, resources, instance, "2026-11-16", "workflows")
    load(world, resources, instance, "2026-11-16", table.name)
    old = earlier(table)
    with given["warehouse"].open() as warehouse:
        rows = warehouse.read(old).to_pylist()
    gone = {**rows[0], "workflow_id": "deleted", "project_id": 1}
    other = {**rows[0], "project_id": 2}
    fresh = given["warehouse"]
    drop(fresh, table)
    with fresh.open() as warehouse:
        warehouse.replace(old, [[*rows, gone, other]])
    load(world, resources, instance, "2026-11-20", table.name)
    with fresh.open() as warehouse:
        found = warehouse.read(table).to_pylist()
    names = {(row["project_id"], row["workflow_id"]): row["workflow_name"] for row in found}
    assert names[1, workflow] == "Welcome"
    assert names[1, "deleted"] is None
    assert names[2, workflow] is None


@WAREHOUSES
@pytest.mark.parametrize("call", [pytest.param("fill", marks=pytest.mark.integration), "replace"])
def test_a_run_killed_while_it_takes_a_table_over_leaves_no_row_without_its_name(
    world, resources, instance, monkeypatch: pytest.MonkeyPatch, call: str
):
    fill(world)
    given = load(world, resources, instance, "2026-11-16", "workflows")
    load(world, resources, instance, "2026-11-16", "workflow_runs")
    old = earlier(WORKFLOW_RUNS)
    with given["warehouse"].open() as warehouse:
        rows = warehouse.read(old).to_pylist()
        kind = type(warehouse)
    drop(given["warehouse"], WORKFLOW_RUNS)
    with given["warehouse"].open() as warehouse:
        warehouse.replace(old, [rows])
    real = getattr(kind, call)

    def killed(self: Any, *args: Any, **options: Any) -> Any:
        real(self, *args, **options)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(kind, call, killed)
        with pytest.raises(KilledError):
            load(world, resources, instance, "2026-11-20", "workflow_runs")
    load(world, resources, instance, "2026-11-20", "workflow_runs")
    with given["warehouse"].open() as warehouse:
        names = warehouse.read(WORKFLOW_RUNS, columns=["workflow_name"]).column(0).to_pylist()
    assert names == ["Welcome", "Welcome"]


def test_a_table_by_dlt_that_was_taken_over_half_is_healed_by_the_next_load(
    world, resources, instance, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    fill(world)
    rows = as_loaded_by_an_earlier_version(world, resources, instance)
    by_dlt = with_dlt(resources, tmp_path)
    with by_dlt(world)["warehouse"].open() as warehouse:
        warehouse.replace(earlier(WORKFLOW_RUNS), [rows])
        kind = type(warehouse)
    load(world, by_dlt, instance, "2026-11-16", "workflows")
    real = kind.replace

    def killed(self: Any, *args: Any, **options: Any) -> Any:
        real(self, *args, **options)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(kind, "replace", killed)
        with pytest.raises(KilledError):
            load(world, by_dlt, instance, "2026-11-20", "workflow_runs")
    assert names_in(by_dlt(world)) == ["Welcome", None]
    load(world, by_dlt, instance, "2026-11-20", "workflow_runs")
    assert names_in(by_dlt(world)) == ["Welcome", "Welcome"]


@pytest.mark.parametrize("kind", ["duckdb", "dlt"])
def test_rows_loaded_before_the_catalog_get_their_names_once_it_is_loaded(
    world, resources, instance, tmp_path, kind: str
):
    fill(world)
    rows = as_loaded_by_an_earlier_version(world, resources, instance)
    given = with_dlt(resources, tmp_path) if kind == "dlt" else with_duckdb(resources, tmp_path)
    with given(world)["warehouse"].open() as warehouse:
        warehouse.replace(earlier(WORKFLOW_RUNS), [rows])
    load(world, given, instance, "2026-11-20", "workflow_runs")
    assert names_in(given(world)) == [None, None]
    load(world, given, instance, "2026-11-20", "workflows")
    load(world, given, instance, "2026-11-20", "workflow_runs")
    assert names_in(given(world)) == ["Welcome", "Welcome"]


def test_a_load_that_finds_every_row_named_changes_none(
    world, resources, instance, monkeypatch: pytest.MonkeyPatch
):
    fill(world)
    load(world, resources, instance, "2026-11-16", "workflows")
    given = load(world, resources, instance, "2026-11-16", "workflow_runs")
    with given["warehouse"].open() as warehouse:
        kind = type(warehouse)
    with monkeypatch.context() as patch:
        patch.setattr(kind, "fill", lambda *_, **__: pytest.fail("every row has its name"))
        load(world, resources, instance, "2026-11-20", "workflow_runs")


def as_loaded_by_an_earlier_version(
    world: Sandbox, resources: Any, instance: Any
) -> list[dict[str, Any]]:
    """The rows of the runs of Monday, without names."""
    given = load(world, resources, instance, "2026-11-16", "workflow_runs")
    with given["warehouse"].open() as warehouse:
        return warehouse.read(earlier(WORKFLOW_RUNS)).to_pylist()


def with_dlt(resources: Any, folder: Path) -> Any:
    """The resources with a warehouse by dlt."""
    there = DltWarehouse(destination="duckdb", credentials=str(folder / "dlt.duckdb"))
    return lambda sandbox: {**resources(sandbox), "warehouse": there}


def with_duckdb(resources: Any, folder: Path) -> Any:
    """The resources with another file of DuckDB."""
    there = DuckDBWarehouse(path=str(folder / "taken_over.duckdb"))
    return lambda sandbox: {**resources(sandbox), "warehouse": there}


def names_in(given: dict[str, Any]) -> list[str | None]:
    """The names in the table of runs, the newest run first."""
    with given["warehouse"].open() as warehouse:
        rows = warehouse.read(
            WORKFLOW_RUNS, columns=["workflow_name"], order_by="-first_scheduled_at"
        )
    return rows.column(0).to_pylist()


class KilledError(BaseException):
    """A process that ends here."""


def drop(warehouse: Any, table: Table) -> None:
    """Drop a table behind the warehouse's back."""
    sql = f'DROP TABLE "{table.schema}"."{table.name}"'
    if hasattr(warehouse, "path"):
        import duckdb

        with duckdb.connect(warehouse.path) as con:
            con.execute(sql)
    else:
        import psycopg

        with psycopg.connect(warehouse.url, autocommit=True) as con:
            con.execute(sql.encode())


@pytest.mark.parametrize("kind", ["duckdb", "postgres", "dlt-duckdb", "dlt-postgres", "dlt-delta"])
def test_fill_replaces_nulls_only_and_in_its_scope(kind: str, request, tmp_path: Path):
    where = request.getfixturevalue("postgres_url") if kind.endswith("postgres") else str(tmp_path)
    with open_warehouse(kind, where) as warehouse:
        _fill(warehouse, kind)


def _fill(warehouse: Warehouse, kind: str) -> None:
    line = {
        "batch_job_id": "",
        "instance_id": "r",
        "timestamp": MONDAY,
        "level": "INFO",
        "message": "it's",
        "_loaded_at": NOW,
    }
    rows = [
        {**line, "project_id": 1, "workflow_id": "a", "workflow_name": None},
        {**line, "project_id": 1, "workflow_id": "b", "workflow_name": "kept"},
        {**line, "project_id": 1, "workflow_id": "c", "workflow_name": None},
        {**line, "project_id": 2, "workflow_id": "a", "workflow_name": None},
    ]
    warehouse.replace(WORKFLOW_LOGS, [rows])
    values = {"a": "Ada's: 100 %", "b": "new"}
    changed = warehouse.fill(
        WORKFLOW_LOGS, "workflow_name", by="workflow_id", values=values, scope={"project_id": 1}
    )
    found = warehouse.read(WORKFLOW_LOGS, order_by=["project_id", "workflow_id"]).to_pylist()
    names = [row["workflow_name"] for row in found]
    if kind == "dlt-delta":  # It changes no row in place.
        assert (changed, names) == (0, [None, "kept", None, None])
    else:
        assert (changed, names) == (1, ["Ada's: 100 %", "kept", None, None])
