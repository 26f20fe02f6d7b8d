"""FunnelsQuery: one row per number of a step, of a time-to-convert bin, of a trend's bucket.

Facts: PostHog's funnel query runners. Steps are a list, with a breakdown a list of lists;
time to convert is one object (a list of two when periods are compared); times are in seconds, a
trend's points are percentages and its ``count`` is the number of points.
"""

from collections.abc import Mapping
from typing import Any

from hog_dagster.posthog._insight_rows.cells import Zone, add_points, number, text, whole
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
from hog_dagster.posthog._insight_rows.query import InsightQuery, breakdown_cells, cohort_name

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
_SHARED = frozenset(["breakdown_value", "compare", "compare_label"])
_STEP = frozenset(
    ["action_id", "name", "custom_name", "order", "people", "count", "type", "breakdown", "label"]
) | {"converted_people_url", "dropped_people_url", *_SHARED, *_TIMES}
_BINS = frozenset(("bins", "average_conversion_time", "compare_label", "compare"))
_TREND = _SHARED | {"count", "data", "days", "labels", "filter"}


def add_rows(result: Any, query: InsightQuery, zone: Zone, rows: RowBuilder) -> None:
    """Add the rows of a funnel: of its steps, of its one object of bins, or of its trends."""

    def add(part: Mapping[str, Any], _: int) -> frozenset[str]:
        cells = _shared(part, query)
        if "bins" in part:
            _add_bins(part, cells, rows)
            return _BINS
        if "data" in part:
            more = {"viz": "trends", "metric": "conversion_rate", "unit": "percent"}
            add_points(part, {**cells, **more, "interval": query.interval}, zone, rows)
            return _TREND
        if "order" in part and "count" in part:
            _add_step(part, cells, rows)
            return _STEP
        raise UnknownShape("neither a step, nor bins, nor a trend")

    parts = [result] if isinstance(result, Mapping) else result
    if isinstance(parts, list):  # A breakdown's list of lists is one list of steps.
        nested = (part if isinstance(part, list) else [part] for part in parts)
        parts = [one for several in nested for one in several]
    rows.add_each(parts, "funnel part", add)


def _shared(part: Mapping[str, Any], query: InsightQuery) -> dict[str, Any]:
    cells: dict[str, Any] = {"compare_label": text(part.get("compare_label"))}
    if "breakdown_value" in part:
        value, names = part["breakdown_value"], None
        if query.by_cohort and not isinstance(value, list):
            # Steps give the number and the name, trends the name alone.
            names = [cohort_name(value, text(part.get("breakdown") or value))]
        cells.update(breakdown_cells(value, query, names=names))
    return cells


def _add_step(part: Mapping[str, Any], shared: Mapping[str, Any], rows: RowBuilder) -> None:
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
