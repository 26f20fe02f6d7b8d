"""The test kit: docs/testing.md works as written, and the kit stands apart from the product."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from hog_dagster.resources import DuckDBWarehouse
from hog_dagster.testing import client_of, loaded, open_sandbox, resources_of
from hog_dagster.warehouse.errors import WarehouseError

ROOT = Path(__file__).parents[1]


def run(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, capture_output=True, text=True, timeout=110, check=False
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The files of docs/testing.md: each block that begins with a file's name goes into it."""
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        name, _, body = block.partition("\n")
        path = tmp_path / name.removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(body)
    return tmp_path


@pytest.mark.integration
def test_the_examples_of_the_page_pass_as_a_users_own_project(project: Path) -> None:
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    examples = sum(
        len(re.findall(r"^def test_", path.read_text(encoding="utf-8"), re.MULTILINE))
        for path in project.rglob("test_*.py")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{examples + 1} passed" in done.stdout  # one of them runs on both generations
    assert "Error" not in done.stderr


def test_the_notebook_of_the_page_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(project / "notebook.py"))
    shown = capsys.readouterr().out
    assert "Trial ending active" in shown
    assert "'from_action_id': 'trigger_node'" in shown


def test_without_pytest_the_kit_loads_and_a_missing_extra_is_named(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules |= {'pytest': None, 'uvicorn': None}\n"
        "from hog_dagster import cli, testing\n"
        "print('code', cli.main(['sandbox']))\n"
        "with testing.open_sandbox():\n"
        "    pass\n"
    )
    done = run("-c", program, cwd=tmp_path)
    wanted = 'uvicorn, which is not installed: pip install "hog-dagster[sandbox]"'
    assert "code 1" in done.stdout
    by_command, by_kit = (line for line in done.stderr.splitlines() if wanted in line)
    assert by_command == f"hog-dagster sandbox: The sandbox needs {wanted}"
    assert by_kit.endswith(f"MissingExtra: The sandbox needs {wanted}")


def test_no_other_module_of_the_product_names_the_kit() -> None:
    naming = [
        path.name
        for path in (ROOT / "hog_dagster").rglob("*.py")
        if "hog_dagster.testing" in path.read_text(encoding="utf-8")
    ]
    assert naming == ["testing.py"]


def test_no_sandbox_inherits_the_quota_that_another_used() -> None:
    with open_sandbox() as first, client_of(first) as client:
        list(client.workflows.list())
        used = [line.used for line in client.server.usage()]
        url = first.url
    assert max(used) > 0
    with open_sandbox(port=int(url.rpartition(":")[2])) as second, client_of(second) as client:
        assert second.url == url
        assert [line.used for line in client.server.usage()] == [0] * len(used)


def test_resources_without_a_folder_share_nothing() -> None:
    with open_sandbox() as sandbox:
        one, other = resources_of(sandbox), resources_of(sandbox)
    assert one["warehouse"].path != other["warehouse"].path
    assert one["ledger"].url != other["ledger"].url


def test_a_table_that_has_not_landed_is_named(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(path=str(tmp_path / "w.duckdb"))
    with pytest.raises(WarehouseError, match="nothing has been loaded"):
        loaded(warehouse, "workflow_logs")
    duckdb.connect(warehouse.path).close()
    with pytest.raises(WarehouseError, match="workflow_lugs"):
        loaded(warehouse, "workflow_lugs")
