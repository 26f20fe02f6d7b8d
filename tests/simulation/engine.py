"""The engine under test, behind one door: the only module here that knows its names.

The checker must not import this; what it is told are effects and the ledger's rows.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.actions import (
    Actor,
    BatchSend,
    BlockedRun,
    Result,
    RunToRerun,
    ScheduleToCreate,
    Source,
    Summary,
    TimeWindow,
    create_schedule,
    detect_blocked,
    detect_failed,
    replay_blocked,
    rerun_failed,
    send_batch,
)
from hog_dagster.actions import reconcile as reconcile_actions
from hog_dagster.ledger import Ledger
from hog_dagster.policies import AlreadySent, BatchPolicy, ReplayPolicy
from hog_dagster.posthog import PostHogClient
from tests.simulation.orders import Order, Report
from tests.simulation.scheduler import LocalClock, Process, Scheduler

__all__ = ["GRACE", "Engine", "carry_out", "detect", "open_client", "reconcile", "resolve"]

GRACE = timedelta(minutes=15)
#: How long a process waits for another one on the same workflow.
LOCK_WAIT = 0.3


class _Quiet:
    def info(self, msg: str, /) -> None: ...
    def warning(self, msg: str, /) -> None: ...
    def error(self, msg: str, /) -> None: ...


@dataclass
class Engine:
    """What a simulated process hands to the engine."""

    scheduler: Scheduler
    process: Process
    client: PostHogClient
    ledger: Ledger
    clock: LocalClock
    #: How the sensor found each run: its step, its event, its time.
    known: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    #: What the Dagster side does once actions are marked as sent.
    on_marked: Callable[[], None] | None = None

    def actor(self) -> Actor:
        return Actor(
            self.client,
            self.ledger,
            self.process.name,
            alive=self.scheduler.alive,
            clock=self.clock,
            grace=GRACE,
            log=_Quiet(),
            on_marked=self.on_marked,
        )


def open_client(wire: Any, clock: LocalClock, key: str) -> PostHogClient:
    """A client as a Dagster run makes it."""
    client = PostHogClient(
        "https://posthog.test", key, 1, limits=False, max_wait=120.0, transport=wire, clock=clock
    )
    # Its lock is held during a request: of two greenlets on one thread none would go on.
    client.server._lock = nullcontext()  # type: ignore[assignment]
    return client


def carry_out(engine: Engine, order: Order, *, dry_run: bool, verify: float = 3.0) -> Report:
    """What a Dagster run does for an order."""
    actor = engine.actor()
    source = Source(order.target, order.target_type, "")
    with actor.holding(order.target, LOCK_WAIT) as held:
        if not held:
            return Report(sentence="another run holds the workflow")
        if order.kind == "replay":
            return _report(
                replay_blocked(
                    actor,
                    source,
                    [_blocked(engine, run) for run in order.runs],
                    _replay_policy(order, dry_run, verify),
                )
            )
        if order.kind == "rerun":
            return _report(
                rerun_failed(
                    actor,
                    source,
                    [RunToRerun(run) for run in order.runs],
                    _replay_policy(order, dry_run, verify),
                )
            )
        if order.kind == "batch_send":
            policy = BatchPolicy(
                dry_run=dry_run,
                skip_if_running=False,
                grace_seconds=GRACE.total_seconds(),
                reconcile_seconds=verify,
            )
            return _one(send_batch(actor, BatchSend(source, order.key, order.variables), policy))
        return _one(
            create_schedule(
                actor,
                ScheduleToCreate(
                    source,
                    "FREQ=DAILY",
                    datetime.fromisoformat(order.starts_at),
                    variables=order.variables,
                    key=order.key,
                    dry_run=dry_run,
                    reconcile_seconds=verify,
                ),
            )
        )


def _replay_policy(order: Order, dry_run: bool, verify: float) -> ReplayPolicy:
    return ReplayPolicy(
        dry_run=dry_run,
        max_reruns=order.max_reruns,
        already_sent=AlreadySent(order.already_sent),
        slice_size=order.slice_size,
        grace_seconds=GRACE.total_seconds(),
        verify_seconds=verify,
    )


def _blocked(engine: Engine, run: str) -> BlockedRun:
    known = engine.known.get(run, {})
    return BlockedRun(run, known.get("action_id"), known.get("event_uuid"))


def _report(summary: Summary) -> Report:
    items = {one.subject: (str(one.outcome), one.why) for one in summary.results.values()}
    return Report(items, summary.sentence())


def _one(result: Result) -> Report:
    return Report({result.subject: (str(result.outcome), result.why)}, str(result.outcome))


def detect(engine: Engine, order: Order) -> tuple[str, ...]:
    """Runs of the order's target that a sensor's tick would ask for."""
    actor = engine.actor()
    actor.know_the_time()
    source = Source(order.target, order.target_type, "")
    look = detect_blocked if order.kind == "replay" else detect_failed
    window = TimeWindow(actor.earliest() - timedelta(days=29))
    found = look(actor, source, _replay_policy(order, True, 0.0), window)
    for run in found.due:
        engine.known[run["instance_id"]] = run
    return tuple(run["instance_id"] for run in found.due)


def reconcile(engine: Engine) -> Report:
    """What the job that reconciles actions in doubt does."""
    return _report(reconcile_actions(engine.actor()))


def resolve(ledger: Ledger, row: int, outcome: str, reason: str) -> None:
    """An operator's word."""
    ledger.resolve(row, outcome, reason=reason, who="operator")
