"""The health sensor: observations when a workflow turns unhealthy, and when it has recovered."""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hog_dagster.lineage._props import PostHogMetadata
from hog_dagster.sensors import WorkflowHealth, build_workflow_health_sensor
from tests.acting_kit import House, house


@pytest.fixture(params=["docs", "current"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, request.param) as home:
        yield home


def tick(home: House, cursor: str | None = None, **options: Any) -> Any:
    sensor = build_workflow_health_sensor(**options)
    with dg.build_sensor_context(
        instance=home.instance, cursor=cursor, resources=home.resources()
    ) as context:
        return sensor.evaluate_tick(context)


def counted(home: House, failed: int, succeeded: int = 0) -> str:
    world, now = home.sandbox.world, home.sandbox.clock.now()
    workflow = world.add_workflow("W")["id"]
    count(home, workflow, failed, succeeded, now - timedelta(hours=1))
    return workflow


def count(home: House, workflow: str, failed: int, succeeded: int, at: Any) -> None:
    world = home.sandbox.world
    if failed:
        world.emit_metric(workflow, at, "failed", "failure", failed)
    if succeeded:
        world.emit_metric(workflow, at, "succeeded", "success", succeeded)


def observed(data: Any) -> list[tuple[str, str]]:
    return sorted(
        (event.metadata["workflow_id"].value, event.metadata["state"].value)
        for event in data.asset_events
    )


def test_a_workflow_over_both_thresholds_is_observed_once(home: House) -> None:
    sick = counted(home, failed=30, succeeded=70)
    counted(home, failed=9, succeeded=1)  # too few
    counted(home, failed=20, succeeded=980)  # too small a share
    data = tick(home, min_failed=10, min_failure_share=0.1)
    assert observed(data) == [(sick, "unhealthy")]
    metadata = data.asset_events[0].metadata
    assert (metadata["failed"].value, metadata["succeeded"].value) == (30, 70)
    assert metadata["failure_share"].value == 0.3
    assert metadata["workflow_name"].value == "W"
    assert f"workflow W ({sick}): 30 failures" in data.asset_events[0].description
    assert "1 of 3 workflows" in data.skip_message
    again = tick(home, data.cursor, min_failed=10, min_failure_share=0.1)
    assert observed(again) == []


def test_an_unhealthy_workflow_is_observed_again_after_a_while(home: House) -> None:
    counted(home, failed=30)
    data = tick(home)
    again = tick(home, data.cursor, remind_after=timedelta(0))
    assert len(observed(again)) == 1


def test_a_workflow_that_recovered_is_observed_once_more(home: House) -> None:
    sick = counted(home, failed=30)
    data = tick(home, window_hours=3)
    home.sandbox.clock.advance(6 * 3600)
    again = tick(home, data.cursor, window_hours=3)
    assert observed(again) == [(sick, "recovered")]
    assert observed(tick(home, again.cursor, window_hours=3)) == []


def test_cursors_of_earlier_versions_are_read(home: House) -> None:
    sick = counted(home, failed=1)
    before = {"version": 1, "told": {sick: "2026-11-01T10:00:00+00:00"}, "after": ""}
    data = tick(home, json.dumps(before))
    assert observed(data) == [(sick, "recovered")]
    assert json.loads(data.cursor)["observed"] == {}


@pytest.mark.parametrize("cursor", ["{", "[1]", '{"version": 2, "observed": {}}', "null"])
def test_a_cursor_that_cannot_be_read_is_no_cursor(home: House, cursor: str) -> None:
    sick = counted(home, failed=30)
    assert observed(tick(home, cursor)) == [(sick, "unhealthy")]


def test_runs_are_asked_for_when_a_workflow_turns_unhealthy(home: House) -> None:
    sick = counted(home, failed=30)

    @dg.op
    def page() -> None: ...

    @dg.job
    def page_someone() -> None:
        page()

    def ask(unhealthy: Sequence[WorkflowHealth]) -> list[dg.RunRequest]:
        return [dg.RunRequest(tags={"workflow": health.workflow_id}) for health in unhealthy]

    data = tick(home, on_unhealthy=ask, job=page_someone)
    assert [request.tags["workflow"] for request in data.run_requests] == [sick]
    assert len(data.asset_events) == 1
    assert not tick(home, data.cursor, on_unhealthy=ask, job=page_someone).run_requests


def test_requests_without_a_job_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="job="):
        build_workflow_health_sensor(on_unhealthy=lambda _: [])


def test_lists_of_workflows_are_kept_to(home: House) -> None:
    first, second = counted(home, failed=30), counted(home, failed=30)
    assert observed(tick(home, allow_workflows=[first])) == [(first, "unhealthy")]
    assert observed(tick(home, deny_workflows=[first])) == [(second, "unhealthy")]


def test_older_servers_are_looked_at_one_by_one_and_none_starves(tmp_path: Path) -> None:
    with house(tmp_path) as home:
        sick = {counted(home, failed=30) for _ in range(4)}
        cursor, seen = None, set()
        for _ in range(4):
            data = tick(home, cursor, time_budget_seconds=0.0)
            cursor = data.cursor
            seen |= {workflow for workflow, _ in observed(data)}
        assert seen == sick


def test_newer_servers_are_asked_once_for_all(tmp_path: Path) -> None:
    with house(tmp_path, "current") as home:
        for _ in range(5):
            counted(home, failed=30)
        tick(home)
        assert home.sandbox.count("GET", "*/metrics/global/") == 2  # with the probe
        assert home.sandbox.count() <= 3


def test_a_workflow_that_cannot_be_counted_does_not_hold_up_the_others(tmp_path: Path) -> None:
    with house(tmp_path, "docs") as home:
        workflows = sorted(counted(home, failed=30) for _ in range(3))
        home.sandbox.fail("GET", f"*/{workflows[0]}/metrics/", times=0, status=400)
        data = tick(home)
        assert observed(data) == [(workflow, "unhealthy") for workflow in workflows[1:]]
        assert f"{workflows[0]}: InvalidRequest" in data.skip_message


def test_a_workflow_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    with house(tmp_path, "docs") as home:
        sick = counted(home, failed=30)
        data = tick(home)
        home.sandbox.world.workflows[sick].status = "archived"
        again = tick(home, data.cursor)
        assert observed(again) == [(sick, "recovered")]
        assert json.loads(again.cursor)["observed"] == {}


def test_a_workflow_with_an_asset_of_its_own_is_observed_on_it(home: House) -> None:
    known, unknown = counted(home, failed=30), counted(home, failed=30)
    own = dg.AssetSpec(["crm", "welcome"], metadata={**PostHogMetadata(type="workflow", id=known)})
    events = {
        event.metadata["workflow_id"].value: event.asset_key
        for event in tick(home, specs=[own]).asset_events
    }
    assert events == {known: own.key, unknown: dg.AssetKey(["posthog", "workflows"])}
