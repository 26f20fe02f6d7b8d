"""A partition that is about to expire in PostHog and has not loaded fails loudly."""

from datetime import timedelta

import dagster as dg

from hog_dagster.checks import CheckRules, build_posthog_checks
from hog_dagster.policies import Retention
from tests.checks.conftest import TODAY, Lab, number, rows_of

RUNS = dg.AssetKey(["posthog", "workflow_runs"])
START = TODAY - timedelta(days=40)
DAYS = dg.DailyPartitionsDefinition(start_date=START.isoformat())


def keys(first_ago: int, last_ago: int) -> list[str]:
    return [(TODAY - timedelta(days=ago)).isoformat() for ago in range(first_ago, last_ago - 1, -1)]


def test_days_about_to_expire_are_named_with_the_command_that_lands_them(lab: Lab):
    found = lab.check(build_posthog_checks(DAYS), "loads_before_it_expires", "workflow_runs")
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.ERROR
    named = [row["partition"] for row in rows_of(found)]
    assert named == keys(30, 23)
    assert f"hog-dagster backfill --from {named[0]} --to {named[-1]}" in str(found.description)
    assert number(found, "expired") == 10
    assert lab.sandbox.count() == 1  # For the time.


def test_landed_days_do_not_expire_unseen_empty_ones_included(lab: Lab):
    lab.loaded(RUNS, *keys(30, 23))
    found = lab.check(build_posthog_checks(DAYS), "loads_before_it_expires", "workflow_runs")
    assert found.passed
    assert number(found, "expiring") == 0


def test_the_warning_can_come_earlier(lab: Lab):
    lab.loaded(RUNS, *keys(30, 23))
    checks = build_posthog_checks(
        DAYS, rules=CheckRules(retention=Retention(days=10, severity="warn"))
    )
    found = lab.check(checks, "loads_before_it_expires", "workflow_runs")
    assert not found.passed
    assert [row["partition"] for row in rows_of(found)] == keys(22, 20)
