"""Runs that wait and schedules that did not fire are named."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.test_utils import instance_for_test

from hog_dagster.assets import (
    build_blocked_runs_asset,
    build_catalog_assets,
    build_ledger_assets,
)
from hog_dagster.assets._workflow_tables import WORKFLOW_SCHEDULES, WORKFLOWS
from hog_dagster.checks import BatchSchedule, build_posthog_checks
from hog_dagster.ledger import Action, Ledger
from hog_dagster.policies import BlockedRuns, SchedulesFire
from hog_dagster.schedules import build_batch_job_schedule
from hog_dagster.schedules._batch_jobs import schedule_key
from tests.checks.conftest import DAYS, Lab, checks_of, number, rows_of


@pytest.mark.parametrize("lab", ["docs"], indirect=True)
def test_runs_that_wait_are_counted_without_the_unreplayable_ones(lab: Lab):
    workflow = lab.sandbox.world.add_workflow("Trial ending")["id"]
    lab.sandbox.world.add_blocked_runs(workflow, 5, unreplayable=2)
    lab.load(build_blocked_runs_asset(), build_catalog_assets())
    found = lab.check(checks_of(), "nothing_waits", "blocked_runs")
    assert not found.passed
    (row,) = rows_of(found)
    assert (row["workflow"], row["reason"]) == ("Trial ending", "blocked")
    waiting = number(found, "waiting")
    assert 3 <= waiting <= 4
    lenient = checks_of(blocked_runs=BlockedRuns(max_waiting=waiting))
    assert lab.check(lenient, "nothing_waits", "blocked_runs").passed


def schedule(due: datetime | None, **fields) -> dict:
    made = datetime.now(UTC) - timedelta(days=9)
    row = {"workflow_id": "w", "id": "s", "status": "active", "next_run_at": due}
    return {**row, "rrule": "FREQ=DAILY", "updated_at": made, "created_at": made, **fields}


def test_a_schedule_past_its_next_run_did_not_fire(lab: Lab):
    now = datetime.now(UTC)
    lab.put(WORKFLOWS, [{"id": "w", "name": "Digest", "status": "active"}])
    for due, passed in (
        (now + timedelta(hours=5), True),
        (now - timedelta(minutes=30), True),
        (now - timedelta(hours=3), False),
        (None, False),
    ):
        lab.put(WORKFLOW_SCHEDULES, [schedule(due)])
        found = lab.check(checks_of(), "schedules_fired", "workflow_schedules")
        assert found.passed is passed, due
    assert found.severity is dg.AssetCheckSeverity.ERROR
    assert rows_of(found)[0]["workflow"] == "Digest"
    patient = checks_of(schedules_fire=SchedulesFire(grace_minutes=60 * 24 * 30))
    assert lab.check(patient, "schedules_fired", "workflow_schedules").passed


def test_schedules_of_workflows_that_are_not_live_may_rest(lab: Lab):
    lab.put(WORKFLOWS, [{"id": "w", "name": "Digest", "status": "archived"}])
    lab.put(WORKFLOW_SCHEDULES, [schedule(datetime.now(UTC) - timedelta(days=1))])
    assert lab.check(checks_of(), "schedules_fired", "workflow_schedules").passed


def test_a_schedule_of_dagster_that_is_on_and_sent_nothing_is_named(lab: Lab):
    with instance_for_test() as lab.instance:
        look_at_dagsters_schedule(lab)


def look_at_dagsters_schedule(lab: Lab) -> None:
    now = datetime.now(UTC)
    made = build_batch_job_schedule("w", "0 * * * *", name="newsletter")
    checks = build_posthog_checks(
        DAYS, batch_schedules=[BatchSchedule("newsletter", "w", "0 * * * *")]
    )
    lab.load(build_ledger_assets())
    assert lab.check(checks, "schedules_fired", "batch_sends").passed

    switch_on(lab, made, since=now - timedelta(days=2))
    found = lab.check(checks, "schedules_fired", "batch_sends")
    assert not found.passed
    assert rows_of(found)[0]["schedule"] == "newsletter"

    moment = (now - timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
    with Ledger(lab.resources()["ledger"].url) as ledger:
        for at in (moment, moment - timedelta(hours=1)):
            ledger.claim(Action(1, "batch_send", "w", schedule_key(at)), owner="run")
    lab.load(build_ledger_assets())
    assert lab.check(checks, "schedules_fired", "batch_sends").passed


def switch_on(lab: Lab, made: dg.ScheduleDefinition, since: datetime) -> None:
    """Put the schedule on record as running."""
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.remote_origin import (
        InProcessCodeLocationOrigin,
        RemoteInstigatorOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.scheduler.instigation import (
        InstigatorState,
        InstigatorStatus,
        ScheduleInstigatorData,
    )
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

    place = InProcessCodeLocationOrigin(LoadableTargetOrigin(), location_name="here")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(place, "defs"), made.name)
    data = ScheduleInstigatorData("0 * * * *", start_timestamp=since.timestamp())
    lab.instance.add_instigator_state(
        InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.RUNNING, data)
    )
