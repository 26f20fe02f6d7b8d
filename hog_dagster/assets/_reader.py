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
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hog_dagster.assets._hogql import Rows
from hog_dagster.assets._idle import awake
from hog_dagster.assets._log_sources import Source
from hog_dagster.assets._report import Gap
from hog_dagster.assets._sql_pages import (
    SHORTEST,
    Owners,
    half,
    moment_of,
    too_much,
    whole_instants,
)
from hog_dagster.assets._sql_table import PAGE_ROWS, SqlTable
from hog_dagster.posthog import QueryPage, errors
from hog_dagster.warehouse import Table, Window

#: Runs that one query names.
RUNS_PER_QUERY = 1_000
#: A window that is not longer is asked for without counting its rows first.
_AT_ONCE = timedelta(days=3)
_REMEDY = "Materialize the partition again."


@dataclass
class Reader(SqlTable):
    """Reads the rows of one table of one log source, by SQL where that works, by REST elsewhere."""

    _opened: dict[Window, Iterator[QueryPage]] = field(default_factory=dict)
    _counted: dict[Window, list[Window]] = field(default_factory=dict)
    _moved: dict[Window, list[QueryPage]] = field(default_factory=dict)
    _replaced: dict[Window, frozenset[str]] = field(default_factory=dict)
    _asked_of: dict[tuple[Window, Rows], list[Source]] = field(default_factory=dict)

    def read(
        self,
        window: Window,
        batches: Callable[[QueryPage, Owners], Iterable[pa.RecordBatch]],
        rest: Callable[[Window], Iterable[pa.RecordBatch]],
        loaded: Callable[[Window, Mapping[str, Any]], Iterable[pa.RecordBatch]] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a window once: by SQL where that works, else, and from where it stopped
        working, by REST. `loaded` reads rows that were loaded earlier: those of batch jobs,
        which REST cannot read again.

        Raises:
            PostHogError: SQL does not work, and nothing else is wanted.
        """
        reached = window.start
        if self.ready(window):
            yield from self._of_unlisted(window, loaded)
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
                    if loaded is not None:
                        yield from loaded(left, {"batch_job_id": list(self.owners.jobs)})
            if reached > window.start:
                self.report.came(Window(window.start, reached), "HogQL")
        if reached < window.end:
            left = Window(reached, window.end)
            self.report.came(left, "REST")
            yield from rest(left)

    def replaced(self, table: Table, window: Window) -> dict[str, list[str]]:
        """Which rows of our table a run replaces: those of the things it reads, and those of batch
        jobs only where it can read them again."""
        usable = self.ready(window)
        read = self.sources if usable else self.asked_one_by_one(window, self.table.rows)
        found = {self.log_source.id_column: [one.id for one in read]}
        if "batch_job_id" in table and not (usable and self.owners.jobs):
            found["batch_job_id"] = [""]
        self._replaced[window] = frozenset(one.id for one in read)
        return found

    def asked_one_by_one(self, window: Window, rows: Rows) -> list[Source]:
        """Those that are asked by REST: all that can have rows in a window."""
        if (window, rows) not in self._asked_of:
            there = self.sources
            if self.log_source.kind == "hog_flow":
                # Steps, which are counted one by one and can wait, are not in the catalog's table.
                ids = {source.id for source in self.sources}
                there = [
                    source for source in self.log_source.sources(self.client) if source.id in ids
                ]
            self._asked_of[window, rows] = awake(
                self.client, self.log_source, there, window, rows, self.report
            )
        return self._asked_of[window, rows]

    def left_alone(self, window: Window, asked: Sequence[Source]) -> list[str]:
        """Those that are replaced and were not asked by REST after all.

        The window is one that `replaced` was called with, or the end of it.
        """
        replaced = set().union(
            *(
                ids
                for whole, ids in self._replaced.items()
                if whole.start <= window.start < whole.end
            )
        )
        return sorted(replaced - {source.id for source in asked})

    def moved(self, window: Window) -> list[QueryPage] | None:
        """Runs of before a window that have rows since it began, where they came with the window's
        own runs; None where they have to be asked for."""
        return self._moved.get(window)

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

    def _parts(self, window: Window) -> list[Window]:
        """The window in parts of about a page each, by how many rows its hours have."""
        try:
            rows = self._asked(
                lambda name: self.table.hours_sql(
                    name, self.log_source.kind, self._ids, window, self.where
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
            write(name, self.log_source.kind, self._ids, part, self.where),
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

    def _of_unlisted(
        self,
        window: Window,
        loaded: Callable[[Window, Mapping[str, Any]], Iterable[pa.RecordBatch]] | None,
    ) -> Iterator[pa.RecordBatch]:
        """The rows that were loaded of batch jobs not listed now, where `replaced` names them."""
        if not self.owners.jobs or loaded is None or not self._without_jobs:
            return
        for batch in loaded(window, {self.log_source.id_column: list(self._without_jobs)}):
            yield batch.filter(pc.call_function("not_equal", [batch.column("batch_job_id"), ""]))
