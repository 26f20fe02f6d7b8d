"""Finds runs of one workflow or hog function that are due to be replayed or rerun; sends nothing.

Facts: the blocked list goes on showing a run until its replay's marker arrives, and a window of
invocation results that was closed long ago shows runs as they were then, so the ledger and a run's
newest state decide what is due. HogQL reads any number of failed runs; the REST endpoint hands out
500 of one window, newest first, and its window must reach to now to show what is.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from hog_dagster.actions._protocol import Actor, Source
from hog_dagster.actions._replays import list_blocked
from hog_dagster.actions._rerun_evidence import PATIENCE
from hog_dagster.actions._rerun_plan import rerun_subject
from hog_dagster.actions._runs import (
    PAGE,
    RunToRerun,
    has_changed,
    has_hogql,
    read_states,
    state_of,
)
from hog_dagster.ledger import Entry, State
from hog_dagster.policies import ReplayPolicy
from hog_dagster.posthog import RunState, errors

#: Runs that are looked up in the ledger together, and between two looks at the clock.
_PART = 500
#: The end of a burst's log lines, counted from the second in which its runs were scheduled.
_LINES_END = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """When the runs were first scheduled.

    Args:
        start: inclusive.
        end: exclusive; None for now.
    """

    start: datetime
    end: datetime | None = None

    def holds(self, moment: datetime | None) -> bool:
        """Whether a moment is inside."""
        if moment is None:
            return True
        return self.start <= moment and (self.end is None or moment < self.end)


@dataclass
class Detection:
    """What was found in one workflow or hog function.

    Attributes:
        due: runs to request, as the replay job's config takes them.
        counts: how many runs stand how: failed, done before, in doubt, ...
        partly: there was no time to read all runs.
        place: the last run in `due` when there may be more; the next detection begins after it, so
            that runs which the job leaves do not stand before others for ever.
    """

    source: Source
    due: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    partly: bool = False
    place: str = ""

    def count(self, name: str) -> None:
        """One more run stands so."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def sentence(self) -> str:
        """The counts in words."""
        said = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        partly = ", and no time to read more" if self.partly else ""
        name = self.source.name or self.source.id
        return f"{name}: {said or 'nothing'}, {len(self.due)} to run again{partly}"


def detect_blocked(
    actor: Actor, source: Source, policy: ReplayPolicy, window: TimeWindow
) -> Detection:
    """Blocked runs of a workflow that are due: GET blocked_runs, and the ledger."""
    found = Detection(source)
    listed = [*(list_blocked(actor, source.id) or {}).values()]
    if not listed:
        return found
    known = _known(actor, source, "replay", [run.instance_id for run in listed])
    rerun = _known(actor, source, "rerun", [run.instance_id for run in listed])
    for run in sorted(listed, key=lambda run: (run.timestamp, run.instance_id)):
        found.count("blocked")
        entry = known.get(run.instance_id)
        if not run.action_id or not run.event_uuid:
            found.count("that can never be replayed")
        elif not window.holds(run.timestamp):
            found.count("outside the window")
        elif (other := rerun.get(run.instance_id)) is not None and _taken(other):
            found.count("run again before")
        elif _due(actor, found, entry):
            found.due.append(
                {
                    "instance_id": run.instance_id,
                    "action_id": run.action_id,
                    "event_uuid": run.event_uuid,
                }
            )
    return found


def detect_failed(
    actor: Actor,
    source: Source,
    policy: ReplayPolicy,
    window: TimeWindow,
    *,
    failures_in_a_row: int = 1,
    wanted: int = 100,
    deadline: float = math.inf,
    place: str = "",
) -> Detection:
    """Failed runs that are due.

    Args:
        actor: who looks.
        source: the workflow or hog function.
        policy: which runs, and how often.
        window: when they were first scheduled.
        failures_in_a_row: only when the source failed this many times one after the other: an
            outage, not one bad input.
        wanted: stop reading when this many are due.
        deadline: stop reading at this moment of the monotonic clock; what was found counts.
        place: of the detection before: runs that come after it are taken first.
    """
    found = Detection(source)
    if failures_in_a_row > 1 and not _in_a_row(actor, found, window, failures_in_a_row, deadline):
        return found
    runs = find_failed(actor, source, window, policy, known=_Settled(actor, source, policy))
    ascending, before = has_hogql(actor), list[dict[str, Any]]()
    while part := _part(actor, runs, deadline):
        for one in _sort_out(actor, found, part, policy):
            run = one["instance_id"]
            after = not place or (run > place if ascending else run < place)
            (found.due if after else before).append(one)
        if len(found.due) >= wanted:
            break
        if actor.clock.monotonic() >= deadline:
            found.partly = True
            break
    more = len(found.due) + len(before) > wanted
    found.due = [*found.due, *before][:wanted]
    if found.due and (more or found.partly):
        found.place = found.due[-1]["instance_id"]
    return found


def _part(actor: Actor, runs: Iterator[RunState], deadline: float) -> list[RunState]:
    """The next states; fewer when the time is over, for each may have cost a request."""
    part: list[RunState] = []
    for state in islice(runs, _PART):
        part.append(state)
        if actor.clock.monotonic() >= deadline:
            break
    return part


# --- reading failed runs --------------------------------------------------------------------------


def find_failed(
    actor: Actor,
    source: Source,
    window: TimeWindow,
    policy: ReplayPolicy,
    *,
    known: Callable[[str], bool] | None = None,
) -> Iterator[RunState]:
    """Every run first scheduled in the window whose newest status is `failed`, once.

    Args:
        actor: who reads.
        source: the workflow or hog function.
        window: when they were first scheduled.
        policy: error kinds and text that narrow it.
        known: says of a run that it is settled already, so that its newest state need not be read.

    Requests: one per 50,000 runs by HogQL; by REST one for up to 500 runs, and beyond that one per
    500 and one for each run.
    """
    actor.know_the_time()
    if has_hogql(actor):
        states: Iterable[RunState] = source.service(actor.client).run_states(
            source.id,
            since=window.start,
            until=window.end,
            status="failed",
            error_kinds=policy.error_kinds,
            message_contains=policy.message_contains or None,
        )
    else:
        states = _by_rest(actor, source, window, known or (lambda _run: False))
    for state in states:
        if state.status == "failed":
            yield state


def _by_rest(
    actor: Actor, source: Source, window: TimeWindow, known: Callable[[str], bool]
) -> Iterator[RunState]:
    """The newest 500 from a window that reaches to now; older ones by candidates and details."""
    service = source.service(actor.client)
    page = service.newest_results(source.id, after=window.start, status="failed", limit=PAGE)
    states = [state_of(row) for row in page]
    seen = set()
    for state in states:
        seen.add(state.invocation_id)
        if window.holds(state.scheduled_at):
            yield state
    if len(page) < PAGE:
        return
    end = window.end or min(s.scheduled_at for s in states if s.scheduled_at) + timedelta(seconds=1)
    for run in _candidates(actor, source, window.start, end):
        if run in seen:
            continue
        seen.add(run)
        if known(run):
            continue
        state = read_states(actor, source, [RunToRerun(run)]).get(run)
        if state is not None and window.holds(state.scheduled_at):
            yield state


def _candidates(actor: Actor, source: Source, start: datetime, end: datetime) -> Iterator[str]:
    """Runs that a closed window shows as failed: they were, at the time."""
    service = source.service(actor.client)
    while start < end:
        try:
            for row in service.invocation_results(
                source.id, after=start, before=end, status="failed"
            ):
                yield row.invocation_id
            return
        except errors.WindowTooDense as dense:
            yield from _by_lines(actor, source, dense.start)
            end = dense.start


def _by_lines(actor: Actor, source: Source, second: datetime) -> Iterator[str]:
    """Runs of a second with more failures than PostHog lists: by the errors in their logs."""
    try:
        for line in source.service(actor.client).logs(
            source.id, after=second, before=second + _LINES_END, level="ERROR"
        ):
            yield line.instance_id
    except errors.WindowTooDense:
        actor.log.warning(
            f"{source.label}: more runs failed at {second:%Y-%m-%d %H:%M:%S} UTC than PostHog "
            "lists; some of them were not found. A key with the scope query:read finds them all."
        )


def _in_a_row(
    actor: Actor, found: Detection, window: TimeWindow, wanted: int, deadline: float
) -> bool:
    """Whether this many of the runs, newest first, failed one after the other."""
    in_a_row = failed = 0
    for number, state in enumerate(_newest_first(actor, found.source, window), 1):
        if state.status == "failed":
            in_a_row, failed = in_a_row + 1, failed + 1
            if in_a_row >= wanted:
                return True
        elif state.status == "succeeded":
            in_a_row = 0
        if number % _PART == 0 and actor.clock.monotonic() >= deadline:
            found.partly = True
            break
    if failed:
        found.counts["failed, but not in a row"] = failed
    return False


def _newest_first(actor: Actor, source: Source, window: TimeWindow) -> Iterable[RunState]:
    actor.know_the_time()
    service = source.service(actor.client)
    if has_hogql(actor):
        states = service.run_states(source.id, since=window.start, until=window.end)
        epoch = window.start
        return sorted(states, key=lambda s: s.first_scheduled_at or epoch, reverse=True)
    end = window.end or actor.latest() + timedelta(minutes=1)
    rows = service.invocation_results(source.id, after=window.start, before=end)
    return map(state_of, rows)


# --- which are due --------------------------------------------------------------------------------


def _sort_out(
    actor: Actor,
    found: Detection,
    failed: Sequence[RunState],
    policy: ReplayPolicy,
) -> Iterator[dict[str, Any]]:
    """The failed runs that are due; the others are counted."""
    names = [state.invocation_id for state in failed]
    numbers = range(1, policy.max_reruns + 1)
    subjects = [rerun_subject(name, number) for name in names for number in numbers]
    known = _known(actor, found.source, "rerun", subjects)
    replayed = _known(actor, found.source, "replay", names)
    jobs = actor.ledger.remote_ids(actor.project_id, "rerun", found.source.id, names)
    for state in failed:
        run = state.invocation_id
        if run in jobs:
            continue  # a rerun job, which some servers list as if it were a run
        found.count("failed")
        if policy.error_kinds and state.error_kind not in policy.error_kinds:
            found.count("of another error kind")
        elif policy.message_contains.lower() not in state.error_message.lower():
            found.count("with another message")
        elif run in replayed and _taken(replayed[run]):
            found.count("replayed before")
        elif _rerun_due(actor, found, state, known, policy):
            when = state.first_row_at or state.scheduled_at
            yield {"instance_id": run, "scheduled_at": when.isoformat() if when else None}


def _rerun_due(
    actor: Actor, found: Detection, state: RunState, known: dict[str, Entry], policy: ReplayPolicy
) -> bool:
    last: Entry | None = None
    done = max(state.attempts, int(state.is_retry))
    for number in range(1, policy.max_reruns + 1):
        entry = known.get(rerun_subject(state.invocation_id, number))
        if entry is None:
            continue
        if entry.open:
            patience = PATIENCE if entry.remote_id else 1
            if has_changed(state, entry.request):
                found.count("in doubt, to be reconciled")
                return True
            return _due(actor, found, entry, patience)
        if entry.state is State.REFUSED:
            found.count("refused by PostHog")
            return False
        if entry.state is State.CONFIRMED:
            done, last = max(done, number), entry
    if done >= policy.max_reruns:
        found.count("run again before")
        return False
    if last is not None and not has_changed(state, last.request):
        found.count("run again, its end not shown yet")
        return False
    return True


def _known(actor: Actor, source: Source, kind: str, subjects: Sequence[str]) -> dict[str, Entry]:
    actions = [actor.action(kind, source, subject) for subject in subjects]
    return {entry.subject: entry for entry in actor.ledger.get_all(actions)}


def _taken(entry: Entry) -> bool:
    return entry.open or entry.state is State.CONFIRMED


def _due(actor: Actor, found: Detection, entry: Entry | None, patience: int = 1) -> bool:
    """Whether a run is to be requested: not in the ledger, or not sent, or to be reconciled."""
    if entry is None or entry.state in (State.CLAIMED, State.NOT_SENT):
        return True
    if entry.state is State.CONFIRMED:
        found.count("done, its marker is late")
        return False
    if entry.state is State.REFUSED:
        found.count("refused by PostHog")
        return False
    if actor.grace_over(entry, patience):
        found.count("in doubt, to be reconciled")
        return True
    found.count("in doubt")
    return False


class _Settled:
    """Says of a run that nothing is to be done about it, by the ledger alone."""

    def __init__(self, actor: Actor, source: Source, policy: ReplayPolicy) -> None:
        self.actor = actor
        self.source = source
        self.most = policy.max_reruns

    def __call__(self, run: str) -> bool:
        last = self.actor.ledger.get(
            self.actor.action("rerun", self.source, rerun_subject(run, self.most))
        )
        return last is not None and last.state in (State.CONFIRMED, State.REFUSED)
