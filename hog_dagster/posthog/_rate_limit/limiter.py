"""Pacing ahead of PostHog's rate limits, shared by every process of this machine with the key.

Facts: Django REST framework's throttles as PostHog sets them: two sliding windows per bucket,
counted per personal API key, both charged by every request, refused ones included.

The store is one small file per key and bucket: a ring of the times at which requests were, or may
have been, counted by the server. A request is let through when fewer than the limit lie in each
window. There is no daemon; a file lock makes it exact with any number of processes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hog_dagster._clock import SYSTEM_CLOCK, Clock
from hog_dagster.posthog._rate_limit.file_store import RingFile, default_pacing_dir, usable
from hog_dagster.posthog._rate_limit.query_slots import QuerySlots
from hog_dagster.posthog._rate_limit.ring import CAPACITY, IN_FLIGHT_S, Rate, Ring
from hog_dagster.posthog.errors import ConfigurationError

__all__ = ["LIMITS", "Pacer", "Rate", "Slot", "TooLong", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of one limit is used: by this machine, as far as its store knows."""

    bucket: str
    limit: int
    seconds: float
    allowed: int
    used: int

    @property
    def free(self) -> int:
        """Requests that may be sent at once."""
        return max(0, self.allowed - self.used)


#: PostHog's limits per personal API key, by bucket.
LIMITS: Mapping[str, tuple[Rate, ...]] = {
    "default": (Rate(480, 60), Rate(4_800, 3_600)),
    "insights": (Rate(240, 60), Rate(1_200, 3_600)),
    "query": (Rate(240, 60), Rate(2_400, 3_600)),
}


#: Limits of projects that PostHog has not moved to the usual ones, by bucket.
SMALL_LIMITS: Mapping[str, Rate] = {"query": Rate(120, 3_600)}
#: Seconds after which such a limit is tried again.
LEARNED_FOR_S = 86_400.0


class Slot(Protocol):
    """A request that was let through; ``done`` says when its answer came."""

    def done(self) -> None: ...


class _FileSlot:
    __slots__ = ("_pacer", "bucket", "index")

    def __init__(self, pacer: Pacer, bucket: str, index: int) -> None:
        self._pacer, self.bucket, self.index = pacer, bucket, index

    def done(self) -> None:
        self._pacer.settle(self.bucket, self.index)


class _FreeSlot:
    __slots__ = ()

    def done(self) -> None:
        """Nothing is counted, so nothing is settled."""


class Pacer:
    """Lets requests through so that PostHog never has to answer 429.

    Args:
        key: the API key and the host, from which the store's file name is hashed.
        limits: rates by bucket; a bucket that is not named uses ``default``. ``{}`` switches
            pacing off.
        headroom: the part of each limit to use, above 0 and at most 1.
        directory: where the store lives; None for :func:`default_pacing_dir`.
        clock: what is waited on. Processes that share a store share its wall clock.
    """

    def __init__(
        self,
        key: str,
        *,
        limits: Mapping[str, Sequence[Rate]] = LIMITS,
        headroom: float = 0.9,
        directory: str | os.PathLike[str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if not 0 < headroom <= 1:
            raise ConfigurationError(
                f"headroom={headroom}: give the part of the rate limit to use, such as 0.9."
            )
        self.headroom = headroom
        self._clock = clock
        self.limits = {name: tuple(rates) for name, rates in limits.items()}
        for rates in self.limits.values():
            for rate in rates:
                if rate.requests > CAPACITY // 2 or rate.requests < 1 or rate.seconds <= 0:
                    raise ConfigurationError(f"{rate}: pacing counts up to {CAPACITY // 2}.")
        self._name = hashlib.sha256(key.encode()).hexdigest()[:24]
        self._directory = Path(directory) if directory is not None else default_pacing_dir()
        self._mutex = threading.Lock()
        self._rings: dict[str, Ring] = {}
        self._stores: dict[str, RingFile] = {}
        self._shared = bool(self.limits) and usable(self._directory)
        self._learned: dict[str, tuple[Rate, float]] = {}
        self.queries = QuerySlots(self._directory if self._shared else None, self._name, clock)

    def rates(self, bucket: str) -> tuple[Rate, ...]:
        """The limits we keep to in ``bucket``, head-room taken off."""
        rates = self.limits.get(bucket, self.limits.get("default", ()))
        learned = self._small(bucket) if rates else None
        rates = (*rates, learned) if learned is not None else rates
        return tuple(rate.scaled(self.headroom) for rate in rates)

    def _small(self, bucket: str) -> Rate | None:
        """The smaller limit that this key was seen to have, by any process, within a day."""
        if bucket not in SMALL_LIMITS:
            return None
        now = self._clock.now().timestamp()
        known = self._learned.get(bucket)
        if known is None and self._shared:
            with contextlib.suppress(OSError, ValueError):
                at = float(self._small_file(bucket).read_text())
                known = self._learned[bucket] = (SMALL_LIMITS[bucket], at)
        if known is None or not 0 <= now - known[1] < LEARNED_FOR_S:
            return None
        return known[0]

    def _small_file(self, bucket: str) -> Path:
        return self._directory / f"{self._name}-{bucket}.small"

    def learn(self, bucket: str, wait: float) -> bool:
        """PostHog asked to wait for so many seconds: whether that shows a smaller limit.

        A wait of more than a minute is the hour's. It is this key's own, and not that of others
        who use it too, when about as many requests as the small limit allows were sent from here.
        """
        small = SMALL_LIMITS.get(bucket)
        if small is None or wait <= 60 or self._small(bucket) is not None or not self.limits:
            return False
        now = self._clock.now().timestamp()
        with self._ring(bucket) as ring:
            sent = len(ring.within(small.seconds, now))
        if not small.requests // 2 <= sent <= small.requests * 1.1:
            return False
        self._learned[bucket] = (small, now)
        if self._shared:
            with contextlib.suppress(OSError):
                self._small_file(bucket).write_text(str(now))
        return True

    def acquire(
        self,
        bucket: str,
        *,
        max_wait: float,
        on_wait: Callable[[float, Rate | None], None],
    ) -> tuple[Slot, float]:
        """Wait until a request of ``bucket`` may be sent, and count it.

        Args:
            bucket: the rate limit it is charged to.
            max_wait: seconds this may take at most.
            on_wait: told, before each wait, how long and which limit (None: PostHog asked).

        Returns:
            The slot, whose ``done`` is to be called when the answer came; and the seconds waited.

        Raises:
            TooLong: the wait would be longer than ``max_wait``; nothing was counted.
        """
        rates = self.rates(bucket)
        if not rates:
            return _FreeSlot(), 0.0
        waited = 0.0
        while True:
            with self._ring(bucket) as ring:
                now = self._clock.now().timestamp()
                wait, reason = ring.wait(rates, now)
                if wait <= 0:
                    return _FileSlot(self, bucket, ring.push(now + IN_FLIGHT_S)), waited
            if waited + wait > max_wait:
                raise TooLong(wait, reason)
            on_wait(wait, reason)
            started = self._clock.monotonic()
            self._clock.sleep(wait + 0.001)
            waited += self._clock.monotonic() - started

    def settle(self, bucket: str, index: int) -> None:
        """The answer to slot ``index`` is there: the server counted it by now.

        Without the file's lock: nobody else writes to that slot.
        """
        with self._mutex:
            store = self._stores.get(bucket)
            ring = store.mapped() if store else self._rings.get(bucket)
            if ring is not None:
                ring.settle(index, self._clock.now().timestamp())

    def hold(self, bucket: str, seconds: float) -> None:
        """PostHog answered 429: no process sends in this bucket for ``seconds``."""
        if self.rates(bucket):
            with self._ring(bucket) as ring:
                ring.hold(self._clock.now().timestamp() + seconds)

    def usage(self) -> list[Usage]:
        """How much of each limit this machine has used in its windows."""
        lines: list[Usage] = []
        for bucket, rates in self.limits.items():
            with self._ring(bucket) as ring:
                now = self._clock.now().timestamp()
                lines.extend(
                    Usage(
                        bucket,
                        rate.requests,
                        rate.seconds,
                        rate.scaled(self.headroom).requests,
                        len(ring.within(rate.seconds, now)),
                    )
                    for rate in rates
                )
        return lines

    @contextlib.contextmanager
    def _ring(self, bucket: str) -> Iterator[Ring]:
        """The bucket's ring, under its lock."""
        with self._mutex:
            if not self._shared:
                yield self._rings.setdefault(bucket, Ring())
                return
            if bucket not in self._stores:
                self._stores[bucket] = RingFile(self._directory / f"{self._name}-{bucket}.ring")
            with self._stores[bucket].locked() as ring:
                yield ring

    def close(self) -> None:
        """Let go of the files."""
        with self._mutex:
            for store in self._stores.values():
                store.close()
            self._stores.clear()


class TooLong(Exception):
    """The wait would be longer than the caller allows; ``wait`` seconds, because of ``rate``."""

    def __init__(self, wait: float, rate: Rate | None) -> None:
        super().__init__(wait, rate)
        self.wait = wait
        self.rate = rate
