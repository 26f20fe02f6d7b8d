"""Insights load complete: the catalog with deletions, every number, failures beside the rest."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import (
    AssetOptions,
    InsightSelection,
    build_insight_results_asset,
    build_insight_specs,
    build_insights_asset,
    list_insights,
)
from hog_dagster.assets._insight_tables import INSIGHTS, RESULT_TABLES, sql_table, sql_table_name
from hog_dagster.lineage._freshness import INSIGHT_RESULTS, SNAPSHOTS
from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog._insight_rows import RowColumn
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import DuckDB, Table

NOW = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
FIRST = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = [(FIRST + timedelta(days=n)).date() for n in range(7)]
RANGE = {"date_from": "2026-03-02", "date_to": "2026-03-08"}
ONCE = AssetOptions(retry_policy=None)


BOTH = pytest.mark.parametrize(
    "generation", [pytest.param("docs", marks=pytest.mark.integration), "current"]
)


@pytest.fixture
def generation() -> str:
    """The server's generation, where a test does not ask for both."""
    return "current"


@pytest.fixture
def sandbox(generation: Any) -> Iterator[Sandbox]:
    with Sandbox(generation=generation, populate=False, now=NOW, limits=False) as running:
        running.world.add_events(
            {
                "event": event,
                "timestamp": FIRST + timedelta(days=day, hours=person, minutes=minutes),
                "distinct_id": f"person-{person}",
                "properties": {"$browser": ("Chrome", "Safari", None)[person % 3]},
            }
            for person in range(6)
            for day in range(0, 7, person + 1)
            for event, minutes in (("view", 0), ("buy", 20))
            if event == "view" or day % 2 == 0
        )
        yield running


def viz(kind: str, *events: str, **more: Any) -> dict[str, Any]:
    series = [{"kind": "EventsNode", "event": event, "name": event} for event in events]
    source = {"kind": kind, "series": series, "dateRange": RANGE, **more}
    return {"kind": "InsightVizNode", "source": source}


def sql(query: str) -> dict[str, Any]:
    source = {"kind": "HogQLQuery", "query": query}
    return {"kind": "DataVisualizationNode", "source": source}


def views_per_day(sandbox: Sandbox) -> list[int]:
    found = Counter(
        event.timestamp.date() for event in sandbox.world.events if event.event == "view"
    )
    return [found[day] for day in DAYS]


def run(assets: list[Any], given: dict[str, Any], **more: Any) -> Any:
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            assets, resources=given, instance=instance, raise_on_error=False, **more
        )


def rows(given: dict[str, Any], table: Table | str, **scope: Any) -> list[dict[str, Any]]:
    with DuckDB(given["warehouse"].path) as warehouse:
        if isinstance(table, str):
            return warehouse.query(f'SELECT * FROM posthog."{table}" ORDER BY 2').to_pylist()
        return warehouse.read(table, scope=scope or None).to_pylist()


def failed_checks(result: Any) -> dict[tuple[str, str], str]:
    return {
        (check.asset_key.path[-1], check.check_name): check.description or ""
        for check in result.get_asset_check_evaluations()
        if not check.passed
    }


def numbers(result: Any, table: str) -> dict[str, Any]:
    (event,) = (
        e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == table
    )
    return {name: value.value for name, value in event.materialization.metadata.items()}


@BOTH
def test_the_catalog_lands_changes_alone_and_sees_deletions(sandbox, resources):
    world, given = sandbox.world, resources(sandbox)
    world.add_insight("Views", viz("TrendsQuery", "view"), tags=["b", "a"])
    world.add_insight("Rows", sql("select 1"))
    world.add_insight("Draft", saved=False)
    asset = build_insights_asset(options=ONCE)
    result = run([asset], given)
    assert result.success
    first = rows(given, INSIGHTS)
    assert [(row["name"], row["kind"]) for row in first] == [("Views", "trends"), ("Rows", "sql")]
    assert json.loads(first[0]["tags"]) == ["a", "b"]
    assert first[0]["url"].startswith(f"{sandbox.url}/project/1/insights/")
    assert json.loads(first[0]["query"])["source"]["kind"] == "TrendsQuery"
    assert sandbox.count("GET", "*/insights/") == 1

    world.insights[1].name = "Page views"
    world.insights[2].deleted = True
    world.add_insight("New", viz("FunnelsQuery", "view", "buy"))
    said = numbers(run([asset], given), "insights")
    counts = {
        name: said[f"posthog/{name}"] for name in ("added", "changed", "unchanged", "deleted")
    }
    assert counts == {"added": 1, "changed": 1, "unchanged": 0, "deleted": 1}
    assert said["dagster/row_count"] == 2
    second = {row["name"]: row for row in rows(given, INSIGHTS)}
    assert set(second) == {"Page views", "Rows", "New"}
    assert second["Rows"]["deleted_seen_at"] is not None
    assert second["New"]["deleted_seen_at"] is None

    said = numbers(run([asset], given), "insights")
    assert (said["posthog/unchanged"], said["posthog/rows_written"]) == (2, 0)
    world.insights[2].deleted = False
    assert numbers(run([asset], given), "insights")["posthog/changed"] == 1
    assert {row["deleted_seen_at"] for row in rows(given, INSIGHTS)} == {None}


@BOTH
def test_every_kind_lands_in_its_table_with_the_right_numbers(sandbox, resources):
    world, given = sandbox.world, resources(sandbox)
    world.add_insight("Views", viz("TrendsQuery", "view", interval="day"))
    world.add_insight("Funnel", viz("FunnelsQuery", "view", "buy"))
    entity = {"id": "view", "type": "events"}
    retention = {"period": "Day", "totalIntervals": 7, "retentionType": "retention_first_time"}
    retention |= {"targetEntity": entity, "returningEntity": entity}
    world.add_insight("Retention", viz("RetentionQuery", retentionFilter=retention))
    world.add_insight("Sticky", viz("StickinessQuery", "view", interval="day"))
    world.add_insight("Life", viz("LifecycleQuery", "view", interval="day"))
    paths = {"includeEventTypes": ["custom_event"], "stepLimit": 3}
    world.add_insight("Paths", viz("PathsQuery", pathsFilter=paths))
    result = run([build_insight_results_asset(options=ONCE)], given)
    assert result.success
    assert failed_checks(result) == {}
    loaded = {kind: rows(given, table) for kind, table in RESULT_TABLES.items()}
    assert [row["value"] for row in loaded["trends"]] == views_per_day(sandbox)
    assert {row["insight_name"] for row in loaded["trends"]} == {"Views"}
    counts = [row["value"] for row in loaded["funnels"] if row["metric"] == "count"]
    assert counts[0] == 6
    assert sum(row["value"] for row in loaded["stickiness"]) == 6
    cohorts = [row["value"] for row in loaded["retention"] if row["interval_index"] == 0]
    assert sum(cohorts) == 6
    assert {row["status"] for row in loaded["lifecycle"]} == {
        "new",
        "returning",
        "resurrecting",
        "dormant",
    }
    assert min(row["value"] for row in loaded["lifecycle"]) < 0
    assert {row["unit"] for row in loaded["paths"]} == {"count", "milliseconds"}
    assert loaded["unknown"] == []
    assert all(row["computed_at"] is not None for kind in loaded for row in loaded[kind])


def test_a_sql_insight_has_a_typed_table_and_says_when_it_is_cut_short(sandbox, resources):
    world, given = sandbox.world, resources(sandbox)
    typed = world.add_insight(
        "Per day",
        sql(
            "select event, toDate(timestamp) as day, count() from events "
            "group by event, day order by event, day"
        ),
    )
    cut = world.add_insight("All", sql("select event, timestamp from events order by timestamp"))
    more = ({"event": "view", "timestamp": FIRST, "distinct_id": f"p{n}"} for n in range(120))
    world.add_events(more)
    with PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False) as client:
        known = list_insights(client)
    asset = build_insight_results_asset(options=ONCE, known=known)
    result = run([asset, *build_insight_specs(known)], given)
    assert result.success
    assert set(failed_checks(result)) == {(sql_table_name(cut["short_id"]), "is_whole")}
    loaded = rows(given, sql_table_name(typed["short_id"]))
    assert {"event", "day", "count", "_row_number", "_computed_at"} <= set(loaded[0])
    assert {(row["day"] in DAYS, type(row["count"])) for row in loaded} == {(True, int)}
    assert len(rows(given, sql_table_name(cut["short_id"]))) == 100


def test_a_sql_insight_without_an_asset_lands_all_the_same(sandbox, resources):
    one = sandbox.world.add_insight("Rows", sql("select event from events limit 3"))
    given = resources(sandbox)
    result = run([build_insight_results_asset(options=ONCE)], given)
    assert result.success
    assert len(rows(given, sql_table_name(one["short_id"]))) == 3
    keys = {e.asset_key.path[-1] for e in result.get_asset_materialization_events()}
    assert sql_table_name(one["short_id"]) in keys


def test_an_insight_that_fails_keeps_its_rows_and_the_others_land(sandbox, resources):
    world, given = sandbox.world, resources(sandbox)
    world.add_insight("Good", viz("TrendsQuery", "view", interval="day"))
    world.add_insight("Bad", viz("TrendsQuery", "buy", interval="day"))
    asset = build_insight_results_asset(options=ONCE)
    assert run([asset], given).success
    before = rows(given, RESULT_TABLES["trends"], insight_id=2)
    said = {"type": "validation_error", "code": "invalid_input", "detail": "Unknown field: x"}
    sandbox.fail("GET", "*/insights/2/", status=400, body=said | {"attr": None})
    sandbox.clock.advance(86_400)
    result = run([asset], given)
    assert result.success
    (problem,) = failed_checks(result).values()
    assert "Unknown field: x" in problem
    assert rows(given, RESULT_TABLES["trends"], insight_id=2) == before
    said = numbers(result, "insight_trends")
    assert (said["posthog/insights"], said["posthog/insights_failed"]) == (1, 1)
    assert said["dagster/row_count"] == 14


def test_nothing_in_the_cache_is_not_an_empty_result(sandbox, resources):
    sandbox.world.add_insight("Views", viz("TrendsQuery", "view", interval="day"))
    given = resources(sandbox)
    cached = build_insight_results_asset(
        options=ONCE, selections=[InsightSelection(refresh="force_cache")]
    )
    result = run([cached], given)
    assert result.success
    (problem,) = failed_checks(result).values()
    assert "no result in PostHog's cache" in problem
    assert rows(given, RESULT_TABLES["trends"]) == []
    assert run([build_insight_results_asset(options=ONCE)], given).success
    assert failed_checks(run([cached], given)) == {}


def test_selections_choose_and_say_how_fresh(sandbox, resources):
    world, given = sandbox.world, resources(sandbox)
    board = world.add_dashboard()
    world.add_insight("Tagged", viz("TrendsQuery", "view"), tags=["finance"])
    world.add_insight("On board", viz("TrendsQuery", "view"), dashboards=[board.id])
    world.add_insight("Neither", viz("TrendsQuery", "view"))
    selections = [
        InsightSelection(tags=["finance"], refresh="force_blocking"),
        InsightSelection(dashboards=[board.id], refresh="async"),
    ]
    result = run([build_insight_results_asset(options=ONCE, selections=selections)], given)
    assert result.success
    assert failed_checks(result) == {}
    names = {row["insight_name"] for row in rows(given, RESULT_TABLES["trends"])}
    assert names == {"Tagged", "On board"}
    # What is no longer selected leaves the table.
    again = build_insight_results_asset(options=ONCE, selections=selections[:1])
    assert run([again], given).success
    assert {r["insight_name"] for r in rows(given, RESULT_TABLES["trends"])} == {"Tagged"}
    with pytest.raises(ValueError, match="force_cache"):
        InsightSelection.model_validate({"refresh": "always"})


def test_an_unknown_shape_fails_a_check_and_not_the_run(sandbox, resources):
    one = sandbox.world.add_insight("Journey", viz("JourneysQuery", "view"))
    sandbox.world.add_insight("Views", viz("TrendsQuery", "view"))
    shape = {
        "id": one["id"],
        "short_id": one["short_id"],
        "query": viz("JourneysQuery", "view"),
        "result": {"nodes": [1, 2]},
        "last_refresh": NOW.isoformat(),
    }
    sandbox.fail("GET", f"*/insights/{one['id']}/", status=200, body=shape)
    given = resources(sandbox)
    result = run([build_insight_results_asset(options=ONCE)], given)
    assert result.success
    assert set(failed_checks(result)) == {("insight_other", "shape_is_known")}
    (row,) = rows(given, RESULT_TABLES["unknown"])
    assert json.loads(row["_raw"]) == {"nodes": [1, 2]}


def test_one_table_can_be_materialized_alone(sandbox, resources):
    sandbox.world.add_insight("Views", viz("TrendsQuery", "view"))
    sandbox.world.add_insight("Funnel", viz("FunnelsQuery", "view", "buy"))
    given = resources(sandbox)
    asset = build_insight_results_asset(options=ONCE)
    key = dg.AssetKey(["posthog", "insight_funnels"])
    result = run([asset], given, selection=[key])
    assert result.success
    assert [e.asset_key for e in result.get_asset_materialization_events()] == [key]
    assert sandbox.count("GET", "*/insights/1/") == 0


def test_each_insight_is_an_asset_of_its_own_upstream_of_its_table(sandbox):
    world = sandbox.world
    world.add_insight("Views", viz("TrendsQuery", "view"), tags=["Q1 numbers!"], description="d")
    rows = world.add_insight("Rows", sql("select 1"))
    with PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False) as client:
        known = list_insights(client)
    specs = {spec.key.path[-1]: spec for spec in build_insight_specs(known)}
    asset = build_insight_results_asset(known=known)
    views = specs[f"views_{known[0].short_id}"]
    assert views.metadata["posthog/url"].value == known[0].url
    assert views.kinds == {"posthog", "trends"}
    assert "Q1_numbers" in views.tags
    by_key = {spec.key.path[-1]: spec for spec in asset.specs}
    assert views.key in {dep.asset_key for dep in by_key["insight_trends"].deps}
    table = by_key[sql_table_name(rows["short_id"])]
    assert {dep.asset_key for dep in table.deps} == {specs[f"rows_{rows['short_id']}"].key}


def test_a_sql_tables_columns_never_clash_with_ours() -> None:
    columns = [
        RowColumn(name, "text", "")
        for name in ("project_id", "Event", "event", "count()", "_row_number")
    ]
    table, names = sql_table("abc", "Rows", columns)
    assert list(names.values()) == ["project_id_", "event", "event_2", "count", "_row_number"]
    assert table.column_names[0] == "project_id"


def test_results_are_read_every_morning_unless_the_options_say_otherwise() -> None:
    specs = {spec.key.path[-1]: spec for spec in build_insight_results_asset().specs}
    policy = specs["insight_trends"].freshness_policy
    assert policy == INSIGHT_RESULTS.freshness_policy() != SNAPSHOTS.freshness_policy()
    condition = specs["insight_trends"].automation_condition
    assert condition is not None
    assert "35 5 * * *" in str(condition.get_label())
    never = build_insight_results_asset(options=AssetOptions(results=None))
    assert {spec.freshness_policy for spec in never.specs} == {None}
    assert {spec.automation_condition for spec in never.specs} == {None}
