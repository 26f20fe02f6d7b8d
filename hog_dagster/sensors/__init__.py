"""Sensors: they detect, and request runs. None of them sends anything.

Facts: Dagster copies sensors when it puts a code location together, and each copy is made with the
parameter `owners`, which is in beta: a warning in every process, although no sensor here has
owners.
"""

import re
import warnings

from dagster import BetaWarning

from hog_dagster._dagster.internals import SENSOR_MODULE
from hog_dagster.sensors._check_failures import (
    build_check_failure_sensor as build_check_failure_sensor,
)
from hog_dagster.sensors._failed_runs import build_failed_runs_sensor as build_failed_runs_sensor
from hog_dagster.sensors._failed_runs import failed_runs_sensor as failed_runs_sensor
from hog_dagster.sensors._health import WorkflowHealth as WorkflowHealth
from hog_dagster.sensors._health import build_workflow_health_sensor as build_workflow_health_sensor
from hog_dagster.sensors._health import workflow_health_sensor as workflow_health_sensor
from hog_dagster.sensors._observer import build_observing_sensor as build_observing_sensor

# Dagster's own copies alone; a sensor of yours with owners is warned of as before.
warnings.filterwarnings(
    "ignore",
    message="Parameter `owners` of initializer `SensorDefinition",
    category=BetaWarning,
    module=re.escape(SENSOR_MODULE),
)

__all__ = [
    "WorkflowHealth",
    "build_check_failure_sensor",
    "build_failed_runs_sensor",
    "build_observing_sensor",
    "build_workflow_health_sensor",
    "failed_runs_sensor",
    "workflow_health_sensor",
]
