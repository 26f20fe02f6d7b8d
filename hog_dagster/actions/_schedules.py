"""Makes a schedule of a workflow in PostHog once per natural key; a repeated POST doubles sends.

Facts: POST schedules answers 201 with the schedule, has no idempotency key, and refuses rules that
run more than once an hour; the list is a bare array of PostHog's own database, seen at once.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from hog_dagster.actions._batch import BatchOutcome, BatchResult
from hog_dagster.actions._dry_run import endpoints, would_send
from hog_dagster.actions._evidence import Verdict, digest, schedule_finding, settle_by
from hog_dagster.actions._protocol import Acting, Fate, Step, growing_pauses
from hog_dagster.ledger import ClaimLost, ClaimStatus, Entry, LockLost, State

__all__ = ["ScheduleRequest", "create_schedule_once"]


@dataclass(frozen=True, slots=True)
class ScheduleRequest:
    """A schedule to make.

    Args:
        workflow_id: the workflow.
        rrule: an RFC 5545 rule without DTSTART, at most once an hour.
        starts_at: first occurrence, aware.
        timezone: IANA zone in which the rule is expanded.
        variables: what each send uses.
        key: the natural key; by default the rule, the start, the zone and the variables themselves.
        dry_run: say what would be made.
        settle_seconds: how long to read back a creation in doubt before leaving it to the next run.
    """

    workflow_id: str
    rrule: str
    starts_at: datetime
    timezone: str = "UTC"
    variables: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    dry_run: bool = False
    settle_seconds: float = 0.0

    @property
    def subject(self) -> str:
        """The natural key."""
        return self.key or digest(
            [self.rrule, self.starts_at.isoformat(), self.timezone, dict(self.variables)]
        )

    @property
    def body(self) -> dict[str, Any]:
        """What is sent."""
        return {
            "rrule": self.rrule,
            "starts_at": self.starts_at.isoformat(),
            "timezone": self.timezone,
            "variables": dict(self.variables),
        }


def create_schedule_once(acting: Acting, request: ScheduleRequest) -> BatchResult:
    """Make a schedule once per key. Hold the workflow's lock.

    Returns:
        What became of it; `job_id` is the schedule's id.

    Endpoints: GET schedules, POST schedules.
    """
    act = acting.act(
        "schedule_create",
        request.workflow_id,
        request.subject,
        rrule=request.rrule,
        timezone=request.timezone,
        variables=digest(request.variables),
    )
    deadline = time.monotonic() + request.settle_seconds
    for pause in growing_pauses():
        result = _once(acting, request, act)
        left = deadline - time.monotonic()
        if result.outcome is not BatchOutcome.IN_DOUBT or left <= 0:
            return result
        acting.pause(max(0.1, min(pause, left)))
    raise AssertionError("pauses never end")


def _once(acting: Acting, request: ScheduleRequest, act: Any) -> BatchResult:
    acting.look()
    entry = acting.ledger.get(act)
    if entry is not None and entry.state is State.CONFIRMED:
        return BatchResult(
            BatchOutcome.SENT_BEFORE, f"made before: {entry.note}", entry.remote_id, act_id=entry.id
        )
    schedules = acting.client.workflows.schedules(request.workflow_id)
    if entry is not None and entry.open:
        settled = _settle(acting, request, act, entry, schedules)
        if settled is not None:
            return settled
    if request.dry_run:
        sends = would_send(acting, endpoints.CREATE_SCHEDULE, request.workflow_id, request.body)
        return BatchResult(BatchOutcome.DRY_RUN, f"would {sends}")
    newest = max((s.created_at for s in schedules if s.created_at), default=None)
    act = replace(
        act,
        request={**act.request, "newest_before": newest.isoformat() if newest else None},
    )
    acting.step(Step.BEFORE_CLAIM, request.workflow_id, request.subject)
    claim = acting.ledger.claim(act, acting.owner, alive=acting.alive)
    if not claim.granted:
        outcome = (
            BatchOutcome.IN_DOUBT if claim.status is ClaimStatus.IN_DOUBT else BatchOutcome.SKIPPED
        )
        why = f"run {claim.entry.owner} has it: {claim.status}"
        return BatchResult(outcome, why, act_id=claim.entry.id)
    try:
        sent = acting.send(
            [claim.entry],
            lambda: acting.client.workflows.create_schedule(request.workflow_id, request.body),
            refusal_is_final=False,
        )
        if sent.fate is Fate.ANSWERED:
            note = f"schedule {sent.answer.id} made"
            acting.ledger.confirm(*sent.entries, remote_id=sent.answer.id, note=note)
            return BatchResult(BatchOutcome.SENT, note, sent.answer.id, act_id=claim.entry.id)
    except LockLost as lost:
        return BatchResult(BatchOutcome.NOT_SENT, str(lost))
    except ClaimLost as lost:
        return BatchResult(BatchOutcome.IN_DOUBT, str(lost))
    outcome = {
        Fate.REFUSED: BatchOutcome.REFUSED,
        Fate.IN_DOUBT: BatchOutcome.IN_DOUBT,
    }.get(sent.fate, BatchOutcome.NOT_SENT)
    return BatchResult(outcome, sent.why, act_id=claim.entry.id)


def _settle(
    acting: Acting, request: ScheduleRequest, act: Any, entry: Entry, schedules: Any
) -> BatchResult | None:
    taken = {
        other.remote_id
        for other in acting.ledger.entries(
            project_id=acting.project_id,
            kind="schedule_create",
            target_id=request.workflow_id,
        )
        if other.remote_id and other.id != entry.id
    }
    finding = schedule_finding(acting, entry, schedules, taken)
    if request.dry_run:
        return BatchResult(BatchOutcome.DRY_RUN, f"in doubt; now: {finding.note}")
    claim = acting.ledger.claim(act, acting.owner, alive=acting.alive)
    if claim.granted:
        return None
    if claim.status is ClaimStatus.BUSY:
        return BatchResult(
            BatchOutcome.SKIPPED, f"run {claim.entry.owner} is sending it", act_id=entry.id
        )
    try:
        settle_by(acting, claim.entry, finding)
    except ClaimLost as lost:
        return BatchResult(BatchOutcome.IN_DOUBT, str(lost), act_id=entry.id)
    if finding.verdict is Verdict.HAPPENED:
        return BatchResult(
            BatchOutcome.SENT, f"read back: {finding.note}", finding.remote_id, act_id=entry.id
        )
    if finding.verdict is Verdict.UNDECIDED:
        why = f"{finding.note}. {finding.remedy}".strip()
        return BatchResult(BatchOutcome.IN_DOUBT, why, act_id=entry.id)
    return None
