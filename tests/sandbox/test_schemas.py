"""The sandbox's answers have every field that PostHog's public schema requires, where that is
right.
"""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from hog_dagster.sandbox import Sandbox
from tests.sandbox.answer_shapes import array_of, page_of, schema_of
from tests.sandbox.conftest import Http


@pytest.fixture(scope="module", params=["docs", "current"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Sandbox, Http]]:
    """A populated project of either generation."""
    with Sandbox(generation=request.param, limits=False) as sandbox, Http(sandbox) as http:
        yield sandbox, http


def check(answer: Any, schema: dict[str, Any], status: int = 200) -> None:
    assert answer.status_code == status, answer.text
    jsonschema.validate(answer.json(), schema)


def first(rows: dict[str, Any]) -> str:
    return next(iter(rows))


LISTS = [
    ("/hog_functions/", page_of("hog function row")),
    ("/hog_function_templates/", page_of("template")),
    ("/groups/?group_type_index=0", page_of("group", counted=False)),
    ("/groups_types/", array_of("group type")),
    ("/insights/?basic=true", page_of("insight basics")),
    ("/insights/?refresh=blocking&limit=20", page_of("insight")),
    ("/hog_flows/", page_of("workflow")),
]


@pytest.mark.parametrize(("path", "schema"), LISTS, ids=[path for path, _ in LISTS])
def test_lists_have_the_documented_fields(
    server: tuple[Sandbox, Http], path: str, schema: dict[str, Any]
) -> None:
    check(server[1].get(path), schema)


def test_single_rows_have_the_documented_fields(server: tuple[Sandbox, Http]) -> None:
    sandbox, http = server
    function = first(sandbox.world.hog_functions)
    workflow = first(sandbox.world.workflows)
    for path, shape in (
        (f"/hog_functions/{function}/", "hog function"),
        (f"/hog_functions/{function}/metrics/", "metrics"),
        (f"/hog_functions/{function}/metrics/totals/", "totals"),
        ("/hog_function_templates/template-slack/", "template"),
        ("/groups/find/?group_type_index=0&group_key=company_001", "group"),
        ("/insights/1/", "insight"),
        (f"/hog_flows/{workflow}/", "workflow"),
        (f"/hog_flows/{workflow}/metrics/", "metrics"),
        (f"/hog_flows/{workflow}/metrics/totals/", "totals"),
    ):
        check(http.get(path), schema_of(shape))
    for path in (f"/hog_functions/{function}/logs/", f"/hog_flows/{workflow}/logs/"):
        check(http.get(path), page_of("log entry"))


def test_batch_jobs_and_schedules_are_bare_arrays(server: tuple[Sandbox, Http]) -> None:
    sandbox, http = server
    job = next(iter(sandbox.world.batch_jobs.values()))
    check(http.get(f"/hog_flows/{job.workflow_id}/batch_jobs/"), array_of("batch job"))
    schedule = next(iter(sandbox.world.schedules.values()))
    check(http.get(f"/hog_flows/{schedule.workflow_id}/schedules/"), array_of("schedule"))


def test_what_is_created_has_the_documented_fields(server: tuple[Sandbox, Http]) -> None:
    _, http = server
    webhook = {"template_id": "template-webhook", "inputs": {"url": {"value": "https://a.example"}}}
    check(http.post("/hog_functions/", json=webhook), schema_of("hog function"), 201)
    group = {"group_type_index": 0, "group_key": "made"}
    check(http.post("/groups/", json=group), schema_of("group"), 201)
    check(http.post("/insights/", json={"name": "Made"}), schema_of("insight"), 201)
    metric = {"name": "Made", "filters": {}}
    check(http.post("/groups_types/0/metrics/", json=metric), schema_of("usage metric"), 201)


def test_a_query_status_has_the_documented_fields(server: tuple[Sandbox, Http]) -> None:
    _, http = server
    job = http.get("/insights/2/?refresh=force_async").json()["query_status"]["id"]
    answer = http.get(f"/query/{job}/")
    jsonschema.validate(answer.json()["query_status"], schema_of("query status"))
