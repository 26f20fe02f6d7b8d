"""Thresholds and severities of the checks: what a user may set, in Python or in YAML.

Facts: a check of severity ERROR makes an asset unhealthy in Dagster's UI and WARN marks it; both
can alert. None of them stops a run. A rule that is None switches its check off.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from hog_dagster.policies._values import Record

__all__ = [
    "BlockedRuns",
    "CheckRules",
    "Completeness",
    "Deliverability",
    "DeliveryRate",
    "Drift",
    "Errors",
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


class Completeness(Record):
    """What was loaded is what PostHog counts, over the newest loaded days."""

    severity: Severity = "error"
    """Of a difference."""
    days: int = Field(default=2, ge=1, le=90)
    """How many of the newest loaded days are counted again."""
    workflows: int = Field(default=10, ge=1)
    """Where only REST can be asked, the most workflows or functions per run of the check, a request
    each; the next run takes others. Runs of all workflows are counted together where PostHog's
    global metrics tell."""
    max_rows: int = Field(default=2000, ge=1)
    """Of logs, which PostHog does not count, the most lines that are read again per workflow."""
    tolerance: float = Field(default=0.0, ge=0, le=1)
    """Share of rows that may be missing, 0 to 1."""


class Saturation(Record):
    """No instant holds as many rows as PostHog's largest page: there, rows could be cut off."""

    severity: Severity = "error"
    """Of an instant that does."""
    days: int = Field(default=7, ge=1, le=90)
    """The newest loaded days that count."""


class Uniqueness(Record):
    """No row is there twice."""

    severity: Severity = "error"
    """Of a row that is."""
    days: int = Field(default=7, ge=1, le=90)
    """The newest loaded days that count."""


class Drift(Record):
    """PostHog's responses hold no fields and no values that this version does not know."""

    severity: Severity = "warn"
    """Of a field or value that is new."""
    days: int = Field(default=7, ge=1, le=90)
    """The newest loaded days that count."""


class Retention(Record):
    """Nothing expires in PostHog before it was loaded."""

    severity: Severity = "error"
    """Of a partition that is about to expire and was not loaded."""
    days: int = Field(default=7, ge=1, le=90)
    """How long before it expires."""


class FailureRate(Record):
    """Runs of a workflow do not fail too often."""

    severity: Severity = "warn"
    """Of a rate above the threshold."""
    threshold: float = Field(default=0.1, ge=0, le=1)
    """Largest share of failed runs, 0 to 1."""
    hours: int = Field(default=24, gt=0)
    """The newest loaded hours that count."""
    min_runs: int = Field(default=20, ge=0)
    """Workflows with fewer runs are left alone."""


class Errors(Record):
    """No error comes too often."""

    severity: Severity = "warn"
    """Of an error that does."""
    maximum: int = Field(default=100, ge=0)
    """How often one error may come: failed runs, or log lines, of one workflow, step and message,
    whichever are more."""
    days: int = Field(default=1, ge=1, le=90)
    """The newest loaded days that count."""


class DeliveryRate(Record):
    """E-mails arrive."""

    severity: Severity = "warn"
    """Of a rate below the threshold."""
    threshold: float = Field(default=0.95, ge=0, le=1)
    """Smallest share of delivered e-mails, 0 to 1. Where PostHog counts no deliveries, those that
    neither failed nor bounced."""
    hours: int = Field(default=72, gt=0)
    """The newest loaded hours that count."""
    min_emails: int = Field(default=50, ge=0)
    """Workflows that sent fewer are left alone."""


class Deliverability(Record):
    """E-mail goes out, is well received, does not wait for the caps of the sending tier, and
    batches reach their audience.

    Checked where `messaging` loads `sending_reputation` and `batch_results`.
    """

    severity: Severity = "warn"
    """Of a fault."""
    max_bounce_rate: float = Field(default=0.02, ge=0, le=1)
    """Largest share of hard bounces in 30 days, 0 to 1, of the project and of each workflow;
    PostHog's own limit by default."""
    max_complaint_rate: float = Field(default=0.001, ge=0, le=1)
    """Largest share of spam complaints in 30 days, 0 to 1; PostHog's own limit by default."""
    min_emails_bounces: int = Field(default=200, ge=0)
    """Bounces of fewer e-mails are left alone, as PostHog does."""
    min_emails_complaints: int = Field(default=1000, ge=0)
    """Complaints about fewer e-mails are left alone, as PostHog does."""
    max_cap_share: float = Field(default=0.9, gt=0, le=1)
    """Largest share of what the sending tier allows in an hour, and in a day."""
    max_waiting: int = Field(default=0, ge=0)
    """How many runs may wait for the caps of the sending tier."""
    min_reached_share: float = Field(default=0.9, ge=0, le=1)
    """Smallest share of a batch's audience that got a message, 0 to 1; of those who were not cut
    off, are on no list and do not wait."""
    batch_days: int = Field(default=7, ge=1, le=90)
    """How many days back batch jobs are looked at."""
    settle_hours: float = Field(default=24.0, ge=0)
    """How long after it was sent a batch job may still be reaching people."""
    events: bool | None = None
    """Whether PostHog must capture e-mail events (opens, clicks, bounces of each e-mail); by
    default where a table of yours reads them."""


class VolumeAnomaly(Record):
    """The newest loaded day has about as many runs as the same weekday before."""

    severity: Severity = "warn"
    """Of a day outside the bounds."""
    low: float = Field(default=0.3, ge=0)
    """Smallest ratio to the median of the same weekdays."""
    high: float = Field(default=3.0, ge=0)
    """Largest ratio."""
    weeks: int = Field(default=6, ge=3)
    """How many weeks back; at least three of them must have been loaded."""
    min_runs: int = Field(default=20, ge=0)
    """Differences smaller than this many runs are left alone."""

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low is not below high, so that every day would be outside: swap them")
        return self


class Staleness(Record):
    """The newest row is not too old."""

    severity: Severity = "warn"
    """Of a table whose newest row is older."""
    hours: float = Field(default=54.0, gt=0)
    """How old it may be; daily partitions lag two days at worst."""


class BlockedRuns(Record):
    """Runs do not wait for a replay."""

    severity: Severity = "warn"
    """When more wait."""
    max_waiting: int = Field(default=0, ge=0)
    """How many may."""


class StuckRuns(Record):
    """Runs end: none stands at `running` for long. It may wait, or be stuck."""

    severity: Severity = "warn"
    """Of a run that does."""
    hours: float = Field(default=24.0, gt=0)
    """How long it may; more than your workflows wait."""
    most: int = Field(default=0, ge=0)
    """How many may."""


class SchedulesFire(Record):
    """Schedules fire: those of PostHog's workflows, and those of Dagster that send batch jobs."""

    severity: Severity = "error"
    """Of a moment that passed without a send."""
    grace_minutes: float = Field(default=60.0, ge=0)
    """How late a send may be."""


class CheckRules(Record):
    """Every check and its thresholds; null switches one off."""

    completeness: Completeness | None = Completeness()
    saturation: Saturation | None = Saturation()
    uniqueness: Uniqueness | None = Uniqueness()
    drift: Drift | None = Drift()
    retention: Retention | None = Retention()
    failure_rate: FailureRate | None = FailureRate()
    errors: Errors | None = Errors()
    delivery_rate: DeliveryRate | None = DeliveryRate()
    deliverability: Deliverability | None = Deliverability()
    volume_anomaly: VolumeAnomaly | None = VolumeAnomaly()
    staleness: Staleness | None = Staleness()
    blocked_runs: BlockedRuns | None = BlockedRuns()
    stuck_runs: StuckRuns | None = StuckRuns()
    schedules_fire: SchedulesFire | None = SchedulesFire()
