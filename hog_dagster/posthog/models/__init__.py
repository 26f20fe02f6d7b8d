"""Pydantic models of what PostHog answers; each names the endpoint it stands for."""

from hog_dagster.posthog.models.base import Model as Model
from hog_dagster.posthog.models.base import User as User
from hog_dagster.posthog.models.runs import BlockedRun as BlockedRun
from hog_dagster.posthog.models.runs import InvocationResult as InvocationResult
from hog_dagster.posthog.models.runs import ReplayAllAnswer as ReplayAllAnswer
from hog_dagster.posthog.models.runs import ReplayAnswer as ReplayAnswer
from hog_dagster.posthog.models.runs import RerunAnswer as RerunAnswer
from hog_dagster.posthog.models.runs import RunAnswer as RunAnswer
from hog_dagster.posthog.models.runs import TestInvocation as TestInvocation
from hog_dagster.posthog.models.server import KeyInfo as KeyInfo
from hog_dagster.posthog.models.server import Project as Project
from hog_dagster.posthog.models.telemetry import GlobalMetric as GlobalMetric
from hog_dagster.posthog.models.telemetry import LogEntry as LogEntry
from hog_dagster.posthog.models.telemetry import MetricPoint as MetricPoint
from hog_dagster.posthog.models.telemetry import Metrics as Metrics
from hog_dagster.posthog.models.telemetry import MetricSeries as MetricSeries
from hog_dagster.posthog.models.telemetry import MetricTotals as MetricTotals
from hog_dagster.posthog.models.workflows import BatchJob as BatchJob
from hog_dagster.posthog.models.workflows import BlastRadius as BlastRadius
from hog_dagster.posthog.models.workflows import CancelAnswer as CancelAnswer
from hog_dagster.posthog.models.workflows import DeleteAnswer as DeleteAnswer
from hog_dagster.posthog.models.workflows import Revision as Revision
from hog_dagster.posthog.models.workflows import Workflow as Workflow
from hog_dagster.posthog.models.workflows import WorkflowAction as WorkflowAction
from hog_dagster.posthog.models.workflows import WorkflowEdge as WorkflowEdge
from hog_dagster.posthog.models.workflows import WorkflowSchedule as WorkflowSchedule
