"""The tables of PostHog's SQL that rows are read from, and the queries for one window of them.

Facts: HogQL shows log_entries, app_metrics (app_metrics2 in the database) and, on newer servers,
hog_invocation_results, to keys with the scope query:read. Rows of batch jobs are there under the
job's id. Log rows can be stored twice until the database merges them; a run has a row per change,
the newest by `version`, and all of them share `first_scheduled_at`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from hog_dagster.posthog import instant, quoted
from hog_dagster.warehouse import Window

#: What rows of a table are.
Rows = Literal["logs", "metrics", "runs"]

#: Rows are written a little before or after the time they carry.
SLACK = timedelta(days=1)


@dataclass(frozen=True)
class HogQLTable:
    """A table of PostHog's SQL, and how it is read.

    Args:
        names: its name in HogQL; another one that some servers call it by.
        rows: what a row is.
        kind: the column that tells workflows from hog functions.
        owner: the column with the id of the workflow, function or batch job.
        time: the column windows are compared with.
        select: what is selected; the first is a time (text or Unix seconds), by which it is read.
        key: what orders the rows and tells them apart; its first is the first selected.
        group_by: what is grouped by, if anything.
        counted: how many rows of ours the rows of a window make, at most.
        of_runs: rows are states of runs: what is selected first decides which window one is in,
            and there is no upper bound on `time`.
        of_jobs: rows of batch jobs are filed under the job.
    """

    names: tuple[str, ...]
    rows: Rows
    kind: str
    owner: str
    time: str
    select: tuple[str, ...]
    key: tuple[str, ...]
    group_by: tuple[str, ...] = ()
    counted: str = "count()"
    of_runs: bool = False
    of_jobs: bool = True

    @property
    def name(self) -> str:
        """What it is called for people."""
        return self.names[0]

    def sql(
        self, table: str, kind: str, ids: Sequence[str], window: Window, where: str = ""
    ) -> str:
        """The rows of one window; `ids` empty means all."""
        rows = self._select(table, self._conditions(kind, ids, window, where))
        if not self.of_runs:
            return rows
        first = self.key[0]
        return (
            f"SELECT * FROM ({rows}) WHERE {first} >= {instant(window.start)} "  # noqa: S608
            f"AND {first} < {instant(window.end)}"
        )

    def sql_with_moved(
        self, table: str, kind: str, ids: Sequence[str], window: Window, where: str = ""
    ) -> str:
        """The runs of one window, and those of before that have rows since it began."""
        start, first = instant(window.start), self.key[0]
        rows = self._select(table, self._conditions(kind, ids, window, where))
        return (
            f"SELECT * FROM ({rows}) WHERE {first} < {instant(window.end)} "  # noqa: S608
            f"AND ({first} >= {start} OR newest_row_at >= {start})"
        )

    def moved_sql(self, table: str, kind: str, ids: Sequence[str], window: Window) -> str:
        """Runs of before a window that have rows since it began: states of reruns and of waits."""
        start, rows = instant(window.start), self._select(table, self._named(kind, ids))
        return (
            f"SELECT * FROM ({rows}) WHERE {self.key[0]} < {start} "  # noqa: S608
            f"AND newest_row_at >= {start}"
        )

    def failed_sql(self, table: str, kind: str, ids: Sequence[str], since: datetime) -> str:
        """Runs that have rows since a moment and stand at failed."""
        conditions = f"{self._named(kind, ids)} AND {self.time} >= {instant(since)}"
        rows = self._select(table, conditions)
        return f"SELECT * FROM ({rows}) WHERE last_status = 'failed'"  # noqa: S608

    def ids_sql(self, table: str, kind: str, run_ids: Sequence[str]) -> str:
        """The states of these runs."""
        listed = ", ".join(quoted(id) for id in run_ids)
        named = f"{self.kind} = {quoted(kind)} AND invocation_id IN ({listed})"
        return self._select(table, named)

    def _select(self, table: str, conditions: str) -> str:
        grouped = f" GROUP BY {', '.join(self.group_by)}" if self.group_by else ""
        return f"SELECT {', '.join(self.select)} FROM {table} WHERE {conditions}{grouped}"  # noqa: S608

    def hours_sql(
        self, table: str, kind: str, ids: Sequence[str], window: Window, where: str = ""
    ) -> str:
        """How many rows each hour of a window has, as seconds since 1970 and a number."""
        time = "first_scheduled_at" if self.of_runs else self.time
        hour = f"toUnixTimestamp({time}) - toUnixTimestamp({time}) % 3600 AS hour"
        conditions = self._of_window(kind, ids, window, where)
        return (
            f"SELECT hour, n FROM (SELECT {hour}, {self.counted} AS n FROM {table} "  # noqa: S608
            f"WHERE {conditions} GROUP BY hour) ORDER BY hour LIMIT 50000"
        )

    def owners_sql(self, table: str, window: Window, where: str, counted: str) -> str:
        """How many rows each owner has in a window, of workflows and functions."""
        conditions = self._of_window("", (), window, where)
        return (
            f"SELECT {self.kind} AS kind, {self.owner} AS owner, {counted} AS n "  # noqa: S608
            f"FROM {table} WHERE {conditions} GROUP BY {self.kind}, {self.owner} LIMIT 50000"
        )

    def seen_sql(self, table: str, window: Window) -> str:
        """One row of the table, of whatever kind: proof that it shows rows at all."""
        return (
            f"SELECT 1 AS seen FROM {table} WHERE {self.time} >= "  # noqa: S608
            f"{instant(window.start)} LIMIT 1"
        )

    def _named(self, kind: str, ids: Sequence[str]) -> str:
        named = f"{self.kind} = {quoted(kind)}"
        if not kind:
            named = f"{self.kind} IN ('hog_flow', 'hog_function')"
        return f"{named} AND {self.owner} IN ({', '.join(map(quoted, ids))})" if ids else named

    def _of_window(self, kind: str, ids: Sequence[str], window: Window, where: str) -> str:
        """The conditions; runs are first due in the window."""
        conditions = self._conditions(kind, ids, window, where)
        if self.of_runs:
            conditions += f" AND first_scheduled_at >= {instant(window.start)}"
            conditions += f" AND first_scheduled_at < {instant(window.end)}"
        return conditions

    def _conditions(self, kind: str, ids: Sequence[str], window: Window, where: str) -> str:
        start = window.start - SLACK if self.of_runs else window.start
        conditions = [self._named(kind, ids), f"{self.time} >= {instant(start)}"]
        if not self.of_runs:
            conditions.append(f"{self.time} < {instant(window.end)}")
        if where:
            conditions.append(where)
        return " AND ".join(conditions)


LOG_ENTRIES = HogQLTable(
    ("log_entries",),
    "logs",
    kind="log_source",
    owner="log_source_id",
    time="timestamp",
    select=("timestamp", "log_source_id", "instance_id", "level", "message"),
    key=("timestamp", "log_source_id", "instance_id"),
)

# Whole hours by seconds since 1970, because functions that cut to hours do so in the project's
# time zone, which can be half an hour off.
APP_METRICS = HogQLTable(
    ("app_metrics",),
    "metrics",
    kind="app_source",
    owner="app_source_id",
    time="timestamp",
    select=(
        "toUnixTimestamp(timestamp) - toUnixTimestamp(timestamp) % 3600 AS hour",
        "app_source_id",
        "instance_id",
        "metric_name",
        "sum(count) AS total",
    ),
    key=("hour", "app_source_id", "instance_id", "metric_name"),
    group_by=("hour", "app_source_id", "instance_id", "metric_name"),
)

_NEVER = "toDateTime('1970-01-01T00:00:00Z')"
#: Columns of a run's newest row; argMax passes over rows where a value is null.
_NEWEST = {
    **{name: name for name in ("status", "attempts", "scheduled_at", "is_deleted")},
    "duration_ms": "coalesce(duration_ms, -1)",
    **{name: f"coalesce({name}, {_NEVER})" for name in ("started_at", "finished_at")},
    **{
        name: f"coalesce({name}, '')"
        for name in ("error_kind", "error_message", "distinct_id", "person_id", "parent_run_id")
    },
}

# Aliases are not names of columns, or ClickHouse would take them for the columns in WHERE.
INVOCATION_RESULTS = HogQLTable(
    ("hog_invocation_results", "posthog.hog_invocation_results"),
    "runs",
    kind="function_kind",
    owner="function_id",
    time="scheduled_at",
    select=(
        "min(first_scheduled_at) AS first_due_at",
        "function_id",
        "invocation_id",
        *(f"argMax({value}, version) AS last_{name}" for name, value in _NEWEST.items()),
        "max(scheduled_at) AS newest_row_at",
    ),
    key=("first_due_at", "function_id", "invocation_id"),
    group_by=("function_id", "invocation_id"),
    counted="uniqExact(invocation_id)",
    of_runs=True,
    of_jobs=False,
)


def only_levels(level: str | None) -> str:
    """The condition for log lines of these levels, comma-separated; empty for all."""
    names = [name.strip().upper() for name in (level or "").split(",") if name.strip()]
    return f"upper(level) IN ({', '.join(map(quoted, names))})" if names else ""
