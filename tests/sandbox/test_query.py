"""The query endpoint runs HogQL over the sandbox's own tables."""

from datetime import timedelta
from typing import Any

import pytest
from sqlglot.generator import Generator
from sqlglot.parser import Parser

from hog_dagster.sandbox import Sandbox
from hog_dagster.sandbox.api._hogql import run as hogql
from hog_dagster.sandbox.api._hogql import tables as hogql_tables
from tests.sandbox.conftest import Http, Start
from tests.sandbox.insight_kit import NOW, many, node, tell, viz


@pytest.fixture
def server(start: Start) -> tuple[Sandbox, Http]:
    sandbox, http = start(generation="current", limits=False)
    sandbox.clock.freeze(NOW)
    return sandbox, http


def ask(http: Http, text: str, **fields: Any) -> dict[str, Any]:
    query = {"kind": "HogQLQuery", "query": text, **fields}
    answer = http.post("/query/", json={"query": query, "refresh": "force_blocking"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def rows(http: Http, text: str, **fields: Any) -> list[Any]:
    return ask(http, text, **fields)["results"]


def refused(http: Http, text: str) -> str:
    answer = http.post("/query/", json={"query": {"kind": "HogQLQuery", "query": text}})
    body = answer.json()
    assert (answer.status_code, body["type"], body["code"]) == (
        400,
        "validation_error",
        "invalid_input",
    )
    return body["detail"]


def test_the_answer_has_the_servers_shape(server: tuple[Sandbox, Http]) -> None:
    sandbox, http = server
    tell(sandbox)
    body = ask(http, "select event, count() from events group by event order by event limit 2")
    assert body["results"] == [["pay", 2], ["sign up", 2]]
    assert body["columns"] == ["event", "count()"]
    assert body["types"] == [["event", "String"], ["count()", "UInt64"]]
    assert (body["hasMore"], body["limit"], body["offset"]) == (None, None, None)
    assert body["hogql"] == (
        "SELECT\n    event,\n    count()\nFROM\n    events\nGROUP BY\n    event\n"
        "ORDER BY\n    event ASC\nLIMIT 2"
    )
    assert body["timezone"] == "UTC"


def test_100_rows_unless_asked_and_50000_at_most(server: tuple[Sandbox, Http]) -> None:
    sandbox, http = server
    many(sandbox, 150)
    body = ask(http, "select distinct_id from events")
    assert (len(body["results"]), body["hasMore"], body["limit"]) == (100, True, 100)
    assert len(rows(http, "select distinct_id from events limit 120 offset 40")) == 110
    assert len(rows(http, "select distinct_id from events limit 90000")) == 150


def test_an_identical_query_is_answered_from_the_cache_for_hours(
    server: tuple[Sandbox, Http],
) -> None:
    sandbox, http = server
    body = {"query": {"kind": "HogQLQuery", "query": "select count() from events"}}
    assert http.post("/query/", json=body).json()["results"] == [[0]]
    tell(sandbox)
    cached = http.post("/query/", json=body).json()
    assert (cached["results"], cached["is_cached"]) == ([[0]], True)
    fresh = http.post("/query/", json={**body, "refresh": "force_blocking"}).json()
    assert fresh["results"] == [[11]]


def test_logs_of_workflows_functions_and_batch_jobs_are_all_here(
    server: tuple[Sandbox, Http],
) -> None:
    sandbox, http = server
    world = sandbox.world
    workflow = world.add_workflow("Onboarding")["id"]
    function = world.add_hog_function()["id"]
    job = world.add_batch_job(workflow).id
    for source, level in ((workflow, "info"), (function, "warn"), (job, "error")):
        at = NOW - timedelta(hours=1)
        row = {"instance_id": "i", "timestamp": at, "level": level, "message": f"of {level}"}
        world.add_logs(source, [row])
    text = "select log_source, log_source_id, level, message from log_entries order by message"
    assert rows(http, text) == [
        ["hog_flow", job, "error", "of error"],
        ["hog_flow", workflow, "info", "of info"],
        ["hog_function", function, "warn", "of warn"],
    ]
    rest = http.get(f"/hog_flows/{workflow}/logs/").json()["results"]
    assert [row["message"] for row in rest] == ["of info"]


def test_log_rows_that_are_late_or_too_old_are_not_there(server: tuple[Sandbox, Http]) -> None:
    sandbox, http = server
    workflow = sandbox.world.add_workflow()["id"]
    late = {"visible_at": NOW + timedelta(minutes=1)}
    for days, more in ((0, late), (1, {}), (91, {})):
        at = NOW - timedelta(days=days)
        row = {"instance_id": str(days), "timestamp": at, "message": "m", **more}
        sandbox.world.add_logs(workflow, [row])
    text = "select instance_id from log_entries order by timestamp"
    assert rows(http, text) == [["1"]]
    sandbox.clock.advance(120)
    assert rows(http, text) == [["1"], ["0"]]


def test_a_keyset_walk_over_tied_rows_sees_every_row_once(server: tuple[Sandbox, Http]) -> None:
    sandbox, http = server
    workflow = sandbox.world.add_workflow()["id"]
    at = NOW - timedelta(hours=1, microseconds=-123)
    sandbox.world.add_logs(
        workflow,
        [
            {
                "instance_id": f"i{n:03}",
                "timestamp": at + timedelta(microseconds=n // 40),
                "message": "m",
            }
            for n in range(130)
        ],
    )
    seen: list[str] = []
    after = ("1970-01-01 00:00:00.000000", "")
    while True:
        page = rows(
            http,
            "select timestamp, instance_id from log_entries where log_source_id = {source} and "
            "(timestamp, instance_id) > (toDateTime64({at}, 6, 'UTC'), {id}) "
            "order by timestamp, instance_id limit 50",
            values={"source": workflow, "at": after[0], "id": after[1]},
        )
        seen += [row[1] for row in page]
        if len(page) < 50:
            break
        after = (page[-1][0].removesuffix("Z").replace("T", " "), page[-1][1])
    assert seen == [f"i{n:03}" for n in range(130)]


def test_time_windows_can_be_half_open(server: tuple[Sandbox, Http]) -> None:
    sandbox, http = server
    tell(sandbox)
    text = (
        "select distinct_id, timestamp from events where event = 'visit' and "
        "timestamp >= toDateTime('2026-05-19 08:00:00', 'UTC') and "
        "timestamp < toDateTime('2026-05-19T10:00:00Z') order by timestamp"
    )
    assert rows(http, text) == [
        ["anna", "2026-05-19T08:00:00Z"],
        ["ben", "2026-05-19T09:00:00Z"],
    ]


def test_times_are_in_the_projects_zone(start: Start) -> None:
    sandbox, http = start(timezone="America/New_York", limits=False)
    tell(sandbox)
    text = "select timestamp, toDate(timestamp) from events where distinct_id = 'carl'"
    body = ask(http, text)
    assert body["results"] == [["2026-05-19T06:00:00-04:00", "2026-05-19"]]
    assert body["types"][0] == ["timestamp", "DateTime64(6, 'America/New_York')"]
    naive = "select count() from events where timestamp < toDateTime('2026-05-18 05:05:00')"
    assert rows(http, naive) == [[1]]


def test_the_present_is_the_sandboxes_clock(server: tuple[Sandbox, Http]) -> None:
    sandbox, http = server
    tell(sandbox)
    text = "select now(), today(), yesterday(), countIf(timestamp > now() - interval 4 hour)"
    assert rows(http, text + " from events") == [
        ["2026-05-20T12:00:00Z", "2026-05-20", "2026-05-19", 2]
    ]


def test_the_latest_state_of_runs_by_argmax(server: tuple[Sandbox, Http]) -> None:
    sandbox, http = server
    workflow = sandbox.world.add_workflow()["id"]
    run = sandbox.world.add_run(workflow, "failed", NOW - timedelta(hours=1)).invocation_id
    function = sandbox.world.add_hog_function()["id"]
    sandbox.world.add_function_run(function, "succeeded", NOW - timedelta(hours=2))
    text = (
        "select function_kind, invocation_id, argMax(status, version) as status "
        "from hog_invocation_results where function_id = {id} "
        "group by function_kind, invocation_id having status = 'failed'"
    )
    assert rows(http, text, values={"id": workflow}) == [["hog_flow", run, "failed"]]
    assert rows(http, text, values={"id": function}) == []
    assert "invocation_globals" not in ask(http, "select * from hog_invocation_results")["columns"]


def test_a_query_that_names_runs_reads_their_rows_alone_and_answers_the_same(
    server: tuple[Sandbox, Http], monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox, http = server
    workflows = [sandbox.world.add_workflow()["id"] for _ in range(2)]
    names = [f"run-{number}" for number in range(40)]
    for number, name in enumerate(names):
        workflow = workflows[number % 2]
        sandbox.world.add_run(workflow, "failed", NOW - timedelta(hours=1), invocation_id=name)
        line = {"instance_id": name, "timestamp": NOW, "level": "info", "message": "one"}
        sandbox.world.add_logs(workflow, [line, {**line, "message": "two", "unmerged": True}])
    read: list[int] = []

    def load(*args: Any) -> Any:
        table = hogql_tables.load(*args)
        read.append(table.num_rows)
        return table

    monkeypatch.setattr(hogql, "load", load)
    chosen = "'run-0', 'run-1', 'run-2', 'it''s none'"
    runs = "select toString(invocation_id) as id, max(version) from hog_invocation_results"
    lines = "select instance_id as id, message from log_entries"
    failed = f"function_kind = 'hog_flow' and function_id = '{workflows[0]}' and status = 'failed'"
    for select, where, group in (
        (runs, f"invocation_id in ({chosen}) and {failed}", "group by invocation_id"),
        (lines, f"log_source_id = '{workflows[0]}' and instance_id in ({chosen})", ""),
        (lines, f"instance_id in ({chosen}) and startsWith(message, 't')", ""),
    ):
        whole = rows(http, f"{select} where ({where}) or 1 = 0 {group} order by id, 2")
        some = rows(http, f"{select} where {where} {group} order by id, 2")
        inner = rows(http, f"select * from ({select} where {where} {group}) order by id, 2")
        assert whole == some == inner
        assert {"run-0", "run-2"} <= {row[0] for row in whole} <= {"run-0", "run-1", "run-2"}
        assert read[0] >= 40 > 10 > read[1] == read[2] > 0
        read.clear()


def test_metrics_by_hour_without_the_double_count(server: tuple[Sandbox, Http]) -> None:
    sandbox, http = server
    workflow = sandbox.world.add_workflow()["id"]
    at = NOW - timedelta(hours=3)
    sandbox.world.emit_metric(workflow, at, "succeeded", "success", 5)
    sandbox.world.emit_metric(workflow, at, "succeeded", "success", 7, "action_1")
    text = (
        "select toStartOfHour(timestamp) as hour, metric_name, sum(count) as n from app_metrics "
        "where app_source_id = {id} and instance_id = '' group by hour, metric_name"
    )
    assert rows(http, text, values={"id": workflow}) == [["2026-05-20T09:00:00Z", "succeeded", 5]]


def test_properties_are_read_by_dot_and_by_bracket(server: tuple[Sandbox, Http]) -> None:
    sandbox, http = server
    sandbox.world.add_group_type("company")
    sandbox.world.add_group(0, "acme", {"plan": "pro"})
    sandbox.world.add_events(
        [
            {
                "event": "visit",
                "timestamp": NOW,
                "distinct_id": "anna",
                "properties": {"$browser": "Chrome", "$group_0": "acme", "nested": {"a": [1]}},
                "person_properties": {"email": "anna@example.com"},
            }
        ]
    )
    text = (
        "select properties.$browser, properties['$browser'], person.properties.email, "
        "group_0.properties.plan, properties.nested.a, properties.nothing, $group_0 from events"
    )
    body = ask(http, text)
    assert body["results"] == [["Chrome", "Chrome", "anna@example.com", "pro", "[1]", None, "acme"]]
    assert body["columns"][0] == "properties.$browser"
    assert body["types"][0] == ["properties.$browser", "Nullable(String)"]
    groups = "select key, properties.plan from groups where index = 0"
    assert rows(http, groups) == [["acme", "pro"]]


def test_expressions_are_named_as_hogql_prints_them(server: tuple[Sandbox, Http]) -> None:
    sandbox, http = server
    tell(sandbox)
    body = ask(
        http,
        "select count() > 5, countIf(distinct_id = 'anna'), "
        "multiIf(event = 'visit', 1, event = 'pay', 2, 3) as code, "
        "quantile(0.5)(toFloat(properties.amount)) as middle "
        "from events group by event order by code",
    )
    assert body["columns"] == [
        "greater(count(), 5)",
        "countIf(equals(distinct_id, 'anna'))",
        "code",
        "middle",
    ]
    assert body["results"] == [[1, 3, 1, None], [0, 2, 2, 21.25], [0, 1, 3, None]]


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("select nope from events", "Unable to resolve field: nope"),
        ("select count() from nowhere", "Unknown table `nowhere`."),
        ("select count() from app_metrics2", "Unknown table `app_metrics2`."),
        ("select readFile('x') from events", "Unsupported function call 'readFile(...)'"),
        ("delete from events", "mismatched input 'delete' expecting {SELECT, WITH, '(', '<'}"),
        ("select {x} from events", "Unresolved placeholder: {x}"),
    ],
)
def test_what_cannot_be_run_is_a_400_in_the_servers_words(
    server: tuple[Sandbox, Http], text: str, detail: str
) -> None:
    assert refused(server[1], text) == detail


def test_broken_syntax_is_a_400(server: tuple[Sandbox, Http]) -> None:
    assert refused(server[1], "select event from from events")


def test_older_servers_have_no_table_of_results(docs: tuple[Sandbox, Http]) -> None:
    text = "select count() from hog_invocation_results"
    assert refused(docs[1], text) == "Unknown table `hog_invocation_results`."


def test_other_kinds_of_queries_are_answered_too(server: tuple[Sandbox, Http]) -> None:
    sandbox, http = server
    tell(sandbox)
    source = viz("TrendsQuery", series=[node("visit")])["source"]
    body = http.post("/query/", json={"query": source}).json()
    assert body["results"][0]["data"] == [2, 3, 2]
    assert body["resolved_date_range"]["date_from"] == "2026-05-18T00:00:00Z"
    assert "columns" not in body
    for broken in ({}, {"query": {"kind": "Nonsense"}}, {"query": {"kind": "HogQLQuery"}}):
        assert http.post("/query/", json=broken).status_code == 400


def test_a_query_can_be_calculated_aside(server: tuple[Sandbox, Http]) -> None:
    sandbox, http = server
    tell(sandbox)
    body = {
        "query": {"kind": "HogQLQuery", "query": "select count() from events"},
        "refresh": "force_async",
        "client_query_id": "mine",
    }
    answer = http.post("/query/", json=body)
    assert answer.status_code == 202
    assert answer.json()["query_status"]["id"] == "mine"
    sandbox.clock.advance(1)
    done = http.get("/query/mine/").json()["query_status"]
    assert (done["complete"], done["results"]["results"]) == (True, [[11]])


def test_queries_need_their_scope_and_count_in_their_own_throttle(start: Start) -> None:
    keys = {"phx_all": ["*"], "phx_other": ["insight:read"]}
    sandbox, http = start(keys=keys, limits={"query": [(1, 60.0)]})
    body = {"query": {"kind": "HogQLQuery", "query": "select 1"}}
    with Http(sandbox, "phx_other") as other:
        assert other.post("/query/", json=body).status_code == 403
    codes = [http.post("/query/", json=body).status_code for _ in range(2)]
    assert codes == [200, 429]
    assert http.get("/groups_types/").status_code == 200


def test_nothing_inherits_from_what_sqlglot_compiles() -> None:
    """sqlglot[c], which dagster-dbt brings, refuses instances of such a class."""
    bases, ours = [Parser, Generator], set()
    while bases:
        bases += (found := bases.pop().__subclasses__())
        ours |= {one for one in found if one.__module__.startswith("hog_dagster")}
    assert ours == set()
