"""The catalog of saved insights as a table, deletions seen.

Facts: `GET /insights/?basic=true&order=id` lists 500 light rows a request and never a deleted one;
tags, dashboards and refreshes do not move `last_modified_at`, so only a whole listing is exact.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from hog_dagster._shared.secrets import without_secrets
from hog_dagster.assets import _loading as loading
from hog_dagster.assets._insight_tables import INSIGHTS
from hog_dagster.assets._shared_reads import insights_of
from hog_dagster.assets._steps import Results, Row, Step, snapshot_step
from hog_dagster.lineage import AssetOptions
from hog_dagster.posthog.models import Insight, User


def build_insights_asset(*, options: AssetOptions | None = None) -> dg.AssetsDefinition:
    """The asset `insights`: one row per saved insight, those deleted since included.

    Needs the resources `posthog` (scope insight:read) and `warehouse`. Requests: one per 500
    insights. Only rows that changed since the last run are written; an insight that is gone keeps
    its row, with the moment its absence was first seen.

    Args:
        options: how the asset looks.

    Returns:
        The assets definition.
    """
    options = options or AssetOptions()

    @snapshot_step(
        options, {INSIGHTS: []}, group="insights", name="posthog_insights", first=_loaded
    )
    def insights(step: Step) -> Results:
        listed = insights_of(step.client)
        now = [_row(insight, step.posthog.project_url) for insight in listed]
        # Rows equal to what was loaded are left alone: their _loaded_at says when they last moved.
        changes = _changes(now, step.first, loading.server_now(step.client))
        written = [row for what, rows in changes.items() if what != "unchanged" for row in rows]
        counts = {what: len(rows) for what, rows in changes.items()}
        step.context.log.info(f"{len(listed)} saved insights: {counts}")
        yield step.load(
            INSIGHTS,
            written,
            upsert=True,
            url=f"{step.posthog.project_url}/saved_insights",
            order_by="-last_modified_at",
            rows_key="posthog/rows_written",
            numbers=lambda _: {
                "dagster/row_count": len(listed),
                **{f"posthog/{what}": count for what, count in counts.items()},
            },
        )

    return insights


def _loaded(step: Step) -> dict[int, dict[str, Any]]:
    """The rows as they were loaded before, by insight."""
    found = loading.rows_before(step.warehouse, INSIGHTS, scope=step.scope)
    return {row["id"]: row for row in found}


def _changes(
    now: Sequence[Row], before: Mapping[int, Row], seen_at: datetime
) -> dict[str, list[Row]]:
    """The rows that are new, changed, unchanged and gone."""
    changes: dict[str, list[Row]] = {"added": [], "changed": [], "unchanged": [], "deleted": []}
    for row in now:
        old = before.get(row["id"])
        if old is None:
            changes["added"].append(row)
        else:
            same = all(_stored(row[name]) == old[name] for name in row)
            changes["unchanged" if same else "changed"].append(row)
    here = {row["id"] for row in now}
    for ident, old in before.items():
        if ident not in here and old["deleted_seen_at"] is None:
            gone = {k: v for k, v in old.items() if k not in ("project_id", "_loaded_at")}
            changes["deleted"].append(gone | {"deleted_seen_at": seen_at})
    return changes


def _stored(value: Any) -> Any:
    """A cell as the warehouse gives it back: lists and objects as JSON text."""
    return loading.json_text(value) if isinstance(value, (dict, list)) else value


def _email(user: Any) -> str | None:
    return user.email if isinstance(user, User) else None


def _row(insight: Insight, project_url: str) -> dict[str, Any]:
    return loading.row_of(
        INSIGHTS,
        insight,
        name=insight.name or insight.derived_name,
        description=insight.description and without_secrets(insight.description),
        tags=sorted(insight.tags),
        dashboards=insight.dashboard_ids,
        created_by_email=_email(insight.created_by),
        last_modified_by_email=_email(insight.last_modified_by),
        url=f"{project_url}/insights/{insight.short_id or insight.id}",
        deleted_seen_at=None,
        _raw=insight.model_extra or None,
    )
