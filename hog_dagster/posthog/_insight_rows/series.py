"""Insights that answer series: trends, calendar heat maps, lifecycle and stickiness.

Facts: PostHog's query runners. Of trends, total-value displays have ``data: []`` (formulas
``null``) and ``aggregated_value``; formula series have ``action: null``; ``action.type`` is
``events`` for actions too; ``count`` is the sum of the points, but the last point of a cumulative
chart. A CalendarHeatmapQuery answers one object of cells. Lifecycle has one series per status, new,
returning, resurrecting, dormant; dormant people are counted negatively, and stay so here. The
``days`` of stickiness are whole numbers, not dates; a cumulative chart counts "n or more" and keeps
``count`` as the sum before accumulating.
"""

from collections.abc import Mapping
from typing import Any

from hog_dagster.posthog._insight_rows.cells import Zone, add_points, number, points, text, whole
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
from hog_dagster.posthog._insight_rows.query import (
    InsightQuery,
    breakdown_cells,
    cohort_name,
    series_cells,
)

TRENDS: tuple[RowColumn, ...] = (
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
LIFECYCLE: tuple[RowColumn, ...] = (
    *HEAD,
    *SERIES,
    RowColumn("status", "text", "new, returning, resurrecting or dormant."),
    *BUCKET,
    RowColumn("series_total", "double", "PostHog's count of the status: the sum of its points."),
    *TAIL,
)
STICKINESS: tuple[RowColumn, ...] = (
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

#: Fields of every series.
_FIELDS = frozenset(
    ["action", "count", "data", "days", "filter", "label", "labels", "order", "persons_urls"]
)
_PERIOD = frozenset(["compare", "compare_label", "breakdown_value", "aggregated_value"])
_TRENDS = _FIELDS | _PERIOD | {"dates", "persons", "seriesIndex", "id", "calendar_heatmap_data"}
_STICKINESS = _FIELDS | _PERIOD
_LIFECYCLE = _FIELDS | {"status", "persons", "dates"}
_CALENDAR = frozenset(["data", "rowAggregations", "columnAggregations", "allAggregations"])


def add_trends(result: Any, query: InsightQuery, zone: Zone, rows: RowBuilder) -> None:
    """One row per point of a series, per total, per cell of a calendar heat map."""

    def add(item: Mapping[str, Any], index: int) -> frozenset[str]:
        cells = {**_common(item, index, query), "timezone": zone.name}
        data = item.get("data")
        if isinstance(data, list) and data:
            action = item.get("action")
            instants = action.get("days") if isinstance(action, Mapping) else None
            more = {"metric": "bucket", "series_total": number(item.get("count"))}
            known = instants if isinstance(instants, list) else ()
            add_points(item, {**cells, **more}, zone, rows, known)
        elif "aggregated_value" in item:
            rows.add(cells, metric="total", value=number(item["aggregated_value"]))
        elif data != [] or query.setting("trendsFilter", "display") == "BoxPlot":
            raise UnknownShape("a series without points and without a total")
        if item.get("calendar_heatmap_data") is not None:
            _add_heat_map(item["calendar_heatmap_data"], cells, rows)
        return _TRENDS

    def add_calendar(heat: Mapping[str, Any], _: int) -> frozenset[str]:
        cells: dict[str, Any] = {
            **_common({}, 0, query),
            "interval": None,
            "timezone": zone.name,
            "display": "CalendarHeatmap",
        }
        _add_heat_map(heat, cells, rows)
        if heat.get("allAggregations") is not None:
            rows.add(cells, metric="total", value=number(heat["allAggregations"]))
        return _CALENDAR

    if query.source_kind == "CalendarHeatmapQuery":
        rows.add_each([result], "calendar", add_calendar)
    else:
        rows.add_each(result, "series", add)


def add_lifecycle(result: Any, query: InsightQuery, zone: Zone, rows: RowBuilder) -> None:
    """One row per status and time bucket."""

    def add(item: Mapping[str, Any], index: int) -> frozenset[str]:
        if not isinstance(item.get("status"), str):
            raise UnknownShape("a series without a status")
        cells = {
            **series_cells(query, item, index),
            "status": item["status"],
            "interval": query.interval,
            "series_total": number(item.get("count")),
        }
        add_points(item, cells, zone, rows)
        return _LIFECYCLE

    rows.add_each(result, "status", add)


def add_stickiness(result: Any, query: InsightQuery, zone: Zone, rows: RowBuilder) -> None:
    """One row per number of intervals, with how many people were active that often."""

    def add(item: Mapping[str, Any], index: int) -> frozenset[str]:
        cells = {
            **series_cells(query, item, index),
            "compare_label": text(item.get("compare_label")),
            "interval": query.interval,
            "cumulative": query.setting("stickinessFilter", "computedAs") == "cumulative",
            "series_total": number(item.get("count")),
        }
        for value, day, label in zip(*points(item), strict=True):
            intervals = whole(day)
            if intervals is None:
                raise UnknownShape(f"{day!r:.80} where a number of intervals belongs")
            rows.add(cells, intervals=intervals, intervals_label=label, value=number(value))
        return _STICKINESS

    rows.add_each(result, "series", add)


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
    cells["compare_label"] = text(item.get("compare_label"))
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
    prop = source.get("math_property") or source.get("math_hogql")
    return {"math": text(source.get("math")), "math_property": text(prop)}


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
