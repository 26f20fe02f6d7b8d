"""FunnelsQuery: one row per number of a step, of a time-to-convert bin, of a trend's bucket.

Facts: PostHog's funnel query runners. Steps are a list, with a breakdown a list of lists;
time to convert is one object (a list of two when periods are compared); times are in seconds, a
trend's points are percentages and its ``count`` is the number of points.
"""

from collections.abc import Mapping
from typing import Any

from hog_dagster.posthog._insight_rows.breakdowns import breakdown_cells, cohort_name
from hog_dagster.posthog._insight_rows.cells import Zone, buckets, number, whole
from hog_dagster.posthog._insight_rows.columns import (
    ACTION_TYPES,
    BREAKDOWN,
    BUCKET,
    COMPARE,
    HEAD,
    TAIL,
    RowBuilder,
    RowColumn,
    UnknownShape,
)
from hog_dagster.posthog._insight_rows.query import InsightQuery

__all__ = ["COLUMNS", "add_rows"]

COLUMNS: tuple[RowColumn, ...] = (
    *HEAD,
    RowColumn("viz", "text", "The funnel's graph: steps, time_to_convert or trends."),
    RowColumn("step_order", "integer", "Place of the step in the funnel, from 0."),
    RowColumn("step_name", "text", "The step's custom name, else its event or action."),
    RowColumn("event", "text", "The step's event; null for an action or an unordered funnel."),
    RowColumn("action_id", "bigint", "The step's action; null for an event."),
    *BREAKDOWN,
    *COMPARE,
    *BUCKET,
    RowColumn("bin_start_seconds", "double", "Time to convert: where the bin starts."),
    RowColumn(
        "bin_end_seconds", "double", "Time to convert: where the bin ends; null for the last."
    ),
    RowColumn(
        "metric",
        "text",
        "count: people (or events) at the step or in the bin; average_conversion_time and "
        "median_conversion_time: from the step before; conversion_rate: of a bucket.",
        nullable=False,
    ),
    RowColumn("unit", "text", "Unit of the value: count, seconds or percent."),
    *TAIL,
)

_TIMES = ("average_conversion_time", "median_conversion_time")
_STEP = frozenset(
    [
        "action_id",
        "name",
        "custom_name",
        "order",
        "people",
        "count",
        "type",
        "breakdown",
        "breakdown_value",
        "compare_label",
        "compare",
        "converted_people_url",
        "dropped_people_url",
        "label",
        "average_conversion_time",
        "median_conversion_time",
    ]
)
_BINS = frozenset(("bins", "average_conversion_time", "compare_label", "compare"))
_TREND = frozenset(
    ["count", "data", "days", "labels", "breakdown_value", "compare_label", "compare", "filter"]
)


def add_rows(result: Any, query: InsightQuery, zone: Zone, rows: RowBuilder) -> None:
    """Add the rows of a funnel's result.

    Raises:
        UnknownShape: the result is neither a list nor a time-to-convert object.
    """
    parts = [result] if isinstance(result, Mapping) else result
    if not isinstance(parts, list):
        raise UnknownShape(f"a funnel answered {type(result).__name__}")
    for index, part in enumerate(_flat(parts)):
        start = len(rows.rows)
        try:
            _add_part(part, query, zone, rows)
        except UnknownShape as problem:
            del rows.rows[start:]
            rows.add_unknown(part, f"part {index} of the funnel: {problem}")


def _flat(parts: list[Any]) -> list[Any]:
    """Steps one after the other: a breakdown's list of lists is one list of steps."""
    flat: list[Any] = []
    for part in parts:
        flat.extend(part) if isinstance(part, list) else flat.append(part)
    return flat


def _add_part(part: Any, query: InsightQuery, zone: Zone, rows: RowBuilder) -> None:
    if not isinstance(part, Mapping):
        raise UnknownShape(f"{type(part).__name__} where a step belongs")
    cells = _shared(part, query)
    start = len(rows.rows)
    if "bins" in part:
        _add_bins(part, cells, rows)
        rows.note_extra(part, _BINS, start)
    elif "data" in part:
        _add_trend(part, {**cells, "interval": query.interval}, zone, rows)
        rows.note_extra(part, _TREND, start)
    elif "order" in part and "count" in part:
        _add_step(part, cells, query, rows)
        rows.note_extra(part, _STEP, start)
    else:
        raise UnknownShape("neither a step, nor bins, nor a trend")


def _shared(part: Mapping[str, Any], query: InsightQuery) -> dict[str, Any]:
    compare = part.get("compare_label")
    cells: dict[str, Any] = {"compare_label": compare if isinstance(compare, str) else None}
    if "breakdown_value" in part:
        value, names = part["breakdown_value"], None
        if query.by_cohort and not isinstance(value, list):
            # Steps give the number and the name, trends the name alone.
            shown = part.get("breakdown") or (value if isinstance(value, str) else None)
            names = [cohort_name(value, shown if isinstance(shown, str) else None)]
        cells.update(breakdown_cells(value, query, names=names))
    return cells


def _add_step(
    part: Mapping[str, Any], shared: Mapping[str, Any], query: InsightQuery, rows: RowBuilder
) -> None:
    order, ident = whole(part["order"]), part.get("action_id")
    is_action = part.get("type") in ACTION_TYPES
    cells = {
        **shared,
        "viz": "steps",
        "step_order": order,
        "step_name": part.get("custom_name") or part.get("name"),
        "event": ident if isinstance(ident, str) and not is_action else None,
        "action_id": whole(ident) if is_action else None,
    }
    rows.add(cells, metric="count", unit="count", value=number(part["count"]))
    for metric in _TIMES:
        # The first step has none: there is no step before it.
        if metric in part and not (order == 0 and part[metric] is None):
            rows.add(cells, metric=metric, unit="seconds", value=number(part[metric]))


def _add_bins(part: Mapping[str, Any], shared: Mapping[str, Any], rows: RowBuilder) -> None:
    bins = part["bins"] if part["bins"] is not None else []
    if not isinstance(bins, list) or not all(isinstance(b, list) and len(b) == 2 for b in bins):
        raise UnknownShape("bins that are not pairs of seconds and a count")
    cells = {**shared, "viz": "time_to_convert"}
    starts = [number(seconds) for seconds, _ in bins]
    for index, (start, (_, count)) in enumerate(zip(starts, bins, strict=True)):
        end = starts[index + 1] if index + 1 < len(starts) else None
        rows.add(
            cells,
            metric="count",
            unit="count",
            bin_start_seconds=start,
            bin_end_seconds=end,
            value=number(count),
        )
    average = number(part.get("average_conversion_time"))
    rows.add(cells, metric="average_conversion_time", unit="seconds", value=average)


def _add_trend(
    part: Mapping[str, Any], shared: Mapping[str, Any], zone: Zone, rows: RowBuilder
) -> None:
    data, days, labels = part["data"], part.get("days"), part.get("labels")
    if not isinstance(data, list) or not isinstance(days, list) or len(days) != len(data):
        raise UnknownShape("as many days as points are expected")
    labels = labels if isinstance(labels, list) and len(labels) == len(data) else [None] * len(data)
    for value, bucket, label in zip(data, buckets(days, zone), labels, strict=True):
        rows.add(
            shared,
            bucket.cells(zone),
            viz="trends",
            metric="conversion_rate",
            unit="percent",
            bucket_label=label,
            value=number(value),
        )
