"""The endpoints of the project: itself, its key and its user, its batch exports and activity log.

Facts: PostHog's project, personal_api_key, batch export and activity log viewsets, and a running
server's response for a project.
"""

from __future__ import annotations

from hog_dagster.posthog._endpoints import EndpointGroup

_PROJECT = "/api/projects/{project_id}/"
_server = EndpointGroup("server", "/api/")
_exports = EndpointGroup("batch_exports", f"{_PROJECT}batch_exports/", ("batch_export:read",))
_activity = EndpointGroup("activity", f"{_PROJECT}activity_log/", ("activity_log:read",))

PROJECT = _server.reads(
    "project",
    "projects/{project_id}/",
    scopes=("project:read",),
    notes="holds the project token and others; the model hides them",
)
KEY = _server.reads(
    "key",
    "personal_api_keys/@current/",
    notes="a key may read itself without any scope; a key without scopes reads as '*'",
)
USER = _server.reads("user", "users/@me/", scopes=("user:read",), notes="whose key it is")

EXPORTS = _exports.reads(
    "list", notes="newest first; those that workflows made for themselves are hidden"
)
EXPORT = _exports.reads("get", "{id}/")
EXPORT_RUNS = _exports.reads(
    "runs",
    "{id}/runs/",
    notes="cursor, 100 a page; of 7 days unless asked; one interval can have several",
)
BACKFILLS = _exports.reads("backfills", "{id}/backfills/", notes="cursor, 50 a page")
ACTIVITY = _activity.reads(
    "list",
    servers="current (2026); refused to scoped keys before",
    instead="The activity log is not on this server.",
    closed="What was changed, and not by whom, can be read by HogQL from system.activity_logs on "
    "newer servers.",
    notes="cursor, 1,000 a page; on Cloud a paid feature, looking back as far as the plan allows",
)
