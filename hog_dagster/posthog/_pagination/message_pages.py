"""Reading sent messages whole: every run and step of a window once, the newest send first.

Facts: the list has an offset, no count and no next; at most 500 rows a page; bounds are inclusive
and cut to whole seconds. Newest builds order by time, then run and step; older ones by time alone.
Rows come late, move when a step sends again, and vanish when parts are merged or dropped, so an
offset can point past rows that were not read.

Each page is asked for a row or two before the end of the last one. When it begins there, or before,
nothing can have been passed over, whatever moved; when it does not, the reading goes on from the
second of the last row, without an offset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from hog_dagster.posthog import errors
from hog_dagster.posthog._pagination.time_walk import PageSizes
from hog_dagster.posthog._pagination.windows import from_us, seconds, to_us
from hog_dagster.posthog.models.base import utc

Row = Mapping[str, Any]
#: Rows of a page: what the server allows at most.
LIMIT = 500
#: Times a reading goes on from a second because rows moved; beyond this the list is no list.
MOST_RESTARTS = 50
#: Pages without a new message, one after the other, after which the list leads nowhere.
MOST_STALE = 5
#: Rows of one moment in a row that stand in order by chance in no list.
ORDERED = 50
#: Times a moment with more messages than a page, in no order, is read.
PASSES = 6
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a row stands: its time and, where the order is total, its run and step."""

    us: int
    ident: tuple[str, str] | None = None

    def reached_by(self, other: _Place) -> bool:
        """Whether a page that begins with ``other`` holds all that comes after this place."""
        if other.us != self.us:
            return other.us > self.us
        return self.ident is not None and other.ident is not None and other.ident <= self.ident


@dataclass(slots=True)
class MessagePages:
    """The state of reading one window: pure, knows no HTTP.

    Ask for ``last`` (a second, inclusive) and ``offset`` while ``done`` is false, and feed each
    page to ``take``. ``dense`` are seconds with more messages at one moment than a page, in no
    order.
    """

    last: int
    sizes: PageSizes
    limit: int = LIMIT
    offset: int = 0
    done: bool = False
    dense: list[int] = field(default_factory=list)
    _edge: _Place | None = None
    _restarts: int = 0
    _stale: int = 0
    _tied: int | None = None
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def take(self, rows: Sequence[Row]) -> list[tuple[int, Row]]:
        """The messages of a page that were not seen before, with their times in microseconds.

        Raises:
            UnsettledList: rows moved again and again.
        IncompleteList: the pages lead nowhere.
        """
        times = _times(rows, (self.last + 1) * _SECOND)
        new: list[tuple[int, Row]] = []
        for us, row in zip(times, rows, strict=True):
            if (mark := _ident(row)) not in self._seen:
                self._seen.add(mark)
                new.append((us, row))
        edge, begins = self._edge, None
        if rows:
            begins = _Place(times[0], _ident(rows[0]))
            if self._tied is not None and self._tied not in self.dense:
                self.dense.append(self._tied)
        self._tied = None
        if edge is not None and (begins is None or not edge.reached_by(begins)):
            self._restart(edge.us)
            return new
        if self.sizes.is_last(len(rows), self.limit):
            self.done = True
            return new
        self._stale = 0 if new else self._stale + 1
        if self._stale > MOST_STALE:
            raise errors.IncompleteList(
                f"The list of messages gives the same page again and again: {len(self._seen):,} "
                "messages were seen."
            )
        self._follow(rows, times)
        return new

    def _follow(self, rows: Sequence[Row], times: Sequence[int]) -> None:
        """Set what to ask for next, after a page that is not the last one."""
        tail = times[-1]
        tied = sum(us == tail for us in times)
        if tied > ORDERED and _in_order(rows[len(rows) - tied :]):
            self._edge = _Place(tail, _ident(rows[-1]))
            self.offset += len(rows) - 1
        elif tied < len(rows):
            self._edge = _Place(tail)
            self.offset += len(rows) - tied - 1
        else:
            # No place in a page of one moment is before another one: nothing can be proved here,
            # unless it turns out to be the last one.
            self._edge, self._tied = None, tail // _SECOND
            self.offset += len(rows)

    def _restart(self, us: int) -> None:
        """Go on from the second of the last row that was read."""
        self._restarts += 1
        if self._restarts > MOST_RESTARTS:
            raise errors.UnsettledList(
                f"The list of messages moved {MOST_RESTARTS} times while it was read: "
                f"{len(self._seen):,} messages were seen. Try again when fewer are sent."
            )
        self.last = us // _SECOND
        self.offset = 0
        self._edge = None


def read_messages(
    fetch: Callable[[Mapping[str, Any]], Sequence[Row]],
    *,
    start: datetime | None,
    end: datetime,
    sizes: PageSizes,
    what: str,
    on_dense: Callable[[errors.WindowTooDense], None] | None = None,
) -> Iterator[Row]:
    """Every message whose row lies in [start, end), once, newest first; without a start as far back
    as PostHog keeps them. ``on_dense`` is called with a moment that cannot be proved whole,
    instead of an error that names ``what`` is read."""
    low = None if start is None else to_us(start)
    high = to_us(end)
    after = None if low is None else seconds(low // _SECOND)
    pages = MessagePages((high - 1) // _SECOND, sizes)

    def page(last: int, offset: int, after: str | None) -> Sequence[Row]:
        # The bound is a whole second, inclusive: the next one, to have all of the last.
        window = {"after": after, "before": seconds(last + 1)}
        return fetch({**window, "limit": LIMIT, "offset": offset or None})

    def within(found: Sequence[tuple[int, Row]]) -> Iterator[Row]:
        for us, row in found:
            if us < high and (low is None or us >= low):
                yield row

    while not pages.done:
        yield from within(pages.take(page(pages.last, pages.offset, after)))
    for second in pages.dense:
        # Whatever the order was, another reading may show what the first did not.
        for _ in range(PASSES):
            again, found = MessagePages(second, sizes, _seen=pages._seen), 0
            while not again.done:
                new = again.take(page(again.last, again.offset, seconds(second)))
                found += len(new)
                yield from within(new)
            if not found:
                break
        error = errors.WindowTooDense(
            f"{what}: more at one moment of the second {from_us(second * _SECOND).isoformat()} "
            "than a page holds, in no order, so that some may not have come.",
            start=from_us(second * _SECOND),
            end=from_us((second + 1) * _SECOND),
            rows=LIMIT,
        )
        if on_dense is None:
            raise error
        on_dense(error)


def _ident(row: Row) -> tuple[str, str]:
    return str(row.get("invocation_id")), str(row.get("action_id") or "")


def _times(rows: Sequence[Row], before: int) -> list[int]:
    """The times of rows, newest first; one that cannot be read is that of the row before it."""
    found: list[int] = []
    for row in rows:
        try:
            moment = utc(row.get("sent_at"))
            before = to_us(moment) if isinstance(moment, datetime) else before
        except ValueError:
            pass
        found.append(before)
    return found


def _in_order(rows: Sequence[Row]) -> bool:
    """Whether rows of one moment are in the order of run and step."""
    idents = [_ident(row) for row in rows]
    return all(one < other for one, other in pairwise(idents))
