"""`dg scaffold defs hog_dagster.PostHogProjectComponent <path>`: a defs.yaml that works at once.

Facts: the scaffolder is asked with the parameters of its model (`--host`, `--project-id`, ...);
`env` in YAML reads a variable when definitions are loaded, so no secret is written into the file;
`dg list envs` and `dg check yaml --validate-requirements` go by what `requirements` lists.
"""

import re
from typing import Any

import dagster as dg
from pydantic import BaseModel, field_validator

from hog_dagster._shared.described import Described
from hog_dagster.components._records import Partitions
from hog_dagster.components._values import checked_host, checked_project
from hog_dagster.components._warehouses import WarehouseFields
from hog_dagster.policies import first_kept_day

_MORE = """
  # dg reads variables from .env too.
  #
  # More that can be set here (dg utils inspect-component hog_dagster.PostHogProjectComponent);
  # hog-dagster check says what is wrong with it:
  #
  # workflows:
  #   statuses: [active]
  # schedules:
  #   running: true                # read everything again by itself, logs and metrics each night
  # sensors:
  #   replay:                      # replays failed or blocked runs, once each
  #     running: true
  #     dry_run: true              # it only says what it would replay, until this is false
  #     max_runs_per_tick: 20
  # batch_jobs:
  #   - workflow: Monthly newsletter
  #     cron: 0 9 1 * *
  #     max_audience: 20000
  #     dry_run: true              # it only says what it would send, until this is false
  # checks:
  #   failure_rate:
  #     threshold: 0.05
  #     severity: error
  # translation:
  #   owners: [team:growth]
"""


class PostHogProjectParams(Described, BaseModel):
    """What may be given on the command line."""

    host: str | None = None
    """Address of PostHog, https://eu.posthog.com say; by default the variable POSTHOG_HOST."""
    project_id: str | None = None
    """Number of the project, as in its URL; by default the variable POSTHOG_PROJECT_ID."""
    warehouse: str = "warehouse.duckdb"
    """A DuckDB file, or a postgresql:// URL, best as '{{ env.WAREHOUSE_URL }}'."""
    start_date: str | None = None
    """First day of logs, metrics and runs (UTC), 2026-01-31 say."""

    @field_validator("host")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        return value if value and "{{" in value else checked_host(value)

    @field_validator("project_id", mode="before")
    @classmethod
    def _is_a_number(cls, value: Any) -> Any:
        text = None if value is None else str(value)
        if text and "{{" not in text:
            checked_project(text)
        return text

    @field_validator("warehouse", mode="after")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if "{{" not in value:
            WarehouseFields.model_validate(value)
        return value

    @field_validator("start_date", mode="after")
    @classmethod
    def _is_a_day(cls, value: str | None) -> str | None:
        return Partitions(start_date=value).start_date

    def attributes(self) -> dict[str, Any]:
        """The few lines that are needed."""
        url = "://" in self.warehouse or "URL" in self.warehouse
        start = self.start_date or first_kept_day().isoformat()
        return {
            "host": self.host or "{{ env.POSTHOG_HOST }}",
            "api_key": "{{ env.POSTHOG_API_KEY }}",
            "project_id": self.project_id or "{{ env.POSTHOG_PROJECT_ID }}",
            "warehouse": {"postgres" if url else "duckdb": self.warehouse},
            "partitions": {"start_date": start},
        }


class PostHogProjectScaffolder(dg.Scaffolder[PostHogProjectParams]):
    """Writes the few lines that are needed; the component's docstring shows the rest."""

    @classmethod
    def get_scaffold_params(cls) -> type[PostHogProjectParams]:
        return PostHogProjectParams

    def scaffold(self, request: dg.ScaffoldRequest[PostHogProjectParams]) -> None:
        """Write defs.yaml, and below it, as comments, what else it can hold."""
        params = request.params or PostHogProjectParams()
        attributes = params.attributes()
        dg.scaffold_component(request, attributes)
        if request.scaffold_format == "yaml" and not request.append:
            path = request.target_path / "defs.yaml"
            text = path.read_text(encoding="utf-8")
            head, attributes_key, rest = text.partition("\nattributes:")
            named = dict.fromkeys(re.findall(r"env\.(\w+)", rest))
            needed = "\nrequirements:\n  env:\n" + "".join(f"  - {name}\n" for name in named)
            path.write_text(head + needed + attributes_key + rest + _MORE, encoding="utf-8")
