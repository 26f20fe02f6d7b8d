"""The table of states and methods: which method of the ledger takes an entry in which state."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hog_dagster.ledger import Action, Entry, Ledger, LedgerError, State

__all__ = ["TAKES", "deviations"]

#: Method -> the states in which it takes an entry; in all others it raises.
TAKES: dict[str, frozenset[State]] = {
    "mark_sent": frozenset({State.CLAIMED}),
    "confirm": frozenset({State.SENT, State.IN_DOUBT}),
    "refuse": frozenset({State.SENT, State.IN_DOUBT}),
    "doubt": frozenset({State.SENT, State.IN_DOUBT}),
    "release": frozenset({State.CLAIMED, State.SENT}),
    "reopen": frozenset({State.SENT, State.IN_DOUBT}),
    "resolve": frozenset({State.IN_DOUBT}),
}
_CALLS: dict[str, Callable[[Ledger, Entry], Any]] = {
    "mark_sent": lambda ledger, entry: ledger.mark_sent([entry], server_time=None),
    "confirm": lambda ledger, entry: ledger.confirm(entry, note="n"),
    "refuse": lambda ledger, entry: ledger.refuse(entry, note="n"),
    "doubt": lambda ledger, entry: ledger.doubt(entry, note="n"),
    "release": lambda ledger, entry: ledger.release(entry, note="n"),
    "reopen": lambda ledger, entry: ledger.reopen(entry, "b", note="n"),
    "resolve": lambda ledger, entry: ledger.resolve(entry.id, "not-sent", reason="r", who="w"),
}


class _Still:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.present = datetime(2026, 11, 2, tzinfo=UTC)

    def now(self) -> datetime:
        return self.present

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None: ...


def deviations() -> list[str]:
    """Where the ledger differs from the table, in words."""
    found = []
    for method, takes in TAKES.items():
        for state in State:
            ledger = Ledger.in_memory(clock=_Still(), lease=timedelta(minutes=15))
            entry = _brought_to(ledger, state)
            try:
                _CALLS[method](ledger, entry)
                taken = True
            except LedgerError:
                taken = False
            if taken is not (state in takes):
                verb = "takes" if taken else "does not take"
                found.append(f"{method} {verb} an entry that is {state}")
    found += _claims()
    ledger = Ledger.in_memory(clock=_Still())
    old = _brought_to(ledger, State.SENT)
    ledger.doubt(old, note="n")
    try:
        ledger.confirm(old, note="n")
        found.append("confirm takes an entry that was changed since it was read")
    except LedgerError:
        pass
    return found


def _brought_to(ledger: Ledger, state: State) -> Entry:
    """An entry in that state, by the ways that lead there."""
    entry = ledger.claim(Action(1, "replay", "w", "s"), "a").entry
    if state is State.CLAIMED:
        return entry
    if state is State.NOT_SENT:
        return ledger.release(entry, note="n")[0]
    (entry,) = ledger.mark_sent([entry], server_time=None)
    if state is State.SENT:
        return entry
    end = {
        State.IN_DOUBT: ledger.doubt,
        State.CONFIRMED: ledger.confirm,
        State.REFUSED: ledger.refuse,
    }
    return end[state](entry, note="n")[0]


#: State -> what a claim comes to: by the same run, one that sees the owner alive, one that sees it
#: dead, and one that knows nothing but the lease, which is over.
CLAIMS: dict[State, tuple[str, str, str, str]] = {
    State.CLAIMED: ("granted", "busy", "granted", "granted"),
    State.NOT_SENT: ("granted", "granted", "granted", "granted"),
    State.SENT: ("in_doubt", "busy", "in_doubt", "in_doubt"),
    State.IN_DOUBT: ("in_doubt", "in_doubt", "in_doubt", "in_doubt"),
    State.CONFIRMED: ("confirmed", "confirmed", "confirmed", "confirmed"),
    State.REFUSED: ("refused", "refused", "refused", "refused"),
}


def _claims() -> list[str]:
    found = []
    for state, wanted in CLAIMS.items():
        ways: tuple[tuple[str, str, bool | None, timedelta], ...] = (
            ("the same run", "a", None, timedelta(0)),
            ("a run that sees the owner alive", "b", True, timedelta(0)),
            ("a run that sees the owner dead", "b", False, timedelta(0)),
            ("a run after the lease", "b", None, timedelta(hours=1)),
        )
        for (who, owner, alive, later), status in zip(ways, wanted, strict=True):
            clock = _Still()
            ledger = Ledger.in_memory(clock=clock, lease=timedelta(minutes=15))
            entry = _brought_to(ledger, state)
            clock.present += later
            claim = ledger.claim(entry.action(), owner, alive=lambda _owner, a=alive: a)
            if str(claim.status) != status:
                found.append(f"a claim by {who} of what is {state} is {claim.status}")
    return found
