"""Sending a push plan to PostHog: group by group through the API, or in bulk as events.

Facts: the API changes one property a request and reads, changes and writes all properties of a
group without a lock, so one group's changes go one after the other; several groups may go at once.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from hog_dagster.actions._group_plan import (
    GroupChange,
    PushPlan,
    batches_of,
    remaining,
    same,
)
from hog_dagster.posthog import GroupCapture, PostHogClient, errors
from hog_dagster.posthog.models import Group

_WORKERS = 4
_RECORD_EVERY = 50
Result = Literal["sent", "made", "as_wanted", "edited", "failed"]
#: What ends a push, since no other group would fare better.
_FATAL = (errors.AuthenticationError, errors.PermissionDenied, errors.EndpointMissing)


@dataclass
class PushSummary:
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

    def note(self, result: Result, said: str) -> None:
        self.counts[result] = self.counts.get(result, 0) + 1
        if said:
            self.problems.append(said)


@dataclass(frozen=True)
class PushedGroup:
    """What became of one group."""

    change: GroupChange
    result: Result
    said: str = ""


@dataclass
class GroupPusher:
    """Sends the plan of one run and records what became of each group.

    Attributes:
        client: the project.
        group_type: the type's name.
        group_type_index: and its index.
        record: writes down what became of groups, and which way they went (`api`, `ingestion`).
        overwrite_edits: write also what somebody else changed since the plan was made.
        pending: key -> what was sent in bulk and may not be processed yet.
    """

    client: PostHogClient
    group_type: str
    group_type_index: int
    record: Callable[[Sequence[PushedGroup], str], None]
    overwrite_edits: bool = False
    pending: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def send_one_by_one(self, plan: PushPlan) -> PushSummary:
        """Look at each group once more, then make it or set what it lacks."""
        outcome = PushSummary()
        work = plan.work
        with ThreadPoolExecutor(_WORKERS) as pool:
            for start in range(0, len(work), _RECORD_EVERY):
                self._push_part(pool, work[start : start + _RECORD_EVERY], outcome)
        return outcome

    def _push_part(
        self, pool: ThreadPoolExecutor, part: Sequence[GroupChange], outcome: PushSummary
    ) -> None:
        """Send some groups at once, and write down what became of each of them."""
        done: list[PushedGroup] = []
        try:
            sent = [pool.submit(self._push_one, change) for change in part]
            for pushed in (one.result() for one in sent):
                outcome.note(pushed.result, pushed.said)
                done.append(pushed)
        finally:
            self._note(done, "api")

    def send_in_bulk(self, plan: PushPlan, capture: GroupCapture) -> PushSummary:
        """Send all sets as events, in batches; removals go through the API."""
        outcome = PushSummary()
        to_send: list[GroupChange] = []
        for change in plan.work:
            if self._on_its_way(change):
                outcome.note("as_wanted", "")
            elif change.set:
                to_send.append(change)
        for batch in batches_of(to_send):
            capture.identify(
                self.group_type,
                [(change.key, change.set) for change in batch],
                at=self.client.server.clock.now(),
            )
            pushed = [PushedGroup(c, "sent" if c.exists else "made") for c in batch]
            self._note(pushed, "ingestion")
            for one in pushed:
                outcome.note(one.result, "")
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

    def _push_one(self, change: GroupChange) -> PushedGroup:
        if self._on_its_way(change):
            return PushedGroup(change, "as_wanted")
        try:
            return self._push(change)
        except _FATAL:
            raise
        except errors.PostHogError as error:
            return PushedGroup(change, "failed", str(error))

    def _push(self, change: GroupChange) -> PushedGroup:
        group = self._look(change.key)
        if group is None:
            if change.exists:
                return PushedGroup(
                    change,
                    "edited",
                    "it was in PostHog when the plan was made, and is not any more",
                )
            self.client.groups.create(self.group_type_index, change.key, change.set)
            return PushedGroup(change, "made")
        left, edited = remaining(change, group.group_properties)
        if edited and not self.overwrite_edits:
            said = f"{', '.join(edited)} changed since the plan was made; left for the next run"
            return PushedGroup(change, "edited", said)
        if not left.set and not left.unset:
            return PushedGroup(change, "as_wanted")
        for name, value in left.set.items():
            self.client.groups.update_property(self.group_type_index, change.key, name, value)
        for name in left.unset:
            self.client.groups.delete_property(self.group_type_index, change.key, name)
        return PushedGroup(left, "sent")

    def _look(self, key: str) -> Group | None:
        try:
            return self.client.groups.find(self.group_type_index, key)
        except errors.EndpointMissing:
            raise
        except errors.NotFound:
            return None

    def _note(self, pushed: Sequence[PushedGroup], way: str) -> None:
        if pushed:
            self.record(pushed, way)
