"""A client for PostHog's API: Workflows, hog functions, groups and insights.

Knows HTTP and PostHog, nothing of Dagster or databases; a script or a notebook uses it alone.
"""

from hog_dagster.posthog import errors as errors
from hog_dagster.posthog import models as models
from hog_dagster.posthog._arguments import check_api_key as check_api_key
from hog_dagster.posthog._arguments import check_host as check_host
from hog_dagster.posthog._arguments import check_project_id as check_project_id
from hog_dagster.posthog._client import PostHogClient as PostHogClient
from hog_dagster.posthog._endpoints import ENDPOINTS as ENDPOINTS
from hog_dagster.posthog._endpoints import Endpoint as Endpoint
from hog_dagster.posthog._insight_rows import COLUMNS as INSIGHT_COLUMNS
from hog_dagster.posthog._insight_rows import CellType as CellType
from hog_dagster.posthog._insight_rows import RowColumn as RowColumn
from hog_dagster.posthog._insight_rows import TidyRows as TidyRows
from hog_dagster.posthog._insight_rows import cell_type as cell_type
from hog_dagster.posthog._insight_rows import column_names as column_names
from hog_dagster.posthog._insight_rows import fit_cell as fit_cell
from hog_dagster.posthog._listing import Listing as Listing
from hog_dagster.posthog._listing import to_frame as to_frame
from hog_dagster.posthog._pagination.time_walk import PageSizes as PageSizes
from hog_dagster.posthog._rate_limit.events import RateLimitEvent as RateLimitEvent
from hog_dagster.posthog._rate_limit.limiter import LIMITS as LIMITS
from hog_dagster.posthog._rate_limit.limiter import Rate as Rate
from hog_dagster.posthog._services.capture import GroupCapture as GroupCapture
from hog_dagster.posthog._services.capture import ingestion_host as ingestion_host
from hog_dagster.posthog._services.doctor import FEATURES as FEATURES
from hog_dagster.posthog._services.doctor import Row as Row
from hog_dagster.posthog._services.doctor import diagnose as diagnose
from hog_dagster.posthog._services.doctor import key_refusal as key_refusal
from hog_dagster.posthog._services.hog_functions import HogFunctions as HogFunctions
from hog_dagster.posthog._services.hogql import MOST_ROWS as MOST_ROWS
from hog_dagster.posthog._services.hogql import QueryPage as QueryPage
from hog_dagster.posthog._services.hogql import from_key as from_key
from hog_dagster.posthog._services.hogql import identifier as identifier
from hog_dagster.posthog._services.hogql import instant as instant
from hog_dagster.posthog._services.hogql import quoted as quoted
from hog_dagster.posthog._services.reruns import rerun_body as rerun_body
from hog_dagster.posthog._services.run_states import RunState as RunState
from hog_dagster.posthog._services.workflows import Workflows as Workflows
from hog_dagster.posthog._transport.transport import Timeouts as Timeouts

__all__ = [
    "ENDPOINTS",
    "FEATURES",
    "INSIGHT_COLUMNS",
    "LIMITS",
    "MOST_ROWS",
    "CellType",
    "Endpoint",
    "GroupCapture",
    "HogFunctions",
    "Listing",
    "PageSizes",
    "PostHogClient",
    "QueryPage",
    "Rate",
    "RateLimitEvent",
    "Row",
    "RowColumn",
    "RunState",
    "TidyRows",
    "Timeouts",
    "Workflows",
    "cell_type",
    "check_api_key",
    "check_host",
    "check_project_id",
    "column_names",
    "diagnose",
    "errors",
    "fit_cell",
    "from_key",
    "identifier",
    "ingestion_host",
    "instant",
    "key_refusal",
    "models",
    "quoted",
    "rerun_body",
    "to_frame",
]

#: Names in `__all__` that are for the other rooms; docs/reference does not list them.
INTERNAL = (
    "ENDPOINTS",
    "FEATURES",
    "INSIGHT_COLUMNS",
    "MOST_ROWS",
    "CellType",
    "PageSizes",
    "RowColumn",
    "cell_type",
    "check_api_key",
    "check_host",
    "check_project_id",
    "column_names",
    "diagnose",
    "fit_cell",
    "from_key",
    "identifier",
    "ingestion_host",
    "key_refusal",
    "quoted",
    "rerun_body",
)
