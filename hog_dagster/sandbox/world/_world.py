"""The truth behind the double: everything that is in the sandbox's project, and builders that put
it there.
"""

import heapq
import random
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.sandbox.clock import Clock
from hog_dagster.sandbox.engine import settle
from hog_dagster.sandbox.family_world import FamilyBuilders
from hog_dagster.sandbox.graphs import build_actions, build_edges, compile_graph
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
from hog_dagster.sandbox.world._execution import repair, start
from hog_dagster.sandbox.world._history import add_history, add_rerun
from hog_dagster.sandbox.world._merging import MergingTable
from hog_dagster.sandbox.world._run_rows import RunRows, source_of

__all__ = ["World"]

WAIT_ACTION = "action_wait_until_condition_ab12cd34"


#: Another member of the organisation, for what was not made with the sandbox's own keys.
COLLEAGUE = User(
    id=2,
    uuid="01a1fbfc-600e-0000-a1b2-3c0c9fbda4f4",
    distinct_id="pQ3329V2IP3KuRFmTPaQj1CT3Pj8HV6EdNE79sIakJZ",
    first_name="Colleague",
    last_name="Two",
    email="colleague@example.com",
)


class World(Behaviour, FamilyBuilders):
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

    # -- builders ----------------------------------------------------------------------------------

    def add_workflow(
        self,
        name: str | None = "Workflow",
        trigger: str | dict[str, Any] = "event",
        actions: Any = None,
        status: str = "active",
        id: str | None = None,
        *,
        edges: Any = None,
        description: str = "",
        created_at: datetime | None = None,
        updated_at: datetime | None = None,
        variables: list[dict[str, Any]] | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Put a workflow into the project.

        Args:
            trigger: a trigger type ("event", "batch", "schedule", "webhook", "manual", ...) or a
            whole
                trigger config.
            actions: the steps without or with the trigger; None for a webhook step; ``{}`` for a
            row
                that never got a graph.
            fields: any other field of the row, such as `exit_condition`.

        Returns:
            The stored row in short: id, name, status, trigger, actions, edges.
        """
        with self.lock:
            now = created_at or self.clock.now()
            graph: Any = {} if actions == {} else build_actions(trigger, actions)
            wires = edges
            if edges is None:
                wires = build_edges(graph) if graph else {}
            row = Workflow(
                id=id or self.ids.row(now),
                name=name,
                description=description,
                status=status,
                created_at=now,
                updated_at=updated_at or now,
                created_by=fields.pop("created_by", self.user),
                actions=graph,
                edges=wires,
                variables=variables or [],
                **fields,
            )
            compile_graph(row)
            self.workflows[row.id] = row
            return {
                "id": row.id,
                "name": row.name,
                "status": row.status,
                "trigger": row.trigger,
                "actions": row.actions,
                "edges": row.edges,
            }

    def add_logs(self, workflow_id: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Store log rows: mappings with instance_id, timestamp (aware), level, message.

        `visible_at` makes a row arrive late; `unmerged` lets a second row of one run and time be
        seen beside the first. Returns how many rows the table holds more: it keeps one per run and
        time.
        """
        with self.lock:
            return sum(
                self.logs.add(
                    workflow_id,
                    str(row["instance_id"]),
                    row["timestamp"],
                    row.get("level", "INFO"),
                    row["message"],
                    visible_at=row.get("visible_at")
                    or row["timestamp"] + timedelta(seconds=self.log_lag),
                    unmerged=bool(row.get("unmerged")),
                )
                for row in rows
            )

    def emit_metric(
        self,
        source_id: str,
        at: datetime,
        name: str,
        kind: str,
        count: int = 1,
        instance_id: str = "",
        *,
        visible_at: datetime | None = None,
    ) -> None:
        """Count something.

        `instance_id` is empty for a whole run, an action's id for a step of one.
        """
        with self.lock:
            if visible_at is None:
                self.metrics.add(source_id, at, name, kind, count, instance_id)
            else:
                self.metrics.add_late(
                    source_id, at, name, kind, count, instance_id, visible_at=visible_at
                )

    def add_blocked_runs(
        self,
        workflow_id: str,
        n: int,
        unreplayable: int = 0,
        *,
        at: datetime | None = None,
        spacing: float = 0.0,
        action_id: str = WAIT_ACTION,
    ) -> list[dict[str, Any]]:
        """Block `n` runs as the deduplication fault did: one log row each, no more steps.

        Args:
            n: how many in all, of which `unreplayable` can never be replayed: by turns the event is
                gone, or the message names none.
            at: time of the newest log row; a minute ago by default.
            spacing: seconds between rows; 0 gives all the same timestamp, as a burst does.

        Returns:
            instance_id, action_id, event_uuid, timestamp and message of each, newest first.
        """
        made: list[dict[str, Any]] = []
        with self.lock:
            newest = at or self.clock.now() - timedelta(minutes=1)
            newest = newest.replace(microsecond=newest.microsecond // 1000 * 1000)
            for index in range(n):
                moment = newest - timedelta(seconds=spacing * index)
                instance = self.ids.run(moment - timedelta(seconds=30))
                event: str | None = self.ids.event()
                lost = index < unreplayable
                message = (
                    f"[Action:{action_id}] Skipped: duplicate execution detected for event {event}"
                )
                if lost and index % 2:
                    message, event = f"[Action:{action_id}] duplicate execution detected", None
                else:
                    other = self.ids.row(moment)
                    message += f". Another invocation ({other}) is running"
                    if not lost and event:
                        self.events.add(event)
                self.logs.add(workflow_id, instance, moment, "WARN", message)
                made.append(
                    {
                        "instance_id": instance,
                        "action_id": action_id,
                        "event_uuid": event,
                        "timestamp": moment,
                        "message": message,
                    }
                )
        return made

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

    def add_person(self, distinct_id: str | None = None, **properties: Any) -> Person:
        """Add a person with these properties."""
        with self.lock:
            number = len(self.people) + 1
            person = Person(
                id=self.ids.row(self.clock.now()),
                distinct_id=distinct_id or f"user_{number}",
                properties=properties,
            )
            self.people.append(person)
            return person

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

    def add_schedule(self, workflow_id: str, rrule: str, **fields: Any) -> Schedule:
        """Add a schedule to a workflow."""
        with self.lock:
            now = fields.pop("created_at", None) or self.clock.now()
            fields.setdefault("starts_at", now)
            row = Schedule(
                id=self.ids.row(now),
                workflow_id=workflow_id,
                rrule=rrule,
                created_at=now,
                updated_at=fields.pop("updated_at", now),
                **fields,
            )
            self.schedules[row.id] = row
            return row

    def add_batch_job(self, workflow_id: str, **fields: Any) -> BatchJob:
        """Add a batch job to a workflow's history. This is a record only: nothing is sent."""
        with self.lock:
            at = fields.pop("created_at", None) or self.clock.now()
            row = BatchJob(
                id=self.ids.row(at),
                workflow_id=workflow_id,
                created_at=at,
                updated_at=fields.pop("updated_at", at),
                **fields,
            )
            self.batch_jobs[row.id] = row
            return row

    # -- what the server writes itself -------------------------------------------------------------

    def write_log(
        self,
        source_id: str,
        instance_id: str,
        level: str,
        message: str,
        *,
        lag: float | None = None,
    ) -> None:
        """A log row of this very moment, at millisecond precision, visible after the lag."""
        now = self.clock.now()
        at = now.replace(microsecond=now.microsecond // 1000 * 1000)
        wait = timedelta(seconds=self.log_lag if lag is None else lag)
        self.logs.add(source_id, instance_id, at, level, message, visible_at=now + wait)
