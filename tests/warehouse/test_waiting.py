"""A load that waits for others says so in the log of its run."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from hog_dagster.assets._workflow_tables import WORKFLOWS
from hog_dagster.resources import DuckDBWarehouse, WarehouseResource
from hog_dagster.warehouse import DuckDB
from hog_dagster.warehouse._loading import locks
from hog_dagster.warehouse._loading.locks import DatabaseLock, Patience

NOW = datetime(2026, 11, 21, tzinfo=UTC)
READER = """
import sys, duckdb
con = duckdb.connect(sys.argv[1], read_only=True)
print("open", flush=True)
sys.stdin.read()
"""


def load(warehouse: DuckDB) -> None:
    row = dict.fromkeys(WORKFLOWS.column_names)
    warehouse.replace(WORKFLOWS, [[{**row, "project_id": 1, "id": "w", "_loaded_at": NOW}]])


def test_a_run_that_waits_for_a_reader_says_for_whom_and_how_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(locks, "_SAID_AFTER", 0.2)
    file = tmp_path / "w.duckdb"
    with DuckDB(file) as warehouse:
        load(warehouse)

    @dg.asset
    def loaded(warehouse: WarehouseResource) -> None:
        with warehouse.open() as opened:
            assert isinstance(opened, DuckDB)
            load(opened)

    with (
        subprocess.Popen(
            [sys.executable, "-c", READER, str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as reader,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        assert reader.stdout is not None
        assert reader.stdin is not None
        assert reader.stdout.readline() == "open\n"
        stdin = reader.stdin

        def leave_once_it_is_said() -> None:
            for _ in range(1_000):
                if any("Waiting for" in one for one in messages(instance)):
                    break
                time.sleep(0.05)
            stdin.close()

        leaves = threading.Thread(target=leave_once_it_is_said)
        leaves.start()
        done = dg.materialize(
            [loaded], resources={"warehouse": DuckDBWarehouse(path=str(file))}, instance=instance
        )
        leaves.join()
        said = messages(instance)
    assert done.success
    waits = [one for one in said if "Waiting for" in one]
    assert waits
    assert f"{file} is held open by" in waits[0]
    assert str(reader.pid) in waits[0]


def messages(instance: dg.DagsterInstance) -> list[str]:
    """What the runs of the instance said."""
    runs = instance.get_run_ids()
    return [event.user_message for run in runs for event in instance.all_logs(run)]


def test_a_writer_that_waits_for_a_writer_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locks, "_SAID_AFTER", 0.2)
    lock, said = DatabaseLock(tmp_path / "w.duckdb"), list[str]()
    held, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with lock.held(5):
            held.set()
            leave.wait(5)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(5)

    def say(sentence: str) -> None:
        said.append(sentence)
        leave.set()

    with lock.held(5, say=say):
        pass
    holder.join()
    assert len(said) == 1
    assert "is being written by process" in said[0]


def test_a_wait_is_said_when_it_has_doubled(monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    now = [0.0]
    clock: Callable[[], float] = lambda: now[0]  # noqa: E731
    monkeypatch.setattr(time, "monotonic", clock)
    patience = Patience(lambda: "it is busy", said.append)
    for second in range(45):
        now[0] = float(second)
        patience.look()
    assert [one.split()[2] for one in said] == ["5", "10", "20", "40"]
