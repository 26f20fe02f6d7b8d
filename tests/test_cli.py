"""Bad input at the command line: one paragraph that names the thing and the remedy, exit code 1."""

import json
import logging
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest

from hog_dagster.cli import main
from hog_dagster.sandbox import Sandbox


class Done(NamedTuple):
    """What a command left: its exit code, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def sandbox():
    keys = {"phx_sandbox": ["*"], "phx_narrow": ["insight:read"]}
    with Sandbox("docs", populate=True, keys=keys, limits=False) as running:
        yield running


@pytest.fixture
def hog_dagster(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Done]:
    """Run a command in this process, with the environment of a user."""

    def run(*words: str, sandbox: Sandbox, **environment: str) -> Done:
        given = {
            "POSTHOG_HOST": sandbox.url,
            "POSTHOG_API_KEY": "phx_sandbox",
            "POSTHOG_PROJECT_ID": str(sandbox.project_id),
            "DAGSTER_HOME": str(tmp_path),
            "COLUMNS": "200",
        }
        for name, value in {**given, **environment}.items():
            monkeypatch.setenv(name, value)
        sys.modules.pop("hog_dagster.definitions", None)
        try:
            code = main(words)
        except SystemExit as left:
            code = int(left.code or 0)
        finally:
            logging.disable(logging.NOTSET)
        shown = capsys.readouterr()
        return Done(code, shown.out, shown.err)

    return run


@pytest.mark.parametrize(
    ("environment", "words", "named"),
    [
        ({"POSTHOG_API_KEY": "phx_wrong"}, (), ["POSTHOG_API_KEY"]),
        ({"POSTHOG_API_KEY": "phx_narrow"}, (), ["hog_flow:read"]),
        ({"POSTHOG_PROJECT_ID": "abc"}, (), ["POSTHOG_PROJECT_ID", "abc"]),
        ({"POSTHOG_PROJECT_ID": "77"}, (), ["77"]),
        ({"POSTHOG_API_KEY": ""}, (), ["POSTHOG_API_KEY", "not set"]),
        ({"POSTHOG_HOST": "https://app.posthog.com"}, (), ["us.posthog.com"]),
        ({"POSTHOG_HOST": "http://127.0.0.1:9"}, (), ["127.0.0.1:9", "POSTHOG_HOST"]),
        ({"HOG_DAGSTER_START_DATE": "soon"}, (), ["HOG_DAGSTER_START_DATE", "soon"]),
        ({"DAGSTER_HOME": ""}, (), ["DAGSTER_HOME is not set"]),
        ({"DAGSTER_HOME": "/nowhere/at/all"}, (), ["/nowhere/at/all", "DAGSTER_HOME"]),
        ({"HOG_DAGSTER_WAREHOUSE": "mysql://x"}, (), ["HOG_DAGSTER_WAREHOUSE", "mysql"]),
        ({"HOG_DAGSTER_BATCH_SCHEDULES": "daily"}, (), ["HOG_DAGSTER_BATCH_SCHEDULES"]),
        ({}, ("--tables", "workflow_lugs"), ["workflow_lugs", "workflow_logs"]),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict | tuple) else "",
)
def test_a_wrong_setting_is_named_with_its_remedy(
    environment, words, named, sandbox, hog_dagster, tmp_path
):
    days = ("--from", "2026-11-10", "--to", "2026-11-11", "--estimate")
    start = {"HOG_DAGSTER_START_DATE": "2026-11-01"}
    done = hog_dagster("backfill", *days, *words, sandbox=sandbox, **{**start, **environment})
    assert done.returncode == (2 if words or "DAGSTER_HOME" in environment else 1), (
        done.stdout + done.stderr
    )
    assert "Traceback" not in done.stderr
    last = next(
        line for line in reversed(done.stderr.splitlines()) if line.startswith("hog-dagster ")
    )
    assert all(word in last for word in named), done.stderr
    assert "phx_" not in last.replace("phx_...", "")
    assert not (tmp_path / "warehouse.duckdb").exists()


def test_dates_in_the_wrong_order_are_refused(sandbox, hog_dagster):
    words = ("backfill", "--from", "2026-11-12", "--to", "2026-11-10")
    done = hog_dagster(*words, sandbox=sandbox)
    assert done.returncode == 2
    assert "--from 2026-11-12 is after --to 2026-11-10" in done.stderr
    assert sandbox.count("GET", "*2026-11-12*") == 0


def test_a_day_that_is_none_is_wrong_usage(sandbox, hog_dagster):
    words = ("backfill", "--from", "yesterday", "--to", "2026-11-10")
    done = hog_dagster(*words, sandbox=sandbox)
    assert done.returncode == 2
    assert "'yesterday' is not a day such as 2026-01-31" in done.stderr


def test_a_host_that_answers_with_a_page_is_called_what_it_is(hog_dagster):
    with Sandbox("docs", populate=False, limits=False) as sandbox:
        page = "<!doctype html><html>Sign in</html>"
        sandbox.fail(path="*/hog_flows", times=20, status=200, body=page)
        days = ("--from", "2026-11-10", "--to", "2026-11-11", "--estimate")
        start = {"HOG_DAGSTER_START_DATE": "2026-11-01"}
        done = hog_dagster("backfill", *days, sandbox=sandbox, **start)
    assert done.returncode == 1
    assert "web page" in done.stderr
    assert "POSTHOG_HOST" in done.stderr


def test_a_backfill_lands_days_goes_on_after_an_error_and_is_done_once(hog_dagster):
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    days = ("backfill", "--from", "2026-11-16", "--to", "2026-11-18", "--days-per-run", "1")
    words = (*days, "--tables", "workflow_logs")
    start = {"HOG_DAGSTER_START_DATE": "2026-11-01"}
    with Sandbox("docs", now=now, limits=False, missing={"query"}) as sandbox:
        asked = hog_dagster(*words, "--estimate", sandbox=sandbox, **start)
        assert asked.returncode == 0
        assert re.search(r"workflow_logs +3 runs +~\d+ requests", asked.stdout)
        # The key loses its access in the middle of the second day.
        refused = {"type": "authentication_error", "code": "permission_denied"}
        refused["detail"] = "API key missing required scope 'hog_flow:read'"
        sandbox.fail(path="*/logs", after=22, times=500, status=403, body=refused)
        stopped = hog_dagster(*words, sandbox=sandbox, **start)
    with Sandbox("docs", now=now, limits=False, missing={"query"}) as sandbox:
        gone_on = hog_dagster(*words, "--json", sandbox=sandbox, **start)
        again = hog_dagster(*words, sandbox=sandbox, **start)
    assert stopped.returncode == 1
    assert "hog_flow:read" in stopped.stderr
    assert "goes on from there" in stopped.stderr
    assert gone_on.returncode == 0, gone_on.stdout + gone_on.stderr
    told = json.loads(gone_on.stdout)
    assert told["loaded"] is True
    assert told["tables"]["workflow_logs"]["rows"] > 0
    assert told["tables"]["workflow_logs"]["requests"] > 0
    assert again.returncode == 0
    assert "Nothing is left to read" in again.stdout


@pytest.mark.integration
def test_ctrl_c_stops_a_backfill_at_once_and_the_same_command_goes_on(hog_dagster, tmp_path):
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    days = ("backfill", "--from", "2026-11-16", "--to", "2026-11-18", "--days-per-run", "1")
    words = (*days, "--tables", "workflow_logs")
    start = {"HOG_DAGSTER_START_DATE": "2026-11-01"}
    with Sandbox("docs", now=now, limits=False, missing={"query"}) as sandbox:
        hog_dagster(*words, "--estimate", sandbox=sandbox, **start)
        held = sandbox.fail(path="*/logs", after=22, times=1000, delay=30)
        running = subprocess.Popen(
            [sys.executable, "-c", HEARS, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not held.hits:
            assert running.poll() is None
            time.sleep(0.02)
        pressed = time.monotonic()
        running.send_signal(signal.SIGINT)
        said, complained = running.communicate(timeout=20)
        took = time.monotonic() - pressed
    with Sandbox("docs", now=now, limits=False, missing={"query"}) as sandbox:
        gone_on = hog_dagster(*words, sandbox=sandbox, **start)
    assert running.returncode == 130
    assert took < 5
    assert "Stopped:" in said
    assert "The same command goes on with the days that were not loaded." in " ".join(said.split())
    assert "Traceback" not in said + complained
    assert gone_on.returncode == 0, gone_on.stdout + gone_on.stderr
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        key = dg.AssetKey(["posthog", "workflow_logs"])
        assert instance.get_materialized_partitions(key) == {
            f"2026-11-{day}" for day in range(16, 19)
        }
        states = Counter(run.status.value for run in instance.get_runs())
    assert states == {"SUCCESS": 3, "CANCELED": 1}


# Shells start what runs in the background deaf to Ctrl-C; this hears it.
HEARS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from hog_dagster.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_help_names_every_command():
    done = subprocess.run(
        [sys.executable, "-m", "hog_dagster", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    for command in ("demo", "dev", "sandbox", "doctor", "replay", "ledger", "backfill"):
        assert command in done.stdout
