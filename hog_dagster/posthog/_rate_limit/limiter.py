"""Keeping to PostHog's rate limits ahead of them, together with all that use the key.

Facts: Django REST framework's throttles as PostHog sets them: two sliding windows per bucket,
counted per personal API key, both charged by every request, refused ones included.

The limiter asks a store for a place in all windows of a bucket, waits until it may be used, and
tells the store when the response came. There is no daemon.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hog_dagster._shared.clock import SYSTEM_CLOCK, Clock
from hog_dagster.posthog._rate_limit.file_store import FileStore
from hog_dagster.posthog._rate_limit.query_slots import QuerySlots
from hog_dagster.posthog._rate_limit.ring import CAPACITY
from hog_dagster.posthog._rate_limit.shared_store import SharedStore, is_shared
from hog_dagster.posthog._rate_limit.store import LONG_WAIT_S, Store, Taken
from hog_dagster.posthog._rate_limit.windows import LONGEST_HOLD_S, Rate
from hog_dagster.posthog.errors import ConfigurationError

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
#: A place is used at most so many seconds after its moment; after that it is given back.
LATE_S = 2.0


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of one limit is used, as far as the store knows."""

    bucket: str
    limit: int
    seconds: float
    allowed: int
    used: int

    @property
    def free(self) -> int:
        """Requests that may be sent at once."""
        return max(0, self.allowed - self.used)


class Slot:
    """A request that was let through; ``done`` says that its response came."""

    __slots__ = ("_bucket", "_store", "_taken")

    def __init__(self, store: Store | None, bucket: str, taken: Taken | None) -> None:
        self._store, self._bucket, self._taken = store, bucket, taken

    def done(self) -> None:
        """The response is there, or will never come."""
        if self._store is not None and self._taken is not None:
            self._store.settle(self._bucket, self._taken)


class RateLimiter:
    """Lets requests through so that PostHog never has to answer 429, with the settings of
    :class:`PostHogClient`, which says what they mean.

    The store's names are hashed from ``key``. A bucket that is not among the limits uses
    ``default``; no limits switch limiting off. ``on_change`` is told, in a sentence, when where it
    counts changes.

    Raises:
        ConfigurationError: a setting cannot be right.
    """

    def __init__(
        self,
        key: str,
        *,
        limits: Mapping[str, Sequence[Rate]] = LIMITS,
        headroom: float = 0.9,
        where: str | os.PathLike[str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        on_change: Callable[[str], None] = lambda said: None,
    ) -> None:
        if not 0 < headroom <= 1:
            raise ConfigurationError(
                f"headroom={headroom}: give the part of the rate limit to use, such as 0.9."
            )
        self.headroom = headroom
        self._clock = clock
        self.limits: dict[str, tuple[Rate, ...]] = {
            name: tuple(rates) for name, rates in limits.items()
        }
        for rates in self.limits.values():
            for rate in rates:
                if rate.requests > CAPACITY // 2 or rate.requests < 1 or rate.seconds <= 0:
                    raise ConfigurationError(f"{rate}: the limiter counts up to {CAPACITY // 2}.")
        name = hashlib.sha256(key.encode()).hexdigest()[:24]
        self._store: Store | None = None
        directory = shared = None
        if self.limits and is_shared(where):
            shared = SharedStore(name, str(where), clock, on_change)
            self._store, directory = shared, shared.local.directory
        elif self.limits:
            files = FileStore(name, where, clock, on_change)
            self._store, directory = files, files.directory
        self.queries: QuerySlots = QuerySlots(directory, name, clock, shared=shared)
        #: Where it counts, in words.
        self.counted: str = "nowhere: limiting is off"
        if isinstance(self._store, SharedStore):
            self.counted = f"by all machines together, in {self._store.location}"
        elif directory is not None:
            self.counted = f"by the processes of this machine together, in {directory}"
        elif self._store is not None:
            self.counted = "by this process alone"

    def rates(self, bucket: str) -> tuple[Rate, ...]:
        """The limits we keep to in ``bucket``, head-room taken off."""
        rates = self.limits.get(bucket, self.limits.get("default", ()))
        small = self._small(bucket) if rates else None
        rates = (*rates, small) if small is not None else rates
        return tuple(rate.scaled(self.headroom) for rate in rates)

    def acquire(
        self,
        bucket: str,
        *,
        max_wait: float,
        on_wait: Callable[[float, Rate | None], None],
    ) -> tuple[Slot, float]:
        """Wait until a request of ``bucket`` may be sent, and count it. Gives the slot, whose
        ``done`` is to be called when the response came, and the seconds waited; ``on_wait`` is
        told, before each wait, how long and which limit (None: PostHog asked).

        Raises:
            TooLong: the wait would be longer than ``max_wait``; nothing was counted.
        """
        rates, store = self.rates(bucket), self._store
        if not rates or store is None:
            return Slot(None, bucket, None), 0.0
        began = self._clock.monotonic()
        waited = 0.0
        while True:
            offered = store.take(bucket, rates, within=max_wait - waited)
            if isinstance(offered, Taken):
                if self._wait_for(store, bucket, offered, on_wait):
                    return Slot(store, bucket, offered), self._clock.monotonic() - began
            elif waited + offered.seconds > max_wait:
                raise TooLong(offered.seconds, offered.rate)
            else:
                on_wait(offered.seconds, offered.rate)
                self._clock.sleep(min(offered.seconds, offered.ask_again) + 0.001)
            waited = self._clock.monotonic() - began

    def _wait_for(
        self,
        store: Store,
        bucket: str,
        taken: Taken,
        on_wait: Callable[[float, Rate | None], None],
    ) -> bool:
        """Wait for the moment of a place. False: it cannot be used, and was given back."""
        ahead = taken.at - self._clock.monotonic()
        try:
            if ahead > 0:
                on_wait(ahead, taken.rate)
                self._clock.sleep(ahead + 0.001)
            late = self._clock.monotonic() - taken.at > LATE_S
            # Others may have been told meanwhile to hold back.
            held = ahead > LONG_WAIT_S / 5 and store.held(bucket) > 0
        except BaseException:
            store.give_back(bucket, taken)
            raise
        if late or held:
            store.give_back(bucket, taken)
        return not (late or held)

    def hold(self, bucket: str, seconds: float) -> None:
        """PostHog answered 429: nobody sends in this bucket for ``seconds``."""
        if self._store is not None and self.rates(bucket):
            self._store.hold(bucket, min(seconds, LONGEST_HOLD_S))

    def learn(self, bucket: str, wait: float) -> bool:
        """PostHog asked to wait for so many seconds: whether that shows a smaller limit.

        A wait of more than a minute is the hour's. It is this key's own, and not that of others
        who use it too, when about as many requests as the small limit allows were sent from here.
        """
        small = SMALL_LIMITS.get(bucket)
        if small is None or wait <= 60 or self._store is None or self._small(bucket) is not None:
            return False
        sent = self._store.count(bucket, small.seconds)
        if not small.requests // 2 <= sent <= small.requests * 1.1:
            return False
        self._store.learn(bucket)
        return True

    def _small(self, bucket: str) -> Rate | None:
        """The smaller limit that this key was seen to have, by any process, within a day."""
        if bucket not in SMALL_LIMITS or self._store is None:
            return None
        at = self._store.learned_at(bucket)
        if at is None or not 0 <= self._clock.now().timestamp() - at < LEARNED_FOR_S:
            return None
        return SMALL_LIMITS[bucket]

    def usage(self) -> list[Usage]:
        """How much of each limit is used in its windows, as far as the store knows."""
        if self._store is None:
            return []
        return [
            Usage(
                bucket,
                rate.requests,
                rate.seconds,
                rate.scaled(self.headroom).requests,
                self._store.count(bucket, rate.seconds),
            )
            for bucket, rates in self.limits.items()
            for rate in rates
        ]

    def close(self) -> None:
        """Give back what is held."""
        if self._store is not None:
            self._store.close()


class TooLong(Exception):
    """The wait would be longer than the caller allows; ``wait`` seconds, because of ``rate``."""

    def __init__(self, wait: float, rate: Rate | None) -> None:
        super().__init__(wait, rate)
        self.wait = wait
        self.rate = rate
