"""The requests of one bucket in a fixed piece of memory, which processes share as a locked file.

A slot holds one number: the time by which the server had counted the request; or, while that is
not known, the moment from which it may be sent, negative; or 0 when it was never sent.

Facts: a file that is only made long has no room yet; writing to such a place in memory, when the
file system is full, ends the process (SIGBUS). So its room is taken before it is mapped.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock

from hog_dagster._shared.clock import SYSTEM_CLOCK
from hog_dagster.posthog._rate_limit.windows import (
    IN_FLIGHT_S,
    RESERVE_S,
    Entry,
    Moment,
    Rate,
    next_moment,
)

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_HEADER = 2  # slots written so far, time until which the server asked us to hold back
#: Requests remembered; the largest limit must fit well within.
CAPACITY = 16_384
BYTES = 8 * (_HEADER + CAPACITY)
#: Slots are in the order of their times, but for so many seconds.
_DISORDER_S = RESERVE_S + IN_FLIGHT_S


class Ring:
    """A ring of slots in a buffer of :data:`BYTES`, or in memory of its own."""

    def __init__(self, buffer: bytearray | mmap.mmap | None = None) -> None:
        self.values = memoryview(bytearray(BYTES) if buffer is None else buffer).cast("d")

    @property
    def written(self) -> int:
        return int(self.values[0])

    @property
    def hold_until(self) -> float:
        return self.values[1]

    def hold(self, until: float) -> None:
        """Send nothing until then; a hold that ends later stays."""
        self.values[1] = max(self.values[1], until)

    def take(self, rates: Sequence[Rate], now: float, *, latest: float) -> tuple[int, Moment]:
        """The next slot, when its moment is certain and not after ``latest``.

        Returns:
            The slot's index, -1 when none was taken; and the moment.
        """
        moment = next_moment(
            ((rate, self._nth_newest(rate, now)) for rate in rates),
            hold_until=self.hold_until,
            now=now,
        )
        if not moment.certain or moment.at > latest:
            return -1, moment
        return self._push(-moment.at), moment

    def add(self, at: float) -> None:
        """A request that the server had counted by ``at``."""
        self._push(at)

    def settle(self, index: int, at: float) -> None:
        """The server had counted slot ``index`` by ``at``, and never later than was assumed."""
        place = _HEADER + index % CAPACITY
        if self.written - index <= CAPACITY and self.values[place] < 0:
            self.values[place] = min(IN_FLIGHT_S - self.values[place], at)

    def give_back(self, index: int) -> None:
        """Slot ``index`` was not and will not be sent."""
        place = _HEADER + index % CAPACITY
        if self.written - index <= CAPACITY and self.values[place] < 0:
            self.values[place] = 0.0

    def within(self, seconds: float, now: float) -> list[Entry]:
        """Requests that may be counted in the last ``seconds``, in no order."""
        entries: list[Entry] = []
        for index in range(self.written - 1, max(-1, self.written - 1 - CAPACITY), -1):
            value = self.values[_HEADER + index % CAPACITY]
            if value == 0:
                continue
            settled = value > 0
            counted_by = value if settled else IN_FLIGHT_S - value
            if counted_by > now + (IN_FLIGHT_S if settled else _DISORDER_S):
                continue  # Written before the machine's clock was set back.
            if counted_by > now - seconds:
                entries.append(Entry(value if settled else -value, counted_by, settled))
            elif counted_by <= now - seconds - _DISORDER_S:
                break
        return entries

    def _nth_newest(self, rate: Rate, now: float) -> Entry | None:
        index = self.written - rate.requests
        if index < 0:
            return None
        if index > self.written - CAPACITY:
            value = abs(self.values[_HEADER + index % CAPACITY])
            if 0 < value <= now - rate.seconds - _DISORDER_S - IN_FLIGHT_S:
                return None  # Even that one is older than the window.
        entries = self.within(rate.seconds, now)
        if len(entries) < rate.requests:
            return None
        entries.sort(key=lambda entry: entry.counted_by)
        return entries[len(entries) - rate.requests]

    def _push(self, value: float) -> int:
        index = self.written
        self.values[_HEADER + index % CAPACITY] = value
        self.values[0] = index + 1
        return index


class RingFile:
    """A ring in a file, which is made when it is not there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._owner = 0
        self._touched = 0.0
        self._ring: Ring | None = None

    @contextlib.contextmanager
    def locked(self) -> Iterator[Ring]:
        """The ring, for this process alone.

        Raises:
            OSError: there is no room, no right, no lock.
        """
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
        """The ring in the file; opened again after a fork, or when the file was tidied away.

        Raises:
            OSError: there is no room, or no right.
        """
        if self._ring is None or not self._is_current():
            self.close()
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            self._owner = os.getpid()
            try:
                self._take_room()
                self._ring = Ring(mmap.mmap(self._descriptor, BYTES))
            except OSError:
                self.close()
                raise
            self._touched = 0.0
        if SYSTEM_CLOCK.monotonic() - self._touched > 60:
            # Writing through memory does not always mark a file as changed.
            with contextlib.suppress(OSError):
                os.utime(self._path)
            self._touched = SYSTEM_CLOCK.monotonic()
        return self._ring

    def _take_room(self) -> None:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._descriptor, 0, BYTES)  # What is written there stays.
            return
        there = os.fstat(self._descriptor).st_size
        if there < BYTES:
            os.lseek(self._descriptor, there, os.SEEK_SET)
            os.write(self._descriptor, bytes(BYTES - there))

    def _is_current(self) -> bool:
        if self._descriptor < 0 or self._owner != os.getpid():
            return False
        try:
            there, ours = self._path.stat(), os.fstat(self._descriptor)
        except FileNotFoundError:
            return False
        return there.st_ino == ours.st_ino and there.st_dev == ours.st_dev

    def close(self) -> None:
        """Let go of the file."""
        if self._ring is not None:
            self._ring.values.release()
            self._ring = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
