"""Reads one window of a query and replaces what was loaded of it, in one transaction.

Without Dagster: what is read, what is kept of earlier loads, and what could not be read.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hog_dagster.assets import _loading as loading
from hog_dagster.assets._nothing_lost import within
from hog_dagster.assets._query_pages import QueryReader, Unread
from hog_dagster.assets._query_rows import QueryShape
from hog_dagster.assets._report import EVERYTHING, Gap, gaps_metadata
from hog_dagster.policies import QueryTable
from hog_dagster.posthog import PostHogClient, QueryPage, instant
from hog_dagster.warehouse import LoadResult, Table, Warehouse, Window

#: What to do about a gap.
AGAIN = "Materialize it again."
_DELETE = "Materialize it again; if PostHog really has no such rows, delete these."


@dataclass
class Part:
    """What was read of one window and loaded."""

    load: LoadResult
    requests: int
    seconds: float
    table: Table | None = None
    loaded: int | None = None
    gaps: list[Gap] = field(default_factory=list)
    unread: str | None = None

    def metadata(self, rows_key: str) -> dict[str, Any]:
        """Its numbers, the number of rows under that key, and its gaps."""
        found: dict[str, Any] = {}
        if self.loaded is not None:
            found[rows_key] = self.loaded
        found |= loading.cost(loading.Loaded(self.load, self.requests, self.seconds))
        found |= gaps_metadata(self.gaps)
        return found | ({"posthog/not_read": self.unread} if self.unread else {})


def query_statement(query: QueryTable, window: Window | None) -> str:
    """The query's SQL, bounded by a window where it has partitions."""
    if window is None:
        return query.bound("", "")
    return query.bound(instant(window.start), instant(window.end))


class QueryLoading:
    """Loads the windows of one query, one after another."""

    def __init__(
        self, client: PostHogClient, warehouse: Warehouse, query: QueryTable, project_id: int
    ) -> None:
        self.client: PostHogClient = client
        self.warehouse: Warehouse = warehouse
        self.query: QueryTable = query
        self.project = project_id
        self.scope: dict[str, int] = {"project_id": project_id}
        self.reader: QueryReader = QueryReader(self._ask, query.key, query.page_rows)

    def _ask(self, sql: str) -> QueryPage:
        return self.client.query.page(sql, name=f"hog_dagster {self.query.name}")

    def load(self, window: Window | None) -> Part:
        """Read one window, or the whole of a snapshot, and replace what was loaded of it, in one
        transaction."""
        requests, started = self.client.requests_made, time.monotonic()
        unread: list[Unread] = []
        gaps: list[Gap] = []
        load, loaded = LoadResult(), 0
        statement = query_statement(self.query, window)
        with closing(self.reader.pages(statement, window, unread.append)) as pages:
            first = next(pages)
            shape = QueryShape.of(self.query, first)
            while not len(first) and (page := next(pages, None)) is not None:
                first = page
            if not len(first) and not unread:
                loaded = self.warehouse.count(shape.table, window=window, scope=self.scope)
            if loaded:
                why = f"PostHog's response has no rows where {loaded} had been loaded"
                gaps.append(Gap(EVERYTHING, window, why, _DELETE))
            else:
                held = [first] if len(first) else []
                del first  # else it is held until the last page has come

                def batches() -> Iterator[pa.RecordBatch]:
                    if held:
                        yield shape.batch(held.pop(), project_id=self.project, window=window)
                    for page in pages:
                        batch = shape.batch(page, project_id=self.project, window=window)
                        del page  # Its values take more memory than the batch.
                        yield batch
                        del batch
                    yield from self._kept(shape, window, unread)

                load = self.warehouse.replace(
                    shape.table, batches(), window=window, scope=self.scope
                )
                loaded = load.rows
        gaps += [Gap(EVERYTHING, one.window or window, one.why, AGAIN) for one in unread]
        made, seconds = self.client.requests_made - requests, time.monotonic() - started
        return Part(load, made, seconds, shape.table, loaded, gaps)

    def _kept(
        self, shape: QueryShape, window: Window | None, unread: list[Unread]
    ) -> Iterator[pa.RecordBatch]:
        """What was loaded earlier of the parts that could not be read."""
        if not unread:
            return
        sample = [
            shape.batch(one.sample, project_id=self.project, window=window)
            for one in unread
            if one.sample is not None
        ]
        stretches = [one.window for one in unread if one.sample is None and one.window is not None]
        names = dict(zip(shape.names, shape.columns, strict=True))
        key = [names[column] for column in self.query.key]
        for batch in loading.loaded_before(self.warehouse, shape.table, window, self.scope):
            wanted = pa.repeat(False, batch.num_rows)
            for row in sample:
                wanted = pc.call_function("or", [wanted, _same_key(batch, row, key)])
            for stretch in stretches:
                wanted = pc.call_function("or", [wanted, within(batch.column(key[0]), stretch)])
            found = batch.filter(wanted)
            if found.num_rows:
                yield found


def _same_key(batch: pa.RecordBatch, row: pa.RecordBatch, key: list[str]) -> pa.Array:
    """Which rows have the key of the one row."""
    found = pa.repeat(True, batch.num_rows)
    for column in key:
        wanted = row.column(column)[0]
        values = batch.column(column)
        same = (
            values.is_null() if not wanted.is_valid else pc.call_function("equal", [values, wanted])
        )
        found = pc.call_function("and", [found, same.fill_null(False)])
    return found
