"""Every check on engines that need installing: MariaDB through dlt, ClickHouse as chdb, Snowflake's
dialect on fakesnow, Iceberg tables of a SQL catalog."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot
from sqlglot import exp

from hog_dagster.resources import PostHogResource
from hog_dagster.warehouse import Dlt, Table
from hog_dagster.warehouse._loading.conform import conform, to_arrow
from hog_dagster.warehouse._sql import Dialect, Place, Statements
from tests.warehouse.engine_fixtures import expected, instance, owner, posthog, reference, sandbox
from tests.warehouse.warehouse_engines import (
    TABLES,
    Elsewhere,
    assert_documented,
    load,
    rows_of,
    verdicts,
)
from tests.warehouse.warehouse_tables import DAY, LOGS, PROJECT, log_rows

__all__ = ["expected", "instance", "owner", "posthog", "reference", "sandbox"]

Verdicts = dict[tuple[str, str], Any]


def arrow_rows(table: Table, owner: str) -> pa.Table:
    rows = to_arrow(table, rows_of(table, owner))
    return conform(table, rows, window=None, scope={})


# -- MariaDB


def test_mariadb_keeps_the_promises_of_every_warehouse(mariadb: str, tmp_path: Path) -> None:
    house = Dlt("sqlalchemy", credentials=mariadb, work_dir=tmp_path)
    rows = [{**row, "message": 'it\'s :x %s "ü"'} for row in log_rows(3)]
    assert house.replace(LOGS, [rows], window=DAY, scope=PROJECT).rows == 3
    assert house.replace(LOGS, [rows[:2]], window=DAY, scope=PROJECT).deleted == 3
    found = house.read(LOGS, window=DAY, scope={"message": 'it\'s :x %s "ü"'}, order_by="timestamp")
    assert found.column("timestamp").to_pylist() == [row["timestamp"] for row in rows[:2]]
    assert house.count_by_day(LOGS, [DAY]) == {DAY: 2}
    assert [json.loads(text) for text in found.column("_raw").to_pylist()] == [{"n": 0}, {"n": 1}]


def test_every_check_says_the_same_on_mariadb(
    mariadb: str,
    owner: str,
    expected: Verdicts,
    posthog: PostHogResource,
    instance: dg.DagsterInstance,
    tmp_path: Path,
) -> None:
    house = Dlt("sqlalchemy", credentials=mariadb, work_dir=tmp_path)
    load(house, owner)
    said = verdicts(house, posthog, instance)
    assert said == expected
    assert_documented("MariaDB", said, "run here")


# -- ClickHouse


class ClickHouse(Elsewhere):
    """ClickHouse in this process, with the types that dlt gives its tables."""

    dialect = Dialect("clickhouse")

    def __init__(self, folder: Path) -> None:
        from chdb.session import Session  # pyright: ignore[reportMissingImports]

        self._session = Session(str(folder))
        self._session.query("CREATE DATABASE posthog")

    def put(self, table: Table, rows: pa.Table, folder: Path) -> None:
        path = folder / f"{table.name}.parquet"
        pq.write_table(rows, path)
        self._session.query(
            f'CREATE TABLE "posthog"."{table.name}" ENGINE = MergeTree ORDER BY tuple() '
            f"AS SELECT * FROM file('{path}', 'Parquet')"
        )

    def stored(self, table: Table) -> Mapping[str, str]:
        return {c.name: "text" if c.type == "json" else c.type for c in table.columns}

    def rows(self, sql: str) -> list[Sequence[Any]]:
        answer = self._session.query(sql, "ArrowStream")
        found = pa.ipc.open_stream(answer.bytes()).read_all()
        return list(zip(*(column.to_pylist() for column in found.columns), strict=True))


def test_every_check_says_the_same_on_clickhouse(
    owner: str,
    expected: Verdicts,
    posthog: PostHogResource,
    instance: dg.DagsterInstance,
    tmp_path: Path,
) -> None:
    pytest.importorskip("chdb", reason="chdb is not installed: make integration brings it")
    house = ClickHouse(tmp_path / "clickhouse")
    for table in TABLES:
        house.put(table, arrow_rows(table, owner), tmp_path)
    said = verdicts(house, posthog, instance)
    assert said == expected
    assert_documented("ClickHouse", said, "run here")
    text = "it's \\ \n\t ; :x % ü \x07"
    literal = house.dialect.sql(house.dialect.literal(text))
    assert house.rows(f"SELECT {literal} AS text") == [(text,)]


# -- Snowflake


class Snowflake(Elsewhere):
    """Snowflake's dialect on fakesnow, with names in capitals as dlt makes them."""

    dialect = Dialect("snowflake")
    _TYPES = {
        "text": "VARCHAR",
        "json": "VARIANT",
        "bigint": "NUMBER(19,0)",
        "integer": "NUMBER(10,0)",
        "double": "FLOAT",
        "timestamptz": "TIMESTAMP_TZ",
        "boolean": "BOOLEAN",
    }

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def path(self, table: Table) -> tuple[str, ...]:
        return ("WAREHOUSE", "POSTHOG", table.name.upper())

    def _statements(self, table: Table) -> Statements:
        names = {name: name.upper() for name in table.column_names}
        place = Place(self.path(table), names, self.stored(table))
        return Statements(self.dialect, table, place)

    def put(self, table: Table, rows: pa.Table) -> None:
        columns = ", ".join(f'"{c.name.upper()}" {self._TYPES[c.type]}' for c in table.columns)
        name = self.dialect.sql(self._statements(table).target)
        self.rows(f"CREATE TABLE {name} ({columns})")
        for start in range(0, rows.num_rows, 100):
            values = ", ".join(
                "(" + ", ".join(self.dialect.sql(self.dialect.literal(v)) for v in row) + ")"
                for row in zip(*(c.to_pylist() for c in rows[start : start + 100]), strict=True)
            )
            terms = ", ".join(
                f"PARSE_JSON(column{i})" if c.type == "json" else f"column{i}"
                for i, c in enumerate(table.columns, 1)
            )
            self.rows(f"INSERT INTO {name} SELECT {terms} FROM VALUES {values}")

    def rows(self, sql: str) -> list[Sequence[Any]]:
        with self._connection.cursor() as cursor:
            return list(cursor.execute(sql).fetchall())


def test_every_check_says_the_same_in_snowflake_s_dialect(
    owner: str,
    expected: Verdicts,
    posthog: PostHogResource,
    instance: dg.DagsterInstance,
) -> None:
    fakesnow = pytest.importorskip("fakesnow", reason="fakesnow: make integration brings it")
    import snowflake.connector  # pyright: ignore[reportMissingImports]

    with fakesnow.patch(), snowflake.connector.connect(database="warehouse", schema="posthog") as c:
        house = Snowflake(c)
        for table in TABLES:
            house.put(table, arrow_rows(table, owner))
        said = verdicts(house, posthog, instance)
    assert said == expected
    assert_documented("Snowflake", said, "run here")


# -- Iceberg


class Iceberg(Elsewhere):
    """Iceberg tables in a SQL catalog, scanned by PyIceberg and asked through DuckDB."""

    dialect = Dialect("duckdb")

    def __init__(self, folder: Path) -> None:
        from pyiceberg.catalog.sql import SqlCatalog  # pyright: ignore[reportMissingImports]

        self.catalog = SqlCatalog(
            "here", uri=f"sqlite:///{folder / 'catalog.db'}", warehouse=folder.as_uri()
        )
        self.catalog.create_namespace("posthog")

    def path(self, table: Table) -> tuple[str, ...]:
        return (table.name,)

    def stored(self, table: Table) -> Mapping[str, str]:
        return {c.name: "text" if c.type == "json" else c.type for c in table.columns}

    def put(self, table: Table, rows: pa.Table) -> None:
        made = self.catalog.create_table(("posthog", table.name), schema=rows.schema)
        half = rows.num_rows // 2
        for part in (rows.slice(0, half), rows.slice(half)):  # two snapshots
            made.append(part)

    def rows(self, sql: str) -> list[Sequence[Any]]:
        con = duckdb.connect()
        con.execute("SET TimeZone = 'UTC'")
        for named in sqlglot.parse_one(sql, dialect="duckdb").find_all(exp.Table):
            if not con.execute(
                "SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [named.name]
            ).fetchall():
                scan = self.catalog.load_table(("posthog", named.name)).scan()
                scan.to_duckdb(named.name, connection=con)
        return list(con.execute(sql).fetchall())


def test_every_check_says_the_same_on_iceberg(
    owner: str,
    expected: Verdicts,
    posthog: PostHogResource,
    instance: dg.DagsterInstance,
    tmp_path: Path,
) -> None:
    pytest.importorskip("pyiceberg", reason="pyiceberg: make integration brings it")
    house = Iceberg(tmp_path)
    for table in TABLES:
        house.put(table, arrow_rows(table, owner))
    said = verdicts(house, posthog, instance)
    assert said == expected
    assert_documented("Iceberg", said, "run here")
    assert house.count(LOGS) == len(rows_of(LOGS, owner))
