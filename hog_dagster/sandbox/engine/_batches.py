"""Batch jobs: whom they reach, what each sends, and how far one has come."""

from datetime import datetime, timedelta
from typing import Any

from hog_dagster.sandbox.engine._audience import audience
from hog_dagster.sandbox.world import (
    BatchJob,
    BatchSend,
    Execution,
    Workflow,
    World,
    send_all,
    sends_email,
)

#: People that a batch reaches at most: 500,000 from August 2026 on, 5,000 until July.
AUDIENCE_LIMIT = {"current": 500_000, "mid2026": 5_000, "docs": 5_000}
BATCH_STARTS, BATCH_ENDS = timedelta(seconds=5), timedelta(seconds=30)


def send_batch(world: World, workflow: Workflow, job: BatchJob, *, newer: bool) -> None:
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


def catch_up_batch_job(job: BatchJob, now: datetime) -> None:
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
