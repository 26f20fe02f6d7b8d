"""The job that sends a workflow's batch job once: pre-flight, one POST, reading back, following.

Facts: a manual run and its re-executions share a root run id, so that is the natural key of a send
that has no other; two clicks are two runs, so a second send of the same without a key of its own is
held back for a while.
"""

from datetime import timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from hog_dagster.actions._batch import BatchOutcome, BatchRequest, BatchResult, send_batch
from hog_dagster.actions._following import Followed, follow_batch
from hog_dagster.actions._protocol import Acting, StepObserver
from hog_dagster.jobs.running import ACTS_POOL, acting_for, job_tags, root_run_id
from hog_dagster.resource_names import prefixed
from hog_dagster.resources import LedgerResource, PostHogResource

__all__ = ["BatchConfig", "batch_counts", "build_batch_job", "carry_out", "send_batch_job"]


class BatchConfig(dg.Config):
    """A batch job to send, and how carefully."""

    workflow_id: str = Field(description="The workflow; its trigger must be of type batch.")
    key: str | None = Field(
        default=None,
        description="Of all sends with one key, one happens, ever. Default: this run and its "
        "re-executions.",
    )
    variables: dict[str, Any] = Field(
        default={}, description="Values that replace the workflow's own variables."
    )
    dry_run: bool = Field(default=True, description="Only log what would be sent.")
    max_audience: int | None = Field(
        default=None, ge=0, description="Refuse to send to more people than this."
    )
    send_uncounted: bool = Field(
        default=False, description="Send even if the server cannot count the audience."
    )
    skip_if_running: bool = Field(
        default=True, description="Skip while an earlier job of the workflow is under way."
    )
    again_after_seconds: float = Field(
        default=3600.0,
        ge=0,
        description="Without a key: skip if the same was sent less than this ago (a second click).",
    )
    grace_seconds: float = Field(
        default=120.0,
        ge=0,
        description="How late PostHog may be in showing a job. Only after it is a send in doubt "
        "believed not to have happened, and sent again.",
    )
    settle_seconds: float = Field(
        default=150.0, ge=0, description="How long this run reads back a send in doubt."
    )
    follow_seconds: float = Field(
        default=0.0, ge=0, description="How long to follow the job after it was sent."
    )
    cancel_on_termination: bool = Field(
        default=False, description="Cancel the job if this run is terminated while following it."
    )
    lock_wait_seconds: float = Field(
        default=60.0, ge=0, description="How long to wait for another run on the same workflow."
    )


def build_batch_job(
    name: str = "send_batch_job",
    *,
    resource_prefix: str = "",
    pool: str | None = ACTS_POOL,
    tags: dict[str, str] | None = None,
    hooks: set[dg.HookDefinition] | None = None,
    op_retry_policy: dg.RetryPolicy | None = None,
    on_step: StepObserver | None = None,
) -> dg.JobDefinition:
    """The job that sends one workflow's batch job, once per key.

    It needs the resources `posthog` and `ledger`. It succeeds when the batch was sent, now or
    before, or rightly skipped; succeeds with a warning when it is in doubt; fails when it was
    refused or could not be sent. Re-executing it is safe.

    Args:
        name: of the job.
        resource_prefix: what stands before the names of the resources it takes, `eu_` say.
        pool: Dagster pool of the op.
        tags: more tags for its runs.
        hooks: Dagster hooks, say for alerts.
        op_retry_policy: harmless, for a retried op reads back what it sent; by default there is
            none: a run that failed is re-executed by its operator, and sends once.
        on_step: told (step, workflow id, key) at each step of the act.

    Example:
        .. code-block:: python

            defs = dg.Definitions(jobs=[build_batch_job()], resources={...})
    """

    @dg.op(
        name=f"{name}_op",
        pool=pool,
        out=dg.Out(dict, description="What became of the batch job."),
        description="Checks the workflow and its audience, claims the send in the ledger, sends.",
    )
    @prefixed(resource_prefix)
    def batch_op(
        context: dg.OpExecutionContext,
        config: BatchConfig,
        posthog: PostHogResource,
        ledger: LedgerResource,
    ) -> dg.Output[dict[str, Any]]:
        with acting_for(
            context, posthog, ledger, grace_seconds=config.grace_seconds, on_step=on_step
        ) as acting:
            result, followed = carry_out(acting, config, root_run_id(context))
            metadata = _metadata(result, followed, posthog, config.workflow_id)
            metadata["requests"] = acting.client.requests_made
        _raise_if_failed(result, followed, metadata)
        if result.outcome is BatchOutcome.IN_DOUBT:
            context.log.warning(
                f"The batch job is in doubt: {result.why} It is not sent again before PostHog "
                "shows that it did not happen; running this again reads it back."
            )
        else:
            context.log.info(f"Workflow {config.workflow_id}: {result.outcome}, {result.why}")
        value = {"outcome": str(result.outcome), "why": result.why, "batch_job_id": result.job_id}
        return dg.Output(value, metadata=metadata)

    @dg.job(
        name=name,
        op_retry_policy=op_retry_policy,
        executor_def=dg.in_process_executor,  # one op: a process of its own would gain nothing
        tags=job_tags(tags),
        hooks=hooks,
        description="Sends a PostHog workflow's batch job once per key, whatever crashes in "
        "between.",
    )
    def batch_job() -> None:
        batch_op()

    return batch_job


#: The job under its default name.
send_batch_job = build_batch_job()


def carry_out(
    acting: Acting, config: BatchConfig, run_key: str
) -> tuple[BatchResult, Followed | None]:
    """Send under the workflow's lock, then follow without it.

    Args:
        acting: who acts.
        config: what to send.
        run_key: the natural key when the config has none.
    """
    request = BatchRequest(
        workflow_id=config.workflow_id,
        key=config.key or f"run:{run_key}",
        variables=config.variables,
        max_audience=config.max_audience,
        send_uncounted=config.send_uncounted,
        skip_if_running=config.skip_if_running,
        again_after=timedelta(seconds=0 if config.key else config.again_after_seconds),
        dry_run=config.dry_run,
        settle_seconds=config.settle_seconds,
    )
    with acting.holding(config.workflow_id, config.lock_wait_seconds) as held:
        if not held:
            why = "another run is acting on this workflow; nothing was sent"
            return BatchResult(BatchOutcome.NOT_SENT, why), None
        result = send_batch(acting, request)
    followed = None
    if result.happened and result.job_id and config.follow_seconds:
        followed = follow_batch(
            acting,
            config.workflow_id,
            result.job_id,
            seconds=config.follow_seconds,
            cancel_on_termination=config.cancel_on_termination,
        )
    return result, followed


def batch_counts(result: BatchResult) -> dict[str, int]:
    """A count per outcome, one of them 1: plain numbers, for Dagster's plots."""
    return {str(outcome): int(result.outcome is outcome) for outcome in BatchOutcome}


def _metadata(
    result: BatchResult, followed: Followed | None, posthog: PostHogResource, workflow_id: str
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        **batch_counts(result),
        "why": dg.MetadataValue.text(result.why),
        "workflow": dg.MetadataValue.url(posthog.workflow_url(workflow_id, "metrics")),
    }
    if result.audience is not None:
        metadata["audience"] = result.audience
    if result.job_id is not None:
        metadata["batch_job_id"] = dg.MetadataValue.text(result.job_id)
    if followed is not None:
        metadata["job_status"] = dg.MetadataValue.text(followed.status or followed.note)
        for status, count in followed.runs.items():
            metadata[f"runs_{status}"] = count
    return metadata


def _raise_if_failed(
    result: BatchResult, followed: Followed | None, metadata: dict[str, Any]
) -> None:
    if result.outcome in (BatchOutcome.REFUSED, BatchOutcome.NOT_SENT):
        raise dg.Failure(
            f"The batch job was not sent: {result.why}", metadata=metadata, allow_retries=False
        )
    if followed is not None and followed.failed:
        raise dg.Failure(
            f"PostHog says that batch job {result.job_id} failed; it may have reached a part of "
            "its audience. It is not sent again by itself.",
            metadata=metadata,
            allow_retries=False,
        )
