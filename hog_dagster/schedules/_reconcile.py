"""A schedule that has actions in doubt reconciled with PostHog; it sends nothing.

Facts: a look into the ledger costs no request, so a tick requests a run only when there is
something in doubt.
"""

from collections import Counter

import dagster as dg

from hog_dagster._dagster.failures import dagster_failures
from hog_dagster._dagster.resources import takes_resources
from hog_dagster.actions import Source
from hog_dagster.jobs import DETECTION_TAG, reconcile_actions
from hog_dagster.ledger import State
from hog_dagster.posthog import check_project_id
from hog_dagster.resources import LedgerResource, PostHogResource

#: Workflows that are named in a message.
_NAMED = 10


def build_reconcile_schedule(
    name: str = "reconcile_actions_schedule",
    *,
    job: dg.JobDefinition = reconcile_actions,
    resource_prefix: str = "",
    cron_schedule: str = "*/15 * * * *",
    grace_seconds: float = 900.0,
    default_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.STOPPED,
) -> dg.ScheduleDefinition:
    """A schedule that requests a run of the reconciling job while the ledger has actions in doubt.

    It needs the resources `posthog` (for the project's number; nothing is asked of PostHog) and
    `ledger`.

    Args:
        name: of the schedule.
        job: a job made by `build_reconcile_job`.
        resource_prefix: what stands before the names of the resources it takes, `eu_` say.
        cron_schedule: when, in UTC.
        grace_seconds: how late PostHog may show an effect.
        default_status: whether it is on when first loaded.

    Returns:
        The schedule.
    """

    @takes_resources(
        dg.schedule,
        resource_prefix,
        name=name,
        job=job,
        cron_schedule=cron_schedule,
        execution_timezone="UTC",
        default_status=default_status,
        description="Reconciles replays and batch jobs in doubt with PostHog. Sends nothing.",
    )
    def reconcile_schedule(
        context: dg.ScheduleEvaluationContext, posthog: PostHogResource, ledger: LedgerResource
    ) -> dg.RunRequest | dg.SkipReason:
        with dagster_failures(), ledger.open() as book:
            project = check_project_id(posthog.project_id)
            states = [State.SENT, State.IN_DOUBT]
            found = Counter(
                Source(entry.target_id, entry.target_type, entry.target_name).label
                for entry in book.entries(project_id=project, state=states)
            )
        if not found:
            return dg.SkipReason("No action is in doubt.")
        said = "; ".join(f"{count} of {label}" for label, count in found.most_common(_NAMED))
        if rest := len(found) - _NAMED:
            said += f"; and those of {rest} more" if rest > 0 else ""
        context.log.info(f"{found.total()} actions are in doubt: {said}.")
        return dg.RunRequest(
            run_config={"ops": {f"{job.name}_op": {"config": {"grace_seconds": grace_seconds}}}},
            tags={DETECTION_TAG: f"In doubt: {said}"},
        )

    return reconcile_schedule


#: The schedule under its default name: STOPPED.
reconcile_actions_schedule = build_reconcile_schedule()
