"""The sandbox without sockets: the same responses, the same faults, and a clock that is passed
in.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.server._proxy_answers import OTHER_HOST, PROXY_ANSWERS
from tests.sandbox.conftest import Start

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


class Virtual:
    """A clock that moves only when somebody waits on it."""

    def __init__(self) -> None:
        self.at = NOW
        self.waits: list[float] = []

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.at += timedelta(seconds=seconds)


class Place:
    def __init__(self, **options: Any) -> None:
        self.clock = Virtual()
        self.sandbox = Sandbox(populate=False, limits=False, clock=self.clock, **options)
        self.http = httpx.Client(
            transport=self.sandbox.transport(),
            base_url=f"{self.sandbox.url}/api/projects/1",
            headers={"Authorization": f"Bearer {self.sandbox.api_key}"},
        )
        self.world = self.sandbox.world
        self.workflow = self.world.add_workflow(trigger="batch")["id"]
        self.jobs = f"/hog_flows/{self.workflow}/batch_jobs/"

    def sends(self) -> int:
        return len(self.world.batch_sends)


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.mark.parametrize("generation", ["current", "docs"])
@pytest.mark.parametrize("path", ["/hog_flows/", "/no/such/", "/groups/?group_type_index=0", ""])
def test_it_answers_as_over_sockets(start: Start, generation: str, path: str) -> None:
    sandbox, http = start(generation=generation, now=NOW, populate=True, limits=False)
    sandbox.clock.freeze(NOW)
    inside = httpx.Client(transport=sandbox.transport(), headers=http.headers)
    url = f"{sandbox.url}/api/projects/1{path}"
    for method in ("GET", "POST", "HEAD", "OPTIONS"):
        first, second = (client.request(method, url) for client in (http, inside))
        assert (first.status_code, first.text) == (second.status_code, second.text)
        assert dict(first.headers) == dict(second.headers)


def test_the_clock_that_is_given_drives_it(place: Place) -> None:
    run = place.world.add_run(place.workflow, "failed", NOW - timedelta(hours=1)).invocation_id
    window = {"window_start": "2026-11-28T00:00:00Z", "window_end": "2026-11-28T12:00:00Z"}
    answer = place.http.post(f"/hog_flows/{place.workflow}/rerun/", json={"filter": window})
    assert answer.headers["Date"] == "Sat, 28 Nov 2026 12:00:00 GMT"
    assert place.world.replays == []
    place.clock.sleep(10)
    assert [one.instance_id for one in place.world.replays] == [run]
    place.sandbox.clock.advance(5)
    assert place.clock.now() == NOW + timedelta(seconds=15)


def test_throttle_windows_pass_on_the_clock_that_is_given() -> None:
    place = Place()
    place.sandbox.site.throttle._limits["default"] = ((2, 60.0),)
    assert [place.http.get("/hog_flows/").status_code for _ in range(3)] == [200, 200, 429]
    place.clock.sleep(61)
    assert place.http.get("/hog_flows/").status_code == 200


@pytest.mark.parametrize(
    ("fault", "error", "sends"),
    [
        ({"cut": "connect"}, httpx.ConnectError, 0),
        ({"cut": "before"}, httpx.ReadError, 0),
        ({"cut": "after"}, httpx.ReadError, 1),
        ({"cut": "during"}, httpx.RemoteProtocolError, 1),
        ({"hold": 90.0}, httpx.ReadTimeout, 1),
    ],
)
def test_cuts_and_timeouts_are_what_a_socket_shows(
    place: Place, fault: dict[str, Any], error: type[Exception], sends: int
) -> None:
    place.sandbox.fail("POST", "*/batch_jobs/", **fault)
    with pytest.raises(error):
        place.http.post(place.jobs, json={}, timeout=60)
    assert place.sends() == sends


def test_a_request_that_was_given_up_takes_effect_in_its_own_time(place: Place) -> None:
    place.sandbox.fail("POST", "*/batch_jobs/", delay=90.0)
    with pytest.raises(httpx.ReadTimeout):
        place.http.post(place.jobs, json={}, timeout=60)
    assert (place.clock.waits, place.sends()) == ([60], 0)
    place.clock.sleep(3600)
    assert place.sends() == 1
    assert place.world.sent[0].at == NOW + timedelta(seconds=90)
    assert place.sandbox.requests[-1].at == NOW + timedelta(seconds=90)


def test_a_dripping_answer_takes_its_time_byte_by_byte(place: Place) -> None:
    place.sandbox.fail("GET", "*/hog_flows/", drip=0.5)
    answer = place.http.get("/hog_flows/")
    assert answer.json()["count"] == 1
    assert sum(place.clock.waits) == pytest.approx(0.5 * len(answer.content))


def test_a_server_that_is_not_there_refuses_connections() -> None:
    up = [False]
    sandbox = Sandbox(populate=False)
    with httpx.Client(transport=sandbox.transport(lambda: up[0])) as http:
        with pytest.raises(httpx.ConnectError):
            http.get(sandbox.url + "/_sandbox/")
        up[0] = True
        assert http.get(sandbox.url + "/_sandbox/").status_code == 200


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize("name", sorted(PROXY_ANSWERS))
def test_each_proxy_answer_comes_before_or_after_the_effect(
    place: Place, name: str, effect: bool
) -> None:
    answer = PROXY_ANSWERS[name]
    place.sandbox.fail_as(name, "POST", "*/batch_jobs/", effect=effect)
    try:
        got = place.http.post(place.jobs, json={})
    except httpx.DecodingError:
        assert name == "gzip_garbage_200"
    else:
        assert got.status_code == answer.status
        if name.endswith("_other_host"):
            assert got.headers["Location"].startswith(OTHER_HOST)
        if name.startswith(("empty_4", "empty_5")):
            assert (got.content, "content-type" in got.headers) == (b"", False)
    assert place.sends() == int(effect)
    assert place.http.post(place.jobs, json={}).status_code == 200


def test_the_table_of_proxy_answers_is_whole() -> None:
    statuses = {400, 403, 404, 408, 409, 413, 421, 425, 429, 460, 499, 500, 502, 503, 504}
    for status in statuses | set(range(520, 528)):
        assert {f"{kind}_{status}" for kind in ("html", "text", "empty", "json")} <= set(
            PROXY_ANSWERS
        )
    for status in (301, 302, 303, 307, 308):
        for host in ("same", "other"):
            assert f"redirect_{status}_{host}_host" in PROXY_ANSWERS
    with pytest.raises(ValueError, match="no response is called 'html_999'"):
        Sandbox(populate=False).fail_as("html_999")


def test_a_simple_request_is_served_in_well_under_a_millisecond(place: Place) -> None:
    path = f"/hog_flows/{place.workflow}/logs/"
    transport = place.sandbox.transport()
    request = place.http.build_request("GET", path)
    transport.handle_request(request)
    best = []
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(20):
            transport.handle_request(request)
        best.append((time.perf_counter() - began) / 20)
    assert min(best) < 0.001
