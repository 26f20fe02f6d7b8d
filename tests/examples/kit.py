"""An example as a project of its own: copied, pointed at a sandbox, loaded as `dg` loads it."""

import asyncio
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox

from hog_dagster.sandbox import Sandbox
from tests.acting_kit import an_instance

__all__ = ["EXAMPLES", "Example", "commands", "opened", "variables"]

EXAMPLES = Path(__file__).parents[2] / "examples"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Example:
    """The definitions of an example, and an instance they run in."""

    defs: dg.Definitions
    instance: dg.DagsterInstance

    @property
    def specs(self) -> dict[str, dg.AssetSpec]:
        """Every asset's spec, by key."""
        return {one.key.to_user_string(): one for one in self.defs.resolve_all_asset_specs()}

    def upstream(self, key: str) -> set[str]:
        """The keys that an asset depends on."""
        return {dep.asset_key.to_user_string() for dep in self.specs[key].deps}

    def run(self, *keys: str, partition: str | None = None) -> Any:
        """Materialize assets, with their checks."""
        chosen = {dg.AssetKey(key.split("/")) for key in keys}
        job = self.defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection=chosen)
        result = job.execute_in_process(
            instance=self.instance, run_config=QUIET, partition_key=partition
        )
        assert result.success
        return result


def variables(folder: Path, sandbox: Sandbox) -> dict[str, str]:
    """What the example's `.env` says, for this sandbox and this folder."""
    return {
        "POSTHOG_HOST": sandbox.url,
        "POSTHOG_API_KEY": sandbox.api_key,
        "POSTHOG_PROJECT_ID": str(sandbox.project_id),
        "WAREHOUSE_PATH": str(folder / "warehouse.duckdb"),
        "HOG_DAGSTER_LEDGER": f"sqlite:///{folder / 'ledger.sqlite'}",
    }


@contextmanager
def opened(
    name: str,
    folder: Path,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    *,
    beside: Iterable[str] = (),
    replaced: Mapping[str, str] | None = None,
) -> Iterator[Example]:
    """An example with its state read.

    Args:
        name: its folder.
        folder: where its warehouse and ledger go.
        sandbox: the PostHog.
        monkeypatch: sets its variables.
        beside: folders of the project that its definitions read too.
        replaced: texts in its YAML -> what stands there instead.
    """
    for key, value in variables(folder, sandbox).items():
        monkeypatch.setenv(key, value)
    with create_defs_folder_sandbox() as project, an_instance() as instance:
        given = EXAMPLES / name
        shutil.copytree(given / "src" / name / "defs", project.defs_folder_path, dirs_exist_ok=True)
        for one in beside:
            for root in (project.project_root, project.defs_folder_path.parents[1]):
                shutil.copytree(given / one, root / one, dirs_exist_ok=True)
        for path in project.defs_folder_path.rglob("*.yaml"):
            text = path.read_text(encoding="utf-8")
            for old, new in (replaced or {}).items():
                text = text.replace(old, new)
            path.write_text(text, encoding="utf-8")
        with project.build_component_tree() as tree:
            for path in sorted(project.defs_folder_path.rglob("defs.yaml")):
                component = tree.load_component(path.parent)
                assert isinstance(component, dg.StateBackedComponent)
                asyncio.run(component.refresh_state(project.project_root))
        with project.build_all_defs() as defs:
            yield Example(defs, instance)


def commands(name: str) -> list[str]:
    """The lines of an example's README that work on the project."""
    text = (EXAMPLES / name / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
