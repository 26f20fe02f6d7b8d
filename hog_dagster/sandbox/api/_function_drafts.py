"""Drafts and revisions of hog functions (newer servers): publish, discard, restore.

Facts: PostHog's hog function view. A publish is previewed first; the preview's token names both
sides and lives 15 minutes; a disabled function can be published without it.
"""

import copy
from datetime import datetime
from typing import Any

from hog_dagster.sandbox.api import _revisions, errors
from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.api._confirmation import previewed_by, sign
from hog_dagster.sandbox.api._function_rows import CONTENT, detail, find
from hog_dagster.sandbox.api._function_validation import Checked, check_function
from hog_dagster.sandbox.world import HogFunction

_NOTHING = dict.fromkeys(
    ("published", "draft_updated_at", "confirm_token", "changed_fields", "function")
)
STALE = (
    "This function changed since you previewed the publish, either the draft or the live config. "
    "Preview again to see where things stand now."
)
_PREVIEW = "Call publish without confirm first to see what would change and get a token."


def snapshot(row: HogFunction) -> dict[str, Any]:
    """The live configuration, without secrets."""
    return copy.deepcopy({name: getattr(row, name) for name in CONTENT})


def comparable(content: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what validation derives from it."""
    filters = content.get("filters")
    masking = content.get("masking")
    return {
        **content,
        "filters": _without(filters, "bytecode", "bytecode_error", "transpiled"),
        "inputs": {
            key: _without(value, "bytecode", "transpiled", "order")
            for key, value in (content.get("inputs") or {}).items()
        },
        "masking": _without(masking, "bytecode"),
    }


def _without(value: Any, *names: str) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if key not in names}


def stage_draft(row: HogFunction, checked: Checked, sent: set[str], now: datetime) -> None:
    """Put an edit into the draft: a full configuration, live at its base."""
    draft = {**snapshot(row), **(row.draft or {})}
    for name in sent:
        if name in checked.fields:
            draft[name] = copy.deepcopy(checked.fields[name])
    held = row.draft_secrets or {}
    if "inputs" in sent:
        held = {
            key: value if key in checked.supplied or key not in held else held[key]
            for key, value in checked.secrets.items()
        }
    row.draft, row.draft_updated_at, row.draft_secrets = draft, now, held or None


def publish(call: Call) -> Answer:
    """POST {id}/publish/: preview, then with ``confirm`` and the preview's token, apply."""
    body, row = call.object(), find(call)
    if not row.draft:
        raise errors.bad_input("This function has no staged draft to publish.")
    if not body.get("confirm"):
        preview = {"draft_updated_at": row.draft_updated_at, "changed_fields": _changed(row)}
        token = sign(call, _signed(row))
        return Answer({**_NOTHING, "published": False, **preview, "confirm_token": token})
    if row.enabled:
        signed = previewed_by(
            call,
            body,
            missing=f"Required when confirming a publish. {_PREVIEW}",
            expired="Expired. Preview the publish again to get a fresh token.",
            forged=f"Invalid. {_PREVIEW}",
        )
        if signed != _signed(row):
            raise errors.conflict("stale_update", STALE)
    before = snapshot(row)
    row.secrets = {**row.secrets, **(row.draft_secrets or {})}
    checked = check_function(dict(row.draft), row, newer=True, peers=[], create=False)
    for name in (*CONTENT, "bytecode", "transpiled"):
        if name in checked.fields:
            setattr(row, name, checked.fields[name])
    row.secrets = checked.secrets
    row.draft = row.draft_updated_at = row.draft_secrets = None
    row.updated_at = call.now
    if comparable(snapshot(row)) != comparable(before):
        _revisions.keep(call, row, before, snapshot(row))
    return Answer({**_NOTHING, "published": True, "function": detail(call, row)})


def discard_draft(call: Call) -> Answer:
    """POST {id}/discard_draft/: idempotent."""
    row = find(call)
    row.draft = row.draft_updated_at = row.draft_secrets = None
    return Answer(detail(call, row))


def list_revisions(call: Call) -> Answer:
    """GET {id}/revisions/: newest first."""
    return _revisions.list_page(call, find(call))


def retrieve_revision(call: Call) -> Answer:
    """GET {id}/revisions/{version}/."""
    return _revisions.retrieve(call, find(call), "function")


def restore_revision(call: Call) -> Answer:
    """POST {id}/revisions/{version}/restore/: into the draft, not into what runs."""
    row = find(call)
    _revisions.restore(call, row, "function")
    row.draft_secrets = None
    return Answer(detail(call, row))


def _changed(row: HogFunction) -> list[str]:
    live, draft = comparable(snapshot(row)), comparable(row.draft or {})
    changed = [name for name in CONTENT if draft.get(name) != live.get(name)]
    staged = row.draft_secrets or {}
    if "inputs" not in changed and any(row.secrets.get(key) != staged[key] for key in staged):
        changed.append("inputs")
    return sorted(changed)


def _signed(row: HogFunction) -> str:
    """Both sides of a publish."""
    return f"{row.id}:{row.draft_updated_at}:{row.updated_at}"
