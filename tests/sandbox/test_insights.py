"""Saved insights: list, filters, refresh modes, asynchronous calculation, writes."""

import json
from datetime import timedelta
from typing import Any

import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.conftest import Http, Start
from tests.sandbox.insight_kit import NOW, node, sql, tell, viz

TRENDS = viz("TrendsQuery", series=[node("visit")], dateRange={"date_from": "-3d"})


@pytest.fixture
def older(start: Start) -> tuple[Sandbox, Http]:
    sandbox, http = start(generation="docs", limits=False)
    tell(sandbox)
    return sandbox, http


@pytest.fixture
def newer(start: Start) -> tuple[Sandbox, Http]:
    sandbox, http = start(generation="current", limits=False)
    tell(sandbox)
    return sandbox, http


def names(http: Http, **params: Any) -> list[str]:
    answer = http.get("/insights/", params=params)
    assert answer.status_code == 200, answer.text
    return [row["name"] for row in answer.json()["results"]]


# -- lists -----------------------------------------------------------------------------------------


def test_light_rows_hold_no_result(newer: tuple[Sandbox, Http]) -> None:
    sandbox, http = newer
    sandbox.world.add_insight("Visits", TRENDS, tags=["a"])
    full = http.get("/insights/?refresh=blocking").json()["results"][0]
    light = http.get("/insights/?basic=true&refresh=blocking").json()["results"][0]
    assert full["result"][0]["count"] == 7.0
    assert {"result", "is_cached", "query_status", "columns"}.isdisjoint(light)
    assert (light["name"], light["tags"], light["refreshing"]) == ("Visits", ["a"], False)


def test_the_list_filters(newer: tuple[Sandbox, Http]) -> None:
    sandbox, http = newer
    world = sandbox.world
    board = world.add_dashboard().id
    world.add_insight("Old", TRENDS, last_modified_at=NOW - timedelta(days=9), tags=["x"])
    world.add_insight("SQL", sql("select 1"), favorited=True)
    world.add_insight("Draft", TRENDS, saved=False)
    world.add_insight("Shown", TRENDS, saved=False, dashboards=[board])
    world.add_insight("Gone", TRENDS, deleted=True)
    one = world.add_insight("Funnel", viz("FunnelsQuery", series=[node("a"), node("b")]))
    assert names(http, order="id") == ["Old", "SQL", "Draft", "Shown", "Funnel"]
    assert names(http, order="-id", limit=2) == ["Funnel", "Shown"]
    assert names(http, saved="true", order="id") == ["Old", "SQL", "Shown", "Funnel"]
    assert names(http, saved="false", order="id") == ["Draft", "Shown"]
    assert names(http, favorited="false") == ["SQL"]
    assert names(http, short_id=one["short_id"]) == ["Funnel"]
    assert names(http, insight="SQL") == ["SQL"]
    assert names(http, insight="FUNNELS") == ["Funnel"]
    assert names(http, tags='["x", "y"]') == ["Old"]
    assert names(http, dashboards=f"[{board}]") == ["Shown"]
    assert names(http, date_to="-7d") == ["Old"]
    assert "Old" not in names(http, date_from="-7d")
    assert http.get("/insights/?tags=x").status_code == 500
    assert http.get("/insights/?order=nothing").status_code == 500


def test_created_by_is_a_number_or_an_array_and_not_both(
    older: tuple[Sandbox, Http], newer: tuple[Sandbox, Http]
) -> None:
    for (sandbox, http), good, bad, status in (
        (older, "1", "[1]", 400),
        (newer, "[1]", "1", 500),
    ):
        sandbox.world.add_insight("Mine", TRENDS)
        assert names(http, created_by=good) == ["Mine"]
        assert http.get("/insights/", params={"created_by": bad}).status_code == status


def test_newer_search_tells_exact_from_similar(newer: tuple[Sandbox, Http]) -> None:
    sandbox, http = newer
    for name in ("Weekly revenue", "Weakly revenues", "Signups"):
        sandbox.world.add_insight(name, TRENDS)
    rows = http.get("/insights/?search=weekly revenue&basic=true").json()["results"]
    assert [(row["name"], row["search_match_type"]) for row in rows] == [
        ("Weekly revenue", "exact"),
        ("Weakly revenues", "similar"),
    ]


def test_the_order_of_a_list_is_nobodys_promise(start: Start) -> None:
    sandbox, http = start(generation="current", shuffle_ties=True, limits=False)
    for number in range(12):
        sandbox.world.add_insight(str(number), TRENDS)
    orders = {tuple(names(http, basic="true")) for _ in range(5)}
    assert len(orders) > 1
    assert names(http, basic="true", order="id") == [str(number) for number in range(12)]


def test_short_ids_are_found_by_filter_and_on_newer_servers_by_path(
    older: tuple[Sandbox, Http], newer: tuple[Sandbox, Http]
) -> None:
    for (sandbox, http), status in ((older, 404), (newer, 200)):
        made = sandbox.world.add_insight("Visits", TRENDS)
        assert http.get(f"/insights/{made['id']}/").status_code == 200
        assert http.get(f"/insights/{made['short_id']}/").status_code == status
        assert http.get("/insights/999/").json()["detail"] == "Not found."


# -- refresh ---------------------------------------------------------------------------------------


def read(http: Http, id: int, refresh: str) -> dict[str, Any]:
    return http.get(f"/insights/{id}/", params={"refresh": refresh}).json()


def test_modes_calculate_or_answer_from_the_cache(newer: tuple[Sandbox, Http]) -> None:
    sandbox, http = newer
    id = sandbox.world.add_insight("Visits", TRENDS)["id"]
    for mode in ("force_cache", "nonsense", "async_except_on_cache_miss"):
        empty = read(http, id, mode)
        assert (empty["result"], empty["query_status"], empty["timezone"]) == (None, None, None)
    first = read(http, id, "blocking")
    assert (first["is_cached"], first["result"][0]["count"]) == (False, 7.0)
    assert read(http, id, "blocking")["is_cached"] is True
    sandbox.clock.advance(3600)
    assert read(http, id, "force_cache")["last_refresh"] == first["last_refresh"]
    assert read(http, id, "force_blocking")["last_refresh"] != first["last_refresh"]
    forced = read(http, id, "true")
    assert forced["is_cached"] is False
    sandbox.clock.advance(6 * 3600 + 1)
    stale = read(http, id, "lazy_async")
    assert (stale["is_cached"], stale["query_status"]) == (True, None)
    stale = read(http, id, "async")
    assert stale["result"] is not None
    assert stale["query_status"]["complete"] is False


def test_an_asynchronous_calculation_is_polled_until_it_is_done(
    newer: tuple[Sandbox, Http],
) -> None:
    sandbox, http = newer
    sandbox.world.calculation_seconds = 30
    id = sandbox.world.add_insight("Visits", TRENDS)["id"]
    started = read(http, id, "async")
    assert started["result"] is None
    status = started["query_status"]
    assert (status["insight_id"], status["query_async"]) == (id, True)
    assert read(http, id, "async")["query_status"]["id"] == status["id"], "callers share a job"
    poll = f"/query/{status['id']}/"
    running = http.get(poll + "?show_progress=true")
    assert running.status_code == 202
    assert running.json()["query_status"]["query_progress"]["rows_read"] == 0
    sandbox.clock.advance(31)
    done = http.get(poll)
    assert done.status_code == 200
    assert done.json()["query_status"]["results"]["results"][0]["count"] == 7.0
    again = read(http, id, "force_cache")
    assert (again["result"][0]["count"], again["query_status"]) == (7.0, None)
    sandbox.clock.advance(1300)
    gone = http.get(poll)
    assert gone.status_code == 404
    assert gone.json()["detail"] == f"Query {status['id']} not found for team 1"


def test_a_failed_calculation_answers_with_its_status_and_not_the_error_shape(
    newer: tuple[Sandbox, Http],
) -> None:
    sandbox, http = newer
    id = sandbox.world.add_insight("Broken", sql("select nope from events"))["id"]
    job = read(http, id, "async")["query_status"]["id"]
    sandbox.clock.advance(1)
    answer = http.get(f"/query/{job}/")
    assert answer.status_code == 400
    assert answer.json()["query_status"]["error_message"] == "Unable to resolve field: nope"
    assert read(http, id, "force_cache")["query_status"]["error"] is True
    other = sandbox.world.add_insight("Crash", TRENDS)["id"]
    sandbox.world.calculation_failure = ""
    job = read(http, other, "async")["query_status"]["id"]
    sandbox.clock.advance(1)
    assert http.get(f"/query/{job}/").status_code == 500


def test_a_calculation_can_be_cancelled(newer: tuple[Sandbox, Http]) -> None:
    sandbox, http = newer
    sandbox.world.calculation_seconds = 30
    id = sandbox.world.add_insight("Visits", TRENDS)["id"]
    poll = f"/query/{read(http, id, 'force_async')['query_status']['id']}/"
    answer = http.delete(poll)
    assert answer.status_code == 200
    assert "message" in answer.json()
    assert http.get(poll).status_code == 404


def test_polling_needs_a_scope_of_its_own(start: Start) -> None:
    keys = {"phx_all": ["*"], "phx_insight": ["insight:read"]}
    sandbox, _ = start(generation="current", keys=keys)
    tell(sandbox)
    id = sandbox.world.add_insight("Visits", TRENDS)["id"]
    with Http(sandbox, "phx_insight") as http:
        job = read(http, id, "async")["query_status"]["id"]
        refused = http.get(f"/query/{job}/")
        assert refused.json()["detail"] == "API key missing required scope 'query:read'"


def test_one_broken_query_fails_a_whole_list_and_a_crash_only_its_row(
    newer: tuple[Sandbox, Http],
) -> None:
    sandbox, http = newer
    sandbox.world.add_insight("Good", TRENDS)
    sandbox.world.calculation_failure = ""
    row = http.get("/insights/?refresh=blocking").json()["results"][0]
    assert (row["result"], row["query_status"]["error"]) == (None, True)
    sandbox.world.calculation_failure = None
    sandbox.world.concurrency_limited = True
    row = http.get("/insights/?refresh=blocking").json()["results"][0]
    assert row["query_status"]["error_message"] == "concurrency_limit_exceeded"
    sandbox.world.concurrency_limited = False
    sandbox.world.add_insight("Broken", sql("select nope from events"))
    assert http.get("/insights/?refresh=blocking").status_code == 400


def test_a_dashboards_dates_override_those_of_the_query(newer: tuple[Sandbox, Http]) -> None:
    sandbox, http = newer
    id = sandbox.world.add_insight("Visits", TRENDS)["id"]
    dates = json.dumps({"date_from": "2026-05-20", "date_to": "2026-05-20"})
    params = {"refresh": "blocking", "filters_override": dates}
    assert http.get(f"/insights/{id}/", params=params).json()["result"][0]["data"] == [2]
    params["filters_override"] = "{"
    assert http.get(f"/insights/{id}/", params=params).status_code == 400


def test_insights_have_a_throttle_of_their_own(start: Start) -> None:
    sandbox, http = start(limits={"insights": [(2, 60.0)]})
    sandbox.world.add_insight("Visits", TRENDS)
    codes = [http.get("/insights/?basic=true").status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    assert http.get("/groups_types/").status_code == 200


# -- writes ----------------------------------------------------------------------------------------


def test_an_insight_is_created_changed_deleted_and_restored(older: tuple[Sandbox, Http]) -> None:
    sandbox, http = older
    body = {"name": "Visits", "query": TRENDS, "tags": ["a"], "saved": True}
    made = http.post("/insights/", json=body)
    assert made.status_code == 201
    assert (made.json()["result"], made.json()["tags"]) == (None, ["a"])
    path = f"/insights/{made.json()['id']}/"
    sandbox.clock.advance(5)
    tagged = http.patch(path, json={"tags": ["b"]}).json()
    assert tagged["last_modified_at"] == made.json()["last_modified_at"]
    renamed = http.patch(path, json={"name": "Visitors"}).json()
    assert renamed["last_modified_at"] > made.json()["last_modified_at"]
    refused = http.delete(path)
    assert (refused.status_code, refused.content) == (405, b"")
    assert http.patch(path, json={"deleted": True}).json()["deleted"] is True
    assert http.get(path).status_code == 404
    assert http.get("/insights/").json()["count"] == 0
    assert http.patch(path, json={"deleted": False}).status_code == 200
    assert http.get(path).json()["name"] == "Visitors"


def test_a_bad_body_of_an_insight_is_refused(newer: tuple[Sandbox, Http]) -> None:
    _, http = newer
    answer = http.post("/insights/", json={"name": "x" * 401})
    assert (answer.status_code, answer.json()["code"]) == (400, "max_length")
    answer = http.post("/insights/", json={"query": "select 1"})
    assert answer.json()["detail"] == "Query must be a valid JSON object"


def test_an_agents_bare_query_is_wrapped(newer: tuple[Sandbox, Http]) -> None:
    _, http = newer
    agent = {"x-posthog-client": "mcp"}
    bare = {"kind": "HogQLQuery", "query": "select 1"}
    made = http.post("/insights/", json={"query": bare}, headers=agent).json()
    assert made["query"] == {"kind": "DataVisualizationNode", "source": bare}
    assert http.post("/insights/", json={"name": "x"}, headers=agent).status_code == 400


def test_what_was_done_to_an_insight_is_in_its_activity(newer: tuple[Sandbox, Http]) -> None:
    _, http = newer
    path = f"/insights/{http.post('/insights/', json={'name': 'Visits'}).json()['id']}/"
    http.patch(path, json={"name": "Visitors"})
    http.post("/insights/", json={"name": "Another"})
    body = http.get(path + "activity/").json()
    assert [row["activity"] for row in body["results"]] == ["updated", "created"]
    assert body["results"][0]["detail"]["changes"][0]["after"] == "Visitors"
    assert http.get("/insights/activity/").json()["total_count"] == 3
    assert http.get("/insights/my_last_viewed/").status_code == 403
    assert http.get("/insights/trending/").json()["results"] == []
