"""The ASGI application: routing, then authentication, scopes, project, throttle, handler, in
PostHog's order.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from hog_dagster.sandbox.api import (
    Answer,
    Call,
    Endpoint,
    EndpointGroup,
    Key,
    authenticate,
    check_scopes,
    errors,
    redact,
)
from hog_dagster.sandbox.engine import settle
from hog_dagster.sandbox.server._faults import Fault
from hog_dagster.sandbox.server._pages import is_page, page
from hog_dagster.sandbox.server._path_matching import Place, Routes
from hog_dagster.sandbox.server._records import RequestRecord
from hog_dagster.sandbox.server._renderers import CSV, JSON, as_csv, form_of
from hog_dagster.sandbox.server._site import SandboxSite

_DEPRECATED = {"Deprecation": "true", "Sunset": "Fri, 31 Jul 2026 00:00:00 GMT"}
_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


@dataclass
class Incoming:
    """One request, however it came in; header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    base_url: str
    body: bytes


@dataclass
class Outgoing:
    """What is to be sent back, and what is to happen to it on the way."""

    status: int
    headers: dict[str, str]
    content: bytes
    fault: Fault | None = None


class Application:
    """ASGI app over a `SandboxSite`; `control` (``/_sandbox/``) knows no key, record or fault."""

    def __init__(
        self, site: SandboxSite, groups: Sequence[EndpointGroup], control: Sequence[EndpointGroup]
    ) -> None:
        self.site = site
        self._routes = Routes(groups)
        self._control = Routes(control)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        received = Request(scope, receive)
        try:
            body = await received.body()
        except ClientDisconnect:
            return
        request = Incoming(
            method=received.method,
            path=scope["path"],
            query=received.url.query,
            headers=received.headers,
            base_url=str(received.base_url).rstrip("/"),
            body=body,
        )
        if request.path.startswith("/_sandbox"):
            await _send(send, self.control(request))
            return
        if is_page(request.method, request.path):
            status, html = page(self.site, request.path, request.query)
            await _send(send, Outgoing(status, {"Content-Type": "text/html; charset=utf-8"}, html))
            return
        fault = self.strike(request)
        await self._wait(self.site.latency + (fault.delay if fault else 0.0))
        queries = self.site.queries
        asks = request.method == "POST" and request.path.rstrip("/").endswith("/query")
        if asks and not await queries.enter(self._wait):
            await _send(send, self.refuse(request))
            return
        try:
            if asks and queries.seconds:
                await self._wait(queries.seconds)
            out = self.answer(request, fault)
        finally:
            if asks:
                queries.leave()
        if fault is not None:
            await self._wait(fault.hold)
        if out is None:
            await _cut(scope, receive)
            return
        await _send(send, out)
        if fault is not None and fault.cut == "during":
            await _cut(scope, receive)

    def refuse(self, request: Incoming) -> Outgoing:
        """The response to a query that got no slot: no time to wait in it, and no header."""
        error = errors.too_many_queries(self.site.queries.most)
        self._record(request, self._known_key(request), error.status, None)
        return Outgoing(error.status, _json(), _encode(error.body), None)

    def strike(self, request: Incoming) -> Fault | None:
        """The fault on order for a request, which it uses up."""
        return self.site.faults.strike(request.method, request.path)

    def answer(self, request: Incoming, fault: Fault | None) -> Outgoing | None:
        """Serve a request as far as its fault lets it; None when nothing comes back at all."""
        if fault is not None and fault.cut in ("before", "connect"):
            self._record(request, self._known_key(request), 0, fault)
            return None
        if fault is None or fault.lets_through:
            key, status, headers, content = self.serve(request)
        else:
            key, status, headers, content = self._known_key(request), 200, {}, b""
        if fault is not None:
            status, headers, content = _replaced(fault, status, headers, content)
        cut = fault.cut if fault is not None else None
        self._record(request, key, 0 if cut == "after" else status, fault)
        if cut == "after":
            return None
        if request.method == "HEAD":
            content = b""
        headers.setdefault("Date", format_datetime(self.site.clock.now(), usegmt=True))
        return Outgoing(status, headers, content, fault)

    def serve(self, request: Incoming) -> tuple[Key | None, int, dict[str, str], bytes]:
        """Answer one API request: (key, status, headers, body)."""
        with self.site.world.lock:
            settle(self.site.world)
            self.site.changes += request.method not in ("GET", "HEAD", "OPTIONS")
            return self._serve(request)

    def _serve(self, request: Incoming) -> tuple[Key | None, int, dict[str, str], bytes]:
        site, path = self.site, request.path
        notice: dict[str, str] = {}
        if path.startswith("/api/environments/"):
            target = "/api/projects/" + path.removeprefix("/api/environments/")
            if site.newer or site.redirect_environments:
                notice = {**_DEPRECATED, "Link": f'<{target}>; rel="successor-version"'}
            if site.redirect_environments:
                query = f"?{request.query}" if request.query else ""
                return None, 307, {"Location": target + query, **notice}, b""
            if site.newer:
                path = target
        place, args = self._routes.match(path)
        if place is None or (site.missing and place.name in site.missing):
            error = errors.endpoint_not_found()
            allow = {"Allow": "PUT, POST, PATCH, GET, OPTIONS, DELETE, HEAD"}
            return None, error.status, {**_json(), **allow}, _encode(error.body)
        headers = {**_json(), "Allow": place.allow, **notice}
        key: Key | None = None
        form = JSON
        try:
            if not place.group.public:
                accept = request.headers.get("accept", "")
                form = form_of(request.query, accept, offers_csv=place.group.csv)
                key = authenticate(site.keys, request.headers, request.query, request.body)
            answer = self._call(request, path, key, place, args)
        except errors.ApiError as error:
            headers |= error.headers
            if error.status == 401 and site.newer:
                headers["WWW-Authenticate"] = (
                    f'Bearer resource_metadata="{request.base_url}/.well-known/'
                    'oauth-protected-resource"'
                )
            return key, error.status, headers, _content(error.body)
        headers |= answer.headers
        if answer.body is None:
            del headers["Content-Type"]
            return key, answer.status, headers, b""
        if form == CSV and not isinstance(answer.body, bytes):
            headers["Content-Type"] = "text/csv; charset=utf-8"
            return key, answer.status, headers, as_csv(answer.body)
        return key, answer.status, headers, _content(answer.body)

    def _call(
        self,
        request: Incoming,
        path: str,
        key: Key | None,
        place: Place,
        args: dict[str, str],
    ) -> Answer:
        site = self.site
        method = "GET" if request.method == "HEAD" else request.method
        endpoint = place.endpoints.get(method)
        project = _project(site, args.get("project_id"))
        if key is not None:
            check_scopes(key, self._scopes(place, endpoint, method), project, newer=site.newer)
            if project == site.other_project_id:
                raise errors.no_project_access()
            wait = site.throttle.charge(key.value, place.group.bucket)
            if wait is not None:
                raise errors.throttled(wait, header=site.retry_after_header)
        if "project_id" in args and project != site.project_id:
            raise errors.project_not_found()
        if method == "OPTIONS":
            return Answer(_describe(place))
        if endpoint is None:
            raise errors.method_not_allowed(method)
        call = _call_of(site, request, path, args, key or Key(value="", name="none"))
        try:
            return endpoint.handler(call)
        except errors.ApiError:
            raise
        except Exception:
            _log.exception("the sandbox failed on %s %s", method, path)
            raise errors.server_error() from None

    def _scopes(
        self, place: Place, endpoint: Endpoint | None, method: str
    ) -> tuple[str, ...] | None:
        """A method that the path does not have is closed to keys, before it is a 405."""
        if method == "OPTIONS":
            first = place.endpoints.get("GET") or next(iter(place.endpoints.values()))
            return first.scopes
        if endpoint is None:
            return None
        if endpoint.custom and self.site.keys_refused_on_custom_actions:
            return None
        return endpoint.scopes

    def control(self, request: Incoming) -> Outgoing:
        """Answer a request to the sandbox itself."""
        path = request.path.rstrip("/")
        status, body = 404, {"error": f"{request.method} {path} is not a control of the sandbox"}
        place, args = self._control.match(path)
        endpoint = place.endpoints.get(request.method) if place is not None else None
        if endpoint is not None:
            call = _call_of(self.site, request, path, args, Key(value="", name="control"))
            try:
                with self.site.world.lock:
                    self.site.changes += request.method != "GET"
                    done = endpoint.handler(call)
                status, body = done.status, done.body
            except errors.ApiError as error:
                status, body = error.status, error.body
            except (KeyError, TypeError, ValueError, msgspec.MsgspecError) as error:
                status, body = 400, {"error": f"{type(error).__name__}: {error}"}
        return Outgoing(status, _json(), _encode(body))

    def _known_key(self, request: Incoming) -> Key | None:
        try:
            return authenticate(self.site.keys, request.headers, request.query, request.body)
        except errors.ApiError:
            return None

    def _record(self, request: Incoming, key: Key | None, status: int, fault: Fault | None) -> None:
        parsed: Any = None
        body = request.body
        if body:
            try:
                parsed = redact(msgspec.json.decode(body))
            except (msgspec.DecodeError, UnicodeDecodeError):
                parsed = body.decode("utf-8", "replace")
        query = request.query
        if "personal_api_key" in query:
            query = "(hidden)"
        self.site.records.add(
            RequestRecord(
                method=request.method,
                path=request.path,
                query=query,
                body=parsed,
                key=key.name if key else None,
                status=status,
                at=self.site.clock.now(),
                fault=fault is not None,
            )
        )

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            await asyncio.sleep(seconds)


def _call_of(
    site: SandboxSite, request: Incoming, path: str, args: dict[str, str], key: Key
) -> Call:
    return Call(
        site=site,
        method="GET" if request.method == "HEAD" else request.method,
        path=path,
        query=request.query,
        headers=request.headers,
        raw_body=request.body,
        args=args,
        base_url=request.base_url,
        key=key,
        project_id=site.project_id,
    )


def _describe(place: Place) -> dict[str, Any]:
    """What OPTIONS says about a path, as the framework words it."""
    path = next(iter(place.endpoints.values())).path.rstrip("/")
    noun = "Hog Flow" if path.startswith("hog_flows") else place.group.name.title()
    kind = "Instance" if path.endswith("}") else "List"
    return {
        "name": f"{noun} {kind}",
        "description": "",
        "renders": ["application/json"],
        "parses": ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"],
    }


def _project(site: SandboxSite, text: str | None) -> int | None:
    """The project a path names: None when it is no project at all."""
    if text == "@current":
        return site.project_id
    return int(text) if text is not None and text.isdecimal() else None


def _content(body: Any) -> bytes:
    """A body as it goes out: bytes as they are, anything else as JSON."""
    return body if isinstance(body, bytes) else _encode(body)


def _json() -> dict[str, str]:
    return {"Content-Type": "application/json"}


def _replaced(
    fault: Fault, status: int, headers: dict[str, str], content: bytes
) -> tuple[int, dict[str, str], bytes]:
    if fault.status is not None or fault.body is not None:
        status = fault.status if fault.status is not None else 200
        headers = {**_json()}
        if isinstance(fault.body, str | bytes):
            content = fault.body.encode() if isinstance(fault.body, str) else fault.body
            if content.lstrip().startswith(b"<"):
                headers["Content-Type"] = "text/html; charset=utf-8"
        else:
            content = _encode(_default_body(status) if fault.body is None else fault.body)
    if fault.truncate is not None:
        content = content[: fault.truncate]
    merged = {**headers, **fault.headers}
    return status, {name: value for name, value in merged.items() if value}, content


def _default_body(status: int) -> Any:
    if status == 429:
        return errors.throttled(1, header=False).body
    if status >= 500:
        return errors.server_error().body
    return errors.bad_input("Ordered fault.").body


async def _send(send: Send, out: Outgoing) -> None:
    raw = [(name.lower().encode(), value.encode()) for name, value in out.headers.items()]
    if out.status != 204:
        raw.append((b"content-length", str(len(out.content)).encode()))
    await send({"type": "http.response.start", "status": out.status, "headers": raw})
    half = out.fault is not None and out.fault.cut == "during"
    part = out.content[: len(out.content) // 2] if half else out.content
    if out.fault is not None and out.fault.drip > 0:
        for index in range(len(part)):
            byte = part[index : index + 1]
            await send({"type": "http.response.body", "body": byte, "more_body": True})
            await asyncio.sleep(out.fault.drip)
        part = b""
    await send({"type": "http.response.body", "body": part, "more_body": half})


async def _cut(scope: Scope, receive: Receive) -> None:
    """Reset the TCP connection under the request, so that the client sees no response at all."""
    transport = scope.get("hog_dagster.transport")
    if transport is None:
        raise RuntimeError("connections can only be cut when the sandbox runs its own server")
    sock = transport.get_extra_info("socket")
    await asyncio.sleep(0)
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
