"""Commands work on the project they stand in, say so first, and refuse when several fit."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from hog_dagster.cli import COMMANDS
from hog_dagster.cli._project import find_project
from hog_dagster.ledger import Action, Ledger
from hog_dagster.sandbox import Sandbox
from tests.cli.conftest import KEY, DgProject, Done

Typed = Callable[..., Done]


def settings(posthog: Sandbox, **more: Any) -> dict[str, Any]:
    return {
        "host": posthog.url,
        "api_key": KEY,
        "project_id": str(posthog.project_id),
        "warehouse": {"duckdb": "data/theirs.duckdb"},
        "ledger": "sqlite:///data/theirs.sqlite",
        **more,
    }


def day(ago: int) -> str:
    return (datetime.now(UTC) - timedelta(days=ago)).date().isoformat()


def home(tmp_path: Path) -> str:
    made = tmp_path / "home"
    made.mkdir(exist_ok=True)
    (made / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    return str(made)


def test_a_backfill_lands_in_the_warehouse_of_the_project_and_not_in_the_environments(
    project: DgProject, posthog: Sandbox, typed: Typed, tmp_path: Path, monkeypatch
) -> None:
    project.component(**settings(posthog, partitions={"start_date": day(20)}, messages="drop"))
    monkeypatch.chdir(project.defs)
    done = typed(
        *("backfill", "--from", day(3), "--to", day(2), "--tables", "workflow_logs"),
        DAGSTER_HOME=home(tmp_path),
        HOG_DAGSTER_WAREHOUSE=str(tmp_path / "other.duckdb"),
        POSTHOG_HOST="http://127.0.0.1:9",
        POSTHOG_API_KEY="phx_other",
        POSTHOG_PROJECT_ID="99",
    )
    assert done.code == 0, done.out + done.err
    first = done.out.splitlines()[0]
    assert "Project analytics, component posthog (" in first
    assert "defs/posthog/defs.yaml" in done.said
    assert f"PostHog project 1 at {posthog.url}" in done.said
    assert f"DuckDB {project.root / 'data/theirs.duckdb'}" in done.said
    with duckdb.connect(str(project.root / "data/theirs.duckdb"), read_only=True) as loaded:
        counted = loaded.execute(
            "select count(*), count(distinct timestamp::date), count(nullif(message, '')) "
            "from posthog.workflow_logs"
        ).fetchone()
    assert counted is not None
    assert counted[0] > 0
    assert counted[1:] == (2, 0)  # two days, and no text of a message
    assert not (tmp_path / "other.duckdb").exists()


def test_a_backfill_reads_messages_before_their_events_and_says_nothing_of_them_without(
    project: DgProject, posthog: Sandbox, typed: Typed, tmp_path: Path, monkeypatch
) -> None:
    days = ("backfill", "--from", day(40), "--to", day(2))
    plain = settings(posthog, partitions={"start_date": day(50)})
    project.component(**plain)
    monkeypatch.chdir(project.defs)
    without = typed(*days, "--estimate", DAGSTER_HOME=home(tmp_path))
    assert without.code == 0, without.out + without.err
    assert not {"sent_messages", "message_events"} & set(without.out.replace(":", " ").split())
    project.component(**plain, messaging={"events": True})
    posthog.world.mail.capture_events = True
    done = typed(*days, "--tables", "message_events,sent_messages", DAGSTER_HOME=home(tmp_path))
    assert done.code == 0, done.out + done.err
    assert "PostHog keeps these rows for 30 days" in done.said
    assert done.out.rindex("sent_messages") < done.out.rindex("message_events")
    with duckdb.connect(str(project.root / "data/theirs.duckdb"), read_only=True) as loaded:
        for table in ("sent_messages", "message_events"):
            assert loaded.execute(f"select count(*) from posthog.{table}").fetchone() is not None


def test_doctor_and_ledger_and_replay_take_the_projects_ledger(
    project: DgProject, posthog: Sandbox, typed: Typed
) -> None:
    project.component(**settings(posthog, safety={"deny_workflows": ["Trial ending"]}))
    with Ledger(f"sqlite:///{project.root}/data/theirs.sqlite") as ledger:
        claim = ledger.claim(Action(1, "rerun", "w", "run 1", target_name="Trial"), owner="me")
        ledger.mark_sent([claim.entry], server_time=None)
    listed = typed("ledger", "list")
    assert listed.code == 0
    assert "run 1" in listed.out
    assert "theirs.sqlite" in listed.out
    looked = typed("doctor", "--json")
    told = json.loads(looked.out)
    rows = {row["check"]: row for row in told["rows"]}
    assert rows["ledger"]["status"] == "warn"
    assert "theirs.sqlite" in rows["ledger"]["value"]
    assert "theirs.duckdb" in rows["warehouse"]["value"]
    denied = typed("replay", "--from", "-2h", "--workflow", "Trial ending")
    assert denied.code == 2
    assert "safety settings do not allow the workflow" in denied.err
    assert "Nothing was sent." in denied.err


def test_several_components_are_refused_by_name_and_one_can_be_named(
    project: DgProject, posthog: Sandbox, typed: Typed
) -> None:
    project.component("us", **settings(posthog, name="us"))
    project.component("eu", **settings(posthog, name="eu", warehouse={"duckdb": "eu.duckdb"}))
    refused = typed("ledger", "list")
    assert refused.code == 2
    assert "has 2 PostHog components; name one with --component" in refused.err
    assert "eu (PostHog project 1" in refused.err
    chosen = typed("doctor", "--component", "eu", "--json")
    assert chosen.code == 0, chosen.err
    assert "eu.duckdb" in json.loads(chosen.out)["project"]
    unknown = typed("doctor", "--component", "asia")
    assert unknown.code == 2
    assert "No PostHog component called asia in the project analytics" in unknown.err


def test_a_project_without_a_component_is_refused_and_not_replaced_by_the_environment(
    project: DgProject, posthog: Sandbox, typed: Typed
) -> None:
    (project.defs / "other.py").write_text("import dagster as dg\n@dg.asset\ndef x(): ...\n")
    done = typed("doctor", POSTHOG_API_KEY=KEY, POSTHOG_PROJECT_ID="1", POSTHOG_HOST=posthog.url)
    assert done.code == 2
    assert "Project analytics has no PostHog project" in done.err
    assert (
        "--module hog_dagster.definitions"
        in done.err.replace("; ", " ").replace("--module; ", "--module ")
        or "hog_dagster.definitions is the environment" in done.err
    )
    outright = typed("doctor", "--json", "-m", "hog_dagster.definitions")
    assert json.loads(outright.out)["project"].startswith("The environment: PostHog project 1")


def test_definitions_in_python_are_found_by_their_module(
    tmp_path: Path, posthog: Sandbox, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    name = f"ours_{os.getpid()}"
    (tmp_path / f"{name}.py").write_text(
        "import dagster as dg\n"
        "from hog_dagster import (DuckDBWarehouse, LedgerResource, PostHogResource,\n"
        "                         build_posthog_definitions)\n"
        "from hog_dagster.policies import Safety\n"
        "defs = build_posthog_definitions(\n"
        f"    posthog=PostHogResource(host='{posthog.url}', api_key=dg.EnvVar('OUR_KEY'),\n"
        "                            project_id='1'),\n"
        "    warehouse=DuckDBWarehouse(path='python.duckdb'),\n"
        "    ledger=LedgerResource(url='sqlite:///python.sqlite'),\n"
        "    safety=Safety(dry_run=True),\n"
        ")\n"
    )
    unset = typed("doctor", "--module", name)
    assert unset.code == 2
    assert "OUR_KEY is not set" in unset.err
    done = typed("doctor", "--module", name, "--json", OUR_KEY=KEY)
    assert done.code == 0, done.err
    assert "python.duckdb" in done.out
    sent = typed("replay", "--from", "-1h", "--send", "--yes", "--module", name)
    assert sent.code == 2
    assert "safety.dry_run of the project is true" in sent.err
    # `[tool.dagster]` is Dagster's own way of naming it.
    (tmp_path / "pyproject.toml").write_text(f'[tool.dagster]\nmodule_name = "{name}"\n')
    assert f"module {name}" in json.loads(typed("doctor", "--json").out)["project"].lower()
    missing = typed("doctor", "--module", "nowhere.at_all")
    assert missing.code == 2
    assert "There is no module nowhere here" in missing.err


def test_a_workspace_names_its_projects(tmp_path: Path, typed: Typed, monkeypatch) -> None:
    (tmp_path / "dg.toml").write_text(
        'directory_type = "workspace"\n[[workspace.projects]]\npath = "one"\n'
        '[[workspace.projects]]\npath = "two"\n'
    )
    monkeypatch.chdir(tmp_path)
    done = typed("doctor")
    assert done.code == 2
    assert "go into one of its projects (one, two)" in done.err


def test_a_backfill_without_a_dagster_home_is_one_sentence(
    project: DgProject, posthog: Sandbox, typed: Typed
) -> None:
    project.component(**settings(posthog))
    done = typed("backfill", "--from", day(3), "--to", day(2))
    assert done.code == 2
    assert "DAGSTER_HOME is not set" in done.err
    assert "Traceback" not in done.err


def test_doctor_is_short_says_what_is_off_and_fits_sixty_columns(
    project: DgProject, posthog: Sandbox, typed: Typed, tmp_path: Path
) -> None:
    project.component(**settings(posthog))
    done = typed("doctor", COLUMNS="60", NO_COLOR="1", DAGSTER_HOME=home(tmp_path))
    assert done.code == 0, done.out
    lines = done.out.splitlines()
    assert all(len(line) <= 60 or " " not in line.strip() for line in lines), done.out
    assert "\x1b[" not in done.out
    assert "Not possible here, and not configured: blocked_runs, replay" in done.said
    states = [line.split()[0] for line in lines if re.match(r"(fail|warn|ok|off)\b", line)]
    assert len(states) <= 14
    problems = [number for number, one in enumerate(states) if one in ("fail", "warn")]
    assert problems == list(range(len(problems)))  # they stand first


def test_plan_is_of_the_project_it_stands_in(
    project: DgProject, posthog: Sandbox, typed: Typed
) -> None:
    project.component(**settings(posthog))
    other = {"POSTHOG_HOST": "http://127.0.0.1:9", "POSTHOG_PROJECT_ID": "99"}
    done = typed("plan", "--days", "40", **other)
    assert done.code == 0, done.out + done.err
    assert f"PostHog project 1 at {posthog.url}" in done.said.split(" workflows (")[0]
    assert "backfill of 40 days, once" in done.said
    told = json.loads(typed("plan", "--json", **other).out)
    assert told["read_by"] == "HogQL"
    assert told["size"]["workflows"] > 0
    assert {line["what"] for line in told["REST"]["lines"]} >= {"catalogs and snapshots"}
    assert told["HogQL"]["backfill"]["days"] == 30
    assert typed("plan", "--days", "0").code == 2


def test_doctor_says_where_the_rate_limit_is_counted(
    project: DgProject, posthog: Sandbox, typed: Typed, tmp_path: Path
) -> None:
    project.component(**settings(posthog, rate_limit=str(tmp_path / "rates")))
    done = typed("doctor", DAGSTER_HOME=home(tmp_path))
    assert f"rate limit: counted by the processes of this machine together, in {tmp_path}" in (
        done.said
    )
    project.component(**settings(posthog, rate_limit="postgresql://127.0.0.1:9/nothing"))
    done = typed("doctor", DAGSTER_HOME=home(tmp_path))
    assert re.search(r"warn +rate limit: ", done.said), done.said
    assert "Set rate_limit (HOG_DAGSTER_RATE_LIMIT)" in done.said


def test_a_bare_call_is_help_and_a_typo_is_answered(typed: Typed) -> None:
    bare = typed()
    assert bare.code == 0
    for name in ("doctor", "check", "plan", "backfill", "replay", "ledger", "dev", "sandbox"):
        assert f"  {name}" in bare.out
    typo = typed("bakfill")
    assert typo.code == 2
    assert "There is no command bakfill; did you mean backfill?" in typo.err
    option = typed("backfill", "--form", "2026-01-01")
    assert option.code == 2
    assert "--from" in option.err
    required = typed("backfill", "--from", "2026-01-01")
    assert required.code == 2
    assert "--to" in required.err


def test_words_are_completed() -> None:
    environment = {
        **os.environ,
        "_HOG_DAGSTER_COMPLETE": "bash_complete",
        "COMP_WORDS": "hog-dagster ba",
        "COMP_CWORD": "1",
    }
    shown = subprocess.run(
        [sys.executable, "-m", "hog_dagster"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shown.stdout.strip() == "plain,backfill"


def test_the_script_for_a_shell_is_printed(typed: Typed) -> None:
    done = typed("completion", "zsh")
    assert done.code == 0
    assert "_HOG_DAGSTER_COMPLETE=zsh_complete" in done.out
    assert typed("completion", SHELL="/bin/false").code == 2


@pytest.mark.parametrize("words", [("sandbox", "--port", "99999"), ("dev", "--port", "0")])
def test_a_port_that_is_none_is_one_sentence(typed: Typed, words: tuple[str, ...]) -> None:
    done = typed(*words)
    assert done.code == 2
    assert "is not in the range" in done.err
    assert "Traceback" not in done.err


def test_an_occupied_port_is_one_sentence(typed: Typed) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for words in (("sandbox",), ("dev",)):
            done = typed(*words, "--port", port)
            assert done.code == 1
            assert f"127.0.0.1:{port}" in done.err
            assert "--port" in done.err
            assert "Traceback" not in done.err


@pytest.mark.slow
def test_dev_serves_the_project_and_a_second_one_is_one_sentence(
    project: DgProject, posthog: Sandbox, typed: Typed
) -> None:
    project.component(**settings(posthog))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "hog_dagster", "dev", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": f"{Path.cwd() / 'src'}:{Path(__file__).parents[2]}"}
    with (project.root / "dev.log").open("w") as log:
        running = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 90
        while True:
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline, (project.root / "dev.log").read_text()
            time.sleep(0.3)
        second = typed("dev", "--port", str(port))
        assert second.code == 1
        assert "the UI may be open at" in second.err
    finally:
        running.terminate()
        running.wait(60)
    assert "Project analytics, component posthog" in (project.root / "dev.log").read_text()


def test_every_command_that_a_text_recommends_exists() -> None:
    root = Path(__file__).parents[2]
    texts = [
        *(root / "hog_dagster").rglob("*.py"),
        root / "README.md",
        *(root / "docs").glob("*.md"),
    ]
    named = {
        (word, str(path.relative_to(root)))
        for path in texts
        for word in re.findall(r"hog-dagster ([a-z][a-z-]+)", path.read_text(encoding="utf-8"))
    }
    words = {
        "for",
        "in",
        "on",
        "and",
        "with",
        "says",
        "needs",
        "knows",
        "that",
        "works",
    }  # of sentences about the package
    assert {one for one in named if one[0] not in {*COMMANDS, *words}} == set()


def test_the_default_of_backfill_asks_for_metrics_of_31_days_at_once(
    project: DgProject, typed: Typed, tmp_path: Path
) -> None:
    with Sandbox("current", limits=False, keys={KEY: ["*"]}, missing={"query"}) as posthog:
        project.component(**settings(posthog, partitions={"start_date": day(80)}))
        words = ("backfill", "--from", day(62), "--to", day(1), "--tables", "workflow_metrics")
        done = typed(*words, "--json", DAGSTER_HOME=home(tmp_path))
        assert done.code == 0, done.err
        told = json.loads(done.out)
        guessed = told["estimate"]["requests"]["workflow_metrics"]
        used = told["tables"]["workflow_metrics"]["requests"]
        weekly = typed(*words, "--days-per-run", "7", "--again", "--estimate", "--json")
        assert guessed * 4 <= json.loads(weekly.out)["estimate"]["requests"]["workflow_metrics"]
        assert used <= 1.5 * guessed


def test_check_says_every_mistake_with_its_line_and_strict_fails_on_what_does_nothing(
    project: DgProject, posthog: Sandbox, typed: Typed
) -> None:
    file = project.component(
        **settings(posthog, partitions={"start_dat": "2026-09-01"}, workers="x")
    )
    shown = str(file.relative_to(project.root))
    done = typed("check")
    assert done.code == 1
    first, second = done.err.strip().splitlines()
    assert re.match(rf"hog-dagster check: {re.escape(shown)}:\d+: partitions\.start_dat", first)
    assert re.match(rf"{re.escape(shown)}:\d+: workers is 'x': give a whole number\.", second)
    assert "Traceback" not in done.err
    for words in (("doctor",), ("ledger", "list"), ("backfill", "--from", day(3), "--to", day(2))):
        again = typed(*words)
        assert again.code == 1
        assert "did you mean start_date?" in again.err
        assert "Traceback" not in again.err
    project.component(**settings(posthog, partitions={"start_date": day(30)}))
    assert typed("check").code == 0  # with a warning: the key is a literal
    strict = typed("check", "--strict")
    assert strict.code == 1
    assert "api_key is a literal" in strict.said
    refused = typed("check", HOG_DAGSTER_STRICT="true")
    assert refused.code == 1
    assert "api_key is a literal" in refused.err


def test_yaml_that_is_none_is_one_sentence(
    project: DgProject, posthog: Sandbox, typed: Typed
) -> None:
    file = project.component(**settings(posthog))
    file.write_text(file.read_text().replace("ledger: sqlite", "ledger: 'sqlite"))
    done = typed("check")
    assert done.code == 1
    assert re.match(r"hog-dagster check: src/\S+defs\.yaml:\d+: the YAML cannot be read", done.err)
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HOG_DAGSTER_HEADROOM", "2", "give a number above 0, 1 at most"),
        ("HOG_DAGSTER_READ_TIMEOUT_SECONDS", "long", "give a number above 0"),
        ("HOG_DAGSTER_LOCK_TIMEOUT_SECONDS", "-1", "give a number above 0"),
    ],
)
def test_a_wrong_number_in_the_environment_is_one_sentence(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = typed("doctor", POSTHOG_API_KEY=KEY, POSTHOG_PROJECT_ID="1", **{name: value})
    assert done.code == 1
    assert f"{name} is '{value}'; {said}" in done.err


def test_the_environment_reaches_every_setting_that_an_error_recommends(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "HOG_DAGSTER_HEADROOM": "0.5",
        "HOG_DAGSTER_READ_TIMEOUT_SECONDS": "7",
        "HOG_DAGSTER_MAX_WAIT_SECONDS": "8",
        "HOG_DAGSTER_LOCK_TIMEOUT_SECONDS": "9",
        "HOG_DAGSTER_MEMORY_LIMIT": "3GB",
        "HOG_DAGSTER_RATE_LIMIT": str(tmp_path),
        "HOG_DAGSTER_CA_FILE": "ca.pem",
        "HOG_DAGSTER_CLIENT_CERTIFICATE": "cert.pem",
        "POSTHOG_API_KEY": KEY,
        "POSTHOG_PROJECT_ID": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with find_project().opened() as opened:
        posthog = opened.posthog
        assert (posthog.headroom, posthog.read_timeout_seconds, posthog.max_wait_seconds) == (
            0.5,
            7,
            8,
        )
        assert opened.warehouse.lock_timeout_seconds == 9
        assert opened.warehouse.memory_limit == "3GB"
        assert posthog.rate_limit == str(tmp_path)
        assert (posthog.ca_file, posthog.client_certificate) == ("ca.pem", "cert.pem")


def test_a_backfill_makes_the_errors_of_its_days_after_the_rows_they_are_made_of(
    project: DgProject, posthog: Sandbox, typed: Typed, tmp_path: Path
) -> None:
    project.component(**settings(posthog, partitions={"start_date": day(20)}))
    words = ("backfill", "--from", day(3), "--to", day(2), "--json", "--tables")
    where = {"DAGSTER_HOME": home(tmp_path)}
    tables = "workflow_errors,workflow_runs,workflow_logs"
    done = typed(*words, tables, **where)
    assert done.code == 0, done.out + done.err
    told = json.loads(done.out)
    assert set(told["tables"]) == set(tables.split(","))
    assert told["tables"]["workflow_errors"]["requests"] == 0
    assert told["estimate"]["requests"]["workflow_errors"] == 0
    used = sum(of["requests"] for of in told["tables"].values())
    planned = sum(told["estimate"]["requests"].values())
    assert abs(used - planned) <= max(1, 0.1 * used)
    with duckdb.connect(str(project.root / "data/theirs.duckdb"), read_only=True) as loaded:
        (failed,) = loaded.execute(
            "select count(*) from posthog.workflow_runs where status = 'failed'"
        ).fetchone() or (0,)
        (told_of,) = loaded.execute(
            "select sum(failed_runs) from posthog.workflow_errors"
        ).fetchone() or (0,)
    assert failed == told_of > 0
