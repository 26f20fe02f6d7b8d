"""A batch job as an asset: downstream of tables, once per partition or run, never for nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hog_dagster.jobs import batch_job_asset
from hog_dagster.policies import BatchPolicy, Safety
from tests.acting_kit import House, house

WORKFLOW = "01968c1e-77aa-0000-4f0e-2b5d1c9a3e10"
POST = "*/batch_jobs/"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, "docs") as home:
        home.sandbox.world.add_person()
        home.sandbox.world.add_workflow("Reminder", trigger="batch", id=WORKFLOW)
        yield home


@dg.asset
def trial_users() -> None: ...


def send(**options: Any) -> dg.AssetsDefinition:
    policy = BatchPolicy(dry_run=options.pop("dry_run", False), reconcile_seconds=0.0)
    return batch_job_asset(
        WORKFLOW, deps=[trial_users], policy=policy, **{"name": "reminder", **options}
    )


def materialize(home: House, asset: dg.AssetsDefinition, **options: Any) -> Any:
    return dg.materialize(
        [trial_users, asset],
        instance=home.instance,
        resources=home.resources(),
        raise_on_error=False,
        **options,
    )


def materialized(result: Any) -> list[str]:
    return [
        event.asset_key.to_user_string()
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    ]


def test_it_sends_after_what_it_depends_on_and_is_materialized(home: House) -> None:
    result = materialize(home, send())
    assert result.success
    assert materialized(result) == ["trial_users", "reminder"]
    assert len(home.sandbox.world.batch_sends) == 1
    event = result.asset_materializations_for_node("reminder")[0]
    assert event.metadata["audience"].value == 1
    assert event.metadata["batch_job_id"].value


def test_a_dry_run_and_a_second_click_are_not_materialized(home: House) -> None:
    assert materialized(materialize(home, send(dry_run=True))) == ["trial_users"]
    materialize(home, send())
    again = materialize(home, send())
    assert again.success
    assert materialized(again) == ["trial_users"]
    assert len(home.sandbox.world.batch_sends) == 1


def test_it_is_a_dry_run_unless_told_otherwise(home: House) -> None:
    materialize(home, batch_job_asset(WORKFLOW, deps=[trial_users]))
    assert home.sandbox.world.batch_sends == []


def test_a_send_in_doubt_fails_and_running_it_again_does_not_send_twice(home: House) -> None:
    home.sandbox.fail("POST", POST, cut="after")
    asset = send(send_key=lambda _: "2026-11")
    first = materialize(home, asset)
    assert not first.success
    assert materialized(first) == ["trial_users"]
    assert materialized(materialize(home, asset)) == ["trial_users", "reminder"]
    assert len(home.sandbox.world.batch_sends) == 1


def test_a_partition_is_sent_once(home: House) -> None:
    days = dg.DailyPartitionsDefinition(start_date="2026-11-01")
    asset = batch_job_asset(
        WORKFLOW, name="daily", partitions_def=days, policy=BatchPolicy(dry_run=False)
    )
    for day in ("2026-11-01", "2026-11-02", "2026-11-01"):
        result = dg.materialize(
            [asset], instance=home.instance, resources=home.resources(), partition_key=day
        )
        assert materialized(result) == ["daily"]
        home.sandbox.clock.advance(60)
    assert len(home.sandbox.world.batch_sends) == 2


def test_a_run_over_several_partitions_sends_nothing_and_says_why(home: House) -> None:
    days = dg.DailyPartitionsDefinition(start_date="2026-11-01")
    asset = batch_job_asset(
        WORKFLOW, name="daily", partitions_def=days, policy=BatchPolicy(dry_run=False)
    )
    ends = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
    result = dg.materialize(
        [asset],
        instance=home.instance,
        resources=home.resources(),
        raise_on_error=False,
        tags=dict(zip(ends, ("2026-11-01", "2026-11-03"), strict=True)),
    )
    assert not result.success
    assert "one run per partition" in str(result.failure_data_for_node("daily"))
    assert home.sandbox.world.batch_sends == []


def test_what_cannot_be_sent_fails_with_the_reason(home: House) -> None:
    home.sandbox.world.workflows[WORKFLOW].status = "draft"
    result = materialize(home, send())
    assert not result.success
    failure = result.failure_data_for_node("reminder")
    assert "enable it first" in str(failure.user_failure_data or failure.error)


def test_it_is_asked_for_once_whenever_the_table_above_is_fresh(home: House) -> None:
    asset = send(automation_condition=dg.AutomationCondition.eager())
    defs = dg.Definitions(assets=[trial_users, asset], resources=home.resources())
    asked, cursor = [], None
    for fresh in (False, True, False, True):  # that it is not materialized asks for nothing more
        if fresh:
            dg.materialize([trial_users], instance=home.instance)
        result = dg.evaluate_automation_conditions(defs=defs, instance=home.instance, cursor=cursor)
        asked.append(result.get_num_requested(dg.AssetKey("reminder")))
        cursor = result.cursor
    assert asked == [0, 1, 0, 1]


def test_the_project_s_limits_hold_for_it(home: House) -> None:
    for safety in (
        Safety(dry_run=True),
        Safety(max_audience=0),
        Safety(deny_workflows=["Reminder"]),
        Safety(allow_workflows=["Nothing like it"]),
    ):
        materialize(home, send(safety=safety))
        assert home.sandbox.world.batch_sends == []


def test_it_is_named_after_its_workflow_where_the_name_is_known() -> None:
    named = batch_job_asset(WORKFLOW, workflow_name="Trial: reminder!")
    assert named.key == dg.AssetKey("posthog_batch_trial_reminder")
    assert batch_job_asset("Trial reminder").key == dg.AssetKey("posthog_batch_trial_reminder")
    assert WORKFLOW.replace("-", "_") in batch_job_asset(WORKFLOW).key.to_user_string()
