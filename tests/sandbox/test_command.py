"""The sandbox as a process of its own."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from hog_dagster.cli import main
from hog_dagster.posthog import PostHogClient
from hog_dagster.sandbox import RemoteSandbox

Process = subprocess.Popen[str]


@pytest.fixture
def begin() -> Iterator[list[Process]]:
    """Processes to stop at the end."""
    running: list[Process] = []
    yield running
    for process in running:
        process.kill()
        process.communicate()


def run(begin: list[Process], *options: str) -> tuple[Process, str]:
    """Start the command; its process and the address from its one line."""
    command = [sys.executable, "-m", "hog_dagster", "sandbox", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    begin.append(process)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert " ready at http://127.0.0.1:" in line
    return process, line.split(" ready at ")[1].split(",")[0]


def test_an_empty_project_has_the_given_keys_beside_the_default_one(begin: list[Process]) -> None:
    _, url = run(
        begin,
        *("--generation", "current", "--empty", "--timezone", "Asia/Kolkata"),
        *("--key", "phx_reader=hog_flow:read,project:read", "--key", "phx_all=*"),
        *("--now", "2026-05-10T12:00:00Z", "--no-retry-after"),
    )

    def ask(path: str, key: str, method: str = "GET") -> httpx.Response:
        return httpx.request(method, url + path, headers={"Authorization": f"Bearer {key}"})

    assert ask("/api/projects/1/hog_flows/", "phx_reader").json()["count"] == 0
    assert ask("/api/projects/1/", "phx_reader").json()["timezone"] == "Asia/Kolkata"
    assert ask("/api/projects/1/hog_flows/", "phx_reader", "POST").status_code == 403
    assert ask("/api/projects/1/hog_flows/", "phx_all", "POST").status_code == 400
    assert ask("/api/projects/1/hog_flows/", "phx_sandbox").status_code == 200
    assert ask("/api/projects/1/hog_flows/", "phx_other").status_code == 401
    with RemoteSandbox(url) as remote:
        assert remote.generation == "current"
        assert remote.clock.now().isoformat().startswith("2026-05-10T12:0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_and_remembers_its_world(
    begin: list[Process], tmp_path: Path, number: signal.Signals
) -> None:
    state = tmp_path / "world.json"
    process, url = run(begin, "--state", str(state))
    with RemoteSandbox(url) as remote:
        before = remote.status["workflows"]
        made = remote.world.add_workflow(name="Kept")
    process.send_signal(number)
    assert process.wait(20) == 0
    _, url = run(begin, "--state", str(state))
    with RemoteSandbox(url) as remote:
        assert remote.status["workflows"] == before + 1
        assert made["id"] in str(remote.call("GET", "/world/"))


def test_a_taken_port_is_named_with_the_remedy(begin: list[Process]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "hog_dagster", "sandbox", "--empty", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--key", "phx_a"], "VALUE=SCOPES"),
        (["--key", "phx_a=everything"], "'everything' is no scope"),
        (["--timezone", "Mars/Base"], "no time zone"),
        (["--now", "2026-05-10T12:00:00"], "offset"),
        (["--host", "0.0.0.0"], "is not '127.0.0.1'"),
    ],
)
def test_bad_options_are_refused_with_an_example(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sandbox", *options]) == 2
    assert message in capsys.readouterr().err


def test_an_outage_is_in_it_when_asked_for(begin: list[Process]) -> None:
    _, url = run(begin, "--outage", "--now", "2026-11-30T11:00:00Z")
    with PostHogClient(url, "phx_sandbox", 1) as client:
        found = client.workflows.run_states(
            "Trial ending",
            since=datetime(2026, 11, 29, 14, tzinfo=UTC),
            until=datetime(2026, 11, 29, 15, tzinfo=UTC),
            status="failed",
            error_kinds=["timeout"],
        )
        assert len(list(found)) == 16
    assert main(["sandbox", "--outage", "--empty"]) == 2
