"""A batch job that is followed is cancelled by a termination, and by nothing else."""

from datetime import timedelta
from typing import Any

import pytest

from hog_dagster.actions import follow_batch
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
