"""Small tables for Dagster's pages: which workflows or functions fail most, and which runs wait.

Facts: Dagster shows table metadata in place, values must be plain; ids say nothing to people, so
names are taken from the catalog as it was loaded.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import dagster as dg

from hog_dagster.assets._error_groups import joined
from hog_dagster.assets._function_tables import HOG_FUNCTIONS
from hog_dagster.assets._loading import rows_before, table_value
from hog_dagster.assets._owner_names import owner_of
from hog_dagster.assets._summary import OF_RUNS, Measure, success_rate, summed
from hog_dagster.assets._workflow_tables import BLOCKED_RUNS, WORKFLOWS
from hog_dagster.warehouse import Table, Warehouse, Window

_MOST = 10


def by_owner(
    measure: Measure,
    warehouse: Warehouse,
    table: Table,
    windows: Iterable[Window],
    scope: Mapping[str, Any],
) -> dg.TableMetadataValue | None:
    """The workflows or functions with most failures in the windows, by name; None without any."""
    owner, what = owner_of(table)
    column, kinds = measure.kinds
    columns = [owner, column, *(["level"] if "level" in table and column != "level" else [])]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for window in joined(windows):
        only = {**scope, column: list(kinds)}
        for row, value in summed(warehouse, table, columns, measure.value, window, only):
            id, kind, *level = row
            if kind not in OF_RUNS or level != ["action"]:
                counts[id][kinds[kind]] += value
    if not counts:
        return None
    seen = {name for of in counts.values() for name, count in of.items() if count}
    shown = [name for name in measure.ranked if name in seen]
    names = names_of(warehouse, table, scope)
    ranked = sorted(
        counts.items(),
        key=lambda item: (-item[1][measure.worst], -item[1].total(), names.get(item[0], item[0])),
    )
    records = []
    for id, of in ranked[:_MOST]:
        record: dict[str, str | int | float | None] = {what: names.get(id, id)}
        record |= {name: of[name] for name in shown}
        if "succeeded" in kinds.values():
            record["success_rate"] = success_rate(of["succeeded"], of["failed"])
        records.append(record)
    return table_value(records)


def names_of(warehouse: Warehouse, table: Table, scope: Mapping[str, Any]) -> dict[str, str]:
    """Id -> name of the workflows or hog functions a table is about, as their catalog was
    loaded.
    """
    catalog = WORKFLOWS if "workflow_id" in table else HOG_FUNCTIONS
    found = rows_before(warehouse, catalog, columns=["id", "name"], scope=scope)
    return {row["id"]: row["name"] or row["id"] for row in found}


def waiting(warehouse: Warehouse, now: datetime, scope: Mapping[str, Any]) -> dict[str, Any]:
    """What `blocked_runs` holds: how many runs wait, since when, of which workflows."""
    columns = ["workflow_id", "replayable", "at"]
    rows = warehouse.read(BLOCKED_RUNS, columns=columns, scope=scope).to_pylist()
    since = [row["at"] for row in rows if row["at"] is not None]
    metadata: dict[str, Any] = {
        "posthog/waiting": len(rows),
        "posthog/replayable": sum(bool(row["replayable"]) for row in rows),
        "posthog/oldest_seconds": (round((now - min(since)).total_seconds(), 1) if since else 0.0),
    }
    if not rows:
        return metadata
    names = names_of(warehouse, BLOCKED_RUNS, scope)
    of: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        of[row["workflow_id"]].append(row)
    ranked = sorted(of.items(), key=lambda item: (-len(item[1]), names.get(item[0], item[0])))
    records = []
    for id, waits in ranked[:_MOST]:
        moments = [row["at"] for row in waits if row["at"] is not None]
        records.append(
            {
                "workflow": names.get(id, id),
                "waiting": len(waits),
                "replayable": sum(bool(row["replayable"]) for row in waits),
                "oldest": f"{min(moments):%Y-%m-%d %H:%M}" if moments else "",
            }
        )
    return metadata | {"by_workflow": table_value(records)}
