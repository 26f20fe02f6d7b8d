"""Batch jobs and the blast radius: mass sends, with no idempotency whatsoever.

Facts: the batch-job serializers and recorded answers. Older servers leave every job at `queued`
for ever.
"""

import hashlib
import hmac
import json
from datetime import datetime, timedelta
from typing import Any

import msgspec

from hog_dagster.sandbox import errors
from hog_dagster.sandbox.families import Answer, Call
from hog_dagster.sandbox.ids import is_uuid
from hog_dagster.sandbox.model import BatchJob, BatchSend, Workflow
from hog_dagster.sandbox.people import audience, check_filters

__all__ = ["batch_job_row", "create_batch_job", "list_batch_jobs", "user_blast_radius"]

STATES = ("waiting", "queued", "active", "completed", "cancelled", "failed")
AUDIENCE_LIMIT = 5000
STARTS_AFTER, ENDS_AFTER = timedelta(seconds=5), timedelta(seconds=30)
CONFIRM_FOR = timedelta(minutes=15)


def batch_job_row(job: BatchJob, now: datetime) -> dict[str, Any]:
    """A batch job as the API shows it, its status brought up to date where the server tracks it."""
    settle(job, now)
    body = msgspec.structs.asdict(job)
    del body["tracked"]
    body["hog_flow"] = body.pop("workflow_id")
    order = ("id", "status", "hog_flow", "filters", "variables", "created_at", "created_by")
    return {name: body[name] for name in (*order, "updated_at")}


def settle(job: BatchJob, now: datetime) -> None:
    """Move a tracked job on: queued, active, completed, as its fan-out proceeds."""
    if not job.tracked or job.status not in ("queued", "active"):
        return
    for status, after in (("completed", ENDS_AFTER), ("active", STARTS_AFTER)):
        if now >= job.created_at + after:
            if job.status != status:
                job.status, job.updated_at = status, job.created_at + after
            return


def list_batch_jobs(call: Call) -> Answer:
    """GET hog_flows/{id}/batch_jobs/: a bare array of the whole history, newest first."""
    workflow = _workflow(call)
    jobs = [job for job in call.site.world.batch_jobs.values() if job.workflow_id == workflow.id]
    jobs.sort(key=lambda job: job.created_at, reverse=True)
    return Answer([batch_job_row(job, call.now) for job in jobs])


def create_batch_job(call: Call) -> Answer:
    """POST hog_flows/{id}/batch_jobs/: 200, and messages go out to the whole audience.

    Every time.
    """
    workflow, newer = _workflow(call), call.site.newer
    body = call.object()
    status = body.get("status")
    if "status" in body and status not in STATES:
        raise errors.raw_fields({"status": [f'"{status}" is not a valid choice.']})
    variables = body.get("variables")
    if newer:
        if workflow.status != "active":
            raise errors.bad_input("Workflow must be active to run a batch. Enable it first.")
        if variables is not None and not isinstance(variables, dict):
            raise errors.raw_fields({"variables": ["Must be an object."]})
        if call.headers.get("x-posthog-client", "").lower() == "mcp":
            _check_token(call, workflow, body.get("confirm_token"))
    stored = _trigger_filters(workflow) if newer else body.get("filters", {})
    job = call.site.world.add_batch_job(
        workflow.id,
        created_at=call.now,
        filters=stored,
        variables=variables if isinstance(variables, dict) else {},
        created_by=call.site.world.user,
        status=status if status and not newer else "queued",
        tracked=newer,
    )
    if newer or (workflow.trigger or {}).get("type") == "batch":
        _send(call, workflow, job)
    return Answer(batch_job_row(job, call.now))


def cancel_batch_job(call: Call) -> Answer:
    """POST hog_flows/{id}/batch_jobs/{job_id}/cancel/: what has gone out has gone out."""
    workflow = _workflow(call)
    job = call.site.world.batch_jobs.get(call.args["job_id"])
    if job is None or job.workflow_id != workflow.id:
        raise errors.not_found("Batch job not found")
    settle(job, call.now)
    marked = 0
    if job.status in ("waiting", "queued", "active"):
        marked = len(next((s.audience for s in _sends(call, job.id)), []))
        job.status, job.updated_at = "cancelled", call.now
    return Answer({"status": job.status, "marked": marked, "remaining": 0, "done": True})


def user_blast_radius(call: Call) -> Answer:
    """POST hog_flows/user_blast_radius/: how many people filters would reach."""
    body = call.object()
    if "filters" not in body:
        raise errors.bad_input("Missing filters for which to get blast radius")
    filters = body["filters"]
    check_filters(filters)
    people = call.site.world.people
    answer: dict[str, Any] = {"affected": len(audience(people, filters)), "total": len(people)}
    if call.site.newer:
        answer |= {
            "limit": AUDIENCE_LIMIT,
            "dedupe_key": body.get("dedupe_key"),
            "confirm_token": confirm_token(call, filters),
        }
    return Answer(answer)


def confirm_token(call: Call, filters: Any, at: datetime | None = None) -> str:
    """A token signed over project and filters, good for 15 minutes."""
    digest = hashlib.md5(_canonical(filters), usedforsecurity=False).hexdigest()
    stamp = int((at or call.now).timestamp())
    head = f"{call.project_id}:None:None:{digest}:{stamp}"
    secret = f"sandbox:{call.site.seed}".encode()
    return f"{head}:{hmac.new(secret, head.encode(), hashlib.sha256).hexdigest()[:43]}"


def _check_token(call: Call, workflow: Workflow, token: Any) -> None:
    stamp = str(token or "").split(":")[4:5]
    if stamp and stamp[0].isdigit():
        at = datetime.fromtimestamp(int(stamp[0]), call.now.tzinfo)
        right = token == confirm_token(call, _trigger_filters(workflow), at)
        if right and timedelta(0) <= call.now - at <= CONFIRM_FOR:
            return
    raise errors.bad_input(
        "A valid confirm_token from user_blast_radius is required to run a batch.", "confirm_token"
    )


def _send(call: Call, workflow: Workflow, job: BatchJob) -> None:
    world, now = call.site.world, call.now
    people = audience(world.people, _trigger_filters(workflow))[:AUDIENCE_LIMIT]
    world.batch_sends.append(
        BatchSend(
            workflow_id=workflow.id,
            batch_job_id=job.id,
            at=now,
            audience=[person.distinct_id for person in people],
            variables=job.variables,
        )
    )
    for person in people:
        world.write_log(job.id, world.ids.run(now), "INFO", f"Workflow completed for {person.id}")
    if people:
        world.metrics.add(job.id, now, "succeeded", "success", len(people))


def _sends(call: Call, job_id: str) -> list[BatchSend]:
    return [send for send in call.site.world.batch_sends if send.batch_job_id == job_id]


def _workflow(call: Call) -> Workflow:
    """The parent, looked up without the list's filters and with its own 404."""
    wanted = call.args["id"]
    row = call.site.world.workflows.get(wanted) if is_uuid(wanted) else None
    if row is None:
        raise errors.not_found(f"Workflow {wanted} not found")
    return row


def _trigger_filters(workflow: Workflow) -> Any:
    return (workflow.trigger or {}).get("filters") or {}


def _canonical(filters: Any) -> bytes:
    return json.dumps(filters, sort_keys=True, separators=(",", ":")).encode()
