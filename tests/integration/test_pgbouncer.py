"""Behind a real pgbouncer in transaction mode: nothing of ours stays on the shared connection."""

from datetime import UTC, datetime

import psycopg
import pytest

from hog_dagster.ledger import Ledger
from hog_dagster.warehouse import Postgres
from hog_dagster.warehouse.errors import InvalidQuery
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
