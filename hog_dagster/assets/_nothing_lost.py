"""Nothing that was loaded is replaced by nothing: a partition that comes back empty keeps its rows.

Facts: rows of logs, metrics and runs do not vanish from PostHog before their time is over, so an
empty response for a partition that has rows here is a response that failed without saying so.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hog_dagster.assets import _loading as loading
from hog_dagster.assets._report import EVERYTHING, Gap, Report
from hog_dagster.warehouse import Table, Warehouse, Window

_REMEDY = "Materialize the partition again; if PostHog really has no such rows, delete these."


class NothingLost:
    """Looks at the rows of a stretch as they pass; `loaded` are the rows of the project here in
    each window of it, before the load."""

    def __init__(
        self,
        warehouse: Warehouse,
        table: Table,
        loaded: Mapping[Window, int],
        scope: Mapping[str, Any],
        report: Report,
        log: Callable[[str], None],
    ) -> None:
        self._warehouse = warehouse
        self._table = table
        self._scope = scope
        self._report = report
        self._log = log
        self._expected = {window for window, rows in loaded.items() if rows}

    def checked(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same batches, and what was loaded earlier of the partitions that have none."""
        for batch in batches:
            if self._expected and batch.num_rows:
                times = batch.column(self._table.time_column or "")
                self._expected -= {w for w in self._expected if _any(within(times, w))}
            yield batch
        if not self._expected:
            return
        counted = self._warehouse.count_by_day(
            self._table, sorted(self._expected), scope=self._scope
        )
        for window, rows in counted.items():
            if not rows:
                continue
            why = f"PostHog's response has no rows where {rows} had been loaded"
            self._report.gaps.append(Gap(EVERYTHING, window, why, _REMEDY))
            self._log(f"{window}: {why}; they stay.")
            yield from loading.loaded_before(self._warehouse, self._table, window, self._scope)


def within(times: pa.Array, window: Window) -> pa.Array:
    """Which of the times lie in a window."""
    bounds = [pa.scalar(bound, times.type) for bound in (window.start, window.end)]
    after = pc.call_function("greater_equal", [times, bounds[0]])
    before = pc.call_function("less", [times, bounds[1]])
    return pc.call_function("and", [after, before]).fill_null(False)


def _any(flags: pa.Array) -> bool:
    return bool(pc.call_function("any", [flags]).as_py())
