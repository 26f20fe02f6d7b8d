"""One writer at a time on a database file, across processes and threads.

The lock is the kernel's (through filelock): it ends with its process, however that dies. A note
beside it says who holds it, for the message of those who wait in vain.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from hog_dagster.warehouse.errors import WarehouseBusy

__all__ = ["DatabaseLock"]


class DatabaseLock:
    """The lock of one database file, kept in ``<file>.lock`` beside it."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(database.name + ".lock")
        self._note = database.with_name(database.name + ".lock.holder")

    @contextmanager
    def held(self, timeout: float, *, note: bool = True) -> Iterator[None]:
        """Hold the lock; WarehouseBusy, naming the holder, after ``timeout`` seconds in vain."""
        lock = FileLock(self._path, thread_local=False)
        try:
            lock.acquire(timeout=timeout, poll_interval=0.02)
        except Timeout:
            holder = self.holder()
            raise WarehouseBusy(
                f"{self._database} is being written by {holder or 'another process'}; waited "
                f"{timeout:g} s. Wait for it to end, or raise lock_timeout_seconds",
                holder=holder,
            ) from None
        try:
            if note:
                self._sign()
            yield
        finally:
            if note:
                with suppress(OSError):
                    self._note.unlink()
            lock.release()

    def _sign(self) -> None:
        with suppress(OSError):  # the note is a courtesy; the lock holds without it
            self._note.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))

    def holder(self) -> str | None:
        """Who signed as the holder, as words; None when nobody did."""
        try:
            note = json.loads(self._note.read_text())
            return f"process {note['pid']} on {note['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            return None
