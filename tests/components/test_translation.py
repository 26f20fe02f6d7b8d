"""Dagster's own cases for translations and op specs, on external assets and on tables."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from dagster.components.testing.test_cases import TestOpCustomization, TestTranslation

from hog_dagster.lineage._records import Snapshot
from tests.components.conftest import loaded, specs_of

Assertion = Callable[[Any], bool]


class TestPostHogTranslation(TestTranslation):
    """Each case changes every asset; a workflow and a table are looked at."""

    @pytest.fixture
    def given(self, translation_test_case) -> dict[str, Any]:
        return translation_test_case.attributes

    def test_translation(
        self,
        given: dict[str, Any],
        assertion: Assertion,
        key_modifier,
        base: dict[str, Any],
        snapshot: Snapshot,
    ) -> None:
        with loaded({**base, "translation": given}, snapshot) as (_, defs):
            specs = {spec.key: spec for spec in specs_of(defs).values()}
        with loaded(base, snapshot) as (_, defs):
            keys = {spec.key for spec in specs_of(defs).values()}
        flow = next(key for key in keys if key.path[:2] == ["posthog", "workflow"])
        table = dg.AssetKey(["posthog", "workflow_actions"])
        for key in (flow, table):
            spec = specs[key_modifier(key) if key_modifier else key]
            if "partitions_def" in given and key == table:
                assert spec.partitions_def is None  # a table's partitions are its component's
            elif "deps" in given:
                assert dg.AssetKey("nonexistent") in {dep.asset_key for dep in spec.deps}
            else:
                assert assertion(spec)


class TestPostHogOps(TestOpCustomization):
    """The field `op` is of every step; its name stands before theirs."""

    @pytest.fixture
    def given(self, translation_test_case) -> dict[str, Any]:
        return translation_test_case[0]

    def test_op_customization(
        self, given: dict[str, Any], assertion: Assertion, base: dict[str, Any]
    ) -> None:
        with loaded({**base, "op": given}) as (component, defs):
            assert assertion(component.op)
            steps = [a for a in defs.assets or [] if isinstance(a, dg.AssetsDefinition)]
            (logs,) = [
                step
                for step in steps
                if step.is_executable and dg.AssetKey(["posthog", "workflow_logs"]) in step.keys
            ]
        name = given.get("name")
        assert logs.op.name == f"{name}_posthog_workflow_logs" if name else "posthog_workflow_logs"
        assert set(given.get("tags", {})) <= set(logs.op.tags)
        assert logs.backfill_policy == dg.BackfillPolicy.single_run()


@pytest.fixture
def base(sandbox, tmp_path) -> dict[str, Any]:
    """The YAML without a translation."""
    return {
        "host": sandbox.url,
        "api_key": "phx_x",
        "project_id": "1",
        "warehouse": {"duckdb": str(tmp_path / "w.duckdb")},
        "ledger": f"sqlite:///{tmp_path / 'ledger.sqlite'}",
        "partitions": {"start_date": "2026-11-01"},
        "checks": None,
    }


def test_templates_see_what_an_asset_stands_for(base: dict[str, Any], snapshot: Snapshot):
    translation = {
        "group_name": "posthog_{{ props.type }}",
        "description": "{{ props.name }} ({{ props.id }})",
    }
    with loaded({**base, "translation": translation}, snapshot) as (_, defs):
        specs = specs_of(defs)
    newsletter = next(w for w in snapshot.workflows if w.name == "Monthly newsletter")
    (spec,) = [spec for key, spec in specs.items() if "/monthly_newsletter_" in key]
    assert spec.group_name == "posthog_workflow"
    assert spec.description == f"Monthly newsletter ({newsletter.id})"
    assert specs["posthog/workflow_logs"].group_name == "posthog_table"


def test_renamed_assets_are_still_joined(base: dict[str, Any], snapshot: Snapshot):
    with loaded({**base, "translation": {"key_prefix": "eu"}}, snapshot) as (_, defs):
        specs = specs_of(defs)
    known = set(specs)
    for spec in specs.values():
        for dep in spec.deps:
            assert dep.asset_key.to_user_string() in known
            assert dep.asset_key.path[0] == "eu"
    trends = {dep.asset_key.to_user_string() for dep in specs["eu/posthog/insight_trends"].deps}
    assert any(key.startswith("eu/posthog/insight/") for key in trends)
