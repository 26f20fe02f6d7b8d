"""Insights as PostHog answers them, small: known events, and answers computed over them by hand.

The shapes are those of a real server's responses; the numbers are counted here in plain Python, in
another way than PostHog's SQL counts them.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

FIRST, LAST = date(2026, 3, 2), date(2026, 3, 8)
DAYS = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
COMPUTED = "2026-03-09T10:00:00.123456Z"
BROWSERS = ("Chrome", "Safari", None)


@dataclass(frozen=True)
class Event:
    """One event of one person."""

    name: str
    person: int
    at: datetime
    browser: str | None

    def day(self, zone: str) -> date:
        return self.at.astimezone(ZoneInfo(zone)).date()


def make_events() -> list[Event]:
    """Nine people: the n-th is active on every (n + 1)-th day; some buy three hours after."""
    events: list[Event] = []
    start = datetime(2026, 3, 2, 2, 30, tzinfo=UTC)
    for person in range(9):
        for n in range(0, 7, person + 1):
            at = start + timedelta(days=n, minutes=person)
            browser = BROWSERS[person % 3]
            events.append(Event("view", person, at, browser))
            if (person + n) % 2 == 0:
                events.append(Event("buy", person, at + timedelta(hours=3), browser))
    return events


EVENTS = make_events()


def insight(source: dict[str, Any], result: Any, **more: Any) -> dict[str, Any]:
    """An insight as ``GET /insights/:id/`` gives it."""
    wrapper = "DataVisualizationNode" if source["kind"] == "HogQLQuery" else "InsightVizNode"
    body: dict[str, Any] = {
        "id": 7,
        "short_id": "abcd1234",
        "name": "An insight",
        "derived_name": None,
        "filters": {},
        "query": {"kind": wrapper, "source": source},
        "last_refresh": COMPUTED,
        "result": result,
        "hasMore": None,
        "columns": None,
        "types": None,
        "timezone": "UTC",
        "query_status": None,
        "is_cached": False,
    }
    return body | more


def node(event: str, **more: Any) -> dict[str, Any]:
    return {"kind": "EventsNode", "event": event, "name": event, **more}


def trends_source(*series: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"kind": "TrendsQuery", "series": list(series), "interval": "day", **more}


def action(event: str, order: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "id": event,
        "type": "events",
        "order": order,
        "name": event,
        "custom_name": None,
        "math": None,
        "math_property": None,
        "math_hogql": None,
        "math_group_type_index": None,
        "properties": {},
        "days": [f"{day}T00:00:00Z" for day in DAYS],
        **more,
    }


def series(
    data: list[Any],
    event: str = "view",
    order: int = 0,
    days: Iterable[date | str] = DAYS,
    **more: Any,
) -> dict[str, Any]:
    """One series of a trends answer, with points."""
    names = [str(day) for day in days]
    return {
        "data": data,
        "labels": [f"label of {name}" for name in names],
        "days": names,
        "count": float(sum(value or 0 for value in data)),
        "label": event,
        "filter": {"insight": "TRENDS", "interval": "day", "smoothingIntervals": 1},
        "action": action(event, order),
        "order": order,
        **more,
    }


def per_day(
    name: str, zone: str = "UTC", keep: Callable[[Event], bool] = lambda event: True
) -> list[int]:
    """How many events of that name fell on each day."""
    found = Counter(e.day(zone) for e in EVENTS if e.name == name and keep(e))
    return [found[day] for day in DAYS]


def people_per_day(name: str, browser: str | None) -> list[int]:
    """How many people had such an event on each day, in one browser."""
    chosen = [e for e in EVENTS if e.name == name and e.browser == browser]
    return [len({e.person for e in chosen if e.day("UTC") == day}) for day in DAYS]


def active_days(name: str) -> dict[int, set[date]]:
    """Of each person, the days with such an event."""
    found: dict[int, set[date]] = {}
    for event in EVENTS:
        if event.name == name:
            found.setdefault(event.person, set()).add(event.day("UTC"))
    return found


def step(event: str, order: int, count: float, **more: Any) -> dict[str, Any]:
    """One step of a funnel answer."""
    return {
        "action_id": event,
        "name": event,
        "custom_name": None,
        "order": order,
        "people": [],
        "count": count,
        "type": "events",
        "average_conversion_time": None,
        "median_conversion_time": None,
        **more,
    }


def numbers_in(part: Any, without: frozenset[str]) -> list[float]:
    """Every number of a response, but those under the named keys."""
    if isinstance(part, bool) or part is None or isinstance(part, str):
        return []
    if isinstance(part, (int, float)):
        return [float(part)]
    if isinstance(part, list):
        return [found for item in part for found in numbers_in(item, without)]
    return [
        found
        for name, item in part.items()
        if name not in without
        for found in numbers_in(item, without)
    ]
