"""Connections that several calls share: for looks before a load, and for what comes after one."""

from typing import Any

import duckdb
import psycopg
import pytest

from hog_dagster.warehouse import Column, Table, Warehouse
from hog_dagster.warehouse.errors import InvalidQuery, InvalidRows

TABLE = Table(
    "things",
    (Column("id", "bigint", "Its id.", nullable=False), Column("name", "text", "Its name.")),
    description="Things.",
    key=("id",),
)
ROWS = [[{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The connections that were opened."""
    found: list[Any] = []
    for module in (duckdb, psycopg):
        connect = module.connect

        def counted(*given: Any, connect: Any = connect, **named: Any) -> Any:
            found.append(connect(*given, **named))
            return found[-1]

        monkeypatch.setattr(module, "connect", counted)
    return found


def test_reads_within_a_reading_share_a_connection(warehouse: Warehouse, opened: list[Any]):
    warehouse.replace(TABLE, ROWS)
    opened.clear()
    with warehouse.reading():
        assert warehouse.count(TABLE) == 2
        assert warehouse.describe(TABLE) is not None
        assert warehouse.read(TABLE, order_by="id").column("name").to_pylist() == ["one", "two"]
        with warehouse.reading():
            assert warehouse.query("select 1 as a").to_pylist() == [{"a": 1}]
    assert len(opened) == 1
    assert warehouse.count(TABLE) == 2
    assert len(opened) == 2


def test_what_comes_after_a_load_goes_through_its_connection(
    warehouse: Warehouse, opened: list[Any]
):
    warehouse.count(TABLE)
    opened.clear()
    with warehouse.loading():
        warehouse.replace(TABLE, ROWS)
        assert warehouse.count(TABLE) == 2
        warehouse.upsert(TABLE, [[{"id": 2, "name": "again"}]])
        assert warehouse.read(TABLE, order_by="id").column("name").to_pylist() == ["one", "again"]
        with pytest.raises(InvalidQuery):
            warehouse.query("select nonsense")
        assert warehouse.query("select count(*) as n from posthog.things").to_pylist() == [{"n": 2}]
    assert len(opened) == 1
    warehouse.replace(TABLE, ROWS)
    assert len(opened) == 2


def test_a_load_that_fails_keeps_no_connection(warehouse: Warehouse, opened: list[Any]):
    twice = [[{"id": 1, "name": "one"}, {"id": 1, "name": "uno"}]]
    with warehouse.loading():
        with pytest.raises(InvalidRows):
            warehouse.replace(TABLE, twice)
        assert warehouse.count(TABLE) == 0
        warehouse.replace(TABLE, ROWS)
        assert warehouse.count(TABLE) == 2
    warehouse.upsert(TABLE, [[{"id": 3, "name": "three"}]])
    assert warehouse.count(TABLE) == 3


def test_a_query_within_a_loading_only_reads(warehouse: Warehouse):
    with warehouse.loading():
        warehouse.replace(TABLE, ROWS)
        with pytest.raises(InvalidQuery):
            warehouse.query("delete from posthog.things returning id")
    assert warehouse.count(TABLE) == 2
