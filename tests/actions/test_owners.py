"""Who acts when a command acts, and how others see whether it still runs."""

import os
import time
from pathlib import Path

import pytest

from hog_dagster.actions import _owners
from hog_dagster.actions._owners import command_owner, command_runs, either


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_owners.tempfile, "gettempdir", lambda: str(tmp_path))
    return _owners._folder()


def test_a_command_runs_until_its_block_ends() -> None:
    with command_owner() as owner:
        assert command_runs(owner) is True
    assert command_runs(owner) is False


@pytest.mark.parametrize("owner", ["run-1", "cli:ann:short", "cli:ann:0123456789ab"])
def test_of_anybody_else_it_is_not_known(owner: str) -> None:
    assert command_runs(owner) is None


def test_the_first_who_knows_is_believed() -> None:
    asked: list[str] = []

    def nobody(owner: str) -> None:
        asked.append(owner)

    assert either(nobody, lambda _: False, lambda _: True)("x") is False
    assert either(nobody)("y") is None
    assert asked == ["x", "y"]


def test_locks_of_commands_that_ended_long_ago_are_removed(folder: Path) -> None:
    with command_owner():
        pass
    (old,) = folder.glob("*.lock")
    long_ago = time.time() - 3 * 86_400
    os.utime(old, (long_ago, long_ago))
    with command_owner() as owner:
        assert [path.stem for path in folder.glob("*.lock")] == [owner.rpartition(":")[2]]


def test_a_folder_of_another_user_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    monkeypatch.setattr(_owners, "_folder", lambda: folder)
    monkeypatch.setattr(_owners.os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(PermissionError, match="belongs to another user"), command_owner():
        pass


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(_owners.getpass, "getuser", nameless)
    with command_owner() as owner:
        assert owner.startswith(f"cli:{os.getuid()}:")
