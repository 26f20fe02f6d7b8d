"""Answers that a running server of 2025-08 gave: forms of answers, bodies that are no objects,
filters and queries that cannot be read."""

import csv
import io
from typing import Any

import pytest

from tests.sandbox.conftest import Start

GENERATIONS = pytest.mark.parametrize("generation", ["docs", "current"])
JSON_LIST: list[Any] = [{"name": "a"}]


def told(answer: Any) -> tuple[int, str, str, str]:
    body = answer.json()
    return answer.status_code, body["type"], body["code"], body["detail"]


@GENERATIONS
@pytest.mark.parametrize("accept", ["text/html", "text/csv", "text/html,application/xml;q=0.9"])
def test_a_client_that_accepts_no_json_gets_406(start: Start, generation: str, accept: str) -> None:
    _, http = start(generation=generation)
    answer = http.get("/hog_flows/", headers={"Accept": accept})
    assert told(answer) == (
        406,
        "invalid_request",
        "not_acceptable",
        "Could not satisfy the request Accept header.",
    )
    refused = http.get("/hog_flows/", headers={"Accept": accept, "Authorization": "Bearer phx_no"})
    assert refused.status_code == 406  # That is looked at before the key.


@pytest.mark.parametrize("accept", ["*/*", "application/*", "text/html, */*;q=0.1", ""])
def test_a_client_that_accepts_anything_gets_json(start: Start, accept: str) -> None:
    _, http = start()
    answer = http.get("/hog_flows/", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


@GENERATIONS
def test_only_insights_are_answered_as_csv(start: Start, generation: str) -> None:
    _, http = start(generation=generation, populate=True)
    for path in ("/hog_flows/", "/groups/?group_type_index=0"):
        answer = http.get(path, params={**dict(http.get(path).url.params), "format": "csv"})
        assert told(answer) == (404, "invalid_request", "not_found", "Not found.")
    asks: list[dict[str, Any]] = [
        {"params": {"format": "csv"}},
        {"headers": {"Accept": "text/csv"}},
    ]
    for asked in asks:
        answer = http.get("/insights/", **asked)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        (row,) = csv.DictReader(io.StringIO(answer.text))
        assert int(row["count"]) > 0
        assert row["results.0.short_id"]
    assert http.get("/insights/?format=xml").status_code == 404


PATHS = ("/hog_flows/", "/hog_functions/", "/insights/", "/groups/", "/query/")
MORE = ("/hog_flows/user_blast_radius/", "/hog_flows/bulk_delete/")


@pytest.mark.parametrize("path", [*PATHS, *MORE])
def test_a_list_as_a_body_crashes_an_older_server(start: Start, path: str) -> None:
    _, http = start()
    answer = http.post(path, json=JSON_LIST)
    assert told(answer) == (500, "server_error", "error", "A server error occurred.")


@pytest.mark.parametrize("path", PATHS)
def test_a_list_as_a_body_is_refused_by_a_newer_server(start: Start, path: str) -> None:
    _, http = start(generation="current")
    assert http.post(path, json=JSON_LIST).status_code == 400


def test_finding_a_group_without_its_key_or_by_a_garbage_index_crashes(start: Start) -> None:
    _, http = start()
    for query in ("", "?group_type_index=0", "?group_key=a", "?group_type_index=x&group_key=a"):
        assert told(http.get(f"/groups/find/{query}"))[:2] == (500, "server_error")


@GENERATIONS
def test_properties_that_cannot_be_read_have_no_blast_radius(start: Start, generation: str) -> None:
    _, http = start(generation=generation, populate=True)

    def ask(properties: Any) -> Any:
        return http.post(
            "/hog_flows/user_blast_radius/", json={"filters": {"properties": properties}}
        )

    assert told(ask("{not json")) == (
        400,
        "validation_error",
        "invalid_input",
        "Data is unparsable!",
    )
    assert "PropertyGroup is unparsable" in told(ask({"type": "XOR", "values": []}))[3]
    everyone = ask([]).json()["total"]
    item = {"key": "email", "operator": "is_not_set", "type": "person"}
    for properties in ([item], f"[{item}]".replace("'", '"'), {"type": "AND", "values": [item]}):
        assert ask(properties).json() | {"confirm_token": 0} == ask([item]).json() | {
            "confirm_token": 0
        }
    either = {"type": "OR", "values": [item, {**item, "operator": "is_set"}]}
    assert ask(either).json()["affected"] == everyone
    assert ask({"type": "AND", "values": either["values"]}).json()["affected"] == 0


@GENERATIONS
@pytest.mark.parametrize("body", [{}, {"query": {}}, {"query": {"kind": "Nope"}}])
def test_a_query_that_fits_no_model_is_json_that_cannot_be_parsed(
    start: Start, generation: str, body: dict[str, Any]
) -> None:
    _, http = start(generation=generation)
    status, kind, code, detail = told(http.post("/query/", json=body))
    assert (status, kind, code) == (400, "invalid_request", "parse_error")
    assert detail.startswith("JSON parse error - 1 validation error for QueryRequest\nquery\n")


@GENERATIONS
@pytest.mark.parametrize(
    ("called", "hint"),
    [
        ("toDateTimes", "'toDateTimes(...)'. Perhaps you meant 'toDateTime(...)'?"),
        ("countif_", "'countif_(...)'. Perhaps you meant 'countIf(...)'?"),
        ("qqqqq", "'qqqqq(...)'"),
    ],
)
def test_an_unknown_function_is_refused_with_the_nearest_name(
    start: Start, generation: str, called: str, hint: str
) -> None:
    _, http = start(generation=generation)
    query = {"kind": "HogQLQuery", "query": f"select {called}('a')"}
    answer = told(http.post("/query/", json={"query": query}))
    assert answer == (
        400,
        "validation_error",
        "invalid_input",
        f"Unsupported function call {hint}",
    )


def test_an_older_server_names_what_it_has_for_a_newer_function(start: Start) -> None:
    _, http = start()
    query = {"kind": "HogQLQuery", "query": "select toDateTime64('2026-01-01', 3)"}
    assert told(http.post("/query/", json={"query": query}))[3] == (
        "Unsupported function call 'toDateTime64(...)'. Perhaps you meant 'toDateTime(...)'?"
    )


@pytest.mark.parametrize(("generation", "limit"), [("mid2026", 5_000), ("current", 500_000)])
def test_the_limit_of_a_batch_is_that_of_the_generation(
    start: Start, generation: str, limit: int
) -> None:
    _, http = start(generation=generation)
    answer = http.post("/hog_flows/user_blast_radius/", json={"filters": {}})
    assert answer.json()["limit"] == limit
