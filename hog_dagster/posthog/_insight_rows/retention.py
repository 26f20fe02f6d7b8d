"""RetentionQuery: one row per cohort and return interval, and one more per aggregated property.

Facts: PostHog's retention query runner. A flat list, one block per breakdown value; several
breakdowns are joined with ``::``; ``aggregation_value`` is there with a property aggregation;
older answers lack ``breakdown_value`` and the values' labels; sampled counts are floats.
"""

from collections.abc import Mapping
from typing import Any

from hog_dagster.posthog._insight_rows.cells import Zone, buckets, number
from hog_dagster.posthog._insight_rows.columns import (
    BREAKDOWN,
    BUCKET,
    HEAD,
    TAIL,
    RowBuilder,
    RowColumn,
    UnknownShape,
)
from hog_dagster.posthog._insight_rows.query import InsightQuery, breakdown_cells

COLUMNS: tuple[RowColumn, ...] = (
    *HEAD,
    *BREAKDOWN,
    RowColumn("cohort_index", "integer", "Place of the cohort within its breakdown, from 0."),
    RowColumn("cohort_label", "text", "PostHog's label of the cohort, such as Day 0."),
    *BUCKET,
    RowColumn(
        "interval_index", "integer", "Intervals since the cohort began; 0 is the cohort itself."
    ),
    RowColumn("interval_label", "text", "PostHog's label of the interval, such as Day 1."),
    RowColumn(
        "metric",
        "text",
        "count: people (or groups) who came back; aggregation_value: the property's aggregate.",
        nullable=False,
    ),
    *TAIL,
)

_BLOCK = frozenset(["label", "date", "values", "breakdown_value", "people_url", "breakdown_values"])
_VALUE = frozenset(("count", "aggregation_value", "label", "people", "people_url"))


def add_rows(result: Any, query: InsightQuery, zone: Zone, rows: RowBuilder) -> None:
    """Add the rows of each cohort of a retention result."""
    seen: dict[str, int] = {}

    def add(block: Mapping[str, Any], _: int) -> frozenset[str]:
        if not isinstance(block.get("values"), list):
            raise UnknownShape("a cohort without a list of values")
        key = repr(block.get("breakdown_value"))
        cells: dict[str, Any] = {
            "cohort_index": seen.setdefault(key, 0),
            "cohort_label": block.get("label"),
            "bucket_label": block.get("label"),
            "interval": _period(query),
            "timezone": zone.name,
        }
        seen[key] += 1
        if block.get("date") is not None:
            cells.update(buckets([block["date"]], zone)[0].cells(zone))
        if query.properties or block.get("breakdown_value") is not None:
            cells.update(breakdown_cells(_apart(block.get("breakdown_value"), query), query))
        for place, value in enumerate(block["values"]):
            _add_value(value, place, cells, rows)
        return _BLOCK

    rows.add_each(result, "cohort", add)


def _add_value(value: Any, place: int, cells: Mapping[str, Any], rows: RowBuilder) -> None:
    if not isinstance(value, Mapping) or "count" not in value:
        raise UnknownShape(f"value {place} has no count")
    start = len(rows.rows)
    at = {**cells, "interval_index": place, "interval_label": value.get("label")}
    rows.add(at, metric="count", value=number(value["count"]))
    if "aggregation_value" in value:
        rows.add(at, metric="aggregation_value", value=number(value["aggregation_value"]))
    rows.note_extra(value, _VALUE, start)


def _period(query: InsightQuery) -> str:
    period = query.setting("retentionFilter", "period")
    return period.lower() if isinstance(period, str) and period else query.interval


def _apart(value: Any, query: InsightQuery) -> Any:
    """Several breakdowns' values, which PostHog joins, kept apart."""
    if isinstance(value, str) and len(query.properties) > 1 and not query.by_cohort:
        parts = value.split("::")
        if len(parts) == len(query.properties):
            return parts
    return value
