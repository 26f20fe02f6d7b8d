"""Dagster runs in processes of their own; some are killed with SIGKILL at a named point."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from typing import Any

import dagster as dg

from hog_dagster.actions._protocol import Step
from tests.acting_kit import House
from tests.acts.columns import Order, launch

__all__ = ["KILL_POINTS", "start", "wait_until"]

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.acts.daemons"])

#: Where a run kills itself; the request's way over the wire is a sixth, killed from outside.
KILL_POINTS = (
    Step.BEFORE_CLAIM,
    Step.AFTER_CLAIM,
    Step.DURING_POST,
    Step.AFTER_ANSWER,
    Step.BEFORE_COMMIT,
)


def start(
    home: House, dagster_home: str, order: Order, kill_at: str = "", lock_wait: float = 30.0
) -> ForkServerProcess:
    """Launch a run of the order in a process of its own, with the instance of `dagster_home`.

    Args:
        home: url, key, ledger and timeouts.
        dagster_home: the instance's folder.
        order: what to do.
        kill_at: the step at which the process kills itself; "" for none.
        lock_wait: seconds it waits for a run that acts on the same workflow.
    """
    what = (home.url, home.api_key, home.project_id, home.ledger_url, home.read_timeout)
    process = PROCESSES.Process(
        target=_run, args=(what, dagster_home, order, str(kill_at), lock_wait)
    )
    process.start()
    return process


def _run(
    what: tuple[Any, ...], dagster_home: str, order: Order, kill_at: str, lock_wait: float
) -> None:
    url, key, project, ledger, read_timeout = what

    def die(step: Step, _workflow: str, _subject: str) -> None:
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    with dg.DagsterInstance.from_config(dagster_home) as instance:
        home = House(url, key, project, instance, ledger, read_timeout, on_step=die)
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
