"""Reading invocation results: every run of a window, once.

Facts: PostHog's invocation results serializer: newest ``scheduled_at`` first without a tie-breaker,
at most 500, no offset, bounds inclusive and cut to whole seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hog_dagster.posthog import errors
from hog_dagster.posthog._pagination.time_walk import FullInstant, PageSizes, walk
from hog_dagster.posthog._pagination.windows import from_us, seconds, to_us
from hog_dagster.posthog.models.runs import InvocationResult

#: Statuses a full second is split by.
STATUSES = ("running", "succeeded", "failed", "cancelled", "waiting", "queued", "skipped")
LIMIT = 500
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs of one response up to the last wanted second, newest first, in ticks of whole seconds;
    ``size`` is how many rows the response had, those of the second after it too."""

    rows: Sequence[InvocationResult]
    size: int
    last: int

    def __len__(self) -> int:
        return self.size

    @property
    def newest(self) -> int:
        return _second(self.rows[0]) if self.rows else self.last

    @property
    def oldest(self) -> int:
        return _second(self.rows[-1]) if self.rows else self.last

    def newer(self) -> RunPage:
        oldest = self.oldest
        rows = [row for row in self.rows if _second(row) > oldest]
        return RunPage(rows, self.size, self.last)


def _second(row: InvocationResult) -> int:
    assert row.scheduled_at is not None
    return to_us(row.scheduled_at) // _SECOND


@dataclass(slots=True)
class RunsReader:
    """One reading of one window, of some statuses or (empty) all. ``on_dense`` is called with a
    second
    that is not handed out whole, instead of an error. ``until`` is the second that stands for no
    end: a window that reaches it is asked for without one; ``dated`` is whether the page in hand
    had an end, so that it shows runs as they were then."""

    get: Callable[[Mapping[str, Any]], Sequence[InvocationResult]]
    statuses: Sequence[str]
    rest: Mapping[str, Any]
    sizes: PageSizes
    what: str
    on_dense: Callable[[errors.WindowTooDense], None] | None = None
    until: int | None = None
    dated: bool = False

    def read(self, start: datetime, end: datetime) -> Iterator[InvocationResult]:
        """The runs of [start, end), newest first."""
        seen: set[str] = set()
        pages = walk(
            self._fetch,
            RunPage.newer,
            self._dense,
            first=to_us(start) // _SECOND,
            last=(to_us(end) - 1) // _SECOND,
            limit=LIMIT,
            sizes=self.sizes,
        )
        for page in pages:
            for row in page.rows:
                inside = row.scheduled_at is not None and start <= row.scheduled_at < end
                if inside and row.invocation_id not in seen:
                    seen.add(row.invocation_id)
                    yield row

    def _fetch(self, first: int, last: int, statuses: Sequence[str] | None = None) -> RunPage:
        statuses = self.statuses if statuses is None else statuses
        self.dated = last != self.until
        rows = self.get(
            {
                "after": seconds(first),
                # The bound is a whole second, inclusive: the next one, to have all of the last.
                "before": seconds(last + 1) if self.dated else None,
                "limit": LIMIT,
                "status": ",".join(statuses) or None,
                **self.rest,
            }
        )
        placed = [row for row in rows if row.scheduled_at is not None]
        wanted = [row for row in placed if _second(row) <= last]
        return RunPage(sorted(wanted, key=_second, reverse=True), len(placed), last)

    def _dense(self, instant: FullInstant, full: RunPage) -> Iterator[RunPage]:
        """A second with 500 runs or more, read status by status."""
        shown = [row.status for row in full.rows if row.status]
        known = list(dict.fromkeys([*shown, *(self.statuses or STATUSES)]))
        for status in known:
            page = self._fetch(instant.tick, instant.tick, [status])
            if len(page) >= LIMIT:
                error = self._too_dense(instant, f"{len(page)} or more are {status}")
                if self.on_dense is None:
                    raise error
                self.on_dense(error)
            yield page
        # Runs that changed their status between two of these requests are in the first page.
        yield full

    def _too_dense(self, instant: FullInstant, why: str) -> errors.WindowTooDense:
        start, end = from_us(instant.tick * _SECOND), from_us((instant.tick + 1) * _SECOND)
        return errors.WindowTooDense(
            f"{self.what}: more in the second {start.isoformat()} than the API hands out ({why}). "
            "Read that second with distinct_id= or error_message_contains=, or with SQL.",
            start=start,
            end=end,
            rows=instant.rows,
        )
