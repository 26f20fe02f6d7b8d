"""PostHog's clock, as bounds: what the ``Date`` headers of its responses prove, and no more.

Facts: HTTP's ``Date`` header is a whole second; some servers renew it once a second only, so that
it can be up to two seconds old when it is written. A response was written between the moment its
request was sent and the moment it was received.

Everything is kept on the monotonic clock, so that a wall clock that is set or stepped changes
nothing.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from hog_dagster._shared.clock import SYSTEM_CLOCK, Clock

#: Seconds by which the true time can be ahead of ``Date``: the second it is cut to, and the second
#: for which a server may write the same header.
DATE_IS_OLD_S = 2.0
#: Two clocks of machines drift apart by less than this part of the time that passes.
DRIFT = 2e-4
#: Before any response: PostHog's clock is believed to be this close to ours.
UNKNOWN = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ServerClock:
    """Bounds of PostHog's present. Safe to use from several threads.

    Each response gives an interval; their intersection is kept. An interval that contradicts what
    is known, because PostHog's clock was set or another server answered, widens the bounds to
    both, and the next response tightens them again.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # Seconds that PostHog's time since 1970 is ahead of the monotonic clock, at _at.
        self._bounds: tuple[float, float] | None = None
        self._at = 0.0

    @property
    def known(self) -> bool:
        """Whether any response gave PostHog's time."""
        return self._bounds is not None

    def notice(self, date: datetime, *, sent: float, received: float) -> None:
        """Take in a response's ``Date``, and the (monotonic) moments before its request was sent
        and when its head had been received."""
        if not 1971 < date.year < 9000:
            return  # No clock's time.
        written = (date - _EPOCH).total_seconds()
        low, high = written - received, written + DATE_IS_OLD_S - sent
        with self._lock:
            if self._bounds is not None:
                known_low, known_high = self._drifted(received)
                meets = low <= known_high and known_low <= high
                both = (max, min) if meets else (min, max)
                low, high = both[0](low, known_low), both[1](high, known_high)
            self._bounds, self._at = (low, high), received

    def earliest(self, at: float | None = None) -> datetime:
        """PostHog's time is, or was, this or later.

        Args:
            at: the moment meant, on the local monotonic clock; default now.
        """
        return self._edges(at)[0]

    def latest(self, at: float | None = None) -> datetime:
        """PostHog's time is, or was, this or earlier. See :meth:`earliest`."""
        return self._edges(at)[1]

    def now(self) -> datetime:
        """The middle of the bounds: for windows that end about now, never for evidence."""
        return self.middle()

    def middle(self, at: float | None = None) -> datetime:
        """The middle of the bounds at a moment. See :meth:`earliest`."""
        low, high = self._edges(at)
        return low + (high - low) / 2

    def local_monotonic(self) -> float:
        """The present on the local monotonic clock, to ask about it later."""
        return self._clock.monotonic()

    def ahead(self) -> tuple[float, float]:
        """Seconds that PostHog's clock is ahead of this machine's wall clock, at least and at most.

        Without any response this says nothing: see :attr:`known`.
        """
        local = self._clock.now()
        low, high = self._edges(None)
        return (low - local).total_seconds(), (high - local).total_seconds()

    def _edges(self, at: float | None) -> tuple[datetime, datetime]:
        present = self._clock.monotonic()
        moment = present if at is None else at
        with self._lock:
            if self._bounds is None:
                local = self._clock.now() + timedelta(seconds=moment - present)
                return local - UNKNOWN, local + UNKNOWN
            low, high = self._drifted(moment)
        return _EPOCH + timedelta(seconds=low + moment), _EPOCH + timedelta(seconds=high + moment)

    def _drifted(self, moment: float) -> tuple[float, float]:
        """The bounds as they hold at another moment: clocks drift."""
        assert self._bounds is not None
        slack = abs(moment - self._at) * DRIFT
        return self._bounds[0] - slack, self._bounds[1] + slack
