"""StickinessQuery and LifecycleQuery: on how many days, and in which state, people were active.

Facts: the SQL and the responses of a real server over known events. Stickiness counts in integers,
lifecycle in floats; dormant is negative.
"""

from datetime import UTC, datetime
from typing import Any

from hog_dagster.sandbox.api._insight_math.dates import Range, date_range
from hog_dagster.sandbox.api._insight_math.matching import series_events, series_of, shown_name
from hog_dagster.sandbox.api._insight_math.query_data import Computed, QueryData

STATES = ("new", "returning", "resurrecting", "dormant")


def stickiness(query: dict[str, Any], query_data: QueryData) -> Computed:
    """Calculate a StickinessQuery."""
    series = series_of(query)
    span = date_range(query, query_data)
    compare = query.get("compareFilter") or {}
    spans = [(span, "current" if compare.get("compare") else None)]
    if compare.get("compare"):
        spans.append((span.previous(compare.get("compare_to")), "previous"))
    results: list[dict[str, Any]] = []
    for one, label in spans:
        for order, node in enumerate(series):
            row = _stickiness_row(query, query_data, one, node, order)
            if label:
                row |= {"compare": True, "compare_label": label}
            results.append(row)
    return Computed(results, resolved_date_range=span.resolved())


def _stickiness_row(
    query: dict[str, Any], query_data: QueryData, span: Range, node: dict[str, Any], order: int
) -> dict[str, Any]:
    means = series_events(query_data, node, query)
    active: dict[str, set[datetime]] = {}
    for event in query_data.between(None, span.start, span.end):
        if means(event):
            active.setdefault(event.person_id, set()).add(span.key(event.timestamp))
    length = len(span.buckets())
    data = [0] * length
    for days in active.values():
        data[len(days) - 1] += 1
    name = shown_name(node)
    return {
        "count": sum(data),
        "data": data,
        "days": list(range(1, length + 1)),
        "label": node.get("custom_name") or name,
        "labels": [
            f"{number} {span.interval}{'' if number == 1 else 's'}"
            for number in range(1, length + 1)
        ],
        "action": {
            "order": order,
            "type": "events",
            "name": name,
            "id": node.get("event"),
            "custom_name": node.get("custom_name"),
        },
    }


def lifecycle(query: dict[str, Any], query_data: QueryData) -> Computed:
    """Calculate a LifecycleQuery."""
    node, span = series_of(query)[0], date_range(query, query_data)
    means = series_events(query_data, node, query)
    buckets = span.buckets()
    keys = [bucket.astimezone(UTC) for bucket in buckets]
    low = span.before(buckets[0])
    high = span.after(buckets[-1])
    active: dict[str, set[datetime]] = {}
    for event in query_data.events:
        if low <= event.timestamp < high and means(event):
            active.setdefault(event.person_id, set()).add(span.key(event.timestamp))
    counts: dict[str, dict[datetime, int]] = {state: dict.fromkeys(keys, 0) for state in STATES}
    for person_id, moments in active.items():
        person = query_data.persons.get(person_id)
        born = None
        if person is not None and person.created_at is not None:
            born = span.key(person.created_at)
        ordered = sorted(moments)
        for place, moment in enumerate(ordered):
            previous = born if place == 0 else ordered[place - 1]
            following = ordered[place + 1] if place + 1 < len(ordered) else None
            here = moment.astimezone(span.zone)
            if previous == moment:
                state = "new"
            elif place and span.before(here).astimezone(UTC) == previous:
                state = "returning"
            else:
                state = "resurrecting"
            if moment in counts[state]:
                counts[state][moment] += 1
            after = span.after(here).astimezone(UTC)
            if following != after and after in counts["dormant"]:
                counts["dormant"][after] += 1
    name = shown_name(node)
    results: list[dict[str, Any]] = []
    for state in STATES:
        sign = -1.0 if state == "dormant" else 1.0
        data = [sign * count if count else 0.0 for count in counts[state].values()]
        results.append(
            {
                "action": {
                    "id": node.get("event"),
                    "name": name,
                    "type": "events",
                    "order": 0,
                    "math": "total",
                },
                "data": data,
                "count": sum(data),
                "labels": span.labels(),
                "days": span.days(),
                "label": f"{name} - {state}",
                "status": state,
            }
        )
    return Computed(results, resolved_date_range=span.resolved())
