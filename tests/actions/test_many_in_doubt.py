"""Many actions in doubt at once: what is read to reconcile them does not grow with their square."""

from datetime import timedelta
from typing import Any

import pytest

from hog_dagster.actions import Outcome
from hog_dagster.actions._rerun_evidence import RerunEvidence
from hog_dagster.ledger import Ledger
from tests.actions.kit import HOUR, NOW, Place
from tests.actions.test_rows_of_batch_jobs import a_batch


def test_replays_in_doubt_are_read_once_for_all_runs_that_are_to_be_rerun() -> None:
    place = Place("docs")
    source = place.workflow()
    runs = place.blocked(source, 12)
    place.sandbox.fail("POST", "*/replay_blocked_run/", times=len(runs), cut="before")
    for run in reversed(runs):  # the last that is asked about was sent first
        place.replay(source, [run])
        place.wait(10)
    place.become("current")
    for run in runs:
        place.world.add_run(source.id, "failed", NOW - timedelta(hours=1), run)
    before = place.sandbox.count("GET")
    summary = place.rerun(source, runs)
    assert {result.outcome for result in summary.results.values()} == {Outcome.IN_DOUBT}
    assert place.sandbox.count("GET") - before <= 5


def test_replays_in_doubt_are_read_once_by_the_next_replay() -> None:
    place = Place("docs")
    source = place.workflow()
    runs = place.blocked(source, 12)
    place.sandbox.fail("POST", "*/replay_blocked_run/", times=len(runs), cut="before")
    for run in reversed(runs):
        place.replay(source, [run])
        place.wait(10)
    before = place.sandbox.count("GET")
    place.replay(source, runs)
    assert place.sandbox.count("GET") - before <= 5
    before = place.sandbox.count("GET")
    place.reconcile()
    assert place.sandbox.count("GET") - before <= 5


def test_the_ledger_is_asked_once_about_all_rows_of_batch_sends_in_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place()
    source = a_batch(place)
    place.sandbox.fail("POST", "*/batch_jobs/", times=8, cut="after")
    for number in range(8):
        place.batch(source, f"key {number}", {"tier": str(number)})
        place.wait(60)
    place.wait(2 * HOUR)
    asked: list[str] = []
    for name in ("with_remote_ids", "listed", "entries"):
        real: Any = getattr(Ledger, name)

        def counted(*args: Any, _real: Any = real, _name: str = name, **named: Any) -> Any:
            asked.append(_name)
            return _real(*args, **named)

        monkeypatch.setattr(Ledger, name, counted)
    summary = place.reconcile()
    assert len(summary.results) == 8
    assert sorted(asked) == ["entries", "entries", "listed", "with_remote_ids"]


def test_a_job_that_another_process_finds_at_this_moment_confirms_no_second_action(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place()
    source = a_batch(place)
    for key in ("first", "second"):
        place.sandbox.fail("POST", "*/batch_jobs/", cut="before")
        assert place.batch(source, key, {"tier": "gold"}).outcome is Outcome.IN_DOUBT
    (first,) = (entry for entry in place.entries() if entry.subject == "first")
    made = place.world.add_batch_job(
        source.id, created_by=place.world.user, variables={"tier": "gold"}
    ).id
    place.wait(2 * HOUR)
    real: Any = Ledger.with_remote_ids

    def asked(ledger: Ledger, *args: Any) -> Any:
        found = real(ledger, *args)
        monkeypatch.undo()
        ledger.confirm(first, note="found by another process", remote_id=made)
        return found

    monkeypatch.setattr(Ledger, "with_remote_ids", asked)
    result = place.batch(source, "second", {"tier": "gold"})
    assert result.outcome is Outcome.IN_DOUBT
    assert "which is in doubt too" in result.why
    assert place.batch(source, "second", {"tier": "gold"}).outcome is Outcome.CONFIRMED
    assert {entry.subject: entry.remote_id == made for entry in place.entries()} == {
        "first": True,
        "second": False,
    }


def test_the_jobs_of_one_request_are_found_once_for_all_its_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place()
    source = place.workflow()
    runs = [place.failed(source, HOUR + number) for number in range(40)]
    place.sandbox.fail("POST", "*/rerun/", times=2, cut="after")
    place.rerun(source, runs, slice_size=20)
    place.wait(2 * HOUR)
    real: Any = RerunEvidence._may_be
    asked: list[str] = []

    def may_be(self: Any, job_id: str, entry: Any) -> bool:
        asked.append(job_id)
        return real(self, job_id, entry)

    monkeypatch.setattr(RerunEvidence, "_may_be", may_be)
    place.reconcile()
    assert set(place.states().values()) == {"confirmed"}
    assert len(asked) == 4, "two jobs, two requests"
