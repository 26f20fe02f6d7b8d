"""Pushing opt-outs and suppressions of a table to PostHog: reconcile, read, plan, send.

Facts: up to 1,000 opt-outs are added in one request and one transaction; suppressions, and what is
removed, take a request each. Each request is an action of its own. What an action in doubt is about
is left alone until it is known what became of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hog_dagster.actions._claims import claim
from hog_dagster.actions._group_plan import BadRows
from hog_dagster.actions._list_evidence import LIST_KINDS, OPTED_OUT, list_source, read_list
from hog_dagster.actions._list_plan import (
    ALL,
    ListedPair,
    ListPlan,
    Pair,
    PushedList,
    fingerprint,
    plan_list,
)
from hog_dagster.actions._protocol import Actor, Post, growing_pauses
from hog_dagster.actions._reconcile import reconcile
from hog_dagster.actions._row_evidence import digest
from hog_dagster.actions._summary import Outcome, Result
from hog_dagster.ledger import ClaimLost, Entry, LockLost, State
from hog_dagster.policies import PushPolicy
from hog_dagster.posthog.models import BulkOptOutAnswer, MessageCategory, OptOut

#: Opt-outs of one request.
_AT_ONCE = 1_000
#: Requests in doubt after one another that end a push.
_DOUBTS = 3
#: HogQL and REST may show one time with more and with fewer digits.
_SAME = timedelta(seconds=1)


@dataclass
class PushedPairs:
    """What became of a push.

    Attributes:
        added, removed: pairs that PostHog says it has changed.
        passed_over: opt-outs of requests that PostHog could not use.
        changed_meanwhile: pairs that were not removed, because they changed after they were read.
        in_doubt: pairs of requests whose outcome is not known.
        not_sent: pairs that were not sent after something went wrong.
        over_cap: pairs that were not removed, because they are more than `max_removals`.
        problems: a sentence for each request that went wrong.
    """

    added: int = 0
    removed: int = 0
    passed_over: int = 0
    changed_meanwhile: int = 0
    in_doubt: int = 0
    not_sent: int = 0
    over_cap: int = 0
    problems: list[str] = field(default_factory=list)

    def numbers(self) -> dict[str, int]:
        """All counts, the zeros too."""
        return {
            "added": self.added,
            "removed": self.removed,
            "passed_over": self.passed_over,
            "changed_meanwhile": self.changed_meanwhile,
            "in_doubt": self.in_doubt,
            "not_sent": self.not_sent,
            "over_cap": self.over_cap,
        }


class ListPush:
    """One push to one list. Hold the list's lock.

    Args:
        actor: who acts.
        into: the list.
        policy: dry run, mirror and caps.
    """

    def __init__(self, actor: Actor, into: PushedList, policy: PushPolicy) -> None:
        self.actor = actor
        self.into: PushedList = into
        self.policy = policy
        self.source = list_source(into)
        self.listed: Mapping[Pair, ListedPair] = {}
        self.pushed = PushedPairs()
        self._doubts = 0
        self._changed_here: set[str] = set()

    def plan(
        self,
        wanted: Sequence[Pair],
        keys: Iterable[str] = (ALL,),
        categories: Sequence[MessageCategory] | None = None,
    ) -> ListPlan:
        """Read the list and compare; without a dry run, first reconcile what is in doubt.

        Args:
            wanted: pairs of the table, each once.
            keys: of the categories that the push is about.
            categories: of messages, where they were read before.

        Endpoints: GET suppressions, or POST query, else GET opt_outs.

        Raises:
            PostHogError: the list could not be read; nothing was sent.
        """
        actor, policy = self.actor, self.policy
        actor.know_the_time()
        if not policy.dry_run:
            self._reconcile()
        self.listed = read_list(actor.client, self.into, keys, categories)
        return plan_list(
            wanted,
            self.listed,
            keys=keys,
            mirror=policy.mirror,
            settled_before=actor.earliest() - timedelta(hours=policy.settled_hours),
            held=self._held({*wanted, *self.listed}),
        )

    def push(self, plan: ListPlan) -> PushedPairs:
        """Add, then remove; ends early where the next request would fare no better.

        Endpoints: POST bulk_add_opt_outs, remove_opt_out, add_suppression, remove_suppression; GET
        opt_outs or suppressions before each removal.

        Raises:
            BadRows: more than `max_additions` would be added; nothing was sent.
        """
        cap, removes = self.policy.max_additions, plan.removes
        if cap is not None and len(plan.adds) > cap:
            raise BadRows([f"{len(plan.adds)} would be added, more than {cap}"], "The table")
        if len(removes) > self.policy.max_removals:
            self.pushed.over_cap += len(removes)
            self.pushed.problems.append(
                f"{len(removes)} {self.source.name} would be removed, more than max_removals="
                f"{self.policy.max_removals}: none was removed"
            )
            removes = ()
        size = _AT_ONCE if self.into == "opt_outs" else 1
        parts = [plan.adds[at : at + size] for at in range(0, len(plan.adds), size)]
        work: list[tuple[bool, Sequence[Pair]]] = [(True, part) for part in parts]
        work += [(False, (pair,)) for pair in removes]
        for number, (adds, part) in enumerate(work):
            if not adds and self._changed(part[0]):
                self.pushed.changed_meanwhile += 1
            elif not self._send(adds, part):
                self.pushed.not_sent += sum(len(left) for _, left in work[number + 1 :])
                break
        return self.pushed

    # --- what is in doubt -----------------------------------------------------------------------

    def _reconcile(self) -> None:
        """Reconcile earlier actions on the list, and wait for those whose outcome is not known."""
        deadline = self.actor.clock.monotonic() + self.policy.reconcile_seconds
        for pause in growing_pauses(5.0, 60.0):
            reconcile(self.actor, [self.source])
            left = deadline - self.actor.clock.monotonic()
            if left <= 0 or not self._open():
                return
            self.actor.log.info("Waiting for what an earlier push may still have under way")
            self.actor.pause(max(0.1, min(pause, left)))

    def _open(self) -> list[Entry]:
        """Actions on this list that are in doubt, or that another run has."""
        return list(
            self.actor.ledger.entries(
                project_id=self.actor.project_id,
                kind=list(LIST_KINDS),
                target_id=self.source.id,
                state=[State.CLAIMED, State.SENT, State.IN_DOUBT],
            )
        )

    def _held(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Those of some pairs that such actions are about."""
        prints = {one for entry in self._open() for one in entry.request.get("pairs") or ()}
        if not prints:
            return []
        return [pair for pair in pairs if fingerprint(self.actor.project_id, pair) in prints]

    # --- sending --------------------------------------------------------------------------------

    def _changed(self, pair: Pair) -> bool:
        """Whether a pair is not as it was read, so that removing it would undo a newer choice."""
        identifier, key = pair
        messaging = self.actor.client.messaging
        if self.into == "suppressions":
            rows: Iterable[Any] = messaging.suppressions(search=identifier)
        else:
            asked = None if key == ALL else key
            rows = messaging.opt_outs(category_key=asked, search=identifier)
        row = next((one for one in rows if one.identifier == identifier), None)
        if row is None:
            return True
        if key != ALL and isinstance(row, OptOut) and row.preferences.get(ALL) == OPTED_OUT:
            return True
        if identifier in self._changed_here:
            return False
        then, now = self.listed[pair].updated_at, row.updated_at
        return then is None or now is None or abs(now - then) > _SAME

    def _send(self, adds: bool, pairs: Sequence[Pair]) -> bool:
        """Claim and send one request; whether to go on."""
        actor, pushed = self.actor, self.pushed
        kind = f"{self.into.removesuffix('s')}_{'add' if adds else 'remove'}"
        prints = [fingerprint(actor.project_id, pair) for pair in pairs]
        action = actor.action(
            kind,
            self.source,
            f"{actor.owner}:{digest(prints)}",
            pairs=prints,
            categories=sorted({key for _, key in pairs} - {ALL}),
        )
        mine = claim(actor, action)
        if isinstance(mine, Result):
            pushed.not_sent += len(pairs)
            pushed.problems.append(f"Not sent, {mine.why}")
            return True
        try:
            sent = actor.send([mine], self._request(adds, pairs), final=False)
        except (LockLost, ClaimLost) as lost:
            pushed.not_sent += len(pairs)
            pushed.problems.append(str(lost))
            return False
        if sent.outcome is Outcome.CONFIRMED:
            self._doubts = 0
            actor.ledger.confirm(*sent.entries, note=self._record(adds, pairs, sent.response))
            return True
        pushed.problems.append(sent.why)
        if sent.outcome is Outcome.IN_DOUBT:
            pushed.in_doubt += len(pairs)
            self._doubts += 1
            return self._doubts < _DOUBTS
        pushed.not_sent += len(pairs)
        return not sent.stop

    def _request(self, adds: bool, pairs: Sequence[Pair]) -> Post:
        identifier, key = pairs[0]
        if self.into == "suppressions":
            if adds:
                return lambda client: client.messaging.add_suppression(identifier)
            return lambda client: client.messaging.remove_suppression(identifier)
        if adds:
            entries = [(one, None if of == ALL else of) for one, of in pairs]
            return lambda client: client.messaging.bulk_add_opt_outs(entries)
        asked = None if key == ALL else key
        return lambda client: client.messaging.remove_opt_out(identifier, category_key=asked)

    def _record(self, adds: bool, pairs: Sequence[Pair], response: Any) -> str:
        """Count what PostHog said it did, in words for the ledger."""
        self._changed_here |= {identifier for identifier, _ in pairs}
        if not adds:
            self.pushed.removed += len(pairs)
            return f"{len(pairs)} {self.source.name} removed"
        passed = response.skipped if isinstance(response, BulkOptOutAnswer) else 0
        self.pushed.added += len(pairs) - passed
        if passed:
            self.pushed.passed_over += passed
            self.pushed.problems.append(f"PostHog passed {passed} of {len(pairs)} opt-outs over")
        return f"{len(pairs) - passed} {self.source.name} added, {passed} passed over"
