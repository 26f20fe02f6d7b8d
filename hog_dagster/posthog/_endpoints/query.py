"""The endpoint that runs HogQL, PostHog's SQL.

Facts: PostHog's query view and a running server's responses. The scope is a read scope although the
method is POST; the statuses of calculations are among the endpoints of insights.
"""

from __future__ import annotations

from hog_dagster.posthog._endpoints import Endpoint, register

ROWS = Endpoint(
    "query.rows",
    "POST",
    "/api/projects/{project_id}/query/",
    ("query:read",),
    bucket="query",
    only_reads=True,
    notes="100 rows unless the SQL has a LIMIT, and never more than 50,000; an identical query is "
    "answered from a cache for hours unless refresh says otherwise; old projects may run 120 "
    "queries an hour only",
)

register(ROWS)
