"""Blocked runs and replay behave as on the servers that had them."""

import httpx
import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.conftest import Http, Start


def run_of(row: dict) -> dict:
    return {name: row[name] for name in ("event_uuid", "action_id", "instance_id")}


def test_blocked_runs_are_listed_newest_first_with_their_run_and_event(
    docs: tuple[Sandbox, Http],
) -> None:
    sandbox, http = docs
    workflow = sandbox.world.add_workflow("Trial ending")["id"]
    made = sandbox.world.add_blocked_runs(workflow, 3, spacing=60)
    body = http.get(f"/hog_flows/{workflow}/blocked_runs/").json()
    assert [row["instance_id"] for row in body["results"]] == [row["instance_id"] for row in made]
    assert {**body, "results": None} == {
        "results": None,
        "has_next": False,
        "limit": 100,
        "offset": 0,
    }
    first = body["results"][0]
    assert first["timestamp"] == made[0]["timestamp"].isoformat()
    assert first["event_uuid"] == made[0]["event_uuid"]
    assert first["message"].startswith(f"[Action:{first['action_id']}] Skipped: duplicate")


def test_a_replay_is_accepted_as_often_as_it_is_asked_for(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    workflow = sandbox.world.add_workflow()["id"]
    run = run_of(sandbox.world.add_blocked_runs(workflow, 1)[0])
    for _ in range(2):
        answer = http.post(f"/hog_flows/{workflow}/replay_blocked_run/", json=run)
        assert (answer.status_code, answer.json()) == (200, {"status": "queued"})
    assert [replay.instance_id for replay in sandbox.world.replays] == [run["instance_id"]] * 2


def test_a_replayed_run_stays_listed_until_its_marker_is_visible(start: Start) -> None:
    sandbox, http = start(marker_lag=60.0)
    workflow = sandbox.world.add_workflow()["id"]
    run = run_of(sandbox.world.add_blocked_runs(workflow, 1)[0])
    http.post(f"/hog_flows/{workflow}/replay_blocked_run/", json=run)
    path = f"/hog_flows/{workflow}/blocked_runs/"
    assert len(http.get(path).json()["results"]) == 1
    sandbox.clock.advance(61)
    assert http.get(path).json()["results"] == []
    rows = http.get(
        f"/hog_flows/{workflow}/logs/", params={"instance_id": run["instance_id"]}
    ).json()["results"]
    assert rows[0]["level"] == "INFO"
    assert rows[0]["message"].startswith("[Replay] Queued")


def test_replay_all_skips_what_can_never_be_replayed_and_leaves_it_listed(
    docs: tuple[Sandbox, Http],
) -> None:
    sandbox, http = docs
    workflow = sandbox.world.add_workflow()["id"]
    sandbox.world.add_blocked_runs(workflow, 14, unreplayable=2)
    path = f"/hog_flows/{workflow}/replay_all_blocked_runs/"
    assert http.post(path).json() == {"succeeded": 12, "failed": 0, "skipped": 2}
    assert http.post(path).json()["succeeded"] == 12, "before the markers show it sends again"
    sandbox.clock.advance(5)
    assert http.post(path).json() == {"succeeded": 0, "failed": 0, "skipped": 2}
    assert len(http.get(f"/hog_flows/{workflow}/blocked_runs/").json()["results"]) == 2
    assert len(sandbox.world.replays) == 24


def test_the_action_of_a_replay_is_not_checked_and_the_event_is(
    docs: tuple[Sandbox, Http],
) -> None:
    sandbox, http = docs
    workflow = sandbox.world.add_workflow()["id"]
    run = run_of(sandbox.world.add_blocked_runs(workflow, 1)[0])
    path = f"/hog_flows/{workflow}/replay_blocked_run/"
    assert http.post(path, json={**run, "action_id": "some_other_action"}).status_code == 200
    wrong = http.post(path, json={**run, "event_uuid": sandbox.world.ids.event()})
    assert wrong.status_code == 400
    assert set(wrong.json()) == {"error"}


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (
            {"action_id": "a"},
            400,
            "event_uuid, action_id, and instance_id are required",
        ),
        (
            {"event_uuid": "e", "action_id": "a", "instance_id": "a06a421f"},
            404,
            "Blocked run a06a421f not found for this workflow",
        ),
    ],
)
def test_replay_refusals_are_hand_made_bodies(
    docs: tuple[Sandbox, Http], body: dict, status: int, error: str
) -> None:
    sandbox, http = docs
    workflow = sandbox.world.add_workflow()["id"]
    answer = http.post(f"/hog_flows/{workflow}/replay_blocked_run/", json=body)
    assert (answer.status_code, answer.json()) == (status, {"error": error})


def test_with_the_project_flag_off_the_list_is_empty_even_for_an_unknown_workflow(
    docs: tuple[Sandbox, Http],
) -> None:
    sandbox, http = docs
    sandbox.world.blocked_runs_flag = False
    unknown = "01900000-0000-0000-0000-000000000000"
    answer = http.get(f"/hog_flows/{unknown}/blocked_runs/")
    assert (answer.status_code, answer.json()) == (200, {"results": []})
    for action in ("replay_blocked_run", "replay_all_blocked_runs"):
        answer = http.post(f"/hog_flows/{unknown}/{action}/", json={})
        assert (answer.status_code, answer.json()) == (
            403,
            {"error": "This feature is not enabled"},
        )


@pytest.mark.parametrize("name", ["limit", "offset"])
def test_paging_by_something_else_than_numbers_is_refused(
    docs: tuple[Sandbox, Http], name: str
) -> None:
    sandbox, http = docs
    workflow = sandbox.world.add_workflow()["id"]
    answer = http.get(f"/hog_flows/{workflow}/blocked_runs/", params={name: "abc"})
    assert (answer.status_code, answer.json()) == (400, {"error": f"{name} must be an integer"})


def test_pages_of_blocked_runs_say_whether_there_is_more(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    workflow = sandbox.world.add_workflow()["id"]
    sandbox.world.add_blocked_runs(workflow, 7, spacing=1)
    path = f"/hog_flows/{workflow}/blocked_runs/"
    first = http.get(path, params={"limit": 5}).json()
    second = http.get(path, params={"limit": 5, "offset": 5}).json()
    assert (first["has_next"], len(first["results"])) == (True, 5)
    assert (second["has_next"], len(second["results"])) == (False, 2)


def test_only_the_faults_own_messages_count_as_blocked_runs(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    world = sandbox.world
    workflow = world.add_workflow()["id"]
    now = sandbox.clock.now()
    message = "[Action:{}] Skipped: duplicate execution detected for event {}{}"
    event, wait = world.ids.event(), "action_wait_until_condition_x"
    another = f". Another invocation ({world.ids.run(now)}) is running"
    rows = [
        (world.ids.run(now), message.format("action_email", event, "")),
        (world.ids.row(now), message.format(wait, event, "")),
        (world.ids.run(now.replace(year=now.year - 1)), message.format(wait, event, "")),
        (world.ids.run(now), message.format(wait, event, another)),
    ]
    world.add_logs(
        workflow,
        [{"instance_id": run, "timestamp": now, "level": "WARN", "message": m} for run, m in rows],
    )
    assert http.get(f"/hog_flows/{workflow}/blocked_runs/").json()["results"] == []


def test_newer_servers_have_no_blocked_runs_endpoint(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    workflow = sandbox.world.add_workflow()["id"]
    for answer in (
        http.get(f"/hog_flows/{workflow}/blocked_runs/"),
        http.post(f"/hog_flows/{workflow}/replay_blocked_run/", json={}),
        http.post(f"/hog_flows/{workflow}/replay_all_blocked_runs/"),
    ):
        assert answer.status_code == 404
        assert answer.json()["detail"] == "Endpoint not found."


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_cut_connection_leaves_the_client_without_an_answer(
    docs: tuple[Sandbox, Http], cut: str
) -> None:
    sandbox, http = docs
    workflow = sandbox.world.add_workflow()["id"]
    run = run_of(sandbox.world.add_blocked_runs(workflow, 1)[0])
    sandbox.fail("POST", "*/replay_blocked_run/", cut=cut)  # type: ignore[arg-type]
    with pytest.raises(httpx.TransportError):
        http.post(f"/hog_flows/{workflow}/replay_blocked_run/", json=run)
    assert len(sandbox.world.replays) == (1 if cut == "after" else 0)
    assert sandbox.count("POST", "*/replay_blocked_run/") == 1
