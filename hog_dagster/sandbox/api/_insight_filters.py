"""The filters and the order of the list of insights.

Facts: PostHog's insight view of both generations. Flags count by being there; broken JSON and an
unknown order crash the server.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

import msgspec

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Call
from hog_dagster.sandbox.api._insight_math import WRAPPERS, source_of
from hog_dagster.sandbox.api._insight_math.dates import read_date
from hog_dagster.sandbox.api._list_filters import MAX_SEARCH
from hog_dagster.sandbox.world import Insight

_KINDS = {
    "TRENDS": "TrendsQuery",
    "FUNNELS": "FunnelsQuery",
    "RETENTION": "RetentionQuery",
    "PATHS": "PathsQuery",
    "STICKINESS": "StickinessQuery",
    "LIFECYCLE": "LifecycleQuery",
}
_DATES = {
    "date_from": ("last_modified_at", True),
    "date_to": ("last_modified_at", False),
    "created_date_from": ("created_at", True),
    "created_date_to": ("created_at", False),
    "last_viewed_date_from": ("last_viewed_at", True),
    "last_viewed_date_to": ("last_viewed_at", False),
}


def truth(text: str | None) -> bool:
    """Whether a query parameter says yes."""
    return (text or "").lower() in ("y", "yes", "t", "true", "on", "1")


def texts_of(row: Insight) -> tuple[str | None, ...]:
    """What a search looks at."""
    return (row.name, row.derived_name, row.description, *row.tags)


def ordered(call: Call, rows: list[Insight]) -> list[Insight]:
    """Rows by the `order` parameter; by the nullable column of that name without one."""
    wanted = call.param("order")
    if wanted:
        name = wanted.removeprefix("-")
        if name not in msgspec.structs.asdict(rows[0]) if rows else False:
            raise errors.server_error()
        known = [row for row in rows if getattr(row, name) is not None]
        known.sort(key=lambda row: getattr(row, name), reverse=wanted.startswith("-"))
        unknown = [row for row in rows if getattr(row, name) is None]
        first = wanted.startswith("-") and name != "last_viewed_at"
        return unknown + known if first else known + unknown
    given = sorted((row for row in rows if row.order is not None), key=lambda row: row.order or 0)
    rest = [row for row in rows if row.order is None]
    if call.site.shuffle_ties:
        call.site.world.ids.random.shuffle(rest)
    return given + rest


def insight_tests(call: Call) -> list[Callable[[Insight], bool]]:
    """The list's filters. Broken JSON crashes the server, as it does for real."""
    site, tests = call.site, list[Callable[[Insight], bool]]()
    names = set(parse_qs(call.query, keep_blank_values=True))
    short_id, kind, flag = call.param("short_id"), call.param("insight"), call.param("feature_flag")
    if short_id:
        tests.append(lambda row: row.short_id == short_id)
    if "saved" in names:
        wanted = truth(call.param("saved"))
        listed = {d.id for d in site.world.dashboards.values() if not d.unlisted}
        tests.append(
            lambda row: row.saved or bool(listed & set(row.dashboards)) if wanted else not row.saved
        )
    if "favorited" in names:
        tests.append(lambda row: row.favorited)
    if "user" in names:
        tests.append(
            lambda row: row.created_by is not None and row.created_by.id == site.world.user.id
        )
    if call.param("created_by"):
        tests.append(_by_author(call, str(call.param("created_by"))))
    if kind:
        tests.append(lambda row: _is_kind(row, kind))
    for name, (column, later) in _DATES.items():
        text = call.param(name)
        if text:
            bound, _ = read_date(text, site.zone, site.clock.now())
            tests.append(_dated(column, bound, later))
    tags, dashboards, events = (_json(call, name) for name in ("tags", "dashboards", "events"))
    if tags:
        tests.append(lambda row: bool(set(tags) & set(row.tags)))
    if dashboards:
        tests.append(lambda row: set(dashboards) <= set(row.dashboards))
    if events:
        tests.append(lambda row: set(events) <= _event_names(row))
    if flag:
        tests.append(lambda row: f"$feature/{flag}" in json.dumps(row.query))
    term = call.param("search")
    if term and call.site.newer and len(term) > MAX_SEARCH:
        raise errors.bad_input(f"Search query must be {MAX_SEARCH} characters or fewer.", "search")
    return tests


def _by_author(call: Call, text: str) -> Callable[[Insight], bool]:
    """A number on older servers, a JSON array on newer ones: a breaking change."""
    if not call.site.newer:
        if not text.isdigit():
            raise errors.bad_input("A valid integer is required.", "created_by")
        wanted = [int(text)]
    else:
        wanted = _json(call, "created_by")
        if not isinstance(wanted, list):
            raise errors.server_error()
    return lambda row: row.created_by is not None and row.created_by.id in wanted


def _json(call: Call, name: str) -> Any:
    text = call.param(name)
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise errors.server_error() from None


def _dated(column: str, bound: datetime, later: bool) -> Callable[[Insight], bool]:
    def test(row: Insight) -> bool:
        held = getattr(row, column)
        return held is not None and (held > bound if later else held < bound)

    return test


def _is_kind(row: Insight, kind: str) -> bool:
    query = row.query or {}
    source = source_of(query).get("kind")
    if kind == "SQL":
        return query.get("kind") in WRAPPERS and source == "HogQLQuery"
    if kind == "JSON":
        return bool(query) and source not in ("HogQLQuery", *_KINDS.values())
    return query.get("kind") == "InsightVizNode" and source == _KINDS.get(kind)


def _event_names(row: Insight) -> set[str]:
    return {node.get("event") for node in source_of(row.query).get("series") or []}
