"""The endpoints of PostHog Workflows ("hog flows"), of every server generation.

Facts: PostHog's hog_flow viewsets of 2025-08 to autumn 2026, and responses of a running server.
"""

from __future__ import annotations

from dataclasses import replace

from hog_dagster.posthog._endpoints import EndpointGroup

BASE = "/api/projects/{project_id}/hog_flows/"
DOCS = "docs (2026-04-23 to 2026-05-18)"
CURRENT = "current (mid 2026 on)"
KEYS = "all; on docs-era servers refused to scoped keys"

_READ_PEOPLE = ("hog_flow:read", "person:read")
_SEND_PEOPLE = ("hog_flow:write", "person:read")
_FAILED = (
    "Blocked runs existed from 2026-04-23 to 2026-05-18 only. On this server look for failed runs "
    "with invocation_results(status='failed') and run them again with rerun(invocation_ids=...)."
)
_NEWER = "It needs a newer PostHog server"
_SHIFTED = "windows shift with the project's time zone; use hourly_metrics"

_flows = EndpointGroup("workflows", BASE, ("hog_flow:read",), ("hog_flow:write",))
_keys = replace(_flows, servers=KEYS)
_current = replace(_flows, servers=CURRENT)

LIST = _flows.reads(
    "list",
    notes="limit is clamped silently; older servers order by updated_at without a tie-breaker",
)
GET = _flows.reads("get", "{id}/")
CREATE = _flows.sends("create", notes="a repeated create makes a second one")
UPDATE = _flows.sets(
    "update",
    "{id}/",
    notes="replaces whole actions/edges; base_updated_at makes a stale update a 409",
)
REPLACE = _flows.sends("replace", "{id}/", "PUT")
DELETE = _flows.sends("delete", "{id}/", "DELETE", notes="hard delete, any status")
BULK_DELETE = _keys.sends(
    "bulk_delete",
    "bulk_delete/",
    instead="Archive the workflows and delete them one by one with delete(id).",
    notes="archived ones only, the others are skipped without a word; the count includes cascades",
)

_jobs = replace(
    _keys, instead="This server has no batch jobs; send batches from PostHog's own interface."
)
BATCH_JOBS = _jobs.reads(
    "batch_jobs",
    "{id}/batch_jobs/",
    notes="bare array, whole history; on older servers status never moves",
)
CREATE_BATCH_JOB = _jobs.sends(
    "create_batch_job",
    "{id}/batch_jobs/",
    scopes=_SEND_PEOPLE,
    notes="sends to people; no idempotency key; filters of the caller change nothing",
)
CANCEL_BATCH_JOB = _current.sends(
    "cancel_batch_job",
    "{id}/batch_jobs/{job_id}/cancel/",
    instead="A batch job cannot be cancelled on this server.",
    notes="asynchronous: call again until done",
)
BLAST_RADIUS = _keys.sends(
    "blast_radius",
    "user_blast_radius/",
    scopes=_READ_PEOPLE,
    effect="read",
    instead="The audience of a batch cannot be counted on this server.",
    notes="a batch reaches `limit` people at most, the rest is left out in silence: 500,000 "
    "(1,000,000 for some organizations; 5,000 until July 2026), or what the e-mail sending tier "
    "allows",
)

_schedules = replace(_keys, instead=f"{_NEWER}: workflows have no schedules of their own here.")
SCHEDULES = _schedules.reads("schedules", "{id}/schedules/", notes="bare array")
CREATE_SCHEDULE = _schedules.sends(
    "create_schedule",
    "{id}/schedules/",
    scopes=_SEND_PEOPLE,
    notes="a repeated create doubles the sends; 201",
)
UPDATE_SCHEDULE = _schedules.sets(
    "update_schedule",
    "{id}/schedules/{schedule_id}/",
    notes="status is read-only; a schedule id that is no UUID is a 500",
)
DELETE_SCHEDULE = _schedules.sends("delete_schedule", "{id}/schedules/{schedule_id}/", "DELETE")

_blocked = replace(_flows, servers=DOCS, instead=_FAILED)
BLOCKED_RUNS = _blocked.reads(
    "blocked_runs",
    "{id}/blocked_runs/",
    notes="refused to scoped keys; empty while the project's flag is off",
)
REPLAY = _blocked.sends(
    "replay_blocked_run",
    "{id}/replay_blocked_run/",
    notes="refused to scoped keys; replays the same run as often as it is asked",
)
REPLAY_ALL = _blocked.sends(
    "replay_all_blocked_runs",
    "{id}/replay_all_blocked_runs/",
    notes="always 200; skipped runs stay listed for ever",
)

_runs = replace(
    _current,
    read=_READ_PEOPLE,
    instead="Runs are not listed on this server; blocked runs, logs and metrics are.",
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
INVOCATION_RESULTS_COUNT = _runs.reads(
    "invocation_results_count",
    "{id}/invocation_results_count/",
    instead="Runs are not counted on this server; blocked runs, logs and metrics are.",
)
RERUN = _current.sends(
    "rerun",
    "{id}/rerun/",
    scopes=("hog_flow:write", "person:read", "group:read"),
    instead="On this server blocked runs are replayed with replay_blocked_run(id, run).",
    notes="asynchronous, the counts are always 0; two calls queue two jobs",
)
CANCEL_INVOCATIONS = _current.sends(
    "cancel_invocations",
    "{id}/invocations/cancel/",
    instead=f"{_NEWER}: runs cannot be cancelled on this one.",
    notes="asynchronous: call again until done",
)
TEST_INVOCATION = _keys.sends(
    "test_invocation",
    "{id}/invocations/",
    scopes=("hog_flow:write", "group:read"),
    instead="This server cannot test a step.",
    notes="runs one step; with mock_async_functions=false it really sends",
)
RUN = _current.sends(
    "run",
    "{id}/run/",
    instead=f"{_NEWER}: on this one a workflow is started by its trigger or by create_batch_job.",
    notes="schedule triggers only; the one action with an Idempotency-Key (24 hours)",
)

LOGS = _flows.reads(
    "logs",
    "{id}/logs/",
    notes="not pageable: bounds are exclusive, next is always null, 500 rows at most, 90 days kept",
)
METRICS = _flows.reads("metrics", "{id}/metrics/", notes=f"{_SHIFTED}; 90 days kept")
METRIC_TOTALS = _flows.reads("metric_totals", "{id}/metrics/totals/", notes=_SHIFTED)
GLOBAL_METRICS = _current.reads(
    "global_metrics",
    "metrics/global/",
    instead="Read metric_totals(id) of each workflow.",
    notes="bare array, worst first",
)
VERSION_METRICS = _flows.reads(
    "version_metrics",
    "{id}/metrics/version/",
    servers="current (August 2026 on)",
    instead="Read metrics(id).",
    notes="covers batch runs",
)

UPDATE_GRAPH = _current.sends(
    "update_graph",
    "{id}/graph/",
    "PATCH",
    instead="Use update(id, changes) with the whole actions and edges.",
)
UPDATE_ACTION_EMAIL = _current.sends(
    "update_action_email",
    "{id}/actions/{action_id}/email/",
    "PATCH",
    instead="Use update(id, changes) with the whole actions.",
)
PUBLISH = _current.sends(
    "publish",
    "{id}/publish/",
    instead="Drafts do not exist on this server: update(id, changes) is live at once.",
    notes="two steps: the first answers with a confirm_token, valid 15 minutes",
)
DISCARD_DRAFT = _current.sends(
    "discard_draft", "{id}/discard_draft/", instead="Drafts do not exist on this server."
)

_revisions = replace(_current, instead="Revisions are not kept on this server.")
REVISIONS = _revisions.reads("revisions", "{id}/revisions/")
REVISION = _revisions.reads("revision", "{id}/revisions/{number}/")
RESTORE_REVISION = _revisions.sends(
    "restore_revision",
    "{id}/revisions/{number}/restore/",
    notes="409 draft_exists or stale_update",
)
