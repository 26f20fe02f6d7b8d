"""Follows a batch job after it was sent, and cancels it when the Dagster run is terminated.

Facts: newer servers move a job's status to completed, failed or cancelled when its fan-out ends
(best effort); older ones leave it at `queued` for ever, so there only the runs that start can be
counted, where the server lists runs; cancelling is asynchronous and is asked again until done.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hog_dagster.actions._protocol import Actor, growing_pauses, text_of
from hog_dagster.posthog import errors

_ENDED = ("completed", "failed", "cancelled")
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
    actor: Actor,
    workflow_id: str,
    job_id: str,
    *,
    seconds: float,
    cancel_on_termination: bool = False,
) -> Followed:
    """Watch a batch job until it ends or the time is over.

    Args:
        actor: who watches.
        workflow_id: the workflow.
        job_id: PostHog's batch job.
        seconds: how long.
        cancel_on_termination: cancel the job when the run is terminated meanwhile.

    Endpoints: GET batch_jobs, GET invocation_results, POST batch_jobs/{id}/cancel.
    """
    try:
        return _follow(actor, workflow_id, job_id, seconds)
    except errors.PostHogError as error:
        return Followed(note=f"could not be followed: {text_of(error)}")
    except BaseException as stopped:
        # Dagster raises an interrupt here when the run is terminated; it is not an Exception.
        if cancel_on_termination and not isinstance(stopped, Exception):
            actor.log.warning(f"Terminated: cancelling batch job {job_id}")
            actor.log.warning(cancel_batch(actor, workflow_id, job_id))
        raise


def _follow(actor: Actor, workflow_id: str, job_id: str, seconds: float) -> Followed:
    tracked = actor.client.server.has("cancel_batch_job")
    deadline = actor.clock.monotonic() + seconds
    followed = Followed()
    for pause in growing_pauses(1.0, 30.0):
        job = next(
            (j for j in actor.client.workflows.batch_jobs(workflow_id) if j.id == job_id), None
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
        if followed.ended or actor.clock.monotonic() + pause > deadline:
            if job.created_at is not None:
                followed.runs = _runs_since(actor, workflow_id, job.created_at)
            if not followed.ended:
                followed.note = f"still {job.status} after {seconds:g} s"
            return followed
        actor.clock.sleep(pause)
    raise AssertionError("pauses never end")


def _runs_since(actor: Actor, workflow_id: str, since: datetime) -> Counter[str]:
    counts: Counter[str] = Counter()
    if not actor.client.server.has("invocation_results"):
        return counts
    end = actor.latest() + timedelta(seconds=2)
    if end > since:
        for run in actor.client.workflows.invocation_results(workflow_id, after=since, before=end):
            counts[run.status or "unknown"] += 1
    return counts


def cancel_batch(actor: Actor, workflow_id: str, job_id: str) -> str:
    """Cancel a batch job; says what came of it. What has gone out has gone out."""
    try:
        for _ in range(_CANCEL_TRIES):
            response = actor.client.workflows.cancel_batch_job(workflow_id, job_id)
            if response.done:
                return (
                    f"Batch job {job_id} is {response.status}; {response.marked} runs were stopped."
                )
            actor.clock.sleep(0.5)
    except errors.PostHogError as error:
        return f"Batch job {job_id} could not be cancelled: {text_of(error)}"
    return f"Batch job {job_id} is being cancelled; PostHog has not finished yet."
