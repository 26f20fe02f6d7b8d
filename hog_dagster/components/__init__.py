"""The whole integration from a few lines, of YAML or of Python; and what may be said in them."""

from hog_dagster.components.objects import BatchJob as BatchJob
from hog_dagster.components.objects import Groups as Groups
from hog_dagster.components.objects import HealthSensor as HealthSensor
from hog_dagster.components.objects import HogFunctions as HogFunctions
from hog_dagster.components.objects import Insights as Insights
from hog_dagster.components.objects import Messaging as Messaging
from hog_dagster.components.objects import ObservingSensor as ObservingSensor
from hog_dagster.components.objects import Partitions as Partitions
from hog_dagster.components.objects import Query as Query
from hog_dagster.components.objects import ReplaySensor as ReplaySensor
from hog_dagster.components.objects import SafetyLimits as SafetyLimits
from hog_dagster.components.objects import Schedules as Schedules
from hog_dagster.components.objects import Sensors as Sensors
from hog_dagster.components.objects import Workflows as Workflows

__all__ = [
    "BatchJob",
    "Groups",
    "HealthSensor",
    "HogFunctions",
    "Insights",
    "Messaging",
    "ObservingSensor",
    "Partitions",
    "Query",
    "ReplaySensor",
    "SafetyLimits",
    "Schedules",
    "Sensors",
    "Workflows",
]
