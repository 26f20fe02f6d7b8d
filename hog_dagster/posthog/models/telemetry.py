"""Models of logs and metrics, the same for workflows and hog functions.

Facts: PostHog's log_entries and app_metrics2 mixins, and a running server's responses.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import msgspec
from pydantic import Field

from hog_dagster.posthog.models.base import Count, Instant, LenientDict, LenientList, Model

__all__ = [
    "GlobalMetric",
    "LogEntry",
    "LogRow",
    "MetricPoint",
    "MetricSeries",
    "MetricTotals",
    "Metrics",
]


class LogEntry(Model):
    """A line logged by a run: GET .../{id}/logs/.

    ``level`` comes in upper case (DEBUG, LOG, INFO, WARN, ERROR: an open set). Messages can hold
    personal data.
    """

    log_source_id: str
    instance_id: str
    timestamp: Instant
    level: str
    message: str


class LogRow(msgspec.Struct, gc=False):
    """A :class:`LogEntry` as the fast reader decodes it; fields that PostHog adds are left out."""

    log_source_id: str
    instance_id: str
    timestamp: str
    level: str
    message: str


class MetricSeries(Model):
    """One line of GET .../{id}/metrics/: a name or kind, and a value per label."""

    name: str
    values: list[Count]


class Metrics(Model):
    """GET .../{id}/metrics/ as it comes: labels have no zone, series no order."""

    labels: LenientList[str] = Field(default_factory=list)
    series: LenientList[MetricSeries] = Field(default_factory=list[MetricSeries])


class MetricTotals(Model):
    """GET .../{id}/metrics/totals/: counts by kind or name; what is absent is 0."""

    totals: LenientDict = Field(default_factory=dict)


class GlobalMetric(Model):
    """GET .../hog_flows/metrics/global/: runs and steps of one workflow, added up."""

    workflow_id: str
    succeeded: int = 0
    failed: int = 0


class MetricPoint(NamedTuple):
    """What was counted in one UTC hour, from GET .../{id}/metrics/."""

    hour: datetime
    name: str
    value: int
