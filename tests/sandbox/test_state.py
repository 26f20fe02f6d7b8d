"""The world in a file: whole, and only ever as one generation."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.bodies import workflow
from tests.sandbox.conftest import Start

NOW = datetime(2026, 8, 20, 12, 0, tzinfo=UTC)


def test_everything_comes_back(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "world.json"
    first, http = start(generation="current", populate=True, now=NOW, state_path=path)
    made = http.post("/hog_flows/", json=workflow()).json()["id"]
    run = first.world.add_run(made, "failed", NOW - timedelta(days=1)).invocation_id
    window = {"window_start": "2026-08-19T00:00:00Z", "window_end": "2026-08-21T00:00:00Z"}
    http.post(f"/hog_flows/{made}/rerun/", json={"filter": window})
    paths = [
        "/hog_flows/?limit=500",
        *(f"/hog_flows/{key}/logs/?limit=500" for key in first.world.workflows),
        *(f"/hog_flows/{key}/metrics/?after=-90d" for key in first.world.workflows),
        *(f"/hog_flows/{key}/batch_jobs/" for key in first.world.workflows),
    ]
    first.clock.freeze(NOW)
    before = [http.get(path).json() for path in paths]
    first.stop()
    second, http = start(generation="current", now=NOW, state_path=path)
    second.clock.freeze(NOW)
    assert [http.get(path).json() for path in paths] == before
    second.clock.advance(60)
    assert [replay.instance_id for replay in second.world.replays] == [run]
    assert second.world.add_workflow()["id"] not in first.world.workflows


def test_rows_messages_and_what_waits_come_back(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "world.json"
    options = {"generation": "current", "populate": True, "now": NOW, "state_path": path}
    first, http = start(**options)
    first.clock.freeze(NOW)
    first.world.row_loss = 0.25
    workflow = next(iter(first.world.workflows))
    waiting = next(run for run in first.world.runs.values() if run.waited is not None)
    first.world.fail_rerun_page("late", effect=True)

    def seen(sandbox: Sandbox) -> list[object]:
        world = sandbox.world
        rows = sorted((row.invocation_id, row.version) for _, row in world.run_rows.dump())
        assets = sorted(row.key for _, row in world.assets.dump())
        return [rows, assets, world.executions, world.messages, world.row_loss, world.merge]

    before = seen(first)
    window = {"window_start": "2026-07-25T00:00:00Z", "window_end": "2026-08-20T00:00:00Z"}
    job = http.post(f"/hog_flows/{workflow}/rerun/", json={"filter": window}).json()
    first.stop()
    second, http = start(**options)
    second.clock.freeze(NOW)
    after = seen(second)
    assert after[1:] == before[1:]
    second.clock.advance(15 * 86400)
    assert second.world.messages != before[3]
    assert second.world.runs[waiting.invocation_id].status == "succeeded"
    second.world.log_lag = 0.0
    logs = http.get(f"/hog_flows/{workflow}/logs/?instance_id={job['rerun_job_id']}").json()
    assert logs["results"][0]["message"].startswith("Re-run finished. queued=")


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "world.json"
    path.write_text('{"version": 1, "generation": "docs"}')
    with pytest.raises(ValueError, match="another version of the sandbox"):
        Sandbox("docs", state_path=path)


def test_a_request_that_changes_something_is_written_before_the_end(
    start: Start, tmp_path: Path
) -> None:
    path = tmp_path / "world.json"
    sandbox, http = start(state_path=path)
    http.post("/hog_flows/", json=workflow())
    sandbox.site.changes += 1
    sandbox._save()
    assert "Onboarding" in path.read_text()


def test_a_file_that_is_no_state_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "world.json"
    path.write_text('{"not": "a state"}')
    with pytest.raises(ValueError, match=r"world\.json is not a state"):
        Sandbox("docs", state_path=path)


def test_a_state_of_the_other_generation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "world.json"
    with Sandbox("docs", populate=False, state_path=path):
        pass
    with pytest.raises(ValueError, match="generation 'docs', not 'current'"):
        Sandbox("current", populate=False, state_path=path)
