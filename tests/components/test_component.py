"""`PostHogProjectComponent` from YAML: state, secrets, overriding, what is made of its lines."""

import json
import logging
import socket
import time
from pathlib import Path
from typing import Any

import click
import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.definitions.definitions_load_context import (
    DefinitionsLoadContext,
    DefinitionsLoadType,
)
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._core.storage.defs_state.base import set_defs_state_storage
from dagster.components.core.component_tree import ComponentTree, ComponentTreeException
from dagster.components.testing import create_defs_folder_sandbox
from dagster_shared.serdes import serialize_value

from hog_dagster import PostHogProjectComponent
from hog_dagster.components import _state
from hog_dagster.components._records import BatchJob
from hog_dagster.lineage import PostHogProps
from hog_dagster.lineage._records import Snapshot
from hog_dagster.policies import first_kept_day
from hog_dagster.posthog import errors
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import DuckDB
from tests.components.conftest import SECRET, all_said, loaded, specs_of

dg_utils = pytest.importorskip("dagster_dg_cli.cli.utils")

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def test_a_few_lines_of_yaml_give_everything(attributes, snapshot: Snapshot):
    with loaded(attributes, snapshot) as (_, defs):
        specs = specs_of(defs)
        repository = defs.get_repository_def()
        tables = {"workflows", "workflow_logs", "hog_functions", "insights", "groups", "replays"}
        assert {f"posthog/{table}" for table in tables} <= set(specs)
        assert {key.split("/")[1] for key in specs if key.count("/") == 2} == {
            "trigger",
            "workflow",
            "hog_function",
            "insight",
            "destination",
        }
        assert "posthog/destination/email" in {
            dep.asset_key.to_user_string() for dep in specs["posthog/workflow_metrics"].deps
        }
        for spec in specs.values():
            if spec.key.path[1:2] != [] and "dagster/table_name" in spec.metadata:
                assert spec.metadata["dagster/storage_kind"] == "duckdb"
                assert spec.freshness_policy is not None, spec.key
                assert spec.automation_condition is not None, spec.key
        assert {sensor.name for sensor in repository.sensor_defs} >= {
            "failed_runs_sensor",
            "posthog_observer",
            "workflow_health_sensor",
        }
        assert len(repository.asset_graph.asset_check_keys) > 40


def test_what_acts_on_people_is_off_until_it_is_switched_on(attributes, snapshot: Snapshot):
    with loaded(attributes, snapshot) as (_, defs):
        running = {
            item.name
            for item in [*(defs.sensors or []), *(defs.schedules or [])]
            if getattr(item, "default_status", None)
            in (dg.DefaultSensorStatus.RUNNING, dg.DefaultScheduleStatus.RUNNING)
        }
        assert running == {"posthog_observer"}


def test_without_state_it_warns_and_its_tables_are_there(attributes, caplog):
    with caplog.at_level(logging.WARNING, "hog_dagster"), loaded(attributes) as (_, defs):
        assert "posthog/workflow_logs" in specs_of(defs)
    assert "dg utils refresh-defs-state" in caplog.text


def test_a_state_that_is_no_utf_8_is_one_sentence_and_an_empty_lineage(
    attributes, tmp_path: Path, caplog
):
    kept = tmp_path / "state"
    kept.write_bytes(b'{"host": "\xe9"}')
    with (
        caplog.at_level(logging.WARNING, "hog_dagster"),
        loaded(attributes, kept) as (_, defs),
    ):
        specs = specs_of(defs)
    assert "posthog/workflow_logs" in specs
    assert not [key for key in specs if key.startswith("posthog/workflow/")]
    (said,) = [text for one in caplog.records if "UTF-8" in (text := one.getMessage())]
    assert f"{kept} cannot be read: it is not UTF-8." in said
    assert "dg utils refresh-defs-state" in said


def test_without_credentials_it_loads_and_says_what_is_missing(attributes, caplog):
    with (
        caplog.at_level(logging.WARNING, "hog_dagster"),
        loaded({**attributes, "api_key": "{{ env.HOG_DAGSTER_TEST_UNSET }}"}) as (_, defs),
    ):
        assert "posthog/workflow_logs" in specs_of(defs)
    assert "HOG_DAGSTER_TEST_UNSET is not set" in caplog.text
    assert "api_key needs HOG_DAGSTER_TEST_UNSET, which is not set" in caplog.text


def test_refreshing_the_state_reads_posthog_and_keeps_no_secret(attributes, sandbox: Sandbox):
    with loaded(attributes, refresh=True) as (component, defs):
        assert any(key.startswith("posthog/workflow/welcome") for key in specs_of(defs))
        assert SECRET not in repr(component)
        snap = serialize_value(RepositorySnap.from_def(defs.get_repository_def()))
        assert SECRET not in snap
        assert "its value is kept off this page" in snap
    assert component.defs_state_config.key == "PostHogProjectComponent[1]"


DOWN = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("changed", "said"), [({"host": DOWN}, "POSTHOG_HOST"), ({"api_key": ""}, "POSTHOG_API_KEY")]
)
def test_a_posthog_that_cannot_be_asked_fails_the_command(
    attributes, monkeypatch, changed: dict[str, str], said: str
):
    monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")  # as dg's own command has it
    with (
        # The kind that dg shows without a traceback.
        pytest.raises(click.ClickException, match=said) as refused,
        loaded({**attributes, **changed}, refresh=True),
    ):
        pass
    assert len(refused.value.message.splitlines()) == 1
    assert SECRET not in refused.value.message


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"host": DOWN}, "Check POSTHOG_HOST"),
        ({"api_key": "phx_revoked"}, "POSTHOG_API_KEY"),
        ({"ca_file": "/nowhere/ca.pem"}, "/nowhere/ca.pem"),
    ],
)
def test_the_command_ends_with_a_sentence_and_no_traceback(
    attributes, monkeypatch, changed: dict[str, str], said: str
):
    given = {"type": "hog_dagster.PostHogProjectComponent", "attributes": {**attributes, **changed}}
    with dg.instance_for_test(), create_defs_folder_sandbox() as project:
        project.scaffold_component(component_cls=PostHogProjectComponent, defs_yaml_contents=given)
        monkeypatch.syspath_prepend(str(project.project_root / "src"))
        words = ["--target-path", str(project.project_root)]
        done = CliRunner().invoke(dg_utils.refresh_defs_state, words)
    assert isinstance(done.exception, SystemExit), done.output
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    last = done.output.splitlines()[-1]
    assert last.startswith("Error: ")
    assert said in last
    assert SECRET not in done.output


LOCAL = "LOCAL_FILESYSTEM"


@pytest.mark.parametrize(
    ("kept_in", "changed", "said"),
    [
        (LOCAL, {"host": DOWN}, "Check POSTHOG_HOST"),
        (LOCAL, {"api_key": ""}, "POSTHOG_API_KEY is not set"),
        ("VERSIONED_STATE_STORAGE", {"api_key": "phx_revoked"}, "POSTHOG_API_KEY"),
        ("LEGACY_CODE_SERVER_SNAPSHOTS", {"api_key": "phx_revoked"}, "POSTHOG_API_KEY"),
    ],
)
def test_it_loads_while_posthog_cannot_be_asked_and_what_was_kept_stays(
    attributes, monkeypatch, caplog, kept_in: str, changed: dict[str, str], said: str
):
    monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")  # reads state again at every load
    attributes |= {"checks": None, "defs_state": {"management_type": kept_in}}

    def lineage(given: dict[str, Any]) -> set[str]:
        contents = {"type": "hog_dagster.PostHogProjectComponent", "attributes": given}
        path = project.scaffold_component(
            component_cls=PostHogProjectComponent,
            defs_path="posthog",
            defs_yaml_contents=contents,
        )
        load = DefinitionsLoadContext(DefinitionsLoadType.INITIALIZATION)
        with (
            DefinitionsLoadContext.scoped(load),
            project.load_component_and_build_defs(path) as (_, defs),
        ):
            return {key for key in specs_of(defs) if key.startswith("posthog/")}

    with (
        dg.instance_for_test() as instance,
        set_defs_state_storage(instance.defs_state_storage),
        create_defs_folder_sandbox() as project,
    ):
        before = lineage(attributes)
        assert any(key.startswith("posthog/workflow/welcome") for key in before)
        after = lineage({**attributes, **changed})
    assert said in caplog.text
    legacy = kept_in == "LEGACY_CODE_SERVER_SNAPSHOTS"  # which keeps nothing between loads
    assert "posthog/workflow_logs" in after
    assert legacy == (after != before)


def test_reading_the_objects_ends_soon_at_load_while_posthog_does_not_respond(
    attributes, monkeypatch, tmp_path: Path
):
    monkeypatch.setattr(_state, "_WHILE_LOADING_S", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,  # accepts, and never sends
        loaded(attributes | {"host": f"http://127.0.0.1:{silent.getsockname()[1]}"}) as (one, _),
    ):
        began = time.monotonic()
        one._loading = True
        with pytest.raises(errors.PostHogError, match="gave no whole response"):
            one.write_state_to_path(tmp_path / "state")
    assert time.monotonic() - began < 50, "one read timeout, let alone several, is longer"


def test_an_asset_spec_can_be_overridden_in_python(attributes, snapshot: Snapshot, tmp_path: Path):
    class Ours(PostHogProjectComponent):
        def get_asset_spec(self, props: PostHogProps) -> dg.AssetSpec:
            spec = super().get_asset_spec(props)
            if props.type == "workflow":
                return spec.replace_attributes(owners=["team:growth"])
            return spec.replace_attributes(group_name=f"posthog_{props.type}")

    kept = tmp_path / "state"
    snapshot.write(kept)
    component = Ours(**{**attributes, "warehouse": {}, "partitions": {"start_date": "2026-11-01"}})
    defs = component.build_defs_from_state(ComponentTree.for_test().load_context, kept)
    specs = specs_of(defs)
    flows = [spec for key, spec in specs.items() if key.startswith("posthog/workflow/")]
    assert {tuple(spec.owners) for spec in flows} == {("team:growth",)}
    assert specs["posthog/workflow_logs"].group_name == "posthog_table"


def test_steps_run_through_execute_with_the_hidden_resources(
    attributes, snapshot: Snapshot, tmp_path: Path
):
    ran: list[str] = []

    class Ours(PostHogProjectComponent):
        def execute(self, context, step):
            ran.append("before")
            yield from step()
            ran.append(context.op_execution_context.op.name)

    kept = tmp_path / "state"
    snapshot.write(kept)
    component = Ours(
        **{**attributes, "warehouse": {"duckdb": str(tmp_path / "o.duckdb")}},
    )
    defs = component.build_defs_from_state(ComponentTree.for_test().load_context, kept)
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        asset_selection=[dg.AssetKey(["posthog", "workflows"])], run_config=QUIET
    )
    assert result.success
    assert ran == ["before", "posthog_workflow_catalog"]
    assert {e.check_name for e in result.get_asset_check_evaluations()} == {
        "is_unique",
        "has_not_drifted",
    }
    with DuckDB(tmp_path / "o.duckdb") as warehouse:
        loaded = warehouse.query("select count(*) as n from posthog.workflows").to_pylist()
    assert loaded == [{"n": len(snapshot.workflows)}]


def test_every_line_of_yaml_arrives(attributes, snapshot: Snapshot):
    full: dict[str, Any] = {
        **attributes,
        "partitions": {"start_date": "2026-11-01", "every": "hourly", "lookback": 2},
        "workflows": {"names": ["W.*"], "statuses": ["active"]},
        "hog_functions": {"types": ["destination"], "enabled": True},
        "insights": [{"tags": ["weekly"], "refresh": "force_cache"}],
        "groups": {"columns": {"plan": "text", "seats": "bigint"}, "history": True},
        "messages": "drop",
        "read_by": "rest",
        "schedules": {"snapshots": None, "partitions": "10 * * * *", "running": True},
        "safety": {"max_audience": 9, "deny_workflows": ["Password reset"]},
        "sensors": {
            "replay": {
                "running": True,
                "dry_run": False,
                "allow_workflows": ["Welcome"],
                "already_sent": "if_resumes",
                "grace_seconds": 60,
                "window_from": "2026-11-20T14:00:00+01:00",
                "hog_functions": True,
                "max_reruns": "{{ 3 }}",
            },
            "observe": {"running": False, "failed_runs": False},
            "health": None,
        },
        "batch_jobs": [
            {
                "workflow": "Monthly newsletter",
                "cron": "0 9 1 * *",
                "timezone": "Europe/Berlin",
                "follow_seconds": 60,
                "max_lateness_hours": None,
            },
            {"workflow": "Monthly newsletter", "deps": ["marts/people"], "max_audience": 9},
        ],
        "checks": {"failure_rate": {"threshold": 0.5, "severity": "error"}, "staleness": None},
        "key_prefix": ["eu"],
        "group_name": "everything",
        "owners": ["team:data"],
        "tags": {"tier": "gold"},
        "workers": 3,
    }
    with loaded(full, snapshot) as (component, defs):
        specs = specs_of(defs)
        sensors = {sensor.name: sensor for sensor in defs.sensors or []}
        schedules = {schedule.name: schedule for schedule in defs.schedules or []}
    assert component.sensors.health is None
    assert set(sensors) == {"failed_runs_sensor", "posthog_observer"}
    assert sensors["failed_runs_sensor"].default_status is dg.DefaultSensorStatus.RUNNING
    assert "refresh_posthog_snapshots" not in schedules
    refresh = schedules["refresh_posthog_partitions"]
    assert isinstance(refresh, dg.ScheduleDefinition)
    assert refresh.cron_schedule == "10 * * * *"
    assert "batch_job_monthly_newsletter" in schedules
    replay = component.sensors.replay
    assert replay is not None
    assert (replay.already_sent, replay.grace_seconds, replay.max_reruns) == ("if_resumes", 60, 3)
    assert component.batch_jobs[0].follow_seconds == 60
    assert component.safety.max_audience == 9
    logs = specs["eu/workflow_logs"]
    assert isinstance(logs.partitions_def, dg.HourlyPartitionsDefinition)
    assert (logs.group_name, logs.owners) == ("everything", ["team:data"])
    assert logs.tags["tier"] == "gold"
    assert logs.metadata["posthog/messages"] == "drop"
    assert "eu/group_history" in specs
    send = specs["eu/send/monthly_newsletter"]
    assert [dep.asset_key.to_user_string() for dep in send.deps] == ["marts/people"]
    checks = {key.name for key in defs.resolve_asset_graph().asset_check_keys}
    assert "runs_succeed" in checks
    assert "is_recent" not in checks


def test_a_batch_job_is_upstream_of_its_workflow(attributes, snapshot: Snapshot):
    jobs = [{"workflow": "Monthly newsletter", "deps": ["marts/people"]}]
    with loaded({**attributes, "batch_jobs": jobs}, snapshot) as (_, defs):
        specs = specs_of(defs)
    (workflow,) = [spec for key, spec in specs.items() if "/monthly_newsletter_" in key]
    upstream = {dep.asset_key.to_user_string() for dep in workflow.deps}
    assert "posthog/send/monthly_newsletter" in upstream
    assert "marts/people" in specs  # Dagster shows what is upstream, too


def test_a_batch_job_of_an_unknown_workflow_is_left_out_with_a_warning(
    attributes, snapshot: Snapshot, caplog
):
    jobs = [{"workflow": "Nobody knows", "cron": "0 9 * * *"}]
    with loaded({**attributes, "batch_jobs": jobs}, snapshot) as (_, defs):
        names = {schedule.name for schedule in defs.schedules or []}
    assert not any(name.startswith("batch_job") for name in names)
    assert "Nobody knows" in caplog.text


def test_a_batch_job_that_would_never_be_sent_is_refused():
    with pytest.raises(ValueError, match="never be sent"):
        BatchJob(workflow="Monthly newsletter")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"warehouse": {"duckdb": "a", "postgres": "postgresql://h/b"}}, "several engines"),
        ({"messages": "shout"}, "messages"),
        ({"sensors": {"reply": {}}}, "reply"),
        ({"checks": {"failure_rate": {"treshold": 1}}}, "treshold"),
        ({"sensors": {"replay": {"already_sent": "maybe"}}}, "give one of skip, allow, if_resumes"),
        ({"sensors": {"replay": {"max_reruns": 0}}}, "max_reruns is 0: give 1 or more"),
        ({"sensors": {"replay": {"window_from": "monday"}}}, "window_from is 'monday'"),
        ({"safety": {"dryrun": True}}, "dryrun"),
    ],
)
def test_yaml_that_cannot_be_right_is_refused_by_name(attributes, wrong, said):
    with pytest.raises(ComponentTreeException) as refused, loaded({**attributes, **wrong}):
        pass
    assert said in all_said(refused.value)


def test_the_state_is_plain_json_of_names_and_fingerprints(attributes, tmp_path: Path):
    component = PostHogProjectComponent(**{**attributes, "warehouse": {}})
    component.write_state_to_path(tmp_path / "state")
    kept = json.loads((tmp_path / "state").read_text())
    assert {"workflows", "hog_functions", "insights", "taken_at"} <= set(kept)
    text = json.dumps(kept)
    for secret in (SECRET, "Bearer", "crm-token", "whsec"):
        assert secret not in text


def test_the_job_that_reconciles_is_there_without_its_schedule(attributes, snapshot: Snapshot):
    given = {**attributes, "schedules": {"reconcile": None}}
    with loaded(given, snapshot) as (_, defs):
        schedules = {schedule.name for schedule in defs.schedules or []}
        assert "reconcile_actions_schedule" not in schedules
        assert defs.resolve_job_def("reconcile_actions") is not None


def test_a_batch_job_that_the_project_denies_is_left_out_with_a_warning(
    attributes, snapshot: Snapshot, caplog
):
    given = {
        **attributes,
        "safety": {"deny_workflows": ["Monthly newsletter"]},
        "batch_jobs": [{"workflow": "Monthly newsletter", "cron": "0 9 * * *"}],
    }
    with loaded(given, snapshot) as (_, defs):
        names = {schedule.name for schedule in defs.schedules or []}
    assert not any(name.startswith("batch_job") for name in names)
    assert "the safety settings of the project do not allow it" in caplog.text


def test_two_cron_rules_of_one_workflow_are_two_schedules(attributes, snapshot: Snapshot):
    jobs = [
        {"workflow": "Monthly newsletter", "cron": cron}
        for cron in ("0 9 1 * *", "0 9 15 * *", "0 9 20 * *")
    ]
    with loaded({**attributes, "batch_jobs": jobs}, snapshot) as (_, defs):
        names = [one.name for one in defs.schedules or [] if one.name.startswith("batch_job")]
        assert len(names) == len({*names}) == 3
        defs.get_repository_def()  # Dagster takes them


def test_partitions_need_no_start_date_and_begin_where_the_environment_has_them_begin(
    attributes, snapshot: Snapshot
):
    given = {**attributes, "partitions": {"every": "hourly"}}
    with loaded(given, snapshot) as (component, defs):
        specs = specs_of(defs)
    cut = specs["posthog/workflow_logs"].partitions_def
    assert isinstance(cut, dg.HourlyPartitionsDefinition)
    assert cut.start.date() == first_kept_day()
    assert component.partitions.day == first_kept_day()


def test_the_settings_of_the_connection_reach_the_resources(attributes, snapshot: Snapshot):
    given = {
        **attributes,
        "headroom": 0.5,
        "read_timeout_seconds": 7,
        "max_wait_seconds": 8,
        "warehouse": {**attributes["warehouse"], "lock_timeout_seconds": 9},
    }
    with loaded(given, snapshot) as (_, defs):
        wanted = {name: (defs.resources or {})[name] for name in ("posthog", "warehouse")}
        with dg.build_resources(wanted) as built:
            posthog, warehouse = built.posthog, built.warehouse
    assert (posthog.headroom, posthog.read_timeout_seconds, posthog.max_wait_seconds) == (0.5, 7, 8)
    assert warehouse.lock_timeout_seconds == 9


def test_a_changed_selection_narrows_at_once_and_says_that_the_state_is_older(
    attributes, sandbox: Sandbox, caplog
):
    with loaded(attributes, refresh=True) as (component, defs):
        whole = [key for key in specs_of(defs) if key.startswith("posthog/workflow/")]
        kept = _state.read_state(component, loading=False)
    assert len(whole) > 1
    with (
        caplog.at_level(logging.WARNING, "hog_dagster"),
        loaded({**attributes, "workflows": {"names": ["Welcome.*"]}}, kept) as (_, defs),
    ):
        narrowed = [key for key in specs_of(defs) if key.startswith("posthog/workflow/")]
    assert narrowed
    assert {key.split("/")[-1].split("_")[0] for key in narrowed} == {"welcome"}
    assert "select something else than when the state was read" in caplog.text
    caplog.clear()
    with loaded(attributes, kept):
        assert "select something else" not in caplog.text
