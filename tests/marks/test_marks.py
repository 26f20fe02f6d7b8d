"""No secret and no value of a row is in what Dagster stores, prints or writes into files.

Marks are planted wherever a secret or a person's value can be; everything runs, well and with
faults, on Dagster's PostgreSQL storage; then every byte is searched.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa

from hog_dagster import DltWarehouse, PostgresWarehouse, PostHogResource
from hog_dagster.assets import AssetOptions
from hog_dagster.assets._catalog import build_catalog_assets
from hog_dagster.jobs import build_replay_job
from hog_dagster.resources import LedgerResource
from hog_dagster.sandbox import Sandbox
from tests.conftest import psycopg_url
from tests.daemon_kit import IN_PROCESS, Daemon, daemon, write_settings
from tests.marks.marks import Marks, bytes_of_database, bytes_of_files
from tests.marks.project import answers, fill

LOCATION = Path(__file__).parent / "location.py"
BATCH = "01968c1e-77aa-0000-4f0e-2b5d1c9a3e10"
#: Answers that everything meets, and those that what is written meets too.
WHOLE, WRITTEN = ("detail", "failing"), ("detail", "misshapen", "redirected elsewhere")
#: All that Python's loggers say goes into the event log, as an instance can have it.
LOGS = {"managed_python_loggers": ["root"], "python_log_level": "INFO"}


def with_password(url: str, marks: Marks, name: str, *, driver: str = "postgresql") -> str:
    """The same database, with a user and a password that the server does not ask for, two ways."""
    password = marks.secret(f"password of {name}")
    parsed = sa.make_url(url).set(drivername=driver, password=password)
    parsed = parsed.update_query_dict({"password": marks.secret(f"parameter of {name}")})
    return parsed.render_as_string(hide_password=False)


class Deployment:
    """A project, a Dagster instance and the definitions, over one PostgreSQL server."""

    def __init__(self, sandbox: Sandbox, loop: Daemon, marks: Marks) -> None:
        self.sandbox, self.loop, self.marks = sandbox, loop, marks
        (location,) = loop.locations()
        self.repository = location._get_repo_def("__repository__")
        self.everything = self.repository.get_implicit_global_asset_job_def()
        self.failures: list[str] = []

    def load(self, *tables: str, partition: str | None = None) -> bool:
        """Run assets; whether it ended well."""
        keys = [dg.AssetKey(table.split("/")) for table in tables]
        return self._ran(
            self.everything.execute_in_process(
                asset_selection=keys,
                partition_key=partition,
                instance=self.loop.instance,
                raise_on_error=False,
            )
        )

    def run(self, job: str, **config: Any) -> bool:
        return self._ran(
            self.repository.get_job(job).execute_in_process(
                run_config={"ops": {f"{job}_op": {"config": config}}},
                instance=self.loop.instance,
                raise_on_error=False,
            )
        )

    def _ran(self, result: dg.ExecuteInProcessResult) -> bool:
        for event in result.all_events:
            if event.is_failure and event.event_specific_data is not None:
                self.failures.append(str(event.event_specific_data))
        return result.success

    def load_everything(self) -> None:
        graph = self.everything.asset_layer.asset_graph
        plain, cut = [], []
        for key in graph.materializable_asset_keys:
            if key.path[0] == "posthog" and "group_properties" not in key.path[-1]:
                (cut if graph.get(key).partitions_def else plain).append(key.to_user_string())
        self.load(*plain)
        self.load(*cut, partition=self.day)

    @property
    def day(self) -> str:
        """The newest partition."""
        return f"{self.sandbox.clock.now() - timedelta(days=1):%Y-%m-%d}"

    def tick(self) -> None:
        """A turn of every sensor and schedule."""
        self.loop.tick_sensors()
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        self.loop.tick_schedules(hour + timedelta(seconds=self.loop.turns))


@contextmanager
def deployed(
    folder: Path, url: str, warehouse: str, ledger: str, marks: Marks, literals: bool
) -> Iterator[Deployment]:
    home = folder / "home"
    home.mkdir()
    storage = {"postgres": {"postgres_url": {"env": "MARKS_TEST_STORAGE"}}}
    logs = {
        "module": "dagster._core.storage.local_compute_log_manager",
        "class": "LocalComputeLogManager",
        "config": {"base_dir": str(folder / "printed")},
    }
    settings = {**IN_PROCESS, "storage": storage, "compute_logs": logs, "python_logs": LOGS}
    write_settings(home, settings)
    text = (home / "dagster.yaml").read_text(encoding="utf-8")
    (home / "dagster.yaml").write_text(
        "\n".join(_without(text.splitlines(), "event_log_storage")), encoding="utf-8"
    )
    key = marks.secret("key", "phx_{}")
    with Sandbox(
        "docs" if literals else "current",
        populate=False,
        limits=False,
        keys={key: ["*"]},
        function_results=not literals,
    ) as sandbox:
        fill(sandbox, marks, BATCH)
        environment = {
            "MARKS_TEST_LITERALS": "1" if literals else "",
            "MARKS_TEST_HOST": sandbox.url,
            "MARKS_TEST_KEY": key,
            "MARKS_TEST_PROJECT": str(sandbox.project_id),
            "MARKS_TEST_WAREHOUSE": warehouse,
            "MARKS_TEST_LEDGER": ledger,
            "MARKS_TEST_RATE_LIMIT": with_password(url, marks, "rate limit"),
            "MARKS_TEST_STORAGE": with_password(
                url, marks, "storage", driver="postgresql+psycopg2"
            ),
            "MARKS_TEST_BATCH": BATCH,
            "MARKS_TEST_ROWS": "|".join(
                [marks.value("row", "g.{}@people.example"), marks.value("key of a row")]
            ),
            "MARKS_TEST_SECOND": "",
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            with daemon(home, {"marks": LOCATION}, kept=True) as loop:
                yield Deployment(sandbox, loop, marks)


def _without(lines: list[str], section: str) -> Iterator[str]:
    inside = False
    for line in lines:
        if not line.startswith((" ", "-")):
            inside = line.startswith(f"{section}:")
        if not inside:
            yield line


def faulty(deployment: Deployment) -> None:
    """Loads, actions, sensors and schedules against a server that repeats what it was sent."""
    sandbox, day = deployment.sandbox, deployment.day
    for name, fault in answers(deployment.marks, sandbox.api_key):
        sandbox.fail("*", times=0, **fault)
        assert not deployment.load(
            "posthog/workflows",
            "posthog/hog_functions",
            "posthog/groups",
            "posthog/people",
            "posthog/insight_trends",
            "posthog/group_properties_organization",
        ), name
        assert not deployment.run("replay_runs", workflows=["Onboarding"], dry_run=False), name
        if name in WHOLE:
            assert not deployment.load("posthog/workflow_runs", partition=day), name
            assert not deployment.run("send_batch_job", workflow=BATCH, dry_run=False), name
            deployment.tick()
            for path in ("*/logs/", "*/query/"):
                sandbox.clear_faults()
                sandbox.fail("*", path, times=0, **fault)
                deployment.load("posthog/workflow_logs", partition=day)
        if name in WRITTEN:
            sandbox.clear_faults()
            sandbox.fail("POST", times=0, **fault)
            deployment.run("replay_runs", workflows=["Onboarding"], dry_run=False, verify_seconds=0)
            deployment.load("posthog/group_properties_organization")
        sandbox.clear_faults()


@pytest.mark.integration
@pytest.mark.timeout(600)
@pytest.mark.parametrize("literals", [False, True], ids=["variables", "literals"])
def test_no_mark_is_stored_printed_or_written(
    tmp_path: Path,
    postgres_server: str,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    literals: bool,
) -> None:
    """With settings by variables, on PostgreSQL and a server of today; and with settings as texts
    that are kept out of the UI, on DuckDB, a ledger in a file and an older server."""
    marks = Marks()
    store = f"{sa.make_url(postgres_url).database}_house"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{store}"'.encode())
    house_url = psycopg_url(postgres_server, store)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    warehouse = with_password(house_url, marks, "warehouse")
    ledger = with_password(postgres_url, marks, "ledger", driver="postgresql+psycopg2")
    with deployed(
        tmp_path,
        postgres_url,
        str(tmp_path.parent / f"{tmp_path.name}.duckdb") if literals else warehouse,
        f"sqlite:///{tmp_path}/ledger.sqlite" if literals else ledger,
        marks,
        literals,
    ) as deployment:
        for sensor in deployment.repository.sensor_defs:
            deployment.loop.start(sensor.name)
        for schedule in deployment.repository.schedule_defs:
            deployment.loop.start(schedule.name)
        deployment.load("analytics/accounts")
        deployment.load_everything()
        deployment.tick()
        faulty(deployment)
        monkeypatch.setenv("MARKS_TEST_SECOND", marks.value("second value", "two {}"))
        assert not deployment.load("analytics/accounts")
        if not literals:
            spoil(deployment, house_url)
        beyond(deployment, monkeypatch)
        deployment.run("reconcile_actions")
    search(marks, tmp_path, postgres_url, "" if literals else house_url, capfd)


def spoil(deployment: Deployment, house_url: str) -> None:
    """Loads that the warehouse refuses, with the rows in its reasons."""
    day = deployment.day
    with psycopg.connect(house_url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
            "USING MESSAGE = 'no ' || quote_literal(NEW::text), DETAIL = NEW::text, "
            "HINT = NEW::text; END $$"
        )
        for table in ("workflow_runs", "groups", "people", "hog_functions"):
            connection.execute(
                f"ALTER TABLE posthog.{table} ADD CONSTRAINT one_{table} "
                "CHECK (project_id = 0) NOT VALID".encode()
            )
        connection.execute(
            "CREATE TRIGGER refusing BEFORE INSERT ON posthog.workflow_logs "
            "FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    assert not deployment.load("posthog/workflow_runs", partition=day)
    assert not deployment.load("posthog/workflow_logs", partition=day)
    for table in ("groups", "people", "hog_functions"):
        assert not deployment.load(f"posthog/{table}"), table


def beyond(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses with passwords that cannot be used: of warehouses, a ledger and a proxy."""
    marks, address = deployment.marks, dg.EnvVar("MARKS_TEST_ADDRESS")
    posthog = PostHogResource(
        host=dg.EnvVar("MARKS_TEST_HOST"),
        api_key=dg.EnvVar("MARKS_TEST_KEY"),
        project_id=dg.EnvVar("MARKS_TEST_PROJECT"),
    )
    refused = marks.secret("refused password", "postgresql://u:{}@127.0.0.1:1/db?connect_timeout=1")
    bare = marks.secret("password with a bare @", "postgresql://u:{}@x@127.0.0.1:1/db")
    behind = marks.secret("password behind a bare @", "postgresql://u:x@{}@127.0.0.1:1/db")
    parameter = marks.secret("refused parameter", "postgresql://127.0.0.1:1/db?password={}")
    dlt = marks.secret("credentials of dlt", "postgresql://u:{}@127.0.0.1:1/db?connect_timeout=1")
    catalog = build_catalog_assets(options=AssetOptions(retry_policy=None))
    for url in (refused, bare, behind, parameter, dlt):
        monkeypatch.setenv("MARKS_TEST_ADDRESS", url)
        warehouse = (
            DltWarehouse(destination="postgres", credentials=address)
            if url == dlt
            else PostgresWarehouse(url=address)
        )
        defs = dg.Definitions(
            assets=[catalog], resources={"posthog": posthog, "warehouse": warehouse}
        )
        result = dg.materialize(
            [catalog],
            resources=dict(defs.resources or {}),
            instance=deployment.loop.instance,
            raise_on_error=False,
        )
        assert not result.success
    for url in (refused, bare, behind, parameter):
        monkeypatch.setenv("MARKS_TEST_ADDRESS", url)
        result = build_replay_job(op_retry_policy=None).execute_in_process(
            resources={"posthog": posthog, "ledger": LedgerResource(url=address)},
            run_config={"ops": {"replay_runs_op": {"config": {"workflows": ["Onboarding"]}}}},
            instance=deployment.loop.instance,
            raise_on_error=False,
        )
        assert not result.success
    monkeypatch.setenv("HTTP_PROXY", marks.secret("proxy", "http://u:{}@127.0.0.1:1"))
    monkeypatch.setenv("MARKS_TEST_HOST", "http://posthog.invalid")
    result = dg.materialize(
        [catalog],
        resources={"posthog": posthog, "warehouse": PostgresWarehouse(url=address)},
        instance=deployment.loop.instance,
        raise_on_error=False,
    )
    assert not result.success


def search(
    marks: Marks, folder: Path, url: str, house_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Look at every byte there is."""
    out, err = capfd.readouterr()
    places = [
        *bytes_of_database(url),
        *bytes_of_files(folder, Path(os.environ["TMPDIR"])),
        ("standard output", out.encode()),
        ("standard error", err.encode()),
    ]
    assert len(marks.shown) >= 40
    assert any(b"STEP_FAILURE" in data for _, data in places)
    leaks = {
        f"{mark} in {place}": around
        for place, data in places
        for mark, around in marks.found(data).items()
    }
    houses = list(bytes_of_database(house_url)) if house_url else []
    for place, data in houses:
        for mark, around in marks.found(data, only=marks.secrets).items():
            leaks[f"{mark} in the warehouse, {place}"] = around
    if house_url:  # The marks were there to be found: the warehouse has the rows.
        house = b"\n".join(data for _, data in houses)
        assert {"group key", "row", "property"} <= set(marks.found(house))
    assert not leaks, "\n".join(f"{name}: {around!r}" for name, around in leaks.items())
