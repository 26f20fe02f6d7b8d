"""The patches that break one rule each of the ledger, the protocol or the evidence."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
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

__all__ = ["Patches"]

Patches = Sequence[Any]


def patch(owner: Any, name: str, by: Any) -> Any:
    return mock.patch.object(owner, name, by)


# --- the ledger -----------------------------------------------------------------------------------


def any_state(method: str) -> Patches:
    """A method of the ledger takes entries in any state."""
    real: Any = Changes.move

    def move(self: Changes, entry: Any, allowed: Any, to: Any, **values: Any) -> Any:
        return real(self, entry, tuple(State) if self.step == method else allowed, to, **values)

    return [patch(Changes, "move", move)]


def no_version() -> Patches:
    """A changed row is changed again by whoever read it before."""
    real: Any = Changes.change

    def change(self: Changes, entry: Any, **values: Any) -> Any:
        return real(self, read_by_id(self, entry.id), **values)

    def read_by_id(self: Changes, number: int) -> Any:
        from hog_dagster.ledger._reading import by_id

        return by_id(self.connection, number)

    return [patch(Changes, "change", change)]


def resolve_any_state() -> Patches:
    from hog_dagster.ledger import _maintenance as _upkeep

    return [patch(_upkeep, "_check_it_is_open", lambda _entry, _now: None)]


def busy_is_in_doubt() -> Patches:
    """A row that a live run is sending is given to whoever reads the evidence."""
    real: Any = _claiming._claim_again

    def claim_again(changes: Any, action: Any, entry: Any, *rest: Any) -> Claim:
        claim = real(changes, action, entry, *rest)
        if claim.status is ClaimStatus.BUSY and entry.state is State.SENT:
            return Claim(ClaimStatus.IN_DOUBT, entry)
        return claim

    return [patch(_claiming, "_claim_again", claim_again)]


def sent_is_granted() -> Patches:
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


def live_claims_are_taken() -> Patches:
    """A claim of a live run counts as free."""
    real: Any = _claiming._claim_again

    def claim_again(
        changes: Any, action: Any, entry: Any, owner: str, lease: Any, running: Any
    ) -> Claim:
        everybody = {entry.owner: False} if entry.state is State.CLAIMED else running
        return real(changes, action, entry, owner, lease, everybody)

    return [patch(_claiming, "_claim_again", claim_again)]


def remember_nothing() -> Patches:
    return [
        patch(Ledger, "listed", lambda *args: dict.fromkeys(map(str, args[-1]), 0)),
    ]


# --- the protocol ---------------------------------------------------------------------------------


def marked_after() -> Patches:
    """The mark "sent" is committed after the request, not before it."""

    def send_once(self: Any, entries: Any, post: Any, final: bool) -> Any:
        try:
            response = post(self.client.with_limits(1.0))
        except errors.PostHogError as error:
            marked = self.ledger.mark_sent(entries, server_time=self.earliest(), lock=self.lock)
            return self._failed(marked, error, final), None
        marked = self.ledger.mark_sent(entries, server_time=self.earliest(), lock=self.lock)
        return _protocol.Sent(Outcome.CONFIRMED, marked, response), None

    return [patch(_protocol.Actor, "_send_once", send_once)]


def no_lock() -> Patches:
    @contextmanager
    def holding(_self: Any, _source_id: str, _wait: float) -> Iterator[bool]:
        yield True

    return [patch(_protocol.Actor, "holding", holding)]


def no_grace() -> Patches:
    return [patch(_protocol.Actor, "grace_over", lambda *_args, **_named: True)]


def grace_by_local_clock() -> Patches:
    return [
        patch(_protocol.Actor, "earliest", lambda self: self.clock.now()),
        patch(_protocol.Actor, "latest", lambda self: self.clock.now()),
    ]


def suspended_unnoticed() -> Patches:
    return [patch(_protocol.Actor, "_was_suspended", lambda *_args: False)]


def interrupted_is_released() -> Patches:
    real: Any = Ledger.doubt

    def doubt(self: Ledger, *entries: Any, note: str, **named: Any) -> Any:
        if "interrupted while under way" in note:
            return self.release(*entries, note=note)
        return real(self, *entries, note=note, **named)

    return [patch(Ledger, "doubt", doubt)]


def with_outcome(change: Callable[[Any, str], str]) -> Patches:
    """What an error says about the effect, changed."""
    real: Any = _protocol.Actor._failed

    def failed(self: Any, marked: Any, error: Any, final: bool) -> Any:
        error.outcome = change(error, error.outcome)
        return real(self, marked, error, final)

    return [patch(_protocol.Actor, "_failed", failed)]


def final_4xx() -> Patches:
    return with_outcome(
        lambda e, o: "refused" if e.status and 400 <= e.status < 500 and e.status != 429 else o
    )


def statuses(wanted: Callable[[int], bool], outcome: str) -> Patches:
    return with_outcome(lambda e, o: outcome if e.status and wanted(e.status) else o)


def lost_is_not_sent() -> Patches:
    return with_outcome(lambda e, o: "not_sent" if e.status is None and o == "unknown" else o)


# --- evidence -------------------------------------------------------------------------------------


def any_200_is_queued() -> Patches:
    """Whatever comes back with a 200 counts as queued. The client checks first, then the engine."""
    real: Any = _protocol.Actor._failed

    def failed(self: Any, marked: Any, error: Any, final: bool) -> Any:
        if marked[0].kind == "replay" and error.status == 200:
            return _protocol.Sent(Outcome.CONFIRMED, marked, SimpleNamespace(status="queued"))
        return real(self, marked, error, final)

    return [patch(_protocol.Actor, "_failed", failed)]


def new_row_is_absent() -> Patches:
    """One new row whose contents differ counts as none."""
    real: Any = _row_evidence.RowEvidence._unaccounted

    def unaccounted(self: Any, entry: Any) -> Any:
        return [row for row in real(self, entry) if self._fits(row, entry.request)]

    return [patch(_row_evidence.RowEvidence, "_unaccounted", unaccounted)]


def any_row_confirms() -> Patches:
    names = ("_why_foreign", "_why_unclear")
    return [patch(_row_evidence.RowEvidence, name, lambda *_args: "") for name in names]


def closed_window_believed() -> Patches:
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


def nothing_changes() -> Patches:
    return [
        patch(module, "has_changed", lambda *_args: "") for module in (_rerun_plan, _rerun_evidence)
    ]


def counts_of_posthog_ignored() -> Patches:
    real: Any = _rerun_plan._Planner.fit

    def fit(self: Any, run: str, state: Any, done: int, last: Any) -> Any:
        ours = 0
        for number in range(1, self.policy.max_reruns + 2):
            entry = self.entry(run, number)
            ours = number if entry is not None and entry.state is State.CONFIRMED else ours
        return real(self, run, state, ours, last)

    return [patch(_rerun_plan._Planner, "fit", fit)]


def max_reruns_plus_one() -> Patches:
    real: Any = _rerun_plan._Planner.__init__

    def init(self: Any, actor: Any, source: Any, policy: Any) -> None:
        more = policy.model_copy(update={"max_reruns": policy.max_reruns + 1})
        real(self, actor, source, more)

    return [patch(_rerun_plan._Planner, "__init__", init)]


def finished_confirms_all() -> Patches:
    """A job that finished counts as having run every run."""
    real: Any = _rerun_evidence.RerunEvidence._accepted

    def accepted(self: Any, entry: Any) -> Any:
        job = self.jobs.get(entry.remote_id or "")
        if job is not None and job.ended == "finished":
            return _claims.Finding(Outcome.CONFIRMED, "the job finished", entry.remote_id)
        return real(self, entry)

    return [patch(_rerun_evidence.RerunEvidence, "_accepted", accepted)]


def failed_pages_unread() -> Patches:
    """The counts of a job are believed although the worker lost a page."""
    return [patch(_rerun_evidence.Job, "accounted", property(lambda self: bool(self.ended)))]


def first_job_is_ours() -> Patches:
    """Any rerun job that ran the run since confirms, whoever asked for it."""
    return [patch(_rerun_evidence.RerunEvidence, "_may_be", lambda *_args: True)]


def sent_steps_unread() -> Patches:
    def of(self: Any, states: Any) -> Any:
        return {state.invocation_id: _sent_steps.StepsSent() for state in states}

    return [patch(_sent_steps.SentSteps, "of", of)]


def dry_run_reconciles() -> Patches:
    real: Any = _claims.reconcile_first

    def reconcile_first(*args: Any, dry_run: bool = False) -> Any:
        return real(*args)

    return [patch(module, "reconcile_first", reconcile_first) for module in (_rerun_plan, _replays)]


def markers_unread() -> Patches:
    return [patch(_replays.ReplayEvidence, "markers", lambda *_args: set())]


def first_page_only() -> Patches:
    from hog_dagster.posthog._services import workflow_sends

    real: Any = workflow_sends.WorkflowSends.batch_jobs
    return [patch(workflow_sends.WorkflowSends, "batch_jobs", lambda *a: list(real(*a))[:1])]


def replay_after_rerun() -> Patches:
    return [
        patch(_replays._Replay, "rerun_before", lambda *_args: {}),
        patch(_rerun_plan._Planner, "replayed", lambda *_args: None),
    ]
