"""What operators do to the ledger: decide on an action in doubt, forget what is long settled.

Facts: PostHog keeps log lines for 90 days, the longest of all that an outcome is read from.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hog_dagster.ledger._changes import Changes
from hog_dagster.ledger._entries import Entry, State
from hog_dagster.ledger._errors import LedgerError
from hog_dagster.ledger._keys import clean_text
from hog_dagster.ledger._reading import CHUNK, by_id
from hog_dagster.ledger._tables import ACTIONS, HISTORY

#: The longest that PostHog keeps what an outcome is read from.
RETENTION = timedelta(days=90)
#: Kinds whose rows may be forgotten: what they name, PostHog has forgotten too, or a push plans it
#: anew from what PostHog lists. The key of a batch send or a schedule is all that keeps a second
#: one away.
PRUNED_KINDS = (
    "replay",
    "replay_all",
    "rerun",
    "opt_out_add",
    "opt_out_remove",
    "suppression_add",
    "suppression_remove",
)


def resolve_in(
    changes: Changes, action_id: int, outcome: str, *, reason: str, who: str, force: bool
) -> Entry:
    """An operator's decision; see `Ledger.resolve`."""
    if outcome not in ("confirmed", "not-sent"):
        raise LedgerError(f"Resolve an action as confirmed or not-sent, not as {outcome!r}.")
    if not reason.strip():
        raise LedgerError("Give the reason: it is what the next operator will read.")
    entry = by_id(changes.connection, action_id)
    if not force:
        _check_it_is_open(entry, changes.now)
    to = State.CONFIRMED if outcome == "confirmed" else State.NOT_SENT
    forced = f" (forced; it was {str(entry.state).replace('_', ' ')})" if force else ""
    return changes.move(
        entry,
        State,
        to,
        note=f"resolved by {clean_text(who, 200)}{forced}: {reason.strip()}",
        lease_until=changes.now,
        settled_at=changes.now if to is State.CONFIRMED else None,
    )


def prune_in(connection: Connection, now: datetime, before: datetime) -> int:
    """Forget what is settled and old; see `Ledger.prune`."""
    if before > now - RETENTION:
        raise LedgerError(
            f"PostHog shows runs for up to {RETENTION.days} days: prune only actions that are "
            "older."
        )
    query = sa.select(ACTIONS.c.id).where(
        ACTIONS.c.state.in_([State.CONFIRMED, State.REFUSED, State.NOT_SENT]),
        ACTIONS.c.kind.in_(PRUNED_KINDS),
        ACTIONS.c.updated_at < before,
    )
    old = list(connection.execute(query).scalars())
    for start in range(0, len(old), CHUNK):
        part = old[start : start + CHUNK]
        connection.execute(sa.delete(HISTORY).where(HISTORY.c.action_id.in_(part)))
        connection.execute(sa.delete(ACTIONS).where(ACTIONS.c.id.in_(part)))
    return len(old)


def _check_it_is_open(entry: Entry, now: datetime) -> None:
    if entry.state is State.IN_DOUBT or (entry.state is State.SENT and entry.lease_until <= now):
        return
    if entry.state is State.SENT:
        raise LedgerError(
            f"Action {entry.id} is being sent by run {entry.owner}; it can be resolved after "
            f"{entry.lease_until:%Y-%m-%d %H:%M:%S} UTC, or when that run has ended and the next "
            "one has looked into it."
        )
    raise LedgerError(
        f"Action {entry.id} is {str(entry.state).replace('_', ' ')}, not in doubt: there is "
        "nothing to resolve. If the ledger is wrong about it, use --force and retype its subject."
    )
