"""The replay job on a server with reruns: each failed run once, by explicit ids, read back."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from hog_dagster.ledger import Action
from hog_dagster.sandbox import Sandbox
from tests.acting_kit import House, house, replay_effects

RERUN = "*/rerun/"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, "current") as home:
        home.sandbox.world.rerun_lag = 0.2
        home.sandbox.world.rerun_takes = 0.2
        yield home


@pytest.fixture
def sandbox(home: House) -> Sandbox:
    return home.sandbox


@pytest.fixture
def workflow(sandbox: Sandbox) -> str:
    return sandbox.world.add_workflow("Onboarding")["id"]


def test_failed_runs_are_run_again_once_by_their_ids(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    now = sandbox.clock.now()
    runs = [
        sandbox.world.add_run(workflow, "failed", now - timedelta(hours=hours)) for hours in (1, 5)
    ]
    ran = home.replay(workflow, runs, verify_seconds=10)
    assert ran.success
    assert ran.value["queued"] == ran.value["confirmed"] == 2
    asked = [r.body for r in sandbox.requests if r.path.endswith("/rerun/")]
    assert len(asked) == 1
    assert sorted(asked[0]["filter"]["invocation_ids"]) == sorted(r.invocation_id for r in runs)
    assert asked[0]["filter"]["status"] == ["failed"]
    assert asked[0]["filter"]["max_attempts"] == 2
    assert home.replay(workflow, runs).value["skipped"] == 2
    assert replay_effects(sandbox) == {run.invocation_id: 1 for run in runs}


def test_runs_days_apart_are_read_together_where_few_runs_lie_between(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    now = sandbox.clock.now()
    runs = [
        sandbox.world.add_run(workflow, "failed", now - timedelta(hours=7 * n + 1))
        for n in range(30)
    ]
    ran = home.replay(workflow, runs, verify_seconds=10)
    assert ran.value["confirmed"] == 30
    assert sandbox.count("GET", "*/invocation_results/") < 15
    assert replay_effects(sandbox) == {run.invocation_id: 1 for run in runs}


def test_slices_never_repeat_a_run(home: House, sandbox: Sandbox, workflow: str) -> None:
    runs = [sandbox.world.add_run(workflow, "failed") for _ in range(7)]
    ran = home.replay(workflow, runs, slice_size=3, verify_seconds=10)
    assert ran.value["confirmed"] == 7
    asked = [
        name
        for record in sandbox.requests
        if record.path.endswith("/rerun/")
        for name in record.body["filter"]["invocation_ids"]
    ]
    assert len(asked) == len(set(asked)) == 7
    assert sandbox.count("POST", RERUN) == 3


def test_a_rerun_not_seen_yet_is_in_doubt_and_confirmed_later(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    sandbox.world.rerun_lag = 300
    runs = [sandbox.world.add_run(workflow, "failed")]
    first = home.replay(workflow, runs, grace_seconds=600)
    assert first.success
    assert (first.value["queued"], first.value["in_doubt"]) == (0, 1)
    assert home.replay(workflow, runs, grace_seconds=600).value["in_doubt"] == 1
    sandbox.clock.advance(400)
    assert home.replay(workflow, runs, grace_seconds=600).value["confirmed"] == 1
    assert replay_effects(sandbox) == {runs[0].invocation_id: 1}


def test_a_run_that_failed_no_longer_is_left_alone(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = [sandbox.world.add_run(workflow, status) for status in ("succeeded", "running")]
    assert home.replay(workflow, runs).value["skipped"] == 2
    assert sandbox.count("POST", RERUN) == 0


def test_a_run_named_without_a_time_is_looked_for(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    run = sandbox.world.add_run(workflow, "failed", sandbox.clock.now() - timedelta(days=12))
    ran = home.replay(workflow, [{"instance_id": run.invocation_id}], verify_seconds=10)
    assert ran.value["confirmed"] == 1
    gone = home.replay(workflow, [{"instance_id": "0196377d-1a2b-7c3d-8e4f-5a6b7c8d9e0f"}])
    assert gone.value["unreplayable"] == 1


def test_only_errors_on_the_list_are_run_again(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = [
        sandbox.world.add_run(workflow, "failed", error_kind=kind)
        for kind in ("timeout", "hog_error")
    ]
    ran = home.replay(workflow, runs, error_kinds=["timeout"], verify_seconds=10)
    assert (ran.value["confirmed"], ran.value["skipped"]) == (1, 1)


def test_a_run_that_fails_again_is_run_as_often_as_allowed(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    run = sandbox.world.add_run(workflow, "failed")
    for again in range(3):
        home.replay(workflow, [run], max_reruns=2, verify_seconds=10)
        row = sandbox.world.runs[run.invocation_id]
        row.status = "failed"
        assert replay_effects(sandbox) == {run.invocation_id: min(again + 1, 2)}
    assert home.replay(workflow, [run], max_reruns=2).value["skipped"] == 1


def test_a_run_somebody_else_ran_again_is_not_run_again(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    run = sandbox.world.add_run(workflow, "failed", attempts=2, is_retry=True)
    assert home.replay(workflow, [run]).value["skipped"] == 1


def test_a_run_that_was_replayed_before_the_server_was_upgraded_is_not_run_again(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    run = sandbox.world.add_run(workflow, "failed")
    with home.book() as book:
        claim = book.claim(Action(1, "replay", workflow, run.invocation_id), "old")
        book.confirm(*book.mark_sent([claim.entry], server_time=None), note="queued")
    assert home.replay(workflow, [run]).value["skipped"] == 1
    assert sandbox.count("POST", RERUN) == 0


def test_an_answer_cut_before_the_effect_is_sent_again_after_the_grace_time(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    run = sandbox.world.add_run(workflow, "failed")
    sandbox.fail("POST", RERUN, cut="before")
    assert home.replay(workflow, [run], grace_seconds=600).value["in_doubt"] == 1
    assert home.replay(workflow, [run], grace_seconds=600).value["in_doubt"] == 1
    sandbox.clock.advance(700)
    ran = home.replay(workflow, [run], grace_seconds=600, verify_seconds=10)
    assert ran.value["confirmed"] == 1
    assert sandbox.count("POST", RERUN) == 2


def test_a_rate_limit_in_the_middle_of_the_slices_is_waited_for(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = [sandbox.world.add_run(workflow, "failed") for _ in range(4)]
    sandbox.fail("POST", RERUN, after=1, status=429, headers={"Retry-After": "1"})
    ran = home.replay(workflow, runs, slice_size=2, verify_seconds=10)
    assert ran.value["confirmed"] == 4
    assert set(replay_effects(sandbox).values()) == {1}


def test_a_dry_run_sends_and_remembers_nothing(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    run = sandbox.world.add_run(workflow, "failed")
    assert home.replay(workflow, [run], dry_run=True).value["dry_run"] == 1
    assert sandbox.count("POST") == 0
    assert home.states() == {}


def test_blocked_runs_cannot_be_asked_for_on_this_server(home: House, workflow: str) -> None:
    ran = home.replay(workflow, [], all_blocked=True)
    assert not ran.success
    assert "name the failed runs" in ran.failure


def test_settling_reads_reruns_back(home: House, sandbox: Sandbox, workflow: str) -> None:
    sandbox.world.rerun_lag = 300
    run = sandbox.world.add_run(workflow, "failed")
    home.replay(workflow, [run], grace_seconds=600)
    assert home.settle(600).value["in_doubt"] == 1
    sandbox.clock.advance(400)
    assert home.settle(600).value["confirmed"] == 1


def test_a_time_that_cannot_be_read_is_named(home: House, sandbox: Sandbox, workflow: str) -> None:
    run = {"instance_id": "0196377d-1a2b-7c3d-8e4f-5a6b7c8d9e0f", "scheduled_at": "yesterday"}
    ran = home.replay(workflow, [run])
    assert not ran.success
    assert "scheduled_at is 'yesterday'; give ISO 8601" in ran.failure
    assert sandbox.count("POST") == 0
