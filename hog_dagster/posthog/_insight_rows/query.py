"""A saved insight's query: its kind, its series and breakdowns, and the cells that name them.

Facts: ``query.kind`` is a wrapper (InsightVizNode, DataVisualizationNode, DataTableNode) around
``query.source``, or the query itself; insights saved before queries existed have ``filters``.

Breakdowns: trends and retention mark the remaining values with ``$$_posthog_breakdown_other_$$``,
trends a missing property with ``$$_posthog_breakdown_null_$$`` (older ones with the two largest
safe integers); funnels write ``Other``, funnels and retention an empty text, funnel trends
``None``. Retention joins several values with ``::``. Cohorts come as numbers, ``all`` or 0 for all
users.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hog_dagster.posthog._insight_rows.cells import text, whole
from hog_dagster.posthog._insight_rows.columns import ACTION_TYPES

_WRAPPERS = frozenset({"InsightVizNode", "DataVisualizationNode", "DataTableNode"})
_TABLE_WRAPPERS = frozenset({"DataVisualizationNode", "DataTableNode"})
_KINDS = {
    "TrendsQuery": "trends",
    "CalendarHeatmapQuery": "trends",
    "FunnelsQuery": "funnels",
    "RetentionQuery": "retention",
    "PathsQuery": "paths",
    "PathsV2Query": "paths",
    "StickinessQuery": "stickiness",
    "LifecycleQuery": "lifecycle",
    "HogQLQuery": "sql",
    "EventsQuery": "sql",
    "ActorsQuery": "sql",
    "PersonsQuery": "sql",
    "GroupsQuery": "sql",
    "SessionsQuery": "sql",
}
#: Kinds of insights that old filters name.
_FILTERS = ("TRENDS", "FUNNELS", "RETENTION", "PATHS", "STICKINESS", "LIFECYCLE")
_OTHER_MARKS = ("$$_posthog_breakdown_other_$$", "9007199254740991")
_NONE_MARKS = ("$$_posthog_breakdown_null_$$", "9007199254740990")
#: Breakdowns that have a column of their own.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class InsightQuery:
    """What tidy rows need of an insight's query: the kind of its rows, the query itself without its
    wrapper (of old filters only its chart) and its own kind, its series as saved, the length of its
    time buckets, and of each breakdown the property and its type."""

    kind: str
    source: Mapping[str, Any] = field(default_factory=dict)
    source_kind: str | None = None
    series: tuple[Mapping[str, Any], ...] = ()
    interval: str = "day"
    properties: tuple[tuple[Any, str | None], ...] = ()
    by_cohort: bool = False

    def setting(self, section: str, name: str) -> Any:
        """A setting of a section such as ``trendsFilter``; None when absent."""
        values = self.source.get(section)
        return values.get(name) if isinstance(values, Mapping) else None


def read_query(insight: Mapping[str, Any]) -> InsightQuery:
    """The query of an insight as the API gives it; of old ``filters`` when it has no query."""
    query = insight.get("query")
    if not isinstance(query, Mapping) or not query:
        return _from_filters(insight.get("filters"))
    outer = query.get("kind")
    source: Mapping[str, Any] = query
    while source.get("kind") in _WRAPPERS and isinstance(source.get("source"), Mapping):
        source = source["source"]
    source_kind = source.get("kind")
    kind = _KINDS.get(str(source_kind))
    if kind is None:
        kind = "sql" if outer in _TABLE_WRAPPERS else "unknown"
    series = source.get("series")
    filters = source.get("breakdownFilter")
    properties, by_cohort = _breakdowns(filters if isinstance(filters, Mapping) else {})
    return InsightQuery(
        kind=kind,
        source=source,
        source_kind=text(source_kind),
        series=tuple(s for s in series if isinstance(s, Mapping))
        if isinstance(series, list)
        else (),
        interval=_interval(source),
        properties=properties,
        by_cohort=by_cohort,
    )


def _interval(source: Mapping[str, Any]) -> str:
    interval = text(source.get("interval"))
    return "day" if interval is None else interval


def _from_filters(filters: Any) -> InsightQuery:
    if not isinstance(filters, Mapping):
        return InsightQuery(kind="unknown")
    name = filters.get("insight")
    properties, by_cohort = _breakdowns(filters)
    chart = {name: filters[name] for name in ("display", "formula") if name in filters}
    return InsightQuery(
        kind=str(name).lower() if name in _FILTERS else "unknown",
        source={"trendsFilter": chart} if name == "TRENDS" else {},
        interval=_interval(filters),
        properties=properties,
        by_cohort=by_cohort,
    )


def _breakdowns(filters: Mapping[str, Any]) -> tuple[tuple[tuple[Any, str | None], ...], bool]:
    several = filters.get("breakdowns")
    if isinstance(several, list) and several:
        found = tuple((b.get("property"), b.get("type")) for b in several if isinstance(b, Mapping))
        by_cohort = bool(found) and all(kind == "cohort" for _, kind in found)
        return found, by_cohort
    single = filters.get("breakdown")
    kind = text(filters.get("breakdown_type"))
    if single is None or single == []:
        return (), False
    if kind == "cohort":
        return ((single, kind),), True
    names = single if isinstance(single, list) else [single]
    return tuple((name, kind) for name in names), False


def series_cells(query: InsightQuery, item: Mapping[str, Any], index: int) -> dict[str, Any]:
    """The cells that say which series of the query an item of the response is.

    The query is asked first: trends answer ``type: events`` with a name for actions too.
    """
    action = item.get("action")
    action = action if isinstance(action, Mapping) else {}
    order = whole(action.get("order"))
    if order is None:
        order = whole(item.get("order"))
    if order is None and len(query.series) == 1:
        order = 0
    cells: dict[str, Any] = {"series_index": index, "series_order": order}
    cells["label"] = text(item.get("label"))
    saved = query.series[order] if order is not None and 0 <= order < len(query.series) else {}
    cells.update(_entity(saved, action))
    return cells


def _entity(saved: Mapping[str, Any], action: Mapping[str, Any]) -> dict[str, Any]:
    node, shown = saved.get("kind"), _first(action.get("custom_name"), action.get("name"))
    custom = _first(saved.get("custom_name"))
    if node == "ActionsNode" or (not node and action.get("type") in ACTION_TYPES):
        ident = whole(saved.get("id") if node else action.get("id"))
        name = _first(custom, shown, saved.get("name"))
        return {"series_kind": "action", "series_name": name, "action_id": ident}
    if node == "EventsNode" or (not node and action.get("type") == "events"):
        event = _first(saved.get("event") if node else action.get("id"))
        kind = "event" if event is not None else "all_events"
        name = _first(custom, action.get("custom_name"), event) or "All events"
        return {"series_kind": kind, "series_name": name, "event": event}
    if node in ("DataWarehouseNode", "LifecycleDataWarehouseNode") or (
        not node and action.get("type") == "data_warehouse"
    ):
        name = _first(custom, saved.get("table_name"), shown)
        return {"series_kind": "data_warehouse", "series_name": name}
    kind = "group" if node == "GroupNode" else "other"
    return {"series_kind": kind, "series_name": _first(custom, saved.get("name"), shown)}


def _first(*candidates: Any) -> str | None:
    return next((c for c in candidates if isinstance(c, str) and c), None)


def _value_name(value: Any) -> str:
    """The name of one breakdown value: Other, None, or the value as text."""
    if value is None or value == "":
        return "None"
    if isinstance(value, bool):
        return "true" if value else "false"
    name = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if name in _OTHER_MARKS:
        return "Other"
    return "None" if name in _NONE_MARKS else name


def cohort_name(value: Any, shown: Any = None) -> str:
    """The name of a cohort's value: the one PostHog shows, else ``all users`` or its number."""
    if isinstance(shown, str) and shown:
        return shown
    return "all users" if str(value) in ("all", "0") else f"cohort {value}"


def breakdown_cells(
    value: Any, query: InsightQuery, *, names: Sequence[str] | None = None
) -> dict[str, Any]:
    """The breakdown columns of a ``breakdown_value``, or of a list of them; ``names`` where the
    values' names are known otherwise (cohorts)."""
    values = value if isinstance(value, list) else [value]
    if names is None:
        names = [cohort_name(v) if query.by_cohort else _value_name(v) for v in values]
    properties = query.properties if len(query.properties) == len(values) else ()
    parts: list[dict[str, Any]] = []
    for index, (one, name) in enumerate(zip(values, names, strict=True)):
        prop, kind = properties[index] if properties else (None, None)
        if query.by_cohort:
            prop, kind = None, "cohort"
        parts.append({"property": prop, "type": kind, "value": one, "name": name})
    cells: dict[str, Any] = {f"breakdown_{i + 1}": n for i, n in enumerate(names[:_NAMED])}
    cells["breakdowns"] = parts
    return cells
