"""Two PostHog projects in one code location: names of their own, rows of their own, no crossing."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.core.component_tree import ComponentTreeException
from dagster.components.testing import create_defs_folder_sandbox

from hog_dagster import PostHogProjectComponent
from hog_dagster._dagster.resources import Step, takes_resources
from hog_dagster.assets import AssetOptions
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import DuckDB
from tests.components.conftest import specs_of

SENT = "01968c1e-77aa-0000-4f0e-2b5d1c9a3e10"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def regions() -> Iterator[dict[str, Sandbox]]:
    with ExitStack() as stack:
        made = {
            name: stack.enter_context(
                Sandbox("docs", populate=False, limits=False, project_id=number)
            )
            for name, number in (("eu", 7), ("us", 8))
        }
        for name, sandbox in made.items():
            sandbox.world.add_workflow(f"Welcome {name}")
        yield made


@contextmanager
def code_location(
    regions: dict[str, Sandbox], folder: Path, *, named: bool = True
) -> Iterator[dg.Definitions]:
    """A code location with a component per region, one warehouse and one ledger."""
    with create_defs_folder_sandbox() as project:
        for name, sandbox in regions.items():
            attributes: dict[str, Any] = {
                "host": sandbox.url,
                "api_key": sandbox.api_key,
                "project_id": sandbox.project_id,
                "warehouse": {"duckdb": str(folder / "w.duckdb")},
                "ledger": f"sqlite:///{folder / 'ledger.sqlite'}",
                "partitions": {"start_date": "2026-11-01"},
                "batch_jobs": [
                    {"workflow": SENT, "cron": "0 9 * * *"},
                    {"workflow": SENT, "deps": ["marts/people"], "name": "people"},
                ],
            }
            project.scaffold_component(
                component_cls=PostHogProjectComponent,
                defs_path=f"posthog_{name}",
                defs_yaml_contents={
                    "type": "hog_dagster.PostHogProjectComponent",
                    "attributes": {**attributes, "name": name} if named else attributes,
                },
            )
        with project.build_all_defs() as defs:
            yield defs


def test_two_projects_without_names_are_refused_with_what_to_do(regions, tmp_path: Path):
    with (
        pytest.raises(ComponentTreeException) as refused,
        code_location(regions, tmp_path, named=False),
    ):
        pass
    said = str(refused.value.__cause__)
    assert "PostHog projects 7 and 8" in said
    assert "`name: eu`" in said


def test_two_named_projects_load_and_each_lands_its_own_rows(regions, tmp_path: Path):
    with code_location(regions, tmp_path) as defs, dg.instance_for_test() as instance:
        repository = defs.get_repository_def()
        specs = specs_of(defs)
        assert {spec.group_name for spec in specs.values()} >= {
            "eu_workflows",
            "us_workflows",
        }
        assert set(repository.get_top_level_resources()) >= {
            f"{name}_{key}" for name in regions for key in ("posthog", "warehouse", "ledger")
        }
        assert {schedule.name for schedule in repository.schedule_defs} >= {
            f"{name}_batch_job_{SENT.replace('-', '_')}" for name in regions
        }
        for name, sandbox in regions.items():
            send = repository.assets_defs_by_key[dg.AssetKey(["posthog", name, "send", "people"])]
            assert send.required_resource_keys >= {f"{name}_posthog", f"{name}_ledger"}
            key = dg.AssetKey(["posthog", name, "workflows"])
            result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
                asset_selection=[key], instance=instance, run_config=QUIET
            )
            assert result.success
            assert result.get_asset_check_evaluations()
            sensor = repository.get_sensor_def(f"{name}_failed_runs_sensor")
            with dg.build_sensor_context(
                instance=instance, resources=dict(repository.get_top_level_resources())
            ) as context:
                before = len(sandbox.requests)
                sensor.evaluate_tick(context)
                assert len(sandbox.requests) > before
            reconciled = defs.resolve_job_def(f"{name}_reconcile_actions").execute_in_process(
                instance=instance, run_config=QUIET
            )
            assert reconciled.success
        with DuckDB(tmp_path / "w.duckdb") as warehouse:
            rows = warehouse.query("select project_id, name from posthog.workflows order by 1")
        assert [tuple(row.values()) for row in rows.to_pylist()] == [
            (7, "Welcome eu"),
            (8, "Welcome us"),
        ]


def test_a_name_that_cannot_stand_before_names_is_refused():
    with pytest.raises(ValueError, match="letters, digits"):
        AssetOptions(name="eu-west")


def test_a_function_takes_its_resources_under_a_prefix():
    @takes_resources(dg.asset, "eu_")
    def said(context: dg.AssetExecutionContext, posthog: str) -> str:
        """What is said."""
        return f"{posthog} in {context.run.job_name}"

    assert said.required_resource_keys >= {"eu_posthog"}
    result = dg.materialize([said], resources={"eu_posthog": "ours"})
    assert result.output_for_node("said").startswith("ours in")
    assert said.op.description == "What is said."


class Loud(dg.Config):
    loud: bool = False


@pytest.mark.parametrize("generator", [False, True])
def test_a_function_may_take_a_config_and_yield(generator: bool):
    def once(context: dg.OpExecutionContext, config: Loud, ledger: str) -> dg.Output[str]:
        return dg.Output(ledger.upper() if config.loud else ledger)

    def each(context: dg.OpExecutionContext, config: Loud, ledger: str) -> Iterator[dg.Output]:
        yield once(context, config, ledger)

    op = takes_resources(dg.op, "us_", name="say", out=dg.Out(str))(each if generator else once)

    @dg.job(resource_defs={"us_ledger": dg.ResourceDefinition.hardcoded_resource("ours")})
    def saying() -> None:
        op()

    config = dg.RunConfig({"say": Loud(loud=True)})
    result = saying.execute_in_process(run_config=config)
    assert result.output_for_node("say") == "OURS"


def test_a_step_is_run_by_what_stands_before_it_with_its_resources():
    seen = []

    def execute(context: dg.AssetExecutionContext, step: Step) -> Iterator[Any]:
        seen.append(context.resources.eu_posthog)
        yield from step()
        seen.append("done")

    @takes_resources(dg.multi_asset, "eu_", execute=execute, specs=[dg.AssetSpec("a")])
    def a(context: dg.AssetExecutionContext, posthog: str) -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"said": posthog})

    assert dg.materialize([a], resources={"eu_posthog": "ours"}).success
    assert seen == ["ours", "done"]
