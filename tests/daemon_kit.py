"""Dagster's own daemon loop in a test: code locations behind gRPC, sensors and schedules ticked.

The one file that uses private test helpers of dagster.
"""

import logging
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.remote_representation.external import RemoteSchedule, RemoteSensor
from dagster._core.scheduler.instigation import InstigatorTick
from dagster._core.test_utils import (
    create_run_for_test,
    create_test_daemon_workspace_context,
    freeze_time,
    instance_for_test,
)
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs

__all__ = ["Daemon", "daemon"]

IN_PROCESS = {
    "run_launcher": {
        "module": "dagster._core.launcher.sync_in_memory_run_launcher",
        "class": "SyncInMemoryRunLauncher",
    },
    "run_coordinator": {
        "module": "dagster._core.run_coordinator",
        "class": "DefaultRunCoordinator",
    },
}


@dataclass
class Daemon:
    """A daemon over a workspace; a tick is one turn of its loop, later than the one before."""

    instance: dg.DagsterInstance
    workspace: Any
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("test.daemon"))
    turns: int = 0

    def locations(self) -> list[Any]:
        context = self.workspace.create_request_context()
        entries = context.get_code_location_entries().values()
        for entry in entries:
            assert entry.code_location is not None, entry.load_error
        return [entry.code_location for entry in entries]

    def sensors(self, name: str) -> list[RemoteSensor]:
        return [
            sensor
            for location in self.locations()
            for repository in location.get_repositories().values()
            for sensor in repository.get_sensors()
            if sensor.name == name
        ]

    def schedules(self, name: str) -> list[RemoteSchedule]:
        return [
            schedule
            for location in self.locations()
            for repository in location.get_repositories().values()
            for schedule in repository.get_schedules()
            if schedule.name == name
        ]

    def start(self, name: str, at: datetime | None = None) -> None:
        """Switch on the sensors or schedules of this name, in every location."""
        with freeze_time(at or datetime.now(UTC)):
            for sensor in self.sensors(name):
                self.instance.start_sensor(sensor)
            for schedule in self.schedules(name):
                self.instance.start_schedule(schedule)

    def wipe(self) -> None:
        """No runs, no ticks, no cursors; everything switched off."""
        self.instance.wipe()
        if self.instance.schedule_storage is not None:
            self.instance.schedule_storage.wipe()

    def tick_sensors(self, kill: Mapping[str, str] | None = None) -> None:
        """One turn of the sensor daemon.

        Args:
            kill: sensor -> the point of its tick at which this process is killed with SIGKILL.
        """
        self.turns += 1
        flags = {name: {point: signal.SIGKILL} for name, point in (kill or {}).items()}
        with freeze_time(datetime.now(UTC) + timedelta(seconds=3 * self.turns)):
            list(
                execute_sensor_iteration(
                    self.workspace, self.logger, None, None, debug_crash_flags=flags
                )
            )

    def tick_schedules(self, now: datetime, kill: Mapping[str, str] | None = None) -> None:
        """One turn of the scheduler at `now`; `kill` as for sensors."""
        flags = {name: {point: signal.SIGKILL} for name, point in (kill or {}).items()}
        with freeze_time(now):
            list(
                launch_scheduled_runs(self.workspace, self.logger, now, {}, debug_crash_flags=flags)
            )

    def last_tick(self, instigator: RemoteSensor | RemoteSchedule) -> InstigatorTick:
        ticks = self.instance.get_ticks(
            instigator.get_remote_origin_id(), instigator.selector_id, limit=1
        )
        return ticks[0]

    def add_run(self, job_name: str, status: dg.DagsterRunStatus, **fields: Any) -> dg.DagsterRun:
        """A run that nothing executes, in this state."""
        return create_run_for_test(self.instance, job_name=job_name, status=status, **fields)

    def runs(self) -> Sequence[dg.DagsterRun]:
        """Every run, oldest first."""
        return list(reversed(self.instance.get_runs()))


@contextmanager
def daemon(folder: Path, files: Mapping[str, Path], home: Path | None = None) -> Iterator[Daemon]:
    """A daemon over code locations, with an instance whose runs run in this process, at once.

    Args:
        folder: where the workspace file goes.
        files: location name -> the Python file it is loaded from.
        home: keeps the instance, for the daemon after this one; else it is gone with it.
    """
    workspace = folder / "workspace.yaml"
    load_from = [
        {"python_file": {"relative_path": str(path), "location_name": name}}
        for name, path in files.items()
    ]
    workspace.write_text(yaml.safe_dump({"load_from": load_from}), encoding="utf-8")
    with (
        instance_for_test(overrides=IN_PROCESS, temp_dir=str(home) if home else None) as instance,
        create_test_daemon_workspace_context(
            WorkspaceFileTarget([str(workspace)]), instance
        ) as context,
    ):
        yield Daemon(instance, context)
