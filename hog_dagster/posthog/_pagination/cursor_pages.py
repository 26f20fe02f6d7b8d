"""Reading a cursor list whole, with the traps that a cursor may lead back, or past rows.

Facts: newer PostHog servers answer an unknown or old cursor with the first page and not with an
error; older ones with 404 ``Invalid cursor``. Older ones skip rows of one creation time by their
number, at most 1,000, in an order that is another one on each page: a row comes twice and another
one never, and of more than 1,100 rows of one time a page comes again and again. ``next`` may name
another host or path.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hog_dagster.posthog._pagination.offset_pages import MOST_PAGES
from hog_dagster.posthog.errors import IncompleteList, NotFound, UnsettledList

__all__ = ["CursorPages", "read_cursor", "walk_cursor"]

Row = Mapping[str, Any]
#: Pages without a row, one after the other, that a list may have.
MOST_EMPTY = 20


def read_cursor(url: Any) -> str | None:
    """The cursor in a ``next`` address; None when there is none. Nothing else of it is used."""
    if not isinstance(url, str) or not url:
        return None
    return parse_qs(urlsplit(url).query).get("cursor", [None])[-1]


@dataclass(slots=True)
class CursorPages:
    """The state of reading one cursor list: pure, knows no HTTP.

    A page that ends with rows of the first page means that the cursor led back: the list is read
    again from the start, with cursors of its own, and only rows not yet seen are given out. Any
    other row that comes twice in one reading means that rows are hidden.

    Attributes:
        identify: a row's identity.
        max_passes: how often the list is read from the start before giving up.
        hidden: whether a row came twice in one reading, so that another one did not come.
    """

    identify: Callable[[Row], Hashable]
    max_passes: int = 4
    cursor: str | None = None
    done: bool = False
    passes: int = 1
    hidden: bool = False
    _first: set[Hashable] = field(default_factory=set)
    _known: set[Hashable] = field(default_factory=set)
    _in_pass: set[Hashable] = field(default_factory=set)
    _asked: int = 0
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
        self._asked += 1
        if self._asked > MOST_PAGES:
            raise IncompleteList(
                f"The list has more than {MOST_PAGES:,} pages: {self.count:,} rows were seen."
            )
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
        new: list[Row] = []
        for row, ident in zip(rows, idents, strict=True):
            if ident not in self._known:
                self._known.add(ident)
                new.append(row)
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
    """Every row of a cursor list, once, as pages arrive.

    Args:
        fetch: reads the page of a cursor (None: the first): its rows and the next cursor.
        identify: a row's identity.

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
