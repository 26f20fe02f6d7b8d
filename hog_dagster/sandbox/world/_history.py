"""Runs that are history when a world is built: their rows, their messages, their executions."""

from datetime import datetime, timedelta
from typing import Any

from hog_dagster.sandbox.world._execution import begin, failing_step, file_row, say, sent_before
from hog_dagster.sandbox.world._model import Run
from hog_dagster.sandbox.world._steps import path
from hog_dagster.sandbox.world._stores import Stores

_MS = timedelta(milliseconds=1)


def add_history(world: Stores, run: Run, how: dict[str, Any]) -> Run:
    """File a run as it would have been filed; `how` is what `World.add_run` has besides."""
    at = run.scheduled_at
    waits_at, logged = how.pop("waits_at", None), how.pop("logged", True)
    sends = how.pop("sends", True)
    if how:
        raise TypeError(f"a run has no {', '.join(how)}")
    begin(world, run, "first", at)
    status = run.status
    arrives = at if run.queued_at is None else run.queued_at
    file_row(world, run, at, running=True, arrives=arrives)
    if status == "running":
        if waits_at is not None:
            _rest(world, run, waits_at)
            if sends:
                sent_before(world, run, at, waits_at, logged=logged)
        if run.busy_until is not None:
            world.wake(run, run.busy_until)
        return run
    stop = None
    if status == "failed":
        stop = failing_step(world, run)
    ended = run.finished_at or at
    if sends and not (status == "failed" and stop is None):
        sent_before(world, run, max(at, ended - _MS), stop, logged=logged)
    if stop is not None and logged and run.kind == "hog_flow":
        said_at = min(ended, world.clock.now())
        say(world, run, said_at, "ERROR", f"[Action:{stop}] Errored: {run.error_message}")
    file_row(world, run, ended, stopped_at=stop, arrives=min(ended, world.clock.now()))
    return run


def add_rerun(
    world: Stores, run: Run, at: datetime, status: str, job_id: str, *, logged: bool
) -> Run:
    """File a rerun that is history: two more rows, its messages, the worker's lines."""
    stop = failing_step(world, run) if status == "failed" else None
    first = failing_step(world, run) if world.rerun_resumes else None
    run.attempts, run.is_retry, run.queued_at = run.attempts + 1, True, at
    run.started_at, run.finished_at, run.cause = at, at + timedelta(seconds=2), "rerun"
    begin(world, run, "rerun", at, first or "")
    file_row(world, run, at, running=True, arrives=at)
    run.status = status
    if status != "failed":
        run.error_kind = run.error_message = ""
    elif not run.error_message:
        run.error_kind, run.error_message = "http_5xx", "HTTP 500 from https://example.com/in"
    ended = run.finished_at
    sent_before(world, run, ended - _MS, stop, logged=logged, start=first)
    file_row(world, run, ended, stopped_at=stop, arrives=min(ended, world.clock.now()))
    if logged:
        line = f"Re-queued by re-run job {job_id}."
        world.log(run.workflow_id, run.invocation_id, at, "DEBUG", line)
        world.log(run.workflow_id, job_id, at, "INFO", "Re-run finished. queued=1 skipped=0")
    return run


def _rest(world: Stores, run: Run, waits_at: str) -> None:
    workflow = world.workflows.get(run.workflow_id)
    for index, step in enumerate(path(workflow) if workflow else []):
        if step["id"] == waits_at:
            run.at_step = run.waited = index
            return
    raise ValueError(f"the workflow has no step {waits_at!r}")
