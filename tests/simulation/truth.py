"""What really happened: which requests had which effects, and what PostHog itself answered.

Knows the sandbox's world and the requests that passed the wire; nothing of the engine. The
checker judges by this and by the ledger's rows alone.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.engine._settle import settle
from tests.simulation.scheduler import Process, Scheduler
from tests.simulation.sources import (
    Execution,
    Message,
    executions,
    messages,
    pending_rerun_jobs,
)

__all__ = ["Request", "Truth", "acts"]

#: Paths whose POST acts on people, by their end.
_ACTS = {
    "replay_blocked_run": "replay",
    "replay_all_blocked_runs": "replay_all",
    "rerun": "rerun",
    "batch_jobs": "batch_send",
    "schedules": "schedule_create",
}


@dataclass
class Request:
    """A request that acts, or any other (`kind` None), as it left a process."""

    number: int
    process: Process
    method: str
    path: str
    kind: str | None
    target_type: str
    target: str
    body: Any
    left_at: float
    #: The action's ledger rows that were marked as sent by this process when the request left.
    rows: list[tuple[int, int]] = field(default_factory=list)  # (row id, attempt)
    subjects: list[str] = field(default_factory=list)
    key: str = ""
    wrong_ledger: bool = False
    #: The same moment by PostHog's clock.
    server_left_at: Any = None
    served_at: float | None = None
    status: int | None = None  #: PostHog's own
    answer: Any = None
    #: What came of it in PostHog: a new run, a batch job, a schedule, a rerun job.
    effects: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        return f"#{self.number}"

    @property
    def refused(self) -> bool:
        """PostHog itself said no."""
        return self.status is not None and 400 <= self.status < 500


def acts(request: httpx.Request) -> bool:
    """Whether a request acts on people."""
    end = request.url.path.rstrip("/").rpartition("/")[2]
    return request.method == "POST" and end in _ACTS


class Truth:
    """The world behind the responses, seen by the harness."""

    def __init__(self, scheduler: Scheduler, sandbox: Sandbox) -> None:
        self.scheduler = scheduler
        self.sandbox = sandbox
        self.requests: list[Request] = []
        self.acting: list[Request] = []
        #: Rerun jobs by the request that made them.
        self.jobs: dict[str, Request] = {}
        #: Called with each acting request before it leaves, to say which rows it is for.
        self.rows_of: Any = lambda _process: []
        self.ledger_is_wrong: Any = lambda: False
        #: Called with each acting request as it leaves.
        self.watcher: Any = lambda _request: None

    # --- requests -------------------------------------------------------------------------------

    def request_leaves(self, process: Process, request: httpx.Request) -> Request:
        path = request.url.path
        parts = path.removeprefix("/api/projects/").strip("/").split("/")[1:]
        kind = target_type = target = None
        body: Any = None
        if request.method == "POST" and len(parts) == 3 and parts[2] in _ACTS:
            kind = _ACTS[parts[2]]
            target_type = "workflow" if parts[0] == "hog_flows" else "hog_function"
            target = parts[1]
            body = json.loads(request.read() or b"null")
        record = Request(
            number=len(self.requests) + 1,
            process=process,
            method=request.method,
            path=path,
            kind=kind,
            target_type=target_type or "",
            target=target or "",
            body=body,
            left_at=self.scheduler.now,
        )
        self.requests.append(record)
        if kind is not None:
            self.acting.append(record)
            record.key = process.facts.get("key", "")
            record.rows = self.rows_of(process)
            record.server_left_at = self.sandbox.world.clock.now()
            record.wrong_ledger = self.ledger_is_wrong()
            if kind == "replay":
                record.subjects = [str((body or {}).get("instance_id"))]
            elif kind == "rerun":
                wanted = ((body or {}).get("filter") or {}).get("invocation_ids") or []
                record.subjects = [str(run) for run in wanted]
            self.watcher(record)
        return record

    @contextmanager
    def serving(self, record: Request) -> Iterator[None]:
        """PostHog serves the request within."""
        if record.kind is None:
            yield
            return
        world = self.sandbox.world
        settle(world)
        before = len(world.happened), set(world.batch_jobs), set(world.schedules)
        yield
        record.effects += [
            replay.instance_id for replay in world.happened[before[0] :] if replay.kind == "replay"
        ]
        record.effects += [name for name in world.batch_jobs if name not in before[1]]
        record.effects += [name for name in world.schedules if name not in before[2]]
        record.served_at = self.scheduler.now

    def served(self, record: Request, response: httpx.Response) -> None:
        record.served_at = self.scheduler.now
        if record.kind is None:
            return
        record.status = response.status_code
        try:
            record.answer = response.json()
        except ValueError:
            record.answer = None
        if record.kind == "rerun" and isinstance(record.answer, dict):
            job = record.answer.get("rerun_job_id")
            if job:
                record.effects.append(job)
                self.jobs[job] = record
        for effect in record.effects:
            self.scheduler.trace.name(effect, _NAMES[record.kind])
        if record.effects:
            self.scheduler.counts[f"effect: {record.kind}"] += 1
        if self.scheduler.trace.on:
            self.scheduler.trace(
                "posthog",
                f"{record.label} {record.kind} by {record.process.name}: {response.status_code}, "
                f"effects {record.effects} {_short(record.answer)}",
            )

    # --- effects --------------------------------------------------------------------------------

    def executions(self) -> list[Execution]:
        """Every execution of a run so far, in order."""
        settle(self.sandbox.world)
        return executions(self.sandbox)

    def messages(self) -> list[Message]:
        """Every message that left so far, in order."""
        settle(self.sandbox.world)
        return messages(self.sandbox)

    def ours(self, execution: Execution) -> Request | None:
        """Which of our requests caused this execution, if one did."""
        if execution.cause == "rerun":
            return self.jobs.get(execution.job or "")
        if execution.cause == "replay":
            for request in self.acting:
                if execution.invocation_id in request.effects:
                    return request
        return None

    def pending_jobs(self) -> set[str]:
        """Rerun jobs that are not worked off yet."""
        return pending_rerun_jobs(self.sandbox)


_NAMES = {
    "replay": "newrun",
    "replay_all": "newrun",
    "rerun": "rerunjob",
    "batch_send": "batchjob",
    "schedule_create": "schedule",
}


def _short(answer: Any) -> str:
    text = json.dumps(answer, default=str)
    return text if len(text) < 200 else text[:200] + "..."
