"""Drafts and revisions of hog functions (newer servers): publish, discard, restore.

Facts: PostHog's hog function view. A publish is previewed first; the preview's token names both
sides and lives 15 minutes; a disabled function can be published without it.
"""

import copy
import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.api._function_rows import CONTENT, detail, find
from hog_dagster.sandbox.api._function_validation import Checked, check_function
from hog_dagster.sandbox.api._paging import page
from hog_dagster.sandbox.world import HogFunction, Revision, User

__all__ = [
    "STALE",
    "comparable",
    "discard_draft",
    "keep_revision",
    "list_revisions",
    "publish",
    "restore_revision",
    "retrieve_revision",
    "snapshot",
    "stage_draft",
]

TOKEN_LIVES = timedelta(minutes=15)
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


def keep_revision(row: HogFunction, before: dict[str, Any], now: datetime, user: User) -> None:
    """Count the version up and keep both sides of the first tracked change, then each new one."""
    if not row.revisions:
        row.revisions.append(Revision(version=row.version, created_at=now, content=before))
    row.version += 1
    row.revisions.append(
        Revision(version=row.version, created_at=now, content=snapshot(row), created_by=user)
    )


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
        return Answer(
            {
                "published": False,
                "draft_updated_at": row.draft_updated_at,
                "confirm_token": _token(call, row, call.now),
                "changed_fields": _changed(row),
                "function": None,
            }
        )
    if row.enabled:
        _check_token(call, row, body.get("confirm_token"))
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
        keep_revision(row, before, call.now, call.site.world.user)
    return Answer(
        {
            "published": True,
            "draft_updated_at": None,
            "confirm_token": None,
            "changed_fields": None,
            "function": detail(call, row),
        }
    )


def discard_draft(call: Call) -> Answer:
    """POST {id}/discard_draft/: idempotent."""
    row = find(call)
    row.draft = row.draft_updated_at = row.draft_secrets = None
    return Answer(detail(call, row))


def list_revisions(call: Call) -> Answer:
    """GET {id}/revisions/: newest first."""
    row = find(call)
    shown = [_revision(item) for item in reversed(row.revisions)]
    return page(call, shown)


def retrieve_revision(call: Call) -> Answer:
    """GET {id}/revisions/{version}/."""
    item = _find_revision(call, find(call))
    return Answer({**_revision(item), "content": item.content})


def restore_revision(call: Call) -> Answer:
    """POST {id}/revisions/{version}/restore/: into the draft, not into what runs."""
    body, row = call.object(), find(call)
    item = _find_revision(call, row)
    if row.draft and not body.get("overwrite"):
        raise errors.conflict(
            "draft_exists",
            "This function has an open draft. Publish or discard it first, or pass overwrite=true "
            "to replace it with the restored revision.",
        )
    row.draft, row.draft_updated_at = copy.deepcopy(item.content), call.now
    row.draft_secrets = None
    return Answer(detail(call, row))


def _find_revision(call: Call, row: HogFunction) -> Revision:
    text = call.args["version"]
    for item in row.revisions:
        if text.isdigit() and item.version == int(text):
            return item
    raise errors.not_found("No such revision for this function.")


def _revision(item: Revision) -> dict[str, Any]:
    return {
        "version": item.version,
        "created_at": item.created_at,
        "created_by": item.created_by,
    }


def _changed(row: HogFunction) -> list[str]:
    live, draft = comparable(snapshot(row)), comparable(row.draft or {})
    changed = [name for name in CONTENT if draft.get(name) != live.get(name)]
    staged = row.draft_secrets or {}
    if "inputs" not in changed and any(row.secrets.get(key) != staged[key] for key in staged):
        changed.append("inputs")
    return sorted(changed)


def _token(call: Call, row: HogFunction, at: datetime) -> str:
    stamp = int(at.timestamp())
    head = f"{row.id}:{row.draft_updated_at}:{row.updated_at}:{stamp}"
    secret = f"sandbox:{call.site.seed}".encode()
    return f"{stamp}:{hmac.new(secret, head.encode(), hashlib.sha256).hexdigest()[:43]}"


def _check_token(call: Call, row: HogFunction, token: Any) -> None:
    if not token:
        raise errors.bad_input(f"Required when confirming a publish. {_PREVIEW}", "confirm_token")
    stamp = str(token).split(":")[0]
    if not stamp.isdigit():
        raise errors.bad_input(f"Invalid. {_PREVIEW}", "confirm_token")
    at = datetime.fromtimestamp(int(stamp), call.now.tzinfo)
    if call.now - at > TOKEN_LIVES:
        raise errors.bad_input(
            "Expired. Preview the publish again to get a fresh token.", "confirm_token"
        )
    if not hmac.compare_digest(str(token), _token(call, row, at)):
        raise errors.conflict("stale_update", STALE)
