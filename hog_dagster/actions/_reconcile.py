"""Reconciles every action in doubt with the evidence PostHog shows; sends nothing.

An action that is shown not to have happened is free again: whoever asks for it next (the sensor, a
re-execution, an operator) may send it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from hog_dagster.actions._batch import batch_evidence
from hog_dagster.actions._claims import Finding, FindingOf, find_out, record_all
from hog_dagster.actions._list_evidence import LIST_KINDS, list_evidence
from hog_dagster.actions._protocol import Actor, Source, text_of
from hog_dagster.actions._replays import ReplayEvidence
from hog_dagster.actions._rerun_evidence import RerunEvidence
from hog_dagster.actions._schedules import schedule_evidence
from hog_dagster.actions._summary import Outcome, Summary
from hog_dagster.ledger import Claim, ClaimStatus, Entry, LedgerError, LedgerUnavailable, State
from hog_dagster.posthog import errors

#: Actions in doubt that are claimed in one transaction.
_CLAIMED_AT_ONCE = 200


def reconcile(actor: Actor, sources: Sequence[Source] | None = None) -> Summary:
    """Find out what became of this project's actions in doubt, and record what is known.

    Args:
        actor: who reconciles.
        sources: only the actions on these workflows and functions; all of the project by default.

    Returns:
        A result per action; its subject is `<kind> of <target's name and id>: <subject>`.

    Endpoints: GET blocked_runs, logs, invocation_results, batch_jobs, schedules, suppressions,
    opt_outs, HogQL, as needed.
    """
    summary = Summary()
    groups: dict[tuple[str, Source], list[Entry]] = defaultdict(list)
    unsettled = actor.ledger.entries(
        project_id=actor.project_id,
        target_id=None if sources is None else [source.id for source in sources],
        state=[State.CLAIMED, State.SENT, State.IN_DOUBT],
    )
    for entry, claim in _claimed(actor, summary, list(unsettled)):
        if claim.status is ClaimStatus.IN_DOUBT:
            source = Source(entry.target_id, entry.target_type, entry.target_name)
            groups[entry.kind, source].append(claim.entry)
        elif claim.granted:
            note = "not sent: the run that had claimed it ended before it sent it"
            actor.ledger.release(claim.entry, note=note)
        elif claim.status is ClaimStatus.BUSY:
            _add(summary, Outcome.SKIPPED, claim.entry, f"run {claim.entry.owner} is sending it")
    if groups:
        actor.know_the_time()
    for (kind, source), entries in groups.items():
        _reconcile_group(actor, summary, kind, source, entries)
    return summary


def _claimed(
    actor: Actor, summary: Summary, entries: Sequence[Entry]
) -> Iterator[tuple[Entry, Claim]]:
    """Each entry with its claim, many in one transaction; one that cannot be claimed is added to
    the summary.
    """
    for start in range(0, len(entries), _CLAIMED_AT_ONCE):
        part = entries[start : start + _CLAIMED_AT_ONCE]
        try:
            actions = [entry.action() for entry in part]
            claims = actor.ledger.claim_all(actions, actor.owner, alive=actor.alive)
        except LedgerUnavailable:
            raise
        except LedgerError as error:  # a key that an old ledger took and this one does not
            if len(part) > 1:
                for entry in part:
                    yield from _claimed(actor, summary, [entry])
            else:
                _add(summary, Outcome.IN_DOUBT, part[0], f"{error} {actor.remedy(part[0])}")
            continue
        yield from zip(part, claims, strict=True)


def _reconcile_group(
    actor: Actor, summary: Summary, kind: str, source: Source, entries: list[Entry]
) -> None:
    """Reconcile the actions of one kind on one target; what cannot be read costs no other group."""
    evidence = _EVIDENCE.get(kind)
    if evidence is None:
        for entry in entries:
            why = f"this release knows no actions of kind {kind}. {actor.remedy(entry)}"
            _add(summary, Outcome.IN_DOUBT, entry, why)
        return
    try:
        finding_of = evidence(actor, source, entries)
        findings = [(entry, find_out(actor, entry, finding_of)) for entry in entries]
    except errors.PostHogError as error:
        for entry in entries:
            why = f"the evidence could not be read: {text_of(error)}"
            _add(summary, Outcome.IN_DOUBT, entry, why)
        return
    lost = record_all(actor, findings)
    for entry, finding in findings:
        if entry.id in lost:
            _add(summary, Outcome.SKIPPED, entry, str(lost[entry.id]))
        else:
            _add(summary, finding.outcome, entry, finding.note)


def _add(summary: Summary, outcome: Outcome, entry: Entry, why: str) -> None:
    target = Source(entry.target_id, entry.target_type, entry.target_name)
    name = f"{entry.kind} of {target.label}: {entry.subject}"
    summary.add(outcome, name, why, action_id=entry.id, remote_id=entry.remote_id)


def _replays(actor: Actor, source: Source, entries: list[Entry]) -> FindingOf:
    evidence = ReplayEvidence(actor, source.id)
    evidence.expect(entries)
    return evidence.finding


def _replay_all(actor: Actor, _source: Source, _entries: list[Entry]) -> FindingOf:
    def finding(entry: Entry) -> Finding:
        if actor.grace_over(entry):
            return Finding(Outcome.CONFIRMED, "each of its runs is an action of its own")
        return Finding(Outcome.IN_DOUBT, "each of its runs is reconciled by itself")

    return finding


def _reruns(actor: Actor, source: Source, entries: list[Entry]) -> FindingOf:
    return RerunEvidence(actor, source, entries).finding


def _batches(actor: Actor, source: Source, _entries: list[Entry]) -> FindingOf:
    return batch_evidence(actor, source.id).finding


def _schedules(actor: Actor, source: Source, _entries: list[Entry]) -> FindingOf:
    return schedule_evidence(actor, source.id).finding


_EVIDENCE: dict[str, Callable[[Actor, Source, list[Entry]], FindingOf]] = {
    "replay": _replays,
    "replay_all": _replay_all,
    "rerun": _reruns,
    "batch_send": _batches,
    "schedule_create": _schedules,
    **dict.fromkeys(LIST_KINDS, list_evidence),
}
