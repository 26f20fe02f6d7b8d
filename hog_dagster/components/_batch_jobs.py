"""Batch jobs that Dagster sends: schedules, and assets downstream of users' tables.

Facts: a workflow's name can change and its id cannot, so a name is looked up in the snapshot when
definitions are built; one that is not found there is left out, with a warning, rather than guessed.
"""

import itertools
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import dagster as dg

from hog_dagster.checks import BatchSchedule
from hog_dagster.components._records import BatchJob
from hog_dagster.jobs import ACTIONS_POOL, batch_job_asset, slug_of
from hog_dagster.lineage import AssetOptions, Snapshot, identifier, plain
from hog_dagster.policies import Safety, same_id
from hog_dagster.schedules import build_batch_job_schedule

_log = logging.getLogger("hog_dagster")


@dataclass(frozen=True)
class Sending:
    """What sends batch jobs."""

    #: Of those on a cron rule alone, and of those downstream of tables.
    schedules: list[dg.ScheduleDefinition] = field(default_factory=list)
    assets: list[dg.AssetsDefinition] = field(default_factory=list)
    #: Workflow id -> the assets that send it.
    senders: dict[str, list[dg.AssetKey]] = field(default_factory=dict)
    #: The schedules that really send, for the check that they fired.
    checked: list[BatchSchedule] = field(default_factory=list)


def build_sending(
    jobs: Iterable[BatchJob],
    *,
    job: dg.JobDefinition,
    options: AssetOptions,
    snapshot: Snapshot | None,
    safety: Safety,
) -> Sending:
    """Schedules and assets for batch jobs. What the safety settings do not allow is left out, with
    a warning. The snapshot has workflows that are given by name, and the names of the others."""
    sending = Sending()
    names = {same_id(one.id): one.name or "" for one in (snapshot.workflows if snapshot else ())}
    for one in jobs:
        for workflow_id in _workflow_ids(one, snapshot):
            workflow_name = names.get(same_id(workflow_id), "")
            if workflow_name and not safety.allows(workflow_id, workflow_name):
                _log.warning(
                    'The batch job of workflow "%s" (%s) is left out: the safety settings of the '
                    "project do not allow it.",
                    workflow_name,
                    workflow_id,
                )
                continue
            if one.deps:
                taken = {asset.key.path[-1] for asset in sending.assets}
                asset = _asset(one, workflow_id, workflow_name, options, safety, taken)
                sending.assets.append(asset)
                sending.senders.setdefault(workflow_id, []).append(asset.key)
                continue
            assert one.cron is not None
            schedule = build_batch_job_schedule(
                workflow_id,
                one.cron,
                policy=one,
                safety=safety,
                name=one.name or _free_name(options, workflow_id, workflow_name, sending.schedules),
                workflow_name=workflow_name,
                job=job,
                variables=one.variables,
                max_lateness=one.max_lateness,
                tags=dict(one.tags) or None,
                description=one.description,
                execution_timezone=one.timezone,
                default_status=dg.DefaultScheduleStatus.RUNNING
                if one.running
                else dg.DefaultScheduleStatus.STOPPED,
            )
            sending.schedules.append(schedule)
            if not safety.narrow_batch(one).dry_run:
                variables = dict(one.variables) or None
                sending.checked.append(
                    BatchSchedule(schedule.name, workflow_id, one.cron, one.timezone, variables)
                )
    return sending


def _free_name(
    options: AssetOptions,
    workflow_id: str,
    workflow_name: str,
    schedules: Sequence[dg.ScheduleDefinition],
) -> str:
    """A schedule's name: the workflow's, with its id where another schedule has that name, and a
    number where the same workflow is sent by several cron rules."""
    taken = {schedule.name for schedule in schedules}
    name = options.named(f"batch_job_{slug_of(workflow_name) or slug_of(workflow_id)}")
    if name not in taken:
        return name
    name = f"{name}_{slug_of(workflow_id)}"
    more = (f"{name}_{number}" for number in itertools.count(2))
    return name if name not in taken else next(one for one in more if one not in taken)


def _asset(
    one: BatchJob,
    workflow_id: str,
    workflow_name: str,
    options: AssetOptions,
    safety: Safety,
    taken: Collection[str],
) -> dg.AssetsDefinition:
    name = one.name or plain(workflow_name or one.workflow) or identifier(workflow_id)
    if one.name is None and name in taken:
        name = f"{name}_{identifier(workflow_id)}"
    policy = one if one.follow_seconds else one.model_copy(update={"follow_seconds": 600.0})
    dry_run = safety.narrow_batch(one).dry_run
    label = f'"{workflow_name}"' if workflow_name else one.workflow
    condition = (
        dg.AutomationCondition.on_cron(one.cron, one.timezone)
        if one.cron
        else dg.AutomationCondition.eager()
    )
    return batch_job_asset(
        workflow_id,
        key=dg.AssetKey([*options.key_prefix, "send", name]),
        deps=[dg.AssetKey.from_user_string(key) for key in one.deps],
        policy=policy,
        safety=safety,
        workflow_name=workflow_name,
        variables=one.variables,
        description=one.description
        or f"Sends the PostHog workflow {label} to its audience, once per run."
        + (" A dry run: it only says what it would send." if dry_run else ""),
        automation_condition=condition,
        group_name=options.group_for("sends"),
        owners=list(options.owners) or None,
        tags={**options.tags, **one.tags} or None,
        pool=one.pool or ACTIONS_POOL,
        resource_prefix=options.prefix,
    )


def _workflow_ids(one: BatchJob, snapshot: Snapshot | None) -> Iterator[str]:
    if _is_id(one.workflow):
        yield one.workflow
        return
    found: Sequence[str] = [
        workflow.id
        for workflow in (snapshot.workflows if snapshot else ())
        if workflow.name == one.workflow
    ]
    if len(found) == 1:
        yield found[0]
    elif snapshot is None:  # else check_names says what the state does not hold, or holds twice
        _log.warning(
            "The batch job of workflow %r is left out: no workflow of that name is known: refresh "
            "the definitions (dg utils refresh-defs-state), or give its id.",
            one.workflow,
        )


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
