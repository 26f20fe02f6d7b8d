"""`dg scaffold defs` with its parameters writes a file that is right."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster.components.testing import create_defs_folder_sandbox
from pydantic import ValidationError

from hog_dagster import PostHogProjectComponent
from hog_dagster.components.scaffolder import PostHogProjectParams


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
