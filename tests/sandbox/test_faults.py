"""Faults to order, and the records of what was asked."""

import json
import time

import httpx
import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.bodies import workflow
from tests.sandbox.conftest import Http, Start


def test_a_fault_strikes_the_requests_it_is_meant_for(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    found = sandbox.world.add_workflow()["id"]
    fault = sandbox.fail("GET", "*/logs/", times=2, after=1, status=503)
    path = f"/hog_flows/{found}/logs"
    assert [http.get(path).status_code for _ in range(4)] == [200, 503, 503, 200]
    assert http.get("/hog_flows/").status_code == 200
    assert fault.hits == 2


def test_a_standing_fault_lasts_until_it_is_taken_back(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    sandbox.fail(times=0, status=500)
    assert {http.get("/hog_flows/").status_code for _ in range(3)} == {500}
    sandbox.clear_faults()
    assert http.get("/hog_flows/").status_code == 200


def test_an_error_status_replaces_the_request_unless_it_is_to_take_effect(
    docs: tuple[Sandbox, Http],
) -> None:
    sandbox, http = docs
    sandbox.fail("POST", "*/hog_flows/", status=502, body="<html>Bad gateway</html>")
    answer = http.post("/hog_flows/", json=workflow())
    assert (answer.status_code, answer.text) == (502, "<html>Bad gateway</html>")
    assert answer.headers["content-type"].startswith("text/html")
    assert sandbox.world.workflows == {}
    sandbox.fail("POST", "*/hog_flows/", status=504, effect=True)
    assert http.post("/hog_flows/", json=workflow()).status_code == 504
    assert len(sandbox.world.workflows) == 1


def test_a_cut_in_the_middle_of_an_answer_comes_after_the_effect(
    docs: tuple[Sandbox, Http],
) -> None:
    sandbox, http = docs
    sandbox.fail("POST", "*/hog_flows/", cut="during")
    with pytest.raises(httpx.TransportError):
        http.post("/hog_flows/", json=workflow())
    assert len(sandbox.world.workflows) == 1
    assert http.get("/hog_flows/").status_code == 200


def test_an_answer_can_be_truncated_to_broken_json(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    sandbox.world.add_workflow()
    sandbox.fail("GET", "*/hog_flows/", truncate=40)
    answer = http.get("/hog_flows/")
    assert (answer.status_code, len(answer.content)) == (200, 40)
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_an_answer_can_be_replaced_by_any_body_and_headers(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    sandbox.fail(body={"results": None}, headers={"Deprecation": "true"})
    answer = http.get("/hog_flows/")
    assert (answer.json(), answer.headers["deprecation"]) == ({"results": None}, "true")
    sandbox.fail(status=429, headers={"Retry-After": "7"})
    throttled = http.get("/hog_flows/")
    assert (throttled.json()["code"], throttled.headers["retry-after"]) == ("throttled", "7")


def test_a_delay_outlasts_an_impatient_client_and_the_write_still_happens(start: Start) -> None:
    sandbox, http = start()
    sandbox.fail("POST", "*/hog_flows/", delay=0.3)
    with pytest.raises(httpx.ReadTimeout):
        http.post("/hog_flows/", json=workflow(), timeout=0.05)
    deadline = time.monotonic() + 10
    while not sandbox.world.workflows and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(sandbox.world.workflows) == 1


def test_other_connections_live_on_when_one_is_cut(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    with Http(sandbox) as other:
        assert other.get("/hog_flows/").status_code == 200
        sandbox.fail(cut="before")
        with pytest.raises(httpx.TransportError):
            http.get("/hog_flows/")
        assert other.get("/hog_flows/").status_code == 200


def test_requests_are_recorded_and_counted_without_keys(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    http.get("/hog_flows/?limit=2")
    http.post("/hog_flows/", json={"name": "x"})
    sandbox.fail(cut="after")
    with pytest.raises(httpx.TransportError):
        http.get("/hog_flows")
    first, second, third = sandbox.requests
    assert (first.method, first.path, first.query) == (
        "GET",
        "/api/projects/1/hog_flows/",
        "limit=2",
    )
    assert (first.key, first.status, first.fault) == ("key1", 200, False)
    assert (second.body, second.status) == ({"name": "x"}, 400)
    assert (third.status, third.fault) == (0, True)
    assert sandbox.count("GET", "*/hog_flows/") == 2
    assert sandbox.count("POST") == 1
    assert sandbox.count(path="*/hog_functions/*") == 0
    sandbox.reset_counts()
    assert sandbox.requests == []


def test_without_its_worker_each_action_fails_in_a_body_of_its_own(start: Start) -> None:
    older, http = start(generation="docs")
    batch = older.world.add_workflow("News", "batch")["id"]
    event = older.world.add_workflow()["id"]
    run = older.world.add_blocked_runs(event, 3)[0]
    older.world.worker_down = True
    body = {name: run[name] for name in ("event_uuid", "action_id", "instance_id")}
    replay = http.post(f"/hog_flows/{event}/replay_blocked_run/", json=body)
    assert (replay.status_code, replay.json()) == (
        400,
        {"status": "error", "message": "Failed to replay run"},
    )
    everything = http.post(f"/hog_flows/{event}/replay_all_blocked_runs/")
    assert everything.json() == {"succeeded": 0, "failed": 3, "skipped": 0}
    assert older.world.replays == []
    job = http.post(f"/hog_flows/{batch}/batch_jobs/", json={})
    assert (job.status_code, job.json()["type"]) == (500, "server_error")
    assert len(http.get(f"/hog_flows/{batch}/batch_jobs/").json()) == 1, "the row is there"
    test = http.post(f"/hog_flows/{event}/invocations/", json={"globals": {"event": {}}})
    assert (test.status_code, test.json()["message"]) == (500, ["The worker did not answer"])

    newer, http = start(generation="current")
    batch = newer.world.add_workflow("News", "batch")["id"]
    timed = newer.world.add_workflow("Digest", "schedule")["id"]
    newer.world.worker_down = True
    assert http.post(f"/hog_flows/{batch}/batch_jobs/", json={}).json()["status"] == "failed"
    window = {"window_start": "2026-08-19T00:00:00Z", "window_end": "2026-08-20T00:00:00Z"}
    rerun = http.post(f"/hog_flows/{batch}/rerun/", json={"filter": window})
    assert (rerun.status_code, rerun.json()) == (
        503,
        {"queued_count": 0, "skipped_count": 0, "detail": "upstream connect error"},
    )
    now = http.post(f"/hog_flows/{timed}/run/", json={})
    detail = "Could not reach the workflow engine. Try again."
    assert (now.status_code, now.json()) == (502, {"detail": detail})


def test_a_body_that_breaks_the_server_changes_nothing(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    made = sandbox.world.add_workflow("Whole")["id"]
    weird = workflow()["actions"]
    weird[0]["config"] = {"type": "event", "filters": {"events": [7]}}
    answer = http.patch(f"/hog_flows/{made}/", json={"name": "Half", "actions": weird})
    assert (answer.status_code, answer.json()["detail"]) == (500, "A server error occurred.")
    assert http.get(f"/hog_flows/{made}/").json()["name"] == "Whole"
