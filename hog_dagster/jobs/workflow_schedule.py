"""The job that makes a schedule of a workflow in PostHog itself, once.

Facts: as in `schedule_creating`: a repeated POST makes a second schedule and doubles every send.
"""

from typing import Any

import dagster as dg
from pydantic import Field

from hog_dagster.actions._batch import BatchOutcome, BatchResult
from hog_dagster.actions._protocol import StepObserver
from hog_dagster.actions._schedules import ScheduleRequest, create_schedule_once
from hog_dagster.jobs.running import ACTS_POOL, acting_for, job_tags, moment_of
from hog_dagster.resource_names import prefixed
from hog_dagster.resources import LedgerResource, PostHogResource

__all__ = ["ScheduleConfig", "build_schedule_create_job", "create_workflow_schedule"]


class ScheduleConfig(dg.Config):
    """A schedule to make in PostHog."""

    workflow_id: str = Field(description="The workflow.")
    rrule: str = Field(description="RFC 5545 rule without DTSTART, at most once an hour.")
    starts_at: str = Field(description="First occurrence, ISO 8601; without an offset it is UTC.")
    timezone: str = Field(default="UTC", description="IANA zone the rule is expanded in.")
    variables: dict[str, Any] = Field(default={}, description="What each send uses.")
    key: str = Field(
        default="", description="Natural key; by default rule, start, zone and variables."
    )
    dry_run: bool = Field(default=True, description="Only log what would be made.")
    grace_seconds: float = Field(default=120.0, ge=0, description="How late PostHog may be.")
    settle_seconds: float = Field(default=150.0, ge=0, description="How long to read back a doubt.")
    lock_wait_seconds: float = Field(default=60.0, ge=0, description="Wait for another run.")


def build_schedule_create_job(
    name: str = "create_workflow_schedule",
    *,
    resource_prefix: str = "",
    pool: str | None = ACTS_POOL,
    tags: dict[str, str] | None = None,
    op_retry_policy: dg.RetryPolicy | None = None,
    on_step: StepObserver | None = None,
) -> dg.JobDefinition:
    """The job that makes a schedule of a workflow in PostHog, once per key.

    It needs the resources `posthog` and `ledger`. Launching it again changes nothing.

    Args:
        name: of the job.
        resource_prefix: what stands before the names of the resources it takes, `eu_` say.
        pool: Dagster pool of the op.
        tags: more tags for its runs.
        op_retry_policy: harmless, for a retried op reads back what it sent; by default there is
            none: a run that failed is re-executed by its operator, and sends once.
        on_step: told (step, workflow id, key) at each step of the act.
    """

    @dg.op(
        name=f"{name}_op",
        pool=pool,
        out=dg.Out(dict, description="What became of the schedule."),
    )
    @prefixed(resource_prefix)
    def schedule_op(
        context: dg.OpExecutionContext,
        config: ScheduleConfig,
        posthog: PostHogResource,
        ledger: LedgerResource,
    ) -> dg.Output[dict[str, Any]]:
        starts_at = moment_of(config.starts_at, "starts_at")
        if starts_at is None:
            raise dg.Failure("starts_at is empty; say when it starts.", allow_retries=False)
        request = ScheduleRequest(
            workflow_id=config.workflow_id,
            rrule=config.rrule,
            starts_at=starts_at,
            timezone=config.timezone,
            variables=config.variables,
            key=config.key,
            dry_run=config.dry_run,
            settle_seconds=config.settle_seconds,
        )
        with acting_for(
            context, posthog, ledger, grace_seconds=config.grace_seconds, on_step=on_step
        ) as acting:
            with acting.holding(config.workflow_id, config.lock_wait_seconds) as held:
                result = (
                    create_schedule_once(acting, request)
                    if held
                    else BatchResult(BatchOutcome.NOT_SENT, "another run is acting on it")
                )
            requests = acting.client.requests_made
        metadata = {"why": dg.MetadataValue.text(result.why), "requests": requests}
        if result.outcome in (BatchOutcome.REFUSED, BatchOutcome.NOT_SENT):
            raise dg.Failure(
                f"The schedule was not made: {result.why}", metadata=metadata, allow_retries=False
            )
        if result.outcome is BatchOutcome.IN_DOUBT:
            context.log.warning(f"The schedule is in doubt: {result.why}")
        value = {"outcome": str(result.outcome), "why": result.why, "schedule_id": result.job_id}
        return dg.Output(value, metadata=metadata)

    @dg.job(
        name=name,
        op_retry_policy=op_retry_policy,
        executor_def=dg.in_process_executor,  # one op: a process of its own would gain nothing
        tags=job_tags(tags),
        description="Makes a schedule of a PostHog workflow, once per key.",
    )
    def schedule_job() -> None:
        schedule_op()

    return schedule_job


#: The job under its default name.
create_workflow_schedule = build_schedule_create_job()
