"""What goes on behind the API as the clock moves: rerun jobs, runs that end, batch jobs, schedules
that fire.
"""

from datetime import datetime, timedelta
from typing import Any

from hog_dagster.sandbox.engine._batches import send_batch, trigger_filters
from hog_dagster.sandbox.engine._recurrence import next_occurrences
from hog_dagster.sandbox.engine._rerun import work_page
from hog_dagster.sandbox.world import Execution, Workflow, World, advance_run, repair_run, send_all

SCHEDULED = ("batch", "schedule")


def settle(world: World) -> None:
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


def _happen(world: World, at: datetime, kind: str, what: Any) -> None:
    if kind == "run":
        run = world.runs.get(what)
        if run is None:
            return
        if run.busy_until is not None and run.busy_until <= at:
            advance_run(world, run, at)
        elif run.repair_at is not None and run.repair_at <= at:
            repair_run(world, run, at)
    elif kind == "job":
        job = next((job for job in world.rerun_jobs if job.id == what), None)
        if job is not None and job.due <= at:
            work_page(world, job, at)
    else:
        with world.clock.as_of(at):
            what()


def _fire_schedules(world: World, now: datetime) -> None:
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
    world: World, workflow: Workflow, overrides: dict[str, Any], at: datetime, kind: str
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
