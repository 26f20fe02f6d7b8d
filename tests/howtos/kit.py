"""Runs the blocks of a how-to page, in order, in a `dg` project on a sandbox.

YAML becomes the component's, Python goes into the file that its first line names, SQL is asked of
the warehouse, and each line of a shell block is carried out in this process: `hog-dagster` by its
own click commands, `dg launch` and `dg utils refresh-defs-state` as Dagster does them.
"""

import asyncio
import importlib
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import duckdb
from dagster.components.core.component_tree import ComponentTree

from hog_dagster import PostHogProjectComponent
from hog_dagster.cli._loading import loading
from hog_dagster.sandbox import Sandbox
from tests.cli.conftest import DgProject, Done

__all__ = ["DOCS", "Block", "Walk", "blocks"]

DOCS = Path(__file__).parents[2] / "docs"
_FENCE = re.compile(r"^```(\w+)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARIABLE = re.compile(r"^([A-Z_]+)=(\S+)$")


class Block(NamedTuple):
    """A block of a page: its language, and what is in it."""

    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """The blocks of a page of docs/, `howto/rename-a-workflow` say, that are carried out."""
    text = (DOCS / f"{page}.md").read_text("utf-8")
    return [Block(*one) for one in _FENCE.findall(text) if one[0] in _CARRIED_OUT]


_CARRIED_OUT = ("bash", "yaml", "python", "sql")


@dataclass
class Walk:
    """A project, the PostHog it is on, and what the blocks so far left.

    Args:
        project: the `dg` project.
        sandbox: the PostHog.
        typed: types a command of `hog-dagster`.
        environment: of the operator.
        instance: Dagster's, in DAGSTER_HOME.
    """

    project: DgProject
    sandbox: Sandbox
    typed: Callable[..., Done]
    environment: dict[str, str]
    instance: dg.DagsterInstance
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    done: Done | None = None

    @property
    def warehouse(self) -> Path:
        return self.project.root / "warehouse.duckdb"

    def page(self, name: str, stop: int | None = None, start: int = 0) -> Iterator[Block]:
        """Carry out each block, then hand it over."""
        for block in blocks(name)[start:stop]:
            self.carry_out(block)
            yield block

    def carry_out(self, block: Block) -> None:
        if block.language == "yaml":
            self.write_yaml(block.text)
        elif block.language == "python":
            self.write_python(block.text)
        elif block.language == "sql":
            self.rows = self.ask(block.text)
        else:
            for line in _lines(block.text):
                self.command(line)

    def write_yaml(self, text: str) -> None:
        file = self.project.defs / "posthog" / "defs.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")

    def write_python(self, text: str) -> None:
        found = re.match(r"# (\S+\.py)\n", text)
        assert found, f"the first line of a Python block names its file: {text[:60]!r}"
        (self.project.defs / Path(found[1]).name).write_text(text, "utf-8")
        importlib.invalidate_caches()

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(statement).fetchall()

    def command(self, line: str, code: int = 0) -> Done:
        """One line of a shell."""
        words = shlex.split(line)
        variables: dict[str, str] = {}
        while words and (found := _VARIABLE.match(words[0])):
            variables[found[1]] = found[2]
            words.pop(0)
        if words[:1] == ["export"]:
            self.environment |= dict(word.split("=", 1) for word in words[1:])
            return Done(0, "", "")
        if words[0] == "hog-dagster":
            self.done = self.typed(*words[1:], **{**self.environment, **variables})
            if words[1] == "doctor" and _only_the_clock(self.done):
                return self.done  # the sandbox's stands where the page's dates are
            assert self.done.code == code, self.done.out + self.done.err
            return self.done
        if words[:2] == ["dg", "launch"]:
            given = dict(zip(words[2::2], words[3::2], strict=True))
            self.launch(given["--assets"], given.get("--partition"))
            return Done(0, "", "")
        if words == ["dg", "utils", "refresh-defs-state"]:
            self.refresh()
            return Done(0, "", "")
        raise AssertionError(f"this test cannot carry out: {line}")

    def load(self) -> dg.Definitions:
        """The project's definitions, with the state as it is kept."""
        self._forget()
        with self._quiet(), loading("The project", stored=True):
            return self._tree().build_defs()

    def refresh(self) -> None:
        """As `dg utils refresh-defs-state` does."""
        self._forget()
        with self._quiet(), loading("The project", stored=True):
            tree = self._tree()
            component = tree.load_component(self.project.defs / "posthog")
            assert isinstance(component, PostHogProjectComponent)
            asyncio.run(component.refresh_state(self.project.root))

    def launch(
        self, selection: str | dg.AssetSelection, partition: str | None = None
    ) -> dg.ExecuteInProcessResult:
        """Materialize assets; the run must succeed."""
        if isinstance(selection, str):
            selection = dg.AssetSelection.from_string(selection)
        defs = self.load()
        with self._quiet():
            keys = list(selection.resolve(defs.resolve_asset_graph()))
            assert keys, f"{selection} selects nothing"
            job = defs.resolve_implicit_global_asset_job_def()
            result = job.execute_in_process(
                instance=self.instance, asset_selection=keys, partition_key=partition
            )
        assert result.success
        return result

    def assets(self) -> set[str]:
        """Every asset of the project."""
        graph = self.load().resolve_asset_graph()
        return {key.to_user_string() for key in graph.get_all_asset_keys()}

    def _tree(self) -> ComponentTree:
        for folder in (self.project.root / "src",):
            if str(folder) not in sys.path:
                sys.path.append(str(folder))
        return ComponentTree.for_project(self.project.root)

    def _forget(self) -> None:
        """Modules of the project are read again."""
        for name in [name for name in sys.modules if name.startswith(self.project.package)]:
            with suppress(KeyError):
                del sys.modules[name]

    @staticmethod
    def _quiet() -> Any:
        return warnings.catch_warnings(action="ignore")


def _lines(text: str) -> Sequence[str]:
    """Commands of a shell block, continued lines joined, comments left out."""
    joined = text.replace("\\\n", " ")
    return [re.sub(r"\s+#.*$", "", line) for line in joined.splitlines() if _says(line)]


def _only_the_clock(done: Done) -> bool:
    failed = [line for line in done.out.splitlines() if line.startswith("fail ")]
    return len(failed) == 1 and "clock" in failed[0]


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def environment_of(sandbox: Sandbox, folder: Path) -> Mapping[str, str]:
    """What an operator has set."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    return {
        "POSTHOG_HOST": sandbox.url,
        "POSTHOG_API_KEY": sandbox.api_key,
        "POSTHOG_PROJECT_ID": str(sandbox.project_id),
        "DAGSTER_HOME": str(home),
        "HOG_DAGSTER_LEDGER": f"sqlite:///{folder / 'ledger.sqlite'}",
    }
