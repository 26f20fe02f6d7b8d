"""The bulk path: logs, metrics and runs by PostHog's SQL, 50,000 rows a request instead of 500.

Facts: HogQL shows the tables log_entries, app_metrics (app_metrics2 in the database) and, on newer
servers, hog_invocation_results, to keys with the scope query:read. It shows the rows of batch jobs
too, which no other endpoint serves. Rows can be stored twice until the database merges them, and
runs are stored once per change, so they are collapsed as PostHog's own endpoint does.

Nothing is trusted unseen: before the first use a query must find at least one row of the kind. And
when PostHog refuses or fails, the rest is read from the ordinary endpoints, from the instant on
that was reached.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from hog_dagster.assets.families import Family, Source
from hog_dagster.assets.landing import server_now
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog.hogql import MOST_ROWS, QueryPage, instant, quoted
from hog_dagster.warehouse import Table, Window

__all__ = [
    "APP_METRICS",
    "INVOCATION_RESULTS",
    "LOG_ENTRIES",
    "BulkMode",
    "BulkReader",
    "BulkTable",
    "Owners",
    "arrow_columns",
]

#: `off`: the ordinary endpoints only. `auto`: PostHog's SQL where the key and the server let us,
#: the ordinary endpoints elsewhere.
BulkMode = Literal["off", "auto"]

#: Rows of a request.
PAGE_ROWS = MOST_ROWS
#: With more ids than this the query names none, and rows of others are dropped here.
_MOST_IDS = 1_000
#: A stretch that PostHog finds too much is halved, down to this.
_SHORTEST = timedelta(hours=1)


@dataclass(frozen=True)
class BulkTable:
    """A table of PostHog's SQL, and how it is read.

    Args:
        name: its name in HogQL.
        kind: the column that tells workflows from hog functions.
        owner: the column with the id of the workflow, function or batch job.
        time: the column windows are compared with.
        select: what is selected; the first is a time (text or Unix seconds), by which it is read.
        key: what orders the rows and tells them apart; its first is the first selected.
        group_by: what is grouped by, if anything.
    """

    name: str
    kind: str
    owner: str
    time: str
    select: tuple[str, ...]
    key: tuple[str, ...]
    group_by: tuple[str, ...] = ()

    def sql(self, kind: str, ids: Sequence[str], window: Window, where: str = "") -> str:
        """The query for one window; `ids` empty means all."""
        conditions = [
            f"{self.kind} = {quoted(kind)}",
            f"{self.time} >= {instant(window.start)}",
            f"{self.time} < {instant(window.end)}",
        ]
        if ids:
            conditions.append(f"{self.owner} IN ({', '.join(map(quoted, ids))})")
        if where:
            conditions.append(where)
        grouped = f" GROUP BY {', '.join(self.group_by)}" if self.group_by else ""
        return (
            f"SELECT {', '.join(self.select)} FROM {self.name} "  # noqa: S608
            f"WHERE {' AND '.join(conditions)}{grouped}"
        )


LOG_ENTRIES = BulkTable(
    "log_entries",
    kind="log_source",
    owner="log_source_id",
    time="timestamp",
    select=("timestamp", "log_source_id", "instance_id", "level", "message"),
    key=("timestamp", "log_source_id", "instance_id"),
)

# Whole hours by seconds since 1970, because functions that cut to hours do so in the project's
# time zone, which can be half an hour off.
APP_METRICS = BulkTable(
    "app_metrics",
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

# Aliases are not names of columns, or ClickHouse would take them for the columns in WHERE.
INVOCATION_RESULTS = BulkTable(
    "hog_invocation_results",
    kind="function_kind",
    owner="function_id",
    time="scheduled_at",
    select=(
        "min(scheduled_at) AS due_at",
        "function_id",
        "invocation_id",
        *(
            f"argMax({column}, version) AS last_{column}"
            for column in (
                "status",
                "error_kind",
                "error_message",
                "distinct_id",
                "person_id",
                "started_at",
                "finished_at",
                "duration_ms",
                "attempts",
                "is_retry",
                "is_deleted",
            )
        ),
    ),
    key=("due_at", "function_id", "invocation_id"),
    group_by=("function_id", "invocation_id"),
)


@dataclass(frozen=True)
class Owners:
    """Whose rows are read: ids as PostHog files rows under, and what they stand for.

    Args:
        sources: ids of workflows or functions.
        jobs: batch job id -> id of its workflow.
    """

    sources: Sequence[str]
    jobs: Mapping[str, str] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        """All of them, jobs last."""
        return [*self.sources, *self.jobs]

    def resolved(self, owners: pa.Array) -> tuple[pa.Array, pa.Array]:
        """For each row the workflow's (or function's) id, null for others', and the batch job's
        id, empty for none."""
        place = pc.call_function(
            "index_in", [owners], pc.SetLookupOptions(value_set=pa.array(self.ids, pa.string()))
        )
        sources = pa.array([*self.sources, *self.jobs.values()], pa.string())
        jobs = pa.array([*("" for _ in self.sources), *self.jobs], pa.string())
        return sources.take(place), jobs.take(place)


@dataclass
class BulkReader:
    """Reads one family's rows by SQL for the length of one run, and knows where that works.

    Args:
        context: of the run, for the log.
        client: an open client.
        family: workflows or hog functions.
        sources: those that are read.
        mode: `off` reads nothing by SQL.
        notes: takes sentences for the reader of the run.
        retention: how long PostHog keeps the rows.
        workers: how many requests at a time for batch jobs.
    """

    context: dg.AssetExecutionContext
    client: PostHogClient
    family: Family
    sources: Sequence[Source]
    mode: BulkMode
    notes: list[str]
    retention: timedelta
    workers: int = 8
    _works: bool | None = None
    _owners: Owners | None = None

    def read(
        self,
        table: BulkTable,
        window: Window,
        batches: Callable[[QueryPage, Owners], Iterable[pa.RecordBatch]],
        rest: Callable[[Window], Iterable[pa.RecordBatch]],
        *,
        where: str = "",
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a window once: by SQL where that works, else, and from where it stopped
        working, from the ordinary endpoints.

        Args:
            table: what is read.
            window: from when to when.
            batches: rows of an answer as rows of ours.
            rest: reads a window from the ordinary endpoints.
            where: a further condition.
        """
        reached = window.start
        if self._usable(table):
            try:
                for page, until in self._pages(table, window, where):
                    yield from batches(page, self.owners)
                    reached = until
                    del page  # else two pages are held while the next one comes
            except errors.AuthenticationError:
                raise
            except errors.PostHogError as error:
                self._works = False
                self._say(
                    f"From {reached:%Y-%m-%d %H:%M} UTC on rows came from the ordinary endpoints, "
                    f"those of batch jobs not at all, because SQL failed: {error}"
                )
        if reached < window.end:
            yield from rest(Window(reached, window.end))

    def replaced(self, source: BulkTable, table: Table) -> dict[str, list[str]]:
        """Which rows of our table a run replaces: those of the things it reads, and those of batch
        jobs only where it can read them again."""
        found = {self.family.id_column: [one.id for one in self.sources]}
        if "batch_job_id" in table and not (self._usable(source) and self.owners.jobs):
            found["batch_job_id"] = [""]
        return found

    @property
    def owners(self) -> Owners:
        """Whose rows are read, batch jobs included where the server lists them."""
        if self._owners is None:
            jobs: Mapping[str, str] = {}
            try:
                jobs = self.family.batch_jobs(self.client, self.sources, workers=self.workers)
            except (errors.PermissionDenied, errors.EndpointMissing) as error:
                self._say(f"Rows of batch jobs are left out, because those are not listed: {error}")
            self._owners = Owners([source.id for source in self.sources], jobs)
        return self._owners

    def _usable(self, table: BulkTable) -> bool:
        if self.mode == "off" or not self.sources:
            return False
        if self._works is None:
            self._works = self._probe(table)
        return self._works

    def _probe(self, table: BulkTable) -> bool:
        now = server_now(self.client)
        kept = Window(now - self.retention, now + timedelta(days=1))
        sql = (
            f"SELECT 1 AS seen FROM {table.name} WHERE {table.kind} = "  # noqa: S608
            f"{quoted(self.family.kind)} AND {table.time} >= {instant(kept.start)} LIMIT 1"
        )
        try:
            seen = self.client.query.rows(sql, name=self._name(table))
        except errors.AuthenticationError:
            raise
        except errors.PostHogError as error:
            self._say(f"Read from the ordinary endpoints, because SQL does not work: {error}")
            return False
        if not seen:
            self._say(
                f"Read from the ordinary endpoints: SQL shows no row of {self.family.name} in "
                f"{table.name}, so nothing proves that it would show all."
            )
        return bool(seen)

    def _pages(
        self, table: BulkTable, window: Window, where: str
    ) -> Iterator[tuple[QueryPage, datetime]]:
        """Pages, and until when (exclusive) all rows have come; halves what is too much."""
        ids = self.owners.ids
        todo = [window]
        while todo:
            part = todo.pop()
            reached = part.start
            pages = self.client.query.pages(
                table.sql(self.family.kind, ids if len(ids) <= _MOST_IDS else (), part, where),
                key=table.key,
                limit=PAGE_ROWS,
                name=self._name(table),
            )
            try:
                for page, until in _whole_instants(pages):
                    reached = until or part.end
                    yield page, reached
                    del page
            except (errors.QueryTooLarge, errors.ServerError) as error:
                left = part.end - reached
                if left <= _SHORTEST or not _too_much(error):
                    raise
                middle = reached + _half(left)
                todo += [Window(middle, part.end), Window(reached, middle)]

    def _name(self, table: BulkTable) -> str:
        return f"hog_dagster {self.family.name} {table.name}"

    def _say(self, sentence: str) -> None:
        self.notes.append(sentence)
        self.context.log.warning(sentence)


def _too_much(error: errors.PostHogError) -> bool:
    return isinstance(error, errors.QueryTooLarge) or error.status == 504


def _half(length: timedelta) -> timedelta:
    """Half of it in whole hours, one at least: metrics are counted by the hour."""
    return max(_SHORTEST, length / 2 // _SHORTEST * _SHORTEST)


def _whole_instants(pages: Iterable[QueryPage]) -> Iterator[tuple[QueryPage, datetime | None]]:
    """Pages cut where an instant ends, and that end; None at the end of all."""
    held: QueryPage | None = None
    for page in pages:
        rows = page.rows if held is None else held.rows + page.rows
        last, cut = rows[-1][0], len(rows) - 1
        while cut and rows[cut - 1][0] == last:
            cut -= 1
        held = QueryPage(page.columns, page.types, rows[cut:])
        del rows[cut:], page
        if rows:
            yield QueryPage(held.columns, held.types, rows), _moment(last)
        rows = []
    if held is not None:
        yield held, None


def _moment(value: Any) -> datetime:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return datetime.fromtimestamp(int(value), UTC)


def arrow_columns(page: QueryPage, types: Mapping[str, pa.DataType]) -> dict[str, pa.Array]:
    """Columns of an answer by name, as text unless a type is given; times come as text."""
    columns: dict[str, pa.Array] = {}
    for place, name in enumerate(page.columns):
        values = [row[place] for row in page.rows]  # five times as fast as zip(*rows)
        kind = types.get(name, pa.string())
        written = pa.string() if pa.types.is_timestamp(kind) else kind
        columns[name] = pa.array(values, written).cast(kind)
    return columns
