"""The math of a series: how many, how many people, sums and quantiles of a property.

Facts: PostHog's math types; ClickHouse's empty aggregates answer zero in a chart.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from hog_dagster.sandbox.api._insight_math.matching import property_of
from hog_dagster.sandbox.api._insight_math.query_data import QueryData, UserError, number, quantile
from hog_dagster.sandbox.world import Event

#: Series that look back from each bucket: days that count as active.
ACTIVE_DAYS = {"weekly_active": 7, "monthly_active": 30}
_AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "avg": lambda values: sum(values) / len(values),
    "min": min,
    "max": max,
}
_QUANTILES = {"median": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def aggregate(query_data: QueryData, node: dict[str, Any], events: Sequence[Event]) -> int | float:
    """One number over these events."""
    math = node.get("math") or "total"
    if math == "total":
        return len(events)
    if math == "dau" or math in ACTIVE_DAYS:
        return len({event.person_id for event in events})
    if math == "unique_session":
        return len({s for e in events if (s := e.properties.get("$session_id")) is not None})
    if math == "unique_group":
        key = f"$group_{node.get('math_group_type_index') or 0}"
        return len({group for event in events if (group := event.properties.get(key))})
    if math == "first_time_for_user":
        return _first_times(query_data, events)
    if math.endswith("_count_per_actor"):
        counts = Counter(event.person_id for event in events)
        return _statistic(math.removesuffix("_count_per_actor"), list(counts.values()))
    return _statistic(math, _values(query_data, node, events))


def _statistic(math: str, values: Sequence[float]) -> int | float:
    if math in _AGGREGATES:
        return number(_AGGREGATES[math](values)) or 0 if values else 0
    if math not in _QUANTILES:
        raise UserError(f"Math {math} is not supported here")
    return number(quantile(values, _QUANTILES[math])) or 0


def _values(query_data: QueryData, node: dict[str, Any], events: Sequence[Event]) -> list[float]:
    name, kind = node.get("math_property"), node.get("math_property_type")
    if name is None:
        raise UserError(f"math_property is required for math {node.get('math')}")
    kind = "person" if kind == "person_properties" else "event"
    values: list[float] = []
    for event in events:
        held = property_of(query_data, event, name, kind)
        if isinstance(held, bool) or held is None:
            continue
        try:
            values.append(float(held))
        except (TypeError, ValueError):
            continue
    return values


def _first_times(query_data: QueryData, events: Sequence[Event]) -> int:
    names = {event.event for event in events}
    first: dict[tuple[str, str], str] = {}
    for event in query_data.events:
        if event.event in names:
            first.setdefault((event.person_id, event.event), event.uuid)
    return sum(first[event.person_id, event.event] == event.uuid for event in events)
