"""Are tables of queries complete? PostHog counts the same rows, and no part could not be read.

Facts: SQL counts the rows of any query; the counts of several windows are one request, because
queries can be put together by UNION ALL. A snapshot is as it was when it was read, so PostHog's
count of now says nothing about it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any

import dagster as dg

from hog_dagster.assets import declared_table, query_partitions, query_statement
from hog_dagster.checks._completeness import gaps_of
from hog_dagster.checks._context import CheckContext, CheckOutcome, Plan, checks_of
from hog_dagster.lineage import AssetOptions
from hog_dagster.policies import Completeness, QueryTable
from hog_dagster.warehouse import Table, Window

__all__ = ["build_query_checks", "query_plans"]

#: Partitions that one check counts, the newest.
_MOST_PARTITIONS = 24


def build_query_checks(
    queries: Sequence[QueryTable],
    *,
    start_date: date | None = None,
    options: AssetOptions | None = None,
    rule: Completeness | None = None,
) -> list[dg.AssetChecksDefinition]:
    """The check `is_complete` on the tables of queries.

    It fails where PostHog counts other rows than loaded, over the newest loaded days, and where a
    part could not be read. Requests: one per query with partitions.

    Args:
        queries: those of the assets.
        start_date: the first day of partitions where a query has none of its own.
        options: how the assets look.
        rule: severity, days and tolerance.

    Returns:
        One definition for each table that has such a check.
    """
    cut = [
        (query, query_partitions(query, start_date) if query.partitioned else None)
        for query in queries
    ]
    return checks_of(query_plans(cut, rule or Completeness()), options or AssetOptions())


def query_plans(
    queries: Sequence[tuple[QueryTable, dg.TimeWindowPartitionsDefinition | None]],
    rule: Completeness,
) -> Iterator[Plan]:
    """The plans of `build_query_checks`."""
    for query, partitions_def in queries:
        table = declared_table(query)
        counted = "For the newest loaded days, PostHog counts as many rows, and all could be read."
        yield Plan(
            "is_complete",
            table,
            partial(_judge, query, table, partitions_def, rule),
            rule.severity,
            counted if partitions_def is not None else "Every row could be read.",
        )


def _judge(
    query: QueryTable,
    table: Table,
    partitions_def: dg.TimeWindowPartitionsDefinition | None,
    rule: Completeness,
    check: CheckContext,
) -> CheckOutcome:
    if partitions_def is None:
        gaps = _gaps_of_snapshot(check)
        return _outcome(gaps, [], 0, 0)
    loaded = check.loaded(partitions_def)
    if not loaded:
        return CheckOutcome(True, "No partition has been loaded yet.")
    first = max(window.end for window in loaded.values()) - timedelta(days=rule.days)
    windows = [window for window in loaded.values() if window.start >= first][-_MOST_PARTITIONS:]
    gaps = gaps_of(check, loaded, windows)
    there = _counts(query, check, windows)
    here = check.warehouse.count_by_day(table, windows, scope=check.scope)
    rows = [
        {"window": str(window), "in_posthog": there[window], "loaded": here[window]}
        for window in windows
        if abs(there[window] - here[window]) > rule.tolerance * here[window]
    ]
    return _outcome(gaps, rows, sum(there.values()), sum(here.values()))


def _counts(query: QueryTable, check: CheckContext, windows: Sequence[Window]) -> dict[Window, int]:
    """How many rows PostHog counts in each window; one request."""
    parts = " UNION ALL ".join(
        f"SELECT {place} AS part_of_rows, count() AS rows_of_part "  # noqa: S608
        f"FROM (\n{query_statement(query, window)}\n)"
        for place, window in enumerate(windows)
    )
    rows = check.client.query.rows(
        f"SELECT part_of_rows, rows_of_part FROM ({parts}) LIMIT 50000",  # noqa: S608
        name=f"hog_dagster {query.name} is_complete",
    )
    counted = dict.fromkeys(windows, 0)
    for row in rows:
        counted[windows[int(row["part_of_rows"])]] = int(row["rows_of_part"])
    return counted


def _gaps_of_snapshot(check: CheckContext) -> list[Mapping[str, Any]]:
    """The gaps that the newest materialization tells of."""
    event = check.context.instance.get_latest_materialization_event(check.key)
    made = event.asset_materialization if event is not None else None
    gaps = made.metadata.get("gaps") if made is not None else None
    if not isinstance(gaps, dg.TableMetadataValue):
        return []
    return [dict(record.data) for record in gaps.records]


def _outcome(
    gaps: Sequence[Mapping[str, Any]], wrong: Sequence[Mapping[str, Any]], there: int, here: int
) -> CheckOutcome:
    text = f"{here:,} loaded, {there:,} in PostHog." if there or here else ""
    if gaps:
        text = f"{len(gaps)} parts could not be read. {text}".strip()
    if wrong:
        text += " Rows that arrive late are picked up when these partitions are read again."
    fields = ("window", "in_posthog", "loaded", "why", "remedy")
    shown = [{name: row.get(name) for name in fields} for row in (*gaps, *wrong)]
    numbers = {
        "posthog/gaps": len(gaps),
        "posthog/missing": sum(max(row["in_posthog"] - row["loaded"], 0) for row in wrong),
        "posthog/surplus": sum(max(row["loaded"] - row["in_posthog"], 0) for row in wrong),
    }
    return CheckOutcome(not gaps and not wrong, text or "Every row could be read.", numbers, shown)
