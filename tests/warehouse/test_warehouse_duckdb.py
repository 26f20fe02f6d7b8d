"""What only a DuckDB file can do to us: not be one, be held by others, be read-only, grow."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from warehouse_tables import DAY, LOGS, NEXT_DAY, PROJECT, log_rows

from hog_dagster.warehouse import Column, DuckDB, Table
from hog_dagster.warehouse.errors import InvalidRows, WarehouseBusy, WarehouseUnreadable


@pytest.fixture
def house(tmp_path: Path) -> DuckDB:
    return DuckDB(tmp_path / "deep" / "er" / "house.duckdb", lock_timeout=0.3, read_timeout=0.3)


def other_process(code: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_file_and_its_folders_are_made_at_the_first_load_and_not_by_looking(
    house: DuckDB,
) -> None:
    assert house.count(LOGS) == 0
    assert house.describe(LOGS) is None
    assert not house.path.parent.exists()
    house.replace(LOGS, [log_rows(1)], window=DAY, scope=PROJECT)
    assert house.path.is_file()
    assert house.location == str(house.path)


def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.duckdb"
    path.write_text("my notes " * 1000)
    house = DuckDB(path)
    for use in (lambda: house.replace(LOGS, []), lambda: house.read(LOGS)):
        with pytest.raises(WarehouseUnreadable, match=r"notes\.duckdb exists but is not a DuckDB"):
            use()
    assert path.read_text() == "my notes " * 1000


@pytest.mark.parametrize("path", ["", ":memory:", "md:cloud"])
def test_what_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a file"):
        DuckDB(path)


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WarehouseUnreadable, match="cannot open"):
        DuckDB(tmp_path).replace(LOGS, [])
    (tmp_path / "plain").write_text("")
    with pytest.raises(WarehouseUnreadable, match="cannot make the folder"):
        DuckDB(tmp_path / "plain" / "x.duckdb").replace(LOGS, [])


def test_a_failed_load_leaves_no_connection_behind(house: DuckDB) -> None:
    house.replace(LOGS, [log_rows(3)], window=DAY, scope=PROJECT)
    with pytest.raises(InvalidRows):
        house.replace(LOGS, [log_rows(1, _raw="{broken")], window=DAY, scope=PROJECT)
    code = """
        import duckdb, sys
        con = duckdb.connect(sys.argv[1])
        print(con.execute("SELECT count(*) FROM posthog.workflow_logs").fetchone()[0])
    """
    answer, _ = other_process(code, str(house.path)).communicate(timeout=60)
    assert answer.strip() == "3"


def test_a_file_held_by_some_other_program_is_waited_for_and_then_named(house: DuckDB) -> None:
    house.replace(LOGS, [log_rows(3)], window=DAY, scope=PROJECT)
    code = """
        import duckdb, sys
        con = duckdb.connect(sys.argv[1])
        print("open", flush=True)
        sys.stdin.read()
    """
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(house.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "open\n"
    for use in (lambda: house.replace(LOGS, [], window=DAY), lambda: house.read(LOGS)):
        with pytest.raises(WarehouseBusy, match="held open by another connection") as caught:
            use()
        assert caught.value.holder == f"process {program.pid}"
    program.communicate("", timeout=60)
    assert house.replace(LOGS, [], window=DAY).deleted == 3


def test_an_open_read_of_this_process_is_waited_for_and_then_named(house: DuckDB) -> None:
    house.replace(LOGS, [log_rows(3)], window=DAY, scope=PROJECT)
    reading = house.read_batches(LOGS)
    next(reading)
    with pytest.raises(WarehouseBusy, match="Close it"):
        house.replace(LOGS, [], window=DAY)
    assert house.count(LOGS) == 3
    reading.close()  # type: ignore[attr-defined]
    assert house.replace(LOGS, [], window=DAY).deleted == 3


def test_the_file_is_free_while_rows_are_still_arriving(house: DuckDB) -> None:
    house.replace(LOGS, [log_rows(3)], window=DAY, scope=PROJECT)
    seen = []

    def slow_source() -> Iterator[Any]:
        yield log_rows(2, NEXT_DAY)
        house.replace(LOGS, [log_rows(1)], window=DAY, scope=PROJECT)
        seen.append(house.count(LOGS))

    house.replace(LOGS, slow_source(), window=NEXT_DAY, scope=PROJECT)
    assert seen == [1]
    assert house.count(LOGS) == 3


def test_a_table_made_by_hand_in_other_letters_is_the_same_table(house: DuckDB) -> None:
    house.replace(Table("other", (Column("a", "text"),)), [])
    with duckdb.connect(house.location) as con:
        con.execute("CREATE TABLE posthog.Workflow_Logs (Project_ID BIGINT, Timestamp TIMESTAMPTZ)")
    house.replace(LOGS, [log_rows(2)], window=DAY, scope=PROJECT)
    assert house.read(LOGS).schema == LOGS.arrow_schema
    assert house.count(LOGS, scope=PROJECT) == 2


@pytest.mark.parametrize("name", ["json", "csv", "a.parquet"])
def test_a_table_called_like_a_file_is_a_table(
    house: DuckDB, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"shop.{name}").write_text("n\n7\n")
    table = Table(name, (Column("n", "bigint"),), schema="shop")
    assert house.count(table) == 0
    house.replace(table, [[{"n": 1}]])
    assert house.read(table).to_pylist() == [{"n": 1}]


def test_replacing_a_day_over_and_over_does_not_swell_the_file(house: DuckDB) -> None:
    days = [log_rows(2_000, day, text="x" * 200) for day in (DAY, NEXT_DAY)]

    def reload() -> int:
        for rows, day in zip(days, (DAY, NEXT_DAY), strict=True):
            house.replace(LOGS, [rows], window=day, scope=PROJECT)
        return house.path.stat().st_size

    sizes = [reload() for _ in range(9)]
    assert sizes[-1] <= 4 * sizes[0]


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    code = """
        import sys, resource
        import pyarrow as pa
        from hog_dagster.warehouse import Column, DuckDB, Table
        table = Table("big", (Column("n", "bigint"), Column("text", "text")))
        texts = pa.array([f"line {k} " + "x" * 300 for k in range(500)])
        batch = pa.record_batch({"n": pa.array(range(500), pa.int64()), "text": texts})
        house = DuckDB(sys.argv[1], memory_limit="64MB")
        def peak_of_a_round(batches):
            house.replace(table, (batch for _ in range(batches)))
            for _ in house.read_batches(table):
                pass
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        small, large = peak_of_a_round(150), peak_of_a_round(800)
        print(small, large)
    """
    answer, _ = other_process(code, str(tmp_path / "big.duckdb")).communicate(timeout=110)
    small, large = map(int, answer.split())
    assert large < 1.3 * small


def test_a_file_named_like_the_schema_is_refused_with_a_better_name(tmp_path: Path) -> None:
    """DuckDB names a database after its file: `posthog.t` in posthog.duckdb is ambiguous."""
    table = Table("t", (Column("a", "bigint"),))
    with (
        DuckDB(tmp_path / "posthog.duckdb") as warehouse,
        pytest.raises(WarehouseUnreadable, match=r"warehouse\.duckdb"),
    ):
        warehouse.replace(table, [[{"a": 1}]])
