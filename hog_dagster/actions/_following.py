"""Follows a batch job after it was sent, and cancels it when the Dagster run is terminated.

Facts: newer servers move a job's status to completed, failed or cancelled when its fan-out ends
(best effort); older ones leave it at `queued` for ever, so there only the runs that start can be
counted, where the server lists runs; cancelling is asynchronous and is asked again until done.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hog_dagster.actions._protocol import Acting, text_of
from hog_dagster.posthog import errors

__all__ = ["Followed", "cancel_batch", "follow_batch"]

_ENDED = ("completed", "failed", "cancelled")
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_CANCEL_TRIES = 20


@dataclass
class Followed:
    """What was seen of a batch job.

    Attributes:
        status: PostHog's status of the job; None where it is not kept.
        ended: it is known to have ended.
        runs: runs of the workflow since it was sent, by status, where the server lists runs.
        note: what could not be seen, and why.
    """

    status: str | None = None
    ended: bool = False
    runs: Counter[str] = field(default_factory=Counter)
    note: str = ""

    @property
    def failed(self) -> bool:
        """PostHog says the fan-out failed."""
        return self.status == "failed"


def follow_batch(
    acting: Acting,
    workflow_id: str,
    job_id: str,
    *,
    seconds: float,
    cancel_on_termination: bool = False,
) -> Followed:
    """Watch a batch job until it ends or the time is over.

    Args:
        acting: who watches.
        workflow_id: the workflow.
        job_id: PostHog's batch job.
        seconds: how long.
        cancel_on_termination: cancel the job when the run is terminated meanwhile.

    Endpoints: GET batch_jobs, GET invocation_results, POST batch_jobs/{id}/cancel.
    """
    try:
        return _follow(acting, workflow_id, job_id, seconds)
    except errors.PostHogError as error:
        return Followed(note=f"could not be followed: {text_of(error)}")
    except BaseException:
        # Dagster raises an interrupt here when the run is terminated; it is not an Exception.
        if cancel_on_termination:
            acting.log.warning(f"Terminated: cancelling batch job {job_id}")
            acting.log.warning(cancel_batch(acting, workflow_id, job_id))
        raise


def _follow(acting: Acting, workflow_id: str, job_id: str, seconds: float) -> Followed:
    tracked = acting.client.server.has("cancel_batch_job")
    deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
    followed = Followed()
    while True:
        job = next(
            (j for j in acting.client.workflows.batch_jobs(workflow_id) if j.id == job_id), None
        )
        if job is None:
            followed.note = "PostHog lists the job no more"
            return followed
        if not tracked:
            followed.note = (
                "this server does not keep the status of batch jobs, nor list their runs"
            )
            return followed
        followed.status = job.status
        followed.ended = job.status in _ENDED
        if followed.ended or time.monotonic() + pause > deadline:
            if job.created_at is not None:
                followed.runs = _runs_since(acting, workflow_id, job.created_at)
            if not followed.ended:
                followed.note = f"still {job.status} after {seconds:g} s"
            return followed
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _runs_since(acting: Acting, workflow_id: str, since: datetime) -> Counter[str]:
    counts: Counter[str] = Counter()
    end = acting.now() + timedelta(seconds=2)
    if end > since:
        for run in acting.client.workflows.invocation_results(workflow_id, after=since, before=end):
            counts[run.status or "unknown"] += 1
    return counts


def cancel_batch(acting: Acting, workflow_id: str, job_id: str) -> str:
    """Cancel a batch job; says what came of it. What has gone out has gone out."""
    try:
        for _ in range(_CANCEL_TRIES):
            answer = acting.client.workflows.cancel_batch_job(workflow_id, job_id)
            if answer.done:
                return f"Batch job {job_id} is {answer.status}; {answer.marked} runs were stopped."
            time.sleep(0.5)
    except errors.PostHogError as error:
        return f"Batch job {job_id} could not be cancelled: {text_of(error)}"
    return f"Batch job {job_id} is being cancelled; PostHog has not finished yet."
