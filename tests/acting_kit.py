"""What tests of acts share: a sandbox, a Dagster instance and a ledger, and jobs run on them."""

import atexit
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from hog_dagster.actions._protocol import StepObserver
from hog_dagster.jobs import (
    build_batch_job,
    build_replay_job,
    build_schedule_create_job,
    build_settle_job,
)
from hog_dagster.ledger import Ledger
from hog_dagster.resources import LedgerResource, PostHogResource
from hog_dagster.sandbox import Sandbox

__all__ = ["DAILY", "House", "Ran", "free_port", "house", "house_of", "replay_effects"]

#: A schedule as the tests make it.
DAILY = {"rrule": "FREQ=DAILY", "starts_at": "2031-05-01T09:00:00+00:00"}


@dataclass
class Ran:
    """How a run of a job ended."""

    success: bool
    value: dict[str, Any]
    failure: str
    run_id: str
    metadata: dict[str, Any]


@dataclass
class House:
    """A PostHog, a Dagster instance and a ledger; each `run` is a Dagster run of its own."""

    url: str
    api_key: str
    project_id: int
    instance: dg.DagsterInstance
    ledger_url: str
    read_timeout: float = 20.0
    on_step: StepObserver | None = None
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
        return LedgerResource(url=self.ledger_url)

    def resources(self) -> dict[str, Any]:
        return {"posthog": self.posthog, "ledger": self.ledger}

    def book(self) -> Ledger:
        return Ledger(self.ledger_url)

    def states(self, **filters: Any) -> dict[str, str]:
        """State of each act, by kind and subject."""
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

    def replay(self, workflow_id: str, runs: Sequence[Any], **config: Any) -> Ran:
        job = build_replay_job(on_step=self.on_step, op_retry_policy=self.op_retry_policy)
        given = {"dry_run": False, "grace_seconds": 1.5, "verify_seconds": 0.0, **config}
        named = [as_config(run) for run in runs]
        return self.run(job, {"workflow_id": workflow_id, "runs": named, **given})

    def batch(self, workflow_id: str, **config: Any) -> Ran:
        job = build_batch_job(on_step=self.on_step, op_retry_policy=self.op_retry_policy)
        given = {"dry_run": False, "grace_seconds": 1.5, "settle_seconds": 0.0, **config}
        return self.run(job, {"workflow_id": workflow_id, **given})

    def schedule(self, workflow_id: str, **config: Any) -> Ran:
        job = build_schedule_create_job(on_step=self.on_step, op_retry_policy=self.op_retry_policy)
        given = {
            **DAILY,
            "dry_run": False,
            "grace_seconds": 1.5,
            "settle_seconds": 0.0,
            **config,
        }
        return self.run(job, {"workflow_id": workflow_id, **given})

    def settle(self, grace_seconds: float = 1.5) -> Ran:
        return self.run(build_settle_job(), {"grace_seconds": grace_seconds})


def ran(result: Any, op: str) -> Ran:
    """A result of a job run in this process, in short."""
    failure, metadata = "", {}
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
    plain = {name: getattr(item, "value", item) for name, item in metadata.items()}
    return Ran(result.success, value, failure, result.run_id, plain)


def as_config(run: Any) -> dict[str, Any]:
    """A run as the replay job's config takes it: of a mapping, or a run of the sandbox."""
    if isinstance(run, Mapping):
        names = ("instance_id", "action_id", "event_uuid", "scheduled_at")
        return {name: run[name] for name in names if run.get(name)}
    return {"instance_id": run.invocation_id, "scheduled_at": run.scheduled_at.isoformat()}


def replay_effects(sandbox: Sandbox) -> dict[str, int]:
    """How often each run was really replayed or run again."""
    counts: dict[str, int] = {}
    for effect in sandbox.world.replays:
        counts[effect.instance_id] = counts.get(effect.instance_id, 0) + 1
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
def house(folder: Path, generation: Any = "docs", **options: Any) -> Iterator[House]:
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
        _IDLE.append(instance)


@atexit.register
def _put_away() -> None:
    for instance in _IDLE:
        instance.dispose()
