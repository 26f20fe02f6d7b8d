"""Drafts, versions and surgical edits on newer servers."""

import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.bodies import raised, workflow
from tests.sandbox.conftest import Http

Place = tuple[Sandbox, Http, str]


@pytest.fixture
def place(current: tuple[Sandbox, Http]) -> Place:
    """(sandbox, client, path of an active workflow)."""
    sandbox, http = current
    made = http.post("/hog_flows/", json=workflow(status="active")).json()
    return sandbox, http, f"/hog_flows/{made['id']}/"


def stage(place: Place, **changes: object) -> dict:
    return place[1].patch(place[2], json={**changes, "stage_draft": True}).json()


def test_a_staged_change_leaves_the_live_workflow_alone_until_it_is_published(
    place: Place,
) -> None:
    _sandbox, http, path = place
    staged = stage(place, exit_condition="exit_on_conversion")
    assert staged["exit_condition"] == "exit_only_at_end"
    assert staged["draft"]["exit_condition"] == "exit_on_conversion"
    assert staged["version"] == 1
    preview = http.post(path + "publish/", json={}).json()
    assert (preview["published"], preview["draft_updated_at"]) == (
        False,
        staged["draft_updated_at"],
    )
    unsure = http.post(path + "publish/", json={"confirm": True})
    assert (unsure.status_code, unsure.json()["attr"]) == (400, "confirm_token")
    done = http.post(
        path + "publish/", json={"confirm": True, "confirm_token": preview["confirm_token"]}
    ).json()
    assert done["published"] is True
    assert done["workflow"]["exit_condition"] == "exit_on_conversion"
    assert (done["workflow"]["draft"], done["workflow"]["version"]) == (None, 2)


def test_a_draft_edited_after_its_preview_is_a_conflict(place: Place) -> None:
    _, http, path = place
    stage(place, exit_condition="exit_on_conversion")
    token = http.post(path + "publish/", json={}).json()["confirm_token"]
    stage(place, variables=[])
    late = http.post(path + "publish/", json={"confirm": True, "confirm_token": token})
    assert (late.status_code, late.json()["code"]) == (409, "stale_update")


def test_a_preview_lasts_fifteen_minutes(place: Place) -> None:
    sandbox, http, path = place
    stage(place, exit_condition="exit_on_conversion")
    token = http.post(path + "publish/", json={}).json()["confirm_token"]
    sandbox.clock.advance(16 * 60)
    late = http.post(path + "publish/", json={"confirm": True, "confirm_token": token})
    assert late.json()["detail"].startswith("Expired")


def test_a_draft_can_be_discarded_twice(place: Place) -> None:
    _, http, path = place
    stage(place, exit_condition="exit_on_conversion")
    for _ in range(2):
        assert http.post(path + "discard_draft/").json()["draft"] is None
    empty = http.post(path + "publish/", json={})
    detail = "This workflow has no staged draft to publish."
    assert empty.json() == raised("validation_error", "invalid_input", detail)


def test_each_change_of_content_is_a_version_that_can_be_restored(place: Place) -> None:
    _, http, path = place
    assert http.get(path + "revisions/").json()["count"] == 0
    assert http.patch(path, json={"name": "n", "description": "d"}).json()["version"] == 1
    assert http.patch(path, json={"variables": []}).json()["version"] == 2
    listed = http.get(path + "revisions/").json()
    assert [row["version"] for row in listed["results"]] == [2, 1]
    assert listed["results"][1]["created_by"] is None
    first = http.get(path + "revisions/1/").json()
    assert first["content"]["variables"][0]["key"] == "coupon"
    restored = http.post(path + "revisions/1/restore/", json={}).json()
    assert restored["draft"]["variables"][0]["key"] == "coupon"
    assert restored["variables"] == []
    again = http.post(path + "revisions/1/restore/", json={})
    assert (again.status_code, again.json()["code"]) == (409, "draft_exists")
    over = http.post(path + "revisions/2/restore/", json={"overwrite": True})
    assert over.status_code == 200
    missing = http.get(path + "revisions/9/")
    detail = "No such revision for this workflow."
    assert missing.json() == raised("invalid_request", "not_found", detail)


def test_the_graph_is_edited_step_by_step_all_or_nothing(place: Place) -> None:
    _, http, path = place
    exit_edge = {"from": "action_hook", "to": "exit_node", "type": "continue"}
    edits = [
        {
            "op": "update_action",
            "id": "action_delay",
            "patch": {"config": {"delay_duration": "2d"}},
        },
        {"op": "remove_action", "id": "action_hook"},
    ]
    changed = http.patch(path + "graph/", json={"operations": edits}).json()
    assert [action["id"] for action in changed["actions"]] == [
        "trigger_node",
        "action_delay",
        "exit_node",
    ]
    assert changed["actions"][1]["config"] == {"delay_duration": "2d"}
    assert {**exit_edge, "from": "action_delay"} in changed["edges"]
    bad = [{"op": "remove_action", "id": "action_delay"}, {"op": "remove_action", "id": "nope"}]
    assert http.patch(path + "graph/", json={"operations": bad}).status_code == 400
    assert len(http.get(path).json()["actions"]) == 3
    short = http.patch(path + "graph/", json={"operations": [{"op": "add_edge"}]})
    assert short.json()["detail"] == "op 'add_edge' requires: edge"


def test_an_agents_graph_edit_of_an_active_workflow_is_staged(place: Place) -> None:
    _, http, path = place
    edit = {"op": "update_action", "id": "action_delay", "patch": {"name": "Rest"}}
    agent = {"X-PostHog-Client": "mcp"}
    answer = http.patch(path + "graph/", json={"operations": [edit]}, headers=agent).json()
    assert answer["actions"][1]["name"] == "Wait"
    assert answer["draft"]["actions"][1]["name"] == "Rest"
