"""The examples without dbt, each as a project of its own against the sandbox."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest
import yaml

from hog_dagster.sandbox import Sandbox
from tests.examples.kit import EXAMPLES, opened


@pytest.mark.integration
def test_yaml_only_lands_and_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        Sandbox("current", limits=False) as sandbox,
        opened("yaml_only", tmp_path, sandbox, monkeypatch) as example,
    ):
        assert any("/workflow/trial_ending" in key for key in example.specs)
        repository = example.defs.get_repository_def()
        (schedule,) = [one for one in repository.schedule_defs if "newsletter" in one.name]
        assert schedule.execution_timezone == "Europe/Berlin"
        example.run("posthog/workflows", "posthog/workflow_actions")
        day = (sandbox.clock.now() - timedelta(days=1)).date().isoformat()
        example.run("posthog/workflow_metrics", partition=day)
        moment = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        with dg.build_schedule_context(
            instance=example.instance,
            repository_def=repository,
            scheduled_execution_time=moment,
        ) as context:
            requested = schedule.evaluate_tick(context).run_requests or []
        assert len(requested) == 1
        for request in requested:
            job = repository.get_job("send_batch_job")
            job.execute_in_process(instance=example.instance, run_config=request.run_config)
        assert sandbox.world.batch_sends == []
    with duckdb.connect(str(tmp_path / "warehouse.duckdb"), read_only=True) as connection:
        names = connection.execute("select name from posthog.workflows").fetchall()
        assert ("Trial ending",) in names
        counted = connection.execute("select sum(value) from posthog.workflow_metrics").fetchone()
        assert counted is not None
        assert counted[0] > 0


@pytest.mark.integration
def test_insights_to_bi_joins_an_insight_with_the_teams_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        Sandbox("current", limits=False) as sandbox,
        opened("insights_to_bi", tmp_path, sandbox, monkeypatch, beside=["data"]) as example,
    ):
        assert example.upstream("bi/visitors_by_browser") == {
            "posthog/insight_trends",
            "own/browsers",
        }
        result = example.run("posthog/insight_trends", "own/browsers", "bi/visitors_by_browser")
        (check,) = [
            one
            for one in result.get_asset_check_evaluations()
            if one.check_name == "browsers_are_known"
        ]
        assert check.passed
    with duckdb.connect(str(tmp_path / "warehouse.duckdb"), read_only=True) as connection:
        rows = connection.execute(
            "select browser, supported, sum(visitors) from bi.visitors_by_browser group by all"
        ).fetchall()
        whole = connection.execute(
            "select sum(value) from posthog.insight_trends "
            "where insight_name = 'Daily visitors by browser' and metric = 'bucket'"
        ).fetchone()
    assert ("Chrome", True) in {row[:2] for row in rows}
    assert whole == (sum(row[2] for row in rows),)


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("defs.yaml")), ids=lambda p: p.parts[-4])
def test_nothing_in_an_example_sends(path: Path) -> None:
    def settings(value: object) -> list[bool]:
        if isinstance(value, dict):
            here = [value["dry_run"]] if "dry_run" in value else []
            return here + [one for inner in value.values() for one in settings(inner)]
        if isinstance(value, list):
            return [one for inner in value for one in settings(inner)]
        return []

    read = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert all(settings(read))
    sending = read["attributes"].get("batch_jobs", [])
    assert len(settings(read)) >= len(sending)


@pytest.mark.parametrize("name", ["yaml_only", "insights_to_bi", "dbt_audience", "dbt_package"])
def test_a_readme_is_one_screen(name: str) -> None:
    lines = (EXAMPLES / name / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 50
