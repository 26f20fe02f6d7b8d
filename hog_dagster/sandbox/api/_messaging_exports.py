"""Batch exports as far as they can be read: the exports, their runs and their backfills.

Facts: PostHog's batch export views. Exports of type Workflows are hidden; runs are those of seven
days unless asked, in pages by cursor.
"""

from typing import Any

import msgspec

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.api._metrics import read_bound
from hog_dagster.sandbox.api._paging import cursor_page, page
from hog_dagster.sandbox.world import BatchExport, BatchExportRun

RUNS_PAGE, BACKFILLS_PAGE, LATEST = 100, 50, 10
_ORDERS = ("created_at", "-created_at", "data_interval_start", "-data_interval_start")


def list_exports(call: Call) -> Answer:
    """GET batch_exports/: newest first."""
    rows = [
        row
        for row in call.site.world.mail.exports.values()
        if row.destination.get("type") != "Workflows"
    ]
    rows.sort(key=lambda row: row.created_at, reverse=True)
    return page(call, [_shown(call, row) for row in rows])


def retrieve_export(call: Call) -> Answer:
    """GET batch_exports/{id}/."""
    return Answer(_shown(call, _find(call)))


def list_runs(call: Call) -> Answer:
    """GET batch_exports/{id}/runs/: by creation, or by interval with bounds of its own."""
    export = _find(call)
    order = call.param("ordering") or "-created_at"
    if order not in _ORDERS:
        order = "-created_at"
    name = order.removeprefix("-")
    rows = [row for row in call.site.world.mail.export_runs if row.batch_export == export.id]
    wanted = call.params("status")
    if wanted:
        rows = [row for row in rows if row.status in wanted]
    first, last = ("after", "before") if name == "created_at" else ("start", "end")
    low = read_bound(call.param(first) or "-7d", call.site.zone, call.now)
    text = call.param(last)
    high = read_bound(text, call.site.zone, call.now) if text else call.now
    rows = [row for row in rows if (at := getattr(row, name)) is not None and low <= at <= high]
    # A cursor goes by creation here, whatever the order asked for.
    rows.sort(key=lambda row: row.created_at, reverse=True)
    return cursor_page(call, [_run(row) for row in rows], RUNS_PAGE)


def list_backfills(call: Call) -> Answer:
    """GET batch_exports/{id}/backfills/."""
    export = _find(call)
    rows = [row for row in call.site.world.mail.backfills if row.batch_export == export.id]
    rows.sort(key=lambda row: row.created_at, reverse=True)
    shown: list[dict[str, Any]] = []
    for row in rows:
        body = msgspec.structs.asdict(row)
        total, done = body.pop("total_runs"), body.pop("finished_runs")
        share = done / total if total and done is not None else None
        progress = {"total_runs": total, "finished_runs": done, "progress": share}
        shown.append({**body, "team": call.project_id, "progress": progress})
    return cursor_page(call, shown, BACKFILLS_PAGE)


def _find(call: Call) -> BatchExport:
    id = call.args["id"]
    row = call.site.world.mail.exports.get(id)
    if row is None:
        raise errors.not_found(f"BatchExport ID '{id}' not found.")
    return row


def _shown(call: Call, row: BatchExport) -> dict[str, Any]:
    runs = [run for run in call.site.world.mail.export_runs if run.batch_export == row.id]
    runs.sort(key=lambda run: run.created_at, reverse=True)
    body = msgspec.structs.asdict(row)
    query = body.pop("hogql_query")
    return {
        **body,
        "team_id": call.project_id,
        "hogql_query": query,
        "latest_runs": [_run(run) for run in runs[:LATEST]],
    }


def _run(row: BatchExportRun) -> dict[str, Any]:
    return {**msgspec.structs.asdict(row), "cursor": None}
