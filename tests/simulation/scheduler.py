"""One virtual clock and one seeded scheduler: simulated processes run real synchronous code.

A simulated process is a greenlet. It gives way at each step it names; the scheduler draws how long
the step takes, who goes on, and whether the process is killed or interrupted there. Nothing else
decides anything, so the seed alone reproduces the history.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from tests.simulation.trace import Trace

__all__ = ["START", "Faults", "Interrupted", "Killed", "LocalClock", "Process", "Scheduler"]

#: The moment at which every history begins, by a clock that is right.
START = datetime(2026, 11, 2, 9, 0, 0, tzinfo=UTC)


class Killed(BaseException):
    """The process is gone (kill -9): whatever its handlers still try does nothing."""


class Interrupted(BaseException):
    """The op is interrupted, as Dagster does when a run is terminated: `finally` blocks do run."""


@dataclass
class Faults:
    """How often the scheduler strikes at a step, as probabilities; all zero in the quiet part."""

    kill: float = 0.0
    interrupt: float = 0.0
    slow: float = 0.0  #: a step takes seconds instead of milliseconds
    suspend: float = 0.0  #: a step takes minutes or hours
    ledger: float = 0.0  #: the ledger's database fails, before or after the commit


class Process:
    """One simulated process: a Dagster run, a sensor's tick, an operator's command."""

    def __init__(self, scheduler: "Scheduler", name: str, work: Callable[["Process"], Any]) -> None:
        self.scheduler = scheduler
        self.name = name
        self.result: Any = None
        self.error: BaseException | None = None
        self.dead = False  #: killed
        self.ended = False
        self.ended_at: float | None = None
        #: What Dagster says of it once it is dead: False, None (cannot tell) or True (wrongly).
        self.seen_as: bool | None = False
        #: Dagster takes it for dead although it runs.
        self.seen_as_dead = False
        self.dry = False
        self.facts: dict[str, Any] = {}
        self._ticket = 0
        self._work = work
        self._greenlet = greenlet(self._run, parent=scheduler.main)

    def _run(self) -> None:
        try:
            if self.dead:
                return
            self.result = self._work(self)
        except Killed:
            pass
        except GreenletExit:
            raise
        except BaseException as error:
            self.error = error
        finally:
            self.ended, self.ended_at = True, self.scheduler.now
            self.scheduler.over(self)

    @property
    def running(self) -> bool:
        """Neither dead nor at its end."""
        return not (self.dead or self.ended)

    def check(self) -> None:
        """Raise if the process is dead; whatever touches the world calls it first."""
        if self.dead:
            raise Killed(self.name)

    def wait(self, seconds: float) -> None:
        """Give way and go on after so many virtual seconds."""
        self.check()
        self._ticket += 1
        self.scheduler.resume(self, self._ticket, seconds)
        self.scheduler.main.switch()
        self.check()

    def park(self) -> Callable[[], None]:
        """What wakes the process once it parks itself with `parked`; later calls do nothing."""
        self._ticket += 1
        ticket = self._ticket
        return lambda: self.scheduler.resume(self, ticket, 0.0)

    def parked(self) -> None:
        """Give way until woken."""
        self.check()
        self.scheduler.main.switch()
        self.check()

    def go_on(self, ticket: int) -> None:
        """Called by the scheduler."""
        if self.running and ticket == self._ticket:
            self._greenlet.switch()

    def kill(self) -> None:
        """Kill -9, now."""
        if not self.running:
            return
        self.dead = True
        self.scheduler.trace(self.name, "KILLED")
        self.scheduler.counts["fault: killed"] += 1
        if getcurrent() is self._greenlet:
            raise Killed(self.name)
        if self._greenlet:
            self._greenlet.throw(Killed(self.name))
        else:
            self.ended, self.ended_at = True, self.scheduler.now
            self.scheduler.over(self)

    def step(self, what: str, *, at_most: float | None = None, risk: float = 1.0) -> None:
        """A step: takes virtual time, and may be the last one.

        Args:
            what: for the trace.
            at_most: bounds the time.
            risk: how much likelier than usual something happens here.
        """
        self.check()
        scheduler, faults, dice = self.scheduler, self.scheduler.faults, self.scheduler.dice
        draw = dice.random() / risk
        if draw < faults.kill:
            scheduler.trace(self.name, f"killed at {what}")
            self.kill()
        elif draw < faults.kill + faults.interrupt:
            scheduler.trace(self.name, f"INTERRUPTED at {what}")
            scheduler.counts["fault: interrupted"] += 1
            raise Interrupted(f"terminated at {what}")
        self.wait(self._takes(what, at_most, risk))

    def _takes(self, what: str, at_most: float | None, risk: float) -> float:
        dice, faults = self.scheduler.dice, self.scheduler.faults
        draw = dice.random() / risk
        if draw < faults.suspend:
            seconds = dice.choice((40.0, 300.0, 1200.0, 4000.0, 4000.0, 40000.0))
            seconds *= dice.uniform(0.8, 1.2)
        elif draw < faults.suspend + faults.slow:
            seconds = dice.uniform(0.2, 20.0)
        else:
            seconds = dice.uniform(0.0005, 0.02)
        if at_most is not None and seconds > at_most:
            seconds = dice.uniform(0.0, at_most)
        if seconds > 30:
            self.scheduler.trace(self.name, f"suspended for {seconds:.0f} s at {what}")
            self.scheduler.counts["fault: suspended"] += 1
        return seconds


@dataclass
class LocalClock:
    """The clock of the machine the processes run on. Its wall clock may be wrong, and stepped."""

    scheduler: "Scheduler"
    offset: timedelta = timedelta(0)
    boot: float = 5000.0

    def now(self) -> datetime:
        return self.scheduler.true_time() + self.offset

    def monotonic(self) -> float:
        return self.scheduler.now + self.boot

    def sleep(self, seconds: float) -> None:
        process = self.scheduler.current()
        if process is None:
            raise RuntimeError("only simulated processes sleep")
        process.step("sleep", at_most=0.0)
        process.wait(max(0.0, seconds))


@dataclass
class Scheduler:
    """Runs events and processes in the order of virtual time."""

    dice: random.Random
    trace: Trace
    faults: Faults = field(default_factory=Faults)
    now: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    processes: dict[str, Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.main = getcurrent()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._by_greenlet: dict[int, Process] = {}
        self.trace.clock = lambda: self.now

    def true_time(self) -> datetime:
        """The present by a clock that is right."""
        return START + timedelta(seconds=self.now)

    def current(self) -> Process | None:
        """The process that runs now; None in events of the world."""
        return self._by_greenlet.get(id(getcurrent()))

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Do something of the world in so many seconds."""
        self._serial += 1
        heapq.heappush(self._queue, (self.now + seconds, self._serial, do))

    def resume(self, process: Process, ticket: int, seconds: float) -> None:
        """Let a process go on in so many seconds."""
        self.after(seconds, lambda: process.go_on(ticket))

    def spawn(
        self, name: str, work: Callable[[Process], Any], after: float = 0.0, **facts: Any
    ) -> Process:
        """Start a process."""
        process = Process(self, name, work)
        process.facts.update(facts)
        self.processes[name] = process
        self._by_greenlet[id(process._greenlet)] = process
        self.after(after, lambda: process.go_on(0))
        return process

    def over(self, process: Process) -> None:
        """A process ended, one way or another."""
        self._by_greenlet.pop(id(process._greenlet), None)
        if process.error is not None:
            text = f"{type(process.error).__name__}: {process.error}"
            self.trace(process.name, f"ended with {text[:300]}")

    def alive(self, owner: str) -> bool | None:
        """What Dagster says of a run."""
        process = self.processes.get(owner)
        if process is None:
            return None
        if process.dead:
            return process.seen_as
        return not (process.ended or process.seen_as_dead)

    def run(self, until: float | None = None, *, idle: bool = False) -> None:
        """Go on until a moment, or (`idle`) until no process is left running."""
        while self._queue:
            if idle and not any(p.running for p in self._by_greenlet.values()):
                return
            when, _, do = self._queue[0]
            if until is not None and when > until:
                break
            heapq.heappop(self._queue)
            self.now = max(self.now, when)
            do()
        if until is not None:
            self.now = max(self.now, until)

    def end(self) -> None:
        """Let go of processes that never ended."""
        for process in list(self._by_greenlet.values()):
            process.dead = True
            if process._greenlet:
                process._greenlet.throw(Killed(process.name))
        self._queue.clear()
