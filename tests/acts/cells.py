"""One cell of the fault matrix: an act, a fault, and what counts in the end."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from hog_dagster.sandbox import Sandbox
from tests.acting_kit import House, Ran, free_port, house_of
from tests.acts.columns import COLUMNS, GRACE, Column, Order, launch
from tests.daemon_kit import IN_PROCESS, write_settings

__all__ = ["Cell", "Result", "cell"]

#: Launches after the fault, each a grace time later, until everything is settled.
ROUNDS = 8


@dataclass
class Result:
    """How a cell ended."""

    row: str
    column: str
    effects: list[int]
    posts: int
    outcome: str
    remedy: bool = False


@dataclass
class Cell:
    """An order on a sandbox, with a Dagster instance and a ledger on disk."""

    column: Column
    sandbox: Sandbox
    home: House
    folder: Path
    order: Order
    launches: list[Ran] = field(default_factory=list)
    #: Requests that acted on the servers before this one.
    posts_before: int = 0

    @property
    def dagster_home(self) -> str:
        return str(self.folder)

    def launch(self, **config: Any) -> Ran:
        """A run of the order, in this process; nobody is acted on twice by it."""
        ran = launch(self.home, self.order, **config)
        self.launches.append(ran)
        self.check()
        return ran

    def fail(self, **fault: Any) -> Any:
        """Order a fault for the request that acts."""
        return self.sandbox.fail("POST", self.column.post, **fault)

    def effects(self) -> dict[str, int]:
        return self.column.effects(self.sandbox, self.order)

    def check(self) -> None:
        """Nobody was acted on twice."""
        assert max(self.effects().values()) <= 1, f"acted twice: {self.effects()}"

    def open_acts(self) -> list[Any]:
        with self.home.book() as book:
            return [e for e in book.entries(target_id=self.order.workflow) if e.open]

    def all_done(self) -> bool:
        return set(self.effects().values()) == {1} and not self.open_acts()

    def advance(self, seconds: float) -> None:
        """Time passes in PostHog."""
        self.sandbox.clock.advance(seconds)

    def run_monitoring_finds_the_dead(self) -> None:
        """Dagster notices that runs whose process died are not running."""
        under_way = [DagsterRunStatus.STARTED, DagsterRunStatus.STARTING]
        for run in self.home.instance.get_runs(RunsFilter(statuses=under_way)):
            self.home.instance.report_run_failed(run)

    def leases_run_out(self) -> None:
        """A quarter of an hour passes here and nobody noticed that a run died."""
        path = self.home.ledger_url.removeprefix("sqlite:///")
        long_ago = "2000-01-01 00:00:00.000000"
        with sqlite3.connect(path, timeout=30) as book:
            book.execute("UPDATE hog_dagster_actions SET lease_until = ?", (long_ago,))
            book.execute("UPDATE hog_dagster_locks SET until = ?", (long_ago,))

    def serve_as(self, generation: Any) -> None:
        """The server is replaced by one of another generation, with the same data."""
        old = self.sandbox
        self.posts_before = self.posts()
        port = int(old.url.rsplit(":", 1)[1])
        old.stop()
        new = Sandbox(generation, populate=False, limits=False, port=port)
        new.site.clock, new.site.world = old.site.clock, old.site.world
        self.sandbox = self.home.world_of = new.start()

    def carry_on(self) -> None:
        """Launch again, a grace time apart, as a sensor or an operator would, until all is done."""
        for turn in range(ROUNDS):
            if self.all_done() or (turn > 1 and self.remedy_is_named()):
                return
            self.advance(GRACE + 60)
            self.launch()

    def result(self, row: str) -> Result:
        """How it ended: once each, or in doubt with a remedy named."""
        effects = sorted(self.effects().values())
        posts = self.posts()
        if self.all_done():
            return Result(row, self.column.name, effects, posts, "once")
        return Result(row, self.column.name, effects, posts, "in doubt", self.remedy_is_named())

    def posts(self) -> int:
        """Requests that acted, or tried to."""
        return self.posts_before + self.sandbox.count("POST", self.column.post)

    def remedy_is_named(self) -> bool:
        """Every act that is still in doubt says what an operator can do."""
        in_doubt = self.open_acts()
        return bool(in_doubt) and all("ledger resolve" in entry.note for entry in in_doubt)


@contextmanager
def cell(
    column: str, folder: Path, *, skew: timedelta = timedelta(0), n: int = 3
) -> Iterator[Cell]:
    """A fresh sandbox, instance and order; a `skew` moves the server's clock away from ours."""
    kind = COLUMNS[column]
    write_settings(folder, IN_PROCESS)
    sandbox = Sandbox(
        kind.generation,
        populate=False,
        limits=False,
        marker_lag=0.0,
        now=datetime.now(UTC) + skew,
        port=free_port(),
    ).start()
    sandbox.world.rerun_lag = sandbox.world.rerun_takes = 0.0
    sandbox.world.add_person()
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        home = house_of(sandbox, instance, folder)
        made = Cell(kind, sandbox, home, folder, kind.make(sandbox, n))
        try:
            yield made
        finally:
            made.sandbox.stop()
