"""A code location with a check of its own and alerts: everything from environment variables."""

import os

import dagster as dg

from hog_dagster import DuckDBWarehouse, LedgerResource, PostHogResource, build_posthog_definitions
from hog_dagster.policies import AlertPolicy


@dg.asset
def orders() -> None: ...


@dg.asset_check(asset=orders)
def are_paid() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=False, description="3 orders are not paid.", metadata={"who": "ann@example.com"}
    )


@dg.op
def break_down() -> None:
    raise dg.Failure("The export is not there.")


@dg.job
def export() -> None:
    break_down()


@dg.sensor(job=export, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def quiet_one() -> dg.SkipReason:
    return dg.SkipReason("Nothing to do.")


defs = dg.Definitions.merge(
    build_posthog_definitions(
        posthog=PostHogResource(
            host=dg.EnvVar("ALERTING_TEST_HOST"),
            api_key=dg.EnvVar("ALERTING_TEST_KEY"),
            project_id=dg.EnvVar("ALERTING_TEST_PROJECT"),
        ),
        warehouse=DuckDBWarehouse(path=os.environ["ALERTING_TEST_WAREHOUSE"]),
        ledger=LedgerResource(url=os.environ["ALERTING_TEST_LEDGER"]),
        alerts=AlertPolicy(
            slack_webhook=dg.EnvVar("ALERTING_TEST_SLACK"),
            webserver_url="https://dagster.example.com/",
            interval_seconds=1,
        ),
    ),
    dg.Definitions(assets=[orders], asset_checks=[are_paid], jobs=[export], sensors=[quiet_one]),
)
