"""The examples with dbt, on real dbt: its models on DuckDB and PostgreSQL, and a send after one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from psycopg.conninfo import conninfo_to_dict

from hog_dagster.assets._workflow_tables import WORKFLOW_ACTIONS, WORKFLOW_METRICS, WORKFLOWS
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import DuckDB, Postgres, Table, Warehouse
from tests.examples.kit import EXAMPLES, opened

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]
pytest.importorskip("dagster_dbt")

QUIET_DBT = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1"}


def dbt(folder: Path, *words: str, **variables: str) -> str:
    """dbt in a folder; what it printed."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "dbt"), *words, "--profiles-dir", "."],
        cwd=folder,
        env={**os.environ, **QUIET_DBT, "NO_COLOR": "1", **variables},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# --- the package --------------------------------------------------------------------------------


def put(warehouse: Warehouse, table: Table, rows: list[dict[str, Any]]) -> None:
    """Rows as if they had been loaded; columns left out are null."""
    full = [
        {
            "project_id": 1,
            "_loaded_at": datetime(2026, 11, 30, tzinfo=UTC),
            **{c.name: "" if table.required(c) else None for c in table.columns[1:-1]},
            **row,
        }
        for row in rows
    ]
    warehouse.replace(table, [full], scope={"project_id": 1})


def fill(warehouse: Warehouse) -> None:
    """Two workflows, two days (the hours around midnight UTC), a step that is gone."""
    put(
        warehouse,
        WORKFLOWS,
        [
            {"id": "w1", "name": "Welcome", "status": "active"},
            {"id": "w2", "name": None, "status": "draft"},
        ],
    )
    put(
        warehouse,
        WORKFLOW_ACTIONS,
        [
            {
                "workflow_id": "w1",
                "action_id": "mail",
                "position": 1,
                "name": "First e-mail",
                "type": "function_email",
            }
        ],
    )
    late, early = datetime(2026, 11, 1, 23, tzinfo=UTC), datetime(2026, 11, 2, 0, tzinfo=UTC)
    rows = [
        ("w1", "", "run", "", late, "triggered", 12),
        ("w1", "", "run", "", late, "succeeded", 9),
        ("w1", "", "run", "", late, "failed", 1),
        ("w1", "", "run", "", early, "triggered", 3),
        ("w1", "", "action", "mail", late, "succeeded", 9),
        ("w1", "", "action", "mail", late, "failed", 1),
        ("w1", "", "action", "mail", late, "email_sent", 10),
        ("w1", "", "action", "mail", late, "email_delivered", 8),
        ("w1", "", "action", "mail", late, "email_bounced_hard", 1),
        ("w1", "", "action", "mail", late, "email_opened", 15),
        ("w1", "job", "action", "mail", late, "email_sent", 10),
        ("w1", "job", "action", "mail", late, "email_delivered", 10),
        ("w1", "", "removed", "old", late, "email_sent", 20),
        ("w1", "", "removed", "old", late, "email_delivered", 20),
        # A server that counts no deliveries.
        ("w2", "", "action", "gone", early, "failed", 2),
        ("w2", "", "action", "gone", early, "email_sent", 4),
        ("w2", "", "action", "gone", early, "email_failed", 1),
    ]
    names = ("workflow_id", "batch_job_id", "level", "action_id", "hour", "metric", "value")
    put(warehouse, WORKFLOW_METRICS, [dict(zip(names, row, strict=True)) for row in rows])


@pytest.fixture(params=["duckdb", "postgres"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, dict[str, str]]]:
    """A warehouse with rows, and dbt's variables for it."""
    if request.param == "duckdb":
        path = tmp_path / "warehouse.duckdb"
        with DuckDB(path) as warehouse:
            fill(warehouse)
            yield warehouse, {"DBT_TARGET": "duckdb", "WAREHOUSE_PATH": str(path)}
        return
    url = request.getfixturevalue("postgres_url")
    given = conninfo_to_dict(url)
    with Postgres(url) as warehouse:
        fill(warehouse)
        yield (
            warehouse,
            {
                "DBT_TARGET": "postgres",
                "PGHOST": str(given["host"]),
                "PGPORT": str(given.get("port") or 5432),
                "PGUSER": str(given["user"]),
                "PGPASSWORD": str(given.get("password") or ""),
                "PGDATABASE": str(given["dbname"]),
                "PGTZ": "America/New_York",  # a day is one of UTC all the same
            },
        )


def rows_of(warehouse: Warehouse, model: str, *columns: str) -> list[tuple[Any, ...]]:
    found = warehouse.query(
        f"select {', '.join(columns)} from marts.{model} order by workflow_id, day"
    ).to_pylist()
    return [tuple(row[name] for name in columns) for row in found]


def test_the_package_builds_and_counts(
    filled: tuple[Warehouse, dict[str, str]], tmp_path: Path
) -> None:
    warehouse, variables = filled
    folder = tmp_path / "dbt_package"
    shutil.copytree(EXAMPLES / "dbt_package", folder)
    said = dbt(folder, "build", **variables)
    assert "PASS=20 WARN=0 ERROR=0 SKIP=0" in said
    first, second = date(2026, 11, 1), date(2026, 11, 2)
    counts = ("workflow_name", "day", "runs_started", "runs_failed", "emails_sent", "emails_opened")
    assert rows_of(warehouse, "campaign_performance", *counts) == [
        ("Welcome", first, 12, 1, 40, 15),
        ("Welcome", second, 3, 0, 0, 0),
        (None, second, 0, 0, 4, 0),
    ]
    steps = ("step_name", "action_id", "day", "succeeded", "failed")
    assert rows_of(warehouse, "failures_by_step", *steps) == [
        ("First e-mail", "mail", first, 9, 1),
        (None, "gone", second, 0, 2),
    ]
    (rate,) = [row[0] for row in rows_of(warehouse, "failures_by_step", "failure_rate")][:1]
    assert float(rate) == pytest.approx(0.1)
    mails = ("day", "sent", "delivered", "failed", "bounced", "blocked")
    assert rows_of(warehouse, "deliverability", *mails) == [
        (first, 40, 38, 0, 1, 0),
        (second, 4, 3, 1, 0, 0),
    ]
    (rate, *_) = [row[0] for row in rows_of(warehouse, "deliverability", "delivery_rate")]
    assert float(rate) == pytest.approx(0.95)


def test_each_model_and_column_of_the_package_is_described(tmp_path: Path) -> None:
    folder = tmp_path / "dbt_package"
    shutil.copytree(EXAMPLES / "dbt_package", folder)
    with DuckDB(tmp_path / "w.duckdb") as warehouse:
        fill(warehouse)
    where = {"WAREHOUSE_PATH": str(tmp_path / "w.duckdb")}
    dbt(folder, "build", **where)
    dbt(folder, "docs", "generate", **where)
    known = json.loads((folder / "target" / "manifest.json").read_text(encoding="utf-8"))
    found = json.loads((folder / "target" / "catalog.json").read_text(encoding="utf-8"))
    models = {key: node for key, node in known["nodes"].items() if node["resource_type"] == "model"}
    assert len(models) == 3
    for key, node in models.items():
        assert node["description"]
        described = {name for name, one in node["columns"].items() if one["description"]}
        assert set(found["nodes"][key]["columns"]) == described


# --- a batch job after a model --------------------------------------------------------------------


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox("current", limits=False) as sandbox:
        yield sandbox


@pytest.mark.parametrize("dry_run", [True, False])
def test_dbt_audience_sends_once_the_model_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, dry_run: bool
) -> None:
    for name, value in QUIET_DBT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    before = len(sandbox.world.batch_sends)
    with opened(
        "dbt_audience",
        tmp_path,
        sandbox,
        monkeypatch,
        beside=["dbt"],
        replaced={} if dry_run else {"dry_run: true": "dry_run: false"},
    ) as example:
        assert example.upstream("marts/newsletter_readers") == {
            "posthog/workflows",
            "posthog/workflow_batch_jobs",
            "marts/subscribers",
        }
        assert example.upstream("posthog/send/newsletter") == {"marts/newsletter_readers"}
        (workflow,) = [key for key in example.specs if "/workflow/monthly_newsletter" in key]
        assert "posthog/send/newsletter" in example.upstream(workflow)
        checked = example.defs.get_repository_def().asset_graph.asset_check_keys
        assert dg.AssetKey(["marts", "newsletter_readers"]) in {one.asset_key for one in checked}
        example.run("posthog/workflows", "posthog/workflow_batch_jobs")
        built = example.run("marts/subscribers", "marts/newsletter_readers")
        checks = {one.check_name: one.passed for one in built.get_asset_check_evaluations()}
        assert checks
        assert all(checks.values())
        sent = example.run("posthog/send/newsletter")
        assert len(sent.get_asset_materialization_events()) == (0 if dry_run else 1)
    with DuckDB(tmp_path / "warehouse.duckdb") as warehouse:
        readers = warehouse.query("select count(*) as n from marts.newsletter_readers").to_pylist()
    assert readers == [{"n": 3}]
    assert len(sandbox.world.batch_sends) - before == (0 if dry_run else 1)
