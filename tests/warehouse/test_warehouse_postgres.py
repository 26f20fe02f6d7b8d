"""What only a PostgreSQL server has: roles, keys, passwords, locks, characters it cannot hold."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
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


@pytest.mark.parametrize("kind", ["json", "jsonb"])
def test_a_table_that_somebody_made_with_json_or_jsonb_is_loaded(
    postgres_url: str, sql: psycopg.Connection[Any], kind: str
) -> None:
    sql.execute(f"CREATE SCHEMA shop; CREATE TABLE shop.t (id text PRIMARY KEY, v {kind})".encode())
    table = Table("t", (Column("id", "text"), Column("v", "json")), key=("id",), schema="shop")
    house = Postgres(postgres_url)
    texts = ['{"a":[1,null,"M\\u00fcller"]}', "null", '"\\u0000 \\ud800"', None]
    house.replace(table, [[{"id": str(n), "v": text} for n, text in enumerate(texts)]])
    house.upsert(table, [[{"id": "0", "v": {"b": 2}}, {"id": "9", "v": [3]}]])
    house.fill(table, "id", by="id", values={"9": "9"}, scope={})
    found = house.read(table, order_by="id").column("v").to_pylist()
    assert [None if text is None else json.loads(text) for text in found] == [
        {"b": 2},
        None,
        "\ufffd \ufffd",
        None,
        [3],
    ]
    assert sql.execute("SELECT pg_typeof(v)::text FROM shop.t LIMIT 1").fetchone() == (kind,)


NUMBERS: dict[str, tuple[str, Any]] = {
    "123456789012345678.12345678901234567890": ("decimal(38,20)", None),
    "0.00000000000000000000000000000000000001": ("decimal(38,38)", None),
    "99999999999999999999999999999999999999": ("decimal(38,0)", None),
    "-7.50": ("decimal(38,2)", None),
    "0": ("decimal(38,0)", None),
    "123456789012345678901234567890.123456789": ("text", "a digit too many"),
    "NaN": ("text", "no number"),
    "-Infinity": ("text", "infinite"),
}


@pytest.mark.parametrize("number", NUMBERS)
def test_a_numeric_of_any_length_is_read_without_the_loss_of_a_digit(
    postgres_url: str, sql: psycopg.Connection[Any], number: str
) -> None:
    sql.execute("CREATE SCHEMA shop; CREATE TABLE shop.t (v numeric)")
    sql.execute("INSERT INTO shop.t VALUES (%s), (NULL), (0)", [number])
    house, named = Postgres(postgres_url), Table("t", (Column("_", "text"),), schema="shop")
    columns = house.readable(named, house.describe(named) or ())
    kind, why = NUMBERS[number]
    assert [column.type for column in columns] == [kind], why
    (found, *_) = house.read(Table("t", tuple(columns), schema="shop")).column("v").to_pylist()
    assert str(found) == number if kind == "text" else found == Decimal(number)


def test_a_numeric_without_values_is_a_decimal(
    postgres_url: str, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE SCHEMA shop; CREATE TABLE shop.t (v numeric, w numeric, n int)")
    house, named = Postgres(postgres_url), Table("t", (Column("_", "text"),), schema="shop")
    columns = house.readable(named, house.describe(named) or ())
    assert [column.type for column in columns] == ["decimal(38,0)", "decimal(38,0)", "integer"]


@pytest.mark.parametrize(
    ("declared", "value", "stored"),
    [
        ("decimal(38,20)", Decimal("123456789012345678.12345678901234567890"), None),
        ("bigint", 2**63 - 1, Decimal(2**63 - 1)),
        ("integer", -7, Decimal(-7)),
        ("double", 0.1, Decimal("0.1")),
    ],
)
def test_numbers_of_any_type_are_loaded_into_a_numeric_as_they_are(
    postgres_url: str, sql: psycopg.Connection[Any], declared: str, value: Any, stored: Any
) -> None:
    sql.execute("CREATE SCHEMA shop; CREATE TABLE shop.t (id text, v numeric)")
    sql.execute("INSERT INTO shop.t VALUES ('other', 1e60)")
    columns = (Column("id", "text"), Column("v", declared))
    table = Table("t", columns, key=("id",), schema="shop")
    house = Postgres(postgres_url)
    house.replace(table, [[{"id": "a", "v": value}, {"id": "b"}]], scope={"id": ["a", "b"]})
    house.upsert(table, [[{"id": "c", "v": value}]])
    found = sql.execute("SELECT id, v, pg_typeof(v)::text FROM shop.t ORDER BY id").fetchall()
    there = value if stored is None else stored
    assert found == [
        ("a", there, "numeric"),
        ("b", None, "numeric"),
        ("c", there, "numeric"),
        ("other", Decimal("1e60"), "numeric"),
    ]


def test_narrow_types_of_others_grow_when_wider_values_are_loaded(
    postgres_url: str, sql: psycopg.Connection[Any]
) -> None:
    sql.execute(
        "CREATE SCHEMA shop; CREATE TABLE shop.t (id varchar(3), n smallint, x real, d smallint, "
        "at timestamptz(0))"
    )
    sql.execute("INSERT INTO shop.t VALUES ('abc', 1, 0.5, 2, '2026-03-01Z')")
    kinds = {"id": "text", "n": "bigint", "x": "double", "d": "decimal(12,2)", "at": "timestamptz"}
    columns = tuple(Column(name, kind) for name, kind in kinds.items())
    table = Table("t", columns, key=("id",), schema="shop")
    house = Postgres(postgres_url)
    new = {"id": "longer", "n": 2**40, "x": 0.1, "d": Decimal("0.25"), "at": at(3)}
    house.upsert(table, [[new]])
    old = {
        "id": "abc",
        "n": 1,
        "x": 0.5,
        "d": Decimal("2.00"),
        "at": datetime(2026, 3, 1, tzinfo=UTC),
    }
    assert house.read(table, order_by="id").to_pylist() == [old, new]
