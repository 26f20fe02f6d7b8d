"""The rate limiter: never more than the limit in any window, whatever the latency and whoever
sends; the same rules for files and for PostgreSQL, on a clock that is passed in."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rate_limit_kit import DrfThrottle, Hands

from hog_dagster.posthog import Rate
from hog_dagster.posthog._rate_limit import postgres_store
from hog_dagster.posthog._rate_limit.limiter import LIMITS, RateLimiter, TooLong
from hog_dagster.posthog._rate_limit.store import Taken, Wait
from hog_dagster.posthog._rate_limit.windows import IN_FLIGHT_S, LONGEST_HOLD_S

STORES = ("files", "postgres")


class Maker:
    """Makes limiters that count together, all on one clock."""

    def __init__(self, where: str, clock: Hands) -> None:
        self.where, self.clock, self.key = where, clock, uuid.uuid4().hex
        self.made: list[RateLimiter] = []
        self.said: list[str] = []

    def __call__(self, *rates: tuple[int, float], bucket: str = "default", headroom: float = 1.0):
        limits = {bucket: [Rate(*rate) for rate in rates]} if rates else LIMITS
        limiter = RateLimiter(
            self.key,
            limits=limits,
            headroom=headroom,
            where=self.where,
            clock=self.clock,
            on_change=self.said.append,
        )
        self.made.append(limiter)
        return limiter

    def close(self) -> None:
        assert self.said == []
        for limiter in self.made:
            limiter.close()


@pytest.fixture(scope="module")
def database(postgres_server: str) -> Iterator[str]:
    name = f"limits_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as con:
        con.execute(f'CREATE DATABASE "{name}"'.encode())
    base, _, query = postgres_server.partition("?")
    yield f"{base.rsplit('/', 1)[0]}/{name}?{query}"
    with psycopg.connect(postgres_server, autocommit=True) as con:
        con.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture(params=STORES)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Maker]:
    where = str(tmp_path)
    if request.param == "postgres":
        where = request.getfixturevalue("database")
    maker = Maker(where, Hands())
    yield maker
    maker.close()


def ask(limiter: RateLimiter, bucket: str = "default", max_wait: float = 0.0):
    return limiter.acquire(bucket, max_wait=max_wait, on_wait=lambda *_: None)


#: The folder or database is shared by all examples, each of which has a key of its own.
SHARED = [HealthCheck.function_scoped_fixture]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),  # which process asks
        st.floats(0, 3),  # idle before asking
        st.floats(0, 2),  # until the server counts it
        st.floats(0, 2),  # until its response is there
        st.booleans(),  # whether the process lives to see the response
    ),
    max_size=40,
)


def play(maker: Maker, minute: int, hour: int, steps: list) -> None:
    rates = [(minute, 6.0), (hour, 60.0)]
    clock, server = maker.clock, DrfThrottle([Rate(*rate) for rate in rates])
    processes = [maker(*rates) for _ in range(3)]
    for process, idle, transit, back, lives in steps:
        clock.advance(idle)
        slot, _ = ask(processes[process], max_wait=1e9)
        clock.later(transit, lambda: server.charge(clock.at))
        if lives:
            clock.later(transit + back, slot.done)
    clock.advance(100)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(minute=st.integers(1, 8), hour=st.integers(1, 30), steps=STEPS)
def test_the_server_never_sees_more_than_its_limit_by_files(
    tmp_path: Path, minute: int, hour: int, steps: list
) -> None:
    play(Maker(str(tmp_path), Hands()), minute, hour, steps)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(minute=st.integers(1, 8), hour=st.integers(1, 30), steps=STEPS)
def test_the_server_never_sees_more_than_its_limit_by_postgres(
    database: str, minute: int, hour: int, steps: list
) -> None:
    maker = Maker(database, Hands())
    play(maker, minute, hour, steps)
    maker.close()


@pytest.mark.parametrize("requests", [1, 3, 40])
def test_no_request_waits_longer_than_the_limit_asks(make: Maker, requests: int) -> None:
    """With responses at once, it is as fast as the sliding window allows."""
    limiter, clock, sent = make((requests, 5.0)), make.clock, []
    for gap in (0.0, 0.3, 0.0, 2.0, 0.01) * 12:
        clock.advance(gap)
        earliest = clock.at if len(sent) < requests else max(clock.at, sent[-requests] + 5.0)
        slot, _ = ask(limiter, max_wait=100)
        assert clock.at == pytest.approx(earliest, abs=0.11)
        slot.done()
        sent.append(clock.at)


def test_places_are_given_in_the_order_of_asking(make: Maker) -> None:
    """Whoever waits has a moment of its own: nobody polls, and nobody is passed over."""
    limiters = [make((3, 10.0)) for _ in range(4)]
    for _ in range(3):
        ask(limiters[0])[0].done()
        make.clock.advance(1)
    rates = limiters[0].rates("default")
    here = make.clock.monotonic()
    stores = [limiter._store for limiter in limiters]
    taken = [store.take("default", rates, within=60) for store in stores[:3] if store]
    assert [round(one.at - here, 3) for one in taken if isinstance(one, Taken)] == [7, 8, 9]
    # The place after those has no moment yet: it depends on when the first of them is counted.
    assert stores[3] is not None
    fourth = stores[3].take("default", rates, within=60)
    assert isinstance(fourth, Wait)
    assert fourth.seconds == pytest.approx(17, abs=0.01)


def test_a_later_and_shorter_429_does_not_shorten_a_hold(make: Maker) -> None:
    one, other = make((100, 60.0)), make((100, 60.0))
    one.hold("default", 30.0)
    other.hold("default", 5.0)
    for limiter in (one, other):
        with pytest.raises(TooLong) as caught:
            ask(limiter)
        assert caught.value.wait == pytest.approx(30, abs=0.01)
        assert caught.value.rate is None
    make.clock.advance(30.1)
    assert ask(one)[1] == 0


def test_a_hold_is_for_its_bucket_alone_and_never_longer_than_the_server_asks(make: Maker) -> None:
    limiter = make()
    limiter.hold("insights", 1e9)
    assert ask(limiter)[1] == 0
    with pytest.raises(TooLong) as caught:
        ask(limiter, "insights")
    assert caught.value.wait <= LONGEST_HOLD_S


def test_who_waits_already_heeds_a_hold(make: Maker) -> None:
    waiting, refused = make((1, 20.0)), make((1, 20.0))
    ask(waiting)[0].done()
    make.clock.later(10, lambda: refused.hold("default", 50.0))
    _, waited = ask(waiting, max_wait=100)
    assert waited == pytest.approx(60, abs=0.2)


@pytest.mark.parametrize(("limit", "allowed"), [(7, 6), (10, 9), (1, 1), (480, 432), (33, 29)])
def test_the_allowance_is_rounded_down_and_never_nothing(
    make: Maker, limit: int, allowed: int
) -> None:
    limiter = make((limit, 60.0), headroom=0.9)
    assert [rate.requests for rate in limiter.rates("default")] == [allowed]
    if allowed < 40:
        for _ in range(allowed):
            ask(limiter)[0].done()
        with pytest.raises(TooLong):
            ask(limiter)


def test_a_bucket_that_is_not_known_is_limited_as_the_default_one(make: Maker) -> None:
    limiter = make((2, 60.0))
    for _ in range(2):
        ask(limiter, "of a later release")[0].done()
    with pytest.raises(TooLong):
        ask(limiter, "of a later release")
    assert ask(limiter)[1] == 0  # The default one is counted apart.


def test_a_request_under_way_counts_until_its_response_came(make: Maker) -> None:
    """The server may have counted it at any moment before its response."""
    one, other, clock = make((1, 20.0)), make((1, 20.0)), make.clock
    slot, _ = ask(one)
    clock.later(8, slot.done)
    clock.later(8, one.close)  # PostgreSQL is told with the next question, or at the end.
    _, waited = ask(other, max_wait=100)
    assert waited == pytest.approx(28, abs=0.2)


def test_a_response_at_once_frees_its_place_as_early(make: Maker) -> None:
    limiter = make((1, 20.0))
    ask(limiter)[0].done()
    assert ask(limiter, max_wait=100)[1] == pytest.approx(20, abs=0.2)


def test_the_place_of_a_process_that_died_is_free_again_after_its_window(make: Maker) -> None:
    killed, living = make((2, 20.0)), make((2, 20.0))
    ask(killed)
    ask(killed)
    make.made.remove(killed)  # Nothing is told of it any more.
    _, waited = ask(living, max_wait=100)
    assert waited == pytest.approx(20 + IN_FLIGHT_S, abs=0.2)


def test_all_waits_of_one_call_together_are_at_most_as_long_as_it_may_wait(make: Maker) -> None:
    limiter, clock = make((1, 6.0)), make.clock
    slot, _ = ask(limiter)
    clock.later(5.9, slot.done)  # So the wait of 6 s turns out to be one of 11.9 s.
    began = clock.at
    with pytest.raises(TooLong) as caught:
        ask(limiter, max_wait=10.0)
    assert caught.value.wait == pytest.approx(5.9, abs=0.2)
    assert clock.at - began < 6.2
    assert ask(limiter, max_wait=6.0)[1] == pytest.approx(5.9, abs=0.2)


def test_a_wait_that_is_too_long_is_refused_at_once_and_costs_nothing(make: Maker) -> None:
    limiter, clock = make((2, 60.0)), make.clock
    ask(limiter)[0].done()
    ask(limiter)[0].done()
    for _ in range(5):
        with pytest.raises(TooLong) as caught:
            ask(limiter, max_wait=59.0)
        assert caught.value.wait == pytest.approx(60, abs=0.01)
        assert caught.value.rate == Rate(2, 60.0)
    assert clock.slept == []
    clock.advance(60)
    assert [ask(limiter)[1] for _ in range(2)] == [0, 0]


def test_an_interrupted_wait_gives_its_place_back(make: Maker) -> None:
    limiter, clock = make((2, 20.0)), make.clock
    for _ in range(2):
        ask(limiter)[0].done()

    def interrupt() -> None:
        raise KeyboardInterrupt

    clock.later(5, interrupt)
    with pytest.raises(KeyboardInterrupt):
        ask(limiter, max_wait=100)
    clock.advance(15.1)
    assert [ask(limiter)[1] for _ in range(2)] == [0, 0]


def test_a_process_that_was_suspended_does_not_use_an_old_place(make: Maker) -> None:
    """Its place counts from its moment on: used an hour later, it would be one too many."""
    limiter, clock = make((1, 20.0)), make.clock
    ask(limiter)[0].done()
    server = DrfThrottle([Rate(1, 20.0)])
    clock.later(10, lambda: clock.advance(50))  # The machine sleeps within the wait.
    ask(limiter, max_wait=1_000)[0].done()
    server.charge(clock.at)
    ask(limiter, max_wait=1_000)
    server.charge(clock.at)


def test_more_places_than_a_window_has_are_waited_for_in_turn(make: Maker) -> None:
    limiter = make((5, 10.0))
    for _ in range(30):
        ask(limiter, max_wait=1_000)[0].done()
    assert make.clock.monotonic() == pytest.approx(50, abs=1.5)


def test_the_hour_is_kept_to_as_well_as_the_minute(make: Maker) -> None:
    limiter = make((10, 60.0), (25, 3_600.0))
    for _ in range(26):
        ask(limiter, max_wait=10_000)[0].done()
    assert make.clock.monotonic() == pytest.approx(3_600, abs=0.5)


def test_buckets_are_counted_apart_and_use_is_reported(make: Maker) -> None:
    limiter = make()
    for _ in range(216):
        ask(limiter, "insights")[0].done()
    with pytest.raises(TooLong):
        ask(make(headroom=0.9), "insights")
    ask(limiter)[0].done()
    limiter.close()
    usage = {(line.bucket, line.seconds): line for line in make(headroom=0.9).usage()}
    assert usage["insights", 60].limit == 240
    assert usage["insights", 60].allowed == 216
    assert usage["insights", 60].used == 216
    assert usage["insights", 60].free == 0
    assert usage["default", 60].used == 1
    assert usage["default", 3_600].free == 4_319


def test_the_defaults_are_posthogs_and_a_tenth_is_left_to_others(make: Maker) -> None:
    assert {
        bucket: [(r.requests, r.seconds) for r in rates] for bucket, rates in LIMITS.items()
    } == {
        "default": [(480, 60), (4_800, 3_600)],
        "insights": [(240, 60), (1_200, 3_600)],
        "query": [(240, 60), (2_400, 3_600)],
    }
    limiter = make(headroom=0.9)
    assert [rate.requests for rate in limiter.rates("default")] == [432, 4_320]


def test_a_smaller_limit_that_one_process_learns_is_known_to_all(make: Maker) -> None:
    one, other = make(headroom=0.9), make(headroom=0.9)
    for _ in range(118):
        ask(one, "query")[0].done()
    assert not one.learn("query", 30.0)  # The minute's limit says nothing of the hour's.
    assert one.learn("query", 1_800.0)
    with pytest.raises(TooLong):
        ask(other, "query")
    with pytest.raises(TooLong):
        ask(other, "query")
    assert other.rates("query")[-1] == Rate(108, 3_600)
    make.clock.advance(25 * 3_600)
    assert len(other.rates("query")) == 2


def test_places_taken_ahead_and_not_used_go_back(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that sends quickly takes several at once; what it does not use is not lost."""
    monkeypatch.setattr(postgres_store, "BLOCK_S", 5.0)
    make = Maker(database, Hands())
    quick, other = make((100, 60.0)), make((100, 60.0))
    for _ in range(12):
        make.clock.advance(0.1)
        ask(quick)[0].done()
    assert other.usage()[0].used > 12
    make.clock.advance(1)
    quick.close()
    assert other.usage()[0].used == 12
    make.close()


def test_places_taken_ahead_are_not_used_late(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "BLOCK_S", 5.0)
    make = Maker(database, Hands())
    quick = make((100, 60.0))
    for number in range(60):
        make.clock.advance(0.1 if number % 20 else 50.0)
        slot, _ = ask(quick, max_wait=100)
        assert slot._taken is not None
        # Its moment is where the windows count it from.
        assert slot._taken.at >= make.clock.monotonic() - 2.0
        slot.done()
    make.close()


def test_the_block_of_a_process_that_was_killed_comes_back(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "BLOCK_S", 5.0)
    make = Maker(database, Hands())
    killed, living = make((100, 60.0)), make((100, 60.0))
    for _ in range(12):
        make.clock.advance(0.1)
        ask(killed)[0].done()
    make.made.remove(killed)
    assert 12 < living.usage()[0].used <= 22
    make.clock.advance(60 + IN_FLIGHT_S + 1)
    assert living.usage()[0].used == 0
    assert [ask(living)[1] for _ in range(100)] == [0] * 100
    make.close()
