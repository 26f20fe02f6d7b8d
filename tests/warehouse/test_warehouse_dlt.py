"""The same promises through dlt, on DuckDB, PostgreSQL and Delta Lake; and where dlt's limits are.

A dlt run takes about a second, so each test here covers what several do for the other adapters.
"""

import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from warehouse_processes import context, write_days, write_for_ever
from warehouse_tables import DAY, LOGS, METRICS, NEXT_DAY, PROJECT, at, log_rows

from hog_dagster.warehouse import Column, Dlt, Table, Warehouse, Window
from hog_dagster.warehouse.errors import (
    InvalidQuery,
    InvalidRows,
    SchemaConflict,
    TableMissing,
    WarehouseBusy,
    WarehouseUnavailable,
    WarehouseUnreadable,
)

OTHER = {"project_id": 8}


def messages(warehouse: Warehouse, **only: Any) -> list[str]:
    rows = warehouse.read(LOGS, columns=["message"], order_by=["timestamp", "message"], **only)
    return rows.column("message").to_pylist()


def test_a_load_replaces_its_window_and_scope_and_nothing_else(dlt_warehouse: Warehouse) -> None:
    house = dlt_warehouse
    assert house.describe(LOGS) is None
    assert house.count(LOGS) == 0
    with pytest.raises(TableMissing, match="Materialize"):
        house.read(LOGS)
    assert house.replace(LOGS, [], window=DAY, scope=PROJECT).rows == 0
    assert house.read(LOGS).schema == LOGS.arrow_schema
    rows = [log_rows(3), log_rows(2, NEXT_DAY), log_rows(2, project_id=8, text="other")]
    last = {**log_rows(1)[0], "timestamp": DAY.end - timedelta(microseconds=1), "message": "last"}
    assert house.replace(LOGS, [*rows, [last]]).rows == 8

    done = house.replace(LOGS, [log_rows(1, text="new")], window=DAY, scope=PROJECT)
    assert (done.rows, done.deleted) == (1, 4)
    assert messages(house) == ["new 0", "other 0", "other 1", "line 0", "line 1"]
    assert house.count(LOGS, window=DAY, scope=OTHER) == 2
    days = [Window.day(date(2026, 3, day)) for day in (1, 2, 3)]
    assert list(house.count_by_day(LOGS, days).values()) == [3, 2, 0]
    newest = house.read(LOGS, columns=["timestamp"], order_by="-timestamp", limit=1)
    assert newest.to_pylist() == [{"timestamp": at(1, NEXT_DAY)}]

    assert house.replace(LOGS, [], window=DAY, scope={"project_id": [7, 8]}).deleted == 3
    assert messages(house) == ["line 0", "line 1"]
    assert "password" not in house.location


def test_values_come_back_as_they_went_in(dlt_warehouse: Warehouse) -> None:
    texts = ["", "tab\t, \\N 'single' \"double\" ; -- é 😀", "line\nbreak", None]
    shapes: list[Any] = [{"a": [1, None]}, '"text"', None, [True]]
    rows = [
        {"timestamp": at(i), "message": text, "_raw": shape}
        for i, (text, shape) in enumerate(zip(texts, shapes, strict=True))
    ]
    dlt_warehouse.replace(LOGS, [rows], window=DAY, scope=PROJECT)
    back = dlt_warehouse.read(LOGS, order_by="timestamp").to_pylist()
    assert [row["message"] for row in back] == texts
    assert [row["timestamp"] for row in back] == [at(i) for i in range(4)]
    raw = [row["_raw"] and row["_raw"].replace(" ", "") for row in back]
    assert raw == ['{"a":[1,null]}', '"text"', None, "[true]"]
    assert {row["level"] for row in back} == {None}


def breaks() -> Iterator[Any]:
    yield log_rows(1, text="new")
    raise ConnectionResetError("the source broke")


def test_what_cannot_land_leaves_the_old_rows(dlt_warehouse: Warehouse) -> None:
    house = dlt_warehouse
    house.replace(LOGS, [log_rows(2)], window=DAY, scope=PROJECT)
    with pytest.raises(ConnectionResetError):
        house.replace(LOGS, breaks(), window=DAY, scope=PROJECT)
    for wrong in ({"_raw": "{no json"}, {"timestamp": DAY.end}, {"surprise": 1}, OTHER):
        with pytest.raises(InvalidRows):
            house.replace(LOGS, [[{**log_rows(1)[0], **wrong}]], window=DAY, scope=PROJECT)
    twice = [{"workflow_id": "w", "hour": at(), "name": "sent", "value": n} for n in (1, 2)]
    with pytest.raises(InvalidRows, match="1 keys"):
        house.replace(METRICS, [twice], window=DAY, scope=PROJECT)
    with pytest.raises(ValueError, match="semicolon"):
        house.replace(LOGS, [], scope={"level": "'); DROP TABLE posthog.workflow_logs; --"})
    changed = Table(LOGS.name, (LOGS.columns[0], Column("level", "bigint")))
    with pytest.raises(SchemaConflict, match="column level is text"):
        house.replace(changed, [])
    assert messages(house) == ["line 0", "line 1"]


def test_declared_columns_are_added(dlt_warehouse: Warehouse) -> None:
    dlt_warehouse.replace(LOGS, [log_rows(1)], window=DAY, scope=PROJECT)
    grown = Table(LOGS.name, (*LOGS.columns, Column("run_id", "text")), time_column="timestamp")
    assert dlt_warehouse.read(grown).column("run_id").to_pylist() == [None]
    rows = log_rows(1, NEXT_DAY, run_id="r")
    dlt_warehouse.replace(grown, [rows], window=NEXT_DAY, scope=PROJECT)
    back = dlt_warehouse.read(grown, order_by="timestamp").column("run_id").to_pylist()
    assert back == [None, "r"]
    described = dlt_warehouse.describe(grown) or []
    assert ("run_id", "text") in [(column.name, column.type) for column in described]


def test_upsert_replaces_by_key_and_forgets_the_window_of_the_load_before(
    dlt_warehouse: Warehouse,
) -> None:
    def metric(hour: int, value: int) -> dict[str, Any]:
        return {"workflow_id": "w", "hour": at(hour * 3600), "name": "sent", "value": value}

    house = dlt_warehouse
    house.replace(METRICS, [[metric(0, 1), metric(1, 1)]], window=DAY, scope=PROJECT)
    done = house.upsert(METRICS, [[metric(1, 2), metric(2, 5)], [metric(1, 3)]], scope=PROJECT)
    assert (done.rows, done.deleted) == (2, 1)
    values = house.read(METRICS, order_by="hour").column("value").to_pylist()
    assert values == [1, 3, 5]
    with pytest.raises(ValueError, match="no key"):
        house.upsert(LOGS, [])


def test_a_killed_load_leaves_the_old_rows_or_the_new_ones(
    dlt_warehouse: Warehouse, tmp_path: Path
) -> None:
    kill_in_mid_load(dlt_warehouse, tmp_path, kills=2, seconds=1.5)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_many_killed_loads_leave_the_old_rows_or_the_new_ones(
    dlt_warehouse: Warehouse, tmp_path: Path
) -> None:
    kill_in_mid_load(dlt_warehouse, tmp_path, kills=40, seconds=2.5)


def kill_in_mid_load(house: Warehouse, tmp_path: Path, kills: int, seconds: float) -> None:
    """Kill a loading process again and again; after each, the day is one whole load."""
    dice = random.Random(11)
    forks = context()
    day = Window.day(DAY.start.date())
    house.replace(LOGS, [], window=day, scope=PROJECT)
    load = 0
    for _ in range(kills):
        ear, mouth = forks.Pipe(duplex=False)
        child = forks.Process(
            target=write_for_ever, args=(*place_of(house, tmp_path), 1, load, mouth), daemon=True
        )
        child.start()
        mouth.close()
        ear.recv()
        ear.poll(dice.uniform(0, seconds))
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        ear.close()
        levels = house.read(LOGS, columns=["level"], window=day).column("level")
        assert (len(levels), len(levels.unique())) in ((0, 0), (2_000, 1))
        load += 100


def place_of(house: Warehouse, tmp_path: Path) -> tuple[str, str]:
    """Kind and address of a dlt warehouse, for another process to open."""
    assert isinstance(house, Dlt)
    if house.kind == "postgres":
        return "dlt-postgres", str(house._destination.config_params["credentials"])
    return ("dlt-delta" if house.table_format else "dlt-duckdb"), str(tmp_path)


def test_processes_of_one_machine_take_turns(dlt_warehouse: Warehouse, tmp_path: Path) -> None:
    forks = context()
    place = place_of(dlt_warehouse, tmp_path)
    children = [
        forks.Process(target=write_days, args=(*place, f"writer {n}", [n]), daemon=True)
        for n in range(2)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout=100)
        assert child.exitcode == 0
    levels = dlt_warehouse.read(LOGS, columns=["level"]).column("level")
    assert len(levels) == 2 * 2_000
    assert set(levels.unique().to_pylist()) == {"writer 0 last", "writer 1 last"}


def test_a_merge_the_destination_refuses_is_rolled_back(postgres_url: str, tmp_path: Path) -> None:
    url = postgres_url.replace(":@/", ":@localhost/")
    house = Dlt("postgres", credentials=url, work_dir=tmp_path)
    house.replace(LOGS, [log_rows(2)], window=DAY, scope=PROJECT)
    with psycopg.connect(postgres_url) as con:
        con.execute("ALTER TABLE posthog.workflow_logs ADD CHECK (message <> 'boom')")
    with pytest.raises(InvalidRows, match="workflow_logs in postgres: the destination refuses"):
        house.replace(LOGS, [log_rows(3, message="boom")], window=DAY, scope=PROJECT)
    assert messages(house) == ["line 0", "line 1"]
    assert house.replace(LOGS, [log_rows(1)], window=DAY, scope=PROJECT).deleted == 2


def test_queries_only_read_and_files_have_none(tmp_path: Path) -> None:
    house = Dlt("duckdb", credentials=str(tmp_path / "x.duckdb"), work_dir=tmp_path)
    house.replace(LOGS, [log_rows(2)])
    answer = house.query(
        "SELECT count(*) AS n FROM posthog.workflow_logs WHERE level = %s", ["LOG"]
    )
    assert answer.to_pylist() == [{"n": 2}]
    for sql in ("DELETE FROM posthog.workflow_logs", "SELECT nope"):
        with pytest.raises(InvalidQuery):
            house.query(sql)
    lake = Dlt("filesystem", bucket_url=tmp_path.as_uri(), table_format="delta")
    with pytest.raises(InvalidQuery):
        lake.query("SELECT 1")
    with pytest.raises(ValueError, match="table_format"):
        Dlt("filesystem", bucket_url=tmp_path.as_uri())


def test_a_destination_that_is_not_there_or_not_configured_is_named(tmp_path: Path) -> None:
    url = "postgresql://me:geheim@127.0.0.1:1/db"
    absent = Dlt("postgres", credentials=url, work_dir=tmp_path)
    with pytest.raises(WarehouseUnavailable) as error:
        absent.count(LOGS)
    assert "geheim" not in str(error.value) + absent.location + repr(absent)
    with pytest.raises(WarehouseUnreadable, match="not configured"):
        Dlt("postgres", work_dir=tmp_path).replace(LOGS, [])


def test_a_load_that_waits_in_vain_says_so(tmp_path: Path) -> None:
    house = Dlt("duckdb", credentials=str(tmp_path / "x.duckdb"), work_dir=tmp_path)
    hasty = Dlt(
        "duckdb", credentials=str(tmp_path / "x.duckdb"), work_dir=tmp_path, lock_timeout=0.2
    )
    with house._loading(LOGS, None, {}), pytest.raises(WarehouseBusy, match="process"):
        hasty.replace(LOGS, [])


def test_without_dlt_the_extra_is_named() -> None:
    code = """
        import sys
        sys.modules["dlt"] = None
        try:
            from hog_dagster.warehouse import Dlt
        except ModuleNotFoundError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert "pip install 'hog-dagster[dlt]'" in done.stdout
