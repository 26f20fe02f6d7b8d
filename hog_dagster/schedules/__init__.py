"""Schedules: batch jobs, acts in doubt, refreshes of tables, and their checks."""

from hog_dagster.schedules.batch_jobs import build_batch_job_schedule as build_batch_job_schedule
from hog_dagster.schedules.checks import build_checks_schedule as build_checks_schedule
from hog_dagster.schedules.refreshes import build_partitions_schedule as build_partitions_schedule
from hog_dagster.schedules.refreshes import build_snapshot_schedule as build_snapshot_schedule
from hog_dagster.schedules.settle import build_settle_schedule as build_settle_schedule

__all__ = [
    "build_batch_job_schedule",
    "build_checks_schedule",
    "build_partitions_schedule",
    "build_settle_schedule",
    "build_snapshot_schedule",
]
