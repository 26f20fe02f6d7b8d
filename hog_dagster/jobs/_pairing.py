"""Which ledger a Dagster instance uses for a PostHog project: kept in the instance's own storage.

Facts: `DagsterInstance.daemon_cursor_storage` keeps texts by key in the run storage, so the record
lives and dies with the instance's runs, not with the ledger.
"""

import json
from urllib.parse import urlsplit

import dagster as dg

from hog_dagster.ledger import Ledger, check_pairing, pairing_of


def pairing_key(host: str, project_id: int) -> str:
    """Where the record of a project is kept in the instance."""
    return f"hog_dagster/ledger/{(urlsplit(host).netloc or host).lower()}/{project_id}"


def known_pairing(
    instance: dg.DagsterInstance, host: str, project_id: int
) -> dict[str, str] | None:
    """What the instance remembers of the project's ledger; None when it remembers nothing."""
    key = pairing_key(host, project_id)
    text = instance.daemon_cursor_storage.get_cursor_values({key}).get(key)
    try:
        known = json.loads(text) if text else None
    except ValueError:
        return None
    if not isinstance(known, dict):
        return None
    return {str(name): str(value) for name, value in known.items()}


def pairing_refusal(
    instance: dg.DagsterInstance, ledger: Ledger, host: str, project_id: int
) -> str | None:
    """Why nothing may be sent by way of this ledger, in one sentence; None when all is well."""
    return check_pairing(ledger, known_pairing(instance, host, project_id))


def remember_pairing(
    instance: dg.DagsterInstance,
    ledger: Ledger,
    host: str,
    project_id: int,
    *,
    adopt: bool = False,
) -> None:
    """Have the instance remember a ledger that is not refused, and how often it has changed by now.

    A higher number of changes that is remembered stays, unless the ledger is adopted as it is.
    """
    now, known = pairing_of(ledger), known_pairing(instance, host, project_id)
    if not adopt and known is not None and known.get("ledger") == now["ledger"]:
        before = known.get("sequence", "")
        if before.isascii() and before.isdigit() and int(before) > int(now["sequence"]):
            return
    instance.daemon_cursor_storage.set_cursor_values(
        {pairing_key(host, project_id): json.dumps(now)}
    )
