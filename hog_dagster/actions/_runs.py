"""Reads named runs of a workflow back from PostHog, in few requests.

Facts: runs are listed by the time they were scheduled, 500 to an answer, in whole seconds, for 30
days; one cannot ask for many by id.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hog_dagster.actions._protocol import Acting
from hog_dagster.posthog.models import InvocationResult

__all__ = ["KEPT", "FailedRunToRerun", "read_runs"]

#: PostHog keeps runs for 30 days and refuses a wider window.
KEPT = timedelta(days=30)
#: Runs scheduled within this many seconds of each other are read with one request.
NEAR = timedelta(seconds=60)
#: Runs in one answer.
PAGE = 500


@dataclass(frozen=True, slots=True)
class FailedRunToRerun:
    """A failed run, as the sensor or an operator names it; without a time it is looked for."""

    instance_id: str
    scheduled_at: datetime | None = None


def read_runs(
    acting: Acting, workflow_id: str, runs: Iterable[FailedRunToRerun]
) -> dict[str, InvocationResult]:
    """These runs as PostHog shows them now, by id; what it shows no more is absent.

    Runs close in time are read together, and all in one go where PostHog counts few enough runs
    between the first and the last; runs without a time are looked for among the failed ones of the
    last 30 days.
    """
    runs = list(runs)
    wanted = {run.instance_id for run in runs}
    found: dict[str, InvocationResult] = {}
    for start, end in _cheapest(acting, workflow_id, [r.scheduled_at for r in runs]):
        for row in acting.client.workflows.invocation_results(workflow_id, after=start, before=end):
            if row.invocation_id in wanted:
                found[row.invocation_id] = row
    if any(run.scheduled_at is None for run in runs):
        now = acting.now()
        for row in acting.client.workflows.invocation_results(
            workflow_id, after=now - KEPT, before=now + timedelta(minutes=1), status="failed"
        ):
            if row.invocation_id in wanted:
                found.setdefault(row.invocation_id, row)
    return found


def _cheapest(
    acting: Acting, workflow_id: str, times: Iterable[datetime | None]
) -> list[tuple[datetime, datetime]]:
    """One window over all the times, or one for each few near ones: what takes fewer requests."""
    windows = list(_windows([moment for moment in times if moment]))
    if len(windows) <= 3:
        return windows
    start, end = windows[0][0], windows[-1][1]
    between = acting.client.workflows.invocation_results_count(workflow_id, after=start, before=end)
    pages = between / PAGE * 2 + 1  # full windows are halved until each is read
    return [(start, end)] if pages < len(windows) else windows


def _windows(times: list[datetime]) -> Iterator[tuple[datetime, datetime]]:
    """Half-open windows in whole seconds around the times, near ones joined."""
    start = end = None
    for moment in sorted(times):
        second = moment.astimezone(UTC).replace(microsecond=0)
        if start is None or end is None:
            start, end = second, second
        elif second - end > NEAR:
            yield start, end + timedelta(seconds=1)
            start, end = second, second
        else:
            end = second
    if start is not None and end is not None:
        yield start, end + timedelta(seconds=1)
