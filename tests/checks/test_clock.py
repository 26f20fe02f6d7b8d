"""Checks judge rows by PostHog's clock: this machine's may be wrong, and PostHog's rows are its."""

from datetime import UTC, datetime, timedelta

import pytest

from hog_dagster.assets._workflow_tables import WORKFLOW_METRICS, WORKFLOW_RUNS
from hog_dagster.policies import Staleness, StuckRuns
from tests.checks.conftest import Lab, checks_of, number

AHEAD = timedelta(days=2).total_seconds()


def count(lab: Lab) -> None:
    row = {"workflow_id": "w", "level": "run", "action_id": "", "metric": "succeeded", "value": 1}
    lab.put(WORKFLOW_METRICS, [{**row, "hour": datetime.now(UTC) - timedelta(hours=30)}])


def test_rows_are_stale_by_posthogs_clock(lab: Lab):
    count(lab)
    checks = checks_of(staleness=Staleness(hours=48))
    assert lab.check(checks, "is_recent", "workflow_metrics").passed
    lab.sandbox.clock.advance(AHEAD)
    found = lab.check(checks, "is_recent", "workflow_metrics")
    assert not found.passed
    assert round(number(found, "newest_row_hours")) == 78


def test_runs_are_stuck_by_posthogs_clock(lab: Lab):
    at = datetime.now(UTC) - timedelta(hours=30)
    run = {"workflow_id": "w", "invocation_id": "r", "status": "running", "reruns": 0}
    lab.put(WORKFLOW_RUNS, [{**run, "scheduled_at": at, "first_scheduled_at": at}])
    checks = checks_of(stuck_runs=StuckRuns(hours=48))
    assert lab.check(checks, "runs_end", "workflow_runs").passed
    lab.sandbox.clock.advance(AHEAD)
    assert not lab.check(checks, "runs_end", "workflow_runs").passed


def test_partitions_expire_by_posthogs_clock(lab: Lab):
    checks = checks_of()
    before = number(lab.check(checks, "loads_before_it_expires", "workflow_runs"), "expired")
    lab.sandbox.clock.advance(AHEAD)
    after = number(lab.check(checks, "loads_before_it_expires", "workflow_runs"), "expired")
    assert after == before + 2


@pytest.mark.parametrize("status", [403, 500])
def test_where_posthog_does_not_answer_rows_are_judged_by_this_machines_clock(
    lab: Lab, status: int
):
    count(lab)
    lab.sandbox.fail("GET", "*", times=0, status=status, headers={"Date": ""})
    found = lab.check(checks_of(), "is_recent", "workflow_metrics")
    assert found.passed
    assert round(number(found, "newest_row_hours")) == 30
