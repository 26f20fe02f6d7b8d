"""Funnels, retention and paths as tidy rows, in every shape PostHog gives them."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from insight_answers import DAYS, active_days, insight, node, numbers_in, step

from hog_dagster.posthog._insight_rows import tidy_rows

STEPS = [node("view"), node("buy")]


def funnel(viz: str = "steps", **more: Any) -> dict[str, Any]:
    return {
        "kind": "FunnelsQuery",
        "series": STEPS,
        "funnelsFilter": {"funnelVizType": viz},
        "interval": "day",
        **more,
    }


def values(answer: dict[str, Any], **where: Any) -> list[float | None]:
    rows = tidy_rows(answer).rows
    return [r["value"] for r in rows if all(r[name] == want for name, want in where.items())]


def timed(order: int, count: float, **more: Any) -> dict[str, Any]:
    return step(
        "buy", order, count, average_conversion_time=90.5, median_conversion_time=60, **more
    )


def test_a_step_has_a_row_for_its_count_and_one_for_each_conversion_time() -> None:
    result = [step("view", 0, 40), timed(1, 38)]
    answer = insight(funnel(), result)
    tidy = tidy_rows(answer)
    said = [(r["step_order"], r["event"], r["metric"], r["unit"], r["value"]) for r in tidy.rows]
    assert said == [
        (0, "view", "count", "count", 40),
        (1, "buy", "count", "count", 38),
        (1, "buy", "average_conversion_time", "seconds", 90.5),
        (1, "buy", "median_conversion_time", "seconds", 60),
    ]
    assert sorted(r["value"] for r in tidy.rows) == sorted(numbers_in(result, frozenset({"order"})))


def test_a_step_nobody_reached_has_null_times_and_a_sampled_count_is_a_float() -> None:
    result = [step("view", 0, 12.5), step("buy", 1, 0)]
    answer = insight(funnel(), result)
    assert values(answer, metric="count") == [12.5, 0]
    assert values(answer, metric="median_conversion_time") == [None]


def test_a_breakdowns_list_of_lists_keeps_the_values_apart() -> None:
    source = funnel(breakdownFilter={"breakdown": ["$browser"], "breakdown_type": "event"})
    result = [
        [
            step("view", 0, count, breakdown=[value], breakdown_value=[value]),
            timed(1, count - 1, breakdown=[value], breakdown_value=[value]),
        ]
        for value, count in (("Chrome", 11), ("", 8), ("Other", 3))
    ]
    answer = insight(source, result)
    assert values(answer, metric="count", breakdown_1="Chrome") == [11, 10]
    assert values(answer, metric="count", breakdown_1="None") == [8, 7]
    assert values(answer, metric="count", breakdown_1="Other") == [3, 2]


def test_cohorts_have_names_and_several_properties_columns_of_their_own() -> None:
    cohorts = funnel(breakdownFilter={"breakdown": [12, "all"], "breakdown_type": "cohort"})
    named = [
        [step("view", 0, 5, breakdown="Power users", breakdown_value=12)],
        [step("view", 0, 9, breakdown="all users", breakdown_value=0)],
    ]
    assert values(insight(cohorts, named), breakdown_1="Power users") == [5]
    assert values(insight(cohorts, named), breakdown_1="all users") == [9]
    two = funnel(breakdownFilter={"breakdown": ["$os", "plan"], "breakdown_type": "event"})
    row = tidy_rows(insight(two, [[step("view", 0, 1, breakdown_value=["Mac", "pro"])]])).rows[0]
    assert (row["breakdown_1"], row["breakdown_2"]) == ("Mac", "pro")


def test_actions_unordered_steps_and_compared_periods() -> None:
    acted = step("", 0, 3, action_id=31, name="Signed up", type="actions", custom_name="Join")
    row = tidy_rows(insight(funnel(), [acted])).rows[0]
    assert (row["action_id"], row["event"], row["step_name"]) == (31, None, "Join")
    unordered = step("", 1, 3, action_id=None, name="Completed 2 steps")
    assert tidy_rows(insight(funnel(), [unordered])).rows[0]["step_name"] == "Completed 2 steps"
    compared = [
        step("view", 0, 4, compare_label="current"),
        step("view", 0, 6, compare_label="previous"),
    ]
    assert values(insight(funnel(), compared), compare_label="previous") == [6]


def test_time_to_convert_has_a_row_per_bin_and_one_for_the_average() -> None:
    result = {"bins": [[1902, 27], [66632, 8], [131362, 0]], "average_conversion_time": 44616.28}
    tidy = tidy_rows(insight(funnel("time_to_convert"), result))
    bins = [r for r in tidy.rows if r["metric"] == "count"]
    assert [(r["bin_start_seconds"], r["bin_end_seconds"], r["value"]) for r in bins] == [
        (1902, 66632, 27),
        (66632, 131362, 8),
        (131362, None, 0),
    ]
    assert tidy.rows[-1]["metric"] == "average_conversion_time"
    assert tidy.rows[-1]["value"] == 44616.28
    assert {r["viz"] for r in tidy.rows} == {"time_to_convert"}


def test_time_to_convert_of_two_periods_and_of_nobody() -> None:
    both = [
        {"bins": [[0, 1]], "average_conversion_time": 5, "compare_label": "current"},
        {"bins": [], "average_conversion_time": None, "compare_label": "previous"},
    ]
    answer = insight(funnel("time_to_convert"), both)
    assert values(answer, compare_label="current") == [1, 5]
    assert values(answer, compare_label="previous") == [None]


def test_a_funnel_trend_is_a_percentage_per_bucket() -> None:
    one = {
        "count": 2,
        "data": [50.0, 33.33],
        "days": ["2026-03-02", "2026-03-03"],
        "labels": ["2-Mar-2026", "3-Mar-2026"],
    }
    source = funnel("trends", breakdownFilter={"breakdown": "$os", "breakdown_type": "event"})
    answer = insight(
        source,
        [one | {"breakdown_value": ["None"]}, one | {"breakdown_value": "Mac"}],
        timezone="Asia/Tokyo",
    )
    assert values(answer, breakdown_1="None") == [50.0, 33.33]
    row = tidy_rows(answer).rows[2]
    assert row["breakdown_1"] == "Mac"
    assert (row["metric"], row["unit"], row["interval"]) == ("conversion_rate", "percent", "day")
    assert row["bucket_start"] == datetime(2026, 3, 1, 15, tzinfo=UTC)
    cohorts = funnel("trends", breakdownFilter={"breakdown": [12], "breakdown_type": "cohort"})
    named = insight(cohorts, [one | {"breakdown_value": "Power users"}])
    assert values(named, breakdown_1="Power users") == [50.0, 33.33]


@pytest.mark.parametrize(
    "part",
    [
        "x",
        {"new": 1},
        {"bins": [[1]]},
        {"data": [1], "days": []},
        step("buy", 1, 1) | {"count": {}},
    ],
)
def test_a_part_of_a_funnel_that_is_not_known_lands_whole(part: Any) -> None:
    tidy = tidy_rows(insight(funnel(), [step("view", 0, 4), part]))
    assert [(r["_unknown"], r["_raw"]) for r in tidy.rows] == [(False, None), (True, part)]
    assert tidy.rows[1]["metric"] == "unknown"


def retention(**more: Any) -> dict[str, Any]:
    return {"kind": "RetentionQuery", "retentionFilter": {"period": "Day"}, **more}


def cohort(index: int, day: date, counts: list[float], **more: Any) -> dict[str, Any]:
    return {
        "label": f"Day {index}",
        "date": f"{day}T00:00:00Z",
        "breakdown_value": None,
        "values": [{"count": c, "label": f"Day {n}"} for n, c in enumerate(counts)],
        **more,
    }


def test_retention_counts_who_came_back_after_how_many_days() -> None:
    active = active_days("view")
    first = {person: min(days) for person, days in active.items()}
    table: Counter[tuple[date, int]] = Counter()
    for person, days in active.items():
        for day in days:
            table[first[person], (day - first[person]).days] += 1
    result = [cohort(i, day, [table[day, n] for n in range(4)]) for i, day in enumerate(DAYS)]
    tidy = tidy_rows(insight(retention(), result))
    assert len(tidy.rows) == 28
    for row in tidy.rows:
        assert row["value"] == table[row["bucket_date"], row["interval_index"]]
    assert sum(row["value"] for row in tidy.rows) > 9
    last = tidy.rows[-1]
    assert (last["cohort_index"], last["cohort_label"], last["interval_label"]) == (
        6,
        "Day 6",
        "Day 3",
    )
    assert {r["breakdown_1"] for r in tidy.rows} == {None}


def test_retention_with_breakdowns_counts_cohorts_anew_for_each_value() -> None:
    one = {"breakdowns": [{"property": "$browser", "type": "event"}]}
    result = [
        cohort(i, DAYS[i], [i, 0.5], breakdown_value=value)
        for value in ("Chrome", "", "$$_posthog_breakdown_other_$$")
        for i in range(2)
    ]
    tidy = tidy_rows(insight(retention(breakdownFilter=one), result))
    assert [r["breakdown_1"] for r in tidy.rows[::4]] == ["Chrome", "None", "Other"]
    assert [r["cohort_index"] for r in tidy.rows] == [0, 0, 1, 1] * 3
    two = {"breakdowns": [{"property": "a", "type": "event"}, {"property": "b", "type": "event"}]}
    joined = [cohort(0, DAYS[0], [1], breakdown_value="x::y")]
    row = tidy_rows(insight(retention(breakdownFilter=two), joined)).rows[0]
    assert (row["breakdown_1"], row["breakdown_2"]) == ("x", "y")
    odd = [cohort(0, DAYS[0], [1], breakdown_value="x::y::z")]
    row = tidy_rows(insight(retention(breakdownFilter=two), odd)).rows[0]
    assert (row["breakdown_1"], row["breakdown_2"]) == ("x::y::z", None)
    cohorts = {"breakdowns": [{"property": 12, "type": "cohort"}]}
    of_cohort = [cohort(0, DAYS[0], [1], breakdown_value=12)]
    row = tidy_rows(insight(retention(breakdownFilter=cohorts), of_cohort)).rows[0]
    assert row["breakdown_1"] == "cohort 12"


def test_retention_of_a_property_has_a_row_for_its_aggregate() -> None:
    values_of = [{"count": 3, "aggregation_value": 12.75, "label": "Day 0"}]
    tidy = tidy_rows(insight(retention(), [cohort(0, DAYS[0], []) | {"values": values_of}]))
    assert [(r["metric"], r["value"]) for r in tidy.rows] == [
        ("count", 3),
        ("aggregation_value", 12.75),
    ]


def test_older_retention_answers_lack_labels_and_breakdowns() -> None:
    old = {"label": "Week 0", "date": "2026-03-01T00:00:00+01:00", "values": [{"count": 2}]}
    source = retention(retentionFilter={"period": "Week"})
    row = tidy_rows(insight(source, [old], timezone="Europe/Berlin")).rows[0]
    assert row["bucket_start"] == datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert (row["interval"], row["interval_label"], row["value"]) == ("week", None, 2)


@pytest.mark.parametrize("block", [None, {"label": "Day 0"}, {"values": [{"n": 1}]}])
def test_a_cohort_of_an_unknown_shape_lands_whole(block: Any) -> None:
    tidy = tidy_rows(insight(retention(), [block, cohort(0, DAYS[0], [1])]))
    assert [r["_unknown"] for r in tidy.rows] == [True, False]
    assert tidy.rows[0]["_raw"] == block


def test_paths_split_the_step_from_the_node_and_keep_milliseconds() -> None:
    took = timedelta(minutes=2, milliseconds=5) / timedelta(milliseconds=1)
    result = [
        {"source": "1_/a_b", "target": "2_10_x", "value": 4, "average_conversion_time": took},
        {"source": "2_10_x", "target": "3_line\nbreak", "value": 1.5},
    ]
    tidy = tidy_rows(insight({"kind": "PathsQuery"}, result))
    assert [(r["metric"], r["unit"], r["value"]) for r in tidy.rows] == [
        ("count", "count", 4),
        ("average_conversion_time", "milliseconds", 120_005),
        ("count", "count", 1.5),
    ]
    first, last = tidy.rows[0], tidy.rows[-1]
    assert (first["source_step"], first["source_name"], first["source"]) == (1, "/a_b", "1_/a_b")
    assert (first["target_step"], first["target_name"]) == (2, "10_x")
    assert (last["target_step"], last["target_name"]) == (3, "line\nbreak")


def test_paths_of_the_second_kind_give_the_step_on_its_own() -> None:
    edge = {"step_index": 1, "source_step": "view", "target_step": "buy", "value": 3}
    row = tidy_rows(insight({"kind": "PathsV2Query"}, [edge])).rows[0]
    assert (row["source_step"], row["source_name"], row["target_step"]) == (1, "view", 2)
    assert row["value"] == 3


@pytest.mark.parametrize("edge", [7, {"source": "1_a", "value": 1}, {"source": "1_a"}])
def test_an_edge_of_an_unknown_shape_lands_whole(edge: Any) -> None:
    tidy = tidy_rows(insight({"kind": "PathsQuery"}, [edge]))
    assert [(r["_unknown"], r["_raw"]) for r in tidy.rows] == [(True, edge)]
