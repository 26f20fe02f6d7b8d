"""Queries: few at the same time, refusals for others' queries waited out, a small limit learned."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from scripted_server import Reply, scripted

from hog_dagster.posthog import PostHogClient, Rate, errors
from hog_dagster.posthog._rate_limit.limiter import SMALL_LIMITS, RateLimiter
from hog_dagster.posthog._rate_limit.query_slots import MOST_QUERIES, QuerySlots, SlotsTaken
from hog_dagster.sandbox import Sandbox

BUSY = {
    "type": "throttled_error",
    "code": "throttled",
    "detail": "Exceeded maximum concurrency limit: 3 for key: api and task: query",
    "attr": None,
}
ROWS = {"results": [[1]], "columns": ["one"], "types": [["one", "UInt8"]]}


class QuickClock:
    """A clock that sleeps by moving on."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 20, 12, tzinfo=UTC)
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)


def test_clients_of_one_machine_run_two_queries_at_a_time(tmp_path: Path):
    with Sandbox("current", populate=False, limits=False) as sandbox:
        queries = sandbox.site.queries
        queries.seconds, queries.patience = 0.15, 0.0

        def ask() -> None:
            with PostHogClient(
                sandbox.url, sandbox.api_key, sandbox.project_id, rate_limit=tmp_path
            ) as client:
                assert client.query.rows("SELECT 1 AS one") == [{"one": 1}]

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert queries.highest == MOST_QUERIES
        assert queries.refused == 0
        assert sandbox.count("POST", "*/query/") == 6


def test_the_sandbox_refuses_a_fourth_query_without_a_time_to_wait():
    with Sandbox("current", populate=False, limits=False) as sandbox:
        sandbox.site.queries.others = 3
        sandbox.site.queries.patience = 0.05
        with (
            PostHogClient(
                sandbox.url, sandbox.api_key, sandbox.project_id, limits=False, max_wait=0
            ) as client,
            pytest.raises(errors.Throttled) as raised,
        ):
            client.query.rows("SELECT 1 AS one")
    assert str(raised.value.detail).startswith("Exceeded maximum concurrency limit: 3")


def test_refusals_for_the_queries_of_others_are_waited_out_however_many(tmp_path: Path):
    clock = QuickClock()
    with (
        scripted(*[Reply(429, BUSY)] * 9, Reply(200, ROWS)) as server,
        PostHogClient(
            server.url, "phx_k", 1, rate_limit=tmp_path, max_wait=3_600, clock=clock
        ) as client,
    ):
        assert client.query.rows("SELECT 1 AS one") == [{"one": 1}]
        assert len(server.asked) == 10
    waits = [seconds for seconds in clock.slept if seconds >= 5]
    assert len(waits) == 9
    assert all(5 <= seconds <= 60 for seconds in waits)
    assert len({round(seconds, 3) for seconds in waits}) > 1


def test_after_such_a_refusal_every_process_sends_one_query_at_a_time_for_a_while(tmp_path: Path):
    clock = QuickClock()
    one, other = (QuerySlots(tmp_path, "key", clock) for _ in range(2))
    assert (one.free_to_use, other.free_to_use) == (2, 2)
    one.refused()
    assert (one.free_to_use, other.free_to_use) == (1, 1)
    clock.at += timedelta(minutes=11)
    assert (one.free_to_use, other.free_to_use) == (2, 2)


def test_a_slot_is_free_again_when_its_query_failed(tmp_path: Path):
    slots = QuerySlots(tmp_path, "key", QuickClock(), most=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), slots.held(0, lambda seconds: None):
            raise ZeroDivisionError


def test_a_limit_of_120_an_hour_is_learned_from_a_refusal_and_kept(tmp_path: Path):
    clock = QuickClock()
    pacer = RateLimiter("key", where=tmp_path, clock=clock)
    usual = pacer.rates("query")
    for _ in range(118):
        pacer.acquire("query", max_wait=1e9, on_wait=lambda seconds, rate: None)
    assert not pacer.learn("query", 30.0)  # The minute's limit says nothing of the hour's.
    assert pacer.learn("query", 1_800.0)
    assert not pacer.learn("query", 1_800.0)
    for known in (pacer, RateLimiter("key", where=tmp_path, clock=clock)):
        assert known.rates("query") == (*usual, Rate(108, 3_600))
        assert known.rates("default") == RateLimiter("k2", where=tmp_path).rates("default")
    clock.at += timedelta(hours=25)
    assert RateLimiter("key", where=tmp_path, clock=clock).rates("query") == usual


@pytest.mark.parametrize("sent", [3, 400])
def test_a_refusal_that_others_with_the_key_may_have_caused_teaches_nothing(
    sent: int, tmp_path: Path
):
    clock = QuickClock()
    pacer = RateLimiter("key", where=tmp_path, clock=clock)
    for _ in range(sent):
        pacer.acquire("query", max_wait=1e9, on_wait=lambda seconds, rate: None)
    assert not pacer.learn("query", 1_800.0)


def test_a_key_that_may_run_120_queries_an_hour_is_told_once_and_kept_to(tmp_path: Path, caplog):
    clock = QuickClock()
    over = {"detail": "Request was throttled. Expected available in 1700 seconds."}
    replies = [*[Reply(200, ROWS)] * 80, Reply(429, {**BUSY, **over}), *[Reply(200, ROWS)] * 60]
    with (
        scripted(*replies) as server,
        PostHogClient(
            server.url, "phx_k", 1, rate_limit=tmp_path, max_wait=7_200, clock=clock
        ) as client,
    ):
        for _ in range(130):
            client.query.rows("SELECT 1 AS one")
        assert len(server.asked) == 131
    assert caplog.text.count("120 queries an hour only") == 1
    assert SMALL_LIMITS["query"] == Rate(120, 3_600)


def test_waiting_for_a_slot_ends_with_a_sentence(tmp_path: Path):
    with Sandbox("current", populate=False, limits=False) as sandbox:
        sandbox.site.queries.seconds = 1.0
        made = [
            PostHogClient(
                sandbox.url, sandbox.api_key, sandbox.project_id, rate_limit=tmp_path, max_wait=wait
            )
            for wait in (60, 60, 0.1)
        ]
        threads = [
            threading.Thread(target=client.query.rows, args=("SELECT 1 AS one",))
            for client in made[:2]
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 10
        while sandbox.site.queries.running < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(errors.Throttled, match="under way"):
            made[2].query.rows("SELECT 1 AS one")
        for thread in threads:
            thread.join(30)
        for client in made:
            client.close()


def two_machines(
    tmp_path: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    told: Callable[[str], None] = lambda said: None,
) -> list[RateLimiter]:
    """Limiters that share nothing but the database."""
    limiters = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        monkeypatch.setenv("TMPDIR", str(folder))
        monkeypatch.setattr("tempfile.tempdir", None)
        limiters.append(RateLimiter("phx_key host", where=url, on_change=told))
    directories = {limiter.queries._directory for limiter in limiters}
    assert len(directories) == 2
    return limiters


def test_machines_that_share_a_database_run_two_queries_at_a_time(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two_machines(tmp_path, postgres_url, monkeypatch)
    waited: list[float] = []
    with one.queries.held(5, waited.append), other.queries.held(5, waited.append):
        for limiter in (one, other):
            with (
                pytest.raises(SlotsTaken, match="2 queries of all machines"),
                limiter.queries.held(0, waited.append),
            ):
                pass
    with one.queries.held(0, waited.append), one.queries.held(0, waited.append):
        pass
    other.queries.refused()  # Then one of all machines at a time.
    with (
        one.queries.held(0, waited.append),
        pytest.raises(SlotsTaken),
        one.queries.held(0, waited.append),
    ):
        pass
    assert waited == []
    for limiter in (one, other):
        limiter.close()


def test_a_slot_of_a_killed_process_is_free_again_after_its_time(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two_machines(tmp_path, postgres_url, monkeypatch)
    assert one.queries._shared is not None
    assert one.queries._shared.take_query("killed", 1)
    assert not one.queries._shared.take_query("mine", 1)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("UPDATE hog_dagster_queries_under_way SET until = until - 311")
    assert one.queries._shared.take_query("mine", 1)
    one.queries._shared.end_query("killed")  # It has nothing any more.
    assert not one.queries._shared.take_query("a third", 1)
    for limiter in (one, other):
        limiter.close()


def test_a_slot_that_was_taken_before_the_database_s_clock_was_set_back_is_free(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two_machines(tmp_path, postgres_url, monkeypatch)
    assert one.queries._shared is not None
    assert one.queries._shared.take_query("before", 1)
    assert not one.queries._shared.take_query("mine", 1)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("UPDATE hog_dagster_queries_under_way SET until = until + 86400")
    assert one.queries._shared.take_query("mine", 1)
    for limiter in (one, other):
        limiter.close()


def test_while_the_database_is_away_a_machine_counts_its_own_queries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql://u@127.0.0.1:1/db?connect_timeout=1"
    one, other = two_machines(tmp_path, url, monkeypatch)
    with (
        other.queries.held(0, lambda seconds: None),
        one.queries.held(0, lambda seconds: None),
        one.queries.held(0, lambda seconds: None),
        pytest.raises(SlotsTaken),
        one.queries.held(0, lambda seconds: None),
    ):
        pass


def test_a_role_that_may_not_make_the_table_of_queries_still_counts_requests(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    first, _ = two_machines(tmp_path / "a", postgres_url, monkeypatch)
    first.acquire("query", max_wait=1, on_wait=lambda seconds, rate: None)
    first.close()
    with psycopg.connect(postgres_url) as connection:  # as an earlier version left them
        connection.execute(
            "DROP TABLE IF EXISTS hog_dagster_queries_under_way; "
            "DROP ROLE IF EXISTS hog_limited; CREATE ROLE hog_limited; "
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT SELECT, INSERT, UPDATE, DELETE "
            "ON ALL TABLES IN SCHEMA public TO hog_limited; "
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO hog_limited"
        )
    url = f"{postgres_url}{'&' if '?' in postgres_url else '?'}options=-crole%3Dhog_limited"
    one, other = two_machines(tmp_path / "b", url, monkeypatch, told.append)
    for limiter in (one, other):
        for _ in range(2):
            with limiter.queries.held(0, lambda seconds: None):
                limiter.acquire("query", max_wait=1, on_wait=lambda seconds, rate: None)
    assert one._store is not None
    assert one._store.count("query", 60) == 5
    assert ["hog_dagster_queries_under_way" in text for text in told] == [True, True]
    for limiter in (one, other):
        limiter.close()
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DROP OWNED BY hog_limited; DROP ROLE hog_limited")
