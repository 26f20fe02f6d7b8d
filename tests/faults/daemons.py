"""Dagster's daemon over code locations whose sensor asks for a cell's order, in its own process."""

import json
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from dagster import DagsterRunStatus, RunsFilter

from tests.acting_kit import House
from tests.daemon_kit import IN_PROCESS, daemon, write_settings
from tests.faults.columns import Order
from tests.faults.processes import PROCESSES

__all__ = ["tick", "tick_together"]

SENSOR = "asking"
LOCATION = Path(__file__).parent / "location.py"
QUEUE = {"module": "dagster._core.run_coordinator", "class": "QueuedRunCoordinator"}


def tick(home: House, dagster_home: str, order: Order, *, turn: int = 0, kill_at: str = "") -> None:
    """One turn of a daemon that starts for it: the sensor's tick, and the run it asks for.

    Args:
        home: url, key and ledger, for the code location's environment.
        dagster_home: the instance's folder.
        order: what the sensor asks for.
        turn: how many turns there were before; each is later than the sensor's interval.
        kill_at: the point of the tick at which the daemon is killed with SIGKILL; "" for none.
    """
    write_settings(Path(dagster_home), IN_PROCESS)
    process = PROCESSES.Process(
        target=_turn, args=(_environment(home, order), dagster_home, ["only"], turn, kill_at)
    )
    process.start()
    process.join(100)
    assert process.exitcode == (-signal.SIGKILL if kill_at else 0), process.exitcode


def tick_together(home: House, dagster_home: str, order: Order, locations: Sequence[str]) -> int:
    """The sensor ticks in each of the code locations; then the runs that all of them asked for run
    at the same time, in processes of their own. How many there were.
    """
    write_settings(Path(dagster_home), {**IN_PROCESS, "run_coordinator": QUEUE})
    environment = _environment(home, order)
    ticking = PROCESSES.Process(
        target=_turn, args=(environment, dagster_home, list(locations), 0, "")
    )
    ticking.start()
    ticking.join(100)
    assert ticking.exitcode == 0, ticking.exitcode
    queued = home.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.QUEUED]))
    workers = [
        PROCESSES.Process(
            target=_work, args=(environment, dagster_home, list(locations), run.run_id)
        )
        for run in queued
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(100)
        assert worker.exitcode == 0, worker.exitcode
    return len(queued)


def _environment(home: House, order: Order) -> dict[str, str]:
    return {
        "FAULTS_TEST_ORDER": json.dumps(asdict(order)),
        "FAULTS_TEST_HOST": home.url,
        "FAULTS_TEST_KEY": home.api_key,
        "FAULTS_TEST_PROJECT": str(home.project_id),
        "FAULTS_TEST_LEDGER": home.ledger_url,
    }


def _turn(
    environment: Mapping[str, str],
    dagster_home: str,
    locations: Sequence[str],
    turn: int,
    kill_at: str,
) -> None:
    os.environ.update(environment)
    with daemon(Path(dagster_home), dict.fromkeys(locations, LOCATION), kept=True) as loop:
        loop.start(SENSOR)
        loop.turns = turn
        loop.tick_sensors({SENSOR: kill_at} if kill_at else {})


def _work(
    environment: Mapping[str, str], dagster_home: str, locations: Sequence[str], run_id: str
) -> None:
    os.environ.update(environment)
    with daemon(Path(dagster_home), dict.fromkeys(locations, LOCATION), kept=True) as loop:
        loop.launch(run_id)
