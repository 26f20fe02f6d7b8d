"""Hog functions behave as on real servers of both generations."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.conftest import Http, Start

WEBHOOK: dict[str, Any] = {
    "type": "destination",
    "template_id": "template-webhook",
    "name": "Webhook",
    "inputs": {"url": {"value": "https://example.com/hook"}},
}
SECRET: dict[str, Any] = {
    "type": "destination",
    "name": "Custom",
    "hog": "fetch(inputs.url);",
    "inputs_schema": [
        {"key": "url", "type": "string", "label": "URL", "required": True},
        {"key": "token", "type": "string", "label": "Token", "required": True, "secret": True},
    ],
    "inputs": {"url": {"value": "https://example.com"}, "token": {"value": "s3cr3t"}},
}
AGENT = {"x-posthog-client": "mcp"}


def make(http: Http, body: dict[str, Any]) -> dict[str, Any]:
    answer = http.post("/hog_functions/", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def said(answer: httpx.Response) -> tuple[int, str, str, str | None]:
    body = answer.json()
    return answer.status_code, body["code"], body["detail"], body["attr"]


@pytest.mark.parametrize("generation", ["docs", "current"])
def test_a_function_from_a_template_takes_what_the_body_leaves_out(
    start: Start, generation: str
) -> None:
    _, http = start(generation=generation)
    made = make(http, WEBHOOK)
    assert made["template"]["id"] == "template-webhook"
    assert made["icon_url"] == made["template"]["icon_url"]
    assert made["description"] == made["template"]["description"]
    assert made["enabled"] is False
    assert made["status"]["state"] == 0
    assert made["inputs"]["url"]["bytecode"] == ["_H", 1, 32, "https://example.com/hook"]
    assert {"deleted", "template_id"}.isdisjoint(made)
    assert ("draft" in made) == (generation == "current")
    assert ("rating" in made["status"]) == (generation == "docs")
    row = http.get("/hog_functions/").json()["results"][0]
    assert {"inputs", "inputs_schema", "mappings", "masking", "bytecode"}.isdisjoint(row)
    assert http.get(f"/hog_functions/{made['id']}/").json() == made


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"masking": {"ttl": 1, "hash": "{person.id}"}},
            ("min_value", "Ensure this value is greater than or equal to 60.", "masking__ttl"),
        ),
        ({"inputs": {}}, ("invalid_input", "This field is required.", "inputs__url")),
        (
            {"template_id": "template-nope"},
            ("invalid_input", "No template found for id 'template-nope'", "template_id"),
        ),
        ({"hog": "let x := "}, ("invalid_input", "Hog code has errors.", "hog")),
        (
            {"template_id": None, "hog": None},
            ("null", "This field may not be null.", "hog"),
        ),
        (
            {"name": "x" * 401, "inputs": {}},
            ("max_length", "Ensure this field has no more than 400 characters.", "name"),
        ),
        ({"type": "nonsense"}, ("invalid_choice", '"nonsense" is not a valid choice.', "type")),
        (
            {"hog": "x" * (100 * 1024 + 1)},
            (
                "invalid_input",
                (
                    "HOG code exceeds maximum size of 100KB. Please simplify your code or contact "
                    "support if you need this limit increased."
                ),
                "hog",
            ),
        ),
        (
            {"type": "transformation", "mappings": [{"name": "a"}]},
            ("invalid_input", "Mappings are only allowed for destinations.", "mappings"),
        ),
        (
            {"execution_order": 40000},
            (
                "max_value",
                "Ensure this value is less than or equal to 32767.",
                "execution_order",
            ),
        ),
    ],
)
def test_a_bad_body_is_refused_in_the_servers_words(
    docs: tuple[Sandbox, Http], change: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    _, http = docs
    answer = http.post("/hog_functions/", json={**WEBHOOK, **change})
    assert said(answer) == (400, *expected)


def test_a_function_without_source_is_refused(docs: tuple[Sandbox, Http]) -> None:
    _, http = docs
    answer = http.post("/hog_functions/", json={"type": "destination", "name": "n"})
    assert said(answer) == (400, "invalid_input", "Required.", "hog")


def test_a_form_crashes_older_servers_only(start: Start) -> None:
    for generation, status in (("docs", 500), ("current", 400)):
        _, http = start(generation=generation)
        assert http.post("/hog_functions/", data={"type": "undefined"}).status_code == status


def test_secrets_are_kept_by_their_marker_or_by_silence_and_never_answered(
    docs: tuple[Sandbox, Http],
) -> None:
    sandbox, http = docs
    made = make(http, SECRET)
    path = f"/hog_functions/{made['id']}/"
    assert made["inputs"]["token"] == {"secret": True}
    for inputs in (
        {"url": {"value": "https://example.org"}, "token": {"secret": True}},
        {"url": {"value": "https://example.net"}},
    ):
        body = http.patch(path, json={"inputs": inputs}).json()
        assert body["inputs"]["url"]["value"] == inputs["url"]["value"]
        assert body["inputs"]["token"] == {"secret": True}
    stored = sandbox.world.hog_functions[made["id"]]
    assert stored.secrets["token"]["value"] == "s3cr3t"
    assert "s3cr3t" not in http.get(path).text


def test_a_patch_of_inputs_replaces_the_whole_map(docs: tuple[Sandbox, Http]) -> None:
    _, http = docs
    made = make(
        http,
        {**WEBHOOK, "inputs": {**WEBHOOK["inputs"], "method": {"value": "PUT"}}},
    )
    path = f"/hog_functions/{made['id']}/"
    body = http.patch(path, json={"inputs": WEBHOOK["inputs"]}).json()
    assert "method" not in body["inputs"]
    refused = http.patch(path, json={"inputs": {"method": {"value": "PUT"}}})
    assert said(refused) == (400, "invalid_input", "This field is required.", "inputs__url")


def test_the_type_is_fixed_for_life(docs: tuple[Sandbox, Http]) -> None:
    _, http = docs
    made = make(http, WEBHOOK)
    answer = http.patch(f"/hog_functions/{made['id']}/", json={"type": "transformation"})
    assert said(answer) == (
        400,
        "invalid_input",
        "Cannot modify the type of an existing function",
        "type",
    )


def test_deleting_is_a_patch_and_only_a_restore_sees_the_deleted(
    docs: tuple[Sandbox, Http],
) -> None:
    _, http = docs
    path = f"/hog_functions/{make(http, WEBHOOK)['id']}/"
    refused = http.delete(path)
    assert (refused.status_code, refused.content) == (405, b"")
    assert http.patch(path, json={"deleted": True}).status_code == 200
    assert http.get(path).status_code == 404
    assert http.get("/hog_functions/").json()["count"] == 0
    assert http.patch(path, json={"deleted": True}).status_code == 404
    assert http.patch(path, json={"name": "x"}).status_code == 404
    assert http.patch(path, json={"deleted": False}).status_code == 200
    assert http.get(path).status_code == 200


def test_newer_servers_refuse_the_delete_to_every_key(current: tuple[Sandbox, Http]) -> None:
    _, http = current
    answer = http.delete(f"/hog_functions/{make(http, WEBHOOK)['id']}/")
    assert answer.status_code == 403
    assert answer.json()["detail"] == "This action does not support personal API key access"


def test_the_list_filters_by_type_state_id_and_filters(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    event = {"id": "paid", "name": "paid", "type": "events", "order": 0}
    one = sandbox.world.add_hog_function("Orders", filters={"events": [event]})
    two = sandbox.world.add_hog_function("Drop", "transformation", enabled=False)

    def ids(**params: Any) -> set[str]:
        body = http.get("/hog_functions/", params=params).json()
        return {row["id"] for row in body["results"]}

    assert ids(type="transformation") == {two["id"]}
    assert ids(type="nothing") == set()
    assert ids(enabled="true") == {one["id"]}
    assert ids(enabled="1") == {one["id"], two["id"]}
    assert ids(id=two["id"]) == {two["id"]}
    assert ids(search="orders") == {one["id"]}
    assert ids(filters='{"events": [{"id": "paid"}]}') == {one["id"]}
    assert ids(filter_groups='[{"events": [{"id": "paid"}]}]') == {one["id"]}
    assert http.get("/hog_functions/?id=x").status_code == 400
    bad = http.get("/hog_functions/?filter_groups=%7B")
    assert said(bad) == (400, "invalid_input", "Invalid filter_groups", "filter_groups")


def test_rows_come_by_execution_order_and_then_latest_update(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    at = datetime(2026, 5, 1, tzinfo=UTC)
    for number, kind in enumerate(("destination", "transformation", "transformation")):
        sandbox.world.add_hog_function(f"f{number}", kind, updated_at=at + timedelta(hours=number))
    sandbox.world.add_hog_function("late", updated_at=at + timedelta(days=1))
    names = [row["name"] for row in http.get("/hog_functions/").json()["results"]]
    assert names == ["f1", "f2", "late", "f0"]


def test_newer_search_is_fuzzy_until_something_is_exact(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    sandbox.world.add_hog_function("Customers to the CRM")

    def found(term: str) -> list[tuple[str, str]]:
        rows = http.get("/hog_functions/", params={"search": term}).json()["results"]
        return [(row["name"], row["search_match_type"]) for row in rows]

    assert found("customers") == [("Customers to the CRM", "exact")]
    assert found("costumers to the crm") == [("Customers to the CRM", "similar")]
    assert http.get("/hog_functions/", params={"search": "x" * 201}).status_code == 400


def test_logs_and_metrics_answer_as_those_of_workflows(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    function = sandbox.world.add_hog_function()["id"]
    at = sandbox.clock.now() - timedelta(hours=2)
    sandbox.world.add_logs(
        function, [{"instance_id": "i", "timestamp": at, "level": "error", "message": "boom"}]
    )
    sandbox.world.emit_metric(function, at, "failed", "failure", 3)
    logs = http.get(f"/hog_functions/{function}/logs/").json()
    assert [(row["level"], row["message"]) for row in logs["results"]] == [("ERROR", "boom")]
    totals = http.get(f"/hog_functions/{function}/metrics/totals/?breakdown_by=name").json()
    assert totals == {"totals": {"failed": 3}}


def test_older_logs_take_search_for_a_filter_of_the_function(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    function = sandbox.world.add_hog_function("Orders")["id"]
    assert http.get(f"/hog_functions/{function}/logs/?search=boom").status_code == 404


def test_older_servers_can_close_actions_to_scoped_keys(start: Start) -> None:
    sandbox, http = start(generation="docs", keys_refused_on_custom_actions=True)
    function = sandbox.world.add_hog_function()["id"]
    for path in ("logs/", "metrics/", "metrics/totals/"):
        answer = http.get(f"/hog_functions/{function}/{path}")
        assert answer.status_code == 403
        assert answer.json()["detail"] == "This action does not support Personal API Key access"
    assert http.get(f"/hog_functions/{function}/").status_code == 200


def test_a_test_run_is_mocked_unless_told_otherwise(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    function = sandbox.world.add_hog_function()["id"]
    path = f"/hog_functions/{function}/invocations/"
    body: dict[str, Any] = {
        "configuration": {"hog": "fetch('https://example.com')", "inputs_schema": []},
        "globals": {"event": {"event": "x", "distinct_id": "d"}},
    }
    answer = http.post(path, json=body).json()
    assert answer["status"] == "success"
    assert answer["logs"][0]["message"] == "Async function 'fetch' was mocked with arguments:"
    assert sandbox.world.function_sends == []
    http.post(path, json={**body, "mock_async_functions": False})
    assert [send.kind for send in sandbox.world.function_sends] == ["test"]
    failing = {**body["configuration"], "hog": "throw Error('no such luck')"}
    answer = http.post(path, json={**body, "configuration": failing})
    assert (answer.status_code, answer.json()["status"]) == (200, "error")
    assert answer.json()["errors"] == ["no such luck"]
    picky = {**body["configuration"], "filters": {"events": [{"id": "other"}]}}
    assert http.post(path, json={**body, "configuration": picky}).json()["status"] == "skipped"


def test_refused_test_runs_have_shapes_of_their_own(start: Start) -> None:
    good = {"hog": "return 1", "inputs_schema": []}
    event = {"event": {"event": "x"}}
    for generation in ("docs", "current"):
        _, http = start(generation=generation)
        path = "/hog_functions/01900000-0000-0000-0000-000000000000/invocations/"
        bad = {**good, "inputs_schema": SECRET["inputs_schema"], "inputs": {}}
        answer = http.post(path, json={"configuration": bad, "globals": event})
        assert answer.status_code == 400
        assert answer.json() == {"configuration": {"inputs": {"url": ["This field is required."]}}}
        refused = http.post(path, json={"configuration": good}).json()
        missing = http.post(path, json={}).json()
        if generation == "docs":
            assert refused == {"status": "error"}
            assert missing == {"configuration": ["This field is required."]}
        else:
            assert refused == {"status": "error", "errors": ["Missing event"]}
            assert missing["attr"] == "configuration"
        unknown = http.post(path, json={"configuration": good, "globals": event})
        assert unknown.status_code == 200, "an unknown id is a new function, not a 404"


def test_a_broadcast_really_runs_once_per_person(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    for plan in ("pro", "free", "pro"):
        sandbox.world.add_person(plan=plan)
    wanted = {"properties": [{"key": "plan", "type": "person", "value": ["pro"]}]}
    function = sandbox.world.add_hog_function(filters=wanted)["id"]
    path = f"/hog_functions/{function}/broadcast/"
    assert http.post(path).json() == {"success": True}
    assert [send.target for send in sandbox.world.function_sends] == ["user_1", "user_3"]
    sandbox.world.hog_functions[function].enabled = False
    answer = http.post(path)
    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "Cannot broadcast: function is disabled"},
    )


def test_newer_servers_have_no_broadcast(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    function = sandbox.world.add_hog_function()["id"]
    answer = http.post(f"/hog_functions/{function}/broadcast/")
    assert (answer.status_code, answer.json()["detail"]) == (404, "Endpoint not found.")


def test_rearranging_answers_all_functions_of_the_type_or_changes_nothing(
    current: tuple[Sandbox, Http],
) -> None:
    sandbox, http = current
    ids = [sandbox.world.add_hog_function(n, "transformation")["id"] for n in "abc"]
    sandbox.world.add_hog_function("not one of them")
    path = "/hog_functions/rearrange/"
    body = http.patch(path, json={"orders": {ids[0]: 9}}).json()
    assert [row["name"] for row in body] == ["b", "c", "a"]
    assert said(http.patch(path, json={})) == (400, "invalid_input", "No orders provided", None)
    unknown = "01900000-0000-0000-0000-000000000000"
    answer = http.patch(path, json={"orders": {ids[1]: 20, unknown: 1}})
    assert answer.json()["detail"] == f"HogFunction with id {unknown} does not exist"
    assert sandbox.world.hog_functions[ids[1]].execution_order == 2
    assert http.patch(path, json={"orders": {"x": 1}}).status_code == 500


def test_an_enabled_function_that_the_watcher_disabled_comes_back_degraded(
    docs: tuple[Sandbox, Http],
) -> None:
    sandbox, http = docs
    function = sandbox.world.add_hog_function(enabled=False, state=3)["id"]
    path = f"/hog_functions/{function}/"
    assert http.get(path).json()["status"]["state"] == 0
    assert http.patch(path, json={"enabled": True}).json()["status"]["state"] == 2


def test_the_cap_on_enabled_transformations(docs: tuple[Sandbox, Http]) -> None:
    sandbox, http = docs
    for number in range(20):
        sandbox.world.add_hog_function(f"t{number}", "transformation")
    body = {"type": "transformation", "hog": "return event", "enabled": True}
    answer = http.post("/hog_functions/", json=body)
    assert (answer.status_code, answer.json()["attr"]) == (400, "type")
    assert http.post("/hog_functions/", json={**body, "enabled": False}).status_code == 201


def test_an_agents_edit_of_a_running_destination_waits_in_a_draft(
    current: tuple[Sandbox, Http],
) -> None:
    _, http = current
    refused = http.post("/hog_functions/", json={**WEBHOOK, "enabled": True}, headers=AGENT)
    assert (refused.status_code, refused.json()["attr"]) == (400, "enabled")
    made = make(http, {**WEBHOOK, "enabled": True})
    path = f"/hog_functions/{made['id']}/"
    changed = {"name": "Renamed", "inputs": {"url": {"value": "https://other.example.com"}}}
    body = http.patch(path, json=changed, headers=AGENT).json()
    assert body["name"] == "Renamed"
    assert body["inputs"]["url"]["value"] == "https://example.com/hook"
    assert body["draft"]["inputs"]["url"]["value"] == "https://other.example.com"
    preview = http.post(path + "publish/", json={}).json()
    assert (preview["published"], preview["changed_fields"]) == (False, ["inputs"])
    unconfirmed = http.post(path + "publish/", json={"confirm": True})
    assert unconfirmed.json()["attr"] == "confirm_token"
    token = {"confirm": True, "confirm_token": preview["confirm_token"]}
    published = http.post(path + "publish/", json=token).json()
    assert published["function"]["inputs"]["url"]["value"] == "https://other.example.com"
    assert published["function"]["draft"] is None
    revisions = http.get(path + "revisions/").json()
    assert [row["version"] for row in revisions["results"]] == [1, 0]
    restored = http.post(path + "revisions/0/restore/", json={}).json()
    assert restored["draft"]["inputs"]["url"]["value"] == "https://example.com/hook"
    again = http.post(path + "revisions/0/restore/", json={})
    assert (again.status_code, again.json()["code"]) == (409, "draft_exists")
    for _ in range(2):
        assert http.post(path + "discard_draft/").json()["draft"] is None


def test_a_publish_after_another_change_is_stale(current: tuple[Sandbox, Http]) -> None:
    _, http = current
    path = f"/hog_functions/{make(http, {**WEBHOOK, 'enabled': True})['id']}/"
    http.patch(path, json={"hog": "return 2"}, headers=AGENT)
    token = http.post(path + "publish/", json={}).json()["confirm_token"]
    http.patch(path, json={"name": "changed meanwhile"})
    answer = http.post(path + "publish/", json={"confirm": True, "confirm_token": token})
    assert (answer.status_code, answer.json()["code"]) == (409, "stale_update")


def test_base_updated_at_guards_against_a_newer_row(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    made = make(http, WEBHOOK)
    path = f"/hog_functions/{made['id']}/"
    base = {"base_updated_at": made["updated_at"]}
    assert http.patch(path, json={"name": "first", **base}).status_code == 200
    sandbox.clock.advance(1)
    answer = http.patch(path, json={"name": "second", **base})
    assert (answer.status_code, answer.json()["code"]) == (409, "stale_update")
    assert http.get(path).json()["name"] == "first"


def test_a_rerun_needs_three_scopes_and_really_runs(start: Start) -> None:
    keys = {"phx_all": ["*"], "phx_write": ["hog_function:write"]}
    sandbox, http = start(generation="current", keys=keys)
    function = sandbox.world.add_hog_function()["id"]
    now = sandbox.clock.now()
    failed = sandbox.world.add_function_run(function, "failed", now - timedelta(hours=1))
    sandbox.world.add_function_run(function, "succeeded", now - timedelta(hours=1))
    window = {
        "window_start": (now - timedelta(hours=2)).isoformat(),
        "window_end": now.isoformat(),
    }
    path = f"/hog_functions/{function}/rerun/"
    with Http(sandbox, "phx_write") as weak:
        refused = weak.post(path, json={"filter": window})
        assert refused.json()["detail"] == "API key missing required scope 'person:read'"
    answer = http.post(path, json={"filter": window}).json()
    assert (answer["queued_count"], answer["skipped_count"]) == (0, 0)
    sandbox.clock.advance(10)
    assert len(sandbox.world.replays) == 1
    assert [send.target for send in sandbox.world.function_sends] == [failed.invocation_id]
    source = sandbox.world.add_hog_function("in", "source_webhook")["id"]
    refused = http.post(f"/hog_functions/{source}/rerun/", json={"filter": window})
    assert refused.json() == {
        "queued_count": 0,
        "skipped_count": 0,
        "detail": "Re-runs aren't supported for 'source_webhook' functions.",
    }


def test_icons_and_backfills_are_closed_to_keys_on_newer_servers(
    docs: tuple[Sandbox, Http], current: tuple[Sandbox, Http]
) -> None:
    _, older = docs
    found = older.get("/hog_functions/icons/?query=slack").json()
    assert found == [
        {
            "id": "slack.com",
            "name": "Slack",
            "url": "/api/projects/@current/hog_functions/icon/?id=slack.com",
        }
    ]
    image = older.get("/hog_functions/icon/?id=slack.com")
    assert image.headers["content-type"] == "image/png"
    assert image.content.startswith(b"\x89PNG")
    assert older.get("/hog_functions/icon/").json()["detail"] == "id is required"
    sandbox, newer = current
    function = sandbox.world.add_hog_function()["id"]
    assert newer.get("/hog_functions/icons/?query=slack").status_code == 403
    assert newer.post(f"/hog_functions/{function}/enable_backfills/").status_code == 403


def test_functions_that_hold_the_mask_for_a_secret_are_listed(
    current: tuple[Sandbox, Http],
) -> None:
    sandbox, http = current
    made = sandbox.world.add_hog_function(
        inputs_schema=SECRET["inputs_schema"],
        inputs={"url": {"value": "https://example.com"}, "token": {"value": "********"}},
    )
    body = http.get("/hog_functions/masked_secrets/").json()
    assert [(row["id"], row["input_keys"]) for row in body] == [(made["id"], ["token"])]


def test_templates_list_destinations_and_are_public_too(current: tuple[Sandbox, Http]) -> None:
    sandbox, http = current
    ids = [row["id"] for row in http.get("/hog_function_templates/").json()["results"]]
    assert "template-webhook" in ids
    assert "template-old-webhook" not in ids, "deprecated ones are not listed"
    assert "template-drop-events" not in ids, "nor other types"
    kinds = http.get("/hog_function_templates/?types=transformation,destination").json()
    assert "template-drop-events" in [row["id"] for row in kinds["results"]]
    public = httpx.get(sandbox.url + "/api/public_hog_function_templates/").json()
    assert [row["id"] for row in public["results"]] == ids
    assert http.get("/hog_function_templates/template-nope/").status_code == 404
