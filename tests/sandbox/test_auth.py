"""Who may call what: the responses and the order of the checks are a real server's."""

import httpx
import pytest

from hog_dagster.sandbox import Key, Sandbox
from tests.sandbox.bodies import UNKNOWN, raised
from tests.sandbox.conftest import Http, Start

DENIED = ("authentication_error", "permission_denied")
LIST = "/api/projects/1/hog_flows/"


def ask(sandbox: Sandbox, path: str, key: str | None, method: str = "GET") -> httpx.Response:
    headers = {} if key is None else {"Authorization": f"Bearer {key}".strip()}
    return httpx.request(method, sandbox.url + path, headers=headers)


@pytest.mark.parametrize(
    ("key", "code", "detail"),
    [
        (None, "not_authenticated", "Authentication credentials were not provided."),
        ("", "not_authenticated", "Authentication credentials were not provided."),
        (
            "phx_unknown",
            "authentication_failed",
            "Personal API key found in request Authorization header is invalid.",
        ),
    ],
)
def test_a_missing_and_a_wrong_key_are_told_apart(
    docs: tuple[Sandbox, Http], key: str | None, code: str, detail: str
) -> None:
    answer = ask(docs[0], LIST, key)
    assert answer.status_code == 401
    assert answer.json() == raised("authentication_error", code, detail)
    assert "www-authenticate" not in answer.headers


def test_newer_servers_name_their_resource_metadata_on_401(current: tuple[Sandbox, Http]) -> None:
    answer = ask(current[0], LIST, "phx_unknown")
    assert answer.headers["www-authenticate"].startswith('Bearer resource_metadata="http')


def test_a_key_may_come_in_body_or_query_and_is_never_recorded(start: Start) -> None:
    sandbox, _ = start(keys={"phx_secret_value": ["*"]})
    query = httpx.get(f"{sandbox.url}{LIST}?personal_api_key=phx_secret_value")
    body = httpx.post(
        f"{sandbox.url}{LIST}", json={"personal_api_key": "phx_secret_value", "name": "x"}
    )
    assert (query.status_code, body.status_code) == (200, 400)
    assert [record.key for record in sandbox.requests] == ["key1", "key1"]
    assert "phx_secret_value" not in repr(sandbox.requests)


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/", "hog_flow:read"),
        ("POST", "/", "hog_flow:write"),
        ("GET", f"/{UNKNOWN}/logs/", "hog_flow:read"),
        ("PATCH", f"/{UNKNOWN}/", "hog_flow:write"),
        ("DELETE", f"/{UNKNOWN}/", "hog_flow:write"),
    ],
)
def test_a_missing_scope_is_named(start: Start, method: str, path: str, scope: str) -> None:
    sandbox, _ = start(keys={"phx_none": ["feature_flag:read"]})
    answer = ask(sandbox, "/api/projects/1/hog_flows" + path, "phx_none", method)
    assert answer.status_code == 403
    assert answer.json() == raised(*DENIED, f"API key missing required scope '{scope}'")


@pytest.mark.parametrize(
    ("method", "path", "scopes"),
    [
        ("POST", f"/{UNKNOWN}/batch_jobs/", ["hog_flow:write", "person:read"]),
        ("POST", f"/{UNKNOWN}/schedules/", ["hog_flow:write", "person:read"]),
        ("POST", f"/{UNKNOWN}/rerun/", ["hog_flow:write", "person:read", "group:read"]),
        ("POST", f"/{UNKNOWN}/invocations/", ["hog_flow:write", "group:read"]),
        ("POST", "/user_blast_radius/", ["hog_flow:read", "person:read"]),
        ("GET", f"/{UNKNOWN}/invocation_results/", ["hog_flow:read", "person:read"]),
        ("GET", f"/{UNKNOWN}/invocation_results_count/", ["hog_flow:read", "person:read"]),
        ("GET", "/metrics/global/", ["hog_flow:read"]),
        ("POST", f"/{UNKNOWN}/run/", ["hog_flow:write"]),
    ],
)
def test_newer_servers_ask_more_scopes_of_what_touches_people(
    start: Start, method: str, path: str, scopes: list[str]
) -> None:
    keys = {f"phx_{n}": scopes[:n] or ["feature_flag:read"] for n in range(len(scopes) + 1)}
    sandbox, _ = start(generation="current", keys=keys)
    for number, missing in enumerate(scopes):
        answer = ask(sandbox, "/api/projects/1/hog_flows" + path, f"phx_{number}", method)
        assert answer.status_code == 403
        assert answer.json()["detail"] == f"API key missing required scope '{missing}'"
    answer = ask(sandbox, "/api/projects/1/hog_flows" + path, f"phx_{len(scopes)}", method)
    assert answer.status_code != 403


def test_write_satisfies_read(start: Start) -> None:
    sandbox, _ = start(keys={"phx_write": ["hog_flow:write"]})
    assert ask(sandbox, LIST, "phx_write").status_code == 200


def test_a_key_of_another_project_is_refused_before_its_scopes_are_looked_at(start: Start) -> None:
    other = Key(value="phx_other", name="other", scopes=("feature_flag:read",), teams=(7,))
    sandbox, _ = start(keys={"phx_other": other})
    answer = ask(sandbox, LIST, "phx_other")
    assert answer.status_code == 403
    detail = "API key does not have access to the requested project: ID 1."
    assert answer.json() == raised(*DENIED, detail)


@pytest.mark.parametrize(
    ("project", "status", "body"),
    [
        ("2", 403, raised(*DENIED, "You don't have access to the project.")),
        ("999", 404, raised("invalid_request", "not_found", "Project not found.")),
        ("abc", 404, raised("invalid_request", "not_found", "Project not found.")),
    ],
)
def test_foreign_unknown_and_misspelt_projects(
    docs: tuple[Sandbox, Http], project: str, status: int, body: dict
) -> None:
    answer = ask(docs[0], f"/api/projects/{project}/hog_flows/", "phx_sandbox")
    assert (answer.status_code, answer.json()) == (status, body)


def test_current_stands_for_the_key_owners_project(docs: tuple[Sandbox, Http]) -> None:
    docs[0].world.add_workflow("Here")
    answer = ask(docs[0], "/api/projects/@current/hog_flows/", "phx_sandbox")
    assert answer.json()["count"] == 1


def test_an_undeclared_method_is_closed_to_keys_rather_than_a_405(
    docs: tuple[Sandbox, Http],
) -> None:
    sandbox, http = docs
    workflow = sandbox.world.add_workflow()["id"]
    answer = http.post(f"/hog_flows/{workflow}/", json={})
    assert answer.status_code == 403
    assert answer.json() == raised(*DENIED, "This action does not support Personal API Key access")
    assert answer.headers["allow"] == "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"


def test_custom_actions_can_be_closed_to_every_key_but_a_legacy_one(start: Start) -> None:
    sandbox, http = start(
        keys={"phx_all": ["*"], "phx_legacy": None}, keys_refused_on_custom_actions=True
    )
    workflow = sandbox.world.add_workflow()["id"]
    path = f"/api/projects/1/hog_flows/{workflow}/blocked_runs/"
    refused = ask(sandbox, path, "phx_all")
    assert refused.status_code == 403
    assert refused.json()["detail"] == "This action does not support Personal API Key access"
    assert http.get(f"/hog_flows/{workflow}/logs/").status_code == 200
    assert ask(sandbox, path, "phx_legacy").status_code == 200


def test_an_unknown_path_is_told_apart_from_an_unknown_workflow(
    docs: tuple[Sandbox, Http],
) -> None:
    _, http = docs
    nowhere = http.get("/does_not_exist/")
    assert nowhere.status_code == 404
    assert nowhere.json() == raised("invalid_request", "not_found", "Endpoint not found.")
    assert nowhere.headers["allow"] == "PUT, POST, PATCH, GET, OPTIONS, DELETE, HEAD"
    assert http.get(f"/hog_flows/{UNKNOWN}/").json()["detail"] == "Not found."
    assert http.get("/hog_flows/not-a-uuid/").json()["detail"] == "Not found."


def test_the_trailing_slash_is_optional(docs: tuple[Sandbox, Http]) -> None:
    _, http = docs
    assert http.get("/hog_flows").status_code == http.get("/hog_flows/").status_code == 200


def test_options_describes_a_path(docs: tuple[Sandbox, Http]) -> None:
    answer = docs[1].request("OPTIONS", "/hog_flows/")
    assert answer.json() == {
        "name": "Hog Flow List",
        "description": "",
        "renders": ["application/json"],
        "parses": [
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
        ],
    }
    assert answer.headers["allow"] == "GET, POST, HEAD, OPTIONS"


@pytest.mark.parametrize(
    ("generation", "place"), [("docs", "environments"), ("current", "projects")]
)
def test_the_environments_alias_answers_and_newer_pages_lead_away_from_it(
    start: Start, generation: str, place: str
) -> None:
    sandbox, _ = start(generation=generation)
    for name in ("One", "Two"):
        sandbox.world.add_workflow(name)
    answer = ask(sandbox, "/api/environments/1/hog_flows/?limit=1", "phx_sandbox")
    expected = f"{sandbox.url}/api/{place}/1/hog_flows/?limit=1&offset=1"
    assert answer.json()["next"] == expected
    assert ("deprecation" in answer.headers) is (generation == "current")


def test_the_environments_alias_can_redirect_with_307(start: Start) -> None:
    sandbox, _ = start(redirect_environments=True)
    answer = ask(sandbox, "/api/environments/1/hog_flows/?limit=1", "phx_sandbox")
    assert answer.status_code == 307
    assert answer.headers["location"] == "/api/projects/1/hog_flows/?limit=1"
    assert answer.headers["link"] == '</api/projects/1/hog_flows/>; rel="successor-version"'


def test_a_key_can_ask_about_itself_and_the_project(start: Start) -> None:
    sandbox, http = start(timezone="Asia/Kolkata", keys={"phx_a": ["project:read", "user:read"]})
    assert http.get("/").json()["timezone"] == "Asia/Kolkata"
    about = ask(sandbox, "/api/personal_api_keys/@current/", "phx_a").json()
    assert about["scopes"] == ["project:read", "user:read"]
    assert about["value"] is None
    assert ask(sandbox, "/api/users/@me/", "phx_a").json()["team"]["id"] == 1
