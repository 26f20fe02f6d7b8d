"""How-to: the key is rotated while web server and daemon run; only the code server is restarted."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hog_dagster.sandbox import Sandbox
from tests.test_deploy import CATALOG, finished, free_port, launch

JOB = "refresh_posthog_snapshots_job"


@contextmanager
def process(*words: str, log: Path, **environment: str) -> "Iterator[subprocess.Popen[bytes]]":
    with log.open("ab") as out:
        started = subprocess.Popen(
            [sys.executable, "-m", *words],
            env={**os.environ, **environment},
            stdout=out,
            stderr=out,
        )
        try:
            yield started
        finally:
            started.terminate()
            started.wait(timeout=60)


@pytest.mark.integration
@pytest.mark.timeout(400)
def test_a_new_code_server_takes_the_new_key_and_the_web_server_goes_on(tmp_path: Path) -> None:
    grpc, web = free_port(), free_port()
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    (tmp_path / "workspace.yaml").write_text(
        "load_from:\n"
        f"  - grpc_server: {{host: 127.0.0.1, port: {grpc}, location_name: hog_dagster}}\n"
    )
    with Sandbox(limits=False, keys={"phx_old": ["*"], "phx_new": ["*"]}) as sandbox:
        environment = {
            "DAGSTER_HOME": str(tmp_path),
            "POSTHOG_HOST": sandbox.url,
            "POSTHOG_PROJECT_ID": str(sandbox.project_id),
        }
        log = tmp_path / "processes.log"
        server = ("dagster", "api", "grpc", "-h", "127.0.0.1", "-p", str(grpc))
        code = (*server, "-m", "hog_dagster.definitions")
        ui = ("dagster_webserver", "-h", "127.0.0.1", "-p", str(web))
        url = f"http://127.0.0.1:{web}"
        here = ("-w", str(tmp_path / "workspace.yaml"))
        daemon = ("dagster._daemon", "run", *here)
        with (
            process(*ui, *here, log=log, **environment),
            process(*daemon, log=log, **environment),
        ):
            with process(*code, log=log, **environment, POSTHOG_API_KEY="phx_old"):
                assert finished(url, launch(url, JOB, CATALOG)) == "SUCCESS"
                sandbox.site.keys = {  # revoked
                    key: value for key, value in sandbox.site.keys.items() if key != "phx_old"
                }
                assert finished(url, launch(url, JOB, CATALOG)) == "FAILURE"
            with process(*code, log=log, **environment, POSTHOG_API_KEY="phx_new"):
                assert finished(url, launch(url, JOB, CATALOG)) == "SUCCESS"
