"""Reading every row of a time window once from an endpoint that has no cursor but time.

Facts: such endpoints answer at most 500 rows, newest first, in no order among equal times, and
never say whether there are more.

The walk asks for the newest page, keeps the rows strictly newer than the page's oldest instant,
and asks again for everything up to and including that instant. So all rows of one instant always
come from one page, whatever the order among them, and a duplicate can only be within a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar


class Page(Protocol):
    """Rows of one response, newest first. Times are whole ticks (microseconds, or seconds)."""

    def __len__(self) -> int: ...

    @property
    def newest(self) -> int:
        """Tick of the first row."""
        ...

    @property
    def oldest(self) -> int:
        """Tick of the last row."""
        ...


P = TypeVar("P", bound=Page)


#: Caps and default sizes of pages are multiples of this.
ROUND = 50


class PageSizes:
    """Tells whether a page is the last one; remembers the longest an endpoint has answered with.

    A page shorter than asked is the last one: PostHog refuses a limit above its maximum rather
    than cut the page. Should another build cut it, or take its default, the page has a round
    number of rows; behind the longest page of such a number the walk looks once more.
    """

    def __init__(self) -> None:
        self.longest: int = 0

    def is_last(self, rows: int, asked: int) -> bool:
        known = rows < self.longest or rows % ROUND != 0 or rows == 0
        self.longest = max(self.longest, rows)
        return known and rows < asked


@dataclass(frozen=True, slots=True)
class FullInstant:
    """A page that is full of rows of one instant: there may be more of them."""

    tick: int
    rows: int


def walk(
    fetch: Callable[[int, int], P],
    newer: Callable[[P], P],
    dense: Callable[[FullInstant, P], Iterator[P]],
    *,
    first: int,
    last: int,
    limit: int,
    sizes: PageSizes,
) -> Iterator[P]:
    """Yield the pages of all rows of the ticks ``first`` to ``last``, both included, newest first.

    ``fetch`` reads the newest page of the ticks from its first to its second argument, ``newer`` is
    the part of a page strictly newer than its oldest tick, and ``dense`` reads an instant that
    fills a page by itself, in parts.
    """
    while first <= last:
        page = fetch(first, last)
        rows = len(page)
        if rows == 0:
            return
        oldest = page.oldest
        if sizes.is_last(rows, limit):
            yield page
            return
        if page.newest == oldest:
            # One instant fills the page; a full page of it may not be all of it.
            if rows >= limit:
                yield from dense(FullInstant(oldest, rows), page)
            else:
                yield page
            last = oldest - 1
            continue
        yield newer(page)
        last = oldest
