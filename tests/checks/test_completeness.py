"""What was loaded is compared with what PostHog counts; what is missing is named."""

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import (
    build_hog_function_logs_asset,
    build_hog_function_metrics_asset,
    build_workflow_logs_asset,
    build_workflow_metrics_asset,
    build_workflow_runs_asset,
)
from hog_dagster.assets._sql_table import ReadBy
from hog_dagster.assets._workflow_tables import WORKFLOWS
from hog_dagster.checks import CheckRules, build_posthog_checks
from hog_dagster.policies import Completeness, StuckRuns
from tests.checks.conftest import DAYS, Lab, checks_of, day, noon, number, rows_of


def by_rest(**rule: Any) -> list[dg.AssetChecksDefinition]:
    rules = CheckRules(completeness=Completeness(**rule))
    return build_posthog_checks(DAYS, read_by="rest", rules=rules)


CHECKS = by_rest()
BY_SQL = checks_of()


def fill(lab: Lab, ago: int, many: int) -> str:
    """So many runs, each with a log line and a count."""
    world = lab.sandbox.world
    existing = list(world.workflows)
    workflow = existing[0] if existing else world.add_workflow("Welcome")["id"]
    for n in range(many):
        at = noon(ago) + timedelta(minutes=n)
        world.add_run(workflow, "succeeded", at)
        line = {"instance_id": f"run-{ago}-{n}", "timestamp": at, "level": "INFO", "message": "x"}
        world.add_logs(workflow, [line])
        world.emit_metric(workflow, at, "succeeded", "success")
    return workflow


WAYS = {"rest": CHECKS, "auto": BY_SQL}
ASSETS = {
    "workflow_logs": build_workflow_logs_asset(DAYS),
    "workflow_runs": build_workflow_runs_asset(DAYS),
    "workflow_metrics": build_workflow_metrics_asset(DAYS),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("table", ASSETS)
def test_a_table_that_equals_posthog_passes(lab: Lab, table: str, way: str):
    fill(lab, 1, 7)
    lab.load(ASSETS[table], days=(day(2), day(1)))
    found = lab.check(WAYS[way], "is_complete", table)
    assert found.passed, found.description
    assert number(found, "counted") == 7


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("table", ASSETS)
def test_rows_that_arrived_after_landing_are_counted_as_missing(lab: Lab, table: str, way: str):
    fill(lab, 1, 7)
    lab.load(ASSETS[table], days=(day(2), day(1)))
    workflow = fill(lab, 2, 3)
    lab.put(WORKFLOWS, [{"id": workflow, "name": "Welcome"}])
    found = lab.check(WAYS[way], "is_complete", table)
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.ERROR
    assert (number(found, "missing"), number(found, "surplus")) == (3, 0)
    assert rows_of(found)[0]["of"] == "Welcome"
    lab.load(ASSETS[table], days=(day(2), day(1)))
    assert lab.check(WAYS[way], "is_complete", table).passed


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("read_by", ["rest", "hogql"])
def test_runs_are_counted_alike_whichever_way_they_were_loaded(lab: Lab, read_by: ReadBy, way: str):
    world = lab.sandbox.world
    world.merging.merge = "never"
    workflow = world.add_workflow("Welcome")["id"]
    world.add_run(workflow, "failed", noon(4), "r1")
    world.add_run(workflow, "succeeded", noon(1), "r2")
    world.add_rerun("r1", noon(1) + timedelta(hours=1))
    asset = build_workflow_runs_asset(DAYS, read_by=read_by)
    lab.load(asset, days=(day(4), day(4)))
    lab.load(asset, days=(day(1), day(1)))
    found = lab.check(WAYS[way], "is_complete", "workflow_runs")
    assert found.passed, (found.description, rows_of(found))


def test_rows_that_should_not_be_there_are_counted_as_surplus(lab: Lab):
    workflow = fill(lab, 1, 4)
    lab.load(ASSETS["workflow_runs"], days=(day(1), day(1)))
    lab.sandbox.world.forget_run(next(reversed(lab.sandbox.world.runs)))
    found = lab.check(CHECKS, "is_complete", "workflow_runs")
    assert not found.passed
    assert number(found, "surplus") == 1
    assert workflow not in str(found.description)


def test_only_landed_days_are_counted(lab: Lab):
    fill(lab, 1, 2)
    fill(lab, 5, 9)
    lab.load(ASSETS["workflow_runs"], days=(day(1), day(1)))
    assert lab.check(CHECKS, "is_complete", "workflow_runs").passed


def test_a_long_stretch_of_logs_is_read_again_in_part(lab: Lab):
    fill(lab, 1, 60)
    lab.load(ASSETS["workflow_logs"], days=(day(1), day(1)))
    checks = by_rest(max_rows=20)
    found = lab.check(checks, "is_complete", "workflow_logs")
    assert found.passed
    assert 0 < number(found, "counted") <= 20


def test_each_run_of_the_check_takes_its_share_of_the_workflows(lab: Lab):
    for n in range(5):
        lab.sandbox.world.add_workflow(f"W{n}")
    lab.load(ASSETS["workflow_runs"], days=(day(1), day(1)))
    lab.sandbox.reset_counts()
    checks = by_rest(workflows=2)
    assert lab.check(checks, "is_complete", "workflow_runs").passed
    assert lab.sandbox.count("GET", "*/invocation_results_count/") == 3  # One asks for it.


def test_before_anything_landed_there_is_nothing_to_compare(lab: Lab):
    fill(lab, 1, 2)
    found = lab.check(CHECKS, "is_complete", "workflow_logs")
    assert found.passed
    assert lab.sandbox.count() == 0


def test_a_check_that_cannot_be_made_warns_and_says_why(lab: Lab):
    fill(lab, 1, 2)
    lab.load(ASSETS["workflow_runs"], days=(day(1), day(1)))
    detail = "API key missing required scope 'person:read'"
    body = {"type": "authentication_error", "code": "permission_denied", "detail": detail}
    lab.sandbox.fail("GET", "*/invocation_results_count/", times=0, status=403, body=body)
    found = lab.check(CHECKS, "is_complete", "workflow_runs")
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert "person:read" in str(found.description)


@pytest.mark.parametrize("lab", ["docs"], indirect=True)
def test_a_server_without_results_of_runs_is_no_fault(lab: Lab):
    fill(lab, 1, 2)
    lab.load(ASSETS["workflow_runs"], days=(day(1), day(1)))
    found = lab.check(CHECKS, "is_complete", "workflow_runs")
    assert found.passed
    assert "has no invocation_results" in str(found.description)


def test_logs_and_metrics_of_hog_functions_are_compared_too(lab: Lab):
    world = lab.sandbox.world
    function = world.add_hog_function("To the CRM")["id"]
    line = {"instance_id": "i", "timestamp": noon(1), "level": "INFO", "message": "x"}
    world.add_logs(function, [line])
    world.emit_metric(function, noon(1), "succeeded", "success", 5)
    lab.load(
        build_hog_function_logs_asset(DAYS),
        build_hog_function_metrics_asset(DAYS),
        days=(day(1), day(1)),
    )
    for table, counted in (("hog_function_logs", 1), ("hog_function_metrics", 5)):
        found = lab.check(CHECKS, "is_complete", table)
        assert found.passed, found.description
        assert number(found, "counted") == counted
    world.emit_metric(function, noon(1), "failed", "failure")
    assert not lab.check(CHECKS, "is_complete", "hog_function_metrics").passed


def test_by_sql_every_workflow_is_counted_with_three_requests(lab: Lab):
    for n in range(30):
        workflow = lab.sandbox.world.add_workflow(f"W{n}")["id"]
        lab.sandbox.world.add_run(workflow, "succeeded", noon(1))
    lab.load(ASSETS["workflow_runs"], days=(day(1), day(1)))
    lab.sandbox.reset_counts()
    found = lab.check(BY_SQL, "is_complete", "workflow_runs")
    assert found.passed
    assert number(found, "counted") == 30
    assert lab.sandbox.count() == 3


def test_what_could_not_be_read_fails_the_check_of_its_partition_only(lab: Lab):
    workflow = fill(lab, 1, 3)
    fill(lab, 4, 2)
    other = lab.sandbox.world.add_workflow("Fine")["id"]
    line = {"instance_id": "i", "timestamp": noon(1), "level": "INFO", "message": "x"}
    lab.sandbox.world.add_logs(other, [line])
    asset = build_workflow_logs_asset(DAYS, read_by="rest")
    lab.load(asset, days=(day(4), day(4)))
    body = {"type": "validation_error", "code": "invalid", "detail": "odd", "attr": None}
    lab.sandbox.fail("GET", f"*/{workflow}/logs/", times=1, status=400, body=body)
    lab.load(asset, days=(day(1), day(1)))
    found = lab.check(CHECKS, "is_complete", "workflow_logs")
    assert not found.passed
    assert number(found, "gaps") == 1
    row = rows_of(found)[0]
    assert row["of"] == workflow
    assert "odd" in str(row["why"])
    lab.load(asset, days=(day(1), day(1)))
    assert lab.check(CHECKS, "is_complete", "workflow_logs").passed


def test_runs_that_do_not_end_are_named_with_their_workflow(lab: Lab):
    workflow = lab.sandbox.world.add_workflow("Slow")["id"]
    for n in range(3):
        at = noon(3) + timedelta(minutes=n)
        lab.sandbox.world.add_run(workflow, "running", at, in_flight=False)
    lab.load(ASSETS["workflow_runs"], days=(day(3), day(3)))
    lab.put(WORKFLOWS, [{"id": workflow, "name": "Slow"}])
    found = lab.check(checks_of(), "runs_end", "workflow_runs")
    assert not found.passed
    assert number(found, "stuck_runs") == 3
    assert rows_of(found)[0]["of"] == "Slow"
    assert rows_of(found)[0]["since"] == f"{noon(3):%Y-%m-%d %H:%M}"
    patient = checks_of(stuck_runs=StuckRuns(hours=100))
    assert lab.check(patient, "runs_end", "workflow_runs").passed
