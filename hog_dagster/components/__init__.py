"""The whole integration from a few lines, of YAML or of Python; and what may be said in them."""

from hog_dagster._dagster.resources import Step as Step
from hog_dagster.components._build import build_posthog_definitions as build_posthog_definitions
from hog_dagster.components._component import PostHogProjectComponent as PostHogProjectComponent
from hog_dagster.components._facts import ProjectFacts as ProjectFacts
from hog_dagster.components._records import BatchJob as BatchJob
from hog_dagster.components._records import Groups as Groups
from hog_dagster.components._records import HealthSensor as HealthSensor
from hog_dagster.components._records import HogFunctions as HogFunctions
from hog_dagster.components._records import Insights as Insights
from hog_dagster.components._records import Messaging as Messaging
from hog_dagster.components._records import ObservingSensor as ObservingSensor
from hog_dagster.components._records import Partitions as Partitions
from hog_dagster.components._records import Query as Query
from hog_dagster.components._records import ReplaySensor as ReplaySensor
from hog_dagster.components._records import SafetyLimits as SafetyLimits
from hog_dagster.components._records import Schedules as Schedules
from hog_dagster.components._records import Sensors as Sensors
from hog_dagster.components._records import Workflows as Workflows

__all__ = [
    "BatchJob",
    "Groups",
    "HealthSensor",
    "HogFunctions",
    "Insights",
    "Messaging",
    "ObservingSensor",
    "Partitions",
    "PostHogProjectComponent",
    "ProjectFacts",
    "Query",
    "ReplaySensor",
    "SafetyLimits",
    "Schedules",
    "Sensors",
    "Step",
    "Workflows",
    "build_posthog_definitions",
]

#: Names in `__all__` that are for the other rooms; docs/reference does not list them.
INTERNAL = ("ProjectFacts",)
