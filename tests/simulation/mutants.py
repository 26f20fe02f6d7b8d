"""Deliberate faults, one at a time: each must be found by some history, or by the table of states.

`make mutants` prints the list: fault -> what found it. Each is a small patch of one rule.
"""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

from hog_dagster.actions import (
    _claims,
    _protocol,
    _replays,
    _rerun_evidence,
    _rerun_plan,
    _row_evidence,
    _runs,
    _sent_steps,
)
from hog_dagster.actions._summary import Outcome
from hog_dagster.ledger import Claim, ClaimStatus, Ledger, State, _claiming
from hog_dagster.ledger._changes import Changes
from hog_dagster.posthog import errors
from tests.simulation.history import run_history
from tests.simulation.states import deviations

__all__ = ["MUTANTS", "Mutant", "found_by"]

Patches = Sequence[Any]
#: Trouble that says nothing about these rules.
NEVER = frozenset({"ledger swapped"})


@dataclass(frozen=True)
class Mutant:
    """A fault: its name, where it comes from, and the patches that make it.

    Attributes:
        name: the rule, broken.
        make: the patches.
        kinds: orders that the histories are to be about, so that it is found sooner.
        generations: servers.
        held: what else keeps the promise when this rule is broken, if no history finds it.
    """

    name: str
    make: Callable[[], Patches]
    kinds: tuple[str, ...] = ("rerun", "replay", "batch_send", "schedule_create")
    generations: tuple[str, ...] = ("docs", "mid2026", "current")
    held: str = ""


def patch(owner: Any, name: str, by: Any) -> Any:
    return mock.patch.object(owner, name, by)


# --- the ledger -----------------------------------------------------------------------------------


def _any_state(method: str) -> Patches:
    """A method of the ledger takes entries in any state."""
    real: Any = Changes.move

    def move(self: Changes, entry: Any, allowed: Any, to: Any, **values: Any) -> Any:
        return real(self, entry, tuple(State) if self.step == method else allowed, to, **values)

    return [patch(Changes, "move", move)]


def _no_version() -> Patches:
    """A changed row is changed again by whoever read it before."""
    real: Any = Changes.change

    def change(self: Changes, entry: Any, **values: Any) -> Any:
        return real(self, read_by_id(self, entry.id), **values)

    def read_by_id(self: Changes, number: int) -> Any:
        from hog_dagster.ledger._reading import by_id

        return by_id(self.connection, number)

    return [patch(Changes, "change", change)]


def _resolve_any_state() -> Patches:
    from hog_dagster.ledger import _upkeep

    return [patch(_upkeep, "_check_it_is_open", lambda _entry, _now: None)]


def _busy_is_in_doubt() -> Patches:
    """A row that a live run is sending is given to whoever reads the evidence."""
    real: Any = _claiming._claim_again

    def claim_again(changes: Any, action: Any, entry: Any, *rest: Any) -> Claim:
        claim = real(changes, action, entry, *rest)
        if claim.status is ClaimStatus.BUSY and entry.state is State.SENT:
            return Claim(ClaimStatus.IN_DOUBT, entry)
        return claim

    return [patch(_claiming, "_claim_again", claim_again)]


def _sent_is_granted() -> Patches:
    """A row that was sent by a run that died is taken for claimed, not for in doubt."""
    real: Any = _claiming._claim_again

    def claim_again(
        changes: Any, action: Any, entry: Any, owner: str, lease: Any, *rest: Any
    ) -> Claim:
        claim = real(changes, action, entry, owner, lease, *rest)
        if claim.status is ClaimStatus.IN_DOUBT and entry.state is State.SENT:
            until = changes.now + lease
            moved = changes.change(
                entry, state=State.CLAIMED, owner=owner, lease_until=until, note="claimed anew"
            )
            return Claim(ClaimStatus.GRANTED, moved)
        return claim

    return [patch(_claiming, "_claim_again", claim_again)]


def _live_claims_are_taken() -> Patches:
    """A claim of a live run counts as free."""
    real: Any = _claiming._claim_again

    def claim_again(
        changes: Any, action: Any, entry: Any, owner: str, lease: Any, running: Any
    ) -> Claim:
        everybody = {entry.owner: False} if entry.state is State.CLAIMED else running
        return real(changes, action, entry, owner, lease, everybody)

    return [patch(_claiming, "_claim_again", claim_again)]


def _remember_nothing() -> Patches:
    return [
        patch(Ledger, "new_ids", lambda *_args, **_named: set()),
    ]


# --- the protocol ---------------------------------------------------------------------------------


def _marked_after() -> Patches:
    """The mark "sent" is committed after the request, not before it."""

    def send_once(self: Any, entries: Any, post: Any, final: bool) -> Any:
        try:
            with self.client.waiting_at_most(1.0):
                response = post()
        except errors.PostHogError as error:
            marked = self.ledger.mark_sent(entries, server_time=self.earliest(), lock=self.lock)
            return self._failed(marked, error, final), None
        marked = self.ledger.mark_sent(entries, server_time=self.earliest(), lock=self.lock)
        return _protocol.Sent(Outcome.CONFIRMED, marked, response), None

    return [patch(_protocol.Actor, "_send_once", send_once)]


def _no_lock() -> Patches:
    @contextmanager
    def holding(_self: Any, _source_id: str, _wait: float) -> Iterator[bool]:
        yield True

    return [patch(_protocol.Actor, "holding", holding)]


def _no_grace() -> Patches:
    return [patch(_protocol.Actor, "grace_over", lambda *_args, **_named: True)]


def _grace_by_local_clock() -> Patches:
    return [
        patch(_protocol.Actor, "earliest", lambda self: self.clock.now()),
        patch(_protocol.Actor, "latest", lambda self: self.clock.now()),
    ]


def _suspended_unnoticed() -> Patches:
    return [patch(_protocol.Actor, "_was_suspended", lambda *_args: False)]


def _interrupted_is_released() -> Patches:
    real: Any = Ledger.doubt

    def doubt(self: Ledger, *entries: Any, note: str, **named: Any) -> Any:
        if "interrupted while under way" in note:
            return self.release(*entries, note=note)
        return real(self, *entries, note=note, **named)

    return [patch(Ledger, "doubt", doubt)]


def _outcome(change: Callable[[Any, str], str]) -> Patches:
    """What an error says about the effect, changed."""
    real: Any = _protocol.Actor._failed

    def failed(self: Any, marked: Any, error: Any, final: bool) -> Any:
        error.outcome = change(error, error.outcome)
        return real(self, marked, error, final)

    return [patch(_protocol.Actor, "_failed", failed)]


def _final_4xx() -> Patches:
    return _outcome(
        lambda e, o: "refused" if e.status and 400 <= e.status < 500 and e.status != 429 else o
    )


def _statuses(wanted: Callable[[int], bool], outcome: str) -> Patches:
    return _outcome(lambda e, o: outcome if e.status and wanted(e.status) else o)


def _lost_is_not_sent() -> Patches:
    return _outcome(lambda e, o: "not_sent" if e.status is None and o == "unknown" else o)


# --- evidence -------------------------------------------------------------------------------------


def _any_200_is_queued() -> Patches:
    """Whatever comes back with a 200 counts as queued. The client checks first, then the engine."""
    real: Any = _protocol.Actor._failed

    def failed(self: Any, marked: Any, error: Any, final: bool) -> Any:
        if marked[0].kind == "replay" and error.status == 200:
            return _protocol.Sent(Outcome.CONFIRMED, marked, SimpleNamespace(status="queued"))
        return real(self, marked, error, final)

    return [patch(_protocol.Actor, "_failed", failed)]


def _new_row_is_absent() -> Patches:
    """One new row whose contents differ counts as none."""
    real: Any = _row_evidence.RowEvidence._unaccounted

    def unaccounted(self: Any, entry: Any) -> Any:
        return [row for row in real(self, entry) if self._fits(row, entry.request)]

    return [patch(_row_evidence.RowEvidence, "_unaccounted", unaccounted)]


def _any_row_confirms() -> Patches:
    kind: Any = _row_evidence.RowEvidence
    names = [
        name for name in ("_why_not_ours", "_why_foreign", "_why_unsure") if hasattr(kind, name)
    ]
    return [patch(kind, name, lambda *_args: "") for name in names]


def _closed_window_believed() -> Patches:
    """A run is as a window over its own second shows it, and the worker's lines are not read."""
    real: Any = _runs.read_states

    def read_states(actor: Any, source: Any, runs: Any) -> Any:
        states = real(actor, source, runs)
        return {
            name: replace(state, status="failed", attempts=0, is_retry=False, started_at=None)
            for name, state in states.items()
        }

    return [
        patch(_rerun_plan, "read_states", read_states),
        patch(_rerun_evidence, "read_states", read_states),
        patch(_rerun_evidence.RerunEvidence, "jobs", property(lambda _self: {})),
    ]


def _nothing_changes() -> Patches:
    return [
        patch(module, "has_changed", lambda *_args: "") for module in (_rerun_plan, _rerun_evidence)
    ]


def _counts_of_posthog_ignored() -> Patches:
    real: Any = _rerun_plan._Planner.fit

    def fit(self: Any, run: str, state: Any, done: int, last: Any) -> Any:
        ours = 0
        for number in range(1, self.policy.max_reruns + 2):
            entry = self.entry(run, number)
            ours = number if entry is not None and entry.state is State.CONFIRMED else ours
        return real(self, run, state, ours, last)

    return [patch(_rerun_plan._Planner, "fit", fit)]


def _max_reruns_plus_one() -> Patches:
    real: Any = _rerun_plan._Planner.__init__

    def init(self: Any, actor: Any, source: Any, policy: Any) -> None:
        more = policy.model_copy(update={"max_reruns": policy.max_reruns + 1})
        real(self, actor, source, more)

    return [patch(_rerun_plan._Planner, "__init__", init)]


def _finished_confirms_all() -> Patches:
    """A job that finished counts as having run every run."""
    real: Any = _rerun_evidence.RerunEvidence._accepted

    def accepted(self: Any, entry: Any) -> Any:
        job = self.jobs.get(entry.remote_id or "")
        if job is not None and job.ended == "finished":
            return _claims.Finding(Outcome.CONFIRMED, "the job finished", entry.remote_id)
        return real(self, entry)

    return [patch(_rerun_evidence.RerunEvidence, "_accepted", accepted)]


def _failed_pages_unread() -> Patches:
    """The counts of a job are believed although the worker lost a page."""
    return [patch(_rerun_evidence.Job, "accounted", property(lambda self: bool(self.ended)))]


def _first_job_is_ours() -> Patches:
    """Any rerun job that ran the run since confirms, whoever asked for it."""
    return [patch(_rerun_evidence.RerunEvidence, "_may_be", lambda *_args: True)]


def _sent_steps_unread() -> Patches:
    def of(self: Any, states: Any) -> Any:
        return {state.invocation_id: _sent_steps.StepsSent() for state in states}

    return [patch(_sent_steps.SentSteps, "of", of)]


def _dry_run_reconciles() -> Patches:
    real: Any = _claims.reconcile_first

    def reconcile_first(*args: Any, dry_run: bool = False) -> Any:
        return real(*args)

    return [patch(module, "reconcile_first", reconcile_first) for module in (_rerun_plan, _replays)]


def _markers_unread() -> Patches:
    return [patch(_replays.ReplayEvidence, "markers", lambda *_args: set())]


def _first_page_only() -> Patches:
    from hog_dagster.posthog import workflow_sends

    real: Any = workflow_sends.WorkflowSends.batch_jobs
    return [patch(workflow_sends.WorkflowSends, "batch_jobs", lambda *a: list(real(*a))[:1])]


def _replay_after_rerun() -> Patches:
    return [
        patch(_replays._Replay, "rerun_before", lambda *_args: {}),
        patch(_rerun_plan._Planner, "replayed", lambda *_args: None),
    ]


MUTANTS: tuple[Mutant, ...] = (
    Mutant("release takes any state", lambda: _any_state("release")),
    Mutant("reopen takes any state", lambda: _any_state("reopen")),
    Mutant("mark_sent takes any state", lambda: _any_state("mark_sent")),
    Mutant("confirm takes any state", lambda: _any_state("confirm")),
    Mutant("refuse takes any state", lambda: _any_state("refuse")),
    Mutant("doubt takes any state", lambda: _any_state("doubt")),
    Mutant("resolve takes any state", _resolve_any_state),
    Mutant("a row's version is not compared", _no_version),
    Mutant("an action that a live run is sending counts as in doubt", _busy_is_in_doubt),
    Mutant("a claim of a live run is taken", _live_claims_are_taken),
    Mutant("an action sent by a dead run counts as not sent", _sent_is_granted),
    Mutant("rows that are new are not told from old ones", _remember_nothing, ("batch_send",)),
    Mutant("the mark is committed after the request", _marked_after),
    Mutant(
        "the workflow's lock is not taken", _no_lock, held="claims, and the versions of their rows"
    ),
    Mutant("the grace time is not waited for", _no_grace),
    Mutant("grace by the machine's clock", _grace_by_local_clock),
    Mutant("a suspended process sends all the same", _suspended_unnoticed),
    Mutant("an interrupted request counts as not sent", _interrupted_is_released),
    Mutant("every 4xx is final", _final_4xx),
    Mutant("every 4xx counts as not sent", lambda: _statuses(lambda s: 400 <= s < 500, "not_sent")),
    Mutant("every 5xx counts as not sent", lambda: _statuses(lambda s: s >= 500, "not_sent")),
    Mutant(
        "a redirect counts as not sent", lambda: _statuses(lambda s: 300 <= s < 400, "not_sent")
    ),
    Mutant(
        "408, 425, 460 and 499 count as not sent",
        lambda: _statuses(lambda s: s in (408, 425, 460, 499), "not_sent"),
    ),
    Mutant(
        "a 429 of a proxy counts as not sent", lambda: _statuses(lambda s: s == 429, "not_sent")
    ),
    Mutant("a cut or a timeout counts as not sent", _lost_is_not_sent),
    Mutant("any status counts as queued", _any_200_is_queued, ("replay",), ("docs",)),
    Mutant(
        "markers are not read",
        _markers_unread,
        ("replay",),
        ("docs",),
        held="the blocked list: the replay stays in doubt, with a remedy",
    ),
    Mutant("a new row that differs counts as none", _new_row_is_absent, ("batch_send",)),
    Mutant("any new row confirms", _any_row_confirms, ("batch_send",)),
    Mutant("only the newest batch job is read", _first_page_only, ("batch_send",)),
    Mutant(
        "a closed window is believed",
        _closed_window_believed,
        ("rerun", "rerun_function"),
        ("mid2026", "current"),
    ),
    Mutant(
        "a changed run counts as unchanged", _nothing_changes, ("rerun",), ("mid2026", "current")
    ),
    Mutant(
        "PostHog's own count of reruns is ignored",
        _counts_of_posthog_ignored,
        ("rerun",),
        ("mid2026", "current"),
    ),
    Mutant(
        "max_reruns is exceeded by one", _max_reruns_plus_one, ("rerun",), ("mid2026", "current")
    ),
    Mutant(
        "a finished job confirms every run",
        _finished_confirms_all,
        ("rerun",),
        ("mid2026", "current"),
        held="a run is skipped only when somebody else ran it, which is an effect too",
    ),
    Mutant(
        "counts of a job that lost a page are believed",
        _failed_pages_unread,
        ("rerun",),
        ("mid2026", "current"),
    ),
    Mutant("any rerun job confirms", _first_job_is_ours, ("rerun",), ("mid2026", "current")),
    Mutant(
        "what a run has sent is not looked at",
        _sent_steps_unread,
        ("rerun",),
        ("mid2026", "current"),
    ),
    Mutant("a dry run reconciles", _dry_run_reconciles, ("rerun", "replay")),
    Mutant("a replay does not see a rerun of the run", _replay_after_rerun, ("both",), ("docs",)),
)


def found_by(mutant: Mutant, histories: int = 400, first: int = 1) -> str:
    """What finds a fault: a seed, the table of states, or nothing."""
    patches = mutant.make()
    kinds = dict.fromkeys(mutant.generations, mutant.kinds)
    for one in patches:
        one.start()
    try:
        if wrong := deviations():
            return f"the table of states and methods: {wrong[0]}"
        for number, seed in enumerate(range(first, first + histories), 1):
            if number % 20 == 0:
                gc.collect()
            try:
                outcome = run_history(
                    seed, kinds=_possible(kinds), generations=mutant.generations, never=NEVER
                )
            except Exception as error:
                return f"seed {seed} after {number} histories: {type(error).__name__}: {error}"
            if outcome.failed:
                return f"seed {seed} after {number} histories: {outcome.violations[0].rule}"
        held = f"; held by: {mutant.held}" if mutant.held else ""
        return f"not found in {histories} histories{held}"
    finally:
        for one in patches:
            one.stop()


def _possible(kinds: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Orders that a server can be asked for."""
    never = {
        "docs": ("rerun", "rerun_function"),
        "mid2026": ("replay", "both"),
        "current": ("replay", "both"),
    }
    left = {name: tuple(k for k in some if k not in never[name]) for name, some in kinds.items()}
    return {name: some or ("batch_send",) for name, some in left.items()}


def main() -> int:
    arguments = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    arguments.add_argument("--histories", type=int, default=400)
    arguments.add_argument("--only", default="", help="a part of the name")
    given = arguments.parse_args()
    gc.freeze()
    gc.disable()
    missed = 0
    for mutant in MUTANTS:
        if given.only not in mutant.name:
            continue
        started = time.monotonic()
        what = found_by(mutant, given.histories)
        missed += what.startswith("not found")
        print(f"{mutant.name:<58} {what}  ({time.monotonic() - started:.0f} s)", flush=True)
    print(f"{missed} not found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
