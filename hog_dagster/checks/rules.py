"""Thresholds and severities of the checks: what a user may set, in Python or in YAML.

Facts: a check of severity ERROR makes an asset unhealthy in Dagster's UI and WARN marks it; both
can alert. None of them stops a run. A rule that is None switches its check off.
"""

from dataclasses import dataclass, field
from typing import Literal

import dagster as dg

__all__ = [
    "BlockedRuns",
    "CheckRules",
    "Completeness",
    "DeliveryRate",
    "Drift",
    "FailureRate",
    "Retention",
    "Saturation",
    "SchedulesFire",
    "Severity",
    "Staleness",
    "StuckRuns",
    "Uniqueness",
    "VolumeAnomaly",
]

Severity = Literal["warn", "error"]


@dataclass(frozen=True)
class Completeness(dg.Resolvable):
    """What landed is what PostHog counts, over the newest landed days.

    Args:
        severity: of a difference.
        days: how many of the newest landed days are counted again.
        workflows: where only REST can be asked, at most so many workflows or functions per run of
            the check, a request each; the next run takes others. Runs of all workflows are counted
            together where PostHog's global metrics tell.
        max_rows: of logs, which PostHog does not count, at most so many lines are read again per
            workflow.
        tolerance: share of rows that may be missing, 0 to 1.
    """

    severity: Severity = "error"
    days: int = 2
    workflows: int = 10
    max_rows: int = 2000
    tolerance: float = 0.0


@dataclass(frozen=True)
class Saturation(dg.Resolvable):
    """No instant holds as many rows as PostHog's largest page: there, rows could be cut off.

    Args:
        severity: of an instant that does.
        days: the newest landed days that are looked at.
    """

    severity: Severity = "error"
    days: int = 7


@dataclass(frozen=True)
class Uniqueness(dg.Resolvable):
    """No row is there twice.

    Args:
        severity: of a row that is.
        days: the newest landed days that are looked at.
    """

    severity: Severity = "error"
    days: int = 7


@dataclass(frozen=True)
class Drift(dg.Resolvable):
    """PostHog's answers hold no fields and no values that this version does not know.

    Args:
        severity: of a field or value that is new.
        days: the newest landed days that are looked at.
    """

    severity: Severity = "warn"
    days: int = 7


@dataclass(frozen=True)
class Retention(dg.Resolvable):
    """Nothing expires in PostHog before it landed.

    Args:
        severity: of a partition that is about to expire and has not landed.
        days: how long before it expires.
    """

    severity: Severity = "error"
    days: int = 7


@dataclass(frozen=True)
class FailureRate(dg.Resolvable):
    """Runs of a workflow do not fail too often.

    Args:
        severity: of a rate above the threshold.
        threshold: largest share of failed runs, 0 to 1.
        hours: the newest landed hours that are looked at.
        min_runs: workflows with fewer runs are left alone.
    """

    severity: Severity = "warn"
    threshold: float = 0.1
    hours: int = 24
    min_runs: int = 20


@dataclass(frozen=True)
class DeliveryRate(dg.Resolvable):
    """E-mails arrive.

    Args:
        severity: of a rate below the threshold.
        threshold: smallest share of delivered e-mails, 0 to 1. Where PostHog counts no deliveries,
            those that neither failed nor bounced.
        hours: the newest landed hours that are looked at.
        min_emails: workflows that sent fewer are left alone.
    """

    severity: Severity = "warn"
    threshold: float = 0.95
    hours: int = 72
    min_emails: int = 50


@dataclass(frozen=True)
class VolumeAnomaly(dg.Resolvable):
    """The newest landed day has about as many runs as the same weekday before.

    Args:
        severity: of a day outside the bounds.
        low: smallest ratio to the median of the same weekdays.
        high: largest ratio.
        weeks: how many weeks back; at least three of them must have landed.
        min_runs: differences smaller than this many runs are left alone.
    """

    severity: Severity = "warn"
    low: float = 0.3
    high: float = 3.0
    weeks: int = 6
    min_runs: int = 20


@dataclass(frozen=True)
class Staleness(dg.Resolvable):
    """The newest row is not too old.

    Args:
        severity: of a table whose newest row is older.
        hours: how old it may be; daily partitions lag two days at worst.
    """

    severity: Severity = "warn"
    hours: float = 54.0


@dataclass(frozen=True)
class BlockedRuns(dg.Resolvable):
    """Runs do not wait for a replay.

    Args:
        severity: when more wait.
        max_waiting: how many may.
    """

    severity: Severity = "warn"
    max_waiting: int = 0


@dataclass(frozen=True)
class StuckRuns(dg.Resolvable):
    """Runs end: none stands at `running` for long. It may wait, or be stuck.

    Args:
        severity: of a run that does.
        hours: how long it may; more than your workflows wait.
        most: how many may.
    """

    severity: Severity = "warn"
    hours: float = 24.0
    most: int = 0


@dataclass(frozen=True)
class SchedulesFire(dg.Resolvable):
    """Schedules fire: those of PostHog's workflows, and those of Dagster that send batch jobs.

    Args:
        severity: of a moment that passed without a send.
        grace_minutes: how late a send may be.
    """

    severity: Severity = "error"
    grace_minutes: float = 60.0


@dataclass(frozen=True)
class CheckRules(dg.Resolvable):
    """Every check and its thresholds; null switches one off."""

    completeness: Completeness | None = field(default_factory=Completeness)
    saturation: Saturation | None = field(default_factory=Saturation)
    uniqueness: Uniqueness | None = field(default_factory=Uniqueness)
    drift: Drift | None = field(default_factory=Drift)
    retention: Retention | None = field(default_factory=Retention)
    failure_rate: FailureRate | None = field(default_factory=FailureRate)
    delivery_rate: DeliveryRate | None = field(default_factory=DeliveryRate)
    volume_anomaly: VolumeAnomaly | None = field(default_factory=VolumeAnomaly)
    staleness: Staleness | None = field(default_factory=Staleness)
    blocked_runs: BlockedRuns | None = field(default_factory=BlockedRuns)
    stuck_runs: StuckRuns | None = field(default_factory=StuckRuns)
    schedules_fire: SchedulesFire | None = field(default_factory=SchedulesFire)
