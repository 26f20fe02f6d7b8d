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
import logging
import math
import mmap
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filelock import FileLock

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from hog_dagster.posthog.errors import ConfigurationError

__all__ = ["LIMITS", "Pacer", "Rate", "Slot", "TooLong", "Usage", "default_pacing_dir"]

logger = logging.getLogger("hog_dagster.posthog")

#: A request may be counted by the server up to this many seconds after it was let through; a slot
#: whose request never came back (a killed process) is held this much longer.
IN_FLIGHT_S = 10.0
#: The server never asks for longer: beyond this the machine's clock was set back.
LONGEST_HOLD_S = 3_700.0
_HEADER = 2  # slots written so far, time until which the server asked us to hold back
_CAPACITY = 16_384
_BYTES = 8 * (_HEADER + _CAPACITY)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``requests`` in any ``seconds``."""

    requests: int
    seconds: float

    def scaled(self, headroom: float) -> Rate:
        """The part of this limit that we allow ourselves."""
        return Rate(max(1, math.floor(self.requests * headroom)), self.seconds)


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


class Slot(Protocol):
    """A request that was let through; ``done`` says when its answer came."""

    def done(self) -> None: ...


class Ring:
    """Pure part: the ring of times and what it allows. Knows no file and no clock."""

    def __init__(self, buffer: bytearray | mmap.mmap | None = None) -> None:
        self.values = memoryview(bytearray(_BYTES) if buffer is None else buffer).cast("d")

    @property
    def written(self) -> int:
        return int(self.values[0])

    @property
    def hold_until(self) -> float:
        return self.values[1]

    def hold(self, until: float) -> None:
        self.values[1] = max(self.values[1], until)

    def push(self, at: float) -> int:
        """Take the next slot; returns its index."""
        index = self.written
        self.values[_HEADER + index % _CAPACITY] = at
        self.values[0] = index + 1
        return index

    def settle(self, index: int, at: float) -> None:
        """The server had counted slot ``index`` by ``at``: never later than was assumed."""
        place = _HEADER + index % _CAPACITY
        if self.written - index <= _CAPACITY:
            self.values[place] = min(self.values[place], at)

    def within(self, seconds: float, now: float) -> list[float]:
        """Times of the last ``seconds``, as the server may have counted them."""
        times: list[float] = []
        for index in range(self.written - 1, max(-1, self.written - 1 - _CAPACITY), -1):
            at = self.values[_HEADER + index % _CAPACITY]
            if at > now + IN_FLIGHT_S:
                continue  # The machine's clock was set back since.
            if at > now - seconds:
                times.append(min(at, now))  # Later than now: still on its way.
            elif at <= now - seconds - IN_FLIGHT_S:
                break  # Slots are taken in order, so all before this one are older still.
        return times

    def wait(self, rates: Sequence[Rate], now: float) -> tuple[float, Rate | None]:
        """Seconds until a request may be sent, and the limit that makes it wait."""
        held = self.hold_until - now
        longest, reason = held if 0 < held <= LONGEST_HOLD_S else 0.0, None
        for rate in rates:
            oldest_allowed = self.written - rate.requests
            if oldest_allowed < 0:
                continue
            if (
                oldest_allowed > self.written - _CAPACITY
                and self.values[_HEADER + oldest_allowed % _CAPACITY]
                <= now - rate.seconds - IN_FLIGHT_S
            ):
                continue
            times = self.within(rate.seconds, now)
            if len(times) >= rate.requests:
                times.sort()
                wait = times[len(times) - rate.requests] + rate.seconds - now
                if wait > longest:
                    longest, reason = wait, rate
        return longest, reason


def default_pacing_dir() -> Path:
    """A directory of this user's own under the system's temporary directory."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"hog-dagster-pacing-{user}"


class _FileSlot:
    __slots__ = ("_at", "_pacer", "bucket", "index")

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
    """

    def __init__(
        self,
        key: str,
        *,
        limits: Mapping[str, Sequence[Rate]] = LIMITS,
        headroom: float = 0.9,
        directory: str | os.PathLike[str] | None = None,
    ) -> None:
        if not 0 < headroom <= 1:
            raise ConfigurationError(
                f"headroom={headroom}: give the part of the rate limit to use, such as 0.9."
            )
        self.headroom = headroom
        self.limits = {name: tuple(rates) for name, rates in limits.items()}
        for rates in self.limits.values():
            for rate in rates:
                if rate.requests > _CAPACITY // 2 or rate.requests < 1 or rate.seconds <= 0:
                    raise ConfigurationError(f"{rate}: pacing counts up to {_CAPACITY // 2}.")
        self._name = hashlib.sha256(key.encode()).hexdigest()[:24]
        self._directory = Path(directory) if directory is not None else default_pacing_dir()
        self._mutex = threading.Lock()
        self._rings: dict[str, Ring] = {}
        self._stores: dict[str, _Store] = {}
        self._shared = bool(self.limits) and self._open_directory()

    def _open_directory(self) -> bool:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if hasattr(os, "getuid") and self._directory.stat().st_uid not in (os.getuid(), 0):
                raise PermissionError(f"{self._directory} belongs to another user")
            if not os.access(self._directory, os.W_OK | os.X_OK):
                raise PermissionError(f"{self._directory} cannot be written")
        except OSError as error:
            logger.warning(
                "The rate limit is paced in this process alone, not across processes: %s. "
                "Name a directory with pacing_dir.",
                error,
            )
            return False
        return True

    def rates(self, bucket: str) -> tuple[Rate, ...]:
        """The limits we keep to in ``bucket``, head-room taken off."""
        rates = self.limits.get(bucket, self.limits.get("default", ()))
        return tuple(rate.scaled(self.headroom) for rate in rates)

    def acquire(
        self,
        bucket: str,
        *,
        max_wait: float,
        on_wait: Callable[[float, Rate | None], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> tuple[Slot, float]:
        """Wait until a request of ``bucket`` may be sent, and count it.

        Args:
            bucket: the rate limit it is charged to.
            max_wait: seconds this may take at most.
            on_wait: told, before each wait, how long and which limit (None: PostHog asked).
            sleep: how to wait.

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
                now = time.time()
                wait, reason = ring.wait(rates, now)
                if wait <= 0:
                    return _FileSlot(self, bucket, ring.push(now + IN_FLIGHT_S)), waited
            if waited + wait > max_wait:
                raise TooLong(wait, reason)
            on_wait(wait, reason)
            started = time.monotonic()
            sleep(wait + 0.001)
            waited += time.monotonic() - started

    def settle(self, bucket: str, index: int) -> None:
        """The answer to slot ``index`` is there: the server counted it by now.

        Without the file's lock: nobody else writes to that slot.
        """
        with self._mutex:
            store = self._stores.get(bucket)
            ring = store.mapped() if store else self._rings.get(bucket)
            if ring is not None:
                ring.settle(index, time.time())

    def hold(self, bucket: str, seconds: float) -> None:
        """PostHog answered 429: no process sends in this bucket for ``seconds``."""
        if self.rates(bucket):
            with self._ring(bucket) as ring:
                ring.hold(time.time() + seconds)

    def usage(self) -> list[Usage]:
        """How much of each limit this machine has used in its windows."""
        lines: list[Usage] = []
        for bucket, rates in self.limits.items():
            with self._ring(bucket) as ring:
                now = time.time()
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
                self._stores[bucket] = _Store(self._directory / f"{self._name}-{bucket}.ring")
            with self._stores[bucket].locked() as ring:
                yield ring

    def close(self) -> None:
        """Let go of the files."""
        with self._mutex:
            for store in self._stores.values():
                store.close()
            self._stores.clear()


class _Store:
    """One ring in a file that all processes map into memory, and the lock on it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._owner = 0
        self._ring: Ring | None = None

    @contextlib.contextmanager
    def locked(self) -> Iterator[Ring]:
        if fcntl is None:
            with FileLock(f"{self._path}.lock").acquire(poll_interval=0.001):
                yield self.mapped()
            return
        # Straight from the system: a hundred times as fast as a lock file, on every request.
        while True:
            ring = self.mapped()
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if self._is_current():
                break
            self.close()
        try:
            yield ring
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def mapped(self) -> Ring:
        """The ring in the file; opened again after a fork, or when the file was tidied away."""
        if self._ring is None or not self._is_current():
            self.close()
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            self._owner = os.getpid()
            if os.fstat(self._descriptor).st_size < _BYTES:
                os.ftruncate(self._descriptor, _BYTES)
            self._ring = Ring(mmap.mmap(self._descriptor, _BYTES))
        return self._ring

    def _is_current(self) -> bool:
        if self._descriptor < 0 or self._owner != os.getpid():
            return False
        try:
            there, ours = self._path.stat(), os.fstat(self._descriptor)
        except FileNotFoundError:
            return False
        return there.st_ino == ours.st_ino and there.st_dev == ours.st_dev

    def close(self) -> None:
        if self._ring is not None:
            self._ring.values.release()
            self._ring = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class TooLong(Exception):
    """The wait would be longer than the caller allows; ``wait`` seconds, because of ``rate``."""

    def __init__(self, wait: float, rate: Rate | None) -> None:
        super().__init__(wait, rate)
        self.wait = wait
        self.rate = rate
