"""The job that makes a schedule of a workflow in PostHog itself, once.

Facts: a repeated POST makes a second schedule and doubles every send.
"""

from typing import Any

import dagster as dg
from pydantic import Field

from hog_dagster._dagster.failures import final
from hog_dagster._dagster.resources import takes_resources
from hog_dagster.actions import Outcome, Result, ScheduleToCreate, create_schedule
from hog_dagster.jobs._batch import the_workflow
from hog_dagster.jobs._reporting import result_metadata
from hog_dagster.jobs._running import ACTIONS_POOL, actor_for, job_of, job_tags, moment_of
from hog_dagster.policies import Safety
from hog_dagster.resources import LedgerResource, PostHogResource


class ScheduleConfig(dg.Config):
    """A schedule to make in PostHog."""

    workflow: str = Field(description="The workflow, by name or id.")
    rrule: str = Field(
        description="RFC 5545 recurrence rule without DTSTART, at most once an hour."
    )
    starts_at: str = Field(description="First occurrence (ISO 8601, UTC without an offset).")
    timezone: str = Field(default="UTC", description="IANA time zone of the rule.")
    variables: dict[str, Any] = Field(default={}, description="Variables of each send.")
    key: str = Field(
        default="",
        description="Idempotency key. The default is made of rule, start, time zone and variables.",
    )
    dry_run: bool = Field(default=True, description="Only report what would be created.")
    grace_seconds: float = Field(
        default=120.0,
        ge=0,
        le=31_536_000,
        description="How late PostHog may show a schedule. The value used is at least twice the "
        "read timeout.",
    )
    reconcile_seconds: float = Field(
        default=150.0,
        ge=0,
        le=31_536_000,
        description="How long this run tries to reconcile a schedule in doubt.",
    )
    lock_wait_seconds: float = Field(
        default=60.0,
        ge=0,
        le=31_536_000,
        description="How long to wait for another run that acts on the same workflow.",
    )


def build_schedule_create_job(
    name: str = "create_workflow_schedule",
    *,
    safety: Safety | None = None,
    resource_prefix: str = "",
    pool: str | None = ACTIONS_POOL,
    tags: dict[str, str] | None = None,
    op_retry_policy: dg.RetryPolicy | None = None,
) -> dg.JobDefinition:
    """The job that makes a schedule of a workflow in PostHog, once per key.

    It needs the resources `posthog` and `ledger`. Launching it again changes nothing.

    Args:
        name: of the job.
        safety: limits of the project: they hold whatever a run's config says.
        resource_prefix: what stands before the names of the resources it takes, `eu_` say.
        pool: Dagster pool of the op.
        tags: more tags for its runs.
        op_retry_policy: harmless, for a retried op reconciles what it sent; by default there is
            none: a run that failed is re-executed by its operator, and sends once.

    Returns:
        The job, with one op.
    """
    limits = safety or Safety()

    @takes_resources(
        dg.op,
        resource_prefix,
        name=f"{name}_op",
        pool=pool,
        out=dg.Out(dict, description="What became of the schedule."),
        description="Checks the workflow, claims the request in the ledger, makes the schedule.",
    )
    def schedule_op(
        context: dg.OpExecutionContext,
        config: ScheduleConfig,
        posthog: PostHogResource,
        ledger: LedgerResource,
    ) -> dg.Output[dict[str, Any]]:
        starts_at = moment_of(config.starts_at, "starts_at")
        if starts_at is None:
            raise final("starts_at is empty; say when it starts.")
        dry_run = config.dry_run or limits.dry_run is True
        with actor_for(
            context, posthog, ledger, grace_seconds=config.grace_seconds, writes=not dry_run
        ) as actor:
            source = the_workflow(context, actor, config.workflow, limits)
            wanted = ScheduleToCreate(
                workflow=source,
                rrule=config.rrule,
                starts_at=starts_at,
                timezone=config.timezone,
                variables=config.variables,
                key=config.key,
                dry_run=dry_run,
                reconcile_seconds=config.reconcile_seconds,
            )
            with actor.holding(source.id, config.lock_wait_seconds) as held:
                busy = "another run is acting on this workflow"
                result = (
                    create_schedule(actor, wanted)
                    if held
                    else Result(Outcome.NOT_SENT, wanted.subject, busy)
                )
            metadata = result_metadata(result, posthog, source)
            metadata["requests"] = actor.client.requests_made
        if result.outcome in (Outcome.REFUSED, Outcome.NOT_SENT):
            raise final(f"The schedule of {source.label} was not made: {result.why}", metadata)
        if result.outcome is Outcome.IN_DOUBT:
            context.log.warning(f"The schedule of {source.label} is in doubt: {result.why}")
        value = {
            "outcome": str(result.outcome),
            "why": result.why,
            "schedule_id": result.remote_id,
        }
        return dg.Output(value, metadata=metadata)

    return job_of(
        schedule_op,
        name,
        "Makes a schedule of a PostHog workflow, once per key.",
        job_tags(tags),
        op_retry_policy=op_retry_policy,
    )


#: The job under its default name.
create_workflow_schedule = build_schedule_create_job()
