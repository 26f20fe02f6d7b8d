"""Replays blocked runs of one workflow, each once (servers that have the replay endpoints).

Facts: the single endpoint takes a run any number of times and checks neither marker nor action; the
bulk endpoint takes no list, replays all that is on the blocked list, runs just replayed whose
marker is late included, and answers with bare counts; a run whose message names no event, or whose
event is gone, can never be replayed.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hog_dagster.actions._dry_run import endpoints, would_send
from hog_dagster.actions._evidence import (
    Verdict,
    listed_blocked,
    read_markers,
    replay_finding,
    settle_by,
)
from hog_dagster.actions._protocol import Acting, Fate, Sent, Step, text_of
from hog_dagster.actions._replay_all import bulk_is_recent, close_old_bulks
from hog_dagster.actions._summary import Outcome, Tally
from hog_dagster.ledger import Action, ClaimLost, ClaimStatus, Entry, LockLost, State
from hog_dagster.posthog import errors
from hog_dagster.posthog.models import ReplayAllAnswer

__all__ = ["BlockedRunToReplay", "replay_blocked"]


@dataclass(frozen=True, slots=True)
class BlockedRunToReplay:
    """A blocked run, as the sensor or an operator names it."""

    instance_id: str
    action_id: str | None = None
    event_uuid: str | None = None


def replay_blocked(
    acting: Acting,
    workflow_id: str,
    runs: Sequence[BlockedRunToReplay],
    *,
    all_blocked: bool = False,
    bulk: bool = False,
    dry_run: bool = False,
    max_runs: int = 100,
    verify_seconds: float = 60.0,
) -> Tally:
    """Replay runs of a workflow that the de-duplication fault blocked. Hold the workflow's lock.

    Args:
        acting: who acts, and how carefully.
        workflow_id: the workflow.
        runs: which runs; what is not (or no longer) blocked is skipped.
        all_blocked: all that are on the list, instead of `runs`.
        bulk: one request for the whole list, if all that is on it was asked for and none of it was
            sent before; else one request each.
        dry_run: write what would be sent to the log; touch neither PostHog nor the ledger.
        max_runs: at most so many, the rest is counted as skipped.
        verify_seconds: how long to look for markers after the last request.

    Endpoints: GET blocked_runs, GET logs, POST replay_blocked_run or replay_all_blocked_runs.
    """
    job = _Replay(acting, workflow_id, dry_run)
    return job.run(runs, all_blocked, bulk, max_runs, verify_seconds)


class _Replay:
    def __init__(self, acting: Acting, workflow_id: str, dry_run: bool) -> None:
        self.acting = acting
        self.workflow_id = workflow_id
        self.dry_run = dry_run
        self.tally = Tally()
        self.listed: Mapping[str, Any] = {}
        self.queued: list[Entry] = []

    def act(self, instance_id: str, **request: Any) -> Action:
        return self.acting.act("replay", self.workflow_id, instance_id, **request)

    def run(
        self,
        runs: Sequence[BlockedRunToReplay],
        all_blocked: bool,
        bulk: bool,
        max_runs: int,
        verify_seconds: float,
    ) -> Tally:
        self.acting.look()
        listed = listed_blocked(self.acting, self.workflow_id)
        self.listed = listed or {}
        if why := self.acting.client.server.why_not("blocked_runs"):
            self.tally.notes.append(why)
        if all_blocked:
            runs = [
                BlockedRunToReplay(run.instance_id, run.action_id, run.event_uuid)
                for run in self.listed.values()
            ]
        wanted = list({run.instance_id: run for run in runs}.values())
        for run in wanted[max_runs:]:
            self.tally.add(
                Outcome.SKIPPED, run.instance_id, f"over the cap of {max_runs} runs; asked again"
            )
        if not self.dry_run:
            close_old_bulks(self.acting, self.workflow_id)
        wanted = self.settle_known(wanted[:max_runs], None if listed is None else set(listed))
        ready = [run for run in map(self.prepare, wanted) if run is not None]
        if ready and bulk and self.may_go_in_bulk(ready):
            self.send_bulk(ready)
        else:
            self.send_each(ready)
        self.verify(verify_seconds)
        return self.tally

    # --- before anything is sent ----------------------------------------------------------------

    def settle_known(
        self, runs: list[BlockedRunToReplay], listed: set[str] | None
    ) -> list[BlockedRunToReplay]:
        """Read back what the ledger has in doubt; the runs that are left to replay."""
        known = {
            entry.subject: entry
            for entry in self.acting.ledger.get_all([self.act(run.instance_id) for run in runs])
        }
        doubtful = [entry for entry in known.values() if entry.open]
        markers: set[str] = set()
        if doubtful:
            since = min(e.server_sent_at or e.sent_at or e.created_at for e in doubtful)
            markers = read_markers(self.acting, self.workflow_id, since)
        left = []
        for run in runs:
            entry = known.get(run.instance_id)
            if entry is None or entry.state in (State.CLAIMED, State.NOT_SENT):
                left.append(run)
            elif entry.state is State.CONFIRMED:
                self.tally.add(Outcome.SKIPPED, run.instance_id, f"done before: {entry.note}")
            elif entry.state is State.REFUSED:
                self.tally.add(Outcome.UNREPLAYABLE, run.instance_id, entry.note)
            elif self.doubt_is_over(run, entry, markers, listed):
                left.append(run)
        return left

    def doubt_is_over(
        self,
        run: BlockedRunToReplay,
        entry: Entry,
        markers: set[str],
        listed: set[str] | None,
    ) -> bool:
        """Whether an act in doubt was shown not to have happened, and is this run's to send now."""
        if not self.dry_run:
            claim = self.acting.ledger.claim(
                self.act(run.instance_id), self.acting.owner, alive=self.acting.alive
            )
            if claim.status is ClaimStatus.BUSY:
                self.tally.add(
                    Outcome.SKIPPED, run.instance_id, f"run {claim.entry.owner} is sending it"
                )
                return False
            if claim.granted:
                return True
            entry = claim.entry
        finding = replay_finding(self.acting, entry, markers=markers, listed=listed)
        if self.dry_run:
            self.tally.add(Outcome.DRY_RUN, run.instance_id, f"in doubt; now: {finding.note}")
            return False
        try:
            settle_by(self.acting, entry, finding)
        except ClaimLost as lost:
            self.tally.add(Outcome.SKIPPED, run.instance_id, str(lost))
            return False
        if finding.verdict is Verdict.HAPPENED:
            self.tally.add(Outcome.CONFIRMED, run.instance_id, finding.note)
        elif finding.verdict is Verdict.UNDECIDED:
            why = f"{finding.note}. {finding.remedy}".strip()
            self.tally.add(Outcome.IN_DOUBT, run.instance_id, why)
        return finding.verdict is Verdict.NOT_HAPPENED

    def prepare(self, run: BlockedRunToReplay) -> BlockedRunToReplay | None:
        """The run with all that its request needs, or None when there is nothing to send."""
        seen = self.listed.get(run.instance_id)
        if seen is None:
            self.tally.add(
                Outcome.SKIPPED, run.instance_id, "not on the list of blocked runs (any more)"
            )
            return None
        action_id, event_uuid = seen.action_id or run.action_id, seen.event_uuid or run.event_uuid
        if not action_id or not event_uuid:
            missing = "action" if not action_id else "event"
            self.tally.add(
                Outcome.UNREPLAYABLE,
                run.instance_id,
                f"PostHog's log row names no {missing}, so it can never be replayed",
            )
            return None
        return BlockedRunToReplay(run.instance_id, action_id, event_uuid)

    # --- one request each -----------------------------------------------------------------------

    def send_each(self, runs: list[BlockedRunToReplay]) -> None:
        recent = bulk_is_recent(self.acting, self.workflow_id) if runs else None
        stop = ""
        for run in runs:
            if stop:
                self.tally.add(Outcome.FAILED, run.instance_id, f"not tried after: {stop}")
                continue
            stop = self.send_one(run, recent)

    def send_one(self, run: BlockedRunToReplay, recent: Entry | None) -> str:
        """Replay one run; the reason to stop, if the next would fare no better."""
        body = {
            "instance_id": run.instance_id,
            "action_id": run.action_id,
            "event_uuid": run.event_uuid,
        }
        act = self.act(run.instance_id, action_id=run.action_id, event_uuid=run.event_uuid)
        if recent is not None and self.acting.ledger.get(act) is None:
            self.tally.add(
                Outcome.IN_DOUBT,
                run.instance_id,
                f"the bulk replay of run {recent.owner} may have taken it; its markers may be late",
            )
            return ""
        if self.dry_run:
            would_send(self.acting, endpoints.REPLAY, self.workflow_id, body)
            self.tally.add(Outcome.DRY_RUN, run.instance_id, "would be replayed")
            return ""
        self.acting.step(Step.BEFORE_CLAIM, self.workflow_id, run.instance_id)
        claim = self.acting.ledger.claim(act, self.acting.owner, alive=self.acting.alive)
        if not claim.granted:
            self.tally.add(
                Outcome.SKIPPED, run.instance_id, f"run {claim.entry.owner} has it: {claim.status}"
            )
            return ""
        try:
            sent = self.acting.send(
                [claim.entry],
                lambda: self.acting.client.workflows.replay_blocked_run(self.workflow_id, body),
            )
            if sent.fate is Fate.ANSWERED:
                sent = self.record_answer(sent)
        except LockLost as lost:
            self.tally.add(Outcome.FAILED, run.instance_id, str(lost))
            return str(lost)
        except ClaimLost as lost:
            self.tally.add(Outcome.IN_DOUBT, run.instance_id, str(lost))
            return ""
        if sent.fate is Fate.IN_DOUBT:
            self.queued += sent.entries
        return self.count_one(run, sent.fate, sent.why)

    def record_answer(self, sent: Sent) -> Sent:
        """Keep what PostHog answered; anything but `queued` leaves the replay in doubt."""
        status = sent.answer.status
        answer, note = {"status": status}, f"PostHog answered {status}"
        if status != "queued":
            doubtful = self.acting.ledger.doubt(*sent.entries, response=answer, note=note)
            return Sent(Fate.IN_DOUBT, doubtful, why_not=note)
        self.queued += self.acting.ledger.confirm(*sent.entries, response=answer, note=note)
        return sent

    def count_one(self, run: BlockedRunToReplay, fate: Fate, why: str) -> str:
        if fate is Fate.ANSWERED:
            self.tally.add(Outcome.QUEUED, run.instance_id, "queued")
            self.acting.log.info(f"Replay of run {run.instance_id} queued")
            return ""
        if fate is Fate.REFUSED:
            self.tally.add(Outcome.UNREPLAYABLE, run.instance_id, why)
            self.acting.log.warning(f"Run {run.instance_id} cannot be replayed: {why}")
            return ""
        if fate is Fate.IN_DOUBT:
            self.tally.add(Outcome.IN_DOUBT, run.instance_id, why)
            self.acting.log.warning(f"Replay of run {run.instance_id} is in doubt: {why}")
            return ""
        self.tally.add(Outcome.FAILED, run.instance_id, why)
        return why

    # --- all in one request ---------------------------------------------------------------------

    def may_go_in_bulk(self, ready: list[BlockedRunToReplay]) -> bool:
        """Whether the bulk endpoint would replay exactly what was asked for, and nothing twice."""
        asked = {run.instance_id for run in ready}
        replayable = {
            run.instance_id for run in self.listed.values() if run.action_id and run.event_uuid
        }
        if others := replayable - asked:
            self.tally.notes.append(
                f"One request each, not in bulk: the list holds {len(others)} more runs that were "
                "not asked for, were sent before, or are over the cap."
            )
            return False
        if bulk_is_recent(self.acting, self.workflow_id) is not None:
            self.tally.notes.append(
                "One request each, not in bulk: the markers of the last bulk replay may be late."
            )
            return False
        return True

    def send_bulk(self, ready: list[BlockedRunToReplay]) -> None:
        if self.dry_run:
            would_send(self.acting, endpoints.REPLAY_ALL, self.workflow_id, {})
            self.acting.log.info(
                f"It would replay {len(ready)} runs: {', '.join(r.instance_id for r in ready)}"
            )
            for run in ready:
                self.tally.add(Outcome.DRY_RUN, run.instance_id, "would be replayed in bulk")
            return
        self.acting.step(Step.BEFORE_CLAIM, self.workflow_id, "bulk")
        whole = self.acting.act(
            "replay_all", self.workflow_id, f"{self.acting.owner}@{time.time_ns()}", runs=len(ready)
        )
        acts = [
            self.act(r.instance_id, action_id=r.action_id, event_uuid=r.event_uuid) for r in ready
        ]
        claims = self.acting.ledger.claim_all(
            [whole, *acts], self.acting.owner, alive=self.acting.alive
        )
        if not all(claim.granted for claim in claims):
            mine = [claim.entry for claim in claims if claim.granted]
            self.acting.ledger.release(*mine, note="bulk replay not sent: another run has some")
            self.tally.notes.append("One request each, not in bulk: another run has some of them.")
            self.send_each(ready)
            return
        try:
            sent = self.acting.send(
                [claim.entry for claim in claims],
                lambda: self.acting.client.workflows.replay_all_blocked_runs(self.workflow_id),
                refusal_is_final=False,
            )
            self.count_bulk(ready, sent)
        except (LockLost, ClaimLost) as lost:
            for run in ready:
                self.tally.add(Outcome.IN_DOUBT, run.instance_id, str(lost))

    def count_bulk(self, ready: list[BlockedRunToReplay], sent: Any) -> None:
        outcome, why = Outcome.FAILED, sent.why
        if sent.fate is Fate.ANSWERED:
            answer = sent.answer
            why = (
                f"bulk replay: {answer.succeeded} succeeded, {answer.failed} failed, "
                f"{answer.skipped} skipped"
            )
            values = {"response": answer.model_dump(), "note": why}
            ledger, (whole, *each) = self.acting.ledger, sent.entries
            if self.is_all_of(ready, answer):
                self.queued += ledger.confirm(whole, *each, **values)[1:]
                outcome = Outcome.QUEUED
            else:
                ledger.confirm(whole, **values)
                self.queued += ledger.doubt(
                    *each, response=values["response"], note=f"in doubt: {why}; which is read back"
                )
                outcome = Outcome.IN_DOUBT
        elif sent.fate is Fate.IN_DOUBT:
            outcome = Outcome.IN_DOUBT
            self.queued += sent.entries[1:]
        for run in ready:
            self.tally.add(outcome, run.instance_id, why)

    def is_all_of(self, ready: list[BlockedRunToReplay], answer: ReplayAllAnswer) -> bool:
        """Whether the bare counts can only mean that every run asked for was replayed."""
        never = len(self.listed) - len(ready)
        counts = (answer.succeeded, answer.failed, answer.skipped)
        return counts == (len(ready), 0, never)

    # --- after ----------------------------------------------------------------------------------

    def verify(self, seconds: float) -> None:
        """Look for the markers of what was sent, until all are there or the time is over."""
        waiting = {entry.subject: entry for entry in self.queued}
        if not waiting or seconds <= 0:
            return
        since = min(e.server_sent_at or e.sent_at or e.created_at for e in waiting.values())
        deadline, pause = time.monotonic() + seconds, 0.5
        while waiting:
            try:
                found = read_markers(self.acting, self.workflow_id, since) & set(waiting)
            except errors.PostHogError as error:  # what was sent stays sent all the same
                self.tally.notes.append(f"Markers could not be read: {text_of(error)}")
                return
            for instance_id in found:
                self.seen(waiting.pop(instance_id))
            if not waiting or time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
            pause = min(pause * 2, 30.0)
        if waiting:
            self.tally.notes.append(
                f"{len(waiting)} markers are not in the logs yet; the ledger keeps these runs from "
                "being replayed again."
            )

    def seen(self, entry: Entry) -> None:
        if entry.state is State.CONFIRMED:
            self.tally.also_confirmed(entry.subject, "queued; its marker is in the logs")
            return
        try:
            self.acting.ledger.confirm(entry, note="read back: marker in the logs")
        except ClaimLost:
            return
        self.tally.move(entry.subject, Outcome.IN_DOUBT, Outcome.CONFIRMED, "marker in the logs")
