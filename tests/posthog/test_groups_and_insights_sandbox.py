"""Every method of groups and insights against a sandbox of either server generation."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.sandbox import Sandbox

NOW = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)


@pytest.fixture(params=["docs", "current"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(generation=request.param, populate=False, now=NOW, limits=False) as running:
        running.world.add_group_type("organization")
        running.world.add_group_type("project")
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[PostHogClient]:
    with PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False, max_wait=2) as opened:
        yield opened


def trends(event: str = "view", **more: Any) -> dict[str, Any]:
    series = [{"kind": "EventsNode", "event": event, "name": event}]
    days = {"date_from": "2026-03-02", "date_to": "2026-03-08"}
    source = {"kind": "TrendsQuery", "series": series, "interval": "day", "dateRange": days, **more}
    return {"kind": "InsightVizNode", "source": source}


def sql(query: str) -> dict[str, Any]:
    return {"kind": "DataVisualizationNode", "source": {"kind": "HogQLQuery", "query": query}}


def test_groups_are_listed_found_made_and_changed(sandbox: Sandbox, client: PostHogClient) -> None:
    assert [t.group_type for t in client.groups.types()] == ["organization", "project"]
    for n in range(305):
        sandbox.world.add_group(
            0, f"org {n:03}", {"n": n}, created_at=NOW - timedelta(seconds=n // 4)
        )
    keys = [group.group_key for group in client.groups.list(0)]
    assert len(keys) == len(set(keys)) == 305
    assert sandbox.count("GET", "*/groups/") == 4
    found = {group.group_key for group in client.groups.list(0, group_key="org 30")}
    assert found == {f"org 30{n}" for n in range(5)}
    assert client.groups.find(0, "org 007").group_properties == {"n": 7}
    with pytest.raises(errors.NotFound):
        client.groups.find(0, "nobody")

    made = client.groups.create(1, "web", {"plan": "free"})
    assert (made.group_type_index, made.group_properties) == (1, {"plan": "free"})
    assert client.groups.create(1, "web", {"plan": "free"}).group_key == "web"
    with pytest.raises(errors.InvalidRequest):
        client.groups.create(1, "web", {"plan": "pro"})
    changed = client.groups.update_property(1, "web", "plan", "pro")
    assert changed.group_properties == {"plan": "pro"}
    assert client.groups.delete_property(1, "web", "plan").group_properties == {}
    assert client.groups.delete_property(1, "web", "plan").group_properties == {}
    with pytest.raises(errors.NotFound):
        client.groups.update_property(1, "nobody", "plan", "pro")
    entries = list(client.groups.activity(1, "web"))
    assert len(entries) == 3
    assert entries[0].created_at is not None


@pytest.mark.parametrize("failure", ["capture_error", 502])
def test_what_is_stored_without_its_event_counts_as_done(
    sandbox: Sandbox, client: PostHogClient, failure: str | int
) -> None:
    sandbox.world.capture_failure = failure
    assert not client.groups.create(0, "acme", {"plan": "free"}).event_captured
    assert not client.groups.update_property(0, "acme", "plan", "pro").event_captured
    group = sandbox.world.groups["0/acme"]
    assert group.group_properties == {"plan": "pro"}
    assert not client.groups.delete_property(0, "acme", "plan").event_captured
    assert sandbox.count("POST") == 3


def test_a_group_of_no_type_is_stored_and_refused(sandbox: Sandbox, client: PostHogClient) -> None:
    with pytest.raises(errors.NotFound):
        client.groups.create(4, "lost")
    assert client.groups.find(4, "lost").group_key == "lost"


def test_upsert_falls_back_and_is_one_request_where_it_exists(
    sandbox: Sandbox, client: PostHogClient
) -> None:
    sandbox.world.add_group(0, "acme", {"plan": "pro"})
    with pytest.raises(errors.EndpointMissing, match="one_by_one"):
        client.groups.upsert_properties(0, "acme", {"seats": 1})
    wanted = {"plan": "pro", "seats": 1, "region": "eu"}
    group = client.groups.upsert_properties(0, "acme", wanted, one_by_one=True)
    assert group.group_properties == wanted
    assert sandbox.count("POST", "*/update_property/") == 2
    sandbox.world.upsert_properties = True
    with PostHogClient(sandbox.url, sandbox.api_key, 1, limits=False) as fresh:
        assert (
            fresh.groups.upsert_properties(0, "acme", {"seats": 5}).group_properties["seats"] == 5
        )
    assert sandbox.count("POST", "*/update_property/") == 2


def test_properties_values_and_relations(sandbox: Sandbox, client: PostHogClient) -> None:
    for n in range(3):
        sandbox.world.add_group(0, f"g{n}", {"plan": "pro" if n else "free"})
    values = {v.name: v.count for v in client.groups.property_values(0, "plan")}
    assert values == {"pro": 2, "free": 1}
    assert [v.name for v in client.groups.property_values(0, "plan", value="FR")] == ["free"]
    assert client.groups.related("g0", group_type_index=0) == []
    if sandbox.generation == "docs":
        (plan,) = client.groups.property_definitions()[0]
        assert (plan.name, plan.count) == ("plan", 3)
    else:
        with pytest.raises(errors.EndpointMissing, match="property_definitions"):
            client.groups.property_definitions()


def test_a_type_can_be_deleted(sandbox: Sandbox, client: PostHogClient) -> None:
    client.groups.delete_type(1)
    assert [t.group_type for t in client.groups.types()] == ["organization"]


def test_insights_are_listed_by_any_filter(sandbox: Sandbox, client: PostHogClient) -> None:
    world = sandbox.world
    board = world.add_dashboard()
    world.add_insight("One", trends(), tags=["a"], dashboards=[board.id])
    world.add_insight("Two", sql("select 1"), last_modified_at=NOW - timedelta(days=3))
    world.add_insight("Loose", trends(), saved=False, favorited=True)

    def names(**how: Any) -> list[str | None]:
        return [row.name for row in client.insights.list(**how)]

    assert names() == ["One", "Two", "Loose"]
    assert names(saved=True) == ["One", "Two"]
    assert names(saved=False) == ["Loose"]
    assert names(tags=["a", "b"]) == ["One"]
    assert names(dashboards=[board.id]) == ["One"]
    assert names(favorited=True) == ["Loose"]
    assert names(favorited=False) == ["One", "Two"]
    assert names(insight="SQL") == ["Two"]
    assert names(date_from=NOW - timedelta(days=1)) == ["One", "Loose"]
    assert names(date_to=NOW - timedelta(days=1)) == ["Two"]
    assert names(created_by=world.user.id) == ["One", "Two", "Loose"]
    assert names(created_by="nobody@example.com") == []
    assert names(order="-id") == ["Loose", "Two", "One"]
    assert {row.result is None for row in client.insights.list()} == {True}
    assert sandbox.world.calculations == {}


def test_an_insight_is_read_by_number_and_by_short_id(
    sandbox: Sandbox, client: PostHogClient
) -> None:
    one = sandbox.world.add_insight("One", trends())
    by_number, by_short = client.insights.get(one["id"]), client.insights.get(one["short_id"])
    assert by_number == by_short
    assert (by_number.kind, by_number.state) == ("trends", "not_cached")
    with pytest.raises(errors.NoResult):
        by_number.to_frame()
    for missing in (999, "nothere1"):
        with pytest.raises(errors.NotFound):
            client.insights.get(missing)


@pytest.mark.parametrize("refresh", ["blocking", "async", "force_async", "force_blocking"])
def test_a_result_is_computed_and_waited_for(
    sandbox: Sandbox, client: PostHogClient, refresh: str
) -> None:
    sandbox.world.add_events(
        {"event": "view", "timestamp": NOW - timedelta(days=n % 7 + 1), "distinct_id": "p"}
        for n in range(21)
    )
    one = sandbox.world.add_insight("Views", trends())
    sandbox.world.calculation_seconds = 0.05
    found = client.insights.result(one["short_id"], refresh=refresh, poll=0.02)
    assert found.to_frame()["value"].tolist() == [3.0] * 7
    assert found.state == "ready"
    again = client.insights.result(one["id"], refresh="force_cache")
    assert again.last_refresh == found.last_refresh
    assert again.is_cached


def test_a_sql_result_is_typed(sandbox: Sandbox, client: PostHogClient) -> None:
    sandbox.world.add_events([{"event": "view", "timestamp": NOW, "distinct_id": "p"}])
    query = "select event, count() as n, max(timestamp) as last from events group by event"
    one = sandbox.world.add_insight("Rows", sql(query))
    frame = client.insights.result(one["id"], refresh="blocking").to_frame()
    assert list(frame.columns) == ["event", "n", "last"]
    assert str(frame["n"].dtype) == "Int64"
    assert frame["last"].iloc[0] == NOW


@pytest.mark.parametrize("refresh", ["blocking", "async"])
def test_failures_say_what_is_wrong(sandbox: Sandbox, client: PostHogClient, refresh: str) -> None:
    one = sandbox.world.add_insight("Wrong", sql("select nope from events"))
    sandbox.world.calculation_seconds = 0.02
    with pytest.raises(errors.InvalidRequest, match="nope"):
        client.insights.result(one["id"], refresh=refresh, poll=0.02)
    views = sandbox.world.add_insight("Views", trends())
    sandbox.world.concurrency_limited = True
    with pytest.raises(errors.Throttled):
        client.insights.result(views["id"], refresh="blocking")


def test_giving_up_cancels_the_calculation(sandbox: Sandbox, client: PostHogClient) -> None:
    one = sandbox.world.add_insight("Slow", trends())
    sandbox.world.calculation_seconds = 3600.0
    with pytest.raises(errors.NoResult) as raised:
        client.insights.result(one["id"], timeout=0.1, poll=0.02)
    assert raised.value.state == "computing"
    assert sandbox.count("DELETE", "*/query/*") == 1


def test_scopes_are_asked_for_by_name() -> None:
    keys = {"phx_none": ["project:read"], "phx_insights": ["insight:read"]}
    with Sandbox("docs", populate=False, limits=False, keys=keys) as sandbox:
        one = sandbox.world.add_insight("One", trends())
        with PostHogClient(sandbox.url, "phx_none", 1, limits=False) as client:
            with pytest.raises(errors.MissingScope) as raised:
                client.groups.types()
            assert raised.value.scope == "group:read"
            with pytest.raises(errors.MissingScope) as raised:
                list(client.insights.list())
            assert raised.value.scope == "insight:read"
        with PostHogClient(sandbox.url, "phx_insights", 1, limits=False) as client:
            assert client.insights.result(one["id"], refresh="blocking").state == "ready"
            with pytest.raises(errors.MissingScope) as raised:
                client.insights.result(one["id"], refresh="force_async", poll=0.01)
            assert raised.value.scope == "query:read"


def test_insights_have_a_rate_limit_of_their_own(sandbox: Sandbox) -> None:
    limits = {"insights": [(3, 60.0)], "default": [(1000, 60.0)]}
    with PostHogClient(
        sandbox.url, sandbox.api_key, 1, limits=limits, max_wait=0, headroom=1.0
    ) as client:
        for _ in range(3):
            list(client.insights.list())
        with pytest.raises(errors.Throttled):
            list(client.insights.list())
        client.groups.types()
