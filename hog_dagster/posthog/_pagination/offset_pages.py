"""Reading a limit/offset list whole: no row lost, none twice, no trust in ``next``.

Facts: PostHog clamps limits silently, older lists have no tie-breaker in their order, rows move
while the list is read, and ``next`` may name another path or host.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hog_dagster.posthog.errors import IncompleteList, UnsettledList

__all__ = ["MOST_PAGES", "OffsetPages", "read_all"]

Row = Mapping[str, Any]
#: Pages of one list, all readings of it together; beyond this something goes round in circles.
MOST_PAGES = 10_000


@dataclass(slots=True)
class OffsetPages:
    """The state of reading one list: pure, knows no HTTP.

    Ask ``offset`` while it is not None, feed each page to ``take``, and yield what that returns.
    The list is read again from the start when rows may have moved across a page's edge: when the
    count changed on the way, or when the rows seen in a pass are not as many as the count says.
    """

    identify: Callable[[Row], Hashable]
    max_passes: int = 6
    offset: int | None = 0
    passes: int = 1
    _known: set[Hashable] = field(default_factory=set)
    _in_pass: set[Hashable] = field(default_factory=set)
    _received: int = 0
    _counts: set[int] = field(default_factory=set)
    _ever_counted: set[int] = field(default_factory=set)
    _pages: int = 0
    _asked: int = 0
    _found_new: bool = False

    def take(self, rows: list[Any], count: int | None, has_next: bool) -> list[Row]:
        """Rows of this page that were not seen before; sets the next offset.

        Raises:
            UnsettledList: the list changed during every pass.
            IncompleteList: it has more pages than any list.
        """
        self._pages += 1
        self._asked += 1
        if self._asked > MOST_PAGES:
            raise IncompleteList(
                f"The list has more than {MOST_PAGES:,} pages: {len(self._known):,} rows were seen."
            )
        new: list[Row] = []
        fresh = False
        for row in rows:
            ident = self.identify(row)
            if ident not in self._in_pass:
                self._in_pass.add(ident)
                fresh = True
            if ident not in self._known:
                self._known.add(ident)
                new.append(row)
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
