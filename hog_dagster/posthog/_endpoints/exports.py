"""The endpoints of batch exports and of the activity log, as far as they are read.

Facts: PostHog's batch export and activity log viewsets.
"""

from __future__ import annotations

from hog_dagster.posthog._endpoints import Endpoint, register

EXPORTS = "/api/projects/{project_id}/batch_exports/"
READ = ("batch_export:read",)

LIST = Endpoint(
    "batch_exports.list",
    "GET",
    EXPORTS,
    READ,
    notes="newest first; those that workflows made for themselves are hidden",
)
GET = Endpoint("batch_exports.get", "GET", EXPORTS + "{id}/", READ)
RUNS = Endpoint(
    "batch_exports.runs",
    "GET",
    EXPORTS + "{id}/runs/",
    READ,
    notes="cursor, 100 a page; of 7 days unless asked; one interval can have several",
)
BACKFILLS = Endpoint(
    "batch_exports.backfills", "GET", EXPORTS + "{id}/backfills/", READ, notes="cursor, 50 a page"
)
ACTIVITY = Endpoint(
    "activity.list",
    "GET",
    "/api/projects/{project_id}/activity_log/",
    ("activity_log:read",),
    servers="current (2026); refused to scoped keys before",
    instead="The activity log is not on this server.",
    closed="What was changed, and not by whom, can be read by HogQL from system.activity_logs on "
    "newer servers.",
    notes="cursor, 1,000 a page; on Cloud a paid feature, looking back as far as the plan allows",
)

register(*(value for value in list(globals().values()) if isinstance(value, Endpoint)))
