"""The acts of the fault matrix: how each is ordered, launched, and counted by its effects."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hog_dagster.sandbox import Sandbox
from tests.acting_kit import House, Ran, as_config

__all__ = ["COLUMNS", "GRACE", "Column", "Order", "launch"]

#: Seconds on the sandbox's clock after which an absence is believed.
GRACE = 600.0


@dataclass(frozen=True)
class Order:
    """What is to be done once; plain values, so that it can be handed to another process."""

    column: str
    workflow: str
    runs: list[dict[str, Any]] = field(default_factory=list)
    key: str | None = "2026-11-20T09:00:00Z"


@dataclass(frozen=True)
class Column:
    """A kind of act.

    Attributes:
        name: as in the table.
        generation: of the sandbox it needs.
        post: glob of the path that acts.
        make: puts what is to be acted on into the sandbox.
        effects: how often each subject was really acted on.
    """

    name: str
    generation: Any
    post: str
    make: Callable[[Sandbox, int], Order]
    effects: Callable[[Sandbox, Order], dict[str, int]]


def _blocked(name: str) -> Callable[[Sandbox, int], Order]:
    def make(sandbox: Sandbox, n: int) -> Order:
        workflow = sandbox.world.add_workflow("W")["id"]
        runs = sandbox.world.add_blocked_runs(workflow, n)
        return Order(name, workflow, [as_config(run) for run in runs])

    return make


def _failed(sandbox: Sandbox, n: int) -> Order:
    workflow = sandbox.world.add_workflow("W")["id"]
    runs = [sandbox.world.add_run(workflow, "failed") for _ in range(n)]
    an_hour_ago = sandbox.clock.now() - timedelta(hours=1)
    sandbox.world.emit_metric(workflow, an_hour_ago, "failed", "failure", n)
    return Order("rerun", workflow, [as_config(run) for run in runs])


def _to_send(name: str) -> Callable[[Sandbox, int], Order]:
    def make(sandbox: Sandbox, n: int) -> Order:
        return Order(name, sandbox.world.add_workflow("W", trigger="batch")["id"])

    return make


def _replayed(sandbox: Sandbox, order: Order) -> dict[str, int]:
    counts = {run["instance_id"]: 0 for run in order.runs}
    for effect in list(sandbox.world.replays):
        if effect.workflow_id == order.workflow:
            counts[effect.instance_id] = counts.get(effect.instance_id, 0) + 1
    return counts


def _sent(sandbox: Sandbox, order: Order) -> dict[str, int]:
    sends = [s for s in list(sandbox.world.batch_sends) if s.workflow_id == order.workflow]
    return {"batch": len(sends)}


def _scheduled(sandbox: Sandbox, order: Order) -> dict[str, int]:
    made = [s for s in list(sandbox.world.schedules.values()) if s.workflow_id == order.workflow]
    return {"schedule": len(made)}


COLUMNS: Mapping[str, Column] = {
    column.name: column
    for column in (
        Column("replay", "docs", "*/replay_blocked_run/", _blocked("replay"), _replayed),
        Column(
            "bulk replay",
            "docs",
            "*/replay_all_blocked_runs/",
            _blocked("bulk replay"),
            _replayed,
        ),
        Column("rerun", "current", "*/rerun/", _failed, _replayed),
        Column("batch job", "current", "*/batch_jobs/", _to_send("batch job"), _sent),
        Column(
            "schedule create",
            "current",
            "*/schedules/",
            _to_send("schedule create"),
            _scheduled,
        ),
    )
}


def launch(home: House, order: Order, **config: Any) -> Ran:
    """Launch a Dagster run that is to carry out the order."""
    given = {"grace_seconds": GRACE, "lock_wait_seconds": 0.3, **config}
    if order.column == "batch job":
        return home.batch(order.workflow, key=order.key, **given)
    if order.column == "schedule create":
        return home.schedule(order.workflow, **given)
    if order.column == "rerun":
        given["slice_size"] = 2
    if order.column == "bulk replay":
        given["mode"] = "bulk"
    return home.replay(order.workflow, order.runs, **given)
