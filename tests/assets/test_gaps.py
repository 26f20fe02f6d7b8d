"""What cannot be read costs itself: the rest loads, what was loaded stays, the gap is named."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import (
    _reader,
    build_blocked_runs_asset,
    build_catalog_assets,
    build_workflow_logs_asset,
    build_workflow_metrics_asset,
    build_workflow_runs_asset,
)
from hog_dagster.assets._workflow_tables import (
    BLOCKED_RUNS,
    WORKFLOW_BATCH_JOBS,
    WORKFLOW_LOGS,
    WORKFLOW_METRICS,
    WORKFLOW_RUNS,
)
from hog_dagster.lineage._options import AssetOptions
from hog_dagster.resources import PostHogResource
from hog_dagster.sandbox import Sandbox
from tests.assets.conftest import WAREHOUSES

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DAYS = dg.DailyPartitionsDefinition(start_date="2026-08-01", end_date="2026-11-22")
DAY = "2026-11-20"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
TABLES: dict[str, tuple[Callable[..., Any], Any, str]] = {
    "logs": (build_workflow_logs_asset, WORKFLOW_LOGS, "logs"),
    "metrics": (build_workflow_metrics_asset, WORKFLOW_METRICS, "metrics"),
    "runs": (build_workflow_runs_asset, WORKFLOW_RUNS, "invocation_results"),
}
Load = Callable[..., tuple[list[dict[str, Any]], dict[str, Any]]]


@pytest.fixture
def load(resources, instance) -> Load:
    """Load a table and give its rows and the metadata of the newest partition."""

    def load(sandbox: Sandbox, name: str, day: str = DAY, **how: Any) -> Any:
        build, table, _ = TABLES[name]
        given = resources(sandbox)
        given["posthog"] = PostHogResource(
            host=sandbox.url, api_key=sandbox.api_key, project_id="1", max_wait_seconds=0.2
        )
        how = {"read_by": "rest", "options": AssetOptions(retry_policy=None), **how}
        result = dg.materialize(
            [build(DAYS, **how)],
            resources=given,
            instance=instance,
            raise_on_error=False,
            run_config=QUIET,
            partition_key=day,
        )
        assert result.success
        (event,) = result.get_asset_materialization_events()
        with given["warehouse"].open() as warehouse:
            return warehouse.read(table).to_pylist(), dict(event.materialization.metadata)

    return load


def fill(sandbox: Sandbox, workflow: str, at: datetime = NOON) -> None:
    line = {"instance_id": "run", "timestamp": at, "level": "INFO", "message": "x"}
    sandbox.world.add_logs(workflow, [line])
    sandbox.world.emit_metric(workflow, at, "succeeded", "success", 2)
    sandbox.world.add_run(workflow, "succeeded", at)


def problem(status: int) -> dict[str, Any]:
    codes = {400: "invalid_input", 403: "permission_denied", 404: "not_found"}
    return {
        "type": "server_error" if status == 500 else "invalid_request",
        "code": codes.get(status, "error"),
        "detail": "You do not have access to this. It is odd.",
        "attr": None,
    }


def gaps(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    table = metadata.get("gaps")
    return [dict(record.data) for record in table.records] if table else []


@pytest.mark.parametrize(
    "status", [*(pytest.param(n, marks=pytest.mark.integration) for n in (400, 404)), 403, 500]
)
@pytest.mark.parametrize("name", TABLES)
def test_one_workflow_that_answers_an_error_costs_itself_alone(name, status, load):
    costs_itself_alone(name, status, load)


@pytest.mark.parametrize("resources", ["postgres"], indirect=True)
@pytest.mark.parametrize("name", TABLES)
def test_in_postgresql_one_workflow_that_answers_an_error_costs_itself_alone(name, load):
    costs_itself_alone(name, 500, load)


def costs_itself_alone(name: str, status: int, load: Load) -> None:
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        good, bad = (sandbox.world.add_workflow(n)["id"] for n in ("Good", "Bad"))
        for workflow in (good, bad):
            fill(sandbox, workflow)
        before, metadata = load(sandbox, name)
        assert "gaps" not in metadata
        fill(sandbox, good, NOON + timedelta(hours=1))
        path = f"*/{bad}/{TABLES[name][2]}/"
        sandbox.fail("GET", path, times=0, status=status, body=problem(status))
        rows, metadata = load(sandbox, name)
    of_bad = [row for row in rows if row["workflow_id"] == bad]
    assert len(of_bad) == 1  # What was loaded earlier stays.
    assert of_bad[0]["_loaded_at"] in {row["_loaded_at"] for row in before}
    assert len([row for row in rows if row["workflow_id"] == good]) == 2
    (gap,) = gaps(metadata)
    assert gap["object"] == bad
    assert "It is odd" in gap["why"] or status == 500
    assert gap["remedy"]
    assert metadata["posthog/gaps"].value == 1


def test_when_every_workflow_answers_500_the_run_fails(load, resources, instance):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        for n in range(3):
            fill(sandbox, sandbox.world.add_workflow(f"W{n}")["id"])
        load(sandbox, "logs")
        sandbox.fail("GET", "*/logs/", times=0, status=500, body=problem(500))
        with pytest.raises(AssertionError):
            load(sandbox, "logs")
        with resources(sandbox)["warehouse"].open() as warehouse:
            assert warehouse.count(WORKFLOW_LOGS) == 3


OUTAGES: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "503": {"status": 503, "body": "<html>"},
    "cut": {"cut": "before"},
}


@pytest.mark.parametrize(
    ("name", "how"),
    [("logs", "500"), ("logs", "503"), ("logs", "cut"), ("metrics", "500"), ("runs", "cut")],
)
def test_an_outage_amid_a_step_fails_it_and_a_retry_lands_all(name, how, load, resources, instance):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        for n in range(12):
            fill(sandbox, sandbox.world.add_workflow(f"W{n:02}")["id"])
        _, table, path = TABLES[name]
        before, _ = load(sandbox, name)
        for workflow in sandbox.world.workflows:
            fill(sandbox, workflow, NOON + timedelta(hours=1))
        sandbox.reset_counts()
        sandbox.fail("GET", f"*/{path}/", times=0, after=5, **OUTAGES[how])
        once = AssetOptions(retry_policy=None, workers=3)
        with pytest.raises(AssertionError):
            load(sandbox, name, options=once)
        asked = sandbox.count()
        assert asked < 60  # And not all twelve to the end.
        with resources(sandbox)["warehouse"].open() as warehouse:
            assert warehouse.read(table).to_pylist() == before
        sandbox.clear_faults()
        sandbox.fail("GET", f"*/{path}/", times=30, after=5, **OUTAGES[how])
        again = AssetOptions(retry_policy=dg.RetryPolicy(max_retries=8), workers=3)
        rows, metadata = load(sandbox, name, options=again)
    assert len(rows) == 24
    assert not gaps(metadata)


def test_a_workflow_whose_answer_always_breaks_off_costs_itself_alone(load):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        bad, good = (sandbox.world.add_workflow(n)["id"] for n in ("Bad", "Good"))
        for workflow in (good, bad):
            fill(sandbox, workflow)
        sandbox.fail("GET", f"*/{bad}/logs/", times=0, cut="during")
        rows, metadata = load(sandbox, "logs", options=AssetOptions(retry_policy=None, workers=1))
    assert [row["workflow_id"] for row in rows] == [good]
    (gap,) = gaps(metadata)
    assert gap["object"] == bad


def test_an_outage_that_is_over_before_the_end_costs_nothing(load):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        for n in range(3):
            fill(sandbox, sandbox.world.add_workflow(f"W{n}")["id"])
        sandbox.fail("GET", "*/logs/", times=3, status=500, body=problem(500))
        rows, metadata = load(sandbox, "logs", options=AssetOptions(retry_policy=None, workers=1))
    assert len(rows) == 3
    assert not gaps(metadata)


def test_a_part_of_the_day_that_posthog_fails_on_costs_about_an_hour(load):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        for hour in range(24):
            fill(sandbox, workflow, NOON - timedelta(hours=12) + timedelta(hours=hour, minutes=30))
        real = sandbox._app.serve

        def serve(request: Any) -> Any:
            """500 for every window that holds half past five."""
            if "/logs/" in request.path:
                asked = dict(part.partition("=")[::2] for part in request.query.split("&"))
                bounds = [asked[name].replace("%3A", ":") for name in ("after", "before")]
                after, before = (datetime.fromisoformat(text) for text in bounds)
                if after < datetime(2026, 11, 20, 5, 30, tzinfo=UTC) < before:
                    return (
                        None,
                        500,
                        {"Content-Type": "application/json"},
                        b'{"type":"server_error"}',
                    )
            return real(request)

        sandbox._app.serve = serve
        rows, metadata = load(sandbox, "logs")
    assert {row["timestamp"].hour for row in rows} == set(range(24)) - {5}
    (gap,) = gaps(metadata)
    assert gap["window"] == "[2026-11-20T05:00:00Z, 2026-11-20T06:00:00Z)"


@WAREHOUSES
@pytest.mark.parametrize("name", ["logs", "runs"])
def test_a_dense_instant_costs_what_is_not_handed_out_of_it(name, load):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        dense, other = (sandbox.world.add_workflow(n)["id"] for n in ("Dense", "Other"))
        for workflow in (dense, other):
            fill(sandbox, workflow, NOON - timedelta(hours=1))
        for n in range(700):
            line = {"instance_id": f"r{n}", "timestamp": NOON, "level": "INFO", "message": f"{n}"}
            sandbox.world.add_logs(dense, [line])
            sandbox.world.add_run(dense, "succeeded", NOON, f"r{n}")
        rows, metadata = load(sandbox, name)
        assert len([row for row in rows if row["workflow_id"] == other]) == 1
        assert len([row for row in rows if row["workflow_id"] == dense]) == 501
        (gap,) = gaps(metadata)
        assert gap["object"] == dense
        assert "query:read" in gap["remedy"]
        rows, metadata = load(sandbox, name, read_by="auto")
    assert len(rows) == 702
    assert not gaps(metadata)
    assert metadata["posthog/read_by"].value == "HogQL"


#: Table -> a response of PostHog's own shape that cannot be right.
ODD: dict[str, Any] = {
    "logs": {
        "count": 1,
        "results": [
            {
                "log_source_id": "another",
                "instance_id": "run",
                "timestamp": NOON.isoformat(),
                "level": "INFO",
                "message": "x",
            }
        ],
    },
    "metrics": {
        "labels": [(NOON + timedelta(hours=n)).isoformat()[:19] for n in range(-72, 72)],
        "series": [{"name": "succeeded", "values": [10**30] * 144}],
    },
    "runs": [{"invocation_id": "r", "scheduled_at": NOON.isoformat(), "attempts": 10**30}],
}


@pytest.mark.parametrize("name", TABLES)
def test_one_workflow_whose_rows_cannot_be_right_costs_itself_alone(name, load):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        good, bad = (sandbox.world.add_workflow(n)["id"] for n in ("Good", "Bad"))
        for workflow in (good, bad):
            fill(sandbox, workflow)
        path = f"*/{bad}/{TABLES[name][2]}/"
        sandbox.fail("GET", path, times=0, status=200, body=ODD[name])
        rows, metadata = load(sandbox, name)
    assert [row["workflow_id"] for row in rows] == [good]
    (gap,) = gaps(metadata)
    assert gap["object"] == bad


@WAREHOUSES
@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("read_by", ["rest", "auto"])
def test_an_empty_answer_where_rows_had_landed_replaces_nothing(name, read_by, load):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        fill(sandbox, workflow)
        fill(sandbox, workflow, NOON - timedelta(days=3))
        before, _ = load(sandbox, name, read_by=read_by)
        world = sandbox.world
        world.logs.load({})
        world.metrics._cells.clear()
        for run in list(world.runs):
            world.run_rows.forget(f"hog_flow:{workflow}", run)
        fill(sandbox, workflow, NOON - timedelta(days=5))
        rows, metadata = load(sandbox, name, read_by=read_by)
    assert rows == before
    assert metadata["dagster/partition_row_count"].value == 1
    (gap,) = gaps(metadata)
    assert "no rows where 1 had been loaded" in gap["why"]


@WAREHOUSES
@pytest.mark.parametrize("name", TABLES)
def test_a_200_that_tells_of_an_error_replaces_nothing(name, load):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        fill(sandbox, workflow)
        before, _ = load(sandbox, name)
        lie = {"results": [], "error": "timeout"}
        sandbox.fail("GET", f"*/{TABLES[name][2]}/", times=1, status=200, body=lie)
        other = sandbox.world.add_workflow("Other")["id"]
        fill(sandbox, other)
        rows, metadata = load(sandbox, name)
    assert {row["workflow_id"] for row in before} <= {row["workflow_id"] for row in rows}
    assert metadata.get("posthog/gaps") is None or gaps(metadata)[0]["why"]


def test_a_day_that_posthog_has_deleted_is_not_taken_for_an_empty_one(load):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        fill(sandbox, sandbox.world.add_workflow()["id"])
        rows, metadata = load(sandbox, "runs", "2026-10-01")
    assert rows == []
    assert "dagster/partition_row_count" not in metadata
    assert "keeps these rows for 30 days" in str(metadata["posthog/not_read"].value)


@WAREHOUSES
def test_rows_of_batch_jobs_stay_when_sql_fails(load, monkeypatch):
    monkeypatch.setattr(_reader, "_AT_ONCE", timedelta(0))  # Rows are counted first.
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow("Newsletter", "batch")["id"]
        fill(sandbox, workflow)
        job = sandbox.world.add_batch_job(workflow, created_at=NOON)
        line = {"instance_id": "r", "timestamp": NOON, "level": "INFO", "message": "sent"}
        sandbox.world.add_logs(job.id, [line])
        load(sandbox, "logs", read_by="auto")
        sandbox.fail("POST", "*/query", times=99, after=1, status=400, body=problem(400))
        rows, metadata = load(sandbox, "logs", read_by="auto")
    assert sorted(row["batch_job_id"] for row in rows) == ["", job.id]
    assert gaps(metadata)[0]["object"] == "batch jobs"


def fill_snapshots(sandbox: Sandbox, workflow: str) -> None:
    sandbox.world.add_batch_job(workflow, created_at=NOON)
    sandbox.world.add_run(workflow, "failed", NOON)


@WAREHOUSES
@pytest.mark.parametrize("status", [403, 500])
@pytest.mark.parametrize("name", ["batch_jobs", "failed_runs"])
def test_one_workflow_that_answers_an_error_costs_itself_alone_in_a_snapshot(
    name, status, resources
):
    table = {"batch_jobs": WORKFLOW_BATCH_JOBS, "failed_runs": BLOCKED_RUNS}[name]
    path = {"batch_jobs": "batch_jobs", "failed_runs": "invocation_results"}[name]
    by_rest = partial(build_blocked_runs_asset, read_by="rest")
    build = build_catalog_assets if name == "batch_jobs" else by_rest
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        good, bad = (sandbox.world.add_workflow(n, "batch")["id"] for n in ("Good", "Bad"))
        for workflow in (good, bad):
            fill_snapshots(sandbox, workflow)
        given = resources(sandbox)

        def load() -> tuple[list[dict[str, Any]], dict[str, Any]]:
            result = dg.materialize(
                [build(options=AssetOptions(retry_policy=None, workers=1))],
                resources=given,
                run_config=QUIET,
                selection=[dg.AssetKey(["posthog", table.name])],
            )
            (event,) = result.get_asset_materialization_events()
            with given["warehouse"].open() as warehouse:
                return warehouse.read(table).to_pylist(), dict(event.materialization.metadata)

        before, metadata = load()
        assert not gaps(metadata)
        fill_snapshots(sandbox, good)
        sandbox.fail("GET", f"*/{bad}/{path}/", times=0, status=status, body=problem(status))
        rows, metadata = load()
    of_bad = [row for row in rows if row["workflow_id"] == bad]
    assert of_bad == [row for row in before if row["workflow_id"] == bad]
    assert len(rows) == 3
    (gap,) = gaps(metadata)
    assert (gap["object"], gap["window"]) == ("Bad", "as it is now")


@pytest.mark.parametrize(
    ("name", "status", "others"), [("logs", 403, 1), ("logs", 500, 1), ("metrics", 500, 0)]
)
def test_a_workflow_whose_batch_jobs_are_not_listed_keeps_what_landed_of_them(
    name, status, others, load
):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        good, bad = (sandbox.world.add_workflow(n, "batch")["id"] for n in ("Good", "Bad"))
        of = (bad, *[good] * others)
        jobs = [sandbox.world.add_batch_job(w, created_at=NOON).id for w in of]
        for source in (good, bad, *jobs):
            line = {"instance_id": "r", "timestamp": NOON, "level": "INFO", "message": "sent"}
            sandbox.world.add_logs(source, [line])
            sandbox.world.emit_metric(source, NOON, "succeeded", "success", 2)
        calm = AssetOptions(retry_policy=None, workers=1)
        before, metadata = load(sandbox, name, read_by="auto", options=calm)
        assert not gaps(metadata)
        path = f"*/{bad}/batch_jobs/"
        sandbox.fail("GET", path, times=0, status=status, body=problem(status))
        rows, metadata = load(sandbox, name, read_by="auto", options=calm)
    named = {(row["workflow_id"], row["batch_job_id"]) for row in rows}
    assert named == {(good, ""), (bad, ""), *zip(of, jobs, strict=True)}
    assert len(rows) == len(before) == 3 + others
    (gap,) = gaps(metadata)
    assert gap["object"] == bad
    assert "batch jobs are not listed" in gap["why"]
