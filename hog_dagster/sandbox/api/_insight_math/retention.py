"""RetentionQuery: who came back how many periods later.

Facts: the SQL and the responses of a real server over known events.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from hog_dagster.sandbox.api._insight_math.breakdowns import Breakdown, read_breakdown
from hog_dagster.sandbox.api._insight_math.dates import Range, date_range, start_of
from hog_dagster.sandbox.api._insight_math.matching import NULL, named
from hog_dagster.sandbox.api._insight_math.query_data import Computed, QueryData, UserError, iso

PERIODS = {"Hour": "hour", "Day": "day", "Week": "week", "Month": "month"}
FIRST_TIME = ("retention_first_time", "retention_first_ever_occurrence")
PAGEVIEW: dict[str, Any] = {"id": "$pageview", "type": "events"}


def retention(query: dict[str, Any], query_data: QueryData) -> Computed:
    """Calculate a RetentionQuery."""
    options = query.get("retentionFilter") or {}
    period = options.get("period") or "Day"
    if period not in PERIODS:
        raise UserError(f"Period {period} is invalid.")
    ahead = options.get("totalIntervals") or 8
    span = _span(query, query_data, PERIODS[period], ahead)
    breakdown = read_breakdown(query)
    target = _entity(query_data, query, options.get("targetEntity") or PAGEVIEW)
    back = _entity(query_data, query, options.get("returningEntity") or PAGEVIEW)
    first_time = options.get("retentionType") in FIRST_TIME
    keys = span.bucket_keys()
    places = {key: place for place, key in enumerate(keys)}
    actors = _actors(query_data, span, breakdown, target, back)
    counts: dict[str | None, list[list[int]]] = {}
    for (_, value), (starts, returns, first) in actors.items():
        cells = counts.setdefault(value, [[0] * ahead for _ in keys])
        begun = sorted(starts)
        if first_time:
            begun = [key for key in begun if first is not None and key == span.key(first)]
        for start in begun:
            place = places[start]
            cells[place][0] += 1
            for key in returns:
                gap = places[key] - place
                if 0 < gap < ahead:
                    cells[place][gap] += 1
    if breakdown is None:
        counts.setdefault(None, [[0] * ahead for _ in keys])
    ranked = sorted(counts, key=lambda value: (-sum(row[0] for row in counts[value]), value or ""))
    buckets = span.buckets()
    rows = [
        {
            "breakdown_value": value,
            "date": iso(bucket),
            "label": f"{period} {place}",
            "values": [
                {"count": count, "label": f"{period} {gap}"}
                for gap, count in enumerate(counts[value][place])
            ],
        }
        for value in ranked
        for place, bucket in enumerate(buckets)
    ]
    return Computed(rows, resolved_date_range=span.resolved())


def _actors(
    query_data: QueryData, span: Range, breakdown: Breakdown | None, target: Any, back: Any
) -> dict[tuple[str, str | None], tuple[set[datetime], set[datetime], datetime | None]]:
    """(person, breakdown value) -> (periods begun, periods returned in, first begun ever)."""
    found: dict[tuple[str, str | None], tuple[set[datetime], set[datetime], datetime | None]] = {}
    for event in query_data.events:
        begins, returns = target(event), back(event)
        if not (begins or returns):
            continue
        value = None
        if breakdown is not None:
            value = "::".join(
                "" if part == NULL else part for part in breakdown.key(query_data, event)
            )
        starts, returned, first = found.get((event.person_id, value), (set(), set(), None))
        if begins and first is None:
            first = event.timestamp
        if span.start <= event.timestamp <= span.end:
            key = span.key(event.timestamp)
            if begins:
                starts.add(key)
            if returns:
                returned.add(key)
        found[event.person_id, value] = (starts, returned, first)
    return found


def _span(query: dict[str, Any], query_data: QueryData, interval: str, ahead: int) -> Range:
    """The given dates, or as many periods as are looked ahead, up to now."""
    zone = query_data.zone
    if (query.get("dateRange") or {}).get("date_from"):
        span = date_range(query, query_data, interval)
        return Range(start_of(span.start, interval, zone), span.end, interval, zone)
    here = start_of(query_data.now, interval, zone)
    span = Range(here, here, interval, zone)
    end = span.after(here).astimezone(UTC) - timedelta(microseconds=1)
    return Range(span.before(here, ahead - 1), end.astimezone(zone), interval, zone)


def _entity(query_data: QueryData, query: dict[str, Any], entity: dict[str, Any]) -> Any:
    if entity.get("type") == "actions" or entity.get("kind") == "ActionsNode":
        raise UserError(f"Action with ID {entity.get('id')} does not exist")
    return named(query_data, entity.get("id"), query, entity)
