"""Dagster's own daemon loop in a test: code locations behind gRPC, sensors and schedules ticked.

The one file that uses private test helpers of dagster.
"""

import logging
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.remote_origin import (
    CodeLocationOrigin,
    InProcessCodeLocationOrigin,
    ManagedGrpcPythonEnvCodeLocationOrigin,
)
from dagster._core.remote_representation.external import RemoteSchedule, RemoteSensor
from dagster._core.scheduler.instigation import InstigatorTick
from dagster._core.storage.runs.schema import KeyValueStoreTable
from dagster._core.test_utils import (
    create_run_for_test,
    create_test_daemon_workspace_context,
    freeze_time,
    instance_for_test,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs

__all__ = ["IN_PROCESS", "Daemon", "daemon", "write_settings"]

IN_PROCESS = {
    "compute_logs": {  # starts no process to capture what ops print
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    },
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
        storage: Any = self.instance.run_storage
        with storage.connect() as connection:  # what wiping leaves
            connection.execute(KeyValueStoreTable.delete())

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

    def launch(self, run_id: str) -> None:
        """Take a run from the queue and execute it here."""
        self.instance.launch_run(run_id, self.workspace.create_request_context())

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


class Locations(WorkspaceLoadTarget):
    """Code locations, by name and the Python file each is loaded from.

    Args:
        files: location name -> file.
        served: those that have a code server of their own; the others are loaded into this process.
    """

    def __init__(self, files: Mapping[str, Path], served: Sequence[str]) -> None:
        self.files = files
        self.served = served

    def create_origins(self) -> Sequence[CodeLocationOrigin]:
        origins: list[CodeLocationOrigin] = []
        for name, path in self.files.items():
            target = LoadableTargetOrigin(executable_path=sys.executable, python_file=str(path))
            origins.append(
                ManagedGrpcPythonEnvCodeLocationOrigin(target, location_name=name)
                if name in self.served
                else InProcessCodeLocationOrigin(target, location_name=name)
            )
        return origins


def write_settings(home: Path, settings: Mapping[str, Any]) -> None:
    """The `dagster.yaml` of an instance that is kept in this folder.

    All its events are in one database: by default Dagster makes one for each run, which takes as
    long as a run of ours.
    """
    events = {
        "module": "dagster._core.storage.event_log",
        "class": "ConsolidatedSqliteEventLogStorage",
        "config": {"base_dir": str(home)},
    }
    fixed = {"telemetry": {"enabled": False}, "event_log_storage": events}
    text = yaml.safe_dump({**fixed, **settings})
    (home / "dagster.yaml").write_text(text, encoding="utf-8")


@contextmanager
def daemon(folder: Path, files: Mapping[str, Path], *, kept: bool = False) -> Iterator[Daemon]:
    """A daemon over code locations, with an instance whose runs run in this process, at once.

    Args:
        folder: where its files go.
        files: location name -> the Python file it is loaded from.
        kept: the instance is the one in the folder, by its settings there, and outlives this
            daemon; the locations are loaded into this process. Else the instance is gone with the
            daemon, and the first location has a code server of its own, as in production.
    """
    served = [] if kept else list(files)[:1]
    with (
        dg.DagsterInstance.from_config(str(folder))
        if kept
        else instance_for_test(overrides=IN_PROCESS) as instance,
        create_test_daemon_workspace_context(Locations(files, served), instance) as context,
    ):
        yield Daemon(instance, context)
