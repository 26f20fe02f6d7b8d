"""Reads logs, metrics and runs by PostHog's SQL where that works, by its REST endpoints elsewhere.

Facts: HogQL answers 50,000 rows a request, REST 500; `queries.py` of the client keeps to the limits
of queries. A query that takes too long is answered 512, 513 or 504; how many rows a window has is
counted first, so that a page holds all rows of a part.

Nothing is trusted unseen: where SQL counts no rows in a window, it must show at least one row of
its table. And when PostHog refuses or fails, the rest is read by REST from the instant reached.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from hog_dagster.assets._hogql import HogQLTable
from hog_dagster.assets._report import Gap, Report
from hog_dagster.assets.families import Family, Source
from hog_dagster.assets.landing import server_now
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog.hogql import MOST_ROWS, QueryPage
from hog_dagster.warehouse import Table, Window

__all__ = ["Owners", "ReadBy", "Reader", "arrow_columns"]

#: `auto`: PostHog's SQL where key and server let us, REST elsewhere; `rest` and `hogql`: that only.
ReadBy = Literal["auto", "rest", "hogql"]

#: Rows of a request.
PAGE_ROWS = MOST_ROWS
#: Runs that one query names.
RUNS_PER_QUERY = 1_000
#: With more ids than this the query names none, and rows of others are dropped here.
_MOST_IDS = 1_000
#: A stretch that PostHog finds too much is halved, down to this.
_SHORTEST = timedelta(hours=1)
_REMEDY = "Materialize the partition again."


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
class Reader:
    """Reads one table of one family for the length of one run, and knows where SQL works.

    Args:
        context: of the run, for the log.
        client: an open client.
        family: workflows or hog functions.
        sources: those that are read.
        table: of PostHog's SQL.
        mode: how to read.
        report: takes what there is to say.
        retention: how long PostHog keeps the rows.
        workers: how many requests at a time for batch jobs.
        where: a further condition on the rows.
    """

    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext
    client: PostHogClient
    family: Family
    sources: Sequence[Source]
    table: HogQLTable
    mode: ReadBy
    report: Report
    retention: timedelta
    workers: int = 8
    where: str = ""
    _works: bool | None = None
    _named: str = ""
    _owners: Owners | None = None
    _without_jobs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._named = self.table.names[0]

    def read(
        self,
        window: Window,
        batches: Callable[[QueryPage, Owners], Iterable[pa.RecordBatch]],
        rest: Callable[[Window], Iterable[pa.RecordBatch]],
        landed: Callable[[Window, Mapping[str, Any]], Iterable[pa.RecordBatch]] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a window once: by SQL where that works, else, and from where it stopped
        working, by REST.

        Args:
            window: from when to when.
            batches: rows of an answer as rows of ours.
            rest: reads a window by REST.
            landed: what landed earlier of a window, with a further condition: rows of batch jobs
                that REST cannot read again.

        Raises:
            PostHogError: SQL does not work, and nothing else is wanted.
        """
        reached = window.start
        if self.usable:
            yield from self._of_unlisted(window, landed)
            try:
                for page, until in self._pages(window):
                    yield from batches(page, self.owners)
                    reached = until
                    del page  # else two pages are held while the next one comes
                reached = window.end
            except errors.AuthenticationError:
                raise
            except errors.PostHogError as error:
                if self.mode == "hogql":
                    raise
                self._works = False
                self._say(
                    f"From {reached:%Y-%m-%d %H:%M} UTC on rows came by REST, because SQL failed: "
                    f"{error}"
                )
                if self.owners.jobs:
                    left = Window(reached, window.end)
                    why = f"REST shows no rows of batch jobs, and SQL failed: {error}"
                    self.report.gaps.append(Gap("batch jobs", left, why, _REMEDY))
                    if landed is not None:
                        yield from landed(left, {"batch_job_id": list(self.owners.jobs)})
            if reached > window.start:
                self.report.came(Window(window.start, reached), "HogQL")
        if reached < window.end:
            left = Window(reached, window.end)
            self.report.came(left, "REST")
            yield from rest(left)

    def states(
        self, sql: Callable[[HogQLTable, str, str, Sequence[str]], str]
    ) -> Iterator[QueryPage]:
        """Pages of another query over the same table.

        Args:
            sql: writes it, given the table, its name on this server, the kind and the ids.
        """
        ids = self.owners.ids if len(self.owners.ids) <= _MOST_IDS else []
        yield from self.client.query.pages(
            sql(self.table, self._named, self.family.kind, ids),
            key=self.table.key,
            limit=PAGE_ROWS,
            name=self._name,
        )

    def replaced(self, table: Table) -> dict[str, list[str]]:
        """Which rows of our table a run replaces: those of the things it reads, and those of batch
        jobs only where it can read them again."""
        found = {self.family.id_column: [one.id for one in self.sources]}
        if "batch_job_id" in table and not (self.usable and self.owners.jobs):
            found["batch_job_id"] = [""]
        return found

    @property
    def owners(self) -> Owners:
        """Whose rows are read, batch jobs included where the server lists them."""
        if self._owners is None:
            jobs: Mapping[str, str] = {}
            if self.table.of_jobs:
                try:
                    jobs = self.family.batch_jobs(
                        self.client, self.sources, workers=self.workers, unlisted=self._unlisted
                    )
                except (errors.PermissionDenied, errors.EndpointMissing) as error:
                    self._say(
                        "Rows of batch jobs are left out, because those are not listed: "
                        + str(error)
                    )
            self._owners = Owners([source.id for source in self.sources], jobs)
        return self._owners

    @property
    def usable(self) -> bool:
        """Whether SQL works, as far as is known; the first call asks PostHog.

        Raises:
            PostHogError: it does not, and nothing else is wanted.
        """
        if self.mode == "rest" or not self.sources:
            return False
        if self._works is None:
            self._works = self._probe()
        return self._works

    def _probe(self) -> bool:
        """Whether the table shows rows at all: one request, one more under its other name."""
        now = server_now(self.client)
        kept = Window(now - self.retention, now + timedelta(days=1))
        try:
            seen = self._asked(lambda name: self.table.seen_sql(name, kept))
        except errors.AuthenticationError:
            raise
        except errors.PostHogError as error:
            if self.mode == "hogql":
                raise
            said = f"Read by REST, because SQL does not work: {error}"
            if isinstance(error, errors.MissingScope):
                said += (
                    " With the scope query:read on this key, 50,000 rows come with each request, "
                    "and not 500."
                )
            self._say(said)
            return False
        if not seen and self.mode == "auto":
            self._say(
                f"Read by REST: SQL shows no row in {self.table.name}, so nothing proves that it "
                "would show all."
            )
        return bool(seen) or self.mode == "hogql"

    def _asked(self, sql: Callable[[str], str]) -> list[dict[str, Any]]:
        """The rows of a query, under the name that this server has for the table."""
        for name in self.table.names:
            try:
                found = self.client.query.rows(sql(name), name=self._name)
            except errors.InvalidRequest as error:
                if name == self.table.names[-1] or "unknown table" not in str(error).lower():
                    raise
            else:
                self._named = name
                return found
        raise AssertionError("a table has a name")

    def counts(self, window: Window, counted: str) -> dict[str, int]:
        """Owner -> how many rows of ours SQL counts in a window; one request."""
        ids = self.owners.ids if len(self.owners.ids) <= _MOST_IDS else []
        rows = self._asked(
            lambda name: self.table.owners_sql(
                name, self.family.kind, ids, window, self.where, counted
            )
        )
        return {row["owner"]: int(row["n"] or 0) for row in rows}

    def _parts(self, window: Window) -> list[Window]:
        """The window in parts of about a page each, by how many rows its hours have."""
        ids = self.owners.ids if len(self.owners.ids) <= _MOST_IDS else []
        try:
            rows = self._asked(
                lambda name: self.table.hours_sql(name, self.family.kind, ids, window, self.where)
            )
        except (errors.QueryTooLarge, errors.ServerError) as error:
            if not _too_much(error):
                raise
            return [window]
        parts: list[Window] = []
        start, held = window.start, 0
        for row in rows:
            hour, many = datetime.fromtimestamp(int(row["hour"]), UTC), int(row["n"])
            if held and held + many >= PAGE_ROWS and hour > start:
                parts.append(Window(start, hour))
                start, held = hour, 0
            held += many
        if held or parts:
            parts.append(Window(start, window.end))
        return parts

    def _pages(self, window: Window) -> Iterator[tuple[QueryPage, datetime]]:
        """Pages, and until when (exclusive) all rows have come; halves what is too much."""
        ids = self.owners.ids
        todo = self._parts(window)[::-1]
        while todo:
            part = todo.pop()
            reached = part.start
            pages = self.client.query.pages(
                self.table.sql(
                    self._named,
                    self.family.kind,
                    ids if len(ids) <= _MOST_IDS else (),
                    part,
                    self.where,
                ),
                key=self.table.key,
                limit=PAGE_ROWS,
                name=self._name,
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

    @property
    def _name(self) -> str:
        return f"hog_dagster {self.family.name} {self.table.name}"

    def give_up(self, error: errors.PostHogError, what: str) -> None:
        """SQL failed amid a run: the rest of it is read by REST.

        Raises:
            PostHogError: the error, where nothing else is wanted or would work.
        """
        if self.mode == "hogql" or isinstance(error, errors.AuthenticationError):
            raise error
        self._works = False
        self._say(f"{what} came by REST, because SQL failed: {error}")

    def _unlisted(self, gap: Gap) -> None:
        """One workflow's batch jobs are not listed: what landed of them stays."""
        why = f"its batch jobs are not listed: {gap.why}"
        self.report.gaps.append(replace(gap, why=why))
        self.context.log.warning(f"{gap.object}: {why}")
        self._without_jobs.append(gap.object)

    def _of_unlisted(
        self,
        window: Window,
        landed: Callable[[Window, Mapping[str, Any]], Iterable[pa.RecordBatch]] | None,
    ) -> Iterator[pa.RecordBatch]:
        """The rows that landed of batch jobs not listed now, where `replaced` names them."""
        if not self.owners.jobs or landed is None or not self._without_jobs:
            return
        for batch in landed(window, {self.family.id_column: list(self._without_jobs)}):
            yield batch.filter(pc.call_function("not_equal", [batch.column("batch_job_id"), ""]))

    def _say(self, sentence: str) -> None:
        self.report.notes.append(sentence)
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
