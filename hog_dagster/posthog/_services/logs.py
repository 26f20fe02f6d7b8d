"""Reading the logs of a workflow or a hog function: every row of a window, once.

Facts: PostHog's log_entries mixin and a running server: both bounds exclusive and exact to the
microsecond, at most 500 rows, newest first, ties in any order, ``next`` always null, a row
possibly shown twice until ClickHouse merges it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from operator import attrgetter, eq, ge
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from hog_dagster.posthog import errors
from hog_dagster.posthog._endpoints import Endpoint
from hog_dagster.posthog._pagination.time_walk import FullInstant, walk
from hog_dagster.posthog._pagination.windows import check_window, from_us, iso, to_us
from hog_dagster.posthog._responses import Response
from hog_dagster.posthog._services.base import Service, is_page, malformed, read, shaped
from hog_dagster.posthog._services.fields import names
from hog_dagster.posthog.models.base import utc
from hog_dagster.posthog.models.telemetry import LogEntry, LogRow

if TYPE_CHECKING:
    import pyarrow as pa

#: Levels a full instant is split by. PostHog writes the first five.
LEVELS = (
    *("DEBUG", "LOG", "INFO", "WARN", "ERROR"),
    *("WARNING", "TRACE", "NOTICE", "CRITICAL", "FATAL"),
)
LIMIT = 500


class _Body(msgspec.Struct, gc=False):
    count: int
    results: list[LogRow]


R = TypeVar("R", LogRow, LogEntry)
_KEY = attrgetter("instance_id", "timestamp")
#: Told of an instant that is not handed out whole.
OnDense = Callable[[errors.WindowTooDense], None]
#: log_source_id, instance_id, timestamp, level, message.
Identity = tuple[str, str, object, str, str]


class LogPage(Generic[R]):
    """Rows of one response, newest first. Equal times are equal as they are written."""

    __slots__ = ("rows",)

    def __init__(self, rows: Sequence[R]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def newest(self) -> int:
        return _tick(self.rows[0].timestamp)

    @property
    def oldest(self) -> int:
        return _tick(self.rows[-1].timestamp)

    def newer(self) -> LogPage[R]:
        """The part strictly newer than the oldest instant."""
        oldest, end = self.rows[-1].timestamp, len(self.rows)
        while end and self.rows[end - 1].timestamp == oldest:
            end -= 1
        return LogPage(self.rows[:end])

    def once(self) -> LogPage[R]:
        """The same without rows that are shown twice; those have equal times."""
        times = [row.timestamp for row in self.rows]
        if not any(map(eq, times, times[1:])):
            return self
        if len(set(map(_KEY, self.rows))) == len(times):
            return self
        return LogPage(list({_identity(row): row for row in self.rows}.values()))

    def identities(self) -> set[Identity]:
        """What tells the rows apart."""
        return {_identity(row) for row in self.rows}


def _tick(timestamp: str | datetime) -> int:
    return to_us(utc(timestamp))


def _identity(row: LogRow | LogEntry) -> Identity:
    return (row.log_source_id, row.instance_id, row.timestamp, row.level, row.message)


def _entries(response: Response) -> LogPage[LogEntry]:
    """The rows of a response as models."""
    body = read(response)
    if not is_page(body):
        raise malformed(response, "it holds no list of results")
    rows: list[LogEntry] = shaped(response, list[LogEntry], body["results"])
    times = [row.timestamp for row in rows]
    if not all(map(ge, times, times[1:])):
        raise malformed(response, "its rows are not in order of time, newest first")
    return LogPage(rows)


_decoder = msgspec.json.Decoder(_Body)


def _structs(response: Response) -> LogPage[LogRow]:
    """The rows of a response as structs."""
    try:
        rows = _decoder.decode(response.content).results
    except (msgspec.DecodeError, UnicodeDecodeError):
        # HTML, cut JSON, or what only the slow reader accepts: it reads it, or says what it is.
        return LogPage(
            [
                LogRow(
                    row.log_source_id,
                    row.instance_id,
                    iso(to_us(row.timestamp)),
                    row.level,
                    row.message,
                )
                for row in _entries(response).rows
            ]
        )
    if rows:
        response.recognised()
    return LogPage(rows)


class SourceLogs(Service):
    """The ``logs`` methods, the same for workflows and hog functions."""

    _LOGS: Endpoint

    def logs(
        self,
        id: str,
        *,
        after: datetime,
        before: datetime,
        level: str | Iterable[str] | None = None,
        search: str | None = None,
        instance_id: str | None = None,
    ) -> Iterator[LogEntry]:
        """Every log row of a window, once, newest first, read page by page as it is consumed.

        GET .../{id}/logs/ (scope: the object's ``:read``). One request per 500 rows or a little
        less; rows kept for 90 days; runs of a batch job are not among them. Rows of the last
        minutes may still arrive later: read that part again.

        Args:
            id: the workflow or hog function.
            after: start of the window, inclusive, with a time zone.
            before: end of the window, exclusive, with a time zone.
            level: only these levels: one, several with commas, or a list.
            search: only messages with this text; ``%`` and ``_`` are wildcards.
            instance_id: only this run.

        Raises:
            ValueError: a bound has no time zone, or the window is empty.
            WindowTooDense: more than 500 rows of one level in one microsecond.
            PostHogError: any other of its kinds.

        Example:
            >>> for row in client.workflows.logs(id, after=monday, before=tuesday):
            ...     print(row.timestamp, row.level, row.message)
        """
        reader = LogReader(self, id, level, search, instance_id, _entries)
        return (row for page in self._log_pages(reader, after, before) for row in page.rows)

    def log_batches(
        self,
        id: str,
        *,
        after: datetime,
        before: datetime,
        level: str | Iterable[str] | None = None,
        search: str | None = None,
        instance_id: str | None = None,
        on_dense: OnDense | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The rows of :meth:`logs` as Arrow batches: the fast way into a table.

        Columns log_source_id, instance_id, timestamp (microseconds, UTC), level, message; fields
        PostHog adds are left out. Arguments and errors as for :meth:`logs`. An empty window yields
        nothing.

        Args:
            on_dense: called with an instant that the endpoint does not hand out whole; what it does
                hand out is yielded, and the reading goes on. Without it that is an error.
        """
        from hog_dagster.posthog._services.log_batches import batches

        reader = LogReader(self, id, level, search, instance_id, _structs, on_dense)
        return batches(page.rows for page in self._log_pages(reader, after, before))

    def _log_pages(
        self, reader: LogReader[R], after: datetime, before: datetime
    ) -> Iterator[LogPage[R]]:
        return reader.read(after, before)


class LogReader(Generic[R]):
    """One reading of one window."""

    def __init__(
        self,
        service: SourceLogs,
        id: str,
        level: str | Iterable[str] | None,
        search: str | None,
        instance_id: str | None,
        page_of: Callable[[Response], LogPage[R]],
        on_dense: OnDense | None = None,
    ) -> None:
        self._service, self._id, self._page_of, self._on_dense = service, id, page_of, on_dense
        self._levels = list(dict.fromkeys(name.upper() for name in names(level)))
        self.search, self._instance_id = search, instance_id

    def read(self, after: datetime, before: datetime) -> Iterator[LogPage[R]]:
        start, end = check_window(after, before)
        pages = walk(
            self._fetch,
            lambda page: page.newer(),
            self._dense,
            first=to_us(start),
            last=to_us(end) - 1,
            limit=LIMIT,
            sizes=self._service._sizes[self._service._LOGS.name],
        )
        return (page.once() for page in pages)

    def _fetch(self, first: int, last: int, levels: Sequence[str] | None = None) -> LogPage[R]:
        levels = self._levels if levels is None else levels
        response = self._service._send(
            self._service._LOGS,
            {"id": self._id},
            params={
                "after": iso(first - 1),
                "before": iso(last + 1),
                "limit": LIMIT,
                "level": ",".join(levels) or None,
                "search": self.search,
                "instance_id": self._instance_id,
            },
        )
        page = self._page_of(response)
        if len(page):
            try:
                oldest, newest = page.oldest, page.newest
            except (TypeError, ValueError):
                raise malformed(response, "a row has a timestamp that is no time") from None
            if not first <= oldest <= newest <= last:
                raise malformed(response, "its rows are out of order, or from outside the window")
        return page

    def _dense(self, instant: FullInstant, full: LogPage[R]) -> Iterator[LogPage[R]]:
        """An instant with 500 rows or more, read level by level."""
        shown = Counter(row.level for row in full.rows)
        known = [*shown, *(name for name in self._levels or LEVELS if name not in shown)]
        left, found = full.identities(), list[R]()
        for levels in _halves(known, shown):
            for part in self._split(instant, levels, shown):
                left -= part.identities()
                found.extend(part.rows)
        if left:
            self._say_dense(
                instant, f"{len(left)} of its rows have a level that cannot be asked for"
            )
            found.extend(full.rows)
        yield LogPage(found)

    def _split(
        self, instant: FullInstant, levels: list[str], shown: Counter[str]
    ) -> Iterator[LogPage[R]]:
        if not levels:
            return
        page = self._fetch(instant.tick, instant.tick, levels)
        if len(page) < LIMIT:
            if len(page):
                yield page
            return
        if len(levels) == 1:
            self._say_dense(instant, f"{len(page)} or more of level {levels[0]}")
            yield page
            return
        for half in _halves(levels, shown):
            yield from self._split(instant, half, shown)

    def _say_dense(self, instant: FullInstant, why: str) -> None:
        """Tell who asked; raise when nobody wants to know."""
        start, end = from_us(instant.tick), from_us(instant.tick + 1)
        error = errors.WindowTooDense(
            f"{self._service._LOGS.name} of {self._id}: more rows at {start.isoformat()} than the "
            f"API hands out ({why}). Read that window with search= or instance_id=, or with SQL.",
            start=start,
            end=end,
            rows=instant.rows,
        )
        if self._on_dense is None:
            raise error
        self._on_dense(error)


def _halves(levels: list[str], shown: Counter[str]) -> tuple[list[str], list[str]]:
    """Levels in two parts of about as many rows each, going by the rows seen."""
    parts: tuple[list[str], list[str]] = ([], [])
    weights = [0, 0]
    for name in sorted(levels, key=lambda name: -shown[name]):
        lighter = 0 if weights[0] <= weights[1] else 1
        parts[lighter].append(name)
        weights[lighter] += shown[name] + 1
    return parts
