"""PathsQuery: from step to step within sessions of half an hour.

Facts: the SQL and the response of a real server over known events. Times are milliseconds.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hog_dagster.sandbox.api._insight_math.dates import date_range
from hog_dagster.sandbox.api._insight_math.matching import selector
from hog_dagster.sandbox.api._insight_math.query_data import Computed, QueryData
from hog_dagster.sandbox.world import Event

SESSION_SECONDS = 1800
Stop = tuple[str, datetime]


def paths(query: dict[str, Any], query_data: QueryData) -> Computed:
    """Calculate a PathsQuery."""
    options = query.get("pathsFilter") or {}
    span = date_range(query, query_data)
    holds = selector(query_data, query.get("properties"))
    wanted = _wanted(options)
    journeys: dict[str, list[Stop]] = {}
    for event in query_data.between(None, span.start, span.end):
        if wanted(event) and holds(event):
            stop = (_item(event, options), event.timestamp)
            journeys.setdefault(event.person_id, []).append(stop)
    limit = options.get("stepLimit") or 5
    edges: dict[tuple[str, str], list[float]] = defaultdict(list)
    for journey in journeys.values():
        for session in _sessions(journey):
            stops = _trimmed(_compact(session), options, limit)
            for place in range(1, len(stops)):
                source, target = stops[place - 1], stops[place]
                names = (f"{place}_{source[0]}", f"{place + 1}_{target[0]}")
                edges[names].append((target[1] - source[1]).total_seconds())
    rows = [
        {
            "average_conversion_time": sum(times) / len(times) * 1000,
            "source": source,
            "target": target,
            "value": float(len(times)),
        }
        for (source, target), times in edges.items()
    ]
    rows.sort(key=lambda row: (-row["value"], row["source"], row["target"]))
    least, most = options.get("minEdgeWeight"), options.get("maxEdgeWeight")
    rows = [row for row in rows if (least is None or row["value"] >= least)]
    rows = [row for row in rows if (most is None or row["value"] <= most)]
    return Computed(rows[: options.get("edgeLimit") or 50], resolved_date_range=span.resolved())


def _wanted(options: dict[str, Any]) -> Any:
    kinds = options.get("includeEventTypes") or []
    gone = set(options.get("excludeEvents") or [])

    def wanted(event: Event) -> bool:
        if _item(event, options) in gone:
            return False
        if not kinds:
            return True
        custom = "custom_event" in kinds and not event.event.startswith("$")
        return custom or event.event in kinds

    return wanted


def _item(event: Event, options: dict[str, Any]) -> str:
    """What a step is called: an address for pageviews, a name for all others."""
    if event.event == "$pageview":
        address = str(event.properties.get("$current_url") or "")
        item = re.sub(r"(.)/$", r"\1", address)
    elif event.event == "$screen":
        item = str(event.properties.get("$screen_name") or "")
    else:
        item = event.event
    for group in options.get("pathGroupings") or []:
        pattern = ".*".join(re.escape(part) for part in group.split("*"))
        if re.search(pattern, item):
            return group
    return item


def _sessions(journey: Sequence[Stop]) -> list[list[Stop]]:
    sessions: list[list[Stop]] = []
    for stop in journey:
        if sessions and (stop[1] - sessions[-1][-1][1]).total_seconds() < SESSION_SECONDS:
            sessions[-1].append(stop)
        else:
            sessions.append([stop])
    return sessions


def _compact(session: Sequence[Stop]) -> list[Stop]:
    """Of stops at the same place in a row, the last."""
    return [
        stop
        for place, stop in enumerate(session)
        if place + 1 == len(session) or session[place + 1][0] != stop[0]
    ]


def _trimmed(stops: list[Stop], options: dict[str, Any], limit: int) -> list[Stop]:
    start, end = options.get("startPoint"), options.get("endPoint")
    names = [name for name, _ in stops]
    if start:
        if start not in names:
            return []
        stops = stops[names.index(start) :]
        names = [name for name, _ in stops]
    if end:
        if end not in names:
            return []
        stops = stops[: names.index(end) + 1]
        return stops[-limit:] if not start else stops[:limit]
    return stops[:limit]
