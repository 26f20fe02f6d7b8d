"""Are tables of queries complete? PostHog counts the same rows, and no part could not be read.

Facts: SQL counts the rows of any query; the counts of several windows are one request, because
queries can be put together by UNION ALL. A snapshot is as it was when it was read, so PostHog's
count of now says nothing about it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any

import dagster as dg

from hog_dagster.assets import declared_table, query_partitions, query_statement
from hog_dagster.checks._context import (
    NO_PARTITION,
    CheckContext,
    CheckOutcome,
    Plan,
    Project,
    checks_of,
    differing,
    gaps_of,
    newest,
)
from hog_dagster.lineage import AssetOptions
from hog_dagster.policies import Completeness, QueryTable
from hog_dagster.warehouse import Table, Window

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
    return checks_of(_plans(cut, rule or Completeness()), options or AssetOptions())


def query_plans(project: Project, rule: Completeness) -> Iterator[Plan]:
    """The check `is_complete` on the tables of a project's queries."""
    return _plans(project.queries, rule)


def _plans(
    queries: Sequence[tuple[QueryTable, dg.TimeWindowPartitionsDefinition | None]],
    rule: Completeness,
) -> Iterator[Plan]:
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
        return _outcome(gaps_of(check, [None]), [], rule)
    partitions = list(newest(check.loaded(partitions_def), rule.days).items())[-_MOST_PARTITIONS:]
    if not partitions:
        return NO_PARTITION
    gaps, counted = gaps_of(check, dict(partitions)), [window for _, window in partitions]
    there = _counts(query, check, counted)
    here = check.warehouse.count_by_day(table, counted, scope=check.scope)
    rows = [
        {"window": str(window), "in_posthog": there[window], "loaded": here[window]}
        for window in counted
    ]
    return _outcome(gaps, rows, rule)


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


def _outcome(
    gaps: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], rule: Completeness
) -> CheckOutcome:
    wrong, numbers = differing(rows, rule.tolerance)
    there, here = (sum(row[name] for row in rows) for name in ("in_posthog", "loaded"))
    text = f"{here:,} loaded, {there:,} in PostHog." if there or here else ""
    if gaps:
        text = f"{len(gaps)} parts could not be read. {text}".strip()
    if wrong:
        text += " Rows that arrive late are picked up when these partitions are read again."
    fields = ("window", "in_posthog", "loaded", "why", "remedy")
    shown = [{name: row.get(name) for name in fields} for row in (*gaps, *wrong)]
    numbers = {"posthog/gaps": len(gaps), **numbers}
    return CheckOutcome(not gaps and not wrong, text or "Every row could be read.", numbers, shown)
