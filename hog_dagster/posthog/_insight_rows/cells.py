"""Values of a response as cells: numbers, moments and time buckets.

Facts: PostHog writes ``days`` as dates, or as ``YYYY-MM-DD HH:MM:SS`` for hours and minutes, in
the project's zone and without an offset; retention and ``action.days`` carry offsets.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from hog_dagster.posthog._insight_rows.columns import RowBuilder, UnknownShape


@dataclass(frozen=True, slots=True)
class Zone:
    """The project's time zone: its name, and the zone itself when this machine knows it."""

    name: str | None = None
    info: tzinfo | None = None


def find_zone(name: object) -> Zone:
    """The zone of that name; nameless when there is none, without info when it is not known."""
    if not isinstance(name, str) or not name:
        return Zone()
    try:
        return Zone(name, ZoneInfo(name))
    except (ValueError, OSError, LookupError):
        return Zone(name)


def number(value: Any) -> float | None:
    """A number of a response; None for null and for what is not finite.

    Raises:
        UnknownShape: it is not a number.
    """
    if value is None:
        return None
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            found = float(value)
        except (ValueError, OverflowError):
            raise UnknownShape(f"{value!r:.80} where a number belongs") from None
        return found if math.isfinite(found) else None
    raise UnknownShape(f"{type(value).__name__} where a number belongs")


def text(value: Any) -> str | None:
    """A text, or None when it is not one."""
    return value if isinstance(value, str) else None


def whole(value: Any) -> int | None:
    """A whole number, or None when it is not one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        return int(text) if text.lstrip("-").isdigit() and text.isascii() else None
    return None


def moment(value: Any) -> datetime | None:
    """An ISO moment with an offset, in UTC; None for anything else."""
    if isinstance(value, datetime):
        found = value
    elif isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            return None
    else:
        return None
    return found.astimezone(UTC) if found.tzinfo else None


@dataclass(frozen=True, slots=True)
class Bucket:
    """A time bucket's start: the instant, the local wall clock in words, the local date."""

    start: datetime | None
    local: str
    date: date

    def cells(self, zone: Zone) -> dict[str, Any]:
        return {
            "bucket_start": self.start,
            "bucket_local": self.local,
            "bucket_date": self.date,
            "timezone": zone.name,
        }


def buckets(days: Sequence[Any], zone: Zone, instants: Sequence[Any] = ()) -> list[Bucket]:
    """The buckets that a series' ``days`` name, in order: local dates or times, or ISO moments.

    Where the clock goes back, the second of two equal local times is the later one. ``instants``
    are the same starts with offsets (``action.days``), used when the zone is unknown.

    Raises:
        UnknownShape: one of them is neither a date nor a time.
    """
    seen: set[datetime] = set()
    found: list[Bucket] = []
    for index, day in enumerate(days):
        stamp = _parse(day)
        if stamp.tzinfo is None:
            if zone.info is not None:
                stamp = stamp.replace(tzinfo=zone.info, fold=1 if stamp in seen else 0)
                seen.add(stamp.replace(tzinfo=None, fold=0))
            elif index < len(instants):
                stamp = _same_wall_clock(stamp, instants[index])
        elif zone.info is not None:
            stamp = stamp.astimezone(zone.info)
        start = stamp.astimezone(UTC) if stamp.tzinfo else None
        found.append(Bucket(start, stamp.isoformat(), stamp.date()))
    return found


def points(item: Mapping[str, Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """Values, days and labels of the points of a series.

    Raises:
        UnknownShape: there are not as many days as values.
    """
    data, days, labels = item.get("data"), item.get("days"), item.get("labels")
    if not isinstance(data, list) or not isinstance(days, list) or len(days) != len(data):
        raise UnknownShape("as many days as points are expected")
    if not isinstance(labels, list) or len(labels) != len(data):
        labels = [None] * len(data)
    return data, days, labels


def add_points(
    item: Mapping[str, Any],
    cells: Mapping[str, Any],
    zone: Zone,
    rows: RowBuilder,
    instants: Sequence[Any] = (),
) -> None:
    """Add a row for each point of a series: its value in its time bucket; see :func:`buckets`."""
    data, days, labels = points(item)
    for value, bucket, label in zip(data, buckets(days, zone, instants), labels, strict=True):
        rows.add(cells, bucket.cells(zone), bucket_label=label, value=number(value))


def _parse(day: Any) -> datetime:
    try:
        return datetime.fromisoformat(day)
    except (TypeError, ValueError):
        raise UnknownShape(f"{day!r:.80} where a date or time belongs") from None


def _same_wall_clock(stamp: datetime, instant: Any) -> datetime:
    """The instant, if it shows that wall clock; else the stamp as it is."""
    if not isinstance(instant, str):
        return stamp
    try:
        found = datetime.fromisoformat(instant)
    except ValueError:
        return stamp
    return found if found.tzinfo and found.replace(tzinfo=None) == stamp else stamp
