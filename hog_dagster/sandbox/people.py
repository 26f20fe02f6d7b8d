"""The audience of batch jobs: which persons of the project match property filters."""

from typing import Any

from hog_dagster.sandbox import errors
from hog_dagster.sandbox.model import Person

__all__ = ["audience", "check_filters"]

_FLAG = (
    "Feature flags can't be used as a batch audience condition. "
    "Use person properties or cohorts instead."
)


def check_filters(filters: Any) -> None:
    """Raise the 400 for a filter that cannot make an audience."""
    for item in _properties(filters):
        if isinstance(item, dict) and item.get("type") == "flag":
            raise errors.bad_input(_FLAG)


def audience(people: list[Person], filters: Any) -> list[Person]:
    """The persons that match all property filters."""
    wanted = [item for item in _properties(filters) if isinstance(item, dict)]
    return [person for person in people if all(_matches(person, item) for item in wanted)]


def _properties(filters: Any) -> list[Any]:
    found = filters.get("properties") if isinstance(filters, dict) else None
    return found if isinstance(found, list) else []


def _matches(person: Person, item: dict[str, Any]) -> bool:
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
    if operator in ("gt", "gte", "lt", "lte") and held is not None:
        return _compares(operator, held, values[0])
    return False


def _compares(operator: str, held: Any, wanted: str) -> bool:
    try:
        left, right = float(held), float(wanted)
    except (TypeError, ValueError):
        return False
    return {
        "gt": left > right,
        "gte": left >= right,
        "lt": left < right,
        "lte": left <= right,
    }[operator]
