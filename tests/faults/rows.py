"""The faults of the matrix: each does its worst to a cell; whoever calls carries on from there."""

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import dagster as dg

from hog_dagster.actions._rerun_evidence import PATIENCE
from tests.faults.cells import Cell
from tests.faults.columns import GRACE, RERUNS
from tests.faults.daemons import tick, tick_together
from tests.faults.processes import KILL_POINTS, start, wait_until, watch

__all__ = ["ROWS", "SKEWS"]

Row = Callable[[Cell], None]

#: PostHog's own answer to a key that asks too often.
THROTTLED = {
    "type": "throttled_error",
    "code": "throttled",
    "detail": "Request was throttled. Expected available in 1 second.",
    "attr": None,
}
#: Responses of proxies -> how the table calls them.
PROXIES: Mapping[str, str] = {
    "html_403": "proxy: 403 HTML",
    "text_400": "proxy: 400 text",
    "gateway_throttled": "proxy: 429",
    "html_502": "proxy: 502 HTML",
    "redirect_303_same_host": "proxy: 303",
    "login_page_200": "proxy: 200 login page",
}


def connection_refused(cell: Cell) -> None:
    def pull_the_plug(point: str) -> None:
        if point == "sent, after commit":
            cell.home.watch()
            cell.sandbox.stop()

    watch(cell.home, pull_the_plug)
    cell.launch()
    cell.sandbox.start()
    assert not cell.open_actions()  # nothing was sent, and the ledger says so
    assert set(cell.effects().values()) == {0}


def cut_before_effect(cell: Cell) -> None:
    cell.fail(cut="before")
    cell.launch()


def cut_after_effect(cell: Cell) -> None:
    cell.fail(cut="after")
    cell.launch()


def error_after_effect(cell: Cell) -> None:
    cell.fail(status=500, effect=True)
    cell.launch()


def throttled(cell: Cell) -> None:
    """429 in the middle of a slice: at the second request, where there are several."""
    several = cell.column.name == "replay" or cell.column.name in RERUNS
    cell.fail(status=429, after=1 if several else 0, headers={"Retry-After": "1"}, body=THROTTLED)
    cell.launch()


def hang(cell: Cell) -> None:
    """The response takes longer than we wait; the effect comes after we have given up."""
    cell.home.read_timeout = 0.4
    fault = cell.fail(delay=1.2)
    for _ in range(5):  # on a busy machine the reads before it may take as long
        if not fault.hits:
            cell.launch()
    # Another request of the same run may have its effect first: wait for the one that hung.
    wait_until(lambda: any(one.fault for one in cell.sandbox.requests), 20)
    wait_until(lambda: any(cell.effects().values()), 20)
    cell.home.read_timeout = 20.0


def marker_late(cell: Cell) -> None:
    """What would show the effect is minutes late, and everybody asks again meanwhile."""
    cell.sandbox.world.marker_lag = cell.sandbox.world.rerun_lag = 400.0
    cell.fail(cut="after")
    cell.launch()
    for _ in range(3):
        cell.advance(150)
        cell.launch()


def answered_by_proxy(name: str, *, effect: bool) -> Row:
    def row(cell: Cell) -> None:
        cell.fail_as(name, effect=effect)
        cell.launch()

    return row


def killed_at(point: str) -> Row:
    def row(cell: Cell) -> None:
        process = start(cell.home, cell.dagster_home, cell.order, kill_at=point)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL, f"not killed at {point}"
        cell.check()
        cell.launch()  # Dagster thinks that the dead run still runs
        cell.run_monitoring_finds_the_dead()
        cell.launch()

    return row


def killed_in_flight(cell: Cell) -> None:
    """Killed while the request is on its way; nobody notices, until its lease is over."""
    fault = cell.fail(delay=1.0)
    process = start(cell.home, cell.dagster_home, cell.order)
    wait_until(lambda: fault.hits)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    cell.launch()
    wait_until(lambda: any(cell.effects().values()), 10)
    cell.leases_run_out()
    cell.launch()


def daemon_killed(cell: Cell) -> None:
    """The daemon is killed in the middle of a tick: before it launches the run it has made, and
    the next one after it launched it, before it remembered; the one after that carries on.
    """
    cell.fail(cut="after")
    for turn, point in enumerate(("RUN_CREATED", "RUN_LAUNCHED", "")):
        tick(cell.home, cell.dagster_home, cell.order, turn=turn, kill_at=point)
        cell.check()


def two_locations(cell: Cell) -> None:
    """The same sensor in two code locations. Ours sees that the other's run is under way; a user's
    asks as well, and both runs run at once.
    """
    asked = tick_together(cell.home, cell.dagster_home, cell.order, ["north", "south"])
    assert asked == (2 if cell.column.name in ("batch job", "schedule create") else 1)
    cell.check()


def two_operators(cell: Cell) -> None:
    """Operators who launch the same job at the same time; nobody thinks of a key."""
    whole = cell.order
    cell.order = replace(whole, key=None)
    processes = [start(cell.home, cell.dagster_home, cell.order) for _ in range(3)]
    for process in processes:
        process.join(90)
        assert process.exitcode == 0
    cell.check()
    cell.order = whole if cell.column.name != "batch job" else cell.order


def op_retry_times_run_retry(cell: Cell) -> None:
    """The op crashes at one point after the other, is retried in its run, and the run is retried
    after it; a batch job has no key but its run's.
    """
    points = [*KILL_POINTS, "outcome, before commit", "outcome, after commit"]

    def crash(point: str) -> None:
        if points and point == points[0]:
            points.pop(0)
            raise RuntimeError("the worker ran out of memory")

    cell.order = replace(cell.order, key=None)
    watch(cell.home, crash)
    cell.home.op_retry_policy = dg.RetryPolicy(max_retries=2)
    cell.home.again_of = cell.launch().run_id
    assert len(points) <= len(KILL_POINTS) - 1, "no op was retried"
    for _ in range(3):
        cell.advance(PATIENCE * GRACE + 60)
        cell.launch()
    cell.home.watch()
    cell.launch()


def clock_skew(cell: Cell) -> None:
    marker_late(cell)


def generation_changed(cell: Cell) -> None:
    """The server is upgraded between two ticks; the request had its effect before."""
    _change(cell, "after")


def generation_changed_before_effect(cell: Cell) -> None:
    """The server is upgraded between two ticks; the request never arrived."""
    _change(cell, "before")


def _change(cell: Cell, cut: str) -> None:
    other = "current" if cell.column.generation == "docs" else "docs"
    cell.fail(cut=cut)
    cell.launch()
    cell.serve_as(other)
    cell.launch()
    cell.advance(PATIENCE * GRACE + 60)
    cell.launch()
    if other == "docs":  # nobody downgrades for long
        cell.serve_as(cell.column.generation)


ROWS: Mapping[str, Row] = {
    "connection refused": connection_refused,
    "cut before effect": cut_before_effect,
    "cut after effect": cut_after_effect,
    "500 after effect": error_after_effect,
    "429 in the middle": throttled,
    "hang until timeout": hang,
    "marker late by minutes": marker_late,
    **{
        f"{said}, {when} effect": answered_by_proxy(name, effect=when == "after")
        for name, said in PROXIES.items()
        for when in ("before", "after")
    },
    **{f"kill -9, {point}": killed_at(point) for point in KILL_POINTS},
    "kill -9, request in flight": killed_in_flight,
    "kill -9 of the daemon": daemon_killed,
    "same sensor in two locations": two_locations,
    "two operators": two_operators,
    "op retry x run retry": op_retry_times_run_retry,
    "clock skew": clock_skew,
    "server upgraded, after effect": generation_changed,
    "server upgraded, before effect": generation_changed_before_effect,
}

#: Rows that need the server's clock to be wrong from the start.
SKEWS: Mapping[str, timedelta] = {"clock skew": timedelta(hours=-7)}
