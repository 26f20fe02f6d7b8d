"""What goes on behind the API as the clock moves: rerun jobs, runs that end, batch jobs, schedules
that fire.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hog_dagster.sandbox.model import BatchJob, BatchSend, Replay, RerunJob, Run, Workflow
from hog_dagster.sandbox.people import audience
from hog_dagster.sandbox.recurrence import next_occurrences

if TYPE_CHECKING:
    from hog_dagster.sandbox.world import World

__all__ = ["AUDIENCE_LIMIT", "send_batch", "settle", "settle_batch_job", "trigger_filters"]

AUDIENCE_LIMIT = 5000
BATCH_STARTS, BATCH_ENDS = timedelta(seconds=5), timedelta(seconds=30)
SCHEDULED = ("batch", "schedule")


def settle(world: "World") -> None:
    """Let everything happen that is due by now, in order of time."""
    now = world.clock.now()
    _fire_schedules(world, now)
    _end_runs(world, now)
    for job in [job for job in world.rerun_jobs if job.due <= now]:
        world.rerun_jobs.remove(job)
        _end_runs(world, job.due)
        _rerun(world, job)
    _end_runs(world, now)


def _end_runs(world: "World", now: datetime) -> None:
    for invocation in sorted(world.busy):
        run = world.runs[invocation]
        if run.busy_until is None or run.busy_until > now:
            continue
        run.status = run.next_status or "succeeded"
        run.finished_at, run.busy_until, run.next_status = run.busy_until, None, None
        failed = run.status == "failed"
        if failed:
            run.failed_before = True
        elif run.status == "succeeded":
            run.error_kind = run.error_message = ""
        world.busy.discard(invocation)
        if run.is_retry and run.status in ("succeeded", "failed"):
            world.metrics.add(
                run.workflow_id, run.finished_at, run.status, "failure" if failed else "success", 1
            )


def _rerun(world: "World", job: RerunJob) -> None:
    """Work on a rerun job: start again what matches and is not in flight.

    A count is used up by rows that have failed once, those that a rerun has already repaired too:
    with the same `max_count` a later job may find nothing to do.
    """
    wanted = job.filter.get("status") or ["failed"]
    candidates = [run for run in world.runs.values() if _matches(run, job, wanted)]
    candidates.sort(key=lambda run: run.scheduled_at)
    limit = job.filter.get("max_count")
    chosen = candidates if limit is None else candidates[:limit]
    queued = 0
    for run in chosen:
        if run.status not in wanted or run.invocation_id in world.busy:
            continue
        queued += 1
        _start_again(world, run, job.due)
    row = world.runs.get(job.id)
    if row is not None:
        row.status, row.finished_at = "succeeded", job.due
    world.logs.add(
        job.workflow_id,
        job.id,
        job.due,
        "INFO",
        f"Rerun complete: {queued} queued, {len(chosen) - queued} skipped",
    )


def _matches(run: Run, job: RerunJob, wanted: list[str]) -> bool:
    want = job.filter
    if run.workflow_id != job.workflow_id or run.job:
        return False
    if not want["window_start"] <= run.scheduled_at < want["window_end"]:
        return False
    if run.status not in wanted and not ("failed" in wanted and run.failed_before):
        return False
    ids = want.get("invocation_ids")
    if ids is not None and run.invocation_id not in ids:
        return False
    if want.get("error_kind") and run.error_kind not in want["error_kind"]:
        return False
    part = want.get("error_message_contains")
    if part and part not in run.error_message:
        return False
    most = want.get("max_attempts")
    return most is None or run.attempts < most


def _start_again(world: "World", run: Run, at: datetime) -> None:
    world.happened.append(
        Replay(
            workflow_id=run.workflow_id,
            instance_id=run.invocation_id,
            at=at,
            kind="rerun",
            new_instance_id=run.invocation_id,
        )
    )
    run.status, run.attempts, run.is_retry = "running", run.attempts + 1, True
    run.started_at, run.finished_at = at, None
    run.busy_until = at + timedelta(seconds=world.rerun_takes)
    run.next_status = run.retry_status
    world.busy.add(run.invocation_id)


# -- batch jobs and schedules -------------------------------------------------------------------


def send_batch(world: "World", workflow: Workflow, job: BatchJob, *, newer: bool) -> None:
    """Send a batch job to its audience.

    Logs and metrics go under the job's id, not the workflow's.
    """
    at = job.created_at
    people = audience(world.people, trigger_filters(workflow))[:AUDIENCE_LIMIT]
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
        run = world.ids.run(at)
        world.logs.add(job.id, run, stamp, "INFO", f"Workflow completed for [Person:{person.id}]")
        if newer:
            world.add_run(
                workflow.id,
                "running",
                at,
                run,
                distinct_id=person.distinct_id,
                person_id=person.id,
                busy_until=at + BATCH_ENDS,
                next_status="succeeded",
            )
            world.busy.add(run)
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
    run = world.ids.run(at)
    world.logs.add(workflow.id, run, at, "INFO", "Workflow completed")
    if world.newer:
        world.add_run(workflow.id, "succeeded", at, run)
