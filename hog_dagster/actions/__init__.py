"""What must happen once: replays, reruns, batch sends, schedules, pushes. No Dagster.

Every action follows one protocol: claim it in the ledger, mark it as sent, send one request, record
what came of it. What is in doubt is reconciled with evidence that PostHog itself wrote.
"""

from hog_dagster.actions._batch import BatchSend as BatchSend
from hog_dagster.actions._batch import send_batch as send_batch
from hog_dagster.actions._detection import Detection as Detection
from hog_dagster.actions._detection import TimeWindow as TimeWindow
from hog_dagster.actions._detection import detect_blocked as detect_blocked
from hog_dagster.actions._detection import detect_failed as detect_failed
from hog_dagster.actions._detection import find_failed as find_failed
from hog_dagster.actions._following import Followed as Followed
from hog_dagster.actions._following import follow_batch as follow_batch
from hog_dagster.actions._group_plan import BadRows as BadRows
from hog_dagster.actions._group_plan import GroupChange as GroupChange
from hog_dagster.actions._group_plan import Nulls as Nulls
from hog_dagster.actions._group_plan import PushPlan as PushPlan
from hog_dagster.actions._group_plan import plan_push as plan_push
from hog_dagster.actions._group_plan import wanted_groups as wanted_groups
from hog_dagster.actions._group_push import GroupPusher as GroupPusher
from hog_dagster.actions._group_push import PushedGroup as PushedGroup
from hog_dagster.actions._group_push import PushSummary as PushSummary
from hog_dagster.actions._list_evidence import list_source as list_source
from hog_dagster.actions._list_plan import ALL as ALL
from hog_dagster.actions._list_plan import ListPlan as ListPlan
from hog_dagster.actions._list_plan import Pair as Pair
from hog_dagster.actions._list_plan import PushedList as PushedList
from hog_dagster.actions._list_plan import wanted_pairs as wanted_pairs
from hog_dagster.actions._list_push import ListPush as ListPush
from hog_dagster.actions._list_push import PushedPairs as PushedPairs
from hog_dagster.actions._owners import command_owner as command_owner
from hog_dagster.actions._owners import command_runs as command_runs
from hog_dagster.actions._owners import either as either
from hog_dagster.actions._protocol import Actor as Actor
from hog_dagster.actions._protocol import Source as Source
from hog_dagster.actions._protocol import text_of as text_of
from hog_dagster.actions._reconcile import reconcile as reconcile
from hog_dagster.actions._replays import BlockedRun as BlockedRun
from hog_dagster.actions._replays import replay_blocked as replay_blocked
from hog_dagster.actions._report import ReplayReport as ReplayReport
from hog_dagster.actions._report import report_plan as report_plan
from hog_dagster.actions._rerun_plan import RerunPlan as RerunPlan
from hog_dagster.actions._rerun_plan import plan_reruns as plan_reruns
from hog_dagster.actions._reruns import carry_out as carry_out
from hog_dagster.actions._reruns import rerun_failed as rerun_failed
from hog_dagster.actions._reruns import rerun_subject as rerun_subject
from hog_dagster.actions._row_evidence import digest as digest
from hog_dagster.actions._runs import RunToRerun as RunToRerun
from hog_dagster.actions._schedules import ScheduleToCreate as ScheduleToCreate
from hog_dagster.actions._schedules import create_schedule as create_schedule
from hog_dagster.actions._sources import UnknownSource as UnknownSource
from hog_dagster.actions._sources import all_sources as all_sources
from hog_dagster.actions._sources import failing_sources as failing_sources
from hog_dagster.actions._sources import resolve_sources as resolve_sources
from hog_dagster.actions._summary import Outcome as Outcome
from hog_dagster.actions._summary import Result as Result
from hog_dagster.actions._summary import Summary as Summary

__all__ = [
    "ALL",
    "Actor",
    "BadRows",
    "BatchSend",
    "BlockedRun",
    "Detection",
    "Followed",
    "GroupChange",
    "GroupPusher",
    "ListPlan",
    "ListPush",
    "Nulls",
    "Outcome",
    "Pair",
    "PushPlan",
    "PushSummary",
    "PushedGroup",
    "PushedList",
    "PushedPairs",
    "ReplayReport",
    "RerunPlan",
    "Result",
    "RunToRerun",
    "ScheduleToCreate",
    "Source",
    "Summary",
    "TimeWindow",
    "UnknownSource",
    "all_sources",
    "carry_out",
    "command_owner",
    "command_runs",
    "create_schedule",
    "detect_blocked",
    "detect_failed",
    "digest",
    "either",
    "failing_sources",
    "find_failed",
    "follow_batch",
    "list_source",
    "plan_push",
    "plan_reruns",
    "reconcile",
    "replay_blocked",
    "report_plan",
    "rerun_failed",
    "rerun_subject",
    "resolve_sources",
    "send_batch",
    "text_of",
    "wanted_groups",
    "wanted_pairs",
]
