"""The table `workflow_activity`: who changed which workflow, and what.

Facts: PostHog's activity log tells who by REST alone (on Cloud a paid feature, with look-back by
plan); what and when also by HogQL. An entry that PostHog could not write is missing.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

import dagster as dg

from hog_dagster.assets import _loading as loading
from hog_dagster.assets._message_tables import PERSONAL, WORKFLOW_ACTIVITY
from hog_dagster.assets._recipients import Recipients
from hog_dagster.assets._redact import redact_definition
from hog_dagster.assets._shared_reads import workflows_of
from hog_dagster.assets._steps import Results, Row, Step, snapshot_step
from hog_dagster.assets._workflow_tables import WORKFLOWS
from hog_dagster.lineage import AssetOptions, WorkflowSelection
from hog_dagster.policies import RecipientPolicy
from hog_dagster.posthog import errors, instant
from hog_dagster.posthog.models import ActivityEntry

#: Entries are written a little after the change that they are about.
_OVERLAP = timedelta(hours=1)
_NAME = "hog_dagster workflow_activity"


def build_workflow_activity_asset(
    *,
    options: AssetOptions | None = None,
    selection: WorkflowSelection | None = None,
    recipients: RecipientPolicy = "hash",
    name: str = "posthog_workflow_activity",
) -> dg.AssetsDefinition:
    """The asset `workflow_activity`: a row per change of a workflow.

    Needs the resources `posthog` (scope activity_log:read; else query:read, which does not tell
    who) and `warehouse`. Requests: one per 1,000 entries since the newest that was loaded. Entries
    that were loaded stay when PostHog shows them no more.

    Args:
        options: how the asset looks.
        selection: which workflows; all by default. Entries of deleted ones come always.
        recipients: what becomes of users' names and addresses, and of the values that changed:
            `hash`, `keep` or `drop`.
        name: of the step.

    Returns:
        The assets definition.
    """
    options, selection = options or AssetOptions(), selection or WorkflowSelection()

    @snapshot_step(
        options,
        {WORKFLOW_ACTIVITY: [WORKFLOWS]},
        group="messaging",
        name=name,
        metadata=lambda table: {
            "posthog/recipients": recipients,
            "posthog/personal_data": PERSONAL[table.name],
        },
    )
    def workflow_activity(step: Step) -> Results:
        left_out = {one.id for one in workflows_of(step.client) if one not in selection}
        people = Recipients(recipients, step.project)
        entries = _entries(step, *_loaded(step))
        rows = (_row(one, people) for one in entries if str(one.item_id or "") not in left_out)
        yield step.load(WORKFLOW_ACTIVITY, rows, upsert=True, order_by="-at")

    return workflow_activity


def _loaded(step: Step) -> tuple[datetime | None, set[str]]:
    """When the newest entry that was loaded was made, and the ids of all."""
    read = partial(loading.rows_before, step.warehouse, WORKFLOW_ACTIVITY, scope=step.scope)
    with step.warehouse.reading():
        newest = read(columns=["at"], order_by="-at", limit=1)
        ids = read(columns=["id"])
    return (newest[0]["at"] if newest else None), {row["id"] for row in ids}


def _entries(step: Step, newest: datetime | None, known: set[str]) -> Iterator[ActivityEntry]:
    """Entries since the newest: with who did it, or without where key or plan hide that."""
    since = None if newest is None else newest - _OVERLAP
    try:
        yield from step.client.activity.list(after=since)
        return
    except (errors.PermissionDenied, errors.EndpointMissing) as error:
        step.warn(f"Who made the changes is not known: {error}")
    # What was loaded with its user is not replaced by the same without.
    after = "" if since is None else f" AND created_at >= {instant(since)}"
    sql = (
        "SELECT created_at AS moment, toString(id) AS entry, activity, item_id, detail "  # noqa: S608
        f"FROM system.activity_logs WHERE scope = 'HogFlow'{after}"
    )
    try:
        for page in step.client.query.pages(sql, key=["moment", "entry"], name=_NAME):
            for values in page.rows:
                row = dict(zip(page.columns, values, strict=True))
                if row["entry"] not in known:
                    yield _entry(row)
    except (errors.PermissionDenied, errors.EndpointMissing, errors.InvalidRequest) as error:
        step.warn(f"Not read, what was loaded earlier stays: {error}")


def _entry(row: Row) -> ActivityEntry:
    detail = row["detail"]
    return ActivityEntry.model_validate(
        {
            "id": row["entry"],
            "activity": row["activity"],
            "item_id": row["item_id"],
            "detail": json.loads(detail) if isinstance(detail, str) else detail or {},
            "created_at": row["moment"],
        }
    )


def _row(entry: ActivityEntry, people: Recipients) -> Row:
    changes = [one for one in entry.detail.get("changes") or () if isinstance(one, dict)]
    user = entry.user
    address = user.email if user is not None else None
    names = [] if user is None else [user.first_name, getattr(user, "last_name", None)]
    columns = people.columns(address)
    return {
        "id": str(entry.id or f"{entry.item_id} {entry.activity} {entry.created_at.isoformat()}"),
        "workflow_id": None if entry.item_id is None else str(entry.item_id),
        "workflow_name": entry.detail.get("name") or None,
        "activity": entry.activity,
        "at": entry.created_at,
        "changed": sorted({str(one.get("field")) for one in changes if one.get("field")}),
        "changes": people.if_kept([_change(one) for one in changes]),
        "user_hash": columns["recipient_hash"],
        "user_email": columns["recipient"],
        "user_name": people.if_kept(" ".join(name for name in names if name) or None),
        "is_system": entry.is_system,
        "trigger": redact_definition(entry.detail.get("trigger")),
    }


def _change(change: Row) -> Row:
    """A change without the values of inputs; the field's name says what they are values of."""
    field = str(change.get("field"))
    values = {name: {field: change[name]} for name in ("before", "after") if name in change}
    return {"field": field, "action": change.get("action"), **redact_definition(values)}
