"""Batch jobs and blast radius: each POST is a mass send."""

import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.bodies import UNKNOWN, raised
from tests.sandbox.conftest import Http, Start

PRO = {"properties": [{"key": "plan", "type": "person", "value": ["pro"], "operator": "exact"}]}


def batch_workflow(sandbox: Sandbox, status: str = "active") -> str:
    for number in range(10):
        sandbox.world.add_person(plan="pro" if number < 4 else "free", age=number)
    return sandbox.world.add_workflow(
        "Broadcast", {"type": "batch", "filters": PRO}, status=status
    )["id"]


@pytest.mark.parametrize("generation", ["docs", "current"])
def test_every_post_sends_again_to_the_whole_audience(start: Start, generation: str) -> None:
    sandbox, http = start(generation=generation)
    workflow = batch_workflow(sandbox)
    path = f"/hog_flows/{workflow}/batch_jobs/"
    made = [http.post(path, json={"variables": {"coupon": "X"}}) for _ in range(2)]
    assert [answer.status_code for answer in made] == [200, 200]
    body = made[0].json()
    assert list(body) == [
        "id",
        "status",
        "hog_flow",
        "filters",
        "variables",
        "created_at",
        "created_by",
        "updated_at",
    ]
    assert (body["status"], body["hog_flow"], body["variables"]) == (
        "queued",
        workflow,
        {"coupon": "X"},
    )
    sends = sandbox.world.batch_sends
    assert [len(send.audience) for send in sends] == [4, 4]
    listed = http.get(path).json()
    assert [job["id"] for job in listed] == [made[1].json()["id"], body["id"]]


def test_the_callers_filters_change_the_record_on_older_servers_and_never_the_audience(
    start: Start,
) -> None:
    everyone = {"properties": []}
    for generation, recorded in (("docs", everyone), ("current", PRO)):
        sandbox, http = start(generation=generation)
        workflow = batch_workflow(sandbox)
        job = http.post(f"/hog_flows/{workflow}/batch_jobs/", json={"filters": everyone}).json()
        assert job["filters"] == recorded
        assert len(sandbox.world.batch_sends[0].audience) == 4


def test_the_status_moves_on_newer_servers_only(start: Start) -> None:
    seen = {}
    for generation in ("docs", "current"):
        sandbox, http = start(generation=generation)
        path = f"/hog_flows/{batch_workflow(sandbox)}/batch_jobs/"
        http.post(path, json={})
        seen[generation] = []
        for wait in (0, 10, 60):
            sandbox.clock.advance(wait)
            seen[generation].append(http.get(path).json()[0]["status"])
    assert seen == {
        "docs": ["queued", "queued", "queued"],
        "current": ["queued", "active", "completed"],
    }


def test_older_servers_accept_a_batch_that_nobody_will_run(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    draft = batch_workflow(sandbox, "draft")
    event = sandbox.world.add_workflow()["id"]
    assert http.post(f"/hog_flows/{event}/batch_jobs/", json={}).json()["status"] == "queued"
    assert sandbox.world.batch_sends == []
    assert http.post(f"/hog_flows/{draft}/batch_jobs/", json={}).status_code == 200


def test_newer_servers_want_the_workflow_active(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    draft = batch_workflow(sandbox, "draft")
    answer = http.post(f"/hog_flows/{draft}/batch_jobs/", json={})
    detail = "Workflow must be active to run a batch. Enable it first."
    assert answer.status_code == 400
    assert answer.json() == raised("validation_error", "invalid_input", detail)


def test_a_bad_status_is_a_raw_field_error(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    workflow = batch_workflow(sandbox)
    answer = http.post(f"/hog_flows/{workflow}/batch_jobs/", json={"status": "bogus"})
    assert (answer.status_code, answer.json()) == (
        400,
        {"status": ['"bogus" is not a valid choice.']},
    )
    assert sandbox.world.batch_sends == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_workflow_has_a_detail_of_its_own(
    docs: tuple[Sandbox, Http], method: str
) -> None:
    answer = docs[1].request(method, f"/hog_flows/{UNKNOWN}/batch_jobs/")
    detail = f"Workflow {UNKNOWN} not found"
    assert (answer.status_code, answer.json()) == (
        404,
        raised("invalid_request", "not_found", detail),
    )


def test_runs_of_a_batch_are_logged_and_counted_under_the_job(
    docs: tuple[Sandbox, Http],
) -> None:
    sandbox, http = docs
    workflow = batch_workflow(sandbox)
    job = http.post(f"/hog_flows/{workflow}/batch_jobs/", json={}).json()["id"]
    assert http.get(f"/hog_flows/{workflow}/logs/").json()["count"] == 0
    assert http.get(f"/hog_flows/{workflow}/metrics/totals/").json() == {"totals": {}}
    assert len(sandbox.world.logs.rows(job)) == 4


def test_cancelling_marks_what_is_in_flight_and_twice_is_harmless(
    current: tuple[Sandbox, Http],
) -> None:
    sandbox, http = current
    workflow = batch_workflow(sandbox)
    job = http.post(f"/hog_flows/{workflow}/batch_jobs/", json={}).json()["id"]
    path = f"/hog_flows/{workflow}/batch_jobs/{job}/cancel/"
    first = http.post(path).json()
    assert first == {"status": "cancelled", "marked": 4, "remaining": 0, "done": True}
    again = http.post(path).json()
    assert again == {"status": "cancelled", "marked": 0, "remaining": 0, "done": True}
    for unknown in (UNKNOWN, "x"):
        answer = http.post(f"/hog_flows/{workflow}/batch_jobs/{unknown}/cancel/")
        assert answer.json() == raised("invalid_request", "not_found", "Batch job not found")


def test_cancelling_a_large_job_takes_several_calls(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    sandbox.world.cancel_chunk = 3
    workflow = batch_workflow(sandbox)
    job = http.post(f"/hog_flows/{workflow}/batch_jobs/", json={}).json()["id"]
    path = f"/hog_flows/{workflow}/batch_jobs/{job}/cancel/"
    assert http.post(path).json() == {
        "status": "queued",
        "marked": 3,
        "remaining": 1,
        "done": False,
    }
    assert http.post(path).json() == {
        "status": "cancelled",
        "marked": 1,
        "remaining": 0,
        "done": True,
    }


def test_a_blast_radius_counts_people_and_newer_servers_sign_it(start: Start) -> None:
    for generation, fields in (
        ("docs", ["affected", "total"]),
        ("current", ["affected", "total", "limit", "dedupe_key", "confirm_token"]),
    ):
        sandbox, http = start(generation=generation)
        batch_workflow(sandbox)
        body = http.post("/hog_flows/user_blast_radius/", json={"filters": PRO}).json()
        assert list(body) == fields
        assert (body["affected"], body["total"]) == (4, 10)
    token = "1:None:None:f215cc35695185cd4b81257e61093130:"
    everyone = http.post("/hog_flows/user_blast_radius/", json={"filters": {"properties": []}})
    assert everyone.json()["confirm_token"].startswith(token)


def test_a_blast_radius_over_flags_is_refused(current: tuple[Sandbox, Http]) -> None:
    flag = {"key": "1", "type": "flag", "value": True, "operator": "flag_evaluates_to"}
    answer = current[1].post(
        "/hog_flows/user_blast_radius/", json={"filters": {"properties": [flag]}}
    )
    detail = (
        "Feature flags can't be used as a batch audience condition. "
        "Use person properties or cohorts instead."
    )
    assert (answer.status_code, answer.json()) == (
        400,
        raised("validation_error", "invalid_input", detail),
    )


def test_only_agents_must_show_a_fresh_token_for_the_stored_audience(
    current: tuple[Sandbox, Http],
) -> None:
    sandbox, http = current
    workflow = batch_workflow(sandbox)
    path, agent = f"/hog_flows/{workflow}/batch_jobs/", {"X-PostHog-Client": "mcp"}

    def token(filters: dict) -> str:
        answer = http.post("/hog_flows/user_blast_radius/", json={"filters": filters})
        return answer.json()["confirm_token"]

    def send(**body: str) -> str:
        answer = http.post(path, json=body, headers=agent)
        return answer.json().get("detail", "sent").split(" ")[0].rstrip(":-")

    assert send() == "Required"
    assert send(confirm_token="made:up") == "Invalid"
    assert send(confirm_token=token({"properties": []})) == "The"
    good = token(PRO)
    assert send(confirm_token=good) == "sent"
    sandbox.clock.advance(16 * 60)
    assert send(confirm_token=good) == "Expired"
    assert len(sandbox.world.batch_sends) == 1


@pytest.mark.parametrize(
    ("operator", "value", "count"),
    [
        ("is_not", ["pro"], 6),
        ("icontains", "RO", 4),
        ("is_set", None, 10),
        ("is_not_set", None, 0),
    ],
)
def test_audiences_follow_property_operators(
    docs: tuple[Sandbox, Http], operator: str, value: object, count: int
) -> None:
    sandbox, http = docs
    batch_workflow(sandbox)
    item = {"key": "plan", "type": "person", "value": value, "operator": operator}
    body = http.post("/hog_flows/user_blast_radius/", json={"filters": {"properties": [item]}})
    assert body.json()["affected"] == count


def test_variables_are_listed_as_jsonb_keeps_them(start: Start) -> None:
    sandbox, http = start(generation="current")
    path = f"/hog_flows/{batch_workflow(sandbox)}/batch_jobs/"
    given = {"large": 1e16, "zero": -0.0, "a": 1.5, "deep": [{"n": 2e0}], "text": "1e16"}
    made = http.post(path, json={"variables": given}).json()
    assert made["variables"] == given
    (listed,) = http.get(path).json()
    assert str(listed["variables"]) == str(
        {"a": 1.5, "deep": [{"n": 2.0}], "text": "1e16", "zero": 0.0, "large": 10**16}
    )
    sandbox.world.variables_as_text = True
    assert http.get(path).json()[0]["variables"]["large"] == "10000000000000000"


def test_defaults_can_be_merged_into_listed_variables(start: Start) -> None:
    sandbox, http = start(generation="current")
    sandbox.world.variables_merged = True
    variables = [{"key": "issue", "type": "string", "default": "none"}]
    workflow = sandbox.world.add_workflow(trigger="batch", variables=variables)["id"]
    path = f"/hog_flows/{workflow}/batch_jobs/"
    http.post(path, json={"variables": {"x": 1}})
    assert http.get(path).json()[0]["variables"] == {"issue": "none", "x": 1}


def test_batch_jobs_can_come_in_pages_oldest_first(start: Start) -> None:
    sandbox, http = start(generation="current")
    sandbox.world.batch_jobs_page = 100
    workflow = batch_workflow(sandbox)
    jobs = [sandbox.world.add_batch_job(workflow).id for _ in range(150)]
    path = f"/hog_flows/{workflow}/batch_jobs/"
    first = http.get(path).json()
    assert (first["count"], len(first["results"])) == (150, 100)
    second = http.get(first["next"]).json()
    assert second["next"] is None
    assert [job["id"] for job in [*first["results"], *second["results"]]] == jobs


def test_jobs_have_odd_times_and_makers_where_a_server_writes_them(start: Start) -> None:
    sandbox, http = start(generation="current")
    workflow = batch_workflow(sandbox)
    path = f"/hog_flows/{workflow}/batch_jobs/"
    sandbox.world.add_batch_job(workflow, created_by=sandbox.world.colleague)
    assert http.get(path).json()[0]["created_by"]["email"] == "colleague@example.com"
    shown = []
    for how in ("missing", "null", "yesterday", None):
        sandbox.world.created_at = how
        shown.append(http.get(path).json()[0].get("created_at", "absent"))
    assert shown[:3] == ["absent", None, "yesterday"]
    assert shown[3].endswith("Z")


def test_a_job_that_a_schedule_made_has_no_maker(start: Start) -> None:
    sandbox, http = start(generation="current")
    workflow = batch_workflow(sandbox)
    sandbox.world.add_schedule(workflow, "FREQ=DAILY;INTERVAL=1")
    sandbox.clock.advance(2 * 86400)
    jobs = http.get(f"/hog_flows/{workflow}/batch_jobs/").json()
    assert jobs
    assert {job["created_by"] for job in jobs} == {None}
