"""Runs as rows of a table, one per run, and what keeps it so.

Facts: PostHog files rows for each execution of a run; a rerun, or the end of a wait, lies on a
later day than the first. By SQL `first_scheduled_at` tells the day; by REST the earliest time that
is left in the window asked for is the best there is, so a run can appear on a later day first.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pyarrow as pa

from hog_dagster.assets import _loading as loading
from hog_dagster.assets._owner_names import owner_of
from hog_dagster.assets._redact import MessagePolicy, redact_messages
from hog_dagster.assets._sql_pages import Owners
from hog_dagster.posthog import QueryPage
from hog_dagster.posthog.models import InvocationResult
from hog_dagster.posthog.models.base import utc
from hog_dagster.warehouse import Column, Table, Warehouse

Row = Mapping[str, Any]

#: Columns that tables of runs had before they held one row per run.
_EARLIER = (
    Column("attempts", "bigint"),
    Column("scheduled_at", "timestamptz"),
)
#: Runs that one statement names.
_IDS = 1_000


def run_row(table: Table, owner: str, run: InvocationResult, messages: MessagePolicy) -> Row:
    """A run by REST, which shows neither its first time nor its batch job."""
    return loading.row_of(
        table,
        run,
        **{owner_of(table)[0]: owner},
        distinct_id=run.distinct_id if messages == "keep" else None,
        first_scheduled_at=run.scheduled_at,
        duration_ms=None if run.duration_ms is None else round(run.duration_ms),
        reruns=run.attempts or 0,
        parent_run_id=None,
        _raw=run.model_extra or None,
    )


#: Columns that SQL gives under our names.
_AS_IT_IS = ("invocation_id", "status", "error_kind", "error_message", "person_id")


def rows_of_page(
    id_column: str, page: QueryPage, owners: Owners, messages: MessagePolicy
) -> Iterator[Mapping[str, Any]]:
    """Runs by SQL, those that were deleted, and those of others, left out."""
    names = [name.removeprefix("last_") for name in page.columns]
    ours = set(owners.sources)
    for values in page.rows:
        row = dict(zip(names, values, strict=True))
        if row["function_id"] not in ours or row["is_deleted"]:
            continue
        duration = row["duration_ms"]
        yield {
            id_column: row["function_id"],
            **{name: row[name] for name in _AS_IT_IS},
            "distinct_id": row["distinct_id"] if messages == "keep" else None,
            "first_scheduled_at": utc(row["first_due_at"]),
            "scheduled_at": utc(row["scheduled_at"]),
            "started_at": _known(row["started_at"]),
            "finished_at": _known(row["finished_at"]),
            "duration_ms": None if duration is None or float(duration) < 0 else duration,
            "reruns": int(row["attempts"] or 0),
            "parent_run_id": row["parent_run_id"] or "",
            "_raw": None,
        }


def _known(value: Any) -> datetime | None:
    """A time; None for the one that stands for none."""
    moment: datetime | None = utc(value) if value is not None else None
    return None if moment is None or moment.year == 1970 else moment


def masked(batches: Iterable[pa.RecordBatch], policy: MessagePolicy) -> Iterator[pa.RecordBatch]:
    """The same with the texts of errors under the policy."""
    for batch in batches:
        for name in ("message", "error_message"):
            index = batch.schema.get_field_index(name)
            if index >= 0:
                batch = batch.set_column(
                    index, batch.schema.field(index), redact_messages(batch.column(index), policy)
                )
        yield batch


def one_row_per_run(
    warehouse: Warehouse,
    table: Table,
    owner: str,
    since: datetime,
    scope: Mapping[str, Any],
    newer: Iterable[Mapping[str, Any]] = (),
    loaded: Callable[[datetime], bool] = lambda first: True,
) -> set[datetime]:
    """Leave one row of each run, of rows since then: its newest state, in the place of its first
    time.

    `newer` are states that were read just now, with any first time. A run that is not there yet is
    left to its partition where that has not been `loaded`. Gives the first times of the runs that
    changed, before and after.
    """
    states = list(newer)  # Rows of the table, but for their place.
    ids = {row["invocation_id"] for row in states}
    ids |= _doubled(warehouse, table, owner, since, scope)
    touched: set[datetime] = set()
    for chunk in _chunks(sorted(ids)):
        only = {**scope, "invocation_id": chunk}
        there: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for row in warehouse.read(table, scope=only).to_pylist():
            there[row[owner], row["invocation_id"]].append(row)
        named, before = set(chunk), dict(there)
        for state in states:
            key = (state[owner], state["invocation_id"])
            known = key in before or loaded(state["first_scheduled_at"])
            if key[1] in named and known:
                there[key] = [*there.get(key, []), dict(state)]
        rows = [newest_of(of) for of in there.values()]
        for key, row in zip(there, rows, strict=True):
            if [_lasting(row)] != [_lasting(one) for one in before.get(key, ())]:
                touched |= {one["first_scheduled_at"] for one in (row, *before.get(key, []))}
        warehouse.replace(table, loading.whole_batches(table, rows), scope=only)
    return touched


def newest_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row out of several of a run: the state of most reruns, read last; the first time as SQL
    read it, else the earliest."""
    newest = max(rows, key=lambda row: (row["reruns"] or 0, row["_loaded_at"]))
    by_sql = [row for row in rows if row["parent_run_id"] is not None]
    known = max(by_sql, key=lambda row: row["_loaded_at"]) if by_sql else None
    first = known or min(rows, key=lambda row: row["first_scheduled_at"])
    return {
        **newest,
        "first_scheduled_at": first["first_scheduled_at"],
        "parent_run_id": known["parent_run_id"] if known else None,
    }


def _lasting(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "_loaded_at"}


def _doubled(
    warehouse: Warehouse, table: Table, owner: str, since: datetime, scope: Mapping[str, Any]
) -> set[str]:
    """Runs with more than one row."""
    found = warehouse.aggregate(
        table,
        by=[owner, "invocation_id"],
        scope={"project_id": scope["project_id"]},
        between={"first_scheduled_at": (since, None)},
        at_least=2,
    )
    return {row["invocation_id"] for row in found}


def needs_upgrade(warehouse: Warehouse, table: Table) -> bool:
    """Whether the table was loaded by a version that kept a row per day of a run."""
    stored = {column.name for column in warehouse.describe(table) or ()}
    return bool(stored) and "first_scheduled_at" not in stored


def upgrade(warehouse: Warehouse, table: Table, owner: str) -> int:
    """Make a table that was loaded by an earlier version one row per run; how many rows went.

    Such a table has no first time, and a run that was run again, or that waited over midnight, once
    per day. One transaction.
    """
    if not needs_upgrade(warehouse, table):
        return 0
    stored = {column.name for column in warehouse.describe(table) or ()}
    earlier = replace(
        table,
        columns=(
            *(c for c in table.columns if c.name in stored and c.name != "scheduled_at"),
            *(c for c in _EARLIER if c.name in stored),
        ),
        key=(),
        time_column=None,
    )
    best: dict[tuple[Any, str, str], tuple[datetime, tuple[int, datetime]]] = {}
    total = 0
    names = ["project_id", owner, "invocation_id", "scheduled_at", "attempts"]
    names = [name for name in names if name in earlier]
    for batch in warehouse.read_batches(earlier, columns=names):
        for row in batch.to_pylist():
            total += 1
            key = (row["project_id"], row[owner], row["invocation_id"])
            rank = (row.get("attempts") or 0, row["scheduled_at"])
            first, kept = best.get(key, (row["scheduled_at"], rank))
            best[key] = (min(first, row["scheduled_at"]), max(kept, rank))

    def rows() -> Iterator[dict[str, Any]]:
        for batch in warehouse.read_batches(earlier):
            for row in batch.to_pylist():
                key = (row["project_id"], row[owner], row["invocation_id"])
                attempts = row.pop("attempts", None) or 0
                first, kept = best.get(key, (None, None))
                if kept != (attempts, row["scheduled_at"]):
                    continue
                del best[key]  # Two rows that are alike are one.
                yield {**row, "first_scheduled_at": first, "reruns": attempts}

    loaded = warehouse.replace(table, loading.whole_batches(table, rows()))
    return total - loaded.rows


def _chunks(ids: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _IDS):
        yield list(ids[start : start + _IDS])
