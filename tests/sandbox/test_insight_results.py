"""Results of insights are computed from the sandbox's events, in the shapes of real servers."""

from typing import Any

import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.conftest import Http, Start
from tests.sandbox.insight_kit import insight, many, node, sql, tell, viz

NULL = "$$_posthog_breakdown_null_$$"
OTHER = "$$_posthog_breakdown_other_$$"
BROWSER = {"breakdown": "$browser", "breakdown_type": "event"}


@pytest.fixture
def story(start: Start) -> tuple[Sandbox, Http]:
    sandbox, http = start(generation="docs", limits=False)
    tell(sandbox)
    return sandbox, http


def data(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    return {row["label"]: row["data"] for row in rows}


def test_trends_count_events_per_day(story: tuple[Sandbox, Http]) -> None:
    body = insight(*story, viz("TrendsQuery", series=[node("visit")], interval="day"))
    row = body["result"][0]
    assert row["data"] == [2, 3, 2]
    assert row["count"] == 7.0
    assert row["days"] == ["2026-05-18", "2026-05-19", "2026-05-20"]
    assert row["labels"] == ["18-May-2026", "19-May-2026", "20-May-2026"]
    assert row["action"]["days"][0] == "2026-05-18T00:00:00Z"
    assert row["action"] | {"days": []} == {
        "days": [],
        "id": "visit",
        "type": "events",
        "order": 0,
        "name": "visit",
        "custom_name": None,
        "math": None,
        "math_property": None,
        "math_hogql": None,
        "math_group_type_index": None,
        "properties": {},
    }
    assert row["filter"]["date_to"] == "2026-05-20T23:59:59.999999Z"
    assert {"breakdown_value", "compare"}.isdisjoint(row)
    assert (body["hasMore"], body["timezone"], body["columns"]) == (False, "UTC", None)


def test_trends_follow_the_projects_time_zone(start: Start) -> None:
    sandbox, http = start(timezone="Pacific/Auckland", limits=False)
    tell(sandbox)
    row = insight(sandbox, http, viz("TrendsQuery", series=[node("visit")]))["result"][0]
    # Ben's visit of 23:30 UTC on the 18th and the morning's visits after it are on the 19th there.
    assert row["data"] == [1, 4, 2]
    assert row["action"]["days"][0] == "2026-05-18T00:00:00+12:00"


def test_trends_by_the_hour_and_by_the_week(story: tuple[Sandbox, Http]) -> None:
    dates = {"date_from": "2026-05-19", "date_to": "2026-05-19T10:30:00"}
    hours = viz("TrendsQuery", series=[node("visit")], interval="hour", dateRange=dates)
    row = insight(*story, hours)["result"][0]
    assert row["days"][8:] == [
        "2026-05-19 08:00:00",
        "2026-05-19 09:00:00",
        "2026-05-19 10:00:00",
    ]
    assert row["labels"][8] == "19-May-2026 08:00"
    assert row["data"] == [0] * 8 + [1, 1, 1]
    row = insight(*story, viz("TrendsQuery", series=[node("visit")], interval="week"))["result"][0]
    assert (row["days"], row["data"]) == (["2026-05-17"], [7])


def test_trends_of_people_and_sums(story: tuple[Sandbox, Http]) -> None:
    series = [
        node("visit", math="dau"),
        node("pay", math="sum", math_property="amount"),
        node("pay", math="avg", math_property="amount"),
    ]
    rows = insight(*story, viz("TrendsQuery", series=series))["result"]
    assert [row["data"] for row in rows] == [[2, 3, 2], [0, 30, 12.5], [0, 30, 12.5]]
    assert [row["order"] for row in rows] == [0, 1, 2]


def test_a_breakdown_value_replaces_the_label_of_one_series_and_follows_that_of_many(
    story: tuple[Sandbox, Http],
) -> None:
    one = viz("TrendsQuery", series=[node("visit")], breakdownFilter=BROWSER)
    rows = insight(*story, one)["result"]
    assert data(rows) == {"Chrome": [1, 1, 1], "Safari": [0, 1, 0], NULL: [1, 1, 1]}
    assert [row["breakdown_value"] for row in rows] == ["Chrome", "Safari", NULL]
    two = viz("TrendsQuery", series=[node("visit"), node("pay")], breakdownFilter=BROWSER)
    labels = [row["label"] for row in insight(*story, two)["result"]]
    assert labels == [f"visit - {name}" for name in ("Chrome", "Safari", NULL)] + ["pay - Chrome"]


def test_several_breakdowns_give_lists(story: tuple[Sandbox, Http]) -> None:
    parts = [{"property": "$browser", "type": "event"}, {"property": "amount", "type": "event"}]
    query = viz("TrendsQuery", series=[node("pay")], breakdownFilter={"breakdowns": parts})
    rows = insight(*story, query)["result"]
    assert [row["breakdown_value"] for row in rows] == [["Chrome", "12.5"], ["Chrome", "30"]]
    assert rows[0]["label"] == "Chrome::12.5"


def test_what_is_beyond_the_breakdown_limit_is_other(start: Start) -> None:
    sandbox, http = start(limits=False)
    many(sandbox, 30)
    filters = {"breakdown": "page", "breakdown_type": "event", "breakdown_limit": 4}
    body = insight(
        sandbox, http, viz("TrendsQuery", series=[node("visit")], breakdownFilter=filters)
    )
    values = [row["breakdown_value"] for row in body["result"]]
    assert values == ["/000", "/001", "/002", "/003", OTHER]
    assert body["result"][-1]["count"] == 26.0
    assert body["hasMore"] is True


def test_formulas_have_no_action_and_division_by_zero_is_zero(
    story: tuple[Sandbox, Http],
) -> None:
    filters = {"formula": "A/B"}
    query = viz("TrendsQuery", series=[node("pay"), node("sign up")], trendsFilter=filters)
    rows = insight(*story, query)["result"]
    assert [row["label"] for row in rows] == ["Formula (A/B)"]
    assert (rows[0]["data"], rows[0]["action"]) == ([0.0, 1.0, 0.0], None)


def test_a_comparison_sets_the_period_before_beside(story: tuple[Sandbox, Http]) -> None:
    dates = {"date_from": "2026-05-19", "date_to": "2026-05-19"}
    query = viz(
        "TrendsQuery",
        series=[node("visit")],
        dateRange=dates,
        compareFilter={"compare": True},
    )
    rows = insight(*story, query)["result"]
    assert [(row["compare_label"], row["days"], row["data"]) for row in rows] == [
        ("current", ["2026-05-19"], [3]),
        ("previous", ["2026-05-18"], [2]),
    ]


def test_a_single_number_has_no_labels(story: tuple[Sandbox, Http]) -> None:
    query = viz(
        "TrendsQuery",
        series=[node("visit", math="dau")],
        trendsFilter={"display": "BoldNumber"},
    )
    row = insight(*story, query)["result"][0]
    assert (row["aggregated_value"], row["data"], row["days"], row["count"]) == (3, [], [], 0)
    assert "labels" not in row


def test_filters_by_property_narrow_a_series(story: tuple[Sandbox, Http]) -> None:
    wanted = [{"key": "$browser", "type": "event", "value": ["Chrome"], "operator": "exact"}]
    unset = [{"key": "$browser", "type": "event", "operator": "is_not_set"}]
    more = [{"key": "amount", "type": "event", "value": 20, "operator": "gt"}]
    series = [
        node("visit", properties=wanted),
        node("visit", properties=unset),
        node("pay", properties=more),
    ]
    rows = insight(*story, viz("TrendsQuery", series=series))["result"]
    assert [row["count"] for row in rows] == [3.0, 3.0, 1.0]


def test_a_funnel_counts_people_who_got_as_far(story: tuple[Sandbox, Http]) -> None:
    steps = [node("visit"), node("sign up"), node("pay")]
    rows = insight(*story, viz("FunnelsQuery", series=steps))["result"]
    assert [(row["name"], row["order"], row["count"]) for row in rows] == [
        ("visit", 0, 3),
        ("sign up", 1, 2),
        ("pay", 2, 1),
    ]
    assert rows[0]["average_conversion_time"] is None
    # Anna: 10 minutes from her first visit. Ben: 9.5 hours from his first, 5 minutes from his
    # second, so 17,250 seconds on average.
    assert rows[1]["average_conversion_time"] == (600 + (34500 + 300) / 2) / 2
    assert rows[1]["median_conversion_time"] == (600 + (34500 + 300) / 2) / 2


def test_a_funnel_by_value_is_a_list_of_lists(story: tuple[Sandbox, Http]) -> None:
    steps = [node("visit"), node("sign up")]
    rows = insight(*story, viz("FunnelsQuery", series=steps, breakdownFilter=BROWSER))["result"]
    counts = {tuple(part[0]["breakdown_value"]): [row["count"] for row in part] for part in rows}
    assert counts == {("Chrome",): [1, 1], ("Safari",): [1, 0], ("",): [1, 1]}


def test_the_time_to_convert_is_an_object_of_bins(story: tuple[Sandbox, Http]) -> None:
    query = viz(
        "FunnelsQuery",
        series=[node("visit"), node("sign up")],
        funnelsFilter={"funnelVizType": "time_to_convert"},
    )
    result = insight(*story, query)["result"]
    assert result["average_conversion_time"] == 9000
    assert result["bins"][0] == [600, 1]
    assert sum(count for _, count in result["bins"]) == 2


def test_retention_counts_who_came_back(story: tuple[Sandbox, Http]) -> None:
    entity = {"id": "visit", "type": "events"}
    filters = {
        "period": "Day",
        "totalIntervals": 3,
        "targetEntity": entity,
        "returningEntity": entity,
        "retentionType": "retention_first_time",
    }
    rows = insight(*story, viz("RetentionQuery", retentionFilter=filters))["result"]
    assert [[value["count"] for value in row["values"]] for row in rows] == [
        [2, 2, 2],
        [1, 0, 0],
        [0, 0, 0],
    ]
    assert (rows[1]["label"], rows[1]["date"]) == ("Day 1", "2026-05-19T00:00:00Z")
    assert rows[0]["values"][2]["label"] == "Day 2"
    filters = {**filters, "retentionType": "retention_recurring"}
    rows = insight(*story, viz("RetentionQuery", retentionFilter=filters))["result"]
    assert [row["values"][0]["count"] for row in rows] == [2, 3, 2]
    grouped = viz("RetentionQuery", retentionFilter=filters, breakdownFilter=BROWSER)
    rows = insight(*story, grouped)["result"]
    assert list(dict.fromkeys(row["breakdown_value"] for row in rows)) == ["", "Chrome", "Safari"]


def test_paths_are_in_milliseconds_between_steps_of_a_session(
    story: tuple[Sandbox, Http],
) -> None:
    filters = {"stepLimit": 4, "includeEventTypes": ["custom_event"]}
    rows = insight(*story, viz("PathsQuery", pathsFilter=filters))["result"]
    assert rows == [
        {
            "source": "1_visit",
            "target": "2_pay",
            "value": 2.0,
            "average_conversion_time": 1050000.0,
        },
        {
            "source": "1_visit",
            "target": "2_sign up",
            "value": 2.0,
            "average_conversion_time": 450000.0,
        },
    ]


def test_stickiness_has_whole_numbers_of_days(story: tuple[Sandbox, Http]) -> None:
    row = insight(*story, viz("StickinessQuery", series=[node("visit")]))["result"][0]
    assert (row["days"], row["data"], row["count"]) == ([1, 2, 3], [1, 0, 2], 3)
    assert row["labels"] == ["1 day", "2 days", "3 days"]


def test_lifecycle_counts_the_dormant_below_zero(story: tuple[Sandbox, Http]) -> None:
    rows = insight(*story, viz("LifecycleQuery", series=[node("visit")]))["result"]
    assert {row["status"]: row["data"] for row in rows} == {
        "new": [2.0, 1.0, 0.0],
        "returning": [0.0, 2.0, 2.0],
        "resurrecting": [0.0, 0.0, 0.0],
        "dormant": [0.0, 0.0, -1.0],
    }
    assert [row["label"] for row in rows][-1] == "visit - dormant"


def test_a_sql_insight_has_columns_and_clickhouse_types(story: tuple[Sandbox, Http]) -> None:
    text = (
        "select event, toDate(timestamp) as day, count() as n, uniq(person_id) as people, "
        "avg(toFloat(properties.amount)) as amount, max(timestamp) as last, "
        "groupArray(distinct properties.$browser) as browsers, count() > 1 as busy "
        "from events where event in ('pay', 'visit') group by event, day order by event, day"
    )
    body = insight(*story, sql(text))
    assert body["columns"][:3] == ["event", "day", "n"]
    assert dict(body["types"]) == {
        "event": "String",
        "day": "Date",
        "n": "UInt64",
        "people": "UInt64",
        "amount": "Nullable(Float64)",
        "last": "DateTime64(6, 'UTC')",
        "browsers": "Array(String)",
        "busy": "UInt8",
    }
    assert body["result"][0] == [
        "pay",
        "2026-05-19",
        1,
        1,
        30,
        "2026-05-19T08:20:00Z",
        ["Chrome"],
        0,
    ]
    assert body["result"][3] == [
        "visit",
        "2026-05-19",
        3,
        3,
        None,
        "2026-05-19T10:00:00Z",
        ["Chrome", "Safari"],
        1,
    ]
    assert body["hasMore"] is False
    assert body["hogql"].splitlines()[-2:] == ["LIMIT 101", "OFFSET 0"]


def test_a_sql_insight_without_limit_is_cut_at_100_and_says_so(start: Start) -> None:
    sandbox, http = start(limits=False)
    many(sandbox, 130)
    text = "select distinct_id from events order by timestamp"
    body = insight(sandbox, http, sql(text))
    assert (len(body["result"]), body["hasMore"]) == (100, True)
    body = insight(sandbox, http, sql(text + " limit 120"))
    assert (len(body["result"]), body["hasMore"]) == (120, None)


def test_a_sql_error_fails_the_read_with_the_servers_words(story: tuple[Sandbox, Http]) -> None:
    sandbox, http = story
    made = sandbox.world.add_insight("Broken", sql("select nope from events"))
    answer = http.get(f"/insights/{made['id']}/?refresh=blocking")
    assert (answer.status_code, answer.json()) == (
        400,
        {
            "type": "validation_error",
            "code": "invalid_input",
            "detail": "Unable to resolve field: nope",
            "attr": None,
        },
    )


def test_an_events_table_has_plain_types(story: tuple[Sandbox, Http]) -> None:
    source = {
        "kind": "EventsQuery",
        "select": ["event", "timestamp", "person"],
        "event": "visit",
        "after": "2026-05-18",
        "limit": 3,
    }
    body = insight(*story, {"kind": "DataTableNode", "source": source})
    assert body["types"] == ["String", "DateTime64(6, 'UTC')", "String"]
    assert [row[1] for row in body["result"]] == [
        "2026-05-20T09:00:00Z",
        "2026-05-20T08:00:00Z",
        "2026-05-19T10:00:00Z",
    ]
    assert body["result"][0][2]["distinct_id"] == "ben"
    assert body["hasMore"] is True
