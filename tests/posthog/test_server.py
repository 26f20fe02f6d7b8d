"""What is known of a server: generation, capabilities, project, key; and what the doctor says."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from scripted_server import Asked, Reply, scripted

from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog.doctor import FEATURES, Row, diagnose, grants
from hog_dagster.posthog.server import CAPABILITIES
from hog_dagster.sandbox import Sandbox

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
Place = tuple[Sandbox, PostHogClient]
Start = Callable[..., Place]


@pytest.fixture
def start(tmp_path: Any) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(generation: Any = "docs", **settings: Any) -> Place:
            sandbox = stack.enter_context(Sandbox(generation, populate=False, **settings))
            client = PostHogClient(
                sandbox.url, sandbox.api_key, sandbox.project_id, pacing_dir=tmp_path
            )
            return sandbox, stack.enter_context(client)

        yield begin


# -- the probe -----------------------------------------------------------------------------------


def test_a_newer_server_is_known_by_one_request(start: Start) -> None:
    _, client = start("current")
    assert client.requests_made == 0
    assert client.server.generation == "current"
    assert client.server.has("invocation_results")
    assert client.server.has("rerun")
    assert client.server.has("batch_jobs")
    assert not client.server.has("blocked_runs")
    assert "rerun" in client.server.why_not("blocked_runs")
    assert client.server.why_not("rerun") == ""
    assert client.requests_made == 1


def test_a_docs_era_server_is_known_by_two(start: Start) -> None:
    _, client = start("docs")
    assert client.server.generation == "docs"
    assert client.server.has("blocked_runs")
    assert client.server.has("schedules")
    assert not client.server.has("rerun")
    assert "older" in client.server.why_not("rerun")
    assert client.requests_made == 2


def test_a_docs_era_server_that_refuses_keys_has_only_what_they_may_do(start: Start) -> None:
    _, client = start("docs", keys_refused_on_custom_actions=True)
    assert client.server.generation == "docs"
    assert client.server.capabilities == {"logs", "metrics", "hogql_query"}
    assert "403" in client.server.why_not("blocked_runs")
    assert "403" in client.server.why_not("batch_jobs")


def test_a_key_without_the_scope_still_shows_what_the_server_has(start: Start) -> None:
    _, client = start("current", keys={"phx_poor": ["feature_flag:read"]})
    assert client.server.generation == "current"


@pytest.mark.parametrize(
    ("batch_jobs", "has"),
    [
        ({"detail": "Not found."}, True),
        ({"detail": "Endpoint not found."}, False),
        ({"detail": "Workflow 00000000-0000-0000-0000-000000000000 not found"}, True),
    ],
)
def test_a_server_with_neither_is_unknown_and_works_all_the_same(
    batch_jobs: dict[str, str], has: bool
) -> None:
    def answer(asked: Asked) -> Reply:
        body = batch_jobs if "batch_jobs" in asked.path else {"detail": "Endpoint not found."}
        return Reply(404, body)

    with (
        scripted(answer) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
    ):
        assert client.server.generation == "unknown"
        assert client.server.has("batch_jobs") is has
        assert client.server.has("logs")
        assert not client.server.has("blocked_runs")
        assert client.requests_made == 3


def test_a_switched_off_flag_is_told_apart_from_no_blocked_runs() -> None:
    def answer(asked: Asked) -> Reply:
        if "blocked_runs" in asked.path:
            return Reply(200, {"results": []})
        return Reply(404, {"detail": "Endpoint not found."})

    with (
        scripted(answer) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
    ):
        assert client.server.generation == "docs"
        assert not client.server.has("blocked_runs")
        assert "workflows-replay-blocked-runs" in client.server.why_not("blocked_runs")


def test_a_failed_probe_is_raised_and_tried_again(start: Start) -> None:
    sandbox, client = start("current")
    sandbox.fail(path="*", status=401, body={"detail": "no"}, times=1)
    with pytest.raises(errors.AuthenticationError):
        _ = client.server.generation
    assert client.server.generation == "current"


def test_many_threads_probe_once(start: Start) -> None:
    _, client = start("current")
    threads = [threading.Thread(target=lambda: client.server.capabilities) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.requests_made == 1


def test_a_capability_that_does_not_exist_is_refused(start: Start) -> None:
    _, client = start("current")
    with pytest.raises(ValueError, match="no capability 'flying'"):
        client.server.has("flying")
    assert client.server.capabilities <= CAPABILITIES


# -- project, key, quota -------------------------------------------------------------------------


def test_the_project_tells_its_time_zone_and_hides_its_tokens(start: Start) -> None:
    _, client = start("docs", timezone="Asia/Kolkata")
    project = client.server.project()
    assert (project.id, project.timezone) == (1, "Asia/Kolkata")
    body = {"id": 1, "timezone": "UTC", "api_token": "phc_hidden", "live_events_token": "eyJhidden"}
    with (
        scripted(Reply(200, body)) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as scripted_client,
    ):
        project = scripted_client.server.project()
        assert project.api_token == "phc_hidden"
        assert "hidden" not in repr(project)


def test_the_key_tells_its_scopes(start: Start) -> None:
    _, client = start("docs", keys={"phx_reader": ["hog_flow:read", "person:read"]})
    assert client.server.key().scopes == ["hog_flow:read", "person:read"]


def test_the_use_of_the_rate_limit_is_told(start: Start) -> None:
    _, client = start("docs")
    client.server.key()
    usage = {(line.bucket, line.seconds): line.used for line in client.server.usage()}
    assert usage[("default", 60)] == usage[("default", 3_600)] == 1
    assert usage[("insights", 60)] == 0


@pytest.mark.parametrize(
    ("scopes", "wanted", "granted"),
    [
        (["*"], "hog_flow:write", True),
        (["hog_flow:read"], "hog_flow:read", True),
        (["hog_flow:write"], "hog_flow:read", True),
        (["hog_flow:read"], "hog_flow:write", False),
        (["hog_function:write"], "hog_flow:read", False),
        ([], "hog_flow:read", False),
    ],
)
def test_write_includes_read_and_a_star_everything(
    scopes: list[str], wanted: str, granted: bool
) -> None:
    assert grants(scopes, wanted) is granted


# -- the doctor ----------------------------------------------------------------------------------


def table(client: PostHogClient, *features: str) -> dict[str, Row]:
    return {row.check: row for row in diagnose(client, features=features)}


def test_all_is_well_with_a_key_for_everything(start: Start) -> None:
    _, client = start("current", timezone="America/New_York")
    rows = table(client, "workflow_runs", "rerun", "send_batch_job")
    configured = ("workflow_runs", "rerun", "send_batch_job")
    assert all(rows[f"feature {name}"].status == "ok" for name in configured)
    assert rows["server"].value == "generation current"
    assert "America/New_York" in rows["project"].value
    assert rows["clock"].status == "ok"
    assert [row.check for row in rows.values() if row.status == "fail"] == []
    assert {f"feature {feature.name}" for feature in FEATURES} <= set(rows)
    assert client.requests_made <= 7


def test_what_is_configured_and_cannot_work_fails_and_the_rest_is_off(start: Start) -> None:
    _, client = start("docs", keys={"phx_reader": ["hog_flow:read"]})
    rows = table(client, "workflow_runs", "replay")
    assert rows["feature workflow_runs"].status == "fail"
    assert "not on this server" in rows["feature workflow_runs"].value
    assert rows["feature replay"].status == "fail"
    assert "hog_flow:write" in rows["feature replay"].value
    assert "Personal API keys" in rows["feature replay"].advice
    assert rows["feature insights"].status == "off"
    assert rows["feature workflow_logs"].status == "ok"
    assert rows["project"].status == "warn"


def test_a_wrong_key_ends_the_table_with_the_remedy(start: Start) -> None:
    sandbox, _ = start("docs")
    with PostHogClient(sandbox.url, "phx_wrong", 1, limits=False) as client:
        rows = list(diagnose(client))
    assert [row.check for row in rows] == ["host", "key"]
    assert rows[-1].status == "fail"
    assert "POSTHOG_API_KEY" in rows[-1].advice
    assert "phx_wrong" not in repr(rows)


def test_a_host_that_is_no_posthog_is_named(start: Start) -> None:
    with (
        scripted(Reply(200, b"<html><title>Welcome</title></html>")) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
    ):
        rows = list(diagnose(client))
    assert rows[-1].status == "fail"
    assert "POSTHOG_HOST" in rows[-1].advice


def test_a_key_for_other_projects_fails() -> None:
    body = {"scopes": ["*"], "scoped_teams": [7, 8]}
    with (
        scripted(Reply(200, body)) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
    ):
        rows = list(diagnose(client))
    assert rows[-1].status == "fail"
    assert "projects 7, 8 only" in rows[-1].value


def test_a_project_that_is_not_there_fails(start: Start) -> None:
    sandbox, _ = start("docs")
    with PostHogClient(sandbox.url, sandbox.api_key, 99, limits=False) as client:
        rows = table(client)
    assert rows["project"].status == "fail"
    assert "POSTHOG_PROJECT_ID" in rows["project"].advice


@pytest.mark.parametrize(("minutes", "status"), [(1, "warn"), (-20, "fail")])
def test_clocks_that_differ_are_noticed(start: Start, minutes: int, status: str) -> None:
    _, client = start("docs", now=datetime.now(UTC) + timedelta(minutes=minutes))
    row = table(client)["clock"]
    assert row.status == status
    assert ("ahead" if minutes > 0 else "behind") in row.value


def test_pacing_that_is_off_is_said(start: Start) -> None:
    sandbox, _ = start("docs")
    with PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False) as client:
        assert table(client)["quota"].value == "pacing is off"


def test_a_feature_nobody_knows_is_refused(start: Start) -> None:
    _, client = start("docs")
    with pytest.raises(ValueError, match="no such feature: flying"):
        list(diagnose(client, features=["flying"]))
