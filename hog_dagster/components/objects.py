"""What a user chooses about the integration, in Python or in YAML: one small record per subject.

Facts: `dg.Resolvable` makes a YAML schema of a dataclass or a pydantic record: its fields, types
and defaults. Whatever acts on people is a dry run and switched off until the user says otherwise;
its records are the policies of `hog_dagster.policies`, with when it happens beside them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar, Literal, Self

import dagster as dg
from pydantic import BaseModel, Field, model_validator

from hog_dagster.assets.group_tables import GroupColumn
from hog_dagster.assets.insight_selection import InsightSelection
from hog_dagster.assets.options import HogFunctionSelection, WorkflowSelection
from hog_dagster.policies import BatchPolicy, QueryTable, ReplayPolicy, Safety

__all__ = [
    "BatchJob",
    "Groups",
    "HealthSensor",
    "HogFunctions",
    "Insights",
    "ObservingSensor",
    "Partitions",
    "Query",
    "ReplaySensor",
    "SafetyLimits",
    "Schedules",
    "Sensors",
    "Workflows",
]


@dataclass(frozen=True)
class Workflows(dg.Resolvable):
    """Which workflows are read and acted on; every condition given must hold.

    Args:
        ids: only these ids.
        names: only names that match one of these regular expressions, as a whole, case ignored.
        statuses: only these statuses: draft, active, archived.
    """

    ids: Sequence[str] = ()
    names: Sequence[str] = ()
    statuses: Sequence[str] = ()

    def selection(self) -> WorkflowSelection:
        """As the assets take it."""
        return WorkflowSelection(tuple(self.ids), tuple(self.names), tuple(self.statuses))


@dataclass(frozen=True)
class HogFunctions(dg.Resolvable):
    """Which hog functions are read; every condition given must hold.

    Args:
        ids: only these ids.
        names: only names that match one of these regular expressions, as a whole, case ignored.
        types: only these types: destination, transformation, site_app, ...
        enabled: only those switched on, or off.
    """

    ids: Sequence[str] = ()
    names: Sequence[str] = ()
    types: Sequence[str] = ()
    enabled: bool | None = None

    def selection(self) -> HogFunctionSelection:
        """As the assets take it."""
        return HogFunctionSelection(
            tuple(self.ids), tuple(self.names), tuple(self.types), self.enabled
        )


@dataclass(frozen=True)
class Insights(dg.Resolvable):
    """Which saved insights are landed; every condition given must hold.

    Args:
        short_ids: only these short ids.
        names: only titles that match one of these regular expressions, as a whole, case ignored.
        tags: only insights with one of these tags.
        dashboards: only insights on one of these dashboards (ids).
        kinds: only these kinds: trends, funnels, retention, paths, stickiness, lifecycle, sql.
        refresh: how fresh results must be, as PostHog takes it: blocking, force_cache, ...
        timeout: seconds one insight may take.
    """

    short_ids: Sequence[str] = ()
    names: Sequence[str] = ()
    tags: Sequence[str] = ()
    dashboards: Sequence[int] = ()
    kinds: Sequence[str] = ()
    refresh: str = "blocking"
    timeout: float = 300.0

    def selection(self) -> InsightSelection:
        """As the assets take it."""
        return InsightSelection(
            short_ids=tuple(self.short_ids),
            names=tuple(self.names),
            tags=tuple(self.tags),
            dashboards=tuple(self.dashboards),
            kinds=tuple(self.kinds),
            refresh=self.refresh,
            timeout=self.timeout,
        )


@dataclass(frozen=True)
class Groups(dg.Resolvable):
    """Which groups are landed, and how.

    Args:
        types: only groups of these types (names); all by default.
        columns: property -> type (text, bigint, double, boolean, timestamptz, date, json):
            properties that get a column of their own.
        history: keep what properties were, in `group_history`.
    """

    types: Sequence[str] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    history: bool = False

    def typed_columns(self) -> list[GroupColumn]:
        """As the assets take them."""
        return [GroupColumn(name, type) for name, type in self.columns.items()]  # type: ignore[arg-type]


@dataclass(frozen=True)
class Partitions(dg.Resolvable):
    """How logs, metrics and runs are cut.

    Args:
        start_date: the first day (UTC), 2026-01-31 say. PostHog keeps runs for 30 days and the rest
            for 90.
        every: daily or hourly.
        lookback: how many partitions before each are read again with it, for late rows.
    """

    start_date: str
    every: Literal["daily", "hourly"] = "daily"
    lookback: int = 0

    @property
    def day(self) -> date:
        """The first day.

        Raises:
            ValueError: it is no date.
        """
        try:
            return date.fromisoformat(str(self.start_date))
        except ValueError:
            raise ValueError(
                f"partitions.start_date is {self.start_date!r}; give a day such as 2026-01-31."
            ) from None

    def definition(self) -> dg.DailyPartitionsDefinition | dg.HourlyPartitionsDefinition:
        """Dagster's partitions."""
        if self.every == "hourly":
            return dg.HourlyPartitionsDefinition(start_date=f"{self.day.isoformat()}-00:00")
        return dg.DailyPartitionsDefinition(start_date=self.day.isoformat())


@dataclass(frozen=True)
class Schedules(dg.Resolvable):
    """When tables are read again, in UTC; null leaves a schedule out. All of them only read.

    Args:
        snapshots: catalogs, blocked runs, the ledger.
        partitions: the newest partitions of logs, metrics and runs; by default at 01:20, or each
            hour where partitions are hourly.
        insights: results of insights.
        queries: queries that are snapshots.
        checks: every check, also of tables that were not read.
        reconcile: reconciles actions in doubt with what PostHog shows.
        reread: how many of the newest partitions are read each time.
        running: whether they are on when first loaded.
    """

    snapshots: str | None = "5 * * * *"
    partitions: str | None = None
    insights: str | None = "35 5 * * *"
    queries: str | None = "5 5 * * *"
    checks: str | None = "50 6 * * *"
    reconcile: str | None = "*/15 * * * *"
    reread: int = 3
    running: bool = False


class _Policy(dg.Resolvable):
    """A policy record as a record of YAML.

    Facts: Dagster gives the bounds of a field to a union of it and of text, so that a template in
    the place of a number would be compared with a number; the record checks them in any case.
    """

    @classmethod
    def model(cls) -> type[BaseModel]:
        known = cls.__dict__.get("_yaml_model")
        if known is None:
            known = super().model()
            for field_info in known.model_fields.values():
                field_info.metadata = []
            known.model_rebuild(force=True)
            cls._yaml_model = known
        return known

    _yaml_model: ClassVar[type[BaseModel] | None] = None


class SafetyLimits(Safety, _Policy):
    """Limits of a whole project. Whatever is set here holds for everything below it, and for runs
    that somebody launches by hand."""


class ReplaySensor(ReplayPolicy, _Policy):
    """Finds failed or blocked runs and requests their replay."""

    running: bool = Field(default=False, description="Whether it is on when first loaded.")
    hog_functions: bool = Field(
        default=False, description="Whether failed runs of hog functions are found too."
    )
    allow_workflows: list[str] = Field(
        default=[], description="Only these workflows (names or ids); all if empty."
    )
    deny_workflows: list[str] = Field(
        default=[], description="Never these workflows (names or ids)."
    )
    min_age_minutes: float = Field(default=0.0, ge=0, description="Younger runs are left alone.")
    max_age_hours: float = Field(default=24.0, gt=0, description="Older runs are left alone.")
    window_from: str | None = Field(
        default=None,
        description="Only runs scheduled then or later (ISO 8601), instead of max_age_hours.",
    )
    window_to: str | None = Field(
        default=None, description="Only runs scheduled before then (ISO 8601)."
    )
    failures_in_a_row: int = Field(
        default=1,
        ge=1,
        description="Failed runs are only requested when this many failed in a row.",
    )
    max_runs_per_tick: int = Field(
        default=1000, ge=1, description="The maximum number of PostHog runs in one tick."
    )
    max_runs_per_request: int = Field(
        default=500, ge=1, description="The maximum number of PostHog runs in one Dagster run."
    )
    interval_seconds: int = Field(default=60, ge=1, description="Between two ticks.")

    def arguments(self) -> dict[str, Any]:
        """For `build_failed_runs_sensor`."""
        return {
            "policy": self,
            "hog_functions": self.hog_functions,
            "allow_workflows": tuple(self.allow_workflows),
            "deny_workflows": tuple(self.deny_workflows),
            "min_age": timedelta(minutes=self.min_age_minutes),
            "max_age": timedelta(hours=self.max_age_hours),
            "window_from": _moment(self.window_from, "sensors.replay.window_from"),
            "window_to": _moment(self.window_to, "sensors.replay.window_to"),
            "failures_in_a_row": self.failures_in_a_row,
            "max_runs_per_tick": self.max_runs_per_tick,
            "max_runs_per_request": self.max_runs_per_request,
            "minimum_interval_seconds": self.interval_seconds,
            "default_status": status_of(self.running),
        }


class Query(QueryTable, _Policy):
    """A HogQL query whose rows land as a table, all of them."""


@dataclass(frozen=True)
class ObservingSensor(dg.Resolvable):
    """Observes what happened in PostHog outside Dagster. It only reads.

    Args:
        running: whether it is on when first loaded.
        definitions: whether changes of definitions are observed.
        batch_jobs: whether batch jobs are.
        failed_runs: whether failed runs are (newer servers).
        counts: whether runs and e-mails are counted by the hour.
        max_requests_per_tick: how many requests a tick may make.
        interval_seconds: between two ticks.
    """

    running: bool = True
    definitions: bool = True
    batch_jobs: bool = True
    failed_runs: bool = True
    counts: bool = True
    max_requests_per_tick: int = 60
    interval_seconds: int = 300

    def arguments(self) -> dict[str, Any]:
        """For `build_observing_sensor`."""
        return {
            "definitions": self.definitions,
            "batch_jobs": self.batch_jobs,
            "failed_runs": self.failed_runs,
            "counts": self.counts,
            "max_requests_per_tick": self.max_requests_per_tick,
            "minimum_interval_seconds": self.interval_seconds,
            "default_status": status_of(self.running),
        }


@dataclass(frozen=True)
class HealthSensor(dg.Resolvable):
    """Observes workflows that fail over a threshold. It only reads.

    Args:
        running: whether it is on when first loaded.
        window_hours: how far back it counts.
        min_failed: unhealthy is who failed at least so often ...
        min_failure_share: ... and in at least this share, 0 to 1.
        interval_seconds: between two ticks.
    """

    running: bool = False
    window_hours: int = 24
    min_failed: int = 10
    min_failure_share: float = 0.1
    interval_seconds: int = 300

    def arguments(self) -> dict[str, Any]:
        """For `build_workflow_health_sensor`."""
        return {
            "window_hours": self.window_hours,
            "min_failed": self.min_failed,
            "min_failure_share": self.min_failure_share,
            "minimum_interval_seconds": self.interval_seconds,
            "default_status": status_of(self.running),
        }


@dataclass(frozen=True)
class Sensors(dg.Resolvable):
    """The sensors; null leaves one out."""

    replay: ReplaySensor | None = field(default_factory=ReplaySensor)
    observe: ObservingSensor | None = field(default_factory=ObservingSensor)
    health: HealthSensor | None = field(default_factory=HealthSensor)


class BatchJob(BatchPolicy, _Policy):
    """A workflow that is sent to its audience by Dagster: on a schedule, or when tables are fresh.

    With `cron` alone it is a schedule: one send per moment, ever. With `deps` it is an asset
    downstream of them, sent when they are materialized, or, with `cron` too, once all of them were
    since its last moment.
    """

    workflow: str = Field(
        description="The workflow's id, or its name where the definitions know it."
    )
    cron: str | None = Field(default=None, description="When to send: a cron rule.")
    timezone: str = Field(default="UTC", description="IANA zone of the cron rule.")
    deps: list[str] = Field(
        default=[], description="Asset keys that must be fresh first, `marts/trial_users` say."
    )
    variables: dict[str, Any] = Field(
        default={}, description="Values that replace the workflow's own variables."
    )
    max_lateness_hours: float | None = Field(
        default=24.0,
        gt=0,
        description="Moments missed by more than this are not sent, only reported; null sends all.",
    )
    running: bool = Field(
        default=False, description="Whether its schedule is on when first loaded."
    )
    name: str | None = Field(
        default=None, description="Of the schedule, or the last part of the asset's key."
    )

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


def _moment(text: str | None, name: str) -> datetime | None:
    """A time in ISO 8601; without an offset it is UTC.

    Raises:
        ValueError: it cannot be read.
    """
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{name} is {text!r}; give ISO 8601, such as 2026-12-01T09:00:00+01:00."
        ) from None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


def first_kept_day() -> date:
    """PostHog keeps logs and metrics for 90 days: the first of the month that began before."""
    return (datetime.now(UTC) - timedelta(days=90)).date().replace(day=1)


def status_of(running: bool) -> dg.DefaultSensorStatus:
    """Dagster's word for whether a sensor is on."""
    return dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED
