"""The replay job on a server with blocked runs: each run once, whatever the answers."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hog_dagster.jobs import build_replay_job
from hog_dagster.ledger import Action
from hog_dagster.sandbox import Sandbox
from tests.acting_kit import House, house, replay_effects

SINGLE, BULK = "*/replay_blocked_run/", "*/replay_all_blocked_runs/"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as home:
        yield home


@pytest.fixture
def sandbox(home: House) -> Sandbox:
    return home.sandbox


@pytest.fixture
def workflow(sandbox: Sandbox) -> str:
    return sandbox.world.add_workflow("Onboarding")["id"]


def blocked(sandbox: Sandbox, workflow: str, n: int, **options: Any) -> list[dict[str, Any]]:
    return sandbox.world.add_blocked_runs(workflow, n, **options)


def test_each_run_is_replayed_once_and_read_back(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 3)
    ran = home.replay(workflow, runs, verify_seconds=5)
    assert ran.success
    assert ran.value["queued"] == ran.value["confirmed"] == 3
    assert ran.value["requests"] == len(sandbox.requests)
    assert replay_effects(sandbox) == {run["instance_id"]: 1 for run in runs}


def test_a_second_run_replays_nothing_while_markers_are_late(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    sandbox.world.marker_lag = 3600
    runs = blocked(sandbox, workflow, 2)
    home.replay(workflow, runs)
    again = home.replay(workflow, runs)
    assert again.success
    assert again.value["skipped"] == 2
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
        assert ran.value["unreplayable"] == 2
    assert sandbox.count("POST", SINGLE) == 2  # the good one, and the one whose event is gone
    assert sum(replay_effects(sandbox).values()) == 1


def test_a_dry_run_sends_and_remembers_nothing(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 2)
    for mode in ("single", "bulk"):
        ran = home.replay(workflow, runs, dry_run=True, mode=mode)
        assert ran.value["dry_run"] == 2
    assert sandbox.count("POST") == 0
    assert home.states() == {}


def test_the_job_is_a_dry_run_unless_told_otherwise(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 1)
    job = build_replay_job()
    named = [{"instance_id": runs[0]["instance_id"]}]
    ran = home.run(job, {"workflow_id": workflow, "runs": named})
    assert ran.value["dry_run"] == 1
    assert sandbox.count("POST") == 0


def test_the_cap_holds(home: House, sandbox: Sandbox, workflow: str) -> None:
    blocked(sandbox, workflow, 5)
    ran = home.replay(workflow, [], all_blocked=True, max_runs=2)
    assert ran.value["queued"] == 2
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
    assert home.replay(workflow, runs, grace_seconds=600).value["queued"] == 1
    assert replay_effects(sandbox) == {runs[0]["instance_id"]: 1}


def test_a_marker_that_is_minutes_late_does_not_bring_a_second_replay(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    sandbox.world.marker_lag = 500
    runs = blocked(sandbox, workflow, 1)
    sandbox.fail("POST", SINGLE, cut="after")
    for _ in range(4):
        home.replay(workflow, runs, grace_seconds=600)
        sandbox.clock.advance(170)
    assert replay_effects(sandbox) == {runs[0]["instance_id"]: 1}
    assert list(home.states().values()) == ["confirmed"]


def test_a_feature_switched_off_fails_the_run_and_the_next_one_replays(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 3)
    sandbox.fail("POST", SINGLE, status=403, body={"error": "This feature is not enabled"})
    ran = home.replay(workflow, runs)
    assert not ran.success
    assert "3 of 3 runs were not replayed" in ran.failure
    assert set(home.states().values()) == {"not_sent"}
    assert home.replay(workflow, runs).value["queued"] == 3


def test_the_rate_limit_is_waited_for(home: House, sandbox: Sandbox, workflow: str) -> None:
    runs = blocked(sandbox, workflow, 3)
    sandbox.fail("POST", SINGLE, after=1, status=429, headers={"Retry-After": "1"})
    ran = home.replay(workflow, runs)
    assert ran.success
    assert ran.value["queued"] == 3
    assert sandbox.count("POST", SINGLE) == 4


def test_a_failure_of_the_worker_behind_the_view_is_in_doubt(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 1)
    body = {"status": "error", "message": "Failed to replay run"}
    sandbox.fail("POST", SINGLE, status=400, body=body)
    assert home.replay(workflow, runs).value["in_doubt"] == 1


def test_bulk_is_one_request_and_one_act_for_each_listed_run(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 4)
    ran = home.replay(workflow, runs, mode="bulk", verify_seconds=5)
    assert ran.success
    assert ran.value["queued"] == ran.value["confirmed"] == 4
    assert sandbox.count("POST", BULK) == 1
    assert sorted(home.states(kind="replay").values()) == ["confirmed"] * 4


def test_bulk_is_not_used_when_it_would_replay_more_than_was_asked_for(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 3)
    ran = home.replay(workflow, runs[:2], mode="bulk")
    assert ran.value["queued"] == 2
    assert sandbox.count("POST", BULK) == 0
    assert "not in bulk" in str(ran.metadata["notes"])


def test_bulk_is_not_used_while_a_marker_of_an_earlier_replay_is_late(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    sandbox.world.marker_lag = 3600
    runs = blocked(sandbox, workflow, 3)
    home.replay(workflow, runs[:1])
    ran = home.replay(workflow, runs, mode="bulk")
    assert ran.value["queued"] == 2
    assert sandbox.count("POST", BULK) == 0
    assert set(replay_effects(sandbox).values()) == {1}


def test_a_bulk_replay_cut_after_its_effect_replays_nothing_again(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    sandbox.world.marker_lag = 300
    runs = blocked(sandbox, workflow, 3)
    sandbox.fail("POST", BULK, cut="after")
    ran = home.replay(workflow, runs, mode="bulk", grace_seconds=600)
    assert ran.success
    assert ran.value["in_doubt"] == 3
    for _ in range(4):
        home.replay(workflow, runs, mode="bulk", grace_seconds=600)
        sandbox.clock.advance(250)
    assert set(replay_effects(sandbox).values()) == {1}
    assert set(home.states().values()) == {"confirmed"}


def test_a_bulk_replay_that_skipped_a_run_leaves_it_in_doubt_until_it_is_read_back(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    lost = blocked(sandbox, workflow, 1, unreplayable=1)  # its event is gone
    runs = blocked(sandbox, workflow, 2)
    ran = home.replay(workflow, [*runs, *lost], mode="bulk", grace_seconds=600)
    assert ran.value["in_doubt"] == 3
    sandbox.clock.advance(700)
    ran = home.replay(workflow, [*runs, *lost], mode="bulk", grace_seconds=600)
    assert (ran.value["confirmed"], ran.value["in_doubt"]) == (2, 1)
    assert set(replay_effects(sandbox).values()) == {1}


def test_a_process_that_was_suspended_before_it_sent_sends_nothing(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 1)

    def sleep(step: str, _workflow: str, _subject: str) -> None:
        if step == "during_post":
            time.sleep(1.2)

    home.on_step = sleep
    ran = home.replay(workflow, runs, grace_seconds=0.2)
    assert not ran.success
    assert "suspended for too long" in ran.failure
    assert sandbox.count("POST") == 0
    home.on_step = None
    assert home.replay(workflow, runs).value["queued"] == 1


def test_a_run_blocked_while_a_bulk_replay_was_under_way_is_not_replayed_twice(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    sandbox.world.marker_lag = 300
    runs = blocked(sandbox, workflow, 2)
    late: list[dict[str, Any]] = []

    def one_more(step: str, _workflow: str, _subject: str) -> None:
        if step == "during_post" and not late:
            late.extend(blocked(sandbox, workflow, 1))

    home.on_step = one_more
    home.replay(workflow, runs, mode="bulk", grace_seconds=600)
    home.on_step = None
    assert home.replay(workflow, late, grace_seconds=600).value["in_doubt"] == 1
    sandbox.clock.advance(700)
    assert home.replay(workflow, late, grace_seconds=600).value["skipped"] == 1
    assert set(replay_effects(sandbox).values()) == {1}


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
    with house(tmp_path, keys_refused_on_custom_actions=True) as home:
        workflow = home.sandbox.world.add_workflow()["id"]
        runs = blocked(home.sandbox, workflow, 1)
        ran = home.replay(workflow, runs)
        assert ran.success
        assert ran.value["skipped"] == 1
        assert "refuses the action" in str(ran.metadata["notes"])


def test_nothing_to_replay_is_an_error_that_says_what_to_name(home: House, workflow: str) -> None:
    ran = home.replay(workflow, [])
    assert not ran.success
    assert "name runs, or set all_blocked" in ran.failure


def test_an_operator_s_word_is_believed(home: House, sandbox: Sandbox, workflow: str) -> None:
    runs = blocked(sandbox, workflow, 2)
    sandbox.fail("POST", SINGLE, times=2, cut="before")
    home.replay(workflow, runs, grace_seconds=600)
    with home.book() as book:
        for entry, word in zip(book.entries(), ("confirmed", "not-sent"), strict=True):
            book.resolve(entry.id, word, reason="looked", who="ana")
    ran = home.replay(workflow, runs, grace_seconds=600)
    assert (ran.value["skipped"], ran.value["queued"]) == (1, 1)


def test_settling_reads_back_and_sends_nothing(
    home: House, sandbox: Sandbox, workflow: str
) -> None:
    runs = blocked(sandbox, workflow, 2)
    sandbox.fail("POST", SINGLE, cut="after")
    sandbox.fail("POST", SINGLE, cut="before")
    home.replay(workflow, runs, grace_seconds=600)
    posts = sandbox.count("POST")
    assert home.settle(600).value == {"confirmed": 1, "not_sent": 0, "in_doubt": 1, "busy": 0}
    sandbox.clock.advance(700)
    assert home.settle(600).value == {"confirmed": 0, "not_sent": 1, "in_doubt": 0, "busy": 0}
    assert sandbox.count("POST") == posts
    assert home.replay(workflow, runs).value["queued"] == 1


def test_times_are_compared_on_the_server_s_clock(tmp_path: Path) -> None:
    for skew in (timedelta(hours=-5), timedelta(hours=5)):
        folder = tmp_path / str(skew.days)
        folder.mkdir()
        with house(folder, now=datetime.now(UTC) + skew) as home:
            workflow = home.sandbox.world.add_workflow()["id"]
            runs = blocked(home.sandbox, workflow, 1)
            home.sandbox.world.marker_lag = 300
            home.sandbox.fail("POST", SINGLE, cut="after")
            for _ in range(3):
                home.replay(workflow, runs, grace_seconds=600)
                home.sandbox.clock.advance(200)
            assert replay_effects(home.sandbox) == {runs[0]["instance_id"]: 1}
            assert list(home.states().values()) == ["confirmed"]
