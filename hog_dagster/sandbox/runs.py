"""Runs on newer servers: invocation results, rerun, cancel, run now.

Facts: the serializers and queries of hog_invocation_results, _rerun and _cancel, and the hog_flow
view.
"""

from datetime import datetime, timedelta
from typing import Any

from hog_dagster.sandbox import errors
from hog_dagster.sandbox.families import Answer, Call, read_datetime
from hog_dagster.sandbox.ids import is_uuid
from hog_dagster.sandbox.metrics import as_sql, read_bound
from hog_dagster.sandbox.model import RerunJob, Run
from hog_dagster.sandbox.workflows import find

__all__ = [
    "cancel_invocations",
    "invocation_result",
    "invocation_results",
    "rerun",
    "rerun_filter",
    "run_now",
]

RETENTION = timedelta(days=30)
MAX_WINDOW = timedelta(days=30)
MAX_COUNT = 10000
STATUSES = ("running", "succeeded", "failed")
_DATETIME = (
    "Datetime has wrong format. Use one of these formats instead: "
    "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
)


def run_row(run: Run) -> dict[str, Any]:
    """A run as invocation_results shows it. What is unknown is an empty text, not null."""
    duration = None
    if run.started_at is not None and run.finished_at is not None:
        duration = (run.finished_at - run.started_at) // timedelta(milliseconds=1)
    return {
        "invocation_id": run.invocation_id,
        "status": run.status,
        "error_kind": run.error_kind,
        "error_message": run.error_message,
        "distinct_id": run.distinct_id,
        "person_id": run.person_id,
        "scheduled_at": run.scheduled_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "duration_ms": duration,
        "attempts": run.attempts,
        "is_retry": run.is_retry,
    }


def invocation_results(call: Call) -> Answer:
    """GET hog_flows/{id}/invocation_results/: a bare array, newest scheduled first, 500 at most.

    Bounds are inclusive and cut to whole seconds; ties come in no promised order; there is no
    offset.
    """
    workflow = find(call, leaky=False)
    limit = _integer(call.param("limit"), "limit", 500) or 50
    rows = _select(call, workflow.id)
    if call.site.shuffle_ties:
        call.site.world.ids.random.shuffle(rows)
    rows.sort(key=lambda run: run.scheduled_at, reverse=True)
    return Answer([run_row(run) for run in rows[:limit]])


def invocation_results_count(call: Call) -> Answer:
    """GET hog_flows/{id}/invocation_results_count/: the same filters, no cap."""
    return Answer({"count": len(_select(call, find(call, leaky=False).id))})


def invocation_result(call: Call) -> Answer:
    """GET hog_flows/{id}/invocation_results/{invocation_id}/: with the payload the run started
    from.
    """
    workflow = find(call, leaky=False)
    run = call.site.world.runs.get(call.args["invocation_id"])
    if run is None or run.workflow_id != workflow.id or _gone(run, call.now):
        raise errors.not_found("Invocation not found.")
    return Answer({**run_row(run), "invocation_globals": run.globals})


def rerun(call: Call) -> Answer:
    """POST hog_flows/{id}/rerun/: only queues a job; its counts are always 0; asking twice queues
    two.
    """
    workflow = find(call)
    wanted = rerun_filter(call.object())
    world, now = call.site.world, call.now
    if world.worker_down:
        raise errors.rerun_failed(503, "upstream connect error")
    job = RerunJob(
        id=world.ids.run(now),
        workflow_id=workflow.id,
        due=now + timedelta(seconds=world.rerun_lag),
        filter=wanted,
    )
    world.rerun_jobs.append(job)
    world.add_run(workflow.id, "running", now, job.id, job=True)
    return Answer({"rerun_job_id": job.id, "queued_count": 0, "skipped_count": 0})


def cancel_invocations(call: Call) -> Answer:
    """POST hog_flows/{id}/invocations/cancel/: marks runs in flight; call again while `done` is
    false.
    """
    workflow_id = call.args["id"]
    if workflow_id not in call.site.world.workflows and not is_uuid(workflow_id):
        raise errors.not_found()
    body = call.object()
    ids = body.get("invocation_ids")
    if ids is not None:
        _list(ids, "invocation_ids", MAX_COUNT)
        for index, item in enumerate(ids):
            if not is_uuid(str(item)):
                raise errors.bad_input("Must be a valid UUID.", f"invocation_ids__{index}")
    if (ids is not None) == (body.get("all") is True):
        raise errors.bad_input(
            "Provide exactly one of 'invocation_ids' or 'all'.", "non_field_errors"
        )
    world, now = call.site.world, call.now
    flying = [
        run
        for run in world.runs.values()
        if run.workflow_id == workflow_id
        and run.status == "running"
        and not run.job
        and (run.next_status != "canceled")
        and (ids is None or run.invocation_id in ids)
    ]
    marked = flying[: world.cancel_chunk]
    for run in marked:
        run.busy_until, run.next_status = now + timedelta(seconds=1), "canceled"
        world.busy.add(run.invocation_id)
    left = len(flying) - len(marked)
    return Answer({"marked": len(marked), "remaining": left, "done": left == 0})


def run_now(call: Call) -> Answer:
    """POST hog_flows/{id}/run/: the one start that an Idempotency-Key makes safe to repeat."""
    workflow = find(call)
    if workflow.status != "active":
        raise errors.bad_input("Workflow must be active to run. Enable it first.")
    kind = (workflow.trigger or {}).get("type")
    if kind != "schedule":
        raise errors.bad_input(
            f"Only workflows with a 'schedule' trigger can be run this way (this one has '{kind}')."
        )
    variables = call.object().get("variables") or {}
    if not isinstance(variables, dict):
        raise errors.validation(
            "not_a_dict",
            f'Expected a dictionary of items but got type "{type(variables).__name__}".',
            "variables",
        )
    world, now = call.site.world, call.now
    given = call.headers.get("idempotency-key")
    kept = world.extra.setdefault("run_keys", {})
    name = f"{workflow.id}:{given}"
    if given and name in kept and now.timestamp() - kept[name][0] < 24 * 3600:
        if kept[name][1] is None:
            raise errors.plain_detail(
                409, "A run with this Idempotency-Key is already in progress."
            )
        return Answer({"status": "queued", "invocation_id": kept[name][1]})
    if world.worker_down:
        raise errors.plain_detail(502, "Could not reach the workflow engine. Try again.")
    run = world.add_run(
        workflow.id,
        "running",
        now,
        busy_until=now + timedelta(seconds=world.rerun_takes),
        next_status="succeeded",
    )
    world.busy.add(run.invocation_id)
    if given:
        kept[name] = [now.timestamp(), None if world.worker_slow else run.invocation_id]
    if world.worker_slow:
        raise errors.plain_detail(
            504,
            "The workflow engine did not respond in time. Wait before retrying with the same key.",
        )
    return Answer({"status": "queued", "invocation_id": run.invocation_id})


def _select(call: Call, workflow_id: str) -> list[Run]:
    zone, now = call.site.zone, call.now
    after = as_sql(read_bound(call.param("after") or "-7d", zone, now), newer=True)
    text = call.param("before")
    before = as_sql(read_bound(text, zone, now), newer=True) if text else None
    statuses = (call.param("status") or "").split(",") if call.param("status") else None
    person, part = call.param("distinct_id"), call.param("error_message_contains")
    if part and len(part) > 200:
        raise errors.validation(
            "max_length",
            "Ensure this field has no more than 200 characters.",
            "error_message_contains",
        )
    return [
        run
        for run in call.site.world.runs.values()
        if run.workflow_id == workflow_id
        and run.scheduled_at >= after
        and (before is None or run.scheduled_at <= before)
        and (statuses is None or run.status in statuses)
        and (not person or run.distinct_id == person)
        and (not part or part.lower() in run.error_message.lower())
        and not _gone(run, now)
    ]


def _gone(run: Run, now: datetime) -> bool:
    return run.scheduled_at < now - RETENTION


def rerun_filter(body: dict[str, Any]) -> dict[str, Any]:
    """The checked filter of a rerun, of workflows and hog functions alike."""
    want = body.get("filter")
    if want is None:
        raise errors.required("filter")
    if not isinstance(want, dict):
        raise errors.bad_input(
            f"Invalid data. Expected a dictionary, but got {type(want).__name__}.",
            "filter__non_field_errors",
        )
    start, end = _moment(want, "window_start"), _moment(want, "window_end")
    known: dict[str, Any] = {"window_start": start, "window_end": end}
    if "status" in want:
        for index, status in enumerate(_list(want["status"], "filter__status")):
            if status not in STATUSES:
                raise errors.invalid_choice(status, f"filter__status__{index}")
        known["status"] = want["status"]
    if "error_kind" in want:
        known["error_kind"] = _list(want["error_kind"], "filter__error_kind")
    part = want.get("error_message_contains")
    if part is not None:
        if len(str(part)) > 200:
            raise errors.validation(
                "max_length",
                "Ensure this field has no more than 200 characters.",
                "filter__error_message_contains",
            )
        known["error_message_contains"] = str(part)
    for name, most in (("max_attempts", 255), ("max_count", MAX_COUNT)):
        if want.get(name) is not None:
            known[name] = _integer(want[name], f"filter__{name}", most)
    if "invocation_ids" in want:
        known["invocation_ids"] = _list(want["invocation_ids"], "filter__invocation_ids", MAX_COUNT)
    if end <= start:
        raise errors.bad_input(
            "'window_end' must be after 'window_start'.", "filter__non_field_errors"
        )
    if end - start > MAX_WINDOW:
        raise errors.bad_input(
            "Rerun window cannot exceed 30 days (ClickHouse TTL on hog_invocation_results).",
            "filter__non_field_errors",
        )
    return known


def _moment(want: dict[str, Any], name: str) -> datetime:
    if name not in want:
        raise errors.required(f"filter__{name}")
    try:
        return read_datetime(str(want[name]))
    except ValueError:
        raise errors.bad_input(_DATETIME, f"filter__{name}") from None


def _list(value: Any, attr: str, most: int | None = None) -> list[Any]:
    if not isinstance(value, list):
        raise errors.validation(
            "not_a_list", f'Expected a list of items but got type "{type(value).__name__}".', attr
        )
    if most is not None and len(value) > most:
        raise errors.validation(
            "max_length", f"Ensure this field has no more than {most} elements.", attr
        )
    return value


def _integer(value: Any, attr: str, most: int) -> int | None:
    if value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise errors.bad_input("A valid integer is required.", attr) from None
    if number > most:
        raise errors.validation(
            "max_value", f"Ensure this value is less than or equal to {most}.", attr
        )
    if number < 1:
        raise errors.validation(
            "min_value", "Ensure this value is greater than or equal to 1.", attr
        )
    return number
