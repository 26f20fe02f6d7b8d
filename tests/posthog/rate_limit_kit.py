"""For tests of the rate limiter: a clock that moves on by itself, and the server's own throttle."""

import heapq
import itertools
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from hog_dagster.posthog import Rate

KEY = "phx_sandbox"
START = 1_790_000_000.0


class Hands:
    """A clock that sleeps by moving on, and does on its way what was to happen meanwhile."""

    def __init__(self) -> None:
        self.at = START
        self.slept: list[float] = []
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        return self.at - START

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.at + seconds, next(self._order), what))

    def advance(self, seconds: float) -> None:
        end = self.at + seconds
        while self._due and self._due[0][0] <= end:
            at, _, what = heapq.heappop(self._due)
            self.at = max(self.at, at)
            what()
        self.at = end


class DrfThrottle:
    """What the server does: a sliding log per window; a refused request fails the test."""

    def __init__(self, rates: list[Rate]) -> None:
        self.rates = rates
        self.times: list[float] = []

    def charge(self, now: float) -> None:
        for rate in self.rates:
            # The server drops what is exactly as old as the window; dates end at microseconds.
            recent = [at for at in self.times if at > now - rate.seconds + 2e-6]
            assert len(recent) < rate.requests, f"429: {rate} at {now}"
        self.times.append(now)


@contextmanager
def on_another_machine(folder: Path):
    """Within it the temporary directory is another one, as on another machine."""
    folder.mkdir(exist_ok=True)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
