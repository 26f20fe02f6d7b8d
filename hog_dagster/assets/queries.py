"""Any HogQL query as a table: events, persons, sessions, web statistics, complete.

Facts: PostHog answers 50,000 rows a request at most and nothing says that an answer was cut, so
rows are paged by a key. Each partition is one reading of the query between its bounds and one
transaction of its own: what a query groups by is never cut in two.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from hog_dagster.assets import landing
from hog_dagster.assets._homes import opened_for
from hog_dagster.assets._query_pages import QueryReader, Unread, is_too_much
from hog_dagster.assets._query_rows import PARTITION, QueryShape, declared_table
from hog_dagster.assets._report import EVERYTHING, Gap, Report, gaps_metadata
from hog_dagster.assets.options import AssetOptions
from hog_dagster.assets.partition_landing import (
    earlier_windows,
    partition_windows,
    partitions_of,
    record,
)
from hog_dagster.failures import dagster_failures, failure_of
from hog_dagster.policies import QueryTable
from hog_dagster.posthog import errors
from hog_dagster.posthog.hogql import QueryPage, instant
from hog_dagster.resource_names import prefixed
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import LoadResult, Table, Warehouse, Window

__all__ = ["build_query_asset", "query_partitions", "query_statement"]

_AGAIN = "Materialize it again."
_DELETE = "Materialize it again; if PostHog really has no such rows, delete these."


def build_query_asset(
    query: QueryTable,
    partitions_def: dg.TimeWindowPartitionsDefinition | None = None,
    *,
    start_date: date | None = None,
    options: AssetOptions | None = None,
) -> dg.AssetsDefinition:
    """The asset of a HogQL query: its rows as the table `query.name`, all of them.

    Needs the resources `posthog` (scope query:read) and `warehouse`. Requests: one per 50,000 rows
    of each partition and at most two more; a few more where PostHog finds a page too much. A
    partition is replaced in one transaction; where an answer is empty and rows had landed, or a
    part cannot be read, what landed stays and a gap is in the metadata.

    Args:
        query: name, HogQL, key, types, partitions.
        partitions_def: partitions that it shares with other assets; made of `query.partitions` and
            a first day by default.
        start_date: the first day (UTC) where the query has none of its own.
        options: how the asset looks.

    Returns:
        The assets definition; a backfill is one run.

    Raises:
        ValueError: the query cannot work; one sentence, with its name.

    Example:
        .. code-block:: python

            events = build_query_asset(
                QueryTable(
                    name="events",
                    hogql="SELECT timestamp, uuid, event, distinct_id, properties FROM events "
                    "WHERE timestamp >= {start} AND timestamp < {end}",
                    key=["timestamp", "uuid"],
                    types={"properties": "json"},
                ),
                start_date=date(2026, 11, 1),
            )
    """
    query.check()
    options = options or AssetOptions()
    partitions = partitions_def if query.partitioned else None
    if query.partitioned and partitions is None:
        partitions = query_partitions(query, start_date)
    # A snapshot can be large: it is read as often as insights' results, not as catalogs are.
    rhythm = replace(options, snapshots=options.results)
    spec = landing.table_spec(
        declared_table(query),
        rhythm,
        family="queries",
        deps=[dg.AssetKey.from_user_string(dep) for dep in query.deps],
        partitions_def=partitions,
        metadata={
            "posthog/hogql": dg.MetadataValue.md(f"```sql\n{query.hogql.strip()}\n```"),
            "posthog/key": ", ".join(query.key) or "none",
        },
    )

    @dg.multi_asset(
        name=options.named(f"posthog_query_{query.name}"),
        specs=[
            spec.replace_attributes(
                owners=[*options.owners, *query.owners], tags={**options.tags, **query.tags}
            )
        ],
        backfill_policy=dg.BackfillPolicy.single_run() if query.partitioned else None,
        retry_policy=options.retry_policy,
        pool=options.pool,
    )
    @prefixed(options.prefix)
    def rows(
        context: dg.AssetExecutionContext, posthog: PostHogResource, warehouse: WarehouseResource
    ) -> dg.MaterializeResult:
        with dagster_failures(), opened_for(warehouse, posthog) as opened, _named(query):
            work = _Work(context, posthog, opened, query)
            return work.partitions() if query.partitioned else work.snapshot()

    return rows


def query_partitions(
    query: QueryTable, start_date: date | None = None
) -> dg.TimeWindowPartitionsDefinition:
    """The partitions of a query.

    Raises:
        ValueError: there is no first day.
    """
    day = query.start_date or start_date
    if day is None:
        raise ValueError(f"Query {query.name!r}: give the first day of its partitions, start_date.")
    if query.partitions == "hourly":
        return dg.HourlyPartitionsDefinition(start_date=f"{day.isoformat()}-00:00")
    return dg.DailyPartitionsDefinition(start_date=day.isoformat())


def query_statement(query: QueryTable, window: Window | None) -> str:
    """The query's SQL, bounded by a window where it has partitions."""
    if window is None:
        return query.bound("", "")
    return query.bound(instant(window.start), instant(window.end))


@contextmanager
def _named(query: QueryTable) -> Iterator[None]:
    """Errors that are the query's own, with its name.

    Raises:
        dagster.Failure: PostHog refuses the query, or it cannot be read as it is.
    """
    try:
        yield
    except (errors.InvalidRequest, errors.QueryTooLarge) as error:
        said = (error.detail or str(error)).rstrip(".")
        column = next((key for key in query.key if f"resolve field: {key}" in said), None)
        if column is not None:
            said = f"its key names the column {column}, which it does not select"
        elif isinstance(error, errors.InvalidRequest):
            said = f"PostHog refuses its hogql: {said}"
        text = f"Query {query.name!r}: {said}."
        raise dg.Failure(
            description=text, metadata=failure_of(error).metadata, allow_retries=False
        ) from error
    except ValueError as error:
        said = str(error).removeprefix("query: ")
        raise dg.Failure(
            description=f"Query {query.name!r}: {said}", allow_retries=False
        ) from error


@dataclass
class _Part:
    """What was read of one window and landed."""

    load: LoadResult
    requests: int
    seconds: float
    table: Table | None = None
    landed: int | None = None
    gaps: list[Gap] = field(default_factory=list)
    unread: str | None = None

    def metadata(self, rows_key: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.landed is not None:
            found[rows_key] = self.landed
        found |= landing.cost(landing.Landed(self.load, self.requests, self.seconds))
        found |= gaps_metadata(self.gaps)
        return found | ({"posthog/not_read": self.unread} if self.unread else {})


class _Work:
    """The landing of one run."""

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        posthog: PostHogResource,
        warehouse: Warehouse,
        query: QueryTable,
    ) -> None:
        self.context, self.posthog, self.warehouse = context, posthog, warehouse
        self.client, self.query = posthog.client, query
        self.project = int(posthog.project_id)
        self.scope = {"project_id": self.project}
        self.report = Report()
        self.reader = QueryReader(self._ask, query.key, query.page_rows)

    def _ask(self, sql: str) -> QueryPage:
        return self.client.query.page(sql, name=f"hog_dagster {self.query.name}")

    # --- what is landed -------------------------------------------------------------------------

    def snapshot(self) -> dg.MaterializeResult:
        """The whole table."""
        part = self._land(None)
        return dg.MaterializeResult(
            metadata={**self._about(part.table), **part.metadata("dagster/row_count")}
        )

    def partitions(self) -> dg.MaterializeResult:
        """Every partition of the run, and those looked back to.

        Raises:
            PostHogError: the last one's, where none could be read.
        """
        own = partition_windows(self.context)
        again = earlier_windows(partitions_of(self.context), own, self.query.lookback)
        windows = dict(sorted((own | again).items(), key=lambda item: item[1]))
        parts: dict[str, _Part] = {}
        failed: errors.PostHogError | None = None
        down = False  # PostHog failed for the partition before: it will for all of them.
        for key, window in windows.items():
            try:
                parts[key] = self._land(window)
                down = False
            except errors.PostHogError as error:
                fails = isinstance(error, errors.ServerError)
                if down or not (fails or is_too_much(error)):
                    raise
                failed, down = error, fails and not is_too_much(error)
                parts[key] = self._missed(window, error)
        if failed is not None and all(part.unread for part in parts.values()):
            raise failed
        table = next((part.table for part in parts.values() if part.table), None)
        numbers = {key: part.metadata("dagster/partition_row_count") for key, part in parts.items()}
        rows = sum(part.load.rows for part in parts.values())
        record(self.context, numbers, own, {"posthog/rows_in_run": rows})
        return dg.MaterializeResult(metadata=self._about(table))

    def _missed(self, window: Window, error: errors.PostHogError) -> _Part:
        """A partition that could not be read, while others can: what landed of it stays."""
        gap = Gap(EVERYTHING, window, str(error), _AGAIN)
        self.report.gaps.append(gap)
        said = f"{window} was not read, what landed earlier stays: {error}"
        self.report.notes.append(said)
        self.context.log.warning(said)
        return _Part(LoadResult(0, 0, 0.0, 0), 0, 0.0, gaps=[gap], unread=said)

    def _land(self, window: Window | None) -> _Part:
        """Read one window and replace what landed of it, in one transaction."""
        requests, started = self.client.requests_made, time.monotonic()
        unread: list[Unread] = []
        gaps: list[Gap] = []
        load, landed = LoadResult(0, 0, 0.0, 0), 0
        statement = query_statement(self.query, window)
        with closing(self.reader.pages(statement, window, unread.append)) as pages:
            first = next(pages)
            shape = QueryShape.of(self.query, first)
            while not len(first) and (page := next(pages, None)) is not None:
                first = page
            if not len(first) and not unread:
                landed = self.warehouse.count(shape.table, window=window, scope=self.scope)
            if landed:
                why = f"PostHog answered no rows where {landed} had landed"
                gaps.append(Gap(EVERYTHING, window, why, _DELETE))
            else:
                held = [first] if len(first) else []
                del first  # else it is held until the last page has come

                def batches() -> Iterator[pa.RecordBatch]:
                    if held:
                        yield shape.batch(held.pop(), project_id=self.project, window=window)
                    for page in pages:
                        yield shape.batch(page, project_id=self.project, window=window)
                        del page
                    yield from self._kept(shape, window, unread)

                load = self.warehouse.replace(
                    shape.table, batches(), window=window, scope=self.scope
                )
                landed = load.rows
        gaps += [Gap(EVERYTHING, one.window or window, one.why, _AGAIN) for one in unread]
        self._say(window, gaps)
        made, seconds = self.client.requests_made - requests, time.monotonic() - started
        self.context.log.info(
            f"{shape.table.schema}.{shape.table.name} {window or ''}: {load.rows} rows, "
            f"{made} requests, {seconds:.1f} s"
        )
        return _Part(load, made, seconds, shape.table, landed, gaps)

    def _kept(
        self, shape: QueryShape, window: Window | None, unread: list[Unread]
    ) -> Iterator[pa.RecordBatch]:
        """What landed earlier of the parts that could not be read."""
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
        for batch in self._landed(shape.table, window):
            wanted = pa.repeat(False, batch.num_rows)
            for row in sample:
                wanted = pc.call_function("or", [wanted, _same_key(batch, row, key)])
            for stretch in stretches:
                wanted = pc.call_function("or", [wanted, _within(batch.column(key[0]), stretch)])
            found = batch.filter(wanted)
            if found.num_rows:
                yield found

    def _landed(self, table: Table, window: Window | None) -> Iterator[pa.RecordBatch]:
        if window is not None:
            yield from landing.landed_before(self.warehouse, table, window, self.scope)
        elif self.warehouse.describe(table) is not None:
            yield from self.warehouse.read_batches(table, scope=self.scope)

    # --- what is said ---------------------------------------------------------------------------

    def _say(self, window: Window | None, gaps: list[Gap]) -> None:
        for gap in gaps:
            said = f"{gap.window or 'A part'} is missing, what landed earlier stays: {gap.why}"
            self.report.notes.append(said)
            self.context.log.warning(said)
        self.report.gaps += gaps

    def _about(self, table: Table | None) -> Mapping[str, Any]:
        """Where the table is, its columns and first rows."""
        url = f"{self.posthog.project_url}/sql"
        if table is None:
            return {}
        order = f"-{PARTITION}" if self.query.partitioned else None
        shown = landing.preview(self.warehouse, table, project_id=self.project, order_by=order)
        return {
            **landing.about(table, warehouse=self.warehouse, url=url, notes=self.report.notes[:20]),
            "posthog/read_by": "HogQL",
            **({"preview": shown} if shown is not None else {}),
        }


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


def _within(times: pa.Array, stretch: Window) -> pa.Array:
    """Which of the times lie in a stretch."""
    bounds = [pa.scalar(bound, times.type) for bound in (stretch.start, stretch.end)]
    after = pc.call_function("greater_equal", [times, bounds[0]])
    before = pc.call_function("less", [times, bounds[1]])
    return pc.call_function("and", [after, before]).fill_null(False)
