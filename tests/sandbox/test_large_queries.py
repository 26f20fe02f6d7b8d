"""HogQL over very many events, and the ten seconds that a query may take."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.world import EventStream

DAY = datetime(2026, 11, 20, tzinfo=UTC)
ROWS = 60_000
SQL = "SELECT timestamp, uuid, event, if(event = 'paid', NULL, timestamp) AS at FROM events"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox("current", populate=False, limits=False, now=DAY + timedelta(days=2)) as sandbox:
        sandbox.world.event_stream = EventStream(ROWS, start=DAY, end=DAY + timedelta(days=1))
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[PostHogClient]:
    with PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False) as client:
        yield client
    sandbox.site.queries.sorted_a_second = None


def test_a_stream_holds_as_many_events_with_ties_as_it_says(client):
    (found,) = client.query.rows(
        "SELECT count() AS n, uniq(uuid) AS ids, min(timestamp) AS first, max(timestamp) AS last "
        "FROM events LIMIT 1"
    )
    assert (found["n"], found["ids"]) == (ROWS, ROWS)
    assert datetime.fromisoformat(found["first"]) >= DAY
    assert datetime.fromisoformat(found["last"]) < DAY + timedelta(days=1)
    ties = client.query.rows(
        "SELECT n, count() AS instants FROM (SELECT timestamp, count() AS n FROM events "
        "GROUP BY timestamp) GROUP BY n LIMIT 100"
    )
    sizes = {row["n"]: row["instants"] for row in ties}
    assert set(sizes) == set(range(1, 11))
    assert sum(size * many for size, many in sizes.items()) == ROWS


def test_a_stream_is_the_same_from_the_same_seed():
    one, other, third = (
        EventStream(500, start=DAY, end=DAY + timedelta(days=1), seed=seed).table()
        for seed in (1, 1, 2)
    )
    assert one.equals(other)
    assert not one.equals(third)


def test_events_that_are_added_stand_beside_the_stream(sandbox, client):
    sandbox.world.add_events([{"event": "added", "timestamp": DAY, "distinct_id": "one"}])
    (found,) = client.query.rows("SELECT count() AS n FROM events LIMIT 1")
    assert found["n"] == ROWS + 1
    rows = client.query.rows("SELECT event FROM events WHERE event = 'added' LIMIT 5")
    assert Counter(row["event"] for row in rows) == {"added": 1}
    sandbox.world.events.clear()


def test_an_answer_holds_50_000_rows_at_most_and_100_without_a_limit(client):
    assert len(client.query.page(f"{SQL} LIMIT 70000")) == 50_000
    page = client.query.page(SQL)
    assert (len(page), page.cut) == (100, True)


def test_types_of_a_query_around_a_query_are_those_of_the_inner_one(client):
    page = client.query.page(f"SELECT * FROM ({SQL}) LIMIT 1")
    assert page.types == [
        "DateTime64(6, 'UTC')",
        "UUID",
        "String",
        "Nullable(DateTime64(6, 'UTC'))",
    ]


def test_a_query_that_sorts_too_much_is_stopped_and_not_asked_again(sandbox, client):
    sandbox.site.queries.sorted_a_second = 2_000
    with pytest.raises(errors.QueryTooLarge, match="max execution time") as raised:
        client.query.page(f"{SQL} ORDER BY timestamp LIMIT 10")
    assert raised.value.status == 504
    assert client.requests_made == 1
    few = f"{SQL} WHERE timestamp < toDateTime('2026-11-20T06:00:00Z') ORDER BY timestamp LIMIT 10"
    assert len(client.query.page(few)) == 10
    assert len(client.query.page(f"{SQL} LIMIT 10")) == 10
