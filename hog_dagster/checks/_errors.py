"""The check `errors_are_few`: no error of the newest days is more frequent than a maximum.

Facts: `workflow_errors` has a row per partition, workflow, step and message, made from rows that
were loaded. The check makes no request to PostHog.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from hog_dagster.assets import WORKFLOW_ERRORS
from hog_dagster.checks._context import (
    NOTHING_LOADED,
    CheckContext,
    CheckOutcome,
    Plan,
    Project,
)
from hog_dagster.policies import Errors
from hog_dagster.warehouse import Measure, Window

_MEASURES: dict[str, Measure] = {
    "runs": ("sum", "failed_runs"),
    "lines": ("sum", "log_lines"),
    "last": ("max", "last_at"),
    "workflow_name": ("max", "workflow_name"),
    "action_name": ("max", "action_name"),
}


def errors_plans(project: Project, rule: Errors) -> Iterator[Plan]:
    """The check `errors_are_few` on `workflow_errors`. It makes no request to PostHog."""
    days = "day" if rule.days == 1 else f"{rule.days} days"

    def judge(check: CheckContext) -> CheckOutcome:
        loaded = list(check.loaded(project.partitions_def).values())
        if not loaded:
            return NOTHING_LOADED
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

    yield Plan(
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
