"""What leaves when a run goes through its steps, what is written of it, what a rerun repeats."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.world import step
from tests.sandbox.conftest import Http, Start

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
T0 = NOW - timedelta(days=3)
MAIL = {
    "from": {"name": "The team", "email": "team@example.com"},
    "to": "{person.properties.email}",
    "subject": "Hi",
}
ADDRESS = "ada@example.com"


def mail(id: str, **fields: Any) -> dict[str, Any]:
    inputs = {"email": {"value": {**MAIL, **fields}}}
    return step(id, "function_email", {"template_id": "template-email", "inputs": inputs})


def hook(id: str) -> dict[str, Any]:
    inputs = {"url": {"value": "https://example.com/in"}}
    return step(id, "function", {"template_id": "template-webhook", "inputs": inputs})


class Place:
    """A workflow of two e-mails and a webhook, and one person."""

    def __init__(self, sandbox: Sandbox, http: Http) -> None:
        self.sandbox, self.http, self.world = sandbox, http, sandbox.world
        sandbox.clock.freeze(NOW)
        self.person = self.world.add_person("ada", email=ADDRESS)
        steps = [mail("first"), hook("call"), mail("last", subject="Bye")]
        self.workflow = self.world.add_workflow("Welcome", actions=steps)["id"]
        self.path = f"/hog_flows/{self.workflow}/"

    def run(self, status: str = "failed", at: datetime = T0, **fields: Any) -> str:
        who = {"distinct_id": "ada", "person_id": self.person.id}
        return self.world.add_run(self.workflow, status, at, **{**who, **fields}).invocation_id

    def rerun(self, **filters: Any) -> None:
        window = {"window_start": T0.isoformat(), "window_end": NOW.isoformat()}
        body = {"filter": {**window, **filters}}
        assert self.http.post(self.path + "rerun/", json=body).status_code == 200
        self.sandbox.clock.advance(60)

    def sent(self) -> list[tuple[str, str, int]]:
        return [(one.action_id, one.recipient, one.execution) for one in self.world.messages]

    def assets(self, **params: str) -> list[dict[str, Any]]:
        return self.http.get(self.path + "assets/", params=params).json()

    def messages_of_log(self, **params: str) -> list[str]:
        rows = self.http.get(self.path + "logs/?limit=500", params=params).json()["results"]
        return [row["message"] for row in rows[::-1]]


@pytest.fixture
def place(start: Start) -> Place:
    return Place(*start(generation="current", now=NOW))


HOOK = "https://example.com/in"


def test_a_run_sends_at_each_sending_step_and_says_so(place: Place) -> None:
    run = place.world.start_run(place.workflow, distinct_id="ada").invocation_id
    place.sandbox.clock.advance(10)
    assert place.sent() == [("first", ADDRESS, 1), ("call", HOOK, 1), ("last", ADDRESS, 1)]
    lines = place.messages_of_log(instance_id=run)
    words = f"Email sent to {ADDRESS} from The team team@example.com [Email:{run}:first]"
    assert lines[0] == "Starting workflow execution at trigger"
    assert words in lines
    assert lines.index("Executing action [Action:first]") < lines.index(words)
    assert lines[-1] == "Workflow completed"


def test_a_run_that_fails_does_so_at_a_step_after_those_before_it_sent(place: Place) -> None:
    run = place.world.start_run(
        place.workflow, distinct_id="ada", ends="failed", fails_at="call"
    ).invocation_id
    place.sandbox.clock.advance(10)
    assert place.sent() == [("first", ADDRESS, 1)]
    body = place.http.get(f"{place.path}invocation_results/{run}/").json()
    assert body["status"] == "failed"
    assert body["error_message"].startswith("[Action:call] Errored: ")
    assert body["invocation_globals"]["currentAction"]["id"] == "call"
    assert [row["action_id"] for row in place.assets(invocation_id=run)] == ["first"]


def test_history_counts_what_left_before_the_step_it_stopped_at(place: Place) -> None:
    run = place.run(fails_at="last")
    assert [sent[0] for sent in place.sent()] == ["first", "call"]
    assert [row["action_id"] for row in place.assets()] == ["first"]
    found = place.messages_of_log(search="Email sent to")
    assert found == [f"Email sent to {ADDRESS} from The team team@example.com [Email:{run}:first]"]


def test_a_rerun_resumes_at_the_failed_step_or_restarts_at_the_trigger(start: Start) -> None:
    for resumes, again in ((True, ["last"]), (False, ["first", "call", "last"])):
        place = Place(*start(generation="current", now=NOW))
        place.world.rerun_resumes = resumes
        place.run(fails_at="last")
        place.rerun()
        assert [sent[0] for sent in place.sent() if sent[2] == 2] == again


def test_without_a_step_in_the_stored_state_a_rerun_restarts_at_the_trigger(place: Place) -> None:
    place.world.stored_action = False
    run = place.run(fails_at="last")
    body = place.http.get(f"{place.path}invocation_results/{run}/").json()
    assert "currentAction" not in body["invocation_globals"]
    place.rerun()
    assert [sent[0] for sent in place.sent() if sent[2] == 2] == ["first", "call", "last"]


def test_servers_of_mid_2026_restart_at_the_trigger_and_repair_twice(start: Start) -> None:
    place = Place(*start(generation="mid2026", now=NOW))
    place.run(fails_at="last")
    for _ in range(2):
        place.rerun()
    assert [one.cause for one in place.world.executions] == ["first", "rerun", "rerun"]
    assert [sent[0] for sent in place.sent() if sent[2] == 3] == ["first", "call", "last"]


def test_a_workflow_that_is_not_active_sends_nothing_again(place: Place) -> None:
    run = place.run(fails_at="last")
    place.http.patch(place.path, json={"status": "draft"})
    before = place.sent()
    place.rerun()
    assert place.sent() == before
    body = place.http.get(f"{place.path}invocation_results/{run}/").json()
    assert (body["status"], body["error_kind"]) == ("failed", "function_disabled")


def test_two_sends_of_one_step_in_one_run_are_one_row_with_the_newest_time(place: Place) -> None:
    place.world.merge, place.world.rerun_resumes = "never", False
    run = place.run(fails_at="last")
    place.rerun()
    rows = place.assets(invocation_id=run)
    assert sorted(row["action_id"] for row in rows) == ["first", "last"]
    assert {row["sent_at"][:10] for row in rows} == {"2026-11-28"}
    (older,) = place.assets(before=(T0 + timedelta(hours=1)).isoformat())
    assert older["sent_at"][:10] == "2026-11-25"


def test_a_sent_message_has_the_columns_of_the_newest_builds(place: Place) -> None:
    run = place.run(fails_at="call")
    (row,) = place.assets()
    assert row == {
        "invocation_id": run,
        "action_id": "first",
        "function_id": place.workflow,
        "function_name": "Welcome",
        "parent_run_id": "",
        "kind": "email",
        "distinct_id": "ada",
        "person_id": place.person.id,
        "recipient": ADDRESS,
        "subject": "Hi",
        "status": "sent",
        "sent_at": row["sent_at"],
    }
    content = place.http.get(
        place.path + "assets/content/", params={"invocation_id": run, "action_id": "first"}
    )
    assert content.headers["content-type"].startswith("text/html")


def test_sent_messages_filter_page_and_search(place: Place) -> None:
    runs = [place.run("succeeded", T0 + timedelta(hours=n)) for n in range(3)]
    assert len(place.assets()) == 6
    assert [row["action_id"] for row in place.assets(action_id="last")] == ["last"] * 3
    assert len(place.assets(search="BYE")) == 3
    assert len(place.assets(search="ada@")) == 6
    assert [r["invocation_id"] for r in place.assets(invocation_id=runs[0])] == [runs[0]] * 2
    assert len(place.assets(**{"parent_run_id": ""})) == 6
    assert place.assets(parent_run_id="x") == []
    assert place.assets(limit="2", offset="2") == place.assets()[2:4]
    for limit, code in (("0", "min_value"), ("501", "max_value")):
        answer = place.http.get(place.path + "assets/", params={"limit": limit})
        assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_sent_messages_come_late_or_never_and_the_line_then_has_no_bracket(place: Place) -> None:
    place.world.asset_lag = 120.0
    run = place.world.start_run(place.workflow, distinct_id="ada").invocation_id
    place.sandbox.clock.advance(10)
    assert place.assets() == []
    place.sandbox.clock.advance(120)
    assert len(place.assets()) == 2
    place.world.assets_captured = False
    other = place.world.start_run(place.workflow, distinct_id="ada").invocation_id
    place.sandbox.clock.advance(600)
    assert {row["invocation_id"] for row in place.assets()} == {run}
    assert f"Email sent to {ADDRESS} from The team team@example.com" in place.messages_of_log(
        instance_id=other
    )


def test_a_batch_run_is_logged_under_its_job_and_its_mail_names_it(start: Start) -> None:
    sandbox, http = start(generation="current", now=NOW)
    sandbox.world.add_person("ada", email=ADDRESS)
    workflow = sandbox.world.add_workflow("News", "batch", [mail("news")])["id"]
    job = http.post(f"/hog_flows/{workflow}/batch_jobs/", json={}).json()["id"]
    assert sandbox.world.messages == []
    sandbox.clock.advance(60)
    assert [one.recipient for one in sandbox.world.messages] == [ADDRESS]
    rows = http.get(f"/hog_flows/{workflow}/assets/", params={"parent_run_id": job}).json()
    assert [row["recipient"] for row in rows] == [ADDRESS]
    assert http.get(f"/hog_flows/{workflow}/assets/?parent_run_id=").json() == []
    assert http.get(f"/hog_flows/{workflow}/logs/").json()["count"] == 0
    assert len(sandbox.world.logs.rows(job)) > 2


def test_a_replay_is_an_execution_that_sends_from_its_step_on(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    workflow = sandbox.world.add_workflow(actions=[mail("first"), mail("last")])["id"]
    (run,) = sandbox.world.add_blocked_runs(workflow, 1, action_id="action_wait_until_condition_1")
    names = ("event_uuid", "action_id", "instance_id")
    http.post(
        f"/hog_flows/{workflow}/replay_blocked_run/", json={name: run[name] for name in names}
    )
    (execution,) = sandbox.world.executions
    assert (execution.cause, execution.invocation_id) == ("replay", run["instance_id"])
    assert [one.action_id for one in sandbox.world.messages] == ["first", "last"]


def test_a_hog_function_has_one_step_and_a_rerun_repeats_it(start: Start) -> None:
    sandbox, http = start(generation="current", now=NOW, function_results=True)
    function = sandbox.world.add_hog_function()["id"]
    run = sandbox.world.add_function_run(function, "failed", T0).invocation_id
    window = {"window_start": T0.isoformat(), "window_end": NOW.isoformat()}
    path = f"/hog_functions/{function}/"
    job = http.post(path + "rerun/", json={"filter": window}).json()["rerun_job_id"]
    sandbox.clock.advance(60)
    assert [one.cause for one in sandbox.world.executions] == ["first", "rerun"]
    assert [one.execution for one in sandbox.world.messages] == [2]
    lines = http.get(path + "logs/", params={"instance_id": job}).json()["results"]
    assert lines[0]["message"] == "Re-run finished. queued=1 skipped=0"
    own = http.get(path + "logs/", params={"instance_id": run}).json()["results"]
    assert [(row["level"], row["message"]) for row in own] == [
        ("DEBUG", f"Re-queued by re-run job {job}.")
    ]
    body = http.get(f"{path}invocation_results/{run}/").json()
    assert (body["status"], body["attempts"]) == ("succeeded", 1)
    listed = http.get(path + "invocation_results/").json()
    assert [row["invocation_id"] for row in listed] == [run]


def test_runs_of_hog_functions_are_listed_by_hogql_alone_unless_asked_for(start: Start) -> None:
    sandbox, http = start(generation="current", now=NOW)
    function = sandbox.world.add_hog_function()["id"]
    answer = http.get(f"/hog_functions/{function}/invocation_results/")
    assert (answer.status_code, answer.json()["detail"]) == (404, "Endpoint not found.")


def test_a_disabled_function_is_not_run_again(start: Start) -> None:
    sandbox, http = start(generation="current", now=NOW)
    function = sandbox.world.add_hog_function(enabled=False)["id"]
    window = {"window_start": T0.isoformat(), "window_end": NOW.isoformat()}
    answer = http.post(f"/hog_functions/{function}/rerun/", json={"filter": window})
    detail = "This function is disabled. Enable it to re-run invocations."
    assert (answer.status_code, answer.json()["detail"]) == (400, detail)
