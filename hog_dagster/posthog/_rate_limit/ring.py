"""What a rate limit allows, from the times at which requests were counted: no file, no clock.

Facts: Django REST framework's throttles keep the times of a window's requests and let one through
when fewer than the limit are left in it.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["BYTES", "CAPACITY", "IN_FLIGHT_S", "Rate", "Ring"]

#: A request may be counted by the server up to this many seconds after it was let through; a slot
#: whose request never came back (a killed process) is held this much longer.
IN_FLIGHT_S = 10.0
#: The server never asks for longer: beyond this the machine's clock was set back.
LONGEST_HOLD_S = 3_700.0
_HEADER = 2  # slots written so far, time until which the server asked us to hold back
#: Requests remembered; the largest limit must fit well within.
CAPACITY = 16_384
BYTES = 8 * (_HEADER + CAPACITY)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``requests`` in any ``seconds``."""

    requests: int
    seconds: float

    def scaled(self, headroom: float) -> Rate:
        """The part of this limit that we allow ourselves."""
        return Rate(max(1, math.floor(self.requests * headroom)), self.seconds)


class Ring:
    """Pure part: the ring of times and what it allows. Knows no file and no clock."""

    def __init__(self, buffer: bytearray | mmap.mmap | None = None) -> None:
        self.values = memoryview(bytearray(BYTES) if buffer is None else buffer).cast("d")

    @property
    def written(self) -> int:
        return int(self.values[0])

    @property
    def hold_until(self) -> float:
        return self.values[1]

    def hold(self, until: float) -> None:
        self.values[1] = max(self.values[1], until)

    def push(self, at: float) -> int:
        """Take the next slot; returns its index."""
        index = self.written
        self.values[_HEADER + index % CAPACITY] = at
        self.values[0] = index + 1
        return index

    def settle(self, index: int, at: float) -> None:
        """The server had counted slot ``index`` by ``at``: never later than was assumed."""
        place = _HEADER + index % CAPACITY
        if self.written - index <= CAPACITY:
            self.values[place] = min(self.values[place], at)

    def within(self, seconds: float, now: float) -> list[float]:
        """Times of the last ``seconds``, as the server may have counted them."""
        times: list[float] = []
        for index in range(self.written - 1, max(-1, self.written - 1 - CAPACITY), -1):
            at = self.values[_HEADER + index % CAPACITY]
            if at > now + IN_FLIGHT_S:
                continue  # The machine's clock was set back since.
            if at > now - seconds:
                times.append(min(at, now))  # Later than now: still on its way.
            elif at <= now - seconds - IN_FLIGHT_S:
                break  # Slots are taken in order, so all before this one are older still.
        return times

    def wait(self, rates: Sequence[Rate], now: float) -> tuple[float, Rate | None]:
        """Seconds until a request may be sent, and the limit that makes it wait."""
        held = self.hold_until - now
        longest, reason = held if 0 < held <= LONGEST_HOLD_S else 0.0, None
        for rate in rates:
            oldest_allowed = self.written - rate.requests
            if oldest_allowed < 0:
                continue
            if (
                oldest_allowed > self.written - CAPACITY
                and self.values[_HEADER + oldest_allowed % CAPACITY]
                <= now - rate.seconds - IN_FLIGHT_S
            ):
                continue
            times = self.within(rate.seconds, now)
            if len(times) >= rate.requests:
                times.sort()
                wait = times[len(times) - rate.requests] + rate.seconds - now
                if wait > longest:
                    longest, reason = wait, rate
        return longest, reason
