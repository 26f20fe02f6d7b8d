"""Receiving a response within a deadline and a size, however slowly its pieces come.

Facts: a read timeout counts from piece to piece, so that a server that sends a byte every half
second is never too slow for it. The deadline is over the head of the response and its body.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import httpcore
import httpx

from hog_dagster._shared.clock import Clock

__all__ = ["DEADLINE", "MOST_BYTES", "DeadlineOver", "TooLarge", "read_body", "set_deadlines"]

#: The moment, on the client's monotonic clock, at which the request of this thread ends.
DEADLINE: ContextVar[float] = ContextVar("DEADLINE", default=math.inf)
#: Bytes of a body, decompressed: no response of PostHog's comes near.
MOST_BYTES = 256 * 1024 * 1024
#: Bytes of one read of a socket. httpcore asks for 64 KB, and each piece costs the same again.
_READ_BYTES = 1024 * 1024


class DeadlineOver(httpx.ReadTimeout):
    """The deadline over the whole request passed."""


class TooLarge(httpx.ReadError):
    """The body is larger than anything PostHog answers."""


def read_body(response: httpx.Response, clock: Clock, *, most_bytes: int = MOST_BYTES) -> bytes:
    """The decompressed body of a streamed response, which is closed afterwards.

    Raises:
        DeadlineOver: :data:`DEADLINE` passed.
        TooLarge: it has more than ``most_bytes``.
        httpx.HTTPError: it broke off.
    """
    deadline = DEADLINE.get()
    pieces: list[bytes] = []
    size = 0
    try:
        if clock.monotonic() > deadline:
            raise DeadlineOver("the deadline passed before the body came")
        for piece in response.iter_bytes():
            pieces.append(piece)
            size += len(piece)
            if size > most_bytes:
                raise TooLarge(f"the body has more than {most_bytes:,} bytes")
            if clock.monotonic() > deadline:
                raise DeadlineOver(f"only {size:,} bytes came before the deadline")
    finally:
        response.close()
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def set_deadlines(client: httpx.Client, clock: Clock) -> None:
    """Let no read of this client's sockets wait past :data:`DEADLINE`.

    The head of a response is read inside the connection pool, out of :func:`read_body`'s reach.
    Where the pool has no such place, the head is under the read timeout alone.
    """
    carriers: Iterable[Any] = (client._transport, *client._mounts.values())
    for carrier in carriers:
        pool = getattr(carrier, "_pool", None)
        backend = getattr(pool, "_network_backend", None)
        if pool is not None and isinstance(backend, httpcore.NetworkBackend):
            pool._network_backend = _Backend(backend, clock)


class _Backend(httpcore.NetworkBackend):
    """Opens sockets whose reads keep to the deadline."""

    def __init__(self, backend: httpcore.NetworkBackend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock

    def connect_tcp(self, *arguments: Any, **options: Any) -> httpcore.NetworkStream:
        return _Stream(self._backend.connect_tcp(*arguments, **options), self._clock)

    def connect_unix_socket(self, *arguments: Any, **options: Any) -> httpcore.NetworkStream:
        return _Stream(self._backend.connect_unix_socket(*arguments, **options), self._clock)

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    __slots__ = ("_clock", "_stream")

    def __init__(self, stream: httpcore.NetworkStream, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        deadline = DEADLINE.get()
        if deadline < math.inf:
            left = deadline - self._clock.monotonic()
            if left <= 0:
                raise httpcore.ReadTimeout("the deadline over the whole request passed")
            timeout = left if timeout is None else min(timeout, left)
        return self._stream.read(max(max_bytes, _READ_BYTES), timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, *arguments: Any, **options: Any) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(*arguments, **options), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
