"""The catalog of saved insights as a table, deletions seen.

Facts: `GET /insights/?basic=true&order=id` lists 500 light rows a request and never a deleted one;
tags, dashboards and refreshes do not move `last_modified_at`, so only a whole listing is exact.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import dagster as dg

from hog_dagster._dagster.failures import dagster_failures
from hog_dagster._shared.secrets import without_secrets
from hog_dagster.assets import _loading as loading
from hog_dagster.assets._insight_tables import INSIGHTS
from hog_dagster.assets._project_hosts import opened_with
from hog_dagster.assets._shared_reads import insights_of
from hog_dagster.lineage import AssetOptions
from hog_dagster.posthog.models import Insight, User
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import Warehouse
from hog_dagster.warehouse.errors import TableMissing

__all__ = ["build_insights_asset"]


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
    table = INSIGHTS

    @loading.table_assets(
        options,
        name="posthog_insights",
        specs=[loading.table_spec(table, options, group="insights")],
    )
    def insights(
        context: dg.AssetExecutionContext, posthog: PostHogResource, warehouse: WarehouseResource
    ) -> dg.MaterializeResult:
        project = int(posthog.project_id)
        first = partial(_loaded, project_id=project)
        with dagster_failures(), opened_with(warehouse, posthog, first) as (opened, before):
            client = posthog.client
            requests, started = client.requests_made, time.monotonic()
            listed = insights_of(client)
            now = [_row(insight, posthog.project_url) for insight in listed]
            changes = _changes(now, before, loading.server_now(client))
            # Rows equal to what was loaded are left alone: their _loaded_at says when they last
            # moved.
            with opened.loading():
                load = opened.upsert(
                    table, loading.arrow_batches(table, changes["write"], project_id=project)
                )
                seconds = time.monotonic() - started
                metadata = loading.result_metadata(
                    table,
                    loading.Loaded(load, client.requests_made - requests, seconds),
                    warehouse=opened,
                    posthog=posthog,
                    url=f"{posthog.project_url}/saved_insights",
                    shown=loading.preview(
                        opened, table, project_id=project, order_by="-last_modified_at"
                    ),
                    rows_key="posthog/rows_written",
                )
            counts = {name: len(rows) for name, rows in changes.items() if name != "write"}
            context.log.info(f"{len(listed)} saved insights: {counts}")
            return dg.MaterializeResult(
                metadata={
                    **metadata,
                    "dagster/row_count": len(listed),
                    **{f"posthog/{name}": count for name, count in counts.items()},
                }
            )

    return insights


def _loaded(warehouse: Warehouse, project_id: int) -> dict[int, dict[str, Any]]:
    """The rows as they were loaded before, by insight."""
    try:
        found = warehouse.read(INSIGHTS, scope={"project_id": project_id})
    except TableMissing:
        return {}
    return {row["id"]: row for row in found.to_pylist()}


def _changes(
    now: Sequence[Mapping[str, Any]],
    before: Mapping[int, Mapping[str, Any]],
    seen_at: datetime,
) -> dict[str, list[Mapping[str, Any]]]:
    """What is new, changed, unchanged and gone; and all the rows to write."""
    sorted_out: dict[str, list[Mapping[str, Any]]] = {
        "added": [],
        "changed": [],
        "unchanged": [],
        "deleted": [],
    }
    for row in now:
        old = before.get(row["id"])
        if old is None:
            sorted_out["added"].append(row)
        elif all(_stored(row[name]) == old[name] for name in row):
            sorted_out["unchanged"].append(row)
        else:
            sorted_out["changed"].append(row)
    here = {row["id"] for row in now}
    for ident, old in before.items():
        if ident not in here and old["deleted_seen_at"] is None:
            gone = {k: v for k, v in old.items() if k not in ("project_id", "_loaded_at")}
            sorted_out["deleted"].append(gone | {"deleted_seen_at": seen_at})
    sorted_out["write"] = [
        *sorted_out["added"],
        *sorted_out["changed"],
        *sorted_out["deleted"],
    ]
    return sorted_out


def _stored(value: Any) -> Any:
    """A cell as the warehouse gives it back: lists and objects as JSON text."""
    return loading.json_text(value) if isinstance(value, (dict, list)) else value


def _email(user: Any) -> str | None:
    return user.email if isinstance(user, User) else None


def _row(insight: Insight, project_url: str) -> dict[str, Any]:
    return {
        "id": insight.id,
        "short_id": insight.short_id,
        "name": insight.name or insight.derived_name,
        "description": insight.description and without_secrets(insight.description),
        "kind": insight.kind,
        "tags": sorted(insight.tags),
        "dashboards": insight.dashboard_ids,
        "favorited": insight.favorited,
        "created_by_email": _email(insight.created_by),
        "created_at": insight.created_at,
        "last_modified_by_email": _email(insight.last_modified_by),
        "last_modified_at": insight.last_modified_at,
        "last_refresh": insight.last_refresh,
        "url": f"{project_url}/insights/{insight.short_id or insight.id}",
        "query": insight.query,
        "deleted_seen_at": None,
        "_raw": insight.model_extra or None,
    }
