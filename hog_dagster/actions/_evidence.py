"""Reads acts in doubt back from PostHog, one way for each kind of act; sends nothing.

Facts: a replay writes a log row "[Replay] Queued" under the original run's id and so takes the run
off the blocked list, seconds to minutes late; a rerun shows as a higher `attempts`, `is_retry`, a
later start or another status of the run in invocation results, and works asynchronously, so its 200
proves nothing yet; a batch job and a schedule are rows of PostHog's own database, seen at once.
An absence is believed only after a grace time on PostHog's own clock.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from hog_dagster.actions._protocol import Acting
from hog_dagster.ledger import Entry
from hog_dagster.posthog import errors
from hog_dagster.posthog.models import BatchJob, InvocationResult, WorkflowSchedule

__all__ = [
    "MARKER",
    "RERUN_PATIENCE",
    "Finding",
    "Verdict",
    "batch_finding",
    "digest",
    "listed_blocked",
    "read_markers",
    "replay_finding",
    "rerun_finding",
    "schedule_finding",
    "settle_by",
]

#: How PostHog's log row about a queued replay begins.
MARKER = "[Replay] Queued"
#: Clocks and whole-second headers differ by less than this.
TOLERANCE = timedelta(seconds=10)
#: A rerun that PostHog accepted may stay in its queue this many grace times.
RERUN_PATIENCE = 4


class Verdict(StrEnum):
    """What PostHog shows of an act in doubt."""

    HAPPENED = "happened"
    NOT_HAPPENED = "not_happened"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, in words too; what an operator can do when PostHog cannot tell."""

    verdict: Verdict
    note: str
    remote_id: str | None = None
    remedy: str = ""


def digest(value: Any) -> str:
    """A fingerprint of variables, so that the ledger need not hold their values."""
    text = json.dumps(value or {}, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def settle_by(acting: Acting, entry: Entry, finding: Finding) -> Entry | None:
    """Record a finding in the ledger.

    Returns:
        The act, granted to this run, when it was shown not to have happened; else None.

    Raises:
        ClaimLost: another run settled it in the meantime.
    """
    if finding.verdict is Verdict.HAPPENED:
        acting.ledger.confirm(entry, remote_id=finding.remote_id, note=f"read back: {finding.note}")
    elif finding.verdict is Verdict.NOT_HAPPENED:
        return acting.ledger.reopen(entry, acting.owner, note=f"read back: {finding.note}")
    else:
        note = f"in doubt: {finding.note}. {finding.remedy}".strip()
        if entry.note != note:
            acting.ledger.doubt(entry, note=note)
    return None


def _waits(acting: Acting, entry: Entry, what: str, times: int = 1) -> Finding:
    sent = entry.server_sent_at or entry.sent_at or acting.now()
    until = sent + acting.grace * times
    return Finding(
        Verdict.UNDECIDED,
        f"{what}; PostHog may be late until {until:%Y-%m-%d %H:%M:%S} UTC of its clock",
        remedy="The next run looks again after that.",
    )


def _settle_command(entry: Entry) -> str:
    return (
        f'`hog-dagster ledger resolve {entry.id} --as confirmed|not-sent --reason "..."` after '
        "looking into PostHog."
    )


# --- replays ------------------------------------------------------------------------------------


def read_markers(acting: Acting, workflow_id: str, since: datetime) -> set[str]:
    """Runs of the workflow that have a replay marker in the logs since then; one request for up to
    500 of them.
    """
    rows = acting.client.workflows.logs(
        workflow_id,
        after=since - TOLERANCE - timedelta(minutes=5),
        before=acting.now() + timedelta(minutes=10),
        search=MARKER,
    )
    return {row.instance_id for row in rows if row.message.startswith(MARKER)}


def replay_finding(
    acting: Acting, entry: Entry, *, markers: set[str], listed: set[str] | None
) -> Finding:
    """What became of a replay in doubt.

    Args:
        markers: runs with a replay marker.
        listed: runs on the blocked list, read before the markers; None when the server has no list.
    """
    if entry.subject in markers:
        return Finding(Verdict.HAPPENED, "the run's logs hold a replay marker")
    if listed is None:
        return Finding(
            Verdict.UNDECIDED,
            "this server lists no blocked runs any more and the run's logs hold no replay marker",
            remedy=_settle_command(entry),
        )
    if entry.subject not in listed:
        return Finding(
            Verdict.UNDECIDED,
            "the run is not on the blocked list, yet its logs hold no replay marker",
            remedy=_settle_command(entry),
        )
    if not acting.grace_over(entry):
        return _waits(acting, entry, "still on the blocked list, no replay marker")
    return Finding(
        Verdict.NOT_HAPPENED, "still on the blocked list and without a marker after the grace time"
    )


# --- reruns -------------------------------------------------------------------------------------


def rerun_finding(acting: Acting, entry: Entry, run: InvocationResult | None) -> Finding:
    """What became of a rerun in doubt, or accepted and not yet seen to run.

    Args:
        run: the run as PostHog shows it now; None when it shows none.
    """
    if run is None:
        return Finding(
            Verdict.UNDECIDED,
            "PostHog shows the run no more (runs are kept 30 days)",
            remedy=_settle_command(entry),
        )
    before = entry.request
    sent = entry.server_sent_at
    signs = [
        (run.attempts or 0) > int(before.get("attempts") or 0) and f"attempts is {run.attempts}",
        bool(run.is_retry) and not before.get("is_retry") and "it is marked as a retry",
        run.status != before.get("status", "failed") and f"its status is {run.status}",
        sent is not None
        and run.started_at is not None
        and run.started_at > sent + TOLERANCE
        and f"it started again at {run.started_at:%H:%M:%S}",
    ]
    shown = [sign for sign in signs if sign]
    if shown:
        return Finding(Verdict.HAPPENED, ", ".join(shown))
    if entry.remote_id is None:
        if not acting.grace_over(entry):
            return _waits(acting, entry, "the run is as it was")
        return Finding(Verdict.NOT_HAPPENED, "the run is as it was after the grace time")
    if not acting.grace_over(entry, RERUN_PATIENCE):
        return _waits(acting, entry, f"rerun job {entry.remote_id} is queued", RERUN_PATIENCE)
    return Finding(
        Verdict.NOT_HAPPENED,
        f"rerun job {entry.remote_id} was accepted and never ran this run "
        f"within {RERUN_PATIENCE} grace times",
    )


# --- batch jobs and schedules -------------------------------------------------------------------


def batch_finding(
    acting: Acting, entry: Entry, jobs: Iterable[BatchJob], taken: set[str]
) -> Finding:
    """What became of a batch job in doubt.

    Args:
        jobs: the workflow's batch jobs.
        taken: ids of jobs that belong to other acts of the ledger.
    """
    fits = [
        job
        for job in _made_since(acting, entry, jobs, taken)
        if digest(job.variables) == entry.request.get("variables")
    ]
    return _row_finding(acting, entry, fits, "batch job")


def schedule_finding(
    acting: Acting, entry: Entry, schedules: Iterable[WorkflowSchedule], taken: set[str]
) -> Finding:
    """What became of the creation of a schedule in doubt.

    Args:
        schedules: the workflow's schedules.
        taken: ids of schedules that belong to other acts of the ledger.
    """
    fits = [
        schedule
        for schedule in _made_since(acting, entry, schedules, taken)
        if digest(schedule.variables) == entry.request.get("variables")
        and schedule.rrule == entry.request.get("rrule")
        and schedule.timezone == entry.request.get("timezone")
    ]
    return _row_finding(acting, entry, fits, "schedule")


def _made_since(acting: Acting, entry: Entry, rows: Iterable[Any], taken: set[str]) -> list[Any]:
    """Rows that this act can have made: new since it was sent, and nobody else's."""
    sent = entry.server_sent_at or entry.sent_at
    newest_known = entry.request.get("newest_before")
    after = datetime.fromisoformat(newest_known) if newest_known else None
    made = []
    for row in rows:
        if row.id in taken or row.created_at is None:
            continue
        if after is not None and row.created_at <= after:
            continue
        if sent is not None and row.created_at < sent - TOLERANCE:
            continue
        made.append(row)
    return made


def _row_finding(acting: Acting, entry: Entry, fits: Sequence[Any], what: str) -> Finding:
    if len(fits) == 1:
        row = fits[0]
        return Finding(
            Verdict.HAPPENED,
            f"{what} {row.id} was made at {row.created_at:%Y-%m-%d %H:%M:%S} UTC"
            + (f" and is {row.status}" if row.status else ""),
            row.id,
        )
    if fits:
        return Finding(
            Verdict.UNDECIDED,
            f"{len(fits)} {what}s could be this one: {', '.join(row.id for row in fits)}",
            remedy=f"See which are yours, then {_settle_command(entry)}",
        )
    if not acting.grace_over(entry):
        return _waits(acting, entry, f"no such {what} yet")
    return Finding(Verdict.NOT_HAPPENED, f"no such {what} was made within the grace time")


# --- many at once -------------------------------------------------------------------------------


def listed_blocked(acting: Acting, workflow_id: str) -> Mapping[str, Any] | None:
    """The workflow's blocked runs by instance id; None when this server lists none."""
    try:
        return {run.instance_id: run for run in acting.client.workflows.blocked_runs(workflow_id)}
    except (errors.EndpointMissing, errors.NotOpenToKeys):
        return None
