"""What a user may set about reading, acting and checking: one plain record for each group of
settings, the same in YAML, Python and run config. Nothing of Dagster is in them.
"""

from hog_dagster.policies._acting import AlreadySent as AlreadySent
from hog_dagster.policies._acting import BatchPolicy as BatchPolicy
from hog_dagster.policies._acting import ReplayPolicy as ReplayPolicy
from hog_dagster.policies._acting import Safety as Safety
from hog_dagster.policies._alerting import AlertPolicy as AlertPolicy
from hog_dagster.policies._alerting import EmailPolicy as EmailPolicy
from hog_dagster.policies._checking import BlockedRuns as BlockedRuns
from hog_dagster.policies._checking import CheckRules as CheckRules
from hog_dagster.policies._checking import Completeness as Completeness
from hog_dagster.policies._checking import Deliverability as Deliverability
from hog_dagster.policies._checking import DeliveryRate as DeliveryRate
from hog_dagster.policies._checking import Drift as Drift
from hog_dagster.policies._checking import Errors as Errors
from hog_dagster.policies._checking import FailureRate as FailureRate
from hog_dagster.policies._checking import Retention as Retention
from hog_dagster.policies._checking import Saturation as Saturation
from hog_dagster.policies._checking import SchedulesFire as SchedulesFire
from hog_dagster.policies._checking import Severity as Severity
from hog_dagster.policies._checking import Staleness as Staleness
from hog_dagster.policies._checking import StuckRuns as StuckRuns
from hog_dagster.policies._checking import Uniqueness as Uniqueness
from hog_dagster.policies._checking import VolumeAnomaly as VolumeAnomaly
from hog_dagster.policies._messaging import MessagingPolicy as MessagingPolicy
from hog_dagster.policies._messaging import RecipientPolicy as RecipientPolicy
from hog_dagster.policies._pushing import PushPolicy as PushPolicy
from hog_dagster.policies._queries import QueryTable as QueryTable
from hog_dagster.policies._reading import GroupChoice as GroupChoice
from hog_dagster.policies._reading import HealthPolicy as HealthPolicy
from hog_dagster.policies._reading import HogFunctionSelection as HogFunctionSelection
from hog_dagster.policies._reading import InsightSelection as InsightSelection
from hog_dagster.policies._reading import ObservePolicy as ObservePolicy
from hog_dagster.policies._reading import PartitionPolicy as PartitionPolicy
from hog_dagster.policies._reading import SchedulePolicy as SchedulePolicy
from hog_dagster.policies._reading import WorkflowSelection as WorkflowSelection
from hog_dagster.policies._reading import first_kept_day as first_kept_day
from hog_dagster.policies._values import AssetPath as AssetPath
from hog_dagster.policies._values import Cron as Cron
from hog_dagster.policies._values import Moment as Moment
from hog_dagster.policies._values import Name as Name
from hog_dagster.policies._values import Pool as Pool
from hog_dagster.policies._values import Record as Record
from hog_dagster.policies._values import Size as Size
from hog_dagster.policies._values import TagKey as TagKey
from hog_dagster.policies._values import TagValue as TagValue
from hog_dagster.policies._values import Zone as Zone
from hog_dagster.policies._values import as_meant as as_meant
from hog_dagster.policies._values import day_that_came as day_that_came
from hog_dagster.policies._values import did_you_mean as did_you_mean
from hog_dagster.policies._values import moment_of as moment_of
from hog_dagster.policies._values import same_id as same_id
from hog_dagster.policies._values import size_of_memory as size_of_memory
from hog_dagster.policies._values import unknown_field as unknown_field

__all__ = [
    "AlertPolicy",
    "AlreadySent",
    "AssetPath",
    "BatchPolicy",
    "BlockedRuns",
    "CheckRules",
    "Completeness",
    "Cron",
    "Deliverability",
    "DeliveryRate",
    "Drift",
    "EmailPolicy",
    "Errors",
    "FailureRate",
    "GroupChoice",
    "HealthPolicy",
    "HogFunctionSelection",
    "InsightSelection",
    "MessagingPolicy",
    "Moment",
    "Name",
    "ObservePolicy",
    "PartitionPolicy",
    "Pool",
    "PushPolicy",
    "QueryTable",
    "RecipientPolicy",
    "Record",
    "ReplayPolicy",
    "Retention",
    "Safety",
    "Saturation",
    "SchedulePolicy",
    "SchedulesFire",
    "Severity",
    "Size",
    "Staleness",
    "StuckRuns",
    "TagKey",
    "TagValue",
    "Uniqueness",
    "VolumeAnomaly",
    "WorkflowSelection",
    "Zone",
    "as_meant",
    "day_that_came",
    "did_you_mean",
    "first_kept_day",
    "moment_of",
    "same_id",
    "size_of_memory",
    "unknown_field",
]

#: Names in `__all__` that are for the other rooms; docs/reference does not list them.
INTERNAL = (
    "Cron",
    "Moment",
    "Name",
    "Record",
    "Size",
    "Zone",
    "as_meant",
    "day_that_came",
    "did_you_mean",
    "first_kept_day",
    "moment_of",
    "same_id",
    "size_of_memory",
    "unknown_field",
)
