"""Assets: PostHog's API read into declared tables, one family per module."""

from hog_dagster.assets._sql_table import ReadBy
from hog_dagster.assets.acts import build_ledger_assets
from hog_dagster.assets.blocked_runs import build_blocked_runs_asset
from hog_dagster.assets.catalog import build_catalog_assets
from hog_dagster.assets.errors import build_workflow_errors_asset
from hog_dagster.assets.functions import (
    build_hog_function_logs_asset,
    build_hog_function_metrics_asset,
    build_hog_functions_asset,
)
from hog_dagster.assets.group_sink import GroupPushConfig, group_properties_sink
from hog_dagster.assets.group_tables import GroupColumn
from hog_dagster.assets.groups import build_groups_assets
from hog_dagster.assets.insight_results import build_insight_results_asset
from hog_dagster.assets.insight_selection import (
    InsightInfo,
    InsightSelection,
    build_insight_specs,
    list_insights,
)
from hog_dagster.assets.insights import build_insights_asset
from hog_dagster.assets.logs import build_workflow_logs_asset
from hog_dagster.assets.messages import build_sent_messages_asset
from hog_dagster.assets.messaging import build_messaging_assets
from hog_dagster.assets.metrics import build_workflow_metrics_asset
from hog_dagster.assets.options import AssetOptions, HogFunctionSelection, WorkflowSelection
from hog_dagster.assets.queries import build_query_asset
from hog_dagster.assets.runs import build_hog_function_runs_asset, build_workflow_runs_asset

__all__ = [
    "AssetOptions",
    "GroupColumn",
    "GroupPushConfig",
    "HogFunctionSelection",
    "InsightInfo",
    "InsightSelection",
    "ReadBy",
    "WorkflowSelection",
    "build_blocked_runs_asset",
    "build_catalog_assets",
    "build_groups_assets",
    "build_hog_function_logs_asset",
    "build_hog_function_metrics_asset",
    "build_hog_function_runs_asset",
    "build_hog_functions_asset",
    "build_insight_results_asset",
    "build_insight_specs",
    "build_insights_asset",
    "build_ledger_assets",
    "build_messaging_assets",
    "build_query_asset",
    "build_sent_messages_asset",
    "build_workflow_errors_asset",
    "build_workflow_logs_asset",
    "build_workflow_metrics_asset",
    "build_workflow_runs_asset",
    "group_properties_sink",
    "list_insights",
]
