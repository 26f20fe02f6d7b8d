"""Replays or reruns what one workflow or hog function failed at, and says it in rows.

The job and the command `hog-dagster replay` share it. No Dagster in here. Facts: which of the two a
server offers is what its endpoints answered; some list blocked runs, others rerun failed ones.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from hog_dagster.actions import (
    Actor,
    BlockedRun,
    Outcome,
    ReplayReport,
    RerunPlan,
    Result,
    RunToRerun,
    Source,
    Summary,
    TimeWindow,
    carry_out,
    detect_blocked,
    find_failed,
    plan_reruns,
    replay_blocked,
    report_plan,
    text_of,
)
from hog_dagster.ledger import State
from hog_dagster.policies import ReplayPolicy
from hog_dagster.posthog import RunState, errors

#: PostHog keeps runs for so long.
KEPT = timedelta(days=30)
#: Outcomes with reasons that are shown of one workflow.
_REASONS = 20
_EXPLAINED = (Outcome.NOT_SENT, Outcome.REFUSED)
#: Failed runs that are looked into at once.
_PART = 500


class BadWindow(ValueError):
    """A time window in which nothing can be replayed; says why, and what to give."""


@dataclass(frozen=True, slots=True)
class NamedRun:
    """A run that somebody names: a blocked one has a step and an event, a failed one a time."""

    instance_id: str
    action_id: str | None = None
    event_uuid: str | None = None
    scheduled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReplayWanted:
    """What is to be replayed: named runs, or all blocked ones, or all failed ones of a window."""

    runs: Sequence[NamedRun] = ()
    all_blocked: bool = False
    window: TimeWindow | None = None


@dataclass
class SourceReplay:
    """What became of one workflow or hog function.

    ``summary`` has a result per run, ``report`` what was found about failed runs, if they were
    looked for; ``again`` counts those that were sent, or would be; ``failure`` says why it could
    not be dealt with.
    """

    source: Source
    dry_run: bool = True
    summary: Summary = field(default_factory=Summary)
    report: ReplayReport | None = None
    again: int = 0
    failure: str = ""

    @property
    def empty(self) -> bool:
        """Nothing was found that failed or is blocked."""
        return not self.failure and not len(self.summary)


def check_window(start: datetime | None, end: datetime | None, now: datetime) -> TimeWindow:
    """The window in which runs were scheduled, until PostHog's present where it has no end.

    Raises:
        BadWindow: it is missing, reversed, in the future or reaches beyond what PostHog keeps.
    """
    if start is None:
        raise BadWindow(
            "Nothing says which runs to replay: name runs, or give window_from (and window_to), "
            "the times between which they were scheduled."
        )
    if start > now:
        raise BadWindow(
            f"The window begins at {_utc(start)}, which is in the future; it is {_utc(now)}. "
            "Give an earlier window_from."
        )
    if end is not None and end <= start:
        raise BadWindow(
            f"The window ends at {_utc(end)}, which is not after its begin {_utc(start)}: swap "
            "window_from and window_to."
        )
    if start < now - KEPT:
        raise BadWindow(
            f"The window begins at {_utc(start)}, and PostHog keeps runs for {KEPT.days} days "
            f"only: give a window_from after {_utc(now - KEPT)}."
        )
    return TimeWindow(start, end if end is not None and end < now else None)


def replay_sources(
    actor: Actor, sources: Sequence[Source], wanted: ReplayWanted, policy: ReplayPolicy
) -> Iterator[SourceReplay]:
    """Replay one workflow or function after the other; the failure of one is not the others'.

    `policy.max_runs` counts over all of them. A failure that would be the next one's too (the key,
    the rate limit) ends it.
    """
    left, stop = policy.max_runs, ""
    for source in sources:
        part = SourceReplay(source, policy.dry_run)
        if stop:
            part.failure = f"not tried after: {stop}"
        elif left < 1:
            why = f"not looked at: the maximum of {policy.max_runs} runs in one job is reached"
            part.summary.notes.append(why)
        else:
            try:
                part = replay_source(actor, source, wanted, _at_most(policy, left))
            except (errors.AuthenticationError, errors.Throttled) as error:
                part.failure = stop = text_of(error)
            except errors.PostHogError as error:
                part.failure = text_of(error)
            left -= part.again
        yield part


def run_again_in(actor: Actor, sources: Sequence[Source], window: TimeWindow) -> int:
    """How many runs that were first scheduled in the window were run again, as the ledger confirms;
    of every workflow and function when no sources are given."""
    if not actor.ledger.is_made:
        return 0
    entries = actor.ledger.entries(
        project_id=actor.project_id,
        kind="rerun",
        target_id=[source.id for source in sources] or None,
        state=State.CONFIRMED,
        since=window.start,
    )
    return sum(
        window.holds(datetime.fromisoformat(moment))
        for entry in entries
        if (moment := entry.request.get("scheduled_at"))
    )


def replay_source(
    actor: Actor, source: Source, wanted: ReplayWanted, policy: ReplayPolicy
) -> SourceReplay:
    """Replay or rerun what is wanted of one workflow or function, or say what would be done.

    Raises:
        PostHogError: PostHog could not be read; nothing was sent by this call.
    """
    if policy.dry_run:
        return _Replayer(actor, source, wanted, policy).run()
    with actor.holding(source.id, policy.lock_wait_seconds) as held:
        if held:
            return _Replayer(actor, source, wanted, policy).run()
    part = SourceReplay(source, policy.dry_run)
    why = "another run is acting on it"
    for run in wanted.runs:
        part.summary.add(Outcome.SKIPPED, run.instance_id, why)
    part.summary.notes.append(f"{source.label}: {why}; nothing was sent.")
    return part


class _Replayer:
    def __init__(
        self, actor: Actor, source: Source, wanted: ReplayWanted, policy: ReplayPolicy
    ) -> None:
        self.actor = actor
        self.source = source
        self.wanted = wanted
        self.policy = policy
        self.part = SourceReplay(source, policy.dry_run)
        server = actor.client.server
        workflow = source.type == "workflow"
        self.reruns = server.has("rerun" if workflow else "function_rerun")
        self.blocked = workflow and server.has("blocked_runs")

    def run(self) -> SourceReplay:
        if not self.reruns and not self.blocked:
            workflow = self.source.type == "workflow"
            names = ("rerun", "blocked_runs") if workflow else ("function_rerun",)
            whys = dict.fromkeys(self.actor.client.server.why_not(name) for name in names)
            self.part.failure = " ".join(whys)
            return self.part
        if self.wanted.all_blocked:
            self.replay_all()
        elif self.wanted.runs:
            self.named(self.wanted.runs)
        elif self.wanted.window is not None:
            self.in_window(self.wanted.window)
        return self.part

    # --- blocked runs ---------------------------------------------------------------------------

    def replay_all(self) -> None:
        if not self.blocked:
            why = self.actor.client.server.why_not("blocked_runs")
            self.part.failure = (
                f"this server lists no blocked runs: give a window, or name failed runs. {why}"
            )
            return
        self.replay([], all_blocked=True)

    def replay(self, runs: Sequence[BlockedRun], *, all_blocked: bool = False) -> None:
        summary = replay_blocked(
            self.actor, self.source, runs, self.policy, all_blocked=all_blocked
        )
        self.part.summary.join(summary)
        left = (Outcome.SKIPPED, Outcome.DONE_BEFORE, Outcome.REFUSED)
        self.part.again += sum(result.outcome not in left for result in summary)

    # --- named runs -----------------------------------------------------------------------------

    def named(self, runs: Sequence[NamedRun]) -> None:
        blocked = [run for run in runs if self.is_blocked(run)]
        failed = [run for run in runs if not self.is_blocked(run)]
        if blocked:
            self.replay(
                [BlockedRun(run.instance_id, run.action_id, run.event_uuid) for run in blocked]
            )
        if failed:
            wanted = [RunToRerun(run.instance_id, run.scheduled_at) for run in failed]
            self.carry_out(plan_reruns(self.actor, self.source, wanted, self.rest()))

    def is_blocked(self, run: NamedRun) -> bool:
        if not self.reruns or not self.blocked:
            return self.blocked
        return bool(run.action_id or run.event_uuid)

    # --- all of a window ------------------------------------------------------------------------

    def in_window(self, window: TimeWindow) -> None:
        if self.blocked:
            found = detect_blocked(self.actor, self.source, self.policy, window)
            due = [BlockedRun(**run) for run in found.due]
            for name, count in found.counts.items():
                if name != "blocked":
                    self.part.summary.notes.append(f"{self.source.label}: {count} {name}")
            if due:
                self.replay(due)
        if self.reruns and self.rest().max_runs > 0:
            self.carry_out(self.plan(window))

    def plan(self, window: TimeWindow) -> RerunPlan:
        """A plan for all failed runs of the window: as many as allowed, the others counted."""
        policy = self.rest()
        states = find_failed(self.actor, self.source, window, policy)
        plan = RerunPlan(self.source)
        while len(plan.due) < policy.max_runs:
            wanted = list(islice(states, _PART))
            if not wanted:
                return plan
            more = self.plan_part(wanted, policy.max_runs - len(plan.due))
            plan.due += more.due
            plan.left.join(more.left)
            for message, count in more.errors.items():
                plan.errors[message] = plan.errors.get(message, 0) + count
        self.leave(plan, states)
        return plan

    def plan_part(self, states: Sequence[RunState], room: int) -> RerunPlan:
        runs = [RunToRerun(one.invocation_id, one.first_row_at) for one in states]
        plan = plan_reruns(self.actor, self.source, runs, _at_most(self.policy, len(runs)))
        for planned in plan.due[room:]:
            plan.left.add(Outcome.SKIPPED, planned.state.invocation_id, self.too_many())
        del plan.due[room:]
        return plan

    def leave(self, plan: RerunPlan, states: Iterable[RunState]) -> None:
        """Say what is over the maximum; where each run costs a request, only that there may be."""
        if not self.actor.client.server.has("hogql_runs"):
            if next(iter(states), None) is not None:
                plan.left.notes.append(
                    f"{self.source.label}: more runs failed in the window, {self.too_many()}"
                )
            return
        for state in states:
            message = state.shown_error
            plan.errors[message] = plan.errors.get(message, 0) + 1
            plan.left.add(Outcome.SKIPPED, state.invocation_id, self.too_many())

    def too_many(self) -> str:
        return f"over the maximum of {self.policy.max_runs} runs in one job"

    def rest(self) -> ReplayPolicy:
        return _at_most(self.policy, max(self.policy.max_runs - self.part.again, 0))

    def carry_out(self, plan: RerunPlan) -> None:
        self.part.report = report_plan(plan, self.policy.slice_size)
        self.part.again += len(plan.due)
        self.part.summary.join(carry_out(self.actor, plan, self.policy))


def replay_table(parts: Iterable[SourceReplay]) -> list[dict[str, Any]]:
    """What was found and done, or would be done, as rows: for Dagster's metadata and for people.

    Returns:
        Rows with `workflow`, `id`, `what` (failed, would run again, would go out again, left,
        requests to send it; an outcome; note, not done), `which` and `runs` (a count).
    """
    return [
        {
            "workflow": part.source.name or part.source.id,
            "id": part.source.id,
            "what": what,
            "which": which,
            "runs": runs,
        }
        for part in parts
        for what, which, runs in _said(part)
    ]


def _said(part: SourceReplay) -> Iterator[tuple[str, str, int]]:
    if part.report is not None:
        for row in part.report.rows():
            if part.dry_run or row["what"] in ("failed", "left"):
                yield row["what"], row["which"], row["runs"]
    if part.report is None or not part.dry_run:
        whys = Counter(
            (result.outcome, _reason(result, part.report is None)) for result in part.summary
        )
        for (outcome, why), count in whys.most_common(_REASONS):
            yield str(outcome).replace("_", " "), why, count
    for note in part.summary.notes:
        yield "note", note, 0
    if part.failure:
        yield "not done", part.failure, 0


def _reason(result: Result, skipped_too: bool) -> str:
    explained = (*_EXPLAINED, Outcome.SKIPPED) if skipped_too else _EXPLAINED
    return result.why if result.outcome in explained else ""


def _at_most(policy: ReplayPolicy, runs: int) -> ReplayPolicy:
    return policy.model_copy(update={"max_runs": runs})


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
