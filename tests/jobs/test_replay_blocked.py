"""The replay job on a server with blocked runs: each run once, whatever the responses."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hog_dagster.jobs import build_replay_job
from hog_dagster.ledger import Action
from hog_dagster.sandbox import Sandbox
from tests.acting_kit import House, Ran, effects, house

SINGLE = "*/replay_blocked_run/"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, "docs") as home:
        yield home


@pytest.fixture
def sandbox(home: House) -> Sandbox:
    return home.sandbox


@pytest.fixture
def workflow(sandbox: Sandbox) -> str:
    return sandbox.world.add_workflow("Onboarding")["id"]


def blocked(sandbox: Sandbox, workflow: str, n: int, **options: Any) -> list[dict[str, Any]]:
    return sandbox.world.add_blocked_runs(workflow, n, **options)


def only(ran: Ran) -> dict[str, int]:
    """The outcomes there are."""
    return {name: count for name, count in ran.value.items() if count}


def test_each_run_is_replayed_once_and_read_back(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 3)
    ran = home.replay(workflow, runs, verify_seconds=5)
    assert ran.success
    assert ran.value["confirmed"] == 3
    assert ran.metadata["requests"] == len(sandbox.requests)
    assert effects(sandbox) == {run["instance_id"]: 1 for run in runs}


def test_a_second_run_replays_nothing_while_markers_are_late(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    sandbox.world.marker_lag = 3600
    runs = blocked(sandbox, workflow, 2)
    home.replay(workflow, runs)
    again = home.replay(workflow, runs)
    assert again.success
    assert again.value["done_before"] == 2
    assert sandbox.count("POST", SINGLE) == 2


def test_what_is_no_longer_blocked_is_skipped(home: House, workflow: str) -> None:
    ghost = {"instance_id": "0196377d-1a2b-7c3d-8e4f-5a6b7c8d9e0f"}
    ran = home.replay(workflow, [ghost])
    assert ran.success
    assert ran.value["skipped"] == 1
    assert home.states() == {}


def test_unreplayable_runs_are_reported_and_not_tried_for_ever(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 3, unreplayable=2)
    for _ in range(3):
        ran = home.replay(workflow, runs)
        assert ran.success
        assert "names no event" in str(ran.metadata["table"])
    assert sandbox.count("POST", SINGLE) == 2  # the good one, and the one whose event is gone
    assert sum(effects(sandbox).values()) == 1


def test_the_job_is_a_dry_run_unless_told_otherwise(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 1)
    job = build_replay_job()
    named = [{"instance_id": runs[0]["instance_id"]}]
    ran = home.run(job, {"workflows": workflow, "runs": named})
    assert ran.value["dry_run"] == 1
    assert sandbox.count("POST") == 0


def test_the_cap_holds(home: House, sandbox: Sandbox, workflow: str) -> None:
    blocked(sandbox, workflow, 5)
    ran = home.replay(workflow, [], all_blocked=True, max_runs=2)
    assert ran.value["confirmed"] == 2
    assert ran.value["skipped"] == 3


def test_an_answer_cut_after_the_effect_is_one_replay_found_by_reading_back(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 1)
    sandbox.fail("POST", SINGLE, cut="after")
    ran = home.replay(workflow, runs, verify_seconds=5)
    assert ran.success
    assert ran.value["confirmed"] == 1
    assert sandbox.count("POST", SINGLE) == 1
    assert list(home.states().values()) == ["confirmed"]


def test_a_request_cut_before_its_effect_is_sent_again_only_after_the_grace_time(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 1)
    sandbox.fail("POST", SINGLE, cut="before")
    first = home.replay(workflow, runs, grace_seconds=600)
    assert first.success
    assert first.value["in_doubt"] == 1
    assert home.replay(workflow, runs, grace_seconds=600).value["in_doubt"] == 1
    assert sandbox.count("POST", SINGLE) == 1
    sandbox.clock.advance(700)
    assert home.replay(workflow, runs, grace_seconds=600).value["confirmed"] == 1
    assert effects(sandbox) == {runs[0]["instance_id"]: 1}


def test_a_marker_that_is_minutes_late_does_not_bring_a_second_replay(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    sandbox.world.marker_lag = 500
    runs = blocked(sandbox, workflow, 1)
    sandbox.fail("POST", SINGLE, cut="after")
    for _ in range(4):
        home.replay(workflow, runs, grace_seconds=600)
        sandbox.clock.advance(170)
    assert effects(sandbox) == {runs[0]["instance_id"]: 1}
    assert list(home.states().values()) == ["confirmed"]


def test_a_feature_switched_off_fails_the_run_and_the_next_one_replays(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 3)
    sandbox.fail("POST", SINGLE, status=403, body={"error": "This feature is not enabled"})
    ran = home.replay(workflow, runs)
    assert not ran.success
    assert "3 of 3 runs were not sent" in ran.failure
    assert set(home.states().values()) == {"not_sent"}
    assert home.replay(workflow, runs).value["confirmed"] == 3


def test_the_rate_limit_is_waited_for(home: House, sandbox: Sandbox, workflow: str) -> None:
    runs = blocked(sandbox, workflow, 3)
    sandbox.fail("POST", SINGLE, after=1, status=429, headers={"Retry-After": "1"})
    ran = home.replay(workflow, runs)
    assert ran.success
    assert ran.value["confirmed"] == 3
    assert sandbox.count("POST", SINGLE) == 4


def test_a_failure_of_the_worker_behind_the_view_is_in_doubt(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 1)
    body = {"status": "error", "message": "Failed to replay run"}
    sandbox.fail("POST", SINGLE, status=400, body=body)
    assert home.replay(workflow, runs).value["in_doubt"] == 1


def test_a_workflow_another_run_acts_on_is_left_alone(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 1)
    with home.book() as book, book.lock(f"workflow:1:{workflow}", "another"):
        ran = home.replay(workflow, runs, lock_wait_seconds=0)
    assert ran.success
    assert ran.value["skipped"] == 1
    assert sandbox.count("POST") == 0


def test_an_act_another_live_run_is_sending_is_left_to_it(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 1)
    with home.book() as book:
        act = Action(1, "replay", workflow, runs[0]["instance_id"])
        book.mark_sent([book.claim(act, "somewhere else").entry], server_time=None)
    ran = home.replay(workflow, runs, grace_seconds=0)
    assert ran.value["skipped"] == 1
    assert sandbox.count("POST") == 0


def test_a_server_that_refuses_keys_is_named_and_nothing_is_sent(tmp_path: Path) -> None:
    with house(tmp_path, "docs", keys_refused_on_custom_actions=True) as home:
        workflow = home.sandbox.world.add_workflow()["id"]
        runs = blocked(home.sandbox, workflow, 1)
        ran = home.replay(workflow, runs)
        assert not ran.success
        assert "refuses the action to scoped keys" in ran.failure
        assert home.sandbox.count("POST", SINGLE) == 0


def test_an_operator_s_word_is_believed(home: House, sandbox: Sandbox, workflow: str) -> None:
    runs = blocked(sandbox, workflow, 2)
    sandbox.fail("POST", SINGLE, times=2, cut="before")
    home.replay(workflow, runs, grace_seconds=600)
    with home.book() as book:
        for entry, word in zip(book.entries(), ("confirmed", "not-sent"), strict=True):
            book.resolve(entry.id, word, reason="looked", who="ana")
    ran = home.replay(workflow, runs, grace_seconds=600)
    assert (ran.value["done_before"], ran.value["confirmed"]) == (1, 1)


def test_reconciling_reads_back_and_sends_nothing(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 2)
    sandbox.fail("POST", SINGLE, cut="after")
    sandbox.fail("POST", SINGLE, cut="before")
    home.replay(workflow, runs, grace_seconds=600)
    posts = sandbox.count("POST")
    assert only(home.reconcile(600)) == {"confirmed": 1, "in_doubt": 1}
    sandbox.clock.advance(700)
    assert only(home.reconcile(600)) == {"not_sent": 1}
    assert sandbox.count("POST") == posts
    assert home.replay(workflow, runs).value["confirmed"] == 1


def test_times_are_compared_on_the_server_s_clock(tmp_path: Path) -> None:
    for skew in (timedelta(hours=-5), timedelta(hours=5)):
        folder = tmp_path / str(skew.days)
        folder.mkdir()
        with house(folder, "docs", now=datetime.now(UTC) + skew) as home:
            workflow = home.sandbox.world.add_workflow()["id"]
            runs = blocked(home.sandbox, workflow, 1)
            home.sandbox.world.marker_lag = 300
            home.sandbox.fail("POST", SINGLE, cut="after")
            for _ in range(3):
                home.replay(workflow, runs, grace_seconds=600)
                home.sandbox.clock.advance(200)
            assert effects(home.sandbox) == {runs[0]["instance_id"]: 1}
            assert list(home.states().values()) == ["confirmed"]


def test_a_dry_run_sends_and_remembers_nothing(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 2)
    ran = home.replay(workflow, runs, dry_run=True)
    assert ran.value["dry_run"] == 2
    assert sandbox.count("POST") == 0
    assert home.states() == {}


def test_a_window_finds_the_blocked_runs_in_it(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    now = sandbox.clock.now()
    inside = blocked(sandbox, workflow, 2, at=now - timedelta(hours=2))
    blocked(sandbox, workflow, 2, at=now - timedelta(hours=9))
    start = (now - timedelta(hours=3)).isoformat()
    ran = home.replay("Onboarding", window_from=start, verify_seconds=5)
    assert ran.value["confirmed"] == 2
    assert effects(sandbox) == {run["instance_id"]: 1 for run in inside}
