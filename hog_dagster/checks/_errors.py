"""The check `errors_are_few`: no error of the newest days is more frequent than a maximum.

Facts: `workflow_errors` has a row per partition, workflow, step and message, made from rows that
were loaded. The check makes no request to PostHog.
"""

from datetime import timedelta
from typing import Any

import dagster as dg

from hog_dagster.assets import WORKFLOW_ERRORS
from hog_dagster.checks._context import CheckContext, CheckOutcome, Plan, checks_of
from hog_dagster.lineage import AssetOptions
from hog_dagster.policies import Errors
from hog_dagster.warehouse import Measure, Window

__all__ = ["build_error_checks", "errors_plan"]

_MEASURES: dict[str, Measure] = {
    "runs": ("sum", "failed_runs"),
    "lines": ("sum", "log_lines"),
    "last": ("max", "last_at"),
    "workflow_name": ("max", "workflow_name"),
    "action_name": ("max", "action_name"),
}


def build_error_checks(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    rule: Errors | None = None,
) -> list[dg.AssetChecksDefinition]:
    """The check `errors_are_few` on `workflow_errors`. It makes no request to PostHog.

    Args:
        partitions_def: the partitions of the asset.
        options: how the assets look.
        rule: the severity, and the maximum number of one error.

    Returns:
        One definition for each table that has such a check.
    """
    return checks_of([errors_plan(rule or Errors(), partitions_def)], options or AssetOptions())


def errors_plan(rule: Errors, partitions_def: dg.TimeWindowPartitionsDefinition) -> Plan:
    """The rule of `errors_are_few`."""
    days = "day" if rule.days == 1 else f"{rule.days} days"

    def judge(check: CheckContext) -> CheckOutcome:
        loaded = list(check.loaded(partitions_def).values())
        if not loaded:
            return CheckOutcome(True, "Nothing has been loaded yet.")
        end = max(window.end for window in loaded)
        window = Window(end - timedelta(days=rule.days), end)
        found = check.warehouse.aggregate(
            WORKFLOW_ERRORS,
            by=["workflow_id", "action_id", "message"],
            measures=_MEASURES,
            window=window,
            scope=check.scope,
        )
        rows = sorted((_row(one) for one in found), key=lambda row: -row["count"])
        often = [row for row in rows if row["count"] > rule.maximum]
        numbers = {
            "posthog/errors": sum(row["count"] for row in rows),
            "posthog/messages": len(rows),
        }
        return CheckOutcome(not often, _text(rows, often, rule, days), numbers, often)

    return Plan(
        "errors_are_few",
        WORKFLOW_ERRORS,
        judge,
        rule.severity,
        f"In the newest loaded {days}, each error of a workflow's step comes at most "
        f"{rule.maximum:,} times.",
    )


def _row(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "workflow": one["workflow_name"] or one["workflow_id"],
        "step": one["action_name"] or one["action_id"],
        "message": one["message"],
        "count": max(one["runs"] or 0, one["lines"] or 0),
        "last": f"{one['last']:%Y-%m-%d %H:%M}",
    }


def _text(rows: list[dict[str, Any]], often: list[dict[str, Any]], rule: Errors, days: str) -> str:
    if not rows:
        return f"No error in the newest loaded {days}."
    if not often:
        most = rows[0]["count"]
        return (
            f"{len(rows):,} different errors in the newest loaded {days}; the most frequent came "
            f"{most:,} times, and {rule.maximum:,} are allowed."
        )
    first = often[0]
    step = f", step {first['step']}" if first["step"] else ""
    return (
        f"{len(often):,} errors came more than {rule.maximum:,} times in the newest loaded {days}. "
        f"The most frequent: {first['workflow']}{step}: {first['message']} ({first['count']:,} "
        f"times, last at {first['last']} UTC)."
    )
