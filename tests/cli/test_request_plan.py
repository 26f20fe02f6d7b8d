"""`hog-dagster plan` says what a refresh and a backfill then take, as the sandbox counts it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from rich.console import Console

from hog_dagster import DuckDBWarehouse, PostHogResource, build_posthog_definitions
from hog_dagster.assets import ReadBy, WorkflowSelection
from hog_dagster.cli._output import Output
from hog_dagster.cli._plan import plan
from hog_dagster.cli._project_size import Chosen, measure
from hog_dagster.cli._request_plan import Requests, backfill, refresh, sensors
from hog_dagster.posthog import PostHogClient
from hog_dagster.resources import LedgerResource
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import Window

NOW = datetime.now(UTC).replace(hour=1, minute=20, second=0, microsecond=0)
NOW -= timedelta(days=1)
START = NOW.replace(hour=0, minute=0)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
REST = ["hog_flow:read", "hog_function:read", "insight:read", "group:read", "person:read"]
JOBS = ("snapshots", "insight_results", "partitions")

Run = Callable[..., int]


@contextmanager
def project(scopes: list[str]) -> Iterator[Sandbox]:
    """Thirty workflows, three of them for batches, twelve functions, four insights; half idle."""
    with Sandbox(populate=False, now=NOW, limits=False, keys={"phx_plan": scopes}) as sandbox:
        world, made = sandbox.world, NOW - timedelta(days=40)
        for n in range(30):
            kind = "batch" if n % 10 == 0 else "event"
            id = world.add_workflow(f"W{n}", kind, created_at=made, updated_at=made)["id"]
            if n % 2 or kind == "batch":
                continue
            for day in range(1, 12):
                at = NOW - timedelta(days=day, hours=-7)
                status = "failed" if n == 2 else "succeeded"
                run = world.add_run(id, status, at, sends=False, logged=False)
                line = {"instance_id": run.invocation_id, "timestamp": at, "message": "done"}
                world.add_logs(id, [line])
                world.emit_metric(id, at, status, "success" if n != 2 else "failure")
        for n in range(12):
            row = world.add_hog_function(f"F{n}", created_at=made, updated_at=made)
            for day in range(1, 12):
                at = NOW - timedelta(days=day, hours=-7)
                world.emit_metric(row["id"], at, "succeeded", "success")
                line = {"instance_id": f"f{n}", "timestamp": at, "message": "sent"}
                world.add_logs(row["id"], [line])
                world.add_function_run(row["id"], scheduled_at=at, sends=False)
        for n in range(4):
            world.add_insight(f"I{n}")
        world.add_group_type("company")
        for n in range(130):
            world.add_group(0, f"c{n}", {}, created_at=made + timedelta(seconds=n))
        yield sandbox


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[Sandbox, ReadBy], Run]]:
    """Runs a job of the default schedules, or a table's days, and counts its requests."""
    with dg.DagsterInstance.ephemeral() as instance:

        def of(
            sandbox: Sandbox, read_by: ReadBy, selection: WorkflowSelection | None = None
        ) -> Run:
            defs = build_posthog_definitions(
                posthog=PostHogResource(host=sandbox.url, api_key=sandbox.api_key, project_id="1"),
                warehouse=DuckDBWarehouse(path=str(tmp_path / "w.duckdb")),
                ledger=LedgerResource(url=f"sqlite:///{tmp_path / 'ledger.sqlite'}"),
                start_date=(NOW - timedelta(days=30)).date(),
                read_by=read_by,
                selection=selection,
            )

            def counted(what: str, first: int = 1, last: int = 1) -> int:
                sandbox.reset_counts()
                days = [f"{START - timedelta(days=ago):%Y-%m-%d}" for ago in (first, last)]
                names = [f"dagster/asset_partition_range_{end}" for end in ("start", "end")]
                tags = dict(zip(names, days, strict=True))
                if what in JOBS:
                    job = defs.resolve_job_def(f"refresh_posthog_{what}_job")
                    tags = tags if what == "partitions" else {}
                else:
                    job = defs.resolve_implicit_global_asset_job_def().get_subset(
                        asset_selection={dg.AssetKey(["posthog", what])},
                        asset_check_selection=set(),
                    )
                done = job.execute_in_process(instance=instance, tags=tags, run_config=QUIET)
                assert done.success
                return len(sandbox.requests)

            return counted

        yield of


def near(found: int, planned: Requests) -> bool:
    """Within a tenth, and one request of few."""
    return abs(found - planned.total) <= max(1, 0.1 * found)


@pytest.mark.parametrize(
    ("scopes", "read_by", "way"),
    [
        (["*"], "auto", "HogQL"),
        pytest.param(["*"], "hogql", "HogQL", marks=pytest.mark.integration),
        pytest.param(["*"], "rest", "REST", marks=pytest.mark.integration),
        (REST, "auto", "REST"),
        pytest.param(REST, "rest", "REST", marks=pytest.mark.integration),
    ],
)
def test_a_refresh_and_a_backfill_take_what_the_plan_says(
    scopes: list[str], read_by: ReadBy, way: Any, run
):
    with project(scopes) as sandbox:
        with PostHogClient(sandbox.url, "phx_plan", 1) as client:
            now = client.server.read_clock().now()
            size, found, _ = measure(client, now, chosen=Chosen(read_by=read_by))
        assert found == way
        assert (size.workflows, size.batch, size.functions, size.ran) == (30, 3, 12, 12)
        counted = run(sandbox, read_by)
        lines = refresh(size, way)
        for job, line in zip(JOBS, lines, strict=True):
            used = counted(job)
            assert near(used, line.requests), (job, used, line)
        tables = ("workflow_logs", "workflow_metrics", "workflow_runs", "hog_function_logs")
        used = sum(counted(table, 11, 5) for table in tables)
        assert near(used, backfill(size, way, 7, tables=tables)), used


@pytest.mark.parametrize(
    ("scopes", "way"), [(["*"], "HogQL"), (REST, "REST")], ids=["hogql", "rest"]
)
def test_a_backfill_of_a_selection_without_catalogs_takes_what_the_plan_says(
    scopes: list[str], way: Any, run
):
    selection = WorkflowSelection(names=("W[0-9]",))
    days = Window(START - timedelta(days=11), START - timedelta(days=4))
    with project(scopes) as sandbox:
        with PostHogClient(sandbox.url, "phx_plan", 1) as client:
            now = client.server.read_clock().now()
            whole, _, _ = measure(client, now, window=days)
            chosen = Chosen(selection, None, insights=False, groups=False)
            size, found, _ = measure(client, now, chosen=chosen, window=days)
        assert found == way
        assert (size.workflows, size.batch, size.ran, size.functions) == (30, 1, 4, 0)
        assert whole.ran == 12
        counted = run(sandbox, "auto", selection)
        tables = ("workflow_logs", "workflow_metrics", "workflow_runs")
        used = sum(counted(table, 11, 5) for table in tables)
        planned = backfill(size, way, 7, tables=tables, catalogs=False)
        assert near(used, planned), (used, planned)


def test_the_plan_is_printed_with_shares_of_the_limits():
    with project(["*"]) as sandbox, PostHogClient(sandbox.url, "phx_plan", 1) as client:
        out = StringIO()
        say = Output("plan", Console(file=out, width=120), as_json=False)
        plan(client, say, days=30, reread=3)
    text = " ".join(out.getvalue().split())
    assert "30 workflows (12 ran on the last whole day), 12 hog functions" in text
    assert "rows are read by HogQL" in text
    for words in (
        "Requests by HogQL",
        "Requests by REST",
        "backfill of 30 days",
        "posthog_observer",
    ):
        assert words in text


def test_shares_are_of_the_limit_that_is_used_up_most():
    assert Requests(default=1_152, query=576, insights=288).share == 0.01
    assert Requests(default=1_152, query=5_760).share == 0.1
    observed = sensors(measure_of(1_000))
    assert sum(line.day.default for line in observed) > 100_000


def measure_of(workflows: int) -> Any:
    from hog_dagster.cli._request_plan import Project

    return Project(workflows=workflows, ran=workflows, steps=5 * workflows, batch=20)
