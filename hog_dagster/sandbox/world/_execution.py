"""Executions: a run goes through the steps of its workflow, sends, waits, ends, and is filed.

Facts: a row when an execution starts and one when it ends; none while it waits. The row of an end
after a wait carries the time the run woke up. A hog function has one step. Runs of a batch job are
logged and counted under the job's id.
"""

from datetime import datetime, timedelta
from typing import Any

from hog_dagster.sandbox.world._logs import micros
from hog_dagster.sandbox.world._mail import capture_email_event, mail_is_held
from hog_dagster.sandbox.world._model import AssetRow, Execution, Run, RunRow, SentMessage, Workflow
from hog_dagster.sandbox.world._run_rows import FLOW
from hog_dagster.sandbox.world._steps import SENDING, email_of, path, recipient, wait_of
from hog_dagster.sandbox.world._stores import Stores

#: What PostHog itself writes when it gives up on a run.
REPAIRS = {
    "stuck_invocation": "Invocation was stuck and has been given up",
    "janitor_poison_pill": "Invocation was given up after too many attempts",
    "function_disabled": "Function is disabled",
    "function_deleted": "Function was deleted",
    "function_not_found": "Function not found",
    "malformed_invocation": "Invocation could not be read",
}
#: What a run's row says as the run does.
_SAME = (
    *("kind", "invocation_id", "parent_run_id", "attempts", "is_retry", "started_at"),
    *("event_uuid", "distinct_id", "person_id"),
)
_MS = timedelta(milliseconds=1)


def begin(world: Stores, run: Run, cause: str, at: datetime, from_step: str = "") -> Execution:
    """Count one execution of a run: the truth of what happened to people."""
    execution = Execution(
        source_id=run.workflow_id,
        invocation_id=run.invocation_id,
        at=at,
        cause=cause,
        number=world.execution_count(run.invocation_id) + 1,
        from_step=from_step,
    )
    world.add_execution(execution)
    return execution


def start_execution(
    world: Stores,
    run: Run,
    at: datetime,
    *,
    cause: str,
    takes: float,
    ends: str,
    from_step: str = "",
    row: bool = True,
) -> None:
    """Let an execution of a run begin; it goes on when the queue takes it up."""
    begin(world, run, cause, at, from_step)
    steps = _steps(world, run)
    run.at_step = next((n for n, step in enumerate(steps) if step["id"] == from_step), 0)
    run.status, run.cause, run.in_flight, run.waited = "running", cause, True, None
    run.error_kind = run.error_message = ""
    run.started_at, run.finished_at, run.next_status = at, None, ends
    run.queued_at = at
    run.repair_at = None
    if row:
        file_row(world, run, at, running=True)
    if run.kind == FLOW:
        begun = "Resuming workflow execution at [Action:" + steps[run.at_step]["id"] + "]"
        if not from_step or not steps:
            begun = "Starting workflow execution at trigger"
        say(world, run, at, "DEBUG", begun)
    if world.stuck and world.chance.random() < world.stuck:
        run.busy_until, run.in_flight = None, False
        if world.stuck_repair is not None:
            run.repair_at = at + timedelta(seconds=world.stuck_repair)
            world.wake(run, run.repair_at)
        return
    run.busy_until = at + timedelta(seconds=takes)
    world.wake(run, run.busy_until)


def advance_run(world: Stores, run: Run, at: datetime) -> None:
    """Take a run as far as it goes now: to its next wait, or to its end."""
    if run.next_status == "canceled":
        _end(world, run, at, "canceled")
        return
    if run.kind == FLOW and run.cause == "rerun":
        workflow = world.workflows.get(run.workflow_id)
        if workflow is None or workflow.status != "active":
            kind = "function_deleted" if workflow is None else "function_disabled"
            repair_run(world, run, at, kind)
            return
    steps = _steps(world, run)
    fails = _failing(run, steps) if run.next_status == "failed" else None
    while run.at_step < len(steps):
        step = steps[run.at_step]
        wait = wait_of(step) * world.wait_scale
        if wait and run.waited != run.at_step:
            run.waited, run.busy_until = run.at_step, at + wait
            run.queued_at = run.busy_until
            until = run.busy_until.isoformat(timespec="milliseconds")
            say(world, run, at, "INFO", f"[Action:{step['id']}] Workflow will pause until {until}")
            world.wake(run, run.busy_until)
            return
        if run.kind == FLOW:
            say(world, run, at, "DEBUG", f"Executing action [Action:{step['id']}]")
        if run.at_step == fails:
            _fail(world, run, at, step)
            return
        if step.get("type") in SENDING and not _handed_over(world, run, step, at):
            return
        run.at_step += 1
        if run.kind == FLOW:
            after = steps[run.at_step]["id"] if run.at_step < len(steps) else "exit_node"
            say(world, run, at, "INFO", f"Workflow moved to action [Action:{after}]")
    if fails is not None:
        _fail(world, run, at, None)
        return
    if run.kind == FLOW:
        say(world, run, at, "INFO", "Workflow completed")
    _end(world, run, at, run.next_status or "succeeded")


def _handed_over(world: Stores, run: Run, step: dict[str, Any], at: datetime) -> bool:
    """Send, or write down why not; False when the message waits, and its run with it."""
    if run.kind != FLOW or SENDING[step["type"]] != "email":
        send(world, run, step, at)
        return True
    to = recipient(step, world.person(run.distinct_id), run.distinct_id)
    held = mail_is_held(world, run, step, to, at)
    source = run.parent_run_id or run.workflow_id
    if held is None:
        send(world, run, step, at)
        world.metrics.add(source, at, "email_sent", "email", 1, step["id"])
        return True
    if held.text:
        say(world, run, at, held.level, f"[Action:{step['id']}] {held.text}")
    if held.metric:
        world.metrics.add(source, at, held.metric, "email", 1, step["id"])
    if held.until is None:
        return True
    # No row is filed while it waits, and a step that waits is not executed anew.
    run.busy_until = run.queued_at = held.until
    run.waited = run.at_step
    world.wake(run, held.until)
    return False


def send(
    world: Stores, run: Run, step: dict[str, Any], at: datetime, *, logged: bool = True
) -> None:
    """A step sends: a message leaves, and its line and its row are written where there are any."""
    kind = SENDING[step["type"]]
    to = _leave(world, run.workflow_id, run.invocation_id, step, run.distinct_id, at)
    if kind not in ("email", "push") or run.kind != FLOW:
        return
    name, address, subject = email_of(step)
    if world.assets_captured:
        world.assets.append(
            run.workflow_id,
            AssetRow(
                function_id=run.workflow_id,
                invocation_id=run.invocation_id,
                action_id=step["id"],
                kind=kind,
                parent_run_id=run.parent_run_id,
                distinct_id=run.distinct_id or run.person_id,
                person_id=run.person_id,
                recipient=to,
                subject=subject if kind == "email" else "",
                body=f"<p>{subject}</p>",
                sent_at=at,
                version=micros(at),
                visible_at=at + timedelta(seconds=world.asset_lag),
            ),
        )
    if kind == "email" and (run.distinct_id or run.person_id):
        capture_email_event(
            world,
            "sent",
            at,
            run.distinct_id or run.person_id,
            run.person_id,
            workflow_id=run.workflow_id,
            workflow_action_id=step["id"],
            email_to=to,
            email_subject=subject,
        )
    if kind == "email" and logged:
        bracket = f" [Email:{run.invocation_id}:{step['id']}]" if world.assets_captured else ""
        say(world, run, at, "INFO", f"Email sent to {to} from {name} {address}{bracket}")


def sent_before(
    world: Stores,
    run: Run,
    at: datetime,
    stop: str | None,
    *,
    logged: bool,
    start: str | None = None,
) -> None:
    """The messages of a run that is history: of all steps, or from `start` on and before `stop`."""
    steps = _steps(world, run)
    first = next((n for n, step in enumerate(steps) if step["id"] == start), 0)
    for step in steps[first:]:
        if step["id"] == stop:
            return
        if step.get("type") in SENDING:
            send(world, run, step, at, logged=logged)


def send_all(
    world: Stores,
    workflow: Workflow,
    invocation_id: str,
    distinct_id: str,
    at: datetime,
    from_step: str | None = None,
) -> None:
    """The messages of one execution where nothing is filed about runs: all, or from a step on."""
    steps = path(workflow)
    first = next((n for n, step in enumerate(steps) if step["id"] == from_step), 0)
    for step in steps[first:]:
        if step.get("type") in SENDING:
            _leave(world, workflow.id, invocation_id, step, distinct_id, at)


def _leave(
    world: Stores,
    source_id: str,
    invocation_id: str,
    step: dict[str, Any],
    distinct_id: str,
    at: datetime,
) -> str:
    """Count the message of a step; whom it reaches."""
    to = recipient(step, world.person(distinct_id), distinct_id)
    world.add_message(
        SentMessage(
            source_id=source_id,
            invocation_id=invocation_id,
            action_id=step["id"],
            at=at,
            recipient=to,
            kind=SENDING[step["type"]],
            execution=world.execution_count(invocation_id),
        )
    )
    return to


def failing_step(world: Stores, run: Run) -> str | None:
    """The step at which an execution of this run that fails would fail."""
    steps = _steps(world, run)
    index = _failing(run, steps)
    return steps[index]["id"] if index is not None and index < len(steps) else None


def file_row(
    world: Stores,
    run: Run,
    at: datetime,
    *,
    running: bool = False,
    stopped_at: str | None = None,
    arrives: datetime | None = None,
) -> RunRow | None:
    """What the writer files about a run as it is now; None when the row never arrives."""
    lost = world.row_loss > 0 and world.chance.random() < world.row_loss
    state = dict(run.globals)
    if stopped_at is not None and run.kind == FLOW and world.stored_action:
        state["currentAction"] = {
            "id": stopped_at,
            "startedAtTimestamp": micros(run.started_at or at) // 1000,
        }
    lag = world.row_lag
    if world.row_lag_spread:
        lag += world.chance.random() * world.row_lag_spread
    duration = None
    if run.started_at is not None and run.finished_at is not None:
        duration = (run.finished_at - run.started_at) // _MS
    ended: dict[str, Any] = {}
    if not running:
        ended = {
            name: getattr(run, name) for name in ("finished_at", "error_kind", "error_message")
        }
    row = RunRow(
        **{name: getattr(run, name) for name in _SAME},
        **ended,
        function_id=run.workflow_id,
        status="running" if running else run.status,
        scheduled_at=run.queued_at or run.scheduled_at,
        first_scheduled_at=run.scheduled_at,
        duration_ms=None if running else duration,
        globals=state,
        version=world.run_rows.next_version(
            run.kind, run.workflow_id, run.invocation_id, micros(at)
        ),
        visible_at=arrives or at + timedelta(seconds=lag),
    )
    if lost:
        return None
    world.run_rows.write(row)
    return row


def repair_run(world: Stores, run: Run, at: datetime, kind: str = "stuck_invocation") -> None:
    """PostHog gives up on a run and files it as failed."""
    run.repair_at = run.busy_until = None
    run.status, run.in_flight, run.finished_at = "failed", False, at
    run.error_kind, run.error_message = kind, REPAIRS.get(kind, kind)
    run.queued_at = at
    file_row(world, run, at)


def say(world: Stores, run: Run, at: datetime, level: str, message: str) -> None:
    """A log line of a run, under its workflow or its batch job."""
    if run.kind != FLOW and level == "DEBUG" and not message.startswith("Re-queued"):
        return
    source = run.parent_run_id or run.workflow_id
    world.log(source, run.invocation_id, at, level, message)


def _fail(world: Stores, run: Run, at: datetime, step: dict[str, Any] | None) -> None:
    run.error_kind, run.error_message = "http_5xx", "HTTP 500 from https://example.com/in"
    if run.kind == FLOW and step is not None:
        run.error_message = f"[Action:{step['id']}] Errored: {run.error_message}"
        say(world, run, at, "ERROR", run.error_message)
        say(world, run, at, "ERROR", f"Workflow encountered an error: {run.error_message}")
    _end(world, run, at, "failed", step["id"] if step is not None else None)


def _end(world: Stores, run: Run, at: datetime, status: str, stopped_at: str | None = None) -> None:
    run.status, run.finished_at, run.in_flight = status, at, False
    run.busy_until, run.next_status, run.waited = None, None, None
    if status == "succeeded":
        run.error_kind = run.error_message = ""
    file_row(world, run, at, stopped_at=stopped_at)
    if run.cause == "rerun" and status in ("succeeded", "failed"):
        kind = "success" if status == "succeeded" else "failure"
        world.metrics.add(run.parent_run_id or run.workflow_id, at, status, kind, 1)


def _steps(world: Stores, run: Run) -> list[dict[str, Any]]:
    if run.kind != FLOW:
        return [{"id": "", "type": "function", "config": {}}]
    workflow = world.workflows.get(run.workflow_id)
    return path(workflow) if workflow is not None else []


def _failing(run: Run, steps: list[dict[str, Any]]) -> int | None:
    """Where an execution that fails does so: at `fails_at`, else at the last step that sends."""
    for index, step in enumerate(steps):
        if step["id"] == run.fails_at:
            return index
    sending = [n for n, step in enumerate(steps) if step.get("type") in SENDING]
    return sending[-1] if sending else len(steps)
