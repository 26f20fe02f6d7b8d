"""The actions of the fault matrix: how each is ordered, launched, and counted by its effects."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hog_dagster.sandbox import Sandbox
from tests.acting_kit import House, Ran, as_config

__all__ = ["COLUMNS", "GRACE", "RERUNS", "RESTARTS", "RESUMES", "Column", "Order", "launch"]

#: Seconds on the sandbox's clock after which an absence is believed; of a rerun, four times that.
GRACE = 600.0


@dataclass(frozen=True)
class Order:
    """What is to be done once; plain values, so that it can be handed to another process."""

    column: str
    target: str
    runs: list[dict[str, Any]] = field(default_factory=list)
    key: str | None = "2026-11-20T09:00:00Z"


@dataclass(frozen=True)
class Column:
    """A kind of action.

    Attributes:
        name: as in the table.
        generation: of the sandbox it needs.
        post: glob of the path that acts.
        make: puts what is to be acted on into the sandbox.
        effects: how often each subject was really executed, sent or made.
        missing: endpoints that the server lacks.
        function: it acts on a hog function.
    """

    name: str
    generation: Any
    post: str
    make: Callable[[Sandbox, int], Order]
    effects: Callable[[Sandbox, Order], dict[str, int]]
    missing: tuple[str, ...] = ()
    function: bool = False

    def messages(self, sandbox: Sandbox, order: Order) -> int:
        """Messages that left because of the action."""
        world = sandbox.world
        first = {(x.invocation_id, x.number) for x in world.executions if x.cause == "first"}
        return sum(
            one.source_id == order.target and (one.invocation_id, one.execution) not in first
            for one in world.messages
        )


def _blocked(sandbox: Sandbox, n: int) -> Order:
    workflow = sandbox.world.add_workflow("W")["id"]
    runs = sandbox.world.add_blocked_runs(workflow, n)
    return Order("replay", workflow, [as_config(run) for run in runs])


def _failed(name: str) -> Callable[[Sandbox, int], Order]:
    def make(sandbox: Sandbox, n: int) -> Order:
        workflow = sandbox.world.add_workflow("W")["id"]
        at = sandbox.clock.now() - timedelta(minutes=10)
        runs = [sandbox.world.add_run(workflow, "failed", at, distinct_id="ada") for _ in range(n)]
        sandbox.world.emit_metric(workflow, at, "failed", "failure", n)
        return Order(name, workflow, [as_config(run) for run in runs])

    return make


def _failed_function(sandbox: Sandbox, n: int) -> Order:
    function = sandbox.world.add_hog_function("F")
    at = sandbox.clock.now() - timedelta(minutes=10)
    id = function["id"]
    runs = [sandbox.world.add_function_run(id, "failed", at) for _ in range(n)]
    return Order("rerun of a hog function", id, [as_config(run) for run in runs])


def _to_send(name: str) -> Callable[[Sandbox, int], Order]:
    def make(sandbox: Sandbox, n: int) -> Order:
        return Order(name, sandbox.world.add_workflow("W", trigger="batch")["id"])

    return make


def _executed(sandbox: Sandbox, order: Order) -> dict[str, int]:
    counts = {run["instance_id"]: 0 for run in order.runs}
    for execution in list(sandbox.world.executions):
        if execution.source_id == order.target and execution.cause in ("replay", "rerun"):
            counts[execution.invocation_id] = counts.get(execution.invocation_id, 0) + 1
    return counts


def _sent(sandbox: Sandbox, order: Order) -> dict[str, int]:
    sends = [s for s in list(sandbox.world.batch_sends) if s.workflow_id == order.target]
    people = [
        x
        for x in list(sandbox.world.executions)
        if x.source_id == order.target and x.cause == "batch"
    ]
    return {"batch": len(sends), "person": len(people)}


def _scheduled(sandbox: Sandbox, order: Order) -> dict[str, int]:
    made = [s for s in list(sandbox.world.schedules.values()) if s.workflow_id == order.target]
    return {"schedule": len(made)}


RESTARTS, RESUMES = "rerun, before #85156, restarts", "rerun, after #85156, resumes"
#: Columns whose runs the product's own sensor finds.
RERUNS = (RESTARTS, RESUMES, "rerun of a hog function")

COLUMNS: Mapping[str, Column] = {
    column.name: column
    for column in (
        Column("replay", "docs", "*/replay_blocked_run/", _blocked, _executed),
        Column(
            RESTARTS,
            "mid2026",
            "*/hog_flows/*/rerun/",
            _failed(RESTARTS),
            _executed,
            missing=("hogql_runs",),
        ),
        Column(RESUMES, "current", "*/hog_flows/*/rerun/", _failed(RESUMES), _executed),
        Column(
            "rerun of a hog function",
            "current",
            "*/hog_functions/*/rerun/",
            _failed_function,
            _executed,
            function=True,
        ),
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
        return home.batch(order.target, key=order.key, skip_if_running=False, **given)
    if order.column == "schedule create":
        return home.schedule(order.target, **given)
    if order.column != "replay":
        given["slice_size"] = 2
    if COLUMNS[order.column].function:
        return home.replay([], order.runs, hog_functions=[order.target], **given)
    return home.replay(order.target, order.runs, **given)
