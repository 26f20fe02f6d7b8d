"""Replays blocked runs of one workflow, each once (servers of April and May 2026).

Facts: the endpoint takes a run any number of times and checks neither marker nor step. A replay
writes a log line "[Replay] Queued" under the original run's id, seconds to minutes late, and so
takes the run off the blocked list. A run whose message names no event, or whose event is gone, can
never be replayed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.actions._claims import Finding, claim, reconcile_first, waiting
from hog_dagster.actions._dry_run import would_send
from hog_dagster.actions._protocol import Actor, Sent, Source, growing_pauses, text_of
from hog_dagster.actions._summary import Outcome, Result, Summary
from hog_dagster.ledger import Action, ClaimLost, Entry, LockLost, State, normal_id
from hog_dagster.policies import ReplayPolicy
from hog_dagster.posthog import ENDPOINTS, errors

#: How PostHog's log line about a queued replay begins.
MARKER = "[Replay] Queued"
#: Lines this much older than the request are read too: clocks, whole seconds.
MARGIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class BlockedRun:
    """A blocked run, as the sensor or an operator names it, whose id is kept in one spelling."""

    instance_id: str
    action_id: str | None = None
    event_uuid: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "instance_id", normal_id(self.instance_id))


def list_blocked(actor: Actor, workflow_id: str) -> Mapping[str, Any] | None:
    """The workflow's blocked runs by id; None when this server lists none, or not now."""
    if not actor.client.server.has("blocked_runs"):
        return None
    try:
        listed = actor.client.workflows.blocked_runs(workflow_id)
        return {normal_id(run.instance_id): run for run in listed}
    except (errors.EndpointMissing, errors.NotOpenToKeys):
        return None


class ReplayEvidence:
    """Reads the blocked list and the markers of one workflow, once, and judges by them.

    Args:
        actor: who reconciles.
        workflow_id: the workflow.
        listed: the blocked list, when it was just read.
    """

    def __init__(
        self, actor: Actor, workflow_id: str, listed: Mapping[str, Any] | bool | None = False
    ) -> None:
        self.actor = actor
        self.workflow_id = workflow_id
        actor.know_the_time()
        self.read_at = actor.earliest()  # absences are judged by the time before reading
        self._listed = listed
        self._since: datetime | None = None
        self._markers: tuple[datetime, set[str]] | None = None

    def expect(self, entries: Iterable[Entry]) -> None:
        """Have the markers of all these replays read together, when the first is asked for."""
        self._since = min((_sent_at(entry) for entry in entries if entry.open), default=None)

    @property
    def listed(self) -> Mapping[str, Any] | None:
        """The blocked list; read before the markers."""
        if isinstance(self._listed, bool):
            self._listed = list_blocked(self.actor, self.workflow_id)
        return self._listed

    def markers(self, since: datetime) -> set[str]:
        """Runs of the workflow with a replay marker since then; one request per 500 of them."""
        since = min(since, self._since or since)
        if self._markers is None or since < self._markers[0]:
            _ = self.listed
            rows = self.actor.client.workflows.logs(
                self.workflow_id,
                after=since - MARGIN,
                before=self.actor.latest() + timedelta(minutes=10),
                search=MARKER,
            )
            found = {row.instance_id for row in rows if row.message.startswith(MARKER)}
            self._markers = (since, found)
        return self._markers[1]

    def finding(self, entry: Entry) -> Finding:
        """What became of a replay in doubt."""
        if entry.subject in self.markers(_sent_at(entry)):
            return Finding(Outcome.CONFIRMED, "the run's log holds a replay marker")
        listed, remedy = self.listed, self.actor.remedy(entry).rstrip(".")
        if listed is None:
            seen = "this server does not list blocked runs and the run's log holds no replay marker"
            return Finding(Outcome.IN_DOUBT, f"{seen}. {remedy}")
        if entry.subject not in listed:
            seen = "the run is not on the blocked list, yet its log holds no replay marker"
            return Finding(Outcome.IN_DOUBT, f"{seen}. {remedy}")
        if not self.actor.grace_over(entry, at=self.read_at):
            return waiting(self.actor, entry, "still on the blocked list, without a replay marker")
        note = "still on the blocked list and without a marker after the grace time"
        return Finding(Outcome.NOT_SENT, note)


def _sent_at(entry: Entry) -> datetime:
    return entry.server_sent_at or entry.sent_at or entry.created_at


def replay_blocked(
    actor: Actor,
    workflow: Source,
    runs: Sequence[BlockedRun],
    policy: ReplayPolicy,
    *,
    all_blocked: bool = False,
) -> Summary:
    """Replay runs that the de-duplication fault blocked. Hold the workflow's lock.

    Args:
        actor: who acts.
        workflow: the workflow.
        runs: which runs; what is not (or no longer) blocked is skipped.
        policy: limits.
        all_blocked: all that are on the list, instead of `runs`.

    Endpoints: GET blocked_runs, GET logs, POST replay_blocked_run.
    """
    return _Replay(actor, workflow, policy).run(runs, all_blocked)


class _Replay:
    def __init__(self, actor: Actor, workflow: Source, policy: ReplayPolicy) -> None:
        self.actor = actor
        self.workflow = workflow
        self.policy = policy
        self.summary = Summary()
        self.evidence = ReplayEvidence(actor, workflow.id)
        self.sent: dict[str, Entry] = {}

    def action(self, run: str, **request: Any) -> Action:
        return self.actor.action("replay", self.workflow, run, **request)

    def run(self, runs: Sequence[BlockedRun], all_blocked: bool) -> Summary:
        listed = self.evidence.listed or {}
        if why := self.actor.client.server.why_not("blocked_runs"):
            self.summary.notes.append(why)
        if all_blocked:
            runs = [
                BlockedRun(run.instance_id, run.action_id, run.event_uuid)
                for run in listed.values()
            ]
        wanted = list({run.instance_id: run for run in runs}.values())
        for run in wanted[self.policy.max_runs :]:
            why = f"over the maximum of {self.policy.max_runs} runs in one job"
            self.summary.add(Outcome.SKIPPED, run.instance_id, why)
        wanted = wanted[: self.policy.max_runs]
        rerun = self.rerun_before(wanted)
        known = [self.action(run.instance_id) for run in wanted]
        self.evidence.expect(self.actor.ledger.get_all(known))
        waits = self.replay_all_is_recent()
        stop = ""
        for run in wanted:
            if run.instance_id in rerun:
                self.summary.results[run.instance_id] = rerun[run.instance_id]
            elif stop:
                self.summary.add(Outcome.NOT_SENT, run.instance_id, f"not tried after: {stop}")
            else:
                stop = self.one(run, listed, waits)
        self.verify()
        return self.summary

    def rerun_before(self, runs: Sequence[BlockedRun]) -> dict[str, Result]:
        """Runs that a rerun has taken, on another server behind the same address, say."""
        actions = [self.actor.action("rerun", self.workflow, run.instance_id) for run in runs]
        taken: dict[str, Result] = {}
        for entry in self.actor.ledger.get_all(actions):
            if entry.open:
                why = f"its rerun, action {entry.id}, is in doubt: {entry.note}"
                taken[entry.subject] = Result(Outcome.IN_DOUBT, entry.subject, why, entry.id)
            elif entry.state is State.CONFIRMED:
                why = f"it was run again before, by action {entry.id}"
                taken[entry.subject] = Result(Outcome.DONE_BEFORE, entry.subject, why, entry.id)
        return taken

    def replay_all_is_recent(self) -> Entry | None:
        """A replay of the whole list, sent by an earlier release, whose markers may be late."""
        for entry in self.actor.ledger.entries(
            project_id=self.actor.project_id, kind="replay_all", target_id=self.workflow.id
        ):
            if entry.sent_at is not None and not self.actor.grace_over(entry):
                return entry
        return None

    # --- one run --------------------------------------------------------------------------------

    def one(self, run: BlockedRun, listed: Mapping[str, Any], waits: Entry | None) -> str:
        """Replay one run; the reason to stop, if the next would fare no better."""
        name = run.instance_id
        known = reconcile_first(
            self.actor, self.action(name), self.evidence.finding, dry_run=self.policy.dry_run
        )
        if known is not None:
            self.summary.results[name] = known
            return ""
        if waits is not None:
            why = f"action {waits.id} replayed the whole list; its markers may be late"
            self.summary.add(Outcome.IN_DOUBT, name, why, action_id=waits.id)
            return ""
        ready = self.completed(run, listed.get(name))
        if ready is None:
            return ""
        body = {
            "instance_id": name,
            "action_id": ready.action_id,
            "event_uuid": ready.event_uuid,
        }
        if self.policy.dry_run:
            would_send(self.actor, ENDPOINTS["workflows.replay_blocked_run"], self.workflow, body)
            self.summary.add(Outcome.DRY_RUN, name, "would be replayed")
            return ""
        return self.send(name, body)

    def completed(self, run: BlockedRun, seen: Any) -> BlockedRun | None:
        """The run with all that its request needs; None when there is nothing to send."""
        if seen is None:
            why = self.actor.client.server.why_not("blocked_runs")
            why = why or "it is not on the list of blocked runs (any more)"
            self.summary.add(Outcome.SKIPPED, run.instance_id, why)
            return None
        action_id, event_uuid = seen.action_id or run.action_id, seen.event_uuid or run.event_uuid
        if not action_id or not event_uuid:
            missing = "step" if not action_id else "event"
            why = f"PostHog's log names no {missing} for it, so it can never be replayed"
            self.summary.add(Outcome.SKIPPED, run.instance_id, why)
            return None
        return BlockedRun(run.instance_id, action_id, event_uuid)

    def send(self, name: str, body: Mapping[str, Any]) -> str:
        mine = claim(
            self.actor,
            self.action(name, action_id=body["action_id"], event_uuid=body["event_uuid"]),
        )
        if isinstance(mine, Result):
            self.summary.results[name] = mine
            return ""
        try:
            sent = self.actor.send(
                [mine],
                lambda client: client.workflows.replay_blocked_run(self.workflow.id, body),
            )
        except LockLost as lost:
            self.summary.add(Outcome.NOT_SENT, name, str(lost), action_id=mine.id)
            return str(lost)
        except ClaimLost as lost:
            self.summary.add(Outcome.IN_DOUBT, name, str(lost), action_id=mine.id)
            return ""
        return self.record(name, sent)

    def record(self, name: str, sent: Sent) -> str:
        """Keep what PostHog responded; anything but `queued` leaves the replay in doubt."""
        entry = sent.entries[0]
        outcome, why = sent.outcome, sent.why
        if outcome is Outcome.CONFIRMED:
            status = sent.response.status
            response, why = {"status": status}, f"PostHog responded {status}"
            if status == "queued":
                self.actor.ledger.confirm(entry, response=response, note=why)
            else:
                outcome, why = Outcome.IN_DOUBT, f"in doubt: {why}"
                (entry,) = self.actor.ledger.doubt(
                    entry,
                    response=response,
                    note=why,
                    server_given_up_at=self.actor.latest(),
                )
        if outcome is Outcome.IN_DOUBT:
            self.sent[name] = entry
        self.summary.add(outcome, name, why, action_id=entry.id)
        return why if sent.stop else ""

    # --- after ----------------------------------------------------------------------------------

    def verify(self) -> None:
        """Look for the markers of replays in doubt, until all are there or the time is over."""
        deadline = self.actor.clock.monotonic() + self.policy.verify_seconds
        for pause in growing_pauses(0.5, 30.0):
            if not self.sent or self.policy.verify_seconds <= 0:
                return
            evidence = ReplayEvidence(self.actor, self.workflow.id, None)
            evidence.expect(self.sent.values())
            try:
                self._confirm(evidence)
            except errors.PostHogError as error:
                self.summary.notes.append(f"Markers could not be read: {text_of(error)}")
                return
            if not self.sent or self.actor.clock.monotonic() + pause > deadline:
                return
            self.actor.pause(pause)

    def _confirm(self, evidence: ReplayEvidence) -> None:
        for name, entry in list(self.sent.items()):
            finding = evidence.finding(entry)
            if finding.outcome is not Outcome.CONFIRMED:
                continue
            del self.sent[name]
            try:
                note = f"confirmed by evidence: {finding.note}"
                self.actor.ledger.confirm(entry, note=note)
            except ClaimLost:
                continue
            self.summary.add(Outcome.CONFIRMED, name, note, action_id=entry.id)
