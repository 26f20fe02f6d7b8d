"""Sends of workflows: batch jobs, schedules, and how many people a batch would reach.

Facts: PostHog's batch job and schedule serializers, and a running server's responses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hog_dagster.posthog import models
from hog_dagster.posthog._endpoints import workflows as endpoints
from hog_dagster.posthog._pagination.windows import written
from hog_dagster.posthog._services.base import Service
from hog_dagster.posthog._services.fields import given


class WorkflowSends(Service):
    """What sends a workflow to many people, now or on a schedule."""

    def batch_jobs(self, id: str) -> list[models.BatchJob]:
        """All batch jobs of a workflow, newest first: GET .../hog_flows/{id}/batch_jobs/.

        Scope hog_flow:read. The whole history, as a rule in one response; a page is followed by the
        next until all are read. On older servers ``status`` never moves from ``queued``.

        Raises:
            MalformedResponse: the response is no list of batch jobs.
        """
        return self._many(models.BatchJob, endpoints.BATCH_JOBS, {"id": id})

    def create_batch_job(
        self,
        id: str,
        *,
        variables: Mapping[str, Any] | None = None,
        confirm_token: str | None = None,
    ) -> models.BatchJob:
        """Send a batch workflow to its audience: POST .../hog_flows/{id}/batch_jobs/. Sent once.

        Scopes hog_flow:write and, on newer servers, person:read. Reaches real people, and PostHog
        has no idempotency key for it: keep a record before sending.

        Args:
            id: the workflow; newer servers want it active.
            variables: values that replace the workflow's own.
            confirm_token: from :meth:`blast_radius`; asked of agents only.

        Raises:
            InvalidRequest: PostHog refuses it; nothing was sent.
            Throttled: the rate limit; nothing was sent.
            OutcomeUnknown: no response came: look into :meth:`batch_jobs` before sending again.
            ServerError: PostHog failed; the job may exist all the same: look there too.
        """
        body = given(variables=dict(variables or {}), confirm_token=confirm_token)
        return self._one(models.BatchJob, endpoints.CREATE_BATCH_JOB, {"id": id}, body=body)

    def cancel_batch_job(self, id: str, job_id: str) -> models.CancelResponse:
        """Stop a batch job: POST .../hog_flows/{id}/batch_jobs/{job_id}/cancel/. Sent once.

        Scope hog_flow:write. Asynchronous: call again while ``done`` is false. A finished job
        answers done at once.

        Raises:
            EndpointMissing: an older server.
        """
        return self._one(
            models.CancelResponse, endpoints.CANCEL_BATCH_JOB, {"id": id, "job_id": job_id}, body={}
        )

    def blast_radius(
        self,
        filters: Mapping[str, Any],
        *,
        group_type_index: int | None = None,
        dedupe_key: str | None = None,
        sends_email: bool | None = None,
    ) -> models.BlastRadius:
        """How many people match an audience: POST .../hog_flows/user_blast_radius/.

        Scopes hog_flow:read and person:read. Changes nothing.

        Args:
            filters: the audience, such as a batch trigger's ``filters``: ``{"properties": [...]}``.
            group_type_index: count groups of this type.
            dedupe_key: count each value of this property once (newest servers).
            sends_email: whether the workflow sends e-mail, so that PostHog's limit for e-mail
                counts (August 2026 on; older servers ignore it).
        """
        body = given(
            filters=dict(filters),
            group_type_index=group_type_index,
            dedupe_key=dedupe_key,
            sends_email=sends_email,
        )
        return self._one(models.BlastRadius, endpoints.BLAST_RADIUS, body=body)

    def schedules(self, id: str) -> list[models.WorkflowSchedule]:
        """A workflow's schedules, newest first: GET .../hog_flows/{id}/schedules/.

        Scope hog_flow:read.
        """
        return self._many(models.WorkflowSchedule, endpoints.SCHEDULES, {"id": id})

    def create_schedule(self, id: str, body: Mapping[str, Any]) -> models.WorkflowSchedule:
        """Add a schedule: POST .../hog_flows/{id}/schedules/. Reaches people; sent once.

        Scopes hog_flow:write and, on newer servers, person:read.

        Args:
            id: the workflow.
            body: ``rrule`` (RFC 5545, without DTSTART, at most hourly) and ``starts_at`` are
                required; ``timezone`` (IANA, default UTC) and ``variables`` are not.

        Raises:
            InvalidRequest: ``attr`` says whether the rule, the start or the zone is wrong.
        """
        return self._one(
            models.WorkflowSchedule,
            endpoints.CREATE_SCHEDULE,
            {"id": id},
            body={name: written(name, value) for name, value in body.items()},
        )

    def update_schedule(
        self, id: str, schedule_id: str, changes: Mapping[str, Any]
    ) -> models.WorkflowSchedule:
        """Change a schedule: PATCH .../hog_flows/{id}/schedules/{schedule_id}/.

        Scope hog_flow:write. ``status`` is PostHog's: changing it is ignored. A new rule, start or
        zone revives a completed schedule.
        """
        return self._one(
            models.WorkflowSchedule,
            endpoints.UPDATE_SCHEDULE,
            {"id": id, "schedule_id": schedule_id},
            body={name: written(name, value) for name, value in changes.items()},
        )

    def delete_schedule(self, id: str, schedule_id: str) -> None:
        """Delete a schedule: DELETE .../hog_flows/{id}/schedules/{schedule_id}/. Sent once.

        Scope hog_flow:write.
        """
        self._send(endpoints.DELETE_SCHEDULE, {"id": id, "schedule_id": schedule_id})
