"""What the processes of the concurrency tests do; imported afresh in each of them."""

import multiprocessing
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pyarrow as pa
from warehouse_tables import DAY, LOGS, PROJECT

from hog_dagster.warehouse import Dlt, DuckDB, Postgres, Warehouse, Window
from hog_dagster.warehouse._loading.stage import Stage

ROWS = 2_000


# Installed modules only: the server they are forked from knows no other path (Python 3.11). Pandas
# and datasets are what DuckDB imports when it first meets Arrow.
_IMPORTED = (
    "hog_dagster.warehouse._dlt.adapter",
    "hog_dagster.warehouse._duckdb.adapter",
    "hog_dagster.warehouse._postgres.adapter",
    "pandas",
    "pyarrow.dataset",
)


def context() -> ForkServerContext:
    """Processes that start in milliseconds: forked from one that has the imports done."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(list(_IMPORTED))
    return found


def open_warehouse(kind: str, where: str) -> Warehouse:
    """A warehouse of a kind: in the folder, or in the database of the PostgreSQL URL."""
    if kind == "postgres":
        return Postgres(where)
    if kind == "dlt-postgres":
        # dlt insists on a host; the one in the query, the server's socket, is what counts.
        return Dlt("postgres", credentials=where.replace(":@/", ":@localhost/"))
    folder = Path(where)
    if kind == "duckdb":
        return DuckDB(folder / "house.duckdb")
    if kind == "dlt-duckdb":
        return Dlt("duckdb", credentials=str(folder / "dlt.duckdb"), work_dir=folder / "dlt")
    lake = (folder / "lake").as_uri()
    return Dlt("filesystem", bucket_url=lake, table_format="delta", work_dir=folder / "dlt")


def day_number(n: int) -> Window:
    return Window.day((DAY.start + timedelta(days=n)).date())


def batches(day: Window, version: str, rows: int = ROWS) -> Iterator[pa.RecordBatch]:
    """The day's rows, every one of which names the version of the load."""
    for start in range(0, rows, 500):
        stamps = [day.start + timedelta(milliseconds=start + i) for i in range(500)]
        yield pa.RecordBatch.from_pydict(
            {
                "timestamp": pa.array(stamps, pa.timestamp("us", "UTC")),
                "level": pa.array([version] * 500),
                "message": pa.array([f"row {start + i} of {version}" for i in range(500)]),
                "_loaded_at": pa.array([datetime.now(UTC)] * 500, pa.timestamp("us", "UTC")),
            }
        )


def write_days(kind: str, where: str, name: str, days: list[int]) -> int:
    """Load each of the days twice; how many loads were done."""
    with open_warehouse(kind, where) as warehouse:
        for version in ("first", "last"):
            for n in days:
                day = day_number(n)
                rows = batches(day, f"{name} {version}")
                warehouse.replace(LOGS, rows, window=day, scope=PROJECT)
    return 2 * len(days)


def watch_days(kind: str, where: str, days: int, seconds: float) -> tuple[int, list[Any]]:
    """Read until every day has its last version: how often, and what was seen half."""
    looks, halves = 0, []
    sql = (
        "SELECT CAST(CAST(timestamp AT TIME ZONE 'UTC' AS date) AS text) AS day, "
        "count(*) AS n, count(DISTINCT level) AS versions, min(level) AS version "
        "FROM posthog.workflow_logs GROUP BY 1"
    )
    deadline = time.monotonic() + seconds
    with open_warehouse(kind, where) as warehouse:
        while time.monotonic() < deadline:
            if warehouse.describe(LOGS) is None:
                continue
            seen = warehouse.query(sql).to_pylist()
            looks += 1
            halves += [row for row in seen if (row["n"], row["versions"]) != (ROWS, 1)]
            if len(seen) == days and all(row["version"].endswith(" last") for row in seen):
                return looks, halves
    raise TimeoutError(f"the days were not all written after {seconds:g} s; {looks} looks")


def write_for_ever(kind: str, where: str, days: int, first: int, told: Connection) -> None:
    """Load the days round and round, telling the number of every load begun and done."""
    load = first
    with open_warehouse(kind, where) as warehouse:
        while True:
            told.send(("began", load))
            day = day_number(load % days)
            warehouse.replace(LOGS, batches(day, f"load {load:06}"), window=day, scope=PROJECT)
            told.send(("done", load))
            load += 1


def hold_lock(where: str, told: Connection) -> None:
    """Begin a load of a DuckDB file and stay in the middle of it."""

    def load(_: object) -> tuple[int, int]:
        told.send(os.getpid())
        time.sleep(600)
        return 0, 0

    with Stage(LOGS) as stage:
        DuckDB(where)._run(LOGS, stage, load)
