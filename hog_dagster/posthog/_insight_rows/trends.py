"""TrendsQuery and CalendarHeatmapQuery: one row per point of a series, per total, per cell of a
calendar heat map.

Facts: PostHog's trends query runners; a CalendarHeatmapQuery answers one object of cells.
Total-value displays have ``data: []`` (formulas ``null``) and ``aggregated_value``; formula series
have ``action: null``; ``action.type`` is ``events`` for actions too; ``count`` is the sum of the
points, but the last point of a cumulative chart.
"""

from collections.abc import Mapping
from typing import Any

from hog_dagster.posthog._insight_rows.breakdowns import breakdown_cells, cohort_name
from hog_dagster.posthog._insight_rows.cells import Zone, buckets, number, whole
from hog_dagster.posthog._insight_rows.columns import (
    BREAKDOWN,
    BUCKET,
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
    RowColumn("math", "text", "How the series is counted: total, dau, sum, hogql ... or null."),
    RowColumn("math_property", "text", "The property that math works on."),
    RowColumn("formula", "text", "The formula, such as A/B, of a formula series."),
    *BREAKDOWN,
    *COMPARE,
    *BUCKET,
    RowColumn("display", "text", "The chart's display, such as ActionsLineGraph or BoldNumber."),
    RowColumn(
        "metric",
        "text",
        "bucket: the number of a time bucket; total: of the whole period; cell, weekday_total, "
        "hour_total: of a calendar heat map.",
        nullable=False,
    ),
    RowColumn("weekday", "integer", "Calendar heat map: day of the week, 1 is Monday."),
    RowColumn("hour", "integer", "Calendar heat map: hour of the day in the project's zone."),
    RowColumn(
        "series_total",
        "double",
        "PostHog's count of the series this point belongs to: the sum of its points (of a "
        "cumulative chart, the last).",
    ),
    *TAIL,
)

_KNOWN = frozenset(
    [
        "data",
        "days",
        "labels",
        "dates",
        "count",
        "aggregated_value",
        "label",
        "filter",
        "action",
        "breakdown_value",
        "compare",
        "compare_label",
        "order",
        "calendar_heatmap_data",
        "persons_urls",
        "persons",
        "seriesIndex",
        "id",
    ]
)


_CALENDAR = frozenset(["data", "rowAggregations", "columnAggregations", "allAggregations"])


def add_rows(result: Any, query: InsightQuery, zone: Zone, rows: RowBuilder) -> None:
    """Add the rows of a trends result.

    Raises:
        UnknownShape: the result is not a list.
    """
    if query.source_kind == "CalendarHeatmapQuery":
        _add_calendar(result, query, zone, rows)
        return
    if not isinstance(result, list):
        raise UnknownShape(f"trends answered {type(result).__name__}, not a list of series")
    for index, item in enumerate(result):
        start = len(rows.rows)
        try:
            _add_series(item, index, query, zone, rows)
        except UnknownShape as problem:
            del rows.rows[start:]
            rows.add_unknown(item, f"series {index}: {problem}")


def _add_series(item: Any, index: int, query: InsightQuery, zone: Zone, rows: RowBuilder) -> None:
    if not isinstance(item, Mapping):
        raise UnknownShape(f"{type(item).__name__} where a series belongs")
    start = len(rows.rows)
    common = {**_common(item, index, query), "timezone": zone.name}
    data = item.get("data")
    if isinstance(data, list) and data:
        _add_points(item, data, common, zone, rows)
    elif "aggregated_value" in item:
        rows.add(common, metric="total", value=number(item["aggregated_value"]))
    elif data != [] or query.setting("trendsFilter", "display") == "BoxPlot":
        raise UnknownShape("a series without points and without a total")
    if item.get("calendar_heatmap_data") is not None:
        _add_heat_map(item["calendar_heatmap_data"], common, rows)
    rows.note_extra(item, _KNOWN, start)


def _common(item: Mapping[str, Any], index: int, query: InsightQuery) -> dict[str, Any]:
    cells = series_cells(query, item, index)
    formulas = _formulas(query)
    action = item.get("action")
    if formulas and not action:
        # A single formula's series carries no order; the query's series are not its own.
        order = 0 if len(formulas) == 1 else cells["series_order"]
        cells["series_order"] = order
        formula = formulas[order] if order is not None and 0 <= order < len(formulas) else None
        cells.update(
            series_kind="formula",
            series_name=item.get("label"),
            event=None,
            action_id=None,
            formula=formula,
        )
    else:
        cells.update(_math(query, cells["series_order"], action))
    compare = item.get("compare_label")
    cells["compare_label"] = compare if isinstance(compare, str) else None
    cells["display"] = query.setting("trendsFilter", "display")
    cells["interval"] = query.interval
    if "breakdown_value" in item:
        value = item["breakdown_value"]
        names = None
        if query.by_cohort and not isinstance(value, list):
            names = [_cohort_label(item, value, cells)]
        cells.update(breakdown_cells(value, query, names=names))
    return cells


def _cohort_label(item: Mapping[str, Any], value: Any, cells: Mapping[str, Any]) -> str:
    """The cohort's name: the label, from which several series' own names are cut off."""
    label = item.get("label")
    if not isinstance(label, str) or cells.get("series_kind") == "formula":
        return cohort_name(value)
    action = item.get("action")
    own = action.get("name") if isinstance(action, Mapping) else None
    for prefix in (own, cells.get("event"), cells.get("series_name")):
        if prefix and label.startswith(f"{prefix} - "):
            label = label[len(prefix) + 3 :]
            break
    return cohort_name(value, label)


def _formulas(query: InsightQuery) -> list[str]:
    nodes = query.setting("trendsFilter", "formulaNodes")
    if isinstance(nodes, list) and nodes:
        return [str(n.get("formula")) for n in nodes if isinstance(n, Mapping)]
    several = query.setting("trendsFilter", "formulas")
    if isinstance(several, list) and several:
        return [str(formula) for formula in several]
    single = query.setting("trendsFilter", "formula")
    return [single] if isinstance(single, str) and single else []


def _math(query: InsightQuery, order: int | None, action: Any) -> dict[str, Any]:
    source: Mapping[str, Any] = action if isinstance(action, Mapping) else {}
    if not source and order is not None and 0 <= order < len(query.series):
        source = query.series[order]
    math, prop = source.get("math"), source.get("math_property") or source.get("math_hogql")
    return {
        "math": math if isinstance(math, str) else None,
        "math_property": prop if isinstance(prop, str) else None,
    }


def _add_points(
    item: Mapping[str, Any],
    data: list[Any],
    common: Mapping[str, Any],
    zone: Zone,
    rows: RowBuilder,
) -> None:
    days, labels = item.get("days"), item.get("labels")
    if not isinstance(days, list) or len(days) != len(data):
        raise UnknownShape("as many days as points are expected")
    labels = labels if isinstance(labels, list) and len(labels) == len(data) else [None] * len(data)
    action = item.get("action")
    instants = action.get("days") if isinstance(action, Mapping) else None
    starts = buckets(days, zone, instants if isinstance(instants, list) else ())
    total = number(item.get("count"))
    for value, bucket, label in zip(data, starts, labels, strict=True):
        rows.add(
            common,
            bucket.cells(zone),
            metric="bucket",
            bucket_label=label,
            series_total=total,
            value=number(value),
        )


def _add_calendar(result: Any, query: InsightQuery, zone: Zone, rows: RowBuilder) -> None:
    """The cells of a CalendarHeatmapQuery, the totals of days and hours, and the total."""
    common: dict[str, Any] = {
        **_common({}, 0, query),
        "interval": None,
        "timezone": zone.name,
        "display": "CalendarHeatmap",
    }
    start = len(rows.rows)
    _add_heat_map(result, common, rows)
    if result.get("allAggregations") is not None:
        rows.add(common, metric="total", value=number(result["allAggregations"]))
    rows.note_extra(result, _CALENDAR, start)


def _add_heat_map(heat: Any, common: Mapping[str, Any], rows: RowBuilder) -> None:
    if not isinstance(heat, Mapping):
        raise UnknownShape("a calendar heat map that is not an object")
    for metric, part in (
        ("cell", "data"),
        ("weekday_total", "rowAggregations"),
        ("hour_total", "columnAggregations"),
    ):
        cells = heat.get(part) or []
        if not isinstance(cells, list) or not all(isinstance(c, Mapping) for c in cells):
            raise UnknownShape(f"a calendar heat map's {part} is not a list of objects")
        for cell in cells:
            rows.add(
                common,
                metric=metric,
                weekday=whole(cell.get("row")),
                hour=whole(cell.get("column")),
                value=number(cell.get("value")),
            )
