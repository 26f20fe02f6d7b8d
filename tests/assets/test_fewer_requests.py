"""What is asked of PostHog once, or not at all, and how often the warehouse is opened."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import psycopg
import pytest

from hog_dagster import DuckDBWarehouse, PostHogResource, build_posthog_definitions
from hog_dagster.assets import (
    build_hog_functions_asset,
    build_workflow_logs_asset,
    build_workflow_metrics_asset,
    build_workflow_runs_asset,
)
from hog_dagster.assets._function_tables import HOG_FUNCTIONS
from hog_dagster.assets._workflow_tables import WORKFLOW_LOGS, WORKFLOW_METRICS, WORKFLOW_RUNS
from hog_dagster.resources import LedgerResource, PostgresWarehouse
from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.world import step

NOW = datetime(2026, 11, 21, 1, 20, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-01", end_date="2026-11-22")
DAY = {
    "dagster/asset_partition_range_start": "2026-11-20",
    "dagster/asset_partition_range_end": "2026-11-20",
}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Four workflows with a day of runs (one sends batches), and three that never ran."""
    with Sandbox(populate=False, now=NOW, limits=False) as sandbox:
        world, made = sandbox.world, NOON - timedelta(days=40)
        for n in range(7):
            kind = "batch" if n == 0 else "event"
            id = world.add_workflow(f"W{n}", kind, created_at=made, updated_at=made)["id"]
            source = world.add_batch_job(id, created_at=NOON).id if n == 0 else id
            if n > 3:
                continue
            job = source if n == 0 else ""
            run = world.add_run(id, scheduled_at=NOON, parent_run_id=job, logged=False)
            line = {"instance_id": run.invocation_id, "timestamp": NOON, "message": f"of {n}"}
            world.add_logs(source, [line])
            world.emit_metric(source, NOON, "succeeded", "success")
            world.emit_metric(source, NOON, "succeeded", "success", instance_id="action_hook")
        for n in range(3):
            row = world.add_hog_function(f"F{n}", created_at=made, updated_at=made)
            world.emit_metric(row["id"], NOON, "succeeded", "success")
            line = {"instance_id": f"f{n}", "timestamp": NOON, "message": "sent"}
            world.add_logs(row["id"], [line])
            world.add_function_run(row["id"], scheduled_at=NOON, sends=False)
        for index in range(2):
            world.add_group_type(f"type_{index}")
            world.add_group(index, "one")
        world.add_insight("I")
        yield sandbox


def definitions(sandbox: Sandbox, folder: Path, warehouse: Any = None) -> dg.Definitions:
    return build_posthog_definitions(
        posthog=PostHogResource(host=sandbox.url, api_key=sandbox.api_key, project_id="1"),
        warehouse=warehouse or DuckDBWarehouse(path=str(folder / "w.duckdb")),
        ledger=LedgerResource(url=f"sqlite:///{folder / 'ledger.sqlite'}"),
        start_date=DAYS.start.date(),
    )


def launch(defs: dg.Definitions, what: str, instance: dg.DagsterInstance) -> Any:
    job = defs.resolve_job_def(f"refresh_posthog_{what}_job")
    tags = DAY if what == "partitions" else {}
    done = job.execute_in_process(instance=instance, tags=tags, run_config=QUIET)
    assert done.success
    return done


def rows(folder: Path, table: Any) -> list[dict[str, Any]]:
    with DuckDBWarehouse(path=str(folder / "w.duckdb")).open() as warehouse:
        return warehouse.read(table).to_pylist()


def test_a_nightly_refresh_asks_for_no_list_and_each_table_once(sandbox, instance, tmp_path):
    defs = definitions(sandbox, tmp_path)
    launch(defs, "snapshots", instance)
    assert sandbox.count("GET", "*/hog_flows/") == sandbox.count("GET", "*/hog_functions/") == 1
    assert sandbox.count("GET", "*/schedules/") == sandbox.count("GET", "*/batch_jobs/") == 1
    assert sandbox.count("GET", "*/groups/") == 0
    sandbox.reset_counts()
    launch(defs, "partitions", instance)
    asked = [record.path for record in sandbox.requests]
    assert asked == ["/api/projects/1/query/"] * 9  # Six tables, and three counts for the checks.
    assert {row["batch_job_id"] != "" for row in rows(tmp_path, WORKFLOW_LOGS)} == {True, False}


def test_a_catalog_from_before_the_day_had_ended_is_not_relied_on(sandbox, instance, tmp_path):
    defs = definitions(sandbox, tmp_path)
    sandbox.clock.set(NOON + timedelta(hours=1))
    launch(defs, "snapshots", instance)
    late = sandbox.world.add_workflow("Late", created_at=NOON + timedelta(hours=2))["id"]
    at = NOON + timedelta(hours=3)
    line = {"instance_id": "r", "timestamp": at, "message": "late"}
    sandbox.world.add_logs(late, [line])
    sandbox.clock.set(NOW)
    sandbox.reset_counts()
    launch(defs, "partitions", instance)
    assert sandbox.count("GET", "*/hog_flows/") == 1
    assert late in {row["workflow_id"] for row in rows(tmp_path, WORKFLOW_LOGS)}


def test_the_jobs_of_refreshes_run_their_steps_in_one_process(sandbox, tmp_path):
    defs = definitions(sandbox, tmp_path)
    for name in ("snapshots", "insight_results", "partitions"):
        job = defs.resolve_job_def(f"refresh_posthog_{name}_job")
        assert job.executor_def is dg.in_process_executor
    assert defs.resolve_job_def("check_posthog_tables_job").executor_def is dg.in_process_executor


BY_REST = {
    "workflow_logs": (build_workflow_logs_asset, WORKFLOW_LOGS),
    "workflow_metrics": (build_workflow_metrics_asset, WORKFLOW_METRICS),
    "workflow_runs": (build_workflow_runs_asset, WORKFLOW_RUNS),
}


@pytest.mark.parametrize(
    ("name", "path", "least"),
    [
        ("workflow_logs", "*/logs/", 3),
        ("workflow_metrics", "*/metrics/", 9),  # The whole, the step and the exit; no trigger.
        ("workflow_runs", "*/invocation_results/", 4),  # Batches are not in the global metrics.
    ],
)
def test_workflows_that_did_not_run_are_not_asked_by_rest(
    name, path, least, sandbox, instance, resources
):
    build, table = BY_REST[name]
    given = resources(sandbox)
    quiet = [id for id, one in sandbox.world.workflows.items() if one.name in ("W4", "W5", "W6")]
    asset = build(DAYS, read_by="rest")
    dg.materialize([asset], resources=given, instance=instance, tags=DAY, run_config=QUIET)
    asked = sandbox.count("GET", path)
    # Whether there are results of runs is asked of nobody's.
    assert asked == least + (name == "workflow_runs")
    assert not [r for r in sandbox.requests if any(id in r.path for id in quiet)]
    assert sandbox.count("GET", "*/metrics/global/") == 1
    with given["warehouse"].open() as warehouse:
        assert len(warehouse.read(table).to_pylist()) >= 3


def test_what_landed_of_a_workflow_that_is_not_asked_stays(sandbox, instance, resources):
    quiet = next(id for id, one in sandbox.world.workflows.items() if one.name == "W5")
    line = {"instance_id": "waits", "timestamp": NOON, "message": "paused for a month"}
    sandbox.world.add_logs(quiet, [line])
    given = resources(sandbox)
    for read_by in ("hogql", "rest"):
        asset = build_workflow_logs_asset(DAYS, read_by=read_by, messages="keep")
        dg.materialize([asset], resources=given, instance=instance, tags=DAY, run_config=QUIET)
        with given["warehouse"].open() as warehouse:
            found = warehouse.read(WORKFLOW_LOGS).to_pylist()
        assert "paused for a month" in [row["message"] for row in found]


@pytest.mark.parametrize(
    ("kind", "config", "asked"),
    [
        ("delay", {"delay_duration": "5d"}, True),
        ("delay", {"delay_duration": "30m"}, False),
        ("delay", {"delay_duration": "soon"}, True),
        ("wait_until_condition", {}, True),
        ("wait_until_time_window", {}, True),
    ],
)
@pytest.mark.parametrize("name", ["workflow_logs", "workflow_runs"])
def test_runs_that_wait_uncounted_are_read_by_rest(
    name, kind, config, asked, sandbox, instance, resources
):
    build, table = BY_REST[name]
    actions = [step("wait", kind, config)]
    id = sandbox.world.add_workflow("Patient", actions=actions, updated_at=NOON)["id"]
    run = sandbox.world.add_run(id, "running", NOON, logged=False, waits_at="wait")
    line = {"instance_id": run.invocation_id, "timestamp": NOON, "message": "waits"}
    sandbox.world.add_logs(id, [line])
    given = resources(sandbox)
    dg.materialize([build(DAYS, read_by="rest")], resources=given, instance=instance, tags=DAY)
    with given["warehouse"].open() as warehouse:
        found = {row["workflow_id"] for row in warehouse.read(table).to_pylist()}
    assert (id in found) is asked


def test_a_stretch_after_the_one_in_which_sql_failed_keeps_what_landed(instance, resources):
    days = dg.DailyPartitionsDefinition(start_date="2026-10-01", end_date="2026-11-22")
    tags = dict(zip(DAY, ("2026-10-05", "2026-11-20"), strict=True))
    with Sandbox(populate=False, now=NOW, limits=False) as sandbox:
        busy, quiet = (sandbox.world.add_workflow(f"W{n}")["id"] for n in range(2))
        for at in (NOON - timedelta(days=40), NOON):
            for id in (busy, quiet):
                line = {"instance_id": "run", "timestamp": at, "message": "m"}
                sandbox.world.add_logs(id, [line])
            sandbox.world.emit_metric(busy, at, "succeeded", "success")
        given, loaded = resources(sandbox), []
        for read_by in ("hogql", "auto"):
            if read_by == "auto":  # The first stretch is counted by SQL, and read by REST.
                sandbox.fail("POST", "*/query", times=99, after=1, status=500)
            asset = build_workflow_logs_asset(days, read_by=read_by)
            dg.materialize([asset], resources=given, instance=instance, tags=tags, run_config=QUIET)
            with given["warehouse"].open() as warehouse:
                found = warehouse.read(WORKFLOW_LOGS).to_pylist()
            loaded.append(sorted((row["workflow_id"], row["timestamp"]) for row in found))
    assert len(loaded[0]) == 4
    assert loaded[0] == loaded[1]


def test_a_server_that_counts_no_run_at_all_has_every_workflow_asked(instance, resources):
    with Sandbox(populate=False, now=NOW, limits=False) as sandbox:
        ids = [sandbox.world.add_workflow(f"W{n}")["id"] for n in range(3)]
        for id in ids:
            line = {"instance_id": "r", "timestamp": NOON, "message": "m"}
            sandbox.world.add_logs(id, [line])
        asset = build_workflow_logs_asset(DAYS, read_by="rest")
        given = resources(sandbox)
        dg.materialize([asset], resources=given, instance=instance, tags=DAY, run_config=QUIET)
        assert sandbox.count("GET", "*/logs/") == 3


def test_a_mail_that_is_opened_days_after_the_last_run_is_counted(instance, resources):
    with Sandbox(populate=False, now=NOW, limits=False) as sandbox:
        world = sandbox.world
        mail = step("mail", "function_email", {"inputs": {}})
        newsletter = world.add_workflow("Newsletter", actions=[mail])["id"]
        other = world.add_workflow("Other")["id"]
        world.emit_metric(newsletter, NOON - timedelta(days=20), "succeeded", "success")
        world.emit_metric(newsletter, NOON, "email_opened", "email", 3, instance_id="mail")
        world.emit_metric(other, NOON, "succeeded", "success")
        given = resources(sandbox)
        asset = build_workflow_metrics_asset(DAYS, read_by="rest")
        dg.materialize([asset], resources=given, instance=instance, tags=DAY, run_config=QUIET)
        with given["warehouse"].open() as warehouse:
            found = warehouse.read(WORKFLOW_METRICS).to_pylist()
    assert {(r["metric"], r["value"]) for r in found} == {("email_opened", 3), ("succeeded", 1)}


def test_functions_that_did_not_change_are_not_read_again_in_detail(instance, resources):
    with Sandbox("docs", populate=False, now=NOW, limits=False) as sandbox:
        made = NOON - timedelta(days=40)
        schema = [{"key": "url", "type": "string"}]
        ids = [
            sandbox.world.add_hog_function(
                f"F{n}",
                inputs_schema=schema,
                inputs={"url": {"value": f"https://example.com/{n}"}},
                created_at=made,
                updated_at=made,
            )["id"]
            for n in range(3)
        ]
        given, detail = resources(sandbox), []
        loaded: list[dict[str, Any]] = []
        for change in (False, False, True):
            if change:
                sandbox.world.hog_functions[ids[1]].updated_at = NOON
            sandbox.reset_counts()
            dg.materialize(
                [build_hog_functions_asset()], resources=given, instance=instance, run_config=QUIET
            )
            detail.append(sum(sandbox.count("GET", f"*/hog_functions/{id}/") for id in ids))
            with given["warehouse"].open() as warehouse:
                found = warehouse.read(HOG_FUNCTIONS, order_by="name").to_pylist()
            loaded.append({row["name"]: row["inputs"] for row in found})
    assert detail == [3, 0, 1]
    assert loaded[0] == loaded[1] == loaded[2]
    assert loaded[0]["F1"] is not None


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_a_partition_opens_the_warehouse_twice(
    engine, sandbox, instance, tmp_path, monkeypatch, request
):
    warehouse: Any = DuckDBWarehouse(path=str(tmp_path / "w.duckdb"))
    if engine == "postgres":
        warehouse = PostgresWarehouse(url=request.getfixturevalue("postgres_url"))
    defs = definitions(sandbox, tmp_path, warehouse)
    launch(defs, "snapshots", instance)
    opened: list[str] = []
    for module, name in ((duckdb, "duckdb"), (psycopg, "postgres")):
        connect = module.connect

        def counted(*given: Any, connect: Any = connect, name: str = name, **named: Any) -> Any:
            if not given or given[0] != ":memory:":  # The sandbox runs its queries there.
                opened.append(name)
            return connect(*given, **named)

        monkeypatch.setattr(module, "connect", counted)
    whole = defs.resolve_implicit_global_asset_job_def()
    for table in ("workflow_metrics", "workflow_logs", "workflow_runs", "hog_function_logs"):
        for _ in range(2):  # A new table, and one that is there.
            opened.clear()
            key = dg.AssetKey(["posthog", table])
            job = whole.get_subset(asset_selection={key}, asset_check_selection=set())
            done = job.execute_in_process(instance=instance, tags=DAY, run_config=QUIET)
            assert done.success
            assert set(opened) == {engine}
            assert len(opened) <= 2, table
