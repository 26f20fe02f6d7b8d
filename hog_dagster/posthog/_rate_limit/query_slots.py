"""How many queries are under way at the same time, over all processes of the machine, and over all
machines that count in one database.

Facts: an organization may run three queries of its API at once, those of all its keys and people
together; one more waits up to half a minute and is then refused with 429, with no time to wait.
So two are used, and one for a while after such a refusal. A process takes a slot of its machine
first, so that few ask the database.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from hog_dagster._shared.clock import Clock
from hog_dagster.posthog._rate_limit.shared_store import SharedStore
from hog_dagster.posthog._rate_limit.store import keep_number, kept_number

#: Queries at the same time.
MOST_QUERIES = 2
#: Seconds for which one query at a time is sent after PostHog refused one for the others'.
CAUTION_S = 600.0
_POLL_S = (0.02, 0.2)
_POLL_DATABASE_S = (0.1, 0.4)


def concurrency_wait() -> float:
    """Seconds to wait after such a refusal: 5 to 60, so that not all come back at once."""
    return random.uniform(5.0, 60.0)


class SlotsTaken(Exception):
    """No slot came free in time."""


class QuerySlots:
    """The slots, as files that are locked while a query is under way (without a directory in this
    process alone), and where many machines count together, as rows of a database.
    """

    def __init__(
        self,
        directory: Path | None,
        name: str,
        clock: Clock,
        most: int = MOST_QUERIES,
        *,
        shared: SharedStore | None = None,
    ) -> None:
        self._directory = directory
        self._shared = shared
        self._name = name
        self._clock = clock
        self.most = most
        self._mutex = threading.Lock()
        self._taken: set[int] = set()
        self._careful, self._careful_until = f"{name}-query.careful", 0.0

    @contextlib.contextmanager
    def held(self, max_wait: float, on_wait: Callable[[float], None]) -> Iterator[float]:
        """One slot for as long as the query takes; gives the seconds that were waited.

        Raises:
            SlotsTaken: none came free within ``max_wait`` seconds.
        """
        started = self._clock.monotonic()
        while True:
            holder = uuid.uuid4().hex
            found = self._take()
            if found and self._shared and not self._shared.take_query(holder, self.most):
                self._give_back(*found)
                found = None
            waited = self._clock.monotonic() - started
            if found is not None:
                break
            if waited >= max_wait:
                raise SlotsTaken(f"{self.most} queries of {self.whose} were under way all the time")
            pause = random.uniform(*(_POLL_DATABASE_S if self._shared else _POLL_S))
            on_wait(pause)
            self._clock.sleep(pause)
        try:
            yield waited
        finally:
            self._give_back(*found)
            if self._shared:
                self._shared.end_query(holder)

    @property
    def whose(self) -> str:
        """Whose queries are counted, in words."""
        return "all machines" if self._shared else "this machine"

    def _give_back(self, index: int, lock: FileLock | None) -> None:
        if lock is not None:
            lock.release()
        with self._mutex:
            self._taken.discard(index)

    def refused(self) -> None:
        """PostHog refused a query for the others that run: be careful for a while."""
        until = self._clock.now().timestamp() + CAUTION_S
        self._careful_until = until
        keep_number(self._directory, self._careful, until)
        if self._shared:
            self._shared.be_careful(CAUTION_S)

    @property
    def free_to_use(self) -> int:
        """How many slots may be used now."""
        until = max(self._careful_until, kept_number(self._directory, self._careful) or 0.0)
        now = self._clock.now().timestamp()
        return 1 if now < until <= now + CAUTION_S else self.most

    def _take(self) -> tuple[int, FileLock | None] | None:
        for index in range(self.free_to_use):
            with self._mutex:
                if index in self._taken:
                    continue
                self._taken.add(index)
            if self._directory is None:
                return index, None
            lock = FileLock(self._directory / f"{self._name}-query.slot{index}", timeout=0)
            try:
                lock.acquire()
            except Timeout:
                with self._mutex:
                    self._taken.discard(index)
                continue
            except (OSError, NotImplementedError):
                self._directory = None  # No files can be locked there: this process alone counts.
                return index, None
            with contextlib.suppress(OSError):
                os.utime(lock.lock_file)
            return index, lock
        return None
