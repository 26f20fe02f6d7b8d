"""Frames of any library, and values that no column type holds."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import arro3.core
import dagster as dg
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from tests.test_io_manager import House, house, on_both

__all__ = ["house"]


def test_a_frame_of_any_library_is_stored_by_the_arrow_protocol(house: House) -> None:
    table = pa.table({"n": [1, 2], "text": ["a", None]})

    class Own:
        """A library nobody has heard of."""

        def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
            return table.__arrow_c_stream__(requested_schema)

    class OwnBatch:
        def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
            return table.to_batches()[0].__arrow_c_array__(requested_schema)

    frames = [Own(), OwnBatch(), arro3.core.Table.from_arrow(table), duckdb.arrow(table)]
    for frame in frames:
        house.store(frame)
        assert house.load(pa.Table).sort_by("n").to_pylist() == table.to_pylist()
    back = house.load(arro3.core.Table)
    assert isinstance(back, arro3.core.Table)
    assert pa.table(back).sort_by("n").to_pylist() == table.to_pylist()


def test_columns_that_only_polars_holds_are_refused_in_one_sentence(house: House) -> None:
    objects = pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)})
    assert "column o holds Python objects; make it text" in house.refuse(objects)
    wide = pl.DataFrame({"n": [2**100]}, schema={"n": pl.Int128})
    assert "column n holds 128-bit integers; cast it" in house.refuse(wide)
    assert "128-bit" in house.refuse(wide.lazy())


def test_numbers_that_are_none_are_kept_or_refused_in_one_sentence(house: House) -> None:
    house.store(pd.DataFrame({"x": [float("inf"), float("-inf"), 1.0]}))
    assert sorted(house.load()["x"]) == [float("-inf"), 1.0, float("inf")]
    nan = pd.DataFrame({"d": pd.Series([Decimal("NaN"), Decimal("1.5")], dtype="object")})
    told = house.refuse(nan, key=("shop", "nan")) if not stored(house, nan) else "NaN"
    assert "column d" in told or told == "NaN"


def stored(house: House, frame: pd.DataFrame) -> bool:
    """Whether the frame is stored, its NaN as null."""
    try:
        house.store(frame, key=("shop", "nan"))
    except dg.Failure:
        return False
    return house.load(pa.Table, key=("shop", "nan")).column("d").null_count == 1


@on_both
def test_whatever_arrow_has_around_values_is_taken_off(house: House) -> None:
    texts = ["a", None, "a"]
    words = pa.array(texts)
    frames = {
        "categorical": pl.DataFrame({"v": pl.Series(texts, dtype=pl.Categorical)}),
        "enum": pl.DataFrame({"v": pl.Series(texts, dtype=pl.Enum(["a", "b"]))}),
        "pandas category": pd.DataFrame({"v": pd.Categorical(texts)}),
        "dictionary": pa.table({"v": words.dictionary_encode()}),
        "view": pa.table({"v": words.cast(pa.string_view())}),
        "large": pa.table({"v": words.cast(pa.large_string())}),
        "run lengths": pa.table({"v": pa.RunEndEncodedArray.from_arrays([1, 2, 3], words)}),
    }
    for name, frame in frames.items():
        house.store(frame, key=("shop", "texts"))
        found = house.load(pa.Table, key=("shop", "texts")).column("v").to_pylist()
        assert sorted(found, key=str) == [None, "a", "a"], name
    numbers = {
        "few digits": pa.array([Decimal("7")], pa.decimal128(5, 2)),
        "no digits": pa.array([Decimal("7E+3")], pa.decimal128(5, -3)),
        "narrow": pa.array([7], pa.uint8()),
        "half": pa.array([np.float16(7)], pa.float16()),
    }
    for number, values in enumerate(numbers.values()):
        house.store(pa.table({"v": values}), key=("shop", f"n{number}"))
        (row,) = house.load(pa.Table, key=("shop", f"n{number}")).to_pylist()
        assert row["v"] in (7, 7000)
    nested: dict[str, Any] = {"lists": pa.array([[1, 2]], pa.list_view(pa.int64()))}
    if hasattr(pa, "json_"):  # Arrow's type for JSON came with pyarrow 19
        nested["json"] = pa.ExtensionArray.from_storage(pa.json_(), pa.array(["[1, 2]"]))
    for name, values in nested.items():
        house.store(pa.table({"v": values}), key=("shop", name))
        told = house.load(pa.Table, key=("shop", name)).column("v").to_pylist()
        assert [text.replace(" ", "") for text in told] == ["[1,2]"]


def test_values_that_no_column_type_holds_are_refused_in_one_sentence(house: House) -> None:
    far, before = date(9999, 12, 31), date(1, 1, 1)
    days = pa.array([(far - date(1970, 1, 1)).days + 1], pa.int32()).cast(pa.date32())
    bc = pa.array([(before - date(1970, 1, 1)).days - 1], pa.int32()).cast(pa.date32())
    moments = pa.array([2**50], pa.timestamp("s"))
    refused: list[tuple[Any, str]] = [
        (pd.DataFrame({"a": [Decimal("Infinity")]}), "infinite decimals; make them null"),
        (pd.DataFrame({"a": [Decimal("1e20"), Decimal("1e-20")]}), "decimal256(41, 20)"),
        (pd.DataFrame({"a": [2**70]}), "whole numbers of more than 64 bits; make it Decimal"),
        (pd.DataFrame({"a": pd.Series([2**64 - 1], dtype="uint64")}), "do not fit its type bigint"),
        (pa.table({"a": days}), "before year 1 or after year 9999"),
        (pa.table({"a": bc}), "before year 1 or after year 9999"),
        (pa.table({"a": moments}), "before year 1 or after year 9999"),
        (pd.DataFrame({"a": pd.Series(["\ud800"], dtype=object)}), "half of a surrogate pair"),
        (pl.DataFrame({"a": [[2**100]]}, schema={"a": pl.List(pl.Int128)}), "128-bit integers"),
        (pl.DataFrame({"a": [{"x": 1}]}, schema={"a": pl.Struct({"x": pl.Int128})}), "128-bit"),
        (pd.DataFrame({"a": [1, "alice@example.com"]}), "not of one type"),
    ]
    for frame, sentence in refused:
        said = house.refuse(frame)
        assert sentence in said
        assert "column a" in said
        assert "alice" not in said
    edges = [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)]
    house.store(pa.table({"at": pa.array(edges), "day": pa.array([before, far])}))
    assert house.load(pa.Table).sort_by("at").to_pylist() == [
        {"at": edges[0], "day": before},
        {"at": edges[1], "day": far},
    ]
