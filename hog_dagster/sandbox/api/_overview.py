"""Responses of newer servers over all workflows: global metrics.

Facts: the hog_flow view's metrics/global action.
"""

from typing import Any

from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.api._metrics import as_sql, read_bound

__all__ = ["global_metrics"]


def global_metrics(call: Call) -> Answer:
    """GET hog_flows/metrics/global/: worst first.

    Steps and runs are counted together, batch runs not.
    """
    world, now, zone = call.site.world, call.now, call.site.zone
    text = call.param("before")
    rows: list[dict[str, Any]] = []
    for source in world.metrics.sources():
        if source not in world.workflows:
            continue
        counts = {"succeeded": 0, "failed": 0}
        found = world.metrics.rows(
            source,
            now=now,
            after=as_sql(read_bound(call.param("after") or "-7d", zone, now), newer=True),
            before=as_sql(read_bound(text, zone, now), newer=True) if text else None,
            names=counts,
        )
        seen = False
        for _, name, _, count in found:
            counts[name] += count
            seen = True
        if seen:
            rows.append({"workflow_id": source, **counts})
    rows.sort(key=lambda row: row["failed"], reverse=True)
    return Answer(rows)
