"""Windows of invocation results: bounds are whole seconds on the server, runs are not."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.sandbox import Sandbox

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    now = NOON + timedelta(hours=1)
    with Sandbox("current", populate=False, limits=False, now=now) as sandbox:
        yield sandbox


def read(sandbox: Sandbox, workflow: str, after: datetime, before: datetime) -> list[str]:
    with PostHogClient(sandbox.url, sandbox.api_key, sandbox.project_id, limits=False) as client:
        runs = client.workflows.invocation_results(workflow, after=after, before=before)
        return sorted(run.invocation_id for run in runs)


def test_runs_within_the_last_second_of_a_window_are_read(sandbox: Sandbox) -> None:
    workflow = sandbox.world.add_workflow()["id"]
    inside = [
        sandbox.world.add_run(workflow, scheduled_at=NOON + timedelta(milliseconds=ms))
        for ms in (0, 1, 500, 999)
    ]
    sandbox.world.add_run(workflow, scheduled_at=NOON + timedelta(seconds=1))
    sandbox.world.add_run(workflow, scheduled_at=NOON - timedelta(milliseconds=1))
    assert read(sandbox, workflow, NOON, NOON + timedelta(seconds=1)) == sorted(
        run.invocation_id for run in inside
    )


def test_neighbouring_windows_share_no_run_and_lose_none(sandbox: Sandbox) -> None:
    workflow = sandbox.world.add_workflow()["id"]
    dice = random.Random(7)
    made = sorted(
        sandbox.world.add_run(
            workflow, scheduled_at=NOON + timedelta(milliseconds=dice.randrange(20_000))
        ).invocation_id
        for _ in range(1_500)
    )
    halves = [
        read(sandbox, workflow, NOON + timedelta(seconds=a), NOON + timedelta(seconds=b))
        for a, b in ((0, 7), (7, 8), (8, 20))
    ]
    assert sorted(run for half in halves for run in half) == made


def test_a_second_with_more_runs_than_the_api_hands_out_is_an_error(sandbox: Sandbox) -> None:
    workflow = sandbox.world.add_workflow()["id"]
    for _ in range(501):
        sandbox.world.add_run(workflow, scheduled_at=NOON)
    with pytest.raises(errors.WindowTooDense):
        read(sandbox, workflow, NOON - timedelta(minutes=1), NOON + timedelta(minutes=1))
