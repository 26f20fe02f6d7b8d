"""PostgreSQL as others set it up: encodings, settings of databases and users; no state is left."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest
from warehouse_tables import DAY, LOGS, METRICS, PROJECT, at, log_rows

from hog_dagster.ledger import Ledger
from hog_dagster.warehouse import Column, Postgres, Table, Window
from hog_dagster.warehouse.errors import InvalidQuery, InvalidRows, WarehouseError
from tests.conftest import psycopg_url

NAMES = Table(
    name="kunden",
    columns=(
        Column("name", "text", "Der Name, größer als ein Kürzel"),
        Column("at", "timestamptz"),
        Column("naive", "timestamp"),
        Column("day", "date"),
        Column("x", "double"),
        Column("raw", "json"),
        Column("bytes", "bytes"),
    ),
    time_column="at",
)
ROW: dict[str, Any] = {
    "name": "Müller",
    "at": datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    "naive": datetime(2026, 3, 1, 12, 30),  # noqa: DTZ001
    "day": date(2026, 3, 4),
    "x": 0.1 + 0.2,
    "raw": '{"straße": "ß"}',
    "bytes": b"\x00\xff",
}


@pytest.fixture
def database(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of the encoding that the test asks for."""
    name = f"enc_{request.param.lower()}_{id(request):x}"
    with psycopg.connect(postgres_server, autocommit=True) as con:
        con.execute(
            f"CREATE DATABASE {name} ENCODING '{request.param}' LC_COLLATE 'C' LC_CTYPE 'C' "
            "TEMPLATE template0".encode()
        )
    yield psycopg_url(postgres_server, name)
    with psycopg.connect(postgres_server, autocommit=True) as con:
        con.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def stored(url: str) -> str:
    """The name as a client that speaks UTF-8 sees it."""
    with psycopg.connect(url, client_encoding="utf8") as con:
        row = con.execute("SELECT name FROM posthog.kunden").fetchone()
    assert row is not None
    return row[0] if isinstance(row[0], str) else row[0].decode()


@pytest.mark.parametrize(
    "database",
    ["LATIN1", "LATIN9", "WIN1250", "WIN1252", "EUC_JP", "SQL_ASCII", "UTF8"],
    indirect=True,
)
def test_names_are_kept_whatever_the_database_speaks(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    house = Postgres(database)
    house.replace(NAMES, [[ROW]], window=DAY)
    assert house.read(NAMES, scope={"name": "Müller"}).to_pylist() == [
        {**ROW, "raw": '{"straße": "ß"}'}
    ]
    assert (
        house.upsert(Table("kunden2", NAMES.columns[:1], key=("name",)), [[{"name": "Bär"}]]).rows
        == 1
    )
    assert stored(database) == "Müller"
    described = house.describe(NAMES) or []
    assert described[0].description == "Der Name, größer als ein Kürzel"


@pytest.mark.parametrize("database", ["LATIN1"], indirect=True)
def test_a_character_that_the_database_lacks_is_one_sentence(database: str) -> None:
    house = Postgres(database)
    house.replace(NAMES, [[ROW]], window=DAY)
    with pytest.raises(InvalidRows, match="LATIN1, which lacks characters") as raised:
        house.replace(NAMES, [[{**ROW, "name": "geheim €"}]], window=DAY)
    assert "geheim" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert house.count(NAMES) == 1


@pytest.mark.parametrize("database", ["SQL_ASCII"], indirect=True)
def test_bytes_that_are_no_utf8_are_one_sentence(database: str) -> None:
    house = Postgres(database)
    house.replace(NAMES, [[ROW]], window=DAY)
    with psycopg.connect(database, client_encoding="sql_ascii") as con:
        con.execute(b"UPDATE posthog.kunden SET name = E'M\\xfcller'")
    for ask in (
        lambda: house.read(NAMES, columns=["name"]),
        lambda: house.query("SELECT name FROM posthog.kunden"),
        lambda: house.aggregate(NAMES, by=["name"]),
    ):
        with pytest.raises(WarehouseError, match="SQL_ASCII"):
            ask()


def test_settings_of_the_database_change_no_value(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(postgres_url, autocommit=True) as con:
        for setting in (
            "datestyle = 'German, DMY'",
            "extra_float_digits = -5",
            "client_encoding = 'LATIN1'",
            "timezone = 'America/New_York'",
            "bytea_output = 'escape'",
            "intervalstyle = 'iso_8601'",
            "standard_conforming_strings = off",
            "quote_all_identifiers = on",
            "default_transaction_read_only = on",
            "default_transaction_isolation = 'serializable'",
            "default_transaction_deferrable = on",
            "search_path = ''",
            "lock_timeout = '50ms'",
            "lc_monetary = 'C'",
        ):
            con.execute(f"ALTER DATABASE {name} SET {setting}".encode())
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    monkeypatch.setenv("PGDATESTYLE", "German")
    house = Postgres(postgres_url)
    table = replace(NAMES, description="it's C:\\new\\table, 100 %")
    house.replace(table, [[ROW]], window=DAY)
    row = {**ROW, "name": "C:\\new\\'"}
    house.replace(table, [[row]], window=DAY, scope={"name": row["name"]})
    assert house.read(table, scope={"name": row["name"]}).to_pylist() == [row]
    assert house.replace(table, [], window=DAY, scope={"name": row["name"]}).deleted == 1
    assert house.read(NAMES).to_pylist() == [ROW]
    comment = "SELECT obj_description('posthog.kunden'::regclass) AS said"
    assert house.query(comment).to_pylist() == [{"said": table.description}]
    kinds = [column.type for column in house.describe(table) or ()]
    assert kinds == [column.type for column in table.columns]
    answer = house.query("SELECT name, at, naive, day, x FROM posthog.kunden").to_pylist()
    assert answer == [{n: ROW[n] for n in ("name", "at", "naive", "day", "x")}]
    (group,) = house.aggregate(NAMES, by=["day"], measures={"last": ("max", "at")})
    assert group == {"day": ROW["day"], "last": ROW["at"]}
    assert house.count_by_day(NAMES, [DAY]) == {DAY: 1}


def test_moments_without_a_zone_are_utc_wherever_the_process_runs(
    warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where the adapter leaves its session to the time zone of the machine."""
    import time

    monkeypatch.setenv("TZ", "America/New_York")
    monkeypatch.setenv("PGTZ", "America/New_York")
    time.tzset()
    try:
        warehouse.replace(LOGS, [log_rows(1)], window=DAY, scope=PROJECT)
        sql = "SELECT CAST(CAST('2026-03-01 00:00:00' AS TIMESTAMP) AS TIMESTAMPTZ) AS at"
        (row,) = warehouse.query(sql).to_pylist()
        assert row["at"] == DAY.start
        assert row["at"].utcoffset() == UTC.utcoffset(None)
        (row,) = warehouse.query(
            "SELECT CAST(CAST(timestamp AS DATE) AS TEXT) AS day FROM posthog.workflow_logs"
        ).to_pylist()
        assert row["day"] == "2026-03-01"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_nothing_of_a_session_outlives_an_operation(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a pooler: all connections are one, and it is looked at after each operation."""
    shared = psycopg.connect(postgres_url, autocommit=True, prepare_threshold=None)
    monkeypatch.setattr(psycopg, "connect", lambda *_, **__: shared)
    monkeypatch.setattr(type(shared), "__exit__", lambda *_: None)
    monkeypatch.setattr(type(shared), "close", lambda *_: None)
    settings = "SELECT name, setting FROM pg_settings WHERE source = 'session' ORDER BY name"
    before = shared.execute(settings).fetchall()
    house = Postgres(postgres_url)
    metric = {"project_id": 7, "workflow_id": "w", "hour": at(), "name": "sent", "value": 1}
    operations: dict[str, Any] = {
        "replace": lambda: house.replace(LOGS, [log_rows(2)], window=DAY, scope=PROJECT),
        "upsert": lambda: house.upsert(METRICS, [[metric]]),
        "read": lambda: house.read(LOGS),
        "half a read": lambda: next(house.read_batches(LOGS)),
        "count": lambda: house.count(LOGS),
        "count_by_day": lambda: house.count_by_day(LOGS, [DAY]),
        "aggregate": lambda: house.aggregate(LOGS, by=["level"]),
        "describe": lambda: house.describe(LOGS),
        "query": lambda: house.query("SELECT 1"),
    }
    for name, operate in operations.items():
        operate()
        assert shared.info.transaction_status == psycopg.pq.TransactionStatus.IDLE, name
        assert shared.execute(settings).fetchall() == before, name
        assert shared.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
    for wrong in ("DELETE FROM posthog.workflow_logs", "SELECT 1/0"):
        with pytest.raises(InvalidQuery):
            house.query(wrong)
        assert shared.execute("SHOW transaction_read_only").fetchone() == ("off",)
    assert house.count(LOGS) == 2


def test_a_ledger_keeps_its_session_clean_and_its_text_right(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(postgres_url, autocommit=True) as con:
        con.execute(f"ALTER DATABASE {name} SET datestyle = 'German, DMY'".encode())
        con.execute(f"ALTER DATABASE {name} SET client_encoding = 'LATIN1'".encode())
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with Ledger(postgres_url) as ledger:
        assert ledger.entries() is not None
        with ledger._db.read() as connection:
            (encoding,) = connection.exec_driver_sql("SHOW client_encoding").one()
            (style,) = connection.exec_driver_sql("SHOW datestyle").one()
        assert (encoding, style) == ("UTF8", "ISO, YMD")


def test_names_are_counted_in_bytes(postgres_url: str) -> None:
    house = Postgres(postgres_url)
    for name in ("ü" * 32, "a" * 64):
        with pytest.raises(WarehouseError, match="63 bytes"):
            house.replace(Table("t", (Column(name, "text"),)), [])
    house.replace(Table("t", (Column("ü" * 31, "text"),)), [[{"ü" * 31: "x"}]])
    assert house.count(Table("t", (Column("ü" * 31, "text"),))) == 1


def test_a_text_of_many_megabytes_is_read_again(warehouse: Any) -> None:
    texts = ["ä" * 3_000_000, 'quoted "and\nbroken", ' * 300_000, "short"]
    rows = [{**row, "message": text} for row, text in zip(log_rows(3), texts, strict=True)]
    warehouse.replace(LOGS, [rows], window=DAY, scope=PROJECT)
    found = warehouse.read(LOGS, columns=["message"], order_by="timestamp").column("message")
    assert found.to_pylist() == texts


@pytest.mark.parametrize(
    ("kind", "value", "remedy"),
    [
        ("timestamptz", "'infinity'", "infinit"),
        ("timestamptz", "'0044-03-15 00:00:00 BC'", "before year 1"),
        ("timestamp", "'20000-01-01 00:00:00'", "after year 9999"),
        ("date", "'infinity'", "infinity"),
        ("date", "'0044-03-15 BC'", "before year 1"),
        ("decimal(18,4)", "'NaN'", "NaN"),
    ],
)
def test_values_that_no_arrow_type_holds_are_one_sentence(
    postgres_url: str, kind: str, value: str, remedy: str
) -> None:
    table = Table("odd", (Column("v", kind), Column("n", "bigint")))
    house = Postgres(postgres_url)
    house.replace(table, [[{"n": 1}]])
    column = "numeric" if kind.startswith("decimal") else kind
    with psycopg.connect(postgres_url) as con:
        con.execute(f"ALTER TABLE posthog.odd ALTER v TYPE {column}".encode())
        con.execute(f"UPDATE posthog.odd SET v = {value}".encode())
    with pytest.raises(WarehouseError, match=remedy) as raised:
        house.read(table)
    assert "without that column" in str(raised.value)
    assert raised.value.__cause__ is None
    assert house.read(table, columns=["n"]).to_pylist() == [{"n": 1}]


@pytest.mark.parametrize(
    "value",
    [
        "'NaN'::numeric",
        "'Infinity'::numeric",
        "1e200::numeric",
        "'infinity'::date",
        "'20000-1-1'::date",
        "'0044-03-15 BC'::timestamp",
        "'infinity'::timestamptz",
    ],
)
def test_a_query_of_values_that_no_arrow_type_holds_is_one_sentence(
    postgres_url: str, value: str
) -> None:
    with pytest.raises(InvalidQuery, match=r"no decimal of Arrow is|before year 1|after year 10K"):
        Postgres(postgres_url).query(f"SELECT {value} AS v")


def test_a_query_gives_unusual_types_as_the_server_writes_them(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c intervalstyle=iso_8601")
    values = {
        "interval '1 year 2 days'": "1 year 2 days",
        "ARRAY[1, 2]": "{1,2}",
        "int4range(1, 2)": "[1,2)",
        "time '24:00'": "24:00:00",
        "row(1, 'a')": "(1,a)",
        "'{\"a\":1}'::json": '{"a":1}',
        "inet '10.0.0.1'": "10.0.0.1",
        "uuid '00000000-0000-0000-0000-000000000001'": "00000000-0000-0000-0000-000000000001",
    }
    terms = ", ".join(f"{value} AS c{n}" for n, value in enumerate(values))
    (row,) = Postgres(postgres_url).query(f"SELECT {terms}").to_pylist()
    assert list(row.values()) == list(values.values())


def test_odd_moments_of_duckdb_are_one_sentence(tmp_path: Any) -> None:
    import duckdb

    from hog_dagster.warehouse import DuckDB

    table = Table("odd", (Column("v", "timestamptz"),), schema="main")
    for value in ("'infinity'", "'0044-03-15 (BC) 00:00:00+00'", "'20000-01-01 00:00:00+00'"):
        path = tmp_path / f"{len(value)}.duckdb"
        with duckdb.connect(str(path)) as con:
            con.execute(f"CREATE TABLE odd AS SELECT {value}::TIMESTAMPTZ AS v")
        with pytest.raises(WarehouseError, match="infinite ones"):
            DuckDB(path).read(table)
    days = Table("odd_days", (Column("v", "date"),), schema="main")
    path = tmp_path / "days.duckdb"
    for value in ("'infinity'", "'0044-03-15 (BC)'", "'20000-01-01'"):
        with duckdb.connect(str(path)) as con:
            con.execute(f"CREATE OR REPLACE TABLE odd_days AS SELECT {value}::DATE AS v")
        with pytest.raises(WarehouseError, match="days before year 1"):
            DuckDB(path).read(days)


def test_far_moments_are_refused_before_they_are_stored(warehouse: Any) -> None:
    import pyarrow as pa

    table = Table("far", (Column("at", "timestamptz"),), time_column="at")
    far = pa.table({"at": pa.array([2**62], pa.timestamp("us", "UTC"))})
    for window in (None, Window.day(date(2026, 3, 1))):
        with pytest.raises(InvalidRows, match="after year 9999"):
            warehouse.replace(table, [far], window=window)


def test_no_value_of_a_row_is_behind_an_error(warehouse: Any, run_sql: Any) -> None:
    secret = "alice@example.com"
    table = Table("t", (Column("id", "text"), Column("n", "text")), key=("id",))
    warehouse.replace(table, [[{"id": "a", "n": "1"}]])
    if isinstance(warehouse, Postgres):
        run_sql("ALTER TABLE posthog.t ADD CHECK (n <> 'alice@example.com')")
    caught: list[BaseException] = []
    for rows in ([{"id": secret, "n": secret}] * 2, [{"id": "b", "n": secret}]):
        try:
            warehouse.replace(table, [rows])
        except WarehouseError as error:
            caught.append(error)
    for query in (
        f"SELECT CAST('{secret}' AS INTEGER)",
        "SELECT CAST(id AS INTEGER) FROM posthog.t",
    ):
        warehouse.replace(table, [[{"id": secret, "n": "1"}]])
        try:
            warehouse.query(query)
        except WarehouseError as error:
            caught.append(error)
    assert len(caught) >= 3
    for error in caught:
        chain: list[BaseException | None] = [error, error.__cause__, error.__context__]
        assert not any(secret in repr(one) for one in chain), repr(chain)
