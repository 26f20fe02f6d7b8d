"""Alerts through Dagster's own daemon loop: from a run to a message."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import TickStatus

from hog_dagster.sandbox import Sandbox
from tests.alerts.kit import hook
from tests.daemon_kit import IN_PROCESS, daemon, write_settings

LOCATION = Path(__file__).parent / "alerting_location.py"


def test_a_check_and_a_run_that_fail_under_the_daemon_are_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hook() as slack, Sandbox("current", populate=False, limits=False) as sandbox:
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
            loop.tick_sensors()
            (sensor,) = loop.sensors("posthog_alerts")
            assert loop.last_tick(sensor).status is TickStatus.SKIPPED
            (repository,) = loop.locations()[0].get_repositories().values()
            assert slack.bodies == []
            import tests.alerts.alerting_location as location

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
            assert repository.get_schedules()
