"""Resources: keys stay hidden, variables are read by Dagster, permanent errors are not retried."""

import importlib
import subprocess
import sys
from datetime import UTC, datetime

import dagster as dg
import pytest

from hog_dagster import DltWarehouse, DuckDBWarehouse, PostgresWarehouse, PostHogResource
from hog_dagster._dagster.failures import dagster_failures
from hog_dagster.cli._doctor_stores import warehouse_row
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.resources import LedgerResource, WarehouseResource
from hog_dagster.sandbox import Sandbox
from hog_dagster.settings import Settings, read_settings
from hog_dagster.warehouse import Column, Table
from hog_dagster.warehouse import errors as warehouse_errors


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox("docs", limits=False) as running:
        yield running


def test_no_secret_is_in_a_resources_repr():
    secret = "s3cr3t"
    for resource in (
        PostHogResource(api_key=f"phx_{secret}", project_id="1"),
        PostgresWarehouse(url=f"postgresql://me:{secret}@127.0.0.1/db"),
        LedgerResource(url=f"postgresql://me:{secret}@127.0.0.1/db"),
    ):
        assert secret not in repr(resource)
        assert secret not in str(resource)


def test_the_key_comes_from_the_environment_when_the_run_starts(sandbox, monkeypatch):
    monkeypatch.setenv("MY_KEY", sandbox.api_key)
    seen: list[int] = []

    @dg.asset
    def names(posthog: PostHogResource) -> None:
        seen.append(len(list(posthog.client.workflows.list())))

    posthog = PostHogResource(host=sandbox.url, api_key=dg.EnvVar("MY_KEY"), project_id="1")
    result = dg.materialize([names], resources={"posthog": posthog})
    assert result.success
    assert seen == [len(sandbox.world.workflows)]


def test_the_connection_is_closed_when_the_run_ends(sandbox):
    opened: list[PostHogClient] = []

    @dg.op
    def read(posthog: PostHogResource) -> None:
        assert list(posthog.client.workflows.list())
        opened.append(posthog.client)

    @dg.job
    def reading() -> None:
        read()

    posthog = PostHogResource(host=sandbox.url, api_key=sandbox.api_key, project_id="1")
    assert reading.execute_in_process(resources={"posthog": posthog}).success
    with pytest.raises(RuntimeError, match="closed"):
        list(opened[0].workflows.list())


def test_a_resource_used_before_dagster_read_its_variables_says_how_to_use_it():
    posthog = PostHogResource(api_key=dg.EnvVar("MY_KEY"), project_id="1")
    with pytest.raises(dg.Failure, match="take the resource as a parameter"):
        _ = posthog.client


def test_missing_settings_are_named_together():
    with pytest.raises(dg.Failure, match="POSTHOG_API_KEY and POSTHOG_PROJECT_ID are not set"):
        _ = PostHogResource(api_key="", project_id="").client


def test_a_project_number_may_be_given_as_a_number():
    assert PostHogResource(api_key="phx_x", project_id=7).project_id == "7"  # pyright: ignore[reportArgumentType]


def test_an_asset_takes_whichever_warehouse_is_configured(tmp_path):
    kinds: list[str] = []

    @dg.asset
    def look(warehouse: WarehouseResource) -> None:
        with warehouse.open() as opened:
            kinds.append(opened.kind)

    warehouse = DuckDBWarehouse(path=str(tmp_path / "w.duckdb"))
    assert dg.materialize([look], resources={"warehouse": warehouse}).success
    assert kinds == ["duckdb"]


def test_a_dlt_destination_is_a_warehouse_too(tmp_path):
    table = Table("t", (Column("a", "bigint"),))
    resource = DltWarehouse(
        destination="filesystem", bucket_url=tmp_path.as_uri(), table_format="delta"
    )
    with resource.open() as warehouse:
        assert warehouse.replace(table, [[{"a": 1}, {"a": 2}]]).rows == 2
        assert warehouse.count(table) == 2


def test_the_environment_may_name_a_dlt_destination(monkeypatch, tmp_path):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("HOG_DAGSTER_WAREHOUSE", "dlt:filesystem")
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", tmp_path.as_uri())
    definitions = importlib.import_module("hog_dagster.definitions")
    resource = definitions._warehouse(read_settings(Settings))
    assert resource.kind == "delta"
    with resource.open() as warehouse:
        assert str(tmp_path) in warehouse.location
    row = warehouse_row(DltWarehouse(destination="filesystem", table_format="delta"))
    assert (row.status, str(tmp_path) in row.value) == ("ok", True)
    row = warehouse_row(DltWarehouse(destination="postgres"))
    assert (row.status, "not configured for dlt" in row.value) == ("fail", True)


def test_every_public_name_can_be_imported():
    import hog_dagster

    assert sorted(hog_dagster.__all__) == hog_dagster.__all__
    for name in hog_dagster.__all__:
        assert getattr(hog_dagster, name)
    assert set(hog_dagster.__all__) <= set(dir(hog_dagster))


def test_a_plain_definition_set_with_nothing_configured_still_loads(monkeypatch, tmp_path):
    for name in ("POSTHOG_API_KEY", "POSTHOG_PROJECT_ID", "POSTHOG_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    sys.modules.pop("hog_dagster.definitions", None)
    defs = importlib.import_module("hog_dagster.definitions").defs
    keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert {"posthog/workflows", "posthog/workflow_logs", "posthog/replays"} <= keys
    assert all(
        sensor.default_status is dg.DefaultSensorStatus.STOPPED
        for sensor in defs.sensors or []
        if sensor.name in ("blocked_runs_sensor",)
    )


def test_the_default_code_location_has_the_lineage_also_while_posthog_is_down(
    monkeypatch, tmp_path
):
    def loaded(**given: str) -> set[str]:
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        sys.modules.pop("hog_dagster.definitions", None)
        defs = importlib.import_module("hog_dagster.definitions").defs
        return {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}

    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with Sandbox("docs", populate=False, limits=False) as sandbox:
        sandbox.world.add_workflow("Welcome")
        there = loaded(
            POSTHOG_HOST=sandbox.url,
            POSTHOG_API_KEY=sandbox.api_key,
            POSTHOG_PROJECT_ID=str(sandbox.project_id),
        )
        assert any(key.startswith("posthog/workflow/welcome") for key in there)
        asked = len(sandbox.requests)
        without = loaded(HOG_DAGSTER_LINEAGE="false")
        assert len(sandbox.requests) == asked
        assert not any(key.startswith("posthog/workflow/") for key in without)
    assert loaded(HOG_DAGSTER_LINEAGE="true") == there
    sys.modules.pop("hog_dagster.definitions", None)


def test_the_environment_switches_messages_and_their_checks_on(monkeypatch, tmp_path):
    def loaded(**given: str) -> tuple[set[str], dict[str, str]]:
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        sys.modules.pop("hog_dagster.definitions", None)
        defs = importlib.import_module("hog_dagster.definitions").defs
        graph = defs.resolve_asset_graph()
        specs = [spec for one in defs.asset_checks or () for spec in one.check_specs]
        return (
            {key.path[-1] for key in graph.get_all_asset_keys()},
            {spec.name: spec.description for spec in specs},
        )

    for name in ("POSTHOG_API_KEY", "POSTHOG_PROJECT_ID", "HOG_DAGSTER_MESSAGING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    tables, checks = loaded()
    assert "sent_messages" not in tables
    assert "mail_goes_out" not in checks
    tables, checks = loaded(HOG_DAGSTER_MESSAGING='{"lists": false}')
    assert {"sent_messages", "sending_reputation"} <= tables
    assert "suppressions" not in tables
    assert "at most 2.00% of the e-mails bounced" in checks["mail_is_well_received"]
    _, checks = loaded(HOG_DAGSTER_DELIVERABILITY='{"max_bounce_rate": 0.01}')
    assert "at most 1.00% of the e-mails bounced" in checks["mail_is_well_received"]
    sys.modules.pop("hog_dagster.definitions", None)


@pytest.mark.parametrize("text", ["true", "false", ""])
def test_the_environment_says_whether_a_cut_audience_is_sent_to(monkeypatch, tmp_path, text):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv(
        "HOG_DAGSTER_BATCH_SCHEDULES", '{"0198c1e0-77aa-7000-8f0e-2b5d1c9a3e10": "0 9 * * *"}'
    )
    monkeypatch.setenv("HOG_DAGSTER_SEND_TRUNCATED", text)
    sys.modules.pop("hog_dagster.definitions", None)
    defs = importlib.import_module("hog_dagster.definitions").defs
    sys.modules.pop("hog_dagster.definitions", None)
    (schedule,) = [one for one in defs.schedules or () if one.name.startswith("batch_job_")]
    moment = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0)
    with dg.build_schedule_context(scheduled_execution_time=moment) as context:
        (requested,) = schedule.evaluate_tick(context).run_requests or []
    (op,) = requested.run_config["ops"].values()
    assert op["config"]["send_truncated"] is (text == "true")


@pytest.mark.parametrize(
    ("error", "retried"),
    [
        (errors.AuthenticationError("no"), False),
        (errors.MissingScope("no"), False),
        (errors.NotFound("no"), False),
        (errors.QueryTooLarge("no"), False),
        (errors.ServerError("no"), True),
        (errors.TransportError("no"), True),
        (errors.Throttled("no"), True),
        (warehouse_errors.SchemaConflict("no"), False),
        (warehouse_errors.WarehouseBusy("no"), True),
        (ValueError("no"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_errors_that_may_pass_are_left_to_retry_policies(error, retried):
    with pytest.raises(type(error) if retried else dg.Failure) as raised, dagster_failures():
        raise error
    if not retried:
        assert isinstance(raised.value, dg.Failure)
        assert raised.value.allow_retries is False


def test_definitions_load_without_the_engines_and_sqlglot() -> None:
    script = "import hog_dagster.definitions, sys; print({'duckdb', 'sqlglot'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=110
    )
    assert done.stdout == "set()\n"
