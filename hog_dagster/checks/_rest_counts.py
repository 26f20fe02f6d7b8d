"""Rows of one workflow or function and window, counted in PostHog by REST and in the warehouse.

Facts: results of runs have a count endpoint; hourly metrics can be read in any time zone; logs are
not counted (`count` in the response is the page's), so a part of the window is read again.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pyarrow.compute as pc

from hog_dagster.assets import LogSource
from hog_dagster.checks._context import CheckContext
from hog_dagster.warehouse import Table, Window

__all__ = ["Count", "count_logs", "count_metrics", "count_runs"]

#: Counts the rows of one workflow or function and window, in PostHog and here, given what the rows
#: here have in common; says the window really counted, too.
Count = Callable[[CheckContext, LogSource, str, Window, dict[str, Any]], tuple[int, int, Window]]


def count_metrics(
    table: Table,
    check: CheckContext,
    log_source: LogSource,
    id: str,
    window: Window,
    scope: dict[str, Any],
) -> tuple[int, int, Window]:
    points = log_source.service(check.client).hourly_metrics(id, start=window.start, end=window.end)
    loaded = check.warehouse.read(table, columns=["value"], window=window, scope=scope)
    here = pc.call_function("sum", [loaded.column("value")]).as_py() or 0
    return sum(point.value for point in points), here, window


def count_runs(
    table: Table,
    check: CheckContext,
    log_source: LogSource,
    id: str,
    window: Window,
    scope: dict[str, Any],
) -> tuple[int, int, Window]:
    """Runs with rows in the window, as REST counts: of earlier ones, those that were run again."""
    there = log_source.service(check.client).invocation_results_count(
        id, after=window.start, before=window.end
    )
    here = check.warehouse.count(table, window=window, scope=scope)
    earlier = Window(window.start - timedelta(days=60), window.start)
    moved = check.warehouse.read(table, columns=["scheduled_at"], window=earlier, scope=scope)
    for (at,) in zip(moved.column("scheduled_at").to_pylist(), strict=True):
        here += at is not None and window.start <= at < window.end
    return there, here, window


def count_logs(
    table: Table,
    max_rows: int,
    level: str | None,
    check: CheckContext,
    log_source: LogSource,
    id: str,
    window: Window,
    scope: dict[str, Any],
) -> tuple[int, int, Window]:
    def loaded(part: Window) -> int:
        return check.warehouse.count(table, window=part, scope=scope)

    here = loaded(window)
    while here > max_rows and window.end - window.start > timedelta(seconds=2):
        seconds = int((window.end - window.start).total_seconds()) // 2
        middle = window.start + timedelta(seconds=seconds)
        window = max(Window(window.start, middle), Window(middle, window.end), key=loaded)
        here = loaded(window)
    batches = log_source.service(check.client).log_batches(
        id, after=window.start, before=window.end, level=level
    )
    return sum(batch.num_rows for batch in batches), here, window
