"""Who gets an action: the rule of claims, applied within one transaction.

Facts: an action that is claimed is surely not sent, so it may change hands; one that was sent may
not, whoever asks.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from hog_dagster.ledger._changes import Changes
from hog_dagster.ledger._entries import Action, Claim, ClaimStatus, Entry, State
from hog_dagster.ledger._reading import read_all

_FINAL = {
    State.CONFIRMED: ClaimStatus.CONFIRMED,
    State.REFUSED: ClaimStatus.REFUSED,
    State.IN_DOUBT: ClaimStatus.IN_DOUBT,
}


def claim_in(
    changes: Changes,
    actions: Sequence[Action],
    owner: str,
    lease: timedelta,
    running: Mapping[str, bool | None],
) -> list[Claim]:
    """Claim actions for `owner`; one claim per action, in order.

    Args:
        changes: the transaction.
        actions: what is to be done.
        owner: the Dagster run that will do it.
        lease: how long it has them.
        running: other owners -> whether they still run, as far as anybody knows.
    """
    known = {entry.key: entry for entry in read_all(changes.connection, actions)}
    fresh = {action.key: action for action in actions if action.key not in known}
    claims: dict[tuple[Any, ...], Claim] = {}
    for key, entry in changes.insert(list(fresh.values()), owner, changes.now + lease).items():
        claims[key] = Claim(ClaimStatus.GRANTED, entry)
    for action in actions:
        if action.key not in claims:
            claims[action.key] = _claim_again(
                changes, action, known[action.key], owner, lease, running
            )
    return [claims[action.key] for action in actions]


def _claim_again(
    changes: Changes,
    action: Action,
    entry: Entry,
    owner: str,
    lease: timedelta,
    running: Mapping[str, bool | None],
) -> Claim:
    if entry.state in _FINAL:
        return Claim(_FINAL[entry.state], entry)
    free = (
        entry.state is State.NOT_SENT
        or entry.owner == owner
        or entry.lease_until <= changes.now
        or running.get(entry.owner) is False
    )
    if not free:
        return Claim(ClaimStatus.BUSY, entry)
    if entry.state is State.SENT:
        return Claim(ClaimStatus.IN_DOUBT, entry)
    note = "claimed"
    if entry.state is State.CLAIMED:
        note = "claimed anew: not sent by the run that had it"
    taken = changes.change(
        entry,
        state=State.CLAIMED,
        owner=owner,
        lease_until=changes.now + lease,
        request=action.request,
        target_type=action.target_type,
        target_name=action.target_name or entry.target_name,
        note=note,
    )
    return Claim(ClaimStatus.GRANTED, taken) if taken else Claim(ClaimStatus.BUSY, entry)
