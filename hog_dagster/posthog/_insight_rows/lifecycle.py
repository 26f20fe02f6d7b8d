"""LifecycleQuery: one row per status and time bucket.

Facts: PostHog's lifecycle query runner: one series per status, in the order new, returning,
resurrecting, dormant; dormant people are counted negatively, and stay so here.
"""

from collections.abc import Mapping
from typing import Any

from hog_dagster.posthog._insight_rows.cells import Zone, buckets, number
from hog_dagster.posthog._insight_rows.columns import (
    BUCKET,
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
    RowColumn("status", "text", "new, returning, resurrecting or dormant."),
    *BUCKET,
    RowColumn("series_total", "double", "PostHog's count of the status: the sum of its points."),
    *TAIL,
)

_KNOWN = frozenset(
    [
        "action",
        "data",
        "count",
        "labels",
        "days",
        "label",
        "status",
        "filter",
        "order",
        "persons_urls",
        "persons",
        "dates",
    ]
)


def add_rows(result: Any, query: InsightQuery, zone: Zone, rows: RowBuilder) -> None:
    """Add the rows of a lifecycle result.

    Raises:
        UnknownShape: the result is not a list.
    """
    if not isinstance(result, list):
        raise UnknownShape(f"lifecycle answered {type(result).__name__}, not a list of statuses")
    for index, item in enumerate(result):
        start = len(rows.rows)
        try:
            _add_status(item, index, query, zone, rows)
        except UnknownShape as problem:
            del rows.rows[start:]
            rows.add_unknown(item, f"status {index}: {problem}")


def _add_status(item: Any, index: int, query: InsightQuery, zone: Zone, rows: RowBuilder) -> None:
    if not isinstance(item, Mapping) or not isinstance(item.get("status"), str):
        raise UnknownShape("a series without a status")
    data, days, labels = item.get("data"), item.get("days"), item.get("labels")
    if not isinstance(data, list) or not isinstance(days, list) or len(days) != len(data):
        raise UnknownShape("as many days as points are expected")
    labels = labels if isinstance(labels, list) and len(labels) == len(data) else [None] * len(data)
    cells = {
        **series_cells(query, item, index),
        "status": item["status"],
        "interval": query.interval,
        "series_total": number(item.get("count")),
    }
    start = len(rows.rows)
    for value, bucket, label in zip(data, buckets(days, zone), labels, strict=True):
        rows.add(cells, bucket.cells(zone), bucket_label=label, value=number(value))
    rows.note_extra(item, _KNOWN, start)
