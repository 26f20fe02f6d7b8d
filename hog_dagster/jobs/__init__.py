"""Jobs that act on people, once each: replays, reruns, batch jobs; what sensors and schedules
request.
"""

from hog_dagster.jobs._batch import BatchConfig as BatchConfig
from hog_dagster.jobs._batch import build_batch_job as build_batch_job
from hog_dagster.jobs._batch import send_batch_job as send_batch_job
from hog_dagster.jobs._batch_asset import batch_job_asset as batch_job_asset
from hog_dagster.jobs._batch_asset import slug_of as slug_of
from hog_dagster.jobs._chosen import check_lists as check_lists
from hog_dagster.jobs._pairing import known_pairing as known_pairing
from hog_dagster.jobs._pairing import pairing_refusal as pairing_refusal
from hog_dagster.jobs._pairing import remember_pairing as remember_pairing
from hog_dagster.jobs._reconcile import ReconcileConfig as ReconcileConfig
from hog_dagster.jobs._reconcile import build_reconcile_job as build_reconcile_job
from hog_dagster.jobs._reconcile import reconcile_actions as reconcile_actions
from hog_dagster.jobs._replay import ReplayConfig as ReplayConfig
from hog_dagster.jobs._replay import RunToReplay as RunToReplay
from hog_dagster.jobs._replay import build_replay_job as build_replay_job
from hog_dagster.jobs._replay import replay_runs as replay_runs
from hog_dagster.jobs._replaying import BadWindow as BadWindow
from hog_dagster.jobs._replaying import ReplayWanted as ReplayWanted
from hog_dagster.jobs._replaying import SourceReplay as SourceReplay
from hog_dagster.jobs._replaying import check_window as check_window
from hog_dagster.jobs._replaying import replay_sources as replay_sources
from hog_dagster.jobs._replaying import replay_table as replay_table
from hog_dagster.jobs._replaying import run_again_in as run_again_in
from hog_dagster.jobs._running import ACTIONS_POOL as ACTIONS_POOL
from hog_dagster.jobs._running import DETECTION_TAG as DETECTION_TAG
from hog_dagster.jobs._running import IN_PROGRESS as IN_PROGRESS
from hog_dagster.jobs._running import NAME_TAG as NAME_TAG
from hog_dagster.jobs._running import WORKFLOW_TAG as WORKFLOW_TAG
from hog_dagster.jobs._running import actor_for as actor_for
from hog_dagster.jobs._running import alive_in as alive_in
from hog_dagster.jobs._running import in_doubt_command as in_doubt_command
from hog_dagster.jobs._running import resolve_command as resolve_command
from hog_dagster.jobs._workflow_schedule import ScheduleConfig as ScheduleConfig
from hog_dagster.jobs._workflow_schedule import (
    build_schedule_create_job as build_schedule_create_job,
)
from hog_dagster.jobs._workflow_schedule import create_workflow_schedule as create_workflow_schedule

__all__ = [
    "ACTIONS_POOL",
    "DETECTION_TAG",
    "IN_PROGRESS",
    "NAME_TAG",
    "WORKFLOW_TAG",
    "BadWindow",
    "BatchConfig",
    "ReconcileConfig",
    "ReplayConfig",
    "ReplayWanted",
    "RunToReplay",
    "ScheduleConfig",
    "SourceReplay",
    "actor_for",
    "alive_in",
    "batch_job_asset",
    "build_batch_job",
    "build_reconcile_job",
    "build_replay_job",
    "build_schedule_create_job",
    "check_lists",
    "check_window",
    "create_workflow_schedule",
    "in_doubt_command",
    "known_pairing",
    "pairing_refusal",
    "reconcile_actions",
    "remember_pairing",
    "replay_runs",
    "replay_sources",
    "replay_table",
    "resolve_command",
    "run_again_in",
    "send_batch_job",
    "slug_of",
]

#: Names in `__all__` that are for the other rooms; docs/reference does not list them.
INTERNAL = (
    "ACTIONS_POOL",
    "DETECTION_TAG",
    "IN_PROGRESS",
    "NAME_TAG",
    "WORKFLOW_TAG",
    "BadWindow",
    "ReplayWanted",
    "SourceReplay",
    "actor_for",
    "alive_in",
    "check_lists",
    "check_window",
    "in_doubt_command",
    "known_pairing",
    "pairing_refusal",
    "remember_pairing",
    "replay_sources",
    "replay_table",
    "resolve_command",
    "run_again_in",
    "slug_of",
)
