"""Insights: list, retrieve, create, update, soft delete.

Facts: PostHog's insight view of both generations and recorded answers. `refresh` applies to every
row of a list; without `order` the order of a list is nobody's promise.
"""

import copy
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from hog_dagster.sandbox import errors
from hog_dagster.sandbox.families import Answer, Call, page
from hog_dagster.sandbox.family_model import Insight
from hog_dagster.sandbox.insight_cache import mode_of
from hog_dagster.sandbox.insight_math import WRAPPERS, source_of
from hog_dagster.sandbox.insight_math.dates import read_date
from hog_dagster.sandbox.insight_rows import basic_row, full_row
from hog_dagster.sandbox.search import MAX_SEARCH, search

__all__ = ["create", "destroy", "list_insights", "retrieve", "update"]

_KINDS = {
    "TRENDS": "TrendsQuery",
    "FUNNELS": "FunnelsQuery",
    "RETENTION": "RetentionQuery",
    "PATHS": "PathsQuery",
    "STICKINESS": "StickinessQuery",
    "LIFECYCLE": "LifecycleQuery",
}
_MATERIAL = {"name", "description", "filters", "query"}
_DATES = {
    "date_from": ("last_modified_at", True),
    "date_to": ("last_modified_at", False),
    "created_date_from": ("created_at", True),
    "created_date_to": ("created_at", False),
    "last_viewed_date_from": ("last_viewed_at", True),
    "last_viewed_date_to": ("last_viewed_at", False),
}
_TEXTS = {"name": 400, "derived_name": 400, "description": 400}


def list_insights(call: Call) -> Answer:
    """GET insights/."""
    rows = [row for row in call.site.world.families.insights.values() if not row.deleted]
    rows = [row for row in rows if all(test(row) for test in _tests(call))]
    term = call.param("search")
    shown: list[tuple[Insight, str | None]]
    if term and call.site.newer:
        shown = list(search(rows, term, _words, exact_only=False))
        if call.param("order"):
            found = {row.id: match for row, match in shown}
            shown = [(row, found[row.id]) for row in _ordered(call, [row for row, _ in shown])]
    else:
        if term:
            words = term.lower()
            rows = [row for row in rows if any(words in (t or "").lower() for t in _words(row))]
        shown = [(row, None) for row in _ordered(call, rows)]
    answer = page(call, list(shown))
    light = _truth(call.param("basic"))
    mode = mode_of(call.params("refresh"))
    query = _overrides(call)
    answer.body["results"] = [
        basic_row(call, row, match)
        if light
        else full_row(call, row, mode, match, query(row.query) if query else None)
        for row, match in answer.body["results"]
    ]
    return answer


def retrieve(call: Call) -> Answer:
    """GET insights/{id}/."""
    row = _find(call)
    if _truth(call.param("basic")):
        return Answer(basic_row(call, row))
    query = _overrides(call)
    mode = mode_of(call.params("refresh"))
    return Answer(full_row(call, row, mode, query=query(row.query) if query else None))


def create(call: Call) -> Answer:
    """POST insights/. Not idempotent."""
    body = call.object()
    if call.site.newer and call.agent:
        if "query" not in body:
            raise errors.bad_input("This field is required.", "query")
        body = {**body, "query": _wrapped(body["query"])}
    _check(call, body)
    made = call.site.world.add_insight(
        body.get("name"),
        {},
        saved=_truth_of(body.get("saved", False)),
        description=body.get("description"),
    )
    row = call.site.world.families.insights[made["id"]]
    row.query = None
    _write(row, body)
    return Answer(full_row(call, row, mode_of(call.params("refresh"))), status=201)


def update(call: Call) -> Answer:
    """PUT and PATCH insights/{id}/; ``{"deleted": true}`` deletes, ``false`` restores."""
    body = call.object()
    restore = call.method == "PATCH" and body.get("deleted") is False
    row = _find(call, deleted=restore)
    if call.site.newer and call.agent and body.get("query") is not None:
        body = {**body, "query": _wrapped(body["query"])}
    _check(call, body)
    _write(row, {"saved": True, **body})
    row.is_sample = False
    row.updated_at = call.now
    if _MATERIAL & set(body):
        row.last_modified_at, row.last_modified_by = call.now, call.site.world.user
    return Answer(full_row(call, row, mode_of(call.params("refresh"))))


def destroy(call: Call) -> Answer:
    """DELETE insights/{id}/: 405 without a body."""
    return Answer(status=405)


# -- reading ---------------------------------------------------------------------------------------


def _find(call: Call, *, deleted: bool = False) -> Insight:
    wanted, rows = call.args["id"], call.site.world.families.insights
    row = rows.get(int(wanted)) if wanted.isdigit() else None
    if row is None and call.site.newer:
        row = next((item for item in rows.values() if item.short_id == wanted), None)
    if row is None or (row.deleted and not deleted):
        raise errors.not_found()
    return row


def _words(row: Insight) -> tuple[str | None, ...]:
    return (row.name, row.derived_name, row.description, *row.tags)


def _ordered(call: Call, rows: list[Insight]) -> list[Insight]:
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


def _tests(call: Call) -> list[Callable[[Insight], bool]]:
    """The list's filters. Broken JSON crashes the server, as it does for real."""
    site, tests = call.site, list[Callable[[Insight], bool]]()
    names = {name for name, _ in _pairs(call)}
    short_id, kind, flag = call.param("short_id"), call.param("insight"), call.param("feature_flag")
    if short_id:
        tests.append(lambda row: row.short_id == short_id)
    if "saved" in names:
        wanted = _truth(call.param("saved"))
        listed = {d.id for d in site.world.families.dashboards.values() if not d.unlisted}
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
    tags, dashboards, events = (
        _json(call, "tags"),
        _json(call, "dashboards"),
        _json(call, "events"),
    )
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


def _pairs(call: Call) -> list[tuple[str, str]]:
    return [(part.split("=")[0], part) for part in call.query.split("&") if part]


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


def _overrides(call: Call) -> Callable[[dict[str, Any] | None], dict[str, Any] | None] | None:
    """What `filters_override` and `variables_override` make of a query."""
    found: dict[str, Any] = {}
    for name in ("filters_override", "variables_override"):
        text = call.param(name)
        if text:
            try:
                found[name] = json.loads(text)
            except ValueError:
                raise errors.bad_input(f"Invalid JSON passed in {name} parameter", name) from None
    if not found:
        return None

    def apply(query: dict[str, Any] | None) -> dict[str, Any] | None:
        if not query:
            return query
        changed = copy.deepcopy(query)
        source = source_of(changed)
        filters = found.get("filters_override") or {}
        dates = {k: filters[k] for k in ("date_from", "date_to") if filters.get(k)}
        if dates:
            source["dateRange"] = {**(source.get("dateRange") or {}), **dates}
        if filters.get("properties"):
            source["properties"] = [*(source.get("properties") or []), *filters["properties"]]
        for key, value in (found.get("variables_override") or {}).items():
            if key in (source.get("variables") or {}):
                source["variables"][key] = {**source["variables"][key], **value}
        return changed

    return apply


# -- writing ---------------------------------------------------------------------------------------


def _check(call: Call, body: dict[str, Any]) -> None:
    for name, length in _TEXTS.items():
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise errors.bad_input("Not a valid string.", name)
        if len(str(value)) > length:
            raise errors.validation(
                "max_length", f"Ensure this field has no more than {length} characters.", name
            )
    query = body.get("query")
    if query is not None and not isinstance(query, dict):
        raise errors.bad_input("Query must be a valid JSON object", "query")
    if "tags" in body and not isinstance(body["tags"], list):
        raise errors.validation(
            "not_a_list",
            f'Expected a list of items but got type "{type(body["tags"]).__name__}".',
            "tags",
        )
    for number in body.get("dashboards") or []:
        if number not in call.site.world.families.dashboards:
            raise errors.validation(
                "does_not_exist",
                f'Invalid pk "{number}" - object does not exist.',
                "dashboards",
            )


def _write(row: Insight, body: dict[str, Any]) -> None:
    for name in ("name", "derived_name", "description", "order", "filters", "query"):
        if name in body:
            setattr(row, name, copy.deepcopy(body[name]))
    for name in ("deleted", "saved", "favorited"):
        if name in body:
            setattr(row, name, _truth_of(body[name]))
    if "tags" in body:
        row.tags = sorted({str(tag).strip().lower() for tag in body["tags"] if str(tag).strip()})
    if "dashboards" in body:
        row.dashboards = list(body["dashboards"] or [])


def _wrapped(query: Any) -> Any:
    """What an agent's bare query is saved as."""
    if not isinstance(query, dict) or query.get("kind") in WRAPPERS:
        return query
    node = "DataVisualizationNode" if query.get("kind") == "HogQLQuery" else "InsightVizNode"
    return {"kind": node, "source": query}


def _truth(text: str | None) -> bool:
    return (text or "").lower() in ("y", "yes", "t", "true", "on", "1")


def _truth_of(value: Any) -> bool:
    return value is True or str(value).lower() == "true"
