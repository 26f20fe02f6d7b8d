"""Checks of what runs: actions in doubt, requests left, sensors that do not tick."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.scheduler.instigation import (
    InstigatorStatus,
    InstigatorType,
    TickData,
    TickStatus,
)
from dagster._core.test_utils import instance_for_test
from dagster_shared.error import SerializableErrorInfo

from hog_dagster.checks import build_operations_checks
from hog_dagster.checks._operations import silent_sensors
from hog_dagster.ledger import Action, Ledger
from hog_dagster.policies import AlertPolicy
from hog_dagster.sandbox import Sandbox
from tests.acting_kit import House, house, house_of
from tests.alerts.kit import hook

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def found(home: House, policy: AlertPolicy, name: str, **options: Any) -> dg.AssetCheckEvaluation:
    """The result of one check, run alone."""
    asset, checks = build_operations_checks(policy, **options)
    key = dg.AssetCheckKey(asset.key, name)
    defs = dg.Definitions(assets=[asset], asset_checks=[checks], resources=home.resources())
    result = (
        defs.resolve_implicit_global_asset_job_def()
        .get_subset(asset_selection=set(), asset_check_selection={key})
        .execute_in_process(instance=home.instance, run_config=QUIET)
    )
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


def anywhere(**fields: Any) -> AlertPolicy:
    return AlertPolicy(slack_webhook="https://hooks.example.com/x", **fields)


def test_an_action_in_doubt_for_long_fails(tmp_path: Path) -> None:
    with house(tmp_path) as home:
        with Ledger(home.ledger_url) as book:
            action = Action(
                home.project_id, "batch_send", "w", "2026-12-01", target_name="Newsletter"
            )
            claim = book.claim(action, owner="run")
            book.mark_sent([claim.entry], server_time=None)
        assert found(home, anywhere(), "nothing_in_doubt").passed  # it is being sent
        evaluation = found(home, anywhere(in_doubt_minutes=0), "nothing_in_doubt")
        assert not evaluation.passed
        assert evaluation.severity is dg.AssetCheckSeverity.ERROR
        assert "hog-dagster ledger resolve ID --as confirmed" in (evaluation.description or "")
        table = evaluation.metadata["found"]
        assert isinstance(table, dg.TableMetadataValue)
        assert table.records[0].data["target"] == "Newsletter"


def test_a_limit_that_is_nearly_used_up_fails_and_asks_posthog_nothing(tmp_path: Path) -> None:
    with (
        Sandbox("current", populate=False, limits=False) as sandbox,
        dg.DagsterInstance.ephemeral() as i,
    ):
        home = house_of(sandbox, i, tmp_path)
        assert found(home, anywhere(), "requests_are_left").passed
        assert sandbox.count() == 0
        resource = home.posthog
        with resource.process_config_and_initialize_cm() as opened:
            assert list(opened.client.workflows.list()) == []
        evaluation = found(home, anywhere(min_free_requests=1.0), "requests_are_left")
        assert not evaluation.passed
        assert evaluation.severity is dg.AssetCheckSeverity.WARN
        assert "default requests an hour are left" in (evaluation.description or "")


def switched_on(instance: dg.DagsterInstance, name: str, since: datetime, every: int = 30) -> Any:
    """Put a sensor on record as running since then."""
    from dagster._core.remote_origin import (
        InProcessCodeLocationOrigin,
        RemoteInstigatorOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.scheduler.instigation import InstigatorState, SensorInstigatorData
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

    place = InProcessCodeLocationOrigin(LoadableTargetOrigin(), location_name="here")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(place, "defs"), name)
    data = SensorInstigatorData(min_interval=every, last_sensor_start_timestamp=since.timestamp())
    state = InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data)
    instance.add_instigator_state(state)
    return state


def ticked(instance: dg.DagsterInstance, state: Any, at: datetime, status: TickStatus) -> None:
    instance.create_tick(
        TickData(
            instigator_origin_id=state.instigator_origin_id,
            instigator_name=state.instigator_name,
            instigator_type=InstigatorType.SENSOR,
            status=status,
            timestamp=at.timestamp(),
            selector_id=state.selector_id,
            error=SerializableErrorInfo("It broke.", [], "ValueError")
            if status is TickStatus.FAILURE
            else None,
        )
    )


def test_a_sensor_that_does_not_tick_or_only_fails_is_named() -> None:
    now = datetime.now(UTC)
    old, half = now - timedelta(hours=5), timedelta(minutes=30)
    with instance_for_test() as instance:
        for name, ages, status, every in (
            ("well", (1, 2), TickStatus.SKIPPED, 30),
            ("silent", (90, 95), TickStatus.SKIPPED, 30),
            ("rare", (90, 95), TickStatus.SKIPPED, 3600),
            ("failing", (1, 2, 3), TickStatus.FAILURE, 30),
            ("stumbled", (1, 2), TickStatus.FAILURE, 30),
            ("never", (), TickStatus.SKIPPED, 30),
        ):
            state = switched_on(instance, name, old, every)
            for minutes in ages:
                ticked(instance, state, now - timedelta(minutes=minutes), status)
        switched_on(instance, "just on", now)
        off = switched_on(instance, "off", old)
        instance.update_instigator_state(off.with_status(InstigatorStatus.STOPPED))
        assert silent_sensors(instance, at_most=half, now=now) == {
            "silent": "has not ticked for 90 minutes",
            "failing": "its last 3 ticks failed",
            "never": "has not ticked for 300 minutes",
        }
        known = {"well", "silent"}  # the others are no longer in the code
        assert set(silent_sensors(instance, at_most=half, known=known, now=now)) == {"silent"}


def test_an_alert_sensor_that_does_not_tick_is_said_by_the_check_itself_once(
    tmp_path: Path,
) -> None:
    now = datetime.now(UTC)
    with (
        hook() as slack,
        instance_for_test() as instance,
        Sandbox("current", populate=False, limits=False) as sandbox,
    ):
        home = house_of(sandbox, instance, tmp_path)
        policy = AlertPolicy(slack_webhook=slack.url, webserver_url="https://d.example.com")
        state = switched_on(instance, "posthog_alerts", now - timedelta(hours=5))
        named = {"alert_sensor": "posthog_alerts", "project": "PostHog"}
        slack.status = 500
        assert not found(home, policy, "sensors_tick", **named).passed
        slack.status = 200
        for _ in range(2):
            evaluation = found(home, policy, "sensors_tick", **named)
            assert not evaluation.passed
        (said,) = slack.texts
        assert "posthog_alerts has not ticked for 300 minutes" in said
        assert "assets/posthog/operations?view=checks" in said
        ticked(instance, state, now, TickStatus.SKIPPED)
        assert found(home, policy, "sensors_tick", **named).passed
        other = switched_on(instance, "failed_runs_sensor", now - timedelta(hours=5))
        assert not found(home, policy, "sensors_tick", **named).passed
        assert other.instigator_name == "failed_runs_sensor"
        assert len(slack.texts) == 1  # that one is for the alert sensor to say
