"""Claiming an action, and reconciling one that an earlier run left in doubt before it is claimed.

Facts: evidence is read by the caller, one way for each kind of action; what it shows is a
`Finding`. Only an action that is shown not to have happened is claimed again.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hog_dagster.actions._protocol import Actor, text_of
from hog_dagster.actions._summary import Outcome, Result
from hog_dagster.ledger import Action, ClaimLost, ClaimStatus, Entry, State
from hog_dagster.posthog import errors


@dataclass(frozen=True, slots=True)
class Finding:
    """What the evidence shows of an action that was sent.

    Attributes:
        outcome: CONFIRMED (it happened), NOT_SENT (it did not), IN_DOUBT (nobody can tell yet).
        note: what was seen, in words.
        remote_id: PostHog's id of what came of it.
    """

    outcome: Outcome
    note: str
    remote_id: str | None = None


FindingOf = Callable[[Entry], Finding]


def waiting(actor: Actor, entry: Entry, seen: str, times: int = 1) -> Finding:
    """Nothing is known before the grace time is over."""
    until = actor.grace_ends(entry, times)
    return Finding(
        Outcome.IN_DOUBT,
        f"{seen}; PostHog may be late until {until:%Y-%m-%d %H:%M:%S} UTC by its own clock. The "
        "next run looks again after that",
    )


def find_out(actor: Actor, entry: Entry, finding_of: FindingOf) -> Finding:
    """What the evidence shows; in doubt, with the remedy, where this key or server shows none.

    Raises:
        PostHogError: the evidence could not be read now; it may be readable later.
    """
    try:
        return finding_of(entry)
    except (errors.EndpointMissing, errors.PermissionDenied) as error:
        seen = f"the evidence cannot be read here: {text_of(error)}"
        return Finding(Outcome.IN_DOUBT, f"{seen} {actor.remedy(entry)}".rstrip("."))


def record(actor: Actor, entry: Entry, finding: Finding) -> None:
    """Record in the ledger what the evidence shows. An action that did not happen is free again.

    Raises:
        ClaimLost: another run recorded something in the meantime.
    """
    if finding.outcome is Outcome.CONFIRMED:
        note = f"confirmed by evidence: {finding.note}"
        actor.ledger.confirm(entry, remote_id=finding.remote_id, note=note)
    elif finding.outcome is Outcome.NOT_SENT:
        note = f"did not happen: {finding.note}"
        actor.ledger.release(actor.ledger.reopen(entry, actor.owner, note=note), note=note)
    else:
        note = f"in doubt: {finding.note}."
        if entry.note != note or entry.state is not State.IN_DOUBT:
            actor.ledger.doubt(entry, note=note)


def record_all(actor: Actor, findings: Sequence[tuple[Entry, Finding]]) -> dict[int, ClaimLost]:
    """Record many findings in few transactions.

    Returns:
        The actions that another run changed in the meantime, by number.
    """
    lost: dict[int, ClaimLost] = {}
    alike: dict[tuple[str, str | None], list[Entry]] = defaultdict(list)
    for entry, finding in findings:
        if finding.outcome is Outcome.CONFIRMED:
            alike[finding.note, finding.remote_id].append(entry)
            continue
        try:
            record(actor, entry, finding)
        except ClaimLost as error:
            lost[entry.id] = error
    for (note, remote_id), entries in alike.items():
        finding = Finding(Outcome.CONFIRMED, note, remote_id)
        try:
            note = f"confirmed by evidence: {note}"
            actor.ledger.confirm(*entries, remote_id=remote_id, note=note)
        except ClaimLost:  # all of them or none: one at a time
            for entry in entries:
                try:
                    record(actor, entry, finding)
                except ClaimLost as error:
                    lost[entry.id] = error
    return lost


def reconcile_first(
    actor: Actor, action: Action, finding_of: FindingOf, *, dry_run: bool = False
) -> Result | None:
    """Find out where an action stands before anything is prepared for it.

    Args:
        actor: who acts.
        action: what is to be done.
        finding_of: reads the evidence about an action in doubt.
        dry_run: claim and record nothing.

    Returns:
        The result when there is nothing to send; None when it may be claimed.
    """
    known = actor.ledger.get(action)
    if known is None:
        return None
    subject = action.subject
    if known.open and dry_run:
        finding = find_out(actor, known, finding_of)
        if finding.outcome is Outcome.NOT_SENT:
            return None
        return Result(Outcome.DRY_RUN, subject, f"in doubt; now: {finding.note}", known.id)
    if known.open:
        claim = actor.ledger.claim(action, actor.owner, alive=actor.alive)
        known = claim.entry
        if claim.status is ClaimStatus.BUSY:
            why = f"run {known.owner} is sending it"
            return Result(Outcome.SKIPPED, subject, why, known.id)
        if claim.status is ClaimStatus.IN_DOUBT:
            return _reconciled(actor, known, finding_of)
    return _known_result(known, subject)


def _known_result(known: Entry, subject: str) -> Result | None:
    """The result of an action that is over; None when it may be claimed."""
    if known.state is State.CONFIRMED:
        why = f"done before, by run {known.owner}: {known.note}"
        return Result(Outcome.DONE_BEFORE, subject, why, known.id, known.remote_id)
    if known.state is State.REFUSED:
        return Result(Outcome.REFUSED, subject, known.note, known.id)
    return None


def _reconciled(actor: Actor, entry: Entry, finding_of: FindingOf) -> Result | None:
    finding = find_out(actor, entry, finding_of)
    subject = entry.subject
    try:
        record(actor, entry, finding)
    except ClaimLost as lost:
        return Result(Outcome.SKIPPED, subject, str(lost), entry.id)
    if finding.outcome is Outcome.NOT_SENT:
        actor.log.info(f"Action {entry.id} did not happen: {finding.note}")
        return None
    if finding.outcome is Outcome.CONFIRMED:
        why = f"confirmed by evidence: {finding.note}"
        return Result(Outcome.CONFIRMED, subject, why, entry.id, finding.remote_id)
    return Result(Outcome.IN_DOUBT, subject, finding.note, entry.id)


def claim(actor: Actor, action: Action) -> Entry | Result:
    """Claim an action that may be sent: the entry, or the result when another run was faster."""
    claimed = actor.ledger.claim(action, actor.owner, alive=actor.alive)
    if claimed.granted:
        return claimed.entry
    if claimed.status is ClaimStatus.IN_DOUBT:
        return Result(Outcome.IN_DOUBT, action.subject, claimed.entry.note, claimed.entry.id)
    known = _known_result(claimed.entry, action.subject)
    why = f"run {claimed.entry.owner} has it: {claimed.status}"
    return known or Result(Outcome.SKIPPED, action.subject, why, claimed.entry.id)
