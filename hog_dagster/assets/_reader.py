"""Reads logs, metrics and runs by PostHog's SQL where that works, by its REST endpoints elsewhere.

Facts: HogQL answers 50,000 rows a request, REST 500; `queries.py` of the client keeps to the limits
of queries. A query that takes too long is answered 512, 513 or 504. A short window is asked for its
first page at once, which mostly is all of it; of a long window, and of one that fills its first
page, the rows are counted first, so that a page holds all rows of a part.

Nothing is trusted unseen: where SQL shows no rows in a window, it must show at least one row of its
table. And when PostHog refuses or fails, the rest is read by REST from the instant reached.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from hog_dagster.assets._hogql import HogQLTable
from hog_dagster.assets._idle import Rows, awake
from hog_dagster.assets._once import once, recall, remember
from hog_dagster.assets._report import Gap, Report, labelled
from hog_dagster.assets._sql_pages import (
    SHORTEST,
    Owners,
    half,
    moment_of,
    too_much,
    whole_instants,
)
from hog_dagster.assets.families import Family, Source
from hog_dagster.assets.landing import server_now
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog.hogql import MOST_ROWS, QueryPage
from hog_dagster.warehouse import Table, Window

__all__ = ["NO_SCOPE", "ReadBy", "Reader"]

T = TypeVar("T")

#: `auto`: PostHog's SQL where key and server let us, REST elsewhere; `rest` and `hogql`: that only.
ReadBy = Literal["auto", "rest", "hogql"]

#: Rows of a request.
PAGE_ROWS = MOST_ROWS
#: Runs that one query names.
RUNS_PER_QUERY = 1_000
#: With more ids than this the query names none, and rows of others are dropped here.
_MOST_IDS = 1_000
#: A window that is not longer is asked for without counting its rows first.
_AT_ONCE = timedelta(days=3)
#: What a run remembers of a key without that scope, so that it asks once.
NO_SCOPE = "query:read is missing"
_REMEDY = "Materialize the partition again."


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
        jobs: batch job id -> id of its workflow, where that is known; else PostHog is asked.
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
    jobs: Mapping[str, str] | None = None
    _works: bool | None = None
    _named: str = ""
    _owners: Owners | None = None
    _without_jobs: list[str] = field(default_factory=list)
    _opened: dict[Window, Iterator[QueryPage]] = field(default_factory=dict)
    _counted: dict[Window, list[Window]] = field(default_factory=dict)
    _moved: dict[Window, list[QueryPage]] = field(default_factory=dict)
    _replaced: dict[Window, frozenset[str]] = field(default_factory=dict)
    _asked_of: dict[tuple[Window, Rows], list[Source]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._named = recall(self.client, ("name", self.table)) or self.table.names[0]

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
        if self.ready(window):
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
        yield from self.client.query.pages(
            sql(self.table, self._named, self.family.kind, self._ids),
            key=self.table.key,
            limit=PAGE_ROWS,
            name=self._name,
        )

    def found(
        self, sql: Callable[[HogQLTable, str, str, Sequence[str]], str]
    ) -> list[QueryPage] | None:
        """The pages of another query over the same table; None where SQL does not work.

        Args:
            sql: as of `states`.
        """
        if self._known() is False:
            return None
        pages: list[QueryPage] = []

        def ask() -> bool:
            def of(name: str) -> list[QueryPage]:
                text = sql(self.table, name, self.family.kind, self._ids)
                return list(
                    self.client.query.pages(
                        text, key=self.table.key, limit=PAGE_ROWS, name=self._name
                    )
                )

            pages.extend(self._under_its_name(of))
            return bool(pages) or bool(self._known()) or self._probe()

        return pages if self._tried(ask) else None

    def replaced(self, table: Table, window: Window, rows: Rows) -> dict[str, list[str]]:
        """Which rows of our table a run replaces: those of the things it reads, and those of batch
        jobs only where it can read them again."""
        usable = self.ready(window)
        read = self.sources if usable else self.asked_one_by_one(window, rows)
        found = {self.family.id_column: [one.id for one in read]}
        if "batch_job_id" in table and not (usable and self.owners.jobs):
            found["batch_job_id"] = [""]
        self._replaced[window] = frozenset(one.id for one in read)
        return found

    def asked_one_by_one(self, window: Window, rows: Rows) -> list[Source]:
        """Those that are asked by REST: all that can have rows in a window."""
        if (window, rows) not in self._asked_of:
            there = self.sources
            if self.family.kind == "hog_flow":
                # Steps, which are counted one by one and can wait, are not in the catalog's table.
                ids = {source.id for source in self.sources}
                there = [source for source in self.family.sources(self.client) if source.id in ids]
            self._asked_of[window, rows] = awake(
                self.client, self.family, there, window, rows, self.report
            )
        return self._asked_of[window, rows]

    def left_alone(
        self,
        window: Window,
        asked: Sequence[Source],
        landed: Callable[[Mapping[str, Any]], Iterable[pa.RecordBatch]],
    ) -> Iterator[pa.RecordBatch]:
        """What landed earlier of those that are replaced and were not asked after all.

        Args:
            window: read by REST: one that `replaced` was called with, or the end of it.
            asked: those that were asked by REST.
            landed: reads what landed, with a further condition.
        """
        replaced = set().union(
            *(
                ids
                for whole, ids in self._replaced.items()
                if whole.start <= window.start < whole.end
            )
        )
        if left := sorted(replaced - {source.id for source in asked}):
            yield from landed({self.family.id_column: left})

    def moved(self, window: Window) -> list[QueryPage] | None:
        """Runs of before a window that have rows since it began, where they came with the window's
        own runs; None where they have to be asked for."""
        return self._moved.get(window)

    @property
    def owners(self) -> Owners:
        """Whose rows are read, batch jobs included where the server lists them."""
        if self._owners is None:
            jobs: Mapping[str, str] = {}
            if self.table.of_jobs:
                try:
                    jobs = self.jobs if self.jobs is not None else self._ask_for_jobs()
                except (errors.PermissionDenied, errors.EndpointMissing) as error:
                    self._say(
                        "Rows of batch jobs are left out, because those are not listed: "
                        + str(error)
                    )
            self._owners = Owners([source.id for source in self.sources], jobs)
        return self._owners

    @property
    def _ids(self) -> list[str]:
        """The ids that queries name: none where all are read, so that batch jobs are not listed for
        their ids alone, and none where they are too many; rows of others are dropped here."""
        if not self.family.narrow or len(ids := self.owners.ids) > _MOST_IDS:
            return []
        return ids

    def _ask_for_jobs(self) -> Mapping[str, str]:
        ids = frozenset(source.id for source in self.sources)
        return once(
            self.client,
            ("batch jobs", self.family.name, ids),
            lambda: self.family.batch_jobs(
                self.client, self.sources, workers=self.workers, unlisted=self._unlisted
            ),
        )

    @property
    def usable(self) -> bool:
        """Whether SQL works, as far as is known; the first call may ask PostHog.

        Raises:
            PostHogError: it does not, and nothing else is wanted.
        """
        known = self._known()
        return self._tried(self._probe) if known is None else known

    def ready(self, window: Window) -> bool:
        """As `usable`; where nothing is known yet, the first rows of a short window are asked for,
        those of a long one counted, and both kept for `read`, since rows are the best proof.

        Raises:
            PostHogError: SQL does not work, and nothing else is wanted.
        """
        known = self._known()
        if known is None:
            look = self._open if window.end - window.start <= _AT_ONCE else self._count
            return self._tried(lambda: look(window) or self._probe())
        return known

    def _known(self) -> bool | None:
        """Whether SQL works; None while nothing is known of this table."""
        if self.mode == "rest" or not self.sources:
            return False
        if self._works is None and recall(self.client, ("works", self.table)):
            self._works = True
        if self._works is None and self.mode == "auto":
            refused = recall(self.client, NO_SCOPE)
            if refused is not None:
                self._refused(refused)
                self._works = False
        return self._works

    def _tried(self, ask: Callable[[], bool]) -> bool:
        """Whether SQL works, by asking for something; the answer is kept for the whole run."""
        try:
            seen = ask()
        except errors.AuthenticationError:
            raise
        except errors.PostHogError as error:
            if self.mode == "hogql":
                raise
            self._refused(error)
            if isinstance(error, errors.MissingScope):
                remember(self.client, NO_SCOPE, error)
            self._works = False
            return False
        if seen:
            remember(self.client, ("works", self.table), value=True)
        elif self.mode == "auto":
            self._say(
                f"Read by REST: SQL shows no row in {self.table.name}, so nothing proves that it "
                "would show all."
            )
        self._works = seen or self.mode == "hogql"
        return self._works

    def _refused(self, error: errors.PostHogError) -> None:
        said = f"Read by REST, because SQL does not work: {error}"
        if isinstance(error, errors.MissingScope):
            said += (
                " With the scope query:read on this key, 50,000 rows come with each request, "
                "and not 500."
            )
        self._say(said)

    def _probe(self) -> bool:
        """Whether the table shows rows at all: one request, one more under its other name."""
        now = server_now(self.client)
        kept = Window(now - self.retention, now + timedelta(days=1))
        return bool(self._asked(lambda name: self.table.seen_sql(name, kept)))

    def _count(self, window: Window) -> bool:
        """Count the rows of a window's parts, and keep the parts; whether there are any."""
        self._counted[window] = self._parts(window)
        return bool(self._counted[window])

    def _open(self, window: Window) -> bool:
        """Ask for the first page of a window, and keep it; whether it has rows.

        One request, one more under the table's other name. Of a window that is too much, False.
        """

        def first(name: str) -> tuple[QueryPage | None, Iterator[QueryPage]]:
            pages = self._query(window, name)
            return next(pages, None), pages

        try:
            page, more = self._under_its_name(first)
        except (errors.QueryTooLarge, errors.ServerError) as error:
            if not too_much(error):
                raise
            return False
        if page is None:
            self._opened[window] = iter(())
            return False
        self._opened[window] = itertools.chain([page], more)
        return True

    def _asked(self, sql: Callable[[str], str]) -> list[dict[str, Any]]:
        """The rows of a query, under the name that this server has for the table."""
        return self._under_its_name(lambda name: self.client.query.rows(sql(name), name=self._name))

    def _under_its_name(self, ask: Callable[[str], T]) -> T:
        """What is asked under the name that this server has for the table."""
        others = [name for name in self.table.names if name != self._named]
        for name in (self._named, *others):
            try:
                found = ask(name)
            except errors.InvalidRequest as error:
                if [name] == others[-1:] or not others or "unknown table" not in str(error).lower():
                    raise
            else:
                self._named = name
                remember(self.client, ("name", self.table), name)
                return found
        raise AssertionError("a table has a name")

    def counts(self, window: Window, counted: str) -> dict[str, int]:
        """Owner -> how many rows SQL counts in a window, of workflows and functions alike; one
        request for both."""
        rows = once(
            self.client,
            ("counts", self.table, window, self.where, counted),
            lambda: self._asked(
                lambda name: self.table.owners_sql(name, window, self.where, counted)
            ),
        )
        return {row["owner"]: int(row["n"] or 0) for row in rows if row["kind"] == self.family.kind}

    def _parts(self, window: Window) -> list[Window]:
        """The window in parts of about a page each, by how many rows its hours have."""
        try:
            rows = self._asked(
                lambda name: self.table.hours_sql(
                    name, self.family.kind, self._ids, window, self.where
                )
            )
        except (errors.QueryTooLarge, errors.ServerError) as error:
            if not too_much(error):
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
        opened = self._opened.pop(window, None)
        if opened is None and window.end - window.start <= _AT_ONCE:
            opened = self._query(window, self._named)
        counted = self._counted.pop(window, None)
        if opened is None and counted is None:
            counted = self._parts(window)
        if opened is not None and self.table.of_runs:
            self._moved[window] = []
        # The last is read first.
        todo = [window] if counted is None else counted[::-1]
        while todo:
            part = todo.pop()
            reached = part.start
            at_once, opened = opened, None
            pages = at_once or self._query(part, self._named, of_window=False)
            try:
                for page, until in whole_instants(pages):
                    reached = max(until or part.end, part.start)
                    many = len(page) > PAGE_ROWS // 2
                    if at_once is not None and self.table.of_runs:
                        page = self._without_moved(page, window)
                    if len(page):
                        yield page, reached
                    del page
                    if at_once is not None and many and until is not None:
                        if reached == part.start:
                            self._moved.pop(window, None)
                        todo += self._parts(Window(reached, part.end))[::-1]
                        break
            except (errors.QueryTooLarge, errors.ServerError) as error:
                if at_once is not None and reached == part.start and too_much(error):
                    self._moved.pop(window, None)
                    todo += self._parts(part)[::-1]
                    continue
                left = part.end - reached
                if left <= SHORTEST or not too_much(error):
                    raise
                middle = reached + half(left)
                todo += [Window(middle, part.end), Window(reached, middle)]

    def _query(self, part: Window, name: str, *, of_window: bool = True) -> Iterator[QueryPage]:
        """The pages of a part; of a whole window of runs, with those of before that moved."""
        write = self.table.sql_with_moved if of_window and self.table.of_runs else self.table.sql
        return self.client.query.pages(
            write(name, self.family.kind, self._ids, part, self.where),
            key=self.table.key,
            limit=PAGE_ROWS,
            name=self._name,
        )

    def _without_moved(self, page: QueryPage, window: Window) -> QueryPage:
        """The page without runs of before the window, which are kept for `moved`."""
        earlier = 0
        while earlier < len(page) and moment_of(page.rows[earlier][0]) < window.start:
            earlier += 1
        if earlier:
            moved = QueryPage(page.columns, page.types, page.rows[:earlier])
            self._moved[window].append(moved)
            return QueryPage(page.columns, page.types, page.rows[earlier:])
        return page

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
        names = {source.id: source.name for source in self.sources}
        self.context.log.warning(f"{labelled(gap.object, names)}: {why}")
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
