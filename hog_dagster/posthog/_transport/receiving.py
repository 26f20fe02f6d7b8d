"""Receiving a response within a deadline and a size, however slowly its pieces come.

Facts: a read timeout counts from piece to piece, so that a server that sends a byte every half
second is never too slow for it. The deadline is over the head of the response and its body;
httpcore hands the read timeout of a request to each read of its socket unchanged, so that it rides
on that. zlib makes a thousand bytes of one, and the decoders of httpx unpack as much as came in one
read.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore
import httpx

from hog_dagster._shared.clock import Clock

#: Bytes of a body, decompressed: no response of PostHog's comes near.
MOST_BYTES = 256 * 1024 * 1024
#: Bytes that are unpacked at a time.
_UNPACKED_BYTES = 1024 * 1024
#: Bytes of one read of a socket. httpcore asks for 64 KB, and each piece costs the same again.
_READ_BYTES = 1024 * 1024


class ReadTimeout(float):
    """Seconds between two pieces of a response, and the moment at which its request ends."""

    end: float

    def __new__(cls, seconds: float, end: float) -> ReadTimeout:
        timeout = super().__new__(cls, seconds)
        timeout.end = end
        return timeout


class DeadlineOver(httpx.ReadTimeout):
    """The deadline over the whole request passed."""


class TooLarge(httpx.ReadError):
    """The body is larger than anything PostHog answers."""


def read_body(
    response: httpx.Response, clock: Clock, deadline: float, *, most_bytes: int = MOST_BYTES
) -> bytes:
    """The decompressed body of a streamed response, which is closed afterwards. The request ends
    at the deadline, a moment of the clock's monotonic time.

    Raises:
        DeadlineOver: the deadline passed.
        TooLarge: it has more than ``most_bytes``.
        httpx.HTTPError: it broke off, or is packed in a way that was not asked for.
    """
    pieces: list[bytes] = []
    size = 0
    try:
        if clock.monotonic() > deadline:
            raise DeadlineOver("the deadline passed before the body came")
        for piece in _unpacked(response):
            pieces.append(piece)
            size += len(piece)
            if size > most_bytes:
                raise TooLarge(f"the body has more than {most_bytes:,} bytes")
            if clock.monotonic() > deadline:
                raise DeadlineOver(f"only {size:,} bytes came before the deadline")
    finally:
        response.close()
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _unpacked(response: httpx.Response) -> Iterator[bytes]:
    """The pieces of a body, unpacked, none of them large."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if response.is_stream_consumed:  # a transport that is passed in may give it whole
        yield response.content
    elif encoding in ("", "identity"):
        yield from response.iter_raw()
    elif encoding in ("gzip", "x-gzip", "deflate"):
        yield from _inflated(response, gzip=encoding != "deflate")
    else:
        raise httpx.DecodingError(
            f"it is packed as {encoding[:40]!r}, and only gzip or deflate was asked for"
        )


def _inflated(response: httpx.Response, *, gzip: bool) -> Iterator[bytes]:
    """What gzip or deflate packed; some servers call deflate what lacks zlib's head."""
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS if gzip else zlib.MAX_WBITS)
    head = b""  # what came before the two bytes that tell which deflate it is
    try:
        for packed in response.iter_raw():
            try:
                piece = unpack.decompress(packed, _UNPACKED_BYTES)
            except zlib.error:
                if gzip or len(head) > 1:
                    raise
                unpack = zlib.decompressobj(-zlib.MAX_WBITS)
                piece = unpack.decompress(head + packed, _UNPACKED_BYTES)
            head = (head + packed)[:2]
            yield piece
            while unpack.unconsumed_tail or len(piece) == _UNPACKED_BYTES:
                piece = unpack.decompress(unpack.unconsumed_tail, _UNPACKED_BYTES)
                yield piece
    except zlib.error as error:
        raise httpx.DecodingError(f"it cannot be unpacked: {error}") from None
    yield unpack.flush()


def set_deadlines(client: httpx.Client, clock: Clock) -> None:
    """Let no read of this client's sockets wait past the end that its :class:`ReadTimeout` has.

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
        if isinstance(timeout, ReadTimeout):
            left = timeout.end - self._clock.monotonic()
            if left <= 0:
                raise httpcore.ReadTimeout("the deadline over the whole request passed")
            timeout = min(float(timeout), left)
        return self._stream.read(max(max_bytes, _READ_BYTES), timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, *arguments: Any, **options: Any) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(*arguments, **options), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
