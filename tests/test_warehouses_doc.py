"""docs/warehouses.md: its examples run as written, on the sandbox, and twice."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from hog_dagster.sandbox import Sandbox

PAGE = Path(__file__).parents[1] / "docs" / "warehouses.md"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def example(name: str) -> dg.Definitions:
    """The definitions of the block that begins with the file's name."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.DOTALL)
    (source,) = (block for block in blocks if block.startswith(f"# {name}\n"))
    module: dict[str, Any] = {"__name__": name.removesuffix(".py")}
    exec(compile(source, name, "exec"), module)  # noqa: S102
    return module["defs"]


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("errors_a_day.py", "SELECT day::DATE, sum(errors) FROM marts.errors_a_day GROUP BY 1"),
        ("official.py", "SELECT day::DATE, lines FROM marts.lines_a_day"),
    ],
)
def test_an_example_reads_our_table_and_writes_its_own(
    name: str, counted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        Sandbox("docs", now=datetime(2026, 11, 20, 12, tzinfo=UTC), limits=False) as sandbox,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        monkeypatch.setenv("POSTHOG_HOST", sandbox.url)
        monkeypatch.setenv("POSTHOG_API_KEY", sandbox.api_key)
        monkeypatch.setenv("POSTHOG_PROJECT_ID", str(sandbox.project_id))
        job = example(name).resolve_implicit_global_asset_job_def()
        for day in ("2026-11-18", "2026-11-19", "2026-11-19"):
            done = job.execute_in_process(partition_key=day, instance=instance, run_config=QUIET)
            assert done.success
    errors = "" if name == "official.py" else "WHERE level = 'ERROR'"
    with duckdb.connect("warehouse.duckdb", read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        wanted = con.execute(
            f"SELECT timestamp::DATE, count(*) FROM posthog.workflow_logs {errors} GROUP BY 1"
        ).fetchall()
        assert len(wanted) == 2
        assert sorted(con.execute(counted).fetchall()) == sorted(wanted)
