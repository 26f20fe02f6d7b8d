"""Numbers of what was loaded, for Dagster's plots: per partition, in all, and how far behind.

Facts: Dagster plots metadata that is a plain int or float over materializations and partitions, so
keys are stable and a number that is not known is left out. The numbers are read from the warehouse
through its one interface: they are the same in every engine, and hold for rows that were loaded
before. PostHog counts runs on the level run and e-mails by step; a hard bounce has a name of its
own.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hog_dagster.assets import _error_groups as _errors
from hog_dagster.warehouse import Measure as Aggregate
from hog_dagster.warehouse import Table, Warehouse, Window
from hog_dagster.warehouse.errors import TableMissing

#: Metadata key -> number.
Numbers = dict[str, int | float]

#: What we call a count of e-mails -> the metrics of PostHog that it adds up.
EMAILS: Mapping[str, tuple[str, ...]] = {
    "email_sent": ("email_sent",),
    "email_delivered": ("email_delivered",),
    "email_opened": ("email_opened",),
    "email_bounced": ("email_bounced", "email_bounced_hard"),
    "email_failed": ("email_failed",),
}
OF_RUNS = ("succeeded", "failed")
_NAMED = {metric: name for name, metrics in EMAILS.items() for metric in metrics}


@dataclass(frozen=True)
class Measure:
    """What is counted in a table of partitions.

    Args:
        count: counts per window and name, all names, in as few queries as can be.
        always: names that are given even where nothing was counted in all of the windows.
        kinds: the column that says what a row counts for, and the names that its values get.
        value: the column that is added up; "" counts rows.
        ranked: names that the ranking by workflow or function shows.
        worst: the one that it is sorted by.
        errors: which rows are errors; None of a table that holds no texts of errors.
    """

    count: Callable[[Warehouse, Table, Sequence[Window], Mapping[str, Any]], "Counts"]
    always: tuple[str, ...]
    kinds: tuple[str, Mapping[str, str]]
    ranked: tuple[str, ...]
    value: str = ""
    worst: str = "failed"
    errors: "_errors.ErrorRows | None" = None

    def numbers(
        self,
        warehouse: Warehouse,
        table: Table,
        windows: Iterable[Window],
        scope: Mapping[str, Any],
    ) -> dict[Window, Numbers]:
        """The numbers of each window, which may overlap, under keys that begin with `posthog/`."""
        wanted = sorted(set(windows))
        counts = self.count(warehouse, table, wanted, scope) if wanted else {}
        seen = {name for of in counts.values() for name, count in of.items() if count}
        _, names = self.kinds
        kept = [n for n in dict.fromkeys(names.values()) if n in seen or n in self.always]
        found: dict[Window, Numbers] = {}
        for window in wanted:
            of = counts.get(window, {})
            numbers: Numbers = {f"posthog/{name}": of.get(name, 0) for name in kept}
            rate = success_rate(of.get("succeeded", 0), of.get("failed", 0))
            if rate is not None:
                numbers["posthog/success_rate"] = rate
            found[window] = numbers
        return found


Counts = Mapping[Window, Mapping[str, int]]


def success_rate(succeeded: int, failed: int) -> float | None:
    """Succeeded runs of those that ended, four digits; None when none did."""
    ended = succeeded + failed
    return round(succeeded / ended, 4) if ended else None


def _count_metrics(
    warehouse: Warehouse, table: Table, windows: Sequence[Window], scope: Mapping[str, Any]
) -> Counts:
    whole = Window(windows[0].start, max(window.end for window in windows))
    by_hour: dict[datetime, Counter[str]] = defaultdict(Counter)
    columns = ["hour", "metric", *(["level"] if "level" in table else [])]
    only = {**scope, "metric": [*OF_RUNS, *_NAMED]}
    for row, value in summed(warehouse, table, columns, "value", whole, only):
        hour, metric, *level = row
        if metric in OF_RUNS and level != ["action"]:
            by_hour[hour][metric] += value
        elif metric in _NAMED:
            by_hour[hour][_NAMED[metric]] += value
    hours = sorted(by_hour)
    counts: dict[Window, Counter[str]] = {}
    for window in windows:
        counts[window] = Counter()
        for hour in hours[bisect_left(hours, window.start) : bisect_left(hours, window.end)]:
            counts[window].update(by_hour[hour])
    return counts


def _count_kinds(column: str, kinds: Mapping[str, str]) -> Callable[..., Counts]:
    def count(
        warehouse: Warehouse, table: Table, windows: Sequence[Window], scope: Mapping[str, Any]
    ) -> Counts:
        counts: dict[Window, Counter[str]] = defaultdict(Counter)
        for kind, name in kinds.items():
            found = warehouse.count_by_day(table, windows, scope={**scope, column: kind})
            for window, rows in found.items():
                counts[window][name] += rows
        return counts

    return count


#: Of `workflow_metrics` and `hog_function_metrics`.
METRICS = Measure(
    _count_metrics,
    always=OF_RUNS,
    kinds=("metric", {name: name for name in OF_RUNS} | _NAMED),
    ranked=(*OF_RUNS, "email_sent"),
    value="value",
)


def _of_rows(
    column: str, kinds: Mapping[str, str], always: Sequence[str], worst: str, **more: Any
) -> Measure:
    """A measure that counts rows by a column's values, under the names of these."""
    given = {"ranked": tuple(kinds.values()), "worst": worst, **more}
    return Measure(_count_kinds(column, kinds), tuple(always), (column, kinds), **given)


#: Of `workflow_logs` and `hog_function_logs`.
LINES = _of_rows(
    "level",
    {"ERROR": "errors", "WARN": "warnings"},
    always=("errors", "warnings"),
    worst="errors",
    errors=_errors.LINES,
)
#: Of `sent_messages`.
MESSAGES = _of_rows(
    "kind", {"email": "emails", "push": "pushes"}, always=("emails",), worst="emails"
)
_SHOWN_EVENTS = ("email_sent", "email_delivered", "email_opened", "email_bounced")
_EVENTS = (
    "sent",
    "delivered",
    "opened",
    "link_clicked",
    "bounced",
    "blocked",
    "failed",
    "unsubscribed",
)
#: Of `message_events`.
EVENTS = _of_rows(
    "event",
    {event: f"email_{event}" for event in _EVENTS},
    always=_SHOWN_EVENTS,
    worst="email_bounced",
    ranked=(*_SHOWN_EVENTS, "email_blocked"),
)
#: Of `workflow_runs`.
RUNS = _of_rows(
    "status",
    {name: name for name in (*OF_RUNS, "running")},
    always=(*OF_RUNS, "running"),
    worst="failed",
    errors=_errors.RUNS,
)


def lag_seconds(
    warehouse: Warehouse,
    table: Table,
    since: datetime,
    now: datetime,
    scope: Mapping[str, Any],
) -> float | None:
    """How far behind now the table's newest row is, in seconds; None without a row since then.

    Of rows that stand for an hour, the hour's beginning counts.
    """
    if since >= now or table.time_column is None:
        return None
    try:
        newest = warehouse.read(
            table,
            columns=[table.time_column],
            window=Window(since, now),
            scope=scope,
            order_by=f"-{table.time_column}",
            limit=1,
        ).to_pylist()
    except TableMissing:
        return None
    if not newest:
        return None
    return round((now - newest[0][table.time_column]).total_seconds(), 1)


def counts_by(
    warehouse: Warehouse,
    table: Table,
    column: str,
    scope: Mapping[str, Any],
    *,
    always: Sequence[str] = (),
) -> dict[str, int]:
    """How many rows of a snapshot have each value of a column, under keys `posthog/<value>`.

    The values `always` are given even where no row has them, so that plots have no holes.
    """
    found = warehouse.aggregate(table, by=[column], scope=scope)
    counted: Counter[str] = Counter()
    for row in found:
        if row[column]:
            counted[str(row[column])] += row["rows"]
    return {f"posthog/{value}": counted[value] for value in dict.fromkeys([*always, *counted])}


def summed(
    warehouse: Warehouse,
    table: Table,
    columns: Sequence[str],
    value: str,
    window: Window,
    scope: Mapping[str, Any],
) -> Iterator[tuple[tuple[Any, ...], int]]:
    """Values of the columns and the sum of `value`, or how many rows."""
    measures: dict[str, Aggregate] = {"_measured": ("sum", value) if value else "count"}
    try:
        found = warehouse.aggregate(
            table, by=columns, measures=measures, window=window, scope=scope
        )
    except TableMissing:
        return
    for row in found:
        yield tuple(row[name] for name in columns), int(row["_measured"] or 0)
