"""Breakdown values as cells: several kept apart; Other, None and cohorts by name.

Facts: trends and retention mark the remaining values with ``$$_posthog_breakdown_other_$$``, trends
a missing property with ``$$_posthog_breakdown_null_$$`` (older ones with the two largest safe
integers); funnels write ``Other``, funnels and retention an empty text, funnel trends ``None``.
Retention joins several values with ``::``. Cohorts come as numbers, ``all`` or 0 for all users.
"""

from collections.abc import Sequence
from typing import Any

from hog_dagster.posthog._insight_rows.query import InsightQuery

__all__ = ["NONE", "OTHER", "breakdown_cells", "cohort_name", "value_name"]

OTHER = "Other"
NONE = "None"

_OTHER_MARKS = frozenset({"$$_posthog_breakdown_other_$$", "9007199254740991"})
_NONE_MARKS = frozenset({"$$_posthog_breakdown_null_$$", "9007199254740990"})
_NAMED = 3


def value_name(value: Any) -> str:
    """The name of one breakdown value: Other, None, or the value as text."""
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if text in _OTHER_MARKS:
        return OTHER
    return NONE if text in _NONE_MARKS else text


def cohort_name(value: Any, shown: Any = None) -> str:
    """The name of a cohort's value: the one PostHog shows, else ``all users`` or its number."""
    if isinstance(shown, str) and shown:
        return shown
    return "all users" if str(value) in ("all", "0") else f"cohort {value}"


def breakdown_cells(
    value: Any,
    query: InsightQuery,
    *,
    names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The breakdown columns of a value, or of a list of values when there are several.

    Args:
        value: what the response gives as ``breakdown_value``.
        query: tells which property each value is of.
        names: the values' names where they are known otherwise (cohorts).
    """
    values = value if isinstance(value, list) else [value]
    if names is None:
        if query.by_cohort:
            names = [cohort_name(v) for v in values]
        else:
            names = [value_name(v) for v in values]
    properties = query.properties if len(query.properties) == len(values) else ()
    parts: list[dict[str, Any]] = []
    for index, (one, name) in enumerate(zip(values, names, strict=True)):
        prop, kind = properties[index] if properties else (None, None)
        parts.append({"property": prop, "type": kind, "value": one, "name": name})
    if query.by_cohort:
        for part in parts:
            part.update(property=None, type="cohort")
    cells: dict[str, Any] = {f"breakdown_{i + 1}": n for i, n in enumerate(names[:_NAMED])}
    cells["breakdowns"] = parts
    return cells
