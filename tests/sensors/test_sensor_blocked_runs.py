"""What the blocked-runs sensor sees, asks for and leaves alone, on both server generations."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.test_utils import create_run_for_test

from hog_dagster.ledger import Action
from hog_dagster.sandbox import Sandbox
from hog_dagster.sensors import build_blocked_runs_sensor
from tests.acting_kit import House, house, replay_effects


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, marker_lag=3600.0) as home:
        yield home


@pytest.fixture
def newer(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, "current") as home:
        yield home


def tick(home: House, cursor: str | None = None, **options: Any) -> dg.SensorResult:
    given = {"dry_run": False, "retry_after": timedelta(0), **options}
    sensor = build_blocked_runs_sensor(**given)
    with dg.build_sensor_context(
        instance=home.instance, cursor=cursor, resources=home.resources()
    ) as context:
        data = sensor.evaluate_tick(context)
    return dg.SensorResult(
        run_requests=data.run_requests or [],
        skip_reason=data.skip_message,
        cursor=data.cursor,
    )


def asked(result: dg.SensorResult) -> dict[str, list[str]]:
    """Runs asked for, by workflow."""
    found: dict[str, list[str]] = {}
    for request in result.run_requests or []:
        config = config_of(request)
        found[config["workflow_id"]] = [run["instance_id"] for run in config["runs"]]
    return found


def config_of(request: dg.RunRequest) -> dict[str, Any]:
    return request.run_config["ops"]["replay_blocked_runs_op"]["config"]


def said(result: dg.SensorResult) -> str:
    reason = result.skip_reason
    return str(reason.skip_message if isinstance(reason, dg.SkipReason) else reason)


def execute(home: House, request: dg.RunRequest) -> Any:
    from hog_dagster.jobs import replay_blocked_runs

    config = {**config_of(request), "verify_seconds": 0.0}
    return home.run(replay_blocked_runs, config, request.tags)


def blocked(sandbox: Sandbox, n: int = 1, **options: Any) -> tuple[str, list[dict[str, Any]]]:
    workflow = sandbox.world.add_workflow("W")["id"]
    return workflow, sandbox.world.add_blocked_runs(workflow, n, **options)


def test_blocked_runs_are_asked_for_with_all_their_replay_needs(home: House) -> None:
    workflow, runs = blocked(home.sandbox, 2)
    result = tick(home)
    assert set(asked(result)[workflow]) == {run["instance_id"] for run in runs}
    config = config_of((result.run_requests or [])[0])
    assert config["dry_run"] is False
    assert config["runs"][0]["event_uuid"]
    assert config["runs"][0]["action_id"]
    assert home.sandbox.count("POST") == 0
    tags = (result.run_requests or [])[0].tags
    assert tags["hog_dagster/seen"] == f"{workflow}: 2 blocked, 2 due"
    assert tags["hog_dagster/workflow_id"] == workflow  # what a concurrency limit counts


def test_what_the_ledger_has_is_not_asked_for_again_while_its_marker_is_late(home: House) -> None:
    workflow, runs = blocked(home.sandbox, 2)
    execute(home, (tick(home).run_requests or [])[0])
    result = tick(home)
    assert asked(result) == {}
    assert "2 blocked, 2 done, its marker is late" in said(result)
    assert replay_effects(home.sandbox) == {run["instance_id"]: 1 for run in runs}
    assert workflow in said(result)


def test_unreplayable_runs_are_counted_and_not_asked_for(home: House) -> None:
    workflow = home.sandbox.world.add_workflow("W")["id"]
    home.sandbox.world.add_blocked_runs(workflow, 2, unreplayable=2)
    first = tick(home)
    assert len(asked(first)[workflow]) == 1  # the one whose event may be there
    execute(home, (first.run_requests or [])[0])
    assert "2 unreplayable" in said(tick(home))


def test_a_run_in_doubt_is_asked_for_when_its_grace_time_is_over(home: House) -> None:
    _, runs = blocked(home.sandbox)
    home.sandbox.fail("POST", "*/replay_blocked_run/", cut="before")
    grace = timedelta(minutes=10)
    execute(home, (tick(home, grace=grace).run_requests or [])[0])
    assert asked(tick(home, grace=grace)) == {}
    home.sandbox.clock.advance(700)
    result = tick(home, grace=grace)
    assert len(asked(result)) == 1
    execute(home, (result.run_requests or [])[0])
    assert replay_effects(home.sandbox) == {runs[0]["instance_id"]: 1}


def test_a_failed_run_does_not_burn_the_run_key(home: House) -> None:
    blocked(home.sandbox)
    keys = []
    for more in (1, 1, 20, 1, 1):  # after more than a tick looks back at, too
        request = (tick(home).run_requests or [])[0]
        keys.append(request.run_key)
        for _ in range(more):
            create_run_for_test(
                home.instance,
                job_name="replay_blocked_runs",
                status=DagsterRunStatus.FAILURE,
                tags=dict(request.tags),
            )
    assert len(set(keys)) == 5


def test_a_run_that_failed_is_followed_by_a_pause(home: House) -> None:
    workflow, _ = blocked(home.sandbox)
    request = (tick(home).run_requests or [])[0]
    create_run_for_test(
        home.instance,
        job_name="replay_blocked_runs",
        status=DagsterRunStatus.FAILURE,
        tags=dict(request.tags),
    )
    result = tick(home, retry_after=timedelta(minutes=5))
    assert asked(result) == {}
    assert f"{workflow}: its last run failed, again in" in said(result)


def test_a_dry_run_is_asked_for_once(home: House) -> None:
    blocked(home.sandbox)
    request = (tick(home, dry_run=True).run_requests or [])[0]
    assert config_of(request)["dry_run"] is True
    execute(home, request)
    assert asked(tick(home, dry_run=True)) == {}
    assert len(asked(tick(home, dry_run=False))) == 1
    assert home.sandbox.count("POST") == 0


def test_no_workflow_starves_however_little_time_there_is(home: House) -> None:
    workflows = {blocked(home.sandbox)[0] for _ in range(5)}
    cursor, seen = None, set()
    for _ in range(5):
        result = tick(home, cursor, time_budget_seconds=0.0)
        cursor = result.cursor
        seen |= set(asked(result))
    assert seen == workflows


def test_a_workflow_that_cannot_be_read_does_not_hold_up_the_others(home: House) -> None:
    workflows = sorted(blocked(home.sandbox)[0] for _ in range(3))
    home.sandbox.fail("GET", f"*/{workflows[0]}/blocked_runs/", times=0, status=500)
    result = tick(home)
    assert set(asked(result)) == set(workflows[1:])


def test_the_caps_hold(home: House) -> None:
    for _ in range(3):
        blocked(home.sandbox, 4)
    result = tick(home, max_runs_per_tick=6, max_runs_per_request=4)
    assert sorted(map(len, asked(result).values())) == [2, 4]
    again = tick(home, result.cursor, max_runs_per_tick=4, max_runs_per_request=4)
    assert not set(asked(again)) & set(asked(result))


def test_lists_of_workflows_are_kept_to(home: House) -> None:
    first, second, third = (blocked(home.sandbox)[0] for _ in range(3))
    assert set(asked(tick(home, allow_workflows=[first, second]))) == {first, second}
    assert set(asked(tick(home, deny_workflows=[third]))) == {first, second}
    only = tick(home, allow_workflows=[first, third], deny_workflows=[third])
    assert set(asked(only)) == {first}


def test_runs_outside_the_age_window_are_left_alone(home: House) -> None:
    workflow, runs = blocked(home.sandbox, 3, spacing=3600.0)
    result = tick(home, min_age=timedelta(minutes=30), max_age=timedelta(minutes=90))
    assert asked(result) == {workflow: [runs[1]["instance_id"]]}


def test_a_cursor_that_cannot_be_read_starts_over(home: House) -> None:
    workflow, _ = blocked(home.sandbox)
    for cursor in ("", "not json", "[1]", '{"version": 9}'):
        assert set(asked(tick(home, cursor))) == {workflow}
    assert json.loads(str(tick(home).cursor)) == {"version": 1, "after": workflow}


def test_while_a_bulk_replay_s_markers_may_be_late_new_runs_wait(home: House) -> None:
    workflow, _ = blocked(home.sandbox)
    with home.book() as book:
        bulk = book.claim(Action(1, "replay_all", workflow, "x"), "run").entry
        book.mark_sent([bulk], server_time=home.sandbox.clock.now())
    assert asked(tick(home)) == {}
    home.sandbox.clock.advance(1000)
    assert set(asked(tick(home))) == {workflow}


def test_a_server_without_the_feature_is_named(tmp_path: Path) -> None:
    with house(tmp_path, keys_refused_on_custom_actions=True) as home:
        assert "refuses the action" in said(tick(home))


def failing(home: House, n: int = 1, **fields: Any) -> tuple[str, list[Any]]:
    world, now = home.sandbox.world, home.sandbox.clock.now()
    workflow = world.add_workflow("F")["id"]
    runs = [
        world.add_run(workflow, "failed", now - timedelta(minutes=i + 1), **fields)
        for i in range(n)
    ]
    world.emit_metric(workflow, now - timedelta(hours=1), "failed", "failure", n)
    return workflow, runs


def test_on_newer_servers_failed_runs_are_asked_for_by_id(newer: House) -> None:
    quiet = newer.sandbox.world.add_workflow("Quiet")["id"]
    workflow, runs = failing(newer, 2)
    result = tick(newer)
    assert set(asked(result)[workflow]) == {run.invocation_id for run in runs}
    assert all(run["scheduled_at"] for run in config_of((result.run_requests or [])[0])["runs"])
    looked = [r.path for r in newer.sandbox.requests if quiet in r.path]
    assert looked == []  # one request over all workflows told that it needs no look


def test_a_rerun_that_is_queued_is_not_asked_for_again(newer: House) -> None:
    newer.sandbox.world.rerun_lag = 300.0
    _, runs = failing(newer)
    execute(newer, (tick(newer).run_requests or [])[0])
    assert asked(tick(newer)) == {}
    newer.sandbox.clock.advance(400)
    assert asked(tick(newer)) == {}
    assert replay_effects(newer.sandbox) == {runs[0].invocation_id: 1}


def test_a_rerun_job_that_failed_is_not_taken_for_a_run(newer: House) -> None:
    workflow, _ = failing(newer)
    execute(newer, (tick(newer).run_requests or [])[0])
    for run in newer.sandbox.world.runs.values():
        if run.job:  # PostHog lists the rerun job itself as if it were a run
            run.status = "failed"
    assert asked(tick(newer)) == {}
    assert workflow


def test_only_errors_on_the_list_are_asked_for(newer: House) -> None:
    failing(newer, error_kind="hog_error")
    workflow, _ = failing(newer, error_kind="timeout")
    assert set(asked(tick(newer, error_kinds=["timeout"]))) == {workflow}


def test_one_bad_input_is_no_outage(newer: House) -> None:
    world, now = newer.sandbox.world, newer.sandbox.clock.now()
    workflow, _ = failing(newer, 2)
    world.add_run(workflow, "succeeded", now - timedelta(seconds=90))
    result = tick(newer, failures_in_a_row=2)
    assert asked(result) == {}
    assert "not in a row" in said(result)
    world.add_run(workflow, "failed", now - timedelta(minutes=3))
    assert len(asked(tick(newer, failures_in_a_row=2))[workflow]) == 3


def test_a_workflow_with_more_runs_than_there_is_time_for_is_read_in_part(newer: House) -> None:
    world, now = newer.sandbox.world, newer.sandbox.clock.now()
    workflow, _ = failing(newer)
    for second in range(1100):
        world.add_run(workflow, "succeeded", now - timedelta(minutes=5, seconds=second))
    reads = newer.sandbox.count
    result = tick(newer, failures_in_a_row=2, time_budget_seconds=0.0)
    assert "1 failed, but not in a row, 0 due, and no time to read more" in said(result)
    few = reads("GET", f"*/{workflow}/invocation_results/")
    tick(newer, failures_in_a_row=2)
    assert reads("GET", f"*/{workflow}/invocation_results/") - few > few


def test_an_outage_is_seen_without_reading_all_that_went_before(newer: House) -> None:
    world, now = newer.sandbox.world, newer.sandbox.clock.now()
    workflow, runs = failing(newer, 3)
    for second in range(600):
        world.add_run(workflow, "succeeded", now - timedelta(minutes=5, seconds=second))
    result = tick(newer, failures_in_a_row=3)
    assert len(asked(result)[workflow]) == len(runs)
    assert newer.sandbox.count("GET", f"*/{workflow}/invocation_results/") == 2


def test_runs_ended_otherwise_meanwhile_are_left_alone(newer: House) -> None:
    _, runs = failing(newer, 3)
    runs[0].status, runs[1].is_retry = "succeeded", True
    assert list(asked(tick(newer)).values()) == [[runs[2].invocation_id]]


def test_old_failures_are_left_alone(newer: House) -> None:
    _, runs = failing(newer, 3)
    kept = tick(newer, max_age=timedelta(seconds=90))
    assert list(asked(kept).values()) == [[runs[0].invocation_id]]
