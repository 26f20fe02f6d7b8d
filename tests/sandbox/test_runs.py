"""Runs on newer servers: listed, counted, run again, cancelled, started by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.bodies import UNKNOWN, raised
from tests.sandbox.conftest import Http, Start

NOW = datetime(2026, 8, 20, 12, 0, tzinfo=UTC)
AT = datetime(2026, 8, 19, 10, 0, 0, 250000, tzinfo=UTC)
WINDOW = {"window_start": "2026-08-19T00:00:00Z", "window_end": "2026-08-20T00:00:00Z"}


@pytest.fixture
def place(start: Start) -> tuple[Sandbox, Http, str, str]:
    """(sandbox, client, workflow id, path of the workflow)."""
    sandbox, http = start(generation="current", now=NOW)
    workflow = sandbox.world.add_workflow()["id"]
    return sandbox, http, workflow, f"/hog_flows/{workflow}/"


Place = tuple[Sandbox, Http, str, str]


def failed(sandbox: Sandbox, workflow: str, count: int) -> list[str]:
    return [
        sandbox.world.add_run(workflow, "failed", AT + timedelta(minutes=n)).invocation_id
        for n in range(count)
    ]


def rerun(place: Place, **filters: object) -> dict:
    answer = place[1].post(f"{place[3]}rerun/", json={"filter": {**WINDOW, **filters}})
    assert answer.status_code == 200
    return answer.json()


def reran(sandbox: Sandbox) -> list[str]:
    return [replay.instance_id for replay in sandbox.world.replays]


def test_a_run_is_listed_with_texts_where_nothing_is_known(place: Place) -> None:
    sandbox, http, workflow, path = place
    run = sandbox.world.add_run(workflow, "succeeded", AT, distinct_id="user_1")
    assert http.get(path + "invocation_results/").json() == [
        {
            "invocation_id": run.invocation_id,
            "status": "succeeded",
            "error_kind": "",
            "error_message": "",
            "distinct_id": "user_1",
            "person_id": "",
            "scheduled_at": "2026-08-19T10:00:00.250000Z",
            "started_at": "2026-08-19T10:00:00.250000Z",
            "finished_at": "2026-08-19T10:00:02.250000Z",
            "duration_ms": 2000,
            "attempts": 0,
            "is_retry": False,
        }
    ]


def test_bounds_are_whole_seconds_and_inclusive(place: Place) -> None:
    sandbox, http, workflow, path = place
    for micros in (0, 250000):
        sandbox.world.add_run(workflow, scheduled_at=AT.replace(microsecond=micros))

    def count(after: str, before: str) -> int:
        window = {"after": after, "before": before}
        listed = http.get(path + "invocation_results/", params=window).json()
        counted = http.get(path + "invocation_results_count/", params=window).json()
        assert counted == {"count": len(listed)}
        return len(listed)

    assert count("2026-08-19T10:00:00Z", "2026-08-19T10:00:00Z") == 1
    assert count("2026-08-19T10:00:00.900Z", "2026-08-19T10:00:01Z") == 2
    assert count("2026-08-19T09:00:00Z", "2026-08-19T10:00:00.999Z") == 1


def test_the_list_is_cut_at_its_limit_and_the_count_is_not(place: Place) -> None:
    sandbox, http, workflow, path = place
    ids = failed(sandbox, workflow, 60)
    assert [r["invocation_id"] for r in http.get(path + "invocation_results/").json()] == ids[:9:-1]
    assert http.get(path + "invocation_results_count/").json() == {"count": 60}
    answer = http.get(path + "invocation_results/?limit=501")
    detail = "Ensure this value is less than or equal to 500."
    assert answer.json() == raised("validation_error", "max_value", detail, "limit")


def test_runs_filter_by_status_person_and_message(place: Place) -> None:
    sandbox, http, workflow, path = place
    sandbox.world.add_run(workflow, "failed", AT, error_message="SMTP timeout", distinct_id="a")
    sandbox.world.add_run(workflow, "running", AT, distinct_id="a")
    sandbox.world.add_run(workflow, "succeeded", AT, distinct_id="b")

    def count(**params: str) -> int:
        return len(http.get(path + "invocation_results/", params=params).json())

    assert count(status="failed,running") == 2
    assert count(distinct_id="a") == 2
    assert count(error_message_contains="smtp TIME") == 1
    assert count(status="bogus") == 0


def test_runs_older_than_thirty_days_are_gone(place: Place) -> None:
    sandbox, http, workflow, path = place
    for days in (29, 31):
        sandbox.world.add_run(workflow, scheduled_at=NOW - timedelta(days=days))
    assert len(http.get(path + "invocation_results/?after=-60d").json()) == 1


def test_one_run_comes_with_the_payload_it_started_from(place: Place) -> None:
    sandbox, http, workflow, path = place
    run = sandbox.world.add_run(workflow, scheduled_at=AT, globals={"event": {"event": "x"}})
    body = http.get(f"{path}invocation_results/{run.invocation_id}/").json()
    assert body["invocation_globals"] == {"event": {"event": "x"}}
    missing = http.get(f"{path}invocation_results/{UNKNOWN}/")
    assert missing.json() == raised("invalid_request", "not_found", "Invocation not found.")


def test_a_rerun_counts_nothing_at_first_and_shows_in_the_runs_later(place: Place) -> None:
    sandbox, http, workflow, path = place
    (run,) = failed(sandbox, workflow, 1)
    answer = rerun(place)
    assert answer == {
        "rerun_job_id": answer["rerun_job_id"],
        "queued_count": 0,
        "skipped_count": 0,
    }
    one = f"{path}invocation_results/{run}/"
    assert http.get(one).json()["status"] == "failed"
    assert reran(sandbox) == []
    sandbox.clock.advance(2.5)
    assert http.get(one).json()["status"] == "running"
    sandbox.clock.advance(3)
    body = http.get(one).json()
    assert (body["status"], body["attempts"], body["is_retry"]) == ("succeeded", 1, True)
    assert reran(sandbox) == [run]
    job = answer["rerun_job_id"]
    logs = http.get(path + "logs/", params={"instance_id": job}).json()["results"]
    assert [row["message"] for row in logs] == ["Re-run finished. queued=1 skipped=0"]
    listed = http.get(path + "invocation_results/").json()
    assert [row["invocation_id"] for row in listed] == [run]


def test_two_jobs_for_the_same_runs_do_not_clobber_what_is_in_flight(place: Place) -> None:
    sandbox, _, workflow, _ = place
    ids = failed(sandbox, workflow, 3)
    jobs = {rerun(place)["rerun_job_id"] for _ in range(2)}
    assert len(jobs) == 2
    sandbox.clock.advance(60)
    assert sorted(reran(sandbox)) == sorted(ids)


def test_a_run_that_succeeded_is_run_again_when_asked_for_by_status(place: Place) -> None:
    sandbox, _, workflow, _ = place
    run = sandbox.world.add_run(workflow, "succeeded", AT).invocation_id
    rerun(place)
    rerun(place, status=["succeeded"], invocation_ids=[run])
    sandbox.clock.advance(60)
    assert reran(sandbox) == [run]


def test_a_rerun_takes_only_what_its_filter_names(place: Place) -> None:
    sandbox, _, workflow, _ = place
    add = sandbox.world.add_run
    first = add(workflow, "failed", AT).invocation_id
    minute = timedelta(minutes=1)
    second = add(workflow, "failed", AT + minute, error_message="Timeout").invocation_id
    add(workflow, "failed", AT + 2 * minute, attempts=5)
    other = sandbox.world.add_run(workflow, "failed", AT - timedelta(days=1)).invocation_id
    rerun(place, invocation_ids=[first, other])
    rerun(place, error_message_contains="Timeout")
    rerun(place, max_attempts=5, error_kind=["http_5xx"], window_start="2026-08-19T10:01:30Z")
    sandbox.clock.advance(60)
    assert reran(sandbox) == [first, second]


def test_runs_already_repaired_use_up_a_later_jobs_count(place: Place) -> None:
    sandbox, _, workflow, _ = place
    ids = failed(sandbox, workflow, 4)
    for _ in range(2):
        rerun(place, max_count=2)
        sandbox.clock.advance(60)
    assert reran(sandbox) == [ids[3], ids[2]]


def test_a_rerun_can_fail_again(place: Place) -> None:
    sandbox, http, workflow, path = place
    run = sandbox.world.add_run(workflow, "failed", AT, retry_status="failed").invocation_id
    for _ in range(2):
        rerun(place)
        sandbox.clock.advance(60)
        body = http.get(f"{path}invocation_results/{run}/").json()
        # The attempts come from the window, which shows the run as it was: they repeat.
        assert (body["status"], body["attempts"]) == ("failed", 1)
    assert [e.number for e in sandbox.world.executions if e.invocation_id == run] == [1, 2, 3]


@pytest.mark.parametrize(
    ("body", "code", "detail", "attr"),
    [
        ({}, "required", "This field is required.", "filter"),
        ({"filter": {}}, "required", "This field is required.", "filter__window_start"),
        (
            {"filter": {**WINDOW, "window_end": WINDOW["window_start"]}},
            "invalid_input",
            "'window_end' must be after 'window_start'.",
            "filter__non_field_errors",
        ),
        (
            {"filter": {**WINDOW, "window_start": "2026-07-01T00:00:00Z"}},
            "invalid_input",
            "Rerun window cannot exceed 30 days (ClickHouse TTL on hog_invocation_results).",
            "filter__non_field_errors",
        ),
        (
            {"filter": {**WINDOW, "status": ["lost"]}},
            "invalid_choice",
            '"lost" is not a valid choice.',
            "filter__status__0",
        ),
        (
            {"filter": {**WINDOW, "max_count": 10001}},
            "max_value",
            "Ensure this value is less than or equal to 10000.",
            "filter__max_count",
        ),
        (
            {"filter": {**WINDOW, "max_attempts": True}},
            "invalid_input",
            "A valid integer is required.",
            "filter__max_attempts",
        ),
        (
            {"filter": {**WINDOW, "invocation_ids": [["a"]]}},
            "invalid_input",
            "Not a valid string.",
            "filter__invocation_ids__0",
        ),
    ],
)
def test_bad_reruns_are_refused(
    place: Place, body: dict, code: str, detail: str, attr: str
) -> None:
    answer = place[1].post(f"{place[3]}rerun/", json=body)
    assert (answer.status_code, answer.json()) == (
        400,
        raised("validation_error", code, detail, attr),
    )


def test_runs_in_flight_are_cancelled_in_portions(place: Place) -> None:
    sandbox, http, workflow, path = place
    runs = [sandbox.world.add_run(workflow, "running", AT).invocation_id for _ in range(3)]
    done = sandbox.world.add_run(workflow, "succeeded", AT).invocation_id
    sandbox.world.cancel_chunk = 2
    cancel = path + "invocations/cancel/"
    first = http.post(cancel, json={"all": True}).json()
    assert first == {"marked": 2, "remaining": 1, "done": False}
    second = http.post(cancel, json={"invocation_ids": [*runs, done]}).json()
    assert second == {"marked": 1, "remaining": 0, "done": True}
    sandbox.clock.advance(2)
    rows = http.get(path + "invocation_results/").json()
    states = {row["invocation_id"]: row["status"] for row in rows}
    assert [states[run] for run in runs] == ["canceled"] * 3
    assert states[done] == "succeeded"


def test_a_cancel_names_ids_or_all(place: Place) -> None:
    for body in ({}, {"all": True, "invocation_ids": []}):
        answer = place[1].post(f"{place[3]}invocations/cancel/", json=body)
        detail = "Provide exactly one of 'invocation_ids' or 'all'."
        assert answer.json() == raised("validation_error", "invalid_input", detail)


def test_run_now_is_the_one_start_that_a_key_makes_repeatable(
    current: tuple[Sandbox, Http],
) -> None:
    sandbox, http = current
    workflow = sandbox.world.add_workflow(trigger="schedule")["id"]
    path = f"/hog_flows/{workflow}/run/"
    keyed = [http.post(path, json={}, headers={"Idempotency-Key": "k1"}).json() for _ in range(2)]
    assert keyed[0] == keyed[1]
    assert keyed[0]["status"] == "queued"
    free = [http.post(path, json={}).json()["invocation_id"] for _ in range(2)]
    assert len({keyed[0]["invocation_id"], *free}) == 3
    event = sandbox.world.add_workflow()["id"]
    refused = http.post(f"/hog_flows/{event}/run/", json={}).json()["detail"]
    assert refused.startswith("Only workflows with a 'schedule' trigger")


def test_a_run_that_was_not_answered_in_time_keeps_its_key(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    path = f"/hog_flows/{sandbox.world.add_workflow(trigger='schedule')['id']}/run/"
    sandbox.world.worker_slow = True
    first = http.post(path, json={}, headers={"Idempotency-Key": "k1"})
    assert (first.status_code, list(first.json())) == (504, ["detail"])
    sandbox.world.worker_slow = False
    again = http.post(path, json={}, headers={"Idempotency-Key": "k1"})
    detail = "A run with this Idempotency-Key is already in progress."
    assert (again.status_code, again.json()) == (409, {"detail": detail})
    assert len(sandbox.world.runs) == 1
    sandbox.clock.advance(25 * 3600)
    assert http.post(path, json={}, headers={"Idempotency-Key": "k1"}).status_code == 200


def test_older_servers_have_none_of_this(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    workflow = sandbox.world.add_workflow()["id"]
    for method, path in (
        ("GET", "invocation_results/"),
        ("GET", "invocation_results_count/"),
        ("POST", "rerun/"),
        ("POST", "invocations/cancel/"),
        ("POST", "run/"),
        ("GET", "revisions/"),
    ):
        answer = http.request(method, f"/hog_flows/{workflow}/{path}")
        assert (answer.status_code, answer.json()["detail"]) == (404, "Endpoint not found.")
