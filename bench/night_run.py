"""One job of a night in a process of its own: ``python -m bench.night_run <json>``.

The job is the one that the integration's own schedules start, with the executor it has. Printed as
JSON: seconds, processes that ran steps, and how often the warehouse was opened.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import dagster as dg

from hog_dagster import DuckDBWarehouse, build_posthog_definitions
from hog_dagster.assets import AssetOptions
from hog_dagster.resources import LedgerResource, PostgresWarehouse, PostHogResource

__all__ = ["JOBS", "QUIET", "counted_opens", "definitions", "tags_of"]

#: What a night is: the jobs of the default schedules that read, in their order.
JOBS = {
    "snapshots": "refresh_posthog_snapshots_job",
    "insight_results": "refresh_posthog_insight_results_job",
    "partitions": "refresh_posthog_partitions_job",
}
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


def definitions(
    folder: str,
    start: str,
    posthog: PostHogResource,
    warehouse: str = "",
    workers: int = 8,
) -> dg.Definitions:
    """The integration as it comes, over one project.

    Args:
        folder: where warehouse and ledger are.
        start: the first day.
        posthog: the project.
        warehouse: a PostgreSQL URL; a DuckDB file by default.
        workers: requests at the same time.
    """
    return build_posthog_definitions(
        posthog=posthog,
        warehouse=(
            PostgresWarehouse(url=warehouse)
            if warehouse
            else DuckDBWarehouse(path=f"{folder}/warehouse.duckdb")
        ),
        ledger=LedgerResource(url=f"sqlite:///{folder}/ledger.sqlite"),
        options=AssetOptions(workers=workers),
        start_date=date.fromisoformat(start),
    )


def tags_of(day: str) -> dict[str, str]:
    """What a run of one day's partitions is tagged with."""
    return {"dagster/asset_partition_range_start": day, "dagster/asset_partition_range_end": day}


def counted_opens() -> list[str]:
    """From now on, what is opened of warehouses in this process."""
    import duckdb
    import psycopg

    opened: list[str] = []

    def counting(connect: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            opened.append(kind)
            return connect(*given, **named)

        return counted

    duckdb.connect = counting(duckdb.connect, "duckdb")
    psycopg.connect = counting(psycopg.connect, "postgres")
    return opened


def _job(name: str) -> dg.JobDefinition:
    given = json.loads(os.environ["HOG_BENCH_NIGHT"])
    posthog = PostHogResource(host=given["url"], api_key=given["key"], project_id="1")
    built = definitions(given["folder"], given["start"], posthog, given.get("warehouse", ""))
    return built.resolve_job_def(JOBS[name])


def snapshots() -> dg.JobDefinition:
    """The hourly job of catalogs and snapshots."""
    return _job("snapshots")


def insight_results() -> dg.JobDefinition:
    """The daily job of insights' results."""
    return _job("insight_results")


def partitions() -> dg.JobDefinition:
    """The nightly job of logs, metrics and runs."""
    return _job("partitions")


def main(given: dict[str, Any]) -> dict[str, Any]:
    """Run the job that is named."""
    made = {"snapshots": snapshots, "insight_results": insight_results, "partitions": partitions}
    os.environ["HOG_BENCH_NIGHT"] = json.dumps(given)
    opened = counted_opens()
    with dg.DagsterInstance.get() as instance:
        started = time.perf_counter()
        job = dg.reconstructable(made[given["job"]])
        tags = tags_of(given["day"]) if given["job"] == "partitions" else {}
        with dg.execute_job(job, instance=instance, tags=tags, run_config=QUIET) as result:
            seconds = time.perf_counter() - started
            events = result.all_events
            workers = sum(e.event_type_value == "STEP_WORKER_STARTED" for e in events)
            failed = [e.step_key for e in events if e.is_step_failure]
            checks = [
                f"{e.step_key}: {e.asset_check_evaluation_data.description}"
                for e in events
                if e.event_type_value == "ASSET_CHECK_EVALUATION"
                and not e.asset_check_evaluation_data.passed
            ]
    return {
        "seconds": seconds,
        "processes": 1 + workers,
        "opens": len(opened),
        "failed": failed,
        "failed_checks": checks,
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
