"""The write-ahead record of every act that must not happen twice: replays, reruns, batch jobs.

Facts: PostHog's replay, rerun, batch job and schedule endpoints have no idempotency key and accept
the same request any number of times, so the memory of what was sent is kept here. The rules:

- one row per act, by natural key (project, kind, workflow, subject); a claim is one atomic insert;
- `sent` is committed *before* the request leaves, so `intended` means: surely not sent;
- each change of a row compares its `version` and raises it, so of two processes that believe they
  hold the same act one finds out before it sends, whatever their clocks and leases say;
- an act that was sent and has no known outcome is in doubt: it is read back from PostHog, and only
  an act shown not to have happened becomes `intended` again.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from hog_dagster.ledger._database import ACTS, HISTORY, Database
from hog_dagster.ledger._locks import Lock, LockLost, WorkflowLocks
from hog_dagster.ledger._reading import LedgerReader, by_id, find
from hog_dagster.ledger.entries import (
    LEDGER_FIELDS,
    Act,
    Claim,
    ClaimLost,
    Entry,
    LedgerError,
    LedgerUnavailable,
    State,
    Verdict,
)

__all__ = [
    "LEDGER_FIELDS",
    "Act",
    "Claim",
    "ClaimLost",
    "Entry",
    "Ledger",
    "LedgerError",
    "LedgerUnavailable",
    "Lock",
    "LockLost",
    "State",
    "Verdict",
    "default_url",
]

#: How long a claim is its owner's before another process may look into it.
LEASE = timedelta(minutes=15)


def default_url(environ: Mapping[str, str] | None = None) -> str:
    """Where the ledger is when nobody says: `HOG_DAGSTER_LEDGER`, else a file in `DAGSTER_HOME`,
    else in `.hog` here.
    """
    environ = os.environ if environ is None else environ
    if url := environ.get("HOG_DAGSTER_LEDGER"):
        return url
    home = environ.get("DAGSTER_HOME")
    folder = Path(home).expanduser() if home else Path(".hog").absolute()
    return f"sqlite:///{folder / 'hog_dagster_ledger.sqlite'}"


#: Says whether the owner of a claim still runs; None when nobody here can tell.
Alive = Callable[[str], bool | None]


class Ledger(LedgerReader):
    """Claims acts, records what came of them, and gives locks.

    Args:
        url: a SQLite path or `sqlite:///` URL, or a `postgresql://` URL. Every code location and
            machine that acts on a project must use the same one.
        lease: how long a claim is its owner's before another process may look into it.

    Raises:
        ValueError: the URL names no database a ledger can be kept in.

    Example:
        .. code-block:: python

            claim = ledger.claim(Act(1, "replay", workflow_id, instance_id), owner=run_id)
            if claim.granted:
                entry = ledger.mark_sent(claim.entry)   # committed before the request leaves
                ...                                     # the one POST
                ledger.confirm(entry, answer={"status": "queued"})
    """

    def __init__(self, url: str | Path, *, lease: timedelta = LEASE) -> None:
        super().__init__(Database(url))
        self._locks = WorkflowLocks(self._db)
        self.lease = lease
        #: Called as (step, entry) inside each transaction, just before it commits.
        self.on_commit: Callable[[str, Entry], None] | None = None

    @property
    def location(self) -> str:
        """Where the ledger is kept, without a password."""
        return self._db.location

    def close(self) -> None:
        """Give the connections back."""
        self._db.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- claiming -------------------------------------------------------------------------------

    def claim(self, act: Act, owner: str, *, alive: Alive | None = None) -> Claim:
        """Claim one act; see `claim_all`."""
        return self.claim_all([act], owner, alive=alive)[0]

    def claim_all(
        self, acts: Sequence[Act], owner: str, *, alive: Alive | None = None
    ) -> list[Claim]:
        """Claim acts for `owner`, all in one transaction; one claim per act, in order.

        An act that nobody has claimed is granted. One that is `intended` is surely not sent: it is
        granted anew when it is the owner's own, its owner no longer runs or its lease is over. One
        that was sent by an owner that no longer runs, or whose lease is over, is in doubt.

        Args:
            acts: what is to be done.
            owner: the Dagster run that will do it.
            alive: says whether another owner still runs; without it only leases count.
        """
        known = {entry.key: entry for entry in self.get_all(acts)}
        running = {
            entry.owner: alive(entry.owner) if alive else None
            for entry in known.values()
            if entry.owner and entry.owner != owner
        }
        claims: list[Claim] = []
        with self._db.write() as connection:
            now = self._db.now(connection)
            for act in acts:
                claims.append(self._claim(connection, act, owner, now, running))
        return claims

    def _claim(
        self,
        connection: Connection,
        act: Act,
        owner: str,
        now: datetime,
        running: Mapping[str, bool | None],
    ) -> Claim:
        insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(ACTS)
        made = connection.execute(
            insert.values(
                project_id=act.project_id,
                kind=act.kind,
                workflow_id=act.workflow_id,
                subject=act.subject,
                state=State.INTENDED,
                version=1,
                attempts=0,
                owner=owner,
                lease_until=now + self.lease,
                request=dict(act.request),
                note="claimed",
                created_at=now,
                updated_at=now,
            )
            .on_conflict_do_nothing()
            .returning(ACTS.c.id)
        ).first()
        entry = find(connection, act)
        if made:
            self._write_history(connection, entry, "claimed")
            return Claim(Verdict.GRANTED, entry)
        if entry.state is State.CONFIRMED:
            return Claim(Verdict.CONFIRMED, entry)
        if entry.state is State.REFUSED:
            return Claim(Verdict.REFUSED, entry)
        if entry.state is State.UNKNOWN:
            return Claim(Verdict.IN_DOUBT, entry)
        abandoned = (
            entry.owner == owner or entry.lease_until <= now or running.get(entry.owner) is False
        )
        if not abandoned:
            return Claim(Verdict.BUSY, entry)
        if entry.state is State.SENT:
            return Claim(Verdict.IN_DOUBT, entry)
        taken = self._change(
            connection,
            entry,
            now,
            owner=owner,
            lease_until=now + self.lease,
            request=dict(act.request),
            note="claimed anew: not sent by the run that had it",
        )
        return Claim(Verdict.GRANTED, taken) if taken else Claim(Verdict.BUSY, entry)

    # --- what came of it ------------------------------------------------------------------------

    def mark_sent(
        self, entry: Entry, *, server_time: datetime | None = None, lock: Lock | None = None
    ) -> Entry:
        """Mark one claimed act as sent; see `mark_all_sent`."""
        return self.mark_all_sent([entry], server_time=server_time, lock=lock)[0]

    def mark_all_sent(
        self,
        entries: Sequence[Entry],
        *,
        server_time: datetime | None = None,
        lock: Lock | None = None,
    ) -> list[Entry]:
        """Commit that the request for these acts leaves now, all of them or none. Call this before
        the request, never after.

        Args:
            entries: acts granted to this process.
            server_time: this moment by PostHog's clock; what is read back is compared with it.
            lock: the workflow's lock, when the act must only be sent while it is held.

        Raises:
            ClaimLost: another process took one of them over; nothing was marked, send nothing.
            LockLost: the lock was taken over; nothing was marked, send nothing.
        """
        with self._db.write() as connection:
            now = self._db.now(connection)
            if lock is not None:
                self._locks.renew(connection, lock)
            return [
                self._move(
                    connection,
                    entry,
                    {State.INTENDED},
                    State.SENT,
                    now,
                    note="sent",
                    attempts=entry.attempts + 1,
                    sent_at=now,
                    server_sent_at=server_time,
                    lease_until=now + self.lease,
                    answer=None,
                )
                for entry in entries
            ]

    def confirm(
        self, *entries: Entry, answer: Any = None, remote_id: str | None = None, note: str
    ) -> list[Entry]:
        """Record that the acts happened: PostHog said so, or it was read back."""
        return self._settle(entries, State.CONFIRMED, note, answer=answer, remote_id=remote_id)

    def refuse(self, *entries: Entry, answer: Any = None, note: str) -> list[Entry]:
        """Record that PostHog refused: nothing happened, and asking again would not help."""
        return self._settle(entries, State.REFUSED, note, answer=answer)

    def doubt(
        self, *entries: Entry, answer: Any = None, remote_id: str | None = None, note: str
    ) -> list[Entry]:
        """Record that the acts were sent and nobody knows what came of them."""
        return self._settle(entries, State.UNKNOWN, note, answer=answer, remote_id=remote_id)

    def release(self, *entries: Entry, note: str) -> list[Entry]:
        """Record that nothing was sent, or that it surely had no effect (no connection, 429, 401):
        anybody may claim the acts again at once.
        """
        with self._db.write() as connection:
            now = self._db.now(connection)
            allowed = {State.INTENDED, State.SENT}
            return [
                self._move(connection, e, allowed, State.INTENDED, now, note=note, lease_until=now)
                for e in entries
            ]

    def reopen(self, entry: Entry, owner: str, *, note: str) -> Entry:
        """Claim an act in doubt that was shown not to have happened.

        Raises:
            ClaimLost: another process settled or took it in the meantime.
        """
        with self._db.write() as connection:
            now = self._db.now(connection)
            return self._move(
                connection,
                entry,
                {State.SENT, State.UNKNOWN},
                State.INTENDED,
                now,
                note=note,
                owner=owner,
                lease_until=now + self.lease,
            )

    def settle(self, act_id: int, outcome: str, *, reason: str, who: str) -> Entry:
        """An operator's word on an act.

        Args:
            act_id: the row.
            outcome: `confirmed` (it happened: never send it again) or `not-sent` (it did not: the
                next run may send it).
            reason: what the operator saw.
            who: who says so.

        Raises:
            LedgerError: no such act, no reason, or a run is sending it right now.
        """
        if outcome not in ("confirmed", "not-sent"):
            raise LedgerError(f"Settle an act as confirmed or not-sent, not as {outcome!r}.")
        if not reason.strip():
            raise LedgerError("Give the reason: it is what the next operator will read.")
        with self._db.write() as connection:
            now = self._db.now(connection)
            entry = by_id(connection, act_id)
            if entry.state is State.SENT and entry.lease_until > now:
                raise LedgerError(
                    f"Act {act_id} is being sent by run {entry.owner}; it can be settled after "
                    f"{entry.lease_until:%Y-%m-%d %H:%M:%S} UTC, or when that run has ended and "
                    "the next one has looked into it."
                )
            note = f"settled by {who}: {reason.strip()}"
            if outcome == "confirmed":
                return self._move(
                    connection, entry, set(State), State.CONFIRMED, now, note=note, settled_at=now
                )
            return self._move(
                connection,
                entry,
                set(State),
                State.INTENDED,
                now,
                note=note,
                lease_until=now,
                settled_at=None,
            )

    # --- locks ----------------------------------------------------------------------------------

    @contextmanager
    def lock(
        self,
        name: str,
        owner: str,
        *,
        lease: timedelta = LEASE,
        wait: float = 0.0,
        alive: Alive | None = None,
    ) -> Iterator[Lock | None]:
        """Hold a lock that all sharers of the ledger respect, or get None when another run has it.

        Args:
            name: what is locked, say `workflow:<id>`.
            owner: the Dagster run that holds it. The same run may take it over from a step of its
                own that died.
            lease: how long it is held without `mark_sent` or `renew`.
            wait: seconds to wait for the holder before.
            alive: says whether the holder's run still runs.
        """
        lock = self._locks.acquire(name, owner, lease=lease, wait=wait, alive=alive)
        try:
            yield lock
        finally:
            if lock is not None:
                self._locks.release(lock)

    def renew(self, lock: Lock) -> None:
        """Hold the lock for another lease.

        Raises:
            LockLost: another run took it over.
        """
        with self._db.write() as connection:
            self._locks.renew(connection, lock)

    def holder(self, name: str) -> str | None:
        """The run that holds a lock, if its lease is not over."""
        return self._locks.holder(name)

    # --- inside ---------------------------------------------------------------------------------

    def _settle(
        self,
        entries: Sequence[Entry],
        state: State,
        note: str,
        *,
        answer: Any,
        remote_id: str | None = None,
    ) -> list[Entry]:
        with self._db.write() as connection:
            now = self._db.now(connection)
            settled = []
            for entry in entries:
                values: dict[str, Any] = {"note": note}
                if answer is not None:
                    values["answer"] = answer
                if remote_id is not None:
                    values["remote_id"] = remote_id
                if state is not State.UNKNOWN:
                    values["settled_at"] = now
                settled.append(
                    self._move(connection, entry, {State.SENT, State.UNKNOWN}, state, now, **values)
                )
            return settled

    def _move(
        self,
        connection: Connection,
        entry: Entry,
        allowed: set[State],
        to: State,
        now: datetime,
        **values: Any,
    ) -> Entry:
        moved = None
        if entry.state in allowed:
            moved = self._change(connection, entry, now, state=to, **values)
        if moved is None:
            raise ClaimLost(
                f"Act {entry.id} ({entry.kind} {entry.subject}) was changed by another process: "
                f"it is not {to} on the word of this one."
            )
        return moved

    def _change(
        self, connection: Connection, entry: Entry, now: datetime, **values: Any
    ) -> Entry | None:
        """Write `values` if the row is still the one that was read; the row after, else None."""
        changed = connection.execute(
            sa.update(ACTS)
            .where(ACTS.c.id == entry.id, ACTS.c.version == entry.version)
            .values(version=entry.version + 1, updated_at=now, **values)
        ).rowcount
        if not changed:
            return None
        after = replace(entry, version=entry.version + 1, updated_at=now, **values)
        self._write_history(connection, after, after.note)
        return after

    def _write_history(self, connection: Connection, entry: Entry, note: str) -> None:
        connection.execute(
            sa.insert(HISTORY).values(
                act_id=entry.id,
                at=entry.updated_at,
                owner=entry.owner,
                state=entry.state,
                note=note,
            )
        )
        if self.on_commit is not None:
            self.on_commit(str(entry.state), entry)
