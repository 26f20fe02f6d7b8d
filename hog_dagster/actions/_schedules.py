"""Makes a schedule of a workflow in PostHog once per key; a repeated POST doubles every send.

Facts: POST schedules responds 201 with the schedule, has no idempotency key, and refuses rules that
run more than once an hour; the list is a bare array of PostHog's own database, seen at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hog_dagster.actions._claims import claim, reconcile_first
from hog_dagster.actions._dry_run import would_send
from hog_dagster.actions._protocol import Actor, Source, growing_pauses
from hog_dagster.actions._row_evidence import (
    RowEvidence,
    digest,
    same_variables,
    variables_summary,
)
from hog_dagster.actions._summary import Outcome, Result
from hog_dagster.ledger import ClaimLost, LockLost
from hog_dagster.posthog import ENDPOINTS
from hog_dagster.posthog.models import WorkflowSchedule


@dataclass(frozen=True, slots=True)
class ScheduleToCreate:
    """A schedule to make.

    Args:
        workflow: the workflow.
        rrule: an RFC 5545 rule without DTSTART, at most once an hour.
        starts_at: first occurrence, aware.
        timezone: IANA zone in which the rule is expanded.
        variables: what each send uses.
        key: the natural key; by default the rule, the start, the zone and the variables themselves.
        dry_run: only say what would be made.
        reconcile_seconds: how long to reconcile a creation in doubt before it is left to the next
            run.
    """

    workflow: Source
    rrule: str
    starts_at: datetime
    timezone: str = "UTC"
    variables: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    dry_run: bool = True
    reconcile_seconds: float = 0.0

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


def create_schedule(actor: Actor, wanted: ScheduleToCreate) -> Result:
    """Make a schedule once per key. Hold the workflow's lock.

    Returns:
        What became of it; `remote_id` is the schedule's id.

    Endpoints: GET schedules, POST schedules.
    """
    deadline = actor.clock.monotonic() + wanted.reconcile_seconds
    for pause in growing_pauses():
        result = _once(actor, wanted)
        left = deadline - actor.clock.monotonic()
        if result.outcome is not Outcome.IN_DOUBT or left <= 0:
            return result
        actor.log.warning(f"The schedule is in doubt, reading evidence: {result.why}")
        actor.pause(max(0.1, min(pause, left)))
    raise AssertionError("pauses never end")


def schedule_evidence(actor: Actor, workflow_id: str) -> RowEvidence:
    """What the workflow's schedules show of creations in doubt."""
    return RowEvidence(
        actor,
        "schedule_create",
        workflow_id,
        "schedule",
        "schedules",
        lambda: actor.client.workflows.schedules(workflow_id),
        _fits,
    )


def _fits(row: Any, request: Mapping[str, Any]) -> bool:
    return (
        isinstance(row, WorkflowSchedule)
        and row.rrule == request.get("rrule")
        and row.timezone == request.get("timezone")
        and same_variables(row.variables or {}, request)
        and request.get("starts_at") in (None, _instant(row.starts_at))
    )


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else str(int(moment.timestamp()))


def _once(actor: Actor, wanted: ScheduleToCreate) -> Result:
    actor.know_the_time()
    evidence = schedule_evidence(actor, wanted.workflow.id)
    request = {
        "rrule": wanted.rrule,
        "timezone": wanted.timezone,
        "starts_at": _instant(wanted.starts_at),
        **variables_summary(wanted.variables),
    }
    action = actor.action("schedule_create", wanted.workflow, wanted.subject, **request)
    known = reconcile_first(actor, action, evidence.finding, dry_run=wanted.dry_run)
    if known is not None:
        return known
    if wanted.dry_run:
        sends = would_send(
            actor, ENDPOINTS["workflows.create_schedule"], wanted.workflow, wanted.body
        )
        return Result(Outcome.DRY_RUN, wanted.subject, f"would {sends}")
    request["known_up_to"] = evidence.remember()
    mine = claim(actor, actor.action("schedule_create", wanted.workflow, wanted.subject, **request))
    if isinstance(mine, Result):
        return mine
    try:
        sent = actor.send(
            [mine],
            lambda client: client.workflows.create_schedule(wanted.workflow.id, wanted.body),
            final=False,
        )
        if sent.outcome is not Outcome.CONFIRMED:
            return Result(sent.outcome, wanted.subject, sent.why, mine.id)
        made = sent.response
        note = f"schedule {made.id} made"
        actor.ledger.confirm(*sent.entries, remote_id=made.id, note=note)
        return Result(Outcome.CONFIRMED, wanted.subject, note, mine.id, made.id)
    except LockLost as lost:
        return Result(Outcome.NOT_SENT, wanted.subject, str(lost), mine.id)
    except ClaimLost as lost:
        return Result(Outcome.IN_DOUBT, wanted.subject, str(lost), mine.id)
