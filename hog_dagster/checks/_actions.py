"""Does something wait for somebody? Blocked runs, and schedules that did not fire.

Facts: PostHog moves a schedule's `next_run_at` on when it fires, so one that lies in the past did
not; a dispatch that failed is lost and leaves no other trace. What Dagster's own batch-job
schedules sent is in `batch_sends`, by scheduled moment. Nothing is asked of PostHog.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from hog_dagster.assets import BATCH_SENDS, BLOCKED_RUNS, WORKFLOW_SCHEDULES, WORKFLOWS
from hog_dagster.checks._context import (
    NOTHING_LOADED,
    BatchSchedule,
    CheckContext,
    CheckOutcome,
    Plan,
    Project,
)
from hog_dagster.ledger import normal_id
from hog_dagster.policies import BlockedRuns, SchedulesFire
from hog_dagster.schedules import schedule_key
from hog_dagster.warehouse.errors import TableMissing


def blocked_runs_plans(_: Project, rule: BlockedRuns) -> Iterator[Plan]:
    """The check `nothing_waits` on `blocked_runs`."""

    def judge(check: CheckContext) -> CheckOutcome:
        scope = {**check.scope, "replayable": True}
        found = check.warehouse.read(
            BLOCKED_RUNS, columns=["workflow_id", "reason", "at"], scope=scope
        ).to_pylist()
        names, now = check.names(), check.now()
        by_workflow: dict[str, list[dict[str, Any]]] = {}
        for row in found:
            by_workflow.setdefault(row["workflow_id"], []).append(row)
        rows = [
            {
                "workflow": names.get(workflow, workflow),
                "waiting": len(of),
                "reason": of[0]["reason"],
                "oldest": min((r["at"] for r in of if r["at"]), default=None),
            }
            for workflow, of in sorted(by_workflow.items(), key=lambda item: -len(item[1]))
        ]
        oldest = min((row["oldest"] for row in rows if row["oldest"]), default=None)
        hours = (now - oldest).total_seconds() / 3600 if oldest else 0.0
        text = f"{len(found)} runs wait for a replay."
        if len(found) > rule.max_waiting:
            text += (
                " Switch the sensor failed_runs_sensor on, or launch the job replay_runs; both "
                "begin with a dry run."
            )
        numbers = {"posthog/waiting": len(found), "posthog/oldest_hours": round(hours, 2)}
        return CheckOutcome(len(found) <= rule.max_waiting, text, numbers, rows)

    yield Plan(
        "nothing_waits",
        BLOCKED_RUNS,
        judge,
        rule.severity,
        f"At most {rule.max_waiting} runs wait for a replay.",
    )


def schedules_plans(project: Project, rule: SchedulesFire) -> Iterator[Plan]:
    """The check `schedules_fired` on `workflow_schedules` and, for schedules of Dagster, on
    `batch_sends`."""
    grace = timedelta(minutes=rule.grace_minutes)
    yield Plan(
        "schedules_fired",
        WORKFLOW_SCHEDULES,
        lambda check: _posthog(check, grace),
        rule.severity,
        "No active schedule of a live workflow is past its next run.",
    )
    if project.batch_schedules:
        yield Plan(
            "schedules_fired",
            BATCH_SENDS,
            lambda check: _dagster(check, project.batch_schedules, grace),
            rule.severity,
            "Each schedule that is on has sent its batch job for its newest moment.",
        )


def _posthog(check: CheckContext, grace: timedelta) -> CheckOutcome:
    schedules = check.warehouse.read(
        WORKFLOW_SCHEDULES, scope={**check.scope, "status": "active"}
    ).to_pylist()
    live = _live(check)
    rows = []
    for row in schedules:
        name = live.get(row["workflow_id"])
        if name is None:
            continue
        read_at, due = row["_loaded_at"], row["next_run_at"]
        made = row["updated_at"] or row["created_at"]
        why = ""
        if due is not None and due < read_at - grace:
            why = f"was due at {due:%Y-%m-%d %H:%M} UTC"
        elif due is None and made is not None and made < read_at - grace:
            why = "PostHog has planned no next run"
        if why:
            rows.append({"workflow": name, "rrule": row["rrule"], "why": why})
    text = f"{len(schedules)} schedules are active, {len(rows)} of them did not fire."
    if rows:
        text += " PostHog does not send what it missed: see the workflow's page."
    return CheckOutcome(not rows, text, {"posthog/overdue": len(rows)}, rows)


def _live(check: CheckContext) -> dict[str, str]:
    """Active workflows: id -> name."""
    try:
        scope = {**check.scope, "status": "active", "deleted_seen_at": None}
        found = check.warehouse.read(WORKFLOWS, columns=["id", "name"], scope=scope)
    except TableMissing:
        return {}
    return {row["id"]: row["name"] or row["id"] for row in found.to_pylist()}


def _dagster(
    check: CheckContext, schedules: Sequence[BatchSchedule], grace: timedelta
) -> CheckOutcome:
    loaded = check.context.instance.get_latest_materialization_event(check.key)
    if loaded is None:
        return NOTHING_LOADED
    as_of = datetime.fromtimestamp(loaded.timestamp, UTC)
    on_since = _switched_on(check.context.instance)
    rows, looked_at = [], 0
    for schedule in schedules:
        if schedule.name not in on_since:
            continue
        moment = _newest_moment(schedule, as_of - grace)
        if moment is None or moment < on_since[schedule.name]:
            continue
        looked_at += 1
        scope = {
            **check.scope,
            "target_id": normal_id(schedule.workflow_id),
            "subject": schedule_key(moment, schedule.variables),
        }
        sends = check.warehouse.read(BATCH_SENDS, columns=["state"], scope=scope).to_pylist()
        if not sends:
            due = f"{moment:%Y-%m-%d %H:%M} UTC"
            rows.append({"schedule": schedule.name, "due": due, "why": "nothing was sent"})
        elif sends[0]["state"] == "refused":
            due = f"{moment:%Y-%m-%d %H:%M} UTC"
            rows.append({"schedule": schedule.name, "due": due, "why": "PostHog refused it"})
    text = (
        f"{looked_at} schedules are on, {len(rows)} of them did not send for their newest moment."
    )
    if rows:
        text += " Look at the schedule's ticks and at its runs."
    return CheckOutcome(not rows, text, {"posthog/overdue": len(rows)}, rows)


def _switched_on(instance: dg.DagsterInstance) -> dict[str, datetime]:
    """Schedules that are on, with the moment they were switched on."""
    on: dict[str, datetime] = {}
    if instance.schedule_storage is None:  # an instance that forgets
        return on
    for state in instance.all_instigator_state():
        if state.instigator_type.value == "SCHEDULE" and state.status.value == "RUNNING":
            since = getattr(state.instigator_data, "start_timestamp", None) or 0.0
            on[state.instigator_name] = datetime.fromtimestamp(since, UTC)
    return on


def _newest_moment(schedule: BatchSchedule, before: datetime) -> datetime | None:
    """The newest moment of the cron rule that is not after `before`, in UTC."""
    for days in (2, 40, 800):
        ticks = dg.TimeWindowPartitionsDefinition(
            start=before - timedelta(days=days),
            fmt="%Y-%m-%d-%H:%M",
            cron_schedule=schedule.cron,
            timezone=schedule.timezone,
        )
        if keys := ticks.get_partition_keys(current_time=before):
            return ticks.time_window_for_partition_key(keys[-1]).end.astimezone(UTC)
    return None
