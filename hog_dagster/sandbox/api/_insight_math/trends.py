"""TrendsQuery: series over time, single numbers, breakdowns, formulas and comparisons.

Facts: recorded responses of a real server over known events.
"""

from collections.abc import Sequence
from datetime import timedelta
from itertools import accumulate
from typing import Any, NamedTuple

from hog_dagster.sandbox.api._insight_math.aggregate import ACTIVE_DAYS, aggregate
from hog_dagster.sandbox.api._insight_math.breakdowns import Breakdown, Key, read_breakdown
from hog_dagster.sandbox.api._insight_math.dates import Range, date_range
from hog_dagster.sandbox.api._insight_math.formulas import evaluate
from hog_dagster.sandbox.api._insight_math.matching import series_events, series_of, shown_name
from hog_dagster.sandbox.api._insight_math.query_data import Computed, QueryData, iso
from hog_dagster.sandbox.world import Event

#: Displays that show one number per series.
TOTALS = (
    *("BoldNumber", "ActionsPie", "ActionsBarValue", "ActionsTable", "WorldMap"),
    "CalendarHeatmap",
)
_MATH = ("custom_name", "math", "math_property", "math_hogql", "math_group_type_index")
#: What a trendsFilter is filled up with as soon as it says anything.
_DEFAULTS: dict[str, Any] = {
    "aggregationAxisFormat": "numeric",
    "display": "ActionsLineGraph",
    "resultCustomizationBy": "value",
    "showAlertThresholdLines": False,
    "showLegend": False,
    "showMultipleYAxes": False,
    "showPercentStackView": False,
    "showValuesOnSeries": False,
    "smoothingIntervals": 1,
    "yAxisScaleType": "linear",
}


class Line(NamedTuple):
    """One series of one period and one breakdown value, before it is put into PostHog's shape."""

    series: int
    key: Key | None
    data: list[float]
    total: float
    span: Range


def trends(query: dict[str, Any], query_data: QueryData) -> Computed:
    """Calculate a TrendsQuery."""
    series = series_of(query)
    span, breakdown = date_range(query, query_data), read_breakdown(query)
    compare = query.get("compareFilter") or {}
    spans = [span]
    if compare.get("compare"):
        spans.append(span.previous(compare.get("compare_to")))
    formulas = _formulas(query)
    results: list[dict[str, Any]] = []
    more = False
    for place, one in enumerate(spans):
        label = ("current", "previous")[place] if len(spans) > 1 else None
        lines: list[list[Line]] = []
        for index, node in enumerate(series):
            found, rest = _lines(query_data, query, node, index, one, breakdown)
            more = more or rest
            lines.append(found)
        if formulas:
            results += _formula_rows(query, span, lines, formulas, breakdown, label)
        else:
            results += [
                _row(query, span, series, line, breakdown, label) for part in lines for line in part
            ]
    if len(spans) > 1 and not formulas:
        results.sort(key=lambda row: row["order"])
    return Computed(results, has_more=more, resolved_date_range=span.resolved())


def _lines(
    query_data: QueryData,
    query: dict[str, Any],
    node: dict[str, Any],
    index: int,
    span: Range,
    breakdown: Breakdown | None,
) -> tuple[list[Line], bool]:
    means = series_events(query_data, node, query)
    reach = timedelta(days=ACTIVE_DAYS.get(node.get("math") or "", 0))
    events = [e for e in query_data.between(None, span.start - reach, span.end) if means(e)]
    if breakdown is None:
        return [_line(query_data, query, node, index, None, events, span)], False
    groups: dict[Key, list[Event]] = {}
    for event in events:
        groups.setdefault(breakdown.key(query_data, event), []).append(event)
    every = {
        key: _line(query_data, query, node, index, key, some, span) for key, some in groups.items()
    }
    totals = {key: sum(line.data) if line.data else line.total for key, line in every.items()}
    kept, rest = breakdown.ranked(totals)
    lines = [every[key] for key in kept]
    if rest and not breakdown.hide_other:
        left = [event for key, some in groups.items() if key not in kept for event in some]
        left.sort(key=lambda event: event.timestamp)
        lines.append(_line(query_data, query, node, index, breakdown.other, left, span))
    return lines, rest


def _line(
    query_data: QueryData,
    query: dict[str, Any],
    node: dict[str, Any],
    index: int,
    key: Key | None,
    events: Sequence[Event],
    span: Range,
) -> Line:
    display = _display(query)
    if display in TOTALS:
        inside = [event for event in events if event.timestamp >= span.start]
        return Line(index, key, [], aggregate(query_data, node, inside), span)
    days = ACTIVE_DAYS.get(node.get("math") or "")
    buckets = span.buckets()
    data: list[float] = []
    if days is not None:
        for end in map(span.after, buckets):
            low = end - timedelta(days=days)
            active = [event for event in events if low <= event.timestamp < end]
            data.append(aggregate(query_data, node, active))
    else:
        cells: dict[Any, list[Event]] = {key: [] for key in span.bucket_keys()}
        for event in events:
            cell = cells.get(span.key(event.timestamp))
            if cell is not None:
                cell.append(event)
        data = [aggregate(query_data, node, cell) for cell in cells.values()]
    if display == "ActionsLineGraphCumulative":
        data = list(accumulate(data))
    return Line(index, key, data, 0, span)


def _row(
    query: dict[str, Any],
    current: Range,
    series: Sequence[dict[str, Any]],
    line: Line,
    breakdown: Breakdown | None,
    compare: str | None,
) -> dict[str, Any]:
    node = series[line.series]
    name = node.get("custom_name") or shown_name(node)
    row = _numbers(query, line)
    row["label"] = name
    row["filter"] = _filter(query, current)
    row["action"] = {
        "days": current.moments(),
        "id": node.get("event"),
        "type": "events",
        "order": line.series,
        "name": shown_name(node),
        **{field: node.get(field) for field in _MATH},
        "properties": {},
    }
    _mark(row, breakdown, line.key, compare, name if len(series) > 1 else None)
    row["order"] = line.series
    return row


def _formula_rows(
    query: dict[str, Any],
    current: Range,
    lines: list[list[Line]],
    formulas: list[dict[str, Any]],
    breakdown: Breakdown | None,
    compare: str | None,
) -> list[dict[str, Any]]:
    keys = list(dict.fromkeys(line.key for part in lines for line in part))
    total = _display(query) in TOTALS
    rows: list[dict[str, Any]] = []
    for order, formula in enumerate(formulas):
        for key in keys:
            parts: list[list[float]] = []
            for part in lines:
                found = next((line for line in part if line.key == key), None)
                width = 1 if total else len(current.buckets())
                if found is None:
                    parts.append([0.0] * width)
                else:
                    parts.append([found.total] if total else found.data)
            data = evaluate(formula["formula"], parts)
            span = lines[0][0].span if lines and lines[0] else current
            line = Line(0, key, [] if total else data, data[0] if total else 0, span)
            row = _numbers(query, line)
            name = formula.get("custom_name") or f"Formula ({formula['formula']})"
            row |= {"label": name, "filter": _filter(query, current), "action": None}
            _mark(row, breakdown, key, compare, name if len(formulas) > 1 else None)
            row["order"] = order
            rows.append(row)
    return rows


def _numbers(query: dict[str, Any], line: Line) -> dict[str, Any]:
    if _display(query) in TOTALS:
        return {"data": [], "days": [], "count": 0, "aggregated_value": line.total}
    return {
        "data": line.data,
        "labels": line.span.labels(),
        "days": line.span.days(),
        "count": float(sum(line.data)),
    }


def _mark(
    row: dict[str, Any],
    breakdown: Breakdown | None,
    key: Key | None,
    compare: str | None,
    prefix: str | None,
) -> None:
    if breakdown is not None and key is not None:
        label = breakdown.label(key)
        row["label"] = f"{prefix} - {label}" if prefix else label
        row["breakdown_value"] = breakdown.value(key)
    if compare is not None:
        row["compare"], row["compare_label"] = True, compare


def _display(query: dict[str, Any]) -> str:
    return (query.get("trendsFilter") or {}).get("display") or "ActionsLineGraph"


def _formulas(query: dict[str, Any]) -> list[dict[str, Any]]:
    wanted = query.get("trendsFilter") or {}
    if wanted.get("formulaNodes"):
        return [{"custom_name": None, **node} for node in wanted["formulaNodes"]]
    texts = wanted.get("formulas") or ([wanted["formula"]] if wanted.get("formula") else [])
    return [{"custom_name": None, "formula": text} for text in texts]


def _filter(query: dict[str, Any], span: Range) -> dict[str, Any]:
    """The old-style filter that every series of a response still carries."""
    body: dict[str, Any] = {
        "insight": "TRENDS",
        "properties": query.get("properties") or [],
        "filter_test_accounts": bool(query.get("filterTestAccounts")),
        "date_to": iso(span.end),
        "date_from": iso(span.start),
        "entity_type": "events",
        "interval": span.interval,
    }
    shown = query.get("trendsFilter")
    if shown:
        body |= _DEFAULTS
        body |= {name: item for name, item in shown.items() if item is not None}
        formulas = _formulas(query)
        if formulas:
            body.pop("formula", None)
            body.pop("formulas", None)
            body["formulaNodes"] = formulas
    wanted = query.get("breakdownFilter")
    if wanted:
        body["breakdown_type"] = "event"
        body |= {name: item for name, item in wanted.items() if item is not None}
        if wanted.get("breakdowns"):
            known = ("group_type_index", "histogram_bin_count", "normalize_url")
            body["breakdowns"] = [{**dict.fromkeys(known), **one} for one in wanted["breakdowns"]]
    return body
