"""What goes on behind the API as the clock moves: rerun jobs, runs that end, batch jobs, schedules
that fire.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hog_dagster.sandbox.model import BatchJob, BatchSend, Execution, Workflow
from hog_dagster.sandbox.people import audience
from hog_dagster.sandbox.recurrence import next_occurrences
from hog_dagster.sandbox.world._execution import advance, repair, send_all
from hog_dagster.sandbox.world._rerun import work_page
from hog_dagster.sandbox.world._steps import sends_email

if TYPE_CHECKING:
    from hog_dagster.sandbox.world import World

__all__ = ["AUDIENCE_LIMIT", "send_batch", "settle", "settle_batch_job", "trigger_filters"]

#: People that a batch reaches at most: 500,000 from August 2026 on, 5,000 until July.
AUDIENCE_LIMIT = {"current": 500_000, "mid2026": 5_000, "docs": 5_000}
BATCH_STARTS, BATCH_ENDS = timedelta(seconds=5), timedelta(seconds=30)
SCHEDULED = ("batch", "schedule")


def settle(world: "World") -> None:
    """Let everything happen that is due by now, in order of time."""
    if world.settling:
        return
    world.settling = True
    try:
        now = world.clock.now()
        while True:
            due = world.next_due()
            _fire_schedules(world, now if due is None or due > now else due)
            due = world.next_due()
            if due is None or due > now:
                return
            _happen(world, *world.take_due())
    finally:
        world.settling = False


def _happen(world: "World", at: datetime, kind: str, what: Any) -> None:
    if kind == "run":
        run = world.runs.get(what)
        if run is None:
            return
        if run.busy_until is not None and run.busy_until <= at:
            advance(world, run, at)
        elif run.repair_at is not None and run.repair_at <= at:
            repair(world, run, at)
    elif kind == "job":
        job = next((job for job in world.rerun_jobs if job.id == what), None)
        if job is not None and job.due <= at:
            work_page(world, job, at)
    else:
        with world.clock.as_of(at):
            what()


# -- batch jobs and schedules -------------------------------------------------------------------


def send_batch(world: "World", workflow: Workflow, job: BatchJob, *, newer: bool) -> None:
    """Send a batch job to its audience.

    Logs and metrics go under the job's id, not the workflow's. An audience over the limit, which is
    the tier's for a workflow with an e-mail step, is cut without an error.
    """
    at = job.created_at
    meant = audience(world.people, trigger_filters(workflow))
    cap = world.mail.audience_cap(
        AUDIENCE_LIMIT[world.generation], sends_email=sends_email(workflow)
    )
    people = meant[:cap]
    if newer and len(people) < len(meant):
        # Nothing else tells of it: the job reads completed. The line is filed under the job.
        text = (
            f"This batch reached its audience limit of {cap}. The rest of the audience did not "
            "receive this workflow."
        )
        world.log(job.id, job.id, at + BATCH_ENDS, "WARN", text, lag=world.log_lag)
    world.sent.append(
        BatchSend(
            workflow_id=workflow.id,
            batch_job_id=job.id,
            at=at,
            audience=[person.distinct_id for person in people],
            variables=job.variables,
        )
    )
    stamp = at.replace(microsecond=at.microsecond // 1000 * 1000)
    for person in people:
        if newer:
            world.start_run(
                workflow.id,
                at=at,
                takes=BATCH_ENDS.total_seconds(),
                cause="batch",
                row=world.batch_rows_at_start,
                distinct_id=person.distinct_id,
                person_id=person.id,
                parent_run_id=job.id,
            )
            continue
        run = world.ids.run(at)
        world.logs.add(job.id, run, stamp, "INFO", f"Workflow completed for [Person:{person.id}]")
        world.add_execution(
            Execution(source_id=workflow.id, invocation_id=run, at=at, cause="batch")
        )
        send_all(world, workflow, run, person.distinct_id, at)
    if people:
        world.metrics.add(job.id, at, "succeeded", "success", len(people))


def settle_batch_job(job: BatchJob, now: datetime) -> None:
    """Move a tracked job on: queued, active, completed, as its fan-out proceeds."""
    if not job.tracked or job.status not in ("queued", "active"):
        return
    for status, after in (("completed", BATCH_ENDS), ("active", BATCH_STARTS)):
        if now >= job.created_at + after:
            if job.status != status:
                job.status, job.updated_at = status, job.created_at + after
            return


def trigger_filters(workflow: Workflow) -> Any:
    """The audience filters that a workflow's trigger stores."""
    return (workflow.trigger or {}).get("filters") or {}


def _fire_schedules(world: "World", now: datetime) -> None:
    """What the scheduler has done by now: it sees a new schedule at its next poll."""
    for schedule in list(world.schedules.values()):
        workflow = world.workflows.get(schedule.workflow_id)
        if schedule.status != "active" or workflow is None:
            continue
        kind = (workflow.trigger or {}).get("type")
        if workflow.status != "active" or kind not in SCHEDULED:
            schedule.next_run_at = None
            continue
        if schedule.next_run_at is None:
            seen = max(schedule.updated_at, workflow.updated_at)
            seen += timedelta(seconds=world.schedule_poll)
            if seen <= now:
                _advance(schedule, seen)
        while schedule.next_run_at is not None and schedule.next_run_at <= now:
            at = schedule.next_run_at
            _advance(schedule, at)
            _fire(world, workflow, schedule.variables, at, kind)


def _advance(schedule: Any, after: datetime) -> None:
    found = next_occurrences(
        schedule.rrule, schedule.starts_at, schedule.timezone, after=after, count=1
    )
    schedule.next_run_at = found[0] if found else None
    if not found:
        schedule.status = "completed"


def _fire(
    world: "World", workflow: Workflow, overrides: dict[str, Any], at: datetime, kind: str
) -> None:
    variables = {item.get("key"): item.get("default") for item in workflow.variables or []}
    variables |= overrides
    if kind == "batch":
        job = world.add_batch_job(
            workflow.id,
            created_at=at,
            filters=trigger_filters(workflow),
            variables=variables,
            tracked=world.newer,
        )
        send_batch(world, workflow, job, newer=world.newer)
        return
    if world.newer:
        world.start_run(workflow.id, at=at, takes=0.0)
        return
    run = world.ids.run(at)
    world.logs.add(workflow.id, run, at, "INFO", "Workflow completed")
    world.add_execution(Execution(source_id=workflow.id, invocation_id=run, at=at))
    send_all(world, workflow, run, "", at)
