"""Runs on newer servers: invocation results, rerun, cancel, run now.

Facts: the serializers and queries of hog_invocation_results, _rerun and _cancel, and the hog_flow
view.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hog_dagster.sandbox.api import _fields as fields
from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call
from hog_dagster.sandbox.api._calls import fields as shown
from hog_dagster.sandbox.api._function_rows import find as find_function
from hog_dagster.sandbox.api._metrics import window
from hog_dagster.sandbox.api._workflows import find
from hog_dagster.sandbox.engine import MAX_RERUNS, queue_rerun
from hog_dagster.sandbox.world import FLOW, FUNCTION, Collapsed, Run, collapse, is_uuid, source_of

DISABLED = "This function is disabled. Enable it to re-run invocations."
MAX_WINDOW = timedelta(days=30)
STATUSES = ("running", "succeeded", "failed")
_ROW = (
    "invocation_id status error_kind error_message distinct_id person_id scheduled_at started_at "
    "finished_at duration_ms attempts is_retry"
)


def run_row(run: Collapsed) -> dict[str, Any]:
    """A run as invocation_results shows it. What is unknown is an empty text, not null."""
    return shown(run.newest, _ROW, scheduled_at=run.first)


def invocation_results(call: Call) -> Answer:
    """GET hog_flows/{id}/invocation_results/: a bare array, newest scheduled first, 500 at most.

    Bounds are inclusive, cut to whole seconds, and cut the raw rows: a closed window over the past
    shows a run as it was then. Ties come in no promised order; there is no offset.
    """
    return _listed(call, FLOW, find(call, leaky=False).id)


def invocation_results_count(call: Call) -> Answer:
    """GET hog_flows/{id}/invocation_results_count/: the same filters, no cap."""
    return Answer({"count": len(_select(call, FLOW, find(call, leaky=False).id))})


def invocation_result(call: Call) -> Answer:
    """GET .../invocation_results/{invocation_id}/: no window; with the payload of the last row."""
    return _one(call, FLOW, find(call, leaky=False).id)


def function_results(call: Call) -> Answer:
    """GET hog_functions/{id}/invocation_results/, where a server has it."""
    return _listed(call, FUNCTION, find_function(call).id)


def function_result(call: Call) -> Answer:
    """GET hog_functions/{id}/invocation_results/{invocation_id}/, where a server has it."""
    return _one(call, FUNCTION, find_function(call).id)


def _listed(call: Call, kind: str, source_id: str) -> Answer:
    limit = fields.integer_param(call, "limit", 50, 1, 500)
    runs = _select(call, kind, source_id)
    if call.site.shuffle_ties:
        call.site.world.ids.random.shuffle(runs)
    runs.sort(key=lambda run: run.first, reverse=True)
    return Answer([run_row(run) for run in runs[:limit]])


def _one(call: Call, kind: str, source_id: str) -> Answer:
    wanted = call.args["invocation_id"]
    run = call.site.world.run_rows.runs(kind, source_id, now=call.now, key=wanted).get(wanted)
    if run is None:
        raise errors.not_found("Invocation not found.")
    return Answer({**run_row(run), "invocation_globals": run.newest.globals})


def rerun(call: Call) -> Answer:
    """POST hog_flows/{id}/rerun/: only queues a job, with counts of 0; asked twice it queues 2."""
    return queue(call, FLOW, find(call).id)


def queue(call: Call, kind: str, source_id: str) -> Answer:
    """Queue a rerun job and answer as the server does, long before anything happens."""
    wanted = rerun_filter(call.object())
    world, now = call.site.world, call.now
    if world.worker_down:
        raise errors.rerun_failed(503, "upstream connect error")
    job = queue_rerun(world, kind, source_id, wanted, now)
    return Answer({"rerun_job_id": job.id, "queued_count": 0, "skipped_count": 0})


def cancel_invocations(call: Call) -> Answer:
    """POST hog_flows/{id}/invocations/cancel/: marks runs in flight; again while not `done`."""
    workflow_id = call.args["id"]
    if workflow_id not in call.site.world.workflows and not is_uuid(workflow_id):
        raise errors.not_found()
    body = call.object()
    ids = body.get("invocation_ids")
    if ids is not None:
        for index, item in enumerate(fields.list_of(ids, "invocation_ids", MAX_RERUNS)):
            if not is_uuid(str(item)):
                raise errors.bad_input("Must be a valid UUID.", f"invocation_ids__{index}")
    if (ids is not None) == (body.get("all") is True):
        raise errors.bad_input(
            "Provide exactly one of 'invocation_ids' or 'all'.", "non_field_errors"
        )

    def meant(run: Run) -> bool:
        return run.status == "running" and (ids is None or run.invocation_id in ids)

    left = cancel(call, workflow_id, meant, timedelta(seconds=1))
    return Answer({**left, "done": left["remaining"] == 0})


def cancel(
    call: Call, workflow_id: str, meant: Callable[[Run], bool], wait: timedelta
) -> dict[str, Any]:
    """Mark runs in flight to be canceled, as many as one request may: marked, remaining."""
    world, at = call.site.world, call.now + wait
    flying = [
        run
        for run in world.runs.values()
        if run.workflow_id == workflow_id
        and run.in_flight
        and run.next_status != "canceled"
        and meant(run)
    ]
    marked = flying[: world.cancel_chunk]
    for run in marked:
        run.busy_until, run.next_status = at, "canceled"
        world.wake(run, at)
    return {"marked": len(marked), "remaining": len(flying) - len(marked)}


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
    fields.dictionary(call.object().get("variables") or {}, "variables")
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
    run = world.start_run(workflow.id, at=now, takes=world.rerun_takes)
    if given:
        kept[name] = [now.timestamp(), None if world.worker_slow else run.invocation_id]
    if world.worker_slow:
        raise errors.plain_detail(
            504,
            "The workflow engine did not respond in time. Wait before retrying with the same key.",
        )
    return Answer({"status": "queued", "invocation_id": run.invocation_id})


def _select(call: Call, kind: str, source_id: str) -> list[Collapsed]:
    """The runs of a source, collapsed from the rows inside the window, then filtered."""
    statuses = (call.param("status") or "").split(",") if call.param("status") else None
    person, part = call.param("distinct_id"), call.param("error_message_contains")
    fields.text(part or "", "error_message_contains", 200)
    bounds = window(call, "-7d", newer=True)
    source = source_of(kind, source_id)
    rows = call.site.world.run_rows.rows(source, now=call.now, **bounds)
    if person:
        rows = [row for row in rows if row.distinct_id == person]
    return [
        run
        for run in collapse(rows).values()
        if (statuses is None or run.newest.status in statuses)
        and (not part or part.lower() in run.newest.error_message.lower())
    ]


def rerun_filter(body: dict[str, Any]) -> dict[str, Any]:
    """The checked filter of a rerun, of workflows and hog functions alike."""
    want = body.get("filter")
    if want is None:
        raise errors.required("filter")
    fields.nested(want, "filter")
    known: dict[str, Any] = {}
    for name in ("window_start", "window_end"):
        fields.present(want, name, attr="filter")
        known[name] = fields.time(want[name], f"filter__{name}")
    if "status" in want:
        for index, status in enumerate(fields.list_of(want["status"], "filter__status")):
            if status not in STATUSES:
                raise errors.invalid_choice(status, f"filter__status__{index}")
        known["status"] = want["status"]
    if "error_kind" in want:
        known["error_kind"] = fields.list_of(want["error_kind"], "filter__error_kind")
    part = want.get("error_message_contains")
    if part is not None:
        name = "filter__error_message_contains"
        known["error_message_contains"] = fields.text(str(part), name, 200)
    for name, most in (("max_attempts", 255), ("max_count", MAX_RERUNS)):
        if want.get(name) is not None:
            known[name] = fields.integer(want[name], f"filter__{name}", 1, most)
    if "invocation_ids" in want:
        ids = fields.list_of(want["invocation_ids"], "filter__invocation_ids", MAX_RERUNS)
        known["invocation_ids"] = [
            fields.text(id, f"filter__invocation_ids__{n}") for n, id in enumerate(ids)
        ]
    length = known["window_end"] - known["window_start"]
    if length <= timedelta():
        raise errors.bad_input(
            "'window_end' must be after 'window_start'.", "filter__non_field_errors"
        )
    if length > MAX_WINDOW:
        raise errors.bad_input(
            "Rerun window cannot exceed 30 days (ClickHouse TTL on hog_invocation_results).",
            "filter__non_field_errors",
        )
    return known
