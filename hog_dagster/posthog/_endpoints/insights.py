"""The endpoints of insights, of the calculations they start, and of HogQL, PostHog's SQL.

Facts: PostHog's insight and query viewsets of 2025-08 and mid 2026, and a running server's
responses. The scope of a query is a read scope although the method is POST.
"""

from __future__ import annotations

from dataclasses import replace

from hog_dagster.posthog._endpoints import EndpointGroup

_insights = EndpointGroup(
    "insights", "/api/projects/{project_id}/insights/", ("insight:read",), bucket="insights"
)
_query = EndpointGroup(
    "query",
    "/api/projects/{project_id}/query/",
    ("query:read",),
    ("query:read",),
    bucket="query",
)
_calculation = replace(_query, service="insights")

LIST = _insights.reads(
    "list",
    notes="the default order is by a column that is mostly null: rows repeat or get lost between "
    "pages unless order is given; refresh would compute every row of the page",
)
GET = _insights.reads(
    "get",
    "{id}/",
    notes="older servers find an insight by its number only, not by its short id; an unknown "
    "refresh mode is read as force_cache",
)
QUERY_STATUS = _calculation.reads(
    "query_status",
    "{query_id}/",
    notes="202 while it runs; 400 and 500 carry the status object, not the error envelope; "
    "forgotten after some minutes (404)",
)
CANCEL_QUERY = _calculation.sets(
    "cancel_query",
    "{query_id}/",
    "DELETE",
    notes="several callers share one calculation: cancelling it cancels it for all of them",
)
QUERY_ROWS = _query.sends(
    "rows",
    effect="read",
    only_reads=True,
    notes="100 rows unless the SQL has a LIMIT, and never more than 50,000; an identical query is "
    "answered from a cache for hours unless refresh says otherwise; old projects may run 120 "
    "queries an hour only",
)
