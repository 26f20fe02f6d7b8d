"""How long the calls of one client may take: a value that goes with each request.

Facts: httpcore hands the read timeout of a request's ``timeout`` extension to each read of its
socket unchanged, so that the deadline of the request can ride on it into the connection pool.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

__all__ = ["NO_LIMITS", "CallLimits", "ReadTimeout"]


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


class ReadTimeout(float):
    """Seconds between two pieces of a response, and the moment at which its request ends."""

    end: float

    def __new__(cls, seconds: float, end: float) -> ReadTimeout:
        timeout = super().__new__(cls, seconds)
        timeout.end = end
        return timeout
