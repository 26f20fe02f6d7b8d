"""The checker finds what it must: for each promise an engine that breaks it, in a calm world."""

from collections.abc import Callable
from typing import Any

import pytest

from hog_dagster.ledger import Action, Entry
from tests.simulation import history
from tests.simulation.engine import Engine
from tests.simulation.history import run_history
from tests.simulation.orders import Order, Report

RERUNS = {"mid2026": ("rerun",)}
BATCHES = {"current": ("batch_send",)}


class Broken:
    """An engine of a few lines, in the place of ours, with a fault of its own."""

    def __init__(self, carry_out: Callable[[Engine, Order, bool], None]) -> None:
        self._carry_out = carry_out

    def carry_out(self, engine: Engine, order: Order, *, dry_run: bool) -> Report:
        self._carry_out(engine, order, dry_run)
        return Report(sentence="done")

    def detect(self, engine: Engine, order: Order) -> tuple[str, ...]:
        return order.runs

    def reconcile(self, engine: Engine) -> Report:
        return Report(sentence="nothing to do")


def marked(engine: Engine, order: Order, subject: str) -> Entry | None:
    """A row of the ledger that is marked as sent; None when there is one already."""
    action = Action(1, order.kind, order.target, subject, target_type=order.target_type)
    claim = engine.ledger.claim(action, engine.process.name)
    if not claim.granted:
        return None
    return engine.ledger.mark_sent([claim.entry], server_time=None)[0]


def rerun(engine: Engine, order: Order, run: str) -> Any:
    now = engine.clock.now()
    return engine.client.workflows.rerun(
        order.target,
        window_start=now.replace(year=2026, month=10, day=20),
        window_end=now.replace(year=2026, month=11, day=10),
        invocation_ids=[run],
        status=["failed"],
    )


def batch(engine: Engine, order: Order) -> Any:
    workflow = engine.client.workflows.get(order.target)
    radius = engine.client.workflows.blast_radius(workflow.trigger.get("filters") or {})
    return engine.client.workflows.create_batch_job(
        order.target, variables=order.variables, confirm_token=radius.confirm_token
    )


def without_memory(engine: Engine, order: Order, dry_run: bool) -> None:
    if not dry_run:
        batch(engine, order)


def lazy(engine: Engine, order: Order, dry_run: bool) -> None:
    """Does nothing at all."""


def gives_up(engine: Engine, order: Order, dry_run: bool) -> None:
    if not dry_run and (entry := marked(engine, order, order.key)):
        engine.ledger.refuse(entry, note="a proxy said 403")


def believes(engine: Engine, order: Order, dry_run: bool) -> None:
    if not dry_run and (entry := marked(engine, order, order.key)):
        engine.ledger.confirm(entry, note="it will have happened")


def denies(engine: Engine, order: Order, dry_run: bool) -> None:
    if not dry_run and (entry := marked(engine, order, order.key)):
        batch(engine, order)
        engine.ledger.release(entry, note="a proxy said 403")


def walks_away(engine: Engine, order: Order, dry_run: bool) -> None:
    if not dry_run and marked(engine, order, order.key):
        batch(engine, order)


def shrugs(engine: Engine, order: Order, dry_run: bool) -> None:
    if not dry_run and (entry := marked(engine, order, order.key)):
        batch(engine, order)
        engine.ledger.doubt(entry, note="who knows")


def sends_when_dry(engine: Engine, order: Order, dry_run: bool) -> None:
    batch(engine, order)


def writes_when_dry(engine: Engine, order: Order, dry_run: bool) -> None:
    entry = marked(engine, order, order.key)
    if entry and dry_run:
        engine.ledger.release(entry, note="dry")
    elif entry:
        engine.ledger.confirm(entry, note=batch(engine, order).id)


def reruns_for_ever(engine: Engine, order: Order, dry_run: bool) -> None:
    for run in order.runs if not dry_run else ():
        rerun(engine, order, run)


def crashes(engine: Engine, order: Order, dry_run: bool) -> None:
    raise ZeroDivisionError("an error of ours")


@pytest.mark.parametrize(
    ("rule", "carry_out", "kinds", "trouble"),
    [
        ("once", without_memory, BATCHES, ()),
        ("lost", lazy, BATCHES, ()),
        ("lost", lazy, RERUNS, ()),
        ("refused", gives_up, BATCHES, ()),
        ("confirmed", believes, BATCHES, ()),
        ("not sent", denies, BATCHES, ()),
        ("settled", walks_away, BATCHES, ()),
        ("remedy", shrugs, BATCHES, ()),
        ("dry run", sends_when_dry, BATCHES, ("dry runs",)),
        ("dry run", writes_when_dry, BATCHES, ("dry runs",)),
        ("max_reruns", reruns_for_ever, RERUNS, ()),
        ("already sent", reruns_for_ever, RERUNS, ()),
        ("error", crashes, BATCHES, ()),
    ],
)
def test_the_checker_finds_an_engine_that_breaks_a_promise(
    rule: str,
    carry_out: Callable[[Engine, Order, bool], None],
    kinds: dict[str, tuple[str, ...]],
    trouble: tuple[str, ...],
) -> None:
    found: set[str] = set()
    for seed in range(1, 16):
        outcome = run_history(
            seed,
            door=Broken(carry_out),
            generations=tuple(kinds),
            kinds=kinds,
            trouble=frozenset(trouble),
        )
        found |= {violation.rule for violation in outcome.violations}
    assert rule in found


def test_the_checker_knows_nothing_of_the_engine() -> None:
    from pathlib import Path

    text = (Path(__file__).parent / "checker.py").read_text()
    assert "hog_dagster.actions" not in text
    assert "simulation.engine" not in text


def test_a_ledger_that_is_refused_although_it_was_not_swapped_does_not_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calm = {"generations": ("mid2026",), "kinds": RERUNS, "trouble": {"ledger swapped"}}
    swaps = ("fault: an old backup", "fault: an empty ledger")
    monkeypatch.setattr(history, "check_pairing", lambda *_: "another ledger was used before")
    outcomes = [run_history(seed, **calm) for seed in range(1, 7)]
    unchanged = [one for one in outcomes if not any(one.counts[swap] for swap in swaps)]
    assert unchanged
    assert all(one.failed for one in unchanged)
