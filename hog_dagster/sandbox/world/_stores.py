"""What is in the sandbox's project, and the queue of what comes up at which moment."""

import heapq
import random
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, get_origin, get_type_hints

from hog_dagster.sandbox.world._analytics_model import (
    Activity,
    Calculation,
    Dashboard,
    Event,
    Group,
    GroupType,
    Insight,
    PersonRow,
    Result,
    UsageMetric,
)
from hog_dagster.sandbox.world._behaviour import Behaviour, Generation
from hog_dagster.sandbox.world._clock import Clock
from hog_dagster.sandbox.world._event_stream import EventStream
from hog_dagster.sandbox.world._ids import Ids
from hog_dagster.sandbox.world._logs import LogStore
from hog_dagster.sandbox.world._merging import MergingTable
from hog_dagster.sandbox.world._messaging_model import MailState
from hog_dagster.sandbox.world._metrics import MetricStore
from hog_dagster.sandbox.world._model import (
    AssetRow,
    BatchJob,
    BatchSend,
    Execution,
    FunctionSend,
    HogFunction,
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
from hog_dagster.sandbox.world._run_rows import RunRows

#: Another member of the organisation, for what was not made with the sandbox's own keys.
COLLEAGUE = User(
    id=2,
    uuid="01a1fbfc-600e-0000-a1b2-3c0c9fbda4f4",
    distinct_id="pQ3329V2IP3KuRFmTPaQj1CT3Pj8HV6EdNE79sIakJZ",
    first_name="Colleague",
    last_name="Two",
    email="colleague@example.com",
)


class Rows:
    """The rows of one project that are plain values; the state file keeps all of them by name."""

    workflows: dict[str, Workflow]
    schedules: dict[str, Schedule]
    batch_jobs: dict[str, BatchJob]
    #: The runs as the queue knows them, of workflows and of hog functions.
    runs: dict[str, Run]
    rerun_jobs: list[RerunJob]
    people: list[Person]
    #: Events that blocked runs can be replayed with.
    event_uuids: set[str]
    test_sends: list[TestSend]
    happened: list[Replay]
    sent: list[BatchSend]
    executed: list[Execution]
    sent_messages: list[SentMessage]
    hog_functions: dict[str, HogFunction]
    #: Every execution of a hog function that really happened through the API.
    function_sends: list[FunctionSend]
    group_types: dict[int, GroupType]
    usage_metrics: dict[str, UsageMetric]
    groups: dict[str, Group]
    events: list[Event]
    pending_events: list[tuple[datetime, dict[str, Any]]]
    persons: dict[str, PersonRow]
    person_ids: dict[str, str]
    insights: dict[int, Insight]
    dashboards: dict[int, Dashboard]
    query_results: dict[str, Result]
    calculations: dict[str, Calculation]
    activity: list[Activity]
    #: All of the project's mail that is no run and no message, and its switches.
    mail: MailState
    #: What tests and handlers keep besides.
    extra: dict[str, Any]


ROWS: dict[str, Any] = get_type_hints(Rows)


class Stores(Behaviour, Rows):
    """What one project holds, in memory, without the builders that add to it."""

    def __init__(self, clock: Clock, seed: int, generation: Generation) -> None:
        super().__init__(generation)
        for name, kind in ROWS.items():
            setattr(self, name, (get_origin(kind) or kind)())
        self.clock = clock
        self.generation = generation
        self.seed = seed
        self.lock: threading.RLock = threading.RLock()
        self.ids: Ids = Ids(seed)
        self.user: User = User()
        self.colleague: User = COLLEAGUE
        self.run_rows: RunRows = RunRows(seed, self.merging)
        self.assets: MergingTable[AssetRow] = MergingTable(f"assets:{seed}", self.merging)
        #: Very many events, for HogQL alone; not part of the state that is written to JSON.
        self.event_stream: EventStream | None = None
        self.logs: LogStore = LogStore(seed)
        self.metrics: MetricStore = MetricStore()
        self._numbers: dict[str, int] = {}
        #: What is lost, late or stuck is drawn from here.
        self.chance: random.Random = random.Random(f"chance:{seed}")
        self._queue: list[tuple[datetime, int, str, Any]] = []
        self._pushed = 0
        self.settling = False
        self._people: dict[str, Person] = {}
        #: Dedup messages count as blocked runs from here on, as the real incident had its window.
        self.incident_start: datetime = clock.now() - timedelta(days=25)
        self.incident_end: datetime | None = None

    @property
    def newer(self) -> bool:
        """Whether this is one of the newer generations, with runs instead of blocked runs."""
        return self.generation != "docs"

    def push(self, at: datetime, kind: str, what: Any) -> None:
        """Let something come up at a moment: a "run", a "job", or a "call"."""
        self._pushed += 1
        heapq.heappush(self._queue, (at, self._pushed, kind, what))

    def wake(self, run: Run, at: datetime) -> None:
        """Let the queue take up a run at a moment."""
        self.push(at, "run", run.invocation_id)

    def later(self, at: datetime, call: Callable[[], object]) -> None:
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
