"""The job that reads acts in doubt back from PostHog and settles them; it sends nothing.

Facts: as in `settling`. Safe to run at any time, beside any other run.
"""

from typing import Any

import dagster as dg
from pydantic import Field

from hog_dagster.actions._reconcile import settle_open
from hog_dagster.jobs.running import acting_for
from hog_dagster.resource_names import prefixed
from hog_dagster.resources import LedgerResource, PostHogResource

__all__ = ["SettleConfig", "build_settle_job", "settle_acts_in_doubt"]


class SettleConfig(dg.Config):
    """How patient to be."""

    grace_seconds: float = Field(
        default=900.0,
        ge=0,
        description="How late PostHog may be in showing an effect before its absence is believed.",
    )


def build_settle_job(
    name: str = "settle_acts_in_doubt",
    *,
    resource_prefix: str = "",
    tags: dict[str, str] | None = None,
) -> dg.JobDefinition:
    """The job that settles replays, reruns, batch jobs and schedules in doubt, by reading PostHog.

    It needs the resources `posthog` and `ledger`, and changes nothing in PostHog.

    Args:
        name: of the job.
        resource_prefix: what stands before the names of the resources it takes, `eu_` say.
        tags: more tags for its runs.
    """

    @dg.op(name=f"{name}_op", out=dg.Out(dict, description="How many acts came out which way."))
    @prefixed(resource_prefix)
    def settle_op(
        context: dg.OpExecutionContext,
        config: SettleConfig,
        posthog: PostHogResource,
        ledger: LedgerResource,
    ) -> dg.Output[dict[str, int]]:
        with acting_for(context, posthog, ledger, grace_seconds=config.grace_seconds) as acting:
            settled = settle_open(acting)
            requests = acting.client.requests_made
        for entry, why in settled.not_sent:
            context.log.warning(
                f"Act {entry.id} ({entry.kind} of workflow {entry.target_id}, {entry.subject}) "
                f"did not happen and may be asked for again: {why}"
            )
        for entry, why in settled.in_doubt:
            context.log.warning(f"Act {entry.id} ({entry.kind} {entry.subject}) in doubt: {why}")
        metadata: dict[str, Any] = {**settled.counts(), "requests": requests}
        return dg.Output(settled.counts(), metadata=metadata)

    @dg.job(
        name=name,
        executor_def=dg.in_process_executor,  # one op: a process of its own would gain nothing
        tags=tags,
        description="Reads acts in doubt back from PostHog and settles what it shows. Sends "
        "nothing.",
    )
    def settle_job() -> None:
        settle_op()

    return settle_job


#: The job under its default name.
settle_acts_in_doubt = build_settle_job()
