"""Tables of runs in every warehouse: one row per run, those that earlier versions loaded too."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hog_dagster.assets._run_rows import one_row_per_run, upgrade
from hog_dagster.assets._workflow_tables import WORKFLOW_RUNS, declare
from hog_dagster.warehouse import Column, Warehouse, Window
from tests.warehouse.warehouse_processes import open_warehouse

MONDAY = datetime(2026, 11, 16, 23, 50, tzinfo=UTC)
DAY = timedelta(days=1)
WAREHOUSES = ["duckdb", "postgres", "dlt-duckdb", "dlt-postgres", "dlt-delta"]
#: The table as the first version loaded it: a row per run and day.
EARLIER = declare(
    "workflow_runs",
    "As it was.",
    Column("workflow_id", "text"),
    Column("invocation_id", "text"),
    Column("status", "text"),
    Column("attempts", "bigint"),
    Column("is_retry", "boolean"),
    Column("error_kind", "text"),
    Column("error_message", "text"),
    Column("distinct_id", "text"),
    Column("person_id", "text"),
    Column("scheduled_at", "timestamptz"),
    Column("started_at", "timestamptz"),
    Column("finished_at", "timestamptz"),
    Column("duration_ms", "bigint"),
    Column("_raw", "json"),
    key=("workflow_id", "invocation_id", "scheduled_at"),
    time_column="scheduled_at",
)


@pytest.fixture(params=WAREHOUSES)
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    where = str(tmp_path)
    if request.param.endswith("postgres"):
        where = request.getfixturevalue("postgres_url")
    with open_warehouse(request.param, where) as opened:
        yield opened


def row(run: str, status: str, at: datetime, attempts: int = 0, **more: Any) -> dict[str, Any]:
    """A row of the first version's."""
    empty = {column.name: None for column in EARLIER.columns}
    known = {"project_id": 1, "workflow_id": "w", "_loaded_at": MONDAY + DAY, "_raw": None}
    held = {"invocation_id": run, "status": status, "scheduled_at": at, "attempts": attempts}
    return {**empty, **known, "is_retry": attempts > 0, **held, **more}


def shown(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    names = ("project_id", "invocation_id", "status", "reruns", "first_scheduled_at")
    rows = warehouse.read(WORKFLOW_RUNS).to_pylist()
    return sorted(tuple(one[name] for name in names) for one in rows)


def state(run: str, status: str, first: datetime, reruns: int) -> dict[str, Any]:
    """A state that was read just now, as a row of the table."""
    empty = {column.name: None for column in WORKFLOW_RUNS.columns}
    known = {"project_id": 1, "workflow_id": "w", "_loaded_at": datetime.now(UTC)}
    held = {"invocation_id": run, "status": status, "reruns": reruns, "parent_run_id": ""}
    return {**empty, **known, **held, "first_scheduled_at": first, "scheduled_at": first}


def test_a_table_of_the_first_version_becomes_one_row_per_run_and_stays_so(
    warehouse: Warehouse,
) -> None:
    rows = [
        row("a", "failed", MONDAY),
        row("a", "succeeded", MONDAY + DAY, 1),
        row("b", "running", MONDAY),
        row("b", "succeeded", MONDAY + DAY),
        row("c", "failed", MONDAY, error_message="a 'quoted' text"),
        row("a", "failed", MONDAY, project_id=2),
    ]
    warehouse.replace(EARLIER, [rows])
    assert upgrade(warehouse, WORKFLOW_RUNS, "workflow_id") == 2
    expected = [
        (1, "a", "succeeded", 1, MONDAY),
        (1, "b", "succeeded", 0, MONDAY),
        (1, "c", "failed", 0, MONDAY),
        (2, "a", "failed", 0, MONDAY),
    ]
    assert shown(warehouse) == expected
    assert upgrade(warehouse, WORKFLOW_RUNS, "workflow_id") == 0
    assert shown(warehouse) == expected
    # And the table is loaded on as any other.
    loaded = [state("d", "running", MONDAY + 2 * DAY, 0)]
    window = Window.day((MONDAY + 2 * DAY).date())
    warehouse.replace(WORKFLOW_RUNS, [loaded], window=window, scope={"project_id": 1})
    (running,) = warehouse.read(WORKFLOW_RUNS, scope={"status": "running"}).to_pylist()
    assert running["invocation_id"] == "d"
    newer = [state("d", "succeeded", MONDAY + 2 * DAY, 0), state("a", "failed", MONDAY, 2)]
    touched = one_row_per_run(
        warehouse, WORKFLOW_RUNS, "workflow_id", MONDAY - DAY, {"project_id": 1}, newer
    )
    assert touched == {MONDAY, MONDAY + 2 * DAY}
    assert shown(warehouse) == [
        (1, "a", "failed", 2, MONDAY),
        *expected[1:3],
        (1, "d", "succeeded", 0, MONDAY + 2 * DAY),
        expected[3],
    ]


def test_an_absent_table_needs_no_upgrade(warehouse: Warehouse) -> None:
    assert upgrade(warehouse, WORKFLOW_RUNS, "workflow_id") == 0
