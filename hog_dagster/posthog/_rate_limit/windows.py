"""What two sliding windows allow, from the requests known: pure rules, no store and no clock.

Facts: Django REST framework's throttles keep the times of a window's requests and let one through
when fewer than the limit are left in it; what is exactly as old as the window is dropped.

When the server counted a request lies between the moment it was sent and the moment its response
came. Until that moment is known, a request counts as under way, and the moment at which the one
that needs its place may be sent is not certain: it is asked for again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

#: A request may be counted by the server up to this many seconds after it was let through; the
#: place of one whose response never came (a killed process) is free again this much later.
IN_FLIGHT_S = 10.0
#: The server never asks for longer. What lies further ahead was written before a clock was set.
LONGEST_HOLD_S = 3_700.0
#: Seconds ahead for which a place is reserved. Whoever must wait longer asks again then.
RESERVE_S = 60.0
#: Seconds after which is asked again when the response to an earlier request is overdue.
ASK_AGAIN_S = 0.02


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``requests`` in any ``seconds``."""

    requests: int
    seconds: float

    def scaled(self, part: float) -> Rate:
        """That part of this limit, and never less than one request."""
        # A product such as 0.29 * 100 is a little too small: that must not cost a request.
        return Rate(max(1, math.floor(self.requests * part + 1e-9)), self.seconds)


@dataclass(frozen=True, slots=True)
class Entry:
    """A request, as the windows see it: not sent before one moment, counted by the server by
    another; ``settled``: its response came, so that ``counted_by`` is final."""

    sent_from: float
    counted_by: float
    settled: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """When the next request may be sent. If not ``certain``, whatever becomes of the requests
    under way, ask again then. No rate: PostHog asked to hold back, or nothing waits."""

    at: float
    certain: bool
    rate: Rate | None


def next_moment(
    blocking: Iterable[tuple[Rate, Entry | None]], *, hold_until: float, now: float
) -> Moment:
    """When a request may be sent, by the n-th newest request (by ``counted_by``) of each limit of n
    requests, None where there are fewer; until ``hold_until`` PostHog asked to send nothing."""
    at, reason = now, None
    if 0 < hold_until - now <= LONGEST_HOLD_S:
        at = hold_until
    known = [(rate, entry) for rate, entry in blocking if entry is not None]
    for rate, entry in known:
        final = entry.settled or entry.counted_by <= now
        free = (entry.counted_by if final else entry.sent_from) + rate.seconds
        if free > at:
            at, reason = free, rate
    late = [
        rate
        for rate, entry in known
        if not entry.settled and entry.counted_by > now and entry.counted_by + rate.seconds > at
    ]
    if not late:
        return Moment(at, True, reason)
    return Moment(max(at, now + ASK_AGAIN_S), False, reason or late[0])
