"""The observing sensor through Dagster's own daemon loop: EnvVars, stored events, a kept cursor."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dagster._core.scheduler.instigation import TickStatus

from hog_dagster.lineage._graph import load_posthog_asset_specs
from hog_dagster.lineage._records import read_snapshot
from hog_dagster.posthog import PostHogClient
from hog_dagster.sandbox import Sandbox
from tests.daemon_kit import daemon

pytestmark = pytest.mark.integration

LOCATION = Path(__file__).parent / "observing_location.py"
SENSOR = "posthog_observer"


@contextmanager
def environment(**values: str) -> Iterator[None]:
    named = {f"OBSERVING_TEST_{name.upper()}": value for name, value in values.items()}
    os.environ.update(named)
    try:
        yield
    finally:
        for name in named:
            del os.environ[name]


def test_a_change_made_in_posthog_is_an_event_of_its_asset_once(tmp_path: Path) -> None:
    path = tmp_path / "posthog.json"
    with Sandbox("docs", populate=False, limits=False) as sandbox:
        made = sandbox.world.add_workflow("Welcome")["id"]
        with PostHogClient(sandbox.url, sandbox.api_key, sandbox.project_id) as client:
            snapshot = read_snapshot(client)
            snapshot.write(path)
            (spec,) = [s for s in load_posthog_asset_specs(snapshot) if "workflow" in s.key.path]
            with (
                environment(
                    snapshot=str(path),
                    host=sandbox.url,
                    key=sandbox.api_key,
                    project=str(sandbox.project_id),
                    ledger=f"sqlite:///{tmp_path}/ledger.sqlite",
                ),
                daemon(tmp_path, {"observing": LOCATION}) as loop,
            ):
                loop.tick_sensors()
                (sensor,) = loop.sensors(SENSOR)
                tick = loop.last_tick(sensor)
                assert tick.status is TickStatus.SKIPPED
                assert (tick.skip_reason or "").startswith("Nothing new in PostHog.")
                sandbox.clock.advance(60)
                client.workflows.update(made, {"name": "Hello"})
                for _ in range(2):
                    loop.tick_sensors()
                records = loop.instance.fetch_observations(spec.key, limit=10).records
                assert len(records) == 1
                event = records[0].asset_observation
                assert event is not None
                assert event.metadata["hog_dagster/changed"].value == "name"
                last = loop.last_tick(sensor)
                assert last.status is TickStatus.SKIPPED
                assert last.cursor is not None
                assert last.cursor != tick.cursor
                assert loop.runs() == []
    assert {request.method for request in sandbox.requests} == {"GET", "PATCH"}
