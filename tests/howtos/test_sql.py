"""The SQL recipes and the move to PostgreSQL: run on both engines, with the same responses."""

import re
import runpy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import duckdb
import psycopg
import pytest

from hog_dagster import DuckDBWarehouse, LedgerResource, PostHogResource
from hog_dagster.components._build import build_posthog_definitions
from hog_dagster.ledger import Action, Ledger
from hog_dagster.sandbox import Sandbox
from tests.howtos.kit import DOCS, Walk
from tests.howtos.test_howtos import YAML, at, fail, mail

pytestmark = pytest.mark.integration

RECIPES = dict(
    re.findall(r"^## (.+?)\n.*?^```sql\n(.*?)^```$", (DOCS / "sql.md").read_text(), re.M | re.S)
)
TABLES = (
    *("workflows", "workflow_actions", "workflow_edges", "workflow_batch_jobs"),
    *("hog_functions", "insights", "insight_trends", "insight_funnels", "batch_sends"),
)
DAYS = ("workflow_metrics", "workflow_logs", "workflow_runs", "hog_function_metrics")


class Places(NamedTuple):
    """The same rows twice."""

    duckdb: str
    postgres: str


def page_code(page: str) -> str:
    """The Python of a page that is a script."""
    return next(
        code
        for code in re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.M | re.S)
    )


def move(path: Path, url: str, folder: Path) -> None:
    """As docs/moving-to-postgresql.md says."""
    script = folder / "move.py"
    script.write_text(page_code("moving-to-postgresql.md"))
    runpy.run_path(str(script))["main"](str(path), url)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, postgres_server: str) -> Iterator[Places]:
    folder = tmp_path_factory.mktemp("recipes")
    path = folder / "warehouse.duckdb"
    ledger_url = f"sqlite:///{folder / 'ledger.sqlite'}"
    with Sandbox(limits=False) as sandbox, dg.DagsterInstance.ephemeral() as instance:
        world = sandbox.world
        trial = next(flow for flow in world.workflows.values() if flow.name == "Trial ending")
        noon = (datetime.now(UTC) - timedelta(days=1)).replace(hour=12)
        failed = world.add_run(trial.id, "failed", noon, error_message="SMTP timeout")
        again = world.add_run(trial.id, "failed", noon, error_message="SMTP timeout")
        world.add_rerun(again.invocation_id, noon + timedelta(hours=1))
        for metric, count in (("email_sent", 9), ("email_delivered", 7), ("email_failed", 2)):
            step = "action_function_email_trial"
            world.emit_metric(trial.id, noon, metric, "email", count, instance_id=step)
        gone = world.add_workflow("Black Friday sale", created_at=noon - timedelta(days=30))["id"]
        job = next(iter(world.batch_jobs.values()))
        with Ledger(ledger_url) as ledger:
            action = Action(sandbox.project_id, "batch_send", job.workflow_id, "2026-11")
            claimed = ledger.claim(action, owner="run").entry
            ledger.confirm(
                *ledger.mark_sent([claimed], server_time=None), remote_id=job.id, note="sent"
            )
        posthog = PostHogResource(
            host=sandbox.url, api_key=sandbox.api_key, project_id=str(sandbox.project_id)
        )
        defs = build_posthog_definitions(
            posthog=posthog,
            warehouse=DuckDBWarehouse(path=str(path)),
            ledger=LedgerResource(url=ledger_url),
            start_date=(noon - timedelta(days=20)).date(),
        )
        job_def = defs.resolve_implicit_global_asset_job_def()

        def load(tables: tuple[str, ...], partition: str | None = None) -> None:
            keys = [dg.AssetKey(["posthog", table]) for table in tables]
            result = job_def.execute_in_process(
                asset_selection=keys, partition_key=partition, instance=instance
            )
            assert result.success

        load(TABLES)
        del world.workflows[gone]
        load(("workflows",))
        load(DAYS, noon.date().isoformat())
        assert failed.status == "failed"
    name = "recipes"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(b"CREATE DATABASE recipes")
    base, _, query = postgres_server.partition("?")
    url = f"{base.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")
    move(path, url, folder)
    yield Places(str(path), url)
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(b"DROP DATABASE recipes WITH (FORCE)")


def plain(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Numbers of both engines alike, in an order of their own."""

    def value(one: Any) -> Any:
        if isinstance(one, Decimal | float | int) and not isinstance(one, bool):
            return round(float(one), 6)
        return one.astimezone(UTC) if isinstance(one, datetime) else one

    return sorted((tuple(value(one) for one in row) for row in rows), key=repr)


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_gives_rows_and_the_same_on_both_engines(title: str, places: Places) -> None:
    with duckdb.connect(places.duckdb, read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        by_duckdb = connection.execute(RECIPES[title]).fetchall()
    with psycopg.connect(places.postgres) as connection:
        by_postgres = connection.execute(RECIPES[title].encode()).fetchall()
    assert by_duckdb
    assert plain(by_duckdb) == plain(by_postgres)


@pytest.mark.integration
def test_a_project_goes_on_in_postgresql_after_the_move(
    walk: Any, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on: Walk = walk()
    world = on.sandbox.world
    flow = world.add_workflow("Trial ending", actions=[mail()], created_at=at(1))["id"]
    for day in (27, 28, 29):
        fail(on, flow, 1, at(day))
    monkeypatch.setenv("WAREHOUSE_URL", postgres_url)
    on.write_yaml(YAML)
    days = ("backfill", "--from", "2026-11-27", "--to", "2026-11-29", "--tables", "workflow_logs")
    assert on.typed(*days, **on.environment).code == 0
    on.launch('key:"posthog/workflows"')
    move(on.warehouse, postgres_url, tmp_path)
    asked = on.sandbox.count()
    for block in on.page("moving-to-postgresql", start=1):
        assert block.language in ("yaml", "bash")
    assert on.done is not None
    assert "Nothing is left to read" in on.done.out
    on.launch('key:"posthog/workflows"')
    again = on.typed(*days, "--again", **on.environment)
    assert again.code == 0, again.err
    assert on.sandbox.count() > asked
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute(
            b"SELECT CAST(timestamp AT TIME ZONE 'UTC' AS date), count(*)"
            b" FROM posthog.workflow_logs GROUP BY 1 ORDER BY 1"
        ).fetchall()
        keys = connection.execute(
            b"SELECT contype FROM pg_constraint WHERE conrelid = 'posthog.workflows'::regclass"
            b" AND contype = 'p'"
        ).fetchall()
        indexes = connection.execute(
            b"SELECT am.amname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
            b" JOIN pg_am AS am ON am.oid = c.relam"
            b" WHERE i.indrelid = 'posthog.workflow_logs'::regclass AND NOT i.indisprimary"
        ).fetchall()
    assert [(day.day, lines) for day, lines in rows] == [(27, 1), (28, 1), (29, 1)]
    assert keys == [("p",)]
    assert [kind for (kind,) in indexes] == ["brin"]
