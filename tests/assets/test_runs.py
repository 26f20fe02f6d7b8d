"""Runs as tables: one row per run, in the partition of its first time, as it stands now."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import build_hog_function_runs_asset, build_workflow_runs_asset
from hog_dagster.assets._function_tables import HOG_FUNCTION_RUNS
from hog_dagster.assets._workflow_tables import WORKFLOW_RUNS, declare
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import Column
from tests.assets import kit
from tests.assets.conftest import WAREHOUSES

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MONDAY = datetime(2026, 11, 16, 23, 50, tzinfo=UTC)
DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-01", end_date="2026-11-23")
WAYS = pytest.mark.parametrize("read_by", ["rest", "hogql"])


@pytest.fixture
def load(resources, instance) -> Callable[..., Any]:
    """Load a day, or a range of days, and give the rows and the events."""

    def load(sandbox: Sandbox, *days: str, table: Any = WORKFLOW_RUNS, **how: Any) -> Any:
        build = build_workflow_runs_asset
        if table is HOG_FUNCTION_RUNS:
            build = build_hog_function_runs_asset
        given = resources(sandbox)
        result = dg.materialize(
            [build(DAYS, **how)],
            resources=given,
            instance=instance,
            raise_on_error=False,
            run_config=kit.QUIET,
            tags=kit.days(days[0], days[-1]),
        )
        assert result.success
        with given["warehouse"].open() as warehouse:
            rows = warehouse.read(table, order_by="invocation_id").to_pylist()
        return rows, result.get_asset_materialization_events()

    return load


def world(**how: Any) -> Sandbox:
    sandbox = Sandbox("current", populate=False, now=NOW, limits=False, **how)
    sandbox.world.merging.merge = "never"
    return sandbox


@WAREHOUSES
@WAYS
def test_a_run_that_was_run_again_on_another_day_has_one_row_as_it_stands_now(read_by, load):
    with world() as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        sandbox.world.add_run(workflow, "failed", MONDAY, "r1")
        load(sandbox, "2026-11-16", read_by=read_by)
        sandbox.world.add_rerun("r1", MONDAY + timedelta(days=2))
        rows, events = load(sandbox, "2026-11-18", read_by=read_by)
        assert [(row["status"], row["reruns"]) for row in rows] == [("succeeded", 1)]
        assert rows[0]["first_scheduled_at"] == MONDAY
        partitions = {event.partition: event.materialization.metadata for event in events}
        assert partitions["2026-11-16"]["posthog/succeeded"].value == 1
        assert partitions["2026-11-18"]["dagster/partition_row_count"].value == 0
        again, _ = load(sandbox, "2026-11-16", "2026-11-18", read_by=read_by)
    assert [(row["status"], row["reruns"]) for row in again] == [("succeeded", 1)]


@WAREHOUSES
@WAYS
def test_a_run_that_waits_over_midnight_is_read_again_until_it_ends(read_by, load):
    with world() as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        sandbox.world.add_run(
            workflow, "running", MONDAY, "r1", busy_until=NOW + timedelta(hours=1)
        )
        rows, _ = load(sandbox, "2026-11-16", read_by=read_by)
        assert [row["status"] for row in rows] == ["running"]
        sandbox.clock.advance(7_200)
        rows, events = load(sandbox, "2026-11-20", read_by=read_by)
    assert [(row["status"], row["first_scheduled_at"]) for row in rows] == [("succeeded", MONDAY)]
    assert {event.partition for event in events} == {"2026-11-16", "2026-11-20"}


def test_by_sql_the_batch_job_is_told_and_a_merged_first_row_moves_nothing(load):
    with world() as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        sandbox.world.add_run(workflow, "failed", MONDAY, "r1", parent_run_id="job")
        sandbox.world.add_rerun("r1", MONDAY + timedelta(minutes=5))
        sandbox.world.run_rows.merge(NOW)
        rows, _ = load(sandbox, "2026-11-16", read_by="hogql")
    assert [(r["first_scheduled_at"], r["parent_run_id"]) for r in rows] == [(MONDAY, "job")]
    assert rows[0]["scheduled_at"] > MONDAY


def test_by_rest_the_note_says_what_it_cannot_show(load):
    with world() as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        sandbox.world.add_run(workflow, "failed", MONDAY, "r1")
        rows, events = load(sandbox, "2026-11-16", read_by="rest")
    assert rows[0]["parent_run_id"] is None
    assert "does not show when a run was first due" in str(
        events[0].materialization.metadata["posthog/notes"].value
    )
    assert events[0].materialization.metadata["posthog/read_by"].value == "REST"


def test_more_runs_than_a_page_are_as_they_stand_now_by_rest(load):
    with world() as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        sandbox.world.add_run(workflow, "running", MONDAY, "waits", busy_until=NOW)
        for n in range(700):
            at = MONDAY + timedelta(hours=1, seconds=n)
            sandbox.world.add_run(workflow, "succeeded", at, f"r{n:03}")
        sandbox.clock.advance(3_600)
        rows, _ = load(sandbox, "2026-11-16", "2026-11-17", read_by="rest")
    assert len(rows) == 701
    assert {row["status"] for row in rows} == {"succeeded"}


def test_invocations_of_hog_functions_land_by_sql_and_rest_says_why_not(load):
    with world() as sandbox:
        function = sandbox.world.add_hog_function()["id"]
        sandbox.world.add_function_run(function, "failed", MONDAY, "i1")
        rows, _ = load(sandbox, "2026-11-16", table=HOG_FUNCTION_RUNS)
        assert [(row["function_id"], row["status"]) for row in rows] == [(function, "failed")]
        rows, events = load(sandbox, "2026-11-16", table=HOG_FUNCTION_RUNS, read_by="rest")
    assert len(rows) == 1
    assert "posthog/not_read" in events[0].materialization.metadata


@WAREHOUSES
def test_a_table_loaded_by_an_earlier_version_becomes_one_row_per_run(load, resources):
    earlier = declare(
        "workflow_runs",
        "As it was.",
        Column("workflow_id", "text"),
        Column("invocation_id", "text"),
        Column("status", "text"),
        Column("scheduled_at", "timestamptz"),
        Column("attempts", "bigint"),
        Column("is_retry", "boolean"),
        key=("workflow_id", "invocation_id", "scheduled_at"),
        time_column="scheduled_at",
    )
    with world() as sandbox:
        sandbox.world.add_workflow()
        row = {"project_id": 1, "workflow_id": "gone", "_loaded_at": NOW, "is_retry": False}
        rows = [
            {
                **row,
                "invocation_id": "a",
                "status": "failed",
                "scheduled_at": MONDAY,
                "attempts": 0,
            },
            {
                **row,
                "invocation_id": "a",
                "status": "succeeded",
                "scheduled_at": MONDAY + timedelta(days=1),
                "attempts": 1,
            },
            {
                **row,
                "invocation_id": "b",
                "status": "failed",
                "scheduled_at": MONDAY,
                "attempts": 0,
            },
            {
                **row,
                "project_id": 2,
                "invocation_id": "c",
                "status": "failed",
                "scheduled_at": MONDAY,
                "attempts": 0,
            },
        ]
        with resources(sandbox)["warehouse"].open() as warehouse:
            warehouse.replace(earlier, [rows])
        loaded, _ = load(sandbox, "2026-11-18")
    assert [
        (row["invocation_id"], row["status"], row["reruns"], row["first_scheduled_at"])
        for row in loaded
    ] == [("a", "succeeded", 1, MONDAY), ("b", "failed", 0, MONDAY), ("c", "failed", 0, MONDAY)]


def test_a_partition_that_never_landed_is_not_taken_for_landed_because_of_one_of_its_runs(load):
    with world() as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        for name in ("r1", "r2"):
            sandbox.world.add_run(workflow, "failed", MONDAY, name)
        sandbox.world.add_rerun("r1", MONDAY + timedelta(days=2))
        rows, events = load(sandbox, "2026-11-18", read_by="hogql")
        assert rows == []
        assert {event.partition for event in events} == {"2026-11-18"}
        rows, _ = load(sandbox, "2026-11-16", read_by="hogql")
    assert [row["status"] for row in rows] == ["succeeded", "failed"]


def test_where_sql_fails_after_the_rows_came_states_of_earlier_runs_come_by_rest(load):
    with world() as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        busy = NOW + timedelta(hours=1)
        sandbox.world.add_run(workflow, "running", MONDAY, "r1", busy_until=busy)
        sandbox.world.add_run(workflow, "failed", MONDAY + timedelta(days=3), "r2")
        load(sandbox, "2026-11-16", read_by="auto")
        sandbox.clock.advance(7_200)
        sandbox.reset_counts()
        body = {"type": "validation_error", "code": "invalid_input", "detail": "odd", "attr": None}
        sandbox.fail("POST", "*/query", times=0, after=1, status=400, body=body)
        rows, events = load(sandbox, "2026-11-19", read_by="auto")
        assert sandbox.count("POST", "*/query/") == 2
    assert [row["status"] for row in rows] == ["succeeded", "failed"]
    notes = [str(e.materialization.metadata.get("posthog/notes")) for e in events]
    assert any("came by REST, because SQL failed" in note for note in notes)
