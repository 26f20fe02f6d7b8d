"""The endpoints of hog functions and their templates, of every server generation.

Facts: PostHog's hog_function viewsets of 2025-08 to mid 2026, and responses of a running server.
"""

from __future__ import annotations

from hog_dagster.posthog._endpoints import Endpoint, register

BASE = "/api/projects/{project_id}/hog_functions/"
ONE = BASE + "{id}/"
TEMPLATES_BASE = "/api/projects/{project_id}/hog_function_templates/"

READ = ("hog_function:read",)
WRITE = ("hog_function:write",)
CURRENT = "current (mid 2026 on)"
KEYS = "all; on docs-era servers refused to scoped keys"
NEVER_KEYS = "refused to scoped keys"

_SQL = "Read the table log_entries with SQL through the query endpoint, or a newer PostHog."
_INTERFACE = "No server does; use PostHog's own interface."
_BATCH = "Send to many people with a batch workflow: workflows.create_batch_job(id)."
_RUNS = "Runs of hog functions are not listed on this server; read them with SQL where it has them."
_NO_DRAFTS = "Drafts do not exist on this server: update(id, changes) is live at once."
_NO_REVISIONS = "Revisions are not kept on this server."

LIST = Endpoint(
    "hog_functions.list",
    "GET",
    BASE,
    READ,
    notes="rows move while it is read; one internal call per enabled function, so pages are small",
)
GET = Endpoint("hog_functions.get", "GET", ONE, READ)
CREATE = Endpoint(
    "hog_functions.create",
    "POST",
    BASE,
    WRITE,
    "act",
    notes="JSON only; a repeated create makes a second one",
)
UPDATE = Endpoint(
    "hog_functions.update",
    "PATCH",
    ONE,
    WRITE,
    "absolute",
    notes="the server blanks inputs that are left out: read and merged first; "
    "base_updated_at makes a stale update a 409 (newer servers)",
)
REPLACE = Endpoint("hog_functions.replace", "PUT", ONE, WRITE, "act")
DELETE = Endpoint(
    "hog_functions.delete",
    "PATCH",
    ONE,
    WRITE,
    "absolute",
    notes='sends {"deleted": true}; a function that is gone already is a success',
)
RESTORE = Endpoint(
    "hog_functions.restore",
    "PATCH",
    ONE,
    WRITE,
    "absolute",
    notes='sends {"deleted": false}; a transformation moves to the end of the order',
)
REARRANGE = Endpoint(
    "hog_functions.rearrange",
    "PATCH",
    BASE + "rearrange/",
    WRITE,
    "absolute",
    KEYS,
    closed='Set the order one by one with update(id, {"execution_order": ...}).',
    notes="transformations only; bare array of all of them",
)
TEST_INVOCATION = Endpoint(
    "hog_functions.test_invocation",
    "POST",
    ONE + "invocations/",
    WRITE,
    "act",
    KEYS,
    notes="native-* and segment-* functions run for real though mocked; an unknown id is no 404",
)
BROADCAST = Endpoint(
    "hog_functions.broadcast",
    "POST",
    ONE + "broadcast/",
    (),
    "act",
    f"docs era only; {NEVER_KEYS}",
    instead=_BATCH,
    closed=_BATCH,
    notes="runs the function for real, once per person that matches its filters",
)
RERUN = Endpoint(
    "hog_functions.rerun",
    "POST",
    ONE + "rerun/",
    ("hog_function:write", "person:read", "group:read"),
    "act",
    CURRENT,
    instead="Past runs of a hog function cannot be run again on this server.",
    notes="destinations only; asynchronous, the counts are always 0; two calls queue two jobs",
)

INVOCATION_RESULTS = Endpoint(
    "hog_functions.invocation_results",
    "GET",
    ONE + "invocation_results/",
    ("hog_function:read", "person:read"),
    servers=CURRENT,
    instead=_RUNS,
    notes="bare array, bounds inclusive in whole seconds, at most 500, 30 days kept",
)
INVOCATION_RESULT = Endpoint(
    "hog_functions.invocation_result",
    "GET",
    ONE + "invocation_results/{invocation_id}/",
    ("hog_function:read", "person:read"),
    servers=CURRENT,
    instead=_RUNS,
    notes="adds invocation_globals, which can hold secrets and personal data",
)
INVOCATION_RESULTS_COUNT = Endpoint(
    "hog_functions.invocation_results_count",
    "GET",
    ONE + "invocation_results_count/",
    ("hog_function:read", "person:read"),
    servers=CURRENT,
    instead=_RUNS,
)

LOGS = Endpoint(
    "hog_functions.logs",
    "GET",
    ONE + "logs/",
    READ,
    servers=KEYS,
    closed=_SQL,
    notes="not pageable: bounds are exclusive, next is always null, 500 rows at most; "
    "older servers answer 404 to search",
)
METRICS = Endpoint(
    "hog_functions.metrics",
    "GET",
    ONE + "metrics/",
    READ,
    servers=KEYS,
    notes="windows shift with the project's time zone; use hourly_metrics; 90 days kept",
)
METRIC_TOTALS = Endpoint(
    "hog_functions.metric_totals",
    "GET",
    ONE + "metrics/totals/",
    READ,
    servers=KEYS,
    notes="of the last 7 days unless asked; windows shift with the project's time zone",
)

ICONS = Endpoint(
    "hog_functions.icons",
    "GET",
    BASE + "icons/",
    servers=f"all; {NEVER_KEYS}",
    closed=_INTERFACE,
    notes="bare array; empty without a logo service",
)
ICON = Endpoint(
    "hog_functions.icon",
    "GET",
    BASE + "icon/",
    servers=f"all; {NEVER_KEYS}",
    closed=_INTERFACE,
    notes="answers with the image",
)

PUBLISH = Endpoint(
    "hog_functions.publish",
    "POST",
    ONE + "publish/",
    WRITE,
    "act",
    CURRENT,
    instead=_NO_DRAFTS,
    notes="two steps: the first answers with a confirm_token, valid 15 minutes",
)
DISCARD_DRAFT = Endpoint(
    "hog_functions.discard_draft",
    "POST",
    ONE + "discard_draft/",
    WRITE,
    "absolute",
    CURRENT,
    instead=_NO_DRAFTS,
)
REVISIONS = Endpoint(
    "hog_functions.revisions",
    "GET",
    ONE + "revisions/",
    READ,
    servers=CURRENT,
    instead=_NO_REVISIONS,
)
REVISION = Endpoint(
    "hog_functions.revision",
    "GET",
    ONE + "revisions/{version}/",
    READ,
    servers=CURRENT,
    instead=_NO_REVISIONS,
)
RESTORE_REVISION = Endpoint(
    "hog_functions.restore_revision",
    "POST",
    ONE + "revisions/{version}/restore/",
    WRITE,
    "act",
    CURRENT,
    instead=_NO_REVISIONS,
    notes="into the draft, to be published; 409 draft_exists unless overwrite",
)
MASKED_SECRETS = Endpoint(
    "hog_functions.masked_secrets",
    "GET",
    BASE + "masked_secrets/",
    READ,
    servers=CURRENT,
    instead="Lost secrets are not reported on this server.",
    notes="bare array; on older servers the path reads as an unknown function",
)
ENABLE_BACKFILLS = Endpoint(
    "hog_functions.enable_backfills",
    "POST",
    ONE + "enable_backfills/",
    (),
    "act",
    f"{CURRENT}; {NEVER_KEYS}",
    instead="Backfills through a hog function do not exist on this server.",
    closed=_INTERFACE,
    notes="makes a batch export, paused",
)

TEMPLATES = Endpoint(
    "hog_functions.templates",
    "GET",
    TEMPLATES_BASE,
    READ,
    notes="destinations unless types are named; deprecated ones are left out",
)
TEMPLATE = Endpoint("hog_functions.template", "GET", TEMPLATES_BASE + "{template_id}/", READ)

register(*(value for value in list(globals().values()) if isinstance(value, Endpoint)))
