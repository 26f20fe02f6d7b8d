"""What workflows and hog functions have in common: both write logs and count metrics.

Facts: the logs and metrics endpoints of both are one mixin each, and their rows are in the same
tables of PostHog's SQL, told apart as `hog_flow` and `hog_function`. Lines and counts of a batch
job's runs are filed under the job. Functions that run in browsers leave neither.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from hog_dagster.assets._guard import ObjectGuard
from hog_dagster.assets._report import Gap, Report
from hog_dagster.assets.function_tables import HOG_FUNCTIONS
from hog_dagster.assets.options import HogFunctionSelection, WorkflowSelection
from hog_dagster.assets.workflow_tables import WORKFLOWS
from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog.hog_functions import HogFunctions
from hog_dagster.posthog.workflows import Workflows
from hog_dagster.resources import PostHogResource
from hog_dagster.warehouse import Table

__all__ = [
    "BATCH_TRIGGERS",
    "SCHEDULE_TRIGGERS",
    "Family",
    "HogFunctionFamily",
    "Source",
    "WorkflowFamily",
]

#: Kinds of triggers whose workflows can have batch jobs.
BATCH_TRIGGERS = ("batch",)
#: Kinds of triggers whose workflows can have schedules.
SCHEDULE_TRIGGERS = ("batch", "schedule")
_log = logging.getLogger("hog_dagster")
_IN_BROWSERS = ("site_app", "site_destination")


@dataclass(frozen=True)
class Source:
    """A workflow or a hog function.

    Args:
        id: its id.
        steps: ids of its steps, which are counted on their own.
        sends_batches: whether batch jobs can be sent with it.
        changed_at: when its definition last changed; None when unknown.
    """

    id: str
    steps: tuple[str, ...] = ()
    sends_batches: bool = False
    changed_at: datetime | None = None


class Family(ABC):
    """A kind of thing that logs and counts.

    Attributes:
        name: names the asset group, `posthog_<name>`, and the thing in sentences.
        id_column: what the tables call the thing.
        kind: what PostHog's SQL calls it.
        catalog: the table that lists the things.
    """

    name: str
    id_column: str
    kind: str
    catalog: Table

    @abstractmethod
    def sources(self, client: PostHogClient) -> list[Source]:
        """The things that are read."""

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
        """Batch job id -> id of the thing it was sent with.

        Args:
            client: an open client.
            sources: whose.
            workers: how many are asked at the same time.
            unlisted: told of each thing whose jobs could not be listed.
        """
        return {}


@dataclass(frozen=True)
class WorkflowFamily(Family):
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
                tuple(action.id for action in workflow.actions),
                workflow.trigger.get("type") in BATCH_TRIGGERS,
                workflow.updated_at,
            )
            for workflow in client.workflows.list()
            if workflow in self.selection
        ]

    def service(self, client: PostHogClient) -> Workflows:
        return client.workflows

    def page(self, posthog: PostHogResource) -> str:
        return posthog.workflows_url

    def batch_jobs(
        self,
        client: PostHogClient,
        sources: Sequence[Source],
        *,
        workers: int,
        unlisted: Callable[[Gap], None],
    ) -> dict[str, str]:
        ids = [source.id for source in sources if source.sends_batches]

        guard: ObjectGuard[tuple[str, str]] = ObjectGuard(
            Report(), lambda id, window: (), _log.info
        )

        def jobs(id: str) -> list[tuple[str, str]]:
            return [(job.id, id) for job in client.workflows.batch_jobs(id)]

        found = dict(guard.each(ids, jobs, workers=workers))
        for gap in guard.report.gaps:
            unlisted(gap)
        return found


@dataclass(frozen=True)
class HogFunctionFamily(Family):
    """Hog functions, those of the selection; not those that run in browsers."""

    selection: HogFunctionSelection = field(default_factory=HogFunctionSelection)
    name = "hog_functions"
    id_column = "function_id"
    kind = "hog_function"
    catalog = HOG_FUNCTIONS

    def sources(self, client: PostHogClient) -> list[Source]:
        return [
            Source(function.id)
            for function in client.hog_functions.list()
            if function in self.selection and function.type not in _IN_BROWSERS
        ]

    def service(self, client: PostHogClient) -> HogFunctions:
        return client.hog_functions

    def page(self, posthog: PostHogResource) -> str:
        return f"{posthog.project_url}/pipeline/overview"
