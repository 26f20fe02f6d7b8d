"""Dagster's daemon is killed with SIGKILL in the middle of a tick; the next daemon carries on."""

import os
import signal
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hog_dagster.sandbox import Sandbox
from tests.acting_kit import effects
from tests.daemon_kit import IN_PROCESS, daemon, write_settings
from tests.faults.processes import PROCESSES

pytestmark = pytest.mark.integration

LOCATION = Path(__file__).parents[1] / "sensors" / "acting_location.py"
NEWSLETTER = "01968c1e-77aa-0000-4f0e-2b5d1c9a3e10"
SENSOR, SCHEDULE = "failed_runs_sensor", "newsletter"

#: The matrix has more of the sensor; the normal suite takes the schedule here.
POINTS = [
    (SCHEDULE, "RUN_LAUNCHED"),
    *(
        pytest.param(name, point, marks=pytest.mark.slow)
        for name, points in (
            (SENSOR, ("TICK_CREATED", "TICK_HELD", "RUN_IDS_RESERVED")),
            (SCHEDULE, ("TICK_CREATED", "TICK_HELD", "RUN_CREATED", "TICK_SUCCESS")),
        )
        for point in points
    ),
]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox("docs", populate=False, limits=False, marker_lag=3600) as sandbox:
        sandbox.world.add_person()
        yield sandbox


def _settings(sandbox: Sandbox, folder: Path) -> dict[str, str]:
    return {
        "ACTING_TEST_HOST": sandbox.url,
        "ACTING_TEST_KEY": sandbox.api_key,
        "ACTING_TEST_PROJECT": str(sandbox.project_id),
        "ACTING_TEST_LEDGER": f"sqlite:///{folder}/ledger.sqlite",
    }


def _tick(
    settings: Mapping[str, str], folder: str, name: str, hour: datetime, point: str, turns: int
) -> None:
    os.environ.update(settings)
    kill = {name: point} if point else {}
    with daemon(Path(folder), {"only": LOCATION}, kept=True) as loop:
        loop.start(name, hour - timedelta(minutes=10))
        for turn in range(turns):
            loop.tick_sensors(kill)
            loop.tick_schedules(hour + timedelta(seconds=turn - 60 * (turns == 1)), kill)
            loop.tick_schedules(hour + timedelta(seconds=turn + 1), kill)


@pytest.mark.parametrize(("name", "point"), POINTS)
def test_a_daemon_killed_in_the_middle_of_a_tick_doubles_and_loses_nothing(
    sandbox: Sandbox, quick_folder: Path, name: str, point: str
) -> None:
    write_settings(quick_folder, IN_PROCESS)
    runs: list[dict[str, Any]] = []
    if name == SENSOR:
        workflow = sandbox.world.add_workflow("Onboarding")["id"]
        runs = sandbox.world.add_blocked_runs(workflow, 2)
    else:
        sandbox.world.add_workflow("Newsletter", trigger="batch", id=NEWSLETTER)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    settings = _settings(sandbox, quick_folder)
    for killed_at, turns in ((point, 1), ("", 3)):
        process = PROCESSES.Process(
            target=_tick, args=(settings, str(quick_folder), name, hour, killed_at, turns)
        )
        process.start()
        process.join(100)
        assert process.exitcode == (-signal.SIGKILL if killed_at else 0)
    if name == SENSOR:
        assert effects(sandbox) == {run["instance_id"]: 1 for run in runs}
    else:
        assert len(sandbox.world.batch_sends) == 1
