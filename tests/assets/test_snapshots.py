"""A snapshot is read when definitions are loaded, whatever holds the project, and never fatally."""

import logging
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hog_dagster import PostHogResource, load_posthog_asset_specs, load_posthog_snapshot
from hog_dagster.posthog import PostHogClient
from hog_dagster.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox("docs", populate=False, limits=False) as sandbox:
        sandbox.world.add_workflow("Welcome")
        sandbox.world.add_hog_function("To the CRM")
        sandbox.world.add_insight("Sign-ups")
        yield sandbox


def resource(sandbox: Sandbox, **changed: str) -> PostHogResource:
    settings: dict[str, Any] = {
        "host": sandbox.url,
        "api_key": sandbox.api_key,
        "project_id": str(sandbox.project_id),
    }
    return PostHogResource(**{**settings, **changed})


def test_specs_come_from_a_resource_a_client_a_file_or_a_snapshot(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SNAPSHOT_TEST_KEY", sandbox.api_key)
    kept = tmp_path / "posthog.json"
    by_variable = resource(sandbox, api_key=dg.EnvVar("SNAPSHOT_TEST_KEY"))
    snapshot = load_posthog_snapshot(by_variable, keep=kept)
    keys = {spec.key for spec in load_posthog_asset_specs(snapshot)}
    assert {key.path[1] for key in keys} >= {"workflow", "hog_function", "insight"}
    with PostHogClient(sandbox.url, sandbox.api_key, sandbox.project_id) as client:
        for source in (by_variable, client, kept):
            assert {spec.key for spec in load_posthog_asset_specs(source)} == keys


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"host": "http://127.0.0.1:9"}, "Check POSTHOG_HOST"),
        ({"host": "eu.posthog.com"}, "has no scheme"),
        ({"api_key": "phx_revoked"}, "POSTHOG_API_KEY"),
        ({"api_key": ""}, "POSTHOG_API_KEY is not set"),
        ({"api_key": dg.EnvVar("SNAPSHOT_TEST_UNSET")}, "SNAPSHOT_TEST_UNSET is not set"),
        ({"project_id": "seven"}, "POSTHOG_PROJECT_ID"),
    ],
)
def test_a_project_that_cannot_be_read_is_a_warning_and_what_was_kept_is_taken(
    sandbox: Sandbox,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    wrong: dict[str, str],
    said: str,
):
    kept = tmp_path / "posthog.json"
    before = load_posthog_snapshot(resource(sandbox), keep=kept)
    with caplog.at_level(logging.WARNING, "hog_dagster"):
        assert load_posthog_snapshot(resource(sandbox, **wrong), keep=kept) == before
        nothing = load_posthog_snapshot(resource(sandbox, **wrong))
    assert said in nothing.notes[0]
    assert caplog.text.count(said) == 2
    assert load_posthog_asset_specs(nothing) == []
    assert sandbox.api_key not in caplog.text


def test_a_file_that_is_not_there_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    assert load_posthog_asset_specs(tmp_path / "absent.json") == []
    assert "no snapshot in" in caplog.text


def test_a_file_that_cannot_be_written_is_a_warning(
    sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").touch()
    snapshot = load_posthog_snapshot(resource(sandbox), keep=tmp_path / "file" / "posthog.json")
    assert len(snapshot.workflows) == 1
    assert "could not be kept" in caplog.text
