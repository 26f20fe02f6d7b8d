"""Several processes and threads on one ledger: claims, setting up, crashes around commits."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from filelock import FileLock

from hog_dagster.ledger import Action, Entry, Ledger, LedgerUnavailable, State, _database
from hog_dagster.ledger._database import SETUP_LOCK
from tests.ledger.kit import LOWER, NOON, PROCESSES, replay

pytestmark = pytest.mark.integration

#: Long enough for another thread to get somewhere it must not, in seconds.
AWHILE = 0.4


def _claim_many(url: str, owner: str, subjects: list[str], start: Any, results: Any) -> None:
    start.wait(60)
    with Ledger(url) as ledger:
        granted = []
        for subject in subjects:
            claim = ledger.claim(Action(1, "replay", LOWER, subject), owner)
            if claim.granted:
                ledger.confirm(*ledger.mark_sent([claim.entry], server_time=None), note="queued")
                granted.append(subject)
        results.put((ledger.id, granted))


def test_processes_that_open_and_claim_at_once_get_each_action_once(url: str) -> None:
    subjects = [f"run-{n}" for n in range(40)]
    results, start = PROCESSES.Queue(), PROCESSES.Event()
    processes = [
        PROCESSES.Process(target=_claim_many, args=(url, f"p{n}", subjects, start, results))
        for n in range(4)
    ]
    for process in processes:
        process.start()
    start.set()
    answers = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert len({ledger_id for ledger_id, _ in answers}) == 1
    assert sorted(name for _, names in answers for name in names) == sorted(subjects)


def in_thread(do: Callable[[], Any]) -> tuple[threading.Thread, threading.Event]:
    """A thread that does something, and an event set when it is done."""
    done = threading.Event()

    def run() -> None:
        do()
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, done


def test_a_writer_waits_for_the_writer_before_it(url: str) -> None:
    with Ledger(url) as one, Ledger(url) as two:
        assert one.claim(replay("before"), "a").granted
        with one._db.write():  # has read and not yet written
            thread, done = in_thread(lambda: two.claim(replay(), "b"))
            assert not done.wait(AWHILE)
        thread.join(60)
        assert done.is_set()
        assert one.claim(replay(), "a").entry.owner == "b"


def test_a_writer_does_not_wait_for_readers_nor_a_reader_for_a_writer(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_database, "BUSY_SECONDS", 0.5)
    with Ledger(url) as one, Ledger(url) as two:
        one.claim_all([replay(f"run-{n}") for n in range(3)], "a")
        reading = one.entries()
        next(reading)
        assert two.claim(replay("while it is read"), "b").granted
        assert len(list(reading)) == 2
        with one._db.write():
            assert two.get(replay("run-1")) is not None
            with Ledger(url) as three:
                assert three.get(replay("run-1")) is not None


def test_a_writer_that_waits_too_long_for_another_says_so(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_database, "BUSY_SECONDS", 0.2)
    with Ledger(url) as one, Ledger(url) as two:
        one.claim(replay("before"), "a")
        with one._db.write(), pytest.raises(LedgerUnavailable, match="Nothing is sent"):
            two.claim(replay(), "b")
        assert two.claim(replay(), "b").granted


def test_a_process_suspended_within_a_transaction_keeps_others_out_for_a_while_only(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_database, "BUSY_SECONDS", 0.2)
    with Ledger(postgres_url) as suspended, Ledger(postgres_url) as other:
        claim = suspended.claim(replay(), "a")

        def suspend(*_: object) -> None:
            deadline = time.monotonic() + 20
            while True:
                try:
                    assert other.claim(replay("another"), "b").granted
                    return
                except LedgerUnavailable:
                    assert time.monotonic() < deadline

        suspended.observer = suspend
        with pytest.raises(LedgerUnavailable):
            suspended.mark_sent([claim.entry], server_time=None)
        assert other.get(replay()) == claim.entry


def test_one_process_at_a_time_makes_the_tables_on_postgresql(postgres_url: str) -> None:
    with Ledger(postgres_url) as ledger, psycopg.connect(postgres_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (SETUP_LOCK,))
        thread, done = in_thread(lambda: ledger.claim(replay(), "a"))
        assert not done.wait(AWHILE)
        other.rollback()
        thread.join(60)
        assert done.is_set()


def test_one_process_at_a_time_makes_the_tables_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        with FileLock(f"{path}.setup.lock"):
            thread, done = in_thread(lambda: ledger.claim(replay(), "a"))
            assert not done.wait(AWHILE)
        thread.join(60)
        assert done.is_set()


def _kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die(url: str, method: str, when: str) -> None:
    """Do all that leads to a confirmed action, and die around the commit of one method."""
    with Ledger(url) as ledger:

        def kill(step: str, _: Entry) -> None:
            if step == method:
                _kill()

        setattr(ledger, when, kill)
        claim = ledger.claim(replay(), "killed")
        marked = ledger.mark_sent([claim.entry], server_time=NOON)
        ledger.confirm(*marked, note="queued")


@pytest.mark.parametrize(
    ("method", "before", "after"),
    [
        ("claim", None, State.CLAIMED),
        ("mark_sent", State.CLAIMED, State.SENT),
        ("confirm", State.SENT, State.CONFIRMED),
    ],
)
def test_what_was_committed_outlives_a_killed_process_and_nothing_else_does(
    url: str, method: str, before: State | None, after: State
) -> None:
    for when, state in (("observer", before), ("after_commit", after)):
        process = PROCESSES.Process(target=_die, args=(url, method, when))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        with Ledger(url) as ledger:
            found = ledger.get(replay())
            assert (found.state if found else None) is state
            if found is not None and when == "observer":
                if found.state is not State.CLAIMED:
                    ledger.resolve(found.id, "not-sent", reason="again", who="test", force=True)
                else:
                    ledger.release(found, note="again")
