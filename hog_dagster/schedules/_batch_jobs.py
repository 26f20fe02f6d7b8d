"""Schedules that send a workflow's batch job: one send per scheduled moment, ever.

Facts: the scheduled moment, not the run, is the natural key, so the same schedule in two code
locations, a moment that is requested late and a re-executed run are one send. Dagster evaluates
only the newest of the moments that passed while its daemon was down.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from hog_dagster.actions import digest
from hog_dagster.jobs import NAME_TAG, WORKFLOW_TAG, send_batch_job, slug_of
from hog_dagster.policies import BatchPolicy, Safety, same_id
from hog_dagster.schedules._moments import missed_moments

#: Tag with the moments that were missed and are not requested.
MISSED_TAG = "hog_dagster/missed"
#: Moments that are named in a message.
_NAMED = 10


def schedule_key(moment: datetime, variables: Mapping[str, Any] | None = None) -> str:
    """The natural key of a scheduled send: the moment in UTC, and a fingerprint of the variables,
    if there are any.
    """
    key = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{key}|{digest(dict(variables))}" if variables else key


def build_batch_job_schedule(
    workflow: str,
    cron_schedule: str,
    *,
    policy: BatchPolicy | None = None,
    safety: Safety | None = None,
    name: str | None = None,
    workflow_name: str = "",
    job: dg.JobDefinition = send_batch_job,
    variables: Mapping[str, Any] | None = None,
    max_lateness: timedelta | None = timedelta(days=1),
    execution_timezone: str = "UTC",
    tags: Mapping[str, str] | None = None,
    default_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.STOPPED,
    description: str | None = None,
) -> dg.ScheduleDefinition:
    """A schedule that requests a run of the batch job at each moment of a cron rule.

    Moments that passed while Dagster's daemon was down, the schedule being on, are requested at the
    next one, each under its own key, if they are no longer ago than `max_lateness`; older ones are
    named in the tick's log and message, with the key to send them by.

    Args:
        workflow: the workflow, by name or id; its trigger must be of type batch.
        cron_schedule: when.
        policy: how it is sent; a dry run until you switch that off.
        safety: limits of the project: they hold whatever the policy says.
        name: of the schedule; default `batch_job_<name of the workflow, else its id>`. Renaming it
            is safe: the ledger knows what was sent for which moment.
        workflow_name: the workflow's name, where `workflow` is its id: for names and texts.
        job: a job made by `build_batch_job`, with the same `safety`.
        variables: values that replace the workflow's own variables.
        max_lateness: do not send moments longer ago than this; None sends all of them.
        execution_timezone: IANA zone of the cron rule.
        tags: more tags for its runs.
        default_status: whether it is on when first loaded.
        description: for the UI.

    Returns:
        The schedule.

    Raises:
        ValueError: the workflow's id and name are given, and the project's safety settings do not
            allow it. Otherwise its runs find out.

    Example:
        .. code-block:: python

            build_batch_job_schedule(
                "Monthly newsletter",
                "0 9 * * 1",
                execution_timezone="Europe/Berlin",
                # set dry_run=False when its log says what you want to be sent
                policy=BatchPolicy(dry_run=True, max_audience=20_000),
            )
    """
    limits = safety or Safety()
    label = f'"{workflow_name}" ({workflow})' if workflow_name else f'"{workflow}"'
    if workflow_name and not limits.allows(workflow, workflow_name):
        raise ValueError(
            f"The project's safety settings do not allow workflow {label}: change allow_workflows "
            "or deny_workflows, or leave its schedule out."
        )
    narrowed = limits.narrow_batch(policy or BatchPolicy())
    schedule_name = name or f"batch_job_{slug_of(workflow_name or workflow) or slug_of(workflow)}"
    config = {
        "workflow": workflow,
        "variables": dict(variables or {}),
        **{
            field: value
            for field, value in narrowed.model_dump(mode="json").items()
            if value is not None
        },
    }

    def request(moment: datetime, more: Mapping[str, str]) -> dg.RunRequest:
        key = schedule_key(moment, variables)
        return dg.RunRequest(
            run_key=f"{workflow}:{key}" + (":dry" if narrowed.dry_run else ""),
            run_config={"ops": {f"{job.name}_op": {"config": {**config, "key": key}}}},
            tags={
                WORKFLOW_TAG: same_id(workflow),
                NAME_TAG: workflow_name or workflow,
                "hog_dagster/send_key": key,
                **more,
                **dict(tags or {}),
            },
        )

    def said(too_late: Sequence[datetime]) -> str:
        if not too_late:
            return ""
        newest = list(too_late)[-_NAMED:]
        keys = ", ".join(schedule_key(moment, variables) for moment in newest)
        rest = f" and {len(too_late) - len(newest)} earlier ones" if len(too_late) > _NAMED else ""
        return (
            f"Workflow {label} was not sent for {len(too_late)} moments that are more than "
            f"{max_lateness} ago. To send one all the same, launch {job.name} with its key: "
            f"{keys}{rest}."
        )

    @dg.schedule(
        name=schedule_name,
        job=job,
        cron_schedule=cron_schedule,
        execution_timezone=execution_timezone,
        default_status=default_status,
        description=description
        or f'Sends PostHog workflow "{workflow_name or workflow}" to its audience, once per '
        "scheduled time.",
    )
    def batch_job_schedule(
        context: dg.ScheduleEvaluationContext,
    ) -> list[dg.RunRequest] | dg.SkipReason:
        moment, now = context.scheduled_execution_time, datetime.now(UTC)
        missed: list[datetime] = []
        if context.instance_ref is not None:
            missed = missed_moments(
                context.instance, schedule_name, cron_schedule, execution_timezone, moment
            )
        due, too_late = [], []
        for one in [*missed, moment]:
            late = max_lateness is not None and now - one > max_lateness
            (too_late if late else due).append(one)
        sentence = said(too_late)
        if sentence:
            context.log.warning(sentence)
        if not due:
            return dg.SkipReason(sentence)
        if len(due) > 1:
            keys = ", ".join(schedule_key(one, variables) for one in due)
            context.log.warning(f"Requesting moments that were missed, too: {keys}")
        more = {MISSED_TAG: sentence} if sentence else {}
        return [request(one, more if one is moment else {}) for one in due]

    return batch_job_schedule
