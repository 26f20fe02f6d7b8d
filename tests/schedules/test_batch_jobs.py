"""Schedules that send: one natural key per moment, off until switched on."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator
from hypothesis import given, settings
from hypothesis import strategies as st

from hog_dagster.jobs import build_batch_job, send_batch_job
from hog_dagster.policies import BatchPolicy, Safety
from hog_dagster.resources import PostHogResource
from hog_dagster.schedules import build_batch_job_schedule, build_reconcile_schedule
from hog_dagster.schedules._batch_jobs import schedule_key
from hog_dagster.schedules._moments import moments_between
from tests.acting_kit import House, house

WORKFLOW = "01968c1e-77aa-0000-4f0e-2b5d1c9a3e10"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, "current") as home:
        home.sandbox.world.add_person()
        home.sandbox.world.add_workflow("Newsletter", trigger="batch", id=WORKFLOW)
        yield home


def tick(moment: datetime, **options: Any) -> dg.RunRequest | str:
    policy = {name: options.pop(name) for name in list(options) if name in BatchPolicy.model_fields}
    schedule = build_batch_job_schedule(
        WORKFLOW, "0 9 * * *", policy=BatchPolicy(**policy), **options
    )
    context = dg.build_schedule_context(scheduled_execution_time=moment)
    data = schedule.evaluate_tick(context)
    return data.run_requests[0] if data.run_requests else str(data.skip_message)


def request(moment: datetime, **options: Any) -> dg.RunRequest:
    result = tick(moment, **options)
    assert isinstance(result, dg.RunRequest)
    return result


def config_of(request: dg.RunRequest) -> dict[str, Any]:
    return request.run_config["ops"]["send_batch_job_op"]["config"]


def hours_ago(hours: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(hours=hours)


def test_the_moment_in_utc_is_the_key_whatever_the_zone() -> None:
    moment = hours_ago(1)
    elsewhere = moment.astimezone(ZoneInfo("Asia/Kolkata"))
    assert config_of(request(moment))["key"] == config_of(request(elsewhere))["key"]
    assert config_of(request(moment))["key"] == moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_other_variables_at_the_same_moment_are_another_send() -> None:
    moment = hours_ago(1)
    keys = {schedule_key(moment), schedule_key(moment, {"a": 1}), schedule_key(moment, {"a": 2})}
    assert len(keys) == 3


def test_schedules_are_stopped_and_dry_until_switched_on() -> None:
    schedule = build_batch_job_schedule(WORKFLOW, "0 9 * * *")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    requested = request(hours_ago(1))
    assert config_of(requested)["dry_run"] is True
    assert requested.tags["hog_dagster/workflow_id"] == WORKFLOW  # what a concurrency limit counts


def test_what_the_schedule_asks_for_can_be_run_and_is_sent_once(home: House) -> None:
    requested = request(hours_ago(1), dry_run=False, max_audience=10, variables={"coupon": "X"})
    config = {**config_of(requested), "reconcile_seconds": 0.0}
    assert home.run(send_batch_job, config, requested.tags).value["outcome"] == "confirmed"
    assert home.run(send_batch_job, config, requested.tags).value["outcome"] == "done_before"
    assert len(home.sandbox.world.batch_sends) == 1
    assert home.sandbox.world.batch_sends[0].variables == {"coupon": "X"}


def test_a_moment_long_ago_is_skipped_with_a_remedy() -> None:
    moment = hours_ago(30)
    said = tick(moment)
    assert isinstance(said, str)
    assert "more than 1 day" in said
    assert f"launch send_batch_job with its key: {schedule_key(moment)}" in said
    assert isinstance(tick(hours_ago(30), max_lateness=None), dg.RunRequest)


def test_a_workflow_that_the_project_does_not_allow_is_refused_when_the_schedule_is_built() -> None:
    named: dict[str, Any] = {"workflow_name": "Newsletter"}
    for safety in (Safety(deny_workflows=["Newsletter"]), Safety(allow_workflows=["Other"])):
        with pytest.raises(ValueError, match="do not allow workflow"):
            build_batch_job_schedule(WORKFLOW, "0 9 * * *", safety=safety, **named)
    allowed = Safety(allow_workflows=["Newsletter"])
    build_batch_job_schedule(WORKFLOW, "0 9 * * *", safety=allowed, **named)


def test_the_project_s_limits_stand_in_what_is_requested() -> None:
    safety = Safety(dry_run=True, max_audience=5, send_uncounted=False, send_truncated=False)
    wanted = {"dry_run": False, "max_audience": 9, "send_uncounted": True, "send_truncated": True}
    assert config_of(request(hours_ago(1), **wanted))["send_truncated"] is True
    config = config_of(request(hours_ago(1), safety=safety, **wanted))
    assert config["dry_run"] is True
    assert config["max_audience"] == 5
    assert config["send_uncounted"] is config["send_truncated"] is False


def test_it_is_named_after_its_workflow_where_the_name_is_known() -> None:
    named = build_batch_job_schedule(WORKFLOW, "0 9 * * *", workflow_name="Monthly: letter")
    assert named.name == "batch_job_monthly_letter"
    assert build_batch_job_schedule("Letter", "0 9 * * *").name == "batch_job_letter"
    with dg.build_schedule_context(scheduled_execution_time=hours_ago(1)) as context:
        (requested,) = named.evaluate_tick(context).run_requests or []
    assert requested.tags["hog_dagster/workflow"] == "Monthly: letter"


@given(
    cron=st.sampled_from(["0 * * * *", "*/15 * * * *", "30 2 * * *", "0 9 * * 1", "0 0 1 * *"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
    days=st.integers(0, 330),
    minutes=st.integers(0, 1440),
    hours=st.integers(0, 24 * 9),
)
@settings(max_examples=25, deadline=None)
def test_moments_between_two_times_are_those_of_the_scheduler(
    cron: str, zone: str, days: int, minutes: int, hours: int
) -> None:
    after = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days, minutes=minutes)
    before = after + timedelta(hours=hours)
    ticks = schedule_execution_time_iterator(after.timestamp(), cron, zone)
    wanted = [m.astimezone(UTC) for m in takewhile(lambda moment: moment < before, ticks)]
    assert moments_between(cron, zone, after, before) == [m for m in wanted if m > after]


def test_a_job_of_one_s_own_is_requested_by_its_own_name() -> None:
    job = build_batch_job("newsletters")
    schedule = build_batch_job_schedule(WORKFLOW, "0 9 * * *", job=job, name="mornings")
    with dg.build_schedule_context(scheduled_execution_time=hours_ago(1)) as context:
        data = schedule.evaluate_tick(context)
    assert data.run_requests is not None
    assert list(data.run_requests[0].run_config["ops"]) == ["newsletters_op"]
    assert schedule.name == "mornings"


def reconcile_tick(home: House) -> Any:
    schedule = build_reconcile_schedule()
    with dg.build_schedule_context(
        instance=home.instance,
        scheduled_execution_time=hours_ago(0),
        resources=home.resources(),
    ) as context:
        return schedule.evaluate_tick(context)


def test_reconciling_is_requested_only_while_something_is_in_doubt(home: House) -> None:
    assert reconcile_tick(home).skip_message == "No action is in doubt."
    home.sandbox.fail("POST", "*/batch_jobs/", cut="after")
    home.batch(WORKFLOW, key="may")
    assert len(reconcile_tick(home).run_requests) == 1
    home.reconcile()
    assert reconcile_tick(home).skip_message == "No action is in doubt."
    assert len(home.sandbox.world.batch_sends) == 1


@pytest.mark.parametrize("number", ["", "abc"])
def test_a_reconcile_tick_without_a_project_number_names_the_setting(
    home: House, number: str
) -> None:
    posthog = PostHogResource(host=home.url, api_key=home.api_key, project_id=number)
    resources = {"posthog": posthog, "ledger": home.ledger}
    with (
        dg.build_schedule_context(resources=resources) as context,
        pytest.raises(Exception) as caught,
    ):
        build_reconcile_schedule().evaluate_tick(context)
    assert "POSTHOG_PROJECT_ID" in str(caught.value.__cause__ or caught.value)
