"""The store of many machines, and what stands in for it while the database is away.

While it is away each machine keeps to its share of the limits, in its own files: the limit divided
by the number of machines that the database saw last. What was sent meanwhile is recorded in the
database when it is back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from hog_dagster._shared.clock import Clock
from hog_dagster.posthog._rate_limit.file_store import FileStore
from hog_dagster.posthog._rate_limit.postgres_sql import QUERIES
from hog_dagster.posthog._rate_limit.postgres_store import PostgresStore, StoreAway
from hog_dagster.posthog._rate_limit.store import Taken, Wait, keep_number, kept_number
from hog_dagster.posthog._rate_limit.windows import Rate
from hog_dagster.posthog.errors import ConfigurationError

logger = logging.getLogger("hog_dagster.posthog")

#: Seconds after which a database that was away is tried again.
TRY_AGAIN_S = 10.0
_POSTGRES = re.compile(r"postgres(ql)?(\+\w+)?://", re.IGNORECASE)
#: libpq's ``host=... dbname=...``; a directory has a slash before anything else.
_DSN = re.compile(r"\s*(host|hostaddr|port|dbname|user|password|service|sslmode)\s*=")


def is_shared(where: str | os.PathLike[str] | None) -> bool:
    """Whether ``where`` names a database.

    Raises:
        ConfigurationError: it names something that no limit can be counted in.
    """
    if not isinstance(where, str):
        return False
    if _POSTGRES.match(where) or _DSN.match(where):
        return True
    if "://" in where:
        scheme = where.partition("://")[0]
        named = f" in {scheme}://" if re.fullmatch(r"[a-z0-9_+]{1,30}", scheme) else " there"
        raise ConfigurationError(
            f"The rate limit cannot be counted{named}: as rate_limit (HOG_DAGSTER_RATE_LIMIT) give "
            "postgresql://user:password@host:5432/database, or a directory of this machine."
        )
    return False


class SharedStore:
    """A :class:`Store` in PostgreSQL, or of this machine's share in files while that is away;
    ``on_change`` takes a sentence then, and when it is back.

    Raises:
        ConfigurationError: the URL cannot be read.
    """

    def __init__(self, name: str, url: str, clock: Clock, on_change: Callable[[str], None]) -> None:
        # Files are only kept for the time when the database is away.
        self.local = FileStore(name, None, clock, logger.info)
        self._clock = clock
        self._on_change = on_change
        self._name = name
        self._lock = threading.Lock()
        self._away_until: float | None = None
        self._meanwhile: dict[str, deque[float]] = {}
        self._database = PostgresStore(name, url, clock, self._machine())
        known = kept_number(self.local.directory, f"{name}.machines")
        self._machines = max(1, int(known or 1))
        self.location = self._database.location

    # --- the store --------------------------------------------------------------------------------

    def take(self, bucket: str, rates: Sequence[Rate], *, within: float) -> Taken | Wait:
        if not self._is_away():
            try:
                self._report_sent()
                taken = self._database.take(bucket, rates, within=within)
            except StoreAway as away:
                self._went_away(away)
            else:
                self._is_back()
                return taken
        left = max(0.0, (self._away_until or 0.0) - self._clock.monotonic())
        share = [rate.scaled(1 / self._machines) for rate in rates]
        # Nothing is reserved beyond the moment at which the database is tried again.
        taken = self.local.take(bucket, share, within=min(within, left))
        if isinstance(taken, Taken):
            return replace(taken, local=True)
        return replace(taken, ask_again=min(taken.ask_again, left + 0.001))

    def settle(self, bucket: str, taken: Taken) -> None:
        if taken.local:
            self.local.settle(bucket, taken)
            with self._lock:
                sent = self._meanwhile.setdefault(bucket, deque(maxlen=10_000))
                sent.append(self._clock.monotonic())
            return
        self.local.add(bucket)
        self._if_there(lambda: self._database.settle(bucket, taken))

    def give_back(self, bucket: str, taken: Taken) -> None:
        if taken.local:
            self.local.give_back(bucket, taken)
        else:
            self._if_there(lambda: self._database.give_back(bucket, taken))

    def hold(self, bucket: str, seconds: float) -> None:
        self.local.hold(bucket, seconds)
        self._if_there(lambda: self._database.hold(bucket, seconds))

    def held(self, bucket: str) -> float:
        return self._if_there(lambda: self._database.held(bucket), self.local.held(bucket))

    def count(self, bucket: str, seconds: float) -> int:
        """Requests of the last ``seconds``: of all machines, or of this one while it is away."""
        here = self.local.count(bucket, seconds)
        return int(self._if_there(lambda: self._database.count(bucket, seconds), here))

    def learned_at(self, bucket: str) -> float | None:
        return self._database.learned_at(bucket) or self.local.learned_at(bucket)

    def learn(self, bucket: str) -> None:
        self.local.learn(bucket)
        self._if_there(lambda: self._database.learn(bucket))

    def take_query(self, holder: str, most: int) -> bool:
        """Begin a query, if all machines have fewer than `most` under way; while the database is
        away, only this machine's own queries count."""
        counted = self._database.counts_queries
        taken = bool(self._if_there(lambda: self._database.take_query(holder, most), True))
        if counted and not self._database.counts_queries:
            self._on_change(
                "Queries under way are counted by each machine alone: the role may not use or make "
                f"the table {QUERIES} in {self._database.location}. Let one that may make tables "
                "use it once, and grant SELECT, INSERT, UPDATE and DELETE on the table."
            )
        return taken

    def end_query(self, holder: str) -> None:
        """The query is over."""
        self._if_there(lambda: self._database.end_query(holder))

    def be_careful(self, seconds: float) -> None:
        """Let all machines send one query at a time for a number of seconds."""
        self._if_there(lambda: self._database.be_careful(seconds))

    def close(self) -> None:
        self._if_there(self._database.close)
        self.local.close()

    # --- away and back ----------------------------------------------------------------------------

    def _is_away(self) -> bool:
        until = self._away_until
        return until is not None and self._clock.monotonic() < until

    def _if_there(self, work: Callable[[], float | None], otherwise: float = 0) -> float:
        """The work at the database, unless that is away."""
        if self._is_away():
            return otherwise
        try:
            done = work()
        except StoreAway as away:
            self._went_away(away)
            return otherwise
        return otherwise if done is None else done

    def _went_away(self, why: StoreAway) -> None:
        with self._lock:
            first = self._away_until is None
            self._away_until = self._clock.monotonic() + TRY_AGAIN_S
        if not first:
            return
        share = f"1/{self._machines} of the limits, because {self._machines} machines used the key"
        if self._machines == 1:
            share = "all of the limits, because no other machine was seen to use the key"
        self._on_change(
            f"The rate limit cannot be counted in {self._database.location}: {why}. Until it is "
            f"back, this machine keeps to {share}. It is tried again every {TRY_AGAIN_S:g} s."
        )

    def _is_back(self) -> None:
        if self._database.machines not in (0, self._machines):
            self._machines = self._database.machines
            keep_number(self.local.directory, f"{self._name}.machines", self._machines)
        with self._lock:
            was_away, self._away_until = self._away_until is not None, None
        if was_away:
            self._on_change(f"The rate limit is counted in {self._database.location} again.")

    def _report_sent(self) -> None:
        with self._lock:
            sent, self._meanwhile = self._meanwhile, {}
        try:
            while sent:
                bucket, moments = sent.popitem()
                try:
                    self._database.add(bucket, list(moments))
                except StoreAway:
                    sent[bucket] = moments
                    raise
        finally:
            with self._lock:
                for bucket, moments in sent.items():
                    later = self._meanwhile.setdefault(bucket, deque(maxlen=10_000))
                    later.extendleft(reversed(moments))

    # --- this machine -----------------------------------------------------------------------------

    def _machine(self) -> str:
        """An id that the processes of this machine have in common, if files can be kept."""
        made = uuid.uuid4().hex
        if self.local.directory is None:
            return made
        path = self.local.directory / "machine"
        with contextlib.suppress(OSError):
            if not path.exists():
                own = path.with_name(f"machine.{made}")
                own.write_text(made)
                with contextlib.suppress(FileExistsError):
                    os.link(own, path)
                own.unlink()
            found = path.read_text().strip()
            if re.fullmatch(r"[0-9a-f]{32}", found):
                return found
        return made
