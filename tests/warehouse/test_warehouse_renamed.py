"""A table that is called otherwise now is taken over with its rows."""

from dataclasses import replace
from pathlib import Path

import pytest

from hog_dagster.assets._insight_tables import sql_table, sql_table_name
from hog_dagster.posthog._insight_rows import RowColumn
from hog_dagster.warehouse import Column, DuckDB, Postgres, Table, Warehouse

NOW = Table("things", (Column("id", "bigint"),), schema="renamed_now", former="Things_AbC")
BEFORE = replace(NOW, name="Things_AbC", former=None)


@pytest.fixture(params=["duckdb", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    if request.param == "postgres":
        return Postgres(request.getfixturevalue("postgres_url"))
    return DuckDB(tmp_path / "w.duckdb")


def test_a_table_that_has_another_name_now_is_renamed_with_its_rows(opened: Warehouse) -> None:
    with opened as warehouse:
        warehouse.replace(BEFORE, [[{"id": 1}]])
        warehouse.replace(NOW, [[{"id": 2}]], scope={"id": [2]})
        assert sorted(warehouse.read(NOW).column("id").to_pylist()) == [1, 2]
        assert warehouse.describe(BEFORE) is None
        warehouse.replace(BEFORE, [[{"id": 9}]])
        warehouse.replace(NOW, [[{"id": 3}]])
        assert warehouse.read(NOW).column("id").to_pylist() == [3]
        assert warehouse.read(BEFORE).column("id").to_pylist() == [9]


def test_a_sql_insight_has_a_name_in_lower_case_of_its_short_id_alone() -> None:
    names = {sql_table_name(ident) for ident in ("AaVQ8Ijw", "aaVQ8Ijw", "aavq8ijw", "aAVQ8IJW")}
    assert len(names) == 4
    assert all(name == name.lower() and name.isidentifier() for name in names)
    assert sql_table_name("aavq8ijw") == "insight_sql_aavq8ijw"
    columns = [RowColumn("n", "bigint", "")]
    before, _ = sql_table("AaVQ8Ijw", "Before", columns)
    after, _ = sql_table("AaVQ8Ijw", "Renamed", columns)
    assert before.name == after.name
    assert before.former == "insight_sql_AaVQ8Ijw"
