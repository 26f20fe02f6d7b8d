"""Sending a request and getting its response: waiting, retrying, redirects, and no key leaks.

Facts: what PostHog's servers and the proxies before them do: 429 with or without Retry-After, 307
from deprecated paths, Deprecation/Sunset/X-PostHog-Warn headers, HTML from a wrong host.

What may be sent again, and after how long, is in :mod:`_retry`.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import httpx

from hog_dagster._shared.clock import SYSTEM_CLOCK, Clock
from hog_dagster._shared.secrets import shown_header, without_secrets
from hog_dagster._version import __version__
from hog_dagster.posthog import errors
from hog_dagster.posthog._arguments import Secret
from hog_dagster.posthog._endpoints import Endpoint
from hog_dagster.posthog._rate_limit.limiter import RateLimiter
from hog_dagster.posthog._rate_limit.query_slots import concurrency_wait
from hog_dagster.posthog._responses import Response, error_from
from hog_dagster.posthog._retry import (
    ATTEMPTS_TO_CONNECT,
    NO_LIMITS,
    AnsweredReads,
    Call,
    CallLimits,
    blamed,
    http_date,
    is_concurrency,
    wait_after,
)
from hog_dagster.posthog._transport.connecting import Bearer, proxy_for, tls_context, to_reach
from hog_dagster.posthog._transport.limited import Limited, OnRateLimit
from hog_dagster.posthog._transport.receiving import ReadTimeout, TooLarge, read_body, set_deadlines
from hog_dagster.posthog._transport.request_errors import (
    NOT_SENT,
    redirected,
    refused_redirect,
    transport_error,
    written,
)
from hog_dagster.posthog._transport.server_clock import ServerClock
from hog_dagster.posthog._transport.wire_logs import logged_without_arguments
from hog_dagster.posthog._write_outcomes import CUT, is_foreign, is_posthogs, judge

logger = logging.getLogger("hog_dagster.posthog")

#: What a real call showed of its endpoint: it answers, the server lacks it, or keys may not use it.
Learned = Literal["there", "missing", "closed"]
_REDIRECTS = 5
_POOL = httpx.Limits(max_connections=20, max_keepalive_connections=20)
_WARN_HEADERS = ("deprecation", "sunset", "x-posthog-warn")
#: Seconds that a request has at least, even when the time of its caller is over.
_LEAST_S = 0.5


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds allowed for each phase of one request, and for all of it.

    Attributes:
        connect: until a connection stands.
        read: between two pieces of the response.
        write: between two pieces of the request.
        pool: until a connection is free in this process.
        total: from the start of the request to the last byte of its response, however steadily
            pieces of it come.
    """

    connect: float = 10.0
    read: float = 60.0
    write: float = 30.0
    pool: float = 60.0
    total: float = 300.0

    def for_httpx(self) -> httpx.Timeout:
        return httpx.Timeout(connect=self.connect, read=self.read, write=self.write, pool=self.pool)


class Transport:
    """Sends requests of one key to one host, with the settings of the client, which says what they
    mean. Safe to use from several threads.

    Attributes:
        clock: PostHog's clock, as its responses show it; ``local_clock`` is what is waited on.
        learned: what calls showed of their endpoints, by name.
        by_bucket: requests sent, by the rate limit they were charged to.
    """

    def __init__(
        self,
        host: str,
        secret: Secret,
        limiter: RateLimiter,
        *,
        timeouts: Timeouts | httpx.Timeout | None = None,
        max_wait: float = 300.0,
        transport: httpx.BaseTransport | None = None,
        clock: Clock = SYSTEM_CLOCK,
        ca_file: str = "",
        client_certificate: str = "",
        on_rate_limit: OnRateLimit | None = None,
    ) -> None:
        timeouts = timeouts or Timeouts()
        self.host = host
        self.limiter = limiter
        self._limited = Limited(limiter, on_rate_limit)
        self.max_wait = max_wait
        self.local_clock = clock
        self.clock: ServerClock = ServerClock(clock)
        self.learned: dict[str, Learned] = {}
        #: Seconds for one whole request, response included.
        self.request_timeout_s: float = getattr(timeouts, "total", Timeouts().total)
        self._secret = secret
        self._lock = threading.Lock()
        #: HTTP requests really sent, retries and redirects included.
        self.requests_made: int = 0
        self._answered = AnsweredReads()
        self.by_bucket: Counter[str] = Counter()
        self._date: tuple[str, datetime | None] = ("", None)
        self._posthog_seen = False
        self._warned: set[tuple[str, str]] = set()
        # Requests are built from these alone: the client's own merging costs as much as sending.
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": f"hog-dagster/{__version__}",
        }
        self._proxy = None
        if transport is None:
            self._proxy = proxy_for(host)
            context = tls_context(ca_file, client_certificate)
            transport = to_reach(self._proxy, context, _POOL)
        self._client = httpx.Client(
            auth=Bearer(secret),
            timeout=timeouts.for_httpx() if isinstance(timeouts, Timeouts) else timeouts,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # A key needs no session.
            follow_redirects=False,
            trust_env=False,  # What the environment says of proxies is read above.
            transport=transport,
        )
        set_deadlines(self._client, clock)

    @property
    def read_timeout_s(self) -> float:
        """Seconds between two pieces of a response."""
        read = self._client.timeout.read
        return self.request_timeout_s if read is None else read

    def close(self) -> None:
        """Close the connections, and give back what is held of the rate limit."""
        self._client.close()
        self.limiter.close()

    def send(
        self,
        endpoint: Endpoint,
        project_id: int,
        arguments: Mapping[str, object],
        *,
        params: Mapping[str, Any] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        retry: bool | None = None,
        timeout: float | None = None,
        limits: CallLimits = NO_LIMITS,
    ) -> Response:
        """Send a request and return its response of status 2xx.

        Args:
            endpoint: what is called.
            project_id: fills the path.
            arguments: fill the path.
            params: the query; None values are left out, lists repeat their name.
            body: sent as JSON when not None.
            headers: more headers.
            retry: False sends a retryable request once all the same.
            timeout: seconds between pieces of the response, instead of the client's.
            limits: bounds of whoever calls; they hold whatever else is said.

        Raises:
            PostHogError: one of its kinds, by what happened.
        """
        url = self.host + endpoint.url(project_id, arguments)
        query = urlencode(
            {
                name: str(value).lower() if isinstance(value, bool) else value
                for name, value in (params or {}).items()
                if value is not None
            },
            doseq=True,
        )
        if query:
            url += "?" + query
        again = endpoint.retryable and retry is not False
        call = self._call(endpoint, arguments, limits, timeout)
        while True:
            call.attempts += 1
            request = written(endpoint, url, {**self._headers, **(headers or {})}, body)
            try:
                response = self._send_once(request, call)
            except (errors.TransportError, errors.OutcomeUnknown) as error:
                wait = call.backoff()
                call.failures.append((0, type(error).__name__))
                if not again or call.over or not call.may_retry(wait):
                    raise self._judged(error, url, call) if again else error from None
                self._pause(call, wait, f"because {error}", request)
                continue
            if 200 <= response.status < 300:
                if is_posthogs(response):
                    self.learned[endpoint.name] = "there"
                if endpoint.method == "GET":
                    self._answered.note(endpoint.name, url)
                return response
            error = self._error(response)
            call.failures.append((response.status, str(error)))
            wait = wait_after(response, call, self.local_clock.now())
            if is_concurrency(response):
                # Others' queries are in the way: no failure of this one, and no limit of the key's.
                call.attempts -= 1
                wait = concurrency_wait()
                self.limiter.queries.refused()
                assert isinstance(error, errors.Throttled)
                error.wait_s = wait
            elif isinstance(error, errors.Throttled):
                error.wait_s = wait or 0.0
                self._limited.refused(endpoint, wait or 0.0)
            if not again or wait is None or not call.may_retry(wait):
                raise self._judged(error, url, call) if again else error
            self._pause(call, wait, f"because {error}", request)

    def _judged(self, error: errors.PostHogError, url: str, call: Call) -> errors.PostHogError:
        """The error of a read that failed to the end, with whom it blames: one more request, where
        the endpoint has answered another one before."""
        other = self._answered.other(call.endpoint.name, url)
        over = self.local_clock.monotonic() >= call.limits.until
        if not isinstance(error, (errors.ServerError, errors.TransportError)) or over or not other:
            return error
        request = httpx.Request("GET", other, headers=self._headers)
        try:
            again = self._call(call.endpoint, call.arguments, call.limits)
            response = self._send_once(request, again)
        except errors.Throttled:
            return error
        except errors.PostHogError:
            return blamed(error, call, responses=False)
        if response.status == 429:
            return error
        return blamed(error, call, responses=response.status < 500)

    def _call(
        self,
        endpoint: Endpoint,
        arguments: Mapping[str, object],
        limits: CallLimits,
        read: float | None = None,
    ) -> Call:
        left = max(0.0, limits.until - self.local_clock.monotonic())
        allowed = min(self.max_wait, limits.max_wait, left)
        return Call(endpoint, arguments, allowed, limits=limits, read=read)

    def _timeouts(self, call: Call, end: float) -> dict[str, float | None]:
        """What httpx may wait for in a request that ends at a moment."""
        known = self._client.timeout
        read = min(call.read or known.read or math.inf, call.limits.read)
        return {
            **known.as_dict(),
            "read": ReadTimeout(read if read < math.inf else self.request_timeout_s, end),
        }

    def _send_once(self, request: httpx.Request, call: Call) -> Response:
        """One attempt: the request, and the redirects it is allowed to follow."""
        hops = 0
        while True:
            hops += 1
            with self._limited.query_slot(request, call):
                slot = self._limited.acquire(request, call)
                try:
                    response = self._exchange(request, call)
                finally:
                    slot.done()
            if not 300 <= response.status < 400:
                return response
            if hops > _REDIRECTS:
                raise refused_redirect(response, "it goes round in circles", same_host=True)
            request = redirected(response, request, host=self.host)

    def _exchange(self, request: httpx.Request, call: Call) -> Response:
        """One request and its whole response, within the deadline."""
        failure: httpx.HTTPError | None = None
        content, reply, received = b"", None, 0.0
        sent = self.local_clock.monotonic()
        end = min(sent + min(self.request_timeout_s, call.limits.total), call.limits.until)
        end = max(end, sent + _LEAST_S)
        request.extensions["timeout"] = self._timeouts(call, end)
        try:
            with self._lock:
                self.requests_made += 1
                self.by_bucket[call.endpoint.bucket] += 1
            with logged_without_arguments():
                reply = self._client.send(request, stream=True)
                received = self.local_clock.monotonic()
                content = read_body(reply, self.local_clock, end)
        except httpx.HTTPError as error:
            failure = error
        finally:
            over = self.local_clock.monotonic() >= end
            request.headers.pop("Authorization", None)
        if failure is not None or reply is None:
            if isinstance(failure, NOT_SENT):
                call.most_attempts = ATTEMPTS_TO_CONNECT
            call.over = isinstance(failure, TooLarge) or (
                over and isinstance(failure, httpx.ReadTimeout)
            )
            # Raised out here so that the failure, whose request held the key, is no context.
            raise transport_error(
                call.endpoint,
                request,
                failure,
                host=urlsplit(self.host).netloc,
                why=without_secrets(self._secret.scrub(str(failure))) or type(failure).__name__,
                deadline=call.over,
                proxy=str(self._proxy or ""),
            )
        headers = self._secret.scrub_headers(reply.headers)
        response = Response(
            call.endpoint,
            call.arguments,
            str(request.url),
            reply.status_code,
            headers,
            content,
            recognised=lambda: self._notice_time(headers, sent, received),
        )
        self._notice(response, request)
        return response

    def _pause(self, call: Call, seconds: float, why: str, request: httpx.Request) -> None:
        logger.info("Waiting %.1f s and trying again, %s", seconds, why)
        self._limited.paused(request, seconds, why)
        call.spent += seconds
        self.local_clock.sleep(seconds)

    def _error(self, response: Response) -> errors.PostHogError:
        """The error a response stands for, its outcome judged, and what it shows of its
        endpoint.
        """
        scrubbed = self._secret.scrub(response.content.decode("utf-8", "replace")).encode()
        clean = replace(response, url=self._secret.scrub(response.url), content=scrubbed)
        foreign = response.status in CUT or (self._posthog_seen and is_foreign(response))
        error = error_from(clean, host=urlsplit(self.host).netloc, foreign=foreign)
        error.outcome = judge(response)
        if is_posthogs(response) or (response.status == 405 and not response.content):
            if isinstance(error, errors.EndpointMissing):
                self.learned[response.endpoint.name] = "missing"
            elif isinstance(error, errors.NotOpenToKeys):
                self.learned[response.endpoint.name] = "closed"
        return error

    def _notice(self, response: Response, request: httpx.Request) -> None:
        """Log what PostHog warns of, once each; remember that it answered."""
        headers = response.headers
        for name in _WARN_HEADERS:
            value = headers.get(name)
            if value and (name, value) not in self._warned:
                self._warned.add((name, value))
                path, said = without_secrets(request.url.path), shown_header(value)
                logger.warning("PostHog says of %s %s: %s: %s", request.method, path, name, said)
        if is_posthogs(response):
            self._posthog_seen = True
            if response.status >= 400:  # A success is recognised by who reads it.
                response.recognised()

    def _notice_time(self, headers: Mapping[str, str], sent: float, received: float) -> None:
        """Take in the time of a response that PostHog wrote."""
        written = headers.get("date", "")
        if not written or "age" in headers:
            return  # A response out of a cache was written long ago.
        if written != self._date[0]:
            self._date = (written, http_date(written))
        date = self._date[1]
        if date is not None:
            self.clock.notice(date, sent=sent, received=received)
