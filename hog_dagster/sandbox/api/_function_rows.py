"""Hog functions as the API shows them, and how the server finds one.

Facts: recorded answers. Lists carry the source and the whole template but no inputs; details carry
inputs with secrets masked; what a request may not see comes back as 404.
"""

import copy
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Call, read_datetime
from hog_dagster.sandbox.api._workflows import contains
from hog_dagster.sandbox.world import HogFunction, find_template, is_uuid

__all__ = ["CONTENT", "detail", "filtered", "find", "live", "minimal", "ordered"]

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


def minimal(call: Call, row: HogFunction, match: str | None = None) -> dict[str, Any]:
    """A function as a row of the list."""
    body = {
        "id": row.id,
        "type": row.type,
        "name": row.name,
        "description": row.description,
        "created_at": row.created_at,
        "created_by": row.created_by,
        "updated_at": row.updated_at,
        "enabled": row.enabled,
        "hog": row.hog,
        "filters": row.filters,
        "icon_url": row.icon_url,
        "template": find_template(row.template_id),
        "status": status_of(call, row),
        "execution_order": row.execution_order,
    }
    if call.site.newer:
        body |= {"search_match_type": match, "draft_updated_at": row.draft_updated_at}
    return body


def detail(call: Call, row: HogFunction, match: str | None = None) -> dict[str, Any]:
    """A function as retrieve, create and update answer it."""
    body = {
        "id": row.id,
        "type": row.type,
        "name": row.name,
        "description": row.description,
        "created_at": row.created_at,
        "created_by": row.created_by,
        "updated_at": row.updated_at,
        "enabled": row.enabled,
        "hog": row.hog,
        "bytecode": row.bytecode,
        "transpiled": row.transpiled,
        "inputs_schema": row.inputs_schema,
        "inputs": masked(row.inputs, row.inputs_schema, row.secrets),
        "filters": row.filters,
        "masking": row.masking,
        "mappings": row.mappings,
        "icon_url": row.icon_url,
        "template": find_template(row.template_id),
        "status": status_of(call, row),
        "execution_order": row.execution_order,
    }
    if call.site.newer:
        body |= {
            "batch_export_id": row.batch_export_id,
            "search_match_type": match,
            "version": row.version,
            "draft": masked_draft(row),
            "draft_updated_at": row.draft_updated_at,
        }
    return body


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
        for row in call.site.world.families.hog_functions.values()
        if not row.deleted and not (call.site.newer and row.type == HIDDEN_TYPE)
    ]


def find(call: Call, *, deleted: bool = False, leaky: bool = True) -> HogFunction:
    """The function a detail action is about, through the filters of the list as the server does.

    Args:
        deleted: whether deleted ones are found too (only to restore one).

    Raises:
        ApiError: 404; 400 for a filter that cannot be read.
    """
    wanted = call.args["id"]
    row = call.site.world.families.hog_functions.get(wanted.lower())
    if row is None or (row.deleted and not deleted):
        raise errors.not_found()
    if call.site.newer and row.type == HIDDEN_TYPE:
        raise errors.not_found()
    if leaky:
        search = None if call.site.newer else call.param("search")
        if (search and not _found(row, search)) or not filtered(call)(row):
            raise errors.not_found()
    return row


def _found(row: HogFunction, search: str) -> bool:
    text = f"{row.name or ''}\n{row.description}".lower()
    return all(word in text for word in search.lower().split())


def filtered(call: Call) -> Callable[[HogFunction], bool]:
    """The list's filters as a test.

    Raises:
        ApiError: 400 for a value that cannot be read.
    """
    tests: list[Callable[[HogFunction], bool]] = []
    kinds = call.param("type")
    if kinds:
        tests.append(lambda row: row.type in kinds.split(","))
    enabled = (call.param("enabled") or "").lower()
    if enabled in ("true", "false"):
        tests.append(lambda row: row.enabled == (enabled == "true"))
    wanted = call.param("id")
    if wanted:
        if not is_uuid(wanted):
            raise errors.bad_input("Enter a valid UUID.", "id")
        tests.append(lambda row: row.id == wanted.lower())
    author = call.param("created_by")
    if author:
        tests.append(_by_author(call, author))
    for name in ("created_at", "updated_at"):
        text = call.param(name)
        if text:
            tests.append(_at(name, text))
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


def _by_author(call: Call, text: str) -> Callable[[HogFunction], bool]:
    known = {str(call.site.world.user.id)} | {
        str(row.created_by.id)
        for row in call.site.world.families.hog_functions.values()
        if row.created_by
    }
    if text not in known:
        raise errors.validation(
            "invalid_choice",
            "Select a valid choice. That choice is not one of the available choices.",
            "created_by",
        )
    return lambda row: row.created_by is not None and str(row.created_by.id) == text


def _at(name: str, text: str) -> Callable[[HogFunction], bool]:
    try:
        moment: datetime = read_datetime(text)
    except ValueError:
        raise errors.bad_input("Enter a valid date/time.", name) from None
    return lambda row: getattr(row, name) == moment
