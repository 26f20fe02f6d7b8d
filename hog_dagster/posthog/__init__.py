"""A client for PostHog's API: Workflows, hog functions, groups and insights.

Knows HTTP and PostHog, nothing of Dagster or databases; a script or a notebook uses it alone.
"""

from hog_dagster.posthog import errors, models
from hog_dagster.posthog._arguments import check_api_key, check_host, check_project_id
from hog_dagster.posthog._client import PostHogClient
from hog_dagster.posthog._endpoints import ENDPOINTS, Endpoint
from hog_dagster.posthog._insight_rows import COLUMNS as INSIGHT_COLUMNS
from hog_dagster.posthog._insight_rows import (
    CellType,
    RowColumn,
    TidyRows,
    cell_type,
    column_names,
    fit_cell,
)
from hog_dagster.posthog._listing import Listing, to_frame
from hog_dagster.posthog._pagination.time_walk import PageSizes
from hog_dagster.posthog._rate_limit.limiter import LIMITS, Rate
from hog_dagster.posthog._services.capture import GroupCapture, ingestion_host
from hog_dagster.posthog._services.doctor import FEATURES, Row, diagnose, key_refusal
from hog_dagster.posthog._services.hog_functions import HogFunctions
from hog_dagster.posthog._services.hogql import (
    MOST_ROWS,
    QueryPage,
    from_key,
    identifier,
    instant,
    quoted,
)
from hog_dagster.posthog._services.run_states import RunState
from hog_dagster.posthog._services.source_runs import rerun_body
from hog_dagster.posthog._services.workflows import Workflows
from hog_dagster.posthog._transport.limited import RateLimitEvent
from hog_dagster.posthog._transport.transport import Timeouts

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
