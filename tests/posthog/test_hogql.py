"""HogQL: whole responses or an error, and tables of any size read page by page, every row once."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from scripted_server import Asked, Reply, scripted

from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog._services.hogql import instant, quoted
from hog_dagster.sandbox import Sandbox

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NOW = NOON + timedelta(days=1)
KEY = ("timestamp", "log_source_id", "instance_id")
LOGS = "SELECT timestamp, log_source_id, instance_id, level, message FROM log_entries"
ZONES = [("docs", "UTC"), ("current", "Asia/Kolkata")]


@pytest.fixture(params=ZONES, ids=lambda param: "-".join(param).replace("/", "-"))
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    generation, zone = request.param
    with Sandbox(generation, populate=False, limits=False, now=NOW, timezone=zone) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[PostHogClient]:
    with PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False) as client:
        yield client


def fill(sandbox: Sandbox, ties: list[int], **fields: Any) -> str:
    """A workflow with so many lines at one millisecond, and at the next, and so on."""
    workflow = sandbox.world.add_workflow()["id"]
    rows = [
        {
            "instance_id": f"run {number}",
            "timestamp": NOON + timedelta(milliseconds=tick),
            "level": "INFO",
            "message": f"{tick}/{number}",
            **fields,
        }
        for tick, size in enumerate(ties)
        for number in range(size)
    ]
    sandbox.world.add_logs(workflow, rows)
    return workflow


def answer(rows: list[list[Any]], columns: list[str], types: list[str], **more: Any) -> Reply:
    named = [[column, kind] for column, kind in zip(columns, types, strict=True)]
    return Reply(200, {"results": rows, "columns": columns, "types": named, **more})


@pytest.mark.parametrize("limit", [7, 20, 50_000])
def test_every_row_comes_once_in_order_whatever_the_ties(
    sandbox: Sandbox, client: PostHogClient, limit: int
) -> None:
    ties = [1, 6, 0, 19, 3, 1, 1, 14, 2]
    fill(sandbox, ties)
    fill(sandbox, [2, 2])
    rows = [row for page in client.query.pages(LOGS, key=KEY, limit=limit) for row in page.rows]
    texts = Counter(row[4] for row in rows)
    wanted = Counter(f"{tick}/{n}" for tick, size in enumerate(ties) for n in range(size))
    assert texts == wanted + Counter(["0/0", "0/1", "1/0", "1/1"])
    moments = [datetime.fromisoformat(row[0]) for row in rows]
    assert moments == sorted(moments)
    assert moments[0] == NOON


def test_a_table_that_fits_into_a_page_costs_one_request(
    sandbox: Sandbox, client: PostHogClient
) -> None:
    fill(sandbox, [3] * 33)
    (page,) = client.query.pages(LOGS, key=KEY)
    assert len(page) == 99
    assert page.columns == ["timestamp", "log_source_id", "instance_id", "level", "message"]
    assert page.types[0].startswith("DateTime64(6")
    assert sandbox.count("POST", "*/query/") == 1
    assert list(client.query.pages(LOGS + " WHERE level = 'audit'", key=KEY)) == []
    assert sandbox.count("POST", "*/query/") == 2


def test_large_tables_cost_one_request_a_page(sandbox: Sandbox, client: PostHogClient) -> None:
    fill(sandbox, [2] * 2_000)
    pages = list(client.query.pages(LOGS, key=KEY, limit=1_000))
    assert sum(map(len, pages)) == 4_000
    assert client.requests_made == 5


def test_rows_with_one_key_stay_together_and_stored_twice_they_come_twice(
    sandbox: Sandbox, client: PostHogClient
) -> None:
    fill(sandbox, [4, 4], instance_id="run", unmerged=True)
    pages = list(client.query.pages(LOGS, key=KEY, limit=6))
    assert [len(page) for page in pages] == [4, 4]
    with pytest.raises(errors.QueryTooLarge, match="Add columns to the key"):
        list(client.query.pages(LOGS, key=KEY, limit=4))


def test_keys_may_hold_any_text(sandbox: Sandbox, client: PostHogClient) -> None:
    workflow = sandbox.world.add_workflow()["id"]
    texts = ["it's", "back\\slash", "new\nline", '"{x}"', "naïve 日本", "%_", ""]
    lines = [
        {"instance_id": text, "timestamp": NOON, "level": "INFO", "message": str(number)}
        for number, text in enumerate(texts)
    ]
    sandbox.world.add_logs(workflow, lines)
    pages = client.query.pages(LOGS, key=("instance_id",), limit=2)
    assert sorted(row[4] for page in pages for row in page.rows) == list("0123456")
    for number, text in enumerate(texts):
        found = client.query.rows(f"{LOGS} WHERE instance_id = {quoted(text)} LIMIT 9")
        assert [row["message"] for row in found] == [str(number)]


def test_keys_may_be_numbers_dates_and_moments(sandbox: Sandbox, client: PostHogClient) -> None:
    source = sandbox.world.add_workflow()["id"]
    for hour in range(30):
        at = NOON - timedelta(hours=hour)
        sandbox.world.emit_metric(source, at, "succeeded", "success", hour + 1)
    sql = (
        "SELECT toUnixTimestamp(timestamp) AS at, toDate(timestamp) AS day, sum(count) AS n "
        "FROM app_metrics GROUP BY at, day"
    )
    for key in (("at",), ("day", "at"), ("n",)):
        rows = [row for page in client.query.pages(sql, key=key, limit=20) for row in page.rows]
        assert sorted(row[2] for row in rows) == list(range(1, 31))


def test_moments_are_exact_to_the_microsecond_in_any_time_zone(
    sandbox: Sandbox, client: PostHogClient
) -> None:
    workflow = sandbox.world.add_workflow()["id"]
    us = timedelta(microseconds=1)
    lines = [
        {"instance_id": "run", "timestamp": at, "level": "INFO", "message": str(n)}
        for n, at in enumerate([NOON - us, NOON, NOON + us])
    ]
    sandbox.world.add_logs(workflow, lines)
    sql = f"{LOGS} WHERE timestamp >= {instant(NOON)} AND timestamp < {instant(NOON + us)}"
    (row,) = client.query.rows(sql + " LIMIT 10")
    assert row["message"] == "1"
    assert datetime.fromisoformat(row["timestamp"]) == NOON


def test_rows_that_arrive_or_go_meanwhile_hide_none_and_double_none(
    sandbox: Sandbox, client: PostHogClient
) -> None:
    fill(sandbox, [2] * 30)
    before = fill(sandbox, [])
    rows: list[tuple[Any, ...]] = []
    for number, page in enumerate(client.query.pages(LOGS, key=KEY, limit=10)):
        rows += page.rows
        late = {"timestamp": NOON - timedelta(seconds=1), "level": "INFO", "message": "late"}
        sandbox.world.add_logs(before, [{"instance_id": str(number), **late}])
    texts = Counter(row[4] for row in rows)
    assert texts == Counter(f"{tick}/{n}" for tick in range(30) for n in range(2))


def test_an_answer_is_never_an_old_one(sandbox: Sandbox, client: PostHogClient) -> None:
    sql = "SELECT count() AS n FROM log_entries"
    fill(sandbox, [1])
    assert client.query.rows(sql) == [{"n": 1}]
    fill(sandbox, [1])
    assert client.query.rows(sql) == [{"n": 2}]


def test_values_stand_for_names_in_braces(sandbox: Sandbox, client: PostHogClient) -> None:
    fill(sandbox, [3])
    sql = "SELECT message FROM log_entries WHERE instance_id = {run} LIMIT 5"
    assert client.query.rows(sql, values={"run": "run 2"}) == [{"message": "0/2"}]


def test_rows_that_were_cut_off_are_no_answer(sandbox: Sandbox, client: PostHogClient) -> None:
    fill(sandbox, [101])
    with pytest.raises(errors.QueryTooLarge, match="Put a LIMIT into the SQL"):
        client.query.rows("SELECT message FROM log_entries")
    assert len(client.query.rows("SELECT message FROM log_entries LIMIT 200")) == 101
    with pytest.raises(ValueError, match="several columns"):
        client.query.rows("SELECT message, message FROM log_entries LIMIT 1")


def test_sql_that_posthog_cannot_read_is_named(sandbox: Sandbox, client: PostHogClient) -> None:
    for sql, says in [
        ("SELECT nope FROM log_entries", "nope"),
        ("SELECT 1 FROM nowhere", "nowhere"),
        ("DROP TABLE log_entries", "DROP"),
    ]:
        with pytest.raises(errors.InvalidRequest, match=says):
            client.query.rows(sql)


def test_a_key_without_the_scope_is_told_which() -> None:
    with (
        Sandbox("docs", populate=False, now=NOW, keys={"phx_narrow": ["hog_flow:read"]}) as sandbox,
        PostHogClient(sandbox.url, "phx_narrow", 1) as client,
        pytest.raises(errors.MissingScope) as caught,
    ):
        client.query.rows("SELECT 1")
    assert caught.value.scope == "query:read"


def test_a_query_is_charged_to_its_own_bucket_and_sent_again_when_the_server_is_busy() -> None:
    busy = Reply(503, {"detail": "at capacity"}, {"Retry-After": "0.01"})
    with (
        scripted(busy, answer([[1]], ["n"], ["UInt8"])) as server,
        PostHogClient(server.url, "phx_k", 1) as client,
    ):
        assert client.query.rows("SELECT 1 AS n", name="n" * 200, tags={"scene": "s"}) == [{"n": 1}]
        used = {use.bucket: use.allowed - use.free for use in client.server.usage()}
    assert used["query"] == 2
    assert used["default"] == 0
    body = json.loads(server.asked[-1].body)
    assert body["refresh"] == "force_blocking"
    assert body["query"]["name"] == "n" * 128
    assert body["query"]["tags"] == {"scene": "s"}


def test_a_server_older_than_names_of_queries_is_asked_without() -> None:
    def reply(asked: Asked) -> Reply:
        if "name" in json.loads(asked.body)["query"]:
            said = "1 validation error\nquery.HogQLQuery.name\n  Extra inputs are not permitted"
            return Reply(400, {"type": "validation_error", "code": "invalid", "detail": said})
        return answer([[1]], ["n"], ["UInt8"])

    with (
        scripted(reply) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
    ):
        for _ in range(2):
            assert client.query.rows("SELECT 1 AS n", name="test") == [{"n": 1}]
        assert len(server.asked) == 3


def test_a_server_that_cuts_pages_shorter_loses_nothing() -> None:
    def reply(asked: Asked) -> Reply:
        sql = json.loads(asked.body)["query"]["query"]
        first = int(sql.split("n >= ")[1].split()[0]) if "n >= " in sql else 0
        return answer([[n] for n in range(first, min(first + 100, 321))], ["n"], ["UInt32"])

    with (
        scripted(reply) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
    ):
        pages = list(client.query.pages("SELECT n FROM t", key=("n",)))
    assert [row[0] for page in pages for row in page.rows] == list(range(321))


def test_a_server_that_answers_the_same_page_again_and_again_is_refused() -> None:
    with (
        scripted(answer([[n] for n in range(10)], ["n"], ["UInt8"])) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
        pytest.raises(errors.MalformedResponse, match="from before the key"),
    ):
        list(client.query.pages("SELECT n FROM t", key=("n",), limit=10))


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b'{"results": [[1',
        [],
        {"results": None, "columns": ["n"]},
        {"results": [[1]], "columns": None},
        {"results": [[1]], "columns": [None]},
        {"results": [[1, 2]], "columns": ["n"]},
        {"query_status": {"complete": False}},
    ],
)
def test_answers_that_are_no_rows_are_refused(body: Any) -> None:
    with (
        scripted(Reply(200, body)) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
        pytest.raises(errors.MalformedResponse),
    ):
        client.query.rows("SELECT 1 AS n")


@pytest.mark.parametrize("types", [None, 5, [[]], [["n"]], ["UInt8"]])
def test_types_that_cannot_be_read_cost_no_rows(types: Any) -> None:
    reply = Reply(200, {"results": [[1]], "columns": ["n"], "types": types})
    with (
        scripted(reply) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
    ):
        assert client.query.rows("SELECT 1 AS n") == [{"n": 1}]


def test_an_error_inside_an_answer_is_an_error() -> None:
    reply = answer([], ["n"], ["UInt8"], error="Unknown column")
    with (
        scripted(reply) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
        pytest.raises(errors.InvalidRequest, match="Unknown column"),
    ):
        client.query.rows("SELECT 1 AS n")


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        (None, "Nullable(String)", "null"),
        ("2026-11-20T12:00:00", "DateTime64(6)", "offset"),
        ([1], "Array(UInt8)", "toString"),
        (True, "Bool", "toString"),
    ],
)
def test_keys_that_cannot_be_paged_by_are_refused(value: Any, kind: str, says: str) -> None:
    reply = answer([["a", 1], [value, 2]], ["k", "n"], [kind, "UInt8"])
    with (
        scripted(reply) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
        pytest.raises(ValueError, match=says),
    ):
        list(client.query.pages("SELECT k, n FROM t", key=("k",), limit=2))


def test_pages_that_cannot_be_meant_are_refused_at_once() -> None:
    with PostHogClient("http://127.0.0.1:9", "phx_k", 1) as client:
        for options in ({"key": ()}, {"key": ("n",), "limit": 0}, {"key": ("n",), "limit": 50_001}):
            with pytest.raises(ValueError, match="query"):
                client.query.pages("SELECT 1 AS n", **options)  # type: ignore[arg-type]
        assert client.requests_made == 0
    with pytest.raises(ValueError, match="no time zone"):
        instant(NOON.replace(tzinfo=None))
    with (
        scripted(answer([[1]], ["m"], ["UInt8"])) as server,
        PostHogClient(server.url, "phx_k", 1, limits=False) as client,
        pytest.raises(ValueError, match="not selected"),
    ):
        list(client.query.pages("SELECT 1 AS m", key=("n",)))
