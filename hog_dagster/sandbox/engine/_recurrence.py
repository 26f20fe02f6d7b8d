"""Recurrence rules of schedules: expanded in the schedule's own time zone, so that 9:00 stays
9:00.
"""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr


def check_rule(rule: str) -> None:
    """Raise ValueError or TypeError for a rule that cannot be read or carries its own start."""
    if "DTSTART" in rule.upper():
        raise ValueError("DTSTART belongs into starts_at")
    rrulestr(rule, dtstart=datetime(2020, 1, 1))  # noqa: DTZ001


def next_occurrences(
    rule: str, starts_at: datetime, zone: str, *, after: datetime, count: int
) -> list[datetime]:
    """The next `count` occurrences after a moment, in UTC; KeyError for an unknown zone."""
    place = ZoneInfo(zone)
    start = starts_at.astimezone(place).replace(tzinfo=None)
    rules: Any = rrulestr(rule, dtstart=start)
    found: list[datetime] = []
    moment = after.astimezone(place).replace(tzinfo=None)
    while len(found) < count:
        following = rules.after(moment)
        if following is None:
            break
        found.append(following.replace(tzinfo=place).astimezone(UTC))
        moment = following
    return found
