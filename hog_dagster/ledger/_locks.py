"""Locks kept in the ledger, so that of all runs, processes and code locations one works on a
workflow at a time.

Facts: a Dagster pool has no limit until an operator sets one, so it cannot be the only guard. A
lock has a lease and a token; whoever lost it learns so when it next marks an action as sent, in the
same transaction, before anything leaves.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from hog_dagster.ledger._database import Database
from hog_dagster.ledger._errors import LockLost
from hog_dagster.ledger._keys import check_key, normal_lock_name
from hog_dagster.ledger._tables import LOCKS

#: Seconds between two tries for a lock that another run holds.
POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is held."""

    name: str
    owner: str
    token: str
    lease: timedelta


class Locks:
    """The locks in one ledger database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def acquire(
        self,
        name: str,
        owner: str,
        *,
        lease: timedelta,
        wait: float,
        alive: Callable[[str], bool | None] | None,
    ) -> Lock | None:
        """Take the lock, waiting up to `wait` seconds; None when another run keeps it."""
        name = normal_lock_name(check_key(name, "The name of a lock"))
        check_key(owner, "The owner of a lock")
        clock = self._db.clock
        deadline = clock.monotonic() + wait
        while True:
            holder = self.holder(name)
            gone = (
                holder is not None
                and holder != owner
                and alive is not None
                and alive(holder) is False
            )
            lock = self._try(name, owner, lease, evict=holder if gone else None)
            if lock is not None or clock.monotonic() >= deadline:
                return lock
            clock.sleep(POLL_SECONDS)

    def _try(self, name: str, owner: str, lease: timedelta, evict: str | None) -> Lock | None:
        lock = Lock(name, owner, uuid.uuid4().hex, lease)
        with self._db.write() as connection:
            now = self._db.now(connection)
            values = {"owner": owner, "token": lock.token, "until": now + lease}
            insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(LOCKS)
            free = [LOCKS.c.until <= now, LOCKS.c.owner == owner]
            if evict is not None:
                free.append(LOCKS.c.owner == evict)
            taken = connection.execute(
                insert.values(name=name, **values)
                .on_conflict_do_update(
                    index_elements=[LOCKS.c.name], set_=values, where=sa.or_(*free)
                )
                .returning(LOCKS.c.token)
            ).first()
        return lock if taken else None

    def renew(self, connection: Connection, lock: Lock) -> None:
        """Hold the lock for another lease, within the caller's transaction.

        Raises:
            LockLost: another run took it over.
        """
        now = self._db.now(connection)
        kept = connection.execute(
            sa.update(LOCKS)
            .where(LOCKS.c.name == lock.name, LOCKS.c.token == lock.token)
            .values(until=now + lock.lease)
        ).rowcount
        if not kept:
            query = sa.select(LOCKS.c.owner).where(LOCKS.c.name == lock.name)
            owner = connection.execute(query).scalar_one_or_none()
            by = f"taken over by run {owner}" if owner else "taken over and given back"
            raise LockLost(
                f"The lock {lock.name!r} was {by}; this run stops before it sends anything more."
            )

    def release(self, lock: Lock) -> None:
        """Give the lock back, if it is still held."""
        with self._db.write() as connection:
            connection.execute(
                sa.delete(LOCKS).where(LOCKS.c.name == lock.name, LOCKS.c.token == lock.token)
            )

    def holder(self, name: str) -> str | None:
        """Who holds the lock, if its lease is not over."""
        name = normal_lock_name(check_key(name, "The name of a lock"))
        with self._db.read() as connection:
            now = self._db.now(connection)
            return connection.execute(
                sa.select(LOCKS.c.owner).where(LOCKS.c.name == name, LOCKS.c.until > now)
            ).scalar_one_or_none()
