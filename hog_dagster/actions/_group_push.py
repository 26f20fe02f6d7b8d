"""Sending a push plan to PostHog: group by group through the API, or in bulk as events.

Facts: the API changes one property a request and reads, changes and writes all properties of a
group without a lock, so one group's changes go one after the other; several groups may go at once.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from hog_dagster.actions._group_plan import (
    GroupChange,
    PushPlan,
    batches_of,
    remaining,
    same,
)
from hog_dagster.assets import landing
from hog_dagster.assets.concurrency import interleave
from hog_dagster.assets.group_tables import GROUP_PUSHES
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog.capture import GroupCapture
from hog_dagster.posthog.models import Group
from hog_dagster.warehouse import Warehouse
from hog_dagster.warehouse.errors import TableMissing

__all__ = ["Outcome", "Pusher", "pending_pushes"]

_WORKERS = 4
_RECORD_EVERY = 50
Result = Literal["sent", "made", "as_wanted", "edited", "failed"]
#: What ends a push, since no other group would fare better.
_FATAL = (errors.AuthenticationError, errors.PermissionDenied, errors.EndpointMissing)


@dataclass
class Outcome:
    """What became of a push, group by group.

    Attributes:
        counts: how many groups were sent, made, as_wanted, edited, failed.
        requests_in_bulk: requests to the ingestion endpoint.
        problems: a sentence for each group that was edited by somebody else or failed.
    """

    counts: dict[str, int] = field(default_factory=dict)
    bulk_requests: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return self.counts.get("failed", 0)

    def numbers(self) -> dict[str, int]:
        """The outcome in numbers, all of them, the zeros too."""
        names = {
            "sent": "groups_changed",
            "made": "groups_made",
            "as_wanted": "groups_found_as_wanted",
            "edited": "groups_edited_by_others",
            "failed": "groups_failed",
        }
        return {said: self.counts.get(result, 0) for result, said in names.items()}

    def note(self, key: str, result: Result, said: str) -> None:
        self.counts[result] = self.counts.get(result, 0) + 1
        if said:
            self.problems.append(f"group {key}: {said}")


@dataclass(frozen=True)
class _Pushed:
    """What became of one group."""

    change: GroupChange
    result: Result
    said: str = ""


@dataclass
class Pusher:
    """Sends the plan of one run and records what became of each group.

    Attributes:
        client: the project.
        warehouse: where `group_pushes` is.
        project_id: the project's number.
        group_type: the type's name.
        group_type_index: and its index.
        run_id: the Dagster run.
        overwrite_edits: write also what somebody else changed since the plan was made.
        pending: key -> what was sent in bulk and may not be processed yet.
    """

    client: PostHogClient
    warehouse: Warehouse
    project_id: int
    group_type: str
    group_type_index: int
    run_id: str
    overwrite_edits: bool = False
    pending: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def send_one_by_one(self, plan: PushPlan) -> Outcome:
        """Look at each group once more, then make it or set what it lacks."""
        outcome = Outcome()
        waiting: list[_Pushed] = []
        try:
            for pushed in interleave(plan.work, self._push_one, workers=_WORKERS):
                outcome.note(pushed.change.key, pushed.result, pushed.said)
                waiting.append(pushed)
                if len(waiting) >= _RECORD_EVERY:
                    self._record(waiting, "api")
                    waiting = []
        finally:
            self._record(waiting, "api")
        return outcome

    def send_in_bulk(self, plan: PushPlan, capture: GroupCapture) -> Outcome:
        """Send all sets as events, in batches; removals go through the API."""
        outcome = Outcome()
        to_send: list[GroupChange] = []
        for change in plan.work:
            if self._on_its_way(change):
                outcome.note(change.key, "as_wanted", "")
            elif change.set:
                to_send.append(change)
        for batch in batches_of(to_send):
            moment = landing.server_now(self.client)
            capture.identify(
                self.group_type, [(change.key, change.set) for change in batch], at=moment
            )
            pushed = [_Pushed(c, "sent" if c.exists else "made") for c in batch]
            self._record(pushed, "ingestion")
            for one in pushed:
                outcome.note(one.change.key, one.result, "")
        removals = [
            GroupChange(change.key, exists=True, unset=change.unset, before=change.before)
            for change in plan.changes
            if change.unset
        ]
        rest = self.send_one_by_one(PushPlan(changes=tuple(removals)))
        outcome.problems += rest.problems
        for result, count in rest.counts.items():
            outcome.counts[result] = outcome.counts.get(result, 0) + count
        outcome.bulk_requests = capture.requests_made
        return outcome

    def _on_its_way(self, change: GroupChange) -> bool:
        """Whether just this was sent in bulk lately: PostHog has it, and may not show it yet."""
        sent = self.pending.get(change.key)
        return (
            sent is not None
            and not change.unset
            and all(name in sent and same(sent[name], value) for name, value in change.set.items())
        )

    def _push_one(self, change: GroupChange) -> Iterator[_Pushed]:
        try:
            ours = _Pushed(change, "as_wanted") if self._on_its_way(change) else self._push(change)
            yield ours
        except _FATAL:
            raise
        except errors.PostHogError as error:
            yield _Pushed(change, "failed", str(error))

    def _push(self, change: GroupChange) -> _Pushed:
        group = self._look(change.key)
        if group is None:
            if change.exists:
                return _Pushed(
                    change,
                    "edited",
                    "it was in PostHog when the plan was made, and is not any more",
                )
            self.client.groups.create(self.group_type_index, change.key, change.set)
            return _Pushed(change, "made")
        left, edited = remaining(change, group.group_properties)
        if edited and not self.overwrite_edits:
            said = f"{', '.join(edited)} changed since the plan was made; left for the next run"
            return _Pushed(change, "edited", said)
        if not left.set and not left.unset:
            return _Pushed(change, "as_wanted")
        for name, value in left.set.items():
            self.client.groups.update_property(self.group_type_index, change.key, name, value)
        for name in left.unset:
            self.client.groups.delete_property(self.group_type_index, change.key, name)
        return _Pushed(left, "sent")

    def _look(self, key: str) -> Group | None:
        try:
            return self.client.groups.find(self.group_type_index, key)
        except errors.EndpointMissing:
            raise
        except errors.NotFound:
            return None

    def _record(self, pushed: Sequence[_Pushed], way: str) -> None:
        """Write down what became of the groups."""
        if not pushed:
            return
        moment = landing.server_now(self.client)
        rows = (self._row(one, way, moment) for one in pushed)
        self.warehouse.upsert(
            GROUP_PUSHES, landing.arrow_batches(GROUP_PUSHES, rows, project_id=self.project_id)
        )

    def _row(self, one: _Pushed, way: str, moment: datetime) -> Mapping[str, Any]:
        return {
            "group_type_index": self.group_type_index,
            "group_type": self.group_type,
            "group_key": one.change.key,
            "properties": dict(one.change.set),
            "removed": list(one.change.unset),
            "way": way,
            "outcome": one.result,
            "said": one.said or None,
            "sent_at": moment,
            "run_id": self.run_id,
        }


def pending_pushes(
    warehouse: Warehouse, project_id: int, group_type_index: int, since: datetime
) -> dict[str, Mapping[str, Any]]:
    """What was sent in bulk since then, by group key: PostHog may not have processed it yet."""
    scope = {
        "project_id": project_id,
        "group_type_index": group_type_index,
        "way": "ingestion",
    }
    columns = ["group_key", "properties", "sent_at"]
    found: dict[str, Mapping[str, Any]] = {}
    try:
        for row in _rows(warehouse.read_batches(GROUP_PUSHES, columns=columns, scope=scope)):
            if row["sent_at"] >= since:
                found[row["group_key"]] = json.loads(row["properties"] or "{}")
    except TableMissing:
        return {}
    return found


def _rows(batches: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for batch in batches:
        yield from batch.to_pylist()
