"""What is measured: each case in a process of its own, ``python -m bench.cases <case> <json>``.

A case first runs over a few rows, so that imports and first connections are not counted, then over
all of them; it prints rows, seconds, requests and the peak of its memory as JSON.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from bench.events import EVENT_CASES
from bench.log_server import DAY

__all__ = ["CASES", "Case", "Outcome", "Task", "peak_mb"]

PATH = "/api/projects/1/hog_flows/{}/logs/"


@dataclass(frozen=True)
class Task:
    """What a case reads and where it puts it."""

    url: str
    workflows: list[str]
    postgres: str
    folder: str
    workers: int = 8
    paced: bool = False
    after: str = DAY[0].isoformat()
    before: str = DAY[1].isoformat()

    @property
    def window(self) -> tuple[datetime, datetime]:
        return datetime.fromisoformat(self.after), datetime.fromisoformat(self.before)


@dataclass(frozen=True)
class Outcome:
    """What one run of a case came to."""

    rows: int
    seconds: float
    requests: int
    peak_mb: float
    cpu: float


Case = Callable[[Task], tuple[int, int]]
"""Does the task; returns rows and requests."""


def raw(task: Task) -> tuple[int, int]:
    """The least any client can do: fetch with httpx, parse with orjson, throw away."""
    import httpx
    import orjson

    rows = requests = 0
    with httpx.Client(headers={"Authorization": "Bearer phx_bench"}) as http:
        for workflow in task.workflows:
            after, before = task.after, task.before
            while True:
                params = {"after": after, "before": before, "limit": 500}
                answer = http.get(task.url + PATH.format(workflow), params=params)
                page = orjson.loads(answer.content)["results"]
                requests += 1
                rows += len(page)
                if len(page) < 500:
                    break
                # Everything at the oldest instant comes again: once is counted.
                oldest, place = page[-1]["timestamp"], len(page)
                while place and page[place - 1]["timestamp"] == oldest:
                    rows, place = rows - 1, place - 1
                one = timedelta(microseconds=1)
                before = (datetime.fromisoformat(oldest) + one).isoformat()
    return rows, requests


def batches(task: Task, client: Any) -> Iterator[Any]:
    """Rows as the asset ``workflow_logs`` reads and finishes them."""
    from hog_dagster.assets import WORKFLOW_LOGS, WorkflowLogSource, interleave
    from hog_dagster.assets import _logs as logs
    from hog_dagster.lineage import WorkflowSelection
    from hog_dagster.warehouse import Window

    source = WorkflowLogSource(WorkflowSelection())
    window = Window(*task.window)

    def lines(source_id: str) -> Iterator[Any]:
        return client.workflows.log_batches(source_id, after=window.start, before=window.end)

    finish = partial(logs._finished, WORKFLOW_LOGS, source.id_column, 1, "mask")
    read = interleave(task.workflows, lines, workers=task.workers)
    return map(finish, map(logs._lines_of_batch, read))


def load(task: Task, warehouse: Any) -> tuple[int, int]:
    """From the API into a warehouse, in one transaction, as the asset does it."""
    from hog_dagster.assets import WORKFLOW_LOGS
    from hog_dagster.posthog import PostHogClient
    from hog_dagster.warehouse import Window

    # Unpaced, unless asked for: PostHog's limits would be all that is measured.
    limits = None if task.paced else False
    with PostHogClient(task.url, "phx_bench", 1, limits=limits, rate_limit=task.folder) as client:
        loaded = warehouse.replace(
            WORKFLOW_LOGS,
            batches(task, client),
            window=Window(*task.window),
            scope={"project_id": 1},
        )
        return loaded.rows, client.requests_made


def duckdb(task: Task) -> tuple[int, int]:
    """hog_dagster into DuckDB."""
    from hog_dagster.warehouse import DuckDB

    return load(task, DuckDB(Path(task.folder) / "bench.duckdb"))


def postgres(task: Task) -> tuple[int, int]:
    """hog_dagster into PostgreSQL."""
    from hog_dagster.warehouse import Postgres

    return load(task, Postgres(task.postgres))


def read(task: Task) -> tuple[int, int]:
    """hog_dagster's rows, finished and thrown away: what reading alone takes."""
    from hog_dagster.posthog import PostHogClient

    limits = None if task.paced else False
    with PostHogClient(task.url, "phx_bench", 1, limits=limits, rate_limit=task.folder) as client:
        return sum(batch.num_rows for batch in batches(task, client)), client.requests_made


def chain(task: Task) -> tuple[int, int]:
    """The least a hand-written chain does: httpx, orjson, Arrow, DuckDB, everything in memory."""
    import duckdb
    import pyarrow as pa

    rows, requests = _linked(task)
    table = pa.Table.from_pylist(rows)
    times = table.column("timestamp").cast(pa.timestamp("us", "UTC"))
    table = table.set_column(table.column_names.index("timestamp"), "timestamp", times)
    with duckdb.connect(str(Path(task.folder) / "chain.duckdb")) as con:
        con.register("source", table)
        con.execute("CREATE OR REPLACE TABLE logs AS SELECT * FROM source")
    return len(rows), requests


def _linked(task: Task) -> tuple[list[dict[str, Any]], int]:
    """All rows in memory, by links to the next page, which PostHog does not give."""
    import httpx
    import orjson

    rows: list[dict[str, Any]] = []
    requests = 0
    with httpx.Client(headers={"Authorization": "Bearer phx_bench"}) as http:
        for workflow in task.workflows:
            url = f"{task.url}{PATH.format(workflow)}"
            params = {"after": task.after, "before": task.before, "limit": 500, "links": 1}
            page = orjson.loads(http.get(url, params=params).content)
            while True:
                requests += 1
                rows += page["results"]
                if not page["next"]:
                    break
                page = orjson.loads(http.get(page["next"]).content)
    return rows, requests


def duckdb_pandas(task: Task) -> tuple[int, int]:
    """An asset that returns a DataFrame to dagster-duckdb-pandas' IO manager.

    Runs in an environment of its own: that package and this one need different versions of pandas.
    """
    import dagster as dg
    import pandas as pd
    from dagster_duckdb_pandas import (  # pyright: ignore[reportMissingImports]
        DuckDBPandasIOManager,
    )

    found: list[int] = []

    @dg.asset(
        partitions_def=dg.DailyPartitionsDefinition(DAY[0].strftime("%Y-%m-%d"), end_offset=1),
        metadata={"partition_expr": "timestamp"},
    )
    def logs() -> pd.DataFrame:
        rows, requests = _linked(task)
        found[:] = len(rows), requests
        frame = pd.DataFrame(rows)
        frame["timestamp"] = pd.to_datetime(frame["timestamp"], format="ISO8601").dt.tz_localize(
            None
        )
        return frame

    manager = DuckDBPandasIOManager(database=f"{task.folder}/manager.duckdb", schema="bench")
    dg.materialize(
        [logs], partition_key=DAY[0].strftime("%Y-%m-%d"), resources={"io_manager": manager}
    )
    return found[0], found[1]


def dlt_default(task: Task) -> tuple[int, int]:
    """dlt's rest_api into DuckDB, as it comes."""
    return _dlt(task, None)


def dlt_parquet(task: Task) -> tuple[int, int]:
    """dlt's rest_api into DuckDB by way of parquet files."""
    return _dlt(task, "parquet")


def _dlt(task: Task, file_format: Any) -> tuple[int, int]:
    import dlt
    from dlt.sources.rest_api import rest_api_source

    # Its paginators cannot walk PostHog's logs; they get links to follow, which PostHog has not.
    params = {"after": task.after, "before": task.before, "limit": 500, "links": 1}
    source = rest_api_source(
        {
            "client": {
                "base_url": task.url + "/",
                "auth": {"type": "bearer", "token": "phx_bench"},
                "paginator": {"type": "json_link", "next_url_path": "next"},
            },
            "resources": [
                {
                    "name": f"logs_{n}",
                    "table_name": "workflow_logs",
                    "endpoint": {
                        "path": PATH.format(workflow).lstrip("/"),
                        "params": params,
                        "data_selector": "results",
                    },
                }
                for n, workflow in enumerate(task.workflows)
            ],
        }
    )
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=f"{task.folder}/dlt",
        destination=dlt.destinations.duckdb(f"{task.folder}/dlt.duckdb"),
        dataset_name="bench",
    )
    load = pipeline.run(source, write_disposition="replace", loader_file_format=file_format)
    load.raise_on_failed_jobs()
    with pipeline.sql_client() as sql, sql.execute_query("SELECT count(*) FROM workflow_logs") as n:
        row = n.fetchone()
    return int(row[0]) if row else 0, 0


CASES: dict[str, Case] = EVENT_CASES | {
    case.__name__: case
    for case in (raw, read, duckdb, postgres, chain, duckdb_pandas, dlt_default, dlt_parquet)
}


def peak_mb() -> float:
    """The most memory this process has had (Linux)."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main(name: str, task: Task, warm: str | None) -> Outcome:
    """Run a case, warm, and measure it."""
    case = CASES[name]
    if warm:
        case(Task(**{**asdict(task), "workflows": [warm], "paced": False, "workers": 1}))
    started, used = time.perf_counter(), time.process_time()
    rows, requests = case(task)
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    return Outcome(rows, seconds, requests, peak_mb(), cpu)


if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    folder = tempfile.mkdtemp(prefix="hog-bench-")
    try:
        outcome = main(sys.argv[1], Task(**given["task"], folder=folder), given.get("warm"))
        print(json.dumps(asdict(outcome)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
