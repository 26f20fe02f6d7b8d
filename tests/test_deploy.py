"""The files under deploy/ are ones Dagster and Compose accept, and what they promise happens."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import yaml
from dagster._core.instance.config import dagster_instance_config

from hog_dagster.cli._doctor_secrets import literal_secrets
from hog_dagster.sandbox import Sandbox

DEPLOY = Path(__file__).parent.parent / "deploy"
#: The tables of one step: each step of a run is a process of its own.
CATALOG = (
    "workflows",
    "workflow_actions",
    "workflow_edges",
    "workflow_schedules",
    "workflow_batch_jobs",
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_dagster_accepts_the_instance_settings(monkeypatch):
    monkeypatch.setenv("DAGSTER_PG_URL", "postgresql+psycopg2://dagster:x@db:5432/dagster")
    settings, _ = dagster_instance_config(str(DEPLOY))
    assert settings["run_retries"]["retry_on_asset_or_op_failure"] is False
    (limit,) = settings["concurrency"]["runs"]["tag_concurrency_limits"]
    assert limit["key"] == "hog_dagster/workflow_id"


def test_the_compose_file_hangs_together():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    services = compose["services"]
    assert set(services) == {"db", "hog_dagster", "webserver", "daemon"}
    for name in ("hog_dagster", "webserver", "daemon"):
        environment = services[name]["environment"]
        assert environment["DAGSTER_PG_URL"].startswith("postgresql+psycopg2://")
        assert environment["HOG_DAGSTER_LEDGER"].startswith("postgresql+psycopg2://")
        assert environment["HOG_DAGSTER_RATE_LIMIT"] == environment["HOG_DAGSTER_LEDGER"]
        assert services[name]["read_only"] is True
        assert [mount.split(":")[0] for mount in services[name]["tmpfs"]] == ["/tmp"]
        assert services[name]["volumes"] == ["storage:/opt/dagster/storage"]
        assert services[name]["depends_on"]["db"]["condition"] == "service_healthy"
    assert all(port.startswith("127.0.0.1:") for port in services["webserver"]["ports"])
    for volume in services["db"]["volumes"]:
        source = volume.split(":")[0]
        assert source in compose["volumes"] or (DEPLOY / source).is_file()
    (server,) = yaml.safe_load((DEPLOY / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    command = services[server["grpc_server"]["host"]]["command"]
    assert f"-p {server['grpc_server']['port']}" in command
    assert "-m hog_dagster.definitions" in command


def test_all_pods_of_the_helm_values_share_ledger_and_rate_limit_and_write_to_volumes_alone():
    text = (DEPLOY / "helm-values.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    (server,) = values["dagster-user-deployments"]["deployments"]
    assert server["envSecrets"] == [{"name": "posthog"}]
    assert server["includeConfigInLaunchedRuns"]["enabled"] is True
    for name in ("HOG_DAGSTER_LEDGER", "HOG_DAGSTER_RATE_LIMIT"):
        assert name in text.partition("dagster-user-deployments")[0]
    assert server["securityContext"]["readOnlyRootFilesystem"] is True
    assert server["podSecurityContext"]["runAsNonRoot"] is True
    mounted = {mount["name"]: mount["mountPath"] for mount in server["volumeMounts"]}
    assert set(mounted) == {volume["name"] for volume in server["volumes"]}
    folders = {one["value"] for one in server["env"] if one["name"] in ("HOME", "TMPDIR")}
    assert folders == {mounted["tmp"]}
    daemon = values["dagsterDaemon"]
    assert daemon["runMonitoring"]["enabled"] is daemon["runRetries"]["enabled"] is True


def test_no_deployment_file_holds_a_secret():
    row = literal_secrets([DEPLOY])
    assert row.status == "ok", row.value
    for path in DEPLOY.iterdir():
        text = path.read_text(encoding="utf-8")
        assert "phx_" not in text


@pytest.mark.integration
@pytest.mark.timeout(180)
def test_the_processes_of_the_compose_file_run_together(tmp_path, postgres_url):
    """The code server, the web server and the daemon on PostgreSQL, as compose starts them: with a
    read-only root, where the kernel lets us make one."""
    home, written = tmp_path / "home", tmp_path / "written"
    home.mkdir()
    written.mkdir()
    url = sa.make_url(postgres_url)
    dagster_url = url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    settings = (DEPLOY / "dagster.yaml").read_text(encoding="utf-8")
    assert settings.count("/opt/dagster/storage") == 2
    settings = settings.replace("/opt/dagster/storage", str(written / "storage"))
    (home / "dagster.yaml").write_text(settings, encoding="utf-8")
    grpc, web = free_port(), free_port()
    workspace = (DEPLOY / "workspace.yaml").read_text(encoding="utf-8")
    workspace = workspace.replace("host: hog_dagster", "host: 127.0.0.1")
    workspace = workspace.replace("port: 4000", f"port: {grpc}")
    (home / "workspace.yaml").write_text(workspace, encoding="utf-8")
    with Sandbox("docs", limits=False) as sandbox:
        environment = {
            **os.environ,
            "DAGSTER_HOME": str(home),
            "HOME": str(written),
            "TMPDIR": str(written),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(DEPLOY.parent),
            "DAGSTER_PG_URL": dagster_url,
            "HOG_DAGSTER_LEDGER": dagster_url,
            "HOG_DAGSTER_RATE_LIMIT": dagster_url,
            "HOG_DAGSTER_WAREHOUSE": postgres_url,
            "POSTHOG_HOST": sandbox.url,
            "POSTHOG_API_KEY": sandbox.api_key,
            "POSTHOG_PROJECT_ID": str(sandbox.project_id),
        }
        python = [sys.executable, "-m"]
        commands = (
            [
                *python,
                "dagster",
                "api",
                "grpc",
                "-h",
                "127.0.0.1",
                "-p",
                str(grpc),
                "-m",
                "hog_dagster.definitions",
            ],
            [
                *python,
                "dagster_webserver",
                "-h",
                "127.0.0.1",
                "-p",
                str(web),
                "-w",
                str(home / "workspace.yaml"),
            ],
            [*python, "dagster._daemon", "run", "-w", str(home / "workspace.yaml")],
        )
        started: list[subprocess.Popen[bytes]] = []
        log = (tmp_path / "processes.log").open("wb")
        try:
            for command in commands:
                started.append(
                    subprocess.Popen(
                        [*read_only(home), *command],
                        env=environment,
                        stdout=log,
                        stderr=log,
                        cwd=home,
                    )
                )
            run_id = launch(f"http://127.0.0.1:{web}", "refresh_posthog_snapshots_job", CATALOG)
            assert finished(f"http://127.0.0.1:{web}", run_id) == "SUCCESS"
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(timeout=30)
            log.close()
    assert {path.name for path in home.iterdir()} == {"dagster.yaml", "workspace.yaml"}
    engine = sa.create_engine(dagster_url)
    with engine.connect() as connection:
        loaded = connection.execute(sa.text("select count(*) from posthog.workflows")).scalar_one()
    engine.dispose()
    assert loaded == len(sandbox.world.workflows)


def read_only(home: Path) -> list[str]:
    """What to put before a command so that it sees a root that cannot be written, and a
    DAGSTER_HOME; nothing where the kernel does not let us."""
    script = (
        f'mount --bind "{home}" "{home}" && mount -o remount,ro,bind "{home}" '
        "&& mount -o remount,ro,bind /"
    )
    tried = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{script} && ! touch "{home}/x" 2>/dev/null'],
        capture_output=True,
        check=False,
    )
    if tried.returncode:
        return []
    return ["unshare", "--mount", "sh", "-c", f'{script} && exec "$@"', "sh"]


_LAUNCH = """
mutation Launch($job: String!, $assets: [AssetKeyInput!]) {
  launchRun(executionParams: {selector: {jobName: $job, repositoryName: "__repository__",
      repositoryLocationName: "hog_dagster", assetSelection: $assets}, runConfigData: {}}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
_STATUS = """
query Status($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }
"""


def launch(web: str, job: str, tables: Sequence[str]) -> str:
    """Launch a job on some of its tables as the UI does, as soon as the web server serves them."""
    assets = [{"path": ["posthog", table]} for table in tables]
    variables = {"job": job, "assets": assets}
    answer: dict[str, Any] = {}
    for _ in range(120):
        try:
            answer = httpx.post(
                f"{web}/graphql", json={"query": _LAUNCH, "variables": variables}, timeout=30
            ).json()
        except httpx.TransportError:
            time.sleep(1)
            continue
        launched = (answer.get("data") or {}).get("launchRun") or {}
        if launched.get("__typename") == "LaunchRunSuccess":
            return launched["run"]["runId"]
        time.sleep(1)
    raise AssertionError(f"{job} could not be launched: {answer}")


def finished(web: str, run_id: str) -> str:
    """Wait for a run to end; its status."""
    status = "?"
    for _ in range(120):
        answer = httpx.post(
            f"{web}/graphql", json={"query": _STATUS, "variables": {"run": run_id}}, timeout=30
        ).json()
        status = answer["data"]["runOrError"]["status"]
        if status in ("SUCCESS", "FAILURE", "CANCELED"):
            break
        time.sleep(1)
    return status
