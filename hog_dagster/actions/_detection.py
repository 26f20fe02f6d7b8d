"""Looks at one workflow for runs that are due to be replayed or run again; sends nothing.

Facts: the blocked list goes on showing a run until its replay's marker arrives, so the ledger
decides what is due, not the list; `metrics/global` names every workflow with failures in one
request, though not those of which only batch runs failed; a run that PostHog marks as a retry was
run again before.
"""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

from hog_dagster.actions._evidence import RERUN_PATIENCE
from hog_dagster.actions._protocol import Acting
from hog_dagster.actions._replay_all import bulk_is_recent
from hog_dagster.actions._reruns import rerun_subject
from hog_dagster.ledger import Entry, State
from hog_dagster.posthog.models import InvocationResult

__all__ = ["Rules", "Seen", "look_at_blocked", "look_at_failed"]

#: Runs looked at between two looks at the clock; failed ones are looked up in the ledger together.
_PART = 500


@dataclass(frozen=True, slots=True)
class Rules:
    """Which runs may be asked for.

    Args:
        min_age: a run younger than this is left alone: it may still be retried by PostHog.
        max_age: a run older than this is left alone.
        failures_in_a_row: failed runs of a workflow are only asked for when so many failed one
            after the other within `max_age`: an outage, not one bad input.
        error_kinds: only failed runs with one of these kinds of error; all when empty.
        max_reruns: how often one failed run may be run again in all.
    """

    min_age: timedelta = timedelta(0)
    max_age: timedelta = timedelta(days=30)
    failures_in_a_row: int = 1
    error_kinds: frozenset[str] = frozenset()
    max_reruns: int = 1


@dataclass
class Seen:
    """What a look at one workflow saw.

    Attributes:
        due: runs to ask for, as the replay job's config takes them.
        counts: how many runs stood how: blocked or failed, unreplayable, done, in_doubt, ...
        partly: there was no time to read all runs; the newest were read.
    """

    workflow_id: str
    due: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    partly: bool = False

    def count(self, name: str) -> None:
        """One more run stands so."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def sentence(self) -> str:
        """The counts in words."""
        said = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        partly = ", and no time to read more" if self.partly else ""
        return f"{self.workflow_id}: {said or 'nothing'}, {len(self.due)} due{partly}"


def look_at_blocked(acting: Acting, workflow_id: str, rules: Rules) -> Seen:
    """Blocked runs of a workflow: GET blocked_runs, and the ledger."""
    seen = Seen(workflow_id)
    listed = list(acting.client.workflows.blocked_runs(workflow_id))
    if not listed:
        return seen
    known = _known(acting, "replay", workflow_id, [run.instance_id for run in listed])
    bulk = bulk_is_recent(acting, workflow_id)
    for run in sorted(listed, key=lambda run: (run.timestamp, run.instance_id)):
        seen.count("blocked")
        entry = known.get(run.instance_id)
        if not run.action_id or not run.event_uuid:
            seen.count("unreplayable")
        elif not _in_age(acting, run.timestamp, rules):
            seen.count("outside the age window")
        elif entry is None and bulk is not None:
            seen.count("in doubt")
        elif _due(acting, seen, entry):
            seen.due.append(
                {
                    "instance_id": run.instance_id,
                    "action_id": run.action_id,
                    "event_uuid": run.event_uuid,
                }
            )
    return seen


def look_at_failed(
    acting: Acting,
    workflow_id: str,
    rules: Rules,
    *,
    wanted: int = 100,
    deadline: float = math.inf,
) -> Seen:
    """Failed runs of a workflow, newest first: GET invocation_results, and the ledger.

    Args:
        acting: who looks.
        workflow_id: the workflow.
        rules: which runs may be asked for.
        wanted: stop reading when so many are due.
        deadline: stop reading at this moment of the monotonic clock; what was seen counts.
    """
    seen = Seen(workflow_id)
    now = acting.now()
    read = partial(
        acting.client.workflows.invocation_results,
        workflow_id,
        after=now - rules.max_age,
        before=now - rules.min_age + timedelta(seconds=1),
    )
    if rules.failures_in_a_row > 1 and not _failed_in_a_row(
        seen, read(), rules.failures_in_a_row, deadline
    ):
        return seen
    failed = filter(_has_failed, read(status="failed"))
    while part := list(islice(failed, _PART)):
        _sort_out(acting, seen, part, rules)
        if len(seen.due) >= wanted:
            break
        if time.monotonic() >= deadline:
            seen.partly = True
            break
    return seen


def _failed_in_a_row(
    seen: Seen, runs: Iterable[InvocationResult], wanted: int, deadline: float
) -> bool:
    """Whether so many of the runs, newest first, failed one after the other; reads no further than
    it must. If not, those that failed are counted.
    """
    in_a_row = failed = 0
    for number, run in enumerate(runs, 1):
        if _has_failed(run):
            in_a_row, failed = in_a_row + 1, failed + 1
            if in_a_row >= wanted:
                return True
        elif run.status == "succeeded":
            in_a_row = 0
        if number % _PART == 0 and time.monotonic() >= deadline:
            seen.partly = True
            break
    if failed:
        seen.counts["failed, but not in a row"] = failed
    return False


def _has_failed(run: InvocationResult) -> bool:
    return run.status == "failed"


def _sort_out(acting: Acting, seen: Seen, failed: list[InvocationResult], rules: Rules) -> None:
    """Put the failed runs that are due on the list."""
    workflow_id = seen.workflow_id
    names = [run.invocation_id for run in failed]
    subjects = [rerun_subject(n, i) for n in names for i in range(1, rules.max_reruns + 1)]
    known = _known(acting, "rerun", workflow_id, subjects)
    replayed = _known(acting, "replay", workflow_id, names)
    ours = acting.ledger.remote_ids(acting.project_id, "rerun", workflow_id, names)
    for run in failed:
        if run.invocation_id in ours:
            continue  # a rerun job of ours, which PostHog lists as if it were a run
        seen.count("failed")
        if rules.error_kinds and (run.error_kind or "") not in rules.error_kinds:
            seen.count("of another error kind")
        elif run.invocation_id in replayed and not _free(replayed[run.invocation_id]):
            seen.count("replayed before")
        elif _rerun_due(acting, seen, run, known, rules) and run.scheduled_at is not None:
            seen.due.append(
                {
                    "instance_id": run.invocation_id,
                    "scheduled_at": run.scheduled_at.isoformat(),
                }
            )


def _known(
    acting: Acting, kind: str, workflow_id: str, subjects: Sequence[str]
) -> dict[str, Entry]:
    acts = [acting.act(kind, workflow_id, subject) for subject in subjects]
    return {entry.subject: entry for entry in acting.ledger.get_all(acts)}


def _in_age(acting: Acting, when: datetime, rules: Rules) -> bool:
    return rules.min_age <= acting.now() - when <= rules.max_age or (
        rules.min_age <= timedelta(0) and when > acting.now()
    )


def _free(entry: Entry) -> bool:
    return entry.state in (State.CLAIMED, State.NOT_SENT, State.REFUSED)


def _due(acting: Acting, seen: Seen, entry: Entry | None, patience: int = 1) -> bool:
    """Whether a run is to be asked for: unknown to the ledger, or surely or probably not sent."""
    if entry is None or entry.state in (State.CLAIMED, State.NOT_SENT):
        return True
    if entry.state is State.CONFIRMED:
        seen.count("done, its marker is late")
        return False
    if entry.state is State.REFUSED:
        seen.count("unreplayable")
        return False
    if acting.grace_over(entry, patience):
        seen.count("in doubt, to be read back")
        return True
    seen.count("in doubt")
    return False


def _rerun_due(
    acting: Acting, seen: Seen, run: InvocationResult, known: dict[str, Entry], rules: Rules
) -> bool:
    number = 1
    while number <= rules.max_reruns:
        entry = known.get(rerun_subject(run.invocation_id, number))
        if entry is None and number == 1 and run.is_retry:
            number = 2
            continue
        if entry is None or entry.state in (State.CLAIMED, State.NOT_SENT):
            return True
        again = (run.attempts or 0) > int(entry.request.get("attempts") or 0)
        if entry.state is State.CONFIRMED and again:
            number += 1
            continue
        if entry.open and again:
            seen.count("in doubt, to be read back")
            return True
        return _due(acting, seen, entry, RERUN_PATIENCE if entry.remote_id else 1)
    seen.count("run again before")
    return False
