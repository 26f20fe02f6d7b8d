"""What is said at the top of a project holds for everything below it, however it is launched."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hog_dagster import DuckDBWarehouse, build_posthog_definitions
from hog_dagster.components import BatchJob, ReplaySensor, Sensors
from hog_dagster.policies import Safety
from tests.acting_kit import House, effects, house


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, "current") as home:
        for _ in range(3):
            home.sandbox.world.add_person()
        yield home


def definitions(home: House, tmp_path: Path, **options: Any) -> dg.Definitions:
    return build_posthog_definitions(
        posthog=home.posthog,
        warehouse=DuckDBWarehouse(path=str(tmp_path / "w.duckdb")),
        ledger=home.ledger,
        **{"checks": None, **options},
    )


def requests_of(home: House, defs: dg.Definitions) -> list[dg.RunRequest]:
    sensor = defs.get_sensor_def("failed_runs_sensor")
    resources = home.resources()
    with dg.build_sensor_context(instance=home.instance, resources=resources) as context:
        return list(sensor.evaluate_tick(context).run_requests or [])


def launch(home: House, defs: dg.Definitions, job: str, config: Any) -> bool:
    run_config = {"ops": {f"{job}_op": {"config": config}}}
    return (
        defs.resolve_job_def(job)
        .execute_in_process(instance=home.instance, run_config=run_config, raise_on_error=False)
        .success
    )


def test_a_dry_run_at_the_top_is_not_undone_by_a_sensor_or_a_launch(
    home: House, tmp_path: Path
) -> None:
    workflow = home.sandbox.world.add_workflow("Onboarding")["id"]
    run = home.sandbox.world.add_run(workflow, "failed")
    defs = definitions(
        home,
        tmp_path,
        safety=Safety(dry_run=True),
        sensors=Sensors(replay=ReplaySensor(dry_run=False)),
    )
    (request,) = requests_of(home, defs)
    assert request.run_config["ops"]["replay_runs_op"]["config"]["dry_run"] is True
    named = {"instance_id": run.invocation_id}
    assert launch(
        home, defs, "replay_runs", {"workflows": workflow, "runs": [named], "dry_run": False}
    )
    home.sandbox.clock.advance(60)
    assert effects(home.sandbox) == {}


def test_an_audience_at_the_top_holds_for_batch_jobs_and_launches(
    home: House, tmp_path: Path
) -> None:
    workflow = home.sandbox.world.add_workflow("Newsletter", trigger="batch")["id"]
    jobs = [
        BatchJob(workflow=workflow, cron="0 9 * * *", dry_run=False, max_audience=100),
        BatchJob(workflow=workflow, deps=["people"], dry_run=False, name="letter"),
    ]
    defs = definitions(home, tmp_path, safety=Safety(max_audience=2), batch_jobs=jobs)
    (schedule,) = [one for one in defs.schedules or [] if one.name.startswith("batch_job")]
    assert isinstance(schedule, dg.ScheduleDefinition)
    with dg.build_schedule_context(scheduled_execution_time=home.sandbox.clock.now()) as context:
        (request,) = schedule.evaluate_tick(context).run_requests or []
    assert request.run_config["ops"]["send_batch_job_op"]["config"]["max_audience"] == 2
    given = {"workflow": workflow, "dry_run": False, "max_audience": 100}
    assert not launch(home, defs, "send_batch_job", given)
    key = dg.AssetKey(["posthog", "send", "letter"])
    job = defs.resolve_implicit_global_asset_job_def()
    assert not job.execute_in_process(
        instance=home.instance, asset_selection=[key], raise_on_error=False
    ).success
    assert home.sandbox.world.batch_sends == []


def test_a_denied_name_is_never_due_and_never_launched(home: House, tmp_path: Path) -> None:
    denied = home.sandbox.world.add_workflow("Password reset")["id"]
    run = home.sandbox.world.add_run(denied, "failed")
    defs = definitions(
        home,
        tmp_path,
        safety=Safety(deny_workflows=["Password reset"]),
        sensors=Sensors(replay=ReplaySensor(dry_run=False)),
    )
    assert requests_of(home, defs) == []
    given = {"workflows": denied, "runs": [{"instance_id": run.invocation_id}], "dry_run": False}
    assert not launch(home, defs, "replay_runs", given)
    home.sandbox.clock.advance(60)
    assert effects(home.sandbox) == {}
