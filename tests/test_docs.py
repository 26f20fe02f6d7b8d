"""The pages: what they link to is there, their examples are right, and the site builds.

How-tos and recipes are carried out in tests/howtos, the quickstart in test_quickstart.
"""

import ast
import importlib
import inspect
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import click
import dagster as dg
import pytest
import yaml
from dagster.components.testing import create_defs_folder_sandbox

from hog_dagster._shared.extras import MissingExtra
from hog_dagster.checks import build_posthog_checks
from hog_dagster.checks._operations import build_operations_checks
from hog_dagster.cli import _group
from hog_dagster.jobs import BadWindow
from hog_dagster.sandbox import Sandbox
from scripts.component_reference import field_paths, rewritten
from scripts.reference import pages as made_pages

dg_cli = pytest.importorskip("dagster_dg_cli.cli")

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *sorted(page for page in DOCS.rglob("*.md") if "_site" not in page.parts),
]
COMPONENT = DOCS / "component.md"
BLOCK = re.compile(r"^```(\w+)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
#: Of the README, which is read on pages of package indexes, where relative links lead nowhere.
OURS = re.compile(
    r"https://(?:github\.com|raw\.githubusercontent\.com)/hog-dagster/hog-dagster"
    r"(?:/(?:blob|tree))?/main/(.+)"
)


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
        pytest.param(code, id=f"{page.relative_to(ROOT).with_suffix('')}-{number}")
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
        if ours := OURS.fullmatch(link):
            assert (ROOT / ours[1].partition("#")[0]).exists(), link
        if re.match(r"[a-z]+:", link):
            continue
        assert page.parent != ROOT, f"{link} leads nowhere on the page of the package"
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


# --- commands -----------------------------------------------------------------------------------


def typed(page: Path) -> Iterator[str]:
    """Commands that a page shows: lines of blocks of a shell, and of blocks without a language."""
    for language, text in BLOCK.findall(page.read_text("utf-8")):
        if language not in ("", "bash", "text"):
            continue
        for line in text.replace("\\\n", " ").splitlines():
            words = re.sub(r"^\s*(?:[A-Z_]+=\S+ +)*", "", line)
            if re.match(r"(?:hog-dagster|dg) [a-z]", words) and "..." not in words:
                yield re.sub(r"\s+#.*$", "", words)


def parse(line: str) -> None:
    """Raise what click would say of a command that is not right."""
    name, *words = shlex.split(line.partition(" > ")[0].partition(" &")[0].partition(" |")[0])
    command: click.Command = _group if name == "hog-dagster" else dg_cli.create_dg_cli()
    if line.startswith("dg scaffold defs "):
        return  # its commands are components, which test_quickstart scaffolds
    context = click.Context(command, info_name=name)
    while isinstance(command, click.Group):
        below, found, rest = command.resolve_command(context, words)
        assert found is not None
        command = found
        words, context = list(rest), click.Context(command, context, info_name=below)
        if isinstance(command, click.Group):  # options of the group itself
            parser = command.make_parser(context)
            parser.allow_interspersed_args = False
            _, words, _ = parser.parse_args(words)
    command.make_context(context.info_name, [*words], context.parent)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_a_page_shows_are_ones(page: Path, monkeypatch: pytest.MonkeyPatch):
    for line in typed(page):
        if re.match(r"hog-dagster \w+: ", line) or " | " in line[:40]:
            continue  # what a command says, not what is typed
        words = re.sub(r"\$\(?[\w ]+\)?|\$\{?\w+\}?", "2026-11-20", line)
        try:
            parse(words)
        except click.UsageError as error:
            raise AssertionError(f"{page.name}: {line}: {error.format_message()}") from error


# --- YAML -----------------------------------------------------------------------------------------


def test_every_block_of_yaml_is_a_component_that_a_test_loads():
    for page in PAGES:
        for text in blocks(page, "yaml"):
            for part in yaml.safe_load_all(text):
                assert part["type"] == "hog_dagster.PostHogProjectComponent", f"{page}: {text}"


# --- errors, checks, variables --------------------------------------------------------------------


def public_errors() -> set[str]:
    """Every error class that a room exports, and the few that stand alone."""
    found = {MissingExtra.__name__, BadWindow.__name__}
    for room in ("posthog.errors", "warehouse.errors", "ledger"):
        module = importlib.import_module(f"hog_dagster.{room}")
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) and issubclass(value, Exception):
                found.add(name)
    return found


def first_cells(page: Path) -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", page.read_text("utf-8"), re.MULTILINE))


def test_every_public_error_and_every_check_is_on_the_page_of_errors():
    days = dg.DailyPartitionsDefinition(start_date="2026-11-01")
    checks = {spec.name for made in build_posthog_checks(days) for spec in made.check_specs}
    checks |= {spec.name for spec in build_operations_checks()[1].check_specs}
    assert len(checks) > 10
    wanted = public_errors() | checks
    assert wanted - first_cells(DOCS / "errors.md") == set()
    assert first_cells(DOCS / "errors.md") - wanted == set()


def test_every_variable_of_the_environment_is_on_the_page_of_settings():
    sources = "".join(
        path.read_text("utf-8")
        for path in (ROOT / "hog_dagster").rglob("*.py")
        if "sandbox" not in path.parts
    )
    named = set(re.findall(r"\bHOG_DAGSTER_[A-Z_]+\b", sources)) - {"HOG_DAGSTER_COMPLETE"}
    assert named <= first_cells(DOCS / "settings.md")
    # Read by the model alone, whose fields are the page.
    readers = re.findall(r"environ(?:\.get\(|\[)\W(HOG_DAGSTER_\w+)", sources)
    assert set(readers) <= {"HOG_DAGSTER_LEDGER"}


# --- the site -------------------------------------------------------------------------------------


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11),
    reason="the pages are made by Python 3.11; later ones write some types otherwise",
)
def test_pages_that_are_made_from_the_source_are_as_the_source_says():
    old = [
        str(path.relative_to(ROOT))
        for path, text in made_pages().items()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    assert not old, "run python -m scripts.reference"


@pytest.mark.integration
def test_the_site_builds_without_a_warning_and_asks_nobody(tmp_path: Path):
    words = ["-q", "-W", "--keep-going", "-d", str(tmp_path / "trees"), "-b", "html"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *words, str(DOCS), str(tmp_path / "site")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    listed = re.findall(r"\]\((\S+\.md)\)", (site / "llms.txt").read_text("utf-8"))
    names = {str(page.relative_to(DOCS)) for page in PAGES if page.is_relative_to(DOCS)}
    assert {*listed} == names
    for name in names:
        twin, page = site / name, (site / name).with_suffix(".html").read_text("utf-8")
        assert twin.read_text("utf-8").startswith("# "), name
        assert "toctree" not in twin.read_text("utf-8")
        loaded = re.findall(r"<(?:link|script|img)[^>]+(?:href|src)=\"(https?:)?//", page)
        assert not loaded, f"{name} loads something from the network"


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
        "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/x",
        "SMTP_PASSWORD": "secret",
        "HOG_DAGSTER_LEDGER": f"sqlite:///{tmp_path / 'ledger.sqlite'}",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.parametrize("code", named(PAGES, "yaml"))
def test_yaml_of_a_page_loads(code: str, variables: pytest.MonkeyPatch):
    with create_defs_folder_sandbox() as project:
        folder = project.defs_folder_path / "posthog"
        folder.mkdir()
        (folder / "defs.yaml").write_text(code, "utf-8")
        with project.build_all_defs() as defs:
            keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
            defs.get_repository_def()
    assert any(key.endswith("/workflow_logs") for key in keys)
    if "trial_reminder" in code and "01968c1e" in code:  # by name it is looked up in the state
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
        "run python -m scripts.component_reference docs/component.md"
    )
    assert {"name", "sensors.replay.dry_run", "checks.failure_rate.threshold"} <= {*field_paths()}


def test_every_field_says_what_it_means():
    for line in COMPONENT.read_text("utf-8").splitlines():
        if line.startswith("| `"):
            assert len(line.split(" | ")[-1].strip(" |")) > 8, line
