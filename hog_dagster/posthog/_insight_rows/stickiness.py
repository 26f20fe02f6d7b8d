"""StickinessQuery: one row per number of intervals, with how many people were active that often.

Facts: PostHog's stickiness query runner. ``days`` are whole numbers, not dates; a cumulative chart
counts "n or more" and keeps ``count`` as the sum before accumulating.
"""

from collections.abc import Mapping
from typing import Any

from hog_dagster.posthog._insight_rows.cells import Zone, number, whole
from hog_dagster.posthog._insight_rows.columns import (
    COMPARE,
    HEAD,
    SERIES,
    TAIL,
    RowBuilder,
    RowColumn,
    UnknownShape,
)
from hog_dagster.posthog._insight_rows.query import InsightQuery, series_cells

__all__ = ["COLUMNS", "add_rows"]

COLUMNS: tuple[RowColumn, ...] = (
    *HEAD,
    *SERIES,
    *COMPARE,
    RowColumn("intervals", "integer", "In how many intervals of the period they were active."),
    RowColumn("intervals_label", "text", "PostHog's label, such as 2 days or 2 days or more."),
    RowColumn("interval", "text", "Length of an interval: hour, day, week, month."),
    RowColumn("cumulative", "boolean", "True when the value counts that many intervals or more."),
    RowColumn("series_total", "double", "People in the series, each counted once."),
    *TAIL,
)

_KNOWN = frozenset(
    [
        "count",
        "data",
        "days",
        "label",
        "labels",
        "action",
        "compare",
        "compare_label",
        "filter",
        "order",
        "persons_urls",
        "breakdown_value",
        "aggregated_value",
    ]
)


def add_rows(result: Any, query: InsightQuery, zone: Zone, rows: RowBuilder) -> None:
    """Add the rows of a stickiness result.

    Raises:
        UnknownShape: the result is not a list.
    """
    if not isinstance(result, list):
        raise UnknownShape(f"stickiness answered {type(result).__name__}, not a list of series")
    for index, item in enumerate(result):
        start = len(rows.rows)
        try:
            _add_series(item, index, query, rows)
        except UnknownShape as problem:
            del rows.rows[start:]
            rows.add_unknown(item, f"series {index}: {problem}")


def _add_series(item: Any, index: int, query: InsightQuery, rows: RowBuilder) -> None:
    if not isinstance(item, Mapping):
        raise UnknownShape(f"{type(item).__name__} where a series belongs")
    data, days, labels = item.get("data"), item.get("days"), item.get("labels")
    if not isinstance(data, list) or not isinstance(days, list) or len(days) != len(data):
        raise UnknownShape("as many days as points are expected")
    labels = labels if isinstance(labels, list) and len(labels) == len(data) else [None] * len(data)
    compare = item.get("compare_label")
    cells = {
        **series_cells(query, item, index),
        "compare_label": compare if isinstance(compare, str) else None,
        "interval": query.interval,
        "cumulative": query.setting("stickinessFilter", "computedAs") == "cumulative",
        "series_total": number(item.get("count")),
    }
    start = len(rows.rows)
    for value, day, label in zip(data, days, labels, strict=True):
        intervals = whole(day)
        if intervals is None:
            raise UnknownShape(f"{day!r:.80} where a number of intervals belongs")
        rows.add(cells, intervals=intervals, intervals_label=label, value=number(value))
    rows.note_extra(item, _KNOWN, start)
