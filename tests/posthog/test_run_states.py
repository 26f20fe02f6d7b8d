"""Runs as they are now: by HogQL over all their rows, by the detail, by messages that left."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from scripted_server import Asked, Reply, ScriptedServer, scripted

from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog._services.run_states import IDS_PER_QUERY, RunState
from hog_dagster.sandbox import Sandbox

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
EMPTY = Reply(200, {"results": [], "columns": ["run", "job", "instance_id", "message"]})
Place = tuple[Sandbox, PostHogClient]


@pytest.fixture
def place(tmp_path: Any) -> Iterator[Place]:
    with (
        Sandbox("current", populate=False, now=NOON) as sandbox,
        PostHogClient(
            sandbox.url, sandbox.api_key, sandbox.project_id, rate_limit=tmp_path
        ) as client,
    ):
        yield sandbox, client


@contextmanager
def talking(*replies: Any) -> Iterator[tuple[PostHogClient, ScriptedServer]]:
    with (
        scripted(*replies) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False, max_wait=0) as client,
    ):
        yield client, server


def sql_of(asked: Asked) -> str:
    return json.loads(asked.body)["query"]["query"]


# -- run states by HogQL ---------------------------------------------------------------------------


def test_the_state_of_every_run_is_read(place: Place) -> None:
    sandbox, client = place
    workflow = sandbox.world.add_workflow()["id"]
    other = sandbox.world.add_workflow()["id"]
    sandbox.world.add_run(other, "failed", NOON - HOUR)
    failed = sandbox.world.add_run(workflow, "failed", NOON - HOUR)
    done = sandbox.world.add_run(workflow, "succeeded", NOON - 2 * HOUR)
    states = {state.invocation_id: state for state in client.workflows.run_states(workflow)}
    assert set(states) == {failed.invocation_id, done.invocation_id}
    state = states[failed.invocation_id]
    assert isinstance(state, RunState)
    assert state.status == "failed"
    assert state.first_scheduled_at == state.first_row_at == NOON - HOUR
    assert state.failed_row_at == NOON - HOUR
    assert state.error_kind == failed.error_kind
    assert state.finished_at is not None
    assert states[done.invocation_id].failed_row_at is None
    assert states[done.invocation_id].error_message == ""


def test_runs_are_chosen_by_first_time_status_error_and_id(place: Place) -> None:
    sandbox, client = place
    workflow = sandbox.world.add_workflow()["id"]
    runs = [
        sandbox.world.add_run(
            workflow,
            "failed" if n % 2 else "succeeded",
            NOON - timedelta(minutes=n),
            **({"error_kind": f"kind{n % 4}", "error_message": f"It's {n}%_ Odd"} if n % 2 else {}),
        )
        for n in range(1, 9)
    ]
    ids = [run.invocation_id for run in runs]

    def found(**chosen: Any) -> set[int]:
        states = client.workflows.run_states(workflow, **chosen)
        return {ids.index(state.invocation_id) + 1 for state in states}

    assert found() == set(range(1, 9))
    assert found(since=NOON - timedelta(minutes=3)) == {1, 2, 3}
    assert found(until=NOON - timedelta(minutes=3)) == {4, 5, 6, 7, 8}
    assert found(status="failed") == {1, 3, 5, 7}
    assert found(error_kinds=["kind1"]) == {1, 5}
    assert found(message_contains="IT'S 3%_") == {3}
    assert found(ids=ids[:2] + ids[:1]) == {1, 2}
    assert found(ids=[]) == set()
    with pytest.raises(TypeError):
        found(ids=ids[0])


def test_the_window_bounds_the_first_time_and_no_row_is_left_out_above() -> None:
    with talking(EMPTY) as (client, server):
        assert list(client.workflows.run_states("w1", since=NOON - HOUR, until=NOON)) == []
    (asked,) = server.asked
    inner, _, outer = sql_of(asked).partition("GROUP BY")
    assert "scheduled_at <" not in inner
    assert "2026-11-19T11:00:00" in inner  # Rows may lie a little before their time.
    assert "first_due_at >=" in outer
    assert "first_due_at <" in outer


def test_status_is_chosen_after_the_collapse() -> None:
    with talking(EMPTY) as (client, server):
        list(client.workflows.run_states("w1", status="failed"))
    text = sql_of(server.asked[0])
    assert "now_status = 'failed'" in text.partition("GROUP BY")[2]
    assert "argMax(status, version)" in text


def test_many_ids_are_asked_for_in_parts() -> None:
    ids = [f"{n:036d}" for n in range(2 * IDS_PER_QUERY + 1)]
    with talking(EMPTY) as (client, server):
        list(client.workflows.run_states("w1", ids=ids))
    assert len(server.asked) == 3
    texts = " ".join(sql_of(asked) for asked in server.asked)
    assert all(ident in texts for ident in ids)


def unknown(detail: str) -> Reply:
    body = {"type": "validation_error", "code": "invalid_input", "detail": detail, "attr": None}
    return Reply(400, body)


def test_a_server_without_todatetime64_and_with_the_other_name_is_asked_as_it_understands() -> None:
    def answer(asked: Asked) -> Reply:
        text = sql_of(asked)
        if "toDateTime64" in text:
            return unknown("Unsupported function call 'toDateTime64(...)'. Perhaps you meant ...")
        if "posthog.hog_invocation_results" not in text:
            return unknown("Unknown table `hog_invocation_results`.")
        return EMPTY

    with talking(answer) as (client, server):
        moment = NOON + timedelta(microseconds=123456)
        list(client.workflows.run_states("w1", since=moment))
        assert len(server.asked) == 2
        assert "toDateTime('2026-11-20T12:00:00.123456Z')" in sql_of(server.asked[-1])
        list(client.workflows.run_states("w1", since=moment))
        assert len(server.asked) == 3


def test_a_server_without_the_table_says_so() -> None:
    with (
        talking(unknown("Unknown table `x`.")) as (client, _),
        pytest.raises(errors.EndpointMissing, match="invocation_results"),
    ):
        list(client.workflows.run_states("w1"))


def test_another_mistake_in_the_sql_is_not_hidden() -> None:
    with (
        talking(unknown("Unable to resolve field: first_scheduled_at")) as (client, _),
        pytest.raises(errors.InvalidRequest, match="first_scheduled_at"),
    ):
        list(client.workflows.run_states("w1"))


@pytest.mark.parametrize(
    ("column", "value"),
    [("instance_id", None), ("timestamp", "noon"), ("timestamp", None), ("message", 5)],
)
def test_a_row_that_cannot_be_read_is_an_error_of_posthog(column: str, value: Any) -> None:
    row = {"instance_id": "r", "timestamp": "2026-11-20T12:00:00Z", "level": "INFO", "message": "m"}
    body = {"results": [[*{**row, column: value}.values()]], "columns": [*row], "types": None}
    with (
        talking(Reply(200, body)) as (client, _),
        pytest.raises(errors.MalformedResponse, match="cannot be read"),
    ):
        list(client.workflows.log_lines("w1"))


def test_runs_of_hog_functions_are_asked_for_as_such() -> None:
    with talking(EMPTY) as (client, server):
        list(client.hog_functions.run_states("f1"))
        list(client.hog_functions.rerun_jobs("f1", NOON))
        list(client.hog_functions.log_lines("f1"))
    texts = [sql_of(asked) for asked in server.asked]
    assert "function_kind = 'hog_function'" in texts[0]
    assert "function_kind = 'hog_function_rerun'" in texts[1]
    assert "log_source = 'hog_function'" in texts[2]


COLUMNS = ["job", "now_status", "now_attempts", "now_error_message", "first_row_at"]


def test_rerun_jobs_are_read() -> None:
    row = ["j1", "succeeded", 2, "", "2026-11-20T13:00:00+01:00", "2026-11-20T13:05:00+01:00"]
    body = {"results": [row], "columns": [*COLUMNS, "newest_row_at"]}
    with talking(Reply(200, body)) as (client, server):
        (job,) = client.workflows.rerun_jobs("w1", NOON)
    assert (job.job_id, job.status, job.attempts) == ("j1", "succeeded", 2)
    assert job.first_row_at == NOON
    assert "function_kind = 'hog_flow_rerun'" in sql_of(server.asked[0])


# -- log lines -------------------------------------------------------------------------------------


def test_log_lines_of_many_runs_come_in_one_request(place: Place) -> None:
    sandbox, client = place
    workflow = sandbox.world.add_workflow()["id"]
    said = "Re-queued by re-run job 0190."
    second = timedelta(seconds=1)
    for n in range(3):
        row = {"instance_id": f"run{n}", "timestamp": NOON - HOUR}
        more = {"message": "else", "timestamp": NOON - HOUR + second}
        sandbox.world.add_logs(workflow, [row | {"message": said, "level": "DEBUG"}, row | more])
    before = client.requests_made
    lines = list(
        client.workflows.log_lines(
            workflow, ids=["run0", "run2"], since=NOON - HOUR, message_prefix="Re-queued by"
        )
    )
    assert client.requests_made == before + 1
    assert [(line.instance_id, line.level, line.message) for line in lines] == [
        ("run0", "DEBUG", said),
        ("run2", "DEBUG", said),
    ]
    assert lines[0].timestamp == NOON - HOUR
    assert not list(client.workflows.log_lines(workflow, since=NOON))


def test_a_line_that_is_stored_twice_comes_once() -> None:
    row = ["run", "2026-11-20T12:00:00Z", "debug", "x"]
    body = {
        "results": [row, row],
        "columns": ["instance_id", "timestamp", "level", "message"],
        "types": [[name, "String"] for name in ("a", "b", "c", "d")],
    }
    empty = Reply(200, {**body, "results": []})
    with talking(Reply(200, body), empty) as (client, _):
        assert len(list(client.workflows.log_lines("w1"))) == 1


# -- the detail of a run ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "step"),
    [
        ({"currentAction": {"id": "mail", "startedAtTimestamp": 1}}, "mail"),
        ({"currentAction": "mail"}, "mail"),
        ({"state": {"currentAction": {"id": "mail"}}}, "mail"),
        ({"event": {"uuid": "e"}}, None),
        ({"currentAction": {"id": 7}}, None),
        ("odd", None),
        (None, None),
    ],
)
def test_the_step_a_run_stopped_at_is_kept_and_the_rest_dropped(state: Any, step: Any) -> None:
    row = {"invocation_id": "run", "status": "failed", "attempts": 1, "invocation_globals": state}
    with talking(Reply(200, row)) as (client, _):
        for service in (client.workflows, client.hog_functions):
            run = service.invocation_result("w1", "run")
            assert run.current_action == step
            assert "invocation_globals" not in run.model_dump()


def test_that_no_row_of_a_run_is_left_is_believed_of_posthog_alone() -> None:
    gone = {"type": "invalid_request", "code": "not_found", "detail": "Invocation not found."}
    with (
        talking(Reply(404, gone | {"attr": None})) as (client, _),
        pytest.raises(errors.NotFound),
    ):
        client.workflows.invocation_result("w1", "run")
    with (
        talking(Reply(404, {"detail": "Not found."})) as (client, _),
        pytest.raises(errors.ForeignResponse),
    ):
        client.workflows.invocation_result("w1", "run")


def test_another_run_than_asked_for_is_no_answer() -> None:
    with (
        talking(Reply(200, {"invocation_id": "other", "status": "failed"})) as (client, _),
        pytest.raises(errors.MalformedResponse, match="another run"),
    ):
        client.workflows.invocation_result("w1", "run")


# -- lists that are read whole ---------------------------------------------------------------------


def job(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"j{number}", "status": "queued", "variables": {}, **more}


def test_pages_of_batch_jobs_are_followed_by_their_query_on_the_same_host() -> None:
    rows = [job(n) for n in range(250)]

    def answer(asked: Asked) -> Reply:
        start = int(asked.path.partition("offset=")[2] or 0)
        more = start + 100 < len(rows)
        link = f"https://internal:8000/elsewhere/?limit=100&offset={start + 100}" if more else None
        body = {"count": 250, "next": link, "previous": None, "results": rows[start : start + 100]}
        return Reply(200, body)

    with talking(answer) as (client, server):
        assert [found.id for found in client.workflows.batch_jobs("w1")] == [
            row["id"] for row in rows
        ]
        assert len(server.asked) == 3
        assert all("/hog_flows/w1/batch_jobs/" in asked.path for asked in server.asked)


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({"detail": "timeout", "results": []}, errors.MalformedResponse),
        ([], errors.MalformedResponse),
        ({"count": 150, "next": None, "results": [job(100)]}, errors.UnsettledList),
    ],
)
def test_pages_that_do_not_come_whole_are_no_list(second: Any, expected: Any) -> None:
    first = {"count": 150, "next": "https://x/?offset=100", "results": [job(n) for n in range(100)]}
    with (
        talking(Reply(200, first), Reply(200, second)) as (client, _),
        pytest.raises(expected),
    ):
        client.workflows.batch_jobs("w1")


def test_pages_that_go_round_in_circles_end() -> None:
    page = {"count": 9_999_999, "next": "https://x/?offset=1", "results": [job(1)]}
    with (
        talking(Reply(200, page)) as (client, _),
        pytest.raises((errors.MalformedResponse, errors.UnsettledList)),
    ):
        client.workflows.batch_jobs("w1")


def test_a_page_that_is_its_own_next_one_is_asked_for_once() -> None:
    page = Reply(200, {"count": 9, "next": "https://x/?offset=1", "results": []})
    with (
        talking(page) as (client, server),
        pytest.raises(errors.MalformedResponse, match="its next page is itself"),
    ):
        client.workflows.batch_jobs("w1")
    assert len(server.asked) == 2


def test_pages_without_an_end_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hog_dagster.posthog._services.base.MOST_PAGES", 5)
    pages = [
        Reply(200, {"count": 9, "next": f"https://x/?offset={n + 1}", "results": [job(n)]})
        for n in range(9)
    ]
    with (
        talking(*pages) as (client, server),
        pytest.raises(errors.MalformedResponse, match="more than 5 pages"),
    ):
        client.workflows.batch_jobs("w1")
    assert len(server.asked) == 6


def test_odd_times_and_creators_cost_no_list() -> None:
    rows = [
        job(1, created_at="yesterday", created_by=None),
        job(2, created_at=None, created_by={"id": "seven", "email": "a@x.io"}),
        job(3, created_at=17, created_by=7, updated_at={}),
        job(4, created_at="2026-11-20T12:00:00Z", created_by={"id": 7, "uuid": "u"}),
        job(5, created_by=["somebody"]),
        job(6),
    ]
    with talking(Reply(200, rows)) as (client, _):
        jobs = client.workflows.batch_jobs("w1")
    assert [found.created_at for found in jobs] == [None, None, None, NOON, None, None]
    assert [found.created_by is None for found in jobs] == [True, False, False, False, False, True]
    creator: Any = jobs[1].created_by
    assert creator.email == "a@x.io"


METHODS = ("invocation_results", "invocation_results_count", "invocation_result", "rerun", "logs")


@pytest.mark.parametrize("method", [*METHODS, "run_states", "rerun_jobs", "log_lines"])
def test_workflows_and_hog_functions_share_the_methods_on_runs(method: str) -> None:
    import inspect

    with talking(Reply()) as (client, _):
        calls: list[Callable[..., Any]] = [
            getattr(client.workflows, method),
            getattr(client.hog_functions, method),
        ]
    first, second = (list(inspect.signature(call).parameters) for call in calls)
    assert first == second
