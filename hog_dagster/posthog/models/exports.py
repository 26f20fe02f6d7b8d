"""Models of batch exports, their runs and backfills, and of the activity log.

Facts: PostHog's batch export and activity log serializers.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hog_dagster.posthog.models.base import (
    Instant,
    LenientDict,
    LenientInstant,
    LenientList,
    Model,
    User,
)

__all__ = ["ActivityEntry", "BatchExport", "BatchExportBackfill", "BatchExportRun"]


class BatchExportRun(Model):
    """One run of a batch export: GET .../batch_exports/{id}/runs/.

    One interval can have several, of retries and backfills: the one made last counts.

    Attributes:
        status: Starting, Running, Completed, Failed, FailedRetryable, FailedBilling, Cancelled,
            Terminated, TimedOut or ContinuedAsNew.
    """

    id: str
    batch_export: str | None = None
    status: str | None = None
    records_completed: int | None = None
    records_total_count: int | None = None
    bytes_exported: int | None = None
    latest_error: str | None = None
    data_interval_start: LenientInstant = None
    data_interval_end: LenientInstant = None
    created_at: LenientInstant = None
    finished_at: LenientInstant = None
    last_updated_at: LenientInstant = None
    backfill: Any = None


class BatchExport(Model):
    """A batch export: GET .../batch_exports/ and .../batch_exports/{id}/.

    Attributes:
        model: events, persons, sessions or hogql.
        destination: its type, config and integration.
        interval: hour, day, week, or ``every 5 minutes``.
    """

    id: str
    name: str | None = None
    model: str | None = None
    destination: LenientDict = Field(default_factory=dict)
    interval: str | None = None
    paused: bool | None = None
    created_at: LenientInstant = None
    last_updated_at: LenientInstant = None
    last_paused_at: LenientInstant = None
    start_at: LenientInstant = None
    end_at: LenientInstant = None
    latest_runs: LenientList[BatchExportRun] = Field(default_factory=list[BatchExportRun])


class BatchExportBackfill(Model):
    """Runs over a stretch of the past: GET .../batch_exports/{id}/backfills/.

    Attributes:
        progress: ``total_runs``, ``finished_runs`` and ``progress`` from 0 to 1.
    """

    id: str
    status: str | None = None
    start_at: LenientInstant = None
    end_at: LenientInstant = None
    created_at: LenientInstant = None
    finished_at: LenientInstant = None
    last_updated_at: LenientInstant = None
    progress: LenientDict = Field(default_factory=dict)


class ActivityEntry(Model):
    """One change of one thing: GET .../activity_log/.

    Attributes:
        user: who; None when it was no person.
        scope: what kind of thing, ``HogFlow`` for a workflow.
        detail: its name, type and ``changes``.
    """

    id: str | int | None = None
    user: User | None = None
    activity: str | None = None
    scope: str | None = None
    item_id: str | int | None = None
    detail: LenientDict = Field(default_factory=dict)
    created_at: Instant
    client: str | None = None
    is_system: bool | None = None
    was_impersonated: bool | None = None
