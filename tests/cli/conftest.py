"""A `dg` project on disk, and commands that are typed in it."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from hog_dagster.cli import main
from hog_dagster.sandbox import Sandbox

KEY = "phx_sandbox"


class Done(NamedTuple):
    """What a command left: its exit code, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Standard output, however it is wrapped."""
        return " ".join(self.out.split())


@pytest.fixture(scope="session")
def posthog() -> Iterator[Sandbox]:
    """A project with everything in it; tests here only read it."""
    with Sandbox("current", limits=False, keys={KEY: ["*"]}) as sandbox:
        yield sandbox


@dataclass
class DgProject:
    """A `dg` project as `create-dagster project` makes it."""

    root: Path
    package: str

    @property
    def defs(self) -> Path:
        return self.root / "src" / self.package / "defs"

    def component(self, folder: str = "posthog", **attributes: Any) -> Path:
        """Write a component's YAML."""
        file = self.defs / folder / "defs.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        content = {"type": "hog_dagster.PostHogProjectComponent", "attributes": attributes}
        file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return file


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DgProject:
    """An empty one, in which the test stands; its package has a name of its own."""
    package = f"project_{abs(hash(str(tmp_path))):x}"
    root = tmp_path / "analytics"
    made = DgProject(root, package)
    made.defs.mkdir(parents=True)
    for folder in (made.defs, made.defs.parent):
        (folder / "__init__.py").touch()
    (made.defs.parent / "definitions.py").write_text(
        "from pathlib import Path\n"
        "from dagster import definitions, load_from_defs_folder\n\n"
        "@definitions\n"
        "def defs():\n"
        "    return load_from_defs_folder(path_within_project=Path(__file__).parent)\n"
    )
    (root / "pyproject.toml").write_text(
        f'[tool.dg]\ndirectory_type = "project"\n\n[tool.dg.project]\nroot_module = "{package}"\n'
    )
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return made


@pytest.fixture
def typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Done]]:
    """Run a command in this process, with nothing of ours in the environment."""
    for name in list(os.environ):
        if name.startswith(("POSTHOG_", "HOG_DAGSTER_", "DAGSTER_HOME", "DAGSTER_IS_DEV")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str, **environment: str) -> Done:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        try:
            code = main(words)
        finally:
            logging.disable(logging.NOTSET)
        shown = capsys.readouterr()
        return Done(code, shown.out, shown.err)

    yield run
    for name in ("POSTHOG_HOST", "POSTHOG_API_KEY", "POSTHOG_PROJECT_ID"):  # from a .env
        os.environ.pop(name, None)
