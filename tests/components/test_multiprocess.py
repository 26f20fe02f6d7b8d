"""Processes of runs: they write one DuckDB file together, and do not ask for the lineage again.

What is under test here is Dagster's default executor, a process per step, so these tests start
processes, which load the definitions each.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from dagster._core.code_pointer import FileCodePointer
from dagster._core.definitions.reconstruct import (
    initialize_repository_def_from_pointer,
    reconstruct_repository_def_from_pointer,
)

from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import DuckDB

pytestmark = pytest.mark.integration

LOCATION = Path(__file__).parent / "python_location.py"
STEPS = {
    "hog_functions": "posthog_hog_functions",
    "group_types": "posthog_groups",
    "insights": "posthog_insights",
    "workflows": "posthog_workflow_catalog",
    "blocked_runs": "posthog_blocked_runs",
}


def variables(sandbox: Sandbox, folder: Path) -> dict[str, str]:
    return {
        "PYTHON_LOCATION_FOLDER": str(folder),
        "PYTHON_LOCATION_HOST": sandbox.url,
        "PYTHON_LOCATION_KEY": sandbox.api_key,
        "PYTHON_LOCATION_PROJECT": str(sandbox.project_id),
    }


@pytest.mark.parametrize(
    "tables",
    [
        pytest.param(["hog_functions", "group_types"], id="two"),
        pytest.param(list(STEPS), id="five", marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
def test_steps_in_processes_of_their_own_write_one_duckdb_file(
    tmp_path: Path, tables: Sequence[str]
):
    with Sandbox("docs", limits=False) as sandbox:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "dagster", "asset", "materialize", "-f", str(LOCATION)),
                *("--select", " or ".join(f'key:"posthog/{table}"' for table in tables)),
            ],
            env={**os.environ, **variables(sandbox, tmp_path), "DAGSTER_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    with DuckDB(tmp_path / "warehouse.duckdb") as warehouse:
        for table in tables:
            assert f'Launching subprocess for "{STEPS[table]}"' in said
            rows = warehouse.query(f"select count(*) as n from posthog.{table}").to_pylist()
            assert rows[0]["n"] > 0, table


def test_a_process_of_a_run_takes_the_lineage_from_its_code_location(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pointer = FileCodePointer(str(LOCATION), "defs")
    with Sandbox("docs", populate=False, limits=False) as sandbox:
        sandbox.world.add_workflow("Welcome")
        for name, value in variables(sandbox, tmp_path).items():
            monkeypatch.setenv(name, value)
        first = initialize_repository_def_from_pointer(pointer)
        asked = len(sandbox.requests)
        assert asked >= 3
        again = reconstruct_repository_def_from_pointer(pointer, first.repository_load_data)
        assert len(sandbox.requests) == asked
    keys = {key.to_user_string() for key in again.asset_graph.get_all_asset_keys()}
    assert any(key.startswith("posthog/workflow/welcome") for key in keys)
