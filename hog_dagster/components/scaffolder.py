"""`dg scaffold defs hog_dagster.PostHogProjectComponent <path>`: a defs.yaml that works at once.

Facts: the scaffolder is asked with the parameters of its model (`--warehouse`, ...); `env` in YAML
reads a variable when definitions are loaded, so no secret is written into the file; `dg list envs`
and `dg check yaml --validate-requirements` go by what `requirements` lists.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
from pydantic import BaseModel, Field

__all__ = ["PostHogProjectParams", "PostHogProjectScaffolder"]

_REQUIREMENTS = """
requirements:
  env:
  - POSTHOG_HOST
  - POSTHOG_API_KEY
  - POSTHOG_PROJECT_ID
"""

_MORE = """
  # Without POSTHOG_HOST the host is https://us.posthog.com. dg reads variables from .env too.
  #
  # More that can be set here (dg utils inspect-component hog_dagster.PostHogProjectComponent):
  #
  # workflows:
  #   statuses: [active]
  # schedules:
  #   running: true                # read everything again by itself, logs and metrics each night
  # sensors:
  #   replay:                      # replays blocked or failed runs, once each
  #     running: true
  #     dry_run: false             # until then it only says what it would replay
  #     max_runs_per_tick: 20
  # batch_jobs:
  #   - workflow: Monthly newsletter
  #     cron: 0 9 1 * *
  #     max_audience: 20000
  #     dry_run: false             # until then it only says what it would send
  # checks:
  #   failure_rate:
  #     threshold: 0.05
  #     severity: error
  # translation:
  #   owners: [team:growth]
"""


class PostHogProjectParams(BaseModel):
    """What may be given on the command line."""

    warehouse: str = Field(
        default="warehouse.duckdb", description="A DuckDB file, or a postgresql:// URL."
    )
    start_date: str | None = Field(
        default=None, description="First day of logs, metrics and runs (UTC), 2026-01-31 say."
    )


class PostHogProjectScaffolder(dg.Scaffolder[PostHogProjectParams]):
    """Writes the few lines that are needed; the component's docstring shows the rest."""

    @classmethod
    def get_scaffold_params(cls) -> type[PostHogProjectParams]:
        return PostHogProjectParams

    def scaffold(self, request: dg.ScaffoldRequest[PostHogProjectParams]) -> None:
        """Write defs.yaml, and below it, as comments, what else it can hold."""
        params = request.params or PostHogProjectParams()
        engine = "postgres" if "://" in params.warehouse else "duckdb"
        attributes: dict[str, Any] = {
            "host": "{{ env.POSTHOG_HOST }}",
            "api_key": "{{ env.POSTHOG_API_KEY }}",
            "project_id": "{{ env.POSTHOG_PROJECT_ID }}",
            "warehouse": {engine: params.warehouse},
            "partitions": {"start_date": params.start_date or _ninety_days_ago().isoformat()},
        }
        dg.scaffold_component(request, attributes)
        if request.scaffold_format == "yaml" and not request.append:
            path = request.target_path / "defs.yaml"
            text = path.read_text(encoding="utf-8")
            head, attributes_key, rest = text.partition("\nattributes:")
            path.write_text(head + _REQUIREMENTS + attributes_key + rest + _MORE, encoding="utf-8")


def _ninety_days_ago() -> date:
    """The first of the month in which what PostHog still keeps begins."""
    return (datetime.now(UTC) - timedelta(days=90)).date().replace(day=1)
