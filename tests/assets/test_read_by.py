"""Reading by SQL: the same rows as by REST, those of batch jobs too; REST where SQL fails."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import (
    _reader,
    _sql_table,
    build_hog_function_logs_asset,
    build_hog_function_metrics_asset,
    build_workflow_logs_asset,
    build_workflow_metrics_asset,
    build_workflow_runs_asset,
)
from hog_dagster.assets._function_tables import HOG_FUNCTION_LOGS, HOG_FUNCTION_METRICS
from hog_dagster.assets._workflow_tables import WORKFLOW_LOGS, WORKFLOW_METRICS, WORKFLOW_RUNS
from hog_dagster.resources import PostHogResource
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import Table
from tests.assets import kit

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MS = timedelta(milliseconds=1)
DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-01", end_date="2026-11-22")
TABLES: dict[str, tuple[Callable[..., Any], Table]] = {
    "workflow_logs": (build_workflow_logs_asset, WORKFLOW_LOGS),
    "workflow_metrics": (build_workflow_metrics_asset, WORKFLOW_METRICS),
    "workflow_runs": (build_workflow_runs_asset, WORKFLOW_RUNS),
    "hog_function_logs": (build_hog_function_logs_asset, HOG_FUNCTION_LOGS),
    "hog_function_metrics": (build_hog_function_metrics_asset, HOG_FUNCTION_METRICS),
}


@pytest.fixture
def load(resources, instance) -> Callable[..., tuple[list[dict[str, Any]], str]]:
    """Load a table of a sandbox and give its rows, and what the run noted."""

    def load(
        sandbox: Sandbox,
        name: str,
        first: str,
        last: str,
        *,
        posthog: dict[str, Any] | None = None,
        **more: Any,
    ) -> tuple[list[dict[str, Any]], str]:
        build, table = TABLES[name]
        given = resources(sandbox)
        if posthog is not None:
            usual = {"host": sandbox.url, "api_key": sandbox.api_key, "project_id": "1"}
            given["posthog"] = PostHogResource(**{**usual, **posthog})
        result = dg.materialize(
            [build(DAYS, **more)],
            resources=given,
            instance=instance,
            raise_on_error=False,
            tags=kit.days(first, last),
        )
        assert result.success
        metadata = result.get_asset_materialization_events()[0].materialization.metadata
        with given["warehouse"].open() as warehouse:
            rows = warehouse.read(table).to_pylist()
        for row in rows:
            del row["_loaded_at"]
            row.pop("parent_run_id", None)  # Only SQL shows it.
        said = metadata["posthog/notes"].value if "posthog/notes" in metadata else ""
        return rows, str(said)

    return load


def as_set(rows: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(sorted(row.items(), key=lambda item: item[0])) for row in rows)


def lines(workflow_rows: list[tuple[datetime, str, str]]) -> list[dict[str, Any]]:
    return [
        {"instance_id": run, "timestamp": at, "level": "INFO", "message": text}
        for at, run, text in workflow_rows
    ]


# -- the same rows -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generation", "zone"),
    [
        pytest.param("docs", "UTC", marks=pytest.mark.integration),
        ("current", "Asia/Kolkata"),
    ],
)
def test_both_paths_land_the_same_rows_of_a_busy_project(generation, zone, load, monkeypatch):
    for module in (_reader, _sql_table):
        monkeypatch.setattr(module, "PAGE_ROWS", 200)
    days = ("2026-11-17", "2026-11-20")
    with Sandbox(generation, now=NOW, timezone=zone, limits=False) as sandbox:
        for name in TABLES:
            given = {} if name.endswith("metrics") else {"messages": "keep"}
            sandbox.reset_counts()
            plain, _ = load(sandbox, name, *days, read_by="rest", **given)
            assert sandbox.count("POST", "*/query/") == 0
            sandbox.reset_counts()
            quick, said = load(sandbox, name, *days, read_by="auto", **given)
            queries = sandbox.count("POST", "*/query/")
            of_jobs = [row for row in quick if row.get("batch_job_id")]
            assert as_set([row for row in quick if row not in of_jobs]) == as_set(plain)
            if name == "workflow_runs" and generation == "docs":
                assert plain == []
                continue
            assert said == ""
            assert sandbox.count("GET", "*/logs/") + sandbox.count("GET", "*/metrics/") == 0
            assert len(plain) > 50
            assert 2 <= queries <= len(quick) / 100 + 8


@pytest.mark.parametrize("generation", ["docs", "current"])
def test_lines_and_counts_of_batch_jobs_land_under_their_workflow(generation, load):
    with Sandbox(generation, populate=False, now=NOW, limits=False) as sandbox:
        world = sandbox.world
        for _ in range(7):
            world.add_person()
        workflow = world.add_workflow("Newsletter", "batch")["id"]
        other = world.add_workflow("Onboarding")["id"]
        world.add_logs(other, lines([(NOON, "run", "of the other")]))
        jobs = []
        for n in range(2):
            job = world.add_batch_job(workflow, created_at=NOON + timedelta(minutes=n))
            world.add_logs(job.id, lines([(NOON + MS, f"run {m}", "sent") for m in range(7)]))
            world.emit_metric(job.id, NOON, "succeeded", "success", 7)
            world.emit_metric(job.id, NOON, "email_sent", "email", 6, instance_id="mail")
            jobs.append(job.id)
        world.emit_metric(workflow, NOON, "triggered", "other", 2)
        days = ("2026-11-20", "2026-11-20")
        plain, _ = load(sandbox, "workflow_logs", *days, read_by="rest")
        assert [row["batch_job_id"] for row in plain] == [""]
        rows, said = load(sandbox, "workflow_logs", *days, read_by="auto")
        assert said == ""
        assert Counter((row["workflow_id"], row["batch_job_id"]) for row in rows) == {
            (other, ""): 1,
            (workflow, jobs[0]): 7,
            (workflow, jobs[1]): 7,
        }
        rows, _ = load(sandbox, "workflow_logs", *days, read_by="rest")
        assert Counter(row["batch_job_id"] for row in rows) == {"": 1, jobs[0]: 7, jobs[1]: 7}
        counted, _ = load(sandbox, "workflow_metrics", *days, read_by="auto")
        kept, _ = load(sandbox, "workflow_metrics", *days, read_by="rest")
        assert as_set(kept) == as_set(counted)
    found = {
        (row["batch_job_id"], row["level"], row["action_id"], row["metric"]): row["value"]
        for row in counted
    }
    assert found == {
        ("", "run", "", "triggered"): 2,
        **{(job, "run", "", "succeeded"): 7 for job in jobs},
        **{(job, "action", "mail", "email_sent"): 6 for job in jobs},
    }


def test_rows_of_others_are_left_alone_when_there_are_too_many_ids_to_name(load, monkeypatch):
    monkeypatch.setattr(_sql_table, "_MOST_IDS", 1)
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        for n in range(3):
            workflow = sandbox.world.add_workflow(f"W{n}")["id"]
            sandbox.world.add_logs(workflow, lines([(NOON + n * MS, "run", f"line {n}")]))
        sandbox.world.add_logs("deleted-workflow", lines([(NOON, "run", "of nobody")]))
        function = sandbox.world.add_hog_function()["id"]
        sandbox.world.add_logs(function, lines([(NOON, "run", "of a function")]))
        rows, _ = load(sandbox, "workflow_logs", "2026-11-20", "2026-11-20", read_by="auto")
    assert sorted(row["message"] for row in rows) == ["line 0", "line 1", "line 2"]


@pytest.mark.parametrize("level", ["ERROR", "warn, error", None])
def test_only_the_wanted_levels_land(level, load):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        for n, name in enumerate(("DEBUG", "INFO", "WARN", "ERROR")):
            line = {"instance_id": "r", "timestamp": NOON + n * MS, "level": name, "message": ""}
            sandbox.world.add_logs(workflow, [line])
        days = ("2026-11-20", "2026-11-20")
        plain, _ = load(sandbox, "workflow_logs", *days, level=level, read_by="rest")
        quick, _ = load(sandbox, "workflow_logs", *days, level=level, read_by="auto")
    assert as_set(quick) == as_set(plain)
    assert len(plain) == len((level or "a,b,c,d").split(","))


def test_a_row_that_is_stored_twice_lands_once(load):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        row = {"instance_id": "run", "timestamp": NOON, "level": "INFO", "unmerged": True}
        for text in ("one", "two", "one", "one"):
            sandbox.world.add_logs(workflow, [{**row, "message": text}])
        rows, _ = load(sandbox, "workflow_logs", "2026-11-20", "2026-11-20", read_by="auto")
    assert sorted(row["message"] for row in rows) == ["one", "two"]


@pytest.mark.parametrize("page_rows", [30, 100, 901])
def test_ties_larger_than_a_page_land_once(page_rows, load, monkeypatch):
    monkeypatch.setattr(_reader, "PAGE_ROWS", page_rows)
    ties = [1, 50, 400, 3]
    wanted = Counter(f"{n}/{m}" for n, size in enumerate(ties) for m in range(size))
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        for n, size in enumerate(ties):
            rows = [(NOON + n * MS, f"run {m}", f"{n}/{m}") for m in range(size)]
            sandbox.world.add_logs(workflow, lines(rows))
        loaded, _ = load(sandbox, "workflow_logs", "2026-11-20", "2026-11-20", read_by="auto")
    assert Counter(row["message"] for row in loaded) == wanted


# -- falling back --------------------------------------------------------------------------------


def test_a_key_without_the_scope_reads_the_rest_endpoints(load):
    keys = {"phx_narrow": ["hog_flow:read", "hog_function:read", "person:read"]}
    narrow = {"api_key": "phx_narrow"}
    with Sandbox("current", now=NOW, limits=False, keys=keys) as sandbox:
        for name in TABLES:
            sandbox.reset_counts()
            days = ("2026-11-19", "2026-11-20")
            plain, _ = load(sandbox, name, *days, posthog=narrow, read_by="rest")
            quick, said = load(sandbox, name, *days, posthog=narrow, read_by="auto")
            assert sandbox.count("POST", "*/query/") == 1
            assert as_set(quick) == as_set(plain)
            assert plain
            assert "query:read" in said
            assert "REST" in said


@pytest.mark.parametrize(
    ("name", "after", "status"),
    [
        ("workflow_logs", 1, 500),
        ("workflow_logs", 3, 400),
        ("workflow_metrics", 2, 500),
        ("workflow_runs", 2, 400),
    ],
)
def test_a_failure_half_way_reads_the_rest_from_the_rest_endpoints_once(
    name, after, status, load, monkeypatch
):
    monkeypatch.setattr(_reader, "PAGE_ROWS", 40)
    with Sandbox("current", now=NOW, limits=False) as sandbox:
        days = ("2026-11-18", "2026-11-19")
        plain, _ = load(sandbox, name, *days, read_by="rest")
        detail = {"type": "server_error", "code": "error", "detail": "no more", "attr": None}
        sandbox.fail("POST", "*/query", times=99, after=after, status=status, body=detail)
        quick, said = load(sandbox, name, *days, read_by="auto")
    assert as_set([row for row in quick if not row.get("batch_job_id")]) == as_set(plain)
    assert len(plain) > 80
    assert "SQL failed" in said
    assert "no more" in said


@pytest.mark.parametrize("status", [512, 504])
def test_a_stretch_that_is_too_much_is_read_in_halves(status, load):
    with Sandbox("current", now=NOW, limits=False) as sandbox:
        days = ("2026-11-18", "2026-11-19")
        plain, _ = load(sandbox, "workflow_logs", *days, read_by="rest")
        sandbox.fail("POST", "*/query", times=1, after=1, status=status, body=b"")
        hasty = {"max_wait_seconds": 0.01}  # Else a 504 is asked again before it is believed.
        quick, said = load(sandbox, "workflow_logs", *days, posthog=hasty, read_by="auto")
    assert as_set([row for row in quick if not row["batch_job_id"]]) == as_set(plain)
    assert said == ""


def test_an_hour_that_is_too_much_is_read_from_the_rest_endpoints(load, monkeypatch):
    monkeypatch.setattr(_reader, "_AT_ONCE", timedelta(0))  # Rows are counted first.
    with Sandbox("current", now=NOW, limits=False) as sandbox:
        days = ("2026-11-19", "2026-11-19")
        plain, _ = load(sandbox, "workflow_logs", *days, read_by="rest")
        sandbox.fail("POST", "*/query", times=99, after=1, status=512, body=b"")
        quick, said = load(sandbox, "workflow_logs", *days, read_by="auto")
        queries = sandbox.count("POST", "*/query/")
    assert as_set(quick) == as_set(plain)
    assert "SQL failed" in said
    assert queries <= 8


def test_a_table_that_shows_nothing_is_not_trusted(load):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        sandbox.world.add_logs(workflow, lines([(NOON, "run", "there")]))
        nothing = {"results": [], "columns": ["seen"], "types": [["seen", "UInt8"]]}
        sandbox.fail("POST", "*/query", times=99, status=200, body=nothing)
        rows, said = load(sandbox, "workflow_logs", "2026-11-20", "2026-11-20", read_by="auto")
    assert [row["message"] for row in rows] == ["there"]
    assert "nothing proves" in said


def test_a_revoked_key_is_no_reason_to_fall_back(resources, instance):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        sandbox.world.add_logs(workflow, lines([(NOON, "run", "there")]))
        refused = {"type": "authentication_error", "code": "authentication_failed"}
        refused |= {"detail": "Personal API key found in request Authorization header is invalid."}
        sandbox.fail("POST", "*/query", status=401, body=refused)
        result = dg.materialize(
            [build_workflow_logs_asset(DAYS, read_by="auto")],
            resources=resources(sandbox),
            instance=instance,
            raise_on_error=False,
            partition_key="2026-11-20",
        )
        assert not result.success
        assert sandbox.count("GET", "*/logs/") == 0


def test_batch_jobs_that_are_not_listed_are_named_and_the_rest_lands(load):
    keys = {"phx_sandbox": ["*"]}
    with Sandbox(
        "docs",
        populate=False,
        now=NOW,
        limits=False,
        keys=keys,
        keys_refused_on_custom_actions=True,
    ) as sandbox:
        workflow = sandbox.world.add_workflow("Newsletter", "batch")["id"]
        job = sandbox.world.add_batch_job(workflow, created_at=NOON)
        sandbox.world.add_logs(workflow, lines([(NOON, "run", "of the workflow")]))
        sandbox.world.add_logs(job.id, lines([(NOON, "run", "of the job")]))
        rows, said = load(sandbox, "workflow_logs", "2026-11-20", "2026-11-20", read_by="auto")
    assert [row["message"] for row in rows] == ["of the workflow"]
    assert "Rows of batch jobs are left out" in said


@pytest.mark.parametrize("name", ["hog_function_logs", "hog_function_metrics"])
def test_sql_reads_what_a_server_refuses_to_keys(name, load):
    with Sandbox(
        "docs", populate=False, now=NOW, limits=False, keys_refused_on_custom_actions=True
    ) as sandbox:
        function = sandbox.world.add_hog_function()["id"]
        sandbox.world.add_logs(function, lines([(NOON, f"run {n}", "x") for n in range(5)]))
        for n in range(5):
            sandbox.world.emit_metric(function, NOON, f"m{n}", "other", n + 1, instance_id=f"i{n}")
        rows, said = load(sandbox, name, "2026-11-20", "2026-11-20", read_by="auto")
        assert said == ""
        assert len(rows) == 5
        rows, said = load(sandbox, name, "2026-11-20", "2026-11-20", read_by="rest")
        assert len(rows) == 5
        assert "what was loaded earlier stays" in said
