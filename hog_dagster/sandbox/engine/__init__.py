"""What happens as the clock moves: reruns, batch jobs, schedules, captured events. No HTTP."""

from hog_dagster.sandbox.engine._audience import InvalidFilters, audience, check_filters
from hog_dagster.sandbox.engine._batches import (
    AUDIENCE_LIMIT,
    catch_up_batch_job,
    send_batch,
    trigger_filters,
)
from hog_dagster.sandbox.engine._ingestion import ingest
from hog_dagster.sandbox.engine._recurrence import check_rule, next_occurrences
from hog_dagster.sandbox.engine._rerun import MAX_RERUNS, queue_rerun
from hog_dagster.sandbox.engine._settle import settle

__all__ = [
    "AUDIENCE_LIMIT",
    "MAX_RERUNS",
    "InvalidFilters",
    "audience",
    "catch_up_batch_job",
    "check_filters",
    "check_rule",
    "ingest",
    "next_occurrences",
    "queue_rerun",
    "send_batch",
    "settle",
    "trigger_filters",
]
