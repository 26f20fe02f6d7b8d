"""Sent messages of a workflow or a person: the lists and the bodies.

Facts: PostHog's message assets. One row per run and step, the newest; filters, the window among
them, act on raw rows before that collapse. A bare array: no count, no link. The newest builds order
messages of one moment by run and step; older ones leave them in no order, do not name the workflow,
and read the wildcards of a search.
"""

from collections.abc import Callable, Iterable
from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call, fields
from hog_dagster.sandbox.api._fields import integer_param
from hog_dagster.sandbox.api._metrics import window
from hog_dagster.sandbox.api._workflows import find
from hog_dagster.sandbox.world import AssetRow, ilike

_OLDER = (
    "invocation_id action_id parent_run_id kind distinct_id person_id recipient subject status "
    "sent_at"
)
_NEWER = _OLDER.replace("parent_run_id", "function_id function_name parent_run_id")


def assets(call: Call) -> Answer:
    """GET hog_flows/{id}/assets/: newest first, 50 unless asked, 500 at most, then `offset`."""
    workflow = find(call, leaky=False)
    return _listed(call, [workflow.id], lambda row: _meant(call, row), tied=False)


def person_emails(call: Call) -> Answer:
    """GET persons/{id}/emails/: of all workflows, in no order among equal times."""
    id, world = call.args["id"], call.site.world
    known = any(person.id == id for person in world.people)
    if not known and id not in world.persons:
        raise errors.not_found()
    sources = [*world.assets.sources()]
    return _listed(call, sources, lambda row: row.person_id == id, tied=True)


def _listed(
    call: Call, sources: Iterable[str], meant: Callable[[AssetRow], bool], *, tied: bool
) -> Answer:
    """The messages of some workflows: cut to the window, then collapsed, then paged."""
    limit = integer_param(call, "limit", 50, 1, 500)
    offset = integer_param(call, "offset", 0, 0)
    world, bounds = call.site.world, window(call, "-30d", newer=True)
    newest: dict[str, AssetRow] = {}
    for source in sources:
        for row in world.assets.rows(source, now=call.now, **bounds):
            if meant(row) and (row.key not in newest or row.version > newest[row.key].version):
                newest[row.key] = row
    older = world.mail.assets_build != "september"
    found = sorted(newest.values(), key=lambda row: (row.invocation_id, row.action_id))
    if call.site.shuffle_ties and (older or tied):
        world.ids.random.shuffle(found)
    found.sort(key=lambda row: row.sent_at, reverse=True)
    return Answer([_shown(call, row, older=older) for row in found[offset : offset + limit]])


def asset_content(call: Call) -> Answer:
    """GET hog_flows/{id}/assets/content/: the body of the newest row of one step of a run."""
    workflow = find(call, leaky=False)
    invocation = call.param("invocation_id")
    if not invocation:
        raise errors.required("invocation_id")
    key = f"{invocation}/{call.param('action_id') or ''}"
    rows = call.site.world.assets.rows(workflow.id, now=call.now, key=key)
    if not rows:
        raise errors.not_found("Asset content is no longer available.")
    body = max(rows, key=lambda row: row.version).body
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": "sandbox",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return Answer(body.encode(), headers=headers)


def _meant(call: Call, row: AssetRow) -> bool:
    runs = call.params("parent_run_id")
    if runs and row.parent_run_id != runs[-1]:
        return False
    for name in ("action_id", "invocation_id", "distinct_id"):
        wanted = call.param(name)
        if wanted and getattr(row, name) != wanted:
            return False
    part = (call.param("search") or "").lower()
    if call.site.world.mail.assets_build == "september":
        return not part or part in row.recipient.lower() or part in row.subject.lower()
    pattern = ilike(part)
    return any(pattern.search(text) for text in (row.recipient, row.subject))


def _shown(call: Call, row: AssetRow, *, older: bool) -> dict[str, Any]:
    if older:
        return fields(row, _OLDER, status="sent")
    workflow = call.site.world.workflows.get(row.function_id)
    return fields(
        row, _NEWER, status="sent", function_name=(workflow.name if workflow else "") or ""
    )
