"""How the sandbox's world is read by the harness: executions, messages, rerun jobs.

The one module that knows how the double stores its truth.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.engine import _settle as sandbox_engine
from hog_dagster.sandbox.engine._settle import settle
from hog_dagster.sandbox.world import FLOW, FUNCTION, source_of

__all__ = [
    "Execution",
    "Message",
    "executions",
    "follow_rerun_jobs",
    "messages",
    "pending_rerun_jobs",
    "reruns_shown",
    "run_is_visibly_failed",
]


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of a run; of a replay, of the blocked run."""

    number: int
    source_id: str
    invocation_id: str
    at: datetime
    cause: str
    job: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A message that left, and the execution of its run that sent it (1 for the first)."""

    source_id: str
    invocation_id: str
    action_id: str
    at: datetime
    execution: int


def follow_rerun_jobs() -> None:
    """Note which rerun job causes an execution: the double tells that in log lines only."""
    work_page: Any = sandbox_engine.work_page
    if getattr(work_page, "followed", False):
        return

    def followed(world: Any, job: Any, at: datetime) -> None:
        before = len(world.executed)
        work_page(world, job, at)
        jobs = world.extra.setdefault("rerun jobs of executions", {})
        for index in range(before, len(world.executed)):
            if world.executed[index].cause == "rerun":
                jobs[index] = job.id

    followed.followed = True  # type: ignore[attr-defined]
    sandbox_engine.work_page = followed  # type: ignore[assignment]


def executions(sandbox: Sandbox) -> list[Execution]:
    """Every execution that happened, in order; replays under the id of the blocked run."""
    world = sandbox.world
    settle(world)
    jobs = world.extra.get("rerun jobs of executions", {})
    blocked = {
        replay.new_instance_id: replay.instance_id
        for replay in world.happened
        if replay.kind == "replay"
    }
    return [
        Execution(
            number=row.number,
            source_id=row.source_id,
            invocation_id=blocked.get(row.invocation_id, row.invocation_id),
            at=row.at,
            cause=row.cause,
            job=jobs.get(index),
        )
        for index, row in enumerate(world.executed)
    ]


def messages(sandbox: Sandbox) -> list[Message]:
    """Every message that left, in order."""
    return [
        Message(row.source_id, row.invocation_id, row.action_id, row.at, row.execution)
        for row in sandbox.world.messages
    ]


def pending_rerun_jobs(sandbox: Sandbox) -> set[str]:
    """Rerun jobs that are not worked off yet."""
    return {job.id for job in sandbox.world.rerun_jobs}


def reruns_shown(sandbox: Sandbox, source_id: str, run: str, at: datetime) -> int:
    """How many reruns of a run the newest row says that had arrived by a moment."""
    rows = [
        row
        for kind in (FLOW, FUNCTION)
        for row in sandbox.world.run_rows.history(source_of(kind, source_id), run)
        if row.visible_at <= at
    ]
    return max(rows, key=lambda row: row.version).attempts if rows else 0


def run_is_visibly_failed(sandbox: Sandbox, kind: str, source_id: str, run: str) -> bool:
    """Whether PostHog's rows show the run as failed now, by the newest of all that are left."""
    world = sandbox.world
    seen = world.run_rows.runs(kind, source_id, now=world.clock.now(), key=run)
    return run in seen and seen[run].newest.status == "failed"
