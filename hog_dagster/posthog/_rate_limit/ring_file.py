"""A ring in a file that all processes of a machine map into memory, and the lock on it.

Facts: a file that is only made long has no room yet; writing to such a place in memory, when the
file system is full, ends the process (SIGBUS). So its room is taken before it is mapped.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from hog_dagster._shared.clock import SYSTEM_CLOCK
from hog_dagster.posthog._rate_limit.ring import BYTES, Ring

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["RingFile"]


class RingFile:
    """One ring in a file.

    Args:
        path: the file; made when it is not there.
    """

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
