"""The deadline over a whole request: a response that drips ends there, and so does a huge one."""

import gzip
import io
import json
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from hog_dagster.assets._concurrency import interleave
from hog_dagster.posthog import PostHogClient, Timeouts, errors
from hog_dagster.posthog._transport import receiving

KEY = "phx_secret0secret0secret0secret0secret0"
CALLS: dict[str, Callable[[PostHogClient], Any]] = {
    "read": lambda client: client.workflows.get("w1"),
    "write": lambda client: client.workflows.create_batch_job("w1"),
}
FORBIDDEN = {
    "type": "authentication_error",
    "code": "permission_denied",
    "detail": "You may not.",
    "attr": None,
}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n"


@contextmanager
def dripping(first: bytes, pause: float = 0.02) -> Iterator[str]:
    """A server that sends ``first`` and then a byte at a time, for ever."""
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)

    def drip(peer: socket.socket) -> None:
        with peer:
            peer.recv(65_536)
            try:
                peer.sendall(first)
                while not stop.wait(pause):
                    peer.sendall(b"x" if first else b"H")
            except OSError:
                return

    def accept() -> None:
        while not stop.is_set():
            try:
                peer, _ = listener.accept()
            except TimeoutError:
                continue
            threading.Thread(target=drip, args=(peer,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        thread.join()
        listener.close()


@pytest.mark.parametrize("first", [HEAD, HEAD[:40], b""], ids=["body", "head", "status line"])
@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_dripping_response_ends_at_the_deadline(first: bytes, kind: str) -> None:
    timeout = Timeouts(read=5.0, total=0.3)
    expected = errors.TransportError if kind == "read" else errors.OutcomeUnknown
    with (
        dripping(first) as url,
        PostHogClient(url, KEY, 1, limits=False, timeout=timeout) as client,
    ):
        began = time.monotonic()
        with pytest.raises(expected, match="whole") as caught:
            CALLS[kind](client)
        assert time.monotonic() - began < 3.0
        assert client.requests_made == 1  # A read that took all of its time is not begun again.
        assert caught.value.outcome == "unknown"
        assert "Timeouts.total" in str(caught.value)


@pytest.mark.parametrize("first", [HEAD, HEAD[:40], b""], ids=["body", "head", "status line"])
@pytest.mark.parametrize("limit", ["total", "until"])
def test_a_limited_client_ends_its_requests_sooner(first: bytes, limit: str) -> None:
    with dripping(first) as url, PostHogClient(url, KEY, 1, limits=False) as client:
        began = time.monotonic()
        seconds = 0.2 if limit == "total" else began + 0.2
        limited = client.with_limits(1.0, **{limit: seconds})
        with pytest.raises(errors.TransportError):
            limited.workflows.get("w1")
        assert time.monotonic() - began < 3.0


def test_a_client_that_met_its_deadline_works_on() -> None:
    replies = iter([True, False])

    def answer(request: httpx.Request) -> httpx.Response:
        if next(replies):
            hands.elapsed += 500
        return httpx.Response(200, json={"id": "w1"})

    hands = Hands()
    transport = httpx.MockTransport(answer)
    with PostHogClient(
        "https://us.posthog.com", KEY, 1, limits=False, transport=transport, clock=hands
    ) as client:
        with pytest.raises(errors.TransportError):
            client.workflows.get("w1")
        assert client.workflows.get("w1").id == "w1"


class Hands:
    elapsed = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.elapsed, UTC)

    def monotonic(self) -> float:
        return self.elapsed

    def sleep(self, seconds: float) -> None:
        self.elapsed += seconds


@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_body_beyond_all_measure_is_not_read_to_its_end(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = receiving.read_body
    monkeypatch.setattr(
        "hog_dagster.posthog._transport.transport.read_body",
        lambda *arguments: read(*arguments, most_bytes=1_000),
    )
    sent = 0

    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            nonlocal sent
            while True:
                sent += 100
                yield b"x" * 100

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Endless()))
    with PostHogClient(
        "https://us.posthog.com", KEY, 1, limits=False, transport=transport
    ) as client:
        expected: Any = errors.MalformedResponse if kind == "read" else errors.OutcomeUnknown
        with pytest.raises(expected, match="more than 1,000 bytes"):
            CALLS[kind](client)
        assert client.requests_made == 1
    assert sent <= 1_200


def test_waits_and_backoff_are_on_the_clock_that_is_given() -> None:
    hands = Hands()
    busy = {"type": "throttled_error", "code": "throttled", "attr": None}
    busy["detail"] = "Request was throttled. Expected available in 37 seconds."
    replies = iter([httpx.Response(429, json=busy), httpx.Response(200, json={"id": "w1"})])
    transport = httpx.MockTransport(lambda _: next(replies))
    with PostHogClient(
        "https://us.posthog.com", KEY, 1, limits=False, transport=transport, clock=hands
    ) as client:
        client.workflows.get("w1")
    assert hands.elapsed == 37


def test_the_rate_limit_is_kept_on_the_clock_that_is_given(tmp_path: Any) -> None:
    hands = Hands()
    hands.elapsed = 1e9
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"id": "w1"}))
    with PostHogClient(
        "https://us.posthog.com",
        KEY,
        1,
        limits={"default": [(10, 60)]},
        headroom=1.0,
        rate_limit=tmp_path,
        transport=transport,
        clock=hands,
    ) as client:
        for _ in range(25):
            client.workflows.get("w1")
    assert 115 <= hands.elapsed - 1e9 <= 140


@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_small_body_that_unpacks_to_a_huge_one_is_not_unpacked_to_its_end(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving.read_body, "__kwdefaults__", {"most_bytes": 2_000_000})
    bomb = gzip.compress(bytes(20_000_000))
    assert len(bomb) < 30_000
    body = io.BytesIO(bomb)

    class Pieces(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while piece := body.read(1_000):
                yield piece

    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, stream=Pieces()))
    with PostHogClient(
        "https://us.posthog.com", KEY, 1, limits=False, transport=transport
    ) as client:
        expected: Any = errors.MalformedResponse if kind == "read" else errors.OutcomeUnknown
        with pytest.raises(expected, match="more than 2,000,000 bytes"):
            CALLS[kind](client)
    assert body.tell() < 10_000


def packed(text: bytes, encoding: str) -> bytes:
    """The text as a server packs it; ``raw`` is deflate without zlib's head."""
    window = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS, "raw": -zlib.MAX_WBITS}
    pack = zlib.compressobj(wbits=window[encoding])
    return pack.compress(text) + pack.flush()


def answered(encoding: str, pieces: list[bytes]) -> PostHogClient:
    """A client whose server answers with these pieces of a body."""

    class Pieces(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return iter(pieces)

    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, stream=Pieces()))
    return PostHogClient(
        "https://us.posthog.com", KEY, 1, limits=False, max_wait=0, transport=transport
    )


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw"])
def test_a_piece_is_unpacked_in_pieces(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes in one read of a socket may be a thousand times as large."""
    monkeypatch.setattr(receiving.read_body, "__kwdefaults__", {"most_bytes": 2_000_000})
    bomb = packed(bytes(50_000_000), encoding)
    name = "gzip" if encoding == "gzip" else "deflate"
    with answered(name, [bomb]) as client:
        tracemalloc.start()
        with pytest.raises(errors.MalformedResponse, match="more than 2,000,000 bytes"):
            client.workflows.get("w1")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "deflate", "raw", "identity", ""])
@pytest.mark.parametrize("size", [1, 7, 1_000_000])
def test_a_body_is_unpacked_however_it_is_packed_and_cut(encoding: str, size: int) -> None:
    long = "m\u00fcller " * (1 if size < 10 else 300_000)
    text = json.dumps({"id": "w1", "description": long}).encode()
    kind = {"x-gzip": "gzip", "GZIP": "gzip"}.get(encoding, encoding)
    body = packed(text, kind) if kind in ("gzip", "deflate", "raw") else text
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    with answered("deflate" if encoding == "raw" else encoding, pieces) as client:
        assert client.workflows.get("w1").id == "w1"


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "x" * 200])
def test_a_body_packed_as_was_not_asked_for_is_one_sentence(encoding: str) -> None:
    """Two layers make a thousand times a thousand bytes of one."""
    with answered(encoding, [b"?"]) as client:
        with pytest.raises(errors.TransportError, match=f"packed as '{encoding[:40]}'"):
            client.workflows.get("w1")
        with pytest.raises(errors.OutcomeUnknown):
            client.workflows.create_batch_job("w1")


@pytest.mark.parametrize("depth", [900, 5_000, 200_000])
@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_body_that_is_nested_too_deeply_is_an_error_of_its_own(status: int, depth: int) -> None:
    body = b'{"detail": ' + b"[" * depth + b"]" * depth + b"}"
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
    with PostHogClient(
        "https://us.posthog.com", KEY, 1, limits=False, max_wait=0, transport=transport
    ) as client:
        with pytest.raises(errors.PostHogError) as caught:
            client.workflows.get("w1")
        assert "RecursionError" not in repr(caught.value.__context__)
        with pytest.raises(errors.PostHogError) as caught:
            client.workflows.create_batch_job("w1")
        assert caught.value.outcome == "unknown"


@pytest.mark.parametrize(
    "asked",
    [
        "0",
        "-5",
        "-0.0",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "nan",
        "x",
        "0.001",
        "1e-9",
        "inf",
        "5, 7",
        "5s",
        "0x10",
        "1_0",
        "Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
        "Sun, 06 Nov 1994 08:49:37 +9999",
        "Mon, 01 Jan 0001 00:00:00 +1400",
    ],
)
def test_a_retry_after_that_names_no_time_to_come_is_backed_off_from(asked: str) -> None:
    """Six requests in half a second would help nobody."""
    hands = Hands()
    hands.elapsed = 1.8e9
    transport = httpx.MockTransport(
        lambda _: httpx.Response(429, headers={"Retry-After": asked}, json={"detail": "no"})
    )
    with PostHogClient(
        "https://us.posthog.com", KEY, 1, limits=False, transport=transport, clock=hands
    ) as client:
        with pytest.raises(errors.Throttled):
            client.workflows.get("w1")
        assert client.requests_made == 6
    assert hands.elapsed - 1.8e9 > 0.25 * (1 + 2 + 4 + 8 + 16)


@pytest.mark.parametrize("asked", ["31536000", "Fri, 31 Dec 9999 23:59:59 GMT", "1e300"])
def test_a_retry_after_far_ahead_is_told_and_holds_no_longer_than_the_longest_window(
    asked: str, tmp_path: Any
) -> None:
    hands = Hands()
    hands.elapsed = 1.8e9
    replies = iter([httpx.Response(429, headers={"Retry-After": asked}, json={"detail": "no"})])
    transport = httpx.MockTransport(
        lambda _: next(replies, None) or httpx.Response(200, json={"id": "w1"})
    )
    with PostHogClient(
        "https://us.posthog.com",
        KEY,
        1,
        rate_limit=tmp_path,
        max_wait=3_701,
        transport=transport,
        clock=hands,
    ) as client:
        with pytest.raises(errors.Throttled) as caught:
            client.workflows.get("w1")
        assert caught.value.wait_s > 3e7
        assert client.workflows.get("w1").id == "w1"
    assert 3_600 < hands.elapsed - 1.8e9 < 3_702


def test_a_key_that_a_server_repeats_in_its_headers_is_blanked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    headers = {"X-Request-Id": f"id-{KEY}", "Deprecation": f"for {KEY}", "Location": f"/{KEY}/"}
    for status in (200, 302, 400, 503):
        transport = httpx.MockTransport(
            lambda _, status=status: httpx.Response(status, headers=headers, json={"id": "w1"})
        )
        with PostHogClient(
            "https://us.posthog.com", KEY, 1, limits=False, max_wait=0, transport=transport
        ) as client:
            if status == 200:
                client.workflows.get("w1")
                continue
            with pytest.raises(errors.PostHogError) as caught:
                client.workflows.get("w1")
            assert KEY not in str(caught.value) + repr(vars(caught.value))
            assert caught.value.request_id == "id-***"
    assert "for ***" in caplog.text
    assert KEY not in caplog.text


def test_a_bound_on_waiting_reaches_the_threads_that_read(tmp_path: Any) -> None:
    hands = Hands()
    hands.elapsed = 1.8e9
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"id": "w1"}))
    with PostHogClient(
        "https://us.posthog.com",
        KEY,
        1,
        limits={"default": [(1, 60)]},
        headroom=1.0,
        rate_limit=tmp_path,
        transport=transport,
        clock=hands,
    ) as client:
        limited = client.with_limits(0.5)
        client.workflows.get("w1")
        with pytest.raises(errors.Throttled, match=r"max_wait=0\.5 s"):
            list(interleave(["w1", "w2"], lambda one: [limited.workflows.get(one)], workers=2))
    assert hands.elapsed == 1.8e9


def test_callers_with_different_deadlines_do_not_see_each_others() -> None:
    """Two threads with one client behind a server that drips: each ends by its own limit."""
    with dripping(HEAD) as url, PostHogClient(url, KEY, 1, limits=False) as client:
        both = threading.Barrier(2)
        took: dict[float, float] = {}

        def read(seconds: float) -> None:
            limited = client.with_limits(0.0, until=time.monotonic() + seconds)
            both.wait(10)
            began = time.monotonic()
            with pytest.raises(errors.TransportError):
                limited.workflows.get("w1")
            took[seconds] = time.monotonic() - began

        threads = [threading.Thread(target=read, args=(one,)) for one in (0.6, 2.0)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert took[0.6] < 1.9 < took[2.0] < 8.0


def test_timeouts_of_httpx_leave_the_usual_time_for_a_whole_request() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"id": "w1"}))
    with PostHogClient(
        "https://us.posthog.com",
        KEY,
        1,
        limits=False,
        timeout=httpx.Timeout(3),
        transport=transport,
    ) as client:
        assert client.workflows.get("w1").id == "w1"
        assert (client.read_timeout_s, client.request_timeout_s) == (3.0, 300.0)


def test_a_limited_client_shares_everything_but_its_limits() -> None:
    timeouts: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        timeouts.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, json={"id": "w1"})

    with PostHogClient(
        "https://us.posthog.com", KEY, 1, limits=False, transport=httpx.MockTransport(answer)
    ) as client:
        limited = client.with_limits(read_timeout=20.0)
        narrower = limited.with_limits(5.0, read_timeout=40.0, total=8.0)
        for one in (client, limited, narrower):
            one.workflows.get("w1")
        limited.close()
        client.workflows.get("w1")
        assert client.requests_made == limited.requests_made == narrower.requests_made == 4
        limited.workflows._facts["pages"] = "flows"
        assert client.workflows.pages == "flows"
        assert limited.server.clock is client.server.clock
    assert timeouts == [60.0, 20.0, 20.0, 60.0]


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: list(client.groups.by_query([0])),
        lambda client: list(client.workflows.failing_sources(datetime(2026, 3, 2, tzinfo=UTC))),
        lambda client: list(client.messaging.preferences()),
        lambda client: client.messaging.content("A name", "i1"),
    ],
    ids=["groups", "runs", "preferences", "name"],
)
def test_limits_hold_for_what_a_service_asks_of_another(
    ask: Callable[[PostHogClient], Any],
) -> None:
    timeouts: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        timeouts.append(request.extensions["timeout"]["read"])
        return httpx.Response(403, json=FORBIDDEN)

    with (
        PostHogClient(
            "https://us.posthog.com", KEY, 1, limits=False, transport=httpx.MockTransport(answer)
        ) as client,
        pytest.raises(errors.PermissionDenied),
    ):
        ask(client.with_limits(read_timeout=20.0))
    assert timeouts == [20.0]


def test_a_limit_on_time_holds_by_a_simulated_clock() -> None:
    hands = Hands()
    hands.elapsed = 1.8e9

    def answer(_: httpx.Request) -> httpx.Response:
        hands.elapsed += 40.0
        return httpx.Response(503)

    with PostHogClient(
        "https://us.posthog.com",
        KEY,
        1,
        limits=False,
        transport=httpx.MockTransport(answer),
        clock=hands,
    ) as client:
        with pytest.raises(errors.PostHogError):
            client.with_limits(until=1.8e9 + 30.0).workflows.get("w1")
        assert client.requests_made == 1
        with pytest.raises(errors.ServerError):
            client.workflows.get("w1")
        assert client.requests_made > 2
