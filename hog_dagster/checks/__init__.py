"""Asset checks: is all there, are the rows sound, do workflows do well, does something wait."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import dagster as dg

from hog_dagster.assets import ReadBy
from hog_dagster.checks import (
    _actions,
    _completeness,
    _errors,
    _health,
    _messaging,
    _query_tables,
    _retention,
    _rows,
    _sent_messages,
    _stuck,
)
from hog_dagster.checks._context import BatchSchedule as BatchSchedule
from hog_dagster.checks._context import Plan, Project, checks_of
from hog_dagster.checks._operations import build_operations_checks as build_operations_checks
from hog_dagster.checks._query_tables import build_query_checks as build_query_checks
from hog_dagster.lineage import AssetOptions, HogFunctionSelection, WorkflowSelection
from hog_dagster.policies import CheckRules as CheckRules
from hog_dagster.policies import QueryTable

__all__ = [
    "BatchSchedule",
    "CheckRules",
    "build_operations_checks",
    "build_posthog_checks",
    "build_query_checks",
]

#: Rule -> the checks it sets.
_PLANS: tuple[tuple[str, Callable[[Project, Any], Iterator[Plan]]], ...] = (
    ("completeness", _completeness.completeness_plans),
    ("completeness", _query_tables.query_plans),
    ("completeness", _sent_messages.messages_plans),
    ("retention", _retention.retention_plans),
    ("deliverability", _messaging.deliverability_plans),
    ("staleness", _rows.staleness_plans),
    ("uniqueness", _rows.uniqueness_plans),
    ("saturation", _rows.saturation_plans),
    ("drift", _rows.drift_plans),
    ("failure_rate", _health.failure_rate_plans),
    ("errors", _errors.errors_plans),
    ("delivery_rate", _health.delivery_rate_plans),
    ("volume_anomaly", _health.volume_plans),
    ("blocked_runs", _actions.blocked_runs_plans),
    ("stuck_runs", _stuck.stuck_runs_plans),
    ("schedules_fire", _actions.schedules_plans),
)


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
        rules: thresholds and severities; a rule that is None switches its checks off.
        batch_schedules: Dagster's schedules that really send batch jobs.
        level: the levels of log lines the assets read; all by default.
        read_by: how the assets read.
        queries: queries that are tables, and their partitions.

    Returns:
        One definition per table that has checks.
    """
    project = Project(
        partitions_def,
        tables,
        options or AssetOptions(),
        workflows or WorkflowSelection(),
        hog_functions or HogFunctionSelection(),
        batch_schedules,
        level,
        read_by,
        queries,
    )
    return checks_of(plans_of(project, rules or CheckRules()), project.options)


def plans_of(project: Project, rules: CheckRules) -> Iterator[Plan]:
    """The plans of all checks."""
    for name, plans in _PLANS:
        if (rule := getattr(rules, name)) is not None:
            for plan in plans(project, rule):
                if project.tables is None or plan.table.name in project.tables:
                    yield plan
