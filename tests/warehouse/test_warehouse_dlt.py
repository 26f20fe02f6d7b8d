"""What is dlt's own: killed loads, processes that take turns, refused merges, and its limits.

That it keeps the promises of every warehouse is in `test_warehouse_promises.py`.
"""

import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import psycopg
import pytest
from warehouse_processes import context, write_days, write_for_ever
from warehouse_tables import DAY, LOGS, METRICS, PROJECT, at, log_rows

from hog_dagster.warehouse import Dlt, Warehouse, Window
from hog_dagster.warehouse.errors import (
    InvalidQuery,
    InvalidRows,
    WarehouseBusy,
    WarehouseUnavailable,
    WarehouseUnreadable,
)


def messages(warehouse: Warehouse, **only: Any) -> list[str]:
    rows = warehouse.read(LOGS, columns=["message"], order_by=["timestamp", "message"], **only)
    return rows.column("message").to_pylist()


def test_values_that_dlt_would_cut_a_statement_at_are_refused(tmp_path: Path) -> None:
    house = Dlt("duckdb", credentials=str(tmp_path / "x.duckdb"), work_dir=tmp_path)
    for value in ("'); DROP TABLE posthog.workflow_logs; --", "line\nbreak", "back\\slash"):
        with pytest.raises(ValueError, match="semicolon"):
            house.replace(LOGS, [], scope={"level": value})
    assert house.describe(LOGS) is None


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


def test_queries_only_read(tmp_path: Path) -> None:
    house = Dlt("duckdb", credentials=str(tmp_path / "x.duckdb"), work_dir=tmp_path)
    house.replace(LOGS, [log_rows(2)])
    answer = house.query(
        "SELECT count(*) AS n FROM posthog.workflow_logs WHERE level = %s", ["LOG"]
    )
    assert answer.to_pylist() == [{"n": 2}]
    for sql in ("DELETE FROM posthog.workflow_logs", "SELECT nope"):
        with pytest.raises(InvalidQuery):
            house.query(sql)


def test_delta_tables_are_queried_by_schema_and_name(tmp_path: Path) -> None:
    lake = Dlt("filesystem", bucket_url=tmp_path.as_uri(), table_format="delta")
    metric = {"project_id": 7, "workflow_id": "w", "hour": at(), "name": "sent", "value": 1}
    for value in (1, 2):  # files of merges hold other types of text than those of first loads
        scope = {"workflow_id": ["w", "v"], **PROJECT}
        lake.replace(METRICS, [[{**metric, "value": value}]], window=DAY, scope=scope)
    assert lake.count(METRICS, scope={"workflow_id": "w"}) == 1
    for named in ("posthog.workflow_metrics", '"posthog"."workflow_metrics" t'):
        sql = f'SELECT "workflow_id", sum(value) AS n FROM {named} GROUP BY 1'
        assert lake.query(sql).to_pylist() == [{"workflow_id": "w", "n": 2}]
    for sql in ("DELETE FROM posthog.workflow_metrics", "SELECT 1 FROM posthog.nothing"):
        with pytest.raises(InvalidQuery):
            lake.query(sql)
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
