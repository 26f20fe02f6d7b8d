"""What tests of actions share: a sandbox, a Dagster instance and a ledger, and jobs run on them."""

import atexit
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.storage.runs.schema import KeyValueStoreTable

from hog_dagster.jobs import (
    build_batch_job,
    build_reconcile_job,
    build_replay_job,
    build_schedule_create_job,
)
from hog_dagster.ledger import Ledger, Observer
from hog_dagster.policies import Safety
from hog_dagster.resources import LedgerResource, PostHogResource
from hog_dagster.sandbox import Sandbox

__all__ = ["DAILY", "House", "Ran", "an_instance", "effects", "free_port", "house", "house_of"]

#: A schedule as the tests make it.
DAILY = {"rrule": "FREQ=DAILY", "starts_at": "2031-05-01T09:00:00+00:00"}


class WatchedLedger(LedgerResource):
    """A ledger whose changes a test is told of: inside the transaction, and after its commit."""

    @property
    def ledger(self) -> Ledger:
        opened = super().ledger
        opened.observer, opened.after_commit = _WATCHING.get(self.url, (None, None))
        return opened


#: Address of a ledger -> who is told of its changes.
_WATCHING: dict[str, tuple[Observer | None, Observer | None]] = {}


@dataclass
class Ran:
    """How a run of a job ended."""

    success: bool
    value: dict[str, Any]
    failure: str
    run_id: str
    metadata: dict[str, Any]
    log: list[str] = field(default_factory=list)

    @property
    def said(self) -> str:
        """What the run wrote into its log."""
        return "\n".join(self.log)

    def rows(self, what: str) -> dict[str, int]:
        """Rows of the table that are about `what`: which -> runs."""
        records = [one.data for one in self.metadata["table"]]
        return {row["which"]: row["runs"] for row in records if row["what"] == what}


@dataclass
class House:
    """A PostHog, a Dagster instance and a ledger; each `run` is a Dagster run of its own."""

    url: str
    api_key: str
    project_id: int
    instance: dg.DagsterInstance
    ledger_url: str
    read_timeout: float = 5.0
    safety: Safety | None = None
    op_retry_policy: dg.RetryPolicy | None = None
    #: A run that failed: runs are its re-executions, as Dagster's run retries and operators make.
    again_of: str | None = None
    world_of: Sandbox | None = None

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox behind the url, when it runs in this process."""
        assert self.world_of is not None
        return self.world_of

    @property
    def posthog(self) -> PostHogResource:
        return PostHogResource(
            host=self.url,
            api_key=self.api_key,
            project_id=str(self.project_id),
            read_timeout_seconds=self.read_timeout,
            max_wait_seconds=60,
        )

    @property
    def ledger(self) -> LedgerResource:
        return WatchedLedger(url=self.ledger_url)

    def watch(self, observer: Observer | None = None, after_commit: Observer | None = None) -> None:
        """Be told of each change of the ledger: before its commit, and after it."""
        _WATCHING[self.ledger_url] = (observer, after_commit)

    def resources(self) -> dict[str, Any]:
        return {"posthog": self.posthog, "ledger": self.ledger}

    def book(self) -> Ledger:
        return Ledger(self.ledger_url)

    def states(self, **filters: Any) -> dict[str, str]:
        """State of each action, by kind and subject."""
        with self.book() as book:
            return {f"{e.kind}:{e.subject}": str(e.state) for e in book.entries(**filters)}

    def run(
        self,
        job: dg.JobDefinition,
        config: Mapping[str, Any],
        tags: Mapping[str, str] | None = None,
    ) -> Ran:
        run_config = {"ops": {f"{job.name}_op": {"config": dict(config)}}}
        if self.again_of is not None:
            return self._run_again(job, run_config, self.again_of)
        result = job.execute_in_process(
            instance=self.instance,
            resources=self.resources(),
            raise_on_error=False,
            run_config=run_config,
            tags=dict(tags or {}),
        )
        return ran(result, f"{job.name}_op")

    def _run_again(self, job: dg.JobDefinition, run_config: Any, first: str) -> Ran:
        bound = dg.Definitions(jobs=[job], resources=self.resources()).resolve_job_def(job.name)
        run = self.instance.create_run_for_job(
            bound, run_config=run_config, root_run_id=first, parent_run_id=first
        )
        with execute_run(InMemoryJob(bound), run, self.instance) as result:
            return ran(result, f"{job.name}_op")

    def replay(self, workflow: str | Sequence[str], runs: Sequence[Any] = (), **config: Any) -> Ran:
        job = build_replay_job(safety=self.safety, op_retry_policy=self.op_retry_policy)
        given = {"dry_run": False, "grace_seconds": 1.5, "verify_seconds": 0.0, **config}
        named = [as_config(run) for run in runs]
        return self.run(job, {"workflows": workflow, "runs": named, **given})

    def batch(self, workflow: str, **config: Any) -> Ran:
        job = build_batch_job(safety=self.safety, op_retry_policy=self.op_retry_policy)
        given = {"dry_run": False, "grace_seconds": 1.5, "reconcile_seconds": 0.0, **config}
        return self.run(job, {"workflow": workflow, **given})

    def schedule(self, workflow: str, **config: Any) -> Ran:
        job = build_schedule_create_job(safety=self.safety, op_retry_policy=self.op_retry_policy)
        given = {
            **DAILY,
            "dry_run": False,
            "grace_seconds": 1.5,
            "reconcile_seconds": 0.0,
            **config,
        }
        return self.run(job, {"workflow": workflow, **given})

    def reconcile(self, grace_seconds: float = 1.5) -> Ran:
        return self.run(build_reconcile_job(), {"grace_seconds": grace_seconds})


def ran(result: Any, op: str) -> Ran:
    """A result of a job run in this process, in short."""
    failure, metadata, log = "", {}, []
    for event in result.all_events:
        if event.event_type_value == "STEP_FAILURE":
            data = event.step_failure_data
            user = data.user_failure_data
            failure = str(
                user.description if user else data.error.to_string() if data.error else ""
            )
            metadata = dict(user.metadata) if user else {}
        elif event.is_successful_output:
            metadata = dict(event.step_output_data.metadata)
    value = result.output_for_node(op) if result.success else {}
    plain = {name: _plain(item) for name, item in metadata.items()}
    return Ran(result.success, value, failure, result.run_id, plain, log)


def _plain(item: Any) -> Any:
    if isinstance(item, dg.TableMetadataValue):
        return item.records
    return getattr(item, "value", item)


def as_config(run: Any) -> dict[str, Any]:
    """A run as the replay job's config takes it: of a mapping, or a run of the sandbox."""
    if isinstance(run, Mapping):
        names = ("instance_id", "action_id", "event_uuid", "scheduled_at")
        return {name: run[name] for name in names if run.get(name)}
    return {"instance_id": run.invocation_id, "scheduled_at": run.scheduled_at.isoformat()}


def effects(sandbox: Sandbox) -> dict[str, int]:
    """How often each run was really replayed or run again."""
    counts: dict[str, int] = {}
    for execution in sandbox.world.executions:
        if execution.cause in ("replay", "rerun"):
            counts[execution.invocation_id] = counts.get(execution.invocation_id, 0) + 1
    return counts


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def house_of(sandbox: Sandbox, instance: dg.DagsterInstance, folder: Path) -> House:
    """A house on a sandbox of this process; its ledger is in `folder`."""
    return House(
        url=sandbox.url,
        api_key=sandbox.api_key,
        project_id=sandbox.project_id,
        instance=instance,
        ledger_url=f"sqlite:///{folder}/ledger.sqlite",
        world_of=sandbox,
    )


@contextmanager
def house(folder: Path, generation: Any = "current", **options: Any) -> Iterator[House]:
    """A house on a fresh sandbox without rate limits, in `folder`."""
    given = {"populate": False, "limits": False, "marker_lag": 0.0, **options}
    with Sandbox(generation, **given) as sandbox, an_instance() as instance:
        yield house_of(sandbox, instance, folder)


#: Instances in memory that nobody uses just now, empty. Making one takes as long as a run.
_IDLE: list[dg.DagsterInstance] = []


@contextmanager
def an_instance() -> Iterator[dg.DagsterInstance]:
    """An empty Dagster instance in memory."""
    instance = _IDLE.pop() if _IDLE else dg.DagsterInstance.ephemeral()
    try:
        yield instance
    finally:
        instance.wipe()
        storage: Any = instance.run_storage
        with storage.connect() as connection:  # what wiping leaves
            connection.execute(KeyValueStoreTable.delete())
        _IDLE.append(instance)


@atexit.register
def _dispose_of_idle_instances() -> None:
    for instance in _IDLE:
        instance.dispose()
