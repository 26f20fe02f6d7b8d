"""The job that reconciles actions in doubt with what PostHog shows; it sends nothing.

Facts: safe to run at any time, beside any other run.
"""

from typing import Any

import dagster as dg
from pydantic import Field

from hog_dagster._dagster.resources import takes_resources
from hog_dagster.actions import Outcome, reconcile
from hog_dagster.jobs._reporting import counts_of
from hog_dagster.jobs._running import actor_for, job_of
from hog_dagster.resources import LedgerResource, PostHogResource


class ReconcileConfig(dg.Config):
    """How patient to be."""

    grace_seconds: float = Field(
        default=900.0,
        ge=0,
        le=31_536_000,
        description="How late PostHog may show the effect of an action. Before then, its absence "
        "is no evidence.",
    )


def build_reconcile_job(
    name: str = "reconcile_actions",
    *,
    resource_prefix: str = "",
    tags: dict[str, str] | None = None,
) -> dg.JobDefinition:
    """The job that reconciles replays, reruns, batch jobs and schedules in doubt.

    It needs the resources `posthog` and `ledger`, and changes nothing in PostHog.

    Args:
        name: of the job.
        resource_prefix: what stands before the names of the resources it takes, `eu_` say.
        tags: more tags for its runs.

    Returns:
        The job, with one op.
    """

    @takes_resources(
        dg.op,
        resource_prefix,
        name=f"{name}_op",
        out=dg.Out(dict, description="How many actions had which outcome."),
        description="Finds out what became of actions in doubt, and records it in the ledger.",
    )
    def reconcile_op(
        context: dg.OpExecutionContext,
        config: ReconcileConfig,
        posthog: PostHogResource,
        ledger: LedgerResource,
    ) -> dg.Output[dict[str, int]]:
        with actor_for(
            context, posthog, ledger, grace_seconds=config.grace_seconds, writes=True
        ) as actor:
            summary = reconcile(actor)
            requests = actor.client.requests_made
        for result in summary:
            said = f"Action {result.action_id}, {result.subject}: {result.why}"
            if result.outcome is Outcome.NOT_SENT:
                context.log.warning(f"{said}. It did not happen and may be requested again.")
            elif result.outcome is Outcome.IN_DOUBT:
                context.log.warning(f"{said} (still in doubt)")
            else:
                context.log.info(f"{said} ({result.outcome})")
        counts = counts_of(summary)
        metadata: dict[str, Any] = {**counts, "requests": requests}
        return dg.Output(counts, metadata=metadata)

    what = "Reconciles actions in doubt with what PostHog shows. Sends nothing."
    return job_of(reconcile_op, name, what, tags)


#: The job under its default name.
reconcile_actions = build_reconcile_job()
