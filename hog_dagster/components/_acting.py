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
    """What happens at fixed times: tables are read again, checks run, batch jobs are sent."""
    running = dg.DefaultScheduleStatus.RUNNING
    status = running if chosen.running else dg.DefaultScheduleStatus.STOPPED
    made, named = list(sending.schedules), tables.options.named

    def whole(
        name: str, steps: Sequence[dg.AssetsDefinition], cron: str | None, **more: Any
    ) -> None:
        if steps and cron:
            schedule = build_snapshot_schedule(
                steps, name=named(name), cron_schedule=cron, default_status=status, **more
            )
            made.append(schedule)

    def partitioned(
        name: str,
        steps: Sequence[dg.AssetsDefinition],
        cut: dg.TimeWindowPartitionsDefinition,
        cron: str | None = None,
    ) -> None:
        usual = _HOURLY if isinstance(cut, dg.HourlyPartitionsDefinition) else _NIGHTLY
        schedule = build_partitions_schedule(
            steps,
            cut,
            name=named(name),
            cron_schedule=cron or usual,
            reread=chosen.reread,
            default_status=status,
        )
        made.append(schedule)

    whole("refresh_posthog_snapshots", tables.snapshots, chosen.snapshots)
    whole(
        "refresh_posthog_insight_results",
        tables.insights,
        chosen.insights,
        what="results of PostHog's insights",
    )
    snapshots = [step for step in tables.queries if step.partitions_def is None]
    whole("refresh_posthog_queries", snapshots, chosen.queries, what="HogQL queries")
    for step in tables.queries:
        if isinstance(own := step.partitions_def, dg.TimeWindowPartitionsDefinition):
            partitioned(f"refresh_{step.op.name.rpartition('posthog_')[2]}", [step], own)
    partitioned("refresh_posthog_partitions", tables.partitioned, cut, chosen.partitions)
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


def build_sensors(
    chosen: Sensors,
    jobs: Jobs,
    options: AssetOptions,
    observing: Mapping[str, Any],
    safety: Safety,
) -> list[dg.SensorDefinition]:
    """The sensors that are chosen; `observing` is what the observing sensor knows."""
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
