"""Rate limits as DRF and PostHog apply them: two sliding windows per key and bucket, in real
(monotonic) time.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

#: bucket -> (requests, seconds) of each window. The same numbers as PostHog Cloud.
REAL_LIMITS: Mapping[str, Sequence[tuple[int, float]]] = {
    "default": ((480, 60.0), (4800, 3600.0)),
    "insights": ((240, 60.0), (1200, 3600.0)),
    "query": ((240, 60.0), (2400, 3600.0)),
}

Limits = Mapping[str, Sequence[tuple[int, float]]]


class Throttle:
    """Counts requests per key and bucket and says how long to wait.

    A bucket that `limits` leave out keeps its real ones; False means none at all.
    """

    def __init__(
        self,
        limits: Limits | bool | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits: dict[str, Sequence[tuple[int, float]]] = (
            {} if limits is False else dict(REAL_LIMITS)
        )
        if limits and limits is not True:
            self._limits.update(limits)
        self._monotonic = monotonic
        self._history: dict[tuple[str, str, int], deque[float]] = {}
        self._lock = threading.Lock()

    def charge(self, key: str, bucket: str) -> int | None:
        """Charge one request. None when it may pass, else the seconds to wait (rounded up).

        Every window is asked and charged even when another has refused, as DRF does: a client that
        hammers a closed minute window eats its hour as well.
        """
        with self._lock:
            windows = enumerate(self._limits.get(bucket, ()))
            waits = [self._one(key, bucket, index, *window) for index, window in windows]
        refused = [wait for wait in waits if wait is not None]
        return math.ceil(max(refused)) if refused else None

    def _one(self, key: str, bucket: str, index: int, number: int, seconds: float) -> float | None:
        history = self._history.setdefault((key, bucket, index), deque())
        now = self._monotonic()
        while history and history[0] <= now - seconds:
            history.popleft()
        if len(history) < number:
            history.append(now)
            return None
        left = seconds - (now - history[0]) if history else seconds
        return max(left / (number - len(history) + 1), 0.0)
