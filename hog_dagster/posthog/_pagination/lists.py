"""Reading a list whole, by offset or by cursor: no row lost, none twice, no trust in ``next``.

Facts: PostHog clamps limits silently, older lists have no tie-breaker in their order, rows move
while the list is read, and ``next`` may name another path or host.

Newer PostHog servers answer an unknown or old cursor with the first page and not with an error,
older ones with 404 ``Invalid cursor``. Older ones skip rows of one creation time by their number,
at most 1,000, in an order that is another one on each page: a row comes twice and another one
never, and of more than 1,100 rows of one time a page comes again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hog_dagster.posthog.errors import IncompleteList, NotFound, UnsettledList

Row = Mapping[str, Any]
#: Pages of one list, all readings of it together; beyond this something goes round in circles.
MOST_PAGES = 10_000
#: Pages without a row, one after the other, that a list may have.
MOST_EMPTY = 20


@dataclass(slots=True)
class _Pages:
    """The state of reading one list: pure, knows no HTTP."""

    identify: Callable[[Row], Hashable]
    max_passes: int
    passes: int = 1
    _known: set[Hashable] = field(default_factory=set)
    _in_pass: set[Hashable] = field(default_factory=set)
    _asked: int = 0

    def _new(self, rows: Iterable[Row]) -> list[Row]:
        """Rows of a page that were not seen before.

        Raises:
            IncompleteList: the list has more pages than any list.
        """
        self._asked += 1
        if self._asked > MOST_PAGES:
            raise IncompleteList(
                f"The list has more than {MOST_PAGES:,} pages: {len(self._known):,} rows were seen."
            )
        new: list[Row] = []
        for row in rows:
            if (ident := self.identify(row)) not in self._known:
                self._known.add(ident)
                new.append(row)
        return new


@dataclass(slots=True)
class OffsetPages(_Pages):
    """The state of reading a limit/offset list.

    Ask ``offset`` while it is not None, feed each page to ``take``, and yield what that returns.
    The list is read again from the start when rows may have moved across a page's edge: when the
    count changed on the way, or when the rows seen in a pass are not as many as the count says.
    """

    max_passes: int = 6
    offset: int | None = 0
    _received: int = 0
    _counts: set[int] = field(default_factory=set)
    _ever_counted: set[int] = field(default_factory=set)
    _pages: int = 0
    _found_new: bool = False

    def take(self, rows: list[Any], count: int | None, has_next: bool) -> list[Row]:
        """Rows of this page that were not seen before; sets the next offset.

        Raises:
            UnsettledList: the list changed during every pass.
            IncompleteList: it has more pages than any list.
        """
        new = self._new(rows)
        idents = {self.identify(row) for row in rows}
        fresh = not idents <= self._in_pass
        self._in_pass |= idents
        self._pages += 1
        self._found_new = self._found_new or bool(new)
        self._received += len(rows)
        if count is not None:
            self._counts.add(count)
            self._ever_counted.add(count)
        more = has_next if count is None else self._received < count
        if fresh and more:
            self.offset = self._received
        else:
            self._end_pass()
        return new

    def _end_pass(self) -> None:
        if self._counts:
            # Rows of equal rank may change places for ever; then all rows are there once as many
            # as ever counted are known, and another pass showed no further one.
            quiet = self.passes > 1 and not self._found_new
            done = self._counts == {len(self._in_pass)} or (
                quiet and self._ever_counted == {len(self._known)}
            )
        else:
            # Without a count only a pass that shows nothing new tells that nothing was missed.
            done = self._pages == 1 or (self.passes > 1 and not self._found_new)
        if done:
            self.offset = None
            return
        if self.passes >= self.max_passes:
            raise UnsettledList(
                f"The list changed during each of {self.passes} readings: "
                f"{len(self._known)} rows were seen. Try again when fewer changes are made."
            )
        self.passes += 1
        self.offset = 0
        self._pages = self._received = 0
        self._found_new = False
        self._in_pass.clear()
        self._counts.clear()


def read_all(
    fetch: Callable[[int, int], Any],
    *,
    limit: int,
    identify: Callable[[Row], Hashable] = lambda row: row["id"],
) -> Iterator[Row]:
    """Every row of a limit/offset list, once, as pages arrive: ``fetch(limit, offset)`` returns
    ``{"count", "next", "results"}``, of maybe fewer rows."""
    pages = OffsetPages(identify)
    while pages.offset is not None:
        body = fetch(limit, pages.offset)
        count = body.get("count")
        has_next = bool(body.get("next") or body.get("has_next"))
        yield from pages.take(body["results"], count if isinstance(count, int) else None, has_next)


def read_cursor(url: Any) -> str | None:
    """The cursor in a ``next`` address; None when there is none. Nothing else of it is used."""
    if not isinstance(url, str) or not url:
        return None
    return parse_qs(urlsplit(url).query).get("cursor", [None])[-1]


@dataclass(slots=True)
class CursorPages(_Pages):
    """The state of reading a cursor list.

    A page that ends with rows of the first page means that the cursor led back: the list is read
    again from the start, with cursors of its own, and only rows not yet seen are given out. Any
    other row that comes twice in one reading means that rows are ``hidden``.
    """

    max_passes: int = 4
    cursor: str | None = None
    done: bool = False
    hidden: bool = False
    _first: set[Hashable] = field(default_factory=set)
    _empty: int = 0

    @property
    def count(self) -> int:
        """Rows seen so far."""
        return len(self._known)

    def take(self, rows: list[Any], cursor: str | None) -> list[Row]:
        """Rows of this page that were not seen before; sets the next cursor.

        Raises:
            UnsettledList: the cursors led back in every reading.
            IncompleteList: it has more pages than any list, or more empty ones in a row.
        """
        new = self._new(rows)
        self._empty = 0 if rows else self._empty + 1
        if self._empty > MOST_EMPTY and cursor is not None:
            raise IncompleteList(
                f"The list has {self._empty} pages without a row one after the other: "
                f"{self.count:,} rows were seen."
            )
        idents = [self.identify(row) for row in rows]
        again = [ident in self._in_pass for ident in idents]
        if not self._in_pass:
            self._first = set(idents)
        self._in_pass.update(idents)
        old = sum(again)
        led_back = (
            bool(old) and again[-old:] == [True] * old and self._first.issuperset(idents[-old:])
        )
        if led_back and cursor is not None:
            self.restart()
            return new
        self.hidden = self.hidden or bool(old) or len(set(idents)) < len(idents)
        self.cursor = cursor
        # A page of nothing new leads nowhere.
        self.done = cursor is None or (old == len(rows) and bool(rows))
        return new

    def restart(self) -> None:
        """Read the list from the start once more."""
        if self.passes >= self.max_passes:
            raise UnsettledList(
                f"PostHog's cursors led back to the first page in each of {self.passes} readings: "
                f"{len(self._known)} rows were seen, and whether there are more is not known. Try "
                "again when fewer changes are made."
            )
        self.passes += 1
        self.cursor = None
        self._in_pass.clear()


def walk_cursor(
    fetch: Callable[[str | None], tuple[list[Any], str | None]],
    *,
    identify: Callable[[Row], Hashable],
) -> Iterator[Row]:
    """Every row of a cursor list, once, as pages arrive: ``fetch`` gives the rows of the page of a
    cursor (None: the first) and the next cursor.

    Raises:
        UnsettledList: the cursors led back in every reading.
        IncompleteList: when every row that comes was given out: PostHog hides others.
    """
    pages = CursorPages(identify)
    while not pages.done:
        try:
            rows, cursor = fetch(pages.cursor)
        except NotFound as error:
            # The server has forgotten the cursor; without one a 404 means what it says.
            if pages.cursor is None or "cursor" not in (error.detail or "").lower():
                raise
            pages.restart()
            continue
        yield from pages.take(rows, cursor)
    if pages.hidden:
        raise IncompleteList(
            "PostHog's list gave a row twice in one reading, which hides another one: "
            f"{pages.count} rows were seen."
        )
