"""One project of the sandbox: its stores, the builders that fill them, and its runs."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from hog_dagster.sandbox.world._behaviour import Generation
from hog_dagster.sandbox.world._builders import Builders
from hog_dagster.sandbox.world._clock import Clock
from hog_dagster.sandbox.world._execution import repair_run, start_execution
from hog_dagster.sandbox.world._history import add_history, add_rerun
from hog_dagster.sandbox.world._mail_builders import MailBuilders
from hog_dagster.sandbox.world._model import (
    BatchSend,
    Execution,
    PageFailure,
    Replay,
    Run,
    SentMessage,
)
from hog_dagster.sandbox.world._run_rows import source_of

T = TypeVar("T")


class World(Builders, MailBuilders):
    """One project's workflows, logs, metrics, runs and people, in memory.

    What really happened to people is in `executions` and `messages`; `replays` and `batch_sends`
    show some of the executions again: a test counts those, not the responses. What PostHog can tell
    about it is in `run_rows`, `assets` and `logs`. Builders may be called while the server runs.

    Args:
        settle: lets everything happen that is due by now; called before what happened is read.
    """

    def __init__(
        self,
        clock: Clock,
        seed: int = 1,
        *,
        generation: Generation = "docs",
        settle: Callable[["World"], None],
    ) -> None:
        super().__init__(clock, seed, generation)
        self._settle = settle

    @property
    def executions(self) -> list[Execution]:
        """Every execution of a run that really began by now, in order."""
        return self._settled(self.executed)

    @property
    def messages(self) -> list[SentMessage]:
        """Every message that really left by now, in order."""
        return self._settled(self.sent_messages)

    @property
    def replays(self) -> list[Replay]:
        """Every replay and rerun that really happened by now, in order."""
        return self._settled(self.happened)

    @property
    def batch_sends(self) -> list[BatchSend]:
        """Every batch job that really went out by now, in order, those of schedules included."""
        return self._settled(self.sent)

    def _settled(self, rows: list[T]) -> list[T]:
        with self.lock:
            self._settle(self)
            return rows

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
            start_execution(self, run, moment, cause=cause, takes=takes, ends=ends, row=row)
            return run

    def give_up(self, invocation_id: str, error_kind: str = "stuck_invocation") -> None:
        """Let PostHog give up on a run, with one of its own error kinds."""
        with self.lock:
            repair_run(self, self.runs[invocation_id], self.clock.now(), error_kind)

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
