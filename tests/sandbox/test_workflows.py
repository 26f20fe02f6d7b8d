"""Listing and reading workflows, in two generations."""

from datetime import UTC, datetime, timedelta

import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.bodies import COMPILED, TRIGGER, UNKNOWN, WEBHOOK, raised, workflow
from tests.sandbox.conftest import Http, Start

ROW = [
    "id",
    "name",
    "description",
    "version",
    "status",
    "created_at",
    "created_by",
    "updated_at",
    "trigger",
    "trigger_masking",
    "conversion",
    "exit_condition",
    "edges",
    "actions",
    "abort_action",
    "variables",
    "billable_action_types",
]


def many(sandbox: Sandbox, count: int) -> list[str]:
    """Workflows updated one hour after another; their ids, newest first."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ids = [
        sandbox.world.add_workflow(f"Workflow {n}", updated_at=start + timedelta(hours=n))["id"]
        for n in range(count)
    ]
    return ids[::-1]


def test_a_row_of_the_list_has_the_fields_of_its_generation(start: Start) -> None:
    docs, http = start(generation="docs")
    docs.world.add_workflow()
    assert list(http.get("/hog_flows/").json()["results"][0]) == ROW
    current, http = start(generation="current")
    found = current.world.add_workflow()["id"]
    newer = [*ROW, "origin_product", "email_sending_rate_limit", "user_access_level"]
    assert list(http.get("/hog_flows/").json()["results"][0]) == newer
    more = ["schedules", "draft", "draft_updated_at", "action_redirects"]
    assert list(http.get(f"/hog_flows/{found}/").json()) == [*newer, *more]


def test_the_list_is_newest_update_first_and_links_its_pages(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    ids = many(sandbox, 5)
    first = http.get("/hog_flows/", params={"limit": 2}).json()
    assert first["count"] == 5
    assert first["next"] == f"{sandbox.url}/api/projects/1/hog_flows/?limit=2&offset=2"
    assert first["previous"] is None
    second = http.get(first["next"]).json()
    assert second["next"] == f"{sandbox.url}/api/projects/1/hog_flows/?limit=2&offset=4"
    assert second["previous"] == f"{sandbox.url}/api/projects/1/hog_flows/?limit=2"
    third = http.get(second["next"]).json()
    assert third["next"] is None
    pages = [first, second, third]
    assert [row["id"] for page in pages for row in page["results"]] == ids


def test_a_page_beyond_the_end_is_empty(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    many(sandbox, 3)
    body = http.get("/hog_flows/", params={"offset": 100}).json()
    assert body == {
        "count": 3,
        "next": None,
        "previous": f"{sandbox.url}/api/projects/1/hog_flows/?limit=100",
        "results": [],
    }


@pytest.mark.parametrize(("generation", "length"), [("docs", 520), ("current", 500)])
def test_large_limits_are_cut_silently_on_newer_servers_only(
    start: Start, generation: str, length: int
) -> None:
    sandbox, http = start(generation=generation)
    many(sandbox, 520)
    assert len(http.get("/hog_flows/?limit=1000").json()["results"]) == length
    for unreadable in ("abc", "0", "-4", ""):
        assert len(http.get(f"/hog_flows/?limit={unreadable}").json()["results"]) == 100


def test_equal_update_times_move_between_pages_on_older_servers_and_not_on_newer(
    start: Start,
) -> None:
    orders = {}
    for generation in ("docs", "current"):
        sandbox, http = start(generation=generation, shuffle_ties=True)
        now = sandbox.clock.now()
        for number in range(30):
            sandbox.world.add_workflow(f"W{number}", created_at=now)
        lists = [http.get("/hog_flows/").json()["results"] for _ in range(2)]
        orders[generation] = [[row["id"] for row in rows] for rows in lists]
    assert orders["docs"][0] != orders["docs"][1]
    assert sorted(orders["docs"][0]) == sorted(orders["docs"][1])
    assert orders["current"][0] == orders["current"][1]


def test_a_row_without_a_graph_has_an_object_where_lists_belong(start: Start) -> None:
    for generation, edges in (("docs", {}), ("current", [])):
        sandbox, http = start(generation=generation)
        found = sandbox.world.add_workflow(None, actions={}, status="draft")["id"]
        row = http.get("/hog_flows/").json()["results"][0]
        assert (row["actions"], row["edges"], row["trigger"]) == ({}, {}, {})
        detail = http.get(f"/hog_flows/{found}/").json()
        assert (detail["actions"], detail["edges"]) == ([], edges)


def test_stored_actions_carry_bytecode_and_the_detail_fills_in_what_was_left_out(
    current: tuple[Sandbox, Http],
) -> None:
    _, http = current
    made = http.post("/hog_flows/", json=workflow()).json()
    assert made["trigger"]["filters"]["bytecode"] == COMPILED
    inputs = made["actions"][2]["config"]["inputs"]
    assert inputs["url"] == {
        "value": "https://example.com/in",
        "bytecode": ["_H", 1, 32, "https://example.com/in"],
        "order": 0,
    }
    assert inputs["method"] == {"value": "POST", "order": 1}
    assert inputs["body"]["bytecode"] == {
        "email": ["_H", 1, 32, "email", 32, "properties", 32, "person", 1, 3]
    }
    assert made["billable_action_types"] == ["function"]
    assert made["actions"][1]["on_error"] is None
    row = http.get("/hog_flows/").json()["results"][0]
    assert "on_error" not in row["actions"][1]


def test_secrets_are_plain_on_older_servers_and_masked_on_newer(start: Start) -> None:
    hook = {
        "type": "webhook",
        "template_id": "template-source-webhook",
        "inputs": {"auth_header": {"value": "Bearer whsec_1"}, "event": {"value": "x"}},
    }
    for generation, plain in (("docs", True), ("current", False)):
        sandbox, http = start(generation=generation)
        found = sandbox.world.add_workflow(trigger=hook)["id"]
        for answer in (http.get("/hog_flows/"), http.get(f"/hog_flows/{found}/")):
            assert ("whsec_1" in answer.text) is plain
        shown = http.get(f"/hog_flows/{found}/").json()["trigger"]["inputs"]["auth_header"]
        assert (shown == {"secret": True}) is not plain


def test_older_servers_filter_authors_by_number(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    sandbox.world.add_workflow()
    assert http.get("/hog_flows/?created_by=1").json()["count"] == 1
    answer = http.get("/hog_flows/?created_by=99999")
    detail = "Select a valid choice. That choice is not one of the available choices."
    assert answer.json() == raised("validation_error", "invalid_choice", detail, "created_by")
    assert http.get("/hog_flows/?status=active&search=x&type=y").json()["count"] == 1


def test_newer_servers_filter_authors_by_uuid(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    sandbox.world.add_workflow()
    author = sandbox.world.user.uuid
    assert http.get(f"/hog_flows/?created_by={author}").json()["count"] == 1
    assert http.get(f"/hog_flows/?created_by={UNKNOWN}").json()["count"] == 0


@pytest.mark.parametrize(
    ("query", "detail", "attr"),
    [
        ("created_by=99999", "Must be a valid user uuid", "created_by"),
        ("created_at=yesterday", "Enter a valid date/time.", "created_at"),
        ("id=x", "Enter a valid UUID.", "id"),
        ("trigger=%7B", "Invalid trigger", "trigger"),
        (
            "status=bogus",
            "Select a valid choice. bogus is not one of the available choices.",
            "status",
        ),
        ("type=loop", "Must be one of: messaging, automation", "type"),
        ("search=" + "x" * 201, "Search term cannot exceed 200 characters", "search"),
    ],
)
def test_filters_that_cannot_be_read_are_refused(
    current: tuple[Sandbox, Http], query: str, detail: str, attr: str
) -> None:
    answer = current[1].get(f"/hog_flows/?{query}")
    assert answer.status_code == 400
    assert answer.json() == raised("validation_error", "invalid_input", detail, attr)


def test_newer_servers_search_and_filter(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    email = {**WEBHOOK, "id": "action_mail", "type": "function_email"}
    sandbox.world.add_workflow("Welcome-email", actions=[TRIGGER, email])
    sandbox.world.add_workflow("Broadcast", "batch", description="for all", status="draft")

    def names(query: str) -> list[str]:
        return [row["name"] for row in http.get(f"/hog_flows/?{query}").json()["results"]]

    assert names("search=welcome+EMAIL") == ["Welcome-email"]
    assert names("search=broad+cast") == ["Broadcast"]
    assert names("search=for") == ["Broadcast"]
    assert names("type=messaging") == ["Welcome-email"]
    assert names("type=automation") == ["Broadcast"]
    assert names("status=draft") == ["Broadcast"]
    assert names('trigger={"type": "batch"}') == ["Broadcast"]
    assert names("no_such_parameter=1") == ["Broadcast", "Welcome-email"]


def test_an_agent_gets_a_list_without_graphs(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    sandbox.world.add_workflow()
    headers = {"X-PostHog-Client": "mcp"}
    row = http.get("/hog_flows/", headers=headers).json()["results"][0]
    assert "actions" not in row
    assert "trigger" in row


def test_the_same_seed_and_time_make_the_same_ids(start: Start) -> None:
    now = datetime(2026, 5, 10, tzinfo=UTC)
    made = []
    for seed in (7, 7, 8):
        sandbox, _ = start(seed=seed, now=now)
        sandbox.clock.freeze(now)
        made.append(sandbox.world.add_workflow()["id"])
    assert made[0] == made[1] != made[2]
