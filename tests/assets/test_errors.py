"""Why runs failed: errors grouped by workflow, step and message, on pages and in a table."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hog_dagster.assets import _error_groups as _errors
from hog_dagster.assets import (
    build_catalog_assets,
    build_workflow_errors_asset,
    build_workflow_logs_asset,
    build_workflow_runs_asset,
)
from hog_dagster.assets._error_groups import LINES, OTHERS, error_groups, grouped_text
from hog_dagster.assets._workflow_tables import WORKFLOW_ERRORS, WORKFLOW_LOGS
from hog_dagster.resources import DltWarehouse
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import DuckDB, Window
from tests.assets import kit
from tests.assets.conftest import WAREHOUSES

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MONDAY = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)
DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-01", end_date="2026-11-23")
HOURS = dg.HourlyPartitionsDefinition(start_date="2026-11-16-00:00")
SOURCES = ("workflows", "workflow_actions", "workflow_logs", "workflow_runs")


@pytest.fixture
def load(resources, instance) -> Callable[..., Any]:
    """Load tables of some days, and give the events by table and partition."""

    def load(sandbox: Sandbox, tables: Any, *days: str, cut: Any = DAYS, **given: Any) -> Any:
        assets = [
            build_catalog_assets(),
            build_workflow_logs_asset(cut),
            build_workflow_runs_asset(cut),
            build_workflow_errors_asset(cut),
        ]
        result = dg.materialize(
            assets,
            resources={**resources(sandbox), **given},
            instance=instance,
            raise_on_error=False,
            run_config=kit.QUIET,
            selection=[dg.AssetKey(["posthog", name]) for name in tables],
            tags=kit.days(days[0], days[-1]),
        )
        assert result.success
        return {
            (event.asset_key.path[-1], event.partition): event.materialization.metadata
            for event in result.get_asset_materialization_events()
            if event.asset_key is not None
        }

    return load


def failing(sandbox: Sandbox, workflow: str, name: str, at: datetime, why: str) -> None:
    sandbox.world.add_run(workflow, "failed", at, name, error_kind="http_5xx", error_message=why)


def bounced(n: int) -> str:
    return f"delivery to user{n}@example.com failed with HTTP 502 after {n} ms"


def of_errors(found: Any) -> list[dict[str, Any]]:
    with found["warehouse"].open() as warehouse:
        return warehouse.read(WORKFLOW_ERRORS, order_by=["-failed_runs", "message"]).to_pylist()


@WAREHOUSES
def test_equal_causes_are_one_row_with_names_times_and_an_example(load, resources):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow("Welcome")["id"]
        for n in range(3):
            failing(sandbox, workflow, f"r{n}", MONDAY + timedelta(minutes=n), bounced(n))
        failing(sandbox, workflow, "late", MONDAY + timedelta(days=1), bounced(7))
        load(sandbox, SOURCES, "2026-11-16", "2026-11-17")
        sandbox.reset_counts()
        events = load(sandbox, ["workflow_errors"], "2026-11-16", "2026-11-17")
        assert sandbox.count() == 0
        rows = of_errors(resources(sandbox))
        url = f"{sandbox.url}/project/1/workflows/{workflow}/logs"
    assert [(row["partition_start"].day, row["failed_runs"]) for row in rows] == [(16, 3), (17, 1)]
    first = rows[0]
    assert first["message"] == "delivery to <e-mail> failed with HTTP 502 after <n> ms"
    assert first["log_lines"] == 3
    assert (first["workflow_name"], first["example_run_id"]) == ("Welcome", "r2")
    assert first["action_id"]
    assert first["action_name"]
    assert first["error_kind"] == "http_5xx"
    assert first["example_url"] == url
    assert MONDAY <= first["first_at"] < first["last_at"] < MONDAY + timedelta(minutes=3)
    page = events["workflow_errors", "2026-11-16"]["top_errors"].value
    assert f"| 3 | Welcome | {first['action_name']} |" in page
    assert f"[r2]({url})" in page
    assert events["workflow_errors", "2026-11-17"]["posthog/failed_runs"].value == 1


def test_pages_of_runs_and_log_lines_show_the_errors_of_their_partition(load):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow("Trial | [ending]")["id"]
        for n in range(3):
            failing(sandbox, workflow, f"r{n}", MONDAY + timedelta(minutes=n), bounced(n))
        events = load(sandbox, SOURCES, "2026-11-16", "2026-11-17")
    for table in ("workflow_runs", "workflow_logs"):
        page = events[table, "2026-11-16"]["top_errors"].value
        assert "| 3 | Trial \\| \\[ending\\] |" in page
        assert "failed with HTTP 502" in page
        assert "@example.com" not in page
        assert "top_errors" not in events[table, "2026-11-17"]


def test_a_server_without_results_of_runs_is_told_by_its_log_lines(load, resources):
    with Sandbox("docs", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow("Welcome")["id"]
        lines = [
            {
                "instance_id": f"r{n}",
                "timestamp": MONDAY + timedelta(hours=n),
                "level": "ERROR" if n < 2 else "WARN",
                "message": f"[Action:gone] Errored: {bounced(n)}",
            }
            for n in range(4)
        ]
        sandbox.world.add_logs(workflow, lines)
        load(sandbox, SOURCES, "2026-11-16")
        load(sandbox, ["workflow_errors"], "2026-11-16")
        (row,) = of_errors(resources(sandbox))
    assert (row["failed_runs"], row["log_lines"], row["action_id"]) == (0, 2, "gone")
    assert row["action_name"] is None
    assert row["example_run_id"] == "r1"


def test_a_partition_made_again_after_a_rerun_has_the_errors_of_now(load, resources):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        failing(sandbox, workflow, "r1", MONDAY, "no mailbox")
        load(sandbox, SOURCES, "2026-11-16")
        load(sandbox, ["workflow_errors"], "2026-11-16")
        sandbox.world.add_rerun("r1", MONDAY + timedelta(hours=1))
        load(sandbox, ["workflow_runs"], "2026-11-16")
        events = load(sandbox, ["workflow_errors"], "2026-11-16")
        rows = of_errors(resources(sandbox))
    assert events["workflow_errors", "2026-11-16"]["posthog/failed_runs"].value == 0
    assert [row["failed_runs"] for row in rows] in ([], [0])


def test_hourly_partitions_and_nothing_loaded_yet(load, resources):
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        events = load(sandbox, ["workflow_errors"], "2026-11-16-09:00", cut=HOURS)
        assert events["workflow_errors", "2026-11-16-09:00"]["posthog/error_lines"].value == 0
        workflow = sandbox.world.add_workflow()["id"]
        for hour in (0, 1):
            failing(sandbox, workflow, f"r{hour}", MONDAY + timedelta(hours=hour), "no mailbox")
        load(sandbox, SOURCES, "2026-11-16-09:00", "2026-11-16-10:00", cut=HOURS)
        load(sandbox, ["workflow_errors"], "2026-11-16-09:00", "2026-11-16-10:00", cut=HOURS)
        rows = of_errors(resources(sandbox))
    assert sorted(row["partition_start"] for row in rows) == [MONDAY, MONDAY + timedelta(hours=1)]


def test_partitions_that_begin_within_an_hour_have_the_errors_of_their_own_stretch(load, resources):
    cut = dg.DailyPartitionsDefinition("2026-11-01", timezone="Asia/Kolkata", end_offset=1)
    border = datetime(2026, 11, 16, 18, 30, tzinfo=UTC)
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow()["id"]
        for minutes in (-10, 10, 20):
            at = border + timedelta(minutes=minutes)
            failing(sandbox, workflow, f"r{minutes}", at, "no mailbox")
        events = load(sandbox, SOURCES, "2026-11-16", "2026-11-17", cut=cut)
        load(sandbox, ["workflow_errors"], "2026-11-16", "2026-11-17", cut=cut)
        rows = of_errors(resources(sandbox))
    assert [(row["partition_start"], row["failed_runs"], row["log_lines"]) for row in rows] == [
        (border, 2, 2),
        (border - timedelta(days=1), 1, 1),
    ]
    assert "| 2 |" in events["workflow_runs", "2026-11-17"]["top_errors"].value


@pytest.mark.integration
def test_through_dlt_the_table_is_the_same(load, resources, tmp_path):
    warehouse = DltWarehouse(destination="duckdb", credentials=str(tmp_path / "dlt.duckdb"))
    with Sandbox("current", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow("Welcome")["id"]
        for n in range(2):
            failing(sandbox, workflow, f"r{n}", MONDAY + timedelta(minutes=n), bounced(n))
        load(sandbox, SOURCES, "2026-11-16", warehouse=warehouse)
        load(sandbox, ["workflow_errors"], "2026-11-16", warehouse=warehouse)
        rows = of_errors({"warehouse": warehouse})
    assert [(row["workflow_name"], row["failed_runs"]) for row in rows] == [("Welcome", 2)]


def text(message: str | None) -> str:
    return grouped_text(pa.array([message], pa.string()))[0].as_py()


@pytest.mark.parametrize(
    ("message", "grouped"),
    [
        ("[Action:a_1] Errored: HTTP 502 from host", "HTTP 502 from host"),
        ("status code: 404, 404 rows", "status code: 404, <n> rows"),
        (
            "Person 0192c0de-1111-7000-8000-0123456789ab [Person:x|Ada] gone",
            "Person <id> [Person] gone",
        ),
        ("at 2026-11-16T12:00:00.123Z from 10.0.0.1:80", "at <time> from <ip>"),
        (
            "https://a:b@hooks.example.com/T0/xyz?token=5 said no",
            "https://hooks.example.com/<path> said no",
        ),
        ("call +49 170 1234567 or 555 1234", "call <n> or <n> <n>"),
        ("req_8fa2b3c4d5e6f7a8 timed out after 30s", "<id> timed out after <n>s"),
        ('{"error":"invalid_token"}', '{"error":"invalid_token"}'),
        ("  ", "(no message)"),
        (None, "(no message)"),
    ],
)
def test_what_differs_between_runs_is_replaced_and_the_cause_stays(message, grouped):
    assert text(message) == grouped


@given(
    st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8})?@[a-z]{2,8}\.(com|org)", fullmatch=True),
    st.integers(0, 10**12),
    st.uuids(),
)
def test_addresses_numbers_and_ids_never_reach_a_grouped_text(mail, number, ident):
    found = text(f"[Action:x] Errored: no {mail} for {number} in {ident}, uid={number}")
    assert found == "no <e-mail> for <n> in <id>, uid=<n>" or (
        mail not in found and str(ident) not in found and f" {number} " not in found
    )


def test_texts_beyond_the_most_that_are_told_apart_are_one_group(tmp_path, monkeypatch):
    monkeypatch.setattr(_errors, "_MOST", 3)
    rows = [
        {
            "project_id": 1,
            "workflow_id": "w",
            "batch_job_id": "",
            "instance_id": f"r{n}",
            "timestamp": MONDAY + timedelta(seconds=n),
            "level": "ERROR",
            "message": "odd " + "x" * n,
            "_loaded_at": NOW,
        }
        for n in range(1, 11)
    ]
    with DuckDB(tmp_path / "w.duckdb") as warehouse:
        warehouse.replace(WORKFLOW_LOGS, [rows])
        day = Window.day(MONDAY.date())
        groups = error_groups(warehouse, WORKFLOW_LOGS, LINES, [day], {"project_id": 1})
    assert len(groups) == 4
    assert (groups[0].message, groups[0].count) == (OTHERS, 7)
    assert sum(group.count for group in groups) == 10
