"""Sensors and schedules through Dagster's own daemon loop: EnvVars, two locations, real ticks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.scheduler.instigation import TickStatus

from hog_dagster.jobs import WORKFLOW_TAG
from hog_dagster.ledger import Ledger
from hog_dagster.sandbox import Sandbox
from tests.acting_kit import effects
from tests.daemon_kit import Daemon, daemon

pytestmark = pytest.mark.integration

LOCATION = Path(__file__).parent / "acting_location.py"
NEWSLETTER = "01968c1e-77aa-0000-4f0e-2b5d1c9a3e10"
SENSOR = "failed_runs_sensor"


@contextmanager
def environment(sandbox: Sandbox, folder: Path) -> Iterator[None]:
    values = {
        "ACTING_TEST_HOST": sandbox.url,
        "ACTING_TEST_KEY": sandbox.api_key,
        "ACTING_TEST_PROJECT": str(sandbox.project_id),
        "ACTING_TEST_LEDGER": f"sqlite:///{folder}/ledger.sqlite",
    }
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            del os.environ[name]


class Setting:
    """Two code locations with the same sensor and schedule, over one sandbox and one ledger."""

    def __init__(self, sandbox: Sandbox, daemon: Daemon, folder: Path) -> None:
        self.sandbox = sandbox
        self.daemon = daemon
        self.ledger = f"sqlite:///{folder}/ledger.sqlite"

    def fresh(self) -> None:
        """An empty project, no runs, sensors and schedules stopped."""
        self.sandbox.world.workflows.clear()
        self.sandbox.world.executed.clear()
        self.sandbox.world.sent.clear()
        self.sandbox.clear_faults()
        self.sandbox.reset_counts()
        self.daemon.wipe()


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    folder = tmp_path_factory.mktemp("daemon")
    with (
        Sandbox("docs", populate=False, limits=False, marker_lag=3600) as sandbox,
        environment(sandbox, folder),
        daemon(folder, {"north": LOCATION, "south": LOCATION}) as loop,
    ):
        yield Setting(sandbox, loop, folder)


@pytest.fixture
def home(setting: Setting) -> Setting:
    setting.fresh()
    return setting


def blocked(home: Setting, n: int) -> list[dict[str, Any]]:
    workflow = home.sandbox.world.add_workflow("Onboarding")["id"]
    return home.sandbox.world.add_blocked_runs(workflow, n)


def test_the_same_sensor_in_two_locations_replays_each_run_once(home: Setting) -> None:
    runs = blocked(home, 3)
    home.daemon.start(SENSOR)
    for _ in range(3):
        home.daemon.tick_sensors()
    assert {run.status for run in home.daemon.runs()} == {DagsterRunStatus.SUCCESS}
    assert effects(home.sandbox) == {run["instance_id"]: 1 for run in runs}


@pytest.mark.parametrize("named_by", ["tag", "config"])
def test_while_a_run_for_a_workflow_is_under_way_no_other_is_requested(
    home: Setting, named_by: str
) -> None:
    blocked(home, 2)
    workflow = next(iter(home.sandbox.world.workflows))
    given: dict[str, Any] = {"tags": {WORKFLOW_TAG: workflow}}
    if named_by == "config":  # as an operator launches it
        config = {"config": {"workflows": [workflow], "all_blocked": True}}
        given = {"run_config": {"ops": {"replay_runs_op": config}}}
    under_way = home.daemon.add_run("replay_runs", DagsterRunStatus.STARTED, **given)
    home.daemon.start(SENSOR)
    home.daemon.tick_sensors()
    assert [run.run_id for run in home.daemon.runs()] == [under_way.run_id]
    tick = home.daemon.last_tick(home.daemon.sensors(SENSOR)[0])
    assert "a run is under way" in str(tick.skip_reason)
    home.daemon.instance.report_run_canceled(under_way)
    home.daemon.tick_sensors()
    waits = named_by == "tag"  # a run of the sensor's own that failed is followed by a pause
    assert len(home.daemon.runs()) == (1 if waits else 2)
    assert set(effects(home.sandbox).values()) == (set() if waits else {1})


def test_a_tick_never_posts_and_says_what_it_saw(home: Setting) -> None:
    home.sandbox.world.add_workflow("Quiet")
    home.daemon.start(SENSOR)
    home.daemon.tick_sensors()
    for sensor in home.daemon.sensors(SENSOR):
        tick = home.daemon.last_tick(sensor)
        assert tick.status is TickStatus.SKIPPED
        assert tick.skip_reason == "Read 1 of 1 workflows with failures."
    assert home.sandbox.count("POST", "*/hog_flows/*") == 0
    assert home.daemon.runs() == []


def test_a_key_that_is_refused_fails_the_tick_with_a_remedy(home: Setting) -> None:
    home.daemon.start(SENSOR)
    body = {"type": "authentication_error", "code": "authentication_failed", "detail": "Nope."}
    home.sandbox.fail("GET", times=0, status=401, body=body)
    home.daemon.tick_sensors()
    tick = home.daemon.last_tick(home.daemon.sensors(SENSOR)[0])
    assert tick.status is TickStatus.FAILURE
    assert tick.error is not None
    assert "401" in tick.error.to_string()


def test_sensors_and_schedules_are_stopped_until_switched_on(home: Setting) -> None:
    blocked(home, 1)
    home.daemon.tick_sensors()
    home.daemon.tick_schedules(datetime(2026, 11, 20, 9, 30, tzinfo=UTC))
    assert home.daemon.runs() == []
    assert home.sandbox.count() == 0


def test_the_same_schedule_in_two_locations_sends_once(home: Setting) -> None:
    home.sandbox.world.add_person()
    home.sandbox.world.add_workflow("Newsletter", trigger="batch", id=NEWSLETTER)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    home.daemon.start("newsletter", hour - timedelta(minutes=10))
    home.daemon.tick_schedules(hour - timedelta(minutes=5))
    home.daemon.tick_schedules(hour + timedelta(seconds=1))
    home.daemon.tick_schedules(hour + timedelta(seconds=2))
    requested = home.daemon.runs()
    assert len(requested) == 2  # one of each location
    assert {run.status for run in requested} == {DagsterRunStatus.SUCCESS}
    assert len(home.sandbox.world.batch_sends) == 1
    with Ledger(home.ledger) as ledger:
        assert len(list(ledger.entries(kind="batch_send"))) == 1


def test_moments_missed_while_the_daemon_was_down_are_sent_once_each(home: Setting) -> None:
    home.sandbox.world.add_person()
    home.sandbox.world.add_workflow("Newsletter", trigger="batch", id=NEWSLETTER)
    with Ledger(home.ledger) as ledger:  # of the tests before, too
        before = {entry.subject for entry in ledger.entries(kind="batch_send")}
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    on = hour - timedelta(hours=4, minutes=30)
    home.daemon.start("newsletter", on)
    for minutes in (0, 31):  # one moment while the daemon runs
        home.daemon.tick_schedules(on + timedelta(minutes=minutes))
    home.daemon.tick_schedules(hour + timedelta(seconds=1))  # then it was down for four
    home.daemon.tick_schedules(hour + timedelta(seconds=2))
    keys = {run.tags["hog_dagster/send_key"] for run in home.daemon.runs()}
    assert keys == {f"{hour - timedelta(hours=n):%Y-%m-%dT%H}:00:00Z" for n in range(5)}
    assert len(home.sandbox.world.batch_sends) == len(keys - before)


def test_nothing_is_made_up_for_a_schedule_that_was_just_switched_on(home: Setting) -> None:
    home.sandbox.world.add_person()
    home.sandbox.world.add_workflow("Newsletter", trigger="batch", id=NEWSLETTER)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    home.daemon.start("newsletter", hour - timedelta(hours=9))
    home.daemon.tick_schedules(hour - timedelta(hours=9))
    schedule = home.daemon.schedules("newsletter")
    for one in schedule:
        home.daemon.instance.stop_schedule(one.get_remote_origin_id(), one.selector_id, one)
    home.daemon.start("newsletter", hour - timedelta(minutes=1))
    home.daemon.tick_schedules(hour + timedelta(seconds=1))
    keys = {run.tags["hog_dagster/send_key"] for run in home.daemon.runs()}
    assert keys == {f"{moment:%Y-%m-%dT%H}:00:00Z" for moment in (hour - timedelta(hours=9), hour)}


def test_health_is_observed_through_the_loop(home: Setting) -> None:
    workflow = home.sandbox.world.add_workflow("Failing")["id"]
    now = home.sandbox.clock.now()
    home.sandbox.world.emit_metric(workflow, now, "failed", "failure", 40)
    home.daemon.start("workflow_health_sensor")
    home.daemon.tick_sensors()
    tick = home.daemon.last_tick(home.daemon.sensors("workflow_health_sensor")[0])
    assert tick.status is TickStatus.SKIPPED
    assert "1 of 1 workflows" in str(tick.skip_reason)
    records = home.daemon.instance.fetch_observations(
        dg.AssetKey(["posthog", "workflows"]), limit=5
    ).records
    assert len(records) == 2  # one of each location
