"""Schedules: their checks, and that they fire as the clock moves."""

from datetime import UTC, datetime

import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.bodies import UNKNOWN, raised
from tests.sandbox.conftest import Http, Start

NOW = datetime(2026, 3, 27, 12, 0, tzinfo=UTC)
WEEKLY = {
    "rrule": "FREQ=WEEKLY;INTERVAL=1;BYDAY=MO",
    "starts_at": "2026-03-23T08:00:00Z",
    "timezone": "Europe/Zurich",
    "variables": {"coupon": "WEEK"},
}


@pytest.fixture
def place(start: Start) -> tuple[Sandbox, Http, str, str]:
    """(sandbox, client, id of a batch workflow, path of its schedules)."""
    sandbox, http = start(now=NOW)
    workflow = sandbox.world.add_workflow("Broadcast", "batch")["id"]
    return sandbox, http, workflow, f"/hog_flows/{workflow}/schedules/"


Place = tuple[Sandbox, Http, str, str]


def test_a_schedule_is_made_with_201_and_listed_in_a_bare_array(place: Place) -> None:
    _, http, _, path = place
    made = http.post(path, json=WEEKLY)
    assert made.status_code == 201
    body = made.json()
    assert {**body, "id": "", "created_at": "", "updated_at": ""} == {
        "id": "",
        **WEEKLY,
        "status": "active",
        "next_run_at": None,
        "created_at": "",
        "updated_at": "",
    }
    assert [row["id"] for row in http.get(path).json()] == [body["id"]]


@pytest.mark.parametrize(
    ("body", "code", "detail", "attr"),
    [
        ({}, "required", "This field is required.", "rrule"),
        ({"rrule": "FREQ=DAILY"}, "required", "This field is required.", "starts_at"),
        ({**WEEKLY, "rrule": "FREQ=SOMETIMES"}, "invalid_input", "Invalid RRULE.", "rrule"),
        (
            {**WEEKLY, "rrule": "DTSTART:20200101T000000Z\nRRULE:FREQ=DAILY"},
            "invalid_input",
            "Invalid RRULE.",
            "rrule",
        ),
        (
            {"rrule": "FREQ=DAILY;COUNT=1", "starts_at": "2020-11-23T09:00:00Z"},
            "invalid_input",
            "Schedule produces no future occurrences.",
            "rrule",
        ),
        (
            {**WEEKLY, "rrule": "FREQ=MINUTELY;INTERVAL=30"},
            "invalid_input",
            "Schedules must run at most once per hour.",
            "rrule",
        ),
        (
            {**WEEKLY, "timezone": "Mars/Base"},
            "invalid_input",
            "Invalid or unknown timezone.",
            "timezone",
        ),
    ],
)
def test_bad_schedules_are_refused(
    place: Place, body: dict, code: str, detail: str, attr: str
) -> None:
    answer = place[1].post(place[3], json=body)
    assert (answer.status_code, answer.json()) == (
        400,
        raised("validation_error", code, detail, attr),
    )


def test_status_is_read_only_and_a_new_rule_is_computed_anew(place: Place) -> None:
    sandbox, http, _, path = place
    made = http.post(path, json=WEEKLY).json()
    one = f"{path}{made['id']}/"
    assert http.patch(one, json={"status": "paused"}).json()["status"] == "active"
    assert http.get(path).json()[0]["next_run_at"] is None
    sandbox.clock.advance(61)
    assert http.get(path).json()[0]["next_run_at"] == "2026-03-30T07:00:00Z"
    changed = http.patch(one, json={"rrule": "FREQ=DAILY;INTERVAL=2"}).json()
    assert (changed["rrule"], changed["next_run_at"]) == ("FREQ=DAILY;INTERVAL=2", None)
    gone = http.delete(one)
    assert (gone.status_code, gone.headers["allow"]) == (204, "PATCH, DELETE, OPTIONS")
    assert http.get(path).json() == []


def test_unknown_schedules_are_404_and_misspelt_ones_break_the_server(place: Place) -> None:
    _, http, _, path = place
    unknown = http.patch(f"{path}{UNKNOWN}/", json={})
    assert unknown.json() == raised("invalid_request", "not_found", "Schedule not found")
    broken = http.delete(f"{path}x/")
    assert broken.status_code == 500
    assert broken.json() == raised("server_error", "error", "A server error occurred.")


def test_a_schedule_fires_at_its_local_time_across_the_change_of_clocks(place: Place) -> None:
    sandbox, http, workflow, path = place
    sandbox.world.add_person()
    http.post(path, json={**WEEKLY, "rrule": "FREQ=DAILY", "starts_at": "2026-03-27T08:00:00Z"})
    sandbox.clock.set(datetime(2026, 3, 30, 12, 0, tzinfo=UTC))
    jobs = http.get(f"/hog_flows/{workflow}/batch_jobs/").json()
    times = [job["created_at"] for job in jobs]
    assert times == ["2026-03-30T07:00:00Z", "2026-03-29T07:00:00Z", "2026-03-28T08:00:00Z"]
    assert [job["created_by"] for job in jobs] == [None, None, None]
    assert [send.variables for send in sandbox.world.batch_sends] == [{"coupon": "WEEK"}] * 3


def test_a_schedule_of_an_inactive_workflow_waits(place: Place) -> None:
    sandbox, http, workflow, path = place
    http.post(path, json=WEEKLY)
    http.patch(f"/hog_flows/{workflow}/", json={"status": "archived"})
    sandbox.clock.advance(14 * 86400)
    assert http.get(path).json()[0]["next_run_at"] is None
    assert http.get(f"/hog_flows/{workflow}/batch_jobs/").json() == []


def test_newer_servers_show_schedules_inside_the_workflow(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    workflow = sandbox.world.add_workflow("Broadcast", "batch")["id"]
    made = http.post(f"/hog_flows/{workflow}/schedules/", json=WEEKLY).json()
    inside = http.get(f"/hog_flows/{workflow}/").json()["schedules"]
    assert [row["id"] for row in inside] == [made["id"]]
