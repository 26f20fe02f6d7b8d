"""Assets: PostHog's API read into declared tables, one group of tables per module."""

from hog_dagster.assets._actions import build_ledger_assets
from hog_dagster.assets._batch_results import build_batch_results_asset
from hog_dagster.assets._blocked_runs import build_blocked_runs_asset
from hog_dagster.assets._catalog import build_catalog_assets
from hog_dagster.assets._concurrency import interleave as interleave
from hog_dagster.assets._function_tables import HOG_FUNCTION_LOGS as HOG_FUNCTION_LOGS
from hog_dagster.assets._function_tables import HOG_FUNCTION_METRICS as HOG_FUNCTION_METRICS
from hog_dagster.assets._function_tables import HOG_FUNCTION_RUNS as HOG_FUNCTION_RUNS
from hog_dagster.assets._function_tables import HOG_FUNCTIONS as HOG_FUNCTIONS
from hog_dagster.assets._group_push import GroupPushConfig, group_properties_sink
from hog_dagster.assets._group_tables import GroupColumn
from hog_dagster.assets._groups import build_groups_assets
from hog_dagster.assets._hog_functions import (
    build_hog_function_logs_asset,
    build_hog_function_metrics_asset,
    build_hog_functions_asset,
)
from hog_dagster.assets._hogql import APP_METRICS as APP_METRICS
from hog_dagster.assets._hogql import INVOCATION_RESULTS as INVOCATION_RESULTS
from hog_dagster.assets._hogql import LOG_ENTRIES as LOG_ENTRIES
from hog_dagster.assets._hogql import HogQLTable as HogQLTable
from hog_dagster.assets._hogql import Rows as Rows
from hog_dagster.assets._hogql import only_levels as only_levels
from hog_dagster.assets._insight_results import build_insight_results_asset
from hog_dagster.assets._insights import build_insights_asset
from hog_dagster.assets._list_push import OptOutPushConfig, build_opt_out_push_asset
from hog_dagster.assets._log_sources import HogFunctionLogSource as HogFunctionLogSource
from hog_dagster.assets._log_sources import LogSource as LogSource
from hog_dagster.assets._log_sources import Source as Source
from hog_dagster.assets._log_sources import WorkflowLogSource as WorkflowLogSource
from hog_dagster.assets._log_sources import can_wait as can_wait
from hog_dagster.assets._logs import build_workflow_logs_asset
from hog_dagster.assets._message_events import build_message_events_asset
from hog_dagster.assets._message_tables import BATCH_RESULTS as BATCH_RESULTS
from hog_dagster.assets._message_tables import SENDING_REPUTATION as SENDING_REPUTATION
from hog_dagster.assets._message_tables import SENT_MESSAGES as SENT_MESSAGES
from hog_dagster.assets._messages import build_sent_messages_asset
from hog_dagster.assets._messaging import build_messaging_assets
from hog_dagster.assets._metrics import build_workflow_metrics_asset
from hog_dagster.assets._metrics import metric_rows as metric_rows
from hog_dagster.assets._partitions import MESSAGE_TABLES as MESSAGE_TABLES
from hog_dagster.assets._partitions import PARTITIONED_TABLES as PARTITIONED_TABLES
from hog_dagster.assets._partitions import RETENTION_DAYS as RETENTION_DAYS
from hog_dagster.assets._partitions import steps_of as steps_of
from hog_dagster.assets._queries import build_query_asset
from hog_dagster.assets._queries import query_partitions as query_partitions
from hog_dagster.assets._query_loading import QueryLoading as QueryLoading
from hog_dagster.assets._query_loading import query_statement as query_statement
from hog_dagster.assets._query_rows import declared_table as declared_table
from hog_dagster.assets._reader import Reader as Reader
from hog_dagster.assets._redact import MessagePolicy as MessagePolicy
from hog_dagster.assets._report import Report as Report
from hog_dagster.assets._runs import build_hog_function_runs_asset, build_workflow_runs_asset
from hog_dagster.assets._sources import Listed as Listed
from hog_dagster.assets._sources import listed as listed
from hog_dagster.assets._sql_table import ReadBy
from hog_dagster.assets._summary import EMAILS as EMAILS
from hog_dagster.assets._summary import OF_RUNS as OF_RUNS
from hog_dagster.assets._summary import success_rate as success_rate
from hog_dagster.assets._summary import summed as summed
from hog_dagster.assets._workflow_activity import build_workflow_activity_asset
from hog_dagster.assets._workflow_errors import build_workflow_errors_asset
from hog_dagster.assets._workflow_tables import BATCH_SENDS as BATCH_SENDS
from hog_dagster.assets._workflow_tables import BLOCKED_RUNS as BLOCKED_RUNS
from hog_dagster.assets._workflow_tables import WORKFLOW_ACTIONS as WORKFLOW_ACTIONS
from hog_dagster.assets._workflow_tables import WORKFLOW_BATCH_JOBS as WORKFLOW_BATCH_JOBS
from hog_dagster.assets._workflow_tables import WORKFLOW_EDGES as WORKFLOW_EDGES
from hog_dagster.assets._workflow_tables import WORKFLOW_ERRORS as WORKFLOW_ERRORS
from hog_dagster.assets._workflow_tables import WORKFLOW_LOGS as WORKFLOW_LOGS
from hog_dagster.assets._workflow_tables import WORKFLOW_METRICS as WORKFLOW_METRICS
from hog_dagster.assets._workflow_tables import WORKFLOW_RUNS as WORKFLOW_RUNS
from hog_dagster.assets._workflow_tables import WORKFLOW_SCHEDULES as WORKFLOW_SCHEDULES
from hog_dagster.assets._workflow_tables import WORKFLOWS as WORKFLOWS
from hog_dagster.lineage import (
    AssetOptions,
    HogFunctionSelection,
    InsightSelection,
    WorkflowSelection,
    build_insight_specs,
    list_insights,
)

__all__ = [
    "APP_METRICS",
    "BATCH_RESULTS",
    "BATCH_SENDS",
    "BLOCKED_RUNS",
    "EMAILS",
    "HOG_FUNCTIONS",
    "HOG_FUNCTION_LOGS",
    "HOG_FUNCTION_METRICS",
    "HOG_FUNCTION_RUNS",
    "INVOCATION_RESULTS",
    "LOG_ENTRIES",
    "MESSAGE_TABLES",
    "OF_RUNS",
    "PARTITIONED_TABLES",
    "RETENTION_DAYS",
    "SENDING_REPUTATION",
    "SENT_MESSAGES",
    "WORKFLOWS",
    "WORKFLOW_ACTIONS",
    "WORKFLOW_BATCH_JOBS",
    "WORKFLOW_EDGES",
    "WORKFLOW_ERRORS",
    "WORKFLOW_LOGS",
    "WORKFLOW_METRICS",
    "WORKFLOW_RUNS",
    "WORKFLOW_SCHEDULES",
    "AssetOptions",
    "GroupColumn",
    "GroupPushConfig",
    "HogFunctionLogSource",
    "HogFunctionSelection",
    "HogQLTable",
    "InsightSelection",
    "Listed",
    "LogSource",
    "MessagePolicy",
    "OptOutPushConfig",
    "QueryLoading",
    "ReadBy",
    "Reader",
    "Report",
    "Rows",
    "Source",
    "WorkflowLogSource",
    "WorkflowSelection",
    "build_batch_results_asset",
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
    "build_message_events_asset",
    "build_messaging_assets",
    "build_opt_out_push_asset",
    "build_query_asset",
    "build_sent_messages_asset",
    "build_workflow_activity_asset",
    "build_workflow_errors_asset",
    "build_workflow_logs_asset",
    "build_workflow_metrics_asset",
    "build_workflow_runs_asset",
    "can_wait",
    "declared_table",
    "group_properties_sink",
    "interleave",
    "list_insights",
    "listed",
    "metric_rows",
    "only_levels",
    "query_partitions",
    "query_statement",
    "steps_of",
    "success_rate",
    "summed",
]

#: Names in `__all__` that are for the other rooms; docs/reference does not list them.
INTERNAL = (
    "APP_METRICS",
    "BATCH_RESULTS",
    "BATCH_SENDS",
    "BLOCKED_RUNS",
    "EMAILS",
    "HOG_FUNCTIONS",
    "HOG_FUNCTION_LOGS",
    "HOG_FUNCTION_METRICS",
    "HOG_FUNCTION_RUNS",
    "INVOCATION_RESULTS",
    "LOG_ENTRIES",
    "MESSAGE_TABLES",
    "OF_RUNS",
    "PARTITIONED_TABLES",
    "RETENTION_DAYS",
    "SENDING_REPUTATION",
    "SENT_MESSAGES",
    "WORKFLOWS",
    "WORKFLOW_ACTIONS",
    "WORKFLOW_BATCH_JOBS",
    "WORKFLOW_EDGES",
    "WORKFLOW_ERRORS",
    "WORKFLOW_LOGS",
    "WORKFLOW_METRICS",
    "WORKFLOW_RUNS",
    "WORKFLOW_SCHEDULES",
    "LogSource",
    "HogFunctionLogSource",
    "HogQLTable",
    "Listed",
    "QueryLoading",
    "Reader",
    "Report",
    "Rows",
    "Source",
    "WorkflowLogSource",
    "can_wait",
    "declared_table",
    "interleave",
    "listed",
    "metric_rows",
    "only_levels",
    "query_partitions",
    "query_statement",
    "steps_of",
    "success_rate",
    "summed",
)
