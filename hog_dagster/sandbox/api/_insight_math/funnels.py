"""FunnelsQuery: steps, with a breakdown, and the time to convert.

Facts: the SQL and the responses of a real server over known events. Steps are searched backwards
from each event of the first step, within the conversion window.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from hog_dagster.sandbox.api._insight_math.breakdowns import Breakdown, read_breakdown
from hog_dagster.sandbox.api._insight_math.dates import Range, date_range
from hog_dagster.sandbox.api._insight_math.matching import NULL, series_events, shown_name
from hog_dagster.sandbox.api._insight_math.query_data import (
    Computed,
    QueryData,
    UserError,
    number,
    quantile,
)
from hog_dagster.sandbox.world import Event

BREAKDOWN_LIMIT = 25
_UNITS = ("second", "minute", "hour", "day", "week")
Value = tuple[str, ...]


class Attempt(NamedTuple):
    """What one event of the first step led to: steps reached, seconds between them, its time."""

    steps: int
    times: tuple[float | None, ...]
    at: datetime


class Person(NamedTuple):
    """How far one person got: the best attempts, and the breakdown value."""

    steps: int
    attempts: list[Attempt]
    value: Value | None


def funnel(query: dict[str, Any], query_data: QueryData) -> Computed:
    """Calculate a FunnelsQuery."""
    series = query.get("series") or []
    if len(series) < 2:
        raise UserError("Funnels require at least two steps before calculating.")
    options = query.get("funnelsFilter") or {}
    span, breakdown = date_range(query, query_data), read_breakdown(query)
    people = _people(query, query_data, span, breakdown)
    kind = options.get("funnelVizType") or "steps"
    if kind == "time_to_convert":
        found: Any = _time_to_convert(people, series, options)
    elif kind == "trends":
        found = _trends(people, len(series), span)
    elif breakdown is None:
        found = _rows(series, people, first_only=False)
    else:
        found = _steps_by_value(series, people)
    return Computed(found, resolved_date_range=span.resolved())


def _people(
    query: dict[str, Any], query_data: QueryData, span: Range, breakdown: Breakdown | None
) -> list[Person]:
    tests = [series_events(query_data, node, query) for node in query["series"]]
    window = _window(query.get("funnelsFilter") or {})
    rows: dict[str, list[tuple[Event, list[bool]]]] = {}
    for event in query_data.between(None, span.start, span.end):
        flags = [test(event) for test in tests]
        if any(flags):
            rows.setdefault(event.person_id, []).append((event, flags))
    found: list[Person] = []
    for own in rows.values():
        attempts = _attempts(own, len(tests), window)
        if not attempts:
            continue
        best = max(attempt.steps for attempt in attempts)
        value = None if breakdown is None else _value(query_data, breakdown, own, query)
        found.append(Person(best, [a for a in attempts if a.steps == best], value))
    return found


def _attempts(
    rows: Sequence[tuple[Event, list[bool]]], steps: int, window: timedelta
) -> list[Attempt]:
    """One attempt per event of the first step.

    `latest[k]` of a row is the time of step k at or after it, as the nested window functions find
    it.
    """
    latest: list[list[datetime | None]] = [
        [event.timestamp if flag else None for flag in flags] for event, flags in rows
    ]
    for level in range(1, steps):
        if level > 1:
            for row in latest:
                before = row[level - 1]
                for step in range(level, steps):
                    at = row[step]
                    if at is not None and before is not None and at < before:
                        row[step] = None
        for step in range(level, steps):
            soonest: datetime | None = None
            for row in reversed(latest):
                at = row[step]
                if at is not None and (soonest is None or at < soonest):
                    soonest = at
                row[step] = soonest
    attempts: list[Attempt] = []
    for (event, flags), row in zip(rows, latest, strict=True):
        if flags[0]:
            attempts.append(_attempt(event.timestamp, row, window))
    return attempts


def _attempt(start: datetime, row: Sequence[datetime | None], window: timedelta) -> Attempt:
    reached, previous = 1, start
    for at in row[1:]:
        if at is None or at < previous or at > start + window:
            break
        reached, previous = reached + 1, at
    times: list[float | None] = []
    for step in range(1, len(row)):
        at, before = row[step], row[step - 1] if step > 1 else start
        within = at is not None and before is not None and at <= before + window
        times.append(float(int((at - before).total_seconds())) if within else None)  # type: ignore[operator]
    return Attempt(reached, tuple(times), start)


def _window(options: dict[str, Any]) -> timedelta:
    unit = options.get("funnelWindowIntervalUnit") or "day"
    amount = options.get("funnelWindowInterval") or 14
    if unit == "month":
        return timedelta(days=30 * amount)
    if unit not in _UNITS:
        raise UserError(f"{unit} not supported")
    return timedelta(**{f"{unit}s": amount})


def _value(
    query_data: QueryData,
    breakdown: Breakdown,
    rows: Sequence[tuple[Event, list[bool]]],
    query: dict[str, Any],
) -> Value:
    """First touch: the first value a person had at all; last touch when asked for."""
    order = list(rows)
    kind = (query.get("funnelsFilter") or {}).get("breakdownAttributionType")
    if kind == "last_touch":
        order.reverse()
    for event, _ in order:
        key = tuple("" if part == NULL else part for part in breakdown.key(query_data, event))
        if any(key):
            return key
    return ("",)


def _steps_by_value(
    series: Sequence[dict[str, Any]], people: Sequence[Person]
) -> list[list[dict[str, Any]]]:
    groups: dict[Value, list[Person]] = {}
    for person in people:
        groups.setdefault(person.value or ("",), []).append(person)
    last = len(series)

    def rank(value: Value) -> tuple[int, Value]:
        return (-sum(person.steps == last for person in groups[value]), value)

    shown: dict[Value, list[Person]] = {}
    for place, value in enumerate(sorted(groups, key=rank)):
        name = value if place < BREAKDOWN_LIMIT else ("Other",)
        shown.setdefault(name, []).extend(groups[value])
    answer: list[list[dict[str, Any]]] = []
    for value, some in shown.items():
        rows = _rows(series, some, first_only=True)
        for row in rows:
            row["breakdown"] = row["breakdown_value"] = list(value)
        answer.append(rows)
    return answer


def _rows(
    series: Sequence[dict[str, Any]], people: Sequence[Person], *, first_only: bool
) -> list[dict[str, Any]]:
    """A row per step; of a person's attempts the soonest counts where a breakdown is asked for."""
    rows: list[dict[str, Any]] = []
    for order, node in enumerate(series):
        own = [_times(person, order - 1) for person in people] if order else []
        means = [min(times) if first_only else sum(times) / len(times) for times in own if times]
        middles = [min(t) if first_only else quantile(t, 0.5) or 0.0 for t in own if t]
        total = sum(means) if first_only else math.fsum(means)
        rows.append(
            {
                "action_id": node.get("event"),
                "name": shown_name(node),
                "custom_name": node.get("custom_name"),
                "order": order,
                "people": [],
                "count": sum(person.steps > order for person in people),
                "type": "events",
                "average_conversion_time": number(total / len(means)) if means else None,
                "median_conversion_time": number(quantile(middles, 0.5)),
            }
        )
    return rows


def _times(person: Person, step: int) -> list[float]:
    """The seconds that a person's attempts took from a step to the next."""
    return [time for one in person.attempts if (time := one.times[step]) is not None]


def _time_to_convert(
    people: Sequence[Person], series: Sequence[dict[str, Any]], options: dict[str, Any]
) -> dict[str, Any]:
    first = options.get("funnelFromStep") or 0
    last = options.get("funnelToStep") or len(series) - 1
    times: list[float] = []
    for person in people:
        if person.steps <= last:
            continue
        total = 0.0
        for step in range(first, last):
            own = _times(person, step)
            if not own:
                break
            total += sum(own) / len(own)
        else:
            times.append(total)
    low = math.floor(min(times)) if times else 0
    high = math.ceil(max(times)) if times else 1
    count = options.get("binCount") or min(60, max(1, math.ceil(len(times) ** (1 / 3))))
    width = math.ceil((high - low) / count) or 60
    bins = [[low + width * place, 0] for place in range(count + 1)]
    for time in times:
        bins[min(int((time - low) // width), count)][1] += 1
    average = round(sum(times) / len(times), 2) if times else None
    return {"average_conversion_time": number(average), "bins": bins}


def _trends(people: Sequence[Person], steps: int, span: Range) -> list[dict[str, Any]]:
    """Share of people, by the bucket they entered in, who went all the way: in percent."""
    entered: dict[datetime, int] = dict.fromkeys(span.bucket_keys(), 0)
    through = dict(entered)
    for person in people:
        key = span.key(person.attempts[0].at)
        entered[key] += 1
        through[key] += person.steps == steps
    data = [
        round(100.0 * through[key] / count, 2) if count else 0.0 for key, count in entered.items()
    ]
    return [{"count": len(data), "data": data, "days": span.days(), "labels": span.labels()}]
