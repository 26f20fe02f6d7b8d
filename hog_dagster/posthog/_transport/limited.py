"""Requests within the rate limit: the waiting before each, and the words about it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import httpx

from hog_dagster._shared.secrets import without_arguments
from hog_dagster.posthog import errors
from hog_dagster.posthog._endpoints import Endpoint
from hog_dagster.posthog._rate_limit.limiter import (
    SMALL_LIMITS,
    Rate,
    RateLimiter,
    Slot,
    TooLong,
)
from hog_dagster.posthog._rate_limit.query_slots import SlotsTaken
from hog_dagster.posthog._rate_limit.store import LONG_WAIT_S
from hog_dagster.posthog._rate_limit.windows import LONGEST_HOLD_S
from hog_dagster.posthog._retry import Call

logger = logging.getLogger("hog_dagster.posthog")

#: The endpoint whose requests are queries, few of which may be under way.
QUERY = "query.rows"
_LOG_WAITS_FROM_S = 1.0


@dataclass(frozen=True, slots=True)
class RateLimitEvent:
    """Something about the rate limit that a person may want to see.

    Attributes:
        kind: ``wait``: a request waits for more than 5 seconds. ``refused``: PostHog answered 429.
            ``store``: where requests are counted changed.
        message: one sentence, without any secret.
        bucket: the rate limit: ``default``, ``insights``, ``query``; empty for ``store``.
        request: method and path of the request; empty for ``store``.
        seconds: how long it waits, or how long nothing is sent in this bucket.
    """

    kind: Literal["wait", "refused", "store"]
    message: str
    bucket: str = ""
    request: str = ""
    seconds: float = 0.0


OnRateLimit = Callable[[RateLimitEvent], None]


class Limited:
    """The rate limiter, as one client uses it; ``on_event`` is called with long waits and
    refusals."""

    def __init__(self, limiter: RateLimiter, on_event: OnRateLimit | None) -> None:
        self.limiter = limiter
        self._on_event = on_event

    @contextlib.contextmanager
    def query_slot(self, request: httpx.Request, call: Call) -> Iterator[None]:
        """One of the few queries that may be under way; for other requests nothing.

        Raises:
            Throttled: none came free in time.
        """
        if call.endpoint.name != QUERY or not self.limiter.limits:
            yield
            return
        what = f"{request.method} {request.url.path}"
        waited_for = 0.0

        def say(seconds: float) -> None:
            nonlocal waited_for
            before, waited_for = waited_for, waited_for + seconds
            if before <= LONG_WAIT_S < waited_for:
                queries = self.limiter.queries
                why = f"{queries.most} queries of {queries.whose} are under way"
                said = f"{what} has waited for {waited_for:.0f} s already: {why}."
                self._report(RateLimitEvent("wait", said, call.endpoint.bucket, what, waited_for))

        try:
            with self.limiter.queries.held(call.left, say) as waited:
                call.spent += waited
                yield
        except SlotsTaken as taken:
            why = f"{taken}, longer than max_wait={call.allowed:g} s allows."
            raise _not_sent(request, why, 1.0) from None

    def acquire(self, request: httpx.Request, call: Call) -> Slot:
        """Wait until the request may be sent.

        Raises:
            Throttled: that takes longer than the call may wait.
        """
        what, bucket = f"{request.method} {request.url.path}", call.endpoint.bucket
        reported = 0.0

        def say(seconds: float, rate: Rate | None) -> None:
            nonlocal reported
            why = (
                "PostHog asked to hold back"
                if rate is None
                else f"{rate.requests} requests in {rate.seconds:g} s is what we allow ourselves"
            )
            level = logging.INFO if seconds >= _LOG_WAITS_FROM_S else logging.DEBUG
            logger.log(level, "Waiting %.1f s for the rate limit before %s: %s", seconds, what, why)
            if seconds > LONG_WAIT_S and not reported:
                reported = seconds
                said = (
                    f"{what} waits {seconds:.0f} s for the rate limit {bucket} of this key: {why}."
                )
                self._report(RateLimitEvent("wait", said, bucket, what, seconds))

        try:
            slot, waited = self.limiter.acquire(bucket, max_wait=call.left, on_wait=say)
        except TooLong as too_long:
            why = (
                f"the rate limit of this key is used up for another {too_long.wait:.0f} s, longer "
                f"than max_wait={call.allowed:g} s allows. Wait, raise max_wait_seconds, or give "
                "this work a key of its own."
            )
            raise _not_sent(request, why, too_long.wait) from None
        call.spent += waited
        return slot

    def refused(self, endpoint: Endpoint, wait: float) -> None:
        """PostHog answered 429 and asked to wait: nobody sends in this bucket for so long."""
        wait = min(wait, LONGEST_HOLD_S)
        if self.limiter.learn(endpoint.bucket, wait):
            logger.warning(
                "PostHog lets this key run %d queries an hour only; that is kept to from now on.",
                SMALL_LIMITS[endpoint.bucket].requests,
            )
        self.limiter.hold(endpoint.bucket, wait)
        what = f"{endpoint.method} {endpoint.path}"
        said = (
            f"PostHog answered 429 to {what}. Nothing is sent in the rate limit {endpoint.bucket} "
            f"of this key for {wait:.0f} s. Something else uses the key too, or headroom is too "
            "high."
        )
        self._report(RateLimitEvent("refused", said, endpoint.bucket, what, wait))

    def paused(self, request: httpx.Request, seconds: float, why: str) -> None:
        """A request is tried again after so long."""
        if seconds > LONG_WAIT_S:
            what = f"{request.method} {request.url.path}"
            said = f"{what} is tried again in {seconds:.0f} s, {why}"
            self._report(RateLimitEvent("wait", said, "", what, seconds))

    def _report(self, event: RateLimitEvent) -> None:
        """Hand an event on; a listener that fails costs no request."""
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception:
            logger.warning("The listener to the rate limit failed.", exc_info=True)


def _not_sent(request: httpx.Request, why: str, wait: float) -> errors.Throttled:
    return errors.Throttled(
        f"{request.method} {request.url.path} was not sent: {why}",
        wait_s=wait,
        method=request.method,
        url=without_arguments(str(request.url)),
        outcome="not_sent",
    )
