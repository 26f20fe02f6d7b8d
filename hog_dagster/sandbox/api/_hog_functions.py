"""Hog functions: list, retrieve, create, update, soft delete, logs and metrics.

Facts: PostHog's hog function view in two generations, and recorded responses of a real server.
"""

import copy
from typing import Any

from hog_dagster.sandbox.api import _revisions, errors
from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.api._fields import time
from hog_dagster.sandbox.api._function_drafts import (
    STALE,
    comparable,
    snapshot,
    stage_draft,
)
from hog_dagster.sandbox.api._function_rows import (
    CONTENT,
    detail,
    filtered,
    find,
    holds_words,
    live,
    minimal,
    ordered,
)
from hog_dagster.sandbox.api._function_validation import Checked, check_function
from hog_dagster.sandbox.api._list_filters import search
from hog_dagster.sandbox.api._paging import page
from hog_dagster.sandbox.world import HogFunction

_CREATE_DISABLED = (
    "Create destinations disabled: test with an invocation first, then enable with a separate "
    "update once the config looks right."
)
_OPEN_DRAFT = (
    "This function has config staged for review. Publish or discard it before enabling, so you "
    "don't turn on config nobody looked at."
)
_SEQUENTIAL = ("transformation", "transformation_log")
_WATCHER_DISABLED, _DEGRADED = 3, 2


def list_functions(call: Call) -> Answer:
    """GET hog_functions/: all types unless asked; no order of one's own."""
    keep = filtered(call)
    rows = [row for row in live(call) if keep(row)]
    term = call.param("search")
    shown: list[tuple[HogFunction, str | None]]
    if term and call.site.newer:
        shown = list(search(rows, term, lambda row: (row.name, row.description)))
    else:
        shown = [(row, None) for row in ordered([row for row in rows if holds_words(row, term)])]
    full = call.site.newer and call.param("full") == "true"
    show = detail if full else minimal
    return page(call, [show(call, row, match) for row, match in shown])


def retrieve(call: Call) -> Answer:
    """GET hog_functions/{id}/."""
    return Answer(detail(call, find(call)))


def destroy(call: Call) -> Answer:
    """DELETE hog_functions/{id}/: 405 without a body (newer servers refuse keys before that)."""
    return Answer(status=405)


def create(call: Call) -> Answer:
    """POST hog_functions/. Not idempotent."""
    body, site = call.object(), call.site
    _refuse_forms(call)
    checked = check_function(
        body,
        None,
        newer=site.newer,
        peers=live(call),
        log_transformations=site.world.log_transformations,
    )
    fields = checked.fields
    if (
        site.newer
        and call.agent
        and fields.get("enabled")
        and fields.get("type") in ("destination", None)
    ):
        raise errors.bad_input(_CREATE_DISABLED, "enabled")
    now = call.now
    row = HogFunction(
        id=site.world.ids.row(now), created_at=now, updated_at=now, created_by=site.world.user
    )
    write(row, checked)
    if row.type in _SEQUENTIAL and "execution_order" not in fields:
        row.execution_order = _last_order(call, row) + 1
    site.world.hog_functions[row.id] = row
    return Answer(detail(call, row), status=201)


def update(call: Call) -> Answer:
    """PUT and PATCH hog_functions/{id}/.

    ``inputs`` are replaced whole. ``{"deleted": true}`` is how one is deleted;
    ``{"deleted": false}`` is the only request that sees a deleted one.
    """
    body, site = call.object(), call.site
    _refuse_forms(call)
    undelete = call.method == "PATCH" and body.get("deleted") is False
    row = find(call, deleted=undelete)
    checked = check_function(body, row, newer=site.newer, peers=live(call), create=False)
    fields = checked.fields
    if site.newer:
        if fields.get("enabled") is True and row.draft and not row.enabled:
            raise errors.bad_input(_OPEN_DRAFT, "enabled")
        staged = _to_draft(call, row, body)
        _check_base(row, body, staged=staged)
        if staged:
            stage_draft(row, checked, set(body) & set(CONTENT), call.now)
            _metadata(call, row, fields)
            return Answer(detail(call, row))
    before = snapshot(row)
    _reorder(call, row, fields)
    was_on = row.enabled
    write(row, checked)
    if row.enabled and not was_on and row.state == _WATCHER_DISABLED:
        row.state = _DEGRADED
    row.updated_at = call.now
    if site.newer and comparable(snapshot(row)) != comparable(before):
        _revisions.keep(call, row, before, snapshot(row))
    return Answer(detail(call, row))


def write(row: HogFunction, checked: Checked) -> None:
    """Write a checked body into a row."""
    for name, value in checked.fields.items():
        if name != "template_id" or row.template_id is None:
            setattr(row, name, copy.deepcopy(value))
    row.secrets = copy.deepcopy(checked.secrets)


def _metadata(call: Call, row: HogFunction, fields: dict[str, Any]) -> None:
    """Beside a staged edit, names and switches of the same request apply at once."""
    names = ("name", "description", "icon_url", "enabled", "deleted", "execution_order")
    for name in fields.keys() & set(names):
        setattr(row, name, fields[name])
        row.updated_at = call.now


def _to_draft(call: Call, row: HogFunction, body: dict[str, Any]) -> bool:
    """An agent's edit of a running destination waits for a person to publish it."""
    return (
        call.agent and row.enabled and row.type == "destination" and bool(set(body) & set(CONTENT))
    )


def _check_base(row: HogFunction, body: dict[str, Any], *, staged: bool) -> None:
    base = body.get("base_updated_at")
    if base is None:
        return
    moment = time(base, "base_updated_at")
    guard = (row.draft_updated_at or row.updated_at) if staged else row.updated_at
    if guard > moment:
        raise errors.conflict("stale_update", STALE)


def _reorder(call: Call, row: HogFunction, fields: dict[str, Any]) -> None:
    """A transformation that comes back goes to the end."""
    if row.type not in _SEQUENTIAL:
        return
    restored = row.deleted and fields.get("deleted") is False
    switched = not row.enabled and fields.get("enabled") and "execution_order" not in fields
    if restored or switched:
        fields["execution_order"] = _last_order(call, row) + 1


def _last_order(call: Call, row: HogFunction) -> int:
    orders = [peer.execution_order or 0 for peer in live(call) if peer.type == row.type]
    return max(orders, default=0)


def _refuse_forms(call: Call) -> None:
    """Older servers cannot change a form's immutable body, and crash over it."""
    media_type = call.headers.get("content-type", "")
    if not call.site.newer and media_type.startswith(
        ("application/x-www-form-urlencoded", "multipart/form-data")
    ):
        raise errors.server_error()
