"""The way between a simulated process and PostHog: proxies, cuts, delays, late effects.

Facts: what stands between (nginx, load balancers, WAFs, CDNs) answers in its own name with any
status, before or after PostHog acted; a request that was given up can still be carried out; what
PostHog itself turns away (401, 403, 404, 409, 429 in its own shape) has had no effect; 307 and 308
and redirects to another host come before any effect.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from typing import Any, Literal

import httpx
import msgspec

from hog_dagster.sandbox import PROXY_ANSWERS
from tests.simulation.scheduler import Process, Scheduler
from tests.simulation.truth import Request, Truth, acts

__all__ = ["READ_TIMEOUT", "Network", "NetworkFaults", "Wire"]

#: Seconds the clients of a history wait between two pieces of a response.
READ_TIMEOUT = 60.0
#: A request that was given up is carried out so many seconds later at most.
LATE = 60.0

#: How much likelier than elsewhere a process dies, or stops, at a request that acts.
RISK = 20.0

JSON = "application/json"
#: What a proxy answers in its own name, before or after PostHog acted.
PAGES: tuple[str, ...] = tuple(
    name
    for name in sorted(PROXY_ANSWERS)
    if not name.startswith(("redirect_307", "redirect_308")) and not name.endswith("other_host")
)
#: Sends the request away before PostHog can have seen it.
REDIRECTS: tuple[str, ...] = tuple(
    name
    for name in sorted(PROXY_ANSWERS)
    if name.endswith("other_host") or name.startswith(("redirect_307", "redirect_308"))
)
#: PostHog itself turns the request away before it does anything.
TURNED_AWAY: tuple[tuple[int, dict[str, Any]], ...] = (
    (
        401,
        {
            "type": "authentication_error",
            "code": "authentication_failed",
            "detail": "Personal API key found in request Authorization header is invalid.",
            "attr": None,
        },
    ),
    (
        403,
        {
            "type": "authentication_error",
            "code": "permission_denied",
            "detail": "You don't have access to the project.",
            "attr": None,
        },
    ),
    (
        429,
        {
            "type": "throttled_error",
            "code": "throttled",
            "detail": "Request was throttled. Expected available in 7 seconds.",
            "attr": None,
        },
    ),
)

How = Literal["connect", "cut", "page", "away", "redirect", "failure", "truncated", "timeout"]
#: What can happen without an effect, and what can happen although there was one.
BEFORE: tuple[How, ...] = (
    "connect", "cut", "page", "page", "page", "away", "redirect", "failure", "timeout",
)  # fmt: skip
AFTER: tuple[How, ...] = ("cut", "page", "page", "page", "failure", "truncated", "timeout")
#: PostHog's own failures: they say nothing of the effect.
FAILURES: tuple[tuple[int, dict[str, Any]], ...] = (
    (
        500,
        {
            "type": "server_error",
            "code": "error",
            "detail": "A server error occurred.",
            "attr": None,
        },
    ),
    (503, {"type": "server_error", "code": "error", "detail": "Unavailable.", "attr": None}),
)
#: The failure of a worker behind PostHog, passed on by PostHog: it may have done its work.
BEHIND: dict[str, tuple[tuple[int, dict[str, Any]], ...]] = {
    "replay": (
        (400, {"status": "error", "message": "Failed to replay run"}),
        (502, {"status": "error", "message": "Bad gateway"}),
        (200, {"status": "failed"}),
    ),
    "rerun": (
        (503, {"queued_count": 0, "skipped_count": 0, "detail": "upstream connect error"}),
        (400, {"queued_count": 0, "skipped_count": 0, "detail": "Failed to queue the rerun"}),
    ),
}


@dataclass
class NetworkFaults:
    """How often the network strikes, as probabilities."""

    before: float = 0.0
    after: float = 0.0
    write_before: float = 0.0  #: the same for requests that act
    write_after: float = 0.0
    late: float = 0.0  #: of the requests that time out before their effect: carried out later
    slow: float = 0.0


@dataclass
class Network:
    """All connections of a history."""

    scheduler: Scheduler
    truth: Truth
    send: Callable[[httpx.Request], httpx.Response]
    dice: random.Random
    faults: NetworkFaults = field(default_factory=NetworkFaults)

    def wire(self) -> "Wire":
        """The transport of a client, for whichever process uses it."""
        return Wire(self)


class Wire(httpx.BaseTransport):
    """Carries the requests of a client."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        process = self.network.scheduler.current()
        if process is None:
            raise RuntimeError("only simulated processes send requests")
        return _Passage(self.network, process, request).response()


class _Passage:
    """One request on its way."""

    def __init__(self, network: Network, process: Process, request: httpx.Request) -> None:
        self.network = network
        self.process = process
        self.request = request

    def response(self) -> httpx.Response:
        network, process, request = self.network, self.process, self.request
        risk = RISK if acts(request) else 1.0
        process.step("request", at_most=20.0, risk=risk)
        record = network.truth.request_leaves(process, request)
        dice, faults = network.dice, network.faults
        before, after = faults.before, faults.after
        if record.kind is not None:
            before, after = faults.write_before, faults.write_after
        draw = dice.random()
        if draw < before:
            return self._lost(request, record, dice.choice(_ways(BEFORE, record)))
        process.wait(self._travel())
        response = self._effect(request, record)
        if draw < before + after:
            process.step("effect done", at_most=15.0, risk=risk)
            return self._replaced(request, record, response, dice.choice(_ways(AFTER, record)))
        process.step("effect done", at_most=15.0, risk=risk)
        self._say(record, request, f"{response.status_code}")
        process.wait(self._travel())
        process.step("response there", at_most=5000.0, risk=risk)
        return response

    def _travel(self) -> float:
        network = self.network
        if network.dice.random() < network.faults.slow:
            return network.dice.uniform(1.0, 20.0)
        return network.dice.uniform(0.001, 0.05)

    def _effect(self, request: httpx.Request, record: Request) -> httpx.Response:
        """PostHog serves the request, at this very moment."""
        truth = self.network.truth
        with truth.serving(record):
            response = self.network.send(request)
            response.read()
        truth.served(record, response)
        return response

    def _lost(self, request: httpx.Request, record: Request, how: How) -> httpx.Response:
        """PostHog does nothing, or not yet."""
        network, process = self.network, self.process
        network.scheduler.counts[f"fault: {how} before"] += 1
        process.wait(self._travel())
        if how == "timeout":
            if network.dice.random() < network.faults.late:
                late = READ_TIMEOUT + network.dice.uniform(-20.0, LATE)
                network.scheduler.counts["fault: carried out late"] += 1
                copy = httpx.Request(
                    request.method, request.url, headers=request.headers, content=request.read()
                )

                def carry_out() -> None:
                    response = self._effect(copy, record)
                    self._say(record, copy, f"carried out late: {response.status_code}")

                network.scheduler.after(late, carry_out)
            return self._time_out(request, record)
        self._say(record, request, f"no effect, {how}")
        return self._answer(request, record, how)

    def _replaced(
        self, request: httpx.Request, record: Request, response: httpx.Response, how: How
    ) -> httpx.Response:
        """PostHog did it; its response does not come through."""
        network = self.network
        network.scheduler.counts[f"fault: {how} after"] += 1
        self._say(record, request, f"{response.status_code} by PostHog, then {how}")
        if how == "timeout":
            return self._time_out(request, record)
        if how == "truncated":
            content = response.content[: network.dice.randrange(0, max(1, len(response.content)))]
            return httpx.Response(
                response.status_code, headers={"content-type": JSON}, content=content
            )
        return self._answer(request, record, how)

    def _time_out(self, request: httpx.Request, record: Request) -> httpx.Response:
        self._say(record, request, "timeout")
        self.process.wait(READ_TIMEOUT)
        raise httpx.ReadTimeout("The read operation timed out", request=request)

    def _answer(self, request: httpx.Request, record: Request, how: How) -> httpx.Response:
        dice = self.network.dice
        if how == "connect":
            raise httpx.ConnectError("[Errno 111] Connection refused", request=request)
        if how == "cut":
            kind = dice.choice((httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError))
            raise kind("Server disconnected without sending a response.", request=request)
        if how == "away":
            status, body = dice.choice(TURNED_AWAY)
            return httpx.Response(
                status, headers={"content-type": JSON}, content=msgspec.json.encode(body)
            )
        if how == "failure":
            status, body = dice.choice(BEHIND.get(record.kind or "", ()) + FAILURES[:1])
            return httpx.Response(
                status, headers={"content-type": JSON}, content=msgspec.json.encode(body)
            )
        name = dice.choice(REDIRECTS if how == "redirect" else PAGES)
        answer = PROXY_ANSWERS[name]
        self._say(record, request, f"a proxy answers {name}")
        headers = {key.lower(): value for key, value in answer.headers.items() if value}
        if dice.random() < 0.5:  # the proxy's own clock, which has nothing to do with PostHog's
            wrong = self.network.scheduler.true_time() + timedelta(seconds=dice.uniform(-9e3, 9e3))
            headers["date"] = format_datetime(wrong, usegmt=True)
        content = answer.body
        if not isinstance(content, str):
            content = msgspec.json.encode(content).decode()
            headers.setdefault("content-type", JSON)
        return httpx.Response(answer.status, headers=headers, content=content.encode())

    def _say(self, record: Request, request: httpx.Request, what: str) -> None:
        trace = self.network.scheduler.trace
        if trace.on:
            trace(self.process.name, f"  {record.label} {_what(request)}: {what}")


def _ways(ways: tuple[How, ...], record: Request) -> tuple[How, ...]:
    """What can happen to a request; workers behind PostHog fail too, where there are some."""
    return (*ways, "failure", "failure") if record.kind in BEHIND else ways


def _what(request: httpx.Request) -> str:
    path = request.url.path.removeprefix("/api/projects/1/")
    query = request.url.query.decode()
    return f"{request.method} {path}" + (f"?{query}" if query and request.method == "GET" else "")
