"""Batch jobs and the blast radius: mass sends, with no idempotency whatsoever.

Facts: the batch-job serializers and recorded answers. Older servers leave every job at `queued`.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call, fields, odd_time
from hog_dagster.sandbox.api._confirmation import audience_token, check_audience_token
from hog_dagster.sandbox.api._fields import dictionary
from hog_dagster.sandbox.api._list_filters import bad_filters_refused
from hog_dagster.sandbox.api._paging import page
from hog_dagster.sandbox.api._runs import cancel
from hog_dagster.sandbox.api._workflows import find
from hog_dagster.sandbox.engine import (
    AUDIENCE_LIMIT,
    audience,
    catch_up_batch_job,
    check_filters,
    send_batch,
    trigger_filters,
)
from hog_dagster.sandbox.world import BatchJob, Person, Workflow

STATES = ("waiting", "queued", "active", "completed", "cancelled", "failed")
OPEN_STATES = ("waiting", "queued", "active")


def batch_job_row(job: BatchJob, now: datetime) -> dict[str, Any]:
    """A batch job as the API shows it, its status brought up to date where the server tracks it."""
    catch_up_batch_job(job, now)
    names = "id status hog_flow filters variables created_at created_by updated_at"
    return fields(job, names, hog_flow=job.workflow_id)


def list_batch_jobs(call: Call) -> Answer:
    """GET hog_flows/{id}/batch_jobs/: a bare array of the whole history, newest first.

    Where `batch_jobs_page` is set: pages, oldest first.
    """
    workflow, world = _workflow(call), call.site.world
    jobs = [job for job in world.batch_jobs.values() if job.workflow_id == workflow.id]
    jobs.sort(key=lambda job: job.created_at, reverse=world.batch_jobs_page is None)
    rows = [_kept(call, workflow, job) for job in jobs]
    if world.batch_jobs_page is None:
        return Answer(rows)
    return page(call, rows, default=world.batch_jobs_page, maximum=world.batch_jobs_page)


def _kept(call: Call, workflow: Workflow, job: BatchJob) -> dict[str, Any]:
    """A job as the database gives it back."""
    world = call.site.world
    body = batch_job_row(job, call.now)
    variables = dict(job.variables)
    if world.variables_merged:
        defaults = {item.get("key"): item.get("default") for item in workflow.variables or []}
        variables = {**defaults, **variables}
    body["variables"] = jsonb(variables)
    if world.variables_as_text:
        body["variables"] = as_text(body["variables"])
    return odd_time(call, body)


def create_batch_job(call: Call) -> Answer:
    """POST hog_flows/{id}/batch_jobs/: 200, and messages go to the whole audience. Every time."""
    workflow, newer = _workflow(call), call.site.newer
    body = call.object()
    if newer and workflow.status != "active":
        raise errors.bad_input("Workflow must be active to run a batch. Enable it first.")
    if newer and call.agent:
        check_audience_token(call, workflow, body)
    status = body.get("status", "queued")
    if status not in STATES:
        raise errors.raw_fields({"status": [f'"{status}" is not a valid choice.']})
    variables = body.get("variables")
    job = call.site.world.add_batch_job(
        workflow.id,
        created_at=call.now,
        filters=trigger_filters(workflow) if newer else body.get("filters", {}),
        variables=variables if isinstance(variables, dict) else {},
        created_by=call.site.world.user,
        status=status,
        tracked=newer,
    )
    if call.site.world.worker_down:
        if not newer:
            raise errors.server_error()  # and yet the row is there
        job.status = "failed"
    elif (workflow.trigger or {}).get("type") == "batch":
        with bad_filters_refused():
            send_batch(call.site.world, workflow, job, newer=newer)
    return Answer(batch_job_row(job, call.now))


def cancel_batch_job(call: Call) -> Answer:
    """POST hog_flows/{id}/batch_jobs/{job_id}/cancel/: what has gone out has gone out."""
    workflow = find(call)
    world, now = call.site.world, call.now
    job = world.batch_jobs.get(call.args["job_id"])
    if job is None or job.workflow_id != workflow.id:
        raise errors.not_found("Batch job not found")
    catch_up_batch_job(job, now)
    if job.status not in OPEN_STATES:
        return Answer({"status": job.status, "marked": 0, "remaining": 0, "done": True})
    left = cancel(call, workflow.id, lambda run: run.parent_run_id == job.id, timedelta())
    done = left["remaining"] == 0
    if done:
        job.status, job.updated_at = "cancelled", now
    return Answer({"status": job.status, **left, "done": done})


def user_blast_radius(call: Call) -> Answer:
    """POST hog_flows/user_blast_radius/: how many people filters would reach."""
    body, newer = call.object(), call.site.newer
    if "filters" not in body:
        if newer:
            raise errors.required("filters")
        raise errors.bad_input("Missing filters for which to get blast radius")
    filters = body["filters"]
    if newer:
        dictionary(filters, "filters")
    people = call.site.world.people
    with bad_filters_refused():
        affected = len(audience(people, filters))
        if newer:
            check_filters(filters)
    answer: dict[str, Any] = {"affected": affected, "total": len(people)}
    if newer:
        key = body.get("dedupe_key")
        flat = AUDIENCE_LIMIT[call.site.generation]
        asks = body.get("sends_email", True) is not False
        if key == "email":
            answer["affected"] = _addresses(audience(people, filters))
        answer |= {
            "limit": call.site.world.mail.audience_cap(flat, sends_email=asks),
            "dedupe_key": key,
            "confirm_token": audience_token(call, filters, key),
        }
    return Answer(answer)


def _addresses(people: list[Person]) -> int:
    """Distinct addresses, and persons without one."""
    found = [person.properties.get("email") for person in people]
    return len({one for one in found if one}) + sum(not one for one in found)


def _workflow(call: Call) -> Workflow:
    """The parent; any failure to find it becomes this action's own 404."""
    try:
        return find(call, leaky=not call.site.newer)
    except errors.ApiError:
        raise errors.not_found(f"Workflow {call.args['id']} not found") from None


def jsonb(value: Any) -> Any:
    """A JSON value as PostgreSQL gives it back from a jsonb column: numbers are numeric, so 1e16
    reads 10000000000000000 and -0.0 reads 0.0; keys are sorted by length, then by bytes."""
    if isinstance(value, float):
        number = Decimal(repr(value))
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and exponent >= 0:
            return int(number)
        return value + 0.0 if value else 0.0
    if isinstance(value, list):
        return [jsonb(item) for item in value]
    if isinstance(value, dict):
        ordered = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
        return {key: jsonb(value[key]) for key in ordered}
    return value


def as_text(value: Any) -> Any:
    """The value with every number in it as text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return [as_text(item) for item in value]
    if isinstance(value, dict):
        return {key: as_text(item) for key, item in value.items()}
    return value
