"""Numbers that Dagster plots: each partition has its own, what is the whole run's is told once."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from hog_dagster.assets import (
    build_blocked_runs_asset,
    build_catalog_assets,
    build_hog_function_metrics_asset,
    build_hog_functions_asset,
    build_insight_results_asset,
    build_ledger_assets,
    build_workflow_logs_asset,
    build_workflow_metrics_asset,
    build_workflow_runs_asset,
)
from hog_dagster.assets._fourteen_days import bars, days_until
from hog_dagster.assets._summary import LINES, METRICS
from hog_dagster.assets._workflow_tables import WORKFLOW_LOGS, WORKFLOW_METRICS
from hog_dagster.ledger import State
from hog_dagster.resources import PostgresWarehouse
from hog_dagster.sandbox import Sandbox
from hog_dagster.warehouse import DuckDB, Window

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-01", end_date="2026-11-21")
HOURS = dg.HourlyPartitionsDefinition(start_date="2026-11-18-00:00", end_date="2026-11-21-00:00")

#: Day -> (succeeded, failed, e-mails by metric).
COUNTED: dict[str, tuple[int, int, dict[str, int]]] = {
    "2026-11-18": (30, 10, {"email_sent": 40, "email_delivered": 37}),
    "2026-11-19": (0, 0, {}),
    "2026-11-20": (
        18,
        2,
        {"email_sent": 16, "email_opened": 8, "email_bounced": 1, "email_bounced_hard": 2},
    ),
}
NUMBERS = {
    "2026-11-18": {
        "posthog/succeeded": 30,
        "posthog/failed": 10,
        "posthog/success_rate": 0.75,
        "posthog/email_sent": 40,
        "posthog/email_delivered": 37,
        "posthog/email_opened": 0,
        "posthog/email_bounced": 0,
    },
    "2026-11-19": {
        "posthog/succeeded": 0,
        "posthog/failed": 0,
        "posthog/email_sent": 0,
        "posthog/email_delivered": 0,
        "posthog/email_opened": 0,
        "posthog/email_bounced": 0,
    },
    "2026-11-20": {
        "posthog/succeeded": 18,
        "posthog/failed": 2,
        "posthog/success_rate": 0.9,
        "posthog/email_sent": 16,
        "posthog/email_delivered": 0,
        "posthog/email_opened": 8,
        "posthog/email_bounced": 3,
    },
}
OF_RUN = {"last_14_days", "by_workflow_in_this_run", "preview"} | {
    f"posthog/{name}"
    for name in (
        "requests",
        "requests_of_run",
        "share_of_hour",
        "seconds",
        "bytes",
        "rows_in_run",
        "lag_seconds",
    )
}


def run(asset: Any, resources: Mapping[str, Any], instance: Any, **kwargs: Any) -> Any:
    result = dg.materialize(
        [asset], resources=dict(resources), instance=instance, raise_on_error=False, **kwargs
    )
    assert result.success
    return result


def span(first: str, last: str) -> dict[str, str]:
    return {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
    }


def told(result: Any) -> dict[str, dict[str, Any]]:
    """Partition -> metadata."""
    return {
        event.partition: {
            name: value.records if isinstance(value, dg.TableMetadataValue) else value.value
            for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
    }


def numbers(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a partition that are not the whole run's."""
    return {
        name: value
        for name, value in metadata.items()
        if isinstance(value, int | float) and name.startswith("posthog/") and name not in OF_RUN
    }


def records(metadata: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return [dict(record.data) for record in metadata[name]]


@pytest.fixture
def counted() -> Iterator[tuple[Sandbox, str]]:
    """A workflow with known counts: runs on the run level, steps and e-mails on the step's."""
    with Sandbox("docs", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow(name="Onboarding")
        step = workflow["actions"][0]["id"]
        for day, (succeeded, failed, emails) in COUNTED.items():
            at = datetime.fromisoformat(f"{day}T21:10:00+00:00")
            for name, count in (("succeeded", succeeded), ("failed", failed)):
                if count:
                    sandbox.world.emit_metric(workflow["id"], at, name, "success", count)
            sandbox.world.emit_metric(workflow["id"], at, "triggered", "other", 1)
            for name, count in {"succeeded": 99, **emails}.items():
                kind = "email" if name.startswith("email") else "success"
                sandbox.world.emit_metric(workflow["id"], at, name, kind, count, instance_id=step)
        yield sandbox, workflow["id"]


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_each_partition_of_a_single_run_backfill_has_its_own_numbers(
    engine, counted, resources, instance, request
):
    sandbox, _ = counted
    given = resources(sandbox)
    if engine == "postgres":
        given["warehouse"] = PostgresWarehouse(url=request.getfixturevalue("postgres_url"))
    run(build_catalog_assets(), given, instance)
    asset = build_workflow_metrics_asset(DAYS)
    metadata = told(run(asset, given, instance, tags=span("2026-11-18", "2026-11-20")))
    assert {day: numbers(of) for day, of in metadata.items()} == NUMBERS
    newest = metadata["2026-11-20"]
    assert set(newest) >= OF_RUN
    for day in ("2026-11-18", "2026-11-19"):
        assert not OF_RUN & set(metadata[day])
        assert metadata[day]["posthog/url"] == newest["posthog/url"]
    assert newest["posthog/rows_in_run"] == sum(
        of["dagster/partition_row_count"] for of in metadata.values()
    )
    assert 15 * 3600 <= newest["posthog/lag_seconds"] < 16 * 3600
    assert records(newest, "by_workflow_in_this_run") == [
        {
            "workflow": "Onboarding",
            "succeeded": 48,
            "failed": 12,
            "email_sent": 56,
            "success_rate": 0.8,
        }
    ]


def test_one_partition_alone_has_the_same_numbers_and_fourteen_days_of_context(
    counted, resources, instance
):
    sandbox, _ = counted
    given = resources(sandbox)
    asset = build_workflow_metrics_asset(DAYS)
    run(asset, given, instance, partition_key="2026-11-18")
    metadata = told(run(asset, given, instance, partition_key="2026-11-20"))["2026-11-20"]
    assert numbers(metadata) == NUMBERS["2026-11-20"]
    assert metadata["last_14_days"].splitlines() == [
        "| | to 2026-11-20 | last day | 14 days |",
        "|---|---|---:|---:|",
        "| rows | ···········▆·█ | 8 | 14 |",
        "| succeeded | ···········█·▅ | 18 | 48 |",
        "| failed | ···········█·▂ | 2 | 12 |",
        "| email sent | ···········█·▃ | 16 | 56 |",
        "| email delivered | ···········█·· | 0 | 37 |",
        "| email opened | ·············█ | 8 | 8 |",
        "| email bounced | ·············█ | 3 | 3 |",
        "| success rate | ···········▆·▇ | 90.00% | 80.00% |",
    ]


def test_a_partition_read_again_for_late_rows_gets_its_numbers_too(counted, resources, instance):
    sandbox, _ = counted
    asset = build_workflow_metrics_asset(DAYS, lookback=2)
    metadata = told(run(asset, resources(sandbox), instance, partition_key="2026-11-20"))
    assert {day: numbers(of) for day, of in metadata.items()} == NUMBERS


def test_hours_have_numbers_and_their_summary_is_by_day(counted, resources, instance):
    sandbox, _ = counted
    asset = build_workflow_metrics_asset(HOURS)
    given = resources(sandbox)
    first, last = "2026-11-18-20:00", "2026-11-18-22:00"
    metadata = told(run(asset, given, instance, tags=span(first, last)))
    assert [metadata[key]["posthog/succeeded"] for key in sorted(metadata)] == [0, 30, 0]
    assert [metadata[key].get("posthog/success_rate") for key in sorted(metadata)] == [
        None,
        0.75,
        None,
    ]
    assert "| failed | ·············█ | 10 | 10 |" in metadata[last]["last_14_days"]


def test_lines_are_counted_by_level_and_errors_by_workflow(resources, instance):
    levels = {"2026-11-19": ["INFO", "ERROR"], "2026-11-20": ["WARN", "ERROR", "ERROR", "DEBUG"]}
    with Sandbox("docs", populate=False, now=NOW, limits=False) as sandbox:
        quiet, loud = (sandbox.world.add_workflow(name=name)["id"] for name in ("Quiet", "Loud"))
        for day, of in levels.items():
            at = datetime.fromisoformat(f"{day}T03:00:00+00:00")
            for workflow, chosen in ((loud, of), (quiet, ["INFO", "WARN"])):
                lines = [
                    {
                        "instance_id": f"{workflow}-{n}",
                        "timestamp": at,
                        "level": level,
                        "message": "m",
                    }
                    for n, level in enumerate(chosen)
                ]
                sandbox.world.add_logs(workflow, lines)
        given = resources(sandbox)
        run(build_catalog_assets(), given, instance)
        asset = build_workflow_logs_asset(DAYS)
        metadata = told(run(asset, given, instance, tags=span("2026-11-19", "2026-11-20")))
    assert {day: numbers(of) for day, of in metadata.items()} == {
        "2026-11-19": {"posthog/errors": 1, "posthog/warnings": 1},
        "2026-11-20": {"posthog/errors": 2, "posthog/warnings": 2},
    }
    assert records(metadata["2026-11-20"], "by_workflow_in_this_run") == [
        {"workflow": "Loud", "errors": 3, "warnings": 1},
        {"workflow": "Quiet", "errors": 0, "warnings": 2},
    ]


def test_runs_are_counted_by_how_they_ended(resources, instance):
    with Sandbox(generation="current", populate=False, now=NOW, limits=False) as sandbox:
        workflow = sandbox.world.add_workflow(name="Trial ending")
        for n, status in enumerate(["failed", "succeeded", "succeeded", "succeeded"]):
            at = NOW - timedelta(days=1, hours=n)
            sandbox.world.add_run(workflow["id"], status=status, scheduled_at=at)
        given = resources(sandbox)
        asset = build_workflow_runs_asset(DAYS)
        metadata = told(run(asset, given, instance, partition_key="2026-11-20"))["2026-11-20"]
    assert numbers(metadata) == {
        "posthog/succeeded": 3,
        "posthog/failed": 1,
        "posthog/running": 0,
        "posthog/success_rate": 0.75,
    }
    # The catalog has not loaded: ids stand for names.
    assert records(metadata, "by_workflow_in_this_run") == [
        {"workflow": workflow["id"], "succeeded": 3, "failed": 1, "success_rate": 0.75}
    ]


def test_functions_are_counted_and_called_by_name(resources, instance):
    with Sandbox(generation="current", populate=False, now=NOW, limits=False) as sandbox:
        function = sandbox.world.add_hog_function("Slack")["id"]
        sandbox.world.add_hog_function("Off", enabled=False)
        at = NOW - timedelta(days=1)
        sandbox.world.emit_metric(function, at, "succeeded", "success", 4)
        sandbox.world.emit_metric(function, at, "failed", "failure", 1)
        given = resources(sandbox)
        (catalog,) = told(run(build_hog_functions_asset(), given, instance)).values()
        asset = build_hog_function_metrics_asset(DAYS)
        metadata = told(run(asset, given, instance, partition_key="2026-11-20"))["2026-11-20"]
    assert (catalog["posthog/enabled"], catalog["posthog/disabled"]) == (1, 1)
    assert numbers(metadata) == {
        "posthog/succeeded": 4,
        "posthog/failed": 1,
        "posthog/success_rate": 0.8,
    }
    assert records(metadata, "by_function_in_this_run") == [
        {"function": "Slack", "succeeded": 4, "failed": 1, "success_rate": 0.8}
    ]


def test_snapshots_count_by_status_and_runs_that_wait(resources, instance):
    with Sandbox("docs", populate=False, now=NOW, limits=False) as sandbox:
        for name, status, n in (("A", "active", 3), ("B", "active", 1), ("C", "draft", 0)):
            workflow = sandbox.world.add_workflow(name=name, status=status)
            if n:
                at = NOW - timedelta(hours=2)
                sandbox.world.add_blocked_runs(workflow["id"], n, unreplayable=n - 1, at=at)
        given = resources(sandbox)
        events = run(build_catalog_assets(), given, instance).get_asset_materialization_events()
        (waiting,) = told(run(build_blocked_runs_asset(), given, instance)).values()
        result = run(build_ledger_assets(), given, instance)
    of_workflows = next(e for e in events if e.asset_key.path[-1] == "workflows")
    of_workflows = of_workflows.materialization.metadata
    assert {name: of_workflows[f"posthog/{name}"].value for name in ("active", "draft")} == {
        "active": 2,
        "draft": 1,
    }
    assert of_workflows["posthog/archived"].value == 0
    assert waiting["posthog/waiting"] == 4
    assert waiting["posthog/replayable"] == 3
    assert 7200 <= waiting["posthog/oldest_seconds"] < 7800
    assert records(waiting, "by_workflow") == [
        {"workflow": "A", "waiting": 3, "replayable": 2, "oldest": "2026-11-21 10:00"},
        {"workflow": "B", "waiting": 1, "replayable": 1, "oldest": "2026-11-21 10:00"},
    ]
    for event in result.get_asset_materialization_events():
        states = event.materialization.metadata
        assert {state: states[f"posthog/{state}"].value for state in State} == dict.fromkeys(
            State, 0
        )


def test_insight_results_say_how_old_the_oldest_is(resources, instance):
    with Sandbox("docs", now=NOW, limits=False) as sandbox:
        result = run(build_insight_results_asset(), resources(sandbox), instance)
    trends = next(
        event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key.path[-1] == "insight_trends"
    )
    assert trends["posthog/insights"].value > 0
    assert isinstance(trends["posthog/lag_seconds"].value, float)
    assert 0 <= trends["posthog/lag_seconds"].value < 86_400


def test_nothing_landed_makes_no_summary_and_no_rate(resources, instance):
    with Sandbox("docs", populate=False, now=NOW, limits=False) as sandbox:
        asset = build_workflow_metrics_asset(DAYS)
        metadata = told(run(asset, resources(sandbox), instance, partition_key="2026-11-20"))
    assert numbers(metadata["2026-11-20"]) == {
        "posthog/succeeded": 0,
        "posthog/failed": 0,
    }
    assert not {"last_14_days", "by_workflow_in_this_run", "posthog/lag_seconds", "preview"} & set(
        metadata["2026-11-20"]
    )


@pytest.mark.parametrize(
    ("table", "measure"), [(WORKFLOW_METRICS, METRICS), (WORKFLOW_LOGS, LINES)]
)
def test_a_table_that_has_not_landed_counts_nothing(table, measure, tmp_path):
    with DuckDB(tmp_path / "empty.duckdb") as warehouse:
        found = measure.numbers(warehouse, table, [Window.day(NOW.date())], {"project_id": 1})
    assert found == {Window.day(NOW.date()): {f"posthog/{name}": 0 for name in measure.always}}


def test_bars_are_as_high_as_their_share_of_the_greatest():
    assert bars([0, None, 1, 4, 8]) == "··▁▄█"
    assert bars([0, 0]) == "··"
    assert bars([0.5, 1.0], top=1.0) == "▄█"
    assert bars([1, 1_000_000]) == "▁█"


@pytest.mark.parametrize("end", ["2026-11-21T00:00:00+00:00", "2026-11-20T05:00:00+00:00"])
def test_fourteen_days_end_with_the_day_of_the_newest_partition(end):
    days = days_until(datetime.fromisoformat(end))
    assert [days[0].start.day, days[-1].start.day, len(days)] == [7, 20, 14]
