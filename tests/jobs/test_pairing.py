"""A ledger that was deleted, restored or exchanged: nothing is sent by way of it."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from hog_dagster.ledger import Action, Ledger
from tests.acting_kit import House, effects, house


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, "current") as home:
        home.sandbox.world.add_person()
        yield home


def send(home: House, key: str, **config: object) -> str:
    ran = home.batch("Newsletter", key=key, skip_if_running=False, **config)
    return ran.value["outcome"] if ran.success else ran.failure


def test_nothing_is_sent_with_a_ledger_that_this_instance_did_not_use_before(
    home: House, tmp_path: Path
) -> None:
    home.sandbox.world.add_workflow("Newsletter", trigger="batch")
    assert send(home, "1") == "confirmed"
    home.ledger_url = f"sqlite:///{tmp_path}/second.sqlite"
    said = send(home, "1")
    assert "is not the one that this Dagster instance used for this project before" in said
    adopt = f"ledger --url {home.ledger_url} adopt --project 1 --host {home.url}"
    assert f"hog-dagster {adopt}" in said
    assert len(home.sandbox.world.batch_sends) == 1


def test_nothing_is_sent_with_a_ledger_that_was_restored_from_a_backup(
    home: House, tmp_path: Path
) -> None:
    home.sandbox.world.add_workflow("Newsletter", trigger="batch")
    send(home, "1")
    shutil.copy(tmp_path / "ledger.sqlite", tmp_path / "backup.sqlite")
    assert send(home, "2") == "confirmed"
    shutil.copy(tmp_path / "backup.sqlite", tmp_path / "ledger.sqlite")
    assert "it was restored from a backup or copied" in send(home, "2")
    assert len(home.sandbox.world.batch_sends) == 2


def test_a_dry_run_only_warns_of_another_ledger(home: House, tmp_path: Path) -> None:
    home.sandbox.world.add_workflow("Newsletter", trigger="batch")
    send(home, "1")
    home.ledger_url = f"sqlite:///{tmp_path}/second.sqlite"
    assert send(home, "2", dry_run=True) == "dry_run"
    home.ledger_url = f"sqlite:///{tmp_path}/ledger.sqlite"
    assert send(home, "2") == "confirmed"


def test_reconciling_writes_nothing_to_a_ledger_that_is_refused(
    home: House, tmp_path: Path
) -> None:
    """Its changes would raise the restored ledger's number to the one that is remembered."""
    workflow = home.sandbox.world.add_workflow("Newsletter", trigger="batch")["id"]
    send(home, "1")
    with Ledger(home.ledger_url, lease=timedelta(0)) as book:
        abandoned = [Action(home.project_id, "batch_send", workflow, f"lost {n}") for n in range(9)]
        book.claim_all(abandoned, "a run that is gone")
    shutil.copy(tmp_path / "ledger.sqlite", tmp_path / "backup.sqlite")
    assert send(home, "2") == "confirmed"
    shutil.copy(tmp_path / "backup.sqlite", tmp_path / "ledger.sqlite")
    with home.book() as book:
        before = book.sequence()
    assert not home.reconcile().success
    with home.book() as book:
        assert book.sequence() == before
    assert "it was restored from a backup or copied" in send(home, "2")
    assert len(home.sandbox.world.batch_sends) == 2


def test_a_replay_too_is_refused(home: House, tmp_path: Path) -> None:
    workflow = home.sandbox.world.add_workflow("Onboarding")["id"]
    runs = [home.sandbox.world.add_run(workflow, "failed") for _ in range(2)]
    home.replay(workflow, runs[:1])
    home.ledger_url = f"sqlite:///{tmp_path}/second.sqlite"
    assert not home.replay(workflow, runs).success
    home.sandbox.clock.advance(60)
    assert effects(home.sandbox) == {runs[0].invocation_id: 1}
