"""Which endpoints the generations have, and how any of them is taken away."""

import pytest

from hog_dagster.sandbox import ENDPOINT_NAMES, Sandbox
from tests.sandbox.conftest import Start

NEWEST = {
    "invocation_results_count": ("GET", "hog_flows/{id}/invocation_results_count/"),
    "global_metrics": ("GET", "hog_flows/metrics/global/"),
    "sent_messages": ("GET", "hog_flows/{id}/assets/"),
    "cancel_runs": ("POST", "hog_flows/{id}/invocations/cancel/"),
    "revisions": ("GET", "hog_flows/{id}/revisions/"),
}
MIDDLE = {
    "invocation_results": ("GET", "hog_flows/{id}/invocation_results/"),
    "rerun": ("POST", "hog_flows/{id}/rerun/"),
}
OLDER = {"blocked_runs": ("GET", "hog_flows/{id}/blocked_runs/")}


@pytest.mark.parametrize("generation", ["current", "mid2026", "docs"])
def test_each_generation_has_its_endpoints(start: Start, generation: str) -> None:
    sandbox, http = start(generation=generation)
    workflow = sandbox.world.add_workflow()["id"]
    held = {"current": {**NEWEST, **MIDDLE}, "mid2026": MIDDLE, "docs": OLDER}[generation]
    for name, (method, path) in {**NEWEST, **MIDDLE, **OLDER}.items():
        answer = http.request(method, "/" + path.format(id=workflow), json={})
        absent = answer.status_code == 404 and answer.json()["detail"] == "Endpoint not found."
        assert absent is (name not in held), name


def test_current_is_the_default() -> None:
    assert Sandbox(populate=False).generation == "current"


def test_a_single_endpoint_can_be_missing_from_the_start_or_from_now_on(start: Start) -> None:
    sandbox, http = start(generation="current", missing={"rerun"})
    workflow = sandbox.world.add_workflow()["id"]
    logs, rerun = f"/hog_flows/{workflow}/logs/", f"/hog_flows/{workflow}/rerun/"
    assert http.post(rerun, json={}).json()["detail"] == "Endpoint not found."
    assert http.get(logs).status_code == 200
    sandbox.site.missing = {"logs"}
    assert http.get(logs).json()["detail"] == "Endpoint not found."
    assert http.post(rerun, json={}).status_code == 400


def test_hogql_can_be_without_the_table_of_runs(start: Start) -> None:
    _, http = start(generation="current", missing={"hogql_runs"})
    query = {"kind": "HogQLQuery", "query": "select count() from hog_invocation_results"}
    answer = http.post("/query/", json={"query": query})
    assert (answer.status_code, "Unknown table" in answer.text) == (400, True)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no endpoint is called 'rerunn'"):
        Sandbox(populate=False, missing={"rerunn"})
    with pytest.raises(ValueError, match="generation must be one of"):
        Sandbox("v3", populate=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", sorted(ENDPOINT_NAMES))
def test_each_name_takes_its_path_away(start: Start, path: str) -> None:
    for generation in ("docs",) if "block" in path else ("current",):
        sandbox, http = start(
            generation=generation,
            missing={ENDPOINT_NAMES[path]},
            limits=False,
            function_results=True,
        )
        filled = path.format(
            id=sandbox.world.add_workflow()["id"], job_id="1", schedule_id="1", invocation_id="1"
        )
        if "functions" in path:
            filled = path.format(id=sandbox.world.add_hog_function()["id"], invocation_id="1")
        for method in ("GET", "POST"):
            answer = http.request(method, f"/{filled}/", json={})
            assert answer.json()["detail"] == "Endpoint not found.", method
