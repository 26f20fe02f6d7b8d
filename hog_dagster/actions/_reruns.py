"""Runs failed runs of a workflow or hog function again, each as often as allowed and no more.

Facts: a rerun request is answered at once with a job's id and worked off later; two requests are
two jobs. PostHog picks runs by rows inside the window that is asked for, so the window reaches to
now: a run that has succeeded meanwhile is not run again. `max_attempts` lets PostHog skip runs that
were rerun since they were read. A rerun may start at the trigger and repeat messages.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from hog_dagster.actions._claims import record_all
from hog_dagster.actions._dry_run import rerun_endpoint, would_send
from hog_dagster.actions._protocol import Actor, Source, growing_pauses, text_of
from hog_dagster.actions._rerun_evidence import RerunEvidence, run_of
from hog_dagster.actions._rerun_plan import (
    PlannedRerun,
    RerunPlan,
    first_row,
    plan_reruns,
    rerun_subject,
    slices,
)
from hog_dagster.actions._runs import KEPT, RunToRerun, state_summary
from hog_dagster.actions._summary import Outcome, Summary
from hog_dagster.ledger import ClaimLost, Entry, LockLost
from hog_dagster.policies import ReplayPolicy
from hog_dagster.posthog import errors, rerun_body

#: The window reaches this far beyond PostHog's present.
AHEAD = timedelta(minutes=1)


def rerun_failed(
    actor: Actor, source: Source, runs: Sequence[RunToRerun], policy: ReplayPolicy
) -> Summary:
    """Run failed runs again. Hold the source's lock.

    Args:
        actor: who acts.
        source: the workflow or function.
        runs: which runs; what did not fail, or failed no longer, is skipped.
        policy: limits.

    Endpoints: HogQL or GET invocation_results/{run}, GET logs, POST rerun.

    Raises:
        PostHogError: PostHog could not be read; nothing was sent by this call.
    """
    plan = plan_reruns(actor, source, runs, policy)
    return carry_out(actor, plan, policy)


def carry_out(actor: Actor, plan: RerunPlan, policy: ReplayPolicy) -> Summary:
    """Send a plan, slice by slice, and look for the effect. Hold the source's lock."""
    return _Sender(actor, plan, policy).run()


class _Sender:
    def __init__(self, actor: Actor, plan: RerunPlan, policy: ReplayPolicy) -> None:
        self.actor = actor
        self.plan = plan
        self.source = plan.source
        self.policy = policy
        self.summary = Summary()
        self.summary.join(plan.left)
        self.sent: dict[str, Entry] = {}

    def run(self) -> Summary:
        stop = ""
        for part in slices(self.plan.due, self.policy.slice_size):
            if stop:
                for planned in part:
                    run = planned.state.invocation_id
                    self.summary.add(Outcome.NOT_SENT, run, f"not tried after: {stop}")
            elif self.policy.dry_run:
                self.show(part)
            else:
                stop = self.send(part)
        self.verify()
        return self.summary

    def window(self, part: Sequence[PlannedRerun]) -> dict[str, Any]:
        """What the request asks for: a window over all rows of these runs, up to now."""
        end = self.actor.latest() + AHEAD
        return {
            "window_start": max(min(map(first_row, part)).replace(microsecond=0), end - KEPT),
            "window_end": end,
            "status": ["failed"],
            "max_attempts": _guard(part[0].state.attempts),
        }

    def show(self, part: Sequence[PlannedRerun]) -> None:
        body = rerun_body(
            **self.window(part),
            invocation_ids=[planned.state.invocation_id for planned in part],
            error_kind=None,
            error_message_contains=None,
            max_count=None,
        )
        would_send(self.actor, rerun_endpoint(self.source), self.source, body)
        for planned in part:
            run, repeats = planned.state.invocation_id, planned.repeats
            again = f"; {', '.join(repeats)} would go out again" if repeats else ""
            details = {"error": planned.state.shown_error, "messages": repeats}
            self.summary.add(Outcome.DRY_RUN, run, f"would be run again{again}", details=details)

    def send(self, part: Sequence[PlannedRerun]) -> str:
        """One slice in one request; the reason to stop, if the next would fare no better."""
        actor = self.actor
        runs = [planned.state.invocation_id for planned in part]
        post = f"{actor.owner}/{runs[0]}/{part[0].number}/{actor.latest():%Y%m%dT%H%M%S.%f}"
        claims = actor.ledger.claim_all(
            [
                actor.action(
                    "rerun",
                    self.source,
                    rerun_subject(planned.state.invocation_id, planned.number),
                    **state_summary(planned.state),
                    parent_run_id=planned.state.parent_run_id,
                    scheduled_at=first_row(planned).isoformat(),
                    repeats=list(planned.repeats),
                    post=post,
                    post_size=len(part),
                )
                for planned in part
            ],
            actor.owner,
            alive=actor.alive,
        )
        mine = {run: one.entry for run, one in zip(runs, claims, strict=True) if one.granted}
        for run, one in zip(runs, claims, strict=True):
            if not one.granted:
                why = f"run {one.entry.owner} has it: {one.status}"
                self.summary.add(Outcome.SKIPPED, run, why, action_id=one.entry.id)
        if not mine:
            return ""
        asked = self.window(part)
        try:
            sent = actor.send(
                [*mine.values()],
                lambda client: self.source.service(client).rerun(
                    self.source.id, invocation_ids=[*mine], **asked
                ),
                final=False,
            )
            if sent.outcome is Outcome.CONFIRMED:
                return self.accepted(sent.entries, sent.response.rerun_job_id)
        except LockLost as lost:
            return self.all_are(mine, Outcome.NOT_SENT, str(lost), stop=True)
        except ClaimLost as lost:
            return self.all_are(mine, Outcome.IN_DOUBT, str(lost))
        if sent.outcome is Outcome.IN_DOUBT:
            self.sent |= {run_of(entry): entry for entry in sent.entries}
            actor.log.warning(
                f"{self.source.label}: the rerun of {len(mine)} runs is in doubt: {sent.why}"
            )
        return self.all_are(mine, sent.outcome, sent.why, stop=sent.stop)

    def accepted(self, entries: list[Entry], job: str) -> str:
        """PostHog queued a job. That is no evidence yet that it runs."""
        note = f"in doubt: PostHog queued rerun job {job}; it is not yet seen to run"
        entries = self.actor.ledger.doubt(
            *entries,
            response={"rerun_job_id": job},
            remote_id=job,
            note=note,
            server_given_up_at=self.actor.latest(),
        )
        self.actor.log.info(
            f"{self.source.label}: PostHog queued the rerun of {len(entries)} runs as job {job}"
        )
        self.sent |= {run_of(entry): entry for entry in entries}
        why = f"PostHog accepted it as rerun job {job}; it is not yet seen to run"
        for entry in entries:
            self.summary.add(
                Outcome.IN_DOUBT, run_of(entry), why, action_id=entry.id, remote_id=job
            )
        return ""

    def all_are(
        self, mine: Mapping[str, Entry], outcome: Outcome, why: str, *, stop: bool = False
    ) -> str:
        for run, entry in mine.items():
            self.summary.add(outcome, run, why, action_id=entry.id)
        return why if stop else ""

    # --- after ----------------------------------------------------------------------------------

    def verify(self) -> None:
        """Read the evidence until every run that was sent is accounted for, or time is over."""
        deadline = self.actor.clock.monotonic() + self.policy.verify_seconds
        for pause in growing_pauses(0.5, 30.0):
            if not self.sent or self.policy.verify_seconds <= 0:
                return
            try:
                self.look()
            except errors.PostHogError as error:
                self.summary.notes.append(f"The evidence could not be read: {text_of(error)}")
                return
            if not self.sent or self.actor.clock.monotonic() + pause > deadline:
                return
            self.actor.pause(pause)

    def look(self) -> None:
        evidence = RerunEvidence(self.actor, self.source, [*self.sent.values()])
        found = [(entry, evidence.finding(entry)) for entry in self.sent.values()]
        known = [one for one in found if one[1].outcome is not Outcome.IN_DOUBT]
        lost = record_all(self.actor, known)
        for entry, finding in known:
            run = run_of(entry)
            del self.sent[run]
            if entry.id in lost:
                why = str(lost[entry.id])
                self.summary.add(Outcome.SKIPPED, run, why, action_id=entry.id)
                continue
            outcome = finding.outcome
            if outcome is Outcome.NOT_SENT and entry.remote_id:
                outcome = Outcome.SKIPPED
            self.summary.add(
                outcome, run, finding.note, action_id=entry.id, remote_id=finding.remote_id
            )


def _guard(attempts: int) -> int | None:
    """PostHog skips runs that were attempted so often already. Its upper bound is 255."""
    return attempts + 1 if attempts + 1 <= 255 else None
