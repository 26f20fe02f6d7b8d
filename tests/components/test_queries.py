"""Queries of the component: assets among the others, partitions, schedules, checks, refusals."""

from datetime import date
from typing import Any

import dagster as dg
import pytest

from hog_dagster import DuckDBWarehouse, PostHogResource, build_posthog_definitions
from hog_dagster.components import Query
from hog_dagster.policies import QueryTable
from tests.components.conftest import loaded, specs_of

BOUNDS = "timestamp >= {start} AND timestamp < {end}"
EVENTS = {
    "name": "events",
    "hogql": f"SELECT timestamp, uuid, event FROM events WHERE {BOUNDS}",
    "key": ["timestamp", "uuid"],
}
HOURLY = {**EVENTS, "name": "events_hourly", "partitions": "hourly"}
LATER = {**EVENTS, "name": "events_later", "start_date": "2026-11-15"}
PERSONS: dict[str, Any] = {
    "name": "persons",
    "hogql": "SELECT id, created_at FROM persons",
    "key": ["id"],
    "partitions": "snapshot",
}


def test_queries_of_yaml_are_assets_with_partitions_checks_and_schedules(attributes):
    queries = [EVENTS, HOURLY, LATER, PERSONS]
    with loaded({**attributes, "queries": queries}) as (_, defs):
        specs = specs_of(defs)
        repository = defs.get_repository_def()
        checks = {key.to_user_string() for key in repository.asset_graph.asset_check_keys}
    logs = specs["posthog/workflow_logs"]
    events, hourly, later, persons = (specs[f"posthog/{query['name']}"] for query in queries)
    assert events.partitions_def == logs.partitions_def
    assert isinstance(hourly.partitions_def, dg.HourlyPartitionsDefinition)
    assert isinstance(later.partitions_def, dg.DailyPartitionsDefinition)
    assert later.partitions_def.get_first_partition_key() == "2026-11-15"
    assert persons.partitions_def is None
    assert {spec.group_name for spec in (events, hourly, later, persons)} == {"posthog_queries"}
    assert {f"posthog/{query['name']}:is_complete" for query in queries} <= checks
    names = {schedule.name for schedule in repository.schedule_defs}
    assert {
        "refresh_posthog_partitions",
        "refresh_posthog_queries",
        "refresh_query_events_hourly",
        "refresh_query_events_later",
    } <= names
    assert "refresh_query_events" not in names


def test_an_asset_of_a_query_can_be_translated_as_others_are(attributes):
    translation = {"tags": {"tier": "{{ 'gold' if props.name == 'events' else 'silver' }}"}}
    given = {**attributes, "queries": [EVENTS], "translation": translation}
    with loaded(given) as (_, defs):
        specs = specs_of(defs)
    assert specs["posthog/events"].tags["tier"] == "gold"
    assert specs["posthog/workflow_logs"].tags["tier"] == "silver"


def test_python_and_yaml_take_the_same_record():
    assert set(Query.model_fields) == set(QueryTable.model_fields)


@pytest.mark.parametrize(
    ("queries", "said"),
    [
        ([EVENTS, EVENTS], "Query 'events': two queries have this name"),
        ([{**EVENTS, "name": "workflow_logs"}], "Query 'workflow_logs': another table has"),
        ([{**EVENTS, "name": "projects"}], "Query 'projects': another table has this name"),
        ([{**EVENTS, "hogql": "SELECT 1"}], "Query 'events': its hogql has no {start}"),
        ([{**EVENTS, "name": "a b"}], "Query 'a b': its name becomes a table's"),
    ],
)
def test_queries_that_cannot_be_are_refused_when_definitions_are_built(queries, said, tmp_path):
    with pytest.raises(ValueError, match="Query") as raised:
        build_posthog_definitions(
            posthog=PostHogResource(api_key="phx_x", project_id="1"),
            warehouse=DuckDBWarehouse(path=str(tmp_path / "w.duckdb")),
            start_date=date(2026, 11, 1),
            queries=[QueryTable(**query) for query in queries],
        )
    assert str(raised.value).startswith(said)
