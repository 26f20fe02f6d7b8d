"""Suppressed addresses, opt-outs and categories, as PostHog's views answer."""

from typing import Any

import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.conftest import Http, Start
from tests.sandbox.messaging_kit import NOW, Post

SUPPRESSIONS = "/messaging_suppressions/suppressions/"
OPT_OUTS, PREFERENCES = "/messaging_preferences/opt_outs/", "/messaging_preferences/"


@pytest.fixture
def post(current: tuple[Sandbox, Http]) -> Post:
    return Post(*current)


def names(post: Post, path: str = SUPPRESSIONS, **params: Any) -> list[str]:
    return [row["identifier"] for row in post.http.get(path, params=params).json()["results"]]


# -- suppressions ----------------------------------------------------------------------------------


def test_a_suppression_is_in_lower_case_and_safe_to_repeat(post: Post) -> None:
    add, remove = SUPPRESSIONS + "add_suppression/", SUPPRESSIONS + "remove_suppression/"
    body = {"identifier": "  Ada@Example.com "}
    first = post.http.post(add, json=body)
    assert (first.status_code, first.json()["identifier"]) == (201, "ada@example.com")
    assert (first.json()["source"], first.json()["reason"]) == ("MANUAL", "Manually added")
    again = post.http.post(add, json=body)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert names(post) == ["ada@example.com"]
    for _ in range(2):
        assert post.http.post(remove, json=body).status_code == 204
    assert names(post) == []
    unknown = post.http.post(remove, json={"identifier": "bob@example.com"})
    assert (unknown.status_code, unknown.json()) == (404, {"error": "Suppression not found"})
    assert post.http.post(add, json={}).json()["code"] == "required"
    assert post.http.post(add, json={"identifier": "x" * 513}).json()["code"] == "max_length"


def test_bounces_and_complaints_suppress_by_themselves_and_leave_manual_rows(post: Post) -> None:
    for _ in range(4):
        post.world.add_bounce("soft@example.com", hard=False)
    post.world.add_bounce("reset@example.com", hard=False)
    post.world.add_delivery("reset@example.com")
    for _ in range(4):
        post.world.add_bounce("reset@example.com", hard=False)
    assert names(post) == []
    post.world.add_bounce("soft@example.com", hard=False)
    post.world.add_bounce("Hard@example.com", diagnostic="550 no such user")
    post.world.add_complaint("spam@example.com")
    post.world.add_suppression("manual@example.com")
    post.world.add_bounce("manual@example.com")
    rows = {row["identifier"]: row for row in post.http.get(SUPPRESSIONS).json()["results"]}
    assert {name: row["source"] for name, row in rows.items()} == {
        "soft@example.com": "BOUNCE",
        "hard@example.com": "BOUNCE",
        "spam@example.com": "COMPLAINT",
        "manual@example.com": "MANUAL",
    }
    assert rows["soft@example.com"]["reason"] == "Auto-suppressed after 5 consecutive soft bounces"
    assert rows["hard@example.com"]["last_bounce_diagnostic"] == "550 no such user"
    assert "feedback type: abuse" in rows["spam@example.com"]["reason"]
    post.world.forget_suppression("hard@example.com")
    post.world.add_bounce("hard@example.com")
    assert "hard@example.com" in names(post)


def test_with_writes_off_the_list_stays_empty(post: Post) -> None:
    post.mail.suppressions_written = False
    post.world.add_bounce("a@example.com")
    assert names(post) == []


def test_pages_go_by_number_and_end_with_a_404(post: Post) -> None:
    for number in range(25):
        post.world.add_suppression(f"p{number}@example.com")
    first = post.http.get(SUPPRESSIONS).json()
    assert (first["count"], len(first["results"]), first["previous"]) == (25, 20, None)
    assert "page=2" in first["next"]
    assert len(names(post, page=2)) == 5
    assert len(names(post, page_size=500)) == 25
    past = post.http.get(SUPPRESSIONS, params={"page": 3})
    assert (past.status_code, past.json()["detail"]) == (404, "Invalid page.")
    assert names(post, search="P24@") == ["p24@example.com"]


def test_rows_of_one_time_have_no_order(start: Start) -> None:
    post = Post(*start(generation="current", shuffle_ties=True))
    for number in range(10):
        post.world.add_suppression(f"p{number}@example.com")
    assert len({tuple(names(post)) for _ in range(5)}) > 1


def test_the_list_needs_people_on_newer_builds_and_a_level_always(start: Start) -> None:
    keys = {"all": ["*"], "read": ["hog_flow:read"]}
    post = Post(*start(generation="current", keys=keys))
    reader = {"Authorization": "Bearer read"}
    refused = post.http.get(SUPPRESSIONS, headers=reader)
    assert refused.json()["detail"] == "API key missing required scope 'person:read'"
    post.mail.suppressions_need_people = False
    assert post.http.get(SUPPRESSIONS, headers=reader).status_code == 200
    post.mail.access = "none"
    said = post.http.get(SUPPRESSIONS).json()["detail"]
    assert said == "You need hog_flow viewer access to view the suppression list."
    post.mail.access = "viewer"
    answer = post.http.post(SUPPRESSIONS + "add_suppression/", json={"identifier": "a@b.c"})
    said = "You need hog_flow editor access to modify the suppression list."
    assert (answer.status_code, answer.json()["detail"]) == (403, said)


# -- opt-outs --------------------------------------------------------------------------------------


def test_without_a_key_those_out_of_all_with_one_its_own_entries(post: Post) -> None:
    news = post.world.add_category("news")
    add = PREFERENCES + "add_opt_out/"
    assert post.http.post(add, json={"identifier": "All@example.com"}).status_code == 201
    topic = {"identifier": "news@example.com", "category_key": "news"}
    made = post.http.post(add, json=topic)
    assert (made.status_code, made.json()["preferences"]) == (201, {news.id: "OPTED_OUT"})
    assert post.http.post(add, json=topic).status_code == 200
    assert names(post, OPT_OUTS) == ["All@example.com"]
    assert names(post, OPT_OUTS, category_key="news") == ["news@example.com"]
    unknown = post.http.get(OPT_OUTS, params={"category_key": "x"})
    assert (unknown.status_code, unknown.json()) == (404, {"error": "Category not found"})


def test_identifiers_keep_their_case_and_are_two_recipients_by_it(post: Post) -> None:
    post.world.add_opt_outs(["Jane@example.com", "jane@example.com"])
    assert sorted(names(post, OPT_OUTS)) == ["Jane@example.com", "jane@example.com"]


def test_opting_in_to_one_topic_pins_the_others_out(post: Post) -> None:
    news, tips = post.world.add_category("news"), post.world.add_category("tips")
    bills = post.world.add_category("bills", category_type="transactional")
    post.world.add_opt_out("a@example.com")
    body = {"identifier": "a@example.com", "category_key": "news"}
    row = post.http.post(PREFERENCES + "remove_opt_out/", json=body).json()
    assert row["preferences"] == {
        "$all": "OPTED_IN",
        news.id: "OPTED_IN",
        tips.id: "OPTED_OUT",
    }
    assert bills.id not in row["preferences"]


def test_opt_outs_in_bulk_are_a_thousand_at_most_and_safe_to_repeat(post: Post) -> None:
    post.world.add_category("news")
    bulk = PREFERENCES + "bulk_add_opt_outs/"
    body = {
        "opt_outs": [
            {"identifier": "a@example.com"},
            {"identifier": "a@example.com", "category_key": "$all"},
            {"identifier": "b@example.com", "category_key": "news"},
            {"identifier": "c@example.com", "category_key": "x"},
        ]
    }
    for _ in range(2):
        assert post.http.post(bulk, json=body).json() == {
            "total": 4,
            "opted_out": 2,
            "skipped": 1,
            "errors": ["Entry 4: no message category with key 'x'"],
        }
    assert names(post, OPT_OUTS) == ["a@example.com"]
    many = {"opt_outs": [{"identifier": f"p{n}@example.com"} for n in range(1001)]}
    answer = post.http.post(bulk, json=many)
    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        "Send at most 1000 opt-outs per request.",
    )
    wrong = {"opt_outs": [{"identifier": "a@b.c"}], "category_key": "x"}
    answer = post.http.post(bulk, json=wrong)
    assert (answer.status_code, answer.json()["error"]) == (404, "Message category 'x' not found")


def test_the_csv_quotes_what_a_spreadsheet_would_run(post: Post) -> None:
    post.world.add_opt_out("=1+1@example.com")
    answer = post.http.get(PREFERENCES + "export_opt_outs_csv/")
    assert answer.headers["content-type"] == "text/csv"
    assert "opt-outs-all-marketing.csv" in answer.headers["content-disposition"]
    lines = answer.text.splitlines()
    assert lines[0] == "identifier,category_key,updated_at"
    assert lines[1].startswith("'=1+1@example.com,$all,2026-11-28T12:00:00")


def test_older_builds_close_opt_outs_to_keys(post: Post) -> None:
    post.mail.opt_outs_open = False
    for answer in (
        post.http.get(OPT_OUTS),
        post.http.post(PREFERENCES + "add_opt_out/", json={"identifier": "a@b.c"}),
    ):
        said = "This action does not support personal API key access"
        assert (answer.status_code, answer.json()["detail"]) == (403, said)


# -- categories and HogQL --------------------------------------------------------------------------


def rows_of(post: Post, query: str) -> list[list[Any]]:
    body = {"query": {"kind": "HogQLQuery", "query": query}, "refresh": "force_blocking"}
    answer = post.http.post("/query/", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def test_categories_are_closed_to_keys_and_open_to_hogql(post: Post) -> None:
    news = post.world.add_category("news", "The news")
    post.world.add_category("old", deleted=True)
    said = "This action does not support personal API key access"
    assert post.http.get("/messaging_categories/").json()["detail"] == said
    query = (
        "SELECT id, key, name, category_type FROM system.message_categories WHERE deleted = 0 "
        "ORDER BY key LIMIT 1000"
    )
    assert rows_of(post, query) == [[news.id, "news", "The news", "marketing"]]
    post.mail.categories_open = True
    (row,) = post.http.get("/messaging_categories/").json()["results"]
    assert (row["key"], row["category_type"]) == ("news", "marketing")


def test_preferences_of_all_recipients_can_be_read_by_hogql(post: Post) -> None:
    post.world.add_opt_outs(["b@example.com", "a@example.com"])
    query = (
        "SELECT id, identifier, preferences, updated_at FROM system.message_recipient_preferences "
        "WHERE deleted = 0 AND JSONExtractString(preferences, '$all') = 'OPTED_OUT' "
        "AND identifier > 'a' ORDER BY identifier LIMIT 10000"
    )
    assert [row[1] for row in rows_of(post, query)] == ["a@example.com", "b@example.com"]


def test_servers_before_lack_lists_and_tables(start: Start) -> None:
    for generation in ("docs", "mid2026"):
        _, http = start(generation=generation)
        for path in (SUPPRESSIONS, OPT_OUTS, "/messaging_categories/", "/persons/x/emails/"):
            answer = http.get(path)
            assert (answer.status_code, answer.json()["detail"]) == (404, "Endpoint not found.")
        query = "SELECT 1 FROM system.message_categories LIMIT 1"
        body = {"query": {"kind": "HogQLQuery", "query": query}}
        answer = http.post("/query/", json=body)
        assert (answer.status_code, "Unknown table" in answer.text) == (400, True)
    sandbox, http = start(generation="current", missing={"hogql_system", "suppressions"})
    sandbox.clock.freeze(NOW)
    assert http.get(SUPPRESSIONS).status_code == 404
    assert http.get(OPT_OUTS).status_code == 200
    assert http.post("/query/", json=body).status_code == 400
