"""Workflow tables load complete, once, redacted, with the metadata the UI reads."""

import json
import tracemalloc
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from hog_dagster.assets import (
    build_blocked_runs_asset,
    build_catalog_assets,
    build_ledger_assets,
    build_workflow_logs_asset,
    build_workflow_metrics_asset,
    build_workflow_runs_asset,
)
from hog_dagster.assets._blocked_runs import _unfinished
from hog_dagster.assets._workflow_tables import (
    BLOCKED_RUNS,
    WORKFLOW_ACTIONS,
    WORKFLOW_BATCH_JOBS,
    WORKFLOW_LOGS,
    WORKFLOW_METRICS,
    WORKFLOW_RUNS,
    WORKFLOWS,
)
from hog_dagster.policies import WorkflowSelection
from hog_dagster.resources import DuckDBWarehouse, PostHogResource
from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.world import from_micros
from hog_dagster.warehouse import DuckDB, Table

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-01", end_date="2026-11-21")


def run(assets: list[Any], resources: dict[str, Any], instance: Any, **kwargs: Any) -> Any:
    return dg.materialize(
        assets, resources=resources, instance=instance, raise_on_error=False, **kwargs
    )


def days(first: str, last: str) -> dict[str, str]:
    return {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
    }


def rows(resources: dict[str, Any], table: Table) -> list[dict[str, Any]]:
    with DuckDB(resources["warehouse"].path) as warehouse:
        return warehouse.read(table).to_pylist()


@pytest.mark.parametrize("generation", ["docs", "current"])
def test_the_catalog_lands_every_workflow_step_and_arrow_without_secrets(
    generation, resources, instance
):
    with Sandbox(generation=generation, now=NOW, limits=False) as sandbox:
        given = resources(sandbox)
        result = run([build_catalog_assets()], given, instance)
        assert result.success
        loaded = rows(given, WORKFLOWS)
        truth = sandbox.world.workflows
        assert {row["id"] for row in loaded} == set(truth)
        assert all(row["url"].startswith(sandbox.url) for row in loaded)
        steps = Counter(row["workflow_id"] for row in rows(given, WORKFLOW_ACTIONS))
        for workflow_id, workflow in truth.items():
            assert steps[workflow_id] == len(workflow.actions or [])
    text = json.dumps(loaded + rows(given, WORKFLOW_ACTIONS), default=str)
    assert "Bearer" not in text
    assert sandbox.api_key not in text
    events = result.get_asset_materialization_events()
    assert len(events) == 5
    for event in events:
        names = set(event.materialization.metadata)
        assert {"dagster/row_count", "dagster/column_schema", "dagster/table_name"} <= names
        assert {"posthog/requests", "posthog/url"} <= names


def test_schedules_and_batch_jobs_are_asked_only_of_workflows_that_can_have_them(
    resources, instance
):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        for n in range(10):
            sandbox.world.add_workflow(f"On event {n}")
        batch = sandbox.world.add_workflow("Newsletter", "batch")["id"]
        job = sandbox.world.add_batch_job(batch, created_at=NOW)
        given = resources(sandbox)
        assert run([build_catalog_assets()], given, instance).success
        assert sandbox.count("GET", "*/schedules/") == sandbox.count("GET", "*/batch_jobs/") == 1
        assert [row["id"] for row in rows(given, WORKFLOW_BATCH_JOBS)] == [job.id]
        sandbox.world.workflows[batch].trigger = {"type": "manual"}
        assert run([build_catalog_assets()], given, instance).success
        assert [row["id"] for row in rows(given, WORKFLOW_BATCH_JOBS)] == [job.id]


def test_a_single_run_backfill_gives_each_partition_its_own_row_count(resources, instance):
    with Sandbox("docs", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow(name="Onboarding")
        per_day = {"2026-11-10": 3, "2026-11-11": 0, "2026-11-12": 7}
        for day, count in per_day.items():
            at = datetime.fromisoformat(f"{day}T00:00:00+00:00")
            sandbox.world.add_logs(
                workflow["id"],
                [
                    {
                        "instance_id": f"run-{n}",
                        "timestamp": at + timedelta(hours=n),
                        "level": "INFO",
                        "message": f"line {n} for ada@example.com",
                    }
                    for n in range(count)
                ],
            )
        given = resources(sandbox)
        asset = build_workflow_logs_asset(DAYS)
        result = run([asset], given, instance, tags=days("2026-11-10", "2026-11-12"))
        assert result.success
        assert sandbox.count("GET", "*/logs/") <= 2
    counts = {
        event.partition: event.materialization.metadata["dagster/partition_row_count"].value
        for event in result.get_asset_materialization_events()
    }
    assert counts == per_day
    loaded = rows(given, WORKFLOW_LOGS)
    assert len(loaded) == 10
    assert all("ada@example.com" not in row["message"] for row in loaded)


def test_the_same_partition_twice_leaves_the_same_rows(resources, instance):
    with Sandbox("docs", populate=True, now=NOW, limits=False) as sandbox:
        given = resources(sandbox)
        asset = build_workflow_logs_asset(DAYS)
        for _ in range(2):
            assert run([asset], given, instance, partition_key="2026-11-19").success
        with DuckDB(given["warehouse"].path) as warehouse:
            loaded = warehouse.count(WORKFLOW_LOGS)
        day = [
            row
            for workflow_id in sandbox.world.workflows
            for row in sandbox.world.logs.rows(workflow_id)
            if from_micros(row.at).date().isoformat() == "2026-11-19"
        ]
        assert loaded == len(day) > 0


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_metrics_equal_what_was_emitted_in_every_utc_hour(zone, resources, instance):
    with Sandbox("docs", populate=False, now=NOW, timezone=zone, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow(name="Onboarding")
        step = workflow["actions"][0]["id"]
        emitted: Counter[tuple[str, str, datetime, str]] = Counter()
        for hour in range(72):
            at = datetime(2026, 11, 9, tzinfo=UTC) + timedelta(hours=hour)
            for level, action, name, count in (
                ("run", "", "succeeded", hour % 5 + 1),
                ("action", step, "succeeded", hour % 7 + 1),
                ("action", step, "email_sent", hour % 3),
            ):
                if count:
                    sandbox.world.emit_metric(
                        workflow["id"],
                        at + timedelta(minutes=17),
                        name,
                        "success",
                        count,
                        instance_id=action,
                    )
                    emitted[level, action, at, name] += count
        given = resources(sandbox)
        result = run(
            [build_workflow_metrics_asset(DAYS)],
            given,
            instance,
            tags=days("2026-11-09", "2026-11-11"),
        )
        assert result.success
    loaded = {
        (row["level"], row["action_id"], row["hour"], row["metric"]): row["value"]
        for row in rows(given, WORKFLOW_METRICS)
    }
    assert loaded == dict(emitted)


def test_blocked_runs_land_with_the_unreplayable_ones_marked(resources, instance):
    with Sandbox("docs", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow(name="Trial ending")
        sandbox.world.add_blocked_runs(workflow["id"], 5, unreplayable=1)
        given = resources(sandbox)
        assert run([build_blocked_runs_asset()], given, instance).success
        loaded = rows(given, BLOCKED_RUNS)
        listed = sandbox.count("GET", "*/blocked_runs/")
    assert listed >= 1
    assert len(loaded) == 5
    assert {row["reason"] for row in loaded} == {"blocked"}


def test_newer_servers_land_failed_runs_instead_of_blocked_ones(resources, instance):
    with Sandbox(generation="current", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow(name="Trial ending")
        for n, status in enumerate(["failed", "succeeded", "failed"]):
            sandbox.world.add_run(
                workflow["id"], status=status, scheduled_at=NOW - timedelta(hours=n + 1)
            )
        given = resources(sandbox)
        assert run([build_blocked_runs_asset()], given, instance).success
        assert [row["reason"] for row in rows(given, BLOCKED_RUNS)] == ["failed", "failed"]
        runs = build_workflow_runs_asset(DAYS)
        assert run([runs], given, instance, partition_key="2026-11-20").success
        result = run([runs], given, instance, tags=days("2026-11-19", "2026-11-20"))
        assert result.success
    assert rows(given, WORKFLOW_RUNS) == []


def test_a_partition_posthog_has_begun_to_delete_keeps_its_rows(resources, instance):
    asset = build_workflow_logs_asset(DAYS)
    given: dict[str, Any] = {}

    def line(sandbox: Sandbox) -> str:
        workflow = sandbox.world.add_workflow(name="Onboarding")
        at = datetime(2026, 11, 2, 3, tzinfo=UTC)
        row = {"instance_id": "run", "timestamp": at, "level": "INFO", "message": "x"}
        sandbox.world.add_logs(workflow["id"], [row])
        return workflow["id"]

    with Sandbox("docs", populate=False, now=NOW, limits=False) as sandbox:
        line(sandbox)
        given = resources(sandbox)
        assert run([asset], given, instance, partition_key="2026-11-02").success
    with Sandbox("docs", populate=False, now=NOW + timedelta(days=90), limits=False) as sandbox:
        sandbox.world.add_workflow(name="Onboarding")
        result = run([asset], resources(sandbox), instance, partition_key="2026-11-02")
    assert result.success
    assert len(rows(given, WORKFLOW_LOGS)) == 1
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["dagster/partition_row_count"].value == 1
    assert "left as it is" in event.materialization.metadata["posthog/notes"].value


def test_an_empty_ledger_makes_empty_tables(resources, instance):
    with Sandbox("docs", populate=False, now=NOW, limits=False) as sandbox:
        result = run([build_ledger_assets()], resources(sandbox), instance)
    assert result.success
    counts = {
        event.materialization.metadata["dagster/row_count"].value
        for event in result.get_asset_materialization_events()
    }
    assert counts == {0}


def test_a_revoked_key_fails_the_run_once_and_names_the_setting(resources, instance):
    with Sandbox("docs", populate=False, now=NOW, limits=False) as sandbox:
        given = resources(sandbox)
        given["posthog"] = type(given["posthog"])(
            host=sandbox.url, api_key="phx_revoked", project_id="1"
        )
        result = run([build_catalog_assets()], given, instance)
        assert not result.success
        assert len(sandbox.requests) == 1
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    text = failure.step_failure_data.user_failure_data.description
    assert "POSTHOG_API_KEY" in text
    assert "phx_revoked" not in text


def test_rows_of_workflows_deleted_since_or_no_longer_selected_stay(resources, instance):
    day = NOW - timedelta(days=1)
    with Sandbox("docs", populate=False, now=NOW, limits=False) as sandbox:
        kept, gone = (sandbox.world.add_workflow(name)["id"] for name in ("Kept", "Gone"))
        for workflow in (kept, gone):
            lines = [{"instance_id": "i", "timestamp": day, "level": "INFO", "message": "m"}]
            sandbox.world.add_logs(workflow, lines)
            sandbox.world.emit_metric(workflow, day, "succeeded", "success", count=2)
        given = resources(sandbox)

        def read(selection: WorkflowSelection | None = None) -> list[set[str]]:
            assets = [
                build_workflow_logs_asset(DAYS, selection=selection),
                build_workflow_metrics_asset(DAYS, selection=selection),
            ]
            assert run(assets, given, instance, partition_key="2026-11-20").success
            tables = (WORKFLOW_LOGS, WORKFLOW_METRICS)
            return [{row["workflow_id"] for row in rows(given, table)} for table in tables]

        assert read() == [{kept, gone}] * 2
        assert read(WorkflowSelection(ids=[kept])) == [{kept, gone}] * 2
        del sandbox.world.workflows[gone]
        assert read() == [{kept, gone}] * 2
        assert len(rows(given, WORKFLOW_LOGS)) == 2


@pytest.mark.parametrize("number", ["", "abc"])
def test_the_ledger_tables_without_a_project_number_name_the_setting(number, resources, instance):
    with Sandbox("docs", populate=False, now=NOW) as sandbox:
        given = resources(sandbox)
        given["posthog"] = PostHogResource(
            host=sandbox.url, api_key=sandbox.api_key, project_id=number
        )
        result = run([build_ledger_assets()], given, instance)
    failed = [e for e in result.all_node_events if e.is_step_failure]
    assert len(failed) == 1
    assert "POSTHOG_PROJECT_ID" in failed[0].event_specific_data.user_failure_data.description


def test_workflows_with_unfinished_runs_are_known_without_reading_the_runs(tmp_path: Path) -> None:
    many, day = 100_000, datetime(2026, 8, 1, tzinfo=UTC)
    columns = {"project_id": 1, "_loaded_at": day, "first_scheduled_at": day}
    runs = pa.table(
        {
            "workflow_id": [f"w{number % 3}" for number in range(many)],
            "invocation_id": [str(number) for number in range(many)],
            "status": ["failed", "running", "succeeded"] * (many // 3) + ["failed"],
            **{name: [value] * many for name, value in columns.items()},
        }
    )
    with DuckDBWarehouse(path=str(tmp_path / "runs.duckdb")).open() as warehouse:
        step: Any = SimpleNamespace(warehouse=warehouse, scope={"project_id": 1})
        assert _unfinished(step) == set()
        warehouse.replace(WORKFLOW_RUNS, [runs])
        tracemalloc.start()
        assert _unfinished(step) == {"w0", "w1"}
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most < 2_000_000
