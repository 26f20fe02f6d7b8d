"""Which endpoints each server generation has, and which scopes they ask: the table of PostHog's
hog_flow views.
"""

from hog_dagster.sandbox import batch, replay, workflows
from hog_dagster.sandbox.families import Endpoint, Family
from hog_dagster.sandbox.site import Site

__all__ = ["workflow_family"]

READ, WRITE = ("hog_flow:read",), ("hog_flow:write",)
READ_PEOPLE = ("hog_flow:read", "person:read")
WRITE_PEOPLE = ("hog_flow:write", "person:read")
ROOT, ONE = "hog_flows/", "hog_flows/{id}/"


def workflow_family(site: Site) -> Family:
    """The hog_flows endpoints of the site's generation."""
    sends = WRITE_PEOPLE if site.newer else WRITE
    endpoints = [
        Endpoint("GET", ROOT, workflows.list_workflows, READ),
        Endpoint("POST", ROOT, workflows.create, WRITE),
        Endpoint("GET", ONE, workflows.retrieve, READ),
        Endpoint("PUT", ONE, workflows.update, WRITE),
        Endpoint("PATCH", ONE, workflows.update, WRITE),
        Endpoint("DELETE", ONE, workflows.destroy, WRITE),
        Endpoint("GET", ONE + "logs/", workflows.logs, READ),
        Endpoint("GET", ONE + "metrics/", workflows.metrics, READ),
        Endpoint("GET", ONE + "metrics/totals/", workflows.totals, READ),
        Endpoint("POST", ROOT + "bulk_delete/", workflows.bulk_delete, WRITE, custom=True),
        Endpoint("GET", ONE + "batch_jobs/", batch.list_batch_jobs, READ, custom=True),
        Endpoint("POST", ONE + "batch_jobs/", batch.create_batch_job, sends, custom=True),
        Endpoint(
            "POST", ROOT + "user_blast_radius/", batch.user_blast_radius, READ_PEOPLE, custom=True
        ),
    ]
    if site.newer:
        endpoints += [
            Endpoint(
                "POST",
                ONE + "batch_jobs/{job_id}/cancel/",
                batch.cancel_batch_job,
                WRITE,
                custom=True,
            ),
        ]
    else:
        endpoints += [
            Endpoint("GET", ONE + "blocked_runs/", replay.blocked_runs, READ, custom=True),
            Endpoint(
                "POST", ONE + "replay_blocked_run/", replay.replay_blocked_run, WRITE, custom=True
            ),
            Endpoint(
                "POST",
                ONE + "replay_all_blocked_runs/",
                replay.replay_all_blocked_runs,
                WRITE,
                custom=True,
            ),
        ]
    return Family("workflows", tuple(endpoints))
