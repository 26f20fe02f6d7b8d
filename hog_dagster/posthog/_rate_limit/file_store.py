"""Rings in files: what the processes of one machine know together of a key's use.

Facts: none of PostHog's; a file lock makes reading and writing a ring one step.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from hog_dagster._clock import SYSTEM_CLOCK
from hog_dagster.posthog._rate_limit.ring import BYTES, Ring

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["RingFile", "default_pacing_dir", "usable"]

logger = logging.getLogger("hog_dagster.posthog")

#: Rings untouched for so long hold nothing any window still counts.
STALE_S = 86_400.0


def default_pacing_dir() -> Path:
    """A directory of this user's own under the system's temporary directory."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"hog-dagster-pacing-{user}"


def usable(directory: Path) -> bool:
    """Whether ring files can be kept there; makes the directory, says why if not, tidies it."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid") and directory.stat().st_uid not in (os.getuid(), 0):
            raise PermissionError(f"{directory} belongs to another user")
        if not os.access(directory, os.W_OK | os.X_OK):
            raise PermissionError(f"{directory} cannot be written")
    except OSError as error:
        logger.warning(
            "The rate limit is paced in this process alone, not across processes: %s. "
            "Name a directory with pacing_dir.",
            error,
        )
        return False
    _tidy(directory)
    return True


def _tidy(directory: Path) -> None:
    """Remove the rings of keys and hosts no longer used, once a day."""
    mark = directory / "tidied"
    now = SYSTEM_CLOCK.now().timestamp()  # Times of files are the machine's own.
    with contextlib.suppress(OSError):
        if mark.exists() and now - mark.stat().st_mtime < STALE_S:
            return
        mark.touch()
        for path in (*directory.glob("*.ring*"), *directory.glob("*-query.*")):
            if now - path.stat().st_mtime > STALE_S:
                path.unlink()


class RingFile:
    """One ring in a file that all processes map into memory, and the lock on it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._owner = 0
        self._touched = 0.0
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
            if os.fstat(self._descriptor).st_size < BYTES:
                os.ftruncate(self._descriptor, BYTES)
            self._ring = Ring(mmap.mmap(self._descriptor, BYTES))
            self._touched = 0.0
        if SYSTEM_CLOCK.monotonic() - self._touched > 60:
            # Writing through memory does not always mark a file as changed.
            os.utime(self._path)
            self._touched = SYSTEM_CLOCK.monotonic()
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
