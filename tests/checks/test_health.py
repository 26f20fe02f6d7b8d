"""Workflows that fail, e-mails that do not arrive and unusual days are named."""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets._workflow_tables import WORKFLOW_METRICS, WORKFLOWS
from hog_dagster.checks import build_posthog_checks
from hog_dagster.policies import DeliveryRate, FailureRate, VolumeAnomaly
from tests.checks.conftest import Lab, checks_of, day, noon, number, rows_of

METRICS = dg.AssetKey(["posthog", "workflow_metrics"])


def count(workflow: str, metric: str, value: int, at: datetime, level: str = "run") -> dict:
    return {
        "workflow_id": workflow,
        "level": level,
        "action_id": "" if level == "run" else "a",
        "hour": at,
        "metric": metric,
        "value": value,
    }


@pytest.fixture(autouse=True)
def named(lab: Lab) -> None:
    lab.put(WORKFLOWS, [{"id": "w", "name": "Welcome"}, {"id": "t", "name": "Trial"}])


def run_check(lab: Lab, name: str, **rules: Any) -> dg.AssetCheckEvaluation:
    checks = checks_of(**rules)
    return lab.check(checks, name, "workflow_metrics")


def test_a_workflow_that_fails_above_the_threshold_is_named(lab: Lab):
    lab.put(
        WORKFLOW_METRICS,
        [
            count("w", "succeeded", 70, noon(1)),
            count("w", "failed", 30, noon(1)),
            count("t", "succeeded", 200, noon(1)),
            count("t", "failed", 2, noon(1)),
            count("t", "failed", 900, noon(9)),
            count("t", "failed", 500, noon(1), level="action"),
        ],
    )
    found = run_check(lab, "runs_succeed")
    assert not found.passed
    assert rows_of(found) == [{"of": "Welcome", "failed": 30, "runs": 100, "rate": 0.3}]
    assert number(found, "failure_rate") == round(32 / 302, 4)
    assert run_check(lab, "runs_succeed", failure_rate=FailureRate(threshold=0.5)).passed
    assert run_check(lab, "runs_succeed", failure_rate=FailureRate(min_runs=101)).passed


def test_e_mails_that_do_not_arrive_are_seen_with_and_without_delivery_counts(lab: Lab):
    lab.put(
        WORKFLOW_METRICS,
        [
            count("w", "email_sent", 100, noon(1), "action"),
            count("w", "email_delivered", 80, noon(1), "action"),
            count("t", "email_sent", 100, noon(1), "action"),
            count("t", "email_bounced", 4, noon(1), "action"),
            count("t", "email_failed", 2, noon(1), "action"),
        ],
    )
    found = run_check(lab, "emails_arrive")
    assert not found.passed
    assert {row["workflow"]: row["rate"] for row in rows_of(found)} == {
        "Welcome": 0.8,
        "Trial": 0.94,
    }
    assert run_check(lab, "emails_arrive", delivery_rate=DeliveryRate(threshold=0.5)).passed


def test_a_day_is_compared_with_the_same_weekday_before(lab: Lab):
    weekdays = [1 + 7 * week for week in range(5)]
    rows = [count("w", "succeeded", 10 if ago == 1 else 100, noon(ago)) for ago in weekdays]
    rows += [count("t", "succeeded", 50, noon(ago)) for ago in weekdays]
    rows += [count("w", "succeeded", 9, noon(ago)) for ago in (2, 3, 4, 5, 6, 7)]
    lab.put(WORKFLOW_METRICS, rows)
    lab.loaded(METRICS, *[day(ago) for ago in range(1, 30)])
    found = run_check(lab, "volume_is_usual")
    assert not found.passed
    assert rows_of(found) == [{"workflow": "Welcome", "runs": 10, "usual": 100.0}]
    assert number(found, "runs") == 60
    assert number(found, "usual_runs") == 150.0
    lenient = VolumeAnomaly(min_runs=200)
    assert run_check(lab, "volume_is_usual", volume_anomaly=lenient).passed


def test_a_day_without_any_run_is_unusual_too(lab: Lab):
    weekdays = [8, 15, 22, 29]
    lab.put(WORKFLOW_METRICS, [count("w", "succeeded", 100, noon(ago)) for ago in weekdays])
    lab.loaded(METRICS, *[day(ago) for ago in range(1, 30)])
    found = run_check(lab, "volume_is_usual")
    assert not found.passed
    assert rows_of(found)[0]["runs"] == 0


def test_without_enough_history_no_day_is_unusual(lab: Lab):
    lab.put(WORKFLOW_METRICS, [count("w", "succeeded", 1000, noon(1))])
    lab.loaded(METRICS, day(1), day(8))
    found = run_check(lab, "volume_is_usual")
    assert found.passed
    assert "three are needed" in str(found.description)


def test_hourly_partitions_make_whole_days_only_when_all_hours_landed(lab: Lab):
    start = datetime.fromisoformat(day(30)).replace(tzinfo=UTC)
    hours = dg.HourlyPartitionsDefinition(start_date=start.strftime("%Y-%m-%d-%H:%M"))
    rows = [count("w", "succeeded", 100, noon(ago)) for ago in (8, 15, 22, 1)]
    lab.put(WORKFLOW_METRICS, rows)
    keys = [
        (start + timedelta(hours=n)).strftime("%Y-%m-%d-%H:%M")
        for ago in (22, 15, 8, 1)
        for n in range((30 - ago) * 24, (31 - ago) * 24 - (ago == 1))
    ]
    lab.loaded(METRICS, *keys)
    checks = build_posthog_checks(hours)
    found = lab.check(checks, "volume_is_usual", "workflow_metrics")
    assert found.passed
    assert "2 earlier" in str(found.description)
