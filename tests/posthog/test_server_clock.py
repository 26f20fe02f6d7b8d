"""PostHog's clock by bounds: they hold the truth whatever delays and the local wall clock do."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog._transport.server_clock import DATE_IS_OLD_S, ServerClock
from hog_dagster.posthog.errors import PostHogError

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
GRAIN = timedelta(microseconds=5)  # Moments are added up as floating point numbers.


class Hands:
    """A local clock whose wall can be stepped, and beside it the server's true time."""

    def __init__(self, skew: float = 0.0, drift: float = 0.0) -> None:
        self.elapsed = 1000.0
        self.stepped = 0.0
        self.skew = skew
        self.drift = drift

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed + self.stepped)

    def monotonic(self) -> float:
        return self.elapsed

    def sleep(self, seconds: float) -> None:
        self.elapsed += seconds

    def server(self) -> datetime:
        return START + timedelta(seconds=self.elapsed * (1 + self.drift) + self.skew)


def exchange(
    hands: Hands, clock: ServerClock, out: float = 0.0, back: float = 0.0, stale: float = 0.0
) -> None:
    """One request and its response: seconds there and back, and the age of the server's header."""
    sent = hands.monotonic()
    hands.sleep(out)
    date = (hands.server() - timedelta(seconds=stale)).replace(microsecond=0)
    hands.sleep(back)
    clock.notice(date, sent=sent, received=hands.monotonic())


def test_before_any_response_the_bounds_are_a_day_around_the_local_clock() -> None:
    hands = Hands()
    clock = ServerClock(hands)
    assert not clock.known
    assert clock.earliest() == hands.now() - timedelta(days=1)
    assert clock.latest() == hands.now() + timedelta(days=1)
    assert clock.now() == hands.now()


steps = st.tuples(
    st.sampled_from(["exchange", "wait", "step"]),
    st.floats(0, 90),
    st.floats(0, 90),
    st.floats(0, 0.99),
)


@given(skew=st.floats(-1e6, 1e6), drift=st.floats(-5e-5, 5e-5), steps=st.lists(steps, max_size=30))
def test_the_bounds_hold_the_truth_while_the_server_runs_evenly(
    skew: float, drift: float, steps: list[tuple[str, float, float, float]]
) -> None:
    hands = Hands(skew, drift)
    clock = ServerClock(hands)
    for kind, first, second, stale in steps:
        if kind == "wait":
            hands.sleep(first * 100)
        elif kind == "step":
            hands.stepped += (first - 45) * 1000
        else:
            exchange(hands, clock, first, second, stale)
        if clock.known:
            assert clock.earliest() - GRAIN <= hands.server() <= clock.latest() + GRAIN
            low, high = clock.ahead()
            true = (hands.server() - hands.now()).total_seconds()
            assert low - 1e-4 <= true <= high + 1e-4


@given(
    before=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=5),
    step=st.floats(-1e5, 1e5),
    after=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), min_size=2, max_size=5),
)
def test_a_step_of_the_servers_clock_is_followed(
    before: list[tuple[float, float]], step: float, after: list[tuple[float, float]]
) -> None:
    hands = Hands()
    clock = ServerClock(hands)
    for out, back in before:
        exchange(hands, clock, out, back)
    hands.skew += step
    for out, back in after:
        exchange(hands, clock, out, back)
    # A step so small that it contradicts nothing can stay unnoticed, and does no more harm than it.
    slack = GRAIN if abs(step) > 30 else timedelta(seconds=abs(step)) + GRAIN
    assert clock.earliest() - slack <= hands.server() <= clock.latest() + slack


def test_a_contradiction_widens_to_both_and_the_next_response_tightens() -> None:
    hands = Hands()
    clock = ServerClock(hands)
    exchange(hands, clock)
    hands.skew = 3600
    exchange(hands, clock)
    assert clock.latest() - clock.earliest() > timedelta(minutes=59)
    exchange(hands, clock)
    assert clock.latest() - clock.earliest() <= timedelta(seconds=DATE_IS_OLD_S + 1)
    assert clock.earliest() <= hands.server() <= clock.latest()


def test_a_slow_response_does_not_move_what_quick_ones_showed() -> None:
    hands = Hands(skew=7.0)
    clock = ServerClock(hands)
    exchange(hands, clock, 0.05, 0.05)
    exchange(hands, clock, 24.0, 0.0)
    exchange(hands, clock, 0.0, 24.0)
    assert clock.latest() - clock.earliest() < timedelta(seconds=2.2)
    assert clock.earliest() - GRAIN <= hands.server() <= clock.latest() + GRAIN
    assert abs(clock.now() - hands.server()) < timedelta(seconds=2)


def test_many_quick_responses_tighten_the_bounds() -> None:
    hands = Hands()
    clock = ServerClock(hands)
    for _ in range(40):
        exchange(hands, clock, 0.01, 0.01)
        hands.sleep(0.07)
    assert clock.latest() - clock.earliest() < timedelta(seconds=1.2)


def test_a_stepped_local_clock_changes_nothing() -> None:
    hands = Hands()
    clock = ServerClock(hands)
    exchange(hands, clock)
    known = clock.earliest(), clock.latest()
    hands.stepped = -7200
    assert (clock.earliest(), clock.latest()) == known


def test_a_moment_in_the_past_can_be_asked_for() -> None:
    hands = Hands()
    clock = ServerClock(hands)
    exchange(hands, clock)
    at, then = clock.local_monotonic(), hands.server()
    hands.sleep(30)
    assert clock.earliest(at) - GRAIN <= then <= clock.latest(at) + GRAIN


@pytest.mark.parametrize("year", [1, 1900, 9999])
def test_a_date_that_no_clock_shows_is_left_out(year: int) -> None:
    clock = ServerClock(Hands())
    clock.notice(datetime(year, 1, 1, tzinfo=UTC), sent=1.0, received=1.0)
    assert not clock.known


# -- which responses count -------------------------------------------------------------------------


def client_over(answer: Callable[[httpx.Request], httpx.Response], hands: Hands) -> PostHogClient:
    transport = httpx.MockTransport(answer)
    return PostHogClient(
        "https://us.posthog.com", "phx_k", 1, limits=False, transport=transport, clock=hands
    )


@pytest.mark.parametrize(
    ("headers", "body", "counts"),
    [
        ({}, {"id": "w1"}, True),
        ({"Age": "0"}, {"id": "w1"}, False),
        ({"Content-Type": "text/html"}, {"id": "w1"}, False),
        ({}, {"message": "OK"}, False),
        ({}, {"detail": "timeout", "results": []}, False),
        ({}, None, False),
        ({}, [], False),
    ],
)
def test_only_posthogs_own_and_fresh_responses_tell_the_time(
    headers: dict[str, str], body: Any, counts: bool
) -> None:
    hands = Hands(skew=500.0)

    def answer(request: httpx.Request) -> httpx.Response:
        date = format_datetime(hands.server(), usegmt=True)
        return httpx.Response(200, json=body, headers={"Date": date} | headers)

    with client_over(answer, hands) as client:
        try:
            client.workflows.get("w1")
        except PostHogError:
            assert not counts
        assert client.server.clock.known is counts
        if counts:
            assert client.server.clock.earliest() <= hands.server()
            assert hands.server() <= client.server.clock.latest()


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize(
    ("body", "counts"),
    [({"rerun_job_id": "j1"}, True), ({"status": "ok"}, False), ({}, False), ([1], False)],
)
def test_a_proxys_success_of_a_write_tells_no_time(status: int, body: Any, counts: bool) -> None:
    hands = Hands(skew=500.0)

    def answer(request: httpx.Request) -> httpx.Response:
        date = format_datetime(hands.server(), usegmt=True)
        return httpx.Response(status, json=body, headers={"Date": date})

    with client_over(answer, hands) as client:
        end = START + timedelta(hours=1)
        try:
            client.workflows.rerun("w1", window_start=START, window_end=end, status="failed")
        except PostHogError:
            assert not counts
        assert client.server.clock.known is counts


@pytest.mark.parametrize("body", [{"message": "OK"}, None])
def test_a_write_that_answers_with_nothing_of_its_own_tells_no_time(body: Any) -> None:
    hands = Hands(skew=500.0)

    def answer(request: httpx.Request) -> httpx.Response:
        date = format_datetime(hands.server(), usegmt=True)
        given = {"json": body} if body else {}
        return httpx.Response(200 if body else 204, headers={"Date": date}, **given)

    with client_over(answer, hands) as client:
        with contextlib.suppress(PostHogError):
            client.groups.delete_type(0)
        assert not client.server.clock.known


@pytest.mark.parametrize("body", [{}, {"message": "OK"}, []])
def test_a_proxys_json_fits_no_model_whose_fields_may_all_be_missing(body: Any) -> None:
    hands = Hands(skew=500.0)

    def answer(request: httpx.Request) -> httpx.Response:
        date = format_datetime(hands.server(), usegmt=True)
        return httpx.Response(200, json=body, headers={"Date": date})

    for read in (
        lambda client: client.server.key(),
        lambda client: client.server.read_clock(),
        lambda client: client.groups.types(),
        lambda client: client.messaging.suspension(),
    ):
        with client_over(answer, hands) as client:
            with contextlib.suppress(PostHogError):
                read(client)
            assert not client.server.clock.known


def test_pages_counts_and_rows_of_queries_tell_the_time() -> None:
    hands = Hands()
    page = {"count": 0, "next": None, "previous": None, "results": []}
    rows = {"results": [["one"]], "columns": ["a"], "types": [["a", "String"]]}

    def answer(request: httpx.Request) -> httpx.Response:
        date = format_datetime(hands.server(), usegmt=True)
        body = rows if request.url.path.endswith("/query/") else page
        if request.url.path.endswith("/personal_api_keys/@current/"):
            body = {"scopes": ["*"], "label": "ours"}
        return httpx.Response(200, json=body, headers={"Date": date})

    for read in (
        lambda client: list(client.workflows.list()),
        lambda client: client.query.page("SELECT 'one' AS a"),
        lambda client: client.server.read_clock(),
    ):
        with client_over(answer, hands) as client:
            assert not client.server.clock.known
            read(client)
            assert client.server.clock.known


def test_a_slow_read_before_the_send_moves_no_bound() -> None:
    """24 seconds, as a read timeout of 60 allows."""
    hands = Hands()

    def answer(request: httpx.Request) -> httpx.Response:
        hands.sleep(24.0)
        date = format_datetime(hands.server(), usegmt=True)
        return httpx.Response(200, json={"id": "w1"}, headers={"Date": date})

    with client_over(answer, hands) as client:
        client.workflows.get("w1")
        clock = client.server.clock
        assert clock.earliest() <= hands.server() <= clock.latest()
        assert hands.server() - clock.earliest() <= timedelta(seconds=1)
