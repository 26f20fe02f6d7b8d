"""What is read: which workflows, functions, insights and groups; partitions, schedules, observers.

Facts: PostHog keeps logs and metrics for 90 days, results of runs for 30; workflows have a name, an
id and a status, and no tags.
"""

import re
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from hog_dagster.policies._values import (
    Cron,
    Id,
    Many,
    Name,
    Pattern,
    Record,
    ShortId,
    day_that_came,
    same_id,
)

_NAMES = "Only {0} that match one of these regular expressions, as a whole, case ignored."


def first_kept_day() -> date:
    """PostHog keeps logs and metrics for 90 days: the first of the month that began before."""
    return (datetime.now(UTC) - timedelta(days=90)).date().replace(day=1)


class WorkflowSelection(Record):
    """Which workflows are read and acted on; every condition given must hold, none given means all.
    `workflow in selection` says whether one is selected."""

    ids: Many[Id] = ()
    """Only these ids."""
    names: Many[Pattern] = Field(default=(), description=_NAMES.format("names"))
    statuses: Many[Literal["draft", "active", "archived"]] = ()
    """Only these statuses."""

    def __contains__(self, workflow: Any) -> bool:
        return (
            (not self.ids or same_id(workflow.id) in self.ids)
            and (not self.statuses or workflow.status in self.statuses)
            and _is_named(workflow.name, self.names)
        )


class HogFunctionSelection(Record):
    """Which hog functions are read; every condition given must hold, none given means all.
    `function in selection` says whether one is selected."""

    ids: Many[Id] = ()
    """Only these ids."""
    names: Many[Pattern] = Field(default=(), description=_NAMES.format("names"))
    types: Many[
        Literal[
            "destination",
            "site_destination",
            "internal_destination",
            "source_webhook",
            "warehouse_source_webhook",
            "site_app",
            "transformation",
            "transformation_log",
        ]
    ] = ()
    """Only these types."""
    enabled: bool | None = None
    """true: only enabled functions. false: only disabled ones."""

    def __contains__(self, function: Any) -> bool:
        return (
            (not self.ids or same_id(function.id) in self.ids)
            and (not self.types or (function.type or "destination") in self.types)
            and self.enabled in (None, bool(function.enabled))
            and _is_named(function.name, self.names)
        )


class InsightSelection(Record):
    """Which saved insights are loaded, and how fresh; every condition given must hold, none given
    means all. `insight in selection` says whether one is selected."""

    short_ids: Many[ShortId] = ()
    """Only these short ids."""
    names: Many[Pattern] = Field(default=(), description=_NAMES.format("titles"))
    tags: Many[Name] = ()
    """Only insights with one of these tags."""
    dashboards: Many[Annotated[int, Field(ge=1)]] = ()
    """Only insights on one of these dashboards (numbers)."""
    kinds: Many[
        Literal["trends", "funnels", "retention", "paths", "stickiness", "lifecycle", "sql"]
    ] = ()
    """Only these kinds."""
    refresh: Literal[
        "force_cache",
        "blocking",
        "async",
        "lazy_async",
        "async_except_on_cache_miss",
        "force_blocking",
        "force_async",
    ] = "blocking"
    """How fresh results must be; one of PostHog's refresh modes."""
    timeout: float = Field(default=300.0, gt=0)
    """How many seconds one insight may take."""

    def __contains__(self, insight: Any) -> bool:
        return (
            (not self.short_ids or insight.short_id in self.short_ids)
            and (not self.tags or bool({*self.tags} & {*insight.tags}))
            and (not self.dashboards or bool({*self.dashboards} & {*insight.dashboard_ids}))
            and (not self.kinds or insight.kind in self.kinds)
            and _is_named(insight.title, self.names)
        )


def _is_named(name: str | None, patterns: Collection[str]) -> bool:
    return not patterns or any(re.fullmatch(one, name or "", re.IGNORECASE) for one in patterns)


class GroupChoice(Record):
    """Which groups are loaded, and how."""

    types: Many[Name] = ()
    """Only groups of these types (names). The default is all."""
    columns: dict[
        Name,
        Literal["text", "bigint", "integer", "double", "boolean", "timestamptz", "date", "json"],
    ] = {}
    """Properties that get a column of their own, and the column's type."""
    history: bool = False
    """Keep earlier values of properties in the table `group_history`."""


class PartitionPolicy(Record):
    """How logs, metrics and runs are cut."""

    start_date: str | None = None
    """First day of the partitions (UTC), for example 2026-01-31. PostHog keeps runs for 30 days,
    logs and metrics for 90. The default is the first day of the month of 90 days ago, which
    moves."""
    every: Literal["daily", "hourly"] = "daily"
    """Length of a partition."""
    lookback: int = Field(default=0, ge=0, le=90)
    """How many earlier partitions to load again with each partition, for late rows."""

    @field_validator("start_date", mode="after")
    @classmethod
    def _is_a_day_that_came(cls, text: str | None) -> str | None:
        return None if text is None else day_that_came(text)

    @property
    def day(self) -> date:
        """The first day."""
        return date.fromisoformat(self.start_date) if self.start_date else first_kept_day()


class SchedulePolicy(Record):
    """When tables are read again, in UTC; null leaves a schedule out. All of them only read."""

    snapshots: Cron | None = "5 * * * *"
    """When to load the catalogs, blocked runs and the ledger."""
    partitions: Cron | None = None
    """When to load the newest partitions of logs, metrics and runs. The default is 01:20, or every
    hour with hourly partitions."""
    insights: Cron | None = "35 5 * * *"
    """When to load the results of insights."""
    queries: Cron | None = "5 5 * * *"
    """When to load queries that are snapshots."""
    checks: Cron | None = "50 6 * * *"
    """When to run every check, also of tables that were not loaded."""
    reconcile: Cron | None = "*/15 * * * *"
    """When to reconcile actions in doubt."""
    reread: int = Field(default=3, ge=1)
    """How many of the newest partitions to load each time."""
    running: bool = False
    """Whether the schedules are on when they are first loaded."""


class ObservePolicy(Record):
    """Observes what happened in PostHog outside Dagster. It only reads."""

    running: bool = True
    """Whether the sensor is on when it is first loaded."""
    definitions: bool = True
    """Whether to observe changed definitions."""
    batch_jobs: bool = True
    """Whether to observe batch jobs."""
    failed_runs: bool = True
    """Whether to observe failed runs (newer servers only)."""
    counts: bool = True
    """Whether to count runs and e-mails by the hour."""
    max_requests_per_tick: int = Field(default=60, ge=1)
    """The maximum number of requests in one tick."""
    interval_seconds: int = Field(default=300, ge=1, le=31_536_000)
    """Time between two ticks."""


class HealthPolicy(Record):
    """Observes workflows that fail over a threshold. It only reads."""

    running: bool = False
    """Whether the sensor is on when it is first loaded."""
    window_hours: int = Field(default=24, ge=1, le=720)
    """How many hours to count."""
    min_failed: int = Field(default=10, ge=0)
    """The minimum number of failures of an unhealthy workflow. It must reach `min_failure_share`
    too."""
    min_failure_share: float = Field(default=0.1, ge=0, le=1)
    """The minimum share of failures of an unhealthy workflow, from 0 to 1. It must reach
    `min_failed` too."""
    interval_seconds: int = Field(default=300, ge=1, le=31_536_000)
    """Time between two ticks."""
