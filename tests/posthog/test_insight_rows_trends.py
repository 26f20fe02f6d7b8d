"""Trends, stickiness and lifecycle as tidy rows: every number, in its series and its bucket."""

from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import pytest
from insight_answers import (
    BROWSERS,
    COMPUTED,
    DAYS,
    action,
    active_days,
    insight,
    node,
    numbers_in,
    people_per_day,
    per_day,
    series,
    trends_source,
)

from hog_dagster.posthog._insight_rows import tidy_rows

VIEW, BUY = node("view"), node("buy")
# A series' count is the sum of its points, and stays in series_total.
METADATA = frozenset({"count", "days", "filter", "order", "action", "calendar_heatmap_data"})


def values(answer: dict[str, Any], **where: Any) -> list[float | None]:
    rows = tidy_rows(answer).rows
    return [r["value"] for r in rows if all(r[name] == want for name, want in where.items())]


def test_a_point_of_a_series_is_a_row_that_says_whose_number_it_is() -> None:
    tidy = tidy_rows(insight(trends_source(VIEW), [series(per_day("view"))]))
    assert tidy.kind == "trends"
    assert [row["value"] for row in tidy.rows] == per_day("view")
    assert [row["bucket_date"] for row in tidy.rows] == DAYS
    first = tidy.rows[0]
    assert set(first) == {column.name for column in tidy.columns}
    assert first["insight_id"] == 7
    assert first["short_id"] == "abcd1234"
    assert first["series_kind"] == "event"
    assert first["event"] == "view"
    assert first["bucket_start"] == datetime(2026, 3, 2, tzinfo=UTC)
    assert first["computed_at"] == datetime.fromisoformat(COMPUTED)
    assert first["series_total"] == sum(per_day("view"))
    assert not tidy.drifted


def test_two_series_keep_their_order_and_their_math() -> None:
    bought = series([2.5] * 7, "buy", 1)
    bought["action"] |= {"math": "sum", "math_property": "amount"}
    answer = insight(trends_source(VIEW, BUY), [series(per_day("view")), bought])
    assert values(answer, series_order=0, event="view") == per_day("view")
    assert values(answer, series_order=1, math="sum", math_property="amount") == [2.5] * 7


def test_unique_people_by_browser_name_the_missing_browser_none() -> None:
    source = trends_source(
        node("view", math="dau"),
        breakdownFilter={"breakdown": "$browser", "breakdown_type": "event"},
    )
    result = []
    for browser in BROWSERS:
        said = browser or "$$_posthog_breakdown_null_$$"
        one = series(people_per_day("view", browser), label=said, breakdown_value=said)
        result.append(one)
    answer = insight(source, result)
    for browser in BROWSERS:
        counted = people_per_day("view", browser)
        assert values(answer, breakdown_1=browser or "None") == counted
    first = tidy_rows(answer).rows[0]
    assert first["breakdowns"] == [
        {"property": "$browser", "type": "event", "value": "Chrome", "name": "Chrome"}
    ]
    assert first["breakdown_2"] is None


def test_several_breakdowns_are_kept_apart_and_other_is_named() -> None:
    breakdowns = [{"property": "$browser", "type": "event"}, {"property": "plan", "type": "person"}]
    source = trends_source(VIEW, breakdownFilter={"breakdowns": breakdowns})
    result = [
        series([1] * 7, breakdown_value=["Safari", "free"], label="Safari::free"),
        series(
            [2] * 7,
            breakdown_value=["$$_posthog_breakdown_other_$$", "$$_posthog_breakdown_null_$$"],
            label="Other",
        ),
    ]
    answer = insight(source, result, hasMore=True)
    assert values(answer, breakdown_1="Safari", breakdown_2="free") == [1] * 7
    assert values(answer, breakdown_1="Other", breakdown_2="None") == [2] * 7
    tidy = tidy_rows(answer)
    assert tidy.has_more is True
    assert tidy.rows[-1]["breakdowns"][1] == {
        "property": "plan",
        "type": "person",
        "value": "$$_posthog_breakdown_null_$$",
        "name": "None",
    }


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (9007199254740991, "Other"),
        (9007199254740990.0, "None"),
        ("", "None"),
        (None, "None"),
        (True, "true"),
        (12.5, "12.5"),
        ("[10,20]", "[10,20]"),
    ],
)
def test_breakdown_values_of_older_servers_have_names_too(value: Any, name: str) -> None:
    source = trends_source(VIEW, breakdownFilter={"breakdown": "$x", "breakdown_type": "event"})
    answer = insight(source, [series([1] * 7, breakdown_value=value)])
    assert tidy_rows(answer).rows[0]["breakdown_1"] == name


def test_a_cohort_is_named_by_its_label_and_all_users_too() -> None:
    source = trends_source(
        VIEW, BUY, breakdownFilter={"breakdown": ["all", 12], "breakdown_type": "cohort"}
    )
    result = [
        series([5] * 7, label="view - all users", breakdown_value="all"),
        series([4] * 7, label="view - Power - users", breakdown_value=12),
        series([1] * 7, "buy", 1, label="buy - Power - users", breakdown_value=12),
    ]
    answer = insight(source, result)
    assert values(answer, event="view", breakdown_1="Power - users") == [4] * 7
    assert values(answer, event="buy", breakdown_1="Power - users") == [1] * 7
    assert values(answer, breakdown_1="all users") == [5] * 7
    parts = tidy_rows(answer).rows[-1]["breakdowns"]
    assert parts == [{"property": None, "type": "cohort", "value": 12, "name": "Power - users"}]


def test_compared_periods_are_told_apart() -> None:
    now = series([3] * 7, compare=True, compare_label="current")
    before = series(
        [1] * 7, days=[date(2026, 2, 23 + n) for n in range(6)] + [date(2026, 3, 1)]
    ) | {"compare": True, "compare_label": "previous"}
    answer = insight(trends_source(VIEW, compareFilter={"compare": True}), [now, before])
    assert values(answer, compare_label="current") == [3] * 7
    assert values(answer, compare_label="previous", bucket_date=date(2026, 2, 23)) == [1]


def test_a_total_is_one_row_without_a_bucket() -> None:
    source = trends_source(VIEW, trendsFilter={"display": "BoldNumber"})
    one = series([], days=[], aggregated_value=41, count=0)
    del one["labels"]
    tidy = tidy_rows(insight(source, [one]))
    assert [(r["metric"], r["value"], r["bucket_start"]) for r in tidy.rows] == [
        ("total", 41, None)
    ]
    assert tidy.rows[0]["display"] == "BoldNumber"


def test_a_formula_is_named_and_belongs_to_no_event() -> None:
    ratio = [b / v if v else 0.0 for b, v in zip(per_day("buy"), per_day("view"), strict=True)]
    source = trends_source(BUY, VIEW, trendsFilter={"formula": "A/B"})
    answer = insight(source, [series(ratio, label="Formula (A/B)", action=None)])
    assert values(answer, formula="A/B", series_kind="formula", event=None) == ratio


def test_the_formula_of_an_answer_without_order_is_the_only_one() -> None:
    one = series([0.5] * 7, label="Formula (A/B)", action=None)
    del one["order"]
    by_query = insight(trends_source(BUY, VIEW, trendsFilter={"formula": "A/B"}), [one])
    filters = {"insight": "TRENDS", "formula": "A/B"}
    by_filters = insight(trends_source(), [one]) | {"query": None, "filters": filters}
    for answer in (by_query, by_filters):
        assert values(answer, formula="A/B", series_kind="formula", event=None) == [0.5] * 7


def test_several_formulas_and_their_totals_are_told_apart() -> None:
    nodes = [{"formula": "A+B"}, {"formula": "A-B", "custom_name": "Rest"}]
    source = trends_source(BUY, VIEW, trendsFilter={"formulaNodes": nodes, "display": "ActionsPie"})
    total = {"data": None, "count": 0, "action": None, "days": []}
    result = [
        total | {"label": "Formula (A+B)", "aggregated_value": 9.5, "order": 0},
        total | {"label": "Rest", "aggregated_value": None, "order": 1},
    ]
    answer = insight(source, result)
    assert values(answer, formula="A+B", series_name="Formula (A+B)") == [9.5]
    assert values(answer, formula="A-B", series_name="Rest") == [None]


def test_an_action_is_known_from_the_query_though_the_answer_calls_it_an_event() -> None:
    saved = {"kind": "ActionsNode", "id": 31, "name": "Signed up", "custom_name": "Sign-ups"}
    answer = insight(trends_source(saved), [series([1] * 7, "Signed up")])
    first = tidy_rows(answer).rows[0]
    assert (first["series_kind"], first["action_id"], first["event"]) == ("action", 31, None)
    assert first["series_name"] == "Sign-ups"


@pytest.mark.parametrize(
    ("saved", "kind", "name"),
    [
        ({"kind": "EventsNode", "event": None}, "all_events", "All events"),
        ({"kind": "DataWarehouseNode", "table_name": "orders"}, "data_warehouse", "orders"),
        ({"kind": "GroupNode", "name": "a or b"}, "group", "a or b"),
        ({"kind": "NewNode"}, "other", "view"),
    ],
)
def test_what_is_not_an_event_is_called_what_it_is(
    saved: dict[str, Any], kind: str, name: str
) -> None:
    first = tidy_rows(insight(trends_source(saved), [series([1] * 7)])).rows[0]
    assert (first["series_kind"], first["series_name"], first["event"]) == (kind, name, None)


def test_an_insight_of_old_filters_reads_its_series_from_the_answer() -> None:
    filters = {
        "insight": "TRENDS",
        "interval": "week",
        "breakdown": "$os",
        "breakdown_type": "event",
    }
    old = series([1], days=["2026-03-02"], breakdown_value="Mac")
    old["action"] = action("31", type="actions", name="Signed up")
    answer = insight(trends_source(), [old], query=None, filters=filters)
    row = tidy_rows(answer).rows[0]
    assert (row["series_kind"], row["action_id"], row["interval"]) == ("action", 31, "week")
    assert row["breakdowns"][0]["property"] == "$os"


def test_days_begin_at_midnight_of_the_projects_zone() -> None:
    zone = "America/New_York"
    answer = insight(trends_source(VIEW), [series(per_day("view", zone))], timezone=zone)
    tidy = tidy_rows(answer)
    assert [r["value"] for r in tidy.rows] == per_day("view", zone)
    # The clocks went forward on Sunday, 8 March 2026, at two in the morning.
    assert tidy.rows[0]["bucket_start"] == datetime(2026, 3, 2, 5, tzinfo=UTC)
    assert tidy.rows[0]["bucket_local"] == "2026-03-02T00:00:00-05:00"
    assert tidy.rows[6]["bucket_start"] == datetime(2026, 3, 8, 5, tzinfo=UTC)
    assert {r["timezone"] for r in tidy.rows} == {zone}


def test_the_hour_that_comes_twice_is_two_buckets_an_hour_apart() -> None:
    days = [f"2026-11-01 {hour:02}:00:00" for hour in (0, 1, 1, 2)]
    answer = insight(
        trends_source(VIEW) | {"interval": "hour"},
        [series([1, 2, 3, 4], days=days)],
        timezone="America/New_York",
    )
    rows = tidy_rows(answer).rows
    assert [r["bucket_start"].hour for r in rows] == [4, 5, 6, 7]
    assert [r["bucket_local"][-6:] for r in rows] == ["-04:00", "-04:00", "-05:00", "-05:00"]


def test_without_a_zone_the_answers_own_instants_are_used_and_never_a_guess() -> None:
    one = series([1] * 7)
    one["action"]["days"] = [f"{day}T00:00:00+09:00" for day in DAYS]
    answer = insight(trends_source(VIEW), [one], timezone=None)
    first = tidy_rows(answer).rows[0]
    assert first["bucket_start"] == datetime(2026, 3, 1, 15, tzinfo=UTC)
    assert first["timezone"] is None
    one["action"] = None
    first = tidy_rows(answer).rows[0]
    assert (first["bucket_start"], first["bucket_date"]) == (None, date(2026, 3, 2))
    known = tidy_rows(answer, timezone="Asia/Tokyo").rows[0]
    assert known["bucket_start"] == datetime(2026, 3, 1, 15, tzinfo=UTC)
    assert known["timezone"] == "Asia/Tokyo"


@pytest.mark.parametrize("interval", ["week", "month"])
def test_longer_buckets_start_where_posthog_says(interval: str) -> None:
    answer = insight(
        trends_source(VIEW) | {"interval": interval},
        [series([1, 2], days=["2026-02-01", "2026-03-01"])],
    )
    rows = tidy_rows(answer).rows
    assert [r["bucket_start"].month for r in rows] == [2, 3]
    assert {r["interval"] for r in rows} == {interval}


def test_a_calendar_heat_map_lands_with_every_cell() -> None:
    heat = {
        "data": [{"row": 1, "column": 13, "value": 4}, {"row": 7, "column": 0, "value": 2}],
        "rowAggregations": [{"row": 1, "value": 40}, {"row": 7, "value": 20}],
        "columnAggregations": [{"column": 0, "value": 21}, {"column": 13, "value": 41}],
        "allAggregations": 62,
    }
    one = {"data": [], "label": "view", "action": action("view"), "count": 62}
    one |= {"aggregated_value": 62, "calendar_heatmap_data": heat}
    answer = insight(trends_source(VIEW, trendsFilter={"display": "CalendarHeatmap"}), [one])
    assert values(answer, metric="cell", weekday=1, hour=13) == [4]
    assert values(answer, metric="weekday_total", weekday=7) == [20]
    assert values(answer, metric="hour_total", hour=13) == [41]
    assert values(answer, metric="total") == [62]


def test_a_calendar_heat_map_query_is_rows() -> None:
    heat = {
        "data": [{"row": 1, "column": 13, "value": 4}, {"row": 7, "column": 0, "value": 2}],
        "rowAggregations": [{"row": 1, "value": 4}, {"row": 7, "value": 2}],
        "columnAggregations": [{"column": 0, "value": 2}, {"column": 13, "value": 4}],
        "allAggregations": 6,
    }
    source = {"kind": "CalendarHeatmapQuery", "series": [VIEW]}
    tidy = tidy_rows(insight(source, heat))
    assert (tidy.kind, tidy.drifted) == ("trends", False)
    answer = insight(source, heat)
    assert values(answer, metric="cell", weekday=1, hour=13, event="view") == [4]
    assert values(answer, metric="weekday_total", weekday=7) == [2]
    assert values(answer, metric="hour_total", hour=13) == [4]
    assert values(answer, metric="total", display="CalendarHeatmap") == [6]
    assert len(tidy.rows) == 7
    odd = tidy_rows(insight(source, [heat]))
    assert odd.rows[0]["_raw"] == [heat]
    more = tidy_rows(insight(source, heat | {"smoothing": 2}))
    assert more.rows[0]["_raw"] == {"smoothing": 2}
    assert more.drifted


def test_gaps_are_null_and_a_series_without_days_of_data_has_no_rows() -> None:
    assert values(insight(trends_source(VIEW), [series([None, 1.5] + [0] * 5)]))[:2] == [None, 1.5]
    assert values(insight(trends_source(VIEW), [series([], days=[])])) == []
    assert values(insight(trends_source(VIEW), [])) == []


def test_every_number_of_a_trends_answer_is_a_value() -> None:
    result = [series(per_day("view")), series([0.25] * 7, "buy", 1)]
    tidy = tidy_rows(insight(trends_source(VIEW, BUY), result))
    assert sorted(r["value"] for r in tidy.rows) == sorted(numbers_in(result, METADATA))
    assert {r["series_total"] for r in tidy.rows} == {one["count"] for one in result}


def test_a_field_that_is_new_is_kept_and_reported() -> None:
    one = series([1] * 7) | {"confidence": [0.9] * 7}
    tidy = tidy_rows(insight(trends_source(VIEW), [one]))
    assert len(tidy.rows) == 7
    assert tidy.rows[0]["_raw"] == {"confidence": [0.9] * 7}
    assert tidy.drifted
    assert "confidence" in tidy.problems[0]


@pytest.mark.parametrize(
    "broken",
    [
        "a text",
        {"data": [1, 2], "days": ["2026-03-02"]},
        {"data": [{"new": 1}], "days": ["2026-03-02"]},
        {"data": [1], "days": ["someday"]},
        {"data": [True], "days": ["2026-03-02"]},
        {"surprise": 1},
    ],
)
def test_a_series_of_an_unknown_shape_lands_whole_beside_the_known_ones(broken: Any) -> None:
    tidy = tidy_rows(insight(trends_source(VIEW), [series([1] * 7), broken]))
    assert [r["_unknown"] for r in tidy.rows] == [False] * 7 + [True]
    assert tidy.rows[-1]["_raw"] == broken
    assert tidy.drifted
    assert len(tidy.problems) == 1


def test_a_box_plot_whose_numbers_are_not_in_the_answer_is_reported() -> None:
    one = {"data": [], "count": 0, "label": "view", "action": action("view")}
    answer = insight(trends_source(VIEW, trendsFilter={"display": "BoxPlot"}), [one])
    assert tidy_rows(answer).rows[0]["_raw"] == one


def test_stickiness_counts_people_by_how_many_days_they_were_active() -> None:
    often = [len(days) for days in active_days("view").values()]
    data = [often.count(n) for n in range(1, 8)]
    one = {
        "count": len(often),
        "data": data,
        "days": list(range(1, 8)),
        "label": "view",
        "labels": [f"{n} days" for n in range(1, 8)],
        "action": {"order": 0, "type": "events", "name": "view", "id": "view"},
    }
    source = {"kind": "StickinessQuery", "series": [VIEW], "interval": "day"}
    tidy = tidy_rows(insight(source, [one]))
    assert [(r["intervals"], r["value"]) for r in tidy.rows] == list(enumerate(data, start=1))
    assert {r["series_total"] for r in tidy.rows} == {9}
    assert {r["cumulative"] for r in tidy.rows} == {False}
    again = source | {"stickinessFilter": {"computedAs": "cumulative"}}
    compared = [one | {"compare_label": "current"}, one | {"compare_label": "previous"}]
    rows = tidy_rows(insight(again, compared)).rows
    assert {r["cumulative"] for r in rows} == {True}
    assert [r["compare_label"] for r in rows] == ["current"] * 7 + ["previous"] * 7
    broken = one | {"days": ["2026-03-02"] * 7}
    assert tidy_rows(insight(source, [broken])).rows[0]["_raw"] == broken


def test_lifecycle_keeps_dormant_people_negative() -> None:
    active = active_days("view")
    data: dict[str, list[float]] = {"returning": [], "resurrecting": [], "dormant": []}
    for yesterday, day in pairwise(DAYS):
        here = [days for days in active.values() if day in days]
        data["returning"].append(float(sum(yesterday in days for days in here)))
        data["resurrecting"].append(float(sum(yesterday not in days for days in here)))
        gone = sum(yesterday in days and day not in days for days in active.values())
        data["dormant"].append(-float(gone))
    result = [
        {
            "action": {"id": "view", "name": "view", "type": "events", "order": 0, "math": "total"},
            "data": points,
            "count": sum(points),
            "labels": [str(day) for day in DAYS[1:]],
            "days": [str(day) for day in DAYS[1:]],
            "label": f"view - {status}",
            "status": status,
        }
        for status, points in data.items()
    ]
    source = {"kind": "LifecycleQuery", "series": [VIEW], "interval": "day"}
    answer = insight(source, [*result, {"no": "status"}])
    for status, points in data.items():
        assert values(answer, status=status) == points
    assert min(data["dormant"]) < 0
    assert [r["_unknown"] for r in tidy_rows(answer).rows][-1] is True
