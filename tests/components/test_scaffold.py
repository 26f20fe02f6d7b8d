"""`dg scaffold defs` with its parameters writes a file that is right."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster.components.testing import create_defs_folder_sandbox
from pydantic import ValidationError

from hog_dagster import PostHogProjectComponent
from hog_dagster.components._scaffolder import PostHogProjectParams


def written(**params: Any) -> dict[str, Any]:
    with create_defs_folder_sandbox() as project:
        path = project.scaffold_component(
            component_cls=PostHogProjectComponent, scaffold_params=params
        )
        return yaml.safe_load(Path(path, "defs.yaml").read_text(encoding="utf-8"))


def test_the_parameters_take_the_place_of_shell_lines() -> None:
    made = written(
        host="https://eu.posthog.com",
        project_id="42",
        warehouse="{{ env.WAREHOUSE_URL }}",
        start_date="2026-09-01",
    )
    assert made["attributes"] == {
        "host": "https://eu.posthog.com",
        "api_key": "{{ env.POSTHOG_API_KEY }}",
        "project_id": "42",
        "warehouse": {"postgres": "{{ env.WAREHOUSE_URL }}"},
        "partitions": {"start_date": "2026-09-01"},
    }
    assert made["requirements"]["env"] == ["POSTHOG_API_KEY", "WAREHOUSE_URL"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"host": "eu.posthog.com"}, "has no scheme"),
        ({"project_id": "my-project"}, "is not a number"),
        ({"warehouse": "mysql://h/db"}, "is not known"),
        ({"start_date": "2099-01-01"}, "has begun"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(params: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PostHogProjectParams(**params)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_parameters_work_in_a_fresh_project(tmp_path: Path) -> None:
    binaries = Path(sys.executable).parent
    environment = {
        "PATH": f"{binaries}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "DAGSTER_DG_UPDATE_CHECK_ENABLED": "0",
        "POSTHOG_API_KEY": "phx_of_the_environment",
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "fresh" / "src"), str(Path.cwd())]),
    }

    def run(folder: Path, *words: str) -> str:
        done = subprocess.run(
            words, cwd=folder, env=environment, capture_output=True, text=True, timeout=250
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(tmp_path, "create-dagster", "project", "--no-uv-sync", "fresh")
    project = tmp_path / "fresh"
    run(
        project,
        *("dg", "scaffold", "defs", "hog_dagster.PostHogProjectComponent", "posthog"),
        *("--host", "https://eu.posthog.com", "--project-id", "42"),
        *("--warehouse", "analytics.duckdb"),
    )
    path = project / "src" / "fresh" / "defs" / "posthog" / "defs.yaml"
    text = path.read_text(encoding="utf-8")
    made = yaml.safe_load(text)["attributes"]
    assert made["host"] == "https://eu.posthog.com"
    assert made["project_id"] == "42"
    assert made["warehouse"] == {"duckdb": "analytics.duckdb"}
    assert "dry_run: false" not in text
    run(project, "dg", "check", "yaml")
