"""PathsQuery: two rows per step from one node to the next, how many went and how long it took.

Facts: PostHog's paths query runners. Node names carry the step's number (``1_/home``);
``average_conversion_time`` is in milliseconds. PathsV2Query gives the step's number on its own.
"""

import re
from collections.abc import Mapping
from typing import Any

from hog_dagster.posthog._insight_rows.cells import Zone, number, whole
from hog_dagster.posthog._insight_rows.columns import (
    HEAD,
    TAIL,
    RowBuilder,
    RowColumn,
    UnknownShape,
)
from hog_dagster.posthog._insight_rows.query import InsightQuery

COLUMNS: tuple[RowColumn, ...] = (
    *HEAD,
    RowColumn("source", "text", "The node left, as PostHog names it: step number and path item."),
    RowColumn("target", "text", "The node reached, as PostHog names it."),
    RowColumn("source_step", "integer", "Step number of the source, from 1."),
    RowColumn("source_name", "text", "The source without its step number."),
    RowColumn("target_step", "integer", "Step number of the target."),
    RowColumn("target_name", "text", "The target without its step number."),
    RowColumn(
        "metric",
        "text",
        "count: how many went this way; average_conversion_time: how long they took.",
        nullable=False,
    ),
    RowColumn("unit", "text", "Unit of the value: count or milliseconds."),
    *TAIL,
)

_NODE = re.compile(r"(\d+)_(.*)", re.DOTALL)
_EDGE = frozenset(("source", "target", "value", "average_conversion_time"))
_EDGE_V2 = frozenset(("step_index", "source_step", "target_step", "value"))


def add_rows(result: Any, query: InsightQuery, zone: Zone, rows: RowBuilder) -> None:
    """Add the rows of each edge of the paths."""

    def add(edge: Mapping[str, Any], _: int) -> frozenset[str]:
        if "value" not in edge:
            raise UnknownShape("an edge without a value")
        if "step_index" in edge:
            step = whole(edge["step_index"])
            after = None if step is None else step + 1
            cells = _nodes(edge.get("source_step"), step, edge.get("target_step"), after)
            rows.add(cells, metric="count", unit="count", value=number(edge["value"]))
            return _EDGE_V2
        source, target = edge.get("source"), edge.get("target")
        if not isinstance(source, str) or not isinstance(target, str):
            raise UnknownShape("an edge without source and target")
        (from_step, from_name), (to_step, to_name) = _split(source), _split(target)
        cells = _nodes(from_name, from_step, to_name, to_step) | {
            "source": source,
            "target": target,
        }
        rows.add(cells, metric="count", unit="count", value=number(edge["value"]))
        if "average_conversion_time" in edge:
            took = number(edge["average_conversion_time"])
            rows.add(cells, metric="average_conversion_time", unit="milliseconds", value=took)
        return _EDGE

    rows.add_each(result, "edge", add)


def _nodes(source: Any, source_step: Any, target: Any, target_step: Any) -> dict[str, Any]:
    return {
        "source": source,
        "target": target,
        "source_name": source,
        "source_step": source_step,
        "target_name": target,
        "target_step": target_step,
    }


def _split(node: str) -> tuple[int | None, str]:
    """Step number and path item of a node; a path item may hold any character itself."""
    found = _NODE.fullmatch(node)
    return (int(found[1]), found[2]) if found else (None, node)
