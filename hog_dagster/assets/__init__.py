"""Assets: PostHog's API read into declared tables, one family per module."""

from hog_dagster.assets.acts import build_ledger_assets
from hog_dagster.assets.catalog import build_catalog_assets
from hog_dagster.assets.logs import build_workflow_logs_asset
from hog_dagster.assets.metrics import build_workflow_metrics_asset
from hog_dagster.assets.options import AssetOptions, WorkflowSelection
from hog_dagster.assets.runs import build_blocked_runs_asset, build_workflow_runs_asset

__all__ = [
    "AssetOptions",
    "WorkflowSelection",
    "build_blocked_runs_asset",
    "build_catalog_assets",
    "build_ledger_assets",
    "build_workflow_logs_asset",
    "build_workflow_metrics_asset",
    "build_workflow_runs_asset",
]
