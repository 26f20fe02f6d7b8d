"""Which workflows and hog functions a partition is read of: from the catalog where that is enough.

Facts: a listing that was made after a window ended names everything that can have run in it, so the
table that the catalog's asset loaded then tells as much as PostHog would, without a request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg

from hog_dagster.assets._log_sources import LogSource, Source
from hog_dagster.assets._workflow_tables import WORKFLOW_BATCH_JOBS
from hog_dagster.lineage import AssetOptions
from hog_dagster.posthog import PostHogClient
from hog_dagster.warehouse import Table, Warehouse, Window
from hog_dagster.warehouse.errors import WarehouseError

_AT, _WHAT = "posthog/listed_at", "posthog/listed"


def listing_metadata(
    listed_at: datetime, chosen: str, project_id: int, warehouse: Warehouse
) -> dict[str, Any]:
    """What a catalog's materialization says, so that others may rely on its table."""
    return {
        _AT: dg.MetadataValue.timestamp(listed_at),
        _WHAT: _what(chosen, project_id, warehouse),
    }


@dataclass(frozen=True)
class Listed:
    """What the catalog's tables tell of the workflows or functions that some windows are read of:
    those, and batch job id -> id of its workflow; None where PostHog has to be asked."""

    sources: Sequence[Source] | None = None
    jobs: Mapping[str, str] | None = None

    def sources_of(self, client: PostHogClient, log_source: LogSource) -> Sequence[Source]:
        """Those that are read; PostHog is asked once a run."""
        return log_source.sources(client) if self.sources is None else self.sources


def listed(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext,
    client: PostHogClient,
    warehouse: Warehouse,
    log_source: LogSource,
    options: AssetOptions,
    windows: Mapping[str, Window],
) -> Listed:
    """What the catalog's tables tell, where their asset listed the same selection after the last of
    the windows had ended. Nothing is asked of PostHog."""
    if not windows:
        return Listed()
    ended = max(window.end for window in windows.values())
    project = int(client.project_id)

    def rows(table: Table, names: Sequence[str], only: Mapping[str, Any]) -> Any:
        event = context.instance.get_latest_materialization_event(options.key(table.name))
        found = event.asset_materialization if event is not None else None
        at, what = (found.metadata.get(key) if found else None for key in (_AT, _WHAT))
        if not isinstance(at, dg.TimestampMetadataValue) or what is None:
            return None
        if at.value < ended.timestamp() or what.value != _what(
            log_source.chosen, project, warehouse
        ):
            return None
        try:
            scope = {"project_id": project, **only}
            return warehouse.read(table, columns=["id", *names], scope=scope).to_pylist()
        except WarehouseError:
            return None

    catalog = rows(log_source.catalog, _COLUMNS[log_source.catalog.name], {"deleted_seen_at": None})
    if catalog is None:
        return Listed()
    jobs = rows(WORKFLOW_BATCH_JOBS, ["workflow_id"], {}) if log_source.kind == "hog_flow" else None
    return Listed(
        log_source.loaded(catalog),
        None if jobs is None else {row["id"]: row["workflow_id"] for row in jobs},
    )


_COLUMNS = {
    "workflows": ("name", "trigger_type", "updated_at"),
    "hog_functions": ("name", "type", "enabled", "updated_at"),
}


def _what(chosen: str, project_id: int, warehouse: Warehouse) -> str:
    return f"project {project_id} in {warehouse.location}; {chosen}"
