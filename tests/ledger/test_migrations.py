"""Ledgers of older and newer versions. The files were made by the code of commit caccfa8."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from hog_dagster.ledger import (
    Action,
    ClaimStatus,
    Ledger,
    LedgerError,
    LedgerUnavailable,
    State,
    _migrations,
)
from hog_dagster.ledger._keys import ID_LIMIT
from tests.ledger.kit import LOWER, NOON, PROCESSES, UPPER, replay

FILES = Path(__file__).parent / "files"
RUN = "0196bbbb-0000-0000-0000-00000000000a"
#: Number -> kind, subject and state after the upgrade.
UPGRADED = {
    1: ("replay", "run-claimed", "claimed"),
    2: ("replay", "run-sent", "sent"),
    3: ("replay", "run-doubt", "in_doubt"),
    4: ("batch_send", "2026-11-20T09:00:00Z", "confirmed"),
    5: ("replay", "run-refused", "refused"),
    6: ("replay", "run-released", "claimed"),
    7: ("schedule_create", "weekly", "confirmed"),
    8: ("rerun", f"{RUN}#1 (second spelling, action 8)", "in_doubt"),
    9: ("rerun", f"{RUN}#1", "confirmed"),
    10: ("rerun", f"{RUN}#1 (second spelling, action 10)", "claimed"),
    11: ("replay_all", "dagster-run-1@17", "confirmed"),
    12: ("batch_send", "summer", "claimed"),
}


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a ledger of version 1."""
    if request.param == "sqlite":
        shutil.copy(FILES / "version_1.sqlite", tmp_path / "ledger.sqlite")
        return f"sqlite:///{tmp_path}/ledger.sqlite"
    url = request.getfixturevalue("postgres_url")
    with psycopg.connect(url) as connection:
        connection.execute((FILES / "version_1.postgresql.sql").read_bytes())
    return url


@pytest.fixture
def engine(old: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(old.replace("postgresql:", "postgresql+psycopg:"))
    yield engine
    engine.dispose()


def _rows(engine: sa.Engine, table: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(sa.text(f"SELECT * FROM {table} ORDER BY id")).mappings())


def test_a_ledger_of_version_1_is_upgraded_in_place_and_loses_nothing(
    old: str, engine: sa.Engine
) -> None:
    before, steps = _rows(engine, "hog_dagster_acts"), _rows(engine, "hog_dagster_act_history")
    with Ledger(old) as ledger:
        entries = {entry.id: entry for entry in ledger.entries()}
        assert {n: (e.kind, e.subject, e.state) for n, e in entries.items()} == UPGRADED
        assert {entry.target_id for entry in entries.values()} == {LOWER}
        assert {entry.target_type for entry in entries.values()} == {"workflow"}
        for row in before:
            entry = entries[row["id"]]
            assert (entry.version, entry.attempts, entry.owner, entry.remote_id) == (
                row["version"],
                row["attempts"],
                row["owner"],
                row["remote_id"],
            )
            assert entry.note.startswith(row["note"])
        assert entries[2].server_sent_at is not None
        assert entries[2].server_sent_at.replace(year=2031, month=5, day=1, hour=12) == NOON
        assert entries[4].response["status"] == "queued"
        assert entries[4].request == {"audience": 3}
        assert entries[5].response == {"status": 400, "detail": "Run cannot be replayed."}
        assert entries[3].response is None
        assert "[the same as action 9, by the id 01968C1E" in entries[8].note
        after = [step for number in entries for step in ledger.history(number)]
        assert len(after) == len(steps) == 32
        assert [step["state"] for step in ledger.history(12)] == [
            "claimed",
            "sent",
            "in_doubt",
            "claimed",
        ]
        assert ledger.holder(f"workflow:1:{UPPER}") == "dagster-run-1"


def test_an_upgraded_ledger_goes_on_as_any_other(old: str) -> None:
    with Ledger(old) as ledger:
        assert ledger.claim(Action(1, "rerun", UPPER, f"{RUN.upper()}#1"), "b").status is (
            ClaimStatus.CONFIRMED
        )
        assert ledger.claim(replay("run-doubt"), "b").status is ClaimStatus.IN_DOUBT
        fresh = ledger.claim(replay("run-new"), "b")
        assert fresh.entry.id == 13
        ledger.confirm(*ledger.mark_sent([fresh.entry], server_time=None), note="queued")
        assert len(ledger.history(13)) == 3
        before = (ledger.id, ledger.sequence())
    with Ledger(old) as again:
        assert (again.id, again.sequence()) == before
        assert len(list(again.entries())) == 13


def _shape(url: str) -> dict[str, Any]:
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    inspector = sa.inspect(engine)
    shape = {
        table: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)],
            inspector.get_unique_constraints(table),
            inspector.get_indexes(table),
            inspector.get_pk_constraint(table)["constrained_columns"],
        )
        for table in inspector.get_table_names()
        if table.startswith("hog_dagster")
    }
    engine.dispose()
    return shape


def test_an_upgraded_ledger_has_the_tables_of_a_new_one(
    old: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with Ledger(old) as ledger:
        assert ledger.sequence() == 1
    upgraded = _shape(old)
    new = f"sqlite:///{tmp_path}/new.sqlite"
    if old.startswith("postgresql"):
        new = old
        with psycopg.connect(old) as connection:
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    with Ledger(new) as ledger:
        assert ledger.sequence() == 1
    assert _shape(new) == upgraded
    assert len(upgraded) == 5


def test_a_second_spelling_of_a_long_subject_is_cut_to_what_a_key_may_have() -> None:
    names = ("kind", "version", "attempts", "owner", "lease_until", "state", "request", "answer")
    times = ("created_at", "updated_at", "sent_at", "server_sent_at", "settled_at")
    row: dict[str, Any] = dict.fromkeys((*names, *times, "remote_id"))
    row |= {"id": 8, "project_id": 1, "kind": "rerun", "note": "", "workflow_id": LOWER}
    row["subject"] = "x" * ID_LIMIT
    subject = _migrations._action(row, {8: 9})["subject"]
    assert len(subject) == ID_LIMIT
    assert subject.endswith("x (second spelling, action 8)")


def test_a_process_that_still_runs_the_old_code_cannot_begin_a_second_ledger(
    old: str, engine: sa.Engine
) -> None:
    with Ledger(old) as ledger:
        assert ledger.id
    assert sa.inspect(engine).has_table("hog_dagster_acts")  # so the old code makes none
    insert = "INSERT INTO hog_dagster_acts (id, kind) VALUES (1, 'replay')"
    with pytest.raises(DBAPIError), engine.begin() as connection:
        connection.execute(sa.text(insert))


def _open(url: str, start: Any, results: Any) -> None:
    start.wait(60)
    with Ledger(url) as ledger:
        results.put((ledger.id, ledger.sequence(), len(list(ledger.entries()))))


def test_processes_that_open_an_old_ledger_at_once_upgrade_it_once(old: str) -> None:
    results, start = PROCESSES.Queue(), PROCESSES.Event()
    processes = [PROCESSES.Process(target=_open, args=(old, start, results)) for _ in range(3)]
    for process in processes:
        process.start()
    start.set()
    answers = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(60)
    assert len(answers) == 1
    assert answers.pop()[1:] == (1, 12)


def test_an_upgrade_that_is_cut_off_leaves_the_old_ledger_and_is_done_again(
    old: str, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _rows(engine, "hog_dagster_acts")

    def crash(*_: object) -> None:
        raise RuntimeError("crash")

    with monkeypatch.context() as patch:
        patch.setattr(_migrations, "_say_version", crash)
        with Ledger(old) as ledger, pytest.raises(RuntimeError, match="crash"):
            ledger.claim(replay(), "a")
    assert _rows(engine, "hog_dagster_acts") == before
    assert not sa.inspect(engine).has_table("hog_dagster_actions")
    with Ledger(old) as ledger:
        assert len(list(ledger.entries())) == 12


def test_a_ledger_of_a_newer_version_is_refused_in_one_sentence(url: str) -> None:
    with Ledger(url) as ledger:
        ledger.claim(replay(), "a")
        engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            (version,) = connection.scalars(sa.text("SELECT version FROM hog_dagster_ledger"))
            assert version == 2
            connection.execute(sa.text("UPDATE hog_dagster_ledger SET version = 3"))
        with pytest.raises(LedgerError, match="replaced or upgraded"):
            ledger.claim(replay("another"), "a")
    with Ledger(url) as ledger:
        with pytest.raises(LedgerError, match=r"is of version 3, .* install the newer hog-dagster"):
            ledger.claim(replay(), "a")
        with pytest.raises(LedgerError, match="version 3"):
            list(ledger.entries())
    engine.dispose()


def test_a_ledger_that_lost_its_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.claim(replay(), "a")
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM hog_dagster_ledger")
    with Ledger(path) as ledger, pytest.raises(LedgerError, match="restore it from a backup"):
        ledger.claim(replay("another"), "a")


def test_a_ledger_without_one_of_its_tables_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.claim(replay(), "a")
        with sqlite3.connect(path) as connection:
            connection.execute("DROP TABLE hog_dagster_action_history")
        with pytest.raises(LedgerUnavailable, match="no such table"):
            ledger.claim(replay("another"), "a")
        assert [entry.state for entry in ledger.entries()] == [State.CLAIMED]
