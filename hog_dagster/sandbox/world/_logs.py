"""Log entries: the store.

Facts: PostHog's log_entries table. Bounds are UTC, strict and exact to the microsecond; newest
first with no tie-breaker.
"""

import random
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice

from msgspec import Struct

LOG_RETENTION = timedelta(days=90)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(at: datetime) -> int:
    """Microseconds since 1970 of an aware datetime, without floating point."""
    past = at - _EPOCH
    return (past.days * 86400 + past.seconds) * 1_000_000 + past.microseconds


def from_micros(value: int) -> datetime:
    """The moment of so many microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=value)


class LogRow(Struct, array_like=True, order=True, frozen=True):
    """One log entry.

    The order is by time, then by an arbitrary number, as ties come from a table.
    """

    at: int
    tie: int
    instance_id: str
    level: str
    message: str
    visible: int


class LogStore:
    """The log entries of one project, by what wrote them: workflow, hog function or batch job."""

    def __init__(self, seed: int = 1) -> None:
        self._seed = seed
        self._random = random.Random(f"ties:{seed}")
        self._rows: dict[str, list[LogRow]] = {}
        #: Source -> rows that are not yet in `_rows`, which is sorted.
        self._new: dict[str, list[LogRow]] = {}
        #: Source -> run -> moment -> the row that the next one at that moment replaces.
        self._runs: dict[str, dict[str, dict[int, LogRow]]] = {}
        #: (source, run) -> rows beside which a later one of the same moment stands.
        self._unmerged: dict[tuple[str, str], list[LogRow]] = {}
        self._latest_visible: dict[str, int] = {}

    def add(
        self,
        source_id: str,
        instance_id: str,
        at: datetime,
        level: str,
        message: str,
        *,
        visible_at: datetime | None = None,
        unmerged: bool = False,
    ) -> bool:
        """Store one row; whether it was a new one.

        The table keeps one row per (source, run, timestamp): a second one replaces the first,
        unless `unmerged`, which leaves both to be seen, as before a merge in the background.
        """
        moment = micros(at)
        rows = self._rows.setdefault(source_id, [])
        new = self._new.setdefault(source_id, [])
        run = self._runs.setdefault(source_id, {}).setdefault(instance_id, {})
        visible = micros(visible_at) if visible_at is not None else moment
        number = len(rows) + len(new)
        tie = (number + self._seed) * 2654435761 & 0xFFFFFFFF  # no order a client may rely on
        row = LogRow(moment, tie, instance_id, level.upper(), message, visible)
        old = run.get(moment)
        if old is not None and unmerged:
            self._unmerged.setdefault((source_id, instance_id), []).append(old)
        elif old is not None:
            self.rows(source_id).remove(old)
        run[moment] = row
        new.append(row)
        self._latest_visible[source_id] = max(self._latest_visible.get(source_id, 0), visible)
        return old is None or unmerged

    def free(self, source_id: str, instance_id: str, at: datetime) -> datetime:
        """The next millisecond that has no row of this run yet, as the writer nudges its rows."""
        moment = at.replace(microsecond=at.microsecond // 1000 * 1000)
        run = self._runs.get(source_id, {}).get(instance_id, {})
        while micros(moment) in run:
            moment += timedelta(milliseconds=1)
        return moment

    def rows(self, source_id: str) -> list[LogRow]:
        """All rows of a source, oldest first, visible or not."""
        rows, new = self._rows.get(source_id, []), self._new.get(source_id)
        if new:
            new.sort()
            place = bisect_left(rows, new[0])
            rows[place:] = sorted(rows[place:] + new)
            new.clear()
        return rows

    def of(self, source_id: str, instance_ids: Iterable[str]) -> list[LogRow]:
        """The rows of some runs of a source, oldest first, visible or not."""
        runs = self._runs.get(source_id, {})
        found: list[LogRow] = []
        for instance in instance_ids:
            found += runs.get(instance, {}).values()
            found += self._unmerged.get((source_id, instance), ())
        return sorted(found)

    def sources(self) -> list[str]:
        return list(self._rows)

    def select(
        self,
        source_id: str,
        *,
        now: datetime,
        limit: int | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        levels: Iterable[str] | None = None,
        search: str | None = None,
        instance_id: str | None = None,
        shuffle: bool = False,
    ) -> list[LogRow]:
        """Visible rows newest first; both bounds are exclusive; at most `limit`."""
        rows = self.rows(source_id) if instance_id is None else self.of(source_id, [instance_id])
        present = micros(now)
        low = bisect_left(rows, present - LOG_RETENTION // timedelta(microseconds=1), key=_at)
        if after is not None:
            low = max(low, bisect_right(rows, micros(after), key=_at))
        high = len(rows) if before is None else bisect_left(rows, micros(before), key=_at)
        wanted = None if levels is None else set(levels)
        pattern = None if search is None else ilike(search)
        late = self._latest_visible.get(source_id, 0) > present
        found = (
            row
            for row in (rows[index] for index in range(high - 1, low - 1, -1))
            if not (late and row.visible > present)
            and (wanted is None or row.level in wanted)
            and (pattern is None or pattern.search(row.message))
        )
        if not shuffle:
            return [*islice(found, limit)]
        chosen: list[LogRow] = []
        for _, tied in groupby(found, _at):
            if limit is not None and len(chosen) >= limit:
                break
            shuffled = [*tied]
            self._random.shuffle(shuffled)
            chosen += shuffled
        return chosen[:limit]

    def dump(self) -> dict[str, list[LogRow]]:
        return {source: list(self.rows(source)) for source in self._rows}

    def load(self, data: dict[str, list[LogRow]]) -> None:
        self._rows = {source: sorted(rows) for source, rows in data.items()}
        self._new, self._runs, self._unmerged = {}, {}, {}
        for source, rows in data.items():
            runs = self._runs.setdefault(source, {})
            for row in rows:
                run = runs.setdefault(row.instance_id, {})
                if row.at in run:
                    self._unmerged.setdefault((source, row.instance_id), []).append(run[row.at])
                run[row.at] = row
        self._latest_visible = {
            source: max((row.visible for row in rows), default=0) for source, rows in data.items()
        }


def ilike(search: str) -> re.Pattern[str]:
    """ClickHouse's ``ILIKE '%search%'`` as a regular expression: % and _ stay wildcards."""
    parts: list[str] = []
    letters = iter(search)
    for letter in letters:
        if letter == "\\":
            parts.append(re.escape(next(letters, "\\")))
        else:
            parts.append({"%": ".*", "_": "."}.get(letter, re.escape(letter)))
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)


def _at(row: LogRow) -> int:
    return row.at
