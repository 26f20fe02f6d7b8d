"""The jobs, schedules and sensors of one PostHog project, under its names.

Facts: jobs, schedules and sensors of one code location share one namespace each, and its resources
another; a schedule or sensor that is renamed starts from now.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from hog_dagster.assets import AssetOptions
from hog_dagster.components._batch_jobs import Sending
from hog_dagster.components._records import Schedules, Sensors
from hog_dagster.components._tables import Tables
from hog_dagster.jobs import (
    build_batch_job,
    build_reconcile_job,
    build_replay_job,
    build_schedule_create_job,
)
from hog_dagster.policies import Safety
from hog_dagster.schedules import (
    build_checks_schedule,
    build_partitions_schedule,
    build_reconcile_schedule,
    build_snapshot_schedule,
)
from hog_dagster.sensors import (
    build_failed_runs_sensor,
    build_observing_sensor,
    build_workflow_health_sensor,
)

__all__ = ["Jobs", "build_schedules", "build_sensors"]

_NIGHTLY, _HOURLY = "20 1 * * *", "20 * * * *"


@dataclass(frozen=True)
class Jobs:
    """The jobs that act, and the one that reconciles what is in doubt."""

    replay: dg.JobDefinition
    batch: dg.JobDefinition
    create_schedule: dg.JobDefinition
    reconcile: dg.JobDefinition

    @classmethod
    def of(
        cls, options: AssetOptions, safety: Safety, metadata: Mapping[str, Any] | None = None
    ) -> "Jobs":
        """Named as the options say, within the project's limits; `metadata` is of the first."""

        def made(
            build: Callable[..., dg.JobDefinition], name: str, **more: Any
        ) -> dg.JobDefinition:
            return build(options.named(name), safety=safety, resource_prefix=options.prefix, **more)

        return cls(
            made(build_replay_job, "replay_runs", metadata=metadata),
            made(build_batch_job, "send_batch_job"),
            made(build_schedule_create_job, "create_workflow_schedule"),
            build_reconcile_job(options.named("reconcile_actions"), resource_prefix=options.prefix),
        )


def build_schedules(
    chosen: Schedules,
    jobs: Jobs,
    tables: Tables,
    cut: dg.TimeWindowPartitionsDefinition,
    checks: Sequence[dg.AssetChecksDefinition],
    sending: Sending,
) -> list[dg.ScheduleDefinition]:
    """What happens at fixed times.

    Args:
        chosen: which, and when.
        jobs: the jobs.
        tables: the steps that are read again.
        cut: the partitions of logs, metrics and runs.
        checks: the checks there are.
        sending: the batch jobs' own schedules.
    """
    on = dg.DefaultScheduleStatus.RUNNING
    status = on if chosen.running else dg.DefaultScheduleStatus.STOPPED
    hourly = isinstance(cut, dg.HourlyPartitionsDefinition)
    made, named = list(sending.schedules), tables.options.named
    if chosen.snapshots:
        made.append(
            build_snapshot_schedule(
                tables.snapshots,
                name=named("refresh_posthog_snapshots"),
                cron_schedule=chosen.snapshots,
                default_status=status,
            )
        )
    if tables.insights and chosen.insights:
        made.append(
            build_snapshot_schedule(
                tables.insights,
                name=named("refresh_posthog_insight_results"),
                cron_schedule=chosen.insights,
                default_status=status,
                what="results of PostHog's insights",
            )
        )
    made += _of_queries(chosen, tables, status)
    made.append(
        build_partitions_schedule(
            tables.partitioned,
            cut,
            name=named("refresh_posthog_partitions"),
            cron_schedule=chosen.partitions or (_HOURLY if hourly else _NIGHTLY),
            reread=chosen.reread,
            default_status=status,
        )
    )
    if checks and chosen.checks:
        made.append(
            build_checks_schedule(
                checks,
                name=named("check_posthog_tables"),
                cron_schedule=chosen.checks,
                default_status=status,
            )
        )
    if chosen.reconcile:
        made.append(
            build_reconcile_schedule(
                named("reconcile_actions_schedule"),
                job=jobs.reconcile,
                resource_prefix=tables.options.prefix,
                cron_schedule=chosen.reconcile,
                default_status=status,
            )
        )
    return made


def _of_queries(
    chosen: Schedules, tables: Tables, status: dg.DefaultScheduleStatus
) -> list[dg.ScheduleDefinition]:
    """Schedules of queries that are snapshots, and of those with partitions of their own."""
    made: list[dg.ScheduleDefinition] = []
    whole = [step for step in tables.queries if step.partitions_def is None]
    if whole and chosen.queries:
        made.append(
            build_snapshot_schedule(
                whole,
                name=tables.options.named("refresh_posthog_queries"),
                cron_schedule=chosen.queries,
                default_status=status,
                what="HogQL queries",
            )
        )
    for step in tables.queries:
        cut = step.partitions_def
        if not isinstance(cut, dg.TimeWindowPartitionsDefinition):
            continue
        hourly = isinstance(cut, dg.HourlyPartitionsDefinition)
        made.append(
            build_partitions_schedule(
                [step],
                cut,
                name=tables.options.named(f"refresh_{step.op.name.rpartition('posthog_')[2]}"),
                cron_schedule=_HOURLY if hourly else _NIGHTLY,
                reread=chosen.reread,
                default_status=status,
            )
        )
    return made


def build_sensors(
    chosen: Sensors,
    jobs: Jobs,
    options: AssetOptions,
    observing: Mapping[str, Any],
    safety: Safety,
) -> list[dg.SensorDefinition]:
    """What looks around.

    Args:
        chosen: which, and their limits.
        jobs: the jobs.
        options: how the assets look.
        observing: what the observing sensor knows.
        safety: limits of the project.
    """
    made, prefix = [], {"resource_prefix": options.prefix}
    if chosen.replay is not None:
        made.append(
            build_failed_runs_sensor(
                options.named("failed_runs_sensor"),
                job=jobs.replay,
                safety=safety,
                **prefix,
                **chosen.replay.arguments(),
            )
        )
    if chosen.observe is not None:
        made.append(
            build_observing_sensor(
                options.named("posthog_observer"),
                **prefix,
                **chosen.observe.arguments(),
                **observing,
            )
        )
    if chosen.health is not None:
        made.append(
            build_workflow_health_sensor(
                options.named("workflow_health_sensor"),
                asset_key=options.key("workflows"),
                specs=observing["specs"],
                **prefix,
                **chosen.health.arguments(),
            )
        )
    return made
