"""Pacing: never more than the limit in any window, whatever the latency and whoever sends."""

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hog_dagster.posthog import PostHogClient, Rate, errors
from hog_dagster.posthog._rate_limit.limiter import LIMITS, Pacer, TooLong
from hog_dagster.posthog._rate_limit.ring import IN_FLIGHT_S, Ring
from hog_dagster.sandbox import Sandbox

KEY = "phx_sandbox"


class DrfThrottle:
    """What the server does: a sliding log per window; a refused request is an error."""

    def __init__(self, rates: list[Rate]) -> None:
        self.rates = rates
        self.times: list[float] = []

    def charge(self, now: float) -> None:
        for rate in self.rates:
            # The server drops what is exactly as old as the window.
            recent = [at for at in self.times if at > now - rate.seconds]
            assert len(recent) < rate.requests, f"429: {rate} at {now}"
        self.times.append(now)


@settings(max_examples=150, deadline=None)
@given(
    minute=st.integers(1, 8),
    hour=st.integers(1, 30),
    steps=st.lists(
        st.tuples(
            st.floats(0, 3),  # idle before asking
            st.floats(0, 2),  # until the server counts it
            st.floats(0, 2),  # until its answer is there
            st.booleans(),  # whether the process lives to see the answer
        ),
        max_size=60,
    ),
)
def test_the_server_never_sees_more_than_its_limit(
    minute: int, hour: int, steps: list[tuple[float, float, float, bool]]
) -> None:
    rates = [Rate(minute, 6.0), Rate(hour, 60.0)]
    server, ring, now = DrfThrottle(rates), Ring(), 1_000.0
    arrivals: list[tuple[float, float, int | None]] = []  # counted at, answered at, slot
    for idle, transit, back, lives in steps:
        now += idle
        while True:
            for _, answered, slot in arrivals:
                if slot is not None and answered <= now:
                    ring.settle(slot, answered)
            wait, _ = ring.wait(rates, now)
            if wait <= 0:
                break
            now += wait + 0.001
        slot = ring.push(now + IN_FLIGHT_S)
        arrivals.append((now + transit, now + transit + back, slot if lives else None))
    for counted in sorted(counted for counted, _, _ in arrivals):
        server.charge(counted)


@settings(max_examples=60, deadline=None)
@given(requests=st.integers(1, 5), gaps=st.lists(st.floats(0, 2), max_size=40))
def test_no_request_waits_longer_than_the_limit_asks(requests: int, gaps: list[float]) -> None:
    """With answers at once, the pacing is as fast as the sliding window allows."""
    rate, ring, now, sent = Rate(requests, 5.0), Ring(), 0.0, []
    for gap in gaps:
        now += gap
        wait, reason = ring.wait([rate], now)
        earliest = now if len(sent) < requests else max(now, sent[-requests] + rate.seconds)
        assert now + wait == pytest.approx(earliest)
        assert (reason is None) is (wait <= 0)
        now = earliest
        ring.settle(ring.push(now + IN_FLIGHT_S), now)
        sent.append(now)


def test_the_ring_goes_round() -> None:
    ring, rate = Ring(), Rate(3, 10.0)
    for n in range(40_000):
        ring.settle(ring.push(n + IN_FLIGHT_S), float(n))
    assert sorted(ring.within(10.0, 40_000.0)) == [float(n) for n in range(39_991, 40_000)]
    assert ring.wait([rate], 40_000.0)[0] == pytest.approx(7.0)


def test_a_clock_that_was_set_back_does_not_block_for_ever() -> None:
    ring, rate = Ring(), Rate(2, 60.0)
    for _ in range(2):
        ring.push(1_000_000.0)
    ring.hold(1_000_000.0)
    assert ring.wait([rate], 10.0) == (0.0, None)


def test_the_defaults_are_posthogs_and_a_tenth_is_left_to_others() -> None:
    assert {
        bucket: [(r.requests, r.seconds) for r in rates] for bucket, rates in LIMITS.items()
    } == {
        "default": [(480, 60), (4_800, 3_600)],
        "insights": [(240, 60), (1_200, 3_600)],
        "query": [(240, 60), (2_400, 3_600)],
    }
    pacer = Pacer("key", directory=None)
    assert [rate.requests for rate in pacer.rates("default")] == [432, 4_320]


def test_buckets_are_counted_apart_and_use_is_reported(tmp_path: Path) -> None:
    limits = {"default": [Rate(10, 60)], "insights": [Rate(4, 60)]}
    pacer = Pacer("key", limits=limits, headroom=0.5, directory=tmp_path)
    for _ in range(2):
        pacer.acquire("insights", max_wait=0, on_wait=lambda *_: None)
    with pytest.raises(TooLong):
        pacer.acquire("insights", max_wait=0, on_wait=lambda *_: None)
    pacer.acquire("default", max_wait=0, on_wait=lambda *_: None)
    usage = {
        line.bucket: (line.limit, line.allowed, line.used, line.free) for line in pacer.usage()
    }
    assert usage == {"default": (10, 5, 1, 4), "insights": (4, 2, 2, 0)}


def test_keys_and_hosts_are_counted_apart_and_never_written_down(tmp_path: Path) -> None:
    limits = {"default": [Rate(1, 60)]}
    for name in ("host-a phx_one", "host-a phx_two", "host-b phx_one"):
        Pacer(name, limits=limits, headroom=1, directory=tmp_path).acquire(
            "default", max_wait=0, on_wait=lambda *_: None
        )
    assert not [path for path in tmp_path.iterdir() if "phx" in path.name]
    assert not [path for path in tmp_path.iterdir() if b"phx" in path.read_bytes()]


def test_two_clients_of_one_key_share_the_limit(tmp_path: Path) -> None:
    with Sandbox("docs", limits=False) as sandbox:
        settings = {"limits": {"default": [(2, 60)]}, "headroom": 1.0, "pacing_dir": tmp_path}
        with (
            PostHogClient(sandbox.url, KEY, 1, max_wait=0, **settings) as one,
            PostHogClient(sandbox.url, KEY, 1, max_wait=0, **settings) as two,
        ):
            one.server.key()
            two.server.key()
            for client in (one, two):
                with pytest.raises(errors.Throttled, match="was not sent") as caught:
                    client.server.key()
                assert 50 < caught.value.wait_s <= 60
            assert one.requests_made == two.requests_made == 1


def test_a_429_holds_back_every_process_with_the_key(tmp_path: Path) -> None:
    with Sandbox("docs", limits=False) as sandbox:
        sandbox.fail(path="*", status=429, headers={"Retry-After": "30"}, times=1)
        with (
            PostHogClient(sandbox.url, KEY, 1, max_wait=0, pacing_dir=tmp_path) as one,
            PostHogClient(sandbox.url, KEY, 1, max_wait=0, pacing_dir=tmp_path) as two,
        ):
            with pytest.raises(errors.Throttled):
                one.server.key()
            with pytest.raises(errors.Throttled) as caught:
                two.server.key()
            assert 25 < caught.value.wait_s <= 30
            assert two.requests_made == 0
            with pytest.raises(errors.Throttled):
                two.workflows.create({})


def test_a_wait_says_how_long_and_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.DEBUG, logger="hog_dagster.posthog"),
        Sandbox("docs", limits=False) as sandbox,
        PostHogClient(
            sandbox.url, KEY, 1, limits={"default": [(1, 0.2)]}, headroom=1, pacing_dir=tmp_path
        ) as client,
    ):
        client.server.key()
        client.server.key()
    (said,) = [r.getMessage() for r in caplog.records if "Waiting" in r.getMessage()]
    assert "0.2 s for the rate limit before GET /api/personal_api_keys/@current/" in said
    assert "1 requests in 0.2 s" in said


def test_a_directory_that_cannot_be_used_paces_this_process_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    pacer = Pacer("key", limits={"default": [Rate(1, 60)]}, headroom=1, directory=blocked)
    assert "in this process alone" in caplog.text
    pacer.acquire("default", max_wait=0, on_wait=lambda *_: None)
    with pytest.raises(TooLong):
        pacer.acquire("default", max_wait=0, on_wait=lambda *_: None)


def test_a_store_that_is_tidied_away_is_made_again(tmp_path: Path) -> None:
    pacer = Pacer("key", limits={"default": [Rate(3, 60)]}, headroom=1, directory=tmp_path)
    slot, _ = pacer.acquire("default", max_wait=0, on_wait=lambda *_: None)
    for path in tmp_path.iterdir():
        path.unlink()
    slot.done()
    pacer.acquire("default", max_wait=0, on_wait=lambda *_: None)
    assert [line.used for line in pacer.usage()] == [1]


def test_threads_share_the_limit_exactly(tmp_path: Path) -> None:
    pacer = Pacer("key", limits={"default": [Rate(50, 60)]}, headroom=1, directory=tmp_path)
    let_through: list[int] = []

    def ask() -> None:
        for _ in range(20):
            try:
                slot, _ = pacer.acquire("default", max_wait=0, on_wait=lambda *_: None)
            except TooLong:
                continue
            let_through.append(1)
            slot.done()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(let_through) == 50


DRAIN = """
import sys
from hog_dagster.posthog import PostHogClient
url, directory, requests = sys.argv[1], sys.argv[2], int(sys.argv[3])
limits = {"default": [(40, 1.0), (100, 4.0)]}
with PostHogClient(
    url, "phx_sandbox", 1, limits=limits, headroom=1.0, pacing_dir=directory
) as client:
    for _ in range(requests):
        client.server.key()
    print(client.requests_made)
"""


def test_four_processes_drain_requests_without_one_429(tmp_path: Path) -> None:
    limits = {"default": ((40, 1.0), (100, 4.0))}
    with Sandbox("docs", limits=limits) as sandbox:
        command = [sys.executable, "-c", DRAIN, sandbox.url, str(tmp_path), "30"]
        workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        sent = [int(worker.communicate(timeout=100)[0]) for worker in workers]
        assert sent == [30] * 4
        statuses = [record.status for record in sandbox.requests]
    assert statuses == [200] * 120


def test_rings_of_keys_no_longer_used_are_tidied_away_once_a_day(tmp_path: Path) -> None:
    old, fresh, other = tmp_path / "old-default.ring", tmp_path / "new.ring", tmp_path / "notes"
    for path in (old, fresh, other):
        path.write_bytes(b"")
    for path in (old, other):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    Pacer("key", directory=tmp_path)
    assert (old.exists(), fresh.exists(), other.exists()) == (False, True, True)
    old.write_bytes(b"")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    Pacer("key", directory=tmp_path)
    assert old.exists()


def test_a_ring_in_use_counts_as_fresh(tmp_path: Path) -> None:
    pacer = Pacer("key", limits={"default": [Rate(5, 60)]}, directory=tmp_path)
    pacer.acquire("default", max_wait=0, on_wait=lambda *_: None)
    (ring,) = tmp_path.glob("*.ring")
    assert ring.stat().st_mtime > 1_700_000_000
