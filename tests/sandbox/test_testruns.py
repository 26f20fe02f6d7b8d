"""Test invocations: one step, mocked unless told otherwise."""

import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.bodies import UNKNOWN, workflow
from tests.sandbox.conftest import Http, Start

EVENT = {"event": {"event": "signed up", "uuid": "39ffc1b1-0c8f-4d1a-b5c0-ad99c5da990f"}}


def test_a_test_run_executes_one_step_and_names_the_next(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    made = sandbox.world.add_workflow()["id"]
    path = f"/hog_flows/{made}/invocations/"
    first = http.post(path, json={"globals": EVENT}).json()
    assert (first["status"], first["nextActionId"], first["errors"]) == (
        "success",
        "action_hook",
        [],
    )
    last = http.post(path, json={"globals": EVENT, "current_action_id": "exit_node"}).json()
    assert "nextActionId" not in last
    assert http.get(f"/hog_flows/{made}/logs/").json()["count"] == 0


def test_a_failed_step_is_still_a_200(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    made = sandbox.world.add_workflow()["id"]
    body = {"globals": EVENT, "current_action_id": "nope"}
    answer = http.post(f"/hog_flows/{made}/invocations/", json=body)
    assert (answer.status_code, answer.json()["status"]) == (200, "error")


def test_only_without_mocks_does_a_step_really_send(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    made = sandbox.world.add_workflow()["id"]
    path = f"/hog_flows/{made}/invocations/"
    body = {"globals": EVENT, "current_action_id": "action_hook"}
    http.post(path, json=body)
    assert sandbox.world.test_sends == []
    http.post(path, json={**body, "mock_async_functions": False})
    assert [send.action_id for send in sandbox.world.test_sends] == ["action_hook"]


@pytest.mark.parametrize("generation", ["docs", "current"])
def test_an_unknown_workflow_counts_as_an_unsaved_one(start: Start, generation: str) -> None:
    _, http = start(generation=generation)
    unsaved = http.post(
        "/hog_flows/new/invocations/", json={"globals": EVENT, "configuration": workflow()}
    )
    assert (unsaved.status_code, unsaved.json()["nextActionId"]) == (200, "action_delay")
    nothing = http.post(f"/hog_flows/{UNKNOWN}/invocations/", json={"globals": EVENT})
    assert (nothing.status_code, nothing.json()) == (
        404,
        {"status": "error", "message": "Hog flow not found"},
    )


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({}, {"status": "error", "message": "Missing event"}),
        ({"globals": "x"}, {"globals": ['Expected a dictionary of items but got type "str".']}),
        (
            {"globals": EVENT, "mock_async_functions": "maybe"},
            {"mock_async_functions": ["Must be a valid boolean."]},
        ),
        (
            {"globals": EVENT, "configuration": {"name": "x"}},
            {"configuration": {"actions": ["This field is required."]}},
        ),
    ],
)
def test_bad_test_runs_have_bodies_of_two_other_shapes(
    docs: tuple[Sandbox, Http], body: dict, answer: dict
) -> None:
    sandbox, http = docs
    made = sandbox.world.add_workflow()["id"]
    got = http.post(f"/hog_flows/{made}/invocations/", json=body)
    assert (got.status_code, got.json()) == (400, answer)
