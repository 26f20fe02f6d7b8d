"""Queries as tables: every row of every partition, typed, once; gaps said, nothing lost."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import AssetOptions, _query_pages, build_query_asset
from hog_dagster.assets._query_rows import QueryShape
from hog_dagster.checks import build_query_checks
from hog_dagster.policies import QueryTable
from hog_dagster.posthog._services.hogql import QueryPage
from hog_dagster.resources import DuckDBWarehouse, PostgresWarehouse, PostHogResource
from hog_dagster.sandbox import Sandbox
from hog_dagster.testing import loaded
from tests.assets import kit

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FIRST = date(2026, 11, 1)
BOUNDS = "timestamp >= {start} AND timestamp < {end}"
EVENTS = QueryTable(
    name="events",
    hogql="SELECT timestamp, uuid, event, distinct_id, properties, properties.plan AS plan "
    f"FROM events WHERE {BOUNDS}",
    key=["timestamp", "uuid"],
    types={"properties": "json"},
)
BY_HOUR = QueryTable(
    name="events_by_hour",
    hogql="SELECT toStartOfHour(timestamp) AS hour, event, count() AS n, uniq(distinct_id) AS "
    f"people, avg(1.5) AS score FROM events WHERE {BOUNDS} GROUP BY hour, event",
    key=["hour", "event"],
)


@pytest.fixture(params=["current-duckdb", "docs-postgres"])
def place(request: pytest.FixtureRequest) -> str:
    """A server's generation, and where its rows load."""
    return request.param


@pytest.fixture
def sandbox(place: str) -> Iterator[Sandbox]:
    generation: Any = place.partition("-")[0]
    zone = "Asia/Kolkata" if generation == "docs" else "UTC"
    with Sandbox(generation, populate=False, limits=False, now=NOW, timezone=zone) as sandbox:
        yield sandbox


@pytest.fixture
def warehouse(place: str, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if place.endswith("duckdb"):
        return DuckDBWarehouse(path=str(tmp_path / "warehouse.duckdb"))
    return PostgresWarehouse(url=request.getfixturevalue("postgres_url"))


Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def run(sandbox: Sandbox, warehouse: Any, instance: dg.DagsterInstance) -> Run:
    """Materialize a query's asset, a partition or a stretch of them."""

    def run(
        query: QueryTable,
        first: str | None = None,
        last: str | None = None,
        *,
        waits: float = 0.2,
        **more: Any,
    ) -> dg.ExecuteInProcessResult:
        posthog = PostHogResource(
            host=sandbox.url, api_key=sandbox.api_key, project_id="1", max_wait_seconds=waits
        )
        options = AssetOptions(retry_policy=None)
        asset = build_query_asset(query, start_date=FIRST, options=options)
        return dg.materialize(
            [asset, *build_query_checks([query], start_date=FIRST)]
            if more.pop("check", 0)
            else [asset],
            resources={"posthog": posthog, "warehouse": warehouse},
            instance=instance,
            tags=kit.days(first, last or first) if first else {},
            **more,
        )

    return run


def fill(sandbox: Sandbox, ties: list[int], start: datetime = NOON, **more: Any) -> None:
    """So many events at one instant, and a minute later, and so on."""
    sandbox.world.add_events(
        {
            "event": f"{tick}/{number}",
            "timestamp": start + tick * timedelta(minutes=1),
            "distinct_id": f"user {number % 3}",
            "properties": {"plan": "pro", "n": number, "text": "é\u2028'\\"},
            **more,
        }
        for tick, size in enumerate(ties)
        for number in range(size)
    )


def wanted(ties: list[int]) -> Counter[str]:
    return Counter(f"{tick}/{n}" for tick, size in enumerate(ties) for n in range(size))


def metadata_of(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Partition key -> metadata; of a snapshot under an empty key."""
    return {
        event.partition or "": {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
    }


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    data = event.step_failure_data.user_failure_data
    return (data.description if data else None) or ""


def test_every_row_of_a_partition_lands_once_with_its_types(sandbox, warehouse, run, monkeypatch):
    monkeypatch.setattr(_query_pages, "MOST_ROWS", 20)
    ties = [3, 1, 12, 0, 7, 40, 2]
    fill(sandbox, ties)
    result = run(EVENTS.model_copy(update={"page_rows": 20}), "2026-11-20")
    rows = loaded(warehouse, "events")
    assert Counter(row["event"] for row in rows) == wanted(ties)
    assert {row["timestamp"].astimezone(UTC) for row in rows if row["event"].startswith("2/")} == {
        NOON + timedelta(minutes=2)
    }
    assert {row["_partition_start"].astimezone(UTC) for row in rows} == {
        datetime(2026, 11, 20, tzinfo=UTC)
    }
    assert all(row["_raw"] is None and row["plan"] == "pro" for row in rows)
    assert len({row["uuid"] for row in rows}) == 65
    metadata = metadata_of(result)["2026-11-20"]
    assert metadata["dagster/partition_row_count"] == 65
    assert metadata["posthog/requests"] == sandbox.count("POST", "*/query/")
    assert metadata["posthog/rows_in_run"] == 65
    columns = {c.name: c.type for c in metadata["dagster/column_schema"].columns}
    assert columns == {
        "project_id": "bigint",
        "_partition_start": "timestamptz",
        "timestamp": "timestamptz",
        "uuid": "text",
        "event": "text",
        "distinct_id": "text",
        "properties": "json",
        "plan": "text",
        "_raw": "json",
        "_loaded_at": "timestamptz",
    }
    with warehouse.open() as opened:
        arrow = "properties ->> 'text'"
        (found,) = opened.query(f"select distinct {arrow} as text from posthog.events").to_pylist()
    assert found == {"text": "é\u2028'\\"}


def test_each_partition_is_a_reading_of_its_own(sandbox, warehouse, run):
    for day in range(3):
        fill(sandbox, [5] * (day + 1), NOON - timedelta(days=day))
    result = run(BY_HOUR, "2026-11-17", "2026-11-20")
    rows = loaded(warehouse, "events_by_hour")
    assert sum(row["n"] for row in rows) == 5 + 10 + 15
    assert {row["people"] for row in rows} == {1}
    assert {row["score"] for row in rows} == {1.5}
    counts = {key: of["dagster/partition_row_count"] for key, of in metadata_of(result).items()}
    assert counts == {"2026-11-17": 0, "2026-11-18": 15, "2026-11-19": 10, "2026-11-20": 5}
    assert sandbox.count("POST", "*/query/") == 4


def test_reading_again_replaces_and_late_rows_are_looked_back_to(sandbox, warehouse, run):
    fill(sandbox, [4], NOON - timedelta(days=1))
    fill(sandbox, [2])
    run(EVENTS, "2026-11-19", "2026-11-20")
    fill(sandbox, [0, 3], NOON - timedelta(days=1))
    result = run(EVENTS.model_copy(update={"lookback": 1}), "2026-11-20")
    assert len(loaded(warehouse, "events")) == 9
    counts = {key: of["dagster/partition_row_count"] for key, of in metadata_of(result).items()}
    assert counts == {"2026-11-19": 7, "2026-11-20": 2}


def test_hourly_partitions_and_an_empty_one(sandbox, warehouse, run):
    fill(sandbox, [2] * 90)
    query = EVENTS.model_copy(update={"partitions": "hourly"})
    result = run(query, "2026-11-20-11:00", "2026-11-20-13:00")
    counts = {key: of["dagster/partition_row_count"] for key, of in metadata_of(result).items()}
    assert counts == {"2026-11-20-11:00": 0, "2026-11-20-12:00": 120, "2026-11-20-13:00": 60}
    assert len(loaded(warehouse, "events")) == 180


def test_a_snapshot_is_the_whole_table_each_time(sandbox, warehouse, run):
    for number in range(30):
        sandbox.world.add_events(
            [{"event": "seen", "timestamp": NOON, "distinct_id": f"p{number}"}]
        )
    query = QueryTable(
        name="people",
        hogql="SELECT id, created_at, is_identified FROM persons -- all of them",
        key=["id"],
        partitions="snapshot",
        page_rows=7,
    )
    before = len(sandbox.world.persons)
    result = run(query)
    rows = loaded(warehouse, "people")
    assert len({row["id"] for row in rows}) == len(rows) == before >= 30
    assert metadata_of(result)[""]["dagster/row_count"] == before
    sandbox.world.persons.popitem()
    run(query)
    assert len(loaded(warehouse, "people")) == before - 1


def test_an_instant_that_is_too_dense_is_a_gap_and_what_landed_of_it_stays(
    sandbox, warehouse, run, monkeypatch
):
    query = EVENTS.model_copy(update={"key": ["timestamp"], "page_rows": 20})
    fill(sandbox, [3, 18, 2])
    run(query, "2026-11-20")
    monkeypatch.setattr(_query_pages, "MOST_ROWS", 20)
    fill(sandbox, [1, 30], event="late")
    result = run(query, "2026-11-20", check=1, raise_on_error=False)
    rows = Counter(row["event"] for row in loaded(warehouse, "events"))
    assert rows == wanted([3, 18, 2]) + Counter({"late": 1})
    metadata = metadata_of(result)["2026-11-20"]
    assert metadata["posthog/gaps"] == 1
    (gap,) = (record.data for record in metadata["gaps"].records)
    assert "20 rows or more have one timestamp" in gap["why"]
    assert "Add columns to the key" in gap["why"]
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.metadata["posthog/gaps"].value == 1
    assert check.metadata["posthog/missing"].value == 30


def test_the_check_counts_what_posthog_has_in_one_request(sandbox, warehouse, run):
    fill(sandbox, [3, 4])
    fill(sandbox, [5], NOON - timedelta(days=1))
    query = EVENTS
    result = run(query, "2026-11-19", "2026-11-20", check=1)
    (check,) = result.get_asset_check_evaluations()
    assert check.passed
    assert check.description == "12 loaded, 12 in PostHog."
    assert sandbox.count("POST", "*/query/") == 3


def test_an_empty_answer_where_rows_had_landed_replaces_nothing(sandbox, warehouse, run):
    fill(sandbox, [3])
    run(EVENTS, "2026-11-20")
    sandbox.world.events.clear()
    result = run(EVENTS, "2026-11-20", check=1, raise_on_error=False)
    assert len(loaded(warehouse, "events")) == 3
    metadata = metadata_of(result)["2026-11-20"]
    assert metadata["dagster/partition_row_count"] == 3
    assert metadata["posthog/gaps"] == 1
    assert "no rows where 3 had been loaded" in metadata["posthog/notes"]
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed


def test_a_reading_that_fails_midway_replaces_nothing(sandbox, warehouse, run):
    query = EVENTS.model_copy(update={"page_rows": 10})
    fill(sandbox, [3] * 10)
    run(query, "2026-11-20")
    fill(sandbox, [0] * 30 + [1] * 5)
    for body in (b"<html>busy</html>", {"results": [[1]], "columns": ["a", "b"]}):
        sandbox.fail("POST", "*/query", times=1, after=2, status=200, body=body)
        result = run(query, "2026-11-20", raise_on_error=False)
        assert not result.success
        assert len(loaded(warehouse, "events")) == 30


def test_a_partition_that_is_too_much_costs_no_other(sandbox, warehouse, run):
    query = BY_HOUR.model_copy(update={"key": ["event"]})
    fill(sandbox, [3])
    fill(sandbox, [2], NOON - timedelta(days=1))
    run(query, "2026-11-20")
    sandbox.fail("POST", "*/query", times=6, after=1, status=512, body=b"")
    result = run(query, "2026-11-19", "2026-11-20", raise_on_error=False)
    assert result.success
    metadata = metadata_of(result)
    assert metadata["2026-11-19"]["dagster/partition_row_count"] == 2
    assert "dagster/partition_row_count" not in metadata["2026-11-20"]
    assert "was not read" in metadata["2026-11-20"]["posthog/not_read"]
    assert metadata["2026-11-20"]["posthog/gaps"] == 1
    assert len(loaded(warehouse, "events_by_hour")) == 5


def test_a_query_whose_columns_change_adds_them(sandbox, warehouse, run):
    fill(sandbox, [2])
    run(EVENTS, "2026-11-20")
    more = EVENTS.hogql.replace("SELECT timestamp,", "SELECT timestamp, 1 AS one,")
    run(EVENTS.model_copy(update={"hogql": more}), "2026-11-20")
    assert [row["one"] for row in loaded(warehouse, "events")] == [1, 1]


# --- what is told and refused, with one generation and one warehouse ------------------------------


@pytest.fixture
def plain(request: pytest.FixtureRequest, tmp_path, instance) -> Iterator[tuple[Sandbox, Run]]:
    with Sandbox("current", populate=False, limits=False, now=NOW) as sandbox:

        def run(query: QueryTable, waits: float = 0.2) -> dg.ExecuteInProcessResult:
            posthog = PostHogResource(
                host=sandbox.url, api_key=sandbox.api_key, project_id="1", max_wait_seconds=waits
            )
            return dg.materialize(
                [
                    build_query_asset(
                        query, start_date=FIRST, options=AssetOptions(retry_policy=None)
                    )
                ],
                resources={
                    "posthog": posthog,
                    "warehouse": DuckDBWarehouse(path=str(tmp_path / "w.duckdb")),
                },
                instance=instance,
                partition_key="2026-11-20" if query.partitioned else None,
                raise_on_error=False,
            )

        yield sandbox, run


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"key": []}, "it has 2 rows or more, which come in several pages: name in its key"),
        ({"key": ["timestamp", "id"]}, "its key names the column id, which it does not select."),
        ({"types": {"plans": "text"}}, "types names the column plans, which is not among those"),
        (
            {"hogql": f"SELECT timestamp, nothing(1) FROM events WHERE {BOUNDS}"},
            "PostHog refuses its hogql: Unsupported function call 'nothing(...)'.",
        ),
        (
            {"hogql": f"SELECT timestamp, uuid FROM nowhere WHERE {BOUNDS}"},
            "PostHog refuses its hogql: Unknown table `nowhere`.",
        ),
    ],
)
def test_what_only_posthog_can_tell_is_refused_in_a_sentence(plain, change, said):
    sandbox, run = plain
    fill(sandbox, [3])
    result = run(EVENTS.model_copy(update={"types": {}, "page_rows": 2, **change}))
    assert not result.success
    text = failure_of(result)
    assert text.startswith("Query 'events': ")
    assert said in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "Events"}, "Query 'Events': its name becomes a table's"),
        ({"name": "1st"}, "a letter first"),
        ({"name": "drop table"}, "lower-case letters, digits and underscores"),
        ({"hogql": " ; "}, "its hogql is empty."),
        ({"hogql": "SELECT timestamp FROM events WHERE timestamp >= {start}"}, "has no {end}"),
        ({"hogql": "SELECT '{start}', `{end}` FROM events -- {start}"}, "has no {start}"),
        ({"hogql": f"SELECT 1 FROM events WHERE {BOUNDS} AND {{filters}}"}, "{filters}"),
        ({"partitions": "snapshot"}, "it is a snapshot, and its hogql has {end}"),
        ({"key": ["uuid", "uuid"]}, "its key names the column uuid twice."),
        ({"partitions": "snapshot", "hogql": "SELECT 1", "lookback": 2}, "no partitions to look"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_asked(change, said):
    with pytest.raises(ValueError, match="Query ") as raised:
        build_query_asset(EVENTS.model_copy(update=change), start_date=FIRST)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"start_date": "yesterday"}, "start_date"),
        ({"types": {"uuid": "varchar"}}, "types.uuid"),
    ],
)
def test_a_value_that_no_query_can_have_is_refused_where_it_is_declared(change, said):
    with pytest.raises(ValueError, match=said):
        QueryTable(**EVENTS.model_dump() | change)


def test_two_columns_of_one_name_are_refused():
    page = QueryPage(["uuid", "uuid"], ["UUID", "UUID"], [])
    with pytest.raises(ValueError, match="several of its columns are called uuid"):
        QueryShape.of(EVENTS.model_copy(update={"types": {}}), page)


def test_partitions_need_a_first_day():
    with pytest.raises(ValueError, match="Query 'events': give the first day"):
        build_query_asset(EVENTS)


def test_a_key_of_one_page_needs_no_columns(plain):
    sandbox, run = plain
    fill(sandbox, [3])
    result = run(EVENTS.model_copy(update={"key": []}))
    assert result.success
    assert sandbox.count("POST", "*/query/") == 1


def test_values_that_do_not_fit_are_kept_beside_the_row(plain, tmp_path):
    sandbox, run = plain
    fill(sandbox, [1], properties={"plan": "pro", "n": 1})
    fill(sandbox, [0, 1], properties={"plan": "7"})
    query = EVENTS.model_copy(update={"types": {"plan": "bigint", "properties": "text"}})
    assert run(query).success
    rows = loaded(DuckDBWarehouse(path=str(tmp_path / "w.duckdb")), "events", order_by="timestamp")
    assert [(row["plan"], row["_raw"]) for row in rows] == [(None, '{"plan":"pro"}'), (7, None)]


def test_a_query_refused_for_those_of_others_is_no_failure(plain, monkeypatch):
    sandbox, run = plain
    monkeypatch.setattr("hog_dagster.posthog._transport.transport.concurrency_wait", lambda: 0.05)
    fill(sandbox, [3] * 20)
    body = {
        "type": "throttled_error",
        "code": "throttled",
        "detail": "Exceeded maximum concurrency limit: 3 for key: api and task: query",
        "attr": None,
    }
    sandbox.fail("POST", "*/query", times=3, after=1, status=429, body=body)
    result = run(EVENTS.model_copy(update={"page_rows": 20}), waits=60.0)
    assert result.success
    assert metadata_of(result)["2026-11-20"]["dagster/partition_row_count"] == 60


def test_the_asset_looks_like_the_others(instance):
    query = EVENTS.model_copy(
        update={"owners": ["team:web"], "tags": {"tier": "gold"}, "deps": ["raw/events"]}
    )
    options = AssetOptions(owners=("team:growth",), tags={"of": "posthog"}, name="eu")
    (spec,) = build_query_asset(query, start_date=FIRST, options=options).specs
    assert spec.key == dg.AssetKey(["posthog", "eu", "events"])
    assert spec.group_name == "eu_queries"
    assert spec.kinds == {"posthog", "duckdb", "table"}
    assert spec.owners == ["team:growth", "team:web"]
    assert {"tier": "gold", "of": "posthog"}.items() <= spec.tags.items()
    assert [dep.asset_key for dep in spec.deps] == [dg.AssetKey(["raw", "events"])]
    assert spec.metadata["partition_expr"] == "_partition_start"
    assert "timestamp < {end}" in spec.metadata["posthog/hogql"].value
    assert spec.automation_condition is not None
    assert spec.freshness_policy is not None
