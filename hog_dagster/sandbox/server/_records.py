"""What the sandbox was asked: one record per request, for counting in tests.

Keys appear by name only.
"""

import threading
from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct


class RequestRecord(Struct, kw_only=True):
    """One request.

    Attributes:
        key: the name of the key that was used (never its value); None when it was not valid.
        status: the response's status; 0 when the connection was cut without one.
        at: the sandbox clock's time.
        fault: whether an injected fault touched it.
    """

    method: str
    path: str
    query: str
    body: Any
    key: str | None
    status: int
    at: datetime
    fault: bool = False


def matches(method: str, path: str, wanted_method: str, wanted_path: str) -> bool:
    """Whether a request is meant by a method and a path glob, with a last slash or without."""
    if wanted_method not in ("*", method):
        return False
    return fnmatchcase(path.rstrip("/"), wanted_path.rstrip("/") or "*")


class RecordBook:
    """The requests so far, in order. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[RequestRecord] = []

    def add(self, record: RequestRecord) -> None:
        with self._lock:
            self._records.append(record)

    def all(self) -> list[RequestRecord]:
        with self._lock:
            return list(self._records)

    def clear(self) -> None:
        with self._lock:
            self._records.clear()

    def count(self, method: str = "*", path: str = "*") -> int:
        """How many requests had this method and a path that fits the glob."""
        return sum(matches(record.method, record.path, method, path) for record in self.all())

    def __iter__(self) -> Iterator[RequestRecord]:
        return iter(self.all())
