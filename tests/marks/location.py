"""A code location of one project that has everything: what a test with marks runs."""

import os
from datetime import date
from typing import Any

import dagster as dg
import pyarrow as pa

from hog_dagster import (
    DuckDBWarehouse,
    PostgresWarehouse,
    PostHogResource,
    WarehouseIOManager,
    build_posthog_definitions,
    load_posthog_snapshot,
)
from hog_dagster.assets import AssetOptions
from hog_dagster.assets._group_push import group_properties_sink
from hog_dagster.components import BatchJob, ReplaySensor, Sensors
from hog_dagster.policies import QueryTable
from hog_dagster.resources import LedgerResource

VIA_ENVIRONMENT = os.environ["MARKS_TEST_LITERALS"] == ""


def given(name: str) -> Any:
    """A setting as a user gives it: by the variable's name, or as a text of the code."""
    return dg.EnvVar(name) if VIA_ENVIRONMENT else os.environ[name]


posthog = PostHogResource(
    host=given("MARKS_TEST_HOST"),
    api_key=given("MARKS_TEST_KEY"),
    project_id=given("MARKS_TEST_PROJECT"),
    rate_limit=given("MARKS_TEST_RATE_LIMIT"),
    max_wait_seconds=2,
)
warehouse = (
    PostgresWarehouse(url=given("MARKS_TEST_WAREHOUSE"))
    if os.environ["MARKS_TEST_WAREHOUSE"].startswith("postgres")
    else DuckDBWarehouse(path=os.environ["MARKS_TEST_WAREHOUSE"])
)


@dg.asset(key=["analytics", "accounts"], io_manager_key="frames", metadata={"primary_key": ["key"]})
def accounts() -> pa.Table:
    """Rows of the user's own; once there is a second value, a key is there twice."""
    rows = os.environ["MARKS_TEST_ROWS"].split("|")
    second = os.environ["MARKS_TEST_SECOND"]
    rows += rows[:1] if second else []
    plans = [second or f"plan of {row}" for row in rows]
    return pa.table({"key": rows, "plan": plans, "number": list(range(len(rows)))})


defs = dg.Definitions.merge(
    build_posthog_definitions(
        posthog=posthog,
        warehouse=warehouse,
        ledger=LedgerResource(url=given("MARKS_TEST_LEDGER")),
        start_date=date(2026, 11, 25),
        snapshot=load_posthog_snapshot(posthog) if VIA_ENVIRONMENT else None,
        queries=[
            QueryTable(
                name="people",
                hogql="SELECT uuid, event, distinct_id, properties.mail AS mail, "
                "properties.note AS note FROM events",
                key=["uuid"],
                partitions="snapshot",
            ),
            QueryTable(
                name="numbers",
                hogql="SELECT uuid, distinct_id FROM events",
                key=["uuid"],
                types={"distinct_id": "bigint"},
                partitions="snapshot",
            ),
        ],
        sensors=Sensors(replay=ReplaySensor(dry_run=False, verify_seconds=0, max_age_hours=72)),
        batch_jobs=[BatchJob(workflow=os.environ["MARKS_TEST_BATCH"], cron="0 * * * *")],
        extra_assets=[
            accounts,
            group_properties_sink(
                "analytics.accounts",
                "organization",
                "key",
                ["plan", "number"],
                dry_run=False,
                options=AssetOptions(retry_policy=None),
            ),
        ],
        options=AssetOptions(retry_policy=None),
        hide_settings=not VIA_ENVIRONMENT,
    ),
    dg.Definitions(resources={"frames": WarehouseIOManager(warehouse=warehouse)}),
)
