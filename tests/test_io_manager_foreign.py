"""Tables that others made, types that grow, assets that read themselves."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import psycopg
import pyarrow as pa
import pytest

from hog_dagster import DltWarehouse, DuckDBWarehouse, PostgresWarehouse, WarehouseIOManager
from tests.test_io_manager import BY_AT, BY_COLOR, DAYS, QUIET, House, at, house, on_both

pytestmark = pytest.mark.integration

__all__ = ["house"]


def duck(house: House, sql: str) -> None:
    """Something that is done to the DuckDB file behind the warehouse's back."""
    assert isinstance(house.resource, DuckDBWarehouse)
    with duckdb.connect(house.resource.path) as con:
        con.execute(sql)


# -- types of tables that others made


@pytest.mark.parametrize("kind", ["TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP"])
def test_a_day_of_a_duckdb_table_of_any_moments_is_read(house: House, kind: str) -> None:
    duck(
        house,
        "CREATE SCHEMA shop; CREATE TABLE shop.orders AS SELECT "
        f"('2026-03-01 23:00:00'::TIMESTAMP + i * INTERVAL 1 HOUR)::{kind} AS at, i AS n "
        "FROM range(3) t(i)",
    )
    day = house.load(pa.Table, partition_key="2026-03-02", **BY_AT)
    assert sorted(day.column("n").to_pylist()) == [1, 2]
    assert day.schema.field("at").type == pa.timestamp("us")


def test_large_whole_numbers_of_duckdb_are_numbers(house: House) -> None:
    duck(
        house,
        "CREATE SCHEMA shop; CREATE TABLE shop.orders AS SELECT 18446744073709551615::UBIGINT AS u,"
        " (-170141183460469231731687303715884105)::HUGEINT AS h, 7::UINTEGER AS i",
    )
    (row,) = house.load(pa.Table).to_pylist()
    assert row == {
        "u": Decimal(2**64 - 1),
        "h": Decimal(-170141183460469231731687303715884105),
        "i": 7,
    }


@pytest.mark.parametrize("house", ["postgres"], indirect=True)
@pytest.mark.parametrize("kind", ["timestamp(3)", "timestamptz(0)", "timestamp(6)"])
def test_a_day_of_a_postgres_table_of_any_moments_is_read(house: House, kind: str) -> None:
    assert isinstance(house.resource, PostgresWarehouse)
    with psycopg.connect(house.resource.url, options="-c timezone=UTC") as con:
        con.execute("CREATE SCHEMA shop")
        con.execute(f"CREATE TABLE shop.orders (at {kind}, n int)".encode())
        con.execute(
            "INSERT INTO shop.orders VALUES ('2026-03-01 23:00', 0), ('2026-03-02 00:00', 1), "
            "('2026-03-02 23:59:59', 2)"
        )
    day = house.load(pa.Table, partition_key="2026-03-02", **BY_AT)
    assert sorted(day.column("n").to_pylist()) == [1, 2]
    assert pa.types.is_timestamp(day.schema.field("at").type)


@pytest.mark.parametrize("house", ["postgres"], indirect=True)
def test_partitions_of_a_postgres_table_are_told_apart_by_any_text_or_number(house: House) -> None:
    """A key that is no value of the column's type belongs to a partition without rows."""
    assert isinstance(house.resource, PostgresWarehouse)
    one = "00000000-0000-0000-0000-000000000001"
    kinds: dict[str, tuple[str, Any]] = {
        "paint": ("red", "red"),
        "hue": ("red", "red"),
        "hue_again": ("red", "red"),
        "varchar(9)": ("red", "red"),
        "char(5)": ("red", "red  "),
        '"char"': ("r", "r"),
        "name": ("red", "red"),
        "uuid": (one, one),
        "smallint": ("7", 7),
        "oid": ("7", 7),
        "whole": ("7", 7),
        "numeric(5,0)": ("7", Decimal(7)),
        "numeric(4,2)": ("7.25", Decimal("7.25")),
        "boolean": ("true", True),
    }
    numbers = ("smallint", "oid", "whole", "numeric(5,0)", "numeric(4,2)")
    with psycopg.connect(house.resource.url, autocommit=True) as con:
        con.execute(
            "CREATE SCHEMA shop; CREATE TYPE paint AS ENUM ('red', 'green'); "
            "CREATE DOMAIN hue AS text CHECK (value <> ''); CREATE DOMAIN hue_again AS hue; "
            "CREATE DOMAIN whole AS int; CREATE DOMAIN moment AS timestamptz(3)"
        )
        for number, (kind, (key, value)) in enumerate(kinds.items()):
            con.execute(f"CREATE TABLE shop.t{number} (v {kind}, n int)".encode())
            con.execute(f"INSERT INTO shop.t{number} VALUES ('{key}', {number})".encode())
            other = "8" if kind in numbers else {"boolean": "false"}.get(kind, "it's; other")
            how: dict[str, Any] = {
                "metadata": {"partition_expr": "v"},
                "partitions_def": dg.StaticPartitionsDefinition([key, other]),
                "key": ("shop", f"t{number}"),
            }
            found = house.load(pa.Table, partition_key=key, **how).to_pylist()
            assert found == [{"v": value, "n": number}], kind
            assert house.load(pa.Table, partition_key=other, **how).num_rows == 0, kind
        con.execute("CREATE TABLE shop.orders (at moment, n int)")
        con.execute("INSERT INTO shop.orders VALUES ('2026-03-02 00:00Z', 1), ('2026-03-03Z', 2)")
    day = house.load(pa.Table, partition_key="2026-03-02", **BY_AT)
    assert day.column("n").to_pylist() == [1]


def test_partitions_of_large_whole_numbers_are_told_apart(house: House) -> None:
    duck(
        house,
        "CREATE SCHEMA shop; CREATE TABLE shop.orders AS SELECT i::UBIGINT AS color, i::HUGEINT AS "
        "n FROM range(3) t(i)",
    )
    for column in ("color", "n"):
        how: dict[str, Any] = {
            "metadata": {"partition_expr": column},
            "partitions_def": dg.StaticPartitionsDefinition(["1", "2", "x"]),
        }
        assert house.load(partition_key="2", **how)["color"].tolist() == [Decimal(2)]
        with pytest.raises(dg.Failure, match="'x' is no value of column"):
            house.load(partition_key="x", **how)


def test_a_partition_column_of_an_unknown_type_is_refused(house: House) -> None:
    duck(house, "CREATE SCHEMA shop; CREATE TABLE shop.orders AS SELECT TIME '12:00:00' AS at")
    with pytest.raises(dg.Failure) as raised:
        house.load(partition_key="2026-03-02", **BY_AT)
    assert "column at, which is time in the database" in str(raised.value.description)


def test_a_partition_column_of_enums_or_uuids_is_text(house: House) -> None:
    duck(
        house,
        "CREATE SCHEMA shop; CREATE TYPE paint AS ENUM ('red', 'green'); "
        "CREATE TABLE shop.orders AS SELECT 'red'::paint AS color, 1 AS n",
    )
    assert house.load(partition_key="red", **BY_COLOR)["n"].tolist() == [1]
    assert len(house.load(partition_key="green", **BY_COLOR)) == 0


@pytest.mark.parametrize("house", ["postgres"], indirect=True)
def test_frames_go_into_a_table_that_somebody_made_in_postgres(house: House) -> None:
    """Columns of the database's own types are kept; those that the frame lacks are left alone."""
    assert isinstance(house.resource, PostgresWarehouse)
    amount = Decimal("123456789012345678.125")
    with psycopg.connect(house.resource.url, autocommit=True) as con:
        con.execute(
            "CREATE SCHEMA shop; CREATE TABLE shop.orders (color varchar(9), amount numeric, "
            "j json, b jsonb, ip inet DEFAULT '::1', n smallint)"
        )
        con.execute(
            "INSERT INTO shop.orders VALUES ('green', 0.0625, '{\"a\":1}', '[]', '10.0.0.1', 1)"
        )
        frame = pd.DataFrame(
            {"color": ["red"], "amount": [amount], "j": [{"a": [1, None]}], "b": [[2]], "n": [7]}
        )
        for _ in range(2):
            house.store(frame, partition_key="red", **BY_COLOR)
        house.store(
            frame.assign(color="it's; blue", amount=0.1), partition_key="it's; blue", **BY_COLOR
        )
        rows = con.execute("SELECT color, amount, ip::text FROM shop.orders ORDER BY n, amount")
        assert rows.fetchall() == [
            ("green", Decimal("0.0625"), "10.0.0.1/32"),
            ("it's; blue", Decimal("0.1"), "::1/128"),
            ("red", amount, "::1/128"),
        ]
    found = house.load(pa.Table).sort_by("amount").to_pylist()
    assert [row["amount"] for row in found] == [Decimal("0.0625"), Decimal("0.1"), amount]
    assert [json.loads(row["j"]) for row in found] == [{"a": 1}, *2 * [{"a": [1, None]}]]
    assert house.load(partition_key="red", **BY_COLOR)["b"].tolist() == ["[2]"]


def test_columns_of_duckdb_s_own_types_are_left_alone_by_a_frame_without_them(house: House) -> None:
    duck(
        house,
        "CREATE SCHEMA shop; CREATE TABLE shop.orders (color VARCHAR, h HUGEINT, t TIME, i TINYINT)"
        "; INSERT INTO shop.orders VALUES ('green', 1, '12:00', 1)",
    )
    house.store(by_color("red", [7]).rename(columns={"v": "i"}), partition_key="red", **BY_COLOR)
    rows = house.load(pa.Table).sort_by("i").to_pylist()
    assert rows == [
        {"color": "green", "h": Decimal(1), "t": "12:00:00", "i": 1},
        {"color": "red", "h": None, "t": None, "i": 7},
    ]


@pytest.mark.parametrize("house", ["postgres"], indirect=True)
@pytest.mark.parametrize(("value", "fits"), [("7.25", True), ("NaN", False)])
def test_partitions_are_told_apart_by_a_numeric_that_a_decimal_holds(
    house: House, value: str, fits: bool
) -> None:
    assert isinstance(house.resource, PostgresWarehouse)
    with psycopg.connect(house.resource.url) as con:
        con.execute("CREATE SCHEMA shop; CREATE TABLE shop.orders (v numeric)")
        con.execute("INSERT INTO shop.orders VALUES (1), (%s)", [value])
    how: dict[str, Any] = {
        "metadata": {"partition_expr": "v"},
        "partitions_def": dg.StaticPartitionsDefinition(["1", "7.25"]),
    }
    if fits:
        assert house.load(partition_key="7.25", **how)["v"].tolist() == [Decimal("7.25")]
    else:
        with pytest.raises(dg.Failure, match="by column v, which is numeric in the database"):
            house.load(partition_key="1", **how)


# -- types that grow


def by_color(color: str, values: Any) -> pd.DataFrame:
    return pd.DataFrame({"color": [color] * len(values), "v": values})


@on_both
def test_a_column_grows_as_its_values_do(house: House) -> None:
    frames = [
        ("red", [Decimal("9.99")], "decimal(3,2)"),
        ("green", [Decimal("12345.6")], "decimal(7,2)"),
        ("red", [Decimal("0.125")], "decimal(8,3)"),
        ("green", [10**12], "decimal(22,3)"),
    ]
    for color, values, kind in frames:
        told = house.store(by_color(color, values), partition_key=color, **BY_COLOR)
        types = {c.name: c.type for c in told["dagster/column_schema"].columns}
        assert types["v"] == kind
    assert sorted(house.load(pa.Table).column("v").to_pylist()) == [Decimal("0.125"), 10**12]


@on_both
def test_whole_numbers_become_doubles_where_no_digit_is_lost(house: House) -> None:
    house.store(by_color("red", [1, 2**53]), partition_key="red", **BY_COLOR)
    house.store(by_color("green", [0.5]), partition_key="green", **BY_COLOR)
    assert sorted(house.load()["v"]) == [0.5, 1.0, 2.0**53]
    key = ("shop", "large")
    house.store(by_color("red", [2**53 + 1]), key=key, partition_key="red", **BY_COLOR)
    said = house.refuse(by_color("green", [0.5]), key=key, partition_key="green", **BY_COLOR)
    assert "column v is bigint in the database and double in the declaration" in said
    assert "drop the table and load it again" in said
    assert house.load(key=key)["v"].tolist() == [2**53 + 1]


@pytest.mark.parametrize("engine", ["duckdb", "delta"])
def test_dlt_takes_naive_moments_and_longer_decimals_later(tmp_path: Path, engine: str) -> None:
    resource = (
        DltWarehouse(destination="duckdb", credentials=str(tmp_path / "x.duckdb"))
        if engine == "duckdb"
        else DltWarehouse(
            destination="filesystem", bucket_url=tmp_path.as_uri(), table_format="delta"
        )
    )
    house = House(resource)
    for day, amount in ((1, "9.99"), (2, "123456.789"), (1, "0.5")):
        frame = pd.DataFrame(
            {
                "at": [at(day, 3)],
                "naive": [datetime(2026, 3, day)],  # noqa: DTZ001
                "amount": [Decimal(amount)],
            }
        )
        house.store(frame, partition_key=f"2026-03-0{day}", **BY_AT)
    rows = house.load(pa.Table).sort_by("at").to_pylist()
    assert [row["amount"] for row in rows] == [Decimal("0.5"), Decimal("123456.789")]
    assert [row["naive"].replace(tzinfo=None).day for row in rows] == [1, 2]


# -- assets that depend on their own day before


@on_both
@pytest.mark.parametrize("declared", [False, True])
def test_the_first_day_of_an_asset_that_reads_its_day_before_runs(
    house: House, declared: bool
) -> None:
    metadata: dict[str, Any] = {"partition_expr": "at"}
    if declared:
        columns = [dg.TableColumn("at", "timestamptz"), dg.TableColumn("total", "bigint")]
        metadata["dagster/column_schema"] = dg.TableSchema(columns=columns)
    before = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)

    @dg.asset(
        key=["shop", "running"],
        partitions_def=DAYS,
        metadata=metadata,
        ins={"running": dg.AssetIn(["shop", "running"], partition_mapping=before)},
    )
    def running(context: dg.AssetExecutionContext, running: pd.DataFrame) -> pd.DataFrame:
        total = sum(running["total"].tolist()) if len(running) else 0
        day = datetime.fromisoformat(context.partition_key).replace(tzinfo=UTC)
        return pd.DataFrame({"at": [day + timedelta(hours=1)], "total": [total + day.day]})

    for day in ("2026-03-01", "2026-03-02", "2026-03-03"):
        assert house.run([running], partition_key=day).success
    assert sorted(house.load(key=("shop", "running"))["total"]) == [1, 3, 6]
    fresh = House(house.resource)  # a later day, of whose day before there is no row
    assert fresh.run([running], partition_key="2026-03-20").success


def test_another_asset_of_a_table_that_is_not_there_is_told_to_materialize_it(house: House) -> None:
    with pytest.raises(dg.Failure, match="Materialize shop/orders first"):
        house.load()


# -- what reaches Dagster's event log


def test_no_value_of_a_row_is_in_the_event_log(tmp_path: Path) -> None:
    secret = "alice@example.com"
    columns = [dg.TableColumn("id", "text"), dg.TableColumn("n", "bigint")]
    metadata = {
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "primary_key": ["id"],
    }

    @dg.asset(key=["shop", "people"], metadata=metadata)
    def people() -> Any:
        return frames[0]

    frames = [
        pd.DataFrame({"id": [secret, secret], "n": [1, 2]}),
        pd.DataFrame({"id": [secret], "n": [secret]}),
    ]
    manager = WarehouseIOManager(warehouse=DuckDBWarehouse(path=str(tmp_path / "w.duckdb")))
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        while frames:
            done = dg.materialize(
                [people],
                instance=instance,
                resources={"io_manager": manager},
                run_config=QUIET,
                raise_on_error=False,
            )
            assert not done.success
            frames.pop(0)
        events = [
            str(record.event_log_entry)
            for run in instance.get_runs()
            for record in instance.get_records_for_run(run.run_id).records
        ]
    assert events
    assert not any(secret in event for event in events)
