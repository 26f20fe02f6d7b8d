"""Thresholds and severities of the checks: what a user may set, in Python or in YAML.

Facts: a check of severity ERROR makes an asset unhealthy in Dagster's UI and WARN marks it; both
can alert. None of them stops a run. A rule that is None turns its check off.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from hog_dagster.policies._values import Record

Severity = Literal["warn", "error"]


class Completeness(Record):
    """What was loaded is what PostHog counts, over the newest loaded days."""

    severity: Severity = "error"
    """Severity when rows are missing or extra."""
    days: int = Field(default=2, ge=1, le=90)
    """How many of the newest loaded days to count again."""
    workflows: int = Field(default=10, ge=1)
    """Where only REST is available: the maximum number of workflows or functions per run of the
    check. Each costs one request, and the next run takes the following ones. Where PostHog has
    metrics of the whole project, the runs of all workflows are counted together."""
    max_rows: int = Field(default=2000, ge=1)
    """The maximum number of log lines to read again per workflow, because PostHog does not count
    them."""
    tolerance: float = Field(default=0.0, ge=0, le=1)
    """The share of rows that may be missing, from 0 to 1."""


class Saturation(Record):
    """No instant holds as many rows as PostHog's largest page, where rows could be cut off."""

    severity: Severity = "error"
    """Severity when an instant holds that many rows."""
    days: int = Field(default=7, ge=1, le=90)
    """How many of the newest loaded days to check."""


class Uniqueness(Record):
    """No row is loaded twice."""

    severity: Severity = "error"
    """Severity when a row is loaded twice."""
    days: int = Field(default=7, ge=1, le=90)
    """How many of the newest loaded days to check."""


class Drift(Record):
    """PostHog's responses hold only fields and values that this version knows."""

    severity: Severity = "warn"
    """Severity when a response holds a new field or value."""
    days: int = Field(default=7, ge=1, le=90)
    """How many of the newest loaded days to check."""


class Retention(Record):
    """Rows are loaded before PostHog deletes them."""

    severity: Severity = "error"
    """Severity when a partition is about to expire and is not loaded."""
    days: int = Field(default=7, ge=1, le=90)
    """How many days before it expires a partition must be loaded."""


class FailureRate(Record):
    """Runs of a workflow do not fail too often."""

    severity: Severity = "warn"
    """Severity when the rate is above the threshold."""
    threshold: float = Field(default=0.1, ge=0, le=1)
    """The maximum share of failed runs, from 0 to 1."""
    hours: int = Field(default=24, gt=0, le=87_600)
    """How many of the newest loaded hours to check."""
    min_runs: int = Field(default=20, ge=0)
    """Ignore workflows with fewer runs."""


class Errors(Record):
    """No error occurs too often."""

    severity: Severity = "warn"
    """Severity when an error occurs more often than `maximum`."""
    maximum: int = Field(default=100, ge=0)
    """How often one error may occur: the failed runs, or the log lines if they are more, of one
    workflow, step and message."""
    days: int = Field(default=1, ge=1, le=90)
    """How many of the newest loaded days to check."""


class DeliveryRate(Record):
    """E-mails are delivered."""

    severity: Severity = "warn"
    """Severity when the rate is below the threshold."""
    threshold: float = Field(default=0.95, ge=0, le=1)
    """The minimum share of delivered e-mails, from 0 to 1. Where PostHog does not count deliveries,
    e-mails that neither failed nor bounced count as delivered."""
    hours: int = Field(default=72, gt=0, le=87_600)
    """How many of the newest loaded hours to check."""
    min_emails: int = Field(default=50, ge=0)
    """Ignore workflows that sent fewer e-mails."""


class Deliverability(Record):
    """E-mail is not suspended, is well received and does not wait for the caps of the sending tier,
    and batch jobs reach their audience.

    The checks exist where `messaging` loads `sending_reputation` and `batch_results`.
    """

    severity: Severity = "warn"
    """Severity of these checks."""
    max_bounce_rate: float = Field(default=0.02, ge=0, le=1)
    """The maximum share of hard bounces in 30 days, from 0 to 1, for the project and for each
    workflow. The default is PostHog's own limit."""
    max_complaint_rate: float = Field(default=0.001, ge=0, le=1)
    """The maximum share of spam complaints in 30 days, from 0 to 1. The default is PostHog's own
    limit."""
    min_emails_bounces: int = Field(default=200, ge=0)
    """Ignore the bounce rate of fewer e-mails than this, as PostHog does."""
    min_emails_complaints: int = Field(default=1000, ge=0)
    """Ignore the complaint rate of fewer e-mails than this, as PostHog does."""
    max_cap_share: float = Field(default=0.9, gt=0, le=1)
    """The maximum share of the sending tier's hourly cap, and of its daily cap, that may be used,
    from 0 to 1."""
    max_waiting: int = Field(default=0, ge=0)
    """The maximum number of runs that may wait for the caps of the sending tier."""
    min_reached_share: float = Field(default=0.9, ge=0, le=1)
    """The minimum share of a batch job's audience that must get a message, from 0 to 1. People who
    were cut off, are suppressed or opted out, or still wait do not count."""
    batch_days: int = Field(default=7, ge=1, le=90)
    """How many days of batch jobs to check."""
    settle_hours: float = Field(default=24.0, ge=0, le=87_600)
    """How many hours a batch job has to reach its audience before it is checked."""
    events: bool | None = None
    """Whether PostHog must capture e-mail events (opens, clicks, bounces of each e-mail). By
    default it must if a table reads them."""


class VolumeAnomaly(Record):
    """The newest loaded day has about as many runs as the same weekday of earlier weeks."""

    severity: Severity = "warn"
    """Severity when the ratio is outside the bounds."""
    low: float = Field(default=0.3, ge=0)
    """The minimum ratio of the day's runs to the median of the same weekday."""
    high: float = Field(default=3.0, ge=0)
    """The maximum ratio of the day's runs to the median of the same weekday."""
    weeks: int = Field(default=6, ge=3)
    """How many weeks to compare with. At least three of them must be loaded."""
    min_runs: int = Field(default=20, ge=0)
    """Ignore differences of fewer runs."""

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low is not below high, so that every day would be outside: swap them")
        return self


class Staleness(Record):
    """The newest row is not too old."""

    severity: Severity = "warn"
    """Severity when the newest row is older."""
    hours: float = Field(default=54.0, gt=0, le=87_600)
    """The maximum age of the newest row. Daily partitions lag by up to two days."""


class BlockedRuns(Record):
    """No blocked run waits for a replay."""

    severity: Severity = "warn"
    """Severity when more runs wait."""
    max_waiting: int = Field(default=0, ge=0)
    """The maximum number of blocked runs."""


class StuckRuns(Record):
    """No run stays in status `running` for too long."""

    severity: Severity = "warn"
    """Severity when more runs than `max_stuck` do."""
    hours: float = Field(default=24.0, gt=0, le=87_600)
    """How long a run may stay in status `running`. Set it above the longest wait in your
    workflows."""
    max_stuck: int = Field(default=0, ge=0)
    """The maximum number of such runs."""


class SchedulesFire(Record):
    """PostHog's workflow schedules, and Dagster's schedules of batch jobs, fire on time."""

    severity: Severity = "error"
    """Severity when a scheduled time passed without a send."""
    grace_minutes: float = Field(default=60.0, ge=0, le=525_600)
    """How late a send may be."""


class CheckRules(Record):
    """Thresholds and severities of the checks; null turns a check off."""

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
