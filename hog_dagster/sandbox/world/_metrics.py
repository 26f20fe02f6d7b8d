"""Metrics: the store.

Facts: PostHog's app_metrics2 table. One row per hour, name, kind and instance.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from hog_dagster.sandbox.world._logs import micros

RETENTION_US = timedelta(days=90) // timedelta(microseconds=1)
HOUR_US = 3_600_000_000

#: (hour in microseconds, name, kind, instance id) -> [timestamp kept, count]
Cells = dict[tuple[int, str, str, str], list[int]]


class MetricStore:
    """Counts of one project, by source (a workflow, a hog function, a batch job), per UTC hour."""

    def __init__(self) -> None:
        self._cells: dict[str, Cells] = {}
        self._late: list[tuple[Any, ...]] = []
        self.fill: Callable[[], None] | None = None

    def add(
        self, source_id: str, at: datetime, name: str, kind: str, count: int, instance_id: str = ""
    ) -> None:
        """Add to the hour of `at`, whose row keeps the time of its first count."""
        moment = micros(at)
        cells = self._cells.setdefault(source_id, {})
        cell = cells.setdefault((moment - moment % HOUR_US, name, kind, instance_id), [moment, 0])
        cell[1] += count

    def add_late(self, visible_at: datetime, *cell: Any) -> None:
        """Add a count that the table receives only at `visible_at`; `cell` as of `add`."""
        self._late.append((micros(visible_at), *cell))

    def _arrive(self, now: int) -> None:
        for entry in [entry for entry in self._late if entry[0] <= now]:
            self._late.remove(entry)
            self.add(*entry[1:])

    def rows(
        self,
        source_id: str,
        *,
        now: datetime,
        after: datetime | None = None,
        before: datetime | None = None,
        instance_id: str | None = None,
        names: Iterable[str] | None = None,
        kinds: Iterable[str] | None = None,
    ) -> Iterable[tuple[int, str, str, int]]:
        """(timestamp, name, kind, count) of every row in the window, both bounds inclusive."""
        self.ready()
        self._arrive(micros(now))
        oldest = micros(now) - RETENTION_US
        low = max(oldest, micros(after)) if after is not None else oldest
        high = micros(before) if before is not None else None
        names, kinds = set(names or ()), set(kinds or ())
        for (_, name, kind, instance), (moment, count) in self._cells.get(source_id, {}).items():
            if moment < low or (high is not None and moment > high):
                continue
            if instance_id and instance != instance_id:
                continue
            if (names and name not in names) or (kinds and kind not in kinds):
                continue
            yield moment, name, kind, count

    def sources(self) -> list[str]:
        self.ready()
        return list(self._cells)

    def ready(self) -> None:
        """Run the deferred seeding, once."""
        if self.fill is not None:
            fill, self.fill = self.fill, None
            fill()

    def dump(self) -> dict[str, list[tuple[str, str, str, int, int]]]:
        """What the table holds, late arrivals included."""
        self.ready()
        self._arrive(max((entry[0] for entry in self._late), default=0))
        return {
            source: [
                (name, kind, instance, at, n) for (_, name, kind, instance), (at, n) in c.items()
            ]
            for source, c in self._cells.items()
        }

    def load(self, data: dict[str, list[tuple[str, str, str, int, int]]]) -> None:
        self._cells = {
            source: {
                (at - at % HOUR_US, name, kind, instance): [at, count]
                for name, kind, instance, at, count in rows
            }
            for source, rows in data.items()
        }
