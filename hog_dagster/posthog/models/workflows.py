"""Models of workflows, their schedules and batch jobs.

Facts: PostHog's hog_flow, schedule and batch job serializers, and a running server's responses.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hog_dagster.posthog.models.base import (
    Creator,
    Instant,
    LenientDict,
    LenientInstant,
    LenientList,
    Model,
    UserReference,
)

__all__ = [
    "BatchJob",
    "BlastRadius",
    "CancelResponse",
    "DeleteResponse",
    "PublishResponse",
    "Revision",
    "Workflow",
    "WorkflowAction",
    "WorkflowEdge",
    "WorkflowSchedule",
]


class WorkflowAction(Model):
    """A step of a workflow: an item of ``actions`` in GET .../hog_flows/{id}/.

    ``type`` is an open set: trigger, function, function_email, delay, conditional_branch, ...
    ``config`` can hold secrets in plain text on older servers.
    """

    id: str
    name: str | None = None
    description: str | None = None
    type: str | None = None
    config: LenientDict = Field(default_factory=dict)
    filters: Any = None
    on_error: str | None = None
    output_variable: Any = None
    created_at: Any = None
    updated_at: Any = None


class WorkflowEdge(Model):
    """A way from one step to the next: an item of ``edges`` in GET .../hog_flows/{id}/."""

    from_: str | None = Field(default=None, alias="from")
    to: str | None = None
    type: str | None = None
    index: int | None = None


class WorkflowSchedule(Model):
    """When a workflow sends by itself: GET, POST .../hog_flows/{id}/schedules/.

    ``rrule`` is an RFC 5545 rule expanded in ``timezone``; ``status`` (active, paused, completed)
    and ``next_run_at`` are PostHog's to set.
    """

    id: str
    rrule: str | None = None
    starts_at: LenientInstant = None
    timezone: str | None = None
    variables: LenientDict = Field(default_factory=dict)
    status: str | None = None
    next_run_at: LenientInstant = None
    created_at: LenientInstant = None
    updated_at: LenientInstant = None


class Workflow(Model):
    """A workflow ("hog flow"): GET .../hog_flows/ and .../hog_flows/{id}/.

    ``status`` is draft, active or archived; ``exit_condition`` and ``type``s are open sets.
    ``actions`` and ``trigger`` can hold secrets in plain text on older servers: redact them
    before storing.
    """

    id: str
    name: str | None = None
    description: str | None = None
    version: int | None = None
    status: str | None = None
    created_at: Instant | None = None
    created_by: UserReference = None
    updated_at: Instant | None = None
    trigger: LenientDict = Field(default_factory=dict)
    trigger_masking: Any = None
    conversion: Any = None
    exit_condition: str | None = None
    edges: LenientList[WorkflowEdge] = Field(default_factory=list[WorkflowEdge])
    actions: LenientList[WorkflowAction] = Field(default_factory=list[WorkflowAction])
    abort_action: str | None = None
    variables: LenientList[Any] = Field(default_factory=list)
    billable_action_types: LenientList[Any] = Field(default_factory=list)
    schedules: LenientList[WorkflowSchedule] | None = None
    draft: Any = None
    draft_updated_at: Instant | None = None

    @property
    def pages(self) -> str:
        """Where its server's UI has workflows: below ``{project}/{pages}/{id}/{tab}``.

        Servers of 2025 called them campaigns, and their rows lack these two fields.
        """
        newer = {"variables", "billable_action_types"} & self.model_fields_set
        return "workflows" if newer else "messaging/campaigns"


class BatchJob(Model):
    """One send of a batch workflow: GET, POST .../hog_flows/{id}/batch_jobs/.

    ``status`` is waiting, queued, active, completed, cancelled or failed; older servers never move
    it from ``queued``. ``created_by`` is None when a schedule made the job.
    """

    id: str
    status: str | None = None
    hog_flow: str | None = None
    filters: Any = None
    variables: LenientDict = Field(default_factory=dict)
    created_at: LenientInstant = None
    created_by: Creator = None
    updated_at: LenientInstant = None


class BlastRadius(Model):
    """How many people a batch would reach: POST .../hog_flows/user_blast_radius/.

    PostHog cuts a larger audience to ``limit`` in silence: 500,000 people, 1,000,000 for some
    organizations (5,000 until July 2026), or what the project's e-mail sending tier allows.
    """

    affected: int
    total: int
    limit: int | None = None
    dedupe_key: str | None = None
    confirm_token: str | None = None


class CancelResponse(Model):
    """How far a cancellation is: POST .../batch_jobs/{id}/cancel/ and .../invocations/cancel/.

    Asynchronous: call again while ``done`` is false.
    """

    status: str | None = None
    marked: int = 0
    remaining: int = 0
    done: bool = False


class DeleteResponse(Model):
    """POST .../hog_flows/bulk_delete/: rows deleted, cascaded ones counted too."""

    deleted: int


class PublishResponse(Model):
    """POST .../hog_flows/{id}/publish/: a preview with its token, or the workflow now live."""

    published: bool
    confirm_token: str | None = None
    draft_updated_at: Instant | None = None
    in_flight_runs: int | None = None
    impact: Any = None
    workflow: Workflow | None = None


class Revision(Model):
    """A published state of a workflow: GET .../hog_flows/{id}/revisions/ and .../{number}/."""

    version: int
    created_at: Instant | None = None
    created_by: UserReference = None
    content: Any = None
