"""The ``workflows`` service: PostHog Workflows ("hog flows"), their definitions and metrics.

Facts: PostHog's hog_flow viewsets of every generation and a running server's responses. Runs are in
:mod:`source_runs`, :mod:`run_states` and :mod:`workflow_runs`, sends and schedules in
:mod:`workflow_sends`, drafts and revisions in :mod:`workflow_drafts`; the service is all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from json import dumps
from typing import Any

from hog_dagster.posthog import models
from hog_dagster.posthog._endpoints import workflows as endpoints
from hog_dagster.posthog._listing import listed
from hog_dagster.posthog._pagination.windows import written
from hog_dagster.posthog._services.base import Service
from hog_dagster.posthog._services.logs import SourceLogs
from hog_dagster.posthog._services.metrics import SourceMetrics
from hog_dagster.posthog._services.run_states import RunStates
from hog_dagster.posthog._services.source_runs import SourceRuns
from hog_dagster.posthog._services.workflow_drafts import WorkflowDrafts
from hog_dagster.posthog._services.workflow_runs import WorkflowRuns
from hog_dagster.posthog._services.workflow_sends import WorkflowSends


class WorkflowCatalog(Service):
    """Workflows themselves: list, read, create, change, delete."""

    _noun = "workflows"

    @property
    def pages(self) -> str:
        """Where the server's UI has workflows, as far as its responses show."""
        return self._facts.get("pages", "workflows")

    def _every(self) -> Iterable[models.Workflow]:
        return self.list()

    @listed("workflows", models.Workflow)
    def list(
        self,
        *,
        status: str | None = None,
        trigger: Mapping[str, Any] | None = None,
        created_by: str | int | None = None,
        search: str | None = None,
        type: str | None = None,
    ) -> Iterator[models.Workflow]:
        """Every workflow of the project, newest change first, lazily: GET .../hog_flows/.

        Scope hog_flow:read. One request per 500 workflows; each row is the whole workflow, its
        graph included. Rows that move while the list is read are neither lost nor repeated.

        Args:
            status: draft, active or archived. Older servers ignore it, so rows of another status
                are dropped here as well.
            trigger: only triggers that contain this, such as ``{"type": "batch"}``.
            created_by: the user's UUID on newer servers, the integer id on older ones.
            search: text in name or description (newer servers).
            type: automation, messaging, ... (newer servers).
        """
        params = {
            "status": status,
            "trigger": dumps(dict(trigger)) if trigger else None,
            "created_by": created_by,
            "search": search,
            "type": type,
        }
        for row in self._paged(models.Workflow, endpoints.LIST, params=params):
            self._facts["pages"] = row.pages
            if status is None or row.status == status:
                yield row

    def get(self, id: str) -> models.Workflow:
        """One workflow: GET .../hog_flows/{id}/, scope hog_flow:read.

        Args:
            id: its id, or its name; a name costs a request per 500 workflows more.

        Raises:
            NotFound: there is none with that id or name in the project, or several with the name.
        """
        found = self._one(models.Workflow, endpoints.GET, {"id": id})
        self._facts["pages"] = found.pages
        return found

    def create(self, body: Mapping[str, Any]) -> models.Workflow:
        """Make a workflow: POST .../hog_flows/, scope hog_flow:write. Sent once.

        Args:
            body: ``actions`` with exactly one of type trigger is required; ``name``, ``edges``,
                ``status`` (default draft), ``exit_condition``, ``variables``, ... are not.

        Raises:
            InvalidRequest: PostHog refuses it; ``attr`` names the place, ``actions__1__config``.
            OutcomeUnknown: no response came: look for it in the list before sending it again.
        """
        return self._one(models.Workflow, endpoints.CREATE, body=dict(body))

    def update(self, id: str, changes: Mapping[str, Any]) -> models.Workflow:
        """Change a workflow: PATCH .../hog_flows/{id}/, scope hog_flow:write.

        ``actions`` and ``edges`` are replaced whole. Repeated on failure, since the values are
        absolute, unless ``base_updated_at`` is among the changes.

        Args:
            id: the workflow.
            changes: fields and their new values. ``base_updated_at``, the ``updated_at`` that was
                read, makes newer servers refuse the change if somebody else came first.

        Raises:
            Conflict: ``base_updated_at`` is stale.
            InvalidRequest: PostHog refuses a value.
        """
        body = {name: written(name, value) for name, value in changes.items()}
        retry = "base_updated_at" not in body
        return self._one(models.Workflow, endpoints.UPDATE, {"id": id}, body=body, retry=retry)

    def replace(self, id: str, body: Mapping[str, Any]) -> models.Workflow:
        """Set a whole workflow: PUT .../hog_flows/{id}/, scope hog_flow:write. Sent once."""
        return self._one(models.Workflow, endpoints.REPLACE, {"id": id}, body=dict(body))

    def delete(self, id: str) -> None:
        """Delete a workflow for good, whatever its status: DELETE .../hog_flows/{id}/.

        Scope hog_flow:write. Its schedules go with it; runs that wait may go on. Sent once.

        Raises:
            NotFound: there is none with that id, or no more.
        """
        self._send(endpoints.DELETE, {"id": id})

    def bulk_delete(self, ids: Iterable[str]) -> int:
        """Delete archived workflows for good: POST .../hog_flows/bulk_delete/. Sent once.

        Scope hog_flow:write. Workflows that are not archived are skipped without a word.

        Args:
            ids: ids or names.

        Returns:
            How many rows were deleted, those that hang on the workflows counted too.
        """
        body = {"ids": [self._id(one) for one in ids]}
        return self._one(models.DeleteResponse, endpoints.BULK_DELETE, body=body).deleted


class Workflows(
    WorkflowCatalog,
    WorkflowRuns,
    WorkflowSends,
    WorkflowDrafts,
    SourceRuns,
    RunStates,
    SourceLogs,
    SourceMetrics,
):
    """All that PostHog's API offers for workflows: ``client.workflows``."""

    _NOUN = "workflow"
    _KIND = "hog_flow"
    _RESULTS = endpoints.INVOCATION_RESULTS
    _RESULT = endpoints.INVOCATION_RESULT
    _COUNT = endpoints.INVOCATION_RESULTS_COUNT
    _RERUN = endpoints.RERUN
    _LOGS = endpoints.LOGS
    _METRICS = endpoints.METRICS
    _METRIC_TOTALS = endpoints.METRIC_TOTALS

    def global_metrics(
        self,
        *,
        after: datetime | str | None = None,
        before: datetime | str | None = None,
    ) -> list[models.GlobalMetric]:
        """Succeeded and failed of every workflow in one request, worst first (newer servers).

        GET .../hog_flows/metrics/global/, scope hog_flow:read. Runs and steps are added up.

        Raises:
            EndpointMissing: an older server; read ``metric_totals(id)`` of each workflow.
        """
        params = {"after": written("after", after), "before": written("before", before)}
        return self._many(models.GlobalMetric, endpoints.GLOBAL_METRICS, params=params)

    def version_metrics(self, id: str, *, version: int) -> Any:
        """Metrics of one version, batch runs included: GET .../{id}/metrics/version/ (newest).

        Scope hog_flow:read. As PostHog answers: its shape still changes.

        Raises:
            EndpointMissing: an older server.
        """
        return self._call(endpoints.VERSION_METRICS, {"id": id}, params={"version": version})
