"""Reads every act in doubt back from PostHog and settles what PostHog shows; sends nothing.

Facts: as in `reconcile`. What is shown not to have happened is given back, so that whoever asks for
it next (the sensor, a re-execution, an operator) may send it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from hog_dagster.actions._evidence import (
    Finding,
    Verdict,
    batch_finding,
    listed_blocked,
    read_markers,
    replay_finding,
    rerun_finding,
    schedule_finding,
    settle_by,
)
from hog_dagster.actions._protocol import Acting, text_of
from hog_dagster.actions._runs import FailedRunToRerun, read_runs
from hog_dagster.ledger import ClaimLost, ClaimStatus, Entry, State
from hog_dagster.posthog import errors

__all__ = ["Settled", "settle_open"]


@dataclass
class Settled:
    """What became of the acts in doubt: act, and why."""

    confirmed: list[tuple[Entry, str]] = field(default_factory=list)
    not_sent: list[tuple[Entry, str]] = field(default_factory=list)
    in_doubt: list[tuple[Entry, str]] = field(default_factory=list)
    busy: list[tuple[Entry, str]] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many of each."""
        return {
            "confirmed": len(self.confirmed),
            "not_sent": len(self.not_sent),
            "in_doubt": len(self.in_doubt),
            "busy": len(self.busy),
        }


Look = Callable[[Acting, str, list[Entry]], Callable[[Entry], Finding]]


def settle_open(acting: Acting) -> Settled:
    """Settle what PostHog shows of this project's acts in doubt.

    Endpoints: GET blocked_runs, logs, invocation_results, batch_jobs, schedules, as needed.
    """
    settled = Settled()
    acting.look()
    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    doubtful = acting.ledger.entries(
        project_id=acting.project_id, state=[State.SENT, State.IN_DOUBT]
    )
    for entry in list(doubtful):
        act = entry.action()
        claim = acting.ledger.claim(act, acting.owner, alive=acting.alive)
        if claim.status is ClaimStatus.IN_DOUBT:
            groups[entry.kind, entry.target_id].append(claim.entry)
        elif claim.granted:
            acting.ledger.release(claim.entry, note="given back: not sent")
        elif claim.status is ClaimStatus.BUSY:
            settled.busy.append((claim.entry, f"run {claim.entry.owner} is sending it"))
    for (kind, workflow_id), entries in groups.items():
        _settle_group(acting, settled, _LOOKS[kind], workflow_id, entries)
    return settled


def _settle_group(
    acting: Acting, settled: Settled, look: Look, workflow_id: str, entries: list[Entry]
) -> None:
    try:
        finding_of = look(acting, workflow_id, entries)
    except errors.PostHogError as error:
        settled.in_doubt += [(entry, text_of(error)) for entry in entries]
        return
    for entry in entries:
        finding = finding_of(entry)
        try:
            mine = settle_by(acting, entry, finding)
            if mine is not None:
                acting.ledger.release(mine, note=f"read back: {finding.note}")
        except ClaimLost as lost:
            settled.busy.append((entry, str(lost)))
            continue
        if finding.verdict is Verdict.HAPPENED:
            settled.confirmed.append((entry, finding.note))
        elif finding.verdict is Verdict.NOT_HAPPENED:
            settled.not_sent.append((entry, finding.note))
        else:
            settled.in_doubt.append((entry, f"{finding.note}. {finding.remedy}".strip()))


def _look_at_replays(
    acting: Acting, workflow_id: str, entries: list[Entry]
) -> Callable[[Entry], Finding]:
    listed = listed_blocked(acting, workflow_id)
    since = min(entry.server_sent_at or entry.sent_at or entry.created_at for entry in entries)
    markers = read_markers(acting, workflow_id, since)
    names = None if listed is None else set(listed)
    return lambda entry: replay_finding(acting, entry, markers=markers, listed=names)


def _look_at_bulk(
    acting: Acting, workflow_id: str, entries: list[Entry]
) -> Callable[[Entry], Finding]:
    def finding(entry: Entry) -> Finding:
        if acting.grace_over(entry):
            return Finding(Verdict.HAPPENED, "over: each of its runs is read back alone")
        return Finding(Verdict.UNDECIDED, "its runs are read back one by one")

    return finding


def _look_at_reruns(
    acting: Acting, workflow_id: str, entries: list[Entry]
) -> Callable[[Entry], Finding]:
    def run_of(entry: Entry) -> FailedRunToRerun:
        when = entry.request.get("scheduled_at")
        return FailedRunToRerun(
            entry.subject.partition("#")[0], datetime.fromisoformat(when) if when else None
        )

    shown = read_runs(acting, workflow_id, map(run_of, entries))
    return lambda entry: rerun_finding(acting, entry, shown.get(run_of(entry).instance_id))


def _taken(acting: Acting, entries: Iterable[Entry], entry: Entry) -> set[str]:
    return {
        other.remote_id
        for other in acting.ledger.entries(
            project_id=acting.project_id, kind=entry.kind, target_id=entry.target_id
        )
        if other.remote_id and other.id != entry.id
    }


def _look_at_batches(
    acting: Acting, workflow_id: str, entries: list[Entry]
) -> Callable[[Entry], Finding]:
    jobs = acting.client.workflows.batch_jobs(workflow_id)
    return lambda entry: batch_finding(acting, entry, jobs, _taken(acting, entries, entry))


def _look_at_schedules(
    acting: Acting, workflow_id: str, entries: list[Entry]
) -> Callable[[Entry], Finding]:
    made = acting.client.workflows.schedules(workflow_id)
    return lambda entry: schedule_finding(acting, entry, made, _taken(acting, entries, entry))


_LOOKS: dict[str, Look] = {
    "replay": _look_at_replays,
    "replay_all": _look_at_bulk,
    "rerun": _look_at_reruns,
    "batch_send": _look_at_batches,
    "schedule_create": _look_at_schedules,
}
