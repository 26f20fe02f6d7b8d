"""The ASGI application: routing, then authentication, scopes, project, throttle, handler, in
PostHog's order.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Sequence
from email.utils import format_datetime
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from hog_dagster.sandbox import errors
from hog_dagster.sandbox.auth import Key, authenticate, check_scopes, redact
from hog_dagster.sandbox.families import Answer, Call, Endpoint, Family
from hog_dagster.sandbox.faults import Fault
from hog_dagster.sandbox.records import RequestRecord
from hog_dagster.sandbox.site import Site

__all__ = ["Application", "build_routes"]

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_DEPRECATED = {"Deprecation": "true", "Sunset": "Fri, 31 Jul 2026 00:00:00 GMT"}
_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


class _Place:
    """All endpoints on one path."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.endpoints: dict[str, Endpoint] = {}

    @property
    def allow(self) -> str:
        """The Allow header, in the order in which Django REST framework prints it."""
        offered = {*self.endpoints, "OPTIONS"} | ({"HEAD"} if "GET" in self.endpoints else set())
        return ", ".join(method for method in _METHODS if method in offered)


async def _unused(request: Request) -> Response:
    raise RuntimeError("routes are matched here and called by the application")


def build_routes(families: Sequence[Family]) -> list[tuple[Route, _Place]]:
    """One Starlette route per path; fixed segments before parameters."""
    places: dict[str, _Place] = {}
    for family in families:
        for endpoint in family.endpoints:
            path = endpoint.path
            if not path.startswith("/"):
                path = "/api/projects/{project_id}/" + path
            path = path.rstrip("/") or "/"
            place = places.setdefault(path, _Place(family))
            place.endpoints[endpoint.method] = endpoint
    ordered = sorted(places, key=lambda path: [part.startswith("{") for part in path.split("/")])
    return [(Route(path, _unused, methods=list(_METHODS)), places[path]) for path in ordered]


class Application:
    """ASGI app over a `Site`.

    Args:
        families: API endpoints, recorded and throttled as PostHog's.
        control: endpoints of the sandbox itself (under ``/_sandbox/``): no key, no record, no
        fault.
    """

    def __init__(self, site: Site, families: Sequence[Family], control: Sequence[Family]) -> None:
        self.site = site
        self._routes = build_routes(families)
        self._control = build_routes(control)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        path = scope["path"]
        if path.startswith("/_sandbox"):
            await self._answer_control(request, body, send)
            return
        fault = self.site.faults.strike(request.method, path)
        await self._wait(self.site.latency + (fault.delay if fault else 0.0))
        if fault is not None and fault.cut == "before":
            self._record(request, body, self._known_key(request, body), 0, fault)
            await _cut(scope, receive)
            return
        if fault is None or fault.lets_through:
            key, status, headers, content = self.serve(request, body)
        else:
            key, status, headers, content = self._known_key(request, body), 200, {}, b""
        if fault is not None:
            status, headers, content = _replaced(fault, status, headers, content)
        cut = fault.cut if fault is not None else None
        self._record(request, body, key, 0 if cut == "after" else status, fault)
        if cut == "after":
            await _cut(scope, receive)
            return
        if request.method == "HEAD":
            content = b""
        headers.setdefault("Date", format_datetime(self.site.clock.now(), usegmt=True))
        await _send(send, status, headers, content, half=cut == "during")
        if cut == "during":
            await _cut(scope, receive)

    def serve(self, request: Request, body: bytes) -> tuple[Key | None, int, dict[str, str], bytes]:
        """Answer one API request: (key, status, headers, body)."""
        with self.site.world.lock:
            self.site.world.settle()
            self.site.changes += request.method not in ("GET", "HEAD", "OPTIONS")
            return self._serve(request, body)

    def _serve(
        self, request: Request, body: bytes
    ) -> tuple[Key | None, int, dict[str, str], bytes]:
        site, path = self.site, request.url.path
        notice: dict[str, str] = {}
        if path.startswith("/api/environments/"):
            target = "/api/projects/" + path.removeprefix("/api/environments/")
            if site.newer or site.redirect_environments:
                notice = {**_DEPRECATED, "Link": f'<{target}>; rel="successor-version"'}
            if site.redirect_environments:
                query = f"?{request.url.query}" if request.url.query else ""
                return None, 307, {"Location": target + query, **notice}, b""
            if site.newer:
                path = target
        place, args = self._match(path)
        if place is None:
            error = errors.endpoint_not_found()
            allow = {"Allow": "PUT, POST, PATCH, GET, OPTIONS, DELETE, HEAD"}
            return None, error.status, {**_json(), **allow}, _encode(error.body)
        headers = {**_json(), "Allow": place.allow, **notice}
        key: Key | None = None
        try:
            if not place.family.public:
                key = authenticate(site.keys, request.headers, request.url.query, body)
            answer = self._call(request, path, body, key, place, args)
        except errors.ApiError as error:
            headers |= error.headers
            if error.status == 401 and site.newer:
                headers["WWW-Authenticate"] = (
                    f'Bearer resource_metadata="{request.base_url}.well-known/'
                    'oauth-protected-resource"'
                )
            return key, error.status, headers, _content(error.body)
        headers |= answer.headers
        if answer.body is None:
            del headers["Content-Type"]
            return key, answer.status, headers, b""
        return key, answer.status, headers, _content(answer.body)

    def _call(
        self,
        request: Request,
        path: str,
        body: bytes,
        key: Key | None,
        place: _Place,
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
            wait = site.throttle.charge(key.value, place.family.bucket)
            if wait is not None:
                raise errors.throttled(wait, header=site.retry_after_header)
        if "project_id" in args and project != site.project_id:
            raise errors.project_not_found()
        if method == "OPTIONS":
            return Answer(_describe(place))
        if endpoint is None:
            raise errors.method_not_allowed(method)
        call = Call(
            site=site,
            method=method,
            path=path,
            query=request.url.query,
            headers=request.headers,
            raw_body=body,
            args=args,
            base_url=str(request.base_url).rstrip("/"),
            key=key or Key(value="", name="none"),
            project_id=site.project_id,
        )
        try:
            return endpoint.handler(call)
        except errors.ApiError:
            raise
        except Exception:
            _log.exception("the sandbox failed on %s %s", method, path)
            raise errors.server_error() from None

    def _scopes(
        self, place: _Place, endpoint: Endpoint | None, method: str
    ) -> tuple[str, ...] | None:
        """Deny by default: a method the path does not have is closed to keys, before it is a
        405.
        """
        if method == "OPTIONS":
            first = place.endpoints.get("GET") or next(iter(place.endpoints.values()))
            return first.scopes
        if endpoint is None:
            return None
        if endpoint.custom and self.site.keys_refused_on_custom_actions:
            return None
        return endpoint.scopes

    def _match(self, path: str) -> tuple[_Place | None, dict[str, str]]:
        trimmed = path.rstrip("/") or "/"
        if trimmed.startswith("/api/environments/"):
            trimmed = "/api/projects/" + trimmed.removeprefix("/api/environments/")
        scope = {"type": "http", "path": trimmed, "root_path": "", "method": "GET"}
        for route, place in self._routes:
            match, found = route.matches(scope)
            if match is Match.FULL:
                return place, found["path_params"]
        return None, {}

    async def _answer_control(self, request: Request, body: bytes, send: Send) -> None:
        path = request.url.path.rstrip("/")
        scope = {"type": "http", "path": path, "root_path": "", "method": "GET"}
        status, answer = 404, {"error": f"{request.method} {path} is not a control of the sandbox"}
        for route, place in self._control:
            match, found = route.matches(scope)
            endpoint = place.endpoints.get(request.method)
            if match is not Match.FULL or endpoint is None:
                continue
            call = Call(
                site=self.site,
                method=request.method,
                path=path,
                query=request.url.query,
                headers=request.headers,
                raw_body=body,
                args=found["path_params"],
                base_url=str(request.base_url).rstrip("/"),
                key=Key(value="", name="control"),
                project_id=self.site.project_id,
            )
            try:
                with self.site.world.lock:
                    self.site.changes += request.method != "GET"
                    done = endpoint.handler(call)
                status, answer = done.status, done.body
            except errors.ApiError as error:
                status, answer = error.status, error.body
            except (KeyError, TypeError, ValueError) as error:
                status, answer = 400, {"error": f"{type(error).__name__}: {error}"}
            break
        await _send(send, status, _json(), _encode(answer))

    def _known_key(self, request: Request, body: bytes) -> Key | None:
        try:
            return authenticate(self.site.keys, request.headers, request.url.query, body)
        except errors.ApiError:
            return None

    def _record(
        self, request: Request, body: bytes, key: Key | None, status: int, fault: Fault | None
    ) -> None:
        parsed: Any = None
        if body:
            try:
                parsed = redact(msgspec.json.decode(body))
            except (msgspec.DecodeError, UnicodeDecodeError):
                parsed = body.decode("utf-8", "replace")
        query = request.url.query
        if "personal_api_key" in query:
            query = "(hidden)"
        self.site.records.add(
            RequestRecord(
                method=request.method,
                path=request.url.path,
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


def _describe(place: _Place) -> dict[str, Any]:
    """What OPTIONS says about a path, as the framework words it."""
    path = next(iter(place.endpoints.values())).path.rstrip("/")
    noun = "Hog Flow" if path.startswith("hog_flows") else place.family.name.title()
    kind = "Instance" if path.endswith("}") else "List"
    return {
        "name": f"{noun} {kind}",
        "description": "",
        "renders": ["application/json"],
        "parses": ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"],
    }


def _project(site: Site, text: str | None) -> int | None:
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
    return status, {**headers, **fault.headers}, content


def _default_body(status: int) -> Any:
    if status == 429:
        return errors.throttled(1, header=False).body
    if status >= 500:
        return errors.server_error().body
    return errors.bad_input("Ordered fault.").body


async def _send(
    send: Send, status: int, headers: dict[str, str], content: bytes, *, half: bool = False
) -> None:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    if status != 204:
        raw.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    part = content[: len(content) // 2] if half else content
    await send({"type": "http.response.body", "body": part, "more_body": half})


async def _cut(scope: Scope, receive: Receive) -> None:
    """Reset the TCP connection under the request, so that the client sees no answer at all."""
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
