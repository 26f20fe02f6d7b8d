"""A populated sandbox, a snapshot of it, and components loaded from YAML."""

import asyncio
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox

from hog_dagster import PostHogProjectComponent
from hog_dagster.lineage import InsightSelection
from hog_dagster.lineage._records import Snapshot, read_snapshot
from hog_dagster.posthog import PostHogClient
from hog_dagster.sandbox import Sandbox

SECRET = "phx_very_secret_key"


@pytest.fixture(scope="package")
def sandbox() -> Iterator[Sandbox]:
    """A project with everything in it; tests here only read it."""
    with Sandbox("docs", limits=False, keys={SECRET: ["*"]}) as sandbox:
        yield sandbox


@pytest.fixture(scope="package")
def snapshot(sandbox: Sandbox) -> Snapshot:
    """The project as definitions know it."""
    with PostHogClient(sandbox.url, SECRET, sandbox.project_id) as client:
        return read_snapshot(client, insights=[InsightSelection()])


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Dagster warns of its own beta parameters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=dg.BetaWarning)
        warnings.simplefilter("ignore", category=dg.PreviewWarning)
        yield


@pytest.fixture
def attributes(sandbox: Sandbox, tmp_path: Path) -> dict[str, Any]:
    """The few lines of YAML that are needed."""
    return {
        "host": sandbox.url,
        "api_key": SECRET,
        "project_id": str(sandbox.project_id),
        "warehouse": {"duckdb": str(tmp_path / "w.duckdb")},
        "ledger": f"sqlite:///{tmp_path / 'ledger.sqlite'}",
        "partitions": {"start_date": "2026-11-01"},
    }


@contextmanager
def loaded(
    attributes: dict[str, Any],
    snapshot: Snapshot | Path | None = None,
    *,
    refresh: bool = False,
) -> Iterator[tuple[PostHogProjectComponent, dg.Definitions]]:
    """The component from YAML, with this state, its own or none."""
    with create_defs_folder_sandbox() as project:
        path = project.scaffold_component(
            component_cls=PostHogProjectComponent,
            defs_yaml_contents={
                "type": "hog_dagster.PostHogProjectComponent",
                "attributes": attributes,
            },
        )
        with project.build_component_tree() as tree:
            component = tree.load_component(path)
            assert isinstance(component, PostHogProjectComponent)
            if snapshot is not None:
                kept = project.project_root / "snapshot.json"
                if isinstance(snapshot, Snapshot):
                    snapshot.write(kept)
                else:
                    kept = snapshot
                yield component, component.build_defs_from_state(tree.load_context, kept)
                return
            if refresh:
                asyncio.run(component.refresh_state(project.project_root))
            yield component, tree.build_defs(path)


def specs_of(defs: dg.Definitions) -> dict[str, dg.AssetSpec]:
    """Every asset's spec, by key."""
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def all_said(error: BaseException | None) -> str:
    """The text of an error and of those behind it, as Dagster prints them."""
    said = ""
    while error is not None:
        said += f"{error}\n"
        error = error.__cause__ or error.__context__
    return said
