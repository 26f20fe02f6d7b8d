"""The endpoints of PostHog Workflows ("hog flows"), of every server generation.

Facts: PostHog's hog_flow viewsets of 2025-08 to autumn 2026, and responses of a running server.
"""

from __future__ import annotations

from hog_dagster.posthog._endpoints import Endpoint, register

BASE = "/api/projects/{project_id}/hog_flows/"
ONE = BASE + "{id}/"

READ = ("hog_flow:read",)
WRITE = ("hog_flow:write",)
DOCS = "docs (2026-04-23 to 2026-05-18)"
CURRENT = "current (mid 2026 on)"
KEYS = "all; on docs-era servers refused to scoped keys"

_RUNS = "Runs are listed by invocation_results on newer servers; on this one read logs and metrics."
_FAILED = (
    "Blocked runs existed from 2026-04-23 to 2026-05-18 only. On this server look for failed runs "
    "with invocation_results(status='failed') and run them again with rerun(invocation_ids=...)."
)
_NEWER = "It needs a newer PostHog server"

LIST = Endpoint(
    "workflows.list",
    "GET",
    BASE,
    READ,
    notes="limit is clamped silently; older servers order by updated_at without a tie-breaker",
)
GET = Endpoint("workflows.get", "GET", ONE, READ)
CREATE = Endpoint(
    "workflows.create", "POST", BASE, WRITE, "act", notes="a repeated create makes a second one"
)
UPDATE = Endpoint(
    "workflows.update",
    "PATCH",
    ONE,
    WRITE,
    "absolute",
    notes="replaces whole actions/edges; base_updated_at makes a stale update a 409",
)
REPLACE = Endpoint("workflows.replace", "PUT", ONE, WRITE, "act")
DELETE = Endpoint("workflows.delete", "DELETE", ONE, WRITE, "act", notes="hard delete, any status")
BULK_DELETE = Endpoint(
    "workflows.bulk_delete",
    "POST",
    BASE + "bulk_delete/",
    WRITE,
    "act",
    KEYS,
    instead="Archive the workflows and delete them one by one with delete(id).",
    notes="archived ones only, the others are skipped without a word; the count includes cascades",
)

BATCH_JOBS = Endpoint(
    "workflows.batch_jobs",
    "GET",
    ONE + "batch_jobs/",
    READ,
    servers=KEYS,
    instead="This server has no batch jobs; send batches from PostHog's own interface.",
    notes="bare array, whole history; on older servers status never moves",
)
CREATE_BATCH_JOB = Endpoint(
    "workflows.create_batch_job",
    "POST",
    ONE + "batch_jobs/",
    ("hog_flow:write", "person:read"),
    "act",
    KEYS,
    instead="This server has no batch jobs; send batches from PostHog's own interface.",
    notes="sends to people; no idempotency key; filters of the caller change nothing",
)
CANCEL_BATCH_JOB = Endpoint(
    "workflows.cancel_batch_job",
    "POST",
    ONE + "batch_jobs/{job_id}/cancel/",
    WRITE,
    "act",
    CURRENT,
    instead="A batch job cannot be cancelled on this server.",
    notes="asynchronous: call again until done",
)
BLAST_RADIUS = Endpoint(
    "workflows.blast_radius",
    "POST",
    BASE + "user_blast_radius/",
    ("hog_flow:read", "person:read"),
    "read",
    KEYS,
    instead="The audience of a batch cannot be counted on this server.",
    notes="a batch reaches `limit` people at most, the rest is left out in silence: 500,000 "
    "(1,000,000 for some organizations; 5,000 until July 2026), or what the e-mail sending tier "
    "allows",
)

SCHEDULES = Endpoint(
    "workflows.schedules",
    "GET",
    ONE + "schedules/",
    READ,
    servers=KEYS,
    instead=f"{_NEWER}: workflows have no schedules of their own here.",
    notes="bare array",
)
CREATE_SCHEDULE = Endpoint(
    "workflows.create_schedule",
    "POST",
    ONE + "schedules/",
    ("hog_flow:write", "person:read"),
    "act",
    KEYS,
    instead=f"{_NEWER}: workflows have no schedules of their own here.",
    notes="a repeated create doubles the sends; 201",
)
UPDATE_SCHEDULE = Endpoint(
    "workflows.update_schedule",
    "PATCH",
    ONE + "schedules/{schedule_id}/",
    WRITE,
    "absolute",
    KEYS,
    instead=f"{_NEWER}: workflows have no schedules of their own here.",
    notes="status is read-only; a schedule id that is no UUID is a 500",
)
DELETE_SCHEDULE = Endpoint(
    "workflows.delete_schedule",
    "DELETE",
    ONE + "schedules/{schedule_id}/",
    WRITE,
    "act",
    KEYS,
    instead=f"{_NEWER}: workflows have no schedules of their own here.",
)

BLOCKED_RUNS = Endpoint(
    "workflows.blocked_runs",
    "GET",
    ONE + "blocked_runs/",
    READ,
    servers=DOCS,
    instead=_FAILED,
    notes="refused to scoped keys; empty while the project's flag is off",
)
REPLAY = Endpoint(
    "workflows.replay_blocked_run",
    "POST",
    ONE + "replay_blocked_run/",
    WRITE,
    "act",
    DOCS,
    instead=_FAILED,
    notes="refused to scoped keys; replays the same run as often as it is asked",
)
REPLAY_ALL = Endpoint(
    "workflows.replay_all_blocked_runs",
    "POST",
    ONE + "replay_all_blocked_runs/",
    WRITE,
    "act",
    DOCS,
    instead=_FAILED,
    notes="always 200; skipped runs stay listed for ever",
)

INVOCATION_RESULTS = Endpoint(
    "workflows.invocation_results",
    "GET",
    ONE + "invocation_results/",
    ("hog_flow:read", "person:read"),
    servers=CURRENT,
    instead="Runs are not listed on this server; blocked runs, logs and metrics are.",
    notes="bare array, bounds inclusive in whole seconds, at most 500, 30 days kept",
)
INVOCATION_RESULT = Endpoint(
    "workflows.invocation_result",
    "GET",
    ONE + "invocation_results/{invocation_id}/",
    ("hog_flow:read", "person:read"),
    servers=CURRENT,
    instead="Runs are not listed on this server; blocked runs, logs and metrics are.",
    notes="adds invocation_globals, which can hold secrets and personal data",
)
INVOCATION_RESULTS_COUNT = Endpoint(
    "workflows.invocation_results_count",
    "GET",
    ONE + "invocation_results_count/",
    ("hog_flow:read", "person:read"),
    servers=CURRENT,
    instead="Runs are not counted on this server; blocked runs, logs and metrics are.",
)
RERUN = Endpoint(
    "workflows.rerun",
    "POST",
    ONE + "rerun/",
    ("hog_flow:write", "person:read", "group:read"),
    "act",
    CURRENT,
    instead="On this server blocked runs are replayed with replay_blocked_run(id, run).",
    notes="asynchronous, the counts are always 0; two calls queue two jobs",
)
CANCEL_INVOCATIONS = Endpoint(
    "workflows.cancel_invocations",
    "POST",
    ONE + "invocations/cancel/",
    WRITE,
    "act",
    CURRENT,
    instead=f"{_NEWER}: runs cannot be cancelled on this one.",
    notes="asynchronous: call again until done",
)
TEST_INVOCATION = Endpoint(
    "workflows.test_invocation",
    "POST",
    ONE + "invocations/",
    ("hog_flow:write", "group:read"),
    "act",
    KEYS,
    instead="This server cannot test a step.",
    notes="runs one step; with mock_async_functions=false it really sends",
)
RUN = Endpoint(
    "workflows.run",
    "POST",
    ONE + "run/",
    WRITE,
    "act",
    CURRENT,
    instead=f"{_NEWER}: on this one a workflow is started by its trigger or by create_batch_job.",
    notes="schedule triggers only; the one action with an Idempotency-Key (24 hours)",
)

LOGS = Endpoint(
    "workflows.logs",
    "GET",
    ONE + "logs/",
    READ,
    notes="not pageable: bounds are exclusive, next is always null, 500 rows at most, 90 days kept",
)
METRICS = Endpoint(
    "workflows.metrics",
    "GET",
    ONE + "metrics/",
    READ,
    notes="windows shift with the project's time zone; use hourly_metrics; 90 days kept",
)
METRIC_TOTALS = Endpoint(
    "workflows.metric_totals",
    "GET",
    ONE + "metrics/totals/",
    READ,
    notes="windows shift with the project's time zone; use hourly_metrics",
)
GLOBAL_METRICS = Endpoint(
    "workflows.global_metrics",
    "GET",
    BASE + "metrics/global/",
    READ,
    servers=CURRENT,
    instead="Read metric_totals(id) of each workflow.",
    notes="bare array, worst first",
)
VERSION_METRICS = Endpoint(
    "workflows.version_metrics",
    "GET",
    ONE + "metrics/version/",
    READ,
    servers="current (August 2026 on)",
    instead="Read metrics(id).",
    notes="covers batch runs",
)

UPDATE_GRAPH = Endpoint(
    "workflows.update_graph",
    "PATCH",
    ONE + "graph/",
    WRITE,
    "act",
    CURRENT,
    instead="Use update(id, changes) with the whole actions and edges.",
)
UPDATE_ACTION_EMAIL = Endpoint(
    "workflows.update_action_email",
    "PATCH",
    ONE + "actions/{action_id}/email/",
    WRITE,
    "act",
    CURRENT,
    instead="Use update(id, changes) with the whole actions.",
)
PUBLISH = Endpoint(
    "workflows.publish",
    "POST",
    ONE + "publish/",
    WRITE,
    "act",
    CURRENT,
    instead="Drafts do not exist on this server: update(id, changes) is live at once.",
    notes="two steps: the first answers with a confirm_token, valid 15 minutes",
)
DISCARD_DRAFT = Endpoint(
    "workflows.discard_draft",
    "POST",
    ONE + "discard_draft/",
    WRITE,
    "act",
    CURRENT,
    instead="Drafts do not exist on this server.",
)
REVISIONS = Endpoint(
    "workflows.revisions",
    "GET",
    ONE + "revisions/",
    READ,
    servers=CURRENT,
    instead="Revisions are not kept on this server.",
)
REVISION = Endpoint(
    "workflows.revision",
    "GET",
    ONE + "revisions/{number}/",
    READ,
    servers=CURRENT,
    instead="Revisions are not kept on this server.",
)
RESTORE_REVISION = Endpoint(
    "workflows.restore_revision",
    "POST",
    ONE + "revisions/{number}/restore/",
    WRITE,
    "act",
    CURRENT,
    instead="Revisions are not kept on this server.",
    notes="409 draft_exists or stale_update",
)

register(*(value for value in list(globals().values()) if isinstance(value, Endpoint)))
