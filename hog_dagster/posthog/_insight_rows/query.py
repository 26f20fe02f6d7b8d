"""Reading a saved insight's query: its kind, its series and its breakdowns.

Facts: ``query.kind`` is a wrapper (InsightVizNode, DataVisualizationNode, DataTableNode) around
``query.source``, or the query itself; insights saved before queries existed have ``filters``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hog_dagster.posthog._insight_rows.cells import whole
from hog_dagster.posthog._insight_rows.columns import ACTION_TYPES

__all__ = ["InsightQuery", "read_query", "series_cells"]

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
_FILTER_KINDS = {
    "TRENDS": "trends",
    "FUNNELS": "funnels",
    "RETENTION": "retention",
    "PATHS": "paths",
    "STICKINESS": "stickiness",
    "LIFECYCLE": "lifecycle",
}


@dataclass(frozen=True, slots=True)
class InsightQuery:
    """What tidy rows need of an insight's query.

    Attributes:
        kind: the kind of its rows, ``unknown`` for a query no kind stands for.
        source: the query itself, unwrapped; of an insight of old filters, only its chart.
        source_kind: the query's own kind, such as ``TrendsQuery``.
        series: its series, each as saved.
        interval: length of its time buckets.
        properties: of each breakdown, the property and its type.
        by_cohort: whether the breakdown is by cohorts.
        breaks_down: whether there is any breakdown.
    """

    kind: str
    source: Mapping[str, Any] = field(default_factory=dict)
    source_kind: str | None = None
    series: tuple[Mapping[str, Any], ...] = ()
    interval: str = "day"
    properties: tuple[tuple[Any, str | None], ...] = ()
    by_cohort: bool = False

    @property
    def breaks_down(self) -> bool:
        return bool(self.properties)

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
    interval = source.get("interval")
    return InsightQuery(
        kind=kind,
        source=source,
        source_kind=source_kind if isinstance(source_kind, str) else None,
        series=tuple(s for s in series if isinstance(s, Mapping))
        if isinstance(series, list)
        else (),
        interval=interval if isinstance(interval, str) else "day",
        properties=properties,
        by_cohort=by_cohort,
    )


def _from_filters(filters: Any) -> InsightQuery:
    if not isinstance(filters, Mapping):
        return InsightQuery(kind="unknown")
    name = filters.get("insight")
    properties, by_cohort = _breakdowns(filters)
    interval = filters.get("interval")
    chart = {name: filters[name] for name in ("display", "formula") if name in filters}
    return InsightQuery(
        kind=_FILTER_KINDS.get(str(name), "unknown") if name else "unknown",
        source={"trendsFilter": chart} if name == "TRENDS" else {},
        interval=interval if isinstance(interval, str) else "day",
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
    kind = filters.get("breakdown_type")
    kind = kind if isinstance(kind, str) else None
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
    label = item.get("label")
    cells["label"] = label if isinstance(label, str) else None
    saved = query.series[order] if order is not None and 0 <= order < len(query.series) else {}
    cells.update(_entity(saved, action))
    return cells


def _entity(saved: Mapping[str, Any], action: Mapping[str, Any]) -> dict[str, Any]:
    node, shown = saved.get("kind"), _text(action.get("custom_name"), action.get("name"))
    custom = _text(saved.get("custom_name"))
    if node == "ActionsNode" or (not node and action.get("type") in ACTION_TYPES):
        ident = whole(saved.get("id") if node else action.get("id"))
        name = _text(custom, shown, saved.get("name"))
        return {"series_kind": "action", "series_name": name, "action_id": ident}
    if node == "EventsNode" or (not node and action.get("type") == "events"):
        event = _text(saved.get("event") if node else action.get("id"))
        kind = "event" if event is not None else "all_events"
        name = _text(custom, action.get("custom_name"), event) or "All events"
        return {"series_kind": kind, "series_name": name, "event": event}
    if node in ("DataWarehouseNode", "LifecycleDataWarehouseNode") or (
        not node and action.get("type") == "data_warehouse"
    ):
        name = _text(custom, saved.get("table_name"), shown)
        return {"series_kind": "data_warehouse", "series_name": name}
    kind = "group" if node == "GroupNode" else "other"
    return {"series_kind": kind, "series_name": _text(custom, saved.get("name"), shown)}


def _text(*candidates: Any) -> str | None:
    return next((c for c in candidates if isinstance(c, str) and c), None)
