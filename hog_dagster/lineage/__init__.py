"""PostHog's objects as asset specs: the snapshot of a project, the graph, the translator."""

from hog_dagster.lineage._graph import Lineage as Lineage
from hog_dagster.lineage._graph import PostHogTranslator as PostHogTranslator
from hog_dagster.lineage._graph import build_lineage as build_lineage
from hog_dagster.lineage._graph import load_posthog_asset_specs as load_posthog_asset_specs
from hog_dagster.lineage._insight_selection import InsightInfo as InsightInfo
from hog_dagster.lineage._insight_selection import build_insight_specs as build_insight_specs
from hog_dagster.lineage._insight_selection import find_selection as find_selection
from hog_dagster.lineage._insight_selection import insight_key as insight_key
from hog_dagster.lineage._insight_selection import list_insights as list_insights
from hog_dagster.lineage._names import identifier as identifier
from hog_dagster.lineage._names import plain as plain
from hog_dagster.lineage._names import sql_table_name as sql_table_name
from hog_dagster.lineage._options import AssetOptions as AssetOptions
from hog_dagster.lineage._options import Customization as Customization
from hog_dagster.lineage._props import PostHogMetadata as PostHogMetadata
from hog_dagster.lineage._props import PostHogProps as PostHogProps
from hog_dagster.lineage._props import TableProps as TableProps
from hog_dagster.lineage._records import Destination as Destination
from hog_dagster.lineage._records import HogFunctionRecord as HogFunctionRecord
from hog_dagster.lineage._records import InsightRecord as InsightRecord
from hog_dagster.lineage._records import Snapshot as Snapshot
from hog_dagster.lineage._records import Trigger as Trigger
from hog_dagster.lineage._records import WorkflowRecord as WorkflowRecord
from hog_dagster.lineage._records import email_of as email_of
from hog_dagster.lineage._records import fingerprint as fingerprint
from hog_dagster.lineage._records import read_snapshot as read_snapshot
from hog_dagster.lineage._snapshot import load_posthog_snapshot as load_posthog_snapshot
from hog_dagster.lineage._snapshot import read_kept as read_kept
from hog_dagster.policies import HogFunctionSelection as HogFunctionSelection
from hog_dagster.policies import InsightSelection as InsightSelection
from hog_dagster.policies import WorkflowSelection as WorkflowSelection

__all__ = [
    "AssetOptions",
    "Customization",
    "Destination",
    "HogFunctionRecord",
    "HogFunctionSelection",
    "InsightInfo",
    "InsightRecord",
    "InsightSelection",
    "Lineage",
    "PostHogMetadata",
    "PostHogProps",
    "PostHogTranslator",
    "Snapshot",
    "TableProps",
    "Trigger",
    "WorkflowRecord",
    "WorkflowSelection",
    "build_insight_specs",
    "build_lineage",
    "email_of",
    "find_selection",
    "fingerprint",
    "identifier",
    "insight_key",
    "list_insights",
    "load_posthog_asset_specs",
    "load_posthog_snapshot",
    "plain",
    "read_kept",
    "read_snapshot",
    "sql_table_name",
]

#: Names in `__all__` that are for the other rooms; docs/reference does not list them.
INTERNAL = (
    "email_of",
    "find_selection",
    "fingerprint",
    "identifier",
    "insight_key",
    "plain",
    "read_kept",
    "read_snapshot",
    "sql_table_name",
)
