"""Which endpoints each server generation has, and which scopes they ask: the table of PostHog's
hog_flow views.
"""

from hog_dagster.sandbox.api import _batch_jobs as batch
from hog_dagster.sandbox.api import _blocked_runs as replay
from hog_dagster.sandbox.api import _messaging_reputation as messaging_reputation
from hog_dagster.sandbox.api import _overview as overview
from hog_dagster.sandbox.api import _runs as runs
from hog_dagster.sandbox.api import _schedules as schedules
from hog_dagster.sandbox.api import _sent_messages as assets
from hog_dagster.sandbox.api import _test_runs as testruns
from hog_dagster.sandbox.api import _workflow_drafts as drafts
from hog_dagster.sandbox.api import _workflow_writes as editing
from hog_dagster.sandbox.api import _workflows as workflows
from hog_dagster.sandbox.api._calls import Endpoint, Family, Handler, Site
from hog_dagster.sandbox.api._messaging_routes import messaging_family
from hog_dagster.sandbox.api._more_routes import more_families
from hog_dagster.sandbox.api._projects import project_family

__all__ = ["families", "workflow_family"]

READ, WRITE = ("hog_flow:read",), ("hog_flow:write",)
READ_PEOPLE = ("hog_flow:read", "person:read")
WRITE_PEOPLE = ("hog_flow:write", "person:read")
WRITE_GROUPS = ("hog_flow:write", "group:read")
WRITE_ALL = ("hog_flow:write", "person:read", "group:read")
ROOT, ONE = "hog_flows/", "hog_flows/{id}/"
RUNS, REVISIONS = ONE + "invocation_results/", ONE + "revisions/"

Entry = tuple[str, str, Handler, tuple[str, ...]]

#: Actions that only older servers have.
_OLDER: list[Entry] = [
    ("GET", ONE + "blocked_runs/", replay.blocked_runs, READ),
    ("POST", ONE + "replay_blocked_run/", replay.replay_blocked_run, WRITE),
    ("POST", ONE + "replay_all_blocked_runs/", replay.replay_all_blocked_runs, WRITE),
]

#: Actions that newer servers have from the middle of 2026 on.
_MIDDLE: list[Entry] = [
    ("GET", RUNS, runs.invocation_results, READ_PEOPLE),
    ("GET", RUNS + "{invocation_id}/", runs.invocation_result, READ_PEOPLE),
    ("POST", ONE + "rerun/", runs.rerun, WRITE_ALL),
]

#: Actions that only the newest servers have.
_NEWEST: list[Entry] = [
    ("GET", ROOT + "metrics/global/", overview.global_metrics, READ),
    ("GET", ROOT + "reputation/", messaging_reputation.reputation, READ),
    ("GET", ROOT + "email_sending_suspension/", messaging_reputation.suspension, READ),
    ("POST", ONE + "resume_email_sending/", messaging_reputation.resume_email_sending, WRITE),
    ("GET", ONE + "assets/", assets.assets, READ_PEOPLE),
    ("GET", ONE + "assets/content/", assets.asset_content, READ_PEOPLE),
    ("POST", ONE + "batch_jobs/{job_id}/cancel/", batch.cancel_batch_job, WRITE),
    ("GET", ONE + "invocation_results_count/", runs.invocation_results_count, READ_PEOPLE),
    ("POST", ONE + "invocations/cancel/", runs.cancel_invocations, WRITE),
    ("POST", ONE + "run/", runs.run_now, WRITE),
    ("PATCH", ONE + "graph/", drafts.patch_graph, WRITE),
    ("POST", ONE + "publish/", drafts.publish, WRITE),
    ("POST", ONE + "discard_draft/", drafts.discard_draft, WRITE),
    ("GET", REVISIONS, drafts.list_revisions, READ),
    ("GET", REVISIONS + "{version}/", drafts.retrieve_revision, READ),
    ("POST", REVISIONS + "{version}/restore/", drafts.restore_revision, WRITE),
]
_MORE: dict[str, list[Entry]] = {
    "docs": _OLDER,
    "mid2026": _MIDDLE,
    "current": [*_MIDDLE, *_NEWEST],
}


def families(site: Site) -> list[Family]:
    """Everything a server of the site's generation answers."""
    return [
        workflow_family(site),
        messaging_family(site),
        project_family(),
        *more_families(site),
    ]


def workflow_family(site: Site) -> Family:
    """The hog_flows endpoints of the site's generation."""
    sends = WRITE_PEOPLE if site.newer else WRITE
    tests = WRITE_GROUPS if site.newer else WRITE
    plain = [
        Endpoint("GET", ROOT, workflows.list_workflows, READ),
        Endpoint("POST", ROOT, editing.create, WRITE),
        Endpoint("GET", ONE, workflows.retrieve, READ),
        Endpoint("PUT", ONE, editing.update, WRITE),
        Endpoint("PATCH", ONE, editing.update, WRITE),
        Endpoint("DELETE", ONE, editing.destroy, WRITE),
        Endpoint("GET", ONE + "logs/", workflows.logs, READ),
        Endpoint("GET", ONE + "metrics/", workflows.metrics, READ),
        Endpoint("GET", ONE + "metrics/totals/", workflows.totals, READ),
    ]
    schedule = ONE + "schedules/{schedule_id}/"
    custom = [
        ("POST", ROOT + "bulk_delete/", editing.bulk_delete, WRITE),
        ("POST", ROOT + "user_blast_radius/", batch.user_blast_radius, READ_PEOPLE),
        ("GET", ONE + "batch_jobs/", batch.list_batch_jobs, READ),
        ("POST", ONE + "batch_jobs/", batch.create_batch_job, sends),
        ("GET", ONE + "schedules/", schedules.list_schedules, READ),
        ("POST", ONE + "schedules/", schedules.create_schedule, sends),
        ("PATCH", schedule, schedules.update_schedule, WRITE),
        ("DELETE", schedule, schedules.delete_schedule, WRITE),
        ("POST", ONE + "invocations/", testruns.test_invocation, tests),
    ]
    custom += _MORE[site.generation]
    more = [Endpoint(*entry, custom=True) for entry in custom]
    return Family("workflows", (*plain, *more))
