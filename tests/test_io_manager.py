"""Users' frames through the IO manager: whole or not at all, by name, in their partition alone."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from hog_dagster import (
    DltWarehouse,
    DuckDBWarehouse,
    PostgresWarehouse,
    PostHogResource,
    WarehouseIOManager,
)
from hog_dagster.assets import build_workflow_logs_asset
from hog_dagster.resources import WarehouseResource
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import Column, Table

DAYS = dg.DailyPartitionsDefinition(start_date="2026-03-01", end_date="2026-04-01")
NEW_YORK = dg.DailyPartitionsDefinition(
    start_date="2026-03-01", end_date="2026-04-01", timezone="America/New_York"
)
COLORS = dg.StaticPartitionsDefinition(["red", "green", "it's; blue"])
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


class House:
    """A warehouse with the IO manager on it, and runs of assets that are given their frame."""

    def __init__(self, resource: WarehouseResource) -> None:
        self.resource = resource
        self.instance = dg.DagsterInstance.ephemeral()

    def run(self, assets: list[Any], **how: Any) -> dg.ExecuteInProcessResult:
        manager = WarehouseIOManager(warehouse=self.resource)
        resources = {"io_manager": manager, "warehouse": self.resource, **how.pop("more", {})}
        if keys := how.pop("keys", None):
            how["tags"] = dict(zip(RANGE, keys, strict=True))
        return dg.materialize(
            assets, instance=self.instance, resources=resources, run_config=QUIET, **how
        )

    def store(self, frame: Any, *, key: Any = ("shop", "orders"), **how: Any) -> dict[str, Any]:
        """Materialize an asset that returns the frame; the metadata of its (last) event."""
        spec = {n: how.pop(n) for n in ("partitions_def", "metadata") if n in how}

        @dg.asset(key=list(key), **spec)
        def orders() -> Any:
            return frame

        result = self.run([orders], **how)
        assert result.success
        (last,) = self.instance.fetch_materializations(dg.AssetKey(list(key)), limit=1).records
        assert last.asset_materialization is not None
        return {name: value.value for name, value in last.asset_materialization.metadata.items()}

    def refuse(self, frame: Any, **how: Any) -> str:
        """Materialize the asset in vain; why."""
        with pytest.raises(dg.Failure) as raised:
            self.store(frame, **how)
        return str(raised.value.description)

    def load(
        self, annotation: Any = pd.DataFrame, key: Any = ("shop", "orders"), **how: Any
    ) -> Any:
        """What an asset gets that takes the table as its input."""
        seen: list[Any] = []
        spec = {n: how.pop(n) for n in ("partitions_def",) if n in how}
        above = dg.AssetSpec(list(key), metadata=how.pop("metadata", {}), **spec)

        def look(orders: Any) -> None:
            seen.append(orders)

        look.__annotations__ = {"orders": annotation, "return": None}
        ins = {"orders": dg.AssetIn(list(key), metadata=how.pop("only", {}))}
        self.run([above, dg.asset(ins=ins, **spec)(look)], selection=["look"], **how)
        return seen[0]


@pytest.fixture
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    """A house on a DuckDB file, and on PostgreSQL where a test asks for both."""
    if getattr(request, "param", "duckdb") == "postgres":
        return House(PostgresWarehouse(url=request.getfixturevalue("postgres_url")))
    return House(DuckDBWarehouse(path=str(tmp_path / "w.duckdb")))


# A run costs a fifth of a second, and the adapters' own tests show that they are alike: what could
# differ through the IO manager is tried on both.
on_both = pytest.mark.parametrize("house", ["duckdb", "postgres"], indirect=True)


def at(day: int, hour: float = 0) -> datetime:
    return datetime(2026, 3, day, tzinfo=UTC) + timedelta(hours=hour)


BY_AT = {"metadata": {"partition_expr": "at"}, "partitions_def": DAYS}
BY_COLOR = {"metadata": {"partition_expr": "color"}, "partitions_def": COLORS}


@on_both
def test_a_frame_comes_back_as_it_was_whatever_library_it_is_of(house: House) -> None:
    pandas = pd.DataFrame(
        {
            "n": pd.array([1, None, 2**60], "Int64"),
            "x": [0.5, None, -1.0],
            "text": ["a", "", None],
            "yes": [True, False, True],
            "at": pd.to_datetime(["2026-03-01T12:00:00.000001Z"] * 3),
            "day": [date(2026, 3, 1)] * 3,
        }
    )
    frames = {
        pd.DataFrame: pandas,
        pl.DataFrame: pl.DataFrame(pandas),
        pl.LazyFrame: pl.DataFrame(pandas).lazy(),
        pa.Table: pa.Table.from_pandas(pandas),
    }
    for kind, frame in frames.items():
        house.store(frame)
        back = house.load(kind)
        assert isinstance(back, kind)
        rows = {
            pd.DataFrame: lambda f: pa.Table.from_pandas(f).to_pylist(),
            pl.DataFrame: lambda f: f.to_dicts(),
            pl.LazyFrame: lambda f: f.collect().to_dicts(),
            pa.Table: lambda f: f.to_pylist(),
        }[kind](back)
        rows.sort(key=lambda row: str(row["text"]))
        assert [row["n"] for row in rows] == [None, 2**60, 1]
        assert [row["x"] for row in rows] == [None, -1.0, 0.5]
        assert [row["text"] for row in rows] == ["", None, "a"]
        assert [row["yes"] for row in rows] == [False, True, True]
        assert {row["at"] for row in rows} == {at(1, 12) + timedelta(microseconds=1)}
        assert {row["day"] for row in rows} == {date(2026, 3, 1)}


# -- what Dagster's own manager for DuckDB and pandas gets wrong, one by one


@on_both
def test_1_a_frame_that_does_not_fit_leaves_the_old_rows(house: House) -> None:
    house.store(
        pd.DataFrame({"color": ["red", "red"], "n": [1, 2]}), partition_key="red", **BY_COLOR
    )
    bad = pd.DataFrame({"color": ["red"], "n": ["not a number"]})
    assert "column n is bigint" in house.refuse(bad, partition_key="red", **BY_COLOR)
    other = pd.DataFrame({"color": ["green"], "n": [3]})
    assert "not in the scope" in house.refuse(other, partition_key="red", **BY_COLOR)
    assert sorted(house.load()["n"]) == [1, 2]


def test_2_columns_are_matched_by_name(house: House) -> None:
    house.store(
        pd.DataFrame({"color": ["red"], "a": ["A"], "b": ["B"]}), partition_key="red", **BY_COLOR
    )
    swapped = pd.DataFrame({"b": ["B"], "a": ["A"], "color": ["green"]})
    house.store(swapped, partition_key="green", **BY_COLOR)
    assert house.load()[["a", "b"]].drop_duplicates().values.tolist() == [["A", "B"]]


@on_both
def test_3_new_columns_are_added_and_missing_ones_are_null(house: House) -> None:
    house.store(pd.DataFrame({"color": ["red"], "old": [1]}), partition_key="red", **BY_COLOR)
    house.store(pd.DataFrame({"color": ["green"], "new": ["x"]}), partition_key="green", **BY_COLOR)
    rows = house.load(pa.Table).sort_by("color").to_pylist()
    assert rows == [
        {"color": "green", "new": "x", "old": None},
        {"color": "red", "new": None, "old": 1},
    ]


@on_both
def test_4_a_column_of_nulls_takes_the_type_of_the_first_values(house: House) -> None:
    later = {"text": "t", "n": 7, "x": 0.5, "at": at(1), "raw": {"a": 1}, "yes": True}
    nulls = pd.DataFrame({"color": ["red"], **{name: [None] for name in later}})
    house.store(nulls, partition_key="red", **BY_COLOR)
    values = pd.DataFrame({"color": ["green"], **{name: [value] for name, value in later.items()}})
    house.store(values, partition_key="green", **BY_COLOR)
    house.store(nulls, partition_key="red", **BY_COLOR)
    green, red = house.load(pa.Table).sort_by("color").to_pylist()
    assert red == {"color": "red", **dict.fromkeys(later)}
    assert {**green, "raw": json.loads(green["raw"])} == {"color": "green", **later}


def test_5_dicts_of_any_shape_are_json(house: House) -> None:
    shapes: list[Any] = [{"$browser": "x"}, {"other": [1, None]}, None, [1], float("nan")]
    house.store(pd.DataFrame({"n": range(5), "properties": pd.Series(shapes, dtype="object")}))
    back = house.load().sort_values("n")["properties"].tolist()
    assert [None if not isinstance(text, str) else json.loads(text) for text in back] == [
        {"$browser": "x"}, {"other": [1, None]}, None, [1], None,
    ]  # fmt: skip
    house.store(pl.DataFrame({"n": [1], "properties": [{"a": {"b": 1}}]}))
    assert json.loads(house.load()["properties"][0]) == {"a": {"b": 1}}


def test_6_a_first_frame_without_rows_makes_the_table(house: House) -> None:
    empty = pd.DataFrame({"at": pd.Series([], dtype="datetime64[us, UTC]"), "what": []})
    told = house.store(empty, partition_key="2026-03-01", **BY_AT)
    assert told["dagster/partition_row_count"] == 0
    assert len(house.load()) == 0
    rows = pd.DataFrame({"at": [at(2)], "what": ["text"]})
    house.store(rows, partition_key="2026-03-02", **BY_AT)
    assert house.load()["what"].tolist() == ["text"]


@on_both
@pytest.mark.parametrize("kind", ["aware", "naive", "date"])
def test_7_a_day_of_new_york_written_twice_stands_once(house: House, kind: str) -> None:
    spec = {"partitions_def": NEW_YORK, "metadata": {"partition_expr": "at"}}
    moments = {day: [at(day, 5), at(day + 1, 4.5)] for day in (1, 2)}
    for day in (1, 2, 1, 2):
        values: Any = moments[day]
        if kind == "naive":
            values = [moment.replace(tzinfo=None) for moment in values]
        if kind == "date":
            values = [date(2026, 3, day)] * 2
        frame = pd.DataFrame({"at": values, "day": day})
        told = house.store(frame, partition_key=f"2026-03-0{day}", **spec)
        assert told["dagster/partition_row_count"] == 2
    assert sorted(house.load()["day"]) == [1, 1, 2, 2]
    assert house.load(partition_key="2026-03-02", **spec)["day"].tolist() == [2, 2]


def test_8_after_a_failed_write_the_file_is_closed(tmp_path: Path) -> None:
    house = House(DuckDBWarehouse(path=str(tmp_path / "w.duckdb")))
    house.store(pd.DataFrame({"color": ["red"], "n": [1]}), partition_key="red", **BY_COLOR)
    house.refuse(pd.DataFrame({"color": ["red"], "n": ["x"]}), partition_key="red", **BY_COLOR)
    with duckdb.connect(str(tmp_path / "w.duckdb"), config={"threads": "1"}) as con:
        row = con.execute('SELECT count(*) FROM "shop"."orders"').fetchone()
    assert row == (1,)


@on_both
def test_9_partitions_written_at_the_same_time_all_land(house: House) -> None:
    def write(day: int) -> None:
        own = House(house.resource)
        frame = pd.DataFrame({"at": [at(day, h) for h in range(24)], "day": day})
        own.store(frame, partition_key=f"2026-03-{day:02}", **BY_AT)
        assert len(own.load(partition_key=f"2026-03-{day:02}", **BY_AT)) == 24

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(1, 7)))
    assert house.load()["day"].value_counts().to_dict() == dict.fromkeys(range(1, 7), 24)


@on_both
def test_10_a_run_over_many_partitions_counts_each(house: House) -> None:
    frame = pd.DataFrame({"at": [at(day, h) for day in (1, 2, 4) for h in range(day)]})
    house.store(frame, keys=("2026-03-01", "2026-03-04"), **BY_AT)
    assert counts(house) == {"2026-03-01": 1, "2026-03-02": 2, "2026-03-03": 0, "2026-03-04": 4}
    told = house.store(frame.head(0), keys=("2026-03-02", "2026-03-03"), **BY_AT)
    assert told["dagster/partition_row_count"] == 0
    assert len(house.load()) == 5
    colors = pd.DataFrame({"color": ["red", "it's; blue", "it's; blue"]})
    house.store(colors, keys=("red", "it's; blue"), key=("shop", "colors"), **BY_COLOR)
    assert counts(house, ("shop", "colors")) == {"red": 1, "green": 0, "it's; blue": 2}


def counts(house: House, key: Any = ("shop", "orders")) -> dict[str, Any]:
    """The row count on record for each partition."""
    records = house.instance.fetch_materializations(dg.AssetKey(list(key)), limit=100).records
    found: dict[str, Any] = {}
    for record in reversed(records):
        event = record.asset_materialization
        assert event is not None
        found[str(event.partition)] = event.metadata["dagster/partition_row_count"].value
    return found


@on_both
def test_11_names_and_keys_are_never_read_as_sql(house: House) -> None:
    metadata = {"partition_expr": "the color", "schema": 'my-"shop"; --'}
    spec = {"metadata": metadata, "partitions_def": COLORS}
    frame = pd.DataFrame({"the color": ["it's; blue"], 'co"l': [1]})
    for _ in range(2):
        house.store(frame, partition_key="it's; blue", **spec)
    assert house.load(metadata=metadata)['co"l'].tolist() == [1]
    back = house.load(partition_key="it's; blue", **spec)
    assert back["the color"].tolist() == ["it's; blue"]
    house.store(frame, key=("bare",))
    assert len(house.load(key=("bare",))) == 1


def test_12_metadata_is_what_dagster_s_pages_read(house: House) -> None:
    told = house.store(pd.DataFrame({"n": [1, 2], "text": ["a", "b"]}))
    assert told["dagster/row_count"] == 2
    assert told["dagster/table_name"] == "shop.orders"
    columns = told["dagster/column_schema"].columns
    assert [(c.name, c.type) for c in columns] == [("n", "bigint"), ("text", "text")]


def test_13_a_stream_of_batches_is_stored_without_being_held(house: House) -> None:
    schema = pa.schema([("n", pa.int64())])
    batches = (pa.record_batch([range(i, i + 100)], schema=schema) for i in range(0, 1000, 100))
    told = house.store(pa.RecordBatchReader.from_batches(schema, batches))
    assert told["dagster/row_count"] == 1000
    assert house.load()["n"].sum() == sum(range(1000))


def test_a_table_without_partitions_takes_the_types_of_the_frame(house: House) -> None:
    house.store(pd.DataFrame({"n": [1], "what": ["7"]}))
    house.store(pd.DataFrame({"n": [0.5], "what": [7]}))
    assert house.load().to_dict("list") == {"n": [0.5], "what": [7]}


# -- declared columns


def test_declared_columns_are_kept_to(house: House) -> None:
    schema = dg.TableSchema(
        columns=[
            dg.TableColumn("id", "text", constraints=dg.TableColumnConstraints(nullable=False)),
            dg.TableColumn("n", "integer", description="How many"),
            dg.TableColumn("seen", "timestamptz"),
        ]
    )
    metadata = {"dagster/column_schema": schema, "primary_key": ["id"]}
    told = house.store(pd.DataFrame({"id": ["a"], "n": [1.0]}), metadata=metadata)
    assert told["dagster/column_schema"] == schema
    assert house.load(pa.Table, metadata=metadata).schema.types == [
        pa.string(), pa.int32(), pa.timestamp("us", "UTC"),
    ]  # fmt: skip
    for wrong, says in (
        ({"id": ["a"], "extra": [1]}, "does not declare column extra"),
        ({"id": ["a", "a"]}, "more than one row"),
        ({"id": [None]}, "may not be null"),
        ({"id": ["a"], "n": [0.5]}, "do not fit its type integer"),
        ({"id": ["a"], "seen": [datetime(2026, 3, 1)]}, "no time zone"),  # noqa: DTZ001
    ):
        assert says in house.refuse(pd.DataFrame(wrong), metadata=metadata)
    assert house.load()["n"].tolist() == [1]


def test_a_schema_of_other_types_describes_and_declares_nothing(house: House) -> None:
    words = dg.TableSchema(columns=[dg.TableColumn("n", "string", description="How many")])
    house.store(pd.DataFrame({"n": [1], "m": [2]}), metadata={"dagster/column_schema": words})
    with house.resource.open() as opened:
        found = opened.describe(Table("orders", (Column("n", "bigint"),), schema="shop")) or []
    assert [(c.name, c.type, c.description) for c in found] == [
        ("n", "bigint", "How many"),
        ("m", "bigint", ""),
    ]


# -- partitions of every kind


def test_hours_are_cut_as_moments_and_not_by_a_column_of_dates(house: House) -> None:
    hours = dg.HourlyPartitionsDefinition(start_date="2026-03-01-00:00")
    spec = {"partitions_def": hours, "metadata": {"partition_expr": "at"}}
    for hour in (1, 2, 1):
        frame = pd.DataFrame({"at": [at(1, hour), at(1, hour + 0.99)]})
        house.store(frame, partition_key=f"2026-03-01-0{hour}:00", **spec)
    assert len(house.load()) == 4
    frame = pd.DataFrame({"at": [date(2026, 3, 1)]})
    said = house.refuse(frame, key=("dates",), partition_key="2026-03-01-01:00", **spec)
    assert "partition by a column of timestamps" in said


def test_several_dimensions_are_cut_by_a_column_each(house: House) -> None:
    both = dg.MultiPartitionsDefinition({"day": DAYS, "color": COLORS})
    spec = {
        "partitions_def": both,
        "metadata": {"partition_expr": {"day": "at", "color": "color"}},
    }
    for color, day in (("red", 1), ("red", 2), ("green", 1), ("red", 1)):
        key = dg.MultiPartitionKey({"day": f"2026-03-0{day}", "color": color})
        house.store(pd.DataFrame({"at": [at(day, 3)], "color": color}), partition_key=key, **spec)
    assert len(house.load()) == 3
    key = dg.MultiPartitionKey({"day": "2026-03-01", "color": "red"})
    assert house.load(partition_key=key, **spec)["color"].tolist() == ["red"]
    without = {**spec, "metadata": {"partition_expr": "at"}}
    said = house.refuse(pd.DataFrame({"at": [at(1)]}), partition_key=key, **without)
    assert "which column each stands in" in said


def test_numbers_and_text_may_hold_the_keys_of_partitions(house: House) -> None:
    numbers = dg.StaticPartitionsDefinition(["1", "2"])
    spec = {"partitions_def": numbers, "metadata": {"partition_expr": "n"}}
    for key in ("1", "2", "1"):
        house.store(pd.DataFrame({"n": [int(key)], "x": key}), partition_key=key, **spec)
    assert sorted(house.load()["x"]) == ["1", "2"]
    text = {"partitions_def": DAYS, "metadata": {"partition_expr": "day"}}
    for day in ("2026-03-01", "2026-03-02", "2026-03-01"):
        frame = pd.DataFrame({"day": [day]})
        house.store(frame, key=("days",), partition_key=day, **text)
    assert sorted(house.load(key=("days",))["day"]) == ["2026-03-01", "2026-03-02"]
    said = house.refuse(
        pd.DataFrame({"color": ["red"]}), partition_key="red", partitions_def=COLORS
    )
    assert "say by which column" in said


def test_an_input_holds_its_partitions_and_columns_only(house: House) -> None:
    frame = pd.DataFrame({"at": [at(d) for d in (1, 2, 3)], "d": [1, 2, 3], "x": "x"})
    house.store(frame, keys=("2026-03-01", "2026-03-03"), **BY_AT)
    two = house.load(only={"columns": ["d"]}, keys=("2026-03-02", "2026-03-03"), **BY_AT)
    assert two.to_dict("list") == {"d": [2, 3]}
    assert len(house.load()) == 3


# -- what cannot be stored or loaded


def test_what_is_no_frame_is_refused_with_a_sentence(house: House) -> None:
    assert "pandas or polars DataFrame" in house.refuse({"n": 1})
    assert "annotate it `-> None`" in house.refuse(None)
    mixed = pd.DataFrame({"x": pd.Series([1, "a"], dtype="object")})
    assert "column x are not of one type" in house.refuse(mixed)
    times = pa.table({"x": pa.array([1], pa.time64("us"))})
    assert "column x holds time64[us]" in house.refuse(times)
    with pytest.raises(dg.Failure, match="tables are loaded as pandas"):
        house.load(dict)
    with pytest.raises(dg.Failure, match="nothing has been loaded"):
        house.load()


# -- our tables as inputs, and frames through dlt


@on_both
def test_our_tables_are_inputs_of_users_assets(house: House) -> None:
    days = dg.DailyPartitionsDefinition(start_date="2026-11-01", end_date="2026-12-01")
    seen: dict[str, Any] = {}

    @dg.asset(
        partitions_def=days,
        metadata={"partition_expr": "day"},
        ins={"logs": dg.AssetIn(["posthog", "workflow_logs"], metadata={"columns": COLUMNS})},
    )
    def errors_a_day(context: dg.AssetExecutionContext, logs: pd.DataFrame) -> pd.DataFrame:
        seen[context.partition_key] = logs
        found = logs[logs["level"] == "ERROR"].groupby("workflow_id").size()
        day = date.fromisoformat(context.partition_key)
        return pd.DataFrame({"day": day, "workflow_id": found.index, "errors": found.to_numpy()})

    logs = build_workflow_logs_asset(days)
    with Sandbox("docs", limits=False, now=datetime(2026, 11, 20, 12, tzinfo=UTC)) as sandbox:
        posthog = PostHogResource(
            host=sandbox.url, api_key=sandbox.api_key, project_id=str(sandbox.project_id)
        )
        for key in ("2026-11-18", "2026-11-19"):
            house.run([logs, errors_a_day], partition_key=key, more={"posthog": posthog})
    for key, frame in seen.items():
        assert list(frame.columns) == COLUMNS
        assert len(frame) > 0
        assert set(frame["timestamp"].dt.date) == {date.fromisoformat(key)}
    alone = House(house.resource)
    alone.run([logs.to_source_asset(), errors_a_day], partition_key="2026-11-18")
    assert len(alone.load(key=("errors_a_day",))) == len(house.load(key=("errors_a_day",)))


COLUMNS = ["timestamp", "workflow_id", "level"]


@pytest.mark.parametrize("kind", ["duckdb", "delta"])
def test_frames_land_in_what_dlt_loads_too(kind: str, tmp_path: Path) -> None:
    resource = DltWarehouse(destination="duckdb", credentials=str(tmp_path / "x.duckdb"))
    if kind == "delta":
        resource = DltWarehouse(
            destination="filesystem", bucket_url=tmp_path.as_uri(), table_format="delta"
        )
    house = House(resource)
    first = pd.DataFrame({"at": [at(1)], "Amount": [1]})
    house.store(first, partition_key="2026-03-01", **BY_AT)
    second = pd.DataFrame({"at": [at(2)], "Amount": [2], "note": ["x"]})
    for _ in range(2):
        told = house.store(second, partition_key="2026-03-02", **BY_AT)
        assert told["dagster/partition_row_count"] == 1
    rows = house.load(pa.Table).sort_by("at").to_pylist()
    assert [(row["amount"], row["note"]) for row in rows] == [(1, None), (2, "x")]
