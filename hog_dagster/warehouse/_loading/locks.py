"""One writer at a time on a database file, across processes and threads.

The lock is the kernel's (through filelock): it ends with its process, however that dies. A note
beside it says who holds it, for the message of those who wait in vain.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from hog_dagster.warehouse.errors import WarehouseBusy

#: Seconds of waiting before the first report.
_SAID_AFTER = 5.0


class Patience:
    """Reports a wait, after five seconds and each time the wait has doubled: `say` takes a sentence
    that ends with `what`."""

    def __init__(self, what: Callable[[], str], say: Callable[[str], None] | None) -> None:
        self._what, self._say = what, say
        self._began, self._next = time.monotonic(), _SAID_AFTER

    def look(self) -> None:
        """Report the wait, when the next report is due."""
        waited = time.monotonic() - self._began
        if self._say is not None and waited >= self._next:
            self._next = max(2 * self._next, waited)
            self._say(f"Waiting for {waited:.0f} s now: {self._what()}.")


class DatabaseLock:
    """The lock of one database file, kept in ``<file>.lock`` beside it."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(database.name + ".lock")
        self._note = database.with_name(database.name + ".lock.holder")

    @contextmanager
    def held(
        self, timeout: float, *, note: bool = True, say: Callable[[str], None] | None = None
    ) -> Iterator[None]:
        """Hold the lock; WarehouseBusy, naming the holder, after ``timeout`` seconds in vain.

        ``say`` takes a sentence when the wait is long.
        """
        lock = FileLock(self._path, thread_local=False)
        deadline = time.monotonic() + timeout
        patience = Patience(
            lambda: f"{self._database} is being written by {self.holder() or 'another process'}",
            say,
        )
        while True:
            left = deadline - time.monotonic()
            try:
                lock.acquire(timeout=max(0.0, min(left, 1.0)), poll_interval=0.02)
                break
            except Timeout:
                if time.monotonic() < deadline:
                    patience.look()
                    continue
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
