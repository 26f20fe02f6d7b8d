"""A sandbox steered from outside its process."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from hog_dagster.sandbox import RemoteSandbox, Sandbox
from tests.sandbox.conftest import Http, Start

NOW = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)


def test_a_remote_sandbox_builds_counts_and_fails_like_a_local_one(
    docs: tuple[Sandbox, Http],
) -> None:
    sandbox, http = docs
    with RemoteSandbox(sandbox.url) as remote:
        made = remote.world.add_workflow(name="Remote", trigger="event")
        assert http.get("/hog_flows/").json()["results"][0]["id"] == made["id"]
        remote.clock.set(NOW)
        assert remote.clock.now() - NOW < timedelta(minutes=1)
        remote.clock.advance(3600)
        assert sandbox.clock.now() >= NOW + timedelta(hours=1)
        row = {"instance_id": "a", "timestamp": NOW, "message": "hello"}
        assert remote.world.add_logs(workflow_id=made["id"], rows=[row]) == 1
        assert http.get(f"/hog_flows/{made['id']}/logs/").json()["count"] == 1
        blocked = remote.world.add_blocked_runs(workflow_id=made["id"], n=2)
        run = {name: blocked[0][name] for name in ("event_uuid", "action_id", "instance_id")}
        remote.fail("POST", "*/replay_blocked_run/", cut="after")
        with pytest.raises(httpx.TransportError):
            http.post(f"/hog_flows/{made['id']}/replay_blocked_run/", json=run)
        assert [replay.instance_id for replay in remote.world.replays] == [run["instance_id"]]
        assert remote.world.batch_sends == []
        assert remote.count("POST", "*/replay_blocked_run/") == 1
        assert remote.requests[-1].status == 0
        remote.reset_counts()
        assert remote.requests == []
        assert (remote.project_id, remote.generation) == (1, "docs")


def test_faults_can_be_taken_back_remotely(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    with RemoteSandbox(sandbox.url) as remote:
        remote.fail(times=0, status=503)
        assert http.get("/hog_flows/").status_code == 503
        remote.clear_faults()
        assert http.get("/hog_flows/").status_code == 200


def test_controls_are_no_api_requests(docs: tuple[Sandbox, Http]) -> None:
    sandbox, _ = docs
    sandbox.fail(times=0, status=500)
    status = httpx.get(f"{sandbox.url}/_sandbox/")
    assert (status.status_code, status.json()["requests"]) == (200, 0)
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/world/drop_everything/", {}, 404),
        ("POST", "/world/add_workflow/", {"no_such": 1}, 400),
        ("POST", "/clock/", {"now": "2026-05-10T12:00:00"}, 400),
        ("POST", "/faults/", {"status": "x"}, 400),
        ("POST", "/settings/", {"no_such": 1}, 400),
        ("DELETE", "/clock/", None, 404),
    ],
)
def test_controls_that_make_no_sense_say_so(
    docs: tuple[Sandbox, Http], method: str, path: str, body: dict | None, status: int
) -> None:
    answer = httpx.request(method, f"{docs[0].url}/_sandbox{path}", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_lags_and_flags_are_settings(docs: tuple[Sandbox, Http]) -> None:
    sandbox, _ = docs
    answer = httpx.post(f"{sandbox.url}/_sandbox/settings/", json={"marker_lag": 60.0})
    assert answer.json()["marker_lag"] == sandbox.world.marker_lag == 60.0


def test_the_world_of_runs_is_steered_from_outside(start: Start) -> None:
    sandbox, http = start(generation="current", now=NOW)
    settings = f"{sandbox.url}/_sandbox/settings/"
    body = {"rerun_form": "before_85156", "merge": "now", "row_loss": 0.5, "stuck_repair": 60.0}
    answer = httpx.post(settings, json=body).json()
    assert {name: answer[name] for name in body} == body
    for wrong in ({"rerun_form": "x"}, {"merge": "often"}):
        assert httpx.post(settings, json=wrong).status_code == 400
    httpx.post(settings, json={"row_loss": 0.0})
    with RemoteSandbox(sandbox.url) as remote:
        made = remote.world.add_workflow(name="Remote")["id"]
        run = remote.world.start_run(workflow_id=made, ends="failed")["invocation_id"]
        remote.clock.advance(10)
        assert [one.invocation_id for one in remote.world.executions] == [run]
        assert remote.world.messages == []
        remote.fail_as("html_403", "POST", "*/rerun/", effect=True)
        answer = http.post(f"/hog_flows/{made}/rerun/", json={"filter": {}})
        assert (answer.status_code, answer.headers["content-type"][:9]) == (403, "text/html")
        remote.call("POST", "/missing/", {"names": ["rerun"]})
        assert remote.status["missing"] == ["rerun"]
        assert http.post(f"/hog_flows/{made}/rerun/").status_code == 404
