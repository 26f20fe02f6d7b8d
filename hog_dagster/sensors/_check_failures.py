"""The alert sensor: sends one message for each failure, to Slack, a web hook or by e-mail.

Facts: a check that fails does not fail its run, so Dagster's own failure sensors do not report it.
A run that Dagster tries again has the tag `dagster/will_retry`. The newest evaluation of each check
is one query, and belongs to a run that has begun while that is under way.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from hog_dagster._dagster.internals import (
    WILL_RETRY_TAG,
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
    cron_string_iterator,
)
from hog_dagster.alerts import Alert, beat, channels_of, check_url, page_url
from hog_dagster.policies import AlertPolicy
from hog_dagster.sensors._alert_state import AlertState, Delivery, read_state

#: How long a run is read again: its row carries the time of another machine.
_OVERLAP = timedelta(minutes=10)
_RUNS_A_PAGE, _MOST_PAGES = 100, 50

#: What to do about a check of ours, where its own sentence does not say.
_NEXT_STEPS: Mapping[str, str] = {
    "is_complete": "Run hog-dagster backfill for the days that the check names.",
    "is_unique": "Materialize the days that the check names again: a partition is replaced whole.",
    "runs_succeed": "See which errors in the table of logs, mend the workflow, then try "
    "hog-dagster replay --from -24h, which begins with a dry run.",
    "emails_arrive": "See the e-mail steps of the workflows that the check names, and bounces and "
    "complaints in PostHog.",
    "loads_before_it_expires": "Run hog-dagster backfill before PostHog deletes the days.",
    "is_recent": "See that the schedules refresh_posthog_partitions and refresh_posthog_snapshots "
    "are on and that their runs succeed.",
    "runs_end": "Open the runs that the check names in PostHog: they wait, or are stuck.",
}


def build_check_failure_sensor(
    name: str = "posthog_alerts",
    *,
    policy: AlertPolicy,
    checks: Sequence[dg.AssetCheckKey] | None = None,
    project: str = "Dagster",
    operations: dg.AssetKey | None = None,
    operations_schedule: str = "",
    clock: Callable[[], datetime] | None = None,
    default_status: dg.DefaultSensorStatus | None = None,
) -> dg.SensorDefinition:
    """A sensor that sends a message when a check fails, and when a run fails.

    All alerts of a tick are one message for each channel. A check makes an alert when it begins to
    fail, and when it fails with a higher severity than before; not again while it goes on failing.
    A failed run makes one when Dagster does not try it again. The text of a check's result is sent,
    with secrets and e-mail addresses masked; its metadata, which may hold rows, is not.

    A channel that took no message gets it at the next tick; the others do not get theirs twice. A
    tick that found nothing new and in which no channel took a waiting message fails. A message is
    sent twice only when the daemon is killed between the message and the end of the tick.

    Args:
        name: name of the sensor.
        policy: the channels, and which failures are sent.
        checks: the checks to watch; all of the code location by default.
        project: what the messages begin with.
        operations: the asset of `build_operations_checks`. When its checks did not run at three
            times of their schedule in a row, an alert about the schedule is sent too.
        operations_schedule: name of that schedule.
        clock: returns the current time.
        default_status: whether the sensor is on when first loaded; by default as the policy says.

    Returns:
        The sensor.
    """
    status = default_status or (
        dg.DefaultSensorStatus.RUNNING if policy.running else dg.DefaultSensorStatus.STOPPED
    )
    now_of = clock or (lambda: datetime.now(UTC))

    @dg.sensor(
        name=name,
        minimum_interval_seconds=policy.interval_seconds,
        default_status=status,
        description="Sends a message when a check or a run fails, once. It requests no run.",
    )
    def posthog_alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now = now_of()
        state = read_state(context.cursor, now)
        keys = _keys(context, checks)
        alerts = _of_checks(context.instance, keys, state, policy)
        if operations is not None:
            alerts += _of_schedule(
                context.instance, operations, operations_schedule, state, policy, now
            )
        if policy.failed_runs:
            alerts += _of_runs(context, state, policy, now)
        delivery = Delivery(channels_of(policy), project)
        delivery.queue(state, alerts)
        delivery.run(state)
        if fault := beat(policy):
            delivery.faults.append(fault)
        for fault in delivery.faults:
            context.log.warning(fault)
        # Nothing is kept of a tick that fails: of one that found something new only when that is
        # found again.
        unchanged = state == read_state(context.cursor, now)
        if state.waiting and not delivery.sent and (unchanged or delivery.given_up):
            raise dg.Failure(" ".join(delivery.faults))
        said = (
            f"{len(state.failing)} of {len(keys)} checks fail; {len(alerts)} new alerts; "
            f"{delivery.sent} taken by {' and '.join(c.name for c in delivery.channels)}."
        )
        return dg.SensorResult(skip_reason=" ".join([said, *delivery.faults]), cursor=state.dump())

    return posthog_alerts


def _keys(
    context: dg.SensorEvaluationContext, checks: Sequence[dg.AssetCheckKey] | None
) -> list[dg.AssetCheckKey]:
    if checks is not None:
        return list(checks)
    repository = context.repository_def
    if repository is None:
        raise dg.Failure(
            "The sensor is not part of a code location, so it knows no checks: give "
            "build_check_failure_sensor(checks=...)."
        )
    return sorted(repository.asset_graph.asset_check_keys)


def _latest(
    instance: dg.DagsterInstance, keys: Sequence[dg.AssetCheckKey]
) -> Mapping[dg.AssetCheckKey, AssetCheckExecutionRecord]:
    return instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys))


def _of_checks(
    instance: dg.DagsterInstance,
    keys: Sequence[dg.AssetCheckKey],
    state: AlertState,
    policy: AlertPolicy,
) -> list[Alert]:
    """Alerts of checks that began to fail, or pass again; the state records which fail."""
    made: list[Alert] = []
    records = _latest(instance, keys)
    for key in keys:
        record = records.get(key)
        if record is None or record.status is AssetCheckExecutionRecordStatus.PLANNED:
            continue  # it never ran, or a run of it is under way: what was known holds
        evaluation = record.evaluation
        if evaluation is None:
            continue
        known, severity = key.to_user_string(), evaluation.severity.value.lower()
        before = state.failing.get(known)
        counts = severity == "error" or policy.min_severity == "warn"
        where = f"check {key.name} of {key.asset_key.to_user_string()}"
        url = check_url(policy.webserver_url, key.asset_key.path, key.name)
        if evaluation.passed or not counts:
            if before and policy.recovered and evaluation.passed:
                made.append(Alert(f"{known}:{record.id}", "It passes again.", where, "", url, "ok"))
            state.failing.pop(known, None)
            continue
        state.failing[known] = severity
        if before == severity or before == "error":
            continue
        made.append(
            Alert(
                f"{known}:{record.id}",
                evaluation.description or "It failed.",
                where,
                _NEXT_STEPS.get(key.name, "See what it found in its metadata."),
                url,
                severity,
            )
        )
    gone = set(state.failing) - {key.to_user_string() for key in keys}
    for known in gone - {_SCHEDULE}:
        del state.failing[known]
    return made


_SCHEDULE = "schedule"
#: How late a run of the checks may be.
_GRACE = timedelta(minutes=15)


def _of_schedule(
    instance: dg.DagsterInstance,
    operations: dg.AssetKey,
    schedule: str,
    state: AlertState,
    policy: AlertPolicy,
    now: datetime,
) -> list[Alert]:
    """An alert when the checks of `operations`, which watch the sensors, are not run."""
    key = dg.AssetCheckKey(operations, "sensors_tick")
    record = _latest(instance, [key]).get(key)
    last = datetime.fromtimestamp(record.create_timestamp, UTC) if record else state.started
    since = max(last, state.started)
    moments = cron_string_iterator(since.timestamp(), policy.operations_cron, "UTC")
    third = next(itertools.islice(moments, 2, None))
    if now <= third + _GRACE:
        state.failing.pop(_SCHEDULE, None)
        return []
    if _SCHEDULE in state.failing:
        return []
    state.failing[_SCHEDULE] = "error"
    return [
        Alert(
            f"{_SCHEDULE}:{last.isoformat()}",
            f"It has not run its checks since {since:%Y-%m-%d %H:%M} UTC, so nobody notices a "
            "sensor that does not tick.",
            f"schedule {schedule}",
            "Switch it on in Dagster under Automation, and see that its runs succeed.",
            page_url(policy.webserver_url, "automation"),
        )
    ]


def _of_runs(
    context: dg.SensorEvaluationContext, state: AlertState, policy: AlertPolicy, now: datetime
) -> list[Alert]:
    """Alerts of runs of this code location that failed and are not tried again."""
    since = state.runs_after - _OVERLAP
    found = _failed_since(context.instance, since)
    seen, made, newest = set(state.runs_seen), [], state.runs_after
    for record in found:
        run = record.dagster_run
        # Storages keep the time of a change in whole seconds.
        ended = record.end_time or record.update_timestamp.timestamp() + 1
        # One that ended long before the newest was seen then; a tag given later changes its row.
        if run.run_id in seen or ended < max(state.started, since).timestamp():
            continue
        seen.add(run.run_id)
        newest = max(newest, record.update_timestamp)
        if run.tags.get(WILL_RETRY_TAG) != "true" and _is_here(context, run):
            made.append(_of_run(context.instance, run, policy))
    state.runs_after = min(newest, now)
    listed = {record.dagster_run.run_id for record in found}
    state.runs_seen = sorted(seen & listed)
    return made


def _failed_since(instance: dg.DagsterInstance, since: datetime) -> list[dg.RunRecord]:
    """Runs that failed and changed since, oldest first, page by page."""
    filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    found: list[dg.RunRecord] = []
    place: str | None = None
    for _ in range(_MOST_PAGES):
        page = instance.get_run_records(filters, limit=_RUNS_A_PAGE, cursor=place)
        found += page
        if len(page) < _RUNS_A_PAGE:
            break
        place = page[-1].dagster_run.run_id
    return found[::-1]


def _is_here(context: dg.SensorEvaluationContext, run: dg.DagsterRun) -> bool:
    """Whether the run belongs to this code location; true where that is not known."""
    origin: Any = run.remote_job_origin
    here = context.code_location_origin
    if origin is None or here is None:
        return True
    return origin.repository_origin.code_location_origin.location_name == here.location_name


def _of_run(instance: dg.DagsterInstance, run: dg.DagsterRun, policy: AlertPolicy) -> Alert:
    failures = instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE, limit=5
    ).records
    said, steps = "", []
    for record in failures:
        event: Any = record.event_log_entry.dagster_event
        data = event.step_failure_data
        steps.append(event.step_key)
        user = data.user_failure_data
        if not said and user is not None and user.description:  # a text that was written for people
            said = user.description
        elif not said and data.error is not None:
            error = data.error
            while error.cause is not None:  # Dagster's own error stands before that of the step
                error = error.cause
            said = f"{error.cls_name or 'An error'} was raised."
    named = f" in {', '.join(dict.fromkeys(steps))}" if steps else " before or between its steps"
    return Alert(
        f"run:{run.run_id}",
        f"It failed{named}. {said}".strip(),
        f"run {run.run_id[:8]} of {run.job_name}",
        "See its log, and re-execute it from the failed step when the cause is gone.",
        page_url(policy.webserver_url, f"runs/{run.run_id}"),
    )
