"""Rows are looked at for saturation, doubles, drift and age; PostHog is asked nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets._workflow_tables import (
    WORKFLOW_ACTIONS,
    WORKFLOW_LOGS,
    WORKFLOW_METRICS,
    WORKFLOW_RUNS,
    WORKFLOWS,
)
from hog_dagster.policies import Staleness
from tests.checks.conftest import Lab, checks_of, number, rows_of

NOW = datetime.now(UTC).replace(microsecond=0)
CHECKS = checks_of()


def line(n: int, at: datetime = NOW, level: str = "INFO") -> dict[str, Any]:
    return {
        "workflow_id": "w",
        "batch_job_id": "",
        "instance_id": f"r{n}",
        "timestamp": at,
        "level": level,
        "message": "m",
    }


def run(n: int, at: datetime = NOW) -> dict[str, Any]:
    return {
        "workflow_id": "w",
        "invocation_id": f"r{n}",
        "status": "succeeded",
        "scheduled_at": at,
        "first_scheduled_at": at,
    }


@pytest.mark.parametrize(("many", "passed"), [(499, True), (500, False)])
def test_an_instant_as_dense_as_a_page_is_saturated(lab: Lab, many: int, passed: bool):
    lab.put(WORKFLOW_LOGS, [line(n) for n in range(many)])
    spread = [run(n, NOW + timedelta(microseconds=n)) for n in range(many)]
    lab.put(WORKFLOW_RUNS, spread)
    for table in ("workflow_logs", "workflow_runs"):
        found = lab.check(CHECKS, "is_not_saturated", table)
        assert found.passed is passed
        assert number(found, "densest_instant") == many
    assert lab.sandbox.count() == 0


def test_rows_of_several_levels_share_an_instant_without_saturation(lab: Lab):
    lab.put(WORKFLOW_LOGS, [line(n, level="INFO" if n % 2 else "DEBUG") for n in range(900)])
    assert lab.check(CHECKS, "is_not_saturated", "workflow_logs").passed


def test_a_row_that_is_there_twice_is_found(lab: Lab):
    lab.put(WORKFLOW_LOGS, [line(1), line(1), line(2)])
    found = lab.check(CHECKS, "is_unique", "workflow_logs")
    assert not found.passed
    assert number(found, "duplicates") == 1
    (row,) = rows_of(found)
    assert row["instance_id"] == "r1"
    assert "message" not in row
    lab.put(WORKFLOW_LOGS, [line(1), line(2)])
    assert lab.check(CHECKS, "is_unique", "workflow_logs").passed


def test_fields_and_values_this_version_does_not_know_are_named(lab: Lab):
    lab.put(
        WORKFLOWS,
        [
            {"id": "a", "status": "active", "_raw": '{"origin_product": "x"}'},
            {"id": "b", "status": "paused_by_moon", "_raw": '{"brand_new": 1, "newer": 2}'},
        ],
    )
    found = lab.check(CHECKS, "has_not_drifted", "workflows")
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    named = {(row["where"], row["unknown"]) for row in rows_of(found)}
    assert named == {("field", "brand_new"), ("field", "newer"), ("status", "paused_by_moon")}


def test_known_fields_and_values_are_no_drift(lab: Lab):
    lab.put(
        WORKFLOW_ACTIONS,
        [{"workflow_id": "w", "action_id": "a", "position": 0, "type": "delay", "_raw": None}],
    )
    assert lab.check(CHECKS, "has_not_drifted", "workflow_actions").passed


def test_a_newest_row_that_is_too_old_is_stale(lab: Lab):
    metric = {
        "workflow_id": "w",
        "level": "run",
        "action_id": "",
        "metric": "succeeded",
        "value": 1,
    }
    lab.put(WORKFLOW_METRICS, [{**metric, "hour": datetime.now(UTC) - timedelta(hours=30)}])
    assert lab.check(CHECKS, "is_recent", "workflow_metrics").passed
    strict = checks_of(staleness=Staleness(hours=24, severity="error"))
    found = lab.check(strict, "is_recent", "workflow_metrics")
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.ERROR
    assert 30 <= number(found, "newest_row_hours") < 31


def test_tables_that_never_landed_or_are_empty_are_no_fault(lab: Lab):
    for name in ("is_unique", "is_recent", "has_not_drifted", "is_not_saturated"):
        assert lab.check(CHECKS, name, "workflow_logs").passed
    lab.put(WORKFLOW_LOGS, [])
    for name in ("is_unique", "is_recent", "has_not_drifted", "is_not_saturated"):
        assert lab.check(CHECKS, name, "workflow_logs").passed


def test_rows_of_other_projects_do_not_count(lab: Lab):
    other = {"project_id": 77, "_loaded_at": NOW}
    full = [{**line(1), **other}, {**line(1), **other}]
    with lab.warehouse() as warehouse:
        warehouse.replace(WORKFLOW_LOGS, [full], scope={"project_id": 77})
    assert lab.check(CHECKS, "is_unique", "workflow_logs").passed
