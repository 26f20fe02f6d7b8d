"""Evidence about batch jobs and schedules: rows of PostHog's own database.

Facts: a row is seen at once, but says nothing of the request that made it. PostHog's own schedules
and other users make rows too; variables come back as jsonb keeps them, with the workflow's defaults
merged in on some servers. So one new row that nobody accounts for leaves the action in doubt, and a
row confirms the action only when it can be no other's.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from hog_dagster.actions._claims import Finding, waiting
from hog_dagster.actions._protocol import Actor
from hog_dagster.actions._summary import Outcome
from hog_dagster.ledger import Entry, State
from hog_dagster.posthog.models import BatchJob, WorkflowSchedule

#: PostHog writes `created_at` a little after it received the request.
SLACK = timedelta(seconds=5)

Row = BatchJob | WorkflowSchedule


def as_jsonb(value: Any) -> Any:
    """A JSON value as PostgreSQL's jsonb keeps it: numbers by value, keys once, NULs refused."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float | Decimal):
        number = Decimal(str(value))
        return f"number:{number.normalize() if number else Decimal(0):f}"
    if isinstance(value, Mapping):
        return {str(key): as_jsonb(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [as_jsonb(item) for item in value]
    return str(value)


def digest(value: Any) -> str:
    """A fingerprint of variables. Natural keys are made of it, so it must never change."""
    text = json.dumps(value or {}, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def jsonb_digest(value: Any) -> str:
    """A fingerprint of variables that is the same after PostgreSQL's jsonb kept them."""
    return digest(as_jsonb(value or {}))


def variables_summary(variables: Mapping[str, Any]) -> dict[str, Any]:
    """What the ledger keeps of variables: their names and fingerprints, no values."""
    return {
        "variables": digest(variables),
        "variables_as_jsonb": jsonb_digest(variables),
        "variable_names": sorted(variables),
    }


def same_variables(shown: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    """Whether a row's variables can be those of a request; defaults may have been merged in."""
    wanted = request.get("variables_as_jsonb")
    if wanted is None:  # a ledger of before
        return digest(shown) == request.get("variables")
    names = request.get("variable_names") or []
    return jsonb_digest({name: shown[name] for name in names if name in shown}) == wanted


def maker_of(row: Row) -> str | None:
    """Who made a row, as one text; None when nobody did: PostHog's own schedule."""
    maker = getattr(row, "created_by", None)
    if maker is None or isinstance(maker, int | str):
        return None if maker is None else str(maker)
    return str(maker.uuid or maker.id or maker.email or "somebody")


class RowEvidence:
    """Reads the rows of one workflow once, and says what they show of each action in doubt.

    Args:
        actor: who reconciles.
        kind: of the actions: batch_send or schedule_create.
        workflow_id: the workflow.
        what: what a row is called.
        capability: of the server that lists rows.
        rows: reads all rows, whole.
        fits: whether a row could be what the request summary describes.
    """

    def __init__(
        self,
        actor: Actor,
        kind: str,
        workflow_id: str,
        what: str,
        capability: str,
        rows: Callable[[], Sequence[Row]],
        fits: Callable[[Row, Mapping[str, Any]], bool],
    ) -> None:
        self.actor = actor
        self.kind = kind
        self.workflow_id = workflow_id
        self.what = what
        self.capability = capability
        self._read = rows
        self._fits = fits
        self._rows: Sequence[Row] | None = None
        self._read_at: datetime | None = None

    @property
    def rows(self) -> Sequence[Row]:
        """The rows PostHog lists, read once."""
        if self._rows is None:
            self.actor.know_the_time()
            self._read_at = self.actor.earliest()  # absences are judged by the time before reading
            self._rows = self._read()
        return self._rows

    def remember(self) -> int | None:
        """Record which rows were there before a send; the mark that goes into the request.

        None where this server does not list them: then such a send in doubt stays in doubt.
        """
        if not self.listed:
            return None
        return self.actor.ledger.remember(
            self.actor.project_id, self.kind, self.workflow_id, [row.id for row in self.rows]
        )

    @property
    def listed(self) -> bool:
        """Whether this server lists such rows to this key."""
        return self.actor.client.server.has(self.capability)

    def strangers(self) -> list[Row]:
        """Rows that no action of this ledger made, newest first."""
        if not self.listed:
            return []
        rows = [row for row in self.rows if row.id not in self._actions]
        return sorted(rows, key=_created, reverse=True)

    def finding(self, entry: Entry) -> Finding:
        """What the rows show of an action in doubt."""
        new = self._unaccounted(entry)
        if not new:
            if self.actor.grace_over(entry, at=self._read_at):
                note = f"no new {self.what} was there after the grace time"
                return Finding(Outcome.NOT_SENT, note)
            return waiting(self.actor, entry, f"no new {self.what} is there yet")
        foreign = {row.id: self._why_foreign(entry, row) for row in new}
        ours = [row for row in new if not foreign[row.id]]
        why = "" if len(ours) != 1 else self._why_unclear(entry, ours[0])
        if len(ours) == 1 and not why:
            row = ours[0]
            when = f" at {row.created_at:%Y-%m-%d %H:%M:%S} UTC" if row.created_at else ""
            status = f" and is {row.status}" if row.status else ""
            note = f"{self.what} {row.id} was made{when}{status}"
            return Finding(Outcome.CONFIRMED, note, row.id)
        named = ", ".join(row.id for row in new[:5]) + (", ..." if len(new) > 5 else "")
        if len(new) == 1:
            why = why or foreign[new[0].id]
            seen = f"{self.what} {named} is new since the request, and {why}"
        else:
            seen = f"{len(new)} {self.what}s are new since the request: {named}"
        return Finding(Outcome.IN_DOUBT, f"{seen}. {self.actor.remedy(entry)}".rstrip("."))

    # --- which rows ----------------------------------------------------------------------------

    def _unaccounted(self, entry: Entry) -> list[Row]:
        """Rows that are new since before the request and belong to no other action."""
        return [row for row in self.rows if self._is_new(row, entry)]

    def _is_new(self, row: Row, entry: Entry) -> bool:
        if self._actions.get(row.id, {entry.id}) != {entry.id}:
            return False
        mark = entry.request.get("known_up_to")
        if mark is None:
            return self._later(row, entry)
        return self._numbers.get(row.id, int(mark) + 1) > int(mark)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """The rows that were recorded before a send, and when, as `Ledger.listed` numbers them."""
        ids = [row.id for row in self.rows]
        return self.actor.ledger.listed(self.actor.project_id, self.kind, self.workflow_id, ids)

    @cached_property
    def _actions(self) -> dict[str, set[int]]:
        """Row -> the actions of this ledger that are known to have made it."""
        _ = self._open  # read before: an action that is confirmed meanwhile is in one of the two
        found: dict[str, set[int]] = defaultdict(set)
        for entry in self.actor.ledger.with_remote_ids(
            self.actor.project_id, self.kind, self.workflow_id, [row.id for row in self.rows]
        ):
            found[entry.remote_id or ""].add(entry.id)
        return dict(found)

    def _later(self, row: Row, entry: Entry) -> bool:
        """For actions of ledgers that did not record which rows were there before."""
        newest = entry.request.get("newest_before")
        if row.created_at is None or not newest:
            return True
        return row.created_at > datetime.fromisoformat(newest)

    def _why_foreign(self, entry: Entry, row: Row) -> str:
        """Why a row is certainly somebody else's; empty when it may be this action's."""
        sent = entry.server_sent_at or entry.sent_at
        if row.created_at is not None and sent is not None and row.created_at < sent - SLACK:
            return "it was made before the request left"
        if not isinstance(row, BatchJob):
            return ""
        maker, ours = maker_of(row), self._our_user(entry)
        if maker is None:
            return "nobody made it: PostHog's own schedules make such jobs"
        if ours is not None and maker != ours:
            return "another user made it"
        return ""

    def _why_unclear(self, entry: Entry, row: Row) -> str:
        """Why a row may be this action's or not; empty when it can be no other's."""
        if not self._fits(row, entry.request):
            return "its contents differ from what was sent"
        if row.created_at is None:
            return "it does not say when it was made"
        if isinstance(row, BatchJob) and self._our_user(entry) is None:
            return "another user may have made it: whose key this is PostHog tells with user:read"
        ended = entry.server_given_up_at
        if ended is not None and row.created_at > ended + self.actor.grace:
            return "it was made after the request was given up"
        for other in self._open:
            if other.id != entry.id and self._may_be(other, row):
                return f"action {other.id}, which is in doubt too, may have made it"
        return ""

    @cached_property
    def _open(self) -> list[Entry]:
        """Every action of this kind on this workflow that is in doubt."""
        return list(
            self.actor.ledger.entries(
                project_id=self.actor.project_id,
                kind=self.kind,
                target_id=self.workflow_id,
                state=[State.SENT, State.IN_DOUBT],
            )
        )

    def _may_be(self, other: Entry, row: Row) -> bool:
        return (
            self._is_new(row, other)
            and not self._why_foreign(other, row)
            and self._fits(row, other.request)
        )

    def _our_user(self, entry: Entry) -> str | None:
        """Who PostHog says made the jobs that this key sent."""
        user = entry.request.get("user")
        return str(user) if user else self._maker_before

    @cached_property
    def _maker_before(self) -> str | None:
        """Who made all earlier jobs of this ledger; None when it was nobody or several."""
        earlier: Iterable[Entry] = self.actor.ledger.entries(
            project_id=self.actor.project_id, kind=self.kind, target_id=self.workflow_id
        )
        makers = {
            one.response.get("created_by")
            for one in earlier
            if isinstance(one.response, Mapping) and one.response.get("created_by")
        }
        return makers.pop() if len(makers) == 1 else None


def _created(row: Row) -> datetime:
    return row.created_at or datetime.min.replace(tzinfo=UTC)
