"""The alerts of one project: a sensor that sends them, and checks that watch the sensors.

Facts: the sensor reports when the checks are not run; the checks, run by a schedule, report when
the sensor does not tick. Dagster's daemon runs both; `heartbeat_url` shows when it is down.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg

from hog_dagster.assets import AssetOptions
from hog_dagster.checks import build_operations_checks
from hog_dagster.policies import AlertPolicy
from hog_dagster.schedules import build_checks_schedule
from hog_dagster.sensors import build_check_failure_sensor


@dataclass(frozen=True)
class Alerting:
    """What alerts add to the definitions."""

    assets: list[dg.AssetSpec] = field(default_factory=list)
    checks: list[dg.AssetChecksDefinition] = field(default_factory=list)
    schedules: list[dg.ScheduleDefinition] = field(default_factory=list)
    sensors: list[dg.SensorDefinition] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        policy: AlertPolicy,
        options: AssetOptions,
        project_checks: Sequence[dg.AssetChecksDefinition] = (),
    ) -> "Alerting":
        """The alerts of a project, about the checks of its tables and its own."""
        sensor, schedule = options.named("posthog_alerts"), options.named("check_operations")
        project = f"PostHog {options.name}" if options.name else "PostHog"
        asset, checks = build_operations_checks(
            policy, options=options, alert_sensor=sensor, project=project
        )
        own = [key for one in [*project_checks, checks] for key in one.check_keys]
        on = dg.DefaultScheduleStatus.RUNNING if policy.running else None
        return cls(
            [asset],
            [checks],
            [
                build_checks_schedule(
                    [checks],
                    name=schedule,
                    cron_schedule=policy.operations_cron,
                    default_status=on or dg.DefaultScheduleStatus.STOPPED,
                    what="actions in doubt, requests that are left, and the ticks of sensors",
                )
            ],
            [
                build_check_failure_sensor(
                    sensor,
                    policy=policy,
                    checks=None if policy.whole_location else own,
                    project=project,
                    operations=asset.key,
                    operations_schedule=schedule,
                )
            ],
        )
