"""Jobs that act on people, once each: replays, reruns, batch jobs; what sensors and schedules
request.
"""

from hog_dagster.actions._protocol import Step as Step
from hog_dagster.actions._protocol import StepObserver as StepObserver
from hog_dagster.jobs.batch import BatchConfig as BatchConfig
from hog_dagster.jobs.batch import build_batch_job as build_batch_job
from hog_dagster.jobs.batch import send_batch_job as send_batch_job
from hog_dagster.jobs.batch_asset import batch_job_asset as batch_job_asset
from hog_dagster.jobs.replay import ReplayConfig as ReplayConfig
from hog_dagster.jobs.replay import RunToReplay as RunToReplay
from hog_dagster.jobs.replay import build_replay_job as build_replay_job
from hog_dagster.jobs.replay import replay_blocked_runs as replay_blocked_runs
from hog_dagster.jobs.running import ACTS_POOL as ACTS_POOL
from hog_dagster.jobs.running import WORKFLOW_TAG as WORKFLOW_TAG
from hog_dagster.jobs.settle import build_settle_job as build_settle_job
from hog_dagster.jobs.settle import settle_acts_in_doubt as settle_acts_in_doubt
from hog_dagster.jobs.workflow_schedule import ScheduleConfig as ScheduleConfig
from hog_dagster.jobs.workflow_schedule import (
    build_schedule_create_job as build_schedule_create_job,
)
from hog_dagster.jobs.workflow_schedule import create_workflow_schedule as create_workflow_schedule

__all__ = [
    "ACTS_POOL",
    "WORKFLOW_TAG",
    "BatchConfig",
    "ReplayConfig",
    "RunToReplay",
    "ScheduleConfig",
    "Step",
    "StepObserver",
    "batch_job_asset",
    "build_batch_job",
    "build_replay_job",
    "build_schedule_create_job",
    "build_settle_job",
    "create_workflow_schedule",
    "replay_blocked_runs",
    "send_batch_job",
    "settle_acts_in_doubt",
]
