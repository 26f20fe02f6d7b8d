"""docs/quickstart.md works as written: its blocks run in an empty folder, on the wheel.

The quick form has a stand-in for pip, which unpacks the wheel beside the packages that are here;
the form with uv installs the wheel with all it needs, until dg finds the component; the slow form
installs it by pip, and materializes assets through the API of the UI.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import httpx
import pytest
import yaml
from dagster.components.testing import create_defs_folder_sandbox

from hog_dagster import PostHogProjectComponent
from tests.acting_kit import free_port

ROOT = Path(__file__).parents[1]
YAML = "src/my_project/defs/posthog/defs.yaml"
TESTER = shlex.quote(sys.executable)


class Block(NamedTuple):
    """A block of the page: its language, and what is in it."""

    language: str
    text: str


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    words = ["-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.glob("hog_dagster-*.whl")
    return made


def blocks() -> list[Block]:
    """The page's blocks that are meant to be carried out, in order."""
    page = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    found = re.findall(r"^```(bash|yaml)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [Block(*one) for one in found]


def script(prelude: str, port: int, launch: str = "dg launch") -> str:
    """All blocks as one script; between them their numbers are printed.

    What the page does in a second terminal and an editor is done here: the sandbox runs in the
    background, and YAML goes into its file. `dg dev`, which does not end, is left out. `launch` may
    add an option to `dg launch`.
    """
    parts = ["set -euo pipefail", prelude]
    for number, block in enumerate(blocks()):
        parts.append(f"echo '=== {number}' | tee /dev/stderr")
        if block.language == "yaml":
            parts.append(f"cp {YAML} scaffolded.yaml; cat > {YAML} <<'EOF'\n{block.text}EOF")
        elif block.text == "hog-dagster sandbox\n":
            parts += [
                f"hog-dagster sandbox --port {port} > sandbox.log &",
                "trap 'kill %1; wait' EXIT",
                "until grep -q ready sandbox.log; do sleep 0.1; done",
            ]
        elif block.text != "dg dev\n":
            parts.append(block.text.replace(":8899", f":{port}").replace("dg launch", launch))
    parts.append("echo '=== wheel'; python -c 'import hog_dagster; print(hog_dagster.__file__)'")
    return "\n".join(parts)


#: A new user's, with nothing of ours in it and no look for newer versions.
ENVIRONMENT = {
    "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "COLUMNS": "200",
    "DAGSTER_DG_UPDATE_CHECK_ENABLED": "0",
}


def carried_out(text: str, folder: Path, seconds: float) -> tuple[dict[str, str], str]:
    """What each block printed, by its first command, and all that went to stderr."""
    home = folder / "home"
    home.mkdir()
    with in_background(text, folder, home, subprocess.PIPE) as process:
        shown, said = process.communicate(timeout=seconds)
    assert process.returncode == 0, shown[-4000:] + said[-8000:]
    printed = re.split(r"^=== (.*)$", shown, flags=re.MULTILINE)
    texts = [block.text for block in blocks()]
    return {
        texts[int(mark)].splitlines()[0] if mark.isdigit() else mark: one
        for mark, one in zip(printed[1::2], printed[2::2], strict=True)
    }, said


@contextmanager
def in_background(
    text: str, folder: Path, home: Path, out: Any, **variables: str
) -> "Iterator[subprocess.Popen[str]]":
    """A script in a group of processes, of which none is left when the block ends."""
    process = subprocess.Popen(
        ["bash", "-c", text],
        cwd=folder,
        env={**ENVIRONMENT, "HOME": str(home), **variables},
        stdout=out,
        stderr=out,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, number)
                process.wait(20)


def check_what_was_printed(printed: dict[str, str], said: str, folder: Path) -> None:
    """What the page promises is there."""
    project = folder / "my-project"
    assert "hog_dagster.PostHogProjectComponent" in printed["dg list components"]
    checked = printed["dg utils refresh-defs-state"]
    assert "All definitions loaded successfully" in checked
    assert "posthog/workflow/trial_ending" in checked
    assert "posthog/workflow/referral_programme" not in checked  # a draft, and only active ones
    doctor = next(shown for first, shown in printed.items() if first.startswith("cat > .env"))
    assert "All that is configured works." in doctor
    lines = next(shown for first, shown in printed.items() if first.startswith("YESTERDAY="))
    assert re.search(r"INFO +│ +\d+", lines), lines
    assert Path(printed["wheel"].strip()).is_relative_to(project / ".venv")
    assert "Traceback" not in said
    scaffolded = yaml.safe_load((project / "scaffolded.yaml").read_text(encoding="utf-8"))
    shown = yaml.safe_load((project / YAML).read_text(encoding="utf-8"))
    for known in (scaffolded, shown):
        del known["attributes"]["partitions"]
    assert shown["requirements"] == scaffolded["requirements"]
    assert shown["attributes"].items() >= scaffolded["attributes"].items()


@pytest.mark.integration
@pytest.mark.timeout(400)  # a dozen commands that each load Dagster; other tests run beside it
def test_the_page_works_as_written(wheel: Path, tmp_path: Path) -> None:
    stand_in = shlex.join([str(ROOT / "tests" / "pip_stand_in.py"), str(wheel)])
    prelude = (
        f'pip() {{ {TESTER} {stand_in} "$VIRTUAL_ENV" "$@"; }}\n'
        f'python3() {{ {TESTER} "$@" --without-pip; }}\n'
    )
    config = json.dumps({"execution": {"config": {"in_process": {}}}})
    launch = f"dg launch --config-json {shlex.quote(config)}"  # a process a step takes ten seconds
    printed, said = carried_out(script(prelude, free_port(), launch), tmp_path, 390)
    check_what_was_printed(printed, said, tmp_path)


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program uv, from an environment of its own."""
    folder = tmp_path_factory.mktemp("uv")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
    words = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv"]
    installed = subprocess.run(words, capture_output=True, text=True, timeout=300)
    if installed.returncode:
        pytest.skip(f"pip cannot install uv here: {(installed.stderr.strip() or '?')[-200:]}")
    return folder / "bin" / "uv"


def as_pip_is_told() -> dict[str, str]:
    """Where pip of this machine finds packages, in uv's variables; uv does not read pip's."""
    words = [sys.executable, "-m", "pip", "config", "list"]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    told = dict(re.findall(r"^[^.\n]*\.([\w-]+)='(.*)'$", said, re.MULTILINE))
    variables = {
        "UV_DEFAULT_INDEX": "index-url",
        "UV_INDEX": "extra-index-url",
        "UV_FIND_LINKS": "find-links",
        "SSL_CERT_FILE": "cert",
    }
    found = {name: told[key] for name, key in variables.items() if key in told}
    if "UV_INDEX" in found:  # of several lists of packages pip takes the best version of all
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return found


@pytest.mark.integration
@pytest.mark.timeout(900)  # installs all that the page's first command brings
def test_uv_installs_what_the_page_says_and_dg_finds_the_component(
    wheel: Path, uv: Path, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    (by_uv,) = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    python = f"--python {shlex.quote(sys.executable)}"
    told = "\n".join(f"export {key}={shlex.quote(of)}" for key, of in as_pip_is_told().items())
    prelude = f"""set -euo pipefail
{told}
uv() {{
  local command=$1; shift
  case $command in
    venv) {uv} venv {python} "$@" ;;
    pip) {uv} pip "${{@/hog-dagster/{wheel}}}" --constraints {ROOT / "constraints.txt"} ;;
  esac
}}
pip() {{ uv pip "$@"; }}
"""
    made = next(block.text for block in blocks() if block.text.startswith("create-dagster"))
    text = "\n".join([prelude, by_uv, made, "dg list components", "hog-dagster --version"])
    home = tmp_path / "home"
    home.mkdir()
    with in_background(text, tmp_path, home, subprocess.PIPE) as process:
        shown, said = process.communicate(timeout=800)
    assert process.returncode == 0, shown[-4000:] + said[-4000:]
    assert "hog_dagster.PostHogProjectComponent" in shown
    assert "Traceback" not in said
    (package,) = (tmp_path / "my-project" / ".venv" / "lib").glob("*/site-packages/hog_dagster")
    assert package.is_dir()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_page_works_with_a_true_install_and_the_ui_materializes(
    wheel: Path, tmp_path: Path
) -> None:
    prelude = f'pip() {{ command pip "${{@/hog-dagster/{wheel}}}"; }}'
    port = free_port()
    printed, said = carried_out(script(prelude, port), tmp_path, 900)
    check_what_was_printed(printed, said, tmp_path)
    project = tmp_path / "my-project"
    warnings_are_errors = "import hog_dagster; hog_dagster.PostHogProjectComponent"
    python = project / ".venv" / "bin" / "python"
    subprocess.run([python, "-W", "error", "-c", warnings_are_errors], check=True, cwd=tmp_path)
    with ui(project, port) as ask:
        tables = ("workflows", "workflow_actions", "workflow_edges")
        catalog = launched(ask, [["posthog", table] for table in tables])
        logs = backfilled(ask, [["posthog", "workflow_logs"], ["posthog", "workflow_metrics"]])
        ends = {"SUCCESS", "FAILURE", "CANCELED"}
        assert until(lambda: ask(RUN, run=catalog)["runOrError"]["status"], ends) == "SUCCESS"
        ends = {"COMPLETED_SUCCESS", "COMPLETED_FAILED", "CANCELED", "FAILED"}
        state = until(lambda: ask(BACKFILL, id=logs)["partitionBackfillOrError"]["status"], ends)
        assert state == "COMPLETED_SUCCESS"
    with duckdb.connect(str(project / "warehouse.duckdb"), read_only=True) as tables_landed:
        counted = tables_landed.execute(
            "select (select count(*) from posthog.workflows),"
            " (select count(distinct timestamp::date) from posthog.workflow_logs)"
        ).fetchone()
    assert counted == (5, 14)


RUN = "query($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
BACKFILL = """query($id: String!) {
  partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"""


@contextmanager
def ui(project: Path, port: int) -> Iterator[Callable[..., Any]]:
    """`dg dev` and the sandbox, until the block ends; yields what asks its GraphQL API."""
    web = free_port()
    lines = f"source .venv/bin/activate; hog-dagster sandbox --port {port} & dg dev --port {web}"
    url = f"http://127.0.0.1:{web}"

    def ask(query: str, **variables: Any) -> Any:
        body = {"query": query, "variables": variables}
        answer = httpx.post(f"{url}/graphql", json=body, timeout=60).json()
        assert "errors" not in answer, answer
        return answer["data"]

    home = project.parent / "home"
    with (
        (project / "dev.log").open("w") as log,
        in_background(lines, project, home, log, DAGSTER_HOME=str(project / ".dagster")),
    ):
        until(lambda: _answers(f"{url}/server_info"), {True})
        yield ask


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def until(look: Callable[[], Any], ends: Collection[Any], seconds: float = 300) -> Any:
    """What `look` sees once it is one of `ends`."""
    deadline = time.monotonic() + seconds
    while (seen := look()) not in ends:
        assert time.monotonic() < deadline, seen
        time.sleep(1)
    return seen


def launched(ask: Callable[..., Any], keys: Sequence[Sequence[str]]) -> str:
    """Materialize assets, as the UI's button does; the run's id."""
    query = """mutation($what: ExecutionParams!) { launchPipelineExecution(executionParams: $what) {
      __typename ... on LaunchRunSuccess { run { runId } } } }"""
    selector = {
        "repositoryLocationName": "my-project",
        "repositoryName": "__repository__",
        "pipelineName": "__ASSET_JOB",
        "assetSelection": [{"path": key} for key in keys],
        "assetCheckSelection": [],
    }
    what = {"selector": selector, "runConfigData": {}, "mode": "default"}
    return ask(query, what=what)["launchPipelineExecution"]["run"]["runId"]


def backfilled(ask: Callable[..., Any], keys: Sequence[Sequence[str]]) -> str:
    """Materialize the fourteen days before today; the backfill's id."""
    query = """mutation($what: LaunchBackfillParams!) { launchPartitionBackfill(
      backfillParams: $what) { __typename ... on LaunchBackfillSuccess { backfillId } } }"""
    today = datetime.now(UTC).date()
    days = [str(today - timedelta(days=back)) for back in range(14, 0, -1)]
    what = {"assetSelection": [{"path": key} for key in keys], "partitionNames": days}
    return ask(query, what=what)["launchPartitionBackfill"]["backfillId"]


def test_every_commented_line_that_is_scaffolded_is_valid() -> None:
    with create_defs_folder_sandbox() as project:
        path = project.scaffold_component(component_cls=PostHogProjectComponent)
        text = (path / "defs.yaml").read_text(encoding="utf-8")
        prose, _, comments = text.rpartition("  #\n")
        assert "batch_jobs" in comments
        bare = re.sub(r"^  # ", "  ", comments, flags=re.MULTILINE)
        (path / "defs.yaml").write_text(prose + bare, encoding="utf-8")
        with project.build_component_tree() as tree:
            component = tree.load_component(path)
    assert isinstance(component, PostHogProjectComponent)
    assert component.batch_jobs[0].workflow == "Monthly newsletter"
    assert component.sensors.replay is not None
    assert component.sensors.replay.dry_run is True
    assert component.batch_jobs[0].dry_run is True
