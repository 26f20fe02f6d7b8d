"""Paging a query: every row once, whatever the ties, the pages, the nulls and the failures."""

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hog_dagster.assets import _query_pages
from hog_dagster.assets._query_pages import QueryReader, Unread
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog._services.hogql import QueryPage
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import Window

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = Window.day(NOON.date())
SQL = (
    "SELECT timestamp, uuid, event, properties.plan AS plan FROM events "
    "WHERE timestamp >= toDateTime('2026-11-20T00:00:00.000000Z') "
    "AND timestamp < toDateTime('2026-11-21T00:00:00.000000Z')"
)
FEW = settings(
    deadline=None,
    max_examples=10,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MANY = settings(FEW, max_examples=250)
#: Rows of one instant, and of the next, and so on.
TIES = st.lists(st.integers(0, 9), max_size=6)


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    now = NOON + timedelta(days=1)
    with Sandbox("current", populate=False, limits=False, now=now) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Iterator[Sandbox]:
    yield running
    running.world.events.clear()
    running.site.faults.clear()
    running.site.queries.sorted_a_second = None


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[PostHogClient]:
    with PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False, max_wait=0.01) as client:
        yield client


def fill(sandbox: Sandbox, ties: list[int], *, step: timedelta = timedelta(seconds=1)) -> int:
    """So many events at one instant, and at the next, and so on; how many in all."""
    sandbox.world.events.clear()
    return sandbox.world.add_events(
        {
            "event": f"{tick}/{number}",
            "timestamp": NOON + tick * step,
            "distinct_id": "one",
            "properties": {} if number % 3 == 2 else {"plan": f"plan {number % 4}"},
        }
        for tick, size in enumerate(ties)
        for number in range(size)
    )


def read(
    client: PostHogClient,
    key: list[str],
    rows: int,
    *,
    sql: str = SQL,
    window: Window | None = DAY,
) -> tuple[list[tuple[Any, ...]], list[Unread]]:
    """All rows, and what could not be read."""
    unread: list[Unread] = []
    reader = QueryReader(client.query.page, key, rows)
    pages = list(reader.pages(sql, window, unread.append))
    return [row for page in pages for row in page.rows], unread


def wanted(ties: list[int]) -> Counter[str]:
    return Counter(f"{tick}/{n}" for tick, size in enumerate(ties) for n in range(size))


def every_row_once(
    sandbox: Sandbox,
    client: PostHogClient,
    ties: list[int],
    rows: int,
    key: list[str],
    window: Window | None,
) -> None:
    fill(sandbox, ties)
    found, unread = read(client, key, rows, window=window)
    assert Counter(row[2] for row in found) == wanted(ties)
    assert unread == []


EVERY = {
    "ties": TIES,
    "rows": st.integers(1, 12) | st.just(50_000),
    "key": st.sampled_from(
        [["timestamp", "uuid"], ["uuid"], ["plan", "event"], ["timestamp", "plan", "event"]]
    ),
    "window": st.sampled_from([DAY, None]),
}


@FEW
@given(**EVERY)
def test_every_row_comes_once_whatever_the_ties_the_pages_and_the_key(
    sandbox, client, ties, rows, key, window
):
    every_row_once(sandbox, client, ties, rows, key, window)


@pytest.mark.slow
@MANY
@given(**EVERY)
def test_every_row_comes_once_in_many_more_cases(sandbox, client, ties, rows, key, window):
    every_row_once(sandbox, client, ties, rows, key, window)


@FEW
@given(ties=TIES, rows=st.integers(1, 12))
def test_all_rows_of_an_instant_come_from_one_page_where_the_key_is_a_time(
    sandbox, client, ties, rows
):
    fill(sandbox, ties)
    pages = QueryReader(client.query.page, ["timestamp"], rows).pages(SQL, DAY, lambda _: None)
    instants = [{row[0] for row in page.rows} for page in pages]
    assert sum(map(len, instants)) == len(set().union(*instants))
    assert len(set().union(*instants)) == sum(size > 0 for size in ties)


def in_time(
    sandbox: Sandbox, client: PostHogClient, ties: list[int], rows: int, speed: float
) -> None:
    fill(sandbox, ties, step=timedelta(minutes=7))
    sandbox.site.queries.sorted_a_second = speed
    found, unread = read(client, ["timestamp", "uuid"], rows)
    assert Counter(row[2] for row in found) == wanted(ties)
    assert unread == []
    sandbox.site.queries.sorted_a_second = None


#: At ten seconds a query, 10, 25 and 200 rows are the most that are sorted in time.
SPEEDS = st.sampled_from([1.0, 2.5, 20.0])


@FEW
@given(ties=st.lists(st.integers(0, 9), max_size=8), rows=st.integers(8, 40), speed=SPEEDS)
def test_windows_that_take_too_long_are_counted_and_halved(sandbox, client, ties, rows, speed):
    in_time(sandbox, client, ties, rows, speed)


@pytest.mark.slow
@MANY
@given(ties=st.lists(st.integers(0, 9), max_size=30), rows=st.integers(5, 40), speed=SPEEDS)
def test_windows_that_take_too_long_in_many_more_cases(sandbox, client, ties, rows, speed):
    in_time(sandbox, client, ties, rows, speed)


def test_a_query_without_rows_tells_its_columns_for_one_request(sandbox, client):
    (page,) = QueryReader(client.query.page, ["timestamp"]).pages(SQL, DAY, lambda _: None)
    assert (page.columns, len(page)) == (["timestamp", "uuid", "event", "plan"], 0)
    assert page.types[:2] == ["DateTime64(6, 'UTC')", "UUID"]
    assert client.requests_made == 1


def test_pages_cost_a_request_each_and_counting_one(sandbox, client):
    fill(sandbox, [3] * 400, step=timedelta(minutes=1))
    found, _ = read(client, ["timestamp", "uuid"], 100)
    assert len(found) == 1_200
    assert client.requests_made <= 1_200 / 100 + 2


def test_the_second_partition_of_a_large_query_is_counted_first(sandbox, client):
    fill(sandbox, [1] * 300, step=timedelta(minutes=1))
    asked: list[str] = []

    def ask(sql: str) -> QueryPage:
        asked.append(sql)
        return client.query.page(sql)

    reader = QueryReader(ask, ["timestamp", "uuid"], 100)
    for _ in range(2):
        assert sum(map(len, reader.pages(SQL, DAY, lambda _: None))) == 300
    counts = [place for place, sql in enumerate(asked) if "count()" in sql]
    assert len(counts) == 2
    assert len(asked) == 10
    assert counts[1] == 5
    assert all(" < toDateTime" in sql.rpartition("\n")[2] for sql in asked[6:8])


def test_a_first_column_that_is_no_time_is_never_counted(sandbox, client):
    fill(sandbox, [1] * 50)
    reader = QueryReader(client.query.page, ["uuid"], 20)
    for _ in range(2):
        assert sum(map(len, reader.pages(SQL, DAY, lambda _: None))) == 50
    assert client.requests_made == 6


def test_an_instant_of_more_rows_than_an_answer_holds_is_a_gap_and_costs_no_other_row(
    sandbox, client, monkeypatch
):
    monkeypatch.setattr(_query_pages, "MOST_ROWS", 20)
    ties = [3, 5, 40, 2, 1]
    fill(sandbox, ties)
    found, (gap,) = read(client, ["timestamp"], 20)
    assert Counter(row[2] for row in found) == wanted([3, 5, 0, 2, 1])
    assert gap.window == Window(
        NOON + timedelta(seconds=2), NOON + timedelta(seconds=2, microseconds=1)
    )
    assert gap.sample is not None
    assert "20 rows or more have one timestamp" in gap.why
    whole, unread = read(client, ["timestamp", "uuid"], 20)
    assert Counter(row[2] for row in whole) == wanted(ties)
    assert unread == []


def test_a_page_of_one_key_is_asked_for_again_in_more_rows(sandbox, client):
    fill(sandbox, [2, 30, 2])
    found, unread = read(client, ["timestamp"], 7)
    assert Counter(row[2] for row in found) == wanted([2, 30, 2])
    assert unread == []


def test_rows_whose_key_is_null_come_last_and_once(sandbox, client):
    fill(sandbox, [9, 9, 9])
    found, _ = read(client, ["plan", "uuid"], 4)
    assert Counter(row[2] for row in found) == wanted([9, 9, 9])
    plans = [row[3] for row in found]
    assert plans[-9:] == [None] * 9
    assert plans[:-9] == sorted(plans[:-9])


def test_rows_without_a_time_come_too(sandbox, client):
    fill(sandbox, [4] * 30, step=timedelta(minutes=5))
    sql = (
        "SELECT if(properties.plan = 'plan 1', NULL, timestamp) AS at, uuid, event FROM events "
        "WHERE timestamp >= toDateTime('2026-11-20T00:00:00.000000Z')"
    )
    found, unread = read(client, ["at", "uuid"], 20, sql=sql)
    assert Counter(row[2] for row in found) == wanted([4] * 30)
    assert unread == []
    assert sum(row[0] is None for row in found) == 30


def test_a_page_that_fails_once_is_asked_for_in_parts(sandbox, client):
    fill(sandbox, [5] * 60, step=timedelta(minutes=10))
    for status in (504, 512, 513):
        sandbox.fail("POST", "*/query", times=1, after=3, status=status, body=b"")
        found, unread = read(client, ["timestamp", "uuid"], 100)
        assert Counter(row[2] for row in found) == wanted([5] * 60)
        assert unread == []


def test_a_part_that_always_fails_is_a_gap_once_others_have_come(sandbox, client):
    fill(sandbox, [1] * 90, step=timedelta(minutes=7))
    bad = NOON + timedelta(minutes=7 * 50)

    def ask(sql: str) -> QueryPage:
        page = client.query.page(sql)
        if "count()" not in sql and any(f"{bad:%H:%M:%SZ}" in str(row[0]) for row in page.rows):
            raise errors.QueryTooLarge("too much", status=513)
        return page

    unread: list[Unread] = []
    reader = QueryReader(ask, ["timestamp", "uuid"], 20)
    rows = [row for page in reader.pages(SQL, DAY, unread.append) for row in page.rows]
    (gap,) = unread
    assert gap.window is not None
    assert gap.window.start <= bad < gap.window.end
    assert gap.window.end - gap.window.start <= timedelta(seconds=2)
    lost = wanted([1] * 90) - Counter(row[2] for row in rows)
    assert list(lost) == ["50/0"]


def test_a_query_that_is_always_too_much_fails_and_reads_nothing(sandbox, client):
    fill(sandbox, [5] * 60)
    sandbox.fail("POST", "*/query", times=0, status=512, body=b"")
    with pytest.raises(errors.QueryTooLarge):
        read(client, ["uuid"], 50_000)
    assert client.requests_made <= 8


def test_other_failures_are_not_asked_for_in_parts(sandbox, client):
    fill(sandbox, [5] * 60)
    sandbox.fail("POST", "*/query", times=0, after=1, status=500, body=b"")
    with pytest.raises(errors.ServerError):
        read(client, ["timestamp", "uuid"], 100)


def test_without_a_key_rows_of_more_than_a_page_are_refused(sandbox, client):
    fill(sandbox, [30])
    found, _ = read(client, [], 31)
    assert len(found) == 30
    with pytest.raises(ValueError, match="30 rows or more, which come in several pages"):
        read(client, [], 30)


def test_a_column_of_the_key_that_is_not_selected_is_named(sandbox, client):
    fill(sandbox, [3])
    with pytest.raises((ValueError, errors.InvalidRequest), match="nowhere"):
        read(client, ["timestamp", "nowhere"], 10)


def test_wide_rows_come_in_smaller_answers(sandbox, client, monkeypatch):
    fill(sandbox, [1] * 200)
    monkeypatch.setattr(_query_pages, "MOST_BYTES", 5_000)
    monkeypatch.setattr(_query_pages, "_LEAST_ROWS", 10)
    sizes = []

    def ask(sql: str) -> QueryPage:
        page = client.query.page(sql)
        sizes.append(page.size)
        return page

    pages = QueryReader(ask, ["timestamp", "uuid"], 100).pages(SQL, None, lambda _: None)
    assert sum(map(len, pages)) == 200
    assert sizes[0] > 8_000
    assert max(sizes[1:]) < 7_000


def test_a_body_beyond_all_bounds_is_asked_for_in_fewer_rows(sandbox, client, monkeypatch):
    fill(sandbox, [1] * 3_000, step=timedelta(milliseconds=1))
    refused = []

    def ask(sql: str) -> QueryPage:
        page = client.query.page(sql)
        if len(page) > 1_500:
            refused.append(len(page))
            raise errors.ResponseTooLarge("more than can be PostHog's")
        return page

    pages = QueryReader(ask, ["uuid"], 2_000).pages(SQL, DAY, lambda _: None)
    assert sum(map(len, pages)) == 3_000
    assert refused


def test_rows_are_read_ahead_by_one_page(sandbox, client):
    fill(sandbox, [1] * 100)
    asked: list[str] = []
    second = threading.Event()

    def ask(sql: str) -> QueryPage:
        asked.append(sql)
        if len(asked) == 2:
            second.set()
        return client.query.page(sql)

    pages = QueryReader(ask, ["uuid"], 10).pages(SQL, None, lambda _: None)
    next(pages)
    assert second.wait(10)
    pages.close()
    assert len(asked) == 2
