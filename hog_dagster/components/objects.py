"""What a user chooses about the integration, in Python or in YAML: one small record per subject.

Facts: `dg.Resolvable` makes a YAML schema of a dataclass: its fields, types and defaults. Whatever
acts on people is a dry run and switched off until the user says otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import dagster as dg

from hog_dagster.assets.group_tables import GroupColumn
from hog_dagster.assets.insight_selection import InsightSelection
from hog_dagster.assets.options import HogFunctionSelection, WorkflowSelection

__all__ = [
    "BatchJob",
    "Groups",
    "HealthSensor",
    "HogFunctions",
    "Insights",
    "ObservingSensor",
    "Partitions",
    "ReplaySensor",
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
        checks: every check, also of tables that were not read.
        settle: reads acts in doubt back from PostHog.
        reread: how many of the newest partitions are read each time.
        running: whether they are on when first loaded.
    """

    snapshots: str | None = "5 * * * *"
    partitions: str | None = None
    insights: str | None = "35 5 * * *"
    checks: str | None = "50 6 * * *"
    settle: str | None = "*/15 * * * *"
    reread: int = 3
    running: bool = False


@dataclass(frozen=True)
class ReplaySensor(dg.Resolvable):
    """Finds blocked or failed runs and asks for their replay.

    Args:
        running: whether it is on when first loaded.
        dry_run: the requested runs only say what they would replay.
        max_runs_per_tick: at most so many PostHog runs in one tick.
        max_runs_per_request: at most so many in one Dagster run.
        allow_workflows: only these workflows (ids); all when empty.
        deny_workflows: never these.
        min_age_minutes: younger runs are left alone.
        max_age_days: older runs are left alone.
        failures_in_a_row: failed runs are only asked for when so many failed in a row.
        error_kinds: only failed runs with one of these kinds of error.
        max_reruns: how often one failed run may be run again in all.
        interval_seconds: between two ticks.
    """

    running: bool = False
    dry_run: bool = True
    max_runs_per_tick: int = 100
    max_runs_per_request: int = 50
    allow_workflows: Sequence[str] = ()
    deny_workflows: Sequence[str] = ()
    min_age_minutes: float = 0.0
    max_age_days: float = 30.0
    failures_in_a_row: int = 1
    error_kinds: Sequence[str] = ()
    max_reruns: int = 1
    interval_seconds: int = 60

    def arguments(self) -> dict[str, Any]:
        """For `build_blocked_runs_sensor`."""
        return {
            "dry_run": self.dry_run,
            "max_runs_per_tick": self.max_runs_per_tick,
            "max_runs_per_request": self.max_runs_per_request,
            "allow_workflows": tuple(self.allow_workflows),
            "deny_workflows": tuple(self.deny_workflows),
            "min_age": timedelta(minutes=self.min_age_minutes),
            "max_age": timedelta(days=self.max_age_days),
            "failures_in_a_row": self.failures_in_a_row,
            "error_kinds": tuple(self.error_kinds),
            "max_reruns": self.max_reruns,
            "minimum_interval_seconds": self.interval_seconds,
            "default_status": status_of(self.running),
        }


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


@dataclass(frozen=True)
class BatchJob(dg.Resolvable):
    """A workflow that is sent to its audience by Dagster: on a schedule, or when tables are fresh.

    With `cron` alone it is a schedule: one send per moment, ever. With `deps` it is an asset
    downstream of them, sent when they are materialized, or, with `cron` too, once all of them were
    since its last moment.

    Args:
        workflow: the workflow's id, or its name where the definitions know it.
        cron: when to send: a cron rule.
        timezone: IANA zone of the cron rule.
        deps: asset keys that must be fresh first, `marts/trial_users` say.
        variables: values that replace the workflow's own variables.
        dry_run: only say what would be sent.
        max_audience: refuse to send to more people than this.
        send_uncounted: send even where the server cannot count the audience.
        running: whether its schedule is on when first loaded.
        name: of the schedule, or the last part of the asset's key.
    """

    workflow: str
    cron: str | None = None
    timezone: str = "UTC"
    deps: Sequence[str] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    dry_run: bool = True
    max_audience: int | None = None
    send_uncounted: bool = False
    running: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        if not self.cron and not self.deps:
            raise ValueError(
                f"The batch job of workflow {self.workflow} would never be sent: give it a cron "
                "rule, or deps that it is sent after."
            )


def first_kept_day() -> date:
    """PostHog keeps logs and metrics for 90 days: the first of the month that began before."""
    return (datetime.now(UTC) - timedelta(days=90)).date().replace(day=1)


def status_of(running: bool) -> dg.DefaultSensorStatus:
    """Dagster's word for whether a sensor is on."""
    return dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED
