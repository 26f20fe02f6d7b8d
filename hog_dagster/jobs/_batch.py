"""The job that sends a workflow's batch job once: checks, one POST, evidence, following.

Facts: a manual run and its re-executions share a root run id, so that is the natural key of a send
that has no other; two clicks are two runs, so a second send of the same without a key of its own is
held back for a while.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from hog_dagster._dagster.failures import final
from hog_dagster._dagster.resources import takes_resources
from hog_dagster.actions import (
    Actor,
    BatchSend,
    Followed,
    Outcome,
    Result,
    Source,
    follow_batch,
    send_batch,
)
from hog_dagster.jobs._reporting import result_metadata
from hog_dagster.jobs._running import (
    ACTIONS_POOL,
    actor_for,
    chosen_sources,
    job_of,
    job_tags,
    root_run_id,
)
from hog_dagster.policies import BatchPolicy, Safety
from hog_dagster.resources import LedgerResource, PostHogResource


class BatchConfig(dg.Config, BatchPolicy):
    """A batch job to send, and how carefully."""

    workflow: str = Field(
        description="The workflow, by name or id; its trigger must be of type batch."
    )
    key: str | None = Field(
        default=None,
        description="Idempotency key: of all sends with one key, only one ever happens. The "
        "default key covers this run and its re-executions.",
    )
    variables: dict[str, Any] = Field(
        default={}, description="Values that replace the workflow's own variables."
    )


@dataclass(frozen=True)
class BatchRun:
    """What a run did about a batch job, and what it saw of it afterwards, if it followed it."""

    source: Source
    result: Result
    followed: Followed | None
    metadata: dict[str, Any]

    @property
    def failed(self) -> bool:
        """PostHog says that the job failed after it had begun."""
        return self.followed is not None and self.followed.failed


def build_batch_job(
    name: str = "send_batch_job",
    *,
    safety: Safety | None = None,
    resource_prefix: str = "",
    pool: str | None = ACTIONS_POOL,
    tags: dict[str, str] | None = None,
    hooks: set[dg.HookDefinition] | None = None,
    op_retry_policy: dg.RetryPolicy | None = None,
) -> dg.JobDefinition:
    """The job that sends one workflow's batch job, once per key.

    It needs the resources `posthog` and `ledger`. It succeeds when the batch was sent, now or
    before, or rightly skipped; succeeds with a warning when it is in doubt; fails when it was
    refused or could not be sent. Re-executing it is safe.

    Args:
        name: of the job.
        safety: limits of the project: they hold whatever a run's config says.
        resource_prefix: what stands before the names of the resources it takes, `eu_` say.
        pool: Dagster pool of the op.
        tags: more tags for its runs.
        hooks: Dagster hooks, say for alerts.
        op_retry_policy: harmless, for a retried op reconciles what it sent; by default there is
            none: a run that failed is re-executed by its operator, and sends once.

    Returns:
        The job, with one op.

    Example:
        .. code-block:: python

            defs = dg.Definitions(jobs=[build_batch_job()], resources={...})
    """
    limits = safety or Safety()

    @takes_resources(
        dg.op,
        resource_prefix,
        name=f"{name}_op",
        pool=pool,
        out=dg.Out(dict, description="What became of the batch job."),
        description="Checks the workflow and its audience, claims the send in the ledger, sends.",
    )
    def batch_op(
        context: dg.OpExecutionContext,
        config: BatchConfig,
        posthog: PostHogResource,
        ledger: LedgerResource,
    ) -> dg.Output[dict[str, Any]]:
        ran = run_batch(context, posthog, ledger, config, limits)
        result, metadata = ran.result, ran.metadata
        if result.outcome in (Outcome.REFUSED, Outcome.NOT_SENT):
            raise final(f"The batch job of {ran.source.label} was not sent: {result.why}", metadata)
        if ran.failed:
            raise final(
                f"PostHog says that batch job {result.remote_id} of {ran.source.label} failed; it "
                "may have reached a part of its audience. It is not sent again by itself.",
                metadata,
            )
        if result.outcome is Outcome.IN_DOUBT:
            context.log.warning(
                f"The batch job of {ran.source.label} is in doubt: {result.why}. It is not sent "
                "again before PostHog shows that it did not happen; running this again reconciles "
                "it."
            )
        else:
            context.log.info(f"{ran.source.label}: {result.outcome}, {result.why}")
        value = {
            "outcome": str(result.outcome),
            "why": result.why,
            "batch_job_id": result.remote_id,
        }
        return dg.Output(value, metadata=metadata)

    return job_of(
        batch_op,
        name,
        "Sends a PostHog workflow's batch job once per key, whatever crashes in between.",
        job_tags(tags),
        hooks=hooks,
        op_retry_policy=op_retry_policy,
    )


#: The job under its default name.
send_batch_job = build_batch_job()


def run_batch(
    context: dg.OpExecutionContext | dg.AssetExecutionContext,
    posthog: PostHogResource,
    ledger: LedgerResource,
    config: BatchConfig,
    safety: Safety,
) -> BatchRun:
    """Send a batch job for a run, and follow it.

    Raises:
        dagster.Failure: the workflow is unknown or not allowed, or PostHog or the ledger refuse.
    """
    policy = safety.narrow_batch(config)
    with actor_for(
        context, posthog, ledger, grace_seconds=policy.grace_seconds, writes=not policy.dry_run
    ) as actor:
        source = the_workflow(context, actor, config.workflow, safety)
        send = BatchSend(
            source,
            config.key or f"run:{root_run_id(context)}",
            config.variables,
            timedelta(seconds=0 if config.key else policy.again_after_seconds),
        )
        result, followed = _carry_out(actor, send, policy)
        metadata = result_metadata(result, posthog, source)
        metadata["requests"] = actor.client.requests_made
    if result.remote_id is not None:
        metadata["batch_job_id"] = dg.MetadataValue.text(result.remote_id)
    if followed is not None:
        metadata["job_status"] = dg.MetadataValue.text(followed.status or followed.note)
        for status, count in followed.runs.items():
            metadata[f"runs_{status}"] = count
    return BatchRun(source, result, followed, metadata)


def the_workflow(
    context: dg.OpExecutionContext | dg.AssetExecutionContext,
    actor: Actor,
    name_or_id: str,
    safety: Safety,
) -> Source:
    """The one workflow a run acts on; Failure when it is unknown or not allowed."""
    return chosen_sources(context, actor, safety, workflows=[name_or_id])[0]


def _carry_out(
    actor: Actor, send: BatchSend, policy: BatchPolicy
) -> tuple[Result, Followed | None]:
    """Send under the workflow's lock, then follow without it."""
    with actor.holding(send.workflow.id, policy.lock_wait_seconds) as held:
        if not held:
            why = "another run is acting on this workflow; nothing was sent"
            return Result(Outcome.NOT_SENT, send.key, why), None
        result = send_batch(actor, send, policy)
    if not (result.happened and result.remote_id and policy.follow_seconds):
        return result, None
    return result, follow_batch(
        actor,
        send.workflow.id,
        result.remote_id,
        seconds=policy.follow_seconds,
        cancel_on_termination=policy.cancel_on_termination,
    )
