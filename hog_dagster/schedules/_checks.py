"""A schedule that runs every check, those of tables that nobody reads included.

Facts: a check runs with the assets it looks at, so a table that is never materialized is never
checked; that partitions are about to expire is seen only by looking.
"""

from collections.abc import Sequence

import dagster as dg


def build_checks_schedule(
    checks: Sequence[dg.AssetChecksDefinition],
    *,
    name: str = "check_posthog_tables",
    cron_schedule: str = "50 6 * * *",
    default_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.STOPPED,
    what: str = "the tables, whether or not they were read",
) -> dg.ScheduleDefinition:
    """A schedule that runs asset checks.

    Args:
        checks: what to run.
        name: of the schedule; the job is `<name>_job`. Renaming it loses its history.
        cron_schedule: when, in UTC.
        default_status: whether it is on when first loaded.
        what: it checks, for the UI.

    Returns:
        The schedule, with its job.
    """
    keys = [key for check in checks for key in check.check_keys]
    job = dg.define_asset_job(
        f"{name}_job",
        selection=dg.AssetSelection.checks(*keys),
        executor_def=dg.in_process_executor,
        description=f"Checks {what}.",
    )
    return dg.ScheduleDefinition(
        name=name,
        job=job,
        cron_schedule=cron_schedule,
        execution_timezone="UTC",
        default_status=default_status,
        description=f"Checks {what}. It only reads.",
    )
