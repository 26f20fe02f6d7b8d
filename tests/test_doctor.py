"""`hog-dagster doctor` over HTTP: what works, what was asked for and cannot, and the remedy."""

import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import duckdb
import psycopg
import pytest

from hog_dagster import DuckDBWarehouse, PostgresWarehouse
from hog_dagster.cli import main
from hog_dagster.cli._doctor_stores import ledger_row, store_rows, warehouse_row
from hog_dagster.components import BatchJob, ReplaySensor, Sensors
from hog_dagster.components._facts import ProjectFacts
from hog_dagster.jobs._pairing import remember_pairing
from hog_dagster.ledger import Action, Ledger
from hog_dagster.policies import Safety
from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog._services.doctor import Row, diagnose
from hog_dagster.sandbox import Sandbox

READ = ["hog_flow:read", "project:read"]

Start = Callable[..., Sandbox]


class Doctor:
    """Runs the command in an environment of its own."""

    def __init__(
        self, environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
    ) -> None:
        self._environ, self._capsys, self.home = environ, capsys, home
        for name in list(os.environ):
            if name.startswith(("POSTHOG_", "HOG_DAGSTER_", "DAGSTER_HOME")):
                environ.delenv(name)
        self.set(COLUMNS="200", DAGSTER_HOME=str(home))
        self.said = self.complained = ""

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._environ.setenv(name, value)

    def on(self, sandbox: Sandbox) -> None:
        self.set(POSTHOG_HOST=sandbox.url, POSTHOG_API_KEY=sandbox.api_key, POSTHOG_PROJECT_ID="1")

    def run(self, *words: str) -> int:
        sys.modules.pop("hog_dagster.definitions", None)
        code = main(["doctor", "--all", *words])
        out, err = self._capsys.readouterr()
        self.said, self.complained = out, err
        return code

    def state(self, what: str) -> str:
        """How the first row on ``what`` stands."""
        found = re.search(rf"^\s*(ok|off|warn|fail)\s+{re.escape(what)}", self.said, re.M)
        return found.group(1) if found else "absent"

    @property
    def paragraph(self) -> str:
        """The one paragraph that stands in the place of a table."""
        assert self.said == ""
        assert self.complained.endswith("\n")
        assert self.complained.count("\n") == 1
        return self.complained


@pytest.fixture
def doctor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Doctor:
    home = tmp_path / "home"
    home.mkdir()
    return Doctor(monkeypatch, capsys, home)


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(scopes: list[str] | None = None, **options: Any) -> Sandbox:
            keys = {"phx_secret_of_doctor": ["*"] if scopes is None else scopes}
            given = {"generation": "docs", "keys": keys, "populate": False, **options}
            return stack.enter_context(Sandbox(**given))

        yield begin


@pytest.mark.parametrize("generation", ["docs", "current"])
def test_all_is_well_on_either_generation(doctor: Doctor, start: Start, generation: str) -> None:
    sandbox = start(generation=generation, timezone="Asia/Kolkata")
    doctor.on(sandbox)
    assert doctor.run() == 0
    assert sandbox.url in doctor.said
    assert f"generation {generation}" in doctor.said
    assert "Asia/Kolkata" in doctor.said
    assert "1 Sandbox" in doctor.said
    acts = "replay" if generation == "docs" else "rerun"
    features = ("workflows", "workflow_logs", acts, "send_batch_job", "groups_push", "query")
    for what in (*(f"feature {name}" for name in features), "warehouse", "ledger"):
        assert doctor.state(what) == "ok"
    assert doctor.state("feature workflow_runs") == ("off" if generation == "docs" else "ok")
    for bucket, limit in (("default", "4,800"), ("insights", "1,200"), ("query", "2,400")):
        assert re.search(
            rf"quota {bucket}: [0-9,]+ of [0-9,]+ requests an hour are free; PostHog "
            rf"allows {limit}",
            " ".join(doctor.said.split()),
        )
    assert doctor.state("clock") == "ok"
    assert "All that is configured works." in doctor.said


def test_it_changes_nothing_and_shows_no_key(doctor: Doctor, start: Start) -> None:
    sandbox = start()
    doctor.on(sandbox)
    doctor.run()
    assert {record.method for record in sandbox.requests} == {"GET"}
    assert len(sandbox.requests) <= 12
    assert list(doctor.home.iterdir()) == []
    assert "phx_secret" not in doctor.said + doctor.complained


def test_what_the_key_lacks_is_off_until_it_is_needed(doctor: Doctor, start: Start) -> None:
    doctor.on(start(READ, generation="current"))
    assert doctor.run() == 0
    assert doctor.state("feature workflows") == "ok"
    assert doctor.state("feature groups") == "off"
    assert "-> Add person:read, hog_flow:write, group:read to the key" in doctor.said
    assert doctor.run("--need", "groups", "--need", "insights") == 1
    assert doctor.state("feature groups") == doctor.state("feature insights") == "fail"
    assert "Settings > Personal API keys" in doctor.said


def test_a_key_that_cannot_read_workflows_fails(doctor: Doctor, start: Start) -> None:
    doctor.on(start(["insight:read"]))
    assert doctor.run() == 1
    assert doctor.state("feature workflows") == "fail"
    assert doctor.state("project") == "warn"
    assert "add the scope project:read" in doctor.said


def test_a_write_scope_holds_the_read_scope(doctor: Doctor, start: Start) -> None:
    doctor.on(start(["hog_flow:write", "group:write", "project:read"]))
    assert doctor.run("--need", "groups_push", "--need", "replay") == 0


def test_acts_that_are_configured_must_work(doctor: Doctor, start: Start) -> None:
    doctor.on(start(READ, generation="current"))
    doctor.set(HOG_DAGSTER_BATCH_SCHEDULES='{"w": "0 9 * * *"}')
    assert doctor.run() == 1
    assert doctor.state("feature send_batch_job") == "fail"
    doctor.set(HOG_DAGSTER_BATCH_SCHEDULES="", HOG_DAGSTER_DRY_RUN="false")
    assert doctor.run() == 1
    assert doctor.state("feature send_batch_job") == "off"
    assert doctor.state("feature rerun") == "fail"


def test_a_server_that_refuses_keys_is_named_as_the_reason(doctor: Doctor, start: Start) -> None:
    doctor.on(start(keys_refused_on_custom_actions=True))
    assert doctor.run() == 0
    assert doctor.run("--need", "replay") == 1
    assert "refuses the action to scoped keys" in doctor.said


def test_a_server_that_opens_workflows_to_no_key(doctor: Doctor, start: Start) -> None:
    sandbox = start()
    said = "This action does not support Personal API Key access"
    kind = {"type": "authentication_error", "code": "permission_denied", "attr": None}
    closed = {**kind, "detail": said}
    sandbox.fail(path="*/hog_flows/*", times=99, status=403, body=closed)
    sandbox.fail(path="*/metrics/totals/", times=99, status=403, body=closed)
    doctor.on(sandbox)
    assert doctor.run() == 1
    assert doctor.state("feature workflows") == "fail"
    assert doctor.state("feature rerun") == doctor.state("feature hog_function_logs") == "off"
    assert doctor.state("feature hog_functions") == doctor.state("feature groups") == "ok"
    assert "-> A newer PostHog opens it to keys." in doctor.said


def test_a_clock_that_is_wrong_is_worth_a_look(doctor: Doctor, start: Start) -> None:
    doctor.on(start(now=datetime.now(UTC) - timedelta(seconds=100)))
    assert doctor.run() == 0
    assert doctor.state("clock") == "warn"
    assert re.search(r"server (9\d|10\d) s behind this machine", doctor.said)


def test_flags_stand_before_the_environment(doctor: Doctor, start: Start) -> None:
    sandbox = start()
    doctor.set(
        POSTHOG_API_KEY=sandbox.api_key, POSTHOG_HOST="http://localhost:1", POSTHOG_PROJECT_ID="9"
    )
    assert doctor.run("--host", sandbox.url, "--project-id", "1") == 0


def test_a_quota_that_is_nearly_used_up_is_worth_a_look(start: Start, tmp_path: Path) -> None:
    sandbox = start()
    limits = {"default": [(16, 60.0)]}
    client = PostHogClient(
        sandbox.url, sandbox.api_key, 1, limits=limits, headroom=1, rate_limit=tmp_path
    )
    with client:
        for _ in range(5):
            client.server.key()
        rows = {row.check: row for row in diagnose(client)}
    assert rows["quota default"].status == "warn"
    assert re.match("[01] of 16 requests a minute are free", rows["quota default"].value)


# -- what ends it before a table ------------------------------------------------------------------


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = b"<!doctype html><html><title>Acme intranet</title></html>"
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests want no access log."""


@pytest.fixture
def website() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Pages)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("status", [200, 404])
def test_a_host_that_is_no_posthog(doctor: Doctor, website: str, status: int) -> None:
    doctor.set(POSTHOG_HOST=f"{website}/{status}", POSTHOG_API_KEY="phx_x", POSTHOG_PROJECT_ID="1")
    assert doctor.run() == 1
    assert "web page" in doctor.paragraph
    assert "POSTHOG_HOST" in doctor.paragraph


def test_a_host_that_nobody_answers_at(doctor: Doctor) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    doctor.set(
        POSTHOG_HOST=f"http://127.0.0.1:{port}", POSTHOG_API_KEY="phx_x", POSTHOG_PROJECT_ID="1"
    )
    assert doctor.run() == 1
    assert f"no connection to 127.0.0.1:{port}" in doctor.paragraph
    assert "Check POSTHOG_HOST" in doctor.paragraph


def test_a_key_that_posthog_does_not_know(doctor: Doctor, start: Start) -> None:
    doctor.on(start())
    doctor.set(POSTHOG_API_KEY="phx_another")
    assert doctor.run() == 1
    assert "Check POSTHOG_API_KEY" in doctor.paragraph
    assert "phx_another" not in doctor.paragraph


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"POSTHOG_PROJECT_ID": "abc"}, "POSTHOG_PROJECT_ID=abc is not a number"),
        ({"POSTHOG_PROJECT_ID": ""}, "POSTHOG_PROJECT_ID is not set"),
        ({"POSTHOG_API_KEY": ""}, "POSTHOG_API_KEY is not set"),
        ({"POSTHOG_HOST": "https://app.posthog.com"}, "https://us.posthog.com or"),
        ({"POSTHOG_PROJECT_ID": "2"}, "Check POSTHOG_PROJECT_ID"),
        ({"HOG_DAGSTER_BATCH_SCHEDULES": "0 9 * * *"}, "not a JSON object"),
    ],
)
def test_a_setting_that_cannot_be_right(
    doctor: Doctor, start: Start, variables: Mapping[str, str], said: str
) -> None:
    doctor.on(start())
    doctor.set(**variables)
    assert doctor.run() == 1
    assert said in doctor.paragraph


def test_all_settings_that_are_wrong_are_named_at_once(doctor: Doctor) -> None:
    doctor.set(POSTHOG_HOST="us.i.posthog.com", POSTHOG_PROJECT_ID="@current")
    assert doctor.run() == 1
    for name in ("POSTHOG_HOST", "POSTHOG_API_KEY", "POSTHOG_PROJECT_ID"):
        assert name in doctor.paragraph


def test_the_unknown_project_of_a_key_without_the_project_scope(
    doctor: Doctor, start: Start
) -> None:
    doctor.on(start(["hog_flow:read"]))
    doctor.set(POSTHOG_PROJECT_ID="2")
    assert doctor.run() == 1
    assert "POSTHOG_PROJECT_ID" in doctor.paragraph


# -- warehouse, ledger, home ----------------------------------------------------------------------


def test_what_the_environment_asks_for() -> None:
    def needs(safety: Safety | None = None, **asked: Any) -> set[str]:
        job = BatchJob(workflow="a", cron="@daily")
        sensors = Sensors(replay=ReplaySensor(dry_run=asked.get("dry_run", True)))
        jobs = [job] if asked.get("sends") else []
        return {*ProjectFacts.of(safety or Safety(), None, sensors, jobs).needs}

    assert needs() == {"workflows", "workflow_logs", "workflow_metrics"}
    assert "replay" in needs(dry_run=False)
    assert "replay" not in needs(Safety(dry_run=True), dry_run=False)
    assert "send_batch_job" in needs(sends=True)


def test_a_warehouse_that_cannot_be_used_fails_the_whole(doctor: Doctor, start: Start) -> None:
    doctor.on(start())
    doctor.set(
        HOG_DAGSTER_WAREHOUSE="postgresql://h.invalid/db", HOG_DAGSTER_LEDGER=str(doctor.home)
    )
    assert doctor.run() == 1
    assert doctor.state("warehouse") == doctor.state("ledger") == "fail"
    assert "2 things that are configured cannot work" in doctor.said
    assert "see the lines marked fail" in doctor.said


@pytest.mark.parametrize(
    ("name", "value"),
    [("HOG_DAGSTER_WAREHOUSE", "snowflake://account/db"), ("HOG_DAGSTER_LEDGER", "mysql://h/db")],
)
def test_an_address_of_another_engine_is_one_sentence(
    doctor: Doctor, start: Start, name: str, value: str
) -> None:
    doctor.on(start())
    doctor.set(**{name: value})
    assert doctor.run() == 1
    assert name in doctor.paragraph
    assert value.partition("://")[0] in doctor.paragraph


def duckdb_row(path: Path) -> Row:
    return warehouse_row(DuckDBWarehouse(path=str(path)))


def postgres_row(url: str) -> Row:
    return warehouse_row(PostgresWarehouse(url=url))


def test_a_duckdb_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "w.duckdb"
    assert duckdb_row(path).status == "ok"
    assert not path.parent.exists()
    there = tmp_path / "there.duckdb"
    duckdb.connect(str(there)).close()
    assert duckdb_row(there).status == "ok"
    (tmp_path / "text.duckdb").write_text("no database at all, but more than sixteen bytes")
    assert duckdb_row(tmp_path / "text.duckdb").status == "fail"
    assert duckdb_row(tmp_path).status == "fail"
    below_a_file = duckdb_row(there / "w.duckdb")
    assert below_a_file.status == "fail"
    assert "is a file, not a folder" in below_a_file.value


def test_a_postgres_warehouse_and_a_role_that_may_not_write(postgres_url: str) -> None:
    assert postgres_row(postgres_url).status == "ok"
    with psycopg.connect(postgres_url, autocommit=True) as con:
        con.execute("DROP ROLE IF EXISTS doctor_reader")
        con.execute("CREATE ROLE doctor_reader LOGIN")
    poor = re.sub(r"//[^@/]*@", "//doctor_reader@", postgres_url)
    row = postgres_row(poor)
    assert row.status == "fail"
    assert "GRANT CREATE" in row.advice
    with psycopg.connect(postgres_url, autocommit=True) as con:
        con.execute("CREATE SCHEMA posthog; GRANT CREATE ON SCHEMA posthog TO doctor_reader")
        assert postgres_row(poor).status == "ok"
        con.execute("DROP OWNED BY doctor_reader; DROP ROLE doctor_reader")


def test_a_postgres_that_is_not_there() -> None:
    url = "postgresql://me:hunter2@127.0.0.1:1/db"
    for row in (postgres_row(url), ledger_row(url)):
        assert row.status == "fail"
        assert row.advice
        assert "hunter2" not in row.value + row.advice


def test_a_ledger_file_and_actions_in_doubt(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'ledger.sqlite'}"
    assert ledger_row(url).status == "ok"
    assert not (tmp_path / "new").exists()
    with Ledger(url) as ledger:
        claim = ledger.claim(Action(1, "replay", "w", "run 1"), owner="me")
        assert ledger_row(url).status == "ok"
        ledger.mark_sent([claim.entry], server_time=None)
    row = ledger_row(url)
    assert row.status == "warn"
    assert str(tmp_path / "new" / "ledger.sqlite") in row.value
    assert "actions: 1 sent, no outcome yet" in row.value
    assert f"hog-dagster ledger --url {url} resolve NUMBER --as confirmed|not-sent" in row.advice


def test_a_ledger_that_dagster_did_not_use_before_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, home = "https://eu.posthog.com", tmp_path / "home"
    warehouse = DuckDBWarehouse(path=str(tmp_path / "warehouse.duckdb"))
    ledger_path = tmp_path / "ledger.sqlite"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    home.mkdir()

    def pairing() -> tuple[str, str] | None:
        rows = {row.check: row for row in store_rows(warehouse, str(ledger_path), host, 1)}
        row = rows.get("ledger pairing")
        return (row.status, row.value) if row else None

    assert pairing() is None
    assert not list(home.iterdir())  # looking makes no instance
    with dg.DagsterInstance.get() as instance, Ledger(str(ledger_path)) as ledger:
        assert pairing() == (
            "ok",
            "none yet; the first run that sends something remembers its ledger",
        )
        remember_pairing(instance, ledger, host, 1)
    assert pairing() == ("ok", "Dagster used this ledger for this project before")
    (tmp_path / "ledger.sqlite").unlink()
    status, said = pairing() or ("", "")
    assert status == "fail"
    assert "there is no ledger here" in said
    Ledger(str(ledger_path)).sequence()
    status, said = pairing() or ("", "")
    assert status == "fail"
    assert "is not the one that this Dagster instance used" in said


def test_a_ledger_in_postgres(postgres_url: str) -> None:
    row = ledger_row(postgres_url)
    assert row.status == "ok"
    assert "at the first action" in row.value
    with psycopg.connect(postgres_url) as con:
        assert con.execute("SELECT to_regclass('hog_dagster_actions')").fetchone() == (None,)


def test_a_ledger_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_text("no database at all, but longer than the head of one would be")
    row = ledger_row(f"sqlite:///{path}")
    assert row.status == "fail"
    assert "HOG_DAGSTER_LEDGER" in row.advice


def test_a_home_that_is_missing_or_relative(doctor: Doctor, start: Start) -> None:
    doctor.on(start())
    doctor.set(DAGSTER_HOME="")
    assert doctor.run() == 0
    assert doctor.state("Dagster home") == "warn"
    doctor.set(DAGSTER_HOME="home")
    assert doctor.run() == 1
    assert doctor.state("Dagster home") == "fail"
