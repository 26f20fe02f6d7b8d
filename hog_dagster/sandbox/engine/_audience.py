"""The audience of batch jobs: which persons of the project match property filters."""

import json
import operator as operators
from collections.abc import Iterator
from typing import Any

from hog_dagster.sandbox.world import Person

_NUMERIC = {"gt": operators.gt, "gte": operators.ge, "lt": operators.lt, "lte": operators.le}
_FLAG = (
    "Feature flags can't be used as a batch audience condition. "
    "Use person properties or cohorts instead."
)


class InvalidFilters(ValueError):
    """Filters that cannot make an audience; the text is what the server answers."""


def check_filters(filters: Any) -> None:
    """Raise `InvalidFilters` for a filter that cannot make an audience."""
    for item in _flat(_properties(filters)):
        if isinstance(item, dict) and item.get("type") == "flag":
            raise InvalidFilters(_FLAG)


def audience(people: list[Person], filters: Any) -> list[Person]:
    """The persons that match all property filters."""
    wanted = _properties(filters)
    return [person for person in people if _matches(person, wanted)]


def _properties(filters: Any) -> dict[str, Any]:
    """The properties of filters as one group: they may be a list, a group, or either as text."""
    found = filters.get("properties") if isinstance(filters, dict) else None
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError:
            raise InvalidFilters("Data is unparsable!") from None
    if isinstance(found, dict) and "type" in found and "values" in found:
        if str(found["type"]).upper() not in ("AND", "OR"):
            raise InvalidFilters(
                f"PropertyGroup is unparsable: '{str(found['type']).upper()}' is not a valid "
                "PropertyOperatorType"
            )
        return found
    return {"type": "AND", "values": found if isinstance(found, list) else []}


def _flat(group: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in group["values"] or ():
        if isinstance(item, dict):
            yield from _flat(item) if "values" in item else [item]


def _matches(person: Person, item: dict[str, Any]) -> bool:
    if "values" in item:
        found = [_matches(person, one) for one in item["values"] or () if isinstance(one, dict)]
        return any(found) if str(item.get("type")).upper() == "OR" and found else all(found)
    operator = item.get("operator", "exact")
    held = person.properties.get(item.get("key", ""))
    if operator == "is_set":
        return held is not None
    if operator == "is_not_set":
        return held is None
    wanted = item.get("value")
    values = [str(value) for value in (wanted if isinstance(wanted, list) else [wanted])]
    text = "" if held is None else str(held)
    if operator == "exact":
        return text in values
    if operator == "is_not":
        return text not in values
    if operator == "icontains":
        return any(value.lower() in text.lower() for value in values)
    if operator == "not_icontains":
        return not any(value.lower() in text.lower() for value in values)
    if operator not in _NUMERIC or held is None:
        return False
    try:
        return _NUMERIC[operator](float(held), float(values[0]))
    except (TypeError, ValueError):
        return False
