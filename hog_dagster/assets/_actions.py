"""The ledger of actions as tables: what was replayed, what was sent, and the outcome.

Facts: PostHog keeps no record that tells a replay from a run, nor who sent a batch job for which
scheduled moment; the ledger does.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import dagster as dg

from hog_dagster._dagster.failures import dagster_failures
from hog_dagster.assets import _loading as loading
from hog_dagster.assets._steps import Row, Step, snapshot_specs
from hog_dagster.assets._summary import counts_by
from hog_dagster.assets._workflow_tables import BATCH_SENDS, REPLAYS
from hog_dagster.ledger import State
from hog_dagster.lineage import AssetOptions
from hog_dagster.posthog import check_project_id
from hog_dagster.resources import LedgerResource, PostHogResource, WarehouseResource
from hog_dagster.warehouse import Column, LoadResult, Table, Warehouse

_KINDS = {REPLAYS: ("replay", "replay_all", "rerun"), BATCH_SENDS: ("batch_send",)}

#: What columns and states are called in tables that version caccfa8 loaded.
_EARLIER = {
    "act_id": Column("act_id", "bigint"),
    "workflow_id": Column("workflow_id", "text"),
    "answer": Column("answer", "json"),
}
_EARLIER_STATES = {"intended": "claimed", "unknown": "in_doubt"}


def build_ledger_assets(*, options: AssetOptions | None = None) -> dg.AssetsDefinition:
    """The assets `replays` and `batch_sends`: the ledger's rows of this project.

    Needs the resources `posthog` (for the project's number; nothing is asked of PostHog),
    `warehouse` and `ledger`.

    Args:
        options: how the assets look.

    Returns:
        The assets definition; either can be materialized alone.
    """
    options = options or AssetOptions()
    tables: dict[Table, tuple[Table, ...]] = dict.fromkeys(_KINDS, ())

    @loading.table_assets(
        options,
        name="posthog_ledger",
        specs=snapshot_specs(options, tables, "actions"),
        can_subset=True,
    )
    def ledger_tables(
        context: dg.AssetExecutionContext,
        posthog: PostHogResource,
        warehouse: WarehouseResource,
        ledger: LedgerResource,
    ) -> Iterator[dg.MaterializeResult]:
        with dagster_failures(), warehouse.open() as opened, ledger.open() as book:
            project = check_project_id(posthog.project_id)
            step = Step(context, posthog, opened, options, asks=False)
            for table in step.selected(_KINDS):
                _take_over(opened, table)
                rows = list(book.rows(project_id=project, kind=_KINDS[table]))
                numbers = partial(_numbers, step, table, rows)
                yield step.load(table, rows, order_by="-updated_at", numbers=numbers)

    return ledger_tables


def _numbers(step: Step, table: Table, rows: Iterable[Row], load: LoadResult) -> Row:
    in_doubt = sum(row["state"] in ("sent", "in_doubt") for row in rows)
    if in_doubt:
        step.notes.append("`hog-dagster ledger list` shows actions in doubt.")
    states = counts_by(step.warehouse, table, "state", step.scope, always=tuple(State))
    return {**states, "posthog/in_doubt": in_doubt}


def _take_over(warehouse: Warehouse, table: Table) -> None:
    """Give a table that was loaded by an earlier version its names of now, the rows of all projects
    in it. One transaction."""
    stored = {column.name for column in warehouse.describe(table) or ()}
    if not stored or "action_id" in stored:
        return
    columns = (
        *(column for column in table.columns if column.name in stored),
        *(column for name, column in _EARLIER.items() if name in stored),
    )
    earlier = replace(table, columns=columns, key=(), time_column=None)

    def rows() -> Iterator[dict[str, Any]]:
        for batch in warehouse.read_batches(earlier):
            for row in batch.to_pylist():
                yield {
                    **{name: value for name, value in row.items() if name not in _EARLIER},
                    "action_id": row["act_id"],
                    "target_type": "workflow",
                    "target_id": row["workflow_id"],
                    "target_name": "",
                    "response": row["answer"],
                    "state": _EARLIER_STATES.get(row["state"], row["state"]),
                }

    warehouse.replace(table, loading.whole_batches(table, rows()))
