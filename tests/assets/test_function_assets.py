"""Hog function tables load complete, once and redacted; partitions, look-back and ties of logs."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import (
    HogFunctionSelection,
    build_hog_function_logs_asset,
    build_hog_function_metrics_asset,
    build_hog_functions_asset,
    build_workflow_logs_asset,
    build_workflow_metrics_asset,
    build_workflow_runs_asset,
)
from hog_dagster.assets._function_tables import (
    HOG_FUNCTION_LOGS,
    HOG_FUNCTION_METRICS,
    HOG_FUNCTIONS,
)
from hog_dagster.assets._workflow_tables import WORKFLOW_LOGS, WORKFLOW_METRICS, WORKFLOW_RUNS
from hog_dagster.resources import PostgresWarehouse
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import Table
from tests.assets import kit

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-01", end_date="2026-11-21")
HOURS = dg.HourlyPartitionsDefinition(
    start_date="2026-11-20-00:00", end_date="2026-11-21-00:00", timezone="UTC"
)

LOG_SOURCES: dict[str, tuple[Callable[..., Any], Table, str]] = {
    "hog_functions": (build_hog_function_logs_asset, HOG_FUNCTION_LOGS, "function_id"),
    "workflows": (build_workflow_logs_asset, WORKFLOW_LOGS, "workflow_id"),
}


def run(asset: Any, given: dict[str, Any], instance: Any, **kwargs: Any) -> Any:
    result = dg.materialize(
        [asset], resources=given, instance=instance, raise_on_error=False, **kwargs
    )
    assert result.success
    return result


def rows(given: dict[str, Any], table: Table) -> list[dict[str, Any]]:
    with given["warehouse"].open() as warehouse:
        return warehouse.read(table).to_pylist()


def notes(result: Any) -> str:
    found = [
        event.materialization.metadata["posthog/notes"].value
        for event in result.get_asset_materialization_events()
        if "posthog/notes" in event.materialization.metadata
    ]
    return "\n".join(found)


def counts(result: Any) -> dict[str, int]:
    return {
        event.partition: event.materialization.metadata["dagster/partition_row_count"].value
        for event in result.get_asset_materialization_events()
    }


def add_source(sandbox: Sandbox, log_source: str) -> str:
    world = sandbox.world
    return (world.add_workflow() if log_source == "workflows" else world.add_hog_function())["id"]


def lines(ties: dict[datetime, int], level: str = "INFO", **more: Any) -> list[dict[str, Any]]:
    """So many lines of as many runs at each moment."""
    return [
        {
            "instance_id": f"run-{number}",
            "timestamp": at,
            "level": level,
            "message": f"line {number} of {at.isoformat()}",
            **more,
        }
        for at, size in ties.items()
        for number in range(size)
    ]


# -- the catalog ---------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", ["docs", "current"])
def test_every_live_function_lands_with_its_state_and_without_a_secret(
    generation, resources, instance
):
    with Sandbox(generation, populate=False, now=NOW, limits=False) as sandbox:
        world = sandbox.world
        crm = world.add_hog_function(
            "Orders to CRM",
            inputs_schema=[
                {"key": "url", "type": "string"},
                {"key": "token", "type": "string", "secret": True},
            ],
            inputs={
                "url": {"value": "https://crm.example.com/in?key=k1"},
                "token": {"value": "s3cret-token"},
            },
            filters={"source": "events", "events": [{"id": "order placed", "type": "events"}]},
            template_id="template-webhook",
        )
        off = world.add_hog_function("Off", enabled=False)
        drop = world.add_hog_function("Drop bots", "transformation", hog="return event")
        gone = world.add_hog_function("Gone", deleted=True)
        given = resources(sandbox)
        result = run(build_hog_functions_asset(), given, instance)
        loaded = {row["id"]: row for row in rows(given, HOG_FUNCTIONS)}
        assert set(loaded) == {crm["id"], off["id"], drop["id"]}
        row = loaded[crm["id"]]
        assert (row["type"], row["enabled"], row["source"]) == ("destination", True, "events")
        assert row["template_id"] == "template-webhook"
        assert row["template_name"]
        assert json.loads(row["inputs"]).keys() == {"url", "token"}
        filters = json.loads(row["filters"])
        assert filters["events"][0]["id"] == "order placed"
        assert "bytecode" not in filters
        assert loaded[drop["id"]]["execution_order"] == 1
        assert loaded[off["id"]]["status"] == "unknown"
        assert row["status"] in ("healthy", "unknown")
        assert row["code_sha256"] != loaded[drop["id"]]["code_sha256"]
        assert row["url"] == f"{sandbox.url}/project/1/functions/{crm['id']}"
        text = json.dumps(list(loaded.values()), default=str)
        assert "s3cret" not in text
        assert "crm.example.com" not in text
        (event,) = result.get_asset_materialization_events()
        metadata = event.materialization.metadata
        assert metadata["dagster/row_count"].value == 3
        requests = len(sandbox.requests)
        world.hog_functions[off["id"]].deleted = True
        run(build_hog_functions_asset(details=False), given, instance)
        assert len(sandbox.requests) - requests == 1
        there = [row for row in rows(given, HOG_FUNCTIONS) if row["deleted_seen_at"] is None]
        assert {row["id"] for row in there} == {crm["id"], drop["id"]}
        assert gone["id"] not in loaded


def test_newer_servers_show_inputs_without_a_request_each(resources, instance):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        for number in range(5):
            sandbox.world.add_hog_function(f"F{number}", inputs={"url": {"value": "https://x"}})
        given = resources(sandbox)
        run(build_hog_functions_asset(), given, instance)
        assert len(sandbox.requests) == 1
    assert all(json.loads(row["inputs"]) for row in rows(given, HOG_FUNCTIONS))


def test_only_the_chosen_functions_are_read(resources, instance):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        names = [
            sandbox.world.add_hog_function(name, kind, enabled=enabled)["id"]
            for name, kind, enabled in [
                ("Orders to CRM", "destination", True),
                ("Orders to mail", "destination", False),
                ("Banner", "site_app", True),
                ("Drop bots", "transformation", True),
            ]
        ]
        given = resources(sandbox)
        chosen = HogFunctionSelection(names=["orders.*"], enabled=True)
        run(build_hog_functions_asset(selection=chosen), given, instance)
        assert [row["id"] for row in rows(given, HOG_FUNCTIONS)] == names[:1]
        asset = build_hog_function_logs_asset(DAYS)
        run(asset, given, instance, partition_key="2026-11-20")
        asked = {
            record.path.split("/")[-3] for record in sandbox.requests if "/logs/" in record.path
        }
        assert asked == {names[0], names[1], names[3]}  # A site app runs in browsers.


# -- partitions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("generation", "zone"), [("docs", "UTC"), ("current", "Asia/Kolkata")])
def test_metrics_equal_what_was_counted_in_every_utc_hour(generation, zone, resources, instance):
    emitted: Counter[tuple[str, datetime, str]] = Counter()
    with Sandbox(generation, populate=False, now=NOW, timezone=zone, limits=False) as sandbox:
        for _ in range(2):
            function = sandbox.world.add_hog_function()["id"]
            for hour in range(72):
                at = datetime(2026, 11, 9, tzinfo=UTC) + timedelta(hours=hour)
                for name, count in (("succeeded", hour % 5), ("filtered", hour % 7)):
                    if count:
                        sandbox.world.emit_metric(
                            function, at + timedelta(minutes=31), name, "success", count
                        )
                        emitted[function, at, name] += count
        given = resources(sandbox)
        asset = build_hog_function_metrics_asset(DAYS, read_by="rest")
        tags = kit.days("2026-11-09", "2026-11-11")
        result = run(asset, given, instance, tags=tags)
        assert sandbox.count("GET", "*/metrics/") == 2
    loaded = {
        (row["function_id"], row["hour"], row["metric"]): row["value"]
        for row in rows(given, HOG_FUNCTION_METRICS)
    }
    assert loaded == dict(emitted)
    assert sum(counts(result).values()) == len(emitted)


@pytest.mark.parametrize(
    ("engine", "log_source", "read_by"),
    [
        ("duckdb", "hog_functions", "rest"),
        ("postgres", "workflows", "rest"),
        ("duckdb", "workflows", "auto"),
        ("postgres", "hog_functions", "auto"),
    ],
)
def test_ties_of_any_size_land_once(
    engine, log_source, read_by, resources, instance, request: pytest.FixtureRequest
):
    build, table, id_column = LOG_SOURCES[log_source]
    ties = {NOON + timedelta(seconds=n): size for n, size in enumerate((1, 50, 400, 900))}
    wanted: Counter[tuple[str, str, datetime, str]] = Counter()
    with Sandbox("current", populate=False, now=NOW, limits=False, shuffle_ties=True) as sandbox:
        for _ in range(2):
            source = add_source(sandbox, log_source)
            given_lines = lines(ties)
            for number, line in enumerate(given_lines):
                line["level"] = ("DEBUG", "INFO", "WARN", "ERROR")[number % 4]
            sandbox.world.add_logs(source, given_lines)
            wanted.update(
                (source, line["instance_id"], line["timestamp"], line["message"])
                for line in given_lines
            )
        given = resources(sandbox)
        if engine == "postgres":
            given["warehouse"] = PostgresWarehouse(url=request.getfixturevalue("postgres_url"))
        asset = build(DAYS, messages="keep", read_by=read_by)
        run(asset, given, instance, partition_key="2026-11-20")
        result = run(asset, given, instance, partition_key="2026-11-20")
    loaded = Counter(
        (row[id_column], row["instance_id"], row["timestamp"], row["message"])
        for row in rows(given, table)
    )
    assert loaded == wanted
    assert counts(result) == {"2026-11-20": 2 * 1_351}


@pytest.mark.parametrize("log_source", list(LOG_SOURCES))
def test_hourly_partitions_take_the_lines_of_their_hour(log_source, resources, instance):
    build, table, _ = LOG_SOURCES[log_source]
    edges = [timedelta(0), timedelta(minutes=59, seconds=59, microseconds=999_999)]
    hours = {NOON + timedelta(hours=n): n + 1 for n in range(-1, 2)}
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        source = add_source(sandbox, log_source)
        for hour, size in hours.items():
            for edge in edges:
                sandbox.world.add_logs(source, lines({hour + edge: size}))
        given = resources(sandbox)
        asset = build(HOURS, read_by="rest")
        result = run(asset, given, instance, partition_key="2026-11-20-12:00")
        assert counts(result) == {"2026-11-20-12:00": 2}
        assert {row["timestamp"] for row in rows(given, table)} == {NOON + edge for edge in edges}
        tags = kit.days("2026-11-20-11:00", "2026-11-20-13:00")
        sandbox.reset_counts()
        result = run(asset, given, instance, tags=tags)
        assert sandbox.count("GET", "*/logs/") == 1
    assert counts(result) == {f"2026-11-20-{11 + n}:00": 2 * n for n in range(3)}
    assert len(rows(given, table)) == 6


def test_hourly_partitions_take_the_counts_and_runs_of_their_hour(resources, instance):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        function = sandbox.world.add_hog_function()["id"]
        for hour in range(-2, 3):
            at = NOON + timedelta(hours=hour)
            sandbox.world.add_run(workflow, scheduled_at=at)
            sandbox.world.add_run(workflow, scheduled_at=at + timedelta(minutes=59, seconds=59.9))
            for source in (workflow, function):
                sandbox.world.emit_metric(
                    source, at + timedelta(minutes=40), "succeeded", "success", 10 + hour
                )
        given = resources(sandbox)
        tags = kit.days("2026-11-20-12:00", "2026-11-20-13:00")
        for build, table, each in (
            (build_workflow_metrics_asset, WORKFLOW_METRICS, 1),
            (build_hog_function_metrics_asset, HOG_FUNCTION_METRICS, 1),
            (build_workflow_runs_asset, WORKFLOW_RUNS, 2),
        ):
            result = run(build(HOURS), given, instance, tags=tags)
            assert counts(result) == {"2026-11-20-12:00": each, "2026-11-20-13:00": each}
            assert len(rows(given, table)) == 2 * each
    values = {row["hour"]: row["value"] for row in rows(given, HOG_FUNCTION_METRICS)}
    assert values == {NOON: 10, NOON + timedelta(hours=1): 11}


@pytest.mark.parametrize("read_by", ["rest", "auto"])
def test_lines_that_arrive_late_land_when_their_partition_is_read_again(
    read_by, resources, instance
):
    early, late = NOON + timedelta(minutes=10), NOON + timedelta(minutes=20)
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        function = sandbox.world.add_hog_function()["id"]
        sandbox.world.add_logs(function, lines({early: 3}))
        arrived = sandbox.clock.now() + timedelta(hours=1)
        sandbox.world.add_logs(function, lines({late: 2}, visible_at=arrived))
        given = resources(sandbox)
        first = build_hog_function_logs_asset(HOURS, read_by=read_by)
        assert counts(run(first, given, instance, partition_key="2026-11-20-12:00")) == {
            "2026-11-20-12:00": 3
        }
        sandbox.clock.advance(7_200)
        again = build_hog_function_logs_asset(HOURS, lookback=2, read_by=read_by)
        result = run(again, given, instance, partition_key="2026-11-20-13:00")
        assert counts(result) == {
            "2026-11-20-11:00": 0,
            "2026-11-20-12:00": 5,
            "2026-11-20-13:00": 0,
        }
        key = dg.AssetKey(["posthog", "hog_function_logs"])
        assert instance.get_materialized_partitions(key) == set(counts(result))
        assert len(rows(given, HOG_FUNCTION_LOGS)) == 5


def test_looking_back_stops_at_the_first_partition_and_reads_neighbours_in_one_go(
    resources, instance
):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        function = sandbox.world.add_hog_function()["id"]
        sandbox.world.add_logs(function, lines({NOON: 1}))
        given = resources(sandbox)
        asset = build_hog_function_logs_asset(HOURS, read_by="rest", lookback=5)
        result = run(asset, given, instance, partition_key="2026-11-20-02:00")
        assert sorted(counts(result)) == [f"2026-11-20-0{n}:00" for n in range(3)]
        assert sandbox.count("GET", "*/logs/") == 1


@pytest.mark.parametrize("rows_there", [0, 1, 7, 499])
def test_a_window_of_less_than_a_page_costs_one_request_a_function(rows_there, resources, instance):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        functions = [sandbox.world.add_hog_function()["id"] for _ in range(3)]
        for function in functions:
            moments = {NOON + timedelta(seconds=n): 1 for n in range(rows_there)}
            sandbox.world.add_logs(function, lines(moments))
        given = resources(sandbox)
        run(
            build_hog_function_logs_asset(DAYS, read_by="rest"),
            given,
            instance,
            partition_key="2026-11-20",
        )
        assert sandbox.count("GET", "*/logs/") == 3
    assert len(rows(given, HOG_FUNCTION_LOGS)) == 3 * rows_there


@pytest.mark.parametrize(
    ("build", "table"),
    [
        (build_hog_function_logs_asset, HOG_FUNCTION_LOGS),
        (build_hog_function_metrics_asset, HOG_FUNCTION_METRICS),
    ],
)
def test_a_server_that_refuses_keys_leaves_what_landed_and_says_so(
    build, table, resources, instance
):
    given: dict[str, Any] = {}
    with Sandbox("docs", populate=False, now=NOW, limits=False) as sandbox:
        function = sandbox.world.add_hog_function(id="01980000-0000-0000-0000-000000000001")["id"]
        sandbox.world.add_logs(function, lines({NOON: 2}))
        for name in ("succeeded", "failed"):
            sandbox.world.emit_metric(function, NOON, name, "success", 4)
        given = resources(sandbox)
        run(build(DAYS, read_by="rest"), given, instance, partition_key="2026-11-20")
    with Sandbox(
        "docs", populate=False, now=NOW, limits=False, keys_refused_on_custom_actions=True
    ) as sandbox:
        sandbox.world.add_hog_function(id=function)
        given["posthog"] = resources(sandbox)["posthog"]
        result = run(build(DAYS, read_by="rest"), given, instance, partition_key="2026-11-20")
        assert counts(result) == {"2026-11-20": 2}
        assert "what was loaded earlier stays" in notes(result)
        assert "no scoped key" in notes(result)
        assert len(rows(given, table)) == 2
        first = run(build(DAYS, read_by="rest"), given, instance, partition_key="2026-11-19")
        (event,) = first.get_asset_materialization_events()
        assert "dagster/partition_row_count" not in event.materialization.metadata
        assert "no scoped key" in event.materialization.metadata["posthog/not_read"].value
        assert event.materialization.metadata["posthog/gaps"].value == 1


def test_a_function_table_no_server_ever_filled_is_made_empty(resources, instance):
    with Sandbox(
        "docs", populate=False, now=NOW, limits=False, keys_refused_on_custom_actions=True
    ) as sandbox:
        sandbox.world.add_hog_function()
        given = resources(sandbox)
        for build in (build_hog_function_logs_asset, build_hog_function_metrics_asset):
            run(build(DAYS), given, instance, partition_key="2026-11-20")
    assert rows(given, HOG_FUNCTION_LOGS) == rows(given, HOG_FUNCTION_METRICS) == []


@pytest.mark.parametrize(
    ("messages", "wanted"),
    [
        ("keep", "sent to ada@example.com"),
        ("mask", "sent to ***@***"),
        ("drop", ""),
    ],
)
def test_text_lands_as_the_user_chose(messages, wanted, resources, instance):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        function = sandbox.world.add_hog_function()["id"]
        (line,) = lines({NOON: 1})
        sandbox.world.add_logs(function, [{**line, "message": "sent to ada@example.com"}])
        given = resources(sandbox)
        for read_by in ("rest", "auto"):
            asset = build_hog_function_logs_asset(DAYS, messages=messages, read_by=read_by)
            run(asset, given, instance, partition_key="2026-11-20")
            assert [row["message"] for row in rows(given, HOG_FUNCTION_LOGS)] == [wanted]
