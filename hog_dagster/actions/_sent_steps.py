"""Which messages of a failed run have already gone out, and would go out again in a rerun.

Facts: on builds of June to August 2026 a rerun starts at the trigger, so every step before the one
that failed is repeated; newer builds resume where the stored state says. A sent e-mail or push has
a row under `assets/` on newer servers; the run's own log lines name each step (`[Action:<id>]`).
Neither is complete, so a run without any line is not known to have sent nothing.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.actions._protocol import Actor, Source
from hog_dagster.actions._runs import has_hogql
from hog_dagster.posthog import RunState, errors
from hog_dagster.posthog.models import Workflow

#: Steps that reach somebody outside: people by e-mail, SMS and push, other systems by a function.
SENDING = ("function_email", "function_sms", "function_push", "function")
#: Runs whose messages are asked for one by one; more are read from the workflow's whole list.
ONE_BY_ONE = 20

_STEP = re.compile(r"\[Action:([^\]|]+)")
_EMAIL = re.compile(r"\[Email:[^:\]]+:([^\]]+)\]")
_ERRORED = re.compile(r"\[Action:([^\]|]+)[^\]]*\]\s*Error", re.IGNORECASE)
_LEFT_OUT = re.compile(
    r"\[Action:([^\]|]+)[^\]]*\].*(skipping send|opted out|retrying (this|in)|rescheduling)",
    re.IGNORECASE | re.DOTALL,
)
_BEGUN = re.compile(r"starting workflow|executing action", re.IGNORECASE)
_UNNAMED_EMAIL = re.compile(r"^email sent to ", re.IGNORECASE)
_ONLY_MOVED = re.compile(r"moved to action|resuming workflow|pausing|paus(ed|ing) until", re.I)


@dataclass(frozen=True, slots=True)
class StepsSent:
    """What a run has sent.

    Attributes:
        names: of the sending steps that went out.
        known: whether the run's log says what it did at all.
    """

    names: tuple[str, ...] = ()
    known: bool = True


@dataclass
class _Seen:
    """What the lines of a run name.

    Attributes:
        steps: those whose last line does not say that they failed or were left out.
        errored: steps that failed.
        begun: a line says that the run began; then lines name each of its steps.
        unnamed_email: an e-mail went out, and the line does not say by which step.
    """

    steps: set[str] = field(default_factory=set)
    errored: set[str] = field(default_factory=set)
    begun: bool = False
    unnamed_email: bool = False


class SentSteps:
    """Reads for many runs of one source which sending steps went out.

    Args:
        actor: who reads.
        source: the workflow or function.
    """

    def __init__(self, actor: Actor, source: Source) -> None:
        self.actor = actor
        self.source = source
        self.steps: dict[str, str] = {}
        self.emails: set[str] = set()
        self.workflow: Workflow | None = None
        if source.type == "workflow":
            self.workflow = actor.client.workflows.get(source.id)
            self.steps = {
                step.id: step.name or step.id
                for step in self.workflow.actions
                if step.type in SENDING and step.id
            }
            emails = (step for step in self.workflow.actions if step.type == "function_email")
            self.emails = {step.id for step in emails if step.id}

    def of(self, states: Sequence[RunState]) -> dict[str, StepsSent]:
        """What each run has sent, by run id.

        A function has one step, and a failed run of it sent nothing; so has a workflow without
        sending steps. Requests: a few for many runs by HogQL, else one or two per run.
        """
        if not self.steps or not states:
            return {state.invocation_id: StepsSent() for state in states}
        seen = self._by_lines(states)
        messages = self._by_messages(states)
        result: dict[str, StepsSent] = {}
        for state in states:
            run = seen.get(state.invocation_id, _Seen())
            went = run.steps | messages.get(state.invocation_id, set())
            if run.unnamed_email and not went & self.emails:
                went |= self.emails
            names = tuple(self.steps[step] for step in self.steps if step in went)
            first = next(iter(self.steps))
            known = bool(names) or run.begun or first in run.errored
            result[state.invocation_id] = StepsSent(names, known=known)
        return result

    # --- log lines -----------------------------------------------------------------------------

    def _by_lines(self, states: Sequence[RunState]) -> dict[str, _Seen]:
        since = _since(states)
        seen: dict[str, _Seen] = defaultdict(_Seen)
        lines = self._lines(states, since)
        for line in sorted(lines, key=lambda line: line.timestamp):
            _read(seen[line.instance_id], line.message)
        return seen

    def _by_log_source(self, states: Sequence[RunState]) -> dict[str, list[str]]:
        """Runs by what they log under: the workflow, or the batch job that they belong to."""
        sources: dict[str, list[str]] = defaultdict(list)
        for state in states:
            sources[state.parent_run_id or self.source.id].append(state.invocation_id)
        return sources

    def _lines(self, states: Sequence[RunState], since: datetime) -> Iterable[Any]:
        service = self.source.service(self.actor.client)
        if has_hogql(self.actor):
            for source, ids in self._by_log_source(states).items():
                yield from service.log_lines(source, ids=ids, since=since)
            return
        before = self.actor.latest() + timedelta(minutes=10)
        try:
            for state in states:
                run = state.invocation_id
                yield from service.logs(self.source.id, after=since, before=before, instance_id=run)
        except (errors.PermissionDenied, errors.EndpointMissing):
            return  # then what a run has sent is known of sent messages only

    # --- sent messages -------------------------------------------------------------------------

    def _by_messages(self, states: Sequence[RunState]) -> dict[str, set[str]]:
        if self.source.type != "workflow" or not self.actor.client.server.has("sent_messages"):
            return {}
        read = self.actor.client.messaging.sent_messages
        wanted = {state.invocation_id for state in states}
        found: dict[str, set[str]] = defaultdict(set)
        try:
            if len(wanted) <= ONE_BY_ONE:
                rows = [
                    row for run in sorted(wanted) for row in read(self.source.id, invocation_id=run)
                ]
            else:
                rows = list(read(self.source.id, after=_since(states)))
        except (errors.PermissionDenied, errors.EndpointMissing):
            return {}
        for row in rows:
            if row.invocation_id in wanted:
                found[row.invocation_id].add(row.action_id)
        return found


def _read(seen: _Seen, message: str) -> None:
    seen.begun = seen.begun or _BEGUN.search(message) is not None
    if sent := _EMAIL.findall(message):
        seen.steps.update(sent)
    elif _UNNAMED_EMAIL.search(message):
        seen.unnamed_email = True
    elif errored := _ERRORED.findall(message):
        seen.errored.update(errored)
        seen.steps.difference_update(errored)
    elif left := [found[0] for found in _LEFT_OUT.findall(message)]:
        seen.steps.difference_update(left)
    elif not _ONLY_MOVED.search(message):
        seen.steps.update(_STEP.findall(message))


def _since(states: Sequence[RunState]) -> datetime:
    moments = [m for s in states for m in (s.first_scheduled_at, s.first_row_at) if m is not None]
    return min(moments) - timedelta(hours=1)
