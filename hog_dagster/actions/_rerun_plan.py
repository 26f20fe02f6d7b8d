"""Decides for each failed run of a workflow or hog function whether it is run again; sends nothing.

Facts: the number of reruns of a run is what the ledger or PostHog counts, whichever is more:
PostHog counts reruns by anybody, and its count can lag. A rerun may start at the trigger and repeat
the messages of steps that had succeeded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from hog_dagster.actions._claims import reconcile_first
from hog_dagster.actions._protocol import Actor, Source, text_of
from hog_dagster.actions._replays import ReplayEvidence
from hog_dagster.actions._rerun_evidence import RerunEvidence
from hog_dagster.actions._runs import RunToRerun, has_changed, read_states
from hog_dagster.actions._sent_steps import SentSteps, StepsSent
from hog_dagster.actions._summary import Outcome, Result, Summary
from hog_dagster.ledger import Action, Entry, State
from hog_dagster.policies import AlreadySent, ReplayPolicy
from hog_dagster.posthog import RunState, errors

#: Hog functions of other types cannot be rerun.
RERUN_TYPES = ("destination", "internal_destination")


def rerun_subject(instance_id: str, number: int = 1) -> str:
    """The ledger's subject for the n-th rerun of a run."""
    return instance_id if number == 1 else f"{instance_id}#{number}"


@dataclass(frozen=True, slots=True)
class PlannedRerun:
    """A run that is to be run again.

    Attributes:
        state: its newest state.
        number: its how-manieth rerun this is.
        repeats: names of the steps whose messages may go out again.
    """

    state: RunState
    number: int
    repeats: tuple[str, ...] = ()


@dataclass
class RerunPlan:
    """What a rerun would do.

    Attributes:
        source: the workflow or function.
        due: runs that are to be run again.
        left: runs that are not, and why.
        errors: how many of the runs failed with which message, as far as they were read.
    """

    source: Source
    due: list[PlannedRerun] = field(default_factory=list)
    left: Summary = field(default_factory=Summary)
    errors: dict[str, int] = field(default_factory=dict)

    def requests(self, slice_size: int) -> int:
        """How many requests sending it takes."""
        return sum(1 for _ in slices(self.due, slice_size))


def plan_reruns(
    actor: Actor, source: Source, runs: Sequence[RunToRerun], policy: ReplayPolicy
) -> RerunPlan:
    """Decide for each run whether it is run again; sends nothing.

    Reruns in doubt are reconciled on the way (not in a dry run).
    """
    return _Planner(actor, source, policy).plan(runs)


class _Planner:
    def __init__(self, actor: Actor, source: Source, policy: ReplayPolicy) -> None:
        self.actor = actor
        self.source = source
        self.policy = policy
        self.made = RerunPlan(source)
        self.entries: dict[str, Entry] = {}
        self.evidence: RerunEvidence | None = None

    def plan(self, runs: Sequence[RunToRerun]) -> RerunPlan:
        actor = self.actor
        actor.know_the_time()
        wanted = {run.instance_id: run for run in runs}
        chosen = [*wanted.values()][: self.policy.max_runs]
        for run in [*wanted.values()][self.policy.max_runs :]:
            why = f"over the maximum of {self.policy.max_runs} runs in one job"
            self.made.left.add(Outcome.SKIPPED, run.instance_id, why)
        states: dict[str, RunState] = {}
        try:
            why = self.unfit()
            if not why:
                states = read_states(actor, self.source, chosen)
        except errors.EndpointMissing as error:
            why = f"its runs cannot be read here: {text_of(error)}"
        self.read_ledger([run.instance_id for run in chosen])
        ready: list[PlannedRerun] = []
        for run in chosen:
            if why:
                self.made.left.add(Outcome.SKIPPED, run.instance_id, why)
                continue
            planned = self.planned(run.instance_id, states.get(run.instance_id))
            if isinstance(planned, Result):
                self.made.left.results[run.instance_id] = planned
            else:
                ready.append(planned)
        self.made.due = self.without_repeats(ready)
        return self.made

    def unfit(self) -> str:
        """Why no run of the source can be run again; empty when they can."""
        if self.source.type != "hog_function":
            return ""
        function = self.actor.client.hog_functions.get(self.source.id)
        if function.type not in RERUN_TYPES:
            return f"{self.source.label} is a {function.type}; PostHog reruns destinations only"
        if not function.enabled:
            return f"{self.source.label} is disabled; enable it to run its runs again"
        return ""

    def read_ledger(self, runs: Sequence[str]) -> None:
        """Everything the ledger knows of these runs, in a few queries."""
        numbers = range(1, self.policy.max_reruns + 2)
        actions = [self.action(run, number) for run in runs for number in numbers]
        actions += [self.actor.action("replay", self.source, run) for run in runs]
        known = self.actor.ledger.get_all(actions)
        self.entries = {f"{entry.kind} {entry.subject}": entry for entry in known}
        in_doubt = [entry for entry in known if entry.kind == "rerun" and entry.open]
        self.evidence = RerunEvidence(self.actor, self.source, in_doubt) if in_doubt else None

    def action(self, run: str, number: int, **request: Any) -> Action:
        return self.actor.action("rerun", self.source, rerun_subject(run, number), **request)

    def entry(self, run: str, number: int) -> Entry | None:
        subject = self.action(run, number).subject
        return self.entries.get(f"rerun {subject}")

    def planned(self, run: str, state: RunState | None) -> PlannedRerun | Result:
        """The rerun that is due for a run, or why there is none."""
        if taken := self.replayed(run):
            return taken
        done, last = 0, None
        for number in range(1, self.policy.max_reruns + 2):
            entry = self.entry(run, number)
            if entry is not None and entry.open:
                result = self.reconciled(run, number)
                if result is not None:
                    return result
            elif entry is not None and entry.state is State.REFUSED:
                return Result(Outcome.REFUSED, run, entry.note, entry.id)
            elif entry is not None and entry.state is State.CONFIRMED:
                done, last = number, entry
        if state is None:
            if last is not None:
                return Result(Outcome.DONE_BEFORE, run, f"done before: {last.note}", last.id)
            why = "PostHog shows no such run; it keeps runs for 30 days"
            return Result(Outcome.SKIPPED, run, why)
        return self.fit(run, state, max(done, state.attempts, int(state.is_retry)), last)

    def replayed(self, run: str) -> Result | None:
        """A run that a replay has taken is not taken again; None when it did not happen."""
        subject = self.actor.action("replay", self.source, run).subject
        replay = self.entries.get(f"replay {subject}")
        if replay is None:
            return None
        if replay.open:
            action = self.actor.action("replay", self.source, run)
            result = reconcile_first(
                self.actor, action, self.replays.finding, dry_run=self.policy.dry_run
            )
            if result is None or result.outcome is not Outcome.IN_DOUBT:
                return result
            why = f"its replay, action {replay.id}, is in doubt: {result.why}"
            return Result(Outcome.IN_DOUBT, run, why, replay.id)
        if replay.state is State.CONFIRMED:
            why = f"it was replayed before, by action {replay.id}"
            return Result(Outcome.DONE_BEFORE, run, why, replay.id)
        return None

    @cached_property
    def replays(self) -> ReplayEvidence:
        """Evidence about replays in doubt, read once for all runs."""
        evidence = ReplayEvidence(self.actor, self.source.id)
        evidence.expect(entry for entry in self.entries.values() if entry.kind == "replay")
        return evidence

    def reconciled(self, run: str, number: int) -> Result | None:
        """What became of a rerun in doubt; None when it did not happen."""
        assert self.evidence is not None
        result = reconcile_first(
            self.actor,
            self.action(run, number),
            self.evidence.finding,
            dry_run=self.policy.dry_run,
        )
        if result is None:
            return None
        return Result(result.outcome, run, result.why, result.action_id, result.remote_id)

    def fit(
        self, run: str, state: RunState, done: int, last: Entry | None
    ) -> PlannedRerun | Result:
        """Whether a run's state and the policy let it be run again."""
        if state.status != "failed":
            if last is not None:
                why = f"it was run again before and is {state.status} now"
                return Result(Outcome.DONE_BEFORE, run, why, last.id)
            return Result(Outcome.SKIPPED, run, f"it is {state.status}, not failed")
        message = state.shown_error
        self.made.errors[message] = self.made.errors.get(message, 0) + 1
        details = {"error": message}
        if done >= self.policy.max_reruns:
            why = f"it was run again {done} times before, the maximum is {self.policy.max_reruns}"
            outcome = Outcome.DONE_BEFORE if last is not None else Outcome.SKIPPED
            return Result(outcome, run, why, last.id if last else None, details=details)
        if last is not None and not has_changed(state, last.request):
            why = f"PostHog does not show yet how its last rerun, action {last.id}, ended"
            return Result(Outcome.SKIPPED, run, why, last.id, details=details)
        kinds = self.policy.error_kinds
        if kinds and state.error_kind not in kinds:
            why = f"it failed with error kind {state.error_kind or 'unknown'}, which is not chosen"
            return Result(Outcome.SKIPPED, run, why, details=details)
        wanted = self.policy.message_contains
        if wanted and wanted.lower() not in state.error_message.lower():
            why = "its error message does not contain the chosen text"
            return Result(Outcome.SKIPPED, run, why, details=details)
        return PlannedRerun(state, done + 1)

    # --- what would go out again ----------------------------------------------------------------

    def without_repeats(self, ready: list[PlannedRerun]) -> list[PlannedRerun]:
        """The runs that the policy `already_sent` lets through; the others are left."""
        if not ready:
            return []
        sent = SentSteps(self.actor, self.source).of([planned.state for planned in ready])
        due = []
        for planned in ready:
            run = planned.state.invocation_id
            why = self.why_left(planned, sent[run])
            if why:
                details = {"error": planned.state.shown_error, "messages": sent[run].names}
                self.made.left.add(Outcome.SKIPPED, run, why, details=details)
            else:
                due.append(PlannedRerun(planned.state, planned.number, sent[run].names))
        return due

    def why_left(self, planned: PlannedRerun, sent: StepsSent) -> str:
        policy = self.policy.already_sent
        if policy is AlreadySent.allow or (sent.known and not sent.names):
            return ""
        if not sent.known:
            what = "its log does not say what it did, so what it has sent already is not known"
        else:
            quoted = ", ".join(f'"{name}"' for name in sent.names)
            what = f"{quoted} has been sent and would go out again"
        if policy is AlreadySent.if_resumes:
            step = self.stored_step(planned.state.invocation_id)
            if step:
                return ""
            what += ", because PostHog stored no step to resume at"
        return f"{what} (already_sent: {policy})"

    def stored_step(self, run: str) -> str | None:
        """The step at which PostHog's stored state of the run says that it stopped."""
        try:
            detail = self.source.service(self.actor.client).invocation_result(self.source.id, run)
        except errors.NotFound:
            return None
        return detail.current_action


def first_row(planned: PlannedRerun) -> datetime:
    """The earliest row of the run that is known."""
    state = planned.state
    known = [m for m in (state.first_row_at, state.newest_row_at, state.scheduled_at) if m]
    return min(known)


def slices(due: Sequence[PlannedRerun], size: int) -> Iterator[list[PlannedRerun]]:
    """Slices of runs with equal attempts, at most `size` of them."""
    part: list[PlannedRerun] = []
    for planned in sorted(due, key=lambda one: (one.state.attempts, first_row(one))):
        if part and (len(part) >= size or planned.state.attempts != part[0].state.attempts):
            yield part
            part = []
        part.append(planned)
    if part:
        yield part
