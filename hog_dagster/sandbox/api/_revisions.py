"""Revisions of workflows and hog functions (newer servers): kept, listed, put into a draft."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call, fields
from hog_dagster.sandbox.api._paging import page
from hog_dagster.sandbox.world import HogFunction, Revision, Workflow

R = TypeVar("R", Workflow, HogFunction)
_SHORT = "version created_at created_by"


def keep(call: Call, row: R, before: Any, after: Any) -> None:
    """Count the version up and keep both sides of the first tracked change, then each new one."""
    if not row.revisions:
        row.revisions.append(Revision(version=row.version, created_at=call.now, content=before))
    row.version += 1
    made = Revision(version=row.version, created_at=call.now, content=after)
    made.created_by = call.site.world.user
    row.revisions.append(made)


def list_page(call: Call, row: R, maximum: int | None = None) -> Answer:
    """Newest first, without content."""
    rows = [fields(item, _SHORT) for item in reversed(row.revisions)]
    return page(call, rows, maximum=maximum)


def retrieve(
    call: Call, row: R, noun: str, shown: Callable[[Any], Any] = lambda content: content
) -> Answer:
    """One revision, with its content."""
    item = _find(call, row, noun)
    return Answer({**fields(item, _SHORT), "content": shown(item.content)})


def restore(call: Call, row: R, noun: str) -> None:
    """Put a revision into the draft, not into what runs."""
    item = _find(call, row, noun)
    if row.draft and not call.object().get("overwrite"):
        raise errors.conflict(
            "draft_exists",
            f"This {noun} has an open draft. Publish or discard it first, or pass overwrite=true "
            "to replace it with the restored revision.",
        )
    row.draft, row.draft_updated_at = copy.deepcopy(item.content), call.now


def _find(call: Call, row: R, noun: str) -> Revision:
    for item in row.revisions:
        if str(item.version) == call.args["version"]:
            return item
    raise errors.not_found(f"No such revision for this {noun}.")
