"""The sandbox's clock: what the double calls "now".

It ticks with real time, can be moved, and can be frozen.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any


class Clock:
    """A clock that tests can move.

    Args:
        now: where the clock starts (aware datetime); the real time when None.
        frozen: when true the clock stands still and moves only by `set` and `advance`.

    Thread-safe: the server thread reads it while a test moves it.
    """

    def __init__(self, now: datetime | None = None, *, frozen: bool = False) -> None:
        self._lock = threading.Lock()
        self._frozen = frozen
        self._base = _aware(now) if now is not None else datetime.now(UTC)
        self._mark = time.monotonic()
        self._as_of: datetime | None = None

    def now(self) -> datetime:
        """The sandbox's present, in UTC, to the microsecond."""
        if self._as_of is not None:
            return self._as_of
        with self._lock:
            return self._now()

    @contextmanager
    def as_of(self, moment: datetime) -> Iterator[None]:
        """Within the block it is this moment: for what should have happened before now."""
        held, self._as_of = self._as_of, moment
        try:
            yield
        finally:
            self._as_of = held

    def monotonic(self) -> float:
        """Seconds since some moment, for what is measured in real time; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let time pass for something that is simulated in this process."""
        self.advance(seconds)

    def set(self, now: datetime) -> None:
        """Move the clock to `now` (aware datetime); backwards is allowed."""
        with self._lock:
            self._base, self._mark = _aware(now), time.monotonic()

    def advance(self, seconds: float) -> datetime:
        """Move the clock on by `seconds` and return the new time."""
        with self._lock:
            self._base, self._mark = self._now() + timedelta(seconds=seconds), time.monotonic()
            return self._base

    def freeze(self, now: datetime | None = None) -> None:
        """Stop ticking, at `now` when given."""
        with self._lock:
            self._base = _aware(now) if now is not None else self._now()
            self._frozen = True

    def resume(self) -> None:
        """Tick again from where the clock stands."""
        with self._lock:
            self._base, self._mark = self._now(), time.monotonic()
            self._frozen = False

    def _now(self) -> datetime:
        if self._frozen:
            return self._base
        return self._base + timedelta(seconds=time.monotonic() - self._mark)


class FollowingClock(Clock):
    """A clock that shows what another one shows, and moves it.

    Args:
        leader: an object with `now` (aware) and, where time is to pass in it, `sleep` or `advance`;
            `monotonic` too where it has one.
    """

    def __init__(self, leader: Any) -> None:
        super().__init__(leader.now())
        self._leader = leader

    def now(self) -> datetime:
        return self._as_of or self._leader.now().astimezone(UTC)

    def monotonic(self) -> float:
        own = getattr(self._leader, "monotonic", None)
        return own() if own is not None else self._leader.now().timestamp()

    def sleep(self, seconds: float) -> None:
        move = getattr(self._leader, "sleep", None) or self._leader.advance
        move(seconds)

    def advance(self, seconds: float) -> datetime:
        move = getattr(self._leader, "advance", None) or self._leader.sleep
        move(seconds)
        return self.now()

    def set(self, now: datetime) -> None:
        self._leader.set(_aware(now))

    def freeze(self, now: datetime | None = None) -> None:
        """Nothing: the other clock decides."""

    def resume(self) -> None:
        """Nothing: the other clock decides."""


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(
            "the sandbox clock needs an aware datetime: give it a tzinfo such as datetime.UTC"
        )
    return value.astimezone(UTC)
