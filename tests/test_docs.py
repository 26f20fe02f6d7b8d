"""The pages: what they link to is there, their Python is right, the component's page is run."""

import ast
import importlib
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox

from hog_dagster.components.reference import field_paths, rewritten
from hog_dagster.sandbox import Sandbox

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMPONENT = ROOT / "docs" / "component.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(page: Path, language: str) -> list[str]:
    """The code of a page in one language."""
    return [code for of, code in BLOCK.findall(page.read_text("utf-8")) if of == language]


def prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page.read_text("utf-8")))


def anchors(page: Path) -> set[str]:
    """What a page's headings are linked by."""
    found = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def named(pages: list[Path], language: str) -> list[object]:
    """A parameter per block."""
    return [
        pytest.param(code, id=f"{page.stem}-{number}")
        for page in pages
        for number, code in enumerate(blocks(page, language))
    ]


def theirs(module: str) -> bool:
    """Whether it is a module of ours, of Dagster or of Python; others are the reader's own."""
    top = module.partition(".")[0]
    return top in {"hog_dagster", "dagster"} or top in sys.stdlib_module_names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page: Path):
    links = LINK.findall(prose(page))
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_a_page_names_are_there(page: Path):
    for name, file in re.findall(r"\[`(test_\w+)`\]\((\S+?\.py)\)", page.read_text("utf-8")):
        source = (page.parent / file).read_text("utf-8")
        assert f"def {name}(" in source, f"{file}: {name}"


@pytest.mark.parametrize("code", named(PAGES, "python"))
def test_a_pages_python_compiles_and_imports_what_is_there(code: str):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            for name in node.names:
                if theirs(name.name):
                    importlib.import_module(name.name)
        if isinstance(node, ast.ImportFrom) and node.module and theirs(node.module):
            module = importlib.import_module(node.module)
            for name in node.names:
                if not hasattr(module, name.name):
                    importlib.import_module(f"{node.module}.{name.name}")


# --- the component's page ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox("docs", populate=False, limits=False) as sandbox:
        sandbox.world.add_workflow("Welcome")
        yield sandbox


@pytest.fixture
def variables(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "POSTHOG_HOST": sandbox.url,
        "POSTHOG_API_KEY": sandbox.api_key,
        "POSTHOG_PROJECT_ID": str(sandbox.project_id),
        "POSTHOG_EU_API_KEY": "phx_eu",
        "POSTHOG_EU_PROJECT_ID": "2",
        "WAREHOUSE_URL": "postgresql://me@127.0.0.1/warehouse",
        "HOG_DAGSTER_LEDGER": f"sqlite:///{tmp_path / 'ledger.sqlite'}",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.parametrize("code", named([COMPONENT], "yaml"))
def test_yaml_of_the_components_page_loads(code: str, variables: pytest.MonkeyPatch):
    with create_defs_folder_sandbox() as project:
        folder = project.defs_folder_path / "posthog"
        folder.mkdir()
        (folder / "defs.yaml").write_text(code, "utf-8")
        with project.build_all_defs() as defs:
            keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
            defs.get_repository_def()
    assert any(key.endswith("/workflow_logs") for key in keys)
    if "trial_reminder" in code:
        assert "posthog/send/trial_reminder" in keys
    if "name: eu" in code:
        assert {"posthog/eu/workflows", "posthog/us/workflows"} <= keys


@pytest.mark.parametrize("code", named([COMPONENT], "python"))
def test_python_of_the_components_page_runs(
    code: str, sandbox: Sandbox, variables: pytest.MonkeyPatch
):
    hosted = 'PostHogResource(\n    host="https://eu.posthog.com",\n'
    code = code.replace(hosted, "PostHogResource(\n").replace(
        "PostHogResource(\n", f'PostHogResource(\n    host="{sandbox.url}",\n'
    )
    module = types.ModuleType("component_page")
    variables.setitem(sys.modules, module.__name__, module)
    exec(compile(code, "component.md", "exec"), vars(module))  # noqa: S102
    defs = getattr(module, "defs", None)
    if defs is not None:
        assert isinstance(defs, dg.Definitions)
        keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
        assert any(key.startswith("posthog/workflow/welcome") for key in keys)


def test_every_field_of_the_component_is_on_its_page():
    assert rewritten(COMPONENT) == COMPONENT.read_text("utf-8"), (
        "run python -m hog_dagster.components.reference docs/component.md"
    )
    assert {"name", "sensors.replay.dry_run", "checks.failure_rate.threshold"} <= {*field_paths()}


def test_every_field_says_what_it_means():
    for line in COMPONENT.read_text("utf-8").splitlines():
        if line.startswith("| `"):
            assert len(line.split(" | ")[-1].strip(" |")) > 8, line
