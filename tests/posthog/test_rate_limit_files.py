"""The rate limit of one machine: what its processes share in files, and what they do without."""

import errno
import logging
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from rate_limit_kit import KEY

from hog_dagster.posthog import PostHogClient, Rate, errors
from hog_dagster.posthog._rate_limit import file_store
from hog_dagster.posthog._rate_limit import ring as rings
from hog_dagster.posthog._rate_limit.limiter import RateLimiter, TooLong
from hog_dagster.posthog._rate_limit.ring import CAPACITY, Ring
from hog_dagster.sandbox import Sandbox


def ask(limiter: RateLimiter, bucket: str = "default"):
    return limiter.acquire(bucket, max_wait=0, on_wait=lambda *_: None)


def test_the_ring_goes_round() -> None:
    ring, rate = Ring(), Rate(3, 10.0)
    for n in range(1, 40_000):
        index, moment = ring.take([Rate(16_000, 1.0)], float(n), latest=float(n))
        assert moment.at == n
        ring.settle(index, float(n))
    inside = sorted(entry.counted_by for entry in ring.within(10.0, 40_000.0))
    assert inside == [float(n) for n in range(39_991, 40_000)]
    assert ring.take([rate], 40_000.0, latest=40_001.0)[1].at == pytest.approx(40_007.0)


@pytest.mark.parametrize("late", ["give_back", "settle"])
def test_what_is_said_of_a_slot_after_a_lap_does_not_touch_the_request_in_its_place(
    late: str,
) -> None:
    ring, wide = Ring(), [Rate(10 * CAPACITY, 1.0)]
    first, _ = ring.take(wide, 1.0, latest=1.0)
    for _ in range(CAPACITY):
        ring.take(wide, 2.0, latest=2.0)
    counted = len(ring.within(10.0, 3.0))
    ring.give_back(first) if late == "give_back" else ring.settle(first, 1.5)
    assert len(ring.within(10.0, 3.0)) == counted == CAPACITY
    assert all(entry.counted_by > 3.0 for entry in ring.within(10.0, 3.0))


@pytest.mark.parametrize("taken", [0, 5, CAPACITY - 1, CAPACITY, 2 * CAPACITY - 1])
def test_a_slot_is_given_back_wherever_the_ring_stands(taken: int) -> None:
    ring, wide = Ring(), [Rate(10 * CAPACITY, 1.0)]
    for _ in range(taken):
        ring.take(wide, 1.0, latest=1.0)
    index, _ = ring.take(wide, 1.0, latest=1.0)
    ring.take(wide, 1.0, latest=1.0)
    counted = len(ring.within(10.0, 2.0))
    ring.give_back(index)
    assert len(ring.within(10.0, 2.0)) == counted - 1


def test_a_clock_that_was_set_back_does_not_block_for_ever() -> None:
    ring, rate = Ring(), Rate(2, 60.0)
    ring.add(1_000_000.0)
    ring.take([rate], 1_000_000.0, latest=1_000_000.0)  # Under way when the clock was set.
    ring.hold(1_000_000.0)
    index, moment = ring.take([rate], 10.0, latest=10.0)
    assert index >= 0
    assert moment.at == 10.0


def test_keys_and_hosts_are_counted_apart_and_never_written_down(tmp_path: Path) -> None:
    limits = {"default": [Rate(1, 60)]}
    for name in ("host-a phx_one", "host-a phx_two", "host-b phx_one"):
        ask(RateLimiter(name, limits=limits, headroom=1, where=tmp_path))
    assert not [path for path in tmp_path.iterdir() if "phx" in path.name]
    assert not [path for path in tmp_path.iterdir() if b"phx" in path.read_bytes()]


def test_two_clients_of_one_key_share_the_limit(tmp_path: Path) -> None:
    with Sandbox("docs", limits=False) as sandbox:
        settings = {"limits": {"default": [(2, 60)]}, "headroom": 1.0, "rate_limit": tmp_path}
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
            PostHogClient(sandbox.url, KEY, 1, max_wait=0, rate_limit=tmp_path) as one,
            PostHogClient(sandbox.url, KEY, 1, max_wait=0, rate_limit=tmp_path) as two,
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
            sandbox.url, KEY, 1, limits={"default": [(1, 0.2)]}, headroom=1, rate_limit=tmp_path
        ) as client,
    ):
        client.server.key()
        client.server.key()
    (said,) = [r.getMessage() for r in caplog.records if "Waiting" in r.getMessage()]
    assert "0.2 s for the rate limit before GET /api/personal_api_keys/@current/" in said
    assert "1 requests in 0.2 s" in said


def test_a_store_that_is_tidied_away_is_made_again(tmp_path: Path) -> None:
    limiter = RateLimiter("key", limits={"default": [Rate(3, 60)]}, headroom=1, where=tmp_path)
    slot, _ = ask(limiter)
    for path in tmp_path.iterdir():
        path.unlink()
    slot.done()
    ask(limiter)
    assert [line.used for line in limiter.usage()] == [1]


def test_threads_share_the_limit_exactly(tmp_path: Path) -> None:
    limiter = RateLimiter("key", limits={"default": [Rate(50, 60)]}, headroom=1, where=tmp_path)
    let_through: list[int] = []

    def send() -> None:
        for _ in range(20):
            try:
                slot, _ = ask(limiter)
            except TooLong:
                continue
            let_through.append(1)
            slot.done()

    threads = [threading.Thread(target=send) for _ in range(8)]
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
    url, "phx_sandbox", 1, limits=limits, headroom=1.0, rate_limit=directory
) as client:
    for _ in range(requests):
        client.server.key()
    print(client.requests_made)
"""


@pytest.mark.integration
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
    RateLimiter("key", where=tmp_path)
    assert (old.exists(), fresh.exists(), other.exists()) == (False, True, True)
    old.write_bytes(b"")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    RateLimiter("key", where=tmp_path)
    assert old.exists()


def test_a_ring_in_use_counts_as_fresh(tmp_path: Path) -> None:
    limiter = RateLimiter("key", limits={"default": [Rate(5, 60)]}, where=tmp_path)
    ask(limiter)
    (ring,) = tmp_path.glob("*-default.ring")
    assert ring.stat().st_mtime > 1_700_000_000


# --- where files cannot be kept -------------------------------------------------------------------


def counts_alone(where: Path | None, said: list[str]) -> str:
    """Whether a limiter works where no files can be kept; the one sentence it says."""
    limiter = RateLimiter(
        "key", limits={"default": [Rate(1, 60)]}, headroom=1, where=where, on_change=said.append
    )
    ask(limiter)
    with pytest.raises(TooLong):
        ask(limiter)
    limiter.hold("default", 30)
    assert limiter.usage()[0].used == 1
    with limiter.queries.held(0, lambda seconds: None):
        pass
    limiter.close()
    (sentence,) = said
    assert sentence.startswith("The rate limit is counted in this process alone")
    assert "HOG_DAGSTER_RATE_LIMIT" in sentence
    return sentence


def test_a_directory_that_is_a_file_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in counts_alone(tmp_path / "file", [])


def test_a_directory_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # Root may write everywhere.
    assert "cannot be written" in counts_alone(tmp_path, [])


def test_no_temporary_directory_at_all_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert "there is no temporary directory" in counts_alone(None, [])


@pytest.mark.skipif(rings.fcntl is None, reason="this system has no flock")
def test_a_file_system_without_locks_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_lock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(rings.fcntl, "flock", no_lock)
    assert "No locks available" in counts_alone(tmp_path, [])


FULL = """
import contextlib, pathlib, subprocess, sys
from hog_dagster.posthog._rate_limit.limiter import Rate, RateLimiter
where, size, later = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "later"
mount = ["mount", "-t", "tmpfs", "-o", "size=" + size, "none", str(where)]
subprocess.run(mount, check=True)
said, limits = [], {"default": [Rate(2_000, 60)]}
limiter = RateLimiter("key", limits=limits, where=where, on_change=said.append)
for _ in range(1_000):
    limiter.acquire("default", max_wait=0, on_wait=lambda *_: None)
    if later and not (where / "fill").exists():
        with contextlib.suppress(OSError):
            (where / "fill").write_bytes(bytes(10_000_000))
print(len(said), *said)
"""


@pytest.mark.parametrize(("size", "when"), [("64k", "before"), ("300k", "later")])
def test_a_full_temporary_directory_ends_no_process(tmp_path: Path, size: str, when: str) -> None:
    """A sparse file in memory, on a full file system, would end the process by SIGBUS."""
    run = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", FULL, str(tmp_path), size, when],
        capture_output=True,
        text=True,
        check=False,
    )
    if "mount" in run.stderr or "unshare" in run.stderr:
        pytest.skip("this system lets nobody mount a small file system")
    assert run.returncode == 0, run.stderr
    if when == "before":
        assert run.stdout.startswith("1 The rate limit is counted in this process alone")
        assert "No space left on device" in run.stdout
    else:
        assert run.stdout.startswith("0")  # Its room was taken before.


def test_a_file_that_cannot_be_used_any_more_costs_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    limiter = RateLimiter("key", where=tmp_path, on_change=said.append)
    ask(limiter)[0].done()

    def broken(self: rings.RingFile) -> Ring:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(rings.RingFile, "mapped", broken)
    slot, _ = ask(limiter)
    slot.done()
    assert len(said) == 1
    assert "Input/output error" in said[0]


def test_the_default_directory_is_the_users_own() -> None:
    directory = file_store.default_directory()
    assert directory is not None
    assert directory.parent == Path(tempfile.gettempdir())
    assert directory.name.startswith("hog-dagster-rate-limit-")
