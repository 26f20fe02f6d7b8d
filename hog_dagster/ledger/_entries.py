"""The words of the ledger: actions, their states, claims on them, and the fields of its rows.

Facts: an action is a request that PostHog would gladly serve twice: a replay, a rerun, a batch
send, a schedule.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from hog_dagster.ledger import _keys as keys

#: What `Ledger.rows` yields: name, type (as the warehouse names them), meaning.
LEDGER_FIELDS: tuple[tuple[str, str, str], ...] = (
    ("action_id", "bigint", "Number of the action in the ledger."),
    ("project_id", "bigint", "PostHog project."),
    (
        "kind",
        "text",
        (
            "What is done: replay, replay_all, rerun, batch_send, schedule_create, opt_out_add, "
            "opt_out_remove, suppression_add or suppression_remove."
        ),
    ),
    ("target_type", "text", "What it is done to: workflow, hog_function or list."),
    ("target_id", "text", "PostHog's id of the workflow or hog function; opt_outs, suppressions."),
    ("target_name", "text", "Its name when the action was claimed; empty where it was not known."),
    ("subject", "text", "What of it: a run's id, a scheduled time, or an explicit key."),
    ("state", "text", "claimed, not_sent, sent, in_doubt, confirmed or refused."),
    ("attempts", "integer", "How often the request was marked as sent."),
    ("owner", "text", "Dagster run that holds or held the action."),
    ("remote_id", "text", "PostHog's id of the result: a batch job, a rerun job, a schedule."),
    ("note", "text", "Why the action is in this state."),
    ("request", "json", "Summary of the request; no secrets, no values of variables."),
    ("response", "json", "PostHog's response."),
    ("created_at", "timestamptz", "When the action was first claimed."),
    ("sent_at", "timestamptz", "When it was last marked as sent, by the ledger's clock."),
    ("server_sent_at", "timestamptz", "The same moment by PostHog's clock."),
    ("server_given_up_at", "timestamptz", "When waiting for a response ended, by PostHog's clock."),
    ("settled_at", "timestamptz", "When it was confirmed or refused."),
    ("updated_at", "timestamptz", "When the row last changed."),
)


class State(StrEnum):
    """Where an action stands."""

    CLAIMED = "claimed"  #: a run has it; surely not sent
    NOT_SENT = "not_sent"  #: surely without effect; anybody may claim it
    SENT = "sent"  #: the request leaves, or has left
    IN_DOUBT = "in_doubt"  #: sent, outcome unknown
    CONFIRMED = "confirmed"  #: it happened
    REFUSED = "refused"  #: PostHog said no, for good


class ClaimStatus(StrEnum):
    """The result of a claim."""

    GRANTED = "granted"  #: yours; surely not sent yet
    BUSY = "busy"  #: another live run has it
    IN_DOUBT = "in_doubt"  #: sent, outcome unknown: reconcile it first
    CONFIRMED = "confirmed"  #: it happened before
    REFUSED = "refused"  #: PostHog said no before


@dataclass(frozen=True, slots=True)
class Action:
    """Something to be done once. The first four fields are its key.

    Ids that are UUIDs are kept in one spelling (lower case, with dashes): the target's, and a run's
    in the subject of a replay or rerun.

    Args:
        project_id: PostHog project.
        kind: replay, replay_all, rerun, batch_send, schedule_create; of lists opt_out_add,
            opt_out_remove, suppression_add, suppression_remove; at most 40 characters.
        target_id: PostHog's id of the workflow or hog function, opt_outs or suppressions; at most
            300 characters.
        subject: what of it: a run's id, a scheduled time, an explicit key; at most 300 characters.
        target_type: workflow, hog_function or list.
        target_name: its name, for people.
        request: a summary for the record; no secrets.

    Raises:
        LedgerError: a field is empty, too long, or holds NUL or a lone surrogate.
    """

    project_id: int
    kind: str
    target_id: str
    subject: str
    _: KW_ONLY
    target_type: str = "workflow"
    target_name: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put = object.__setattr__
        keys.check_project(self.project_id)
        keys.check_name(self.kind, "The kind of an action")
        keys.check_name(self.target_type, "The type of an action's target")
        put(self, "target_id", keys.normal_id(keys.check_key(self.target_id, "The target's id")))
        subject = keys.check_key(self.subject, "The subject of an action")
        put(self, "subject", keys.normal_subject(self.kind, subject))
        put(self, "target_name", keys.clean_text(self.target_name, 400))
        put(self, "request", keys.clean_json(self.request))

    @property
    def key(self) -> tuple[int, str, str, str]:
        """Project, kind, target and subject."""
        return (self.project_id, self.kind, self.target_id, self.subject)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger as it stood when it was read."""

    id: int
    project_id: int
    kind: str
    target_type: str
    target_id: str
    target_name: str
    subject: str
    state: State
    version: int
    attempts: int
    owner: str
    lease_until: datetime
    request: Mapping[str, Any]
    response: Any
    remote_id: str | None
    note: str
    created_at: datetime
    updated_at: datetime
    sent_at: datetime | None
    server_sent_at: datetime | None
    server_given_up_at: datetime | None
    settled_at: datetime | None

    @property
    def key(self) -> tuple[int, str, str, str]:
        """Project, kind, target and subject."""
        return (self.project_id, self.kind, self.target_id, self.subject)

    @property
    def open(self) -> bool:
        """Sent, or in doubt: it may have happened."""
        return self.state in (State.SENT, State.IN_DOUBT)

    def action(self) -> Action:
        """The action of this row, to claim it again."""
        return Action(
            self.project_id,
            self.kind,
            self.target_id,
            self.subject,
            target_type=self.target_type,
            target_name=self.target_name,
            request=self.request,
        )

    def as_dict(self) -> dict[str, Any]:
        """The fields of `LEDGER_FIELDS`."""
        return {
            name: self.id if name == "action_id" else _plain(getattr(self, name))
            for name, _, _ in LEDGER_FIELDS
        }


@dataclass(frozen=True, slots=True)
class Claim:
    """The result of claiming an action, and the row as it stands now."""

    status: ClaimStatus
    entry: Entry

    @property
    def granted(self) -> bool:
        """The action is yours to send."""
        return self.status is ClaimStatus.GRANTED


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, State) else value
