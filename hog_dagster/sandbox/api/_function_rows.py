"""Hog functions as the API shows them, and how the server finds one.

Facts: recorded answers. Lists carry the source and the whole template but no inputs; details carry
inputs with secrets masked; what a request may not see comes back as 404.
"""

import copy
import json
from collections.abc import Callable
from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call, fields
from hog_dagster.sandbox.api._list_filters import contains, plain_tests
from hog_dagster.sandbox.api._paging import page
from hog_dagster.sandbox.world import FUNCTION_TEMPLATES, HogFunction, find_template

#: The configuration of a function: what drafts hold and revisions keep.
CONTENT = ("hog", "inputs_schema", "inputs", "filters", "mappings", "masking")
HIDDEN_TYPE = "warehouse_source_webhook"


def status_of(call: Call, row: HogFunction) -> dict[str, Any]:
    """The watcher's state: 0 for every disabled function. Older servers had a rating too."""
    on = row.enabled
    body: dict[str, Any] = {"state": row.state if on else 0}
    if not call.site.newer:
        body["rating"] = {1: 1.0, 2: 0.5}.get(row.state, 0.0) if on else 0.0
    body["tokens"] = row.tokens if on else 0
    return body


_HEAD = "id type name description created_at created_by updated_at enabled hog"
_LIST = f"{_HEAD} filters icon_url template status execution_order"
_ONE = (
    f"{_HEAD} bytecode transpiled inputs_schema inputs filters masking mappings icon_url template "
    "status execution_order"
)


def minimal(call: Call, row: HogFunction, match: str | None = None) -> dict[str, Any]:
    """A function as a row of the list."""
    names = f"{_LIST} search_match_type draft_updated_at" if call.site.newer else _LIST
    template, status = find_template(row.template_id), status_of(call, row)
    return fields(row, names, template=template, status=status, search_match_type=match)


def detail(call: Call, row: HogFunction, match: str | None = None) -> dict[str, Any]:
    """A function as retrieve, create and update answer it."""
    newer = " batch_export_id search_match_type version draft draft_updated_at"
    return fields(
        row,
        _ONE + newer if call.site.newer else _ONE,
        template=find_template(row.template_id),
        status=status_of(call, row),
        inputs=masked(row.inputs, row.inputs_schema, row.secrets),
        search_match_type=match,
        draft=masked_draft(row),
    )


def masked(
    inputs: dict[str, Any], schema: list[dict[str, Any]], secrets: dict[str, Any]
) -> dict[str, Any]:
    """Inputs with a marker in place of each secret that is set."""
    shown = dict(inputs)
    for item in schema:
        key = item.get("key")
        if item.get("secret") and key and (secrets.get(key) or shown.get(key)):
            shown[key] = {"secret": True}
    return shown


def masked_draft(row: HogFunction) -> dict[str, Any] | None:
    if row.draft is None:
        return None
    held = {**row.secrets, **(row.draft_secrets or {})}
    inputs = masked(row.draft.get("inputs") or {}, row.draft.get("inputs_schema") or [], held)
    return {**copy.deepcopy(row.draft), "inputs": inputs}


def ordered(rows: list[HogFunction]) -> list[HogFunction]:
    """By execution order, those without one last; then the latest update first."""
    latest = sorted(rows, key=lambda row: row.updated_at, reverse=True)
    return sorted(latest, key=lambda row: (row.execution_order is None, row.execution_order or 0))


def live(call: Call) -> list[HogFunction]:
    """Every function that is not deleted and that this server shows."""
    return [
        row
        for row in call.site.world.hog_functions.values()
        if not row.deleted and not (call.site.newer and row.type == HIDDEN_TYPE)
    ]


def find(call: Call, *, deleted: bool = False) -> HogFunction:
    """The function a detail action is about, through the filters of the list as the server does.

    Deleted ones are found only to restore one.
    """
    wanted = call.args["id"]
    row = call.site.world.hog_functions.get(wanted.lower())
    if row is None or (row.deleted and not deleted):
        raise errors.not_found()
    if call.site.newer and row.type == HIDDEN_TYPE:
        raise errors.not_found()
    search = None if call.site.newer else call.param("search")
    if not holds_words(row, search) or not filtered(call)(row):
        raise errors.not_found()
    return row


def holds_words(row: HogFunction, search: str | None) -> bool:
    """The search of older servers: every word is somewhere in name or description."""
    text = f"{row.name or ''}\n{row.description}".lower()
    return all(word in text for word in (search or "").lower().split())


def filtered(call: Call) -> Callable[[HogFunction], bool]:
    """The list's filters as a test."""
    tests = plain_tests(call, call.site.world.hog_functions.values(), author=True)
    kinds = call.param("type")
    if kinds:
        tests.append(lambda row: row.type in kinds.split(","))
    enabled = (call.param("enabled") or "").lower()
    if enabled in ("true", "false"):
        tests.append(lambda row: row.enabled == (enabled == "true"))
    groups = _groups(call)
    if groups:
        tests.append(lambda row: any(contains(row.filters, part) for part in groups if part))
    return lambda row: all(test(row) for test in tests)


def _groups(call: Call) -> list[Any]:
    found: list[Any] = []
    text = call.param("filter_groups")
    if text:
        try:
            groups = json.loads(text)
        except ValueError:
            groups = None
        if not isinstance(groups, list):
            raise errors.bad_input("Invalid filter_groups", "filter_groups")
        found += groups
    text = call.param("filters")
    if text:
        try:
            found.append(json.loads(text))
        except ValueError:
            raise errors.bad_input("Invalid filters", "filters") from None
    return found


def list_templates(call: Call) -> Answer:
    """GET hog_function_templates/: destinations unless `type` or `types` says otherwise."""
    kinds = call.param("types") or call.param("type") or "destination"
    wanted = call.param("template_id")
    rows = [
        row
        for row in FUNCTION_TEMPLATES.values()
        if row["type"] in kinds.split(",")
        and row["status"] not in ("deprecated", "hidden")
        and (wanted is None or row["id"] == wanted)
    ]
    return page(call, rows)


def retrieve_template(call: Call) -> Answer:
    """GET hog_function_templates/{id}/."""
    row = find_template(call.args["id"])
    if row is None:
        raise errors.not_found()
    return Answer(row)
