"""Tells whether a ledger is the one that was used before, from what somebody else remembers of it.

Facts: a ledger has an id, made with its database, and a sequence that rises with every change. A
ledger that was deleted, or a second one, has another id. One that was restored from a backup has
the same id and a lower sequence; when it was changed since, its sequence may have risen past the
old one, but the change that is remembered is not in its history.
"""

from collections.abc import Mapping
from datetime import datetime

from hog_dagster.ledger._ledger import Ledger
from hog_dagster.ledger._maintenance import RETENTION


def pairing_of(ledger: Ledger) -> dict[str, str]:
    """What to remember of a ledger: its id, its sequence and newest change now, where it is."""
    sequence = ledger.sequence()  # read before the change: the ledger may change in between
    return {
        "ledger": ledger.id,
        "sequence": str(sequence),
        "change": ledger.change() or "",
        "location": ledger.location,
    }


def check_pairing(ledger: Ledger, known: Mapping[str, str] | None) -> str | None:
    """Why nothing may be sent by way of this ledger; None when it is the one that is remembered.

    A ledger that is not there is not made by this.

    Args:
        ledger: an open ledger.
        known: what `pairing_of` said before; None when nothing is remembered yet.
    """
    if not known:
        return None
    number = known.get("sequence", "")
    before = int(number) if number.isascii() and number.isdigit() else 0
    remedy = (
        "Actions that it does not know would be sent a second time, so nothing is sent. Configure "
        "the ledger that was used before, or accept this one with `hog-dagster ledger adopt`."
    )
    if not ledger.is_made or known.get("ledger") != ledger.id:
        place = known.get("location", "")
        there = f", at {place}" if place and place != ledger.location else ""
        return (
            f"The ledger {ledger.location} is not the one that this Dagster instance used for this "
            f"project before{there}: it was deleted, or it is a second one. {remedy}"
        )
    now = ledger.sequence()
    if now < before:
        return (
            f"The ledger {ledger.location} is older than when this Dagster instance last used it "
            f"({now} changes, {before} before): it was restored from a backup or copied. {remedy}"
        )
    if not _has_change(ledger, known.get("change", "")):
        return (
            f"The ledger {ledger.location} lacks a change that this Dagster instance made with it: "
            f"it was restored from a backup and changed since. {remedy}"
        )
    return None


def _has_change(ledger: Ledger, change: str) -> bool:
    """Whether a change that is remembered is in the ledger's history, or may have been pruned."""
    number, _, rest = change.partition(" ")
    if not (number.isascii() and number.isdigit()):
        return True
    found = ledger.change(int(number))
    if found is not None:
        return found == change
    at = datetime.fromisoformat(rest.partition(" ")[0])
    return at < ledger.now() - RETENTION
