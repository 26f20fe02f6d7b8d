"""Alerts through Dagster's own daemon loop: from a run to a message."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import TickStatus

from hog_dagster.sandbox import Sandbox
from tests.alerts.kit import Hook, hook
from tests.daemon_kit import IN_PROCESS, Daemon, daemon, write_settings

LOCATION = Path(__file__).parent / "alerting_location.py"


@pytest.fixture
def slack() -> Iterator[Hook]:
    with hook() as made:
        yield made


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slack: Hook) -> Iterator[Daemon]:
    """A daemon over the code location."""
    with Sandbox("current", populate=False, limits=False) as sandbox:
        for name, value in {
            "host": sandbox.url,
            "key": sandbox.api_key,
            "project": str(sandbox.project_id),
            "warehouse": str(tmp_path / "w.duckdb"),
            "ledger": f"sqlite:///{tmp_path}/ledger.sqlite",
            "slack": slack.url,
        }.items():
            monkeypatch.setenv(f"ALERTING_TEST_{name.upper()}", value)
        home = tmp_path / "home"
        home.mkdir()
        write_settings(home, IN_PROCESS)
        with daemon(home, {"alerting": LOCATION}, kept=True) as loop:
            yield loop


@pytest.mark.integration
def test_a_check_and_a_run_that_fail_under_the_daemon_are_messages(
    loop: Daemon, slack: Hook
) -> None:
    import tests.alerts.alerting_location as location

    loop.tick_sensors()
    (sensor,) = loop.sensors("posthog_alerts")
    assert loop.last_tick(sensor).status is TickStatus.SKIPPED
    assert slack.bodies == []
    job = location.defs.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection={dg.AssetKey("orders")}
    )
    assert job.execute_in_process(instance=loop.instance).success
    location.defs.resolve_job_def("export").execute_in_process(
        instance=loop.instance, raise_on_error=False
    )
    for _ in range(2):
        loop.tick_sensors()
    (said,) = slack.texts
    assert "ERROR check are_paid of orders: 3 orders are not paid." in said
    assert "of export: It failed in break_down. The export is not there." in said
    assert "https://dagster.example.com/assets/orders?view=checks" in said
    assert "ann@example.com" not in said
    assert "secret-path" not in str(loop.last_tick(sensor))


@pytest.mark.integration
def test_the_schedule_notices_sensors_that_do_not_tick_and_says_it_once(
    loop: Daemon, slack: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.tick_sensors()
    now = datetime.now(UTC)
    key = dg.AssetCheckKey(dg.AssetKey(["posthog", "operations"]), "sensors_tick")
    for minutes, passed, messages in ((0, None, 0), (16, True, 0), (61, False, 1), (76, False, 1)):
        at = now + timedelta(minutes=minutes)
        monkeypatch.setattr("hog_dagster.checks._operations._now", lambda at=at: at)
        loop.tick_schedules(at)
        records = loop.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])
        evaluation = records[key].evaluation if key in records else None
        assert (evaluation.passed if evaluation else None) is passed, minutes
        assert len(slack.bodies) == messages, minutes
    assert "posthog_alerts has not ticked for" in slack.texts[0]
    assert "quiet_one has not ticked for" in slack.texts[0]
