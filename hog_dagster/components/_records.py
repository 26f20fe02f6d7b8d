"""What a user chooses about the integration, in Python or in YAML: one small record per subject.

Facts: each is a record of `hog_dagster.policies`, with what Dagster makes of it. Whatever acts on
people is a dry run and switched off until the user says otherwise.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Self

import dagster as dg
from pydantic import Field, ValidationInfo, field_validator, model_validator

from hog_dagster.assets import GroupColumn
from hog_dagster.components._values import checked_owner
from hog_dagster.policies import (
    AlertPolicy,
    AssetPath,
    BatchPolicy,
    Cron,
    GroupChoice,
    HealthPolicy,
    HogFunctionSelection,
    InsightSelection,
    MessagingPolicy,
    Moment,
    Name,
    ObservePolicy,
    PartitionPolicy,
    Pool,
    QueryTable,
    Record,
    ReplayPolicy,
    Safety,
    SchedulePolicy,
    TagKey,
    TagValue,
    WorkflowSelection,
    Zone,
    moment_of,
)


class Workflows(WorkflowSelection):
    """Which workflows are read and acted on; every condition given must hold."""


class HogFunctions(HogFunctionSelection):
    """Which hog functions are read; every condition given must hold."""


class Insights(InsightSelection):
    """Which saved insights are loaded; every condition given must hold."""


class Groups(GroupChoice):
    """Which groups are loaded, and how."""

    def typed_columns(self) -> list[GroupColumn]:
        """As the assets take them."""
        return [GroupColumn(name, type) for name, type in self.columns.items()]


class Messaging(MessagingPolicy):
    """What is loaded of messages, and of whom they reached."""


class Partitions(PartitionPolicy):
    """How logs, metrics and runs are cut."""

    def definition(self) -> dg.DailyPartitionsDefinition | dg.HourlyPartitionsDefinition:
        """Dagster's partitions."""
        if self.every == "hourly":
            return dg.HourlyPartitionsDefinition(start_date=f"{self.day.isoformat()}-00:00")
        return dg.DailyPartitionsDefinition(start_date=self.day.isoformat())


class Schedules(SchedulePolicy):
    """When tables are read again, in UTC; null leaves a schedule out. All of them only read."""


class SafetyLimits(Safety):
    """Limits of a whole project. Whatever is set here holds for everything below it, and for runs
    that somebody launches by hand."""


#: Fields of a sensor whose arguments are called otherwise.
_RENAMED = {"running", "interval_seconds"}


def _of_all_sensors(sensor: Any) -> dict[str, Any]:
    status = dg.DefaultSensorStatus.RUNNING if sensor.running else dg.DefaultSensorStatus.STOPPED
    return {"minimum_interval_seconds": sensor.interval_seconds, "default_status": status}


class ReplaySensor(ReplayPolicy):
    """Finds failed or blocked runs and requests their replay."""

    running: bool = False
    """Whether the sensor is on when it is first loaded."""
    hog_functions: bool = False
    """Whether to find failed runs of hog functions too."""
    allow_workflows: list[Name] = []
    """Only these workflows (names or ids). Empty means all."""
    deny_workflows: list[Name] = []
    """Never these workflows (names or ids)."""
    min_age_minutes: float = Field(default=0.0, ge=0, le=525_600)
    """Ignore younger runs."""
    max_age_hours: float = Field(default=24.0, gt=0, le=87_600)
    """Ignore older runs."""
    window_from: Moment | None = None
    """Only runs scheduled at or after this time (ISO 8601), instead of `max_age_hours`."""
    window_to: Moment | None = None
    """Only runs scheduled before this time (ISO 8601)."""
    failures_in_a_row: int = Field(default=1, ge=1)
    """Request failed runs only when this many failed in a row."""
    max_runs_per_tick: int = Field(default=1000, ge=1)
    """The maximum number of PostHog runs that one tick requests."""
    max_runs_per_request: int = Field(default=500, ge=1)
    """The maximum number of PostHog runs in one Dagster run."""
    retry_after_seconds: float = Field(default=60.0, gt=0, le=31_536_000)
    """How long to wait before requesting the same runs again after the Dagster run failed. The wait
    doubles each time, up to an hour."""
    time_budget_seconds: float = Field(default=40.0, gt=0, le=45)
    """How long a tick may read from PostHog. Dagster ends a tick after 60 seconds."""
    interval_seconds: int = Field(default=60, ge=1, le=31_536_000)
    """Time between two ticks."""

    @field_validator("window_to")
    @classmethod
    def _window_is_one(cls, text: str | None, info: ValidationInfo) -> str | None:
        start, end = moment_of(info.data.get("window_from")), moment_of(text)
        if start is not None and end is not None and start >= end:
            raise ValueError("give a time after window_from: nothing is in the window otherwise")
        return text

    def arguments(self) -> dict[str, Any]:
        """For `build_failed_runs_sensor`."""
        same = (
            "hog_functions",
            "failures_in_a_row",
            "max_runs_per_tick",
            "max_runs_per_request",
            "time_budget_seconds",
        )
        return {
            **{name: getattr(self, name) for name in same},
            **_of_all_sensors(self),
            "policy": self,
            "allow_workflows": tuple(self.allow_workflows),
            "deny_workflows": tuple(self.deny_workflows),
            "min_age": timedelta(minutes=self.min_age_minutes),
            "max_age": timedelta(hours=self.max_age_hours),
            "window_from": moment_of(self.window_from),
            "window_to": moment_of(self.window_to),
            "retry_after": timedelta(seconds=self.retry_after_seconds),
        }


class Query(QueryTable):
    """A HogQL query whose rows are loaded as a table, all of them."""

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        self.check()
        return self

    @field_validator("owners")
    @classmethod
    def _are_owners(cls, owners: list[str]) -> list[str]:
        return [checked_owner(owner) for owner in owners]


class ObservingSensor(ObservePolicy):
    """Observes what happened in PostHog outside Dagster. It only reads."""

    def arguments(self) -> dict[str, Any]:
        """For `build_observing_sensor`."""
        return self.model_dump(exclude=_RENAMED) | _of_all_sensors(self)


class HealthSensor(HealthPolicy):
    """Observes workflows that fail over a threshold. It only reads."""

    def arguments(self) -> dict[str, Any]:
        """For `build_workflow_health_sensor`."""
        return self.model_dump(exclude=_RENAMED) | _of_all_sensors(self)


class Sensors(Record):
    """The sensors; null leaves one out."""

    replay: ReplaySensor | None = ReplaySensor()
    observe: ObservingSensor | None = ObservingSensor()
    health: HealthSensor | None = HealthSensor()


class Alerts(AlertPolicy):
    """Alerts by Slack, web hook or e-mail: checks and runs that fail, actions in doubt, requests
    that run out, sensors that do not tick. Each is sent once."""


class BatchJob(BatchPolicy):
    """A workflow that is sent to its audience by Dagster: on a schedule, or when tables are fresh.

    With `cron` alone it is a schedule: one send per moment, ever. With `deps` it is an asset
    downstream of them, sent when they are materialized, or, with `cron` too, once all of them were
    since its last moment.
    """

    workflow: Name
    """The workflow's id, or its name if the stored state knows it."""
    cron: Cron | None = None
    """When to send: a cron expression."""
    timezone: Zone = "UTC"
    """IANA time zone of the cron expression."""
    deps: list[AssetPath] = []
    """Asset keys that must be fresh before the send, for example `marts/trial_users`."""
    variables: dict[str, Any] = {}
    """Values that replace the workflow's own variables."""
    max_lateness_hours: float | None = Field(default=24.0, gt=0, le=87_600)
    """Scheduled times missed by more than this are reported and not sent. null sends all of
    them."""
    running: bool = False
    """Whether the schedule is on when it is first loaded."""
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_]+$")
    """Name of the schedule, or the last part of the asset key."""
    tags: Mapping[TagKey, TagValue] = {}
    """Additional tags of the schedule's runs, or of the asset."""
    description: str | None = None
    """Description of the schedule or the asset in the UI."""
    pool: Pool | None = None
    """Dagster pool of the asset's step. The default is posthog_actions."""

    @model_validator(mode="after")
    def _is_sent_at_all(self) -> Self:
        if not self.cron and not self.deps:
            raise ValueError(
                f"The batch job of workflow {self.workflow} would never be sent: give it a cron "
                "rule, or deps that it is sent after."
            )
        return self

    @property
    def max_lateness(self) -> timedelta | None:
        """As the schedule takes it."""
        hours = self.max_lateness_hours
        return None if hours is None else timedelta(hours=hours)
