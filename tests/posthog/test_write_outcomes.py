"""What a response says about the effect of a write: status x body x endpoint, over real HTTP.

The bodies are those of real PostHog servers, and those of what stands before them: proxies,
firewalls, load balancers, gateways.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_server import Reply, ScriptedServer, scripted

from hog_dagster.posthog import PostHogClient, errors

KEY = "phx_secret0secret0secret0secret0secret0"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = {"window_start": NOON, "window_end": NOON + timedelta(hours=1), "status": "failed"}
RUN = {"instance_id": "i", "action_id": "a", "event_uuid": "e"}
JOB = {"id": "j1", "status": "queued"}

WRITES: dict[str, Callable[[PostHogClient], Any]] = {
    "replay": lambda c: c.workflows.replay_blocked_run("w1", RUN),
    "replay_all": lambda c: c.workflows.replay_all_blocked_runs("w1"),
    "rerun": lambda c: c.workflows.rerun("w1", **HOUR),
    "function_rerun": lambda c: c.hog_functions.rerun("f1", **HOUR),
    "batch": lambda c: c.workflows.create_batch_job("w1"),
    "cancel": lambda c: c.workflows.cancel_batch_job("w1", "j1"),
    "schedule": lambda c: c.workflows.create_schedule("w1", {}),
    "delete_schedule": lambda c: c.workflows.delete_schedule("w1", "s1"),
    "create": lambda c: c.workflows.create({}),
}
POSTS = [name for name in WRITES if name != "delete_schedule"]


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[ScriptedServer, PostHogClient]]:
    with (
        scripted(Reply()) as server,
        PostHogClient(server.url, KEY, 1, limits=False, max_wait=0) as client,
    ):
        yield server, client


def outcome(place: tuple[ScriptedServer, PostHogClient], write: str, reply: Reply) -> str:
    """The outcome of the error that a write raises; ``done`` when it raises none."""
    server, client = place
    server.replies[:], server.asked[:] = [reply], []
    try:
        WRITES[write](client)
    except errors.PostHogError as error:
        assert len(server.asked) == 1
        return error.outcome
    return "done"


def envelope(kind: str, code: str, detail: str, attr: str | None = None) -> dict[str, Any]:
    return {"type": kind, "code": code, "detail": detail, "attr": attr}


def invalid(detail: str, attr: str | None = None, code: str = "invalid_input") -> dict[str, Any]:
    return envelope("validation_error", code, detail, attr)


def missing(detail: str) -> dict[str, Any]:
    return envelope("invalid_request", "not_found", detail)


def denied(detail: str) -> dict[str, Any]:
    return envelope("authentication_error", "permission_denied", detail)


def throttled(seconds: int) -> dict[str, Any]:
    detail = f"Request was throttled. Expected available in {seconds} seconds."
    return envelope("throttled_error", "throttled", detail)


# -- what PostHog did not write --------------------------------------------------------------------

HTML = {"Content-Type": "text/html"}
TEXT = {"Content-Type": "text/plain"}
LOOKALIKES: dict[str, Reply] = {
    "page": Reply(0, b"<!doctype html><title>Blocked</title>", HTML),
    "page called json": Reply(0, b"<html><title>Blocked</title>"),
    "text": Reply(0, b"upstream request timeout", TEXT),
    "nothing": Reply(0, None),
    "detail": Reply(0, {"detail": "timeout"}),
    "not found": Reply(0, {"detail": "Not found."}),
    "message": Reply(0, {"message": "Forbidden"}),
    "error": Reply(0, {"error": "This request was blocked"}),
    "type": Reply(0, {"type": "error", "code": "x", "detail": "y"}),
    "empty list": Reply(0, {"detail": "timeout", "results": []}),
    "sentence elsewhere": Reply(0, {"error": "Not enabled", "status": "error"}),
    "one key too many": Reply(0, denied("No.") | {"ray": "8f"}),
    "foreign type": Reply(0, envelope("forbidden", "forbidden", "No.")),
    "number": Reply(0, b"17"),
    "cut json": Reply(0, b'{"type": "validation_error", "code": "inv'),
    "envelope called text": Reply(0, json.dumps(missing("Not found.")).encode(), TEXT),
}
STATUSES = [400, 401, 403, 404, 405, 408, 409, 413, 421, 422, 425, 429, 431, 460, 499]
STATUSES += [500, 502, 503, 504, 520, 522, 524, 527, 530]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("body", LOOKALIKES)
def test_what_posthog_did_not_write_leaves_the_outcome_unknown(
    place: tuple[ScriptedServer, PostHogClient], write: str, body: str
) -> None:
    told = LOOKALIKES[body]
    found = {
        status: outcome(place, write, Reply(status, told.body, told.headers)) for status in STATUSES
    }
    assert found == dict.fromkeys(STATUSES, "unknown")


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("status", [408, 425, 460, 499, 500, 502, 503, 504, 512, 513, 520, 524])
def test_timeouts_and_failures_say_nothing_in_any_shape(
    place: tuple[ScriptedServer, PostHogClient], write: str, status: int
) -> None:
    bodies: list[Any] = [
        envelope("server_error", "error", "A server error occurred."),
        invalid("Invalid RRULE.", "rrule"),
        {"error": "Blocked run i not found for this workflow"},
        {"queued_count": 0, "skipped_count": 0, "detail": "x"},
    ]
    for body in bodies:
        assert outcome(place, write, Reply(status, body)) == "unknown"


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b"[]",
        b"null",
        b'"queued"',
        b"17",
        b'{"detail": "timeout"}',
        b'{"detail": "timeout", "results": []}',
        b'{"status": "error", "message": "Failed to replay run"}',
        b'{"queued_count": 0, "skipped_count": 0}',
        b'{"id": null, "status": "waiting", "rrule": "FREQ=DAILY"}',
        b'{"id": 7, "status": "waiting", "rrule": "FREQ=DAILY"}',
        b'{"id": "", "status": "waiting", "rrule": "FREQ=DAILY"}',
        b'{"succeeded": true, "failed": 0, "skipped": 0}',
        b'{"rerun_job_id": "", "queued_count": 0, "skipped_count": 0}',
        b'{"id": "j1", "sta',
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_success_in_another_shape_than_the_endpoints_is_unknown(
    place: tuple[ScriptedServer, PostHogClient], write: str, status: int, body: bytes
) -> None:
    if write == "delete_schedule" and not body:
        pytest.skip("an empty body is what a deletion answers")
    if write == "delete_schedule" and body == b"null":
        pytest.skip("null is as good as nothing")
    assert outcome(place, write, Reply(status, body)) == "unknown"


@pytest.mark.parametrize(
    ("write", "reply"),
    [
        ("replay", Reply(200, {"status": "queued"})),
        ("replay_all", Reply(200, {"succeeded": 1, "failed": 0, "skipped": 2})),
        ("rerun", Reply(200, {"rerun_job_id": "r1", "queued_count": 0, "skipped_count": 0})),
        ("function_rerun", Reply(200, {"rerun_job_id": "r1"})),
        ("batch", Reply(200, JOB)),
        ("cancel", Reply(200, {"status": "cancelled", "marked": 0, "remaining": 0, "done": True})),
        ("schedule", Reply(201, {"id": "s1", "rrule": "FREQ=DAILY"})),
        ("delete_schedule", Reply(204, None)),
        ("create", Reply(201, {"id": "w1"})),
    ],
)
def test_the_endpoints_own_success_is_one(
    place: tuple[ScriptedServer, PostHogClient], write: str, reply: Reply
) -> None:
    assert outcome(place, write, reply) == "done"


# -- what PostHog wrote ----------------------------------------------------------------------------

FINAL: list[tuple[str, int, Any]] = [
    ("replay", 404, {"error": "Blocked run i not found for this workflow"}),
    ("replay", 400, {"error": "event_uuid does not match the blocked run"}),
    ("replay", 404, {"error": "Event e not found"}),
    ("replay", 400, {"error": "event_uuid, action_id, and instance_id are required"}),
    ("batch", 400, invalid("Workflow must be active to run a batch. Enable it first.")),
    ("batch", 400, ["Workflow must be active to run a batch. Enable it first."]),
    ("batch", 400, {"status": ['"bogus" is not a valid choice.']}),
    ("batch", 400, {"variables": ['Expected a dictionary of items but got type "list".']}),
    ("schedule", 400, invalid("Invalid RRULE.", "rrule")),
    ("schedule", 400, invalid("Schedule produces no future occurrences.", "rrule")),
    ("schedule", 400, invalid("Schedules must run at most once per hour.", "rrule")),
    ("schedule", 400, invalid("Invalid or unknown timezone.", "timezone")),
    ("schedule", 400, invalid("This field is required.", "starts_at", "required")),
    ("rerun", 400, invalid("This function is disabled. Enable it to re-run invocations.")),
    ("function_rerun", 400, invalid("This function is disabled. Enable it to re-run invocations.")),
    (
        "rerun",
        400,
        invalid("Rerun window cannot exceed 30 days (ClickHouse TTL).", "filter__non_field_errors"),
    ),
    ("rerun", 400, invalid("This field is required.", "filter__window_start", "required")),
    ("rerun", 400, invalid('"success" is not a valid choice.', "filter__status__0")),
]


@pytest.mark.parametrize(("write", "status", "body"), FINAL)
def test_posthogs_own_sentences_refuse_for_good(
    place: tuple[ScriptedServer, PostHogClient], write: str, status: int, body: Any
) -> None:
    assert outcome(place, write, Reply(status, body)) == "refused"


@pytest.mark.parametrize(("write", "status", "body"), FINAL)
def test_a_final_sentence_counts_at_its_own_endpoint_status_and_place_alone(
    place: tuple[ScriptedServer, PostHogClient], write: str, status: int, body: Any
) -> None:
    alike = {"rerun": "function_rerun", "function_rerun": "rerun"}
    own = {(name, code) for name, code, said in FINAL if said == body}
    own |= {(alike.get(name, name), code) for name, code in own}
    for other in POSTS:
        for code in (400, 403, 404, 409):
            if (other, code) not in own:
                assert outcome(place, other, Reply(code, body)) != "refused"


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, envelope("authentication_error", "authentication_failed", "Key is invalid.")),
        (403, denied("API key missing required scope 'hog_flow:write'")),
        (403, denied("This action does not support Personal API Key access")),
        (403, denied("You don't have access to the project.")),
        (404, missing("Not found.")),
        (404, missing("Endpoint not found.")),
        (404, missing("Project not found.")),
        (409, envelope("server_error", "stale_update", "Updated elsewhere.")),
        (415, envelope("invalid_request", "unsupported_media_type", 'Unsupported "text/plain".')),
        (429, throttled(43)),
        (429, envelope("throttled_error", "throttled", "Request was throttled.")),
        (400, invalid("Something that is new to us.", "rrule")),
        (400, envelope("invalid_request", "parse_error", "JSON parse error - Expecting ...")),
    ],
)
def test_what_posthog_turned_away_was_not_sent_and_may_work_later(
    place: tuple[ScriptedServer, PostHogClient], write: str, status: int, body: Any
) -> None:
    assert outcome(place, write, Reply(status, body)) == "not_sent"


def test_a_feature_that_is_switched_off_can_be_switched_on(
    place: tuple[ScriptedServer, PostHogClient],
) -> None:
    off = Reply(403, {"error": "This feature is not enabled"})
    assert outcome(place, "replay", off) == "not_sent"
    assert outcome(place, "replay_all", off) == "not_sent"
    assert outcome(place, "batch", off) == "unknown"


@pytest.mark.parametrize(
    ("write", "status", "body"),
    [
        ("replay", 400, {"status": "error", "message": "Failed to replay run"}),
        ("replay", 404, {"status": "error", "message": "Hog flow not found"}),
        ("rerun", 400, {"queued_count": 0, "skipped_count": 0, "detail": "no"}),
        ("rerun", 404, {"queued_count": 0, "skipped_count": 0, "detail": "no"}),
        ("batch", 400, {"message": ["Forbidden"]}),
        ("batch", 400, {"status": "error", "message": "Missing event"}),
        ("batch", 403, {"status": ['"bogus" is not a valid choice.']}),
    ],
)
def test_what_comes_from_behind_posthogs_view_is_unknown(
    place: tuple[ScriptedServer, PostHogClient], write: str, status: int, body: Any
) -> None:
    assert outcome(place, write, Reply(status, body)) == "unknown"


@pytest.mark.parametrize(
    "detail",
    ["Rate limited", "Too many requests", "Expected available in 3 seconds, says the proxy", ""],
)
def test_a_429_that_posthog_did_not_write_is_unknown(
    place: tuple[ScriptedServer, PostHogClient], detail: str
) -> None:
    body = envelope("throttled_error", "throttled", detail)
    assert outcome(place, "batch", Reply(429, body)) == "unknown"
    body = envelope("throttled_error", "rate_limited", throttled(3)["detail"])
    assert outcome(place, "batch", Reply(429, body)) == "unknown"


def test_a_group_that_is_refused_after_it_was_written_is_unknown() -> None:
    replies = [Reply(404, missing("Not found.")), Reply(404, missing("Not found."))]
    with (
        scripted(*replies) as server,
        PostHogClient(server.url, KEY, 1, limits=False, max_wait=0) as client,
        pytest.raises(errors.NotFound) as caught,
    ):
        client.groups.create(4, "lost")
    assert caught.value.outcome == "unknown"


# -- redirects, connections ------------------------------------------------------------------------


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    ("status", "location", "expected"),
    [
        (301, "https://elsewhere.example/x", "not_sent"),
        (302, "https://elsewhere.example/x", "not_sent"),
        (307, "https://elsewhere.example/x", "not_sent"),
        (308, "https://elsewhere.example/x", "not_sent"),
        (307, None, "not_sent"),
        (303, "https://elsewhere.example/x", "unknown"),
        (303, "/login", "unknown"),
        (301, "/api/", "unknown"),
        (302, "/login", "unknown"),
        (302, None, "unknown"),
        (301, "https://127.0.0.1/x", "not_sent"),
        (302, "http://127.0.0.1/login", "unknown"),  # a port of the server behind the proxy
        (301, "http://127.0.0.1:8000/x", "unknown"),
        (300, "/a", "unknown"),
        (304, None, "unknown"),
    ],
)
def test_redirects(
    place: tuple[ScriptedServer, PostHogClient],
    write: str,
    status: int,
    location: str | None,
    expected: str,
) -> None:
    headers = {} if location is None else {"Location": location}
    assert outcome(place, write, Reply(status, None, headers)) == expected


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (httpx.ConnectError, "not_sent"),
        (httpx.ConnectTimeout, "not_sent"),
        (httpx.PoolTimeout, "not_sent"),
        (httpx.ProxyError, "not_sent"),
        (httpx.WriteTimeout, "unknown"),
        (httpx.WriteError, "unknown"),
        (httpx.ReadTimeout, "unknown"),
        (httpx.ReadError, "unknown"),
        (httpx.RemoteProtocolError, "unknown"),
        (httpx.CloseError, "unknown"),
    ],
)
@pytest.mark.parametrize("write", WRITES)
def test_broken_connections(write: str, failure: type[httpx.HTTPError], expected: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise failure("broken", request=request)  # type: ignore[call-arg]

    transport = httpx.MockTransport(answer)
    with (
        PostHogClient(
            "https://us.posthog.com", KEY, 1, limits=False, transport=transport, max_wait=0
        ) as client,
        pytest.raises(errors.PostHogError) as caught,
    ):
        WRITES[write](client)
    assert caught.value.outcome == expected


def test_what_never_left_this_machine_was_not_sent(tmp_path: Any) -> None:
    with (
        scripted(Reply(200, JOB)) as server,
        PostHogClient(
            server.url, KEY, 1, limits={"default": [(1, 60)]}, headroom=1.0, rate_limit=tmp_path
        ) as patient,
        patient.with_limits(0) as client,
    ):
        client.workflows.create_batch_job("w1")
        with pytest.raises(errors.Throttled) as caught:
            client.workflows.create_batch_job("w1")
        assert caught.value.outcome == "not_sent"
    with pytest.raises(errors.ConfigurationError) as wrong:
        PostHogClient("", KEY, 1)
    assert wrong.value.outcome == "not_sent"


def test_an_error_that_says_nothing_of_itself_is_unknown() -> None:
    assert errors.PostHogError("x").outcome == "unknown"
    assert errors.OutcomeUnknown("x").outcome == "unknown"
    assert errors.Throttled("x").outcome == "unknown"


# -- any body --------------------------------------------------------------------------------------

texts = st.sampled_from(
    ["type", "code", "detail", "attr", "error", "message", "status", "results", "errors", "extra"]
) | st.text(max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(
        ["validation_error", "throttled_error", "throttled", "invalid_request", "queued", "x", ""]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=8,
)
bodies = st.binary(max_size=30) | values.map(lambda value: json.dumps(value).encode())
ENVELOPE = {"type", "code", "detail", "attr"}
HAND_MADE = {"error", "status", "variables", "filters", "id", "hog_flow", "non_field_errors"}


def may_be_posthogs(content: bytes) -> bool:
    """This test's own, wide idea of PostHog's shapes of refusals."""
    try:
        body = json.loads(content)
    except ValueError:
        return False
    if isinstance(body, dict):
        return set(body) >= ENVELOPE or (bool(body) and set(body) <= HAND_MADE)
    return isinstance(body, list) and len(body) == 1


@settings(max_examples=400, deadline=None)
@given(
    write=st.sampled_from(POSTS),
    status=st.integers(200, 599).filter(lambda status: status not in (301, 302, 307, 308)),
    content=bodies,
    kind=st.sampled_from(["application/json", "text/html", "text/plain", ""]),
)
def test_no_body_but_posthogs_settles_a_write(
    write: str, status: int, content: bytes, kind: str
) -> None:
    transport = httpx.MockTransport(
        lambda _: httpx.Response(status, content=content, headers={"Content-Type": kind})
    )
    with PostHogClient(
        "https://us.posthog.com", KEY, 1, limits=False, transport=transport, max_wait=0
    ) as client:
        try:
            WRITES[write](client)
        except errors.PostHogError as error:
            if error.outcome != "unknown":
                assert 400 <= status < 500
                assert "json" in kind
                assert may_be_posthogs(content)
        else:
            assert 200 <= status < 300
            assert isinstance(json.loads(content), dict)


# -- reads -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"detail": "timeout", "results": []},
        {"results": []},
        {"detail": "timeout"},
        {},
        None,
        b"<html>",
        {"results": {}, "next": None, "count": 0},
        [{"status": "queued"}],
        ["x"],
    ],
)
@pytest.mark.parametrize("read", ["batch_jobs", "schedules", "global_metrics", "list", "runs"])
def test_a_read_in_another_shape_is_never_an_empty_list(body: Any, read: str) -> None:
    calls: dict[str, Callable[[PostHogClient], Any]] = {
        "batch_jobs": lambda c: c.workflows.batch_jobs("w1"),
        "schedules": lambda c: c.workflows.schedules("w1"),
        "global_metrics": lambda c: c.workflows.global_metrics(),
        "list": lambda c: list(c.workflows.list()),
        "runs": lambda c: list(
            c.workflows.invocation_results("w1", after=NOON, before=NOON + timedelta(hours=1))
        ),
    }
    with (
        scripted(Reply(200, body)) as server,
        PostHogClient(server.url, KEY, 1, limits=False, max_wait=0) as client,
        pytest.raises(errors.MalformedResponse),
    ):
        calls[read](client)


@pytest.mark.parametrize("status", [408, 425, 460, 499, 502, 503, 504, *range(520, 531), 598, 599])
def test_a_read_that_a_proxy_cut_is_repeated(status: int) -> None:
    busy = Reply(status, b"<html><title>busy</title>", {"Retry-After": "0.01", **HTML})
    with (
        scripted(busy, busy, Reply(200, {"id": "w1"})) as server,
        PostHogClient(server.url, KEY, 1, limits=False) as client,
    ):
        assert client.workflows.get("w1").id == "w1"
        assert client.requests_made == 3
    with (
        scripted(busy) as server,
        PostHogClient(server.url, KEY, 1, limits=False) as client,
        pytest.raises(errors.ServerError) as caught,
    ):
        client.workflows.get("w1")
    assert not caught.value.permanent


@pytest.mark.parametrize("status", [400, 403, 404, 413])
def test_a_page_before_a_posthog_that_was_seen_is_no_wrong_host(status: int) -> None:
    page = Reply(status, b"<html><title>Blocked</title>", HTML)
    with (
        scripted(Reply(200, {"id": "w1"}), page) as server,
        PostHogClient(server.url, KEY, 1, limits=False) as client,
    ):
        client.workflows.get("w1")
        with pytest.raises(errors.ForeignResponse) as caught:
            client.workflows.get("w1")
    assert not caught.value.permanent
    assert "POSTHOG_HOST" not in str(caught.value)
    with (
        scripted(page) as server,
        PostHogClient(server.url, KEY, 1, limits=False) as client,
        pytest.raises(errors.PostHogError, match="POSTHOG_HOST") as caught,
    ):
        client.workflows.get("w1")
    assert caught.value.permanent
