"""What the failed-runs sensor detects, requests and leaves alone, on every kind of server."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.test_utils import create_run_for_test

from hog_dagster.jobs import replay_runs
from hog_dagster.policies import ReplayPolicy, Safety
from hog_dagster.sandbox import Sandbox
from hog_dagster.sensors import build_failed_runs_sensor
from tests.acting_kit import House, effects, house


@pytest.fixture
def older(tmp_path: Path) -> Iterator[House]:
    """A server with blocked runs."""
    with house(tmp_path, "docs", marker_lag=3600.0) as home:
        yield home


@pytest.fixture(params=["current", pytest.param("mid2026", marks=pytest.mark.integration)])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """A server with reruns."""
    with house(tmp_path, request.param) as home:
        home.sandbox.world.rerun_lag = home.sandbox.world.rerun_takes = 0.1
        yield home


POLICY = set(ReplayPolicy.model_fields)


def tick(home: House, cursor: str | None = None, **options: Any) -> dg.SensorResult:
    policy = {"dry_run": False, "verify_seconds": 0.0}
    policy |= {name: options.pop(name) for name in list(options) if name in POLICY}
    given = {"retry_after": timedelta(0), **options}
    sensor = build_failed_runs_sensor(policy=ReplayPolicy(**policy), **given)
    with dg.build_sensor_context(
        instance=home.instance, cursor=cursor, resources=home.resources()
    ) as context:
        data = sensor.evaluate_tick(context)
    return dg.SensorResult(
        run_requests=data.run_requests or [],
        skip_reason=data.skip_message,
        cursor=data.cursor,
    )


def requested(result: dg.SensorResult) -> dict[str, list[str]]:
    """Runs requested, by workflow."""
    found: dict[str, list[str]] = {}
    for request in result.run_requests or []:
        config = config_of(request)
        (source,) = config.get("workflows") or config["hog_functions"]
        found[source] = [run["instance_id"] for run in config["runs"]]
    return found


def config_of(request: dg.RunRequest) -> dict[str, Any]:
    return request.run_config["ops"]["replay_runs_op"]["config"]


def said(result: dg.SensorResult) -> str:
    reason = result.skip_reason
    return str(reason.skip_message if isinstance(reason, dg.SkipReason) else reason)


def execute(home: House, request: dg.RunRequest) -> Any:
    return home.run(replay_runs, config_of(request), request.tags)


def blocked(sandbox: Sandbox, n: int = 1, **options: Any) -> tuple[str, list[dict[str, Any]]]:
    workflow = sandbox.world.add_workflow("W")["id"]
    return workflow, sandbox.world.add_blocked_runs(workflow, n, **options)


def failing(home: House, n: int = 1, name: str = "F", **fields: Any) -> tuple[str, list[Any]]:
    world, now = home.sandbox.world, home.sandbox.clock.now()
    workflow = world.add_workflow(name)["id"]
    runs = [
        world.add_run(workflow, "failed", now - timedelta(minutes=i + 1), **fields)
        for i in range(n)
    ]
    world.emit_metric(workflow, now - timedelta(minutes=1), "failed", "failure", n)
    return workflow, runs


# --- blocked runs ---------------------------------------------------------------------------------


def test_blocked_runs_are_requested_with_all_their_replay_needs(older: House) -> None:
    workflow, runs = blocked(older.sandbox, 2)
    result = tick(older)
    assert set(requested(result)[workflow]) == {run["instance_id"] for run in runs}
    request = (result.run_requests or [])[0]
    config = config_of(request)
    assert config["dry_run"] is False
    assert config["runs"][0]["event_uuid"]
    assert config["runs"][0]["action_id"]
    assert older.sandbox.count("POST") == 0
    assert request.tags["hog_dagster/detection"] == "W: 2 blocked, 2 to run again"
    assert request.tags["hog_dagster/workflow_id"] == workflow  # what a concurrency limit counts
    assert request.tags["hog_dagster/workflow"] == "W"


def test_what_the_ledger_has_is_not_requested_again_while_its_marker_is_late(
    older: House,
) -> None:
    _, runs = blocked(older.sandbox, 2)
    execute(older, (tick(older).run_requests or [])[0])
    result = tick(older)
    assert requested(result) == {}
    assert "W: 2 blocked, 2 done, its marker is late, 0 to run again" in said(result)
    assert effects(older.sandbox) == {run["instance_id"]: 1 for run in runs}


def test_a_replay_in_doubt_is_requested_when_its_grace_time_is_over(older: House) -> None:
    _, runs = blocked(older.sandbox)
    older.sandbox.fail("POST", "*/replay_blocked_run/", cut="before")
    execute(older, (tick(older, grace_seconds=600).run_requests or [])[0])
    assert requested(tick(older, grace_seconds=600)) == {}
    older.sandbox.clock.advance(700)
    result = tick(older, grace_seconds=600)
    assert len(requested(result)) == 1
    execute(older, (result.run_requests or [])[0])
    assert effects(older.sandbox) == {runs[0]["instance_id"]: 1}


def test_a_server_without_either_is_named(tmp_path: Path) -> None:
    with house(tmp_path, "docs", keys_refused_on_custom_actions=True) as home:
        assert "refuses the action to scoped keys" in said(tick(home))


# --- failed runs ----------------------------------------------------------------------------------


def test_failed_runs_are_requested_by_id_and_by_their_workflow_s_name(home: House) -> None:
    quiet = home.sandbox.world.add_workflow("Quiet")["id"]
    workflow, runs = failing(home, 2, "Trial ending")
    result = tick(home)
    assert set(requested(result)[workflow]) == {run.invocation_id for run in runs}
    (request,) = result.run_requests or []
    assert request.tags["hog_dagster/workflow"] == "Trial ending"
    assert "Trial ending: 2 failed, 2 to run again" in request.tags["hog_dagster/detection"]
    looked = [r.path for r in home.sandbox.requests if quiet in r.path]
    assert looked == []  # a few requests over all workflows told that it needs no look


def test_a_run_that_failed_again_is_not_requested_again(home: House) -> None:
    _, runs = failing(home, retry_status="failed")
    for _ in range(4):
        for request in tick(home).run_requests or []:
            execute(home, request)
        home.sandbox.clock.advance(3600)
        home.reconcile()
    assert effects(home.sandbox) == {runs[0].invocation_id: 1}


def test_max_reruns_holds_over_all_ticks(home: House) -> None:
    _, runs = failing(home, retry_status="failed")
    for _ in range(5):
        for request in tick(home, max_reruns=2).run_requests or []:
            execute(home, request)
        home.sandbox.clock.advance(3600)
        home.reconcile()
    assert effects(home.sandbox) == {runs[0].invocation_id: 2}


def test_a_rerun_that_is_queued_is_not_requested_again(home: House) -> None:
    home.sandbox.world.rerun_lag = 300.0
    _, runs = failing(home)
    execute(home, (tick(home).run_requests or [])[0])
    assert requested(tick(home)) == {}
    home.sandbox.clock.advance(400)
    home.reconcile()
    assert requested(tick(home)) == {}
    assert effects(home.sandbox) == {runs[0].invocation_id: 1}


def test_only_chosen_errors_are_requested(home: House) -> None:
    failing(home, error_kind="hog_error", error_message="Bad code")
    workflow, _ = failing(home, error_kind="timeout", error_message="Read timed out")
    assert set(requested(tick(home, error_kinds=["timeout"]))) == {workflow}
    assert set(requested(tick(home, message_contains="TIMED"))) == {workflow}


def test_one_bad_input_is_no_outage(home: House) -> None:
    world, now = home.sandbox.world, home.sandbox.clock.now()
    workflow, _ = failing(home, 2)
    world.add_run(workflow, "succeeded", now - timedelta(seconds=90))
    result = tick(home, failures_in_a_row=2)
    assert requested(result) == {}
    assert "not in a row" in said(result)
    world.add_run(workflow, "failed", now - timedelta(minutes=3))
    assert len(requested(tick(home, failures_in_a_row=2))[workflow]) == 3


def test_failures_of_more_than_a_day_ago_are_left_alone_by_default(home: House) -> None:
    workflow, runs = failing(home, 1)
    home.sandbox.world.add_run(workflow, "failed", home.sandbox.clock.now() - timedelta(hours=25))
    assert requested(tick(home)) == {workflow: [runs[0].invocation_id]}
    wider = tick(home, max_age=timedelta(hours=48))
    assert len(requested(wider)[workflow]) == 2


def test_what_failed_in_a_window_and_nothing_else_is_requested(home: House) -> None:
    world, now = home.sandbox.world, home.sandbox.clock.now()
    workflow, _ = failing(home, 1)
    inside = world.add_run(workflow, "failed", now - timedelta(hours=50))
    world.add_run(workflow, "failed", now - timedelta(hours=60))
    window: dict[str, Any] = {
        "window_from": now - timedelta(hours=55),
        "window_to": now - timedelta(hours=45),
    }
    world.emit_metric(workflow, now - timedelta(hours=50), "failed", "failure", 1)
    assert requested(tick(home, **window)) == {workflow: [inside.invocation_id]}
    with pytest.raises(ValueError, match="give it an offset"):
        build_failed_runs_sensor(window_from=datetime(2026, 1, 1))  # noqa: DTZ001


def test_hog_functions_are_left_alone_until_switched_on(home: House) -> None:
    world, now = home.sandbox.world, home.sandbox.clock.now()
    function = world.add_hog_function("Slack")["id"]
    run = world.add_function_run(function, "failed", now - timedelta(minutes=5))
    assert requested(tick(home)) == {}
    result = tick(home, hog_functions=True)
    assert requested(result) == {function: [run.invocation_id]}
    assert config_of((result.run_requests or [])[0])["hog_functions"] == [function]
    execute(home, (result.run_requests or [])[0])
    home.sandbox.clock.advance(60)
    assert effects(home.sandbox) == {run.invocation_id: 1}


# --- allow and deny -------------------------------------------------------------------------------


def test_allow_and_deny_take_names_and_ids(home: House) -> None:
    first, second, third = (failing(home, 1, name)[0] for name in ("One", "Two", "Three"))
    assert set(requested(tick(home, allow_workflows=["One", second.upper()]))) == {first, second}
    assert set(requested(tick(home, deny_workflows=["Three"]))) == {first, second}
    both = tick(home, allow_workflows=["One", "Three"], deny_workflows=[third])
    assert set(requested(both)) == {first}
    top = Safety(deny_workflows=["One"], allow_workflows=["One", "Two"])
    assert set(requested(tick(home, safety=top, allow_workflows=["Two", "Three"]))) == {second}


def test_an_unknown_name_is_said_in_the_tick_and_a_denied_one_stops_it(home: House) -> None:
    workflow, _ = failing(home, 1, "Trial ending")
    result = tick(home, allow_workflows=["Trial endin", "Nope"])
    assert requested(result) == {}
    assert 'no workflow or hog function "Trial endin". The nearest names: Trial ending' in (
        said(result)
    )
    assert '"Nope"' in said(result)
    result = tick(home, deny_workflows=["Trial endin"])
    assert requested(result) == {}
    assert "Nothing is sent until the list is right" in said(result)
    assert set(requested(tick(home, allow_workflows=["Trial ending"]))) == {workflow}


def test_a_name_that_two_workflows_share_denies_both(home: House) -> None:
    failing(home, 1, "Twins")
    failing(home, 1, "Twins")
    assert requested(tick(home, deny_workflows=["Twins"])) == {}


# --- one bad thing --------------------------------------------------------------------------------


def test_no_workflow_starves_however_little_time_there_is(home: House) -> None:
    workflows = {failing(home)[0] for _ in range(4)}
    cursor, seen = None, set()
    for _ in range(4):
        result = tick(home, cursor, time_budget_seconds=0.0)
        cursor = result.cursor
        seen |= set(requested(result))
    assert seen == workflows


def test_a_workflow_that_cannot_be_read_does_not_hold_up_the_others(tmp_path: Path) -> None:
    with house(tmp_path, "mid2026", missing=["hogql_runs"]) as home:
        workflows = sorted(failing(home, 1, f"W{n}")[0] for n in range(3))
        path = f"*/{workflows[0]}/invocation_results/"
        home.sandbox.fail("GET", path, times=0, status=500, body={"detail": "no"})
        result = tick(home)
        assert set(requested(result)) == set(workflows[1:])


@pytest.mark.parametrize("missing", ["global_metrics", "hogql_runs", "query", "blocked_runs"])
def test_no_missing_endpoint_fails_a_tick(tmp_path: Path, missing: str) -> None:
    lacks = {missing, "hogql_runs"} if missing == "global_metrics" else {missing}
    with house(tmp_path, "mid2026", missing=lacks) as home:
        workflow, runs = failing(home, 2)
        assert set(requested(tick(home))[workflow]) == {run.invocation_id for run in runs}


def test_the_maxima_hold(home: House) -> None:
    for _ in range(3):
        failing(home, 4)
    result = tick(home, max_runs_per_tick=6, max_runs_per_request=4)
    assert sorted(map(len, requested(result).values())) == [2, 4]
    assert all(config_of(one)["max_runs"] == 4 for one in result.run_requests or [])
    again = tick(home, result.cursor, max_runs_per_tick=4, max_runs_per_request=4)
    assert not set(requested(again)) & set(requested(result))
    top = tick(home, safety=Safety(max_runs=1))
    assert set(map(len, requested(top).values())) == {1}


def test_a_burst_of_failures_in_one_second_is_requested_in_slices_until_none_is_left(
    home: House,
) -> None:
    world, at = home.sandbox.world, home.sandbox.clock.now() - timedelta(minutes=9)
    world.rerun_page_delay = 0.0
    workflow = world.add_workflow("Burst")["id"]
    runs = [world.add_run(workflow, "failed", at) for _ in range(560)]
    for _ in range(3):
        began = time.monotonic()
        result = tick(home, max_runs_per_request=280)
        assert time.monotonic() - began < 20
        for request in result.run_requests or []:
            execute(home, request)
        home.sandbox.clock.advance(60)
        home.reconcile()
    assert effects(home.sandbox) == {run.invocation_id: 1 for run in runs}


def test_a_burst_costs_a_tick_few_requests_even_without_hogql(tmp_path: Path) -> None:
    with house(tmp_path, "mid2026", missing=["hogql_runs"]) as home:
        world, at = home.sandbox.world, home.sandbox.clock.now() - timedelta(minutes=9)
        workflow = world.add_workflow("Burst")["id"]
        world.emit_metric(workflow, at, "failed", "failure", 1100)
        for _ in range(1100):
            world.add_run(workflow, "failed", at)
        result = tick(home, max_runs_per_request=300)
        assert len(requested(result)[workflow]) == 300
        assert len(home.sandbox.requests) < 20


def test_a_dripping_server_ends_a_tick_within_its_budget(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(home)
    monkeypatch.setattr("hog_dagster.sensors._tick.OVERTIME", 1.0)
    tick(home)
    home.sandbox.fail("*", "*/hog_flows/*", times=0, drip=0.3)
    home.sandbox.fail("*", "*/query/*", times=0, drip=0.3)
    began = time.monotonic()
    with pytest.raises(Exception):  # noqa: B017  what failed could not be read at all
        tick(home, time_budget_seconds=2.0)
    assert time.monotonic() - began < 6


# --- run requests ---------------------------------------------------------------------------------


def end(home: House, request: dg.RunRequest, status: DagsterRunStatus) -> None:
    create_run_for_test(
        home.instance, job_name="replay_runs", status=status, tags=dict(request.tags)
    )


def test_a_failed_run_does_not_burn_the_run_key(home: House) -> None:
    failing(home)
    keys = []
    for more in (1, 1, 20, 1):  # after more than a tick looks back at, too
        request = (tick(home).run_requests or [])[0]
        keys.append(request.run_key)
        for _ in range(more):
            end(home, request, DagsterRunStatus.FAILURE)
    assert len(set(keys)) == 4


def test_a_run_that_failed_is_followed_by_a_pause(home: House) -> None:
    failing(home, 1, "Trial ending")
    end(home, (tick(home).run_requests or [])[0], DagsterRunStatus.FAILURE)
    result = tick(home, retry_after=timedelta(minutes=5))
    assert requested(result) == {}
    assert "Trial ending: its last run failed, again in" in said(result)


@pytest.mark.parametrize("named", ["Trial ending", ["Trial ending"], "id", ["id"]])
def test_while_an_operator_s_run_names_a_workflow_no_other_is_requested(
    home: House, named: Any
) -> None:
    workflow, _ = failing(home, 1, "Trial ending")
    if named in ("id", ["id"]):
        named = workflow.upper() if named == "id" else [workflow]
    config = {"config": {"workflows": named, "window_from": "2026-11-01"}}
    create_run_for_test(
        home.instance,
        job_name="replay_runs",
        status=DagsterRunStatus.STARTED,
        run_config={"ops": {"replay_runs_op": config}},
    )
    result = tick(home)
    assert requested(result) == {}
    assert "Trial ending: a run is under way" in said(result)


def test_a_dry_run_is_requested_once(home: House) -> None:
    failing(home)
    request = (tick(home, dry_run=True).run_requests or [])[0]
    assert config_of(request)["dry_run"] is True
    execute(home, request)
    assert requested(tick(home, dry_run=True)) == {}
    assert len(requested(tick(home, dry_run=False))) == 1
    held = tick(home, dry_run=False, safety=Safety(dry_run=True))
    assert all(config_of(one)["dry_run"] for one in held.run_requests or [])
    assert effects(home.sandbox) == {}


def test_a_cursor_that_cannot_be_read_starts_over(home: House) -> None:
    workflow, _ = failing(home)
    for cursor in ("", "not json", "[1]", '{"version": 9}'):
        assert set(requested(tick(home, cursor))) == {workflow}
    assert json.loads(str(tick(home).cursor)) == {
        "version": 1,
        "after": workflow,
        "runs": {},
    }


def test_nothing_is_requested_with_another_ledger_than_before(home: House, tmp_path: Path) -> None:
    _, runs = failing(home)
    execute(home, (tick(home).run_requests or [])[0])
    home.ledger_url = f"sqlite:///{tmp_path}/second.sqlite"
    assert "is not the one that this Dagster instance used" in said(tick(home))
    home.sandbox.clock.advance(60)
    assert effects(home.sandbox) == {runs[0].invocation_id: 1}


def test_the_time_of_a_tick_is_the_server_s(tmp_path: Path) -> None:
    with house(tmp_path, "current", now=datetime.now(UTC) - timedelta(days=3)) as home:
        workflow, _ = failing(home)
        assert set(requested(tick(home))) == {workflow}
