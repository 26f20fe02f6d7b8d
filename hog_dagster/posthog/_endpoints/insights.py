"""The endpoints of insights, and of the calculations they start.

Facts: PostHog's insight and query viewsets of 2025-08 and mid 2026, and a running server's
responses.
"""

from __future__ import annotations

from hog_dagster.posthog._endpoints import Endpoint, register

BASE = "/api/projects/{project_id}/insights/"
QUERY = "/api/projects/{project_id}/query/{query_id}/"

LIST = Endpoint(
    "insights.list",
    "GET",
    BASE,
    ("insight:read",),
    bucket="insights",
    notes="the default order is by a column that is mostly null: rows repeat or get lost between "
    "pages unless order is given; refresh would compute every row of the page",
)
GET = Endpoint(
    "insights.get",
    "GET",
    BASE + "{id}/",
    ("insight:read",),
    bucket="insights",
    notes="older servers find an insight by its number only, not by its short id; an unknown "
    "refresh mode is read as force_cache",
)
QUERY_STATUS = Endpoint(
    "insights.query_status",
    "GET",
    QUERY,
    ("query:read",),
    bucket="query",
    notes="202 while it runs; 400 and 500 carry the status object, not the error envelope; "
    "forgotten after some minutes (404)",
)
CANCEL_QUERY = Endpoint(
    "insights.cancel_query",
    "DELETE",
    QUERY,
    ("query:read",),
    "absolute",
    bucket="query",
    notes="several callers share one calculation: cancelling it cancels it for all of them",
)

register(LIST, GET, QUERY_STATUS, CANCEL_QUERY)
