"""The write-ahead record of every action that must not happen twice.

Facts: PostHog's replay, rerun, batch job and schedule endpoints have no idempotency key and accept
the same request any number of times, so the memory of what was sent is kept here. The rules:

- one row per action, by its key (project, kind, target, subject); a claim is one atomic insert;
- `sent` is committed *before* the request leaves, so `claimed` means: surely not sent;
- each change of a row compares its version and its state, so of two processes that believe they
  hold the same action one learns better before it sends, whatever their clocks and leases say;
- an action that was sent and has no known outcome is in doubt: it is reconciled with what PostHog
  shows, and only an action shown not to have happened is claimed again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from hog_dagster._shared.clock import SYSTEM_CLOCK, Clock
from hog_dagster.ledger._changes import Changes, Observer, changing, outcome_values
from hog_dagster.ledger._claiming import claim_in
from hog_dagster.ledger._database import Database
from hog_dagster.ledger._entries import Action, Claim, Entry, State
from hog_dagster.ledger._keys import check_key, clean_json, remote_text
from hog_dagster.ledger._listed import Listed
from hog_dagster.ledger._locks import Lock, Locks
from hog_dagster.ledger._maintenance import prune_in, resolve_in
from hog_dagster.ledger._reading import LedgerReader

#: How long a claim is its owner's before another process may take it.
LEASE = timedelta(minutes=15)
#: Says whether the owner of a claim still runs; None when nobody here can tell.
Alive = Callable[[str], bool | None]

_OPEN = (State.SENT, State.IN_DOUBT)


class Ledger(LedgerReader):
    """Claims actions, records their outcome, and gives locks.

    Args:
        url: a SQLite path or `sqlite:///` URL (a relative path is taken from `DAGSTER_HOME`, or
            from the working directory when that is not set), a `postgresql://` URL, or libpq's
            `host=... dbname=...`. Every code location and machine that acts on a project must use
            the same one.
        lease: how long a claim is its owner's before another process may take it.
        clock: the present of a SQLite ledger; PostgreSQL has its own, unless another clock than
            the machine's is given.

    Raises:
        ValueError: the URL names no database a ledger can be kept in.

    Example:
        .. code-block:: python

            claim = ledger.claim(Action(1, "replay", workflow_id, run_id), owner=dagster_run_id)
            if claim.granted:
                sent = ledger.mark_sent([claim.entry], server_time=now)  # before the request
                ...                                                      # the one POST
                ledger.confirm(*sent, note="queued", response={"status": "queued"})
    """

    def __init__(
        self, url: str | Path, *, lease: timedelta = LEASE, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._begin(Database(url, clock), lease)

    def _begin(self, db: Database, lease: timedelta) -> None:
        super().__init__(db)
        self._locks = Locks(db)
        self._listed = Listed(db)
        self.lease = lease
        #: Called as (method, entry) for each change inside its transaction, just before the commit;
        #: raising there rolls the transaction back.
        self.observer: Observer | None = None
        #: Called as (method, entry) for each change after its commit.
        self.after_commit: Observer | None = None

    @classmethod
    def in_memory(
        cls,
        *,
        clock: Clock = SYSTEM_CLOCK,
        lease: timedelta = LEASE,
        share: "Ledger | None" = None,
    ) -> "Ledger":
        """A ledger for simulations: fast, of one thread, and forgotten with the object.

        Args:
            clock: the present.
            lease: how long a claim is its owner's.
            share: another such ledger, whose memory this one shares (and whose clock it has).
        """
        if share is not None and not share._db.in_memory:
            raise ValueError("Only a ledger in memory can be shared.")
        ledger = cls.__new__(cls)
        ledger._begin(Database(None, clock) if share is None else share._db, lease)
        return ledger

    def close(self) -> None:
        """Give the connections back."""
        self._db.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _changing(self, step: str) -> AbstractContextManager[Changes]:
        return changing(self._db, step, self.observer, self.after_commit)

    # --- claiming -------------------------------------------------------------------------------

    def claim(self, action: Action, owner: str, *, alive: Alive | None = None) -> Claim:
        """Claim one action; see `claim_all`."""
        return self.claim_all([action], owner, alive=alive)[0]

    def claim_all(
        self, actions: Sequence[Action], owner: str, *, alive: Alive | None = None
    ) -> list[Claim]:
        """Claim actions for `owner`, all in one transaction; one claim per action, in order.

        An action that nobody has claimed, or that is not sent, is granted. One that is claimed is
        surely not sent: it is granted anew when it is the owner's own, its owner no longer runs or
        its lease is over. One that was sent by an owner that no longer runs, or whose lease is
        over, is in doubt.

        Args:
            actions: what is to be done.
            owner: the Dagster run that will do it.
            alive: says whether another owner still runs; without it only leases count.

        Raises:
            LedgerError: the owner is no text that can be kept.
        """
        check_key(owner, "The owner of an action")
        running: dict[str, bool | None] = {}
        if alive is not None:
            owners = {entry.owner for entry in self.get_all(actions)} - {owner}
            running = {name: alive(name) for name in sorted(owners)}
        with self._changing("claim") as changes:
            return claim_in(changes, actions, owner, self.lease, running)

    # --- outcomes -------------------------------------------------------------------------------

    def mark_sent(
        self,
        entries: Sequence[Entry],
        *,
        server_time: datetime | None,
        lock: Lock | None = None,
    ) -> list[Entry]:
        """Commit that the request for these actions leaves now, all of them or none. Call this
        before the request, never after.

        Args:
            entries: actions granted to this process (claimed).
            server_time: this moment by PostHog's clock; evidence is compared with it.
            lock: the workflow's lock, when the actions must only be sent while it is held; it is
                renewed in the same transaction.

        Raises:
            ClaimLost: another process took one of them over; nothing was marked, send nothing.
            LockLost: the lock was taken over; nothing was marked, send nothing.
        """
        with self._changing("mark_sent") as changes:
            if lock is not None:
                self._locks.renew(changes.connection, lock)
            return [
                changes.move(
                    entry,
                    (State.CLAIMED,),
                    State.SENT,
                    note="sent",
                    attempts=entry.attempts + 1,
                    sent_at=changes.now,
                    server_sent_at=server_time,
                    server_given_up_at=None,
                    lease_until=changes.now + self.lease,
                    response=None,
                )
                for entry in entries
            ]

    def confirm(
        self, *entries: Entry, note: str, response: Any = None, remote_id: Any = None
    ) -> list[Entry]:
        """Record that the actions happened (sent or in doubt -> confirmed).

        Args:
            entries: the actions; all are recorded, or none.
            note: how this is known.
            response: what PostHog answered.
            remote_id: PostHog's id of the result; a number becomes text.

        Raises:
            ClaimLost: one is in another state, or was changed since it was read.
        """
        return self._record("confirm", entries, State.CONFIRMED, note, response, remote_id)

    def refuse(self, *entries: Entry, note: str, response: Any = None) -> list[Entry]:
        """Record that PostHog refused (sent or in doubt -> refused): nothing happened, and asking
        again would not help.

        Raises:
            ClaimLost: one is in another state, or was changed since it was read.
        """
        return self._record("refuse", entries, State.REFUSED, note, response, None)

    def doubt(
        self,
        *entries: Entry,
        note: str,
        response: Any = None,
        remote_id: Any = None,
        server_given_up_at: datetime | None = None,
    ) -> list[Entry]:
        """Record that the actions were sent and that their outcome is unknown (sent or in doubt ->
        in doubt).

        Args:
            entries: the actions; all are recorded, or none.
            note: what is known.
            response: what PostHog answered.
            remote_id: PostHog's id of the result, say of a rerun job that is still at work.
            server_given_up_at: when waiting for the response ended, by PostHog's clock; one that
                is known already stays when none is given.

        Raises:
            ClaimLost: one is in another state, or was changed since it was read.
        """
        values = {} if server_given_up_at is None else {"server_given_up_at": server_given_up_at}
        return self._record("doubt", entries, State.IN_DOUBT, note, response, remote_id, **values)

    def _record(
        self,
        step: str,
        entries: Sequence[Entry],
        to: State,
        note: str,
        response: Any,
        remote_id: Any,
        **values: Any,
    ) -> list[Entry]:
        kept = None if remote_id is None else remote_text(remote_id)
        values |= outcome_values(clean_json(response), kept)
        with self._changing(step) as changes:
            if to is not State.IN_DOUBT:
                values["settled_at"] = changes.now
            return [changes.move(entry, _OPEN, to, note=note, **values) for entry in entries]

    def release(self, *entries: Entry, note: str) -> list[Entry]:
        """Record that nothing was sent, or that it surely had no effect (claimed or sent -> not
        sent): anybody may claim the actions at once.

        Raises:
            ClaimLost: one is in another state, or was changed since it was read.
        """
        allowed = (State.CLAIMED, State.SENT)
        with self._changing("release") as changes:
            return [
                changes.move(entry, allowed, State.NOT_SENT, note=note, lease_until=changes.now)
                for entry in entries
            ]

    def reopen(self, entry: Entry, owner: str, *, note: str) -> Entry:
        """Claim an action that was shown not to have happened (sent or in doubt -> claimed).

        Raises:
            ClaimLost: it is in another state, or was changed since it was read.
        """
        check_key(owner, "The owner of an action")
        with self._changing("reopen") as changes:
            until = changes.now + self.lease
            return changes.move(
                entry, _OPEN, State.CLAIMED, note=note, owner=owner, lease_until=until
            )

    def resolve(
        self,
        action_id: int,
        outcome: Literal["confirmed", "not-sent"] | str,
        *,
        reason: str,
        who: str,
        force: bool = False,
    ) -> Entry:
        """An operator's decision on an action that is in doubt, or sent with its lease over.

        Args:
            action_id: the row.
            outcome: `confirmed` (it happened: never send it again) or `not-sent` (it did not: the
                next run may send it).
            reason: what the operator saw.
            who: who decides.
            force: decide in any other state as well.

        Raises:
            LedgerError: no such action, no reason, or it is in a state that needs `force`.
        """
        with self._changing("resolve") as changes:
            return resolve_in(changes, action_id, outcome, reason=reason, who=who, force=force)

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
            name: what is locked, say `workflow:<id>`; ids between colons are one in any spelling.
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

    # --- what PostHog lists ---------------------------------------------------------------------

    def remember(
        self, project_id: int, kind: str, target_id: str, remote_ids: Iterable[Any]
    ) -> int:
        """Record the ids that PostHog lists now for a target.

        Returns:
            A mark: what is listed later and was not by now has a higher number, see `listed`.
        """
        return self._listed.remember((project_id, kind, target_id), remote_ids)

    def listed(
        self, project_id: int, kind: str, target_id: str, remote_ids: Iterable[Any]
    ) -> dict[str, int]:
        """Those of `remote_ids` that `remember` recorded: id -> a number that is at most a mark if
        the id was recorded by then, and higher if it was recorded later.
        """
        return self._listed.numbers((project_id, kind, target_id), remote_ids)

    # --- maintenance ------------------------------------------------------------------------------

    def prune(self, before: datetime) -> int:
        """Forget replays and reruns that are confirmed, refused or not sent and did not change
        since `before`. Batch sends and schedules stay: their key keeps a second one away.

        Returns:
            How many were forgotten.

        Raises:
            LedgerError: `before` is less than 90 days ago; PostHog may still show such runs.
        """
        with self._db.write() as connection:
            count = prune_in(connection, self._db.now(connection), before)
            if count:
                self._db.count_changes(connection, 1)
            return count
