"""Any HogQL query as a table: events, persons, sessions, web statistics, complete.

Facts: PostHog answers 50,000 rows a request at most and nothing says that a response was cut, so
rows are paged by a key. Each partition is one reading of the query between its bounds and one
transaction of its own: what a query groups by is never cut in two.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any

import dagster as dg

from hog_dagster._dagster.failures import failure_of
from hog_dagster.assets import _loading as loading
from hog_dagster.assets._partition_metadata import record
from hog_dagster.assets._partitions import (
    earlier_windows,
    partition_windows,
    partitions_of,
)
from hog_dagster.assets._query_loading import AGAIN, Part, QueryLoading
from hog_dagster.assets._query_pages import is_too_much
from hog_dagster.assets._query_rows import PARTITION, declared_table
from hog_dagster.assets._report import EVERYTHING, Gap
from hog_dagster.assets._steps import Results, Step, load_step
from hog_dagster.lineage import AssetOptions
from hog_dagster.policies import QueryTable
from hog_dagster.posthog import errors
from hog_dagster.warehouse import LoadResult, Table, Window


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
    partition is replaced in one transaction; where a response is empty and rows had been loaded, or
    a part cannot be read, what was loaded stays and a gap is in the metadata.

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
    spec = loading.table_spec(
        declared_table(query),
        rhythm,
        group="queries",
        deps=[dg.AssetKey.from_user_string(dep) for dep in query.deps],
        partitions_def=partitions,
        metadata={
            "posthog/hogql": dg.MetadataValue.md(f"```sql\n{query.hogql.strip()}\n```"),
            "posthog/key": ", ".join(query.key) or "none",
        },
    )

    spec = spec.replace_attributes(
        owners=[*options.owners, *query.owners], tags={**options.tags, **query.tags}
    )

    @load_step(
        options,
        name=f"posthog_query_{query.name}",
        specs=[spec],
        backfill_policy=dg.BackfillPolicy.single_run() if query.partitioned else None,
    )
    def rows(step: Step) -> Results:
        with _named(query):
            work = _Query(step, query)
            yield work.partitions() if query.partitioned else work.snapshot()

    return rows


def query_partitions(
    query: QueryTable, start_date: date | None = None
) -> dg.TimeWindowPartitionsDefinition:
    """The partitions of a query.

    Raises:
        ValueError: the query cannot work, or there is no first day.
    """
    query.check()
    day = query.first_day or start_date
    if day is None:
        raise ValueError(f"Query {query.name!r}: give the first day of its partitions, start_date.")
    if query.partitions == "hourly":
        return dg.HourlyPartitionsDefinition(start_date=f"{day.isoformat()}-00:00")
    return dg.DailyPartitionsDefinition(start_date=day.isoformat())


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


class _Query:
    """The loading of one run."""

    def __init__(self, step: Step, query: QueryTable) -> None:
        self.step, self.query = step, query
        self.loading = QueryLoading(step.client, step.warehouse, query, step.project)

    def snapshot(self) -> dg.MaterializeResult:
        """The whole table."""
        part = self._load(None)
        return dg.MaterializeResult(
            metadata={**self._about(part.table), **part.metadata("dagster/row_count")}
        )

    def partitions(self) -> dg.MaterializeResult:
        """Every partition of the run, and those looked back to.

        Raises:
            PostHogError: the last one's, where none could be read.
        """
        own = partition_windows(self.step.context)
        again = earlier_windows(partitions_of(self.step.context), own, self.query.lookback)
        windows = dict(sorted((own | again).items(), key=lambda item: item[1]))
        parts: dict[str, Part] = {}
        failed: errors.PostHogError | None = None
        down = False  # PostHog failed for the partition before: it will for all of them.
        for key, window in windows.items():
            try:
                parts[key] = self._load(window)
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
        record(self.step.context, numbers, own, {"posthog/rows_in_run": rows})
        return dg.MaterializeResult(metadata=self._about(table))

    def _missed(self, window: Window, error: errors.PostHogError) -> Part:
        """A partition that could not be read, while others can: what was loaded of it stays."""
        gap = Gap(EVERYTHING, window, str(error), AGAIN)
        said = f"{window} was not read, what was loaded earlier stays: {error}"
        self.step.warn(said)
        return Part(LoadResult(), 0, 0.0, gaps=[gap], unread=said)

    def _load(self, window: Window | None) -> Part:
        """Load one window, and say what there is to say."""
        part = self.loading.load(window)
        for gap in part.gaps:
            said = f"{gap.window or 'A part'} is missing, what was loaded earlier stays: {gap.why}"
            self.step.warn(said)
        self.step.context.log.info(
            f"{self.query.name} {window or ''}: {part.load.rows} rows, {part.requests} requests, "
            f"{part.seconds:.1f} s"
        )
        return part

    def _about(self, table: Table | None) -> Mapping[str, Any]:
        """Where the table is, its columns and first rows."""
        if table is None:
            return {}
        step, order = self.step, f"-{PARTITION}" if self.query.partitioned else None
        shown = loading.preview(step.warehouse, table, project_id=step.project, order_by=order)
        url, notes = f"{step.posthog.project_url}/sql", step.notes[:20]
        return {
            **loading.about(table, warehouse=step.warehouse, url=url, notes=notes),
            "posthog/read_by": "HogQL",
            **({"preview": shown} if shown is not None else {}),
        }
