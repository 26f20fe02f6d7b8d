"""`hog-dagster doctor --deploy`: the instance, its storage, and the files around it."""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa
import yaml

from hog_dagster.cli import main
from hog_dagster.cli._doctor_secrets import literal_secrets
from tests.conftest import psycopg_url

WELL: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "deploy" / "dagster.yaml").read_text(encoding="utf-8")
)
ELSEWHERE = {
    "module": "dagster._core.launcher.sync_in_memory_run_launcher",
    "class": "SyncInMemoryRunLauncher",
}


class Deployed:
    """Runs the command on an instance of these settings."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, capsys: Any) -> None:
        self.home, self._patch, self._capsys = folder / "home", patch, capsys
        self.home.mkdir()
        work = folder / "work"
        work.mkdir()
        patch.chdir(work)
        for name in list(os.environ):
            if name.startswith(("POSTHOG_", "HOG_DAGSTER_", "DAGSTER_")):
                patch.delenv(name)
        self.set(
            COLUMNS="200",
            DAGSTER_HOME=str(self.home),
            HOME=str(work),
            POSTHOG_API_KEY="phx_secret_of_doctor",
            POSTHOG_PROJECT_ID="1",
            HOG_DAGSTER_LINEAGE="false",
        )
        # What tests write is in a temporary folder, where no ledger lasts.
        patch.setattr("hog_dagster.cli._doctor_deploy._passing", lambda path: "gone" in path.parts)

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._patch.setenv(name, value)

    def settings(self, **settings: Any) -> None:
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")

    def run(self) -> dict[str, dict[str, str]]:
        """The rows by what they are about; the exit code is in `code`."""
        sys.modules.pop("hog_dagster.definitions", None)
        self.code = main(["doctor", "--deploy", "--json"])
        said = self._capsys.readouterr().out
        rows = {row["check"]: row for row in json.loads(said)["rows"]}
        assert self.code == any(row["status"] == "fail" for row in rows.values())
        assert all(row["advice"] for row in rows.values() if row["status"] in ("warn", "fail"))
        assert "phx_secret" not in said
        return rows


@pytest.fixture
def deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Deployed:
    return Deployed(tmp_path, monkeypatch, capsys)


@pytest.fixture
def storage(postgres_url: str) -> str:
    url = sa.make_url(postgres_url).set(drivername="postgresql+psycopg2")
    return url.render_as_string(hide_password=False)


def beat() -> None:
    """Heartbeats of all daemons that the instance needs, as its daemon process writes them."""
    from dagster._daemon.types import DaemonHeartbeat

    with dg.DagsterInstance.get() as instance:
        for kind in instance.get_required_daemon_types():
            instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), kind, "one", []))


def states(rows: dict[str, dict[str, str]], *states: str) -> set[str]:
    return {name for name, row in rows.items() if row["status"] in states}


def test_an_instance_out_of_the_box_lacks_what_actions_rely_on(deployed: Deployed) -> None:
    rows = deployed.run()
    assert deployed.code == 1
    assert states(rows, "fail") == {"daemon", "run monitoring"}
    assert {"storage", "run queue", "run retries", "pools"} <= states(rows, "warn")
    assert "dagster instance concurrency set posthog_actions" in rows["pools"]["advice"]
    assert rows["ledger"]["status"] == rows["rate limit"]["status"] == "ok"


def test_what_deploy_has_passes_once_the_daemon_runs(deployed: Deployed, storage: str) -> None:
    deployed.settings(**WELL)
    deployed.set(DAGSTER_PG_URL=storage, HOG_DAGSTER_LEDGER=storage)
    beat()
    with dg.DagsterInstance.get() as instance:
        for pool in ("posthog_actions", "posthog_reads"):
            instance.event_log_storage.set_concurrency_slots(pool, 4)
    rows = deployed.run()
    assert deployed.code == 0
    assert states(rows, "warn", "fail") == set()
    assert "UTF8" in rows["storage"]["value"]
    assert "by all machines together" in rows["rate limit"]["value"]


def test_runs_on_other_machines_need_what_all_of_them_reach(deployed: Deployed) -> None:
    deployed.settings(run_launcher=ELSEWHERE, run_monitoring={"enabled": True})
    rows = deployed.run()
    assert {"storage", "ledger", "rate limit"} <= states(rows, "fail")
    assert "HOG_DAGSTER_LEDGER" in rows["ledger"]["advice"]
    assert "HOG_DAGSTER_RATE_LIMIT" in rows["rate limit"]["advice"]


def test_a_ledger_in_a_folder_that_is_emptied_fails(deployed: Deployed) -> None:
    deployed.set(HOG_DAGSTER_LEDGER=f"sqlite:///{deployed.home}/gone/ledger.sqlite")
    assert deployed.run()["ledger"]["status"] == "fail"


def test_a_storage_that_cannot_be_reached_is_named_without_its_password(
    deployed: Deployed,
) -> None:
    url = "postgresql+psycopg2://dagster:s3cr3t@127.0.0.1:1/dagster?connect_timeout=1"
    deployed.settings(storage={"postgres": {"postgres_url": {"env": "DAGSTER_PG_URL"}}})
    deployed.set(DAGSTER_PG_URL=url)
    rows = deployed.run()
    assert rows["instance"]["status"] == "fail"
    assert "s3cr3t" not in json.dumps(rows)
    assert deployed.code == 1


@pytest.fixture
def latin(postgres_server: str) -> Iterator[str]:
    """A database that cannot hold every text."""
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(
            "CREATE DATABASE latin_store ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
        )
    url = sa.make_url(psycopg_url(postgres_server, "latin_store"))
    yield url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("DROP DATABASE latin_store WITH (FORCE)")


def test_a_database_that_is_not_utf8_fails(deployed: Deployed, latin: str) -> None:
    deployed.settings(storage={"postgres": {"postgres_url": {"env": "DAGSTER_PG_URL"}}})
    deployed.set(DAGSTER_PG_URL=latin)
    row = deployed.run()["storage"]
    assert row["status"] == "fail"
    assert "LATIN1" in row["value"]


def test_packages_that_do_not_belong_together_fail(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import metadata

    real = metadata.version
    monkeypatch.setattr(
        metadata, "version", lambda name: "1.13.1" if name == "dagster-graphql" else real(name)
    )
    row = deployed.run()["versions"]
    assert row["status"] == "fail"
    assert f"dagster-graphql=={real('dagster')}" in row["advice"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dagster.yaml", "storage:\n  postgres:\n    postgres_url: postgresql://u:s3cr3t@h/db"),
        ("defs.yaml", "attributes:\n  api_key: phx_s3cr3ts3cr3t"),
        ("values.yaml", "postgresqlPassword: s3cr3t"),
        ("compose.yaml", "environment:\n  - HOG_DAGSTER_LEDGER=postgresql://u:s3cr3t@h/db"),
        ("workspace.yaml", "token: 's3cr3t'"),
    ],
)
def test_a_secret_in_a_file_is_found_and_not_repeated(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / name).write_text(text, encoding="utf-8")
    row = literal_secrets([tmp_path])
    assert row.status == "fail"
    assert f"{name}:{text.count(chr(10)) + 1}" in row.value
    assert "s3cr3t" not in row.value + row.advice


@pytest.mark.parametrize(
    "text",
    [
        "api_key: '{{ env.POSTHOG_API_KEY }}'",
        "postgres_url:\n  env: DAGSTER_PG_URL",
        "POSTGRES_PASSWORD: ${POSTGRES_PASSWORD}",
        "url: postgresql://dagster:${POSTGRES_PASSWORD:?set it}@db:5432/dagster",
        "# postgresql://user:password@host/db",
        "envSecrets:\n  - name: posthog",
        "password:\n  secret: true",
    ],
)
def test_what_names_a_variable_is_no_secret(tmp_path: Path, text: str) -> None:
    (tmp_path / "values.yaml").write_text(text, encoding="utf-8")
    assert literal_secrets([tmp_path]).status == "ok"


def test_the_files_of_deploy_hold_no_secret() -> None:
    assert literal_secrets([Path(__file__).parents[2] / "deploy"]).status == "ok"
