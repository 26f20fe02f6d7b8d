"""Sends a workflow's batch job once per natural key: pre-flight, one POST, reading back.

Facts: POST batch_jobs mails the whole audience each time it is asked and has no idempotency key; on
older servers it accepts workflows that are not active or not triggered by batch, without sending
anything. The audience beyond the server's limit is cut off silently; `user_blast_radius` counts the
audience of given filters and gives a confirm token that is good for 15 minutes. Job status moves
only on servers that can cancel jobs, not on the first of them, and at best effort; elsewhere it
stays `queued` for ever.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

from hog_dagster.actions._dry_run import endpoints, would_send
from hog_dagster.actions._evidence import Finding, Verdict, batch_finding, digest, settle_by
from hog_dagster.actions._protocol import Acting, Fate, Sent, Step, growing_pauses
from hog_dagster.ledger import Action, ClaimLost, ClaimStatus, Entry, LockLost, State
from hog_dagster.posthog.models import BatchJob, Workflow

__all__ = ["BatchOutcome", "BatchRequest", "BatchResult", "send_batch"]

#: A job PostHog still shows as under way after this long is taken for stuck, not for running.
STUCK_AFTER = timedelta(hours=12)
UNDER_WAY = ("waiting", "queued", "active")
#: The status a job is made with: on servers that do not keep it, all jobs have it for ever.
MADE_WITH = ("waiting", "queued")
#: Where no status ever moved, a job older than this is under way only while runs of it are.
QUEUED_AT_MOST = timedelta(hours=1)


class BatchOutcome(StrEnum):
    """What became of a batch job that was asked for."""

    SENT = "sent"
    SENT_BEFORE = "sent_before"  #: the same natural key was sent before
    SKIPPED = "skipped"  #: not sent, for a reason that is no failure
    REFUSED = "refused"  #: not sent: the pre-flight or PostHog said no
    NOT_SENT = "not_sent"  #: not sent: no connection, no permission, rate limit
    IN_DOUBT = "in_doubt"  #: sent, and nobody knows yet
    DRY_RUN = "dry_run"


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A batch job to send.

    Args:
        workflow_id: the workflow; its trigger must be of type batch.
        key: the natural key: of all requests with one key, one is sent, ever.
        variables: overrides of the workflow's variables.
        max_audience: refuse to send to more people than this; where the server cannot count the
            audience, refuse as well unless `send_uncounted`.
        send_uncounted: send although the server cannot count the audience.
        skip_if_running: skip while an earlier job of the workflow is under way (where that shows).
        again_after: skip if the same workflow and variables were sent, with another key, less than
            this ago: a second click.
        dry_run: say what would be sent.
        settle_seconds: how long to read back a send in doubt before leaving it to the next run.
    """

    workflow_id: str
    key: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    max_audience: int | None = None
    send_uncounted: bool = False
    skip_if_running: bool = True
    again_after: timedelta = timedelta(0)
    dry_run: bool = False
    settle_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of it, why, and PostHog's job."""

    outcome: BatchOutcome
    why: str
    job_id: str | None = None
    audience: int | None = None
    act_id: int | None = None

    @property
    def happened(self) -> bool:
        """The batch was sent, now or before."""
        return self.outcome in (BatchOutcome.SENT, BatchOutcome.SENT_BEFORE)


def send_batch(acting: Acting, request: BatchRequest) -> BatchResult:
    """Send a batch job once per key. Hold the workflow's lock.

    Endpoints: GET hog_flows/{id}, GET batch_jobs, POST user_blast_radius, POST batch_jobs.

    Raises:
        PostHogError: PostHog could not be read; nothing was sent by this call.
    """
    return _Batch(acting, request).run()


class _Batch:
    def __init__(self, acting: Acting, request: BatchRequest) -> None:
        self.acting = acting
        self.request = request
        self.act = acting.act(
            "batch_send",
            request.workflow_id,
            request.key,
            variables=digest(request.variables),
            variable_names=sorted(request.variables),
        )

    def run(self) -> BatchResult:
        deadline = time.monotonic() + self.request.settle_seconds
        for pause in growing_pauses():
            result = self.once()
            left = deadline - time.monotonic()
            if result.outcome is not BatchOutcome.IN_DOUBT or left <= 0:
                return result
            self.acting.log.warning(f"The batch job is in doubt, reading back: {result.why}")
            self.acting.pause(max(0.1, min(pause, left)))
        raise AssertionError("pauses never end")

    def once(self) -> BatchResult:
        self.acting.look()
        entry = self.acting.ledger.get(self.act)
        if entry is not None and entry.state is State.CONFIRMED:
            return self.before(entry)
        if entry is not None and entry.state is State.REFUSED:
            return BatchResult(BatchOutcome.REFUSED, entry.note, act_id=entry.id)
        if entry is not None and entry.open:
            settled = self.settle(entry)
            if settled is not None:
                return settled
        refusal, audience, token = self.preflight()
        if refusal is not None:
            return refusal
        if self.request.dry_run:
            body: dict[str, Any] = {"variables": dict(self.request.variables)}
            if token is not None:
                body["confirm_token"] = "(the token of this moment)"
            sends = would_send(
                self.acting, endpoints.CREATE_BATCH_JOB, self.request.workflow_id, body
            )
            why = (
                f"would {sends} to "
                f"{'an uncounted audience' if audience is None else f'{audience} people'}, once "
                f"for key {self.request.key}"
            )
            return BatchResult(BatchOutcome.DRY_RUN, why, audience=audience)
        return self.send(audience, token)

    def before(self, entry: Entry) -> BatchResult:
        why = f"sent before, by run {entry.owner}: {entry.note}"
        return BatchResult(BatchOutcome.SENT_BEFORE, why, entry.remote_id, act_id=entry.id)

    # --- reading back ---------------------------------------------------------------------------

    def settle(self, entry: Entry) -> BatchResult | None:
        """Read an act in doubt back; None when it was shown not to have happened."""
        jobs = self.acting.client.workflows.batch_jobs(self.request.workflow_id)
        finding = batch_finding(self.acting, entry, jobs, self.taken(entry))
        if self.request.dry_run:
            return BatchResult(BatchOutcome.DRY_RUN, f"in doubt; now: {finding.note}")
        claim = self.acting.ledger.claim(self.act, self.acting.owner, alive=self.acting.alive)
        if claim.granted:
            return None
        if claim.status is ClaimStatus.BUSY:
            why = f"run {claim.entry.owner} is sending it"
            return BatchResult(BatchOutcome.SKIPPED, why, act_id=entry.id)
        if claim.status is ClaimStatus.CONFIRMED:
            return self.before(claim.entry)
        try:
            settle_by(self.acting, claim.entry, finding)
        except ClaimLost as lost:
            return BatchResult(BatchOutcome.IN_DOUBT, str(lost), act_id=entry.id)
        return self.told(entry, finding)

    def told(self, entry: Entry, finding: Finding) -> BatchResult | None:
        if finding.verdict is Verdict.HAPPENED:
            return BatchResult(
                BatchOutcome.SENT, f"read back: {finding.note}", finding.remote_id, act_id=entry.id
            )
        if finding.verdict is Verdict.UNDECIDED:
            why = f"{finding.note}. {finding.remedy}".strip()
            return BatchResult(BatchOutcome.IN_DOUBT, why, act_id=entry.id)
        self.acting.log.warning(f"Sending again, for the batch job was not made: {finding.note}")
        return None

    def taken(self, entry: Entry | None) -> set[str]:
        """Batch jobs that belong to other acts of the ledger."""
        return {
            other.remote_id
            for other in self.others()
            if other.remote_id and (entry is None or other.id != entry.id)
        }

    def others(self) -> list[Entry]:
        return list(
            self.acting.ledger.entries(
                project_id=self.acting.project_id,
                kind="batch_send",
                target_id=self.request.workflow_id,
            )
        )

    # --- pre-flight -----------------------------------------------------------------------------

    def preflight(self) -> tuple[BatchResult | None, int | None, str | None]:
        """Why not to send, if anything; how many people; the token that confirms the number."""
        client, request = self.acting.client, self.request
        workflow = client.workflows.get(request.workflow_id)
        if why := _unfit(workflow):
            return BatchResult(BatchOutcome.REFUSED, why), None, None
        if click := self.second_click():
            return click, None, None
        self.jobs = client.workflows.batch_jobs(request.workflow_id)
        if request.skip_if_running and (running := self.running()):
            why = f"batch job {running.id} of this workflow is still {running.status}"
            return BatchResult(BatchOutcome.SKIPPED, why), None, None
        if not client.server.has("blast_radius"):
            if request.max_audience is not None and not request.send_uncounted:
                why = (
                    "this server cannot count the audience (user_blast_radius), so max_audience="
                    f"{request.max_audience} cannot be checked; set send_uncounted to send anyway"
                )
                return BatchResult(BatchOutcome.REFUSED, why), None, None
            return None, None, None
        radius = client.workflows.blast_radius(workflow.trigger.get("filters") or {})
        for limit, whose in ((request.max_audience, "max_audience"), (radius.limit, "PostHog's")):
            if limit is not None and radius.affected > limit:
                why = f"the audience is {radius.affected} people, over the limit {limit} ({whose})"
                return BatchResult(BatchOutcome.REFUSED, why, audience=radius.affected), None, None
        return None, radius.affected, radius.confirm_token

    def second_click(self) -> BatchResult | None:
        """The same workflow and variables were just sent with another key."""
        if self.request.again_after <= timedelta(0):
            return None
        now = self.acting.now()
        for other in self.others():
            sent = other.server_sent_at or other.sent_at
            if (
                other.subject != self.request.key
                and other.state in (State.SENT, State.IN_DOUBT, State.CONFIRMED)
                and other.request.get("variables") == self.act.request["variables"]
                and sent is not None
                and now - sent < self.request.again_after
            ):
                why = (
                    f"the same was sent at {sent:%Y-%m-%d %H:%M:%S} UTC by run {other.owner} "
                    f"(act {other.id}, {other.state}); give a key of its own to send it again"
                )
                return BatchResult(BatchOutcome.SKIPPED, why, other.remote_id, act_id=other.id)
        return None

    def running(self) -> BatchJob | None:
        """An earlier job under way: by its status where the server keeps that, else by its runs."""
        if not self.acting.client.server.has("cancel_batch_job"):
            return None
        now = self.acting.now()
        kept = any(job.status not in MADE_WITH for job in self.jobs)
        for job in self.jobs:
            if job.status not in UNDER_WAY or job.created_at is None:
                continue
            age = now - job.created_at
            if age < QUEUED_AT_MOST or (age < STUCK_AFTER and (kept or self.runs_since(job))):
                return job
        return None

    def runs_since(self, job: BatchJob) -> int:
        """Runs of the workflow under way that were scheduled since the job was made."""
        return self.acting.client.workflows.invocation_results_count(
            self.request.workflow_id,
            after=job.created_at or self.acting.now(),
            before=self.acting.now() + timedelta(seconds=1),
            status="running",
        )

    # --- sending --------------------------------------------------------------------------------

    def send(self, audience: int | None, token: str | None) -> BatchResult:
        acting, request = self.acting, self.request
        newest = max((job.created_at for job in self.jobs if job.created_at), default=None)
        act = replace(
            self.act,
            request={
                **self.act.request,
                "audience": audience,
                "newest_before": newest.isoformat() if newest else None,
            },
        )
        acting.step(Step.BEFORE_CLAIM, request.workflow_id, request.key)
        claim = acting.ledger.claim(act, acting.owner, alive=acting.alive)
        if not claim.granted:
            return self.not_mine(claim.status, claim.entry)
        try:
            sent = acting.send(
                [claim.entry],
                lambda: acting.client.workflows.create_batch_job(
                    request.workflow_id,
                    variables=dict(request.variables),
                    confirm_token=token,
                ),
                refusal_is_final=False,
            )
            return self.result(sent, audience)
        except LockLost as lost:
            return BatchResult(BatchOutcome.NOT_SENT, str(lost))
        except ClaimLost as lost:
            return BatchResult(BatchOutcome.IN_DOUBT, str(lost))

    def not_mine(self, verdict: ClaimStatus, entry: Entry) -> BatchResult:
        if verdict is ClaimStatus.CONFIRMED:
            return self.before(entry)
        if verdict is ClaimStatus.IN_DOUBT:
            return BatchResult(BatchOutcome.IN_DOUBT, entry.note, act_id=entry.id)
        why = f"run {entry.owner} has it: {verdict}"
        return BatchResult(BatchOutcome.SKIPPED, why, act_id=entry.id)

    def result(self, sent: Sent, audience: int | None) -> BatchResult:
        act: Action | Entry = sent.entries[0]
        act_id = sent.entries[0].id
        if sent.fate is Fate.ANSWERED:
            job: BatchJob = sent.answer
            note = f"batch job {job.id} is {job.status}"
            self.acting.ledger.confirm(
                sent.entries[0],
                response={"id": job.id, "status": job.status},
                remote_id=job.id,
                note=note,
            )
            self.acting.log.info(f"Sent workflow {act.target_id}: {note}")
            return BatchResult(BatchOutcome.SENT, note, job.id, audience, act_id)
        outcome = {
            Fate.REFUSED: BatchOutcome.REFUSED,
            Fate.IN_DOUBT: BatchOutcome.IN_DOUBT,
        }.get(sent.fate, BatchOutcome.NOT_SENT)
        return BatchResult(outcome, sent.why, audience=audience, act_id=act_id)


def _unfit(workflow: Workflow) -> str:
    """Why a workflow cannot be sent as a batch; empty when it can."""
    if workflow.status != "active":
        return f"workflow {workflow.id} ({workflow.name}) is {workflow.status}: enable it first"
    kind = workflow.trigger.get("type")
    if kind != "batch":
        return (
            f"workflow {workflow.id} ({workflow.name}) is triggered by {kind}, not by batch: "
            "a batch job would send nothing"
        )
    return ""
