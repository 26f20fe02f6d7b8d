"""What is known of a server: generation, capabilities, project, key; and what the doctor says."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from scripted_server import Asked, Reply, scripted

from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog._services.doctor import FEATURES, Row, diagnose, grants
from hog_dagster.posthog._services.server import CAPABILITIES
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
                sandbox.url, sandbox.api_key, sandbox.project_id, rate_limit=tmp_path
            )
            return sandbox, stack.enter_context(client)

        yield begin


# -- capabilities --------------------------------------------------------------------------------


NOT_HERE = {"type": "invalid_request", "code": "not_found", "attr": None}
NO_ENDPOINT = NOT_HERE | {"detail": "Endpoint not found."}
NO_OBJECT = NOT_HERE | {"detail": "Not found."}
CLOSED = {
    "type": "authentication_error",
    "code": "permission_denied",
    "detail": "This action does not support personal API key access",
    "attr": None,
}
NEWER = {"invocation_results", "invocation_results_count", "invocation_result", "rerun", "run"}
NEWER |= {"global_metrics", "cancel_batch_job", "cancel_invocations", "revisions", "sent_messages"}
NEWER |= {"function_rerun", "function_revisions"}
NEWER |= {"messages_of_person", "suppressions", "opt_outs", "bulk_add_opt_outs", "reputation"}
NEWER |= {"email_suspension", "hogql_preferences", "hogql_categories", "activity_log"}
ALWAYS = {"batch_jobs", "schedules", "blast_radius", "test_invocation", "logs", "metrics"}


def answering(answer: Callable[[Asked], Reply], **settings: Any) -> Any:
    stack = ExitStack()
    server = stack.enter_context(scripted(answer))
    client = PostHogClient(server.url, "phx_k", 1, limits=False, max_wait=0, **settings)
    stack.enter_context(client)
    return stack, client


def test_a_newer_server_has_what_its_endpoints_answer(start: Start) -> None:
    _, client = start("current")
    assert client.requests_made == 0
    assert {name for name in NEWER | ALWAYS if not client.server.has(name)} == set()
    assert client.requests_made == len(NEWER | ALWAYS)
    assert not client.server.has("blocked_runs")
    assert "rerun" in client.server.why_not("blocked_runs")
    assert client.server.why_not("rerun") == ""
    assert client.requests_made == len(NEWER | ALWAYS) + 1
    assert client.server.generation == "current"


def test_a_docs_era_server_lacks_the_newer_endpoints(start: Start) -> None:
    _, client = start("docs")
    assert {name for name in NEWER if client.server.has(name)} == set()
    assert {name for name in ALWAYS if not client.server.has(name)} == set()
    assert client.server.has("blocked_runs")
    assert "replay_blocked_run" in client.server.why_not("rerun")
    assert client.server.generation == "docs"


def test_nothing_is_done_by_asking(start: Start) -> None:
    for generation in ("docs", "current"):
        sandbox, client = start(generation)
        for name in CAPABILITIES:
            client.server.has(name)
        assert client.requests_made <= len(CAPABILITIES) + 1
        assert not sandbox.world.happened
        methods = {(record.method, record.path.rsplit("/", 2)[1]) for record in sandbox.requests}
        assert {path for method, path in methods if method != "GET"} <= {"query"}


def test_a_server_that_refuses_keys_has_only_what_they_may_do(start: Start) -> None:
    _, client = start("docs", keys_refused_on_custom_actions=True)
    for name in ("blocked_runs", "batch_jobs", "schedules"):
        assert not client.server.has(name)
        assert "403" in client.server.why_not(name)
    assert client.server.has("logs")


def test_a_key_without_the_scope_still_shows_what_the_server_has(start: Start) -> None:
    _, client = start("current", keys={"phx_poor": ["feature_flag:read"]})
    assert client.server.has("invocation_results")
    assert not client.server.has("hogql_runs")
    assert "query:read" in client.server.why_not("hogql_runs")


@pytest.mark.parametrize("missing", ["invocation_results_count", "metrics/global", "rerun"])
def test_one_endpoint_that_is_missing_is_that_one_capability(missing: str) -> None:
    names = {
        "invocation_results_count": "invocation_results_count",
        "metrics/global": "global_metrics",
        "rerun": "rerun",
    }

    def answer(asked: Asked) -> Reply:
        return Reply(404, NO_ENDPOINT if f"/{missing}/" in asked.path else NO_OBJECT)

    stack, client = answering(answer)
    with stack:
        for place, name in names.items():
            assert client.server.has(name) is (place != missing)
        assert names[missing] in client.server.why_not(names[missing])


@pytest.mark.parametrize(
    ("status", "body", "has"),
    [
        (403, CLOSED, True),
        (404, NO_OBJECT, True),
        (404, NO_ENDPOINT, False),
        (405, None, True),
        (405, NOT_HERE | {"code": "method_not_allowed", "detail": "No GET."}, True),
    ],
)
def test_an_endpoint_that_only_takes_post_is_asked_for_by_get(
    status: int, body: Any, has: bool
) -> None:
    stack, client = answering(lambda asked: Reply(status, body))
    with stack:
        assert client.server.has("rerun") is has


def test_a_path_that_reads_as_an_id_where_it_is_missing_is_not_there() -> None:
    stack, client = answering(lambda asked: Reply(404, NO_OBJECT))
    with stack:
        assert not client.server.has("blast_radius")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(502, b"<html><title>Bad gateway</title>", {"Content-Type": "text/html"}),
        Reply(404, b"<html><title>Nothing</title>", {"Content-Type": "text/html"}),
        Reply(404, {"detail": "Endpoint not found."}),
        Reply(403, {"message": "Forbidden"}),
        Reply(401, {"detail": "no"}),
        Reply(404, NOT_HERE | {"detail": "Project not found."}),
        Reply(200, b"<html>"),
    ],
)
def test_an_answer_that_does_not_tell_is_raised_and_not_remembered(reply: Reply) -> None:
    replies = [reply, Reply(404, NO_OBJECT)]

    def answer(asked: Asked) -> Reply:
        return replies.pop(0) if len(replies) > 1 else replies[0]

    stack, client = answering(answer)
    with stack:
        with pytest.raises(errors.PostHogError):
            client.server.has("invocation_results")
        assert client.server.has("invocation_results")


def test_a_call_that_finds_no_endpoint_is_learnt_from_and_one_that_does_too() -> None:
    replies = [Reply(404, NO_ENDPOINT), Reply(200, []), Reply(200, [])]
    stack, client = answering(lambda asked: replies.pop(0))
    with stack:
        with pytest.raises(errors.EndpointMissing):
            client.workflows.batch_jobs("w1")
        assert not client.server.has("batch_jobs")
        client.workflows.batch_jobs("w1")
        assert client.server.has("batch_jobs")
        assert client.requests_made == 2


def test_a_page_of_a_proxy_teaches_nothing() -> None:
    replies = [Reply(404, b"<html>", {"Content-Type": "text/html"}), Reply(404, NO_OBJECT)]
    stack, client = answering(lambda asked: replies.pop(0))
    with stack:
        with pytest.raises(errors.NotFound):
            client.workflows.batch_jobs(str(UUID(int=1)))
        assert client.server.has("batch_jobs")
        assert client.requests_made == 2


def test_a_switched_off_flag_is_told_apart_from_no_blocked_runs() -> None:
    def answer(asked: Asked) -> Reply:
        if "blocked_runs" in asked.path:
            return Reply(200, {"results": []})
        return Reply(404, NO_ENDPOINT)

    stack, client = answering(answer)
    with stack:
        assert client.server.generation == "docs"
        assert not client.server.has("blocked_runs")
        assert "workflows-replay-blocked-runs" in client.server.why_not("blocked_runs")
        assert list(client.workflows.blocked_runs("w1")) == []
        assert not client.server.has("blocked_runs")


def test_the_table_of_runs_is_found_under_either_name() -> None:
    unknown = {"type": "validation_error", "code": "invalid_input", "attr": None}

    def answer(asked: Asked) -> Reply:
        if b"posthog.hog_invocation_results" in asked.body:
            return Reply(200, {"results": [], "columns": ["1"]})
        return Reply(400, unknown | {"detail": "Unknown table `hog_invocation_results`."})

    stack, client = answering(answer)
    with stack:
        assert client.server.has("hogql_runs")
    stack, client = answering(lambda asked: Reply(400, unknown | {"detail": "Unknown table `x`."}))
    with stack:
        assert not client.server.has("hogql_runs")


@pytest.mark.parametrize(
    ("there", "hint"),
    [
        ({"revisions", "invocation_results"}, "current"),
        ({"invocation_results"}, "mid2026"),
        ({"blocked_runs"}, "docs"),
        (set(), "unknown"),
    ],
)
def test_the_generation_is_a_hint_from_what_is_there(there: set[str], hint: str) -> None:
    def answer(asked: Asked) -> Reply:
        place = asked.path.partition("?")[0].rstrip("/").rpartition("/")[2]
        return Reply(404, NO_OBJECT if place in there else NO_ENDPOINT)

    stack, client = answering(answer)
    with stack:
        assert client.server.generation == hint


def test_many_threads_ask_once(start: Start) -> None:
    _, client = start("current")
    threads = [threading.Thread(target=lambda: client.server.has("rerun")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.requests_made == 1


def test_a_capability_that_does_not_exist_is_refused(start: Start) -> None:
    _, client = start("current")
    with pytest.raises(ValueError, match="no capability 'flying'"):
        client.server.has("flying")
    assert client.server.capabilities == frozenset()
    assert client.requests_made == 0
    client.server.has("rerun")
    assert client.server.capabilities == {"rerun"}


def test_the_clock_can_be_read_before_anything_else(start: Start) -> None:
    _, client = start("current")
    assert not client.server.clock.known
    assert client.server.read_clock().known
    client.server.read_clock()
    assert client.requests_made == 1


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
    assert "current" in rows["server"].value
    assert "rerun" in rows["capabilities"].value
    assert "blocked_runs" not in rows["capabilities"].value
    assert "America/New_York" in rows["project"].value
    assert rows["clock"].status == "ok"
    assert [row.check for row in rows.values() if row.status == "fail"] == []
    assert {f"feature {feature.name}" for feature in FEATURES} <= set(rows)
    assert client.requests_made <= 14


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


def test_limiting_that_is_off_is_said(start: Start) -> None:
    sandbox, _ = start("docs")
    with PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False) as client:
        assert table(client)["quota"].value == "limiting is off"


def test_a_feature_nobody_knows_is_refused(start: Start) -> None:
    _, client = start("docs")
    with pytest.raises(ValueError, match="no such feature: flying"):
        list(diagnose(client, features=["flying"]))


def test_a_probe_by_hogql_is_not_answered_from_posthogs_cache() -> None:
    with Sandbox("current", populate=False, limits=False) as sandbox:
        with PostHogClient(sandbox.url, sandbox.api_key, sandbox.project_id) as client:
            assert client.server.has("hogql_runs")
        sandbox.site.missing.add("hogql_runs")
        with PostHogClient(sandbox.url, sandbox.api_key, sandbox.project_id) as client:
            assert not client.server.has("hogql_runs")
