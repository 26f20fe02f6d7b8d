"""The truth behind the double: everything that is in the sandbox's project, and builders that put
it there.
"""

import heapq
import random
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.sandbox.clock import Clock
from hog_dagster.sandbox.engine import settle
from hog_dagster.sandbox.event_stream import EventStream
from hog_dagster.sandbox.ids import Ids
from hog_dagster.sandbox.logs import LogStore
from hog_dagster.sandbox.metrics import MetricStore
from hog_dagster.sandbox.model import (
    AssetRow,
    BatchJob,
    BatchSend,
    Execution,
    PageFailure,
    Person,
    Replay,
    RerunJob,
    Run,
    Schedule,
    SentMessage,
    TestSend,
    User,
    Workflow,
)
from hog_dagster.sandbox.world._behaviour import Behaviour
from hog_dagster.sandbox.world._builders import WAIT_ACTION, Builders
from hog_dagster.sandbox.world._execution import repair, start
from hog_dagster.sandbox.world._history import add_history, add_rerun
from hog_dagster.sandbox.world._mail_builders import MailBuilders
from hog_dagster.sandbox.world._merging import MergingTable
from hog_dagster.sandbox.world._run_rows import RunRows, source_of

__all__ = ["WAIT_ACTION", "World"]


#: Another member of the organisation, for what was not made with the sandbox's own keys.
COLLEAGUE = User(
    id=2,
    uuid="01a1fbfc-600e-0000-a1b2-3c0c9fbda4f4",
    distinct_id="pQ3329V2IP3KuRFmTPaQj1CT3Pj8HV6EdNE79sIakJZ",
    first_name="Colleague",
    last_name="Two",
    email="colleague@example.com",
)


class World(Behaviour, Builders, MailBuilders):
    """One project's workflows, logs, metrics, runs and people, in memory.

    What really happened to people is in `executions` and `messages`; `replays` and `batch_sends`
    show some of the executions again: a test counts those, not the answers. What PostHog can tell
    about it is in `run_rows`, `assets` and `logs`. Builders may be called while the server runs.
    """

    def __init__(self, clock: Clock, seed: int = 1, *, generation: str = "docs") -> None:
        super().__init__(generation)
        self.clock = clock
        self.generation = generation
        self.seed = seed
        self.lock = threading.RLock()
        self.ids = Ids(seed)
        self.user, self.colleague = User(), COLLEAGUE
        self.workflows: dict[str, Workflow] = {}
        self.schedules: dict[str, Schedule] = {}
        self.batch_jobs: dict[str, BatchJob] = {}
        #: The runs as the queue knows them, of workflows and of hog functions.
        self.runs: dict[str, Run] = {}
        self.run_rows = RunRows(seed, self.merging)
        self.assets: MergingTable[AssetRow] = MergingTable(f"assets:{seed}", self.merging)
        self.people: list[Person] = []
        self.events: set[str] = set()
        #: Very many events, for HogQL alone; not part of the state that is written to JSON.
        self.event_stream: EventStream | None = None
        self.logs = LogStore(seed)
        self.metrics = MetricStore()
        self.rerun_jobs: list[RerunJob] = []
        self.test_sends: list[TestSend] = []
        self.happened: list[Replay] = []
        self.sent: list[BatchSend] = []
        self.executed: list[Execution] = []
        self.sent_messages: list[SentMessage] = []
        self._numbers: dict[str, int] = {}
        #: What is lost, late or stuck is drawn from here.
        self.chance = random.Random(f"chance:{seed}")
        self._queue: list[tuple[datetime, int, str, Any]] = []
        self._pushed = 0
        self.settling = False
        self._people: dict[str, Person] = {}
        #: Dedup messages count as blocked runs from here on, as the real incident had its window.
        self.incident_start = clock.now() - timedelta(days=25)
        self.incident_end: datetime | None = None
        #: More state for families that live in modules of their own (hog functions, groups,
        #: insights).
        self.extra: dict[str, Any] = {}

    @property
    def newer(self) -> bool:
        """Whether this is one of the newer generations, with runs instead of blocked runs."""
        return self.generation != "docs"

    @property
    def executions(self) -> list[Execution]:
        """Every execution of a run that really began by now, in order."""
        with self.lock:
            self.settle()
            return self.executed

    @property
    def messages(self) -> list[SentMessage]:
        """Every message that really left by now, in order."""
        with self.lock:
            self.settle()
            return self.sent_messages

    @property
    def replays(self) -> list[Replay]:
        """Every replay and rerun that really happened by now, in order."""
        with self.lock:
            self.settle()
            return self.happened

    @property
    def batch_sends(self) -> list[BatchSend]:
        """Every batch job that really went out by now, in order, those of schedules included."""
        with self.lock:
            self.settle()
            return self.sent

    def settle(self) -> None:
        """Let everything happen that is due: reruns, ends of runs, scheduled sends."""
        settle(self)

    # -- the queue ---------------------------------------------------------------------------------

    def push(self, at: datetime, kind: str, what: Any) -> None:
        """Let something come up at a moment: a "run", a "job", or a "call"."""
        self._pushed += 1
        heapq.heappush(self._queue, (at, self._pushed, kind, what))

    def wake(self, run: Run, at: datetime) -> None:
        """Let the queue take up a run at a moment."""
        self.push(at, "run", run.invocation_id)

    def later(self, at: datetime, call: Callable[[], None]) -> None:
        """Let something happen at a moment. It is not kept in a state file."""
        self.push(at, "call", call)

    def next_due(self) -> datetime | None:
        """When the queue has something to do next."""
        return self._queue[0][0] if self._queue else None

    def take_due(self) -> tuple[datetime, str, Any]:
        """The next thing of the queue."""
        at, _, kind, what = heapq.heappop(self._queue)
        return at, kind, what

    def refill_queue(self) -> None:
        """After a load: what waits, from the runs and jobs."""
        self._queue = []
        for run in self.runs.values():
            for at in (run.busy_until, run.repair_at):
                if at is not None:
                    self.wake(run, at)
        for job in self.rerun_jobs:
            self.push(job.due, "job", job.id)
        self._numbers = {}
        for execution in self.executed:
            self._numbers[execution.invocation_id] = execution.number

    # -- what really happens -----------------------------------------------------------------------

    def add_execution(self, execution: Execution) -> None:
        """Count an execution."""
        self.executed.append(execution)
        self._numbers[execution.invocation_id] = execution.number

    def execution_count(self, invocation_id: str) -> int:
        """How many executions of a run have begun."""
        return self._numbers.get(invocation_id, 0)

    def add_message(self, message: SentMessage) -> None:
        """Count a message that left."""
        self.sent_messages.append(message)

    def person(self, distinct_id: str) -> Person | None:
        """The person behind a distinct id."""
        if len(self._people) != len(self.people):
            self._people = {person.distinct_id: person for person in self.people}
        return self._people.get(distinct_id)

    def log(
        self,
        source_id: str,
        instance_id: str,
        at: datetime,
        level: str,
        message: str,
        *,
        lag: float | None = None,
    ) -> None:
        """A log line that PostHog's worker writes, at a millisecond of its own in its run."""
        moment = self.logs.free(source_id, instance_id, at)
        wait = timedelta(seconds=self.log_lag if lag is None else lag)
        self.logs.add(source_id, instance_id, moment, level, message, visible_at=at + wait)

    def start_run(
        self,
        workflow_id: str,
        *,
        at: datetime | None = None,
        takes: float = 2.0,
        ends: str = "succeeded",
        cause: str = "first",
        row: bool = True,
        **fields: Any,
    ) -> Run:
        """Let a run of a workflow begin that PostHog executes step by step.

        Args:
            takes: seconds until the queue takes it up.
            ends: how this execution ends; `retry_status` how a rerun does.
            row: whether it has a row before it is over.
            fields: any other field of `Run`, such as `fails_at`, `distinct_id`, `parent_run_id`.
        """
        with self.lock:
            moment = at or self.clock.now()
            run = Run(
                invocation_id=fields.pop("invocation_id", None) or self.ids.run(moment),
                workflow_id=workflow_id,
                scheduled_at=moment,
                **fields,
            )
            self.runs[run.invocation_id] = run
            start(self, run, moment, cause=cause, takes=takes, ends=ends, row=row)
            return run

    def give_up(self, invocation_id: str, error_kind: str = "stuck_invocation") -> None:
        """Let PostHog give up on a run, with one of its own error kinds."""
        with self.lock:
            repair(self, self.runs[invocation_id], self.clock.now(), error_kind)

    def fail_rerun_page(
        self, why: str = "Timeout exceeded", *, effect: bool = False, aborts: bool = False
    ) -> None:
        """Let the next page of a rerun job go wrong; see `PageFailure`."""
        self.page_failures.append(PageFailure(why=why, effect=effect, aborts=aborts))

    def merge_now(self) -> None:
        """Merge the parts of every day, on all replicas."""
        with self.lock:
            now = self.clock.now()
            self.run_rows.merge(now)
            self.assets.merge(now)

    def forget_run(self, invocation_id: str) -> None:
        """Take a run out with all its rows, as if none had ever arrived."""
        with self.lock:
            run = self.runs.pop(invocation_id)
            self.run_rows.forget(source_of(run.kind, run.workflow_id), invocation_id)

    # -- runs --------------------------------------------------------------------------------------

    def add_run(
        self,
        workflow_id: str,
        status: str = "succeeded",
        scheduled_at: datetime | None = None,
        invocation_id: str | None = None,
        **fields: Any,
    ) -> Run:
        """Add a run that is history: its rows, and the messages that left on its way.

        Args:
            status: "running" is one that the queue still holds; with ``in_flight=False`` it is
                stuck for ever.
            fields: of `Run`, and `fails_at`: the step a failed run stopped at, the last that sends
                by default; `waits_at`: the step a running one rests at, none of whose messages have
                left otherwise; `busy_until`: when that ends; `logged`: whether e-mails have their
                log lines (default true); `sends`: whether messages are counted at all.
        """
        with self.lock:
            run = self._run("hog_flow", workflow_id, status, scheduled_at, invocation_id, fields)
            return add_history(self, run, fields)

    def add_function_run(
        self,
        function_id: str,
        status: str = "succeeded",
        scheduled_at: datetime | None = None,
        invocation_id: str | None = None,
        **fields: Any,
    ) -> Run:
        """Add an invocation of a hog function that is history; `fields` as of `add_run`."""
        with self.lock:
            run = self._run(
                "hog_function", function_id, status, scheduled_at, invocation_id, fields
            )
            return add_history(self, run, fields)

    def add_rerun(
        self,
        invocation_id: str,
        at: datetime | None = None,
        status: str = "succeeded",
        *,
        job_id: str | None = None,
        logged: bool = True,
    ) -> Run:
        """Add a rerun of a run that is history: with rows of its own, and the worker's lines."""
        with self.lock:
            moment = at or self.clock.now()
            job = job_id or self.ids.run(moment)
            run = self.runs[invocation_id]
            return add_rerun(self, run, moment, status, job, logged=logged)

    def _run(
        self,
        kind: str,
        source_id: str,
        status: str,
        scheduled_at: datetime | None,
        invocation_id: str | None,
        fields: dict[str, Any],
    ) -> Run:
        """The run itself; what is left in `fields` says how it came about."""
        at = scheduled_at or self.clock.now()
        known = {name: fields.pop(name) for name in Run.__struct_fields__ if name in fields}
        if status == "failed":
            known.setdefault("error_kind", "http_5xx")
            known.setdefault("error_message", "HTTP 500 from https://example.com/in")
        if status == "running":
            known.setdefault("in_flight", True)
            known.setdefault("next_status", "succeeded")
        lasts = timedelta(seconds=2 if kind == "hog_flow" else 0)
        done = None if status == "running" else at + lasts
        run = Run(
            kind=kind,
            invocation_id=invocation_id or self.ids.run(at),
            workflow_id=source_id,
            scheduled_at=at,
            status=status,
            **{"started_at": at, "finished_at": done, **known},
        )
        self.runs[run.invocation_id] = run
        return run
