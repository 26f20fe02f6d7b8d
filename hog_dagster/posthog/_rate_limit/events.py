"""What a caller may want to know while requests wait: for the log of a run, say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["OnRateLimit", "RateLimitEvent"]


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
