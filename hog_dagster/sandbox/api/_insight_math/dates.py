"""Date ranges and their buckets in the project's time zone.

Facts: PostHog's relative dates (`-7d`, `mStart`, `all`), its default of seven days, and recorded
labels.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.parser import isoparse
from dateutil.relativedelta import relativedelta

from hog_dagster.sandbox.api._insight_math.query_data import QueryData, UserError, iso

INTERVALS = ("minute", "hour", "day", "week", "month")
_RELATIVE = re.compile(r"^-?(\d+)?([hdwmqysHDWMQY])(Start|End)?$")
_STEP = {
    "minute": relativedelta(minutes=1),
    "hour": relativedelta(hours=1),
    "day": relativedelta(days=1),
    "week": relativedelta(weeks=1),
    "month": relativedelta(months=1),
}
_UNITS: dict[str, dict[str, int]] = {
    "h": {"hours": 1},
    "d": {"days": 1},
    "w": {"weeks": 1},
    "m": {"months": 1},
    "q": {"weeks": 13},
    "y": {"years": 1},
    "s": {"seconds": 1},
}


def read_date(text: str, zone: ZoneInfo, now: datetime) -> tuple[datetime, bool]:
    """(moment in `zone`, whether it was a relative date). What cannot be read is now."""
    local = now.astimezone(zone)
    match = _RELATIVE.match(text)
    if match is None:
        try:
            value = isoparse(text)
        except ValueError:
            return local, True
        return (value.replace(tzinfo=zone) if value.tzinfo is None else value.astimezone(zone)), (
            False
        )
    amount, unit, position = int(match[1] or 0), match[2], match[3]
    step = {"minutes": 1} if unit == "M" else _UNITS[unit.lower()]
    moment = local - relativedelta(**{name: size * amount for name, size in step.items()})  # type: ignore[arg-type]
    if position:
        moment = _edge(moment, unit.lower(), position)
    elif unit not in ("h", "H", "M", "s"):
        moment = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    else:
        moment = moment.replace(minute=0, second=0, microsecond=0) if unit in "hH" else moment
    return moment, True


def _edge(moment: datetime, unit: str, position: str) -> datetime:
    start = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "m":
        start = start.replace(day=1)
    elif unit == "y":
        start = start.replace(month=1, day=1)
    elif unit == "q":
        start = start.replace(month=(start.month - 1) // 3 * 3 + 1, day=1)
    if position == "Start":
        return start
    step = {"m": relativedelta(months=1), "y": relativedelta(years=1), "q": relativedelta(months=3)}
    return start + step.get(unit, relativedelta(days=1)) - timedelta(microseconds=1)


def start_of(moment: datetime, interval: str, zone: ZoneInfo) -> datetime:
    """The start of the bucket that holds `moment`, in `zone`; weeks begin on Sunday."""
    local = moment.astimezone(zone)
    if interval == "minute":
        return local.replace(second=0, microsecond=0)
    start = local.replace(minute=0, second=0, microsecond=0)
    if interval == "hour":
        return start
    start = start.replace(hour=0)
    if interval == "week":
        return start - timedelta(days=(start.weekday() + 1) % 7)
    return start.replace(day=1) if interval == "month" else start


@dataclass(frozen=True)
class Range:
    """From `start` to `end`, both inclusive, in the project's zone, cut into buckets."""

    start: datetime
    end: datetime
    interval: str
    zone: ZoneInfo

    def buckets(self) -> list[datetime]:
        """The starts of the buckets."""
        found: list[datetime] = []
        at = start_of(self.start, self.interval, self.zone)
        while at <= self.end:
            found.append(at)
            at = self.after(at)
        return found

    def after(self, bucket: datetime) -> datetime:
        """The start of the bucket after this one."""
        if self.interval in ("minute", "hour"):
            return (bucket.astimezone(UTC) + _STEP[self.interval]).astimezone(self.zone)
        return bucket + _STEP[self.interval]

    def before(self, bucket: datetime, number: int = 1) -> datetime:
        """The start of the bucket `number` before this one."""
        if self.interval in ("minute", "hour"):
            moved = bucket.astimezone(UTC) - _STEP[self.interval] * number
            return moved.astimezone(self.zone)
        return bucket - _STEP[self.interval] * number

    def key(self, moment: datetime) -> datetime:
        """What identifies the bucket of `moment`."""
        return start_of(moment, self.interval, self.zone).astimezone(UTC)

    def bucket_keys(self) -> list[datetime]:
        return [bucket.astimezone(UTC) for bucket in self.buckets()]

    def labels(self) -> list[str]:
        """``6-Nov-2026``, with the time for hours."""
        clock = " %H:%M" if self.interval in ("minute", "hour") else ""
        return [f"{at.day}-{at.strftime('%b-%Y' + clock)}" for at in self.buckets()]

    def days(self) -> list[str]:
        """``2026-11-06``, with the time for hours."""
        clock = " %H:%M:%S" if self.interval in ("minute", "hour") else ""
        return [at.strftime("%Y-%m-%d" + clock) for at in self.buckets()]

    def moments(self) -> list[str]:
        return [iso(at) for at in self.buckets()]

    def previous(self, compare_to: str | None = None) -> "Range":
        """The period that `compare` sets beside this one."""
        if compare_to:
            shift = self.start.astimezone(UTC)
            moved, _ = read_date(compare_to, self.zone, shift)
            back = self.start - moved.replace(
                hour=self.start.hour, minute=self.start.minute, second=0, microsecond=0
            )
            return Range(self.start - back, self.end - back, self.interval, self.zone)
        length = self.end - self.start
        start = start_of(self.start - length, self.interval, self.zone)
        return Range(start, start + length, self.interval, self.zone)

    def resolved(self) -> dict[str, Any]:
        return {"date_from": iso(self.start), "date_to": iso(self.end)}


def date_range(query: dict[str, Any], query_data: QueryData, interval: str | None = None) -> Range:
    """The range a query asks for: the last seven days when it does not say."""
    wanted = query.get("dateRange") or {}
    interval = interval or query.get("interval") or "day"
    if interval not in INTERVALS:
        raise UserError(f"Interval {interval} not supported.")
    zone, now = query_data.zone, query_data.now.astimezone(query_data.zone)
    end, relative = now, True
    if wanted.get("date_to"):
        end, relative = read_date(wanted["date_to"], zone, query_data.now)
    if not wanted.get("explicitDate"):
        if interval not in ("minute", "hour"):
            end = end.replace(hour=23, minute=59, second=59, microsecond=999999)
        elif relative:
            end = end.replace(minute=59, second=59, microsecond=999999)
    text = wanted.get("date_from")
    if text == "all":
        first = min((event.timestamp for event in query_data.events), default=query_data.now)
        start = start_of(first, "day", zone)
    elif text:
        start, _ = read_date(text, zone, query_data.now)
    else:
        start = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=7)
    return Range(start, end, interval, zone)
