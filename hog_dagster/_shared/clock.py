"""The clock that whatever waits or dates takes as a parameter, so that time can be simulated."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What is read of a clock, and how to wait on it."""

    def now(self) -> datetime:
        """The wall clock: aware, in UTC. It may be stepped."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


SYSTEM_CLOCK = SystemClock()
