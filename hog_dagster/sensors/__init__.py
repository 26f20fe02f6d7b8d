"""Sensors: they look, and ask for runs. None of them POSTs."""

from hog_dagster.sensors.failed_runs import blocked_runs_sensor as blocked_runs_sensor
from hog_dagster.sensors.failed_runs import build_blocked_runs_sensor as build_blocked_runs_sensor
from hog_dagster.sensors.health import WorkflowHealth as WorkflowHealth
from hog_dagster.sensors.health import build_workflow_health_sensor as build_workflow_health_sensor
from hog_dagster.sensors.health import workflow_health_sensor as workflow_health_sensor
from hog_dagster.sensors.observe import build_observing_sensor as build_observing_sensor

__all__ = [
    "WorkflowHealth",
    "blocked_runs_sensor",
    "build_blocked_runs_sensor",
    "build_observing_sensor",
    "build_workflow_health_sensor",
    "workflow_health_sensor",
]
