"""Are the rows sound? Saturation, uniqueness, drift and staleness of what was loaded.

Facts: a page of logs or of runs holds 500 rows and the only cursor is time, so an instant with that
many rows could hide more; fields without a column load in `_raw`; statuses, levels, types and
metric names are open sets that grow with PostHog. These checks ask PostHog for the time alone.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial

from hog_dagster.assets import (
    HOG_FUNCTION_LOGS,
    HOG_FUNCTION_METRICS,
    HOG_FUNCTION_RUNS,
    HOG_FUNCTIONS,
    WORKFLOW_ACTIONS,
    WORKFLOW_BATCH_JOBS,
    WORKFLOW_EDGES,
    WORKFLOW_LOGS,
    WORKFLOW_METRICS,
    WORKFLOW_RUNS,
    WORKFLOW_SCHEDULES,
    WORKFLOWS,
)
from hog_dagster.checks._context import NO_ROWS, CheckContext, CheckOutcome, Plan, Project
from hog_dagster.checks._known_values import KNOWN_EXTRAS, KNOWN_VALUES
from hog_dagster.policies import Drift, Saturation, Staleness, Uniqueness
from hog_dagster.warehouse import By, Second, Table, Window

#: Rows of the largest page PostHog serves.
PAGE = 500
TIME_TABLES = (
    WORKFLOW_METRICS,
    WORKFLOW_LOGS,
    WORKFLOW_RUNS,
    HOG_FUNCTION_METRICS,
    HOG_FUNCTION_LOGS,
    HOG_FUNCTION_RUNS,
)
_CATALOG = (
    WORKFLOWS,
    WORKFLOW_ACTIONS,
    WORKFLOW_EDGES,
    WORKFLOW_SCHEDULES,
    WORKFLOW_BATCH_JOBS,
    HOG_FUNCTIONS,
)


def saturation_plans(_: Project, rule: Saturation) -> Iterator[Plan]:
    """The check `is_not_saturated`: no instant of a workflow holds just as many rows as a page."""
    groups: dict[Table, list[By]] = {
        WORKFLOW_LOGS: ["workflow_id", "timestamp", "level"],
        HOG_FUNCTION_LOGS: ["function_id", "timestamp", "level"],
        WORKFLOW_RUNS: ["workflow_id", Second("first_scheduled_at"), "status"],
    }
    for table, by in groups.items():
        yield Plan(
            "is_not_saturated",
            table,
            partial(_saturated, table, by, rule),
            rule.severity,
            f"No instant of a workflow holds just {PAGE} rows, where one page could be cut off.",
        )


def _saturated(
    table: Table, by: Sequence[By], rule: Saturation, check: CheckContext
) -> CheckOutcome:
    window = _newest(check, table, rule.days)
    densest = check.grouped(table, by, window=window, limit=100) if window else []
    most = densest[0]["rows"] if densest else 0
    # An instant of more was read whole: by SQL, or in parts.
    full = [row for row in densest if row["rows"] == PAGE]
    text = f"The densest instant holds {most} rows; a page of PostHog holds {PAGE}."
    if full:
        text += (
            " More may have been cut off there. Load the table without a filter by level, so "
            "that full instants are split by level and by run."
        )
    return CheckOutcome(not full, text, {"posthog/densest_instant": most}, full)


def uniqueness_plans(_: Project, rule: Uniqueness) -> Iterator[Plan]:
    """The check `is_unique`: no row is there twice."""
    for table in (*TIME_TABLES, *_CATALOG):
        yield Plan(
            "is_unique",
            table,
            partial(_unique, table, rule),
            rule.severity,
            f"No two rows share {', '.join(_identity(table))}.",
        )


def _identity(table: Table) -> tuple[str, ...]:
    """The columns that tell rows apart: the key, or all there are."""
    if table.key:
        left_out = ("project_id", "first_scheduled_at")  # A run is one, whenever it was due.
        return tuple(name for name in table.key if name not in left_out)
    return tuple(name for name in table.column_names if name not in ("project_id", "_loaded_at"))


def _unique(table: Table, rule: Uniqueness, check: CheckContext) -> CheckOutcome:
    window = _newest(check, table, rule.days) if table.time_column else None
    if table.time_column and window is None:
        return NO_ROWS
    doubled = check.grouped(table, _identity(table), window=window, at_least=2, limit=200)
    for row in doubled:
        row.pop("message", None)  # it may hold personal data
    extra = sum(row["rows"] - 1 for row in doubled)
    text = "Every row is there once."
    if doubled:
        text = f"{extra} rows are there more than once: materialize their partitions again."
    return CheckOutcome(not doubled, text, {"posthog/duplicates": extra}, doubled)


def drift_plans(_: Project, rule: Drift) -> Iterator[Plan]:
    """The check `has_not_drifted`: no field and no value is unknown."""
    for table in (*_CATALOG, *TIME_TABLES):
        yield Plan(
            "has_not_drifted",
            table,
            partial(_drifted, table, rule),
            rule.severity,
            "PostHog's responses hold no fields and no values that this version does not know.",
        )


def _drifted(table: Table, rule: Drift, check: CheckContext) -> CheckOutcome:
    window = _newest(check, table, rule.days) if table.time_column else None
    if table.time_column and window is None:
        return NO_ROWS
    found: Counter[tuple[str, str]] = Counter()
    if "_raw" in table:
        for row in check.grouped(table, ["_raw"], window=window, limit=5000):
            extras = json.loads(row["_raw"] or "null") or {}
            for name in set(extras) - KNOWN_EXTRAS.get(table.name, frozenset()):
                found["field", name] += row["rows"]
    for column, known in KNOWN_VALUES.get(table.name, {}).items():
        for row in check.grouped(table, [column], window=window):
            if row[column] is not None and row[column] not in known:
                found[column, str(row[column])] += row["rows"]
    rows = [
        {"where": where, "unknown": what, "rows": count}
        for (where, what), count in found.most_common()
    ]
    text = "Everything is known."
    if rows:
        shown = ", ".join(f"{row['where']} {row['unknown']!r}" for row in rows[:5])
        text = (
            f"PostHog sends what this version does not know: {shown}. Nothing is lost: unknown "
            "fields are in _raw, unknown values as they came. A newer hog_dagster may know it."
        )
    return CheckOutcome(not rows, text, {"posthog/unknown": len(rows)}, rows)


def staleness_plans(_: Project, rule: Staleness) -> Iterator[Plan]:
    """The check `is_recent`: the newest row is not too old."""
    for table in TIME_TABLES:
        yield Plan(
            "is_recent",
            table,
            partial(_recent, table, rule),
            rule.severity,
            f"The newest row is at most {rule.hours:g} hours old.",
        )


def _recent(table: Table, rule: Staleness, check: CheckContext) -> CheckOutcome:
    newest = check.newest(table)
    if newest is None:
        return NO_ROWS
    hours = (check.now() - newest).total_seconds() / 3600
    text = f"The newest row is of {newest:%Y-%m-%d %H:%M} UTC, {hours:.1f} hours ago."
    if hours > rule.hours:
        text += " Is the refresh schedule on, and do workflows still run?"
    return CheckOutcome(hours <= rule.hours, text, {"posthog/newest_row_hours": round(hours, 2)})


def _newest(check: CheckContext, table: Table, days: int) -> Window | None:
    """The last days that have rows; None when there are none."""
    newest = check.newest(table)
    if newest is None:
        return None
    return Window(newest - timedelta(days=days), newest + timedelta(microseconds=1))
