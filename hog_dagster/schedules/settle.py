"""A schedule that has acts in doubt read back from PostHog; it sends nothing.

Facts: a look into the ledger costs no request, so a tick asks for a run only when there is
something in doubt.
"""

import dagster as dg

from hog_dagster.failures import dagster_failures
from hog_dagster.jobs.settle import settle_acts_in_doubt
from hog_dagster.ledger import State
from hog_dagster.posthog.settings import check_project_id
from hog_dagster.resource_names import prefixed
from hog_dagster.resources import LedgerResource, PostHogResource

__all__ = ["build_settle_schedule"]


def build_settle_schedule(
    name: str = "settle_acts_in_doubt_schedule",
    *,
    job: dg.JobDefinition = settle_acts_in_doubt,
    resource_prefix: str = "",
    cron_schedule: str = "*/15 * * * *",
    grace_seconds: float = 900.0,
    default_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.STOPPED,
) -> dg.ScheduleDefinition:
    """A schedule that asks for a run of the settling job while the ledger has acts in doubt.

    It needs the resources `posthog` (for the project's number; nothing is asked of PostHog) and
    `ledger`.

    Args:
        name: of the schedule.
        job: a job made by `build_settle_job`.
        resource_prefix: what stands before the names of the resources it takes, `eu_` say.
        cron_schedule: when, in UTC.
        grace_seconds: how late PostHog may be in showing an effect.
        default_status: whether it is on when first loaded.
    """

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=cron_schedule,
        execution_timezone="UTC",
        default_status=default_status,
        description="Reads replays and batch jobs in doubt back from PostHog. Sends nothing.",
    )
    @prefixed(resource_prefix)
    def settle_schedule(
        context: dg.ScheduleEvaluationContext, posthog: PostHogResource, ledger: LedgerResource
    ) -> dg.RunRequest | dg.SkipReason:
        with dagster_failures(), ledger.open() as book:
            project = check_project_id(posthog.project_id)
            states = [State.SENT, State.IN_DOUBT]
            open_acts = sum(1 for _ in book.entries(project_id=project, state=states))
        if not open_acts:
            return dg.SkipReason("No act is in doubt.")
        context.log.info(f"{open_acts} acts are in doubt")
        return dg.RunRequest(
            run_config={"ops": {f"{job.name}_op": {"config": {"grace_seconds": grace_seconds}}}}
        )

    return settle_schedule
