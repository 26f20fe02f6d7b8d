"""Asset checks: is all there, are the rows sound, do workflows do well, does something wait."""

from collections.abc import Collection, Sequence

import dagster as dg

from hog_dagster.assets import ReadBy
from hog_dagster.checks._actions import BatchSchedule as BatchSchedule
from hog_dagster.checks._actions import blocked_runs_plan, schedules_plans
from hog_dagster.checks._actions import build_actions_checks as build_actions_checks
from hog_dagster.checks._completeness import build_completeness_checks as build_completeness_checks
from hog_dagster.checks._completeness import completeness_plans
from hog_dagster.checks._context import Plan, checks_of
from hog_dagster.checks._errors import build_error_checks as build_error_checks
from hog_dagster.checks._errors import errors_plan
from hog_dagster.checks._health import build_health_checks as build_health_checks
from hog_dagster.checks._health import delivery_rate_plan, failure_rate_plans, volume_plan
from hog_dagster.checks._mail_now import reads_email_events
from hog_dagster.checks._messaging import build_messaging_checks as build_messaging_checks
from hog_dagster.checks._messaging import messaging_plans
from hog_dagster.checks._operations import build_operations_checks as build_operations_checks
from hog_dagster.checks._query_tables import build_query_checks as build_query_checks
from hog_dagster.checks._query_tables import query_plans
from hog_dagster.checks._retention import build_retention_checks as build_retention_checks
from hog_dagster.checks._retention import retention_plans
from hog_dagster.checks._rows import build_row_checks as build_row_checks
from hog_dagster.checks._rows import (
    drift_plans,
    saturation_plans,
    staleness_plans,
    uniqueness_plans,
)
from hog_dagster.checks._stuck import build_stuck_runs_checks as build_stuck_runs_checks
from hog_dagster.checks._stuck import stuck_runs_plans
from hog_dagster.lineage import AssetOptions, HogFunctionSelection, WorkflowSelection
from hog_dagster.policies import CheckRules as CheckRules
from hog_dagster.policies import QueryTable

__all__ = [
    "BatchSchedule",
    "CheckRules",
    "build_actions_checks",
    "build_completeness_checks",
    "build_error_checks",
    "build_health_checks",
    "build_messaging_checks",
    "build_operations_checks",
    "build_posthog_checks",
    "build_query_checks",
    "build_retention_checks",
    "build_row_checks",
    "build_stuck_runs_checks",
]


def build_posthog_checks(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    tables: Collection[str] | None = None,
    options: AssetOptions | None = None,
    workflows: WorkflowSelection | None = None,
    hog_functions: HogFunctionSelection | None = None,
    rules: CheckRules | None = None,
    batch_schedules: Sequence[BatchSchedule] = (),
    level: str | None = None,
    read_by: ReadBy = "auto",
    queries: Sequence[tuple[QueryTable, dg.TimeWindowPartitionsDefinition | None]] = (),
) -> list[dg.AssetChecksDefinition]:
    """Every check on the tables of workflows and hog functions, one step per table.

    Args:
        partitions_def: of the partitioned assets.
        tables: names of the tables there are; all by default.
        options: how the assets look.
        workflows: the workflows the assets read.
        hog_functions: the functions the assets read.
        rules: thresholds and severities; a rule that is None switches its check off.
        batch_schedules: Dagster's schedules that really send batch jobs.
        level: the levels of log lines the assets read; all by default.
        read_by: how the assets read.
        queries: queries that are tables, and their partitions.

    Returns:
        One definition per table that has checks.
    """
    rules, options = rules or CheckRules(), options or AssetOptions()
    plans: list[Plan] = []
    if rules.completeness:
        plans += completeness_plans(
            partitions_def,
            rules.completeness,
            workflows=workflows,
            hog_functions=hog_functions,
            workers=options.workers,
            level=level,
            read_by=read_by,
            options=options,
        )
        plans += query_plans(queries, rules.completeness)
    if rules.retention:
        plans += retention_plans(partitions_def, rules.retention)
    plans += messaging_plans(
        partitions_def,
        rules.deliverability,
        rules.retention,
        rules.completeness,
        reads_events=tables is None or reads_email_events(tables, queries),
    )
    if rules.staleness:
        plans += staleness_plans(rules.staleness)
    if rules.uniqueness:
        plans += uniqueness_plans(rules.uniqueness)
    if rules.saturation:
        plans += saturation_plans(rules.saturation)
    if rules.drift:
        plans += drift_plans(rules.drift)
    if rules.failure_rate:
        plans += failure_rate_plans(rules.failure_rate)
    if rules.errors:
        plans.append(errors_plan(rules.errors, partitions_def))
    if rules.delivery_rate:
        plans.append(delivery_rate_plan(rules.delivery_rate))
    if rules.volume_anomaly:
        plans.append(volume_plan(rules.volume_anomaly, partitions_def))
    if rules.blocked_runs:
        plans.append(blocked_runs_plan(rules.blocked_runs))
    if rules.stuck_runs:
        plans += stuck_runs_plans(rules.stuck_runs)
    if rules.schedules_fire:
        plans += schedules_plans(rules.schedules_fire, batch_schedules)
    wanted = [plan for plan in plans if tables is None or plan.table.name in tables]
    return checks_of(wanted, options)
