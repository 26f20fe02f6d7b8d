"""What every adapter promises of a load: whole or not at all, by name, in its window and scope."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from warehouse_tables import DAY, EVERY_TYPE, LOGS, METRICS, NEXT_DAY, PROJECT, at, log_rows

from hog_dagster.warehouse import Column, Table, Warehouse, Window
from hog_dagster.warehouse._sql import Dialect, Statements
from hog_dagster.warehouse.errors import InvalidQuery, InvalidRows, SchemaConflict, TableMissing


def messages(warehouse: Warehouse, window: Window | None = None) -> list[str]:
    rows = warehouse.read(LOGS, columns=["message"], window=window, order_by="timestamp")
    return rows.column("message").to_pylist()


def test_a_load_lands_every_row_and_says_so(warehouse: Warehouse) -> None:
    done = warehouse.replace(LOGS, [log_rows(3)], window=DAY, scope=PROJECT)
    assert (done.rows, done.deleted) == (3, 0)
    assert done.bytes > 0
    assert messages(warehouse) == ["line 0", "line 1", "line 2"]


def test_loading_a_window_again_replaces_it_and_nothing_else(warehouse: Warehouse) -> None:
    warehouse.replace(LOGS, [log_rows(3)], window=DAY, scope=PROJECT)
    warehouse.replace(LOGS, [log_rows(2, NEXT_DAY)], window=NEXT_DAY, scope=PROJECT)
    done = warehouse.replace(LOGS, [log_rows(4, text="new")], window=DAY, scope=PROJECT)
    assert (done.rows, done.deleted) == (4, 3)
    assert messages(warehouse) == ["new 0", "new 1", "new 2", "new 3", "line 0", "line 1"]


def test_a_window_holds_its_start_and_not_its_end(warehouse: Warehouse) -> None:
    first = {**log_rows(1)[0], "timestamp": DAY.start}
    last = {**log_rows(1)[0], "timestamp": DAY.end - timedelta(microseconds=1)}
    warehouse.replace(LOGS, [[first, last]], window=DAY, scope=PROJECT)
    warehouse.replace(LOGS, [log_rows(1, NEXT_DAY)], window=NEXT_DAY, scope=PROJECT)
    assert warehouse.count(LOGS, window=DAY) == 2
    assert warehouse.replace(LOGS, [], window=NEXT_DAY, scope=PROJECT).deleted == 1
    assert warehouse.count(LOGS) == 2


def test_a_window_given_in_local_time_is_compared_as_instants(warehouse: Warehouse) -> None:
    zone = timezone(timedelta(hours=-5))
    local = Window(datetime(2026, 3, 1, tzinfo=zone), datetime(2026, 3, 2, tzinfo=zone))
    row = {**log_rows(1)[0], "timestamp": datetime(2026, 3, 2, 4, 59, tzinfo=UTC)}
    for _ in range(2):
        warehouse.replace(LOGS, [[row]], window=local, scope=PROJECT)
    assert warehouse.count(LOGS) == 1
    assert warehouse.count(LOGS, window=local) == 1
    assert warehouse.count(LOGS, window=DAY) == 0


def test_a_scope_keeps_the_rows_of_others(warehouse: Warehouse) -> None:
    other = {"project_id": 8}
    warehouse.replace(LOGS, [log_rows(3)], window=DAY, scope=PROJECT)
    warehouse.replace(LOGS, [log_rows(2, project_id=8)], window=DAY, scope=other)
    warehouse.replace(LOGS, [log_rows(1)], window=DAY, scope=PROJECT)
    assert warehouse.count(LOGS, scope=PROJECT) == 1
    assert warehouse.count(LOGS, scope=other) == 2
    assert warehouse.count(LOGS, scope={"project_id": [7, 8]}) == 3


def test_a_scope_of_several_values_and_of_null_is_replaced_as_one(warehouse: Warehouse) -> None:
    def lines(*levels: str | None) -> list[dict[str, Any]]:
        return [{**log_rows(1)[0], "level": level} for level in levels]

    warehouse.replace(LOGS, [lines("LOG", "WARN", "ERROR", None)], scope=PROJECT)
    scope = {**PROJECT, "level": ["LOG", "WARN"]}
    assert warehouse.replace(LOGS, [lines("WARN")], scope=scope).deleted == 2
    assert warehouse.replace(LOGS, [], scope={**PROJECT, "level": None}).deleted == 1
    assert warehouse.replace(LOGS, [], scope={**PROJECT, "level": []}).deleted == 0
    left = warehouse.read(LOGS, order_by="level").column("level").to_pylist()
    assert left == ["ERROR", "WARN"]


def test_columns_of_the_scope_are_filled_where_the_rows_lack_them(warehouse: Warehouse) -> None:
    rows = [{"timestamp": at(), "message": "x"}]
    warehouse.replace(LOGS, [rows], window=DAY, scope=PROJECT)
    assert warehouse.read(LOGS).to_pylist()[0]["project_id"] == 7


def test_without_a_window_the_whole_table_is_replaced(warehouse: Warehouse) -> None:
    warehouse.replace(LOGS, [log_rows(3), log_rows(3, NEXT_DAY)])
    done = warehouse.replace(LOGS, [log_rows(1)])
    assert (done.rows, done.deleted, warehouse.count(LOGS)) == (1, 6, 1)


def test_columns_are_matched_by_name_whatever_their_order(warehouse: Warehouse) -> None:
    warehouse.replace(LOGS, [log_rows(1)], window=DAY, scope=PROJECT)
    swapped = pa.table(
        {
            "message": ["the message"],
            "level": ["the level"],
            "timestamp": pa.array([at()], pa.timestamp("us", "UTC")),
            "project_id": pa.array([7], pa.int64()),
        }
    )
    warehouse.replace(LOGS, [swapped], window=DAY, scope=PROJECT)
    row = warehouse.read(LOGS).to_pylist()[0]
    assert (row["level"], row["message"], row["_raw"]) == ("the level", "the message", None)


def test_batches_of_different_shape_land_together(warehouse: Warehouse) -> None:
    def batches() -> Iterator[Any]:
        yield log_rows(2)
        yield pa.RecordBatch.from_pylist([{"timestamp": at(5), "message": "bare", "project_id": 7}])
        yield []
        yield pa.table({"timestamp": pa.array([at(6)]), "project_id": pa.array([7], pa.int32())})

    assert warehouse.replace(LOGS, batches(), window=DAY, scope=PROJECT).rows == 4
    assert messages(warehouse) == ["line 0", "line 1", "bare", None]


def test_an_empty_result_makes_the_table_and_empties_the_window(warehouse: Warehouse) -> None:
    assert warehouse.describe(LOGS) is None
    assert warehouse.count(LOGS) == 0
    done = warehouse.replace(LOGS, [], window=DAY, scope=PROJECT)
    assert (done.rows, done.bytes, done.deleted) == (0, 0, 0)
    assert warehouse.read(LOGS).schema == LOGS.arrow_schema
    warehouse.replace(LOGS, [log_rows(3)], window=DAY, scope=PROJECT)
    assert warehouse.replace(LOGS, [], window=DAY, scope=PROJECT).deleted == 3
    assert warehouse.count(LOGS) == 0


def test_a_table_that_never_landed_is_named_with_the_remedy(warehouse: Warehouse) -> None:
    with pytest.raises(TableMissing, match=r"posthog\.workflow_logs.*[Mm]aterialize"):
        warehouse.read(LOGS)
    warehouse.replace(METRICS, [])
    with pytest.raises(TableMissing, match=r"posthog\.workflow_logs.*[Mm]aterialize"):
        warehouse.read(LOGS)


# -- failures leave the old rows


def source_that_breaks() -> Iterator[list[dict[str, Any]]]:
    yield log_rows(2, text="new")
    raise ConnectionResetError("the source broke")


def test_a_source_that_breaks_midway_leaves_the_old_rows(warehouse: Warehouse) -> None:
    warehouse.replace(LOGS, [log_rows(3)], window=DAY, scope=PROJECT)
    with pytest.raises(ConnectionResetError, match="the source broke"):
        warehouse.replace(LOGS, source_that_breaks(), window=DAY, scope=PROJECT)
    assert messages(warehouse) == ["line 0", "line 1", "line 2"]


def bad_rows(**wrong: Any) -> list[dict[str, Any]]:
    return [*log_rows(2, text="new"), {**log_rows(1)[0], **wrong}]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"project_id": "not a number"}, "project_id do not fit its type bigint"),
        ({"project_id": 2**63}, "project_id do not fit"),
        ({"timestamp": "yesterday"}, "timestamp do not fit its type timestamptz"),
        ({"timestamp": datetime(2026, 3, 1)}, "no time zone"),  # noqa: DTZ001
        ({"timestamp": None}, "timestamp may not be null"),
        ({"timestamp": DAY.end}, "do not lie in the window"),
        ({"timestamp": DAY.start - timedelta(microseconds=1)}, "do not lie in the window"),
        ({"project_id": 8}, "project_id is not in the scope"),
        ({"surprise": 1}, "does not declare column surprise"),
        ({"_raw": "{not json"}, "posthog.workflow_logs"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_the_old_ones_stand(
    warehouse: Warehouse, wrong: dict[str, Any], says: str
) -> None:
    warehouse.replace(LOGS, [log_rows(3)], window=DAY, scope=PROJECT)
    with pytest.raises(InvalidRows, match=says):
        warehouse.replace(LOGS, [bad_rows(**wrong)], window=DAY, scope=PROJECT)
    assert messages(warehouse) == ["line 0", "line 1", "line 2"]


def test_arrow_values_that_would_lose_something_are_refused(warehouse: Warehouse) -> None:
    for values in (pa.array([1.5]), pa.array(["x"]), pa.array([at()])):
        rows = pa.table({"project_id": values, "timestamp": [at()]})
        with pytest.raises(InvalidRows, match="project_id do not fit"):
            warehouse.replace(LOGS, [rows], window=DAY)
    naive = pa.table({"timestamp": pa.array([0], pa.timestamp("us"))})
    with pytest.raises(InvalidRows, match="no time zone"):
        warehouse.replace(LOGS, [naive], window=DAY, scope=PROJECT)
    assert warehouse.describe(LOGS) is None


def metric(hour: int, value: int, name: str = "sent", workflow: str = "w") -> dict[str, Any]:
    return {
        "project_id": 7,
        "workflow_id": workflow,
        "hour": at(hour * 3600),
        "name": name,
        "value": value,
    }


def test_two_rows_with_one_key_are_refused_and_the_old_ones_stand(warehouse: Warehouse) -> None:
    warehouse.replace(METRICS, [[metric(0, 1)]], window=DAY, scope=PROJECT)
    with pytest.raises(InvalidRows, match=r"posthog\.workflow_metrics.*workflow_id"):
        warehouse.replace(METRICS, [[metric(1, 1)], [metric(1, 2)]], window=DAY, scope=PROJECT)
    assert [r["value"] for r in warehouse.read(METRICS).to_pylist()] == [1]


def test_a_key_that_stands_outside_the_window_is_refused_too(warehouse: Warehouse) -> None:
    table = Table(
        "runs", (Column("id", "text"), Column("at", "timestamptz")), key=("id",), time_column="at"
    )
    warehouse.replace(table, [[{"id": "a", "at": at(0, NEXT_DAY)}]], window=NEXT_DAY)
    with pytest.raises(InvalidRows, match=r"posthog\.runs"):
        warehouse.replace(table, [[{"id": "a", "at": at()}]], window=DAY)
    assert warehouse.count(table) == 1


# -- upsert


def test_upsert_replaces_by_key_keeps_the_rest_and_lets_the_later_row_win(
    warehouse: Warehouse,
) -> None:
    first = warehouse.upsert(METRICS, [[metric(0, 1), metric(1, 1)]], scope=PROJECT)
    assert (first.rows, first.deleted) == (2, 0)
    done = warehouse.upsert(METRICS, [[metric(1, 2), metric(2, 5)], [metric(1, 3)]], scope=PROJECT)
    assert (done.rows, done.deleted) == (2, 1)
    rows = warehouse.read(METRICS, order_by="hour").to_pylist()
    assert [row["value"] for row in rows] == [1, 3, 5]
    assert warehouse.upsert(METRICS, [], scope=PROJECT).rows == 0
    with pytest.raises(InvalidRows, match="not in the scope"):
        warehouse.upsert(METRICS, [[metric(1, 9)]], scope={"project_id": 8})
    with pytest.raises(ValueError, match="no key"):
        warehouse.upsert(LOGS, [log_rows(1)])


# -- values


def every_type() -> dict[str, Any]:
    return {
        "a text": "tab\tnewline\n\\N \"quote\" 'single' é 😀",
        'a "bigint"': -(2**63),
        "Integer": 2**31 - 1,
        "double": 1e-300,
        "boolean": True,
        "select": datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        "timestamp": datetime(2026, 3, 29, 2, 30),  # noqa: DTZ001
        "date": date(1999, 12, 31),
        "json%s": '{"a": [1, null]}',
        "bytes": b"\x00\xff",
        "amount": Decimal("-12345678901234.5678"),
    }


def test_every_type_comes_back_as_it_went_in_and_null_too(warehouse: Warehouse) -> None:
    row = every_type()
    nothing = dict.fromkeys(row)
    warehouse.replace(EVERY_TYPE, [[row, nothing]])
    back = warehouse.read(EVERY_TYPE, order_by="a text")
    assert back.schema == EVERY_TYPE.arrow_schema
    full, empty = sorted(back.to_pylist(), key=lambda r: r["boolean"] is None)
    full["json%s"] = full["json%s"].replace(" ", "")
    assert full == {**row, "json%s": '{"a":[1,null]}'}
    assert empty == nothing
    window = Window(datetime(1969, 12, 31, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC))
    assert warehouse.replace(EVERY_TYPE, [[row]], window=window).deleted == 1


def test_doubles_that_are_no_numbers_and_far_dates_survive(warehouse: Warehouse) -> None:
    far = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    rows = [{"double": float("nan"), "select": far}, {"double": float("-inf"), "select": far}]
    warehouse.replace(EVERY_TYPE, [rows])
    back = warehouse.read(EVERY_TYPE, order_by="double").to_pylist()
    assert {str(row["double"]) for row in back} == {"nan", "-inf"}
    assert {row["select"] for row in back} == {far}


def test_a_column_of_nulls_keeps_its_declared_type(warehouse: Warehouse) -> None:
    nulls = [{**row, "level": None} for row in log_rows(2)]
    warehouse.replace(LOGS, [nulls], window=DAY, scope=PROJECT)
    all_null = pa.table({"timestamp": [at()], "message": pa.nulls(1), "project_id": [7]})
    warehouse.replace(LOGS, [all_null], window=DAY, scope=PROJECT)
    warehouse.replace(LOGS, [log_rows(2, NEXT_DAY)], window=NEXT_DAY, scope=PROJECT)
    assert warehouse.read(LOGS).schema == LOGS.arrow_schema
    assert warehouse.count(LOGS, scope={"level": "LOG"}) == 2


def test_json_columns_take_any_shape_row_by_row(warehouse: Warehouse) -> None:
    shapes: list[Any] = [{"a": 1}, {"b": {"c": []}}, [1, "x"], 5, True, '"text"', None, {}]
    rows = [{**log_rows(1)[0], "timestamp": at(i), "_raw": s} for i, s in enumerate(shapes)]
    warehouse.replace(LOGS, [rows], window=DAY, scope=PROJECT)
    back = warehouse.read(LOGS, order_by="timestamp").column("_raw").to_pylist()
    texts = [None if text is None else text.replace(" ", "") for text in back]
    assert texts == ['{"a":1}', '{"b":{"c":[]}}', '[1,"x"]', "5", "true", '"text"', None, "{}"]
    structs = pa.table({"timestamp": [at(), at(1)], "_raw": [{"k": 1}, None], "project_id": [7, 7]})
    warehouse.replace(LOGS, [structs], window=DAY, scope=PROJECT)
    back = warehouse.read(LOGS, order_by="timestamp").column("_raw").to_pylist()
    assert [text and text.replace(" ", "") for text in back] == ['{"k":1}', None]


def test_values_and_names_are_never_read_as_sql(warehouse: Warehouse) -> None:
    nasty = "'); DROP TABLE posthog.workflow_logs; --"
    table = Table(
        'wei"rd %s; --',
        (Column('co"l %s', "text", "com'ment"), Column("n", "bigint")),
        schema="sche'ma",
        description="it's; --",
    )
    warehouse.replace(table, [[{'co"l %s': nasty, "n": 1}]], scope={'co"l %s': nasty})
    done = warehouse.replace(table, [[{"n": 2}]], scope={'co"l %s': nasty})
    assert done.deleted == 1
    assert warehouse.read(table, scope={'co"l %s': nasty}).to_pylist() == [
        {'co"l %s': nasty, "n": 2}
    ]


def test_times_in_other_units_and_zones_land_in_utc(warehouse: Warehouse) -> None:
    stamps = pa.array([at().timestamp() * 1e9], pa.float64()).cast(pa.int64())
    nanos = pa.table({"timestamp": stamps.cast(pa.timestamp("ns", "Asia/Kolkata"))})
    warehouse.replace(LOGS, [nanos], window=DAY, scope=PROJECT)
    assert warehouse.read(LOGS).column("timestamp").to_pylist() == [at()]
    text = [{"timestamp": "2026-03-01T05:30:00.123456+05:30"}]
    warehouse.replace(LOGS, [text], window=DAY, scope=PROJECT)
    assert warehouse.read(LOGS).column("timestamp").to_pylist() == [at(0.123456)]


# -- the schema changes


def grown(*more: Column, without: tuple[str, ...] = (), **changed: str) -> Table:
    columns = [
        Column(c.name, changed.get(c.name, c.type), c.description, c.nullable)
        for c in LOGS.columns
        if c.name not in without
    ]
    return Table(LOGS.name, (*columns, *more), LOGS.description, time_column="timestamp")


def test_declared_columns_are_added_and_old_rows_hold_null_there(warehouse: Warehouse) -> None:
    warehouse.replace(LOGS, [log_rows(2)], window=DAY, scope=PROJECT)
    table = grown(Column("run_id", "text", "The run"))
    assert warehouse.read(table).column("run_id").to_pylist() == [None, None]
    rows = log_rows(1, NEXT_DAY, run_id="r")
    warehouse.replace(table, [rows], window=NEXT_DAY, scope=PROJECT)
    back = warehouse.read(table, order_by="timestamp").column("run_id").to_pylist()
    assert back == [None, None, "r"]
    described = warehouse.describe(table)
    assert described is not None
    assert described[-1] == Column("run_id", "text", "The run")


def test_columns_no_longer_declared_stay_and_new_rows_hold_null_there(
    warehouse: Warehouse,
) -> None:
    warehouse.replace(LOGS, [log_rows(1)], window=DAY, scope=PROJECT)
    rows = [{k: v for k, v in row.items() if k != "level"} for row in log_rows(1, NEXT_DAY)]
    warehouse.replace(grown(without=("level",)), [rows], window=NEXT_DAY, scope=PROJECT)
    back = warehouse.read(LOGS, order_by="timestamp").column("level").to_pylist()
    assert back == ["LOG", None]


def test_a_type_is_widened_by_rule(warehouse: Warehouse) -> None:
    narrow = Table("t", (Column("a", "integer"), Column("b", "integer"), Column("c", "json")))
    wide = Table("t", (Column("a", "bigint"), Column("b", "double"), Column("c", "text")))
    warehouse.replace(narrow, [[{"a": 1, "b": 2, "c": "3"}]], scope={"a": 1})
    warehouse.replace(wide, [[{"a": 2**40, "b": 0.5, "c": "x"}]], scope={"a": 2**40})
    assert warehouse.read(wide, order_by="a").to_pylist() == [
        {"a": 1, "b": 2.0, "c": "3"},
        {"a": 2**40, "b": 0.5, "c": "x"},
    ]
    assert [c.type for c in warehouse.describe(wide) or ()] == ["bigint", "double", "text"]


def test_a_stored_type_wider_than_declared_is_kept(warehouse: Warehouse) -> None:
    wide, narrow = (Table("t", (Column("a", kind),)) for kind in ("bigint", "integer"))
    warehouse.replace(wide, [[{"a": 5}]])
    warehouse.replace(narrow, [[{"a": 6}]])
    assert [c.type for c in warehouse.describe(wide) or ()] == ["bigint"]
    assert warehouse.read(narrow).column("a").to_pylist() == [6]


def test_any_other_change_of_type_is_refused_and_the_old_rows_stand(warehouse: Warehouse) -> None:
    warehouse.replace(LOGS, [log_rows(2)], window=DAY, scope=PROJECT)
    changed = grown(Column("extra", "text"), level="bigint")
    rows = [{**row, "level": 1} for row in log_rows(1)]
    with pytest.raises(SchemaConflict, match=r"posthog\.workflow_logs: column level is text"):
        warehouse.replace(changed, [rows], window=DAY, scope=PROJECT)
    assert messages(warehouse) == ["line 0", "line 1"]
    assert "extra" not in [c.name for c in warehouse.describe(LOGS) or ()]


def test_a_whole_table_that_is_replaced_may_change_its_types(warehouse: Warehouse) -> None:
    was = Table("t", (Column("a", "text"), Column("b", "bigint"), Column("c", "timestamptz")))
    now = Table("t", (Column("a", "bigint"), Column("b", "double"), Column("c", "json")))
    warehouse.replace(was, [[{"a": "x", "b": 1, "c": at()}]])
    with pytest.raises(InvalidRows):
        warehouse.replace(now, [[{"a": 1, "b": 0.5, "c": "{no json"}]])
    assert [c.type for c in warehouse.describe(was) or ()] == ["text", "bigint", "timestamptz"]
    assert warehouse.read(was).to_pylist() == [{"a": "x", "b": 1, "c": at()}]
    with pytest.raises(SchemaConflict):
        warehouse.replace(now, [[{"a": 1}]], scope={"a": 1})
    assert warehouse.replace(now, [[{"a": 1, "b": 0.5, "c": "{}"}]]).deleted == 1
    assert warehouse.read(now).to_pylist() == [{"a": 1, "b": 0.5, "c": "{}"}]


def test_a_failed_load_undoes_its_change_of_the_schema(warehouse: Warehouse) -> None:
    warehouse.replace(METRICS, [[metric(0, 1)]])
    table = Table(
        METRICS.name, (*METRICS.columns, Column("extra", "text")), key=METRICS.key,
        time_column="hour",
    )  # fmt: skip
    with pytest.raises(InvalidRows):
        warehouse.replace(table, [[metric(1, 1), metric(1, 1)]])
    assert "extra" not in [c.name for c in warehouse.describe(METRICS) or ()]
    assert warehouse.count(METRICS) == 1


def test_comments_describe_the_table_and_follow_the_declaration(warehouse: Warehouse) -> None:
    warehouse.replace(LOGS, [])
    assert warehouse.describe(LOGS) == [
        Column(c.name, c.type, c.description, nullable=True) for c in LOGS.columns
    ]
    better = Table(
        LOGS.name,
        tuple(Column(c.name, c.type, f"better {c.name}") for c in LOGS.columns),
        "A better table comment",
    )
    warehouse.replace(better, [])
    described = warehouse.describe(better) or []
    assert [c.description for c in described] == [f"better {c.name}" for c in LOGS.columns]


def test_a_view_in_the_place_of_the_table_is_refused(
    warehouse: Warehouse, run_sql: Callable[[str], None]
) -> None:
    warehouse.replace(METRICS, [])
    run_sql("CREATE VIEW posthog.workflow_logs AS SELECT 1 AS project_id")
    with pytest.raises(SchemaConflict, match="view"):
        warehouse.replace(LOGS, [log_rows(1)], window=DAY, scope=PROJECT)


# -- reading


def test_reading_takes_columns_windows_order_and_limit(warehouse: Warehouse) -> None:
    warehouse.replace(LOGS, [log_rows(5), log_rows(5, NEXT_DAY)])
    rows = warehouse.read(
        LOGS, columns=["message", "timestamp"], window=DAY, order_by="-timestamp", limit=2
    )
    assert rows.column_names == ["message", "timestamp"]
    assert rows.column("message").to_pylist() == ["line 4", "line 3"]
    assert warehouse.read(LOGS, limit=0).num_rows == 0
    nonsense: dict[str, Any]
    for nonsense in ({"columns": ["nope"]}, {"order_by": "nope"}, {"limit": -1}):
        with pytest.raises(ValueError):
            warehouse.read(LOGS, **nonsense)
    with pytest.raises(ValueError, match="scope names unknown"):
        warehouse.count(LOGS, scope={"nope": 1})


def test_rows_are_read_in_batches_and_an_abandoned_read_frees_the_table(
    warehouse: Warehouse,
) -> None:
    warehouse.replace(LOGS, [log_rows(10)], window=DAY, scope=PROJECT)
    batches = warehouse.read_batches(LOGS)
    assert next(batches).num_rows > 0
    batches.close()  # type: ignore[attr-defined]
    assert warehouse.replace(LOGS, [], window=DAY, scope=PROJECT).deleted == 10


def test_a_table_can_be_loaded_from_a_read_of_the_same_warehouse(warehouse: Warehouse) -> None:
    warehouse.replace(LOGS, [log_rows(10)], window=DAY, scope=PROJECT)
    copy = Table("copy", LOGS.columns)
    assert warehouse.replace(copy, warehouse.read_batches(LOGS)).rows == 10


def test_days_are_counted_in_one_call(warehouse: Warehouse) -> None:
    days = [Window.day(date(2026, 3, day)) for day in (1, 2, 3)]
    assert warehouse.count_by_day(LOGS, days) == dict.fromkeys(days, 0)
    warehouse.replace(LOGS, [log_rows(5), log_rows(2, NEXT_DAY), log_rows(1, project_id=8)])
    assert warehouse.count_by_day(LOGS, days, scope=PROJECT) == dict(
        zip(days, [5, 2, 0], strict=True)
    )
    assert warehouse.count_by_day(LOGS, []) == {}


def test_the_hours_of_a_year_are_counted(warehouse: Warehouse) -> None:
    warehouse.replace(LOGS, [log_rows(5), log_rows(2, NEXT_DAY), log_rows(1, project_id=8)])
    hours = [
        Window(start, start + timedelta(hours=1))
        for start in (DAY.start + timedelta(hours=number - 4_000) for number in range(8_760))
    ]
    counted = warehouse.count_by_day(LOGS, hours, scope=PROJECT)
    assert sum(counted.values()) == 7
    assert sum(counted[hour] for hour in hours if DAY.start <= hour.start < DAY.end) == 5


def test_no_statement_that_counts_is_longer_than_an_engine_takes(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.replace(LOGS, [log_rows(5)])
    asked: list[int] = []
    counting = Statements.count_between

    def count(self: Statements, ends: Any, scope: Any) -> Any:
        asked.append(len(counting(Statements(Dialect("clickhouse"), LOGS), ends, scope).sql))
        return counting(self, ends, scope)

    monkeypatch.setattr(Statements, "count_between", count)
    minutes = [DAY.start + timedelta(minutes=number) for number in range(1_440)]
    windows = [Window(start, start + timedelta(minutes=1)) for start in minutes]
    counted = warehouse.count_by_day(LOGS, [DAY, *reversed(windows)], scope=PROJECT)
    assert list(counted) == [DAY, *reversed(windows)]
    assert sum(counted.values()) == 10
    assert max(asked) < 100_000


@pytest.mark.parametrize("dialect", [Dialect("duckdb", binds=True), Dialect("bigquery")])
def test_a_count_of_the_hours_of_a_year_is_written_without_delay(dialect: Dialect) -> None:
    ends = [DAY.start + timedelta(hours=number) for number in range(8_760)]
    statements = Statements(dialect, LOGS)
    statements.count_between(ends[:3], PROJECT)  # loads sqlglot
    began = time.process_time()
    counting = statements.count_between(ends, PROJECT)
    assert time.process_time() - began < 4
    assert counting.sql.count("CASE") == len(ends) - 2
    if dialect.binds:
        assert sorted(counting.values[:-3]) == ends[1:-1]
        assert counting.values[-3:] == [ends[0], ends[-1], 7]


def test_queries_only_read(warehouse: Warehouse) -> None:
    warehouse.replace(LOGS, [log_rows(3)])
    answer = warehouse.query("SELECT count(*) AS n, max(timestamp) AS t FROM posthog.workflow_logs")
    assert answer.to_pylist() == [{"n": 3, "t": at(2)}]
    for sql in ("DELETE FROM posthog.workflow_logs", "SELECT nope", "CREATE TABLE x (a int)"):
        with pytest.raises(InvalidQuery):
            warehouse.query(sql)
    assert warehouse.count(LOGS) == 3


def test_a_window_needs_a_time_column_and_two_aware_ends() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Window(datetime(2026, 1, 1), datetime(2026, 1, 2))  # noqa: DTZ001
    with pytest.raises(ValueError, match="empty"):
        Window(DAY.end, DAY.start)
    assert Window.hour(at(5400)) == Window(at(3600), at(7200))


@pytest.mark.parametrize(
    "wrong",
    [
        {"columns": ()},
        {"columns": (Column("a", "text"), Column("A", "text"))},
        {"columns": (Column("a", "varchar"),)},
        {"columns": (Column("a", "text"),), "key": ("b",)},
        {"columns": (Column("a", "text"),), "time_column": "a"},
        {"columns": (Column("", "text"),)},
        {"columns": (Column("a", "text"),), "schema": ""},
    ],
)
def test_a_declaration_that_cannot_be_a_table_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Table("t", **wrong)
