"""Events by a query: what is measured, and what it is compared with.

The raw limit asks what `hog_dagster` asked, of the same server, parses each response with orjson
and keeps nothing. `hog_dagster` loads the same rows, each once, in a table of a warehouse.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

__all__ = ["EVENT_CASES", "events_of"]

PATH = "/api/projects/1/query/"
#: Part of a day that is read before the clock starts.
_WARM = timedelta(minutes=10)


def events_of(task: Any) -> tuple[datetime, datetime]:
    """The stretch whose events a task reads: its id says how many of all, `events-200000-2000000`.

    The events are spread evenly over the day.
    """
    start, end = task.window
    (name,) = task.workflows
    if name == "warm":
        return start, start + _WARM
    rows, most = (int(part) for part in name.split("-")[1:])
    return start, start + (end - start) * rows / most


def _query() -> Any:
    from hog_dagster.policies import QueryTable

    return QueryTable(
        name="events",
        hogql="SELECT timestamp, uuid, event, distinct_id, properties FROM events "
        "WHERE timestamp >= {start} AND timestamp < {end}",
        key=["timestamp", "uuid"],
    )


def events_raw(task: Any) -> tuple[int, int]:
    """The least any client can do: ask the same with httpx, parse with orjson, throw away."""
    import httpx
    import orjson

    rows = requests = 0
    with httpx.Client(headers={"Authorization": "Bearer phx_bench"}, timeout=600) as http:
        asked = orjson.loads(http.get(f"{task.url}/asked").content)
        last: Any = None
        for body in _asked_for(task, asked):
            answer = http.post(
                task.url + PATH, content=body, headers={"Content-Type": "application/json"}
            )
            page = orjson.loads(answer.content)["results"]
            requests += 1
            if "rows_of_part" in body:
                continue
            rows += len(page)
            # The last key of a full page comes again with the next one: once is counted.
            if page and page[0][:2] == last:
                rows -= 1
            last = page[-1][:2] if page else last
    return rows, requests


def _asked_for(task: Any, asked: list[str]) -> Iterator[str]:
    from hog_dagster.posthog import instant

    end = instant(events_of(task)[1])
    return (body for body in asked if f"timestamp < {end}\\n)" in body)


def _landing(task: Any, warehouse: Any) -> tuple[int, int]:
    from hog_dagster.assets import QueryLoading
    from hog_dagster.posthog import PostHogClient
    from hog_dagster.warehouse import Window

    limits = None if task.paced else False
    with PostHogClient(task.url, "phx_bench", 1, limits=limits, rate_limit=task.folder) as client:
        part = QueryLoading(client, warehouse, _query(), 1).load(Window(*events_of(task)))
        if part.gaps:
            raise RuntimeError(f"rows are missing: {part.gaps}")
        return part.load.rows, part.requests


def events_read(task: Any) -> tuple[int, int]:
    """hog_dagster's rows as Arrow of the table, thrown away: what reading alone takes."""

    class Nowhere:
        def replace(self, table: Any, batches: Any, **given: Any) -> Any:
            from hog_dagster.warehouse import LoadResult

            return LoadResult(sum(batch.num_rows for batch in batches), 0, 0.0, 0)

    return _landing(task, Nowhere())


def events_duckdb(task: Any) -> tuple[int, int]:
    """hog_dagster into DuckDB."""
    from hog_dagster.warehouse import DuckDB

    return _landing(task, DuckDB(Path(task.folder) / "bench.duckdb"))


def events_postgres(task: Any) -> tuple[int, int]:
    """hog_dagster into PostgreSQL."""
    from hog_dagster.warehouse import Postgres

    return _landing(task, Postgres(task.postgres))


EVENT_CASES = {
    case.__name__: case for case in (events_raw, events_read, events_duckdb, events_postgres)
}
