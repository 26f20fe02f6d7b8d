"""The store of many machines: the windows of a key in a PostgreSQL database.

Facts: none of PostHog's. A request takes at most one transaction of one round trip. What is known
of earlier requests goes with it. Threads that wait together take several places at once, and so
does a process that sends quickly while nobody has to wait. Each place has its moment when it is
given, in the order of asking, so that nobody polls and nobody is passed over.

The database's clock counts. Where this process stands on it is known within the length of the
shortest transaction of late, and each error is on the safe side.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hog_dagster._shared.clock import SYSTEM_CLOCK, Clock
from hog_dagster.posthog._rate_limit import postgres_connection as database
from hog_dagster.posthog._rate_limit import postgres_sql as sql
from hog_dagster.posthog._rate_limit.postgres_connection import Connection, NoTables, StoreAway
from hog_dagster.posthog._rate_limit.store import Taken, Wait
from hog_dagster.posthog._rate_limit.windows import LONGEST_HOLD_S, RESERVE_S, Rate

#: Places taken at once at most, and the seconds for which they are to suffice.
MOST_PLACES = 16
BLOCK_S = 0.25
#: Of the smallest limit, the part that one process takes at once at most.
PART = 10
#: What is known of earlier requests is written at the latest when it is so much.
MOST_PENDING = 64
#: Seconds between two tidyings, and between two marks of this machine.
TIDY_S = 60.0
#: Seconds between two questions to the database when the response to an earlier request is late.
ASK_AGAIN_S = 0.05
#: Seconds after which the slot of a query whose process was killed is free again: a request and its
#: response take 300 at most.
QUERY_S = 310.0
#: Seconds for which the position on the database's clock is taken for known.
POSITION_S = 30.0


@dataclass(slots=True)
class _Bucket:
    """What this process knows of a bucket, and what it has not written yet."""

    name: str
    made: bool = False
    asking: int = 0
    block: deque[tuple[int, float]] = field(default_factory=deque)
    used: deque[float] = field(default_factory=lambda: deque(maxlen=8))
    settled: list[tuple[int, float]] = field(default_factory=list)
    unused: list[int] = field(default_factory=list)
    hold_until: float = 0.0
    read_at: float = float("-inf")
    learned_at: float = 0.0
    tidied_at: float = float("-inf")


class PostgresStore:
    """A :class:`Store` for all machines that use a PostgreSQL database. Unless the clock is the
    machine's own, its wall clock is the present. Any method may raise StoreAway.

    Raises:
        ConfigurationError: the URL cannot be read.
    """

    def __init__(self, name: str, url: str, clock: Clock, machine: str) -> None:
        self._key = name
        self._clock = clock
        self._machine = machine
        self._db = Connection(url)
        self._mutex = threading.RLock()
        self._counting = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}
        self._owner = os.getpid()
        # Seconds that the database's clock is ahead of the monotonic one: at least, at most, when.
        self._ahead: tuple[float, float, float] | None = None
        self._failed = (float("-inf"), "")
        #: Whether the role may use or make the table of queries under way.
        self.counts_queries = True
        self.location = self._db.location
        #: How many machines used the key in the last ten minutes; 0 when not known.
        self.machines = 0

    # --- the store --------------------------------------------------------------------------------

    def take(self, bucket: str, rates: Sequence[Rate], *, within: float) -> Taken | Wait:
        of = self._of(bucket)
        with self._counting:
            of.asking += 1
        try:
            with self._mutex:
                self._refuse_if_just_failed()
                found = self._from_block(of, within)
                return found or self._ask(of, rates, within)
        except StoreAway as away:
            self._failed = (self._clock.monotonic(), str(away))
            raise
        finally:
            with self._counting:
                of.asking -= 1

    def add(self, bucket: str, moments: Sequence[float]) -> None:
        """Requests let through by another store, and counted by these (monotonic) moments."""
        with self._mutex:
            of, here = self._of(bucket), self._clock.monotonic()
            ago = [here - moment for moment in moments]
            self._transaction(of, sql.add(of.name, ago, self._now))

    def settle(self, bucket: str, taken: Taken) -> None:
        """The response came; the next transaction records it in the database."""
        with self._mutex:
            of = self._of(bucket)
            of.settled.append((taken.number, self._clock.monotonic()))
            self._write_if_much(of)

    def give_back(self, bucket: str, taken: Taken) -> None:
        """The place is not used; the next transaction records it in the database."""
        with self._mutex:
            of = self._of(bucket)
            of.unused.append(taken.number)
            self._write_if_much(of)

    def hold(self, bucket: str, seconds: float) -> None:
        """Send nothing for a number of seconds; places taken ahead go back."""
        with self._mutex:
            of = self._of(bucket)
            self._empty_block(of)
            self._transaction(of, sql.hold(of.name, seconds, self._now))
            of.read_at = float("-inf")

    def held(self, bucket: str) -> float:
        with self._mutex:
            of = self._of(bucket)
            if self._clock.monotonic() - of.read_at > 1.0:
                self._read_state(of)
            low, _, _ = self._ahead or (0.0, 0.0, 0.0)
            left = of.hold_until - (self._clock.monotonic() + low)
            return left if 0 < left <= LONGEST_HOLD_S else 0.0

    def count(self, bucket: str, seconds: float) -> int:
        with self._mutex:
            of = self._of(bucket)
            self._write(of)
            rows = self._db.run(sql.count(of.name, seconds, self._now))
            return int(rows[0][0])

    def learned_at(self, bucket: str) -> float | None:
        """When the smaller limit was seen, as of the last transaction."""
        return self._of(bucket).learned_at or None

    def learn(self, bucket: str) -> None:
        with self._mutex:
            of = self._of(bucket)
            self._transaction(of, sql.learn(of.name, self._now))
            self._read_state(of)

    # --- queries under way ------------------------------------------------------------------------

    def take_query(self, holder: str, most: int) -> bool:
        """Begin a query, if all machines have fewer than `most` under way; False: none is free."""
        question = sql.take_query(self._key, holder, most, QUERY_S, self._now)
        found = self._queries(sql.lock_queries(self._key), question)
        return found is None or bool(found)

    def end_query(self, holder: str) -> None:
        self._queries(sql.end_query(self._key, holder))

    def be_careful(self, seconds: float) -> None:
        """Let all machines send one query at a time for a number of seconds."""
        self._queries(sql.be_careful(self._key, seconds, self._now))

    def _queries(self, *statements: str) -> list[Any] | None:
        """What the statements give; None where the role may not use or make their table."""
        with self._mutex:
            if not self.counts_queries:
                return None
            try:
                return self._made(sql.make_queries(), *statements)
            except database.NotAllowed:
                self.counts_queries = False
                return None

    def _made(self, make: str, *statements: str) -> list[Any]:
        """What the statements give, after their tables were made if they are not there."""
        try:
            return self._db.run(*statements)
        except NoTables:
            self._db.run(make)
            return self._db.run(*statements)

    def close(self) -> None:
        """Write what is not written yet, give back places taken ahead, close the connection."""
        with self._mutex:
            for of in self._buckets.values():
                self._empty_block(of)
                self._write(of)
            self._db.close()

    def _refuse_if_just_failed(self) -> None:
        """Threads that waited for one that could not connect do not try it in turn."""
        at, why = self._failed
        if self._clock.monotonic() - at < 1.0:
            raise StoreAway(why)

    # --- places -----------------------------------------------------------------------------------

    def _from_block(self, of: _Bucket, within: float) -> Taken | Wait | None:
        """A place that was taken ahead; whoever takes it too late gives it back."""
        if not of.block:
            return None
        here = self._clock.monotonic()
        number, at = of.block[0]
        if at > here + within:
            return Wait(at - here, None, at - here)
        of.block.popleft()
        of.used.append(here)
        return Taken(number, at)

    def _ask(self, of: _Bucket, rates: Sequence[Rate], within: float) -> Taken | Wait:
        """Places from the database: one for each thread that waits, and a few ahead."""
        wanted = self._wanted(of, rates)
        question = sql.take(
            of.name,
            self._key,
            rates,
            places=wanted,
            needed=of.asking,
            within=max(0.0, min(within, RESERVE_S)),
            now=self._now,
        )
        began = self._clock.monotonic()
        rows = self._transaction(of, question, tidy=max(rate.seconds for rate in rates))
        ended = self._clock.monotonic()
        seen = sql.read_seen(rows, rates)
        self.machines = seen.machines
        of.hold_until, of.learned_at, of.read_at = seen.hold_until, seen.learned_at, ended
        low = self._know(seen.now, began, ended)
        first = seen.places[0]
        if not first.given:
            ahead = max(first.at - seen.now, ASK_AGAIN_S)
            again = ahead - RESERVE_S if first.certain else ahead
            return Wait(ahead, first.rate, max(again, ASK_AGAIN_S))
        for place in seen.places:
            if place.given:
                at = ended if place.at <= seen.now else place.at - low
                of.block.append((place.number, at))
        number, at = of.block.popleft()
        of.used.append(ended)
        return Taken(number, at, first.rate)

    def _wanted(self, of: _Bucket, rates: Sequence[Rate]) -> int:
        """How many places to take at once."""
        used = of.used
        pace = 0.0
        if len(used) == used.maxlen:
            pace = len(used) / max(self._clock.monotonic() - used[0], 1e-3)
        smallest = min(rate.requests for rate in rates)
        most = max(1, min(MOST_PLACES, smallest // PART))
        return max(1, min(most, max(of.asking, int(pace * BLOCK_S))))

    # --- transactions -----------------------------------------------------------------------------

    @property
    def _now(self) -> str:
        """The present, in SQL."""
        if self._clock is SYSTEM_CLOCK:
            return "extract(epoch FROM clock_timestamp())::float8"
        return f"{self._clock.now().timestamp()!r}::float8"

    def _of(self, bucket: str) -> _Bucket:
        if self._owner != os.getpid():  # After a fork all this is the other process's.
            self._buckets, self._owner = {}, os.getpid()
            self._mutex, self._counting = threading.RLock(), threading.Lock()
        return self._buckets.setdefault(bucket, _Bucket(f"{self._key}-{bucket}"))

    def _transaction(self, of: _Bucket, question: str, *, tidy: float = 0.0) -> list[Any]:
        """What is not written yet, and the question, under the bucket's lock."""
        here = self._clock.monotonic()
        parts = [sql.lock(of.name), *self._unwritten(of)]
        tidying = tidy > 0 and here - of.tidied_at > TIDY_S
        if tidying:
            parts.append(sql.see_machine(self._key, self._machine, self._now))
            parts.append(sql.clean(of.name, self._key, tidy, self._now))
        settled, unused = len(of.settled), len(of.unused)
        self._make(of)
        try:
            rows = self._db.run(*parts, question)
            if tidy and not rows:
                raise NoTables("the row of the bucket is not there")
        except NoTables:  # Somebody removed them.
            of.made = False
            self._make(of)
            rows = self._db.run(*parts, question)
        del of.settled[:settled], of.unused[:unused]
        if tidying:
            of.tidied_at = here
        return rows

    def _make(self, of: _Bucket) -> None:
        if of.made:
            return
        self._made(sql.create(), sql.add_bucket(of.name))
        of.made = True

    def _unwritten(self, of: _Bucket) -> list[str]:
        """Statements that tell what became of places."""
        parts: list[str] = []
        if of.settled:
            _, high, _ = self._ahead or (0.0, float("inf"), 0.0)
            parts.append(sql.settle(of.name, [(n, at + high) for n, at in of.settled]))
        if of.unused:
            parts.append(sql.give_back(of.name, of.unused))
        return parts

    def _write_if_much(self, of: _Bucket) -> None:
        if len(of.settled) + len(of.unused) >= MOST_PENDING:
            self._write(of)

    def _write(self, of: _Bucket) -> None:
        parts = self._unwritten(of)
        if parts:
            settled, unused = len(of.settled), len(of.unused)
            self._db.run(*parts)
            del of.settled[:settled], of.unused[:unused]
        self._make(of)

    def _empty_block(self, of: _Bucket) -> None:
        of.unused.extend(number for number, _ in of.block)
        of.block.clear()

    def _read_state(self, of: _Bucket) -> None:
        self._make(of)
        began = self._clock.monotonic()
        rows = self._db.run(sql.state(of.name, self._now))
        if rows:
            self._know(float(rows[0][0]), began, self._clock.monotonic())
            of.hold_until, of.learned_at = float(rows[0][1]), float(rows[0][2])
        of.read_at = self._clock.monotonic()

    def _know(self, now: float, began: float, ended: float) -> float:
        """Take in that the database's clock stood at ``now`` between two moments of ours; gives
        the seconds that it is ahead of ours at least."""
        low, high = now - ended, now - began
        known = self._ahead
        if (
            known is None
            or ended - known[2] > POSITION_S
            or high - low <= known[1] - known[0]
            or low > known[1]
            or high < known[0]
        ):
            self._ahead = (low, high, ended)
        assert self._ahead is not None
        return self._ahead[0]
