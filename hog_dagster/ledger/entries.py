"""The words of the ledger: acts, their states, claims on them, and the fields of its rows.

Facts: an act is anything PostHog would gladly do twice: a replay, a rerun, a batch job, a schedule.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

__all__ = [
    "LEDGER_FIELDS",
    "Act",
    "Claim",
    "ClaimLost",
    "Entry",
    "LedgerError",
    "LedgerUnavailable",
    "State",
    "Verdict",
]

#: What `Ledger.rows` yields: name, type (as the warehouse names them), meaning.
LEDGER_FIELDS: tuple[tuple[str, str, str], ...] = (
    ("act_id", "bigint", "Number of the act in the ledger."),
    ("project_id", "bigint", "PostHog project."),
    ("kind", "text", "What was done: replay, replay_all, rerun, batch_send or schedule_create."),
    ("workflow_id", "text", "The workflow it was done to."),
    ("subject", "text", "What of it: a run's id, a scheduled time, or an explicit key."),
    ("state", "text", "intended, sent, confirmed, refused or unknown (in doubt)."),
    ("attempts", "integer", "How often the request was sent, or about to be."),
    ("owner", "text", "Dagster run that holds or held the act."),
    ("remote_id", "text", "PostHog's id of what came of it: a batch job, a rerun job, a schedule."),
    ("note", "text", "Why the act is in this state."),
    ("request", "json", "Summary of the request; no secrets, no values of variables."),
    ("answer", "json", "What PostHog answered."),
    ("created_at", "timestamptz", "When the act was first claimed."),
    ("sent_at", "timestamptz", "When it was last marked as sent, by the ledger's clock."),
    ("server_sent_at", "timestamptz", "The same moment by PostHog's clock."),
    ("settled_at", "timestamptz", "When it was confirmed or refused."),
    ("updated_at", "timestamptz", "When the row last changed."),
)


class State(StrEnum):
    """Where an act stands."""

    INTENDED = "intended"
    SENT = "sent"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """What a claim came to."""

    GRANTED = "granted"  #: yours; surely not sent yet
    BUSY = "busy"  #: another live run has it
    IN_DOUBT = "in_doubt"  #: sent, outcome unknown: read it back from PostHog first
    CONFIRMED = "confirmed"  #: done before
    REFUSED = "refused"  #: PostHog said no before


class LedgerError(Exception):
    """The ledger cannot do what was asked; the text says why and what to do."""


class LedgerUnavailable(LedgerError):
    """The ledger's database cannot be reached, read or written now; nothing is sent without it."""


class ClaimLost(LedgerError):
    """The act was taken over by another process since it was claimed: do not send it."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something to be done once. The first four fields are its natural key.

    Args:
        project_id: PostHog project.
        kind: replay, replay_all, rerun, batch_send or schedule_create.
        workflow_id: the workflow.
        subject: what of it: a run's id, a scheduled time, an explicit key.
        request: a summary for the record; no secrets.
    """

    project_id: int
    kind: str
    workflow_id: str
    subject: str
    request: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[int, str, str, str]:
        """The natural key."""
        return (self.project_id, self.kind, self.workflow_id, self.subject)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger as it stood when it was read."""

    id: int
    project_id: int
    kind: str
    workflow_id: str
    subject: str
    state: State
    version: int
    attempts: int
    owner: str
    lease_until: datetime
    request: Mapping[str, Any]
    answer: Any
    remote_id: str | None
    note: str
    created_at: datetime
    updated_at: datetime
    sent_at: datetime | None
    server_sent_at: datetime | None
    settled_at: datetime | None

    @property
    def key(self) -> tuple[int, str, str, str]:
        """The natural key."""
        return (self.project_id, self.kind, self.workflow_id, self.subject)

    @property
    def open(self) -> bool:
        """Sent, or in doubt: it may have happened."""
        return self.state in (State.SENT, State.UNKNOWN)

    def as_dict(self) -> dict[str, Any]:
        """The fields of `LEDGER_FIELDS`."""
        return {
            name: self.id if name == "act_id" else _plain(getattr(self, name))
            for name, _, _ in LEDGER_FIELDS
        }


@dataclass(frozen=True, slots=True)
class Claim:
    """What came of claiming an act: the verdict, and the row as it stands now."""

    verdict: Verdict
    entry: Entry

    @property
    def granted(self) -> bool:
        """The act is yours to send."""
        return self.verdict is Verdict.GRANTED


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, State) else value
