"""The promises of a warehouse and the failures it must not have, one test each, on every adapter.

One story is told to each adapter (two databases of ours, three destinations of dlt, where a load
takes about a second); each test looks at its part of it. The numbers are those of the failures of
Dagster's own manager for DuckDB and pandas, which `test_io_manager.py` goes through as well.
"""

import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from warehouse_processes import open_warehouse
from warehouse_tables import DAY, NEXT_DAY, at

from hog_dagster.warehouse import Column, Table, Warehouse, Window
from hog_dagster.warehouse.errors import InvalidRows, SchemaConflict, TableMissing

COLUMNS = (
    Column("project_id", "bigint", nullable=False),
    Column("select", "text", "A name that SQL keeps for itself"),
    Column("message", "text"),
    Column("value", "double"),
    Column("raw", "json"),
    Column("at", "timestamptz", nullable=False),
)
LINES = Table("lines", COLUMNS, time_column="at")
GROWN = Table("lines", (*COLUMNS[:3], *COLUMNS[4:], Column("run_id", "text")), time_column="at")
TOTALS = Table(
    "totals",
    (Column("id", "text"), Column("n", "integer"), Column("on", "date")),
    key=("id",),
)
PROJECT = {"project_id": 7}
NASTY = 'it\'s "so" {table} %s -- \t'
SHAPES: list[Any] = [{"$browser": "x"}, {"other": [1, None]}, None, '"text"', [True]]
TEXTS = ["", "line\nbreak", None, "tab\t, \\N 'single' \"double\" ; -- é 😀", "NULL"]
KOLKATA = timezone(timedelta(hours=5, minutes=30))
LOCAL_DAY = Window(datetime(2026, 3, 5, tzinfo=KOLKATA), datetime(2026, 3, 6, tzinfo=KOLKATA))

Told = dict[str, Any]


def line(moment: datetime, **more: Any) -> dict[str, Any]:
    return {"project_id": 7, "at": moment, "message": "line", **more}


def held(house: Warehouse, table: Table = LINES, **only: Any) -> list[dict[str, Any]]:
    rows = house.read(table, order_by=["at", "message"], **only).to_pylist()
    return [{**row, "raw": row["raw"] and row["raw"].replace(" ", "")} for row in rows]


def the_story(house: Warehouse) -> Told:
    """Loads, failures and reads in turn, and what was seen after each."""
    told: Told = {"before": (house.describe(LINES), house.count(LINES))}
    with pytest.raises(TableMissing) as missing:
        house.read(LINES)
    told["missing"] = str(missing.value)

    told["empty"] = house.replace(LINES, [], window=DAY, scope=PROJECT)
    told["empty table"] = house.read(LINES)

    # A day whose column is null throughout, and whose JSON has no fixed shape.
    rows = [
        line(at(i), select=None, raw=shape, message=text)
        for i, (shape, text) in enumerate(zip(SHAPES, TEXTS, strict=True))
    ]
    house.replace(LINES, [rows], window=DAY, scope=PROJECT)
    told["day"] = held(house, window=DAY)

    # The next day: text where nulls were, the columns in another order, and another project's row.
    moments = pa.array([at(0, NEXT_DAY), NEXT_DAY.end - timedelta(microseconds=1)])
    swapped = pa.table(
        {
            "at": moments.cast(pa.timestamp("ns", "Asia/Kolkata")),
            "message": ["the message", ""],
            "select": ["the word", NASTY],
            "project_id": pa.array([7, 7], pa.int32()),
        }
    )
    foreign = [line(at(1, NEXT_DAY), project_id=8, message="foreign")]
    told["both projects"] = house.replace(LINES, [swapped, foreign], window=NEXT_DAY)
    told["next day"] = held(house, window=NEXT_DAY, scope=PROJECT)
    told["by nasty word"] = house.count(LINES, scope={"select": NASTY})
    told["newest"] = house.read(LINES, columns=["at"], order_by="-at", limit=1).to_pylist()

    told["failures"] = the_failures(house)
    told["after failures"] = held(house)

    # A day of another time zone, twice; both loads at once, and with a column more and one less.
    late = [line(datetime(2026, 3, 5, 18, 29, tzinfo=UTC), run_id="r")]
    with ThreadPoolExecutor(2) as pool:
        load = lambda _: house.replace(GROWN, [late], window=LOCAL_DAY, scope=PROJECT)  # noqa: E731
        told["local day"] = list(pool.map(load, range(2)))
    told["grown"] = held(house, GROWN, window=LOCAL_DAY)
    told["old rows, grown"] = held(house, GROWN, window=DAY)
    told["columns"] = [column.name for column in house.describe(GROWN) or ()]

    days = [Window.day(date(2026, 3, day)) for day in (1, 2, 5, 6)]
    told["counts"] = list(house.count_by_day(LINES, days, scope=PROJECT).values())
    told["emptied"] = house.replace(LINES, [], window=NEXT_DAY, scope={"project_id": [7, 9]})
    told["after emptying"] = [row["message"] for row in held(house, window=NEXT_DAY)]

    first, second, third = ({"id": key, "n": 2**31 - 1, "on": date(2026, 3, 1)} for key in "abc")
    house.replace(TOTALS, [[first, second]])
    with pytest.raises(InvalidRows) as doubled:
        house.replace(TOTALS, [[third], [third]])
    told["doubled"] = str(doubled.value)
    told["upsert"] = house.upsert(TOTALS, [[{**second, "n": 5}, third], [{**second, "n": 6}]])
    told["after upsert"] = house.read(TOTALS, order_by="id").to_pylist()
    told["location"] = house.location
    told["table name"] = house.table_name(LINES)
    return told


def the_failures(house: Warehouse) -> dict[str, BaseException]:
    """Loads of the first day that cannot succeed."""

    def breaks() -> Iterator[Any]:
        yield [line(at(), message="new")]
        raise ConnectionResetError("the source broke")

    def with_one(**wrong: Any) -> list[Any]:
        return [[line(at(), message="new"), {**line(at(1)), **wrong}]]

    changed = Table(
        "lines", (*COLUMNS[:2], Column("message", "bigint"), *COLUMNS[3:]), "", (), "at"
    )
    loads: dict[str, tuple[Table, Any]] = {
        "the source breaks": (LINES, breaks()),
        "a value of another type": (LINES, with_one(value="x")),
        "text that is no JSON": (LINES, with_one(raw="{no json")),
        "a moment outside the window": (LINES, with_one(at=DAY.end)),
        "a moment without a zone": (LINES, with_one(at=datetime(2026, 3, 1))),  # noqa: DTZ001
        "a row outside the scope": (LINES, with_one(project_id=8)),
        "a column nobody declared": (LINES, with_one(surprise=1)),
        "a null where none may be": (LINES, with_one(at=None)),
        "a column of another type": (changed, [[{**line(at()), "message": 1}]]),
    }
    failures: dict[str, BaseException] = {}
    for name, (table, batches) in loads.items():
        with pytest.raises((InvalidRows, SchemaConflict, ConnectionResetError)) as raised:
            house.replace(table, batches, window=DAY, scope=PROJECT)
        failures[name] = raised.value
    return failures


@pytest.fixture(
    scope="module", params=["duckdb", "postgres", "dlt-duckdb", "dlt-postgres", "dlt-delta"]
)
def told(request: pytest.FixtureRequest) -> Iterator[Told]:
    """The story as one adapter lived it."""
    with tempfile.TemporaryDirectory() as folder:
        if not request.param.endswith("postgres"):
            with open_warehouse(request.param, folder) as house:
                yield the_story(house)
            return
        server, name = request.getfixturevalue("postgres_server"), f"test_{uuid.uuid4().hex[:12]}"
        base, _, query = server.partition("?")
        with psycopg.connect(server, autocommit=True) as con:
            con.execute(f'CREATE DATABASE "{name}"'.encode())
        with open_warehouse(request.param, f"{base.rsplit('/', 1)[0]}/{name}?{query}") as house:
            yield the_story(house)


def test_1_a_load_that_fails_leaves_the_old_rows(told: Told) -> None:
    kinds = {name: type(error).__name__ for name, error in told["failures"].items()}
    assert kinds.pop("the source breaks") == "ConnectionResetError"
    assert kinds.pop("a column of another type") == "SchemaConflict"
    assert set(kinds.values()) == {"InvalidRows"}
    messages = [row["message"] for row in told["after failures"]]
    assert messages == [*TEXTS, "the message", "foreign", ""]


def test_2_columns_are_matched_by_name_and_not_by_place(told: Told) -> None:
    row = told["next day"][0]
    assert (row["select"], row["message"], row["value"]) == ("the word", "the message", None)


def test_3_a_new_column_is_added_and_a_missing_one_is_null(told: Told) -> None:
    (row,) = told["grown"]
    assert row["run_id"] == "r"
    assert {row["run_id"] for row in told["old rows, grown"]} == {None}
    assert len(told["old rows, grown"]) == 5
    assert set(told["columns"]) >= {*LINES.column_names, "run_id"}


def test_4_a_column_of_nulls_keeps_its_declared_type(told: Told) -> None:
    assert [row["select"] for row in told["day"]] == [None] * 5
    assert [row["select"] for row in told["next day"]] == ["the word", NASTY]


def test_5_dicts_are_json_of_any_shape_row_by_row(told: Told) -> None:
    texts = [row["raw"] for row in told["day"]]
    assert texts == ['{"$browser":"x"}', '{"other":[1,null]}', None, '"text"', "[true]"]


def test_every_text_comes_back_as_it_went_in(told: Told) -> None:
    assert [row["message"] for row in told["day"]] == TEXTS
    assert [row["at"] for row in told["day"]] == [at(i) for i in range(5)]
    assert told["newest"] == [{"at": NEXT_DAY.end - timedelta(microseconds=1)}]


def test_6_a_result_without_rows_makes_the_table_and_empties_its_window(told: Told) -> None:
    assert told["before"] == (None, 0)
    assert "Materialize" in told["missing"]
    assert (told["empty"].rows, told["empty"].deleted) == (0, 0)
    assert told["empty table"].schema == LINES.arrow_schema
    assert told["emptied"].deleted == 2
    assert told["after emptying"] == ["foreign"]


def test_7_windows_are_half_open_and_compared_as_moments_of_any_zone(told: Told) -> None:
    assert told["both projects"].rows == 3  # the last microsecond of the day is in it
    assert [row["at"] for row in told["grown"]] == [datetime(2026, 3, 5, 18, 29, tzinfo=UTC)]
    assert told["counts"] == [5, 2, 1, 0]


def test_8_9_loads_at_the_same_time_take_turns_and_leave_nothing_held(told: Told) -> None:
    one, other = told["local day"]
    assert (one.rows, other.rows) == (1, 1)
    assert sorted([one.deleted, other.deleted]) == [0, 1]
    assert len(told["grown"]) == 1


def test_10_each_partition_has_its_own_count(told: Told) -> None:
    assert told["counts"] == [5, 2, 1, 0]


def test_11_names_are_quoted_and_values_bound(told: Told) -> None:
    assert told["by nasty word"] == 1
    assert [row["select"] for row in told["next day"]][1] == NASTY


def test_12_tables_and_places_are_named_without_paths_and_secrets(told: Told) -> None:
    assert told["table name"] == "posthog.lines"
    assert "password" not in told["location"]


def test_13_rows_are_added_by_key_too_and_the_last_of_a_key_stands(told: Told) -> None:
    assert "more than one row" in told["doubled"]
    assert (told["upsert"].rows, told["upsert"].deleted) == (2, 1)
    values = [(row["id"], row["n"], row["on"]) for row in told["after upsert"]]
    day = date(2026, 3, 1)
    assert values == [("a", 2**31 - 1, day), ("b", 6, day), ("c", 2**31 - 1, day)]


def test_errors_hold_no_value_of_a_row(tmp_path: Path) -> None:
    secret = "ada@example.com"
    for kind in ("duckdb", "dlt-delta"):
        with open_warehouse(kind, str(tmp_path)) as house:
            for wrong in ({"raw": secret}, {"value": secret}, {"at": secret}):
                with pytest.raises(InvalidRows) as raised:
                    house.replace(LINES, [[{**line(at()), **wrong}]], window=DAY)
                assert secret not in str(raised.value)
