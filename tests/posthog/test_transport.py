"""Sending: what is repeated and what never is, waits, redirects, headers, and a key that stays in.

Waits are kept short by the responses themselves (Retry-After: 0.01, and the like).
"""

import json
import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from scripted_server import Reply, ScriptedServer, scripted

from hog_dagster._version import __version__
from hog_dagster.posthog import PostHogClient, Timeouts, errors
from hog_dagster.posthog._endpoints import ENDPOINTS

KEY = "phx_secret0secret0secret0secret0secret0"
ID = "01984f00-0000-0000-0000-000000000001"
FLOW = {"id": "w1", "name": "Onboarding"}
BUSY = Reply(503, {"detail": "at capacity"}, {"Retry-After": "0.01"})
THROTTLED = {"type": "throttled_error", "code": "throttled", "attr": None}


@contextmanager
def talking(*replies: Any, **settings: Any) -> Iterator[tuple[PostHogClient, ScriptedServer]]:
    settings.setdefault("limits", False)
    with (
        scripted(*replies) as server,
        PostHogClient(server.url, KEY, 1, **settings) as client,
    ):
        yield client, server


# -- what goes out -------------------------------------------------------------------------------


def test_requests_carry_the_key_the_version_and_json() -> None:
    with talking(Reply(201, FLOW)) as (client, server):
        client.workflows.create({"name": "Onboarding"})
    (asked,) = server.asked
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert asked.headers["User-Agent"] == f"hog-dagster/{__version__}"
    assert asked.headers["Content-Type"] == "application/json"
    assert json.loads(asked.body) == {"name": "Onboarding"}
    assert asked.path == "/api/projects/1/hog_flows/"


def test_ids_are_encoded_into_the_path_and_cannot_leave_it() -> None:
    odd = "../../users/@me?x=1#y"
    page = {"count": 1, "next": None, "previous": None, "results": [{**FLOW, "id": odd}]}
    with talking(Reply(200, page), Reply(200, FLOW)) as (client, server):
        client.workflows.get(odd)
        assert server.asked[1].path == (
            "/api/projects/1/hog_flows/..%2F..%2Fusers%2F%40me%3Fx%3D1%23y/"
        )
        for empty in ("", " ", "..", "."):
            with pytest.raises(ValueError, match="id is empty"):
                client.workflows.update(empty, {"name": "new"})
        assert client.requests_made == 2


def test_a_path_prefix_of_the_host_is_kept() -> None:
    with scripted(Reply(200, FLOW)) as server:
        with PostHogClient(f"{server.url}/posthog", KEY, 7, limits=False) as client:
            client.workflows.get("w1")
        assert server.asked[0].path == "/posthog/api/projects/7/hog_flows/w1/"


def test_parameters_are_written_as_posthog_reads_them() -> None:
    endpoint = ENDPOINTS["workflows.list"]
    params = {"a": True, "b": ["x", "y"], "c": None, "d": "1+1 %", "e": 5}
    with talking(Reply(200, {})) as (client, server):
        client._transport.send(endpoint, 1, {}, params=params)
        assert server.asked[0].path.partition("?")[2] == "a=true&b=x&b=y&d=1%2B1+%25&e=5"


def test_cookies_of_the_server_are_not_sent_back() -> None:
    with talking(Reply(200, FLOW, {"Set-Cookie": "sessionid=1; Path=/"})) as (client, server):
        client.workflows.get("w1")
        client.workflows.get("w1")
    assert all("Cookie" not in asked.headers for asked in server.asked)


def test_one_client_serves_many_threads() -> None:
    with talking(Reply(200, FLOW)) as (client, server):
        threads = [
            threading.Thread(target=lambda: [client.workflows.get("w1") for _ in range(5)])
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.requests_made == len(server.asked) == 30


# -- what is repeated ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_read_is_repeated_until_the_server_answers(status: int) -> None:
    busy = Reply(status, {"detail": "later"}, {"Retry-After": "0.01"})
    with talking(busy, busy, Reply(200, FLOW)) as (client, _):
        assert client.workflows.get("w1").id == "w1"
        assert client.requests_made == 3


def test_a_read_that_fails_three_times_may_be_an_outage() -> None:
    broken = Reply(500, {"detail": "A server error occurred."})
    with talking(broken, broken, Reply(200, FLOW)) as (client, _):
        assert client.workflows.get("w1").id == "w1"
    with talking(broken) as (client, _):
        with pytest.raises(errors.ServerError, match="Try again later") as raised:
            client.workflows.get("w1")
        assert not raised.value.permanent
        assert client.requests_made == 3


def test_a_page_that_fails_three_times_alike_while_others_are_answered_is_permanent() -> None:
    broken = Reply(500, {"detail": "A server error occurred."})
    with talking(Reply(200, FLOW), broken, broken, broken, Reply(200, FLOW)) as (client, server):
        client.workflows.get("w1")
        with pytest.raises(errors.ServerError, match="trying again will not help") as raised:
            client.workflows.get("w2")
        assert "Try again later" not in str(raised.value)
        assert (raised.value.permanent, raised.value.elsewhere) == (True, "answers")
        assert [request.path.split("/")[-2] for request in server.asked] == [
            "w1",
            *["w2"] * 3,
            "w1",
        ]


def test_a_page_that_fails_while_others_fail_too_is_an_outage() -> None:
    broken = Reply(500, {"detail": "A server error occurred."})
    with talking(Reply(200, FLOW), broken) as (client, _):
        client.workflows.get("w1")
        with pytest.raises(errors.ServerError, match="Try again later") as raised:
            client.workflows.get("w2")
        assert (raised.value.permanent, raised.value.elsewhere) == (False, "fails")
        assert client.requests_made == 5


def test_a_page_that_fails_in_several_ways_may_work_later() -> None:
    broken = [Reply(500, {"detail": said}) for said in ("one", "two", "three")]
    with talking(Reply(200, FLOW), *broken, Reply(200, FLOW)) as (client, _):
        client.workflows.get("w1")
        with pytest.raises(errors.ServerError) as raised:
            client.workflows.get("w2")
        assert (raised.value.permanent, raised.value.elsewhere) == (False, "answers")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 512, 513])
def test_what_would_fail_again_is_not_repeated(status: int) -> None:
    with talking(Reply(status, {"detail": "no"})) as (client, _):
        with pytest.raises(errors.PostHogError):
            client.workflows.get(ID)
        assert client.requests_made == 1


@pytest.mark.parametrize("cut", ["before", "within"])
def test_a_read_is_repeated_after_a_broken_connection(cut: str) -> None:
    with talking(Reply(200, FLOW, cut=cut), Reply(200, FLOW)) as (client, _):
        assert client.workflows.get("w1").id == "w1"
        assert client.requests_made == 2


def test_reading_gives_up_after_some_attempts() -> None:
    with talking(BUSY) as (client, _):
        with pytest.raises(errors.ServerError):
            client.workflows.get("w1")
        assert client.requests_made == 6


def test_a_change_to_absolute_values_is_repeated() -> None:
    with talking(BUSY, Reply(200, FLOW, cut="before"), Reply(200, FLOW)) as (client, _):
        client.workflows.update("w1", {"name": "new"})
        assert client.requests_made == 3


def test_a_change_that_names_its_base_is_sent_once() -> None:
    with talking(BUSY) as (client, _):
        with pytest.raises(errors.ServerError):
            client.workflows.update("w1", {"name": "new", "base_updated_at": "2026-01-01"})
        assert client.requests_made == 1


RUN = {"instance_id": "i", "action_id": "a", "event_uuid": "e"}
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
WRITES: dict[str, Any] = {
    "create": lambda w: w.create({}),
    "replace": lambda w: w.replace("w1", {}),
    "delete": lambda w: w.delete("w1"),
    "bulk_delete": lambda w: w.bulk_delete(["w1"]),
    "create_batch_job": lambda w: w.create_batch_job("w1"),
    "cancel_batch_job": lambda w: w.cancel_batch_job("w1", "j1"),
    "create_schedule": lambda w: w.create_schedule("w1", {}),
    "delete_schedule": lambda w: w.delete_schedule("w1", "s1"),
    "replay_blocked_run": lambda w: w.replay_blocked_run("w1", RUN),
    "replay_all_blocked_runs": lambda w: w.replay_all_blocked_runs("w1"),
    "rerun": lambda w: w.rerun(
        "w1", window_start=NOON, window_end=NOON + timedelta(hours=1), status="failed"
    ),
    "cancel_invocations": lambda w: w.cancel_invocations("w1", all=True),
    "test_invocation": lambda w: w.test_invocation("w1", globals={"event": {}}),
    "run": lambda w: w.run("w1", idempotency_key="k"),
    "update_graph": lambda w: w.update_graph("w1", []),
    "update_action_email": lambda w: w.update_action_email("w1", "a", {}),
    "publish": lambda w: w.publish("w1"),
    "discard_draft": lambda w: w.discard_draft("w1"),
    "restore_revision": lambda w: w.restore_revision("w1", 1),
}


def test_every_act_of_the_service_is_among_the_writes_tested_here() -> None:
    acts = {
        endpoint.name.removeprefix("workflows.")
        for endpoint in ENDPOINTS.values()
        if endpoint.name.startswith("workflows.") and endpoint.effect == "act"
    }
    assert acts == set(WRITES)


@pytest.mark.parametrize("name", WRITES)
def test_a_write_without_an_answer_is_sent_once_and_in_doubt(name: str) -> None:
    with talking(Reply(200, {}, cut="before")) as (client, _):
        with pytest.raises(errors.OutcomeUnknown, match="find out"):
            WRITES[name](client.workflows)
        assert client.requests_made == 1


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize(
    ("status", "kind"), [(429, errors.Throttled), (502, errors.ServerError), (500, None)]
)
def test_a_write_that_fails_is_sent_once(name: str, status: int, kind: Any) -> None:
    with talking(Reply(status, {"detail": "no"}, {"Retry-After": "0.01"})) as (client, _):
        with pytest.raises(kind or errors.ServerError):
            WRITES[name](client.workflows)
        assert client.requests_made == 1


@pytest.mark.parametrize("body", [b"<html>", b'{"id": "w', b"[]", b'"queued"'])
def test_a_write_with_an_answer_that_cannot_be_read_is_in_doubt(body: bytes) -> None:
    with talking(Reply(200, body)) as (client, _):
        with pytest.raises(errors.OutcomeUnknown, match="find out"):
            client.workflows.create_batch_job("w1")
        assert client.requests_made == 1


@pytest.mark.parametrize("body", [b"<html>", b'{"id": "w', b"[]", b"{}", b""])
def test_a_read_with_an_answer_that_cannot_be_read_says_so(body: bytes) -> None:
    with talking(Reply(200, body)) as (client, _):
        with pytest.raises(errors.MalformedResponse, match="cannot be used"):
            client.workflows.get("w1")
        assert client.requests_made == 1


def test_without_a_connection_nothing_was_sent() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with PostHogClient(url, KEY, 1, limits=False) as client:
            with pytest.raises(errors.TransportError, match="nothing was sent"):
                client.workflows.create({})
            assert client.requests_made == 1
        with PostHogClient(url, KEY, 1, limits=False, max_wait=2) as client:
            with pytest.raises(errors.TransportError, match="POSTHOG_HOST"):
                client.workflows.get("w1")
            assert 1 < client.requests_made <= 4


def test_a_server_that_does_not_answer_in_time_leaves_a_write_in_doubt() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        timeout = Timeouts(read=0.05)
        with PostHogClient(url, KEY, 1, limits=False, timeout=timeout, max_wait=0) as client:
            with pytest.raises(errors.OutcomeUnknown):
                client.workflows.create({})
            with pytest.raises(errors.TransportError, match="no whole response"):
                client.workflows.get("w1")


def test_with_no_connection_free_nothing_was_sent() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.PoolTimeout("no connection is free", request=request)

    transport = httpx.MockTransport(handler)
    with (
        PostHogClient(
            "https://us.posthog.com", KEY, 1, limits=False, transport=transport
        ) as client,
        pytest.raises(errors.TransportError, match="nothing was sent"),
    ):
        client.workflows.create({})


# -- waits ---------------------------------------------------------------------------------------


def throttled(headers: dict[str, str], detail: str = "Request was throttled.") -> Reply:
    return Reply(429, {**THROTTLED, "detail": detail}, headers)


@pytest.mark.parametrize(
    ("reply", "least", "most"),
    [
        (throttled({"Retry-After": "37"}), 37, 37),
        (throttled({}, "Request was throttled. Expected available in 43 seconds."), 43, 43),
        (throttled({"Retry-After": "5"}, "Expected available in 43 seconds."), 5, 5),
        (throttled({}), 0.2, 0.6),
    ],
)
def test_the_wait_is_taken_from_header_else_text_else_a_back_off(
    reply: Reply, least: float, most: float
) -> None:
    with talking(reply, max_wait=0.1) as (client, _):
        with pytest.raises(errors.Throttled) as caught:
            client.workflows.get("w1")
        assert least <= caught.value.wait_s <= most
        assert client.requests_made == 1


def test_the_wait_may_be_given_as_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    with talking(throttled({"Retry-After": later}), max_wait=1) as (client, _):
        with pytest.raises(errors.Throttled) as caught:
            client.workflows.get("w1")
        assert 90 < caught.value.wait_s <= 100


def test_a_write_that_is_throttled_says_how_long() -> None:
    with talking(throttled({"Retry-After": "9"})) as (client, _):
        with pytest.raises(errors.Throttled) as caught:
            client.workflows.create_batch_job("w1")
        assert caught.value.wait_s == 9
        assert not caught.value.permanent


def test_a_wait_is_logged_with_how_long_and_why(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO, logger="hog_dagster.posthog"),
        talking(throttled({"Retry-After": "0.01"}), Reply(200, FLOW)) as (client, _),
    ):
        client.workflows.get("w1")
    (record,) = [r for r in caplog.records if "Waiting" in r.getMessage()]
    assert "429" in record.getMessage()
    assert "Waiting 0.0 s" in record.getMessage()


def test_waits_between_attempts_add_up_to_max_wait_at_most() -> None:
    reply = throttled({"Retry-After": "0.02"})
    with talking(reply, max_wait=0.05) as (client, _):
        with pytest.raises(errors.Throttled):
            client.workflows.get("w1")
        assert client.requests_made == 3


# -- redirects -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_within_the_host_keeps_method_body_and_key(status: int) -> None:
    moved = Reply(status, None, {"Location": "/api/projects/2/hog_flows/?x=1"})
    with talking(moved, Reply(201, FLOW)) as (client, server):
        client.workflows.create({"name": "n"})
        first, second = server.asked
        assert second.method == "POST"
        assert second.path == "/api/projects/2/hog_flows/?x=1"
        assert second.body == first.body
        assert json.loads(first.body) == {"name": "n"}
        assert second.headers["Authorization"] == f"Bearer {KEY}"
        assert client.requests_made == 2


def test_the_key_is_not_sent_to_another_host() -> None:
    with scripted(Reply(200, FLOW)) as other:
        elsewhere = Reply(307, None, {"Location": f"{other.url}/api/projects/1/hog_flows/w1/"})
        with (
            talking(elsewhere) as (client, _),
            pytest.raises(errors.RedirectRefused, match="is sent to POSTHOG_HOST"),
        ):
            client.workflows.get("w1")
        assert not other.asked


@pytest.mark.parametrize(
    "reply",
    [
        Reply(302, None, {"Location": "/login"}),
        Reply(301, None, {"Location": "/api/projects/1/hog_flows/w1"}),
        Reply(303, None, {"Location": "/x"}),
        Reply(307, None),
        Reply(304, None),
    ],
)
def test_other_redirects_are_refused_with_a_reason(reply: Reply) -> None:
    with talking(reply) as (client, _):
        with pytest.raises(errors.RedirectRefused, match="POSTHOG_HOST") as caught:
            client.workflows.get("w1")
        assert caught.value.status == reply.status
        assert client.requests_made == 1


def test_a_circle_of_redirects_ends() -> None:
    here = Reply(307, None, {"Location": "/api/projects/1/hog_flows/w1/"})
    with talking(here) as (client, _):
        with pytest.raises(errors.RedirectRefused, match="circles"):
            client.workflows.get("w1")
        assert client.requests_made < 10


# -- what the server says by the way -------------------------------------------------------------


def test_warnings_of_the_server_are_logged_once_each(caplog: pytest.LogCaptureFixture) -> None:
    headers = {"Deprecation": "true", "Sunset": "2026-07-31", "X-PostHog-Warn": "old"}
    with talking(Reply(200, FLOW, headers)) as (client, _):
        for _ in range(3):
            client.workflows.get("w1")
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 3
    assert all("/api/projects/1/hog_flows/w1/" in line for line in said)
    assert any("2026-07-31" in line for line in said)


def test_the_servers_time_is_noticed() -> None:
    # The standard library's server writes its own Date, of this machine's clock.
    with talking(Reply(200, FLOW)) as (client, _):
        assert not client.server.clock.known
        client.workflows.get("w1")
        assert client.server.clock.known
        assert client.server.clock.earliest() <= datetime.now(UTC) <= client.server.clock.latest()


# -- the key stays in ----------------------------------------------------------------------------


def reachable(root: BaseException) -> Iterator[object]:
    """Everything an error holds on to: its causes, contexts, arguments, attributes."""
    todo: list[object] = [root]
    seen: set[int] = set()
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        if isinstance(item, BaseException):
            todo += [item.__cause__, item.__context__, *item.args, *vars(item).values()]
        elif isinstance(item, httpx.Request | httpx.Response):
            todo += [item.headers.raw, item.content]
        elif isinstance(item, list | tuple | set):
            todo += list(item)
        elif isinstance(item, dict):
            todo += [*item, *item.values()]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(401, {"detail": "no"}),
        Reply(400, {"detail": f"the key {KEY} is odd", "attr": KEY}),
        Reply(500, f"<html><title>{KEY}</title>".encode()),
        Reply(200, b"<html>"),
        Reply(200, FLOW, cut="before"),
        Reply(200, FLOW, cut="within"),
        Reply(307, None, {"Location": "http://localhost:1/"}),
    ],
)
@pytest.mark.parametrize("call", ["get", "create"])
def test_no_error_and_no_log_shows_the_key(
    reply: Reply, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), talking(reply, max_wait=0) as (client, _):
        with pytest.raises(errors.PostHogError) as caught:
            client.workflows.get("w1") if call == "get" else client.workflows.create({})
        shown = [repr(client), str(client), repr(vars(client)), repr(client._transport)]
    error = caught.value
    shown += [str(error), repr(error), repr(error.args), repr(vars(error))]
    frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
    shown += [str(frame.locals) for frame in frames if frame.filename != __file__]
    shown += [record.getMessage() for record in caplog.records]
    shown += [repr(item) for item in reachable(error) if not isinstance(item, BaseException)]
    assert not [text for text in shown if KEY in text]
    assert not [
        item for item in reachable(error) if isinstance(item, bytes) and KEY.encode() in item
    ]
