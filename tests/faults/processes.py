"""Dagster runs in processes of their own; some are killed with SIGKILL at a named point."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from typing import Any

import dagster as dg

from hog_dagster.ledger import Entry
from tests.acting_kit import House
from tests.faults.columns import Order, launch

__all__ = ["KILL_POINTS", "start", "wait_until", "watch"]

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.faults.daemons"])

#: Where a run kills itself: at each commit of the ledger, just before it and just after it. The
#: request's way over the wire is one more, killed from outside.
KILL_POINTS = (
    "claim, before commit",
    "claim, after commit",
    "sent, before commit",
    "sent, after commit",
    "outcome, before commit",
    "outcome, after commit",
)
_NAMES = {"claim": "claim", "mark_sent": "sent", "confirm": "outcome", "doubt": "outcome"}


def at_point(step: str, when: str) -> str:
    """The name of a point: a change of the ledger, and whether its commit was made."""
    return f"{_NAMES.get(step, step)}, {when} commit"


def watch(home: House, reached: Callable[[str], None]) -> None:
    """Have each point of the ledger's changes told."""

    def before(step: str, _entry: Entry) -> None:
        reached(at_point(step, "before"))

    def after(step: str, _entry: Entry) -> None:
        reached(at_point(step, "after"))

    home.watch(before, after)


def start(
    home: House, dagster_home: str, order: Order, kill_at: str = "", lock_wait: float = 30.0
) -> ForkServerProcess:
    """Launch a run of the order in a process of its own, with the instance of `dagster_home`.

    Args:
        home: url, key, ledger and timeouts.
        dagster_home: the instance's folder.
        order: what to do.
        kill_at: the point at which the process kills itself; "" for none.
        lock_wait: seconds it waits for a run that acts on the same workflow.
    """
    what = (home.url, home.api_key, home.project_id, home.ledger_url, home.read_timeout)
    process = PROCESSES.Process(target=_run, args=(what, dagster_home, order, kill_at, lock_wait))
    process.start()
    return process


def _run(
    what: tuple[Any, ...], dagster_home: str, order: Order, kill_at: str, lock_wait: float
) -> None:
    url, key, project, ledger, read_timeout = what

    def die(point: str) -> None:
        if point == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    with dg.DagsterInstance.from_config(dagster_home) as instance:
        home = House(url, key, project, instance, ledger, read_timeout)
        if kill_at:
            watch(home, die)
        launch(home, order, lock_wait_seconds=lock_wait)


def wait_until(true: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait for something that another process brings about.

    Raises:
        AssertionError: it did not come about in time.
    """
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "what was waited for did not come about"
        time.sleep(0.02)
