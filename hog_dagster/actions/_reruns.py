"""Runs failed runs of one workflow again, each once (servers that have the rerun endpoint).

Facts: a rerun names a window of at most 30 days, at most 10,000 ids and a status; without a status
it silently takes failed runs only. It answers at once with a job id and zeros and works
asynchronously. Runs rerun before eat the server's own count limit when a wide window is repeated,
so ids are always named, in slices. `max_attempts` makes the server skip a run that was attempted
that often already, which guards a run against a second rerun on the server itself.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hog_dagster.actions._dry_run import endpoints, would_send
from hog_dagster.actions._evidence import Verdict, rerun_finding, settle_by
from hog_dagster.actions._protocol import Acting, Fate, Step, text_of
from hog_dagster.actions._replay_all import settle_without_list
from hog_dagster.actions._runs import KEPT, FailedRunToRerun, read_runs
from hog_dagster.actions._summary import Outcome, Tally
from hog_dagster.ledger import Action, ClaimLost, ClaimStatus, Entry, LockLost, State
from hog_dagster.posthog import errors
from hog_dagster.posthog.models import InvocationResult
from hog_dagster.posthog.reruns import rerun_body

__all__ = ["rerun_failed", "rerun_subject"]


def rerun_subject(instance_id: str, time_number: int = 1) -> str:
    """The ledger's subject for the n-th rerun of a run."""
    return instance_id if time_number == 1 else f"{instance_id}#{time_number}"


def rerun_failed(
    acting: Acting,
    workflow_id: str,
    runs: Sequence[FailedRunToRerun],
    *,
    dry_run: bool = False,
    max_runs: int = 100,
    max_reruns: int = 1,
    slice_size: int = 500,
    error_kinds: Sequence[str] = (),
    verify_seconds: float = 60.0,
) -> Tally:
    """Run failed runs of a workflow again. Hold the workflow's lock.

    Args:
        acting: who acts, and how carefully.
        workflow_id: the workflow.
        runs: which runs; what did not fail, or failed no longer, is skipped.
        dry_run: write what would be sent to the log; touch neither PostHog nor the ledger.
        max_runs: at most so many, the rest is counted as skipped.
        max_reruns: how often one run may be run again in all, when it fails each time.
        slice_size: runs per request.
        error_kinds: only runs that failed with one of these; all when empty.
        verify_seconds: how long to look for the effect after the last request.

    Endpoints: GET invocation_results, POST rerun.
    """
    job = _Rerun(acting, workflow_id, dry_run, max_reruns, frozenset(error_kinds))
    return job.run(runs, max_runs, slice_size, verify_seconds)


class _Rerun:
    def __init__(
        self,
        acting: Acting,
        workflow_id: str,
        dry_run: bool,
        max_reruns: int,
        error_kinds: frozenset[str],
    ) -> None:
        self.acting = acting
        self.workflow_id = workflow_id
        self.dry_run = dry_run
        self.max_reruns = max_reruns
        self.error_kinds = error_kinds
        self.tally = Tally()
        self.sent: list[Entry] = []

    def run(
        self,
        runs: Sequence[FailedRunToRerun],
        max_runs: int,
        slice_size: int,
        verify_seconds: float,
    ) -> Tally:
        wanted = list({run.instance_id: run for run in runs}.values())
        for run in wanted[max_runs:]:
            self.tally.add(
                Outcome.SKIPPED, run.instance_id, f"over the cap of {max_runs} runs; asked again"
            )
        wanted = wanted[:max_runs]
        self.acting.look()
        if not self.dry_run:
            settle_without_list(self.acting, self.workflow_id, [r.instance_id for r in wanted])
        shown = read_runs(self.acting, self.workflow_id, wanted)
        ready: list[tuple[Action, InvocationResult]] = []
        for run in wanted:
            act = self.next_act(run, shown.get(run.instance_id))
            if act is not None:
                ready.append((act, shown[run.instance_id]))
        stop = ""
        for part in _slices(ready, slice_size):
            if stop:
                for _, row in part:
                    self.tally.add(Outcome.FAILED, row.invocation_id, f"not tried after: {stop}")
            else:
                stop = self.send(part)
        self.verify(shown, verify_seconds)
        return self.tally

    # --- before anything is sent ----------------------------------------------------------------

    def act(self, run: InvocationResult | FailedRunToRerun, number: int) -> Action:
        if isinstance(run, FailedRunToRerun):
            subject = rerun_subject(run.instance_id, number)
            return self.acting.act("rerun", self.workflow_id, subject)
        return self.acting.act(
            "rerun",
            self.workflow_id,
            rerun_subject(run.invocation_id, number),
            status=run.status,
            attempts=run.attempts,
            is_retry=run.is_retry,
            scheduled_at=run.scheduled_at.isoformat() if run.scheduled_at else None,
        )

    def next_act(self, run: FailedRunToRerun, row: InvocationResult | None) -> Action | None:
        """The rerun that is due for a run; None when nothing is to be sent, which is counted."""
        name = run.instance_id
        replay = self.acting.ledger.get(self.acting.act("replay", self.workflow_id, name))
        if replay is not None and replay.open:
            self.tally.add(Outcome.IN_DOUBT, name, f"its replay, act {replay.id}, {replay.note}")
            return None
        if replay is not None and replay.state is State.CONFIRMED:
            self.tally.add(Outcome.SKIPPED, name, f"it was replayed before, by act {replay.id}")
            return None
        number = 1
        while number <= self.max_reruns:
            entry = self.acting.ledger.get(self.act(run, number))
            if entry is None and number == 1 and row is not None and row.is_retry:
                number = 2  # somebody ran it again already, not through this ledger
                continue
            if entry is None or entry.state in (State.CLAIMED, State.NOT_SENT):
                break
            if entry.open and not self.doubt_is_over(entry, row):
                return None
            if entry.open:
                break
            if entry.state is State.REFUSED:
                self.tally.add(Outcome.UNREPLAYABLE, name, entry.note)
                return None
            if row is None or (row.attempts or 0) <= int(entry.request.get("attempts") or 0):
                self.tally.add(Outcome.SKIPPED, name, f"done before: {entry.note}")
                return None
            number += 1
        if number > self.max_reruns:
            self.tally.add(
                Outcome.SKIPPED, name, f"run again {self.max_reruns} times before, the most allowed"
            )
            return None
        if row is None:
            self.tally.add(Outcome.UNREPLAYABLE, name, "PostHog shows no such run (any more)")
            return None
        if row.status != "failed":
            self.tally.add(Outcome.SKIPPED, name, f"it has not failed: its status is {row.status}")
            return None
        if row.scheduled_at is None:
            self.tally.add(
                Outcome.UNREPLAYABLE, name, "PostHog shows no time for it, which a rerun must name"
            )
            return None
        if self.error_kinds and (row.error_kind or "") not in self.error_kinds:
            self.tally.add(
                Outcome.SKIPPED, name, f"it failed with {row.error_kind}, which is not on the list"
            )
            return None
        return self.act(row, number)

    def doubt_is_over(self, entry: Entry, row: InvocationResult | None) -> bool:
        """Whether an act in doubt was shown not to have happened, and is this run's to send now."""
        name = entry.subject.partition("#")[0]
        finding = rerun_finding(self.acting, entry, row)
        if self.dry_run:
            self.tally.add(Outcome.DRY_RUN, name, f"in doubt; now: {finding.note}")
            return False
        act = entry.action()
        claim = self.acting.ledger.claim(act, self.acting.owner, alive=self.acting.alive)
        if claim.status is ClaimStatus.BUSY:
            self.tally.add(Outcome.SKIPPED, name, f"run {claim.entry.owner} is sending it")
            return False
        if claim.granted:
            return True
        try:
            settle_by(self.acting, claim.entry, finding)
        except ClaimLost as lost:
            self.tally.add(Outcome.SKIPPED, name, str(lost))
            return False
        if finding.verdict is Verdict.HAPPENED:
            self.tally.add(Outcome.CONFIRMED, name, finding.note)
        elif finding.verdict is Verdict.UNDECIDED:
            self.tally.add(Outcome.IN_DOUBT, name, f"{finding.note}. {finding.remedy}".strip())
        return finding.verdict is Verdict.NOT_HAPPENED

    # --- sending --------------------------------------------------------------------------------

    def send(self, part: list[tuple[Action, InvocationResult]]) -> str:
        """One slice in one request; the reason to stop, if the next would fare no better."""
        times = [row.scheduled_at for _, row in part if row.scheduled_at]
        start = min(times).replace(microsecond=0)
        end = max(times).replace(microsecond=0) + timedelta(seconds=1)
        asked: dict[str, Any] = {
            "window_start": start,
            "window_end": end,
            "status": ["failed"],
            "max_attempts": _guard(part[0][1].attempts),
        }
        if self.dry_run:
            body = rerun_body(
                **asked,
                invocation_ids=[row.invocation_id for _, row in part],
                error_kind=None,
                error_message_contains=None,
                max_count=None,
            )
            would_send(self.acting, endpoints.RERUN, self.workflow_id, body)
            for _, row in part:
                self.tally.add(Outcome.DRY_RUN, row.invocation_id, "would be run again")
            return ""
        self.acting.step(Step.BEFORE_CLAIM, self.workflow_id, part[0][0].subject)
        claims = self.acting.ledger.claim_all(
            [act for act, _ in part], self.acting.owner, alive=self.acting.alive
        )
        mine: list[Entry] = []
        for claim, (_, row) in zip(claims, part, strict=True):
            if claim.granted:
                mine.append(claim.entry)
            else:
                why = f"run {claim.entry.owner} has it: {claim.status}"
                self.tally.add(Outcome.SKIPPED, row.invocation_id, why)
        if not mine:
            return ""
        names = [entry.subject.partition("#")[0] for entry in mine]
        try:
            sent = self.acting.send(
                mine,
                lambda: self.acting.client.workflows.rerun(
                    self.workflow_id, invocation_ids=names, **asked
                ),
                refusal_is_final=False,
            )
            entries = sent.entries
            if sent.fate is Fate.ANSWERED:
                job = sent.answer.rerun_job_id
                entries = self.acting.ledger.doubt(
                    *entries,
                    response={"rerun_job_id": job},
                    remote_id=job,
                    note=f"in doubt: PostHog queued rerun job {job}; not yet seen to run",
                )
                self.acting.log.info(f"Rerun of {len(names)} runs queued as job {job}")
        except LockLost as lost:
            return self.count(names, Outcome.FAILED, str(lost), stop=True)
        except ClaimLost as lost:
            return self.count(names, Outcome.IN_DOUBT, str(lost))
        if sent.fate is Fate.ANSWERED:
            self.sent += entries
            return self.count(names, Outcome.QUEUED, f"rerun job {sent.answer.rerun_job_id}")
        if sent.fate is Fate.IN_DOUBT:
            self.sent += entries
            self.acting.log.warning(f"Rerun of {len(names)} runs is in doubt: {sent.why}")
            return self.count(names, Outcome.IN_DOUBT, sent.why)
        return self.count(names, Outcome.FAILED, sent.why, stop=True)

    def count(self, names: list[str], outcome: Outcome, why: str, *, stop: bool = False) -> str:
        for name in names:
            self.tally.add(outcome, name, why)
        return why if stop else ""

    # --- after ----------------------------------------------------------------------------------

    def verify(self, shown: dict[str, InvocationResult], seconds: float) -> None:
        """Read the runs again until each shows its rerun, or the time is over."""
        waiting = {entry.subject.partition("#")[0]: entry for entry in self.sent}
        accepted = {name for name, entry in waiting.items() if entry.remote_id}
        deadline, pause = time.monotonic() + seconds, 0.5
        while waiting and seconds > 0:
            look = [FailedRunToRerun(name, shown[name].scheduled_at) for name in waiting]
            self.acting.look()
            try:
                now = read_runs(self.acting, self.workflow_id, look)
            except errors.PostHogError as error:
                self.tally.notes.append(f"The runs could not be read back: {text_of(error)}")
                break
            for name, entry in list(waiting.items()):
                finding = rerun_finding(self.acting, entry, now.get(name))
                if finding.verdict is Verdict.HAPPENED:
                    self.seen(waiting.pop(name), finding.note)
            if not waiting or time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
            pause = min(pause * 2, 30.0)
        for name in waiting.keys() & accepted:
            self.tally.move(
                name, Outcome.QUEUED, Outcome.IN_DOUBT, "accepted by PostHog, not yet seen to run"
            )

    def seen(self, entry: Entry, note: str) -> None:
        name = entry.subject.partition("#")[0]
        try:
            self.acting.ledger.confirm(entry, note=f"read back: {note}")
        except ClaimLost:
            return
        if entry.remote_id:
            self.tally.also_confirmed(name, note)
        else:
            self.tally.move(name, Outcome.IN_DOUBT, Outcome.CONFIRMED, note)


def _guard(attempts: int | None) -> int | None:
    """The server skips runs attempted so often already: any that were rerun since they were read.

    Its upper bound is 255.
    """
    return attempts + 1 if attempts is not None and 1 <= attempts + 1 <= 255 else None


def _slices(
    ready: list[tuple[Action, InvocationResult]], size: int
) -> Iterator[list[tuple[Action, InvocationResult]]]:
    """Slices of runs with equal attempts, at most `size` of them, within 30 days."""
    ready.sort(key=lambda pair: (pair[1].attempts or 0, pair[1].scheduled_at or _EPOCH))
    part: list[tuple[Action, InvocationResult]] = []
    for pair in ready:
        row = pair[1]
        if part and (
            len(part) >= size
            or row.attempts != part[0][1].attempts
            or (row.scheduled_at or _EPOCH) - (part[0][1].scheduled_at or _EPOCH)
            > KEPT - timedelta(seconds=2)
        ):
            yield part
            part = []
        part.append(pair)
    if part:
        yield part


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
