"""One cell of the fault matrix: an action, a fault, and what counts in the end."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from hog_dagster.actions._rerun_evidence import PATIENCE
from hog_dagster.sandbox import Sandbox
from tests.acting_kit import House, Ran, free_port, house_of
from tests.daemon_kit import IN_PROCESS, write_settings
from tests.faults.columns import COLUMNS, GRACE, Column, Order, launch

__all__ = ["Cell", "Result", "cell"]

#: Launches after the fault, each a grace time later, until everything is settled.
ROUNDS = 8

#: The command that resolves an action, with the ledger's address where it is not the default one.
REMEDY = re.compile(r"ledger (--url \S+ )?resolve \d+")


@dataclass
class Result:
    """How a cell ended."""

    row: str
    column: str
    effects: list[int]
    messages: int
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

    def fail_as(self, name: str, *, effect: bool) -> Any:
        """Order a response of a proxy for the request that acts."""
        return self.sandbox.fail_as(name, "POST", self.column.post, effect=effect)

    def effects(self) -> dict[str, int]:
        return self.column.effects(self.sandbox, self.order)

    def check(self) -> None:
        """Nobody was acted on twice, and no message left twice."""
        effects = self.effects()
        assert max(effects.values()) <= 1, f"acted twice: {effects}"
        executed = sum(count for name, count in effects.items() if name != "batch")
        assert self.messages() <= executed, f"{self.messages()} messages of {executed} executions"

    def messages(self) -> int:
        return self.column.messages(self.sandbox, self.order)

    def open_actions(self) -> list[Any]:
        with self.home.book() as book:
            return [e for e in book.entries(target_id=self.order.target) if e.open]

    def all_done(self) -> bool:
        return set(self.effects().values()) == {1} and not self.open_actions()

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
        new.site.world.generation = generation
        self.sandbox = self.home.world_of = new.start()

    def carry_on(self) -> None:
        """Launch again, as a sensor or an operator would, and the job that reconciles, as its
        schedule does, until all is done; PostHog has shown by then what it will show.
        """
        for turn in range(ROUNDS):
            if self.all_done() or (turn > 1 and self.remedy_is_named()):
                return
            self.advance(PATIENCE * GRACE + 60)
            self.launch()
            if self.open_actions():
                self.home.reconcile(GRACE)
                self.check()

    def result(self, row: str) -> Result:
        """How it ended: once each, or in doubt with a remedy named."""
        effects = sorted(self.effects().values())
        numbers = (effects, self.messages(), self.posts())
        if self.all_done():
            return Result(row, self.column.name, *numbers, "once")
        return Result(row, self.column.name, *numbers, "in doubt", self.remedy_is_named())

    def posts(self) -> int:
        """Requests that acted, or tried to."""
        return self.posts_before + self.sandbox.count("POST", self.column.post)

    def remedy_is_named(self) -> bool:
        """Every action that is still in doubt says what an operator can do."""
        in_doubt = self.open_actions()
        return bool(in_doubt) and all(REMEDY.search(entry.note) for entry in in_doubt)


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
        missing=kind.missing,
        limits=False,
        marker_lag=0.0,
        now=datetime.now(UTC) + skew,
        port=free_port(),
    ).start()
    sandbox.world.rerun_lag = sandbox.world.rerun_takes = 0.0
    sandbox.world.add_person("ada", email="ada@example.com")
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        home = house_of(sandbox, instance, folder)
        made = Cell(kind, sandbox, home, folder, kind.make(sandbox, n))
        try:
            yield made
        finally:
            made.sandbox.stop()
