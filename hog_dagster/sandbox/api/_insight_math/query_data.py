"""What a query looks at: the events and persons of the project, now, and the project's time zone;
and the number conventions of ClickHouse's answers.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from hog_dagster.sandbox.world import Event, PersonRow


class UserError(Exception):
    """A query that fails in a way the user may see: it becomes a 400 with this text."""


class TooSlow(Exception):
    """A query that takes longer than it may: it becomes a 504."""


@dataclass
class QueryData:
    """The data a calculation reads."""

    events: Sequence[Event]
    persons: dict[str, PersonRow]
    now: datetime
    zone: ZoneInfo
    group_properties: Callable[[int, str], dict[str, Any]] = lambda index, key: {}
    #: Runs a HogQL query: (rows, columns, types, hogql, hasMore, limit).
    hogql: Callable[[dict[str, Any]], "Computed"] | None = None

    def between(self, event: str | None, low: datetime, high: datetime) -> list[Event]:
        """Events of a name (any when None) from `low` to `high`, both inclusive, oldest first."""
        return [
            row
            for row in self.events
            if (event is None or row.event == event) and low <= row.timestamp <= high
        ]


@dataclass
class Computed:
    """The response of a calculation, in PostHog's shape."""

    result: Any
    has_more: bool | None = None
    columns: list[str] | None = None
    types: Any = None
    hogql: str | None = None
    resolved_date_range: dict[str, Any] | None = None
    limit: int | None = None
    offset: int | None = None


def iso(moment: datetime) -> str:
    """An aware datetime as the API prints it: ``Z`` in UTC, the offset elsewhere."""
    text = moment.isoformat()
    return text.removesuffix("+00:00") + "Z" if moment.utcoffset() == UTC.utcoffset(None) else text


def number(value: float | None) -> int | float | None:
    """A number as ClickHouse's JSON prints it: without a fraction where it has none."""
    if value is None or isinstance(value, int):
        return value
    if math.isnan(value) or math.isinf(value):
        return None
    return int(value) if value.is_integer() else value


def quantile(values: Iterable[float], level: float) -> float | None:
    """ClickHouse's `quantile`, exact below its sample size: linear between the two neighbours."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = level * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] * (1 - (place - low)) + ordered[high] * (place - low)
