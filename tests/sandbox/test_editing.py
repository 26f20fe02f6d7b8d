"""Creating, changing and deleting workflows: what is refused, in the words a real server uses."""

import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.bodies import (
    DELAY,
    EXIT,
    SIGNED_UP,
    TRIGGER,
    UNKNOWN,
    WEBHOOK,
    raised,
    trigger,
    workflow,
)
from tests.sandbox.conftest import Http, Start

BRANCH = {
    "id": "br",
    "name": "Split",
    "type": "conditional_branch",
    "config": {"conditions": [{"properties": []}]},
}
UNWRAPPED = (
    "Each conditional_branch condition must wrap its filters in a 'filters' key, e.g. {conditions: "
    "[{filters: {properties: [...]}}]} (same shape as a trigger's filters). A condition without "
    "'filters' compiles to always-false and never matches."
)
DELAY_TEXT = (
    "delay_duration must be a string matching ^\\d*\\.?\\d+[dhm]$ (e.g. '30m', '2h', '1d'). "
    "ISO-8601 formats are not supported. For seconds, use a fraction of a minute."
)
BAD_WEBHOOK = {**WEBHOOK, "config": {"template_id": "template-webhook", "inputs": {}}}
NO_TEMPLATE = {**WEBHOOK, "config": {"template_id": "nope"}}
ISO_DELAY = {**DELAY, "config": {"delay_duration": "PT1H"}}
TWICE = [{"key": "a", "type": "string", "default": ""}] * 2
HUGE = [{"key": "a", "type": "string", "default": "x" * 6000}]

REFUSED = {
    "no actions": ({"name": "x"}, "required", "This field is required.", "actions"),
    "no trigger": (
        workflow(EXIT),
        "invalid_input",
        "Exactly one trigger action is required",
        "actions",
    ),
    "two triggers": (
        workflow(TRIGGER, {**TRIGGER, "id": "other"}),
        "invalid_input",
        "Exactly one trigger action is required",
        "actions",
    ),
    "status": (
        workflow(status="paused"),
        "invalid_choice",
        '"paused" is not a valid choice.',
        "status",
    ),
    "exit condition": (
        workflow(exit_condition="never"),
        "invalid_choice",
        '"never" is not a valid choice.',
        "exit_condition",
    ),
    "name": (
        workflow(name="x" * 401),
        "max_length",
        "Ensure this field has no more than 400 characters.",
        "name",
    ),
    "edge": (
        workflow(edges=[{"to": "x", "type": "continue"}]),
        "required",
        "This field is required.",
        "edges__0__from",
    ),
    "variables": (
        workflow(variables=TWICE),
        "invalid_input",
        "Variable keys must be unique",
        "variables__non_field_errors",
    ),
    "size of variables": (
        workflow(variables=HUGE),
        "invalid_input",
        "Total size of variables definition must be less than 5KB",
        "variables__non_field_errors",
    ),
    "delay": (
        workflow(TRIGGER, ISO_DELAY, EXIT),
        "invalid_input",
        DELAY_TEXT,
        "actions__1__config",
    ),
    "input": (
        workflow(TRIGGER, BAD_WEBHOOK, EXIT),
        "invalid_input",
        "This field is required.",
        "actions__1__inputs__url",
    ),
    "template": (
        workflow(TRIGGER, NO_TEMPLATE, EXIT),
        "invalid_input",
        "Template not found",
        "actions__1__template_id",
    ),
    "manual trigger": (
        workflow(trigger(type="manual"), EXIT),
        "invalid_input",
        "Template not found",
        "actions__0__template_id",
    ),
    "trigger type": (
        workflow(trigger(type="carrier-pigeon"), EXIT),
        "invalid_input",
        "Invalid trigger type",
        "actions__0__config",
    ),
    "batch audience": (
        workflow(trigger(type="batch"), EXIT),
        "invalid_input",
        "Filters are required for batch triggers.",
        "actions__0__filters",
    ),
    "condition": (
        workflow(TRIGGER, BRANCH, EXIT),
        "invalid_input",
        UNWRAPPED,
        "actions__1__config",
    ),
    "action type": (
        workflow(TRIGGER, {**EXIT, "type": "teleport"}),
        "invalid_input",
        (
            'Unsupported action type "teleport". Valid types are: trigger, function, '
            "function_email, function_sms, function_push, delay, wait_until_condition, "
            "wait_until_time_window, conditional_branch, random_cohort_branch, exit. "
            "Steps that act on PostHog data don't get a type of their own - they are type "
            "'function' with a template_id."
        ),
        "actions__1__type",
    ),
    "ids": (
        workflow(TRIGGER, EXIT, EXIT),
        "invalid_input",
        "Duplicate action id(s): exit_node",
        "actions",
    ),
    "masking": (
        workflow(trigger_masking={"hash": "{person.id}", "ttl": 5}),
        "min_value",
        "Ensure this value is greater than or equal to 60.",
        "trigger_masking__ttl",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_body_is_refused_with_its_first_fault(
    current: tuple[Sandbox, Http], case: str
) -> None:
    sandbox, http = current
    body, code, detail, attr = REFUSED[case]
    answer = http.post("/hog_flows/", json=body)
    assert answer.status_code == 400
    assert answer.json() == raised("validation_error", code, detail, attr)
    assert answer.headers["allow"] == "GET, POST, HEAD, OPTIONS"
    assert sandbox.world.workflows == {}


def test_bodies_that_are_no_json_object(current: tuple[Sandbox, Http]) -> None:
    _, http = current
    json_type = {"Content-Type": "application/json"}
    broken = http.post("/hog_flows/", content="{nope", headers=json_type)
    assert broken.status_code == 400
    assert broken.json() == raised(
        "invalid_request",
        "parse_error",
        "JSON parse error - Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)",
    )
    text = http.post("/hog_flows/", content="a=b", headers={"Content-Type": "text/plain"})
    assert text.status_code == 415
    detail = 'Unsupported media type "text/plain" in request.'
    assert text.json() == raised("invalid_request", "unsupported_media_type", detail)
    array = http.post("/hog_flows/", json=[])
    assert array.json()["detail"] == "Invalid data. Expected a dictionary, but got list."


def test_drafts_are_stored_as_they_come_on_older_servers_until_they_are_switched_on(
    docs: tuple[Sandbox, Http],
) -> None:
    _, http = docs
    made = http.post("/hog_flows/", json=workflow(TRIGGER, ISO_DELAY, EXIT))
    assert made.status_code == 201
    on = http.patch(f"/hog_flows/{made.json()['id']}/", json={"status": "active"})
    assert on.json() == raised("validation_error", "invalid_input", "{}")
    assert (
        http.post("/hog_flows/", json=workflow(TRIGGER, ISO_DELAY, status="active"))
        .json()["detail"]
        .endswith("Seconds and ISO-8601 formats are not supported.")
    )


def test_newer_servers_name_the_steps_that_keep_a_draft_from_being_switched_on(
    current: tuple[Sandbox, Http],
) -> None:
    sandbox, http = current
    made = sandbox.world.add_workflow(actions=[TRIGGER, ISO_DELAY], status="draft")["id"]
    on = http.patch(f"/hog_flows/{made}/", json={"status": "active"})
    detail = f"Can't enable this workflow. Fix step 'Wait': {DELAY_TEXT} and try again."
    assert on.json() == raised("validation_error", "invalid_input", detail, "actions")


def test_a_create_is_not_idempotent(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    answers = [http.post("/hog_flows/", json=workflow()) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert len(sandbox.world.workflows) == 2


def test_trigger_and_read_only_fields_in_the_body_are_ignored(docs: tuple[Sandbox, Http]) -> None:
    _, http = docs
    body = workflow(trigger={"type": "batch"}, id=UNKNOWN, version=9, billable_action_types=["x"])
    made = http.post("/hog_flows/", json=body).json()
    assert made["trigger"]["type"] == "event"
    assert (made["version"], made["billable_action_types"]) == (1, ["function"])
    assert made["id"] != UNKNOWN


def test_branches_masking_and_conversion_are_compiled(current: tuple[Sandbox, Http]) -> None:
    _, http = current
    plan = {"key": "plan", "type": "person", "value": ["pro"], "operator": "exact"}
    paid = {"filters": {"events": [{**SIGNED_UP, "id": "invoice paid"}]}}
    wait = {
        "id": "wu",
        "name": "WaitUntil",
        "type": "wait_until_condition",
        "config": {"max_wait_duration": "2d", "events": [paid]},
    }
    branch = {**BRANCH, "config": {"conditions": [{"filters": {"properties": [plan]}}]}}
    made = http.post(
        "/hog_flows/",
        json=workflow(
            TRIGGER,
            branch,
            wait,
            EXIT,
            conversion={"filters": [plan], "events": [paid], "window_minutes": 1440},
            trigger_masking={"hash": "{person.id}", "ttl": 3600},
        ),
    ).json()
    code = ["_H", 1, 32, "pro", 32, "plan", 32, "properties", 32, "person", 1, 3, 11, 3, 1]
    filters = made["actions"][1]["config"]["conditions"][0]["filters"]
    assert (filters["source"], filters["bytecode"]) == ("events", code)
    assert made["conversion"]["bytecode"] == code
    assert made["actions"][2]["config"]["condition"] == {"filters": None}
    assert made["trigger_masking"] == {
        "ttl": 3600,
        "threshold": None,
        "hash": "{person.id}",
        "bytecode": ["_H", 1, 32, "id", 32, "person", 1, 2],
    }


def test_a_patch_changes_what_it_names_and_the_time_of_update(docs: tuple[Sandbox, Http]) -> None:
    _, http = docs
    made = http.post("/hog_flows/", json=workflow()).json()
    changed = http.patch(f"/hog_flows/{made['id']}/", json={"name": "Renamed"}).json()
    assert changed["updated_at"] > made["updated_at"]
    assert {**changed, "name": "", "updated_at": ""} == {**made, "name": "", "updated_at": ""}
    bad = http.patch(f"/hog_flows/{made['id']}/", json={"status": "bogus"})
    detail = '"bogus" is not a valid choice.'
    assert bad.json() == raised("validation_error", "invalid_choice", detail, "status")


def test_put_needs_the_whole_graph(docs: tuple[Sandbox, Http]) -> None:
    _, http = docs
    made = http.post("/hog_flows/", json=workflow()).json()
    assert http.put(f"/hog_flows/{made['id']}/", json={"name": "x"}).json()["attr"] == "actions"
    put = http.put(f"/hog_flows/{made['id']}/", json=workflow(name="Via PUT"))
    assert (put.status_code, put.json()["name"]) == (200, "Via PUT")


def test_a_workflow_without_a_trigger_refuses_any_change(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    found = sandbox.world.add_workflow(None, actions={}, status="draft")["id"]
    answer = http.patch(f"/hog_flows/{found}/", json={"status": "archived"})
    assert (answer.status_code, answer.json()["attr"]) == (400, "actions")


def test_a_stale_base_is_a_conflict_on_newer_servers_and_nothing_on_older(start: Start) -> None:
    for generation, status in (("docs", 200), ("current", 409)):
        _, http = start(generation=generation)
        made = http.post("/hog_flows/", json=workflow()).json()
        path = f"/hog_flows/{made['id']}/"
        fresh = {"name": "on time", "base_updated_at": made["updated_at"]}
        assert http.patch(path, json=fresh).status_code == 200
        late = http.patch(path, json={"name": "late", "base_updated_at": "2020-01-01T00:00:00Z"})
        assert late.status_code == status
    assert late.json() == raised(
        "server_error",
        "stale_update",
        "This workflow was updated elsewhere since you loaded it. "
        "Reload to get the latest version before saving.",
    )


def test_a_masked_secret_that_comes_back_keeps_its_value(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    hook = trigger(
        type="webhook",
        template_id="template-source-webhook",
        inputs={
            "event": {"value": "x"},
            "distinct_id": {"value": "y"},
            "auth_header": {"value": "Bearer whsec_1"},
        },
    )
    made = http.post("/hog_flows/", json=workflow(hook, EXIT)).json()
    changed = {"name": "n", "actions": made["actions"]}
    assert http.patch(f"/hog_flows/{made['id']}/", json=changed).status_code == 200
    stored = sandbox.world.workflows[made["id"]].trigger["inputs"]["auth_header"]
    assert stored["value"] == "Bearer whsec_1"


def test_agents_are_held_on_a_shorter_lead(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    http.headers["X-PostHog-Client"] = "mcp"
    assert http.post("/hog_flows/", json=workflow(status="active")).status_code == 400
    made = sandbox.world.add_workflow()["id"]
    for body in ({"status": "archived", "name": "x"}, {"actions": [TRIGGER]}):
        assert http.patch(f"/hog_flows/{made}/", json=body).status_code == 400
    staged = http.patch(f"/hog_flows/{made}/", json={"exit_condition": "exit_only_at_end"}).json()
    assert staged["draft"]["exit_condition"] == "exit_only_at_end"
    assert staged["exit_condition"] == "exit_on_conversion"


def test_delete_is_hard_and_takes_the_schedules_along(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    made = sandbox.world.add_workflow()["id"]
    sandbox.world.add_schedule(made, "FREQ=DAILY")
    gone = http.delete(f"/hog_flows/{made}/")
    assert (gone.status_code, gone.content) == (204, b"")
    assert "content-type" not in gone.headers
    again = http.delete(f"/hog_flows/{made}/")
    assert again.json() == raised("invalid_request", "not_found", "Not found.")
    assert sandbox.world.schedules == {}


def test_bulk_delete_takes_archived_ones_only_and_counts_what_cascades(
    docs: tuple[Sandbox, Http],
) -> None:
    sandbox, http = docs
    live = sandbox.world.add_workflow()["id"]
    archived = sandbox.world.add_workflow(status="archived")["id"]
    sandbox.world.add_schedule(archived, "FREQ=DAILY")
    answer = http.post("/hog_flows/bulk_delete/", json={"ids": [live, archived, UNKNOWN]})
    assert (answer.status_code, answer.json()) == (200, {"deleted": 2})
    assert list(sandbox.world.workflows) == [live]
    assert http.post("/hog_flows/bulk_delete/", json={"ids": [live]}).json() == {"deleted": 0}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "A non-empty list of 'ids' is required"),
        ({"ids": ["x"]}, "One or more IDs are not valid UUIDs"),
    ],
)
def test_bulk_delete_refuses_in_a_hand_made_body(
    docs: tuple[Sandbox, Http], body: dict, error: str
) -> None:
    answer = docs[1].post("/hog_flows/bulk_delete/", json=body)
    assert (answer.status_code, answer.json()) == (400, {"error": error})
