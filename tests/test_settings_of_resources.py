"""Settings as people give them: memory, numbers from the environment, keys in quotes."""

from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from hog_dagster import DuckDBWarehouse, PostHogResource
from hog_dagster.components._warehouses import WarehouseFields
from hog_dagster.definitions import _warehouse
from hog_dagster.posthog._arguments import check_api_key
from hog_dagster.posthog.errors import ConfigurationError
from hog_dagster.settings import Settings, read_settings
from hog_dagster.warehouse import Column, Table
from hog_dagster.warehouse.errors import WarehouseError


def limit_of(resource: Any) -> str:
    with resource.open() as opened:
        opened.replace(Table("t", (Column("n", "bigint"),)), [[{"n": 1}]])
        (row,) = opened.query("SELECT current_setting('memory_limit') AS memory").to_pylist()
    return row["memory"]


def test_the_memory_of_duckdb_is_set_in_python_yaml_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "w.duckdb")
    monkeypatch.setenv("HOG_DAGSTER_WAREHOUSE", path)
    monkeypatch.setenv("HOG_DAGSTER_MEMORY_LIMIT", "700MiB")
    for resource in (
        DuckDBWarehouse(path=path, memory_limit="700MiB"),
        WarehouseFields(duckdb=path, memory_limit="700MiB").resource(),
        _warehouse(read_settings(Settings)),
    ):
        assert limit_of(resource) == "700.0 MiB"
    assert limit_of(DuckDBWarehouse(path=path)) == "488.2 MiB"  # 512 MB
    with pytest.raises(ValueError, match="a size such as 512MB"):
        DuckDBWarehouse(path=path, memory_limit="lots")


def test_too_little_memory_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    table = Table("wide", (Column("n", "bigint"), Column("text", "text")))
    cell = "x" * 5_000_000
    path = str(tmp_path / "w.duckdb")
    rows = [pa.table({"n": [n], "text": [cell]}) for n in range(30)]
    with DuckDBWarehouse(path=path, memory_limit="2GB").open() as opened:
        opened.replace(table, rows)
        assert opened.read(table).num_rows == 30
    with (
        DuckDBWarehouse(path=path, memory_limit="24MB").open() as small,
        pytest.raises(WarehouseError, match="HOG_DAGSTER_MEMORY_LIMIT"),
    ):
        small.read(table, order_by="text")


def test_a_project_number_may_be_given_as_a_number_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_PROJECT", "42")
    seen = []

    @dg.asset
    def look(posthog: PostHogResource) -> None:
        seen.append(posthog.project_id)

    posthog = PostHogResource(api_key="phx_x", project_id=dg.EnvVar.int("MY_PROJECT"))  # type: ignore[arg-type]
    assert dg.materialize([look], resources={"posthog": posthog}).success
    assert seen == ["42"]


@pytest.mark.parametrize("key", ["", "  ", '""', "'phx_abc'", '"phx_abc"'])
def test_an_empty_key_and_one_in_quotes_are_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match=r"not set|quotes") as raised:
        check_api_key(key)
    assert "phx_abc" not in str(raised.value)
