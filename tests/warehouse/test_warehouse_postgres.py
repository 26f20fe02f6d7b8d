"""What only a PostgreSQL server has: roles, keys, passwords, locks, characters it cannot hold."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from warehouse_tables import DAY, LOGS, METRICS, NEXT_DAY, PROJECT, at, log_rows

from hog_dagster.warehouse import Column, Postgres, Table, Window
from hog_dagster.warehouse.errors import (
    InvalidRows,
    SchemaConflict,
    WarehouseBusy,
    WarehouseUnavailable,
    WarehouseUnreadable,
)


@pytest.fixture
def sql(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of someone else."""
    with psycopg.connect(postgres_url, autocommit=True) as con:
        yield con


def test_tables_have_their_primary_key_and_comments(
    postgres_url: str, sql: psycopg.Connection[Any]
) -> None:
    Postgres(postgres_url).replace(METRICS, [])
    keys = sql.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p' "
        "AND conrelid = 'posthog.workflow_metrics'::regclass"
    ).fetchall()
    assert keys == [("PRIMARY KEY (project_id, workflow_id, hour, name)",)]
    comment = sql.execute("SELECT obj_description('posthog.workflow_metrics'::regclass)")
    assert comment.fetchone() == (METRICS.description,)


def test_a_key_can_be_declared_later_unless_old_rows_break_it(postgres_url: str) -> None:
    house = Postgres(postgres_url)
    columns = (Column("id", "text"), Column("n", "bigint"))
    house.replace(Table("t", columns), [[{"id": "a", "n": 1}, {"id": "b", "n": 1}]])
    keyed = Table("t", columns, key=("id",))
    house.upsert(keyed, [[{"id": "a", "n": 2}]])
    assert house.read(keyed, order_by="id").column("n").to_pylist() == [2, 1]
    unfit = Table("t", (*columns, Column("x", "text")), key=("x",))
    with pytest.raises(SchemaConflict, match=r"posthog\.t cannot be brought to its declaration"):
        house.upsert(unfit, [])
    with pytest.raises(InvalidRows):
        house.replace(keyed, [[{"id": "z", "n": 1}, {"id": "z", "n": 2}]])


def test_the_reader_role_may_read_every_table_and_write_none(
    postgres_url: str, sql: psycopg.Connection[Any]
) -> None:
    role = f'reader of "{sql.info.dbname}"'
    with pytest.raises(SchemaConflict, match="does not exist"):
        Postgres(postgres_url, reader_role=role).replace(LOGS, [])
    sql.execute(SQL("CREATE ROLE {}").format(Identifier(role)))
    Postgres(postgres_url).replace(LOGS, [log_rows(2)])
    house = Postgres(postgres_url, reader_role=role)
    for table in (LOGS, METRICS):
        house.replace(table, [])
    sql.execute(SQL("SET ROLE {}").format(Identifier(role)))
    assert sql.execute("SELECT count(*) FROM posthog.workflow_logs").fetchone() == (0,)
    assert sql.execute("SELECT count(*) FROM posthog.workflow_metrics").fetchone() == (0,)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        sql.execute("DELETE FROM posthog.workflow_logs")
    sql.execute("RESET ROLE")
    sql.execute(SQL("DROP OWNED BY {0}").format(Identifier(role)))
    sql.execute(SQL("DROP ROLE {}").format(Identifier(role)))


def test_characters_postgres_cannot_hold_are_replaced_and_the_row_lands(postgres_url: str) -> None:
    house = Postgres(postgres_url)
    rows = [
        {"timestamp": at(0), "message": "a\0b", "_raw": '{"k\\u0000": ["\\u0000", "\\\\u0000"]}'},
        {"timestamp": at(1), "message": "\0", "_raw": '"half \\ud83d of a pair \\ud83d\\ude00"'},
        {"timestamp": at(2), "message": "fine", "_raw": '{"x": "\\u00e9"}'},
    ]
    house.replace(LOGS, [rows], window=DAY, scope=PROJECT)
    back = house.read(LOGS, order_by="timestamp").to_pylist()
    assert [row["message"] for row in back] == ["a\ufffdb", "\ufffd", "fine"]
    assert back[0]["_raw"] == '{"k\ufffd": ["\ufffd", "\\\\u0000"]}'
    assert back[1]["_raw"] == '"half \ufffd of a pair 😀"'
    assert back[2]["_raw"] == '{"x": "é"}'


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:geheim@127.0.0.1:1/db",
        "postgresql+psycopg2://me:geheim@127.0.0.1:1/db",
        "host=127.0.0.1 port=1 user=me password=geheim dbname=db",
    ],
)
def test_a_server_that_is_not_there_is_named_without_the_password(url: str) -> None:
    house = Postgres(url)
    assert house.location == "postgresql://127.0.0.1:1/db"
    with pytest.raises(WarehouseUnavailable, match=r"127\.0\.0\.1:1/db cannot be reached") as error:
        house.count(LOGS)
    assert error.value.retryable
    assert "geheim" not in str(error.value) + repr(house)


def test_a_database_that_is_not_there_and_an_unreadable_url_are_told_apart(
    postgres_url: str,
) -> None:
    with pytest.raises(WarehouseUnreadable, match="no_such_database"):
        Postgres(postgres_url.replace("/test_", "/no_such_database_")).replace(LOGS, [])
    with pytest.raises(ValueError, match="should look like") as error:
        Postgres("postgresql://me:geheim@[::1/db")
    assert "geheim" not in str(error.value)


def test_a_role_without_rights_is_told_what_it_lacks(
    postgres_url: str, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE ROLE nobody_much LOGIN")
    try:
        house = Postgres(postgres_url.replace("postgres:@", "nobody_much@"))
        with pytest.raises(WarehouseUnreadable, match="permission denied"):
            house.replace(LOGS, [])
    finally:
        sql.execute("DROP ROLE nobody_much")


def test_names_postgres_would_cut_short_are_refused(postgres_url: str) -> None:
    table = Table("t" * 64, (Column("a", "text"),))
    with pytest.raises(SchemaConflict, match="63 bytes"):
        Postgres(postgres_url).replace(table, [])


def test_a_view_that_hangs_on_a_column_keeps_its_type(
    postgres_url: str, sql: psycopg.Connection[Any]
) -> None:
    house = Postgres(postgres_url)
    narrow, wide = (Table("t", (Column("a", kind),)) for kind in ("integer", "bigint"))
    house.replace(narrow, [[{"a": 1}]])
    sql.execute("CREATE VIEW v AS SELECT a FROM posthog.t")
    with pytest.raises(SchemaConflict, match="view"):
        house.replace(wide, [[{"a": 2}]])
    assert sql.execute("SELECT a FROM v").fetchall() == [(1,)]


# -- partitions side by side


@contextmanager
def loading(url: str, window: Window | None) -> Iterator[None]:
    """Another load, in the middle of its transaction."""
    from hog_dagster.warehouse._postgres.adapter import _lock_keys

    house = Postgres(url)
    with house._connected(LOGS, writes=True) as con:
        house._lock(con, _lock_keys(LOGS, window))
        con.execute(
            "DELETE FROM posthog.workflow_logs WHERE timestamp >= %s AND timestamp < %s",
            [DAY.start, DAY.end],
        )
        yield


def test_other_days_load_while_a_day_is_loading_and_the_same_day_waits(postgres_url: str) -> None:
    house = Postgres(postgres_url, lock_timeout=0.3)
    house.replace(LOGS, [log_rows(3), log_rows(2, NEXT_DAY)])
    with loading(postgres_url, DAY):
        assert house.replace(LOGS, [], window=NEXT_DAY, scope=PROJECT).deleted == 2
        assert house.count(LOGS, window=DAY) == 3
        hour = Window.hour(DAY.start)
        both = Window(DAY.start, NEXT_DAY.end)
        for window in (DAY, hour, both, None):
            with pytest.raises(WarehouseBusy, match="held by the connection with server process"):
                house.replace(LOGS, [], window=window, scope=PROJECT)
    with loading(postgres_url, None), pytest.raises(WarehouseBusy):
        house.replace(LOGS, [], window=NEXT_DAY, scope=PROJECT)
    assert house.replace(LOGS, [log_rows(4)], window=DAY, scope=PROJECT).rows == 4


def test_memory_does_not_grow_with_the_rows(postgres_url: str) -> None:
    code = """
        import sys, resource
        import pyarrow as pa
        from hog_dagster.warehouse import Column, Postgres, Table
        table = Table("big", (Column("n", "bigint"), Column("text", "text")))
        texts = pa.array([f"line {k} " + "x" * 300 for k in range(500)])
        batch = pa.record_batch({"n": pa.array(range(500), pa.int64()), "text": texts})
        house = Postgres(sys.argv[1])
        def peak_of_a_round(batches):
            house.replace(table, (batch for _ in range(batches)))
            for _ in house.read_batches(table):
                pass
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        small, large = peak_of_a_round(60), peak_of_a_round(450)
        print(small, large)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), postgres_url],
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
    )
    small, large = map(int, done.stdout.split())
    assert large < 1.3 * small


def test_without_its_driver_the_extra_is_named() -> None:
    code = """
        import sys
        sys.modules["psycopg"] = None
        from hog_dagster.warehouse import DuckDB
        try:
            from hog_dagster.warehouse import Postgres
        except ModuleNotFoundError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert "pip install 'hog-dagster[postgres]'" in done.stdout
