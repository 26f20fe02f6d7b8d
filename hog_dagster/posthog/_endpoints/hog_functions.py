"""The endpoints of hog functions and their templates, of every server generation.

Facts: PostHog's hog_function viewsets of 2025-08 to mid 2026, and responses of a running server.
"""

from __future__ import annotations

from dataclasses import replace

from hog_dagster.posthog._endpoints import EndpointGroup

CURRENT = "current (mid 2026 on)"
KEYS = "all; on docs-era servers refused to scoped keys"
NEVER_KEYS = "refused to scoped keys"

_INTERFACE = "No server does; use PostHog's own interface."
_BATCH = "Send to many people with a batch workflow: workflows.create_batch_job(id)."

_functions = EndpointGroup(
    "hog_functions",
    "/api/projects/{project_id}/hog_functions/",
    ("hog_function:read",),
    ("hog_function:write",),
)
_keys = replace(_functions, servers=KEYS)
_current = replace(_functions, servers=CURRENT)

LIST = _functions.reads(
    "list",
    notes="rows move while it is read; one internal call per enabled function, so pages are small",
)
GET = _functions.reads("get", "{id}/")
CREATE = _functions.sends("create", notes="JSON only; a repeated create makes a second one")
UPDATE = _functions.sets(
    "update",
    "{id}/",
    notes="the server blanks inputs that are left out: read and merged first; "
    "base_updated_at makes a stale update a 409 (newer servers)",
)
REPLACE = _functions.sends("replace", "{id}/", "PUT")
DELETE = _functions.sets(
    "delete",
    "{id}/",
    notes='sends {"deleted": true}; a function that is gone already is a success',
)
RESTORE = _functions.sets(
    "restore",
    "{id}/",
    notes='sends {"deleted": false}; a transformation moves to the end of the order',
)
REARRANGE = _keys.sets(
    "rearrange",
    "rearrange/",
    closed='Set the order one by one with update(id, {"execution_order": ...}).',
    notes="transformations only; bare array of all of them",
)
TEST_INVOCATION = _keys.sends(
    "test_invocation",
    "{id}/invocations/",
    notes="native-* and segment-* functions run for real though mocked; an unknown id is no 404",
)
BROADCAST = _functions.sends(
    "broadcast",
    "{id}/broadcast/",
    scopes=(),
    servers=f"docs era only; {NEVER_KEYS}",
    instead=_BATCH,
    closed=_BATCH,
    notes="runs the function for real, once per person that matches its filters",
)
RERUN = _current.sends(
    "rerun",
    "{id}/rerun/",
    scopes=("hog_function:write", "person:read", "group:read"),
    instead="Past runs of a hog function cannot be run again on this server.",
    notes="destinations only; asynchronous, the counts are always 0; two calls queue two jobs",
)

_runs = replace(
    _current,
    read=("hog_function:read", "person:read"),
    instead="Runs of hog functions are not listed on this server; read them with SQL where it has "
    "them.",
)
INVOCATION_RESULTS = _runs.reads(
    "invocation_results",
    "{id}/invocation_results/",
    notes="bare array, bounds inclusive in whole seconds, at most 500, 30 days kept",
)
INVOCATION_RESULT = _runs.reads(
    "invocation_result",
    "{id}/invocation_results/{invocation_id}/",
    notes="adds invocation_globals, which can hold secrets and personal data",
)
INVOCATION_RESULTS_COUNT = _runs.reads("invocation_results_count", "{id}/invocation_results_count/")

LOGS = _keys.reads(
    "logs",
    "{id}/logs/",
    closed="Read the table log_entries with SQL through the query endpoint, or a newer PostHog.",
    notes="not pageable: bounds are exclusive, next is always null, 500 rows at most; "
    "older servers answer 404 to search",
)
METRICS = _keys.reads(
    "metrics",
    "{id}/metrics/",
    notes="windows shift with the project's time zone; use hourly_metrics; 90 days kept",
)
METRIC_TOTALS = _keys.reads(
    "metric_totals",
    "{id}/metrics/totals/",
    notes="of the last 7 days unless asked; windows shift with the project's time zone",
)

_icons = replace(_functions, read=(), servers=f"all; {NEVER_KEYS}", closed=_INTERFACE)
ICONS = _icons.reads("icons", "icons/", notes="bare array; empty without a logo service")
ICON = _icons.reads("icon", "icon/", notes="answers with the image")

_drafts = replace(
    _current, instead="Drafts do not exist on this server: update(id, changes) is live at once."
)
PUBLISH = _drafts.sends(
    "publish",
    "{id}/publish/",
    notes="two steps: the first answers with a confirm_token, valid 15 minutes",
)
DISCARD_DRAFT = _drafts.sets("discard_draft", "{id}/discard_draft/", "POST")

_revisions = replace(_current, instead="Revisions are not kept on this server.")
REVISIONS = _revisions.reads("revisions", "{id}/revisions/")
REVISION = _revisions.reads("revision", "{id}/revisions/{version}/")
RESTORE_REVISION = _revisions.sends(
    "restore_revision",
    "{id}/revisions/{version}/restore/",
    notes="into the draft, to be published; 409 draft_exists unless overwrite",
)
MASKED_SECRETS = _current.reads(
    "masked_secrets",
    "masked_secrets/",
    instead="Lost secrets are not reported on this server.",
    notes="bare array; on older servers the path reads as an unknown function",
)
ENABLE_BACKFILLS = _functions.sends(
    "enable_backfills",
    "{id}/enable_backfills/",
    scopes=(),
    servers=f"{CURRENT}; {NEVER_KEYS}",
    instead="Backfills through a hog function do not exist on this server.",
    closed=_INTERFACE,
    notes="makes a batch export, paused",
)

_templates = replace(_functions, base="/api/projects/{project_id}/hog_function_templates/")
TEMPLATES = _templates.reads(
    "templates", notes="destinations unless types are named; deprecated ones are left out"
)
TEMPLATE = _templates.reads("template", "{template_id}/")
