"""One call, its bounds, and when its request may be sent again: pure rules, no sending.

Facts: what real servers and the proxies before them answer: 429 with or without Retry-After, the
seconds in its sentence instead, 503 with ``Retry-After: 1`` while the database is away.

Sent again are reads, and PATCH of absolute values, after 429, 5xx, the timeouts of proxies (408,
425, 460, 499, 529, 598, 599) and broken connections, until ``max_wait`` seconds were waited or
:data:`ATTEMPTS` were made. After a 500 at most twice: PostHog answers 500 to some mistakes of the
caller and, for ever, to pages that hold a row it cannot write out, in the words it has for an
outage. So when a read failed to the end, a request of the same endpoint that was answered before is
sent once more: a response now says that the failed one is at fault, a failure that everything is.
501, 505, 512 and 513 never, nor the 504 by which PostHog says that a query took too much time or
memory: the same query would fail again. Every other request is sent once. Written out here, and not
with a retry library, because the waits come from the server, from the rate limiter shared with
other processes and from one deadline over both, which leaves such a library only the loop.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from hog_dagster.posthog import errors
from hog_dagster.posthog._endpoints import Endpoint
from hog_dagster.posthog._responses import (
    Response,
    find_problem,
    is_too_much_text,
    retry_after_in_detail,
)

#: Times a retryable request is sent at most.
ATTEMPTS = 6
#: The same when no connection can be made at all: a wrong host should not take long to be named.
ATTEMPTS_TO_CONNECT = 4
#: The same after a 500.
ATTEMPTS_AFTER_500 = 3
#: Seconds that a server asks for at least when it asks for anything.
_LEAST_ASKED_S = 0.01
#: Seconds of the longest back-off when the server does not say how long to wait.
BACKOFF_CAP_S = 60.0
#: 520 to 530 are a content network's (529: overloaded), 598 and 599 a proxy's: it had no whole
#: answer from the server behind it.
_WAIT_FOR = frozenset({408, 425, 429, 460, 499, 502, 503, 504, *range(520, 531), 598, 599})
#: Attempts that failed alike until a page is taken for one that fails for ever.
ALIKE = 3


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Bounds of every call of a client, besides what the client allows; see
    :meth:`PostHogClient.with_limits`."""

    max_wait: float = math.inf
    read: float = math.inf
    total: float = math.inf
    until: float = math.inf

    def and_also(self, other: CallLimits) -> CallLimits:
        """Both: of each bound the narrower one."""
        return CallLimits(*map(min, astuple(self), astuple(other)))


NO_LIMITS = CallLimits()


@dataclass(slots=True)
class Call:
    """One call: what is asked; what it has waited for, and may still wait, in seconds; how often it
    was sent, and may be; status and words of each failure (0: no whole response came).

    ``over``: a whole request took its time to the end, so no other one is begun. ``read``: seconds
    between two pieces of the response, instead of the client's.
    """

    endpoint: Endpoint
    arguments: Mapping[str, object]
    allowed: float
    spent: float = 0.0
    attempts: int = 0
    most_attempts: int = ATTEMPTS
    over: bool = False
    limits: CallLimits = NO_LIMITS
    read: float | None = None
    failures: list[tuple[int, str]] = field(default_factory=list)

    @property
    def left(self) -> float:
        return self.allowed - self.spent

    def may_retry(self, wait: float) -> bool:
        """Whether another attempt after ``wait`` seconds is allowed."""
        return self.attempts < self.most_attempts and wait <= self.left

    def backoff(self) -> float:
        """Capped exponential with jitter: 0.25 to 0.5 s first, then twice that, and so on."""
        ceiling = min(BACKOFF_CAP_S, 0.5 * 2 ** (self.attempts - 1))
        return ceiling * random.uniform(0.5, 1.0)


def wait_after(response: Response, call: Call, now: datetime) -> float | None:
    """Seconds to wait before sending again; None when sending again is no use."""
    if response.status == 500:
        return call.backoff() if call.attempts < ATTEMPTS_AFTER_500 else None
    if response.status not in _WAIT_FOR or is_too_much(response):
        return None
    asked = seconds_in(response.headers.get("retry-after"), now)
    if asked is None and response.status == 429:
        asked = retry_after_in_detail(response.content)
    # No time at all, a negative one, milliseconds or a date that is over says nothing: six requests
    # at once would help nobody.
    return asked if asked is not None and asked >= _LEAST_ASKED_S else call.backoff()


def is_concurrency(response: Response) -> bool:
    """Whether a query was refused because too many of the organization's were running."""
    said = find_problem(response.content).detail or ""
    return response.status == 429 and said.startswith("Exceeded maximum concurrency limit")


def is_too_much(response: Response) -> bool:
    """Whether PostHog says that a query took too much time or memory (some builds answer 504)."""
    return response.status == 504 and is_too_much_text(find_problem(response.content).detail)


def seconds_in(retry_after: str | None, now: datetime) -> float | None:
    """Seconds in a Retry-After header: a number, or an HTTP date."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        date = http_date(retry_after)
        return None if date is None else max(0.0, (date - now).total_seconds())
    return max(0.0, seconds) if math.isfinite(seconds) else None


def http_date(value: str | None) -> datetime | None:
    """The time in an HTTP date, or None."""
    if not value:
        return None
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):  # a year of thirty digits
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


class AnsweredReads:
    """The last two addresses of each endpoint that were answered. Safe to use from threads."""

    def __init__(self) -> None:
        self._urls: dict[str, tuple[str, ...]] = {}

    def note(self, endpoint: str, url: str) -> None:
        """This address was answered just now."""
        known = self._urls.get(endpoint, ())
        if url not in known[:1]:
            self._urls[endpoint] = (url, *known)[:2]

    def other(self, endpoint: str, url: str) -> str | None:
        """An address of the endpoint that was answered, other than this one."""
        return next((known for known in self._urls.get(endpoint, ()) if known != url), None)


def blamed(error: errors.PostHogError, call: Call, *, responses: bool) -> errors.PostHogError:
    """The error of a read that failed to the end, with whom it blames, by whether the endpoint
    responds to another request."""
    failures = call.failures
    error.elsewhere = "answers" if responses else "fails"
    if responses and len(failures) >= ALIKE and len(set(failures)) == 1:
        error.permanent = True
        text = str(error).removesuffix("Try again later.").rstrip()
        text += (
            f" It failed {len(failures)} times alike while PostHog answered another request of its "
            "kind, so trying again will not help: PostHog cannot serve this one."
        )
        error.args = (text,)
    return error
