"""Schedules: batch jobs, actions in doubt, refreshes of tables, and their checks."""

from hog_dagster.schedules._batch_jobs import build_batch_job_schedule as build_batch_job_schedule
from hog_dagster.schedules._batch_jobs import schedule_key as schedule_key
from hog_dagster.schedules._reconcile import build_reconcile_schedule as build_reconcile_schedule
from hog_dagster.schedules._reconcile import (
    reconcile_actions_schedule as reconcile_actions_schedule,
)
from hog_dagster.schedules._refreshes import build_checks_schedule as build_checks_schedule
from hog_dagster.schedules._refreshes import build_partitions_schedule as build_partitions_schedule
from hog_dagster.schedules._refreshes import build_snapshot_schedule as build_snapshot_schedule

__all__ = [
    "build_batch_job_schedule",
    "build_checks_schedule",
    "build_partitions_schedule",
    "build_reconcile_schedule",
    "build_snapshot_schedule",
    "reconcile_actions_schedule",
    "schedule_key",
]

#: Names in `__all__` that are for the other rooms; docs/reference does not list them.
INTERNAL = ("schedule_key",)
