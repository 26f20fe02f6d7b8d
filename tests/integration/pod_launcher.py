"""A run launcher that has each run started on a host of its own, as one for pods does.

It only writes down what is wanted, as a launcher writes to a cluster's API; the test, which plays
the cluster, makes the host and starts the run there.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClass, ConfigurableClassData

__all__ = ["PodLauncher"]


class PodLauncher(RunLauncher, ConfigurableClass):
    """Writes a file per run into a folder: the command that executes the run."""

    def __init__(self, folder: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._folder = Path(folder)
        self._inst_data = inst_data
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {"folder": dg.StringSource}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> "PodLauncher":
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        assert context.job_code_origin is not None
        arguments = ExecuteRunArgs(
            job_origin=context.job_code_origin,
            run_id=run.run_id,
            instance_ref=self._instance.get_ref(),
        )
        wanted = self._folder / f"{run.run_id}.wanted"
        wanted.write_text(json.dumps(arguments.get_command_args()), encoding="utf-8")
        wanted.rename(wanted.with_suffix(".json"))

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        dead = (self._folder / f"{run.run_id}.dead").exists()
        return CheckRunHealthResult(WorkerStatus.FAILED if dead else WorkerStatus.RUNNING)

    def terminate(self, run_id: str) -> bool:
        return False
