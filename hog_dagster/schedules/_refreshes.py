"""Schedules that only read: fresh snapshots, recent partitions again for late arrivals, checks.

Facts: PostHog's logs, metrics and run results arrive asynchronously, some after their hour; a daily
partition read once at midnight misses them. A `RunRequest` with the partition range tags is one run
over several partitions of assets whose backfill policy is single-run. Dagster's default executor
starts a process for each step, which imports all, loads the definitions and opens a client of its
own; these jobs run their steps in the run's process, so that they share listings and connections.
Pools hold there too: a step whose pool is full waits. A check runs with the assets it looks at, so
a table that is never materialized is never checked unless a schedule does it.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg

_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"


def build_snapshot_schedule(
    assets: Sequence[dg.AssetsDefinition],
    *,
    name: str = "refresh_posthog_snapshots",
    cron_schedule: str = "5 * * * *",
    default_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.STOPPED,
    what: str = "PostHog's catalogs and snapshots",
) -> dg.ScheduleDefinition:
    """A schedule that materializes unpartitioned assets: catalogs and snapshots.

    Args:
        assets: what to materialize.
        what: what they are called in the descriptions.
        name: of the schedule; the job is `<name>_job`. Renaming it loses its history.
        cron_schedule: when, in UTC.
        default_status: whether it is on when first loaded.

    Returns:
        The schedule, with its job.
    """
    return dg.ScheduleDefinition(
        name=name,
        job=_job_of(name, dg.AssetSelection.assets(*assets), f"Reads {what} into the warehouse."),
        cron_schedule=cron_schedule,
        execution_timezone="UTC",
        default_status=default_status,
        description=f"Reads {what} again, so that their tables are fresh. It only reads PostHog.",
    )


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
    return dg.ScheduleDefinition(
        name=name,
        job=_job_of(name, dg.AssetSelection.checks(*keys), f"Checks {what}."),
        cron_schedule=cron_schedule,
        execution_timezone="UTC",
        default_status=default_status,
        description=f"Checks {what}. It only reads.",
    )


def _job_of(schedule: str, selection: dg.AssetSelection, description: str) -> Any:
    """The job of a schedule, whose steps run in the run's process."""
    return dg.define_asset_job(
        f"{schedule}_job",
        selection=selection,
        executor_def=dg.in_process_executor,
        description=description,
    )


def build_partitions_schedule(
    assets: Sequence[dg.AssetsDefinition],
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    name: str = "refresh_posthog_partitions",
    cron_schedule: str = "20 1 * * *",
    reread: int = 3,
    default_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.STOPPED,
) -> dg.ScheduleDefinition:
    """A schedule that materializes the newest partitions, in one run a tick.

    Args:
        assets: partitioned assets, all by `partitions_def`.
        partitions_def: their partitions.
        name: of the schedule; the job is `<name>_job`. Renaming it loses its history.
        cron_schedule: when, in UTC.
        reread: how many of the newest complete partitions each tick reads, so that rows which
            arrived late are picked up.
        default_status: whether it is on when first loaded.

    Returns:
        The schedule, with its job.

    Raises:
        ValueError: `reread` is less than 1.
    """
    if reread < 1:
        raise ValueError(f"reread is {reread}; a tick must read at least the newest partition")
    what = "Reads the newest partitions of PostHog's logs, metrics and runs."

    @dg.schedule(
        name=name,
        job=_job_of(name, dg.AssetSelection.assets(*assets), what),
        cron_schedule=cron_schedule,
        execution_timezone="UTC",
        default_status=default_status,
        description=(
            f"Reads the {reread} newest complete partitions again, for rows that arrived late. "
            "It only reads PostHog."
        ),
    )
    def refresh(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        keys = partitions_def.get_partition_keys(current_time=context.scheduled_execution_time)
        if not keys:
            return dg.SkipReason("There is no complete partition yet.")
        newest = keys[-reread:]
        return dg.RunRequest(
            run_key=f"{context.scheduled_execution_time.isoformat()}:{newest[0]}..{newest[-1]}",
            tags={_RANGE_START: newest[0], _RANGE_END: newest[-1]},
        )

    return refresh
