"""What workflows and hog functions have in common: both write logs and count metrics.

Facts: the logs and metrics endpoints of both are one mixin each, and their rows are in the same
tables of PostHog's SQL, told apart as `hog_flow` and `hog_function`. Lines and counts of a batch
job's runs are filed under the job. Functions that run in browsers leave neither.
"""

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.assets._function_tables import HOG_FUNCTIONS
from hog_dagster.assets._guard import ObjectGuard
from hog_dagster.assets._report import Gap, Report, labelled
from hog_dagster.assets._shared_reads import functions_of, workflows_of
from hog_dagster.assets._workflow_tables import WORKFLOWS
from hog_dagster.lineage import HogFunctionSelection, WorkflowSelection
from hog_dagster.posthog import HogFunctions, PostHogClient, Workflows
from hog_dagster.posthog.models import Workflow
from hog_dagster.resources import PostHogResource
from hog_dagster.warehouse import Table

#: Kinds of triggers whose workflows can have batch jobs.
BATCH_TRIGGERS = ("batch",)
#: Kinds of triggers whose workflows can have schedules.
SCHEDULE_TRIGGERS = ("batch", "schedule")
_log = logging.getLogger("hog_dagster")
_IN_BROWSERS = ("site_app", "site_destination")
#: Kinds of steps that count when people open what was sent, days after the run.
_COUNT_LATER = ("function_email", "function_push", "function_sms")
#: Kinds of steps that wait for as long as it takes.
_WAIT_UNTIL = ("wait_until_condition", "wait_until_time_window")
#: A step that waits counts when its wait is over: after this, the day can have been read.
_LONG_WAIT = timedelta(hours=1)
_DURATION = re.compile(r"(\d*\.?\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Source:
    """A workflow or a hog function.

    Args:
        id: its id.
        steps: ids of its steps that are counted on their own. PostHog's worker starts a run at the
            step after the trigger, so that the trigger's own id never counts anything.
        sends_batches: whether batch jobs can be sent with it.
        changed_at: when its definition last changed; None when unknown.
        counts_later: whether it counts after its runs have ended: e-mails are opened later.
        off: whether it is switched off and cannot run.
        waits: whether its runs can wait at a step for longer than an hour.
        name: what people call it.
    """

    id: str
    steps: tuple[str, ...] = ()
    sends_batches: bool = False
    changed_at: datetime | None = None
    counts_later: bool = False
    off: bool = False
    waits: bool = False
    name: str = ""

    @property
    def label(self) -> str:
        """For people: `"Trial ending" (0196...)`, or the id alone where it has no name."""
        return labelled(self.id, {self.id: self.name})


def can_wait(workflow: Workflow) -> bool:
    """Whether runs of a workflow can wait at a step for longer than an hour; a duration that
    cannot be read may be any."""

    def waits(kind: str | None, duration: Any) -> bool:
        if kind in _WAIT_UNTIL:
            return True
        if kind != "delay":
            return False
        found = _DURATION.fullmatch(str(duration or "").strip())
        return found is None or timedelta(**{_UNITS[found[2]]: float(found[1])}) > _LONG_WAIT

    return any(waits(step.type, step.config.get("delay_duration")) for step in workflow.actions)


def chosen_text(selection: WorkflowSelection | HogFunctionSelection) -> str:
    """A selection in words, the same in every process."""
    words = []
    for name in type(selection).model_fields:
        value = getattr(selection, name)
        given = value if value is None or isinstance(value, bool) else sorted(value)
        words.append(f"{name}={given}")
    return ", ".join(words)


class LogSource(ABC):
    """A kind of thing that logs and counts."""

    #: Names the asset group, `posthog_<name>`, and the thing in sentences.
    name: str
    #: What the tables call the thing.
    id_column: str
    #: What PostHog's SQL calls it.
    kind: str
    #: The table that lists the things.
    catalog: Table
    selection: Any

    @property
    def narrow(self) -> bool:
        """Whether not all of them are read."""
        return self.selection != type(self.selection)()

    @property
    def chosen(self) -> str:
        """The selection in words, the same in every process."""
        return chosen_text(self.selection)

    @abstractmethod
    def sources(self, client: PostHogClient) -> list[Source]:
        """The things that are read, as PostHog lists them."""

    @abstractmethod
    def loaded(self, rows: Iterable[Mapping[str, Any]]) -> list[Source]:
        """The things that are read, of rows of the catalog; their steps are not among them."""

    @abstractmethod
    def service(self, client: PostHogClient) -> Workflows | HogFunctions:
        """The client's service for them."""

    @abstractmethod
    def page(self, posthog: PostHogResource) -> str:
        """Their page in PostHog."""

    def batch_jobs(
        self,
        client: PostHogClient,
        sources: Sequence[Source],
        *,
        workers: int,
        unlisted: Callable[[Gap], None],
    ) -> dict[str, str]:
        """Batch job id -> id of the thing it was sent with; `unlisted` is called with each thing
        whose jobs could not be listed."""
        ids = [source.id for source in sources if source.sends_batches]

        guard: ObjectGuard[tuple[str, str]] = ObjectGuard(
            Report(), lambda id, window: (), _log.info, {one.id: one.name for one in sources}
        )

        def jobs(id: str) -> list[tuple[str, str]]:
            return [(job.id, id) for job in client.workflows.batch_jobs(id)]

        found = dict(guard.each(ids, jobs, workers=workers))
        for gap in guard.report.gaps:
            unlisted(gap)
        return found


@dataclass(frozen=True)
class WorkflowLogSource(LogSource):
    """Workflows, those of the selection."""

    selection: WorkflowSelection = field(default_factory=WorkflowSelection)
    name = "workflows"
    id_column = "workflow_id"
    kind = "hog_flow"
    catalog = WORKFLOWS

    def sources(self, client: PostHogClient) -> list[Source]:
        return [
            Source(
                workflow.id,
                tuple(action.id for action in workflow.actions if action.type != "trigger"),
                workflow.trigger.get("type") in BATCH_TRIGGERS,
                workflow.updated_at,
                any(action.type in _COUNT_LATER for action in workflow.actions),
                waits=can_wait(workflow),
                name=workflow.name or "",
            )
            for workflow in workflows_of(client)
            if workflow in self.selection
        ]

    def loaded(self, rows: Iterable[Mapping[str, Any]]) -> list[Source]:
        return [
            Source(
                row["id"],
                sends_batches=row["trigger_type"] in BATCH_TRIGGERS,
                changed_at=row["updated_at"],
                name=row["name"] or "",
            )
            for row in rows
        ]

    def service(self, client: PostHogClient) -> Workflows:
        return client.workflows

    def page(self, posthog: PostHogResource) -> str:
        return posthog.workflows_url


@dataclass(frozen=True)
class HogFunctionLogSource(LogSource):
    """Hog functions, those of the selection; not those that run in browsers."""

    selection: HogFunctionSelection = field(default_factory=HogFunctionSelection)
    name = "hog_functions"
    id_column = "function_id"
    kind = "hog_function"
    catalog = HOG_FUNCTIONS

    def sources(self, client: PostHogClient) -> list[Source]:
        return [
            Source(
                function.id,
                changed_at=function.updated_at,
                off=function.enabled is False,
                name=function.name or "",
            )
            for function in functions_of(client)
            if function in self.selection and function.type not in _IN_BROWSERS
        ]

    def loaded(self, rows: Iterable[Mapping[str, Any]]) -> list[Source]:
        return [
            Source(
                row["id"],
                changed_at=row["updated_at"],
                off=row["enabled"] is False,
                name=row["name"] or "",
            )
            for row in rows
            if row["type"] not in _IN_BROWSERS
        ]

    def service(self, client: PostHogClient) -> HogFunctions:
        return client.hog_functions

    def page(self, posthog: PostHogResource) -> str:
        return f"{posthog.project_url}/pipeline/overview"
