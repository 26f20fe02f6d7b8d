"""Behind a real pgbouncer in transaction mode: nothing of ours stays on the shared connection."""

from datetime import UTC, datetime

import psycopg
import pytest

from hog_dagster.ledger import Ledger, LedgerError
from hog_dagster.warehouse import Postgres
from hog_dagster.warehouse.errors import InvalidQuery, WarehouseUnreadable
from tests.warehouse.warehouse_tables import DAY, LOGS, METRICS, PROJECT, at, log_rows


def test_a_warehouse_leaves_the_pooled_connection_as_it_was(
    pgbouncer: str, postgres_url: str
) -> None:
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(postgres_url, autocommit=True) as con:
        con.execute(f"ALTER DATABASE {name} SET datestyle = 'German, DMY'".encode())
    house = Postgres(pgbouncer)
    metric = {"project_id": 7, "workflow_id": "w", "hour": at(), "name": "sent", "value": 1}
    with psycopg.connect(pgbouncer, autocommit=True, prepare_threshold=None) as other:
        for number in range(8):
            assert house.query("SELECT 1 AS one").to_pylist() == [{"one": 1}]
            with pytest.raises(InvalidQuery):
                house.query("CREATE TABLE posthog.never (n int)")
            house.replace(LOGS, [log_rows(3 + number)], window=DAY, scope=PROJECT)
            house.upsert(METRICS, [[metric]])
            assert house.count(LOGS) == house.read(LOGS).num_rows == 3 + number
            assert house.aggregate(LOGS, by=["level"]) == [{"level": "LOG", "rows": 3 + number}]
            assert house.count_by_day(LOGS, [DAY]) == {DAY: 3 + number}
            # The other client gets the same connection to the server: it can write, and its
            # settings are its own.
            other.execute("CREATE TABLE IF NOT EXISTS notes (at timestamptz)")
            other.execute("INSERT INTO notes VALUES (%s)", [datetime.now(UTC)])
            assert other.execute("SHOW default_transaction_read_only").fetchone() == ("off",)
            assert other.execute("SHOW extra_float_digits").fetchone() == ("1",)
            assert other.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
        servers = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        ).fetchone()
    assert servers == (1,)


def test_a_ledger_works_behind_the_pooler(pgbouncer: str) -> None:
    with Ledger(pgbouncer) as one, Ledger(pgbouncer) as two:
        for _ in range(8):
            assert list(one.entries()) == list(two.entries()) == []
    with psycopg.connect(pgbouncer, autocommit=True, prepare_threshold=None) as other:
        assert other.execute("SHOW lock_timeout").fetchone() == ("0",)
        assert other.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)


@pytest.mark.parametrize("pgbouncer", ["session"], indirect=True)
def test_a_pooler_in_session_mode_gets_its_connection_back_after_each_operation(
    pgbouncer: str,
) -> None:
    """There is one connection to the server: a second operation waits for the first."""
    house = Postgres(pgbouncer)
    for number in range(3):
        house.replace(LOGS, [log_rows(3 + number)], window=DAY, scope=PROJECT)
        assert house.count(LOGS) == 3 + number
    with Ledger(pgbouncer) as ledger:
        assert list(ledger.entries()) == []
    assert house.count(LOGS) == 5


@pytest.mark.parametrize("pgbouncer", ["statement"], indirect=True)
def test_a_pooler_in_statement_mode_is_one_sentence(pgbouncer: str) -> None:
    """It knows no transactions, so that no load could be whole."""
    house = Postgres(pgbouncer)
    for ask in (
        lambda: house.replace(LOGS, [log_rows(3)], window=DAY, scope=PROJECT),
        lambda: house.count(LOGS),
        lambda: house.query("SELECT 1"),
    ):
        with pytest.raises(WarehouseUnreadable, match="pool_mode = transaction") as raised:
            ask()
        assert "\n" not in str(raised.value)
    with pytest.raises(LedgerError, match="pool_mode = transaction"):
        list(Ledger(pgbouncer).entries())
