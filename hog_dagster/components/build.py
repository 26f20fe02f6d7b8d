"""`build_posthog_definitions`: the integration of one PostHog project as Dagster definitions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import dagster as dg

from hog_dagster.assets import (
    AssetOptions,
    BulkMode,
    HogFunctionSelection,
    WorkflowSelection,
    build_blocked_runs_asset,
    build_catalog_assets,
    build_groups_assets,
    build_hog_function_logs_asset,
    build_hog_function_metrics_asset,
    build_hog_functions_asset,
    build_insight_results_asset,
    build_insights_asset,
    build_ledger_assets,
    build_workflow_logs_asset,
    build_workflow_metrics_asset,
    build_workflow_runs_asset,
)
from hog_dagster.assets.redact import MessagePolicy
from hog_dagster.jobs import build_batch_job, build_replay_job
from hog_dagster.resources import LedgerResource, PostHogResource, WarehouseResource
from hog_dagster.schedules.batch_jobs import build_batch_job_schedule
from hog_dagster.schedules.refreshes import build_partitions_schedule, build_snapshot_schedule
from hog_dagster.schedules.settle import build_settle_schedule
from hog_dagster.sensors import build_blocked_runs_sensor, build_workflow_health_sensor

__all__ = ["build_posthog_definitions"]


def build_posthog_definitions(
    *,
    posthog: PostHogResource,
    warehouse: WarehouseResource,
    ledger: LedgerResource,
    start_date: date,
    selection: WorkflowSelection | None = None,
    functions: HogFunctionSelection | None = None,
    options: AssetOptions | None = None,
    bulk: BulkMode = "off",
    messages: MessagePolicy = "mask",
    batch_schedules: Mapping[str, str] | None = None,
    dry_run: bool = True,
    max_replays_per_tick: int = 100,
    send_uncounted: bool = False,
    max_audience: int | None = None,
    extra_assets: Sequence[Any] = (),
) -> dg.Definitions:
    """Every asset, job, sensor and schedule of one PostHog project.

    Sensors and schedules start STOPPED. Nothing is asked of PostHog until something runs.

    Args:
        posthog: the project.
        warehouse: where the tables land.
        ledger: the record of acts; shared by every code location that acts on this project.
        start_date: the first daily partition (UTC).
        selection: which workflows are read and acted on; all by default.
        functions: which hog functions are read; all by default.
        options: how the assets look; the warehouse's kind is filled in.
        bulk: `auto` reads logs, metrics and runs by PostHog's SQL where key and server let us.
        messages: what happens to the text of log lines.
        batch_schedules: workflow id -> cron (UTC): batch jobs to send on schedule.
        dry_run: what acts on people only says what it would do.
        max_replays_per_tick: the sensor requests at most so many replays a tick.
        send_uncounted: send batch jobs even where the server cannot count their audience.
        max_audience: refuse to send a batch job to more people than this.
        extra_assets: more assets for the same resources.

    Returns:
        The definitions, with the resources `posthog`, `warehouse` and `ledger`.
    """
    options = replace(options or AssetOptions(), warehouse_kind=warehouse.kind)
    days = dg.DailyPartitionsDefinition(start_date=start_date.isoformat())
    shared: dict[str, Any] = {"options": options, "selection": selection}

    shared_functions: dict[str, Any] = {"options": options, "selection": functions}

    snapshots = [
        build_catalog_assets(**shared),
        build_hog_functions_asset(**shared_functions),
        build_blocked_runs_asset(**shared),
        build_ledger_assets(options=options),
        build_insights_asset(options=options),
        build_groups_assets(options=options),
    ]
    results = build_insight_results_asset(options=options)
    partitioned = [
        build_workflow_metrics_asset(days, bulk=bulk, **shared),
        build_workflow_logs_asset(days, messages=messages, bulk=bulk, **shared),
        build_workflow_runs_asset(days, messages=messages, bulk=bulk, **shared),
        build_hog_function_metrics_asset(days, bulk=bulk, **shared_functions),
        build_hog_function_logs_asset(days, messages=messages, bulk=bulk, **shared_functions),
    ]
    replay_job = build_replay_job()
    batch_job = build_batch_job()
    schedules = [
        build_snapshot_schedule(snapshots),
        build_snapshot_schedule(
            [results], name="refresh_posthog_insight_results", cron_schedule="35 5 * * *"
        ),
        build_partitions_schedule(partitioned, days),
        build_settle_schedule(),
        *(
            build_batch_job_schedule(
                workflow_id,
                cron,
                job=batch_job,
                dry_run=dry_run,
                send_uncounted=send_uncounted,
                max_audience=max_audience,
            )
            for workflow_id, cron in (batch_schedules or {}).items()
        ),
    ]
    sensors = [
        build_blocked_runs_sensor(
            job=replay_job, dry_run=dry_run, max_runs_per_tick=max_replays_per_tick
        ),
        build_workflow_health_sensor(),
    ]
    return dg.Definitions(
        assets=[*snapshots, results, *partitioned, *extra_assets],
        jobs=[replay_job, batch_job],
        schedules=schedules,
        sensors=sensors,
        resources={"posthog": posthog, "warehouse": warehouse, "ledger": ledger},
    )
