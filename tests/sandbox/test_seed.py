"""The populated project is the same for one seed, and worth looking at."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from tests.sandbox.conftest import Http, Start

NOW = datetime(2026, 5, 14, 15, 30, tzinfo=UTC)


def named(http: Http) -> dict[str | None, dict]:
    return {row["name"]: row for row in http.get("/hog_flows/").json()["results"]}


def test_one_seed_makes_one_project(start: Start) -> None:
    def content(**options: object) -> list[object]:
        sandbox, http = start(populate=True, now=NOW, **options)
        sandbox.clock.freeze(NOW)
        rows = http.get("/hog_flows/").json()["results"]
        paths = [f"/hog_flows/{row['id']}/metrics/?after=-30d&interval=hour" for row in rows]
        paths += [f"/hog_flows/{row['id']}/logs/?limit=500" for row in rows]
        return [rows, *(http.get(path).json() for path in paths)]

    first, again, other = content(seed=5), content(seed=5), content(seed=6)
    assert first == again
    assert first != other


def test_the_project_has_workflows_of_every_kind(start: Start) -> None:
    _, http = start(populate=True, now=NOW)
    kinds = {row["trigger"].get("type"): row["status"] for row in named(http).values()}
    assert {"event", "batch", "schedule", "webhook", None} <= set(kinds)
    states = Counter(row["status"] for row in named(http).values())
    assert states == {"active": 5, "draft": 2, "archived": 1}


def test_logs_of_the_last_two_weeks_have_ties_people_and_errors(start: Start) -> None:
    sandbox, _ = start(populate=True, now=NOW)
    rows = [
        row
        for key in sandbox.world.workflows
        for row in sandbox.world.logs.select(key, now=NOW, after=NOW - timedelta(days=14))
    ]
    assert 2000 < len(rows) < 8000
    assert {row.level for row in rows} == {"DEBUG", "INFO", "WARN", "ERROR"}
    assert any("[Person:" in row.message for row in rows)
    assert max(Counter(row.at for row in rows).values()) >= 15


def test_metrics_reach_back_ninety_days_with_quiet_weekends(start: Start) -> None:
    _, http = start(populate=True, now=NOW)
    workflow = named(http)["Welcome new users"]["id"]
    body = http.get(
        f"/hog_flows/{workflow}/metrics/", params={"after": "-80d", "name": "triggered"}
    ).json()
    values = body["series"][0]["values"][:-1]
    assert all(values)
    days = [datetime.fromisoformat(label) for label in body["labels"]][:-1]
    weekend = [value for day, value in zip(days, values, strict=True) if day.weekday() > 4]
    working = [value for day, value in zip(days, values, strict=True) if day.weekday() <= 4]
    assert sum(weekend) / len(weekend) < sum(working) / len(working) * 0.7


@pytest.mark.parametrize("now", [NOW, datetime(2027, 1, 3, 2, 0, tzinfo=UTC)])
def test_fourteen_runs_are_blocked_of_which_twelve_can_be_replayed(
    start: Start, now: datetime
) -> None:
    _, http = start(populate=True, now=now)
    workflow = named(http)["Trial ending"]["id"]
    path = f"/hog_flows/{workflow}/blocked_runs/"
    rows = http.get(path).json()["results"]
    assert len(rows) == 14
    assert sum(row["event_uuid"] is None for row in rows) == 1
    done = http.post(f"/hog_flows/{workflow}/replay_all_blocked_runs/").json()
    assert done == {"succeeded": 12, "failed": 0, "skipped": 2}


def test_newer_projects_have_runs_some_of_them_failed(start: Start) -> None:
    _, http = start(populate=True, now=NOW, generation="current")
    total = Counter[str]()
    for row in named(http).values():
        runs = http.get(f"/hog_flows/{row['id']}/invocation_results/?limit=500&after=-29d").json()
        total.update(run["status"] for run in runs)
    assert total["failed"] > 10
    assert total["succeeded"] > 300


def test_newer_projects_hold_every_kind_of_run(start: Start) -> None:
    for generation in ("current", "mid2026"):
        sandbox, http = start(populate=True, now=NOW, generation=generation)
        sandbox.clock.freeze(NOW)
        failed = {run.workflow_id for run in sandbox.world.runs.values() if run.status == "failed"}
        assert len(failed) >= 4
        mailed = {
            message.invocation_id
            for message in sandbox.world.messages
            if message.kind == "email"
            and sandbox.world.runs[message.invocation_id].status == "failed"
        }
        assert len(mailed) >= 5
        reruns = [one for one in sandbox.world.executions if one.cause == "rerun"]
        assert len({one.at.date() for one in reruns}) >= 5
        again = Counter(sandbox.world.runs[one.invocation_id].status for one in reruns)
        assert min(again["succeeded"], again["failed"]) >= 1
        assert sum(run.status == "running" for run in sandbox.world.runs.values()) == 10
        welcome = named(http)["Welcome new users"]["id"]
        lines = http.get(f"/hog_flows/{welcome}/logs/", params={"search": "Email sent to"}).json()
        assert lines["count"] == 50
        if generation == "current":
            sent = http.get(f"/hog_flows/{welcome}/assets/?limit=500").json()
            assert len(sent) == 500


def test_the_newsletter_has_a_history_of_batch_jobs(start: Start) -> None:
    for generation, status in (("docs", "queued"), ("current", "completed")):
        sandbox, http = start(populate=True, now=NOW, generation=generation)
        workflow = named(http)["Monthly newsletter"]["id"]
        jobs = http.get(f"/hog_flows/{workflow}/batch_jobs/").json()
        assert [job["status"] for job in jobs] == [status] * 3
        assert sandbox.world.batch_sends == []
        audience = http.post(f"/hog_flows/{workflow}/batch_jobs/", json={})
        assert audience.status_code == 200
        assert 50 < len(sandbox.world.batch_sends[0].audience) < 240
