"""Moments and half-open time windows [after, before): checks, and how PostHog wants them written.

Facts: log bounds are exclusive on both sides and exact to the microsecond; bounds of invocation
results are inclusive and cut to whole seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(9998, 12, 31, tzinfo=UTC)
_US = timedelta(microseconds=1)


def check_window(after: datetime, before: datetime) -> tuple[datetime, datetime]:
    """Both bounds in UTC.

    Raises:
        TypeError: a bound is no datetime.
        ValueError: a bound has no time zone, or the window is empty or the wrong way round.
    """
    for name, bound in (("after", after), ("before", before)):
        if not isinstance(bound, datetime):
            raise TypeError(f"{name}={bound!r}: give a datetime with a time zone")
        if bound.tzinfo is None or bound.utcoffset() is None:
            raise ValueError(
                f"{name}={bound.isoformat()} has no time zone: write "
                "datetime(..., tzinfo=timezone.utc), or value.astimezone() for local time"
            )
    if after >= before:
        raise ValueError(
            f"the window is empty: after={after.isoformat()} is not earlier than "
            f"before={before.isoformat()} (the end is exclusive)"
        )
    start, end = _known(after), _known(before)
    if start == end:
        raise ValueError(f"the window ends before 1970: before={before.isoformat()}")
    return start, end


def _known(bound: datetime) -> datetime:
    """A bound in UTC; one before 1970 is that, since nothing is older, and one after 9998 is that:
    no calendar goes much further, and neither do its time zones."""
    if bound <= EPOCH:
        return EPOCH
    return bound.astimezone(UTC) if bound < _LAST else _LAST


def aware(name: str, moment: datetime) -> datetime:
    """The moment itself.

    Raises:
        ValueError: it has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{name}={moment.isoformat()} has no time zone")
    return moment


def written(name: str, value: Any) -> Any:
    """A datetime as PostHog's parameters want it; anything else as it is.

    Raises:
        ValueError: it has no time zone.
    """
    return iso(to_us(aware(name, value))) if isinstance(value, datetime) else value


def to_us(moment: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (moment - EPOCH) // _US


def from_us(us: int) -> datetime:
    """The UTC datetime of microseconds since 1970, exactly."""
    return EPOCH + us * _US


def iso(us: int) -> str:
    """Microseconds since 1970 as PostHog's parameters want them: UTC, six digits, Z."""
    return from_us(us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds(second: int) -> str:
    """Whole seconds since 1970 as the endpoints that cut to seconds want them."""
    return from_us(second * 1_000_000).strftime("%Y-%m-%dT%H:%M:%SZ")
