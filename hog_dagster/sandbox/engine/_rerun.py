"""The worker behind ``rerun/``: page by page, as PostHog's paginator does it.

Facts: a page picks runs by raw rows inside [window_start, window_end) and collapses them there;
the cursor cuts raw rows too. Before #85156 nothing else is looked at; from then on a run whose
newest status over all days is no longer among those asked for is skipped. Attempts and payload come
from the window. Skipped runs use up `max_count`. A run in flight is not run again. The job has
rows and log lines of its own; counts in them are running totals.
"""

from datetime import datetime, timedelta
from typing import Any

from hog_dagster.sandbox.world import (
    FLOW,
    WRAPPERS,
    Collapsed,
    FunctionSend,
    Replay,
    RerunJob,
    Run,
    RunRow,
    World,
    collapse,
    micros,
    source_of,
    start_execution,
)

MAX_RERUNS = 10000
_BACKOFF = 5.0


def queue_rerun(world: World, kind: str, source_id: str, wanted: dict, now: datetime) -> RerunJob:
    """Queue a job: nothing is run yet. Its own row is there from now on."""
    job = RerunJob(
        id=world.ids.run(now),
        workflow_id=source_id,
        kind=kind,
        filter=wanted,
        created_at=now,
        due=now + timedelta(seconds=world.rerun_lag),
    )
    world.rerun_jobs.append(job)
    world.push(job.due, "job", job.id)
    _file(world, job, now, "running")
    return job


def work_page(world: World, job: RerunJob, at: datetime) -> None:
    """One page of a job, which then is over or comes up again."""
    failure = world.page_failures.pop(0) if world.page_failures else None
    if failure is not None and failure.aborts:
        _file(world, job, at, "failed", failure.why)
        _line(world, job, at, "ERROR", f"Re-run aborted: {failure.why}")
        _finish(world, job)
        return
    page = _page(world, job, at)
    if failure is not None:
        if failure.effect:
            _process(world, job, page[: _budget(job)], at, lines=False)
        _file(world, job, at, "running", failure.why)
        _line(world, job, at, "WARN", f"Re-run page failed: {failure.why}. Worker will retry.")
        _again(world, job, at + timedelta(seconds=_BACKOFF))
        return
    budget = _budget(job)
    chosen = page[:budget]
    queued, skipped = _process(world, job, chosen, at, lines=True)
    job.queued, job.skipped, job.pages = job.queued + queued, job.skipped + skipped, job.pages + 1
    job.cursor = (chosen[-1].last, chosen[-1].newest.invocation_id) if chosen else None
    if budget <= len(chosen) or len(page) < world.rerun_page_size:
        _file(world, job, at, "succeeded")
        _line(world, job, at, "INFO", f"Re-run finished. queued={job.queued} skipped={job.skipped}")
        _finish(world, job)
        return
    _file(world, job, at, "running")
    cursor = "end"
    if job.cursor is not None:
        cursor = f"{job.cursor[0]:%Y-%m-%d %H:%M:%S.%f}/{job.cursor[1]}"
    done = f"queued={job.queued} skipped={job.skipped} cursor={cursor}"
    _line(world, job, at, "INFO", f"Re-run page done. {done}")
    _again(world, job, at + timedelta(seconds=world.rerun_page_delay))


def _page(world: World, job: RerunJob, at: datetime) -> list[Collapsed]:
    """The next runs, latest first, from rows inside the window and below the cursor alone."""
    want, table, size = job.filter, world.run_rows, world.rerun_page_size
    source = source_of(job.kind, job.workflow_id)
    bounds: dict[str, Any] = {"after": want["window_start"], "until": want["window_end"]}
    replica = table.replica()

    def collapsed(invocation_id: str) -> Collapsed | None:
        rows = table.rows(source, now=at, key=invocation_id, replica=replica, **bounds)
        if job.cursor is not None:
            rows = [row for row in rows if (row.scheduled_at, row.invocation_id) < job.cursor]
        run = collapse(rows).get(invocation_id)
        return run if run is not None and _matches(run.newest, want) else None

    ids = want.get("invocation_ids")
    if ids:
        chosen = [run for id in dict.fromkeys(ids) if (run := collapsed(id)) is not None]
        chosen.sort(key=lambda run: (run.last, run.newest.invocation_id), reverse=True)
        return chosen[:size]
    if job.cursor is not None:
        bounds["until"] = min(bounds["until"], job.cursor[0] + timedelta(microseconds=1))
    page: list[Collapsed] = []
    passed: set[str] = set()
    for row in table.latest_first(source, now=at, replica=replica, **bounds):
        below = job.cursor is None or (row.scheduled_at, row.invocation_id) < job.cursor
        if not below or row.invocation_id in passed:
            continue
        passed.add(row.invocation_id)
        run = collapsed(row.invocation_id)
        if run is not None:
            page.append(run)
            if len(page) == size:
                break
    return page


def _matches(row: RunRow, want: dict) -> bool:
    part, most = want.get("error_message_contains"), want.get("max_attempts")
    return (
        row.status in (want.get("status") or ["failed"])
        and (not want.get("error_kind") or row.error_kind in want["error_kind"])
        and (not part or part in row.error_message)
        and (most is None or row.attempts < most)
    )


def _process(
    world: World, job: RerunJob, page: list[Collapsed], at: datetime, *, lines: bool
) -> tuple[int, int]:
    """Queue the runs of a page; how many were, and how many were skipped."""
    queued = 0
    for found in page:
        row = found.newest
        run = world.runs.get(row.invocation_id)
        if run is None or not _known(world, job) or run.in_flight or _left(world, job, row, at):
            continue
        queued += 1
        _start(world, run, row, at)
        if lines:
            line = f"Re-queued by re-run job {job.id}."
            _line(world, job, at, "DEBUG", line, of=run.invocation_id)
    return queued, len(page) - queued


def _left(world: World, job: RerunJob, row: RunRow, at: datetime) -> bool:
    """Whether the newest row over all days keeps the worker from running a run again."""
    seen = world.run_rows.runs(job.kind, job.workflow_id, now=at, key=row.invocation_id)
    newest = seen[row.invocation_id].newest if row.invocation_id in seen else row
    if job.kind != FLOW and newest.status == "running":
        return True
    wanted = job.filter.get("status") or ["failed"]
    return world.rerun_form == "after_85156" and newest.status not in wanted


def _start(world: World, run: Run, row: RunRow, at: datetime) -> None:
    held = row.globals.get("currentAction")
    stopped = held.get("id", "") if isinstance(held, dict) and world.rerun_resumes else ""
    run.attempts, run.is_retry = row.attempts + 1, True
    source, id = run.workflow_id, run.invocation_id
    again = Replay(workflow_id=source, instance_id=id, at=at, kind="rerun", new_instance_id=id)
    world.happened.append(again)
    if run.kind != FLOW:
        sent = FunctionSend(function_id=source, at=at, kind="rerun", target=id)
        world.function_sends.append(sent)
    start_execution(
        world,
        run,
        at,
        cause="rerun",
        takes=world.rerun_takes,
        ends=run.retry_status,
        from_step=stopped,
    )


def _known(world: World, job: RerunJob) -> bool:
    if job.kind == FLOW:
        return job.workflow_id in world.workflows
    row = world.hog_functions.get(job.workflow_id)
    return row is not None and not row.deleted


def _budget(job: RerunJob) -> int:
    most = min(job.filter.get("max_count") or MAX_RERUNS, MAX_RERUNS)
    return max(0, most - job.queued - job.skipped)


def _file(world: World, job: RerunJob, at: datetime, status: str, error: str = "") -> None:
    """A row of the job itself."""
    ended = at if status != "running" else None
    kind = WRAPPERS[job.kind]
    if world.row_loss and world.chance.random() < world.row_loss:
        return
    world.run_rows.write(
        RunRow(
            kind=kind,
            function_id=job.workflow_id,
            invocation_id=job.id,
            status=status,
            attempts=job.pages,
            scheduled_at=job.created_at,
            first_scheduled_at=job.created_at,
            started_at=job.created_at,
            finished_at=ended,
            duration_ms=(at - job.created_at) // timedelta(milliseconds=1) if ended else None,
            error_kind="hog_error" if error else "",
            error_message=error,
            version=world.run_rows.next_version(kind, job.workflow_id, job.id, micros(at)),
            visible_at=at + timedelta(seconds=world.row_lag),
        )
    )


def _line(
    world: World, job: RerunJob, at: datetime, level: str, message: str, of: str | None = None
) -> None:
    """A line of the worker, about the job or about one run."""
    world.log(job.workflow_id, of or job.id, at, level, message, lag=world.rerun_log_lag)


def _again(world: World, job: RerunJob, at: datetime) -> None:
    job.due = at
    world.push(at, "job", job.id)


def _finish(world: World, job: RerunJob) -> None:
    job.done = True
    world.rerun_jobs.remove(job)
