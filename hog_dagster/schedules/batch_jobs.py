"""Schedules that send a workflow's batch job: one send per scheduled moment, ever.

Facts: the scheduled moment, not the run, is the natural key, so the same schedule in two code
locations, a tick made up for later and a re-executed run are one send; Dagster makes up for ticks
missed while its daemon was down, which for a newsletter may be worse than missing it.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from hog_dagster.actions._evidence import digest
from hog_dagster.jobs.batch import send_batch_job
from hog_dagster.jobs.running import WORKFLOW_TAG

__all__ = ["build_batch_job_schedule", "schedule_key"]


def schedule_key(moment: datetime, variables: Mapping[str, Any] | None = None) -> str:
    """The natural key of a scheduled send: the moment in UTC, and a fingerprint of the variables,
    if there are any.
    """
    key = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{key}|{digest(dict(variables))}" if variables else key


def build_batch_job_schedule(
    workflow_id: str,
    cron_schedule: str,
    *,
    name: str | None = None,
    job: dg.JobDefinition = send_batch_job,
    variables: Mapping[str, Any] | None = None,
    dry_run: bool = True,
    max_audience: int | None = None,
    send_uncounted: bool = False,
    allow_workflows: Collection[str] | None = None,
    skip_if_running: bool = True,
    grace_seconds: float = 120.0,
    settle_seconds: float = 150.0,
    follow_seconds: float = 0.0,
    cancel_on_termination: bool = False,
    max_lateness: timedelta | None = timedelta(days=1),
    execution_timezone: str = "UTC",
    tags: Mapping[str, str] | None = None,
    default_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.STOPPED,
    description: str | None = None,
) -> dg.ScheduleDefinition:
    """A schedule that asks for a run of the batch job at each moment of a cron rule.

    Args:
        workflow_id: the workflow; its trigger must be of type batch.
        cron_schedule: when.
        name: of the schedule; default `batch_job_<workflow id>`. Renaming it is safe: the ledger
            knows what was sent for which moment.
        job: a job made by `build_batch_job`.
        variables: values that replace the workflow's own variables.
        dry_run: the requested runs only say what they would send; on until you switch it off.
        max_audience: refuse to send to more people than this.
        send_uncounted: send even if the server cannot count the audience.
        allow_workflows: a list kept elsewhere of workflows that may be sent; a workflow that is not
            on it is refused when the schedule is built.
        skip_if_running: skip while an earlier job of the workflow is under way.
        grace_seconds: how late PostHog may be in showing a job.
        settle_seconds: how long a run reads back a send in doubt.
        follow_seconds: how long a run follows the job after it was sent.
        cancel_on_termination: cancel the job if the run is terminated while following it.
        max_lateness: skip moments longer ago than this (the daemon was down); None skips none.
        execution_timezone: IANA zone of the cron rule.
        tags: more tags for its runs.
        default_status: whether it is on when first loaded.
        description: for the UI.

    Raises:
        ValueError: the workflow is not on the allow-list.

    Example:
        .. code-block:: python

            build_batch_job_schedule(
                "01968c1e-77aa-0000-4f0e-2b5d1c9a3e10",
                "0 9 * * 1",
                execution_timezone="Europe/Berlin",
                max_audience=20_000,
                dry_run=True,  # set False when its log says what you want to be sent
            )
    """
    if allow_workflows is not None and workflow_id not in allow_workflows:
        raise ValueError(
            f"Workflow {workflow_id} is not on the list of workflows that may be sent: add it to "
            "allow_workflows, or leave its schedule out."
        )
    config = {
        "workflow_id": workflow_id,
        "variables": dict(variables or {}),
        "dry_run": dry_run,
        "max_audience": max_audience,
        "send_uncounted": send_uncounted,
        "skip_if_running": skip_if_running,
        "grace_seconds": grace_seconds,
        "settle_seconds": settle_seconds,
        "follow_seconds": follow_seconds,
        "cancel_on_termination": cancel_on_termination,
    }

    @dg.schedule(
        name=name or f"batch_job_{workflow_id.replace('-', '_')}",
        job=job,
        cron_schedule=cron_schedule,
        execution_timezone=execution_timezone,
        default_status=default_status,
        description=description
        or f"Sends PostHog workflow {workflow_id} to its audience, once per scheduled moment.",
    )
    def batch_job_schedule(
        context: dg.ScheduleEvaluationContext,
    ) -> dg.RunRequest | dg.SkipReason:
        moment = context.scheduled_execution_time
        late = datetime.now(UTC) - moment
        if max_lateness is not None and late > max_lateness:
            return dg.SkipReason(
                f"{moment:%Y-%m-%d %H:%M} ({execution_timezone}) was {late} ago, more than "
                f"{max_lateness}: not sent. To send it all the same, launch {job.name} with key "
                f"{schedule_key(moment, variables)}."
            )
        key = schedule_key(moment, variables)
        return dg.RunRequest(
            run_key=f"{workflow_id}:{key}" + (":dry" if dry_run else ""),
            run_config={"ops": {f"{job.name}_op": {"config": {**config, "key": key}}}},
            tags={WORKFLOW_TAG: workflow_id, "hog_dagster/send_key": key, **dict(tags or {})},
        )

    return batch_job_schedule
