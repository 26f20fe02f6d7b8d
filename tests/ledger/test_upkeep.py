"""Pairing with a Dagster instance, export, pruning."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from hog_dagster.jobs._pairing import known_pairing, pairing_refusal, remember_pairing
from hog_dagster.ledger import (
    LEDGER_FIELDS,
    Action,
    Ledger,
    LedgerError,
    State,
    check_pairing,
    pairing_of,
)
from tests.ledger.kit import LOWER, NOON, StoppedClock, in_state, replay, sent

HOST = "https://us.posthog.com"


def test_a_ledger_keeps_its_id_and_another_has_another(url: str, tmp_path: Path) -> None:
    with Ledger(url) as ledger:
        first = ledger.id
    with Ledger(url) as ledger, Ledger(tmp_path / "other.sqlite") as other:
        assert ledger.id == first
        assert other.id != first


def test_a_ledger_that_was_used_before_is_accepted(ledger: Ledger) -> None:
    assert check_pairing(ledger, None) is None
    known = pairing_of(ledger)
    assert check_pairing(ledger, known) is None
    sent(ledger, replay())
    assert check_pairing(ledger, known) is None
    assert set(known) == {"ledger", "sequence", "change", "location"}
    assert check_pairing(ledger, {**known, "sequence": "odd"}) is None


def test_a_ledger_that_was_deleted_or_restored_or_is_another_is_refused(tmp_path: Path) -> None:
    path, backup = tmp_path / "ledger.sqlite", tmp_path / "backup.sqlite"
    with Ledger(path) as ledger:
        sent(ledger, replay("run-1"))
    shutil.copy(path, backup)
    with Ledger(path) as ledger:
        sent(ledger, replay("run-2"))
        known = pairing_of(ledger)
    with Ledger(tmp_path / "second.sqlite") as second:
        why = check_pairing(second, known)
        assert why is not None
        assert f"before, at sqlite:///{path}: it was deleted, or it is a second one" in why
        assert "hog-dagster ledger adopt" in why
    for file in tmp_path.glob("ledger.sqlite*"):
        file.unlink()
    with Ledger(path) as made_anew:
        assert "deleted" in str(check_pairing(made_anew, known))
    for file in tmp_path.glob("ledger.sqlite*"):
        file.unlink()
    shutil.copy(backup, path)
    with Ledger(path) as restored:
        why = str(check_pairing(restored, known))
        assert "restored from a backup" in why
        assert "hog-dagster ledger adopt" in why


@pytest.mark.parametrize("operator", ["resolves", "sends again"])
def test_a_restored_ledger_is_refused_however_often_it_changed_since(
    tmp_path: Path, operator: str
) -> None:
    path, backup = tmp_path / "ledger.sqlite", tmp_path / "backup.sqlite"
    with Ledger(path) as ledger:
        sent(ledger, replay("run-1"))
    shutil.copy(path, backup)
    with Ledger(path) as ledger:
        sent(ledger, replay("run-2"))
        known = pairing_of(ledger)
    for file in tmp_path.glob("ledger.sqlite*"):
        file.unlink()
    shutil.copy(backup, path)
    with Ledger(path) as restored:
        if operator == "resolves":
            for outcome in ("confirmed", "not-sent") * 3:
                restored.resolve(1, outcome, reason="looked", who="me", force=True)
        else:
            sent(restored, replay("run-2"))
        assert restored.sequence() >= int(known["sequence"])
        assert "restored from a backup and changed since" in str(check_pairing(restored, known))
        assert check_pairing(restored, pairing_of(restored)) is None


def test_a_ledger_whose_remembered_change_was_pruned_is_accepted(tmp_path: Path) -> None:
    clock = StoppedClock()
    with Ledger(tmp_path / "ledger.sqlite", clock=clock) as ledger:
        ledger.confirm(sent(ledger, replay("run-1")), note="queued")
        known = pairing_of(ledger)
        clock.move(days=100)
        assert ledger.prune(clock.now() - timedelta(days=91)) == 1
        assert ledger.change() is None
        assert check_pairing(ledger, known) is None


def test_a_dagster_instance_remembers_the_ledger_of_each_project(tmp_path: Path) -> None:
    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as instance,
        Ledger(tmp_path / "one.sqlite") as one,
        Ledger(tmp_path / "two.sqlite") as two,
    ):
        assert known_pairing(instance, HOST, 1) is None
        assert pairing_refusal(instance, one, HOST, 1) is None
        remember_pairing(instance, one, f"{HOST}/", 1)
        assert pairing_refusal(instance, one, HOST, 1) is None
        assert "second one" in str(pairing_refusal(instance, two, HOST, 1))
        assert pairing_refusal(instance, two, HOST, 2) is None
        assert pairing_refusal(instance, two, "https://eu.posthog.com", 1) is None
        remember_pairing(instance, two, HOST, 1, adopt=True)
        assert pairing_refusal(instance, two, HOST, 1) is None
        assert "second one" in str(pairing_refusal(instance, one, HOST, 1))


def test_an_older_number_of_changes_is_not_remembered_over_a_newer_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        with Ledger(path) as ledger:
            assert ledger.id
        shutil.copy(path, tmp_path / "backup.sqlite")
        with Ledger(path) as ledger:
            sent(ledger, replay())
            remember_pairing(instance, ledger, HOST, 1)
        with Ledger(tmp_path / "backup.sqlite") as restored:
            remember_pairing(instance, restored, HOST, 1)
            assert "restored" in str(pairing_refusal(instance, restored, HOST, 1))
            remember_pairing(instance, restored, HOST, 1, adopt=True)
            assert pairing_refusal(instance, restored, HOST, 1) is None


def test_an_export_is_json_with_each_field_and_the_history(ledger: Ledger) -> None:
    for number, state in enumerate(State):
        in_state(ledger, state, replay(f"run-{number}", host="h"))
    rows = [json.loads(json.dumps(row)) for row in ledger.export()]
    assert [row["state"] for row in rows] == [str(state) for state in State]
    fields = {name for name, _, _ in LEDGER_FIELDS}
    assert all(set(row) == fields | {"version", "history"} for row in rows)
    assert [step["state"] for step in rows[-1]["history"]] == ["claimed", "sent", "refused"]


def test_pruning_forgets_settled_replays_and_reruns_only(url: str) -> None:
    clock = StoppedClock()
    with Ledger(url, clock=clock) as ledger:
        for state in State:
            in_state(ledger, state, replay(f"run-{state}"))
            in_state(ledger, state, Action(1, "batch_send", LOWER, f"key-{state}"))
        clock.move(days=100)
        in_state(ledger, State.CONFIRMED, replay("recent"))
        before = NOON + timedelta(days=1)
        sequence = ledger.sequence()
        assert ledger.prune(before) == 3
        assert ledger.sequence() > sequence
        left = {entry.subject for entry in ledger.entries(kind="replay")}
        assert left == {"run-claimed", "run-sent", "run-in_doubt", "recent"}
        assert len(list(ledger.entries(kind="batch_send"))) == len(State)
        assert {step["state"] for row in ledger.export() for step in row["history"]}
        assert ledger.history(1)
        assert ledger.prune(before) == 0


def test_what_posthog_may_still_show_is_not_pruned(url: str) -> None:
    clock = StoppedClock()
    with Ledger(url, clock=clock) as ledger:
        in_state(ledger, State.CONFIRMED, replay())
        clock.move(days=90)
        with pytest.raises(LedgerError, match="90 days"):
            ledger.prune(NOON + timedelta(seconds=1))
        assert ledger.prune(NOON) == 0


def test_a_number_is_never_given_twice_after_pruning(url: str) -> None:
    clock = StoppedClock()
    with Ledger(url, clock=clock) as ledger:
        last = in_state(ledger, State.CONFIRMED, replay("run-1"))
        clock.move(days=100)
        ledger.prune(NOON + timedelta(days=1))
        assert ledger.claim(replay("run-2"), "a").entry.id > last.id
