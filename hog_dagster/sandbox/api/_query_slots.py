"""How many queries run at the same time, and for how long: an organization's limits, other people's
queries among them.

Facts: PostHog's clickhouse/client/limit.py. A query of the API waits up to half a minute for a slot
of its organization's three, then answers 429 without a time to wait. On Cloud a query may take ten
seconds; what takes longer is answered 504.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_STEP = 0.02


@dataclass
class QuerySlots:
    """The slots of one organization; any setting may change at any time."""

    most: int = 3
    #: How many other people's queries hold now.
    others: int = 0
    #: Seconds a query waits for a slot, how long one takes, and how long it may take.
    patience: float = 30.0
    seconds: float = 0.0
    most_seconds: float = 10.0
    #: How many rows a second are sorted; None: any number takes no time.
    sorted_a_second: float | None = None
    #: Our queries that run now, the most that ran at the same time, and those that got no slot.
    running: int = 0
    highest: int = 0
    refused: int = 0

    async def enter(self, wait: Callable[[float], Awaitable[None]]) -> bool:
        """Take a slot, waiting for one; False when none came free in time."""
        waited = 0.0
        while self.running + self.others >= self.most:
            if waited >= self.patience:
                self.refused += 1
                return False
            await wait(_STEP)
            waited += _STEP
        self.running += 1
        self.highest = max(self.highest, self.running)
        return True

    def allows(self, rows: int) -> bool:
        """Whether so many rows are sorted in time."""
        return self.sorted_a_second is None or rows <= self.sorted_a_second * self.most_seconds

    def leave(self) -> None:
        """Give it back."""
        self.running -= 1
