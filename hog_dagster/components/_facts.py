"""What definitions say about themselves to the commands: limits, selection, what must work.

Facts: a job keeps its metadata when definitions are merged, so it is found wherever the project's
`replay_runs` is. Nothing in it is secret.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import dagster as dg
from pydantic import BaseModel, ConfigDict

from hog_dagster.assets import ReadBy
from hog_dagster.components._records import BatchJob, Sensors
from hog_dagster.policies import HogFunctionSelection, Safety, WorkflowSelection

_KEY = "hog_dagster/project"


class ProjectFacts(BaseModel):
    """The settings of a project that a command has to keep to; `needs` are names of the doctor's
    features that are configured."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    safety: Safety = Safety()
    workflows: WorkflowSelection = WorkflowSelection()
    hog_functions: HogFunctionSelection = HogFunctionSelection()
    read_by: ReadBy = "auto"
    needs: tuple[str, ...] = ("workflows", "workflow_logs", "workflow_metrics")

    @classmethod
    def of(
        cls,
        safety: Safety,
        workflows: WorkflowSelection | None,
        sensors: Sensors,
        batch_jobs: Sequence[BatchJob],
        hog_functions: HogFunctionSelection | None = None,
        read_by: ReadBy = "auto",
    ) -> "ProjectFacts":
        """Of what definitions are built from.

        Replays are needed once their sensor is no dry run, batch jobs once one is configured.
        """
        needs = list(cls.model_fields["needs"].default)
        if sensors.replay is not None and not safety.narrow_replay(sensors.replay).dry_run:
            needs.append("replay")
        if batch_jobs:
            needs.append("send_batch_job")
        return cls(
            safety=safety,
            workflows=workflows or WorkflowSelection(),
            hog_functions=hog_functions or HogFunctionSelection(),
            read_by=read_by,
            needs=tuple(needs),
        )

    @classmethod
    def read(cls, defs: dg.Definitions, prefix: str = "") -> "ProjectFacts":
        """Of definitions; the defaults where they say nothing. `prefix` is what stands before the
        names of the project's jobs, `eu_` say."""
        for job in defs.jobs or ():
            if job.name == f"{prefix}replay_runs" and isinstance(job, dg.JobDefinition):
                said = job.metadata.get(_KEY)
                return cls.model_validate(said.value) if said is not None else cls()
        return cls()

    def metadata(self) -> dict[str, Any]:
        """Of the job that carries it."""
        return {_KEY: dg.MetadataValue.json(self.model_dump(mode="json"))}
