"""What tests of the ledger share: a clock that stands still, and actions in each state."""

import multiprocessing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hog_dagster.ledger import Action, Entry, Ledger, State

__all__ = ["LOWER", "NOON", "PROCESSES", "UPPER", "StoppedClock", "in_state", "replay", "sent"]

LOWER = "01968c1e-77aa-0000-4f0e-2b5d1c9a3e10"
UPPER = LOWER.upper()
NOON = datetime(2031, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["hog_dagster.ledger"])


@dataclass
class StoppedClock:
    """A clock that moves only when somebody sleeps or moves it."""

    time: datetime = NOON
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - NOON).total_seconds()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.move(seconds=seconds)

    def move(self, **by: float) -> None:
        self.time += timedelta(**by)


def replay(subject: str = "run-1", **request: Any) -> Action:
    return Action(1, "replay", LOWER, subject, request=request)


def sent(ledger: Ledger, action: Action, owner: str = "a") -> Entry:
    """The action, claimed and marked as sent."""
    return ledger.mark_sent([ledger.claim(action, owner).entry], server_time=NOON)[0]


def in_state(ledger: Ledger, state: State, action: Action, owner: str = "a") -> Entry:
    """The action, brought to a state by the methods that lead there."""
    claimed = ledger.claim(action, owner).entry
    if state is State.CLAIMED:
        return claimed
    (marked,) = ledger.mark_sent([claimed], server_time=NOON)
    if state is State.SENT:
        return marked
    by = {
        State.NOT_SENT: ledger.release,
        State.IN_DOUBT: ledger.doubt,
        State.CONFIRMED: ledger.confirm,
        State.REFUSED: ledger.refuse,
    }[state]
    return by(marked, note="for the test")[0]
