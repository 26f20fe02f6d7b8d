"""SQL insights and data tables as typed rows; ClickHouse types; pandas frames; null results."""

import math
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from insight_answers import COMPUTED, insight, node, per_day, series, step, trends_source

from hog_dagster.posthog._insight_rows import (
    COLUMNS,
    column_names,
    kind_of,
    result_state,
    tidy_rows,
    to_frame,
)
from hog_dagster.posthog._insight_rows.clickhouse import cell_type
from hog_dagster.posthog.errors import NoResult

HOGQL = {"kind": "HogQLQuery", "query": "select 1"}
TYPES = ("text", "bigint", "integer", "double", "boolean", "timestamptz", "date", "json")


def table(columns: list[str], types: Any, rows: list[Any], **more: Any) -> dict[str, Any]:
    return insight(HOGQL, rows, columns=columns, types=types, **more)


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("String", "text"),
        ("FixedString(3)", "text"),
        ("LowCardinality(Nullable(String))", "text"),
        ("UUID", "text"),
        ("Enum8('a, b' = 1, 'c' = 2)", "text"),
        ("UInt8", "bigint"),
        ("Nullable(Int64)", "bigint"),
        ("UInt64", "bigint"),
        ("Int128", "text"),
        ("UInt256", "text"),
        ("Float64", "double"),
        ("Nullable(Float32)", "double"),
        ("Decimal(38, 10)", "double"),
        ("Decimal64(4)", "double"),
        ("Bool", "boolean"),
        ("Date", "date"),
        ("Nullable(Date32)", "date"),
        ("DateTime", "timestamptz"),
        ("DateTime64(6, 'UTC')", "timestamptz"),
        ("Nullable(DateTime64(3, 'Europe/Berlin'))", "timestamptz"),
        ("Array(String)", "json"),
        ("Tuple(a UInt8, b String)", "json"),
        ("Map(String, Array(Int8))", "json"),
        ("JSON", "json"),
        ("Variant(String, UInt8)", "json"),
        ("SimpleAggregateFunction(sum, UInt64)", "bigint"),
        ("IntervalDay", "bigint"),
        ("Nullable(Nothing)", "text"),
        ("IPv4", "text"),
        ("Time", "text"),
        ("double precision", "double"),
        ("timestamp with time zone", "timestamptz"),
        ("SomethingNew(1)", "text"),
        ("", "text"),
    ],
)
def test_a_clickhouse_type_has_one_declared_type(name: str, declared: str) -> None:
    assert cell_type(name).type == declared


def test_a_datetime_names_its_zone() -> None:
    assert cell_type("Nullable(DateTime64(3, 'Europe/Berlin'))").zone == "Europe/Berlin"
    assert cell_type("DateTime").zone is None


def test_a_sql_insight_is_typed_from_its_answer() -> None:
    types = [
        ["event", "String"],
        ["day", "Date"],
        ["n", "UInt64"],
        ["amount", "Nullable(Float64)"],
        ["last", "DateTime64(6, 'UTC')"],
        ["plans", "Array(String)"],
        ["busy", "Bool"],
        ["price", "Decimal(18, 2)"],
        ["byzone", "DateTime('Asia/Tokyo')"],
    ]
    row = ["buy", "2026-03-02", 5, None, "2026-03-02T23:05:00.5-05:00", ["pro"], True, "9.75"]
    answer = table([name for name, _ in types], types, [[*row, "2026-03-02 09:00:00"]])
    tidy = tidy_rows(answer | {"hasMore": True})
    assert tidy.kind == "sql"
    assert tidy.has_more is True
    (loaded,) = tidy.rows
    assert loaded == {
        "event": "buy",
        "day": date(2026, 3, 2),
        "n": 5,
        "amount": None,
        "last": datetime(2026, 3, 3, 4, 5, 0, 500_000, tzinfo=UTC),
        "plans": ["pro"],
        "busy": True,
        "price": 9.75,
        "byzone": datetime(2026, 3, 2, tzinfo=UTC),
        "_row_number": 0,
        "_computed_at": datetime.fromisoformat(COMPUTED),
        "_unknown": False,
        "_raw": None,
    }
    assert [column.name for column in tidy.columns] == list(loaded)
    assert [column.type for column in tidy.columns[:-4]] == [
        "text",
        "date",
        "bigint",
        "double",
        "timestamptz",
        "json",
        "boolean",
        "double",
        "timestamptz",
    ]


def test_a_time_without_a_zone_is_the_projects() -> None:
    answer = table(["t"], [["t", "DateTime"]], [["2026-03-02 00:00:00"]], timezone="Asia/Tokyo")
    assert tidy_rows(answer).rows[0]["t"] == datetime(2026, 3, 1, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("UInt64", 2**63),
        ("UInt64", "many"),
        ("UInt8", 1.5),
        ("Float64", {"a": 1}),
        ("Float64", "fast"),
        ("Bool", 2),
        ("Date", "tomorrow"),
        ("Date", 20_000),
        ("DateTime", "later"),
        ("DateTime", 1_700_000_000),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_kept_beside_the_row(kind: str, value: Any) -> None:
    tidy = tidy_rows(table(["x", "y"], [["x", kind], ["y", "String"]], [[value, "z"]]))
    assert (tidy.rows[0]["x"], tidy.rows[0]["y"]) == (None, "z")
    assert tidy.rows[0]["_raw"] == {"x": value}
    assert tidy.drifted
    assert tidy.problems == ("column x: 1 values do not fit its type",)


def test_text_columns_take_any_value_as_text_and_truth_comes_as_a_number_too() -> None:
    types = [["a", "String"], ["b", "String"], ["c", "Bool"], ["d", "UInt8"]]
    rows = tidy_rows(table(["a", "b", "c", "d"], types, [[{"k": [1]}, 5, 0, True]])).rows
    assert [rows[0][name] for name in "abcd"] == ['{"k":[1]}', "5", False, 1]


def test_names_that_come_twice_are_told_apart() -> None:
    answer = table(
        ["n", "n", ""], [["n", "UInt8"], ["n", "String"], ["", "Bool"]], [[1, "a", True]]
    )
    tidy = tidy_rows(answer)
    assert [c.name for c in tidy.columns][:3] == ["n", "n_2", "column_3"]
    assert [tidy.rows[0][name] for name in ("n", "n_2", "column_3")] == [1, "a", True]


def test_names_for_a_database_are_plain_and_never_equal_but_for_case() -> None:
    names = ["count()", "uniq(person_id)", "Event", "event", "", "2nd", "properties.$os", "été"]
    assert column_names(names) == [
        "count",
        "uniq_person_id",
        "event",
        "event_2",
        "column_5",
        "_2nd",
        "properties_os",
        "été",
    ]
    assert len(set(column_names(["x" * 80, "x" * 90]))) == 2


def test_an_events_table_holds_objects_where_its_types_say_text() -> None:
    source = {"kind": "EventsQuery", "select": ["event", "person"]}
    person = {"distinct_id": "d", "properties": {"plan": "pro"}}
    answer = insight(
        source,
        [["view", person, person]],
        query={"kind": "DataTableNode", "source": source},
        columns=["event", "person", "person_display_name -- Who"],
        types=["String", "String", "String"],
    )
    tidy = tidy_rows(answer)
    assert [c.type for c in tidy.columns[:3]] == ["text", "json", "json"]
    assert tidy.rows[0]["person"] == person
    assert not tidy.drifted


def test_a_table_of_any_other_query_is_read_by_its_columns() -> None:
    source = {"kind": "SomeNewQuery"}
    rows = [[1, "a", None, 1, {"k": 1}, True], [2, None, None, 1.5, [], False]]
    answer = insight(
        source,
        rows,
        query={"kind": "DataTableNode", "source": source},
        columns=list("abcdef"),
    )
    tidy = tidy_rows(answer)
    kinds = [c.type for c in tidy.columns[:6]]
    assert kinds == ["bigint", "text", "text", "double", "json", "boolean"]
    objects = answer | {"result": [{"a": 1, "b": "x"}, {"b": "y", "c": 2.5}], "columns": None}
    rows = tidy_rows(objects).rows
    assert [(r["a"], r["b"], r["c"]) for r in rows] == [(1, "x", None), (None, "y", 2.5)]


def traces(columns: list[str], rows: list[Any], types: Any = None) -> dict[str, Any]:
    source = {"kind": "TracesQuery"}
    query = {"kind": "DataTableNode", "source": source}
    return insight(source, rows, query=query, columns=columns, types=types)


def kept(value: Any) -> list[Any]:
    """Every number, text and truth value of a response, however deep."""
    if isinstance(value, Mapping):
        return [one for part in value.values() for one in kept(part)]
    if isinstance(value, list):
        return [one for part in value for one in kept(part)]
    return [] if value is None else [value]


def test_a_node_table_whose_rows_spell_the_columns_otherwise_keeps_its_values() -> None:
    tidy = tidy_rows(traces(["id", "total_cost"], [{"id": "t", "totalCost": 0.01}]))
    assert [(row["id"], row["total_cost"]) for row in tidy.rows] == [("t", 0.01)]
    assert not tidy.drifted
    assert [column.type for column in tidy.columns[:2]] == ["text", "double"]


def test_what_only_the_rows_of_a_node_table_name_is_a_column_of_its_own() -> None:
    rows = [{"id": "t", "events": [{"cost": 3}]}, {"id": "u", "_raw": 4, "total cost": 5}]
    tidy = tidy_rows(traces(["id", "person"], rows, ["String", "String"]))
    assert [row["events"] for row in tidy.rows] == [[{"cost": 3}], None]
    assert [row["_raw_2"] for row in tidy.rows] == [None, 4]
    assert tidy.rows[1]["total cost"] == 5
    assert [row["person"] for row in tidy.rows] == [None, None]


def test_of_rows_with_a_thousand_names_the_rest_is_in_raw() -> None:
    rows = [{f"k{n}": n, f"k{n + 1}": n} for n in range(1000)]
    tidy = tidy_rows(traces(["id"], rows))
    assert len(tidy.columns) < 120
    assert sum(len(row["_raw"] or {}) for row in tidy.rows) > 1000
    assert tidy.drifted


@given(
    st.lists(st.text("aAb_", max_size=3), max_size=4),
    st.lists(
        st.dictionaries(st.text("aAb_", max_size=3), st.integers(0, 9) | st.text("x"), max_size=4),
        max_size=4,
    ),
)
def test_every_value_of_a_node_table_is_in_a_column_or_in_raw(
    columns: list[str], rows: list[dict[str, Any]]
) -> None:
    tidy = tidy_rows(traces(columns, rows))
    ours = ("_row_number", "_computed_at", "_unknown")
    found = [{k: v for k, v in row.items() if k not in ours} for row in tidy.rows]
    assert Counter(map(str, kept(found))) == Counter(map(str, kept(rows)))
    assert len({column.name for column in tidy.columns}) == len(tidy.columns)


@pytest.mark.parametrize(
    "more",
    [
        {"result": {"rows": []}},
        {"result": [[1, 2]]},
        {"result": ["text"]},
        {"result": [[1]], "columns": None},
    ],
)
def test_a_table_of_an_unknown_shape_lands_whole_in_one_row(more: dict[str, Any]) -> None:
    answer = table(["a"], [["a", "UInt8"]], []) | more
    tidy = tidy_rows(answer)
    assert len(tidy.rows) == 1
    assert tidy.rows[0]["_unknown"] is True
    assert tidy.rows[0]["_raw"]["result"] == answer["result"]
    assert tidy.drifted


def test_an_unknown_kind_of_insight_lands_whole() -> None:
    answer = insight({"kind": "JourneysQuery"}, {"nodes": [1]})
    tidy = tidy_rows(answer)
    assert (tidy.kind, kind_of(answer)) == ("unknown", "unknown")
    assert tidy.rows[0]["_raw"] == {"nodes": [1]}
    assert "JourneysQuery" in tidy.problems[0]
    assert kind_of({"query": None, "filters": None}) == "unknown"
    assert kind_of({"query": None, "filters": {"insight": "RETENTION"}}) == "retention"


@pytest.mark.parametrize(
    "kind", ["Trends", "Funnels", "Retention", "Paths", "Stickiness", "Lifecycle"]
)
@pytest.mark.parametrize("result", ["text", 5, [[[]]], [{"data": {}, "values": 3}], [None]])
def test_no_answer_however_odd_raises(kind: str, result: Any) -> None:
    tidy = tidy_rows(insight({"kind": f"{kind}Query"}, result))
    assert tidy.kind == kind.lower()
    assert tidy.drifted or not tidy.rows
    assert all(set(row) == {c.name for c in tidy.columns} for row in tidy.rows)


def test_the_declared_columns_are_of_the_known_types_and_described() -> None:
    for columns in COLUMNS.values():
        assert len({c.name for c in columns}) == len(columns)
        assert all(c.type in TYPES and c.description.endswith((".", "null.")) for c in columns)
        assert [c.type for c in columns if c.name == "value"] == ["double"]


@pytest.mark.parametrize(
    ("result", "status", "state"),
    [
        ([], None, "ready"),
        ([], {"complete": False, "error": False}, "ready"),
        (None, None, "not_cached"),
        (None, {}, "not_cached"),
        (None, {"complete": False, "error": False}, "computing"),
        (None, {"complete": True, "error": False, "error_message": None}, "not_cached"),
        (None, {"error": True, "error_message": "concurrency_limit_exceeded"}, "failed"),
        (None, {"complete": False, "error_message": "Unable to resolve field"}, "failed"),
    ],
)
def test_a_null_result_says_why(result: Any, status: Any, state: str) -> None:
    answer = insight(HOGQL, result, query_status=status, columns=[], types=[])
    assert result_state(answer) == state
    if state == "ready":
        assert len(to_frame(answer)) == 0
    else:
        with pytest.raises(NoResult) as raised:
            to_frame(answer)
        assert raised.value.state == state
        assert "abcd1234" in str(raised.value)


def test_a_frame_has_one_row_per_number_and_proper_types() -> None:
    answer = insight(trends_source(node("view")), [series(per_day("view"))])
    frame = to_frame(answer)
    assert list(frame.columns) == [column.name for column in COLUMNS["trends"]]
    assert frame["value"].tolist() == per_day("view")
    assert str(frame["value"].dtype) == "float64"
    assert str(frame["bucket_start"].dtype) == "datetime64[us, UTC]"
    assert str(frame["insight_id"].dtype) == "Int64"
    assert str(frame["_unknown"].dtype) == "boolean"
    assert str(frame["event"].dtype).startswith("string")
    by_day = frame.set_index("bucket_start")["value"].resample("D").sum()
    assert by_day.sum() == sum(per_day("view"))
    assert frame.attrs["kind"] == "trends"
    assert frame.attrs["problems"] == []


def test_a_sql_frame_has_the_querys_own_columns() -> None:
    types = [["n", "UInt64"], ["day", "Date"], ["x", "Float64"], ["m", "Map(String, UInt8)"]]
    rows = [[1, "2026-03-02", None, {"a": 1}], [None, None, 2.5, None]]
    frame = to_frame(table(["n", "day", "x", "m"], types, rows, hasMore=True))
    assert list(frame.columns) == ["n", "day", "x", "m"]
    assert [str(t) for t in frame.dtypes] == ["Int64", "datetime64[s]", "float64", "object"]
    assert frame["day"].iloc[0] == pd.Timestamp(2026, 3, 2)
    assert math.isnan(frame["x"].iloc[0])
    assert frame["m"].iloc[0] == {"a": 1}
    assert frame.attrs["has_more"] is True
    unfit = to_frame(table(["n"], [["n", "UInt64"]], [["many"]]))
    assert unfit["_raw"].iloc[0] == {"n": "many"}
    assert unfit.attrs["problems"]


def test_frames_of_other_kinds_keep_the_number_in_value() -> None:
    source = {"kind": "FunnelsQuery", "series": [node("view")]}
    frame = to_frame(insight(source, [step("view", 0, 4)]))
    assert frame["value"].tolist() == [4.0]
    assert frame["step_order"].tolist() == [0]
