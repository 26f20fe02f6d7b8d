"""Insights: list, retrieve, create, update, soft delete.

Facts: PostHog's insight view of both generations and recorded answers. `refresh` applies to every
row of a list; without `order` the order of a list is nobody's promise.
"""

import copy
import json
from collections.abc import Callable
from typing import Any

import msgspec

from hog_dagster.sandbox.api import _fields as fields
from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._activity import activity_page, log_activity
from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.api._insight_cache import mode_of
from hog_dagster.sandbox.api._insight_filters import insight_tests, ordered, texts_of, truth
from hog_dagster.sandbox.api._insight_math import WRAPPERS, source_of
from hog_dagster.sandbox.api._insight_rows import basic_row, full_row
from hog_dagster.sandbox.api._list_filters import search
from hog_dagster.sandbox.api._paging import page
from hog_dagster.sandbox.world import Insight

_MATERIAL = {"name", "description", "filters", "query"}


def list_insights(call: Call) -> Answer:
    """GET insights/."""
    tests = insight_tests(call)
    rows = [row for row in call.site.world.insights.values() if not row.deleted]
    rows = [row for row in rows if all(test(row) for test in tests)]
    term = call.param("search")
    shown: list[tuple[Insight, str | None]]
    if term and call.site.newer:
        shown = list(search(rows, term, texts_of, exact_only=False))
        if call.param("order"):
            found = {row.id: match for row, match in shown}
            shown = [(row, found[row.id]) for row in ordered(call, [row for row, _ in shown])]
    else:
        if term:
            words = term.lower()
            rows = [row for row in rows if any(words in (t or "").lower() for t in texts_of(row))]
        shown = [(row, None) for row in ordered(call, rows)]
    answer = page(call, list(shown))
    light = truth(call.param("basic"))
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
    if truth(call.param("basic")):
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
    row = call.site.world.insights[made["id"]]
    row.query = None
    _write(row, body)
    log_activity(call, "Insight", row.id, "created", row.name or "", [])
    return Answer(full_row(call, row, mode_of(call.params("refresh"))), status=201)


def update(call: Call) -> Answer:
    """PUT and PATCH insights/{id}/; ``{"deleted": true}`` deletes, ``false`` restores."""
    body = call.object()
    restore = call.method == "PATCH" and body.get("deleted") is False
    row = _find(call, deleted=restore)
    if call.site.newer and call.agent and body.get("query") is not None:
        body = {**body, "query": _wrapped(body["query"])}
    _check(call, body)
    before = msgspec.structs.asdict(row)
    _write(row, {"saved": True, **body})
    _log(call, row, before)
    row.is_sample = False
    row.updated_at = call.now
    if _MATERIAL & set(body):
        row.last_modified_at, row.last_modified_by = call.now, call.site.world.user
    return Answer(full_row(call, row, mode_of(call.params("refresh"))))


def destroy(call: Call) -> Answer:
    """DELETE insights/{id}/: 405 without a body."""
    return Answer(status=405)


def activity(call: Call) -> Answer:
    """GET insights/{id}/activity/: of one insight."""
    return activity_page(call, "Insight", _find(call).id, {})


def all_activity(call: Call) -> Answer:
    """GET insights/activity/: of all of them."""
    return activity_page(call, "Insight", None, {})


def trending(call: Call) -> Answer:
    """GET insights/trending/ (newer servers): by views; the sandbox counts none, so it is empty."""
    for name in ("days", "limit"):
        if not (call.param(name) or "1").isdigit():
            raise errors.bad_input("days and limit must be valid integers")
    return Answer({"count": 0, "next": None, "previous": None, "results": []})


def closed(call: Call) -> Answer:
    """Actions for people at a screen (my_last_viewed, viewed, cancel): closed to every key."""
    raise errors.not_open_to_keys(newer=call.site.newer)


def _find(call: Call, *, deleted: bool = False) -> Insight:
    wanted, rows = call.args["id"], call.site.world.insights
    row = rows.get(int(wanted)) if wanted.isdigit() else None
    if row is None and call.site.newer:
        row = next((item for item in rows.values() if item.short_id == wanted), None)
    if row is None or (row.deleted and not deleted):
        raise errors.not_found()
    return row


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


def _check(call: Call, body: dict[str, Any]) -> None:
    for name in ("name", "derived_name", "description"):
        if body.get(name) is not None:
            fields.text(body[name], name, 400)
    query = body.get("query")
    if query is not None and not isinstance(query, dict):
        raise errors.bad_input("Query must be a valid JSON object", "query")
    if "tags" in body:
        fields.list_of(body["tags"], "tags")
    for number in body.get("dashboards") or []:
        if number not in call.site.world.dashboards:
            words = f'Invalid pk "{number}" - object does not exist.'
            raise errors.validation("does_not_exist", words, "dashboards")


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


def _log(call: Call, row: Insight, before: dict[str, Any]) -> None:
    after = msgspec.structs.asdict(row)
    changed = [name for name in after if before[name] != after[name] and name != "saved"]
    verb = "updated"
    if "deleted" in changed:
        verb = "deleted" if row.deleted else "restored"
    about = {"type": "Insight", "action": "changed"}
    changes = [
        {**about, "field": name, "before": before[name], "after": after[name]} for name in changed
    ]
    log_activity(call, "Insight", row.id, verb, row.name or "", changes)


def _wrapped(query: Any) -> Any:
    """What an agent's bare query is saved as."""
    if not isinstance(query, dict) or query.get("kind") in WRAPPERS:
        return query
    node = "DataVisualizationNode" if query.get("kind") == "HogQLQuery" else "InsightVizNode"
    return {"kind": node, "source": query}


def _truth_of(value: Any) -> bool:
    return value is True or str(value).lower() == "true"
