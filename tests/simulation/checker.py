"""Judges a history by effects and the ledger's rows alone. It must not know the engine.

Effects are what the sandbox's world counts (executions, messages, batch jobs that went out,
schedules) together with which of our requests caused them.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.simulation.sources import Execution, Message

__all__ = [
    "Changed",
    "Evidence",
    "Violation",
    "Wanted",
    "check_end",
    "check_history",
    "effects_of_attempt",
]


#: A message may be so new that PostHog does not show it yet.
UNSEEN = timedelta(minutes=10)


@dataclass(frozen=True)
class Violation:
    """A broken promise."""

    rule: str
    text: str

    def __str__(self) -> str:
        return f"[{self.rule}] {self.text}"


@dataclass(frozen=True)
class Changed:
    """A committed change of a row."""

    row: int
    attempt: int
    state: str
    by: str
    note: str
    subject: str
    kind: str


@dataclass(frozen=True)
class Wanted:
    """What was ordered, and how it must end.

    Attributes:
        kind, target: as in the ledger.
        subjects: run ids, or keys.
        most: how often each may happen by our word.
        skip_sent: no message of a run may leave again by a rerun of ours.
        must: subjects that must have happened (or be in doubt, or refused) in the end.
    """

    kind: str
    target: str
    subjects: tuple[str, ...]
    most: int = 1
    skip_sent: bool = False
    must: frozenset[str] = frozenset()


@dataclass
class Evidence:
    """All that the checker is given."""

    wanted: Sequence[Wanted]
    requests: Sequence[Any]
    executions: Sequence[Execution]
    messages: Sequence[Message]
    ours: Callable[[Execution], Any]
    changes: Sequence[Changed]
    rows: Sequence[Any]
    dry_writes: Sequence[str]
    errors: Sequence[str]
    alive: Callable[[str], bool | None]
    #: (kind, target) for which others made rows that nothing tells from ours.
    lookalikes: Set[tuple[str, str]] = frozenset()
    #: How many reruns of a run (source, run) PostHog's own rows showed at a moment of its clock.
    reruns_shown: Callable[[str, str, datetime], int] = lambda _source, _run, _at: 0

    def effects(self) -> dict[tuple[str, str, str], list[Any]]:
        """Our effects: (kind, target, subject) -> the requests that caused them.

        A rerun job whose worker retries a page may run a run twice: that is one effect of ours.
        """
        found: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
        for request in self.requests:
            if request.kind in ("replay", "replay_all"):
                for run in request.effects:
                    found["replay", request.target, run].append(request)
            elif request.kind in ("batch_send", "schedule_create"):
                for _ in request.effects:
                    found[request.kind, request.target, request.key].append(request)
        for execution in self.executions:
            if execution.cause == "rerun" and (request := self.ours(execution)) is not None:
                caused = found["rerun", execution.source_id, execution.invocation_id]
                if not any(request is other for other in caused):
                    caused.append(request)
        return found


def run_of(subject: str) -> str:
    """The run of a ledger subject: the part before the number of the rerun."""
    return subject.partition("#")[0]


def check_history(evidence: Evidence) -> list[Violation]:
    """What must hold at every moment."""
    effects = evidence.effects()
    return [
        *_at_most(evidence, effects),
        *_of_one_kind(effects),
        *_not_over_the_maximum(evidence),
        *_given_back_rightly(evidence, effects),
        *_dry(evidence),
        *_wrong_ledger(evidence),
        *(Violation("error", error) for error in evidence.errors),
        *_already_sent(evidence),
    ]


def check_end(evidence: Evidence) -> list[Violation]:
    """What must hold when everything is quiet and enough time has passed."""
    effects = evidence.effects()
    return [
        *_refused_rightly(evidence, effects),
        *_confirmed_rightly(evidence, effects),
        *_settled(evidence),
        *_nothing_lost(evidence, effects),
    ]


# --- at every moment ------------------------------------------------------------------------------


def _at_most(evidence: Evidence, effects: Mapping[Any, list[Any]]) -> Iterable[Violation]:
    most: dict[tuple[str, str, str], int] = {}
    for wanted in evidence.wanted:
        for subject in wanted.subjects:
            key = (wanted.kind, wanted.target, subject)
            most[key] = max(most.get(key, 0), wanted.most)
    for key, requests in effects.items():
        allowed = most.get(key, 0)
        if len(requests) > allowed:
            kind, _, subject = key
            rule = "max_reruns" if kind == "rerun" and allowed != 1 else "once"
            labels = ", ".join(f"{r.label} by {r.process.name}" for r in requests)
            yield Violation(
                rule,
                f"{kind} of {subject} happened {len(requests)} times, {allowed} allowed: " + labels,
            )


def _of_one_kind(effects: Mapping[Any, list[Any]]) -> Iterable[Violation]:
    """What a replay has taken no rerun takes, and the other way round."""
    for kind, target, run in effects:
        if kind == "replay" and (other := effects.get(("rerun", target, run))):
            labels = ", ".join(one.label for one in [*effects[kind, target, run], *other])
            yield Violation("once", f"run {run} was both replayed and rerun: {labels}")


def _not_over_the_maximum(evidence: Evidence) -> Iterable[Violation]:
    """Reruns by others count too, once PostHog must have shown them."""
    most = {
        (wanted.target, run): wanted.most
        for wanted in evidence.wanted
        if wanted.kind == "rerun"
        for run in wanted.subjects
    }
    seen: set[tuple[int, str]] = set()
    for execution in evidence.executions:
        request = evidence.ours(execution) if execution.cause == "rerun" else None
        source, run = execution.source_id, execution.invocation_id
        if request is None or (request.number, run) in seen:
            continue
        seen.add((request.number, run))
        shown = evidence.reruns_shown(source, run, request.server_left_at - UNSEEN)
        if shown >= most.get((source, run), 1):
            yield Violation(
                "max_reruns", f"{request.label} reran {run}, of which PostHog showed {shown} reruns"
            )


def effects_of_attempt(
    effects: Mapping[Any, list[Any]], change: Changed, requests: Sequence[Any]
) -> list[Any]:
    """Requests of this attempt of a row that had an effect on the row's subject."""
    return [
        request
        for request in requests
        if (change.row, change.attempt) in request.rows
        and any(
            request is other
            for other in effects.get(
                (
                    change.kind,
                    request.target,
                    request.key
                    if change.kind in ("batch_send", "schedule_create")
                    else run_of(change.subject),
                ),
                [],
            )
        )
    ]


def _given_back_rightly(
    evidence: Evidence, effects: Mapping[Any, list[Any]]
) -> Iterable[Violation]:
    before: dict[int, str] = {}
    for change in evidence.changes:
        last = before.get(change.row)
        before[change.row] = change.state
        if change.state not in ("not_sent", "claimed"):
            continue
        if last not in ("sent", "in_doubt"):
            continue
        for request in effects_of_attempt(effects, change, evidence.requests):
            yield Violation(
                "not sent",
                f"{change.kind} {change.subject} was declared {change.state} by {change.by} "
                f"({change.note[:120]!r}), yet {request.label} had its effect",
            )


def _dry(evidence: Evidence) -> Iterable[Violation]:
    for request in evidence.requests:
        if request.process.dry:
            yield Violation("dry run", f"{request.label} {request.kind} was sent by a dry run")
    for write in evidence.dry_writes:
        yield Violation("dry run", f"a dry run changed the ledger: {write}")


def _wrong_ledger(evidence: Evidence) -> Iterable[Violation]:
    for request in evidence.requests:
        if request.wrong_ledger:
            yield Violation(
                "ledger", f"{request.label} {request.kind} was sent by way of another ledger"
            )


def _already_sent(evidence: Evidence) -> Iterable[Violation]:
    careful = {
        (wanted.target, subject)
        for wanted in evidence.wanted
        if wanted.skip_sent
        for subject in wanted.subjects
    }
    if not careful:
        return
    cause: dict[tuple[str, str, int], Any] = {
        (one.source_id, one.invocation_id, one.number): evidence.ours(one)
        for one in evidence.executions
        if one.cause == "rerun"
    }
    sent: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
    for message in evidence.messages:
        run = (message.source_id, message.invocation_id)
        request = cause.get((*run, message.execution))
        before = sent[(*run, message.action_id)]
        if (
            request is not None
            and run in careful
            and any(
                one is not request and at < request.server_left_at - UNSEEN for at, one in before
            )
        ):
            yield Violation(
                "already sent",
                f"step {message.action_id} of run {message.invocation_id} was sent again by "
                f"{request.label}",
            )
        before.append((message.at, request))


# --- in the end -----------------------------------------------------------------------------------


def _refused_rightly(evidence: Evidence, effects: Mapping[Any, list[Any]]) -> Iterable[Violation]:
    for row in evidence.rows:
        if str(row.state) != "refused":
            continue
        if not any(
            request.refused and any(number == row.id for number, _ in request.rows)
            for request in evidence.requests
        ):
            yield Violation(
                "refused", f"{row.kind} {row.subject} is refused, not by PostHog: {row.note[:160]}"
            )


def _confirmed_rightly(evidence: Evidence, effects: Mapping[Any, list[Any]]) -> Iterable[Violation]:
    confirmed: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
    for row in evidence.rows:
        if str(row.state) == "confirmed" and row.kind != "replay_all":
            confirmed[row.kind, row.target_id, run_of(row.subject)].append(row)
    for key, rows in confirmed.items():
        kind, target, subject = key
        if kind in ("rerun", "replay"):
            happened = sum(
                e.cause == kind and e.source_id == target and e.invocation_id == subject
                for e in evidence.executions
            )
        else:
            happened = len(effects.get(key, [])) or ((kind, target) in evidence.lookalikes)
        if happened < len(rows):
            notes = "; ".join(f"row {row.id}: {row.note[:100]}" for row in rows)
            yield Violation(
                "confirmed", f"{kind} {subject}: {len(rows)} confirmed, {happened} effects: {notes}"
            )


def _settled(evidence: Evidence) -> Iterable[Violation]:
    for row in evidence.rows:
        state = str(row.state)
        if state in ("sent", "claimed") and not evidence.alive(row.owner):
            yield Violation(
                "settled", f"{row.kind} {row.subject} is still {state} by {row.owner}: {row.note}"
            )
        if state == "in_doubt" and not re.search(rf"ledger .*resolve {row.id}\b", row.note):
            yield Violation(
                "remedy", f"{row.kind} {row.subject} is in doubt without a remedy: {row.note}"
            )


def _nothing_lost(evidence: Evidence, effects: Mapping[Any, list[Any]]) -> Iterable[Violation]:
    held = {
        (row.kind, row.target_id, run_of(row.subject))
        for row in evidence.rows
        if str(row.state) in ("in_doubt", "refused")
    }
    again = {  # by whomever
        (one.source_id, one.invocation_id)
        for one in evidence.executions
        if one.cause in ("replay", "rerun")
    }
    for wanted in evidence.wanted:
        for subject in sorted(wanted.must):
            if (wanted.kind, wanted.target) in evidence.lookalikes:
                continue
            kinds = ("replay", "rerun") if wanted.kind in ("replay", "rerun") else (wanted.kind,)
            keys = [(kind, wanted.target, subject) for kind in kinds]
            if (wanted.target, subject) in again:
                continue
            if not any(key in effects or key in held for key in keys):
                states = [
                    f"{row.state}: {row.note[:100]}"
                    for row in evidence.rows
                    if row.kind == wanted.kind and run_of(row.subject) == subject
                ]
                yield Violation(
                    "lost", f"{wanted.kind} of {subject} never happened; ledger: {states or 'none'}"
                )
