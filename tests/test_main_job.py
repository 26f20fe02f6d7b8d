"""The main job, end to end, as the demo runs it: twice the same, on Dagster's own PostgreSQL."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

_POSTGRES_INSTANCE = """\
storage:
  postgres:
    postgres_url:
      env: DAGSTER_PG_URL
telemetry:
  enabled: false
"""


def demo(home: Path, generation: str, **environment: str) -> subprocess.CompletedProcess[str]:
    keep = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("POSTHOG_", "HOG_DAGSTER_", "DAGSTER_"))
    }
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "hog_dagster",
            "demo",
            "--home",
            str(home),
            "--generation",
            generation,
        ],
        capture_output=True,
        text=True,
        timeout=220,
        env={**keep, "COLUMNS": "200", **environment},
    )


def contents(home: Path) -> dict[str, Any]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        names = connection.execute(
            "select table_name from information_schema.tables where table_schema = 'posthog'"
        ).fetchall()
        return {
            name: sorted(
                connection.execute(f"select * exclude (_loaded_at) from posthog.{name}").fetchall(),
                key=repr,
            )
            for (name,) in names
        }


def assert_a_second_run_changes_nothing(home: Path, generation: str, **environment: str) -> None:
    first = demo(home, generation, **environment)
    assert first.returncode == 0, first.stdout + first.stderr
    loaded = contents(home)
    expected = {"workflows", "workflow_actions", "workflow_edges", "workflow_schedules"}
    expected |= {"workflow_batch_jobs", "workflow_metrics", "workflow_logs", "workflow_runs"}
    expected |= {"blocked_runs", "replays", "batch_sends"}
    assert expected <= set(loaded)
    assert len(loaded["workflow_logs"]) > 1000
    assert len(loaded["replays"]) > 5
    assert len(loaded["batch_sends"]) == 1
    if generation == "current":
        # The hour decides which runs of a hog function fail within the last day.
        again = r"runs run again: 1[5-9], once each; e-mails of these runs: 1[5-9], none twice"
        assert re.search(again, first.stdout)
        assert "has been sent and would go out again" in first.stdout
        assert len(loaded["workflow_runs"]) > 100

    second = demo(home, generation, **environment)
    assert second.returncode == 0, second.stdout + second.stderr
    assert contents(home) == loaded
    happened = [line for line in first.stdout.splitlines() if "Really happened" in line]
    assert happened
    assert happened[0] in second.stdout
    changes = second.stdout.split("since the last run")[1].split("└")[0]
    assert "new" not in changes
    assert "│ changed" not in changes


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_a_second_run_changes_no_table_and_sends_nothing_twice(tmp_path):
    assert_a_second_run_changes_nothing(tmp_path, "current")


@pytest.mark.integration
@pytest.mark.timeout(240)
def test_the_main_job_runs_twice_with_dagsters_storage_on_postgresql(tmp_path, postgres_url):
    (tmp_path / "dagster.yaml").write_text(_POSTGRES_INSTANCE, encoding="utf-8")
    url = sa.make_url(postgres_url).set(drivername="postgresql+psycopg2")
    storage = url.render_as_string(hide_password=False)
    assert_a_second_run_changes_nothing(tmp_path, "docs", DAGSTER_PG_URL=storage)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        statuses = connection.execute(sa.text("select distinct status from runs")).scalars().all()
        partitions = connection.execute(
            sa.text(
                "select count(distinct partition) from event_logs "
                "where dagster_event_type = 'ASSET_MATERIALIZATION' and asset_key = :key"
            ),
            {"key": json.dumps(["posthog", "workflow_logs"])},
        ).scalar_one()
    engine.dispose()
    assert statuses == ["SUCCESS"]
    assert partitions == 14


def test_a_demo_that_fails_says_what_failed(tmp_path):
    (tmp_path / "warehouse.duckdb").write_text("not a database", encoding="utf-8")
    done = demo(tmp_path, "docs")
    assert done.returncode == 1
    assert "warehouse.duckdb" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
