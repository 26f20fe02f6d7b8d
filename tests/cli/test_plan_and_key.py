"""`plan` and `backfill` read as the project says, and say of a key what `doctor` says of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hog_dagster.sandbox import Sandbox
from tests.cli.conftest import DgProject, Done
from tests.cli.test_project import day, home, settings

Typed = Callable[..., Done]


def typed_words(command: str) -> tuple[str, ...]:
    """A command that asks PostHog with the project's key."""
    if command == "plan":
        return ("plan", "--json")
    if command == "replay":
        return ("replay", "--json", "--from", "-2h")
    return ("backfill", "--json", "--estimate", "--from", day(9), "--to", day(8))


@pytest.mark.parametrize("command", ["plan", "backfill"])
def test_the_way_of_reading_is_the_projects_and_not_the_keys(
    command: str, project: DgProject, posthog: Sandbox, typed: Typed, tmp_path: Path
) -> None:
    told = {}
    for way in ("auto", "rest", "hogql"):
        more: dict[str, Any] = {"partitions": {"start_date": day(20)}, "read_by": way}
        project.component(**settings(posthog, **more))
        done = typed(*typed_words(command), DAGSTER_HOME=home(tmp_path))
        assert done.code == 0, done.err
        shown = json.loads(done.out)
        told[way] = shown["read_by"] if command == "plan" else shown["estimate"]["requests"]
    if command == "plan":
        assert told == {"auto": "HogQL", "rest": "REST", "hogql": "HogQL"}
    else:
        assert told["auto"] == told["hogql"]
        assert told["rest"]["workflow_logs"] > told["auto"]["workflow_logs"]


def test_hogql_alone_with_a_key_that_may_not_is_one_sentence(
    project: DgProject, typed: Typed
) -> None:
    with Sandbox(limits=False, keys={"phx_few": ["hog_flow:read", "hog_function:read"]}) as small:
        project.component(**settings(small, api_key="phx_few", read_by="hogql"))
        done = typed("plan")
    assert done.code == 1
    assert "query:read" in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("command", ["plan", "backfill", "replay"])
def test_a_revoked_key_gives_the_sentence_of_doctor(
    command: str, project: DgProject, posthog: Sandbox, typed: Typed, tmp_path: Path
) -> None:
    revoked = settings(posthog, api_key="phx_revoked", partitions={"start_date": day(20)})
    project.component(**revoked)
    told = typed("doctor").err.removeprefix("hog-dagster doctor: ")
    assert told.startswith("GET /api/personal_api_keys/@current/ answered 401")
    done = typed(*typed_words(command), DAGSTER_HOME=home(tmp_path))
    assert done.code == 1
    assert done.err == f"hog-dagster {command}: {told}"
    assert "00000000-" not in done.out + done.err


@pytest.mark.parametrize("command", ["doctor", "plan", "backfill", "replay"])
def test_a_server_that_says_nothing_is_named_while_it_is_waited_for(
    command: str,
    project: DgProject,
    typed: Typed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hog_dagster.cli._output.PATIENCE_S", 0.05)
    with Sandbox(limits=False) as slow:
        slow.fail(path="*/@current/", times=1, delay=1.0)
        project.component(**settings(slow, partitions={"start_date": day(20)}))
        words = ("doctor", "--json") if command == "doctor" else typed_words(command)
        done = typed(*words, DAGSTER_HOME=home(tmp_path))
        said = f"Waiting for {slow.url}, which has not responded yet."
    assert done.err.splitlines().count(said) == 1
    assert said not in done.out
