"""A batch job that is followed is cancelled by a termination, and by nothing else."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from hog_dagster.actions import follow_batch
from hog_dagster.actions._following import cancel_batch
from hog_dagster.posthog._services.workflows import Workflows
from tests.actions.kit import Place
from tests.actions.test_rows_of_batch_jobs import a_batch


class Terminated(BaseException):
    """As Dagster interrupts a run that is terminated."""


@pytest.mark.parametrize(
    ("stopped", "cancels"),
    [
        (Terminated(), 1),
        (KeyboardInterrupt(), 1),
        (TimeoutError("the read timed out"), 0),
        (RuntimeError("a fault of our own"), 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_a_termination_cancels_the_batch_job_that_is_followed(
    stopped: BaseException, cancels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place()
    source = a_batch(place)
    job = place.world.add_batch_job(source.id, created_at=place.clock.true - timedelta(minutes=1))

    def batch_jobs(*_: Any) -> Any:
        raise stopped

    monkeypatch.setattr(Workflows, "batch_jobs", batch_jobs)
    with pytest.raises(type(stopped)):
        follow_batch(place.actor(), source.id, job.id, seconds=60, cancel_on_termination=True)
    assert min(place.posts("*/cancel/"), 1) == cancels


@pytest.mark.parametrize(
    ("status", "ended", "failed"),
    [("completed", True, False), ("failed", True, True), ("cancelled", True, False)],
)
def test_a_batch_job_is_followed_until_it_ends(status: str, ended: bool, failed: bool) -> None:
    place = Place()
    source = a_batch(place)
    job = place.world.add_batch_job(source.id, created_at=place.clock.true - timedelta(minutes=1))
    place.world.add_run(source.id, "succeeded", place.clock.true, distinct_id="ada")
    job.status = status
    followed = follow_batch(place.actor(), source.id, job.id, seconds=60)
    assert (followed.status, followed.ended, followed.failed) == (status, ended, failed)
    assert followed.runs == {"succeeded": 1}
    assert followed.note == ""


def test_a_batch_job_that_goes_on_is_followed_for_the_time_given() -> None:
    place = Place()
    source = a_batch(place)
    job = place.world.add_batch_job(source.id, created_at=place.clock.true - timedelta(minutes=1))
    job.status = "active"
    began = place.clock.true
    followed = follow_batch(place.actor(), source.id, job.id, seconds=60)
    assert not followed.ended
    assert followed.note == "still active after 60 s"
    assert timedelta(seconds=20) < place.clock.true - began <= timedelta(seconds=70)


def test_what_cannot_be_followed_is_said() -> None:
    place = Place()
    source = a_batch(place)
    gone = follow_batch(place.actor(), source.id, "0196aaaa-0000-0000-0000-000000000000", seconds=9)
    assert gone.note == "PostHog lists the job no more"
    assert gone.status is None
    place.sandbox.fail("GET", "*batch_jobs*", times=9, status=403)
    refused = follow_batch(place.actor(), source.id, "0196", seconds=9)
    assert refused.note.startswith("could not be followed: ")
    older = Place("docs")
    source = a_batch(older)
    job = older.world.add_batch_job(source.id, created_at=older.clock.true)
    assert (
        "does not keep the status" in follow_batch(older.actor(), source.id, job.id, seconds=9).note
    )


def test_cancelling_is_asked_again_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place()
    source = a_batch(place)
    job = place.world.add_batch_job(source.id, created_at=place.clock.true, status="active")
    assert "is cancelled; 0 runs were stopped" in cancel_batch(place.actor(), source.id, job.id)
    place.sandbox.fail("POST", "*/cancel/", times=9, status=403)
    said = cancel_batch(place.actor(), source.id, job.id)
    assert said.startswith(f"Batch job {job.id} could not be cancelled: ")
    goes_on = SimpleNamespace(done=False, status="active", marked=1)
    monkeypatch.setattr(Workflows, "cancel_batch_job", lambda *_: goes_on)
    assert "PostHog has not finished yet" in cancel_batch(place.actor(), source.id, job.id)
