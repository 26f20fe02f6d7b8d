"""Every row of a query once, in pages of at most 50,000, the next one read while one is loaded.

Facts: PostHog answers at most 50,000 rows and stops a query after ten seconds; sorting the rows of
a long window is what takes them. So each page asks for the rows from the last key on, and where the
key begins with a time, it is bounded by a count of the rows, too. What is too much all the same is
halved. Rows that share a key always come from one page.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

from hog_dagster.assets._sql_pages import too_much
from hog_dagster.posthog import (
    MOST_ROWS,
    PageSizes,
    QueryPage,
    errors,
    from_key,
    identifier,
    instant,
)
from hog_dagster.warehouse import Window

#: Rows of a response that is too large even in the shortest window are asked for in fewer at a
#: time.
_LEAST_ROWS = 1_000
#: Bytes of a response beyond which the next one has fewer rows, and beyond half of which it is not
#: read ahead: so rows of any width take the same memory.
MOST_BYTES = 64 * 2**20
#: A window that is too much is halved down to this.
_SHORTEST = timedelta(seconds=1)
#: A partition's rows are counted in about so many parts.
_PARTS = 1_440
#: Parts of one query that may fail before the rest is given up.
_MOST_UNREAD = 8


@dataclass(frozen=True)
class Unread:
    """Rows that could not be read.

    Attributes:
        why: a sentence.
        window: from when to when by the first column of the key; None where that is no time.
        sample: one row, with the key that all of them share; None where they share none.
    """

    why: str
    window: Window | None = None
    sample: QueryPage | None = None


@dataclass(frozen=True)
class _Place:
    """Where the next page begins: a condition, empty for the beginning, and the time there, where
    the key begins with one."""

    where: str = ""
    time: datetime | None = None


class QueryReader:
    """Reads queries that differ in their window alone, one after another, paged by the columns of
    the key; without a key all rows come with one response."""

    def __init__(
        self, ask: Callable[[str], QueryPage], key: Sequence[str], rows: int = MOST_ROWS
    ) -> None:
        self._ask = ask
        self._key = list(key)
        self._rows = rows
        self._sizes = PageSizes()
        self._many = False  # The last window had more than one page: count the next one first.

    def pages(
        self, sql: str, window: Window | None, unread: Callable[[Unread], None]
    ) -> Generator[QueryPage, None, None]:
        """The rows; at least one page, which tells the columns, even where there are none.

        Requests: one per page; one more where there are several and the key begins with a time; a
        few more where PostHog finds some too much. `unread` is called with rows that could not be
        read.

        Raises:
            PostHogError: PostHog refused the query, or failed for all of it.
            ValueError: there is no key and more than one page, or a column of the key is not
                selected or cannot be compared.
        """
        if not self._key:
            yield self._only_page(sql)
            return
        walk = _Walk(self._ask, sql, self._key, self._rows, window, self._sizes, unread)
        walk.wants_counts = self._many and window is not None
        yield from walk.pages()
        self._many = walk.full_pages > 0 and walk.times

    def _only_page(self, sql: str) -> QueryPage:
        page = self._ask(f"SELECT * FROM (\n{sql}\n) LIMIT {self._rows}")  # noqa: S608
        if page.cut or len(page) >= self._rows:
            raise ValueError(
                f"it has {self._rows:,} rows or more, which come in several pages: name in its key "
                "the columns that tell its rows apart, the time first."
            )
        return page


class _Walk:
    """One reading of one query."""

    def __init__(
        self,
        ask: Callable[[str], QueryPage],
        sql: str,
        key: list[str],
        rows: int,
        window: Window | None,
        sizes: PageSizes,
        unread: Callable[[Unread], None],
    ) -> None:
        self._ask, self._sql, self._key, self._most = ask, sql, key, rows
        self._window, self._sizes, self._unread = window, sizes, unread
        self._place = _Place()
        self._limit = self._by_size = rows
        self._too_many: int | None = None  # So many rows of a response were too much.
        self._bounds: list[datetime] = []  # Halves of what was too much, the next one last.
        self._counts: _Counts | None = None
        self._kind: str | None = None  # ClickHouse's type of the key's first column.
        self._wants_kind = False
        self._last: list[Any] | None = None
        self._read = 0
        self._failed = 0
        self._done = False
        self.wants_counts = False
        self.full_pages = 0

    # --- the loop -------------------------------------------------------------------------------

    def pages(self) -> Generator[QueryPage, None, None]:
        """The pages; the first one always, those without rows not."""
        shown = False
        # The next page is read while the one before it is loaded.
        with ThreadPoolExecutor(1, thread_name_prefix="hog-dagster-query") as ahead:
            coming: Future[QueryPage] | None = ahead.submit(self._next)
            while coming is not None:
                try:
                    page = coming.result()
                except errors.PostHogError as error:
                    self._failed_with(error)
                    coming = None if self._done else ahead.submit(self._next)
                    continue
                self._took(page)
                ahead_now = not self._done and page.size <= MOST_BYTES // 2
                coming = ahead.submit(self._next) if ahead_now else None
                held = [page] if len(page) or not shown else []
                del page
                if held:
                    shown = True
                    yield held.pop()  # Not kept here: else two pages are, while the next one comes.
                if coming is None and not self._done:
                    coming = ahead.submit(self._next)

    def _next(self) -> QueryPage:
        """The next page, and what has to be asked before it."""
        if self._wants_kind:
            self._wants_kind = False
            page = self._ask(f"SELECT * FROM (\n{self._sql}\n) WHERE 1 = 0 LIMIT 1")  # noqa: S608
            self._kind = page.types[self._places(page.columns)[0]]
        if self.wants_counts:
            self.wants_counts = False
            self._count()
        conditions = [self._place.where] if self._place.where else []
        if (upper := self._upper()) is not None:
            conditions.append(f"{identifier(self._key[0])} < {instant(upper)}")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        order = ", ".join(map(identifier, self._key))
        return self._ask(
            f"SELECT * FROM (\n{self._sql}\n){where} ORDER BY {order} "  # noqa: S608
            f"LIMIT {self._limit}"
        )

    # --- what came ------------------------------------------------------------------------------

    def _took(self, page: QueryPage) -> None:
        """Cut the page where a key ends, and say where the next one begins."""
        asked, upper = self._limit, self._upper()
        places = self._places(page.columns)
        self._kind = page.types[places[0]]
        self._by_size = _rows_within(page, self._most)
        self._limit = min(self._by_size, 2 * asked)
        if self._sizes.is_last(len(page), asked):
            self._read += len(page)
            self._passed(upper)
            return
        last = [page.rows[-1][place] for place in places]
        end = len(page) - 1
        while end and [page.rows[end - 1][place] for place in places] == last:
            end -= 1
        if end == 0:
            self._of_one_key(page, places, last, asked, upper)
            return
        if last == self._last:
            raise errors.MalformedResponse(
                "POST /query/ answered rows from before the key that was asked for"
            )
        self._last = last
        self._from(page, places, last, strictly=False)
        del page.rows[end:]
        self._read += end
        self.full_pages += 1
        self.wants_counts = self._counts is None and self.times and self._window is not None

    def _of_one_key(
        self,
        page: QueryPage,
        places: Sequence[int],
        values: list[Any],
        asked: int,
        upper: datetime | None,
    ) -> None:
        """A page of rows with one key: whole where it is not full, else too dense."""
        if len(page) < asked:
            self._read += len(page)
            self._passed(upper)
            return
        if asked < MOST_ROWS and (self._too_many is None or 2 * asked < self._too_many):
            self._limit = min(MOST_ROWS, 2 * asked)
            del page.rows[:]
            return
        sample = QueryPage(page.columns, page.types, [page.rows[0]])
        why = (
            f"{len(page):,} rows or more have one {', '.join(self._key)}, more than a response "
            "holds. Add columns to the key that tell them apart."
        )
        self._from(page, places, values, strictly=True)
        at = self._place.time
        window = Window(at, at + timedelta(microseconds=1)) if at is not None else None
        self._unread(Unread(why, window, sample))
        del page.rows[:]

    def _places(self, columns: Sequence[str]) -> list[int]:
        if missing := [column for column in self._key if column not in columns]:
            raise ValueError(
                f"its key names the column {missing[0]}, which is not among those it selects: "
                f"{', '.join(columns)}."
            )
        return [columns.index(column) for column in self._key]

    def _from(
        self, page: QueryPage, places: Sequence[int], values: list[Any], *, strictly: bool
    ) -> None:
        kinds = [page.types[place] for place in places]
        where = from_key(self._key, values, kinds, strictly=strictly)
        time = None
        if self.times and values[0] is not None:
            time = datetime.fromisoformat(values[0]).astimezone(UTC)
        self._place = _Place(where, time)

    def _passed(self, upper: datetime | None) -> None:
        """All rows below a bound have come; without one, all."""
        if upper is None:
            self._done = True
            return
        column = identifier(self._key[0])
        where = f"{column} >= {instant(upper)}"
        if "Nullable(" in (self._kind or ""):
            where = f"({where} OR {column} IS NULL)"
        self._place = _Place(where, upper)
        while self._bounds and self._bounds[-1] <= upper:
            self._bounds.pop()
        if self._counts is not None:
            self._counts.passed(upper, self._read)

    @property
    def times(self) -> bool:
        """Whether the key begins with a time."""
        return "DateTime" in (self._kind or "")

    def _upper(self) -> datetime | None:
        """The bound of the next page: where what is counted fills it; None for the rest."""
        if self._bounds:
            return self._bounds[-1]
        if self._counts is None:
            return None
        return self._counts.bound(self._read + self._limit, self._place.time)

    # --- what was too much ----------------------------------------------------------------------

    def _failed_with(self, error: errors.PostHogError) -> None:
        """Ask for less next time, or leave a part out.

        Raises:
            PostHogError: the same; less would be no better.
        """
        if not is_too_much(error):
            raise error
        if self._kind is None and not self._failed:
            self._failed = 1
            self._wants_kind = True  # It tells whether there are times to count and halve by.
            return
        if self._counts is None and self.times and self._window is not None:
            self.wants_counts = True
            return
        start, end = self._stretch()
        if start is not None and end is not None and end - start > _SHORTEST:
            self._bounds.append(start + (end - start) / 2)
            return
        if self._limit > _LEAST_ROWS:
            self._too_many = self._limit
            self._limit = max(_LEAST_ROWS, self._limit // 4)
            return
        if not self._read or start is None or end is None or end <= start:
            raise error
        self._failed += 1
        if self._failed > _MOST_UNREAD and self._window is not None:
            end = max(end, self._window.end)
        self._unread(Unread(str(error), Window(start, end)))
        self._limit = self._by_size
        self._passed(end)

    def _stretch(self) -> tuple[datetime | None, datetime | None]:
        """From when to when the next page would be."""
        if not self.times or self._window is None:
            return None, None
        return self._place.time or self._window.start, self._upper() or self._window.end

    def _count(self) -> None:
        """How many rows each part of the window has, so that a page sorts few more than it shows.

        It is a help and no more: where it fails, pages come without.
        """
        assert self._window is not None
        self._counts = _Counts([], [], self._read)
        length = (self._window.end - self._window.start).total_seconds()
        step, column = max(1, math.ceil(length / _PARTS)), identifier(self._key[0])
        part = f"toUnixTimestamp({column}) - toUnixTimestamp({column}) % {step}"
        where = f" WHERE {self._place.where}" if self._place.where else ""
        try:
            page = self._ask(
                f"SELECT part_of_rows, count() AS rows_of_part FROM (SELECT {part} AS "  # noqa: S608
                f"part_of_rows FROM (\n{self._sql}\n){where}) GROUP BY part_of_rows "
                f"ORDER BY part_of_rows LIMIT {MOST_ROWS}"
            )
        except errors.AuthenticationError:
            raise
        except errors.PostHogError as error:
            if not isinstance(error, errors.InvalidRequest) and not is_too_much(error):
                raise
            return
        parts = [(int(at), int(many)) for at, many in page.rows if at is not None]
        ends = [datetime.fromtimestamp(at + step, UTC) for at, _ in parts]
        self._counts = _Counts(ends, list(accumulate(many for _, many in parts)), self._read)


@dataclass
class _Counts:
    """Where the parts of a window end, how many rows there are up to each end, and how many had
    been read where counting began."""

    ends: list[datetime]
    totals: list[int]
    read: int

    def bound(self, rows: int, time: datetime | None) -> datetime | None:
        """The first end up to which there are so many rows in all; None for the last part."""
        place = bisect_left(self.totals, rows - self.read)
        if time is not None:
            place = max(place, bisect_right(self.ends, time))
        return self.ends[place] if place < len(self.ends) - 1 else None

    def passed(self, end: datetime, read: int) -> None:
        """So many rows had really been read when this end was reached."""
        place = bisect_right(self.ends, end)
        self.read = read - (self.totals[place - 1] if place else 0)


def is_too_much(error: errors.PostHogError) -> bool:
    """Whether PostHog would answer a smaller part of the same query."""
    too_large = isinstance(error, errors.ResponseTooLarge) or error.code == "too_many_bytes"
    return too_large or too_much(error)


def _rows_within(page: QueryPage, most: int) -> int:
    """How many rows such as these a response may have."""
    if not len(page) or page.size * most <= MOST_BYTES * len(page):
        return most
    return max(min(most, _LEAST_ROWS), MOST_BYTES * len(page) // page.size)
