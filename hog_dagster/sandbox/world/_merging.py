"""A table that replaces rows by key in the background, as ClickHouse's replacing engine does.

Facts: partitioned by the UTC day of a row's time. Rows of one key and one day become one (the
newest version) at some time, or never; rows of different days never do. A day's part is dropped
thirty days after its last moment. Replicas merge at different times, so that for a while one
request sees a row and the next does not. A row may arrive late.
"""

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

RETENTION = timedelta(days=30)
#: When rows of one day and key become one: never, at seeded random moments, as soon as they arrive.
MERGES = ("never", "random", "now")


class Stored(Protocol):
    """What the table knows of a row."""

    version: int
    visible_at: datetime
    #: When each of two replicas has merged the row away; None: not yet decided, or never.
    gone: tuple[datetime, datetime] | None

    @property
    def key(self) -> str: ...

    @property
    def at(self) -> datetime: ...


R = TypeVar("R", bound=Stored)


class Merging(Struct, kw_only=True):
    """How a table merges; shared by the tables of one world."""

    merge: str = "random"


class MergingTable(Generic[R]):
    """Rows by source and key; `seed` is of the moments at which rows merge."""

    def __init__(self, seed: str, merging: Merging) -> None:
        self.random: random.Random = random.Random(seed)
        self._merging = merging
        self._rows: dict[str, list[R]] = {}
        self._times: dict[str, list[datetime]] = {}
        self._keys: dict[str, dict[str, list[R]]] = {}

    def append(self, source: str, row: R) -> None:
        """Store one row. Older rows of its key and day will merge into it, or it into a newer."""
        keyed = self._keys.setdefault(source, {}).setdefault(row.key, [])
        day = _day(row.at)
        for other in keyed:
            if other.gone is not None or _day(other.at) != day:
                continue
            old, new = (other, row) if other.version <= row.version else (row, other)
            if old.gone is None:
                old.gone = self._moments(max(old.visible_at, new.visible_at))
        keyed.append(row)
        times, rows = self._times.setdefault(source, []), self._rows.setdefault(source, [])
        place = bisect_right(times, row.at)
        times.insert(place, row.at)
        rows.insert(place, row)

    def rows(
        self,
        source: str,
        *,
        now: datetime,
        key: str | None = None,
        keys: Iterable[str] | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        until: datetime | None = None,
        replica: int | None = None,
    ) -> list[R]:
        """The raw rows that a query sees now; `after` and `before` inclusive, `until` exclusive."""
        if key is not None:
            keys = (key,)
        if keys is not None:
            keyed = self._keys.get(source, {})
            found: Iterable[R] = [
                row
                for one in keys
                for row in keyed.get(one, ())
                if (after is None or row.at >= after)
                and (before is None or row.at <= before)
                and (until is None or row.at < until)
            ]
        else:
            times = self._times.get(source, [])
            low = 0 if after is None else bisect_left(times, after)
            high = len(times) if before is None else bisect_right(times, before)
            if until is not None:
                high = min(high, bisect_left(times, until))
            found = self._rows.get(source, [])[low:high]
        return list(self._seen(found, now, replica))

    def latest_first(
        self,
        source: str,
        *,
        now: datetime,
        after: datetime,
        until: datetime,
        replica: int,
    ) -> Iterator[R]:
        """Raw rows of a half-open window as one replica sees them, by (time, key), latest first."""
        times, rows = self._times.get(source, []), self._rows.get(source, [])
        low, high = bisect_left(times, after), bisect_left(times, until)
        while high > low:
            start = bisect_left(times, times[high - 1], low, high)
            tied = sorted(rows[start:high], key=lambda row: row.key, reverse=True)
            yield from self._seen(tied, now, replica)
            high = start

    def replica(self) -> int:
        """One of the replicas, by chance."""
        return self.random.getrandbits(1)

    def _seen(self, rows: Iterable[R], now: datetime, replica: int | None) -> Iterator[R]:
        oldest = now - RETENTION
        for row in rows:
            if row.visible_at > now or (row.at <= oldest and _dropped(row.at, oldest)):
                continue
            gone = row.gone
            if gone is not None and (gone[0] <= now or gone[1] <= now):
                if gone[0] <= now and gone[1] <= now:
                    continue
                if replica is None:
                    replica = self.random.getrandbits(1)
                if gone[replica] <= now:
                    continue
            yield row

    def history(self, source: str, key: str) -> list[R]:
        """Every row of a key that was ever written, in the order of writing."""
        return list(self._keys.get(source, {}).get(key, ()))

    def sources(self) -> list[str]:
        return list(self._rows)

    def merge(self, now: datetime) -> None:
        """Merge everything that has arrived, on all replicas."""
        for keyed in self._keys.values():
            for rows in keyed.values():
                days: dict[datetime, R] = {}
                arrived = [row for row in rows if row.visible_at <= now]
                for row in arrived:
                    best = days.get(_day(row.at))
                    if best is None or row.version >= best.version:
                        days[_day(row.at)] = row
                for row in arrived:
                    if days[_day(row.at)] is not row and (row.gone is None or max(row.gone) > now):
                        row.gone = (now, now)

    def forget(self, source: str, key: str) -> None:
        """Take every row of a key out, as if it had never arrived."""
        gone = self._keys.get(source, {}).pop(key, [])
        kept = [row for row in self._rows.get(source, []) if not any(row is old for old in gone)]
        self._rows[source], self._times[source] = kept, [row.at for row in kept]

    def dump(self) -> list[tuple[str, R]]:
        return [
            (source, row)
            for source, keyed in self._keys.items()
            for rows in keyed.values()
            for row in rows
        ]

    def load(self, data: Iterable[tuple[str, R]]) -> None:
        for source, row in data:
            self._keys.setdefault(source, {}).setdefault(row.key, []).append(row)
            self._rows.setdefault(source, []).append(row)
        for source, rows in self._rows.items():
            rows.sort(key=lambda row: row.at)
            self._times[source] = [row.at for row in rows]

    def _moments(self, both_there: datetime) -> tuple[datetime, datetime] | None:
        """When two replicas merge two rows that are both there from `both_there` on."""
        if self._merging.merge == "now":
            return (both_there, both_there)
        if self._merging.merge == "never" or self.random.random() < 0.2:
            return None
        first = both_there + timedelta(minutes=10 ** self.random.uniform(0, 2.9))
        second = first + timedelta(minutes=10 ** self.random.uniform(0, 2))
        return (first, second) if self.random.getrandbits(1) else (second, first)


def _dropped(at: datetime, oldest: datetime) -> bool:
    """Whether the part of a whole day has gone."""
    return _day(at) + timedelta(days=1) <= oldest


def _day(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)
