"""Runs the history of one seed: chaos, quiet, an operator's day, and the outcome."""

import gc
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from hog_dagster.ledger import LedgerError, check_pairing, pairing_of
from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog.errors import PostHogError
from tests.simulation import checker, engine
from tests.simulation.books import Books
from tests.simulation.checker import Changed, Evidence, Violation, Wanted
from tests.simulation.company import Company
from tests.simulation.engine import Engine
from tests.simulation.network import Network, NetworkFaults
from tests.simulation.orders import Order, Report
from tests.simulation.places import Places
from tests.simulation.plan import Plan, draw_plan
from tests.simulation.scheduler import Faults, Interrupted, LocalClock, Process, Scheduler
from tests.simulation.sources import reruns_shown
from tests.simulation.trace import Trace
from tests.simulation.truth import Truth

__all__ = ["History", "Outcome", "collecting_rarely", "run_history"]

HOUR, DAY = 3600.0, 86400.0
#: What ends a process of a user too, and is no fault of the engine.
EXPECTED = (Interrupted, PostHogError, LedgerError)
#: States that the job which reconciles looks at.
OPEN = ("claimed", "sent", "in_doubt")
#: Quiet rounds, an hour and a quarter apart: rerun jobs may take four grace times.
ROUNDS, APART = 6, 4500.0


@dataclass
class Outcome:
    """How a history ended."""

    seed: int
    violations: list[Violation]
    counts: Counter[str]
    lines: list[str]

    @property
    def failed(self) -> bool:
        return bool(self.violations)


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Garbage is collected at the end only: what is loaded is looked through in vain each time."""
    was_on = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()
        gc.collect()


def run_history(
    seed: int,
    *,
    trace: bool = False,
    url: str | None = None,
    door: Any = engine,
    **options: Any,
) -> Outcome:
    """Run the history of a seed.

    Args:
        seed: all there is to know.
        trace: keep the lines.
        url: a PostgreSQL database for the ledger, used by this history alone.
        door: another engine in the place of ours, for tests of the checker.
        options: of `draw_plan`.
    """
    plan = draw_plan(seed, **options)
    state = random.getstate()
    random.seed(f"retries {seed}")  # what draws from no generator of its own: the client's pauses
    history = History(plan, Trace(on=trace), url, door)
    with ExitStack() as stack:
        stack.callback(random.setstate, state)
        stack.callback(history.books.close)
        stack.callback(history.scheduler.end)
        history.run()
    return Outcome(seed, history.violations, history.scheduler.counts, history.trace.lines)


class History:
    """Everything one history is made of."""

    def __init__(self, plan: Plan, trace: Trace, url: str | None, door: Any) -> None:
        seed = plan.seed
        self.door = door
        self.plan = plan
        self.trace = trace
        self.dice = random.Random(f"history {seed}")
        self.scheduler = Scheduler(random.Random(f"scheduler {seed}"), trace)
        self.clock = LocalClock(self.scheduler, plan.local_offset)
        self.books = Books(self.scheduler, self.clock, url=url)
        self.places = Places(plan, self.scheduler, random.Random(f"world {seed}"))
        self.truth = Truth(self.scheduler, self.places.sandbox)
        self.truth.rows_of = self.books.marked_by
        self.truth.ledger_is_wrong = lambda: self.books.wrong
        self.network = Network(
            self.scheduler, self.truth, self.places.send, random.Random(f"network {seed}")
        )
        self.orders = [
            order for n, kind in enumerate(plan.kinds, 1) for order in self.places.orders(n, kind)
        ]
        self.company = Company(self, random.Random(f"company {seed}"))
        self.known: dict[str, Any] = {}
        self.violations: list[Violation] = []
        self.instance: dict[str, str] | None = None
        self._number = 0
        self._clients: dict[str, PostHogClient] = {}

    def run(self) -> None:
        for line in self.plan.lines():
            self.trace("plan", line)
        for order in self.orders:
            self.trace("plan", f"{order}")
        self._chaos()
        self._quiet()
        swaps = ("fault: an old backup", "fault: an empty ledger")
        if self._refused() and any(self.scheduler.counts[swap] for swap in swaps):
            # Sends went by way of a backup, and then the old ledger came back: it is refused, with
            # its remedy, until an operator adopts it. So nothing more is settled or sent.
            self.scheduler.counts["ended with a refused ledger"] += 1
            self._judge(checker.check_history)
            return
        self._judge(checker.check_history, checker.check_end)
        if not self.violations and self._operators_day():
            self._judge(checker.check_history, checker.check_end)

    # --- the parts ------------------------------------------------------------------------------

    def _chaos(self) -> None:
        plan, dice, scheduler = self.plan, self.dice, self.scheduler
        scheduler.faults, self.network.faults = plan.faults, plan.network
        at = 0.0
        for _ in range(plan.launches):
            together = dice.choice((1, 1, 2, 3)) if "together" in plan.trouble else 1
            order = dice.choice(self.orders)
            for _ in range(together):
                what = dice.choice(("job", "job", "job", "tick", "tick", "reconcile"))
                scheduler.after(at, self.launcher(what, order))
            at += plan.spacing * dice.uniform(0.2, 1.8)
        self.company.invite(at)
        scheduler.run(at + plan.spacing)

    def _quiet(self) -> None:
        scheduler = self.scheduler
        scheduler.faults, self.network.faults = Faults(), NetworkFaults()
        self.company.leave()
        self.trace("plan", "quiet from here on")
        if "months" in self.plan.trouble:
            scheduler.run(scheduler.now + self.dice.choice((31, 95)) * DAY)
        if "local steps" in self.plan.trouble:
            scheduler.run(scheduler.now + 1.5 * DAY)  # leases were given by a clock that ran ahead
        scheduler.run(idle=True)
        self._rounds(ROUNDS)

    def _rounds(self, most: int) -> None:
        """Launch again, a while apart, until nothing changes any more."""
        for _ in range(most):
            scheduler = self.scheduler
            scheduler.run(scheduler.now + APART)
            before = len(self.books.changes), len(self.truth.acting)
            if any(str(row.state) in OPEN for row in self.books.rows()):
                self.launcher("reconcile", self.orders[0])()
                scheduler.run(idle=True)
            for order in self.orders:
                self.launcher("job", order, quiet=True)()
                scheduler.run(idle=True)
            waits = any("looks again after" in row.note for row in self.books.rows())
            if not waits and before == (len(self.books.changes), len(self.truth.acting)):
                return

    def _operators_day(self) -> bool:
        """An operator says what became of all that is left in doubt; whether there was any."""
        if not self.operator_decides(lambda _row: True):
            return False
        self._rounds(4)
        return True

    # --- processes ------------------------------------------------------------------------------

    def launcher(self, what: str, order: Order, *, quiet: bool = False) -> Callable[[], None]:
        """What starts a process when called."""

        def launch() -> None:
            self._number += 1
            name = f"{what}{self._number}"
            plan = self.plan
            work = {"job": self._job, "tick": self._tick, "reconcile": self._reconcile}[what]
            process = self.scheduler.spawn(
                name, lambda process: work(process, order), key=order.key, order=order
            )
            dry = not quiet and "dry runs" in plan.trouble and self.dice.random() < 0.3
            process.dry = (dry and what == "job") or what == "tick"
            draw = self.dice.random()
            if "unknown to dagster" in plan.trouble and draw < 0.5:
                process.seen_as = None
            elif "wrongly dead" in plan.trouble and draw < 0.3:
                process.seen_as_dead = True
            elif "wrongly alive" in plan.trouble and draw < 0.5:
                process.seen_as = True
                self.scheduler.after(2 * HOUR, lambda: setattr(process, "seen_as", False))
            self.trace(
                name, f"starts for {order.name} ({order.kind})" + (", dry" if process.dry else "")
            )

        return launch

    @contextmanager
    def _engine(self, process: Process) -> Iterator[Engine]:
        """What a process hands to the engine: a client of its own, or one that lives longer."""
        key = self.places.key
        client = self._clients.get(key)
        shared = client is not None or "long-lived client" in self.plan.trouble
        if client is None:
            client = engine.open_client(self.network.wire(), self.clock, key)
            if shared:
                self._clients[key] = client
        ledger, clock = self.books.ledger, self.clock
        try:
            remember = partial(self._remember, process)
            yield Engine(self.scheduler, process, client, ledger, clock, self.known, remember)
        finally:
            if not shared:
                client.close()

    def forget_clients(self) -> None:
        """Long-lived processes are restarted: what they learnt of the server is forgotten."""
        self._clients.clear()

    def _job(self, process: Process, order: Order) -> None:
        if self._refuses(process):
            return
        try:
            self._remember(process)
            with self._engine(process) as made:
                report = self.door.carry_out(made, order, dry_run=process.dry)
        finally:
            self._remember(process)
        self._reported(process, report)

    def _refuses(self, process: Process) -> bool:
        """Whether a run that may change the ledger is refused by it, as the jobs are."""
        why = self._refused()
        if why:
            self.trace(process.name, f"refuses: {why}")
            self.scheduler.counts["refused for the ledger"] += 1
        return bool(why)

    def _refused(self) -> str | None:
        """Why nothing may be sent by way of the ledger that is there now."""
        if "ledger swapped" not in self.plan.trouble:
            return None
        return check_pairing(self.books.ledger, self.instance)

    def _remember(self, process: Process) -> None:
        """What Dagster's instance remembers of the ledger, as the jobs have it remembered."""
        if "ledger swapped" not in self.plan.trouble or process.dead:
            return
        if check_pairing(self.books.ledger, self.instance) is None:
            self.instance = pairing_of(self.books.ledger)

    def _tick(self, process: Process, order: Order) -> None:
        if order.kind not in ("replay", "rerun"):
            process.dry = False
            self._job(process, order)
            return
        with self._engine(process) as made:
            due = self.door.detect(made, order)
        self.trace(process.name, f"due: {', '.join(due) or 'nothing'}")
        if due:
            self.launcher("job", order)()

    def _reconcile(self, process: Process, order: Order) -> None:
        if self._refuses(process):
            return
        try:
            self._remember(process)
            with self._engine(process) as made:
                report = self.door.reconcile(made)
        finally:
            self._remember(process)
        self._reported(process, report)

    def _reported(self, process: Process, report: Report) -> None:
        if self.trace.on:
            self.trace(process.name, f"done: {report.sentence}")
            for subject, (outcome, why) in report.items.items():
                self.trace(process.name, f"  {subject}: {outcome}: {why[:300]}")

    # --- operators ------------------------------------------------------------------------------

    def operator_decides(self, chosen: Callable[[Any], bool]) -> bool:
        """An operator looks at the truth and decides about rows in doubt; whether about any."""
        decided = False
        for row in self.books.rows():
            if str(row.state) != "in_doubt" or not chosen(row):
                continue
            verdict = self._truth_of(row)
            if verdict is None:
                continue
            self.scheduler.counts[f"operator says {verdict}"] += 1
            engine.resolve(self.books.ledger, row.id, verdict, "looked into PostHog")
            decided = True
        return decided

    def _truth_of(self, row: Any) -> str | None:
        """What became of the row's last attempt; None while that is not decided."""
        requests = [r for r in self.truth.acting if (row.id, row.attempts) in r.rows]
        pending = self.truth.pending_jobs()
        for request in requests:
            if request.served_at is None and self.scheduler.now - request.left_at < 600:
                return None
            if any(effect in pending for effect in request.effects):
                return None
        change = Changed(row.id, row.attempts, "", "", "", row.subject, row.kind)
        happened = checker.effects_of_attempt(self._evidence().effects(), change, requests)
        return "confirmed" if happened else "not-sent"

    # --- outcome --------------------------------------------------------------------------------

    def _evidence(self) -> Evidence:
        executions, messages = self.truth.executions(), self.truth.messages()
        return Evidence(
            wanted=[
                Wanted(
                    order.kind,
                    order.target,
                    order.runs or (order.key,),
                    order.max_reruns if order.kind == "rerun" else 1,
                    skip_sent=order.kind == "rerun" and order.already_sent == "skip",
                    must=frozenset(self.places.must(order, executions, messages)),
                )
                for order in self.orders
            ],
            requests=self.truth.acting,
            executions=executions,
            messages=messages,
            ours=self.truth.ours,
            changes=[
                Changed(
                    change.entry.id,
                    change.entry.attempts,
                    change.state,
                    change.process.name if change.process else "operator",
                    change.entry.note,
                    change.entry.subject,
                    change.entry.kind,
                )
                for change in self.books.changes
            ],
            rows=self.books.rows(),
            dry_writes=self.books.dry_writes,
            errors=[
                f"{process.name} ended with {type(process.error).__name__}: {process.error}"
                for process in self.scheduler.processes.values()
                if process.error is not None and not isinstance(process.error, EXPECTED)
            ],
            alive=self.scheduler.alive,
            lookalikes=self.company.lookalikes,
            reruns_shown=partial(reruns_shown, self.places.sandbox),
        )

    def _judge(self, *checks: Callable[[Evidence], list[Violation]]) -> None:
        evidence = self._evidence()
        for check in checks:
            self.violations += check(evidence)
        for violation in self.violations:
            self.trace("CHECKER", str(violation))
