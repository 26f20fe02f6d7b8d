"""The table `group_pushes`: what was pushed to which group, and what may still be on its way."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from hog_dagster.actions import PushedGroup
from hog_dagster.assets import _loading as loading
from hog_dagster.assets._group_tables import GROUP_PUSHES
from hog_dagster.posthog import PostHogClient
from hog_dagster.warehouse import Warehouse
from hog_dagster.warehouse.errors import TableMissing

__all__ = ["pending_pushes", "record_pushes"]


def record_pushes(
    client: PostHogClient,
    warehouse: Warehouse,
    pushed: Sequence[PushedGroup],
    way: str,
    *,
    project_id: int,
    group_type: str,
    group_type_index: int,
    run_id: str,
) -> None:
    """Write down what became of groups that were pushed by the way `api` or `ingestion`."""
    moment = loading.server_now(client)
    rows: Iterator[dict[str, Any]] = (
        {
            "group_type_index": group_type_index,
            "group_type": group_type,
            "group_key": one.change.key,
            "properties": dict(one.change.set),
            "removed": list(one.change.unset),
            "way": way,
            "outcome": one.result,
            "said": one.said or None,
            "sent_at": moment,
            "run_id": run_id,
        }
        for one in pushed
    )
    warehouse.upsert(GROUP_PUSHES, loading.arrow_batches(GROUP_PUSHES, rows, project_id=project_id))


def pending_pushes(
    warehouse: Warehouse, project_id: int, group_type_index: int, since: datetime
) -> dict[str, Mapping[str, Any]]:
    """What was sent in bulk since then, by group key: PostHog may not have processed it yet."""
    scope = {
        "project_id": project_id,
        "group_type_index": group_type_index,
        "way": "ingestion",
    }
    columns = ["group_key", "properties", "sent_at"]
    found: dict[str, Mapping[str, Any]] = {}
    try:
        for row in _rows(warehouse.read_batches(GROUP_PUSHES, columns=columns, scope=scope)):
            if row["sent_at"] >= since:
                found[row["group_key"]] = json.loads(row["properties"] or "{}")
    except TableMissing:
        return {}
    return found


def _rows(batches: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for batch in batches:
        yield from batch.to_pylist()
