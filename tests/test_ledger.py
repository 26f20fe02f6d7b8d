"""The ledger: claims, states, locks and operators, on SQLite and on a real PostgreSQL, from several
processes."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hog_dagster.ledger import (
    LEDGER_FIELDS,
    Act,
    ClaimLost,
    Ledger,
    LedgerError,
    LedgerUnavailable,
    LockLost,
    State,
    Verdict,
    default_url,
)
from tests.acts.processes import PROCESSES

WORKFLOW = "01968c1e-77aa-0000-4f0e-2b5d1c9a3e10"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.sqlite"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger(url) as ledger:
        yield ledger


def replay(subject: str = "run-1", **request: Any) -> Act:
    return Act(1, "replay", WORKFLOW, subject, request)


def test_an_act_is_granted_to_the_first_who_claims_it(ledger: Ledger) -> None:
    first = ledger.claim(replay(), "a")
    assert first.verdict is Verdict.GRANTED
    assert first.entry.state is State.INTENDED
    assert ledger.claim(replay(), "b").verdict is Verdict.BUSY


def test_acts_of_another_project_kind_workflow_or_subject_are_other_acts(ledger: Ledger) -> None:
    acts = [
        Act(1, "replay", "w", "s"),
        Act(2, "replay", "w", "s"),
        Act(1, "rerun", "w", "s"),
        Act(1, "replay", "v", "s"),
        Act(1, "replay", "w", "t"),
    ]
    assert [c.verdict for c in ledger.claim_all(acts, "a")] == [Verdict.GRANTED] * 5


def test_the_same_act_twice_in_one_claim_is_one_act(ledger: Ledger) -> None:
    ledger.claim_all([replay(), replay()], "a")
    assert len(list(ledger.entries())) == 1


def test_an_intended_act_of_a_dead_owner_is_granted_anew(ledger: Ledger) -> None:
    ledger.claim(replay(), "dead")
    assert ledger.claim(replay(), "b", alive=lambda _: True).verdict is Verdict.BUSY
    assert ledger.claim(replay(), "b", alive=lambda _: None).verdict is Verdict.BUSY
    taken = ledger.claim(replay(), "b", alive=lambda _: False)
    assert taken.verdict is Verdict.GRANTED
    assert taken.entry.owner == "b"


def test_an_intended_act_whose_lease_is_over_is_granted_anew(url: str) -> None:
    with Ledger(url, lease=timedelta(0)) as ledger:
        ledger.claim(replay(), "a")
        assert ledger.claim(replay(), "b", alive=lambda _: True).granted


def test_who_lost_an_act_cannot_mark_it_as_sent(ledger: Ledger) -> None:
    slow = ledger.claim(replay(), "slow")
    quick = ledger.claim(replay(), "quick", alive=lambda _: False)
    with pytest.raises(ClaimLost):
        ledger.mark_sent(slow.entry)
    sent = ledger.mark_sent(quick.entry)
    assert sent.attempts == 1
    with pytest.raises(ClaimLost):
        ledger.release(slow.entry, note="late")


def test_a_step_of_the_same_run_that_died_loses_its_act_to_the_next_one(ledger: Ledger) -> None:
    before = ledger.claim(replay(), "run")
    after = ledger.claim(replay(), "run")
    assert after.granted
    with pytest.raises(ClaimLost):
        ledger.mark_sent(before.entry)


def test_a_sent_act_is_busy_while_its_owner_lives_and_in_doubt_after(ledger: Ledger) -> None:
    ledger.mark_sent(ledger.claim(replay(), "a").entry)
    assert ledger.claim(replay(), "b", alive=lambda _: True).verdict is Verdict.BUSY
    assert ledger.claim(replay(), "b", alive=lambda _: False).verdict is Verdict.IN_DOUBT
    assert ledger.claim(replay(), "a").verdict is Verdict.IN_DOUBT


def test_all_are_marked_as_sent_or_none(ledger: Ledger) -> None:
    claims = ledger.claim_all([replay("1"), replay("2")], "a")
    ledger.claim(replay("2"), "b", alive=lambda _: False)
    with pytest.raises(ClaimLost):
        ledger.mark_all_sent([claim.entry for claim in claims])
    assert {e.subject: e.state for e in ledger.entries()} == {
        "1": State.INTENDED,
        "2": State.INTENDED,
    }


@pytest.mark.parametrize(
    ("settle", "state", "verdict"),
    [
        ("confirm", State.CONFIRMED, Verdict.CONFIRMED),
        ("refuse", State.REFUSED, Verdict.REFUSED),
        ("doubt", State.UNKNOWN, Verdict.IN_DOUBT),
    ],
)
def test_outcomes_are_kept_with_what_was_answered(
    ledger: Ledger, settle: str, state: State, verdict: Verdict
) -> None:
    sent = ledger.mark_sent(ledger.claim(replay(), "a").entry)
    getattr(ledger, settle)(sent, answer={"status": "x"}, note="as answered")
    found = ledger.get(replay())
    assert found is not None
    assert (found.state, found.answer, found.note) == (state, {"status": "x"}, "as answered")
    assert (found.settled_at is None) == (state is State.UNKNOWN)
    assert ledger.claim(replay(), "b").verdict is verdict


def test_nothing_can_be_confirmed_that_was_not_marked_as_sent(ledger: Ledger) -> None:
    with pytest.raises(ClaimLost):
        ledger.confirm(ledger.claim(replay(), "a").entry, note="?")


def test_a_released_act_is_anybodys_at_once(ledger: Ledger) -> None:
    ledger.release(ledger.mark_sent(ledger.claim(replay(), "a").entry), note="429")
    again = ledger.claim(replay(), "b")
    assert again.granted
    assert ledger.mark_sent(again.entry).attempts == 2


def test_an_act_in_doubt_is_reopened_for_one_only(ledger: Ledger) -> None:
    unknown = ledger.doubt(
        ledger.mark_sent(ledger.claim(replay(), "a").entry), note="no answer came"
    )[0]
    assert ledger.reopen(unknown, "b", note="not there").owner == "b"
    with pytest.raises(ClaimLost):
        ledger.reopen(unknown, "c", note="not there")


def test_each_state_is_in_the_history(ledger: Ledger) -> None:
    sent = ledger.mark_sent(ledger.claim(replay(), "a").entry)
    ledger.confirm(sent, note="queued")
    assert [(h["state"], h["note"]) for h in ledger.history(sent.id)] == [
        ("intended", "claimed"),
        ("sent", "sent"),
        ("confirmed", "queued"),
    ]


def test_the_server_s_time_is_kept_beside_the_ledger_s(ledger: Ledger) -> None:
    theirs = datetime(2031, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)
    ledger.mark_sent(ledger.claim(replay(), "a").entry, server_time=theirs)
    found = ledger.get(replay())
    assert found is not None
    assert found.server_sent_at == theirs
    assert found.sent_at is not None
    assert found.sent_at.tzinfo is not None


def test_rows_have_the_declared_fields_and_filters_narrow_them(ledger: Ledger) -> None:
    ledger.claim_all([replay("1", host="h"), replay("2")], "a")
    ledger.claim(Act(1, "batch_send", WORKFLOW, "2026-11-20T06:00:00Z"), "b")
    rows = list(ledger.rows(kind="replay"))
    assert [set(row) for row in rows] == [{name for name, _, _ in LEDGER_FIELDS}] * 2
    assert rows[0]["request"] == {"host": "h"}
    assert rows[0]["state"] == "intended"
    assert len(list(ledger.rows(kind=["replay", "batch_send"], owner="b"))) == 1
    assert list(ledger.rows(state="sent")) == []
    assert list(ledger.rows(since=datetime(2999, 1, 1, tzinfo=UTC))) == []


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [("confirmed", Verdict.CONFIRMED), ("not-sent", Verdict.GRANTED)],
)
def test_an_operator_settles_an_act_in_doubt(
    ledger: Ledger, outcome: str, verdict: Verdict
) -> None:
    sent = ledger.mark_sent(ledger.claim(replay(), "a").entry)
    ledger.doubt(sent, note="timeout")
    ledger.settle(sent.id, outcome, reason="seen in the activity log", who="ana")
    assert ledger.history(sent.id)[-1]["note"] == "settled by ana: seen in the activity log"
    assert ledger.claim(replay(), "b").verdict is verdict


def test_an_operator_cannot_settle_without_a_reason_or_what_is_being_sent(ledger: Ledger) -> None:
    sent = ledger.mark_sent(ledger.claim(replay(), "a").entry)
    with pytest.raises(LedgerError, match="being sent by run a"):
        ledger.settle(sent.id, "not-sent", reason="impatient", who="ana")
    with pytest.raises(LedgerError, match="reason"):
        ledger.settle(sent.id, "not-sent", reason=" ", who="ana")
    with pytest.raises(LedgerError, match="no act 99"):
        ledger.settle(99, "not-sent", reason="x", who="ana")
    with pytest.raises(LedgerError, match="'gone'"):
        ledger.settle(sent.id, "gone", reason="x", who="ana")


def test_a_lock_is_held_by_one_run(ledger: Ledger) -> None:
    with ledger.lock("workflow:1", "a") as held:
        assert held is not None
        assert ledger.holder("workflow:1") == "a"
        with ledger.lock("workflow:1", "b") as refused:
            assert refused is None
        with ledger.lock("workflow:2", "b") as other:
            assert other is not None
    with ledger.lock("workflow:1", "b") as free:
        assert free is not None
    assert ledger.holder("workflow:1") is None


def test_a_lock_of_a_dead_run_is_taken_over_and_the_dead_run_sends_nothing(ledger: Ledger) -> None:
    claim = ledger.claim(replay(), "dead")
    with ledger.lock("w", "dead") as old:
        with ledger.lock("w", "b", alive=lambda _: False) as new:
            assert new is not None
            with pytest.raises(LockLost):
                ledger.mark_sent(claim.entry, lock=old)
            ledger.renew(new)
        found = ledger.get(replay())
        assert found is not None
        assert found.state is State.INTENDED


def test_a_lock_whose_lease_is_over_is_free(ledger: Ledger) -> None:
    with (
        ledger.lock("w", "a", lease=timedelta(0)),
        ledger.lock("w", "b", alive=lambda _: True) as taken,
    ):
        assert taken is not None


def _claim_many(url: str, owner: str, subjects: list[str], answers: Any) -> None:
    with Ledger(url) as ledger:
        granted = []
        for subject in subjects:
            claim = ledger.claim(Act(1, "replay", WORKFLOW, subject), owner)
            if claim.granted:
                ledger.confirm(ledger.mark_sent(claim.entry), note="queued")
                granted.append(subject)
        answers.put(granted)


def test_processes_that_claim_the_same_acts_get_each_once(url: str) -> None:
    subjects = [f"run-{n}" for n in range(40)]
    answers = PROCESSES.Queue()
    processes = [
        PROCESSES.Process(target=_claim_many, args=(url, f"p{n}", subjects, answers))
        for n in range(4)
    ]
    for process in processes:
        process.start()
    granted = [subject for _ in processes for subject in answers.get(timeout=60)]
    for process in processes:
        process.join(60)
    assert sorted(granted) == sorted(subjects)


def _die_after_marking(url: str) -> None:
    ledger = Ledger(url)
    ledger.mark_sent(ledger.claim(replay(), "killed").entry)
    os.kill(os.getpid(), signal.SIGKILL)


def _die_while_marking(url: str) -> None:
    ledger = Ledger(url)
    claim = ledger.claim(replay(), "killed")
    ledger.on_commit = lambda _state, _entry: os.kill(os.getpid(), signal.SIGKILL)
    ledger.mark_sent(claim.entry)


@pytest.mark.parametrize(
    ("die", "state"), [(_die_after_marking, State.SENT), (_die_while_marking, State.INTENDED)]
)
def test_what_was_committed_outlives_a_killed_process(url: str, die: Any, state: State) -> None:
    process = PROCESSES.Process(target=die, args=(url,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    with Ledger(url) as ledger:
        found = ledger.get(replay())
        assert found is not None
        assert found.state is state


def test_a_path_is_a_sqlite_file_and_its_folder_is_made(tmp_path: Path) -> None:
    with Ledger(tmp_path / "deep" / "er" / "ledger.sqlite") as ledger:
        ledger.claim(replay(), "a")
    assert (tmp_path / "deep" / "er" / "ledger.sqlite").exists()


def test_a_password_is_not_in_the_location() -> None:
    assert "s3cret" not in Ledger("postgresql://u:s3cret@127.0.0.1:1/db").location


def test_a_ledger_in_postgresql_is_kept_by_either_driver(postgres_url: str) -> None:
    for number, driver in enumerate(("psycopg2", "psycopg")):
        url = postgres_url.replace("postgresql://", f"postgresql+{driver}://")
        with Ledger(url) as ledger:
            sent = ledger.mark_sent(ledger.claim(replay(f"r{number}"), "a").entry)
            assert ledger.confirm(sent, answer={"n": 1}, note="ok")[0].state is State.CONFIRMED
            assert len(list(ledger.entries())) == number + 1


def test_a_ledger_that_cannot_be_reached_says_what_to_check(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for url in (
        "postgresql://hog:s3cret@127.0.0.1:1/x",
        f"sqlite:///{tmp_path}/file/ledger.sqlite",
        f"sqlite:///{tmp_path}",
    ):
        with Ledger(url) as ledger, pytest.raises(LedgerUnavailable) as caught:
            ledger.claim(replay("r"), "a")
        assert "Check HOG_DAGSTER_LEDGER" in str(caught.value)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("sqlite://", "name a file"),
        ("mysql://h/db", "'mysql'"),
        ("://", "cannot be read"),
    ],
)
def test_a_url_no_ledger_can_be_kept_at_is_refused(wrong: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Ledger(wrong)


def test_the_default_ledger_is_named_by_the_environment(tmp_path: Path) -> None:
    assert default_url({"HOG_DAGSTER_LEDGER": "postgresql://h/db"}) == "postgresql://h/db"
    assert (
        default_url({"DAGSTER_HOME": str(tmp_path)})
        == f"sqlite:///{tmp_path}/hog_dagster_ledger.sqlite"
    )
    assert default_url({}).endswith("/.hog/hog_dagster_ledger.sqlite")
