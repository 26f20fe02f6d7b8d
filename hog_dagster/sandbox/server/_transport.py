"""The sandbox without sockets: an httpx transport that calls the application in this process.

Faults are what a client of a real socket sees: cuts are read, protocol or connect errors, delays
beyond a timeout are timeouts. Time passes in the sandbox's clock, nobody sleeps.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from urllib.parse import unquote

import httpx

from hog_dagster.sandbox.server._app import Application, Incoming, Outgoing
from hog_dagster.sandbox.server._faults import Fault
from hog_dagster.sandbox.server._site import SandboxSite


class SandboxTransport(httpx.BaseTransport):
    """Serves each request at once, on the caller's thread, if the server is `listening`."""

    def __init__(
        self, site: SandboxSite, app: Application, listening: Callable[[], bool] | None = None
    ) -> None:
        self._site, self._app = site, app
        self._listening = listening

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        incoming = _incoming(request, body)
        if self._listening is not None and not self._listening():
            raise httpx.ConnectError("[Errno 111] Connection refused", request=request)
        if incoming.path.startswith("/_sandbox"):
            out = self._app.control(incoming)
            return _response(out, request, [out.content])
        fault = self._app.strike(incoming)
        if fault is not None and fault.cut == "connect":
            raise httpx.ConnectError("[Errno 111] Connection refused", request=request)
        timeouts = request.extensions.get("timeout") or {}
        limit = timeouts.get("read")
        delay = self._site.latency + (fault.delay if fault else 0.0)
        hold = fault.hold if fault else 0.0
        if limit is not None and delay + hold > limit:
            self._late(incoming, fault, delay, hold, limit)
            raise httpx.ReadTimeout("The read operation timed out", request=request)
        self._pass(delay)
        out = self._app.answer(incoming, fault)
        self._pass(hold)
        if out is None:
            raise _cut(request)
        if fault is None:
            return _response(out, request, [out.content])
        half = fault.cut == "during"
        content = out.content[: len(out.content) // 2] if half else out.content
        return _response(out, request, self._bytes(content, fault, request, half=half))

    def _late(
        self, request: Incoming, fault: Fault | None, delay: float, hold: float, limit: float
    ) -> None:
        """The client gives up; what the server was asked it does in its own time."""
        if delay > limit:
            due = self._site.clock.now() + timedelta(seconds=delay)
            self._site.world.later(due, lambda: self._app.answer(request, fault))
            self._pass(limit)
            return
        self._pass(delay)
        self._app.answer(request, fault)
        self._pass(limit - delay)

    def _bytes(
        self, content: bytes, fault: Fault, request: httpx.Request, *, half: bool
    ) -> Iterator[bytes]:
        if fault.drip > 0:
            for index in range(len(content)):
                self._pass(fault.drip)
                yield content[index : index + 1]
        else:
            yield content
        if half:
            raise httpx.RemoteProtocolError(
                "peer closed connection without sending complete message body", request=request
            )

    def _pass(self, seconds: float) -> None:
        if seconds > 0:
            self._site.clock.sleep(seconds)


class _Stream(httpx.SyncByteStream):
    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts


def _incoming(request: httpx.Request, body: bytes) -> Incoming:
    url = request.url
    path, _, query = url.raw_path.partition(b"?")
    text = path.decode("ascii")
    return Incoming(
        method=request.method,
        path=unquote(text) if "%" in text else text,
        query=query.decode("ascii"),
        headers=request.headers,
        base_url=f"{url.scheme}://{url.netloc.decode('ascii')}",
        body=body,
    )


def _response(out: Outgoing, request: httpx.Request, parts: Iterable[bytes]) -> httpx.Response:
    headers = dict(out.headers)
    if out.status != 204:
        headers["Content-Length"] = str(len(out.content))
    return httpx.Response(out.status, headers=headers, stream=_Stream(parts), request=request)


def _cut(request: httpx.Request) -> httpx.TransportError:
    """A connection that was reset under a request without a byte of a response."""
    return httpx.ReadError("[Errno 104] Connection reset by peer", request=request)
