"""The ledger of a history: the real one, with steps before and after each commit.

In memory its database is one connection that all simulated processes share; on PostgreSQL each
transaction has its own. A transaction is never left open while another process runs: a process
that is to be killed inside one dies just before its commit, and the database rolls it back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hog_dagster.ledger import Entry, Ledger, LedgerUnavailable
from tests.simulation.scheduler import LocalClock, Process, Scheduler

__all__ = ["Books", "Change", "Snapshot"]


@dataclass(frozen=True)
class Change:
    """A committed change of one row."""

    number: int
    at: float
    process: Process | None
    step: str
    entry: Entry

    @property
    def state(self) -> str:
        return str(self.entry.state)


@dataclass(frozen=True)
class Snapshot:
    """A backup of the ledger, as it was when so many changes were committed."""

    content: bytes
    changes: int


class _Hand:
    """The clock of ledgers that outlive their history."""

    def __init__(self) -> None:
        self.clock: LocalClock | None = None

    def now(self) -> datetime:
        assert self.clock is not None
        return self.clock.now()

    def monotonic(self) -> float:
        assert self.clock is not None
        return self.clock.monotonic()

    def sleep(self, seconds: float) -> None:
        assert self.clock is not None
        self.clock.sleep(seconds)


class Books:
    """Opens the ledger, and keeps what was committed in order.

    Args:
        scheduler: the history's.
        clock: the machine's.
        url: an empty PostgreSQL database; None for memory.
    """

    def __init__(self, scheduler: Scheduler, clock: LocalClock, *, url: str | None = None) -> None:
        self.scheduler = scheduler
        self.url = url
        self.changes: list[Change] = []
        self.dry_writes: list[str] = []
        #: Whether another ledger is in the place of the right one.
        self.wrong = False
        self._marked: dict[str, dict[int, int]] = {}
        self._pending: list[tuple[str, Entry]] = []
        self.ledger = _memory() if url is None else Ledger(url, clock=_HAND)
        _HAND.clock = clock
        if url is None:
            self.restore(Snapshot(_EMPTY[0], 0))
        else:
            _empty(self.ledger)
        self.ledger.observer = self._observe
        database: Any = self.ledger._db
        database.write = self._stepping(type(database).write.__get__(database))

    def _stepping(self, write: Any) -> Any:
        @contextmanager
        def stepping() -> Iterator[Any]:
            process = self.scheduler.current()
            if process is not None:
                process.step("ledger")
                self._may_fail(process, "before the commit")
            self._pending = []
            with write() as connection:
                yield connection
                if process is not None:
                    self._last_moment(process)
            self._committed(process)
            if process is not None:
                self._may_fail(process, "after the commit")
                sent = bool(self.changes) and self.changes[-1].step == "mark_sent"
                process.step("committed", risk=20.0 if sent else 1.0)

        return stepping

    def _observe(self, step: str, entry: Entry) -> None:
        self._pending.append((step, entry))

    def _last_moment(self, process: Process) -> None:
        """Inside the transaction, just before it commits: the process may die here."""
        process.check()
        if self.scheduler.dice.random() < self.scheduler.faults.kill:
            self.scheduler.trace(process.name, "killed before the commit, rolled back")
            process.kill()

    def _may_fail(self, process: Process, when: str) -> None:
        if self.scheduler.dice.random() < self.scheduler.faults.ledger:
            self.scheduler.trace(process.name, f"the ledger's database fails {when}")
            self.scheduler.counts[f"fault: ledger fails {when}"] += 1
            raise LedgerUnavailable("The ledger cannot be used: the server closed the connection.")

    def _committed(self, process: Process | None) -> None:
        pending, self._pending = self._pending, []
        for step, entry in () if self.wrong else pending:
            change = Change(len(self.changes), self.scheduler.now, process, step, entry)
            self.changes.append(change)
            if process is not None:  # what others write of a row does not call its request back
                marked = self._marked.setdefault(process.name, {})
                if step == "mark_sent":
                    marked[entry.id] = entry.attempts
                else:
                    marked.pop(entry.id, None)
            if process is not None and process.dry:
                self.dry_writes.append(f"{process.name}: {entry.kind} {entry.subject} {step}")
            if self.scheduler.trace.on:
                self.scheduler.trace(
                    process.name if process else "world",
                    f"  ledger {entry.id}.{entry.attempts} {entry.kind} {entry.subject}: "
                    f"{change.state.upper()} {entry.note[:200]!r}",
                )

    # --- what the harness and the checker read ----------------------------------------------------

    def rows(self) -> list[Entry]:
        """All rows as they stand now."""
        return list(self.ledger.entries())

    def marked_by(self, process: Process) -> list[tuple[int, int]]:
        """Rows that stand as sent by this process: (id, attempt)."""
        return list(self._marked.get(process.name, {}).items())

    # --- backups ----------------------------------------------------------------------------------

    def backup(self) -> Snapshot:
        """The ledger as it is now."""
        return Snapshot(_driver(self.ledger).serialize(), len(self.changes))

    def restore(self, snapshot: Snapshot) -> None:
        """Put a backup in the ledger's place. Only between transactions."""
        _driver(self.ledger).deserialize(snapshot.content)
        self.ledger._db._id = ""  # processes that start from now on open what is there

    def swap(self, snapshot: Snapshot | None) -> None:
        """Put a backup, or an empty ledger of its own (None), in the place of the right one."""
        self._away = self.backup()
        self.wrong = True
        self.restore(snapshot or Snapshot(_EMPTY[1], 0))

    def put_back(self) -> None:
        """The right ledger is there again, as it was left."""
        if self.wrong:
            self.wrong = False
            self.restore(self._away)

    def close(self) -> None:
        database: Any = self.ledger._db
        del database.write
        self.ledger.observer = None
        if self.url is not None:
            self.ledger.close()


_HAND = _Hand()
_LEDGERS: list[Ledger] = []
_EMPTY: list[bytes] = []


def _memory() -> Ledger:
    """One ledger for all histories of this process: compiled statements are kept with it."""
    if not _LEDGERS:
        _HAND.clock = LocalClock(Scheduler.__new__(Scheduler))
        _HAND.clock.scheduler.now = 0.0
        ledger = Ledger.in_memory(clock=_HAND)
        _ = ledger.id
        _LEDGERS.append(ledger)
        other = Ledger.in_memory(clock=_HAND)
        _ = other.id
        _EMPTY.extend(_driver(one).serialize() for one in (ledger, other))
    return _LEDGERS[0]


def _driver(ledger: Ledger) -> Any:
    with ledger._db._engine.connect() as connection:
        return connection.connection.driver_connection


def _empty(ledger: Ledger) -> None:
    """Take out what an earlier history left in a PostgreSQL ledger, numbers included."""
    _ = ledger.id
    with ledger._db._engine.begin() as connection:
        names = sa.inspect(connection).get_table_names()
        rows = [name for name in names if name.startswith("hog_dagster") and "ledger" not in name]
        connection.execute(sa.text(f"TRUNCATE {', '.join(rows)} RESTART IDENTITY"))
