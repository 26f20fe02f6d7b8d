"""What PostHog's insights answer over the sandbox's own events: every query kind in one place.

Facts: recorded responses of a real server over known events, and the SQL it printed.
"""

from collections.abc import Callable
from typing import Any

from hog_dagster.sandbox.api._insight_math.counting import lifecycle, stickiness
from hog_dagster.sandbox.api._insight_math.funnels import funnel
from hog_dagster.sandbox.api._insight_math.paths import paths
from hog_dagster.sandbox.api._insight_math.query_data import Computed, QueryData, UserError
from hog_dagster.sandbox.api._insight_math.retention import retention
from hog_dagster.sandbox.api._insight_math.tables import events_table
from hog_dagster.sandbox.api._insight_math.trends import trends

__all__ = ["KINDS", "WRAPPERS", "Computed", "QueryData", "UserError", "calculate", "source_of"]

#: Nodes that only wrap a query for the screen.
WRAPPERS = ("InsightVizNode", "DataVisualizationNode", "DataTableNode")

KINDS: dict[str, Callable[[dict[str, Any], QueryData], Computed]] = {
    "TrendsQuery": trends,
    "FunnelsQuery": funnel,
    "RetentionQuery": retention,
    "PathsQuery": paths,
    "StickinessQuery": stickiness,
    "LifecycleQuery": lifecycle,
    "EventsQuery": events_table,
}


def source_of(query: dict[str, Any] | None) -> dict[str, Any]:
    """The query inside its wrapper; {} when there is none."""
    if not query:
        return {}
    return query.get("source") or {} if query.get("kind") in WRAPPERS else query


def calculate(query: dict[str, Any], query_data: QueryData) -> Computed:
    """The response to a query, wrapped or not."""
    source = source_of(query)
    kind = source.get("kind")
    if kind == "HogQLQuery" and query_data.hogql is not None:
        return query_data.hogql(source)
    if kind not in KINDS:
        raise UserError(f"Can't get a runner for an unknown query type: {kind}")
    return KINDS[kind](source, query_data)
