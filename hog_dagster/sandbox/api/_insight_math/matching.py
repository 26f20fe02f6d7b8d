"""Which events a series or a property filter means, and the values that breakdowns read.

Facts: PostHog's property operators; the recorded sentinels for none and other.
"""

import operator as operators
import re
from collections.abc import Callable
from typing import Any

from hog_dagster.sandbox.api._insight_math.query_data import QueryData, UserError
from hog_dagster.sandbox.world import Event

#: Operators that compare numbers.
NUMERIC = {"gt": operators.gt, "gte": operators.ge, "lt": operators.lt, "lte": operators.le}
NULL = "$$_posthog_breakdown_null_$$"
OTHER = "$$_posthog_breakdown_other_$$"

Test = Callable[[Event], bool]


def text_of(value: Any) -> str | None:
    """A property's value as text, as ClickHouse extracts it from JSON."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def property_of(
    query_data: QueryData, event: Event, key: str, kind: str, group_index: int = 0
) -> Any:
    """The value of a property of the event, its person or one of its groups."""
    if kind == "person":
        person = query_data.persons.get(event.person_id)
        return person.properties.get(key) if person else None
    if kind == "group":
        held = event.properties.get(f"$group_{group_index}")
        return query_data.group_properties(group_index, held).get(key) if held else None
    if kind in ("event", "feature", "event_metadata", ""):
        return event.event if kind == "event_metadata" else event.properties.get(key)
    raise UserError(f"Properties of type {kind} are not supported here")


def selector(query_data: QueryData, *filters: Any) -> Test:
    """A test that all the given filters hold: lists of properties or groups of them."""
    tests = [_group(query_data, item) for item in filters if item]
    return lambda event: all(test(event) for test in tests)


def _group(query_data: QueryData, filters: Any) -> Test:
    if isinstance(filters, dict) and "values" not in filters:
        return _one(query_data, filters)
    group = filters if isinstance(filters, dict) else {"values": filters}
    tests = [_group(query_data, item) for item in group["values"]]
    if str(group.get("type", "AND")).upper() == "OR":
        return lambda event: not tests or any(test(event) for test in tests)
    return lambda event: all(test(event) for test in tests)


def _one(query_data: QueryData, item: dict[str, Any]) -> Test:
    kind, key = item.get("type") or "event", item.get("key", "")
    index = item.get("group_type_index") or 0
    operator = item.get("operator") or "exact"
    wanted = item.get("value")
    values = [text_of(value) for value in (wanted if isinstance(wanted, list) else [wanted])]

    def test(event: Event) -> bool:
        held = property_of(query_data, event, key, kind, index)
        return _compare(operator, held, values)

    return test


def _compare(operator: str, held: Any, values: list[str | None]) -> bool:
    text = text_of(held)
    if operator == "is_set":
        return held is not None
    if operator == "is_not_set":
        return held is None
    if operator.startswith("not_") or operator == "is_not":
        plain = {"is_not": "exact"}.get(operator, operator.removeprefix("not_"))
        return not _compare(plain, held, values)
    if text is None:
        return False
    known = [value for value in values if value is not None]
    if operator in ("exact", "in"):
        return text in known
    if operator == "icontains":
        return any(value.lower() in text.lower() for value in known)
    if operator == "regex":
        return any(re.search(value, text) for value in known)
    if operator in NUMERIC and known:
        try:
            return NUMERIC[operator](float(text), float(known[0]))
        except ValueError:
            return False
    raise UserError(f"PropertyOperator {operator} not implemented")


def series_of(query: dict[str, Any]) -> list[dict[str, Any]]:
    """The series of a query that must have some."""
    series = query.get("series") or []
    if not series:
        raise UserError("At least one series is required")
    return series


def series_events(query_data: QueryData, node: dict[str, Any], query: dict[str, Any]) -> Test:
    """The test for the events of one series (EventsNode) of a query."""
    kind = node.get("kind", "EventsNode")
    if kind == "ActionsNode":
        raise UserError(f"Action with ID {node.get('id')} does not exist")
    if kind != "EventsNode":
        raise UserError(f"Series of kind {kind} are not supported here")
    return named(query_data, node.get("event"), query, node)


def named(
    query_data: QueryData, name: str | None, query: dict[str, Any], node: dict[str, Any]
) -> Test:
    """The test for events of a name, any when None, that the filters of query and node hold for."""
    holds = selector(
        query_data, query.get("properties"), node.get("properties"), node.get("fixedProperties")
    )
    return lambda event: (name is None or event.event == name) and holds(event)


def shown_name(node: dict[str, Any]) -> str:
    """What a series is called unless the user said so."""
    return node.get("name") or node.get("event") or "All events"
