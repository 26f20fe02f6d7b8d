"""The step that loads partitions: neighbours in one go, each with its own numbers.

Facts: an asset (not an IO manager) can give each partition of a single-run backfill its own
metadata, by `context.add_asset_metadata(..., partition_key=...)`; a partition that is not the run's
is recorded by an `AssetMaterialization` event. PostHog's rows can arrive after their hour, so late
partitions are read again, and it deletes them in the end.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any, TypeVar

import dagster as dg
import pyarrow as pa

from hog_dagster.assets import _loading as loading
from hog_dagster.assets._concurrency import interleave
from hog_dagster.assets._guard import SourceGuard
from hog_dagster.assets._hogql import HogQLTable
from hog_dagster.assets._log_sources import LogSource, Source
from hog_dagster.assets._nothing_lost import NothingLost
from hog_dagster.assets._owner_names import name_column, named
from hog_dagster.assets._partition_metadata import described
from hog_dagster.assets._partitions import (
    RETENTION_DAYS,
    earlier_windows,
    partition_windows,
    partitions_at,
    partitions_of,
    stretches_of,
)
from hog_dagster.assets._rankings import names_of
from hog_dagster.assets._reader import Reader
from hog_dagster.assets._report import EVERYTHING, Gap, Report
from hog_dagster.assets._sources import Listed, listed
from hog_dagster.assets._sql_pages import Owners
from hog_dagster.assets._sql_table import ReadBy
from hog_dagster.assets._steps import Results, Step, load_step
from hog_dagster.assets._summary import Measure
from hog_dagster.lineage import AssetOptions
from hog_dagster.posthog import QueryPage, errors
from hog_dagster.warehouse import Column, LoadResult, Table, Window

P = TypeVar("P")

#: No key reads these rows by REST on this server.
_ABSENT = (errors.NotOpenToKeys, errors.EndpointMissing)
#: Called with an instant with more rows than PostHog shows of one.
OnDense = Callable[[errors.WindowTooDense], None]


def partition_step(
    table: Table,
    partitions_def: dg.TimeWindowPartitionsDefinition,
    options: AssetOptions,
    *,
    group: str,
    deps: Sequence[Table],
    lookback: int = 0,
    metadata: Mapping[str, Any] | None = None,
    log_source: LogSource | None = None,
    first: "Callable[[PartitionStep], Any] | None" = None,
) -> Callable[[Callable[["PartitionStep"], Results]], dg.AssetsDefinition]:
    """A decorator: the function is given the `PartitionStep` of a run, which has looked at the
    table, and yields what it loaded.

    Args:
        table: the declared table.
        partitions_def: partitions of its time column; a backfill of them is one run.
        options: how our assets look.
        group, metadata: of the asset.
        deps: tables that it comes after.
        lookback: how many partitions before each of the run's are read again with it.
        log_source: whose rows they are: workflows or hog functions.
        first: looks at the table in its own way.
    """
    spec = loading.table_spec(
        table,
        options,
        group=group,
        deps=[options.key(one.name) for one in deps],
        partitions_def=partitions_def,
        metadata=metadata,
    )
    return load_step(
        options,
        name=f"posthog_{table.name}",
        specs=[spec],
        first=first or PartitionStep.look,
        make=partial(PartitionStep, table=table, lookback=lookback, log_source=log_source),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )


@dataclass(kw_only=True)
class PartitionStep(Step):
    """One run over one or many time-window partitions of a table."""

    table: Table
    lookback: int
    log_source: LogSource | None
    #: What there is to say; reading adds to it.
    report: Report = field(default_factory=Report)
    #: The run's partitions, oldest first.
    own: Mapping[str, Window] = field(default_factory=dict)
    #: Those, and the ones before them that are read again.
    windows: Mapping[str, Window] = field(default_factory=dict)
    #: How many rows of the project there were in each of the windows.
    loaded: Mapping[Window, int] = field(default_factory=dict)
    #: Whether there is such a table.
    there: bool = False
    #: Id of a workflow or function -> its name, as the catalog was loaded.
    catalog: Mapping[str, str] = field(default_factory=dict)
    #: Whether rows lack a name that the catalog has: a version loaded them that did not put names
    #: into the table, or they were loaded before the catalog.
    unnamed: bool = False
    listed: Listed = field(default_factory=Listed)

    # --- before reading -------------------------------------------------------------------------

    def look(self) -> None:
        """Look at the table, and at the catalog, before the run."""
        self.own = partition_windows(self.context)
        again = earlier_windows(partitions_of(self.context), self.own, self.lookback)
        self.windows = dict(sorted({**self.own, **again}.items(), key=lambda item: item[1]))
        windows = list(self.windows.values())
        stored = self.warehouse.describe(self.table)
        self.there = stored is not None
        # A table of an earlier version can lack the column that tells days apart.
        self.loaded = dict.fromkeys(windows, 0)
        if self.there:
            self.loaded = self.warehouse.count_by_day(self.table, windows, scope=self.scope)
        known = names_of(self.warehouse, self.table, self.scope)
        self.catalog = {id: name for id, name in known.items() if name != id}
        self.unnamed = self._lacks_names(stored)
        if self.log_source is not None:
            self.listed = listed(
                self.context,
                self.client,
                self.warehouse,
                self.log_source,
                self.options,
                self.windows,
            )

    def _lacks_names(self, stored: Sequence[Column] | None) -> bool:
        """Whether rows lack a name that is known.

        Rows are asked for, not only the column: a process that is killed between a load by dlt,
        which adds the column, and the filling leaves rows without names, and so does a load before
        the catalog's.
        """
        columns = name_column(self.table)
        if stored is None or columns is None or not self.catalog:
            return False
        owner, name = columns
        there = {self.warehouse.stored_name(column.name) for column in stored}
        if self.warehouse.stored_name(name) not in there:
            return True
        without = {**self.scope, name: None, owner: list(self.catalog)}
        return self.warehouse.count(self.table, scope=without) > 0

    @property
    def retention(self) -> timedelta:
        """How long PostHog keeps such rows."""
        return timedelta(days=RETENTION_DAYS[self.table.name])

    @cached_property
    def sources(self) -> Sequence[Source]:
        """The workflows or functions that are read."""
        assert self.log_source is not None
        return self.listed.sources_of(self.client, self.log_source)

    def reader(self, hogql: HogQLTable, read_by: ReadBy, where: str = "") -> Reader:
        """What reads the rows by SQL, and says who is asked by REST."""
        assert self.log_source is not None
        return Reader(
            self.context,
            self.client,
            self.log_source,
            self.sources,
            hogql,
            read_by,
            self.report,
            self.retention,
            self.options.workers,
            where,
            self.listed.jobs,
        )

    # --- reading --------------------------------------------------------------------------------

    def loaded_of(self, window: Window, only: Mapping[str, Any]) -> Iterator[pa.RecordBatch]:
        """The rows of a window that were loaded earlier, under a further condition."""
        return loading.loaded_before(self.warehouse, self.table, window, {**self.scope, **only})

    def one_by_one(
        self,
        sources: Sequence[Source],
        window: Window,
        read: Callable[[Source, Window, OnDense], Iterable[P]],
        earlier: Callable[[str, Window], Iterable[P]],
        *,
        reached: Callable[[P], datetime] | None = None,
        alone: bool = False,
        **how: Any,
    ) -> Iterator[P]:
        """The pieces of each workflow or function, several at a time, each guarded from the faults
        of the others; `reached`, `alone` and `how` are those of `SourceGuard`."""
        names = {source.id: source.name for source in self.sources}
        guard = SourceGuard[P](self.report, earlier, self.context.log.warning, names, **how)

        def pieces(source: Source) -> Iterator[P]:
            def dense(error: errors.WindowTooDense) -> None:
                guard.gap(source.id, Window(error.start, error.end), error)

            return guard.read(source.id, window, lambda part: read(source, part, dense), reached)

        yield from interleave(sources, pieces, workers=self.options.workers)
        yield from guard.finish(alone=alone)

    def by_rest(
        self,
        reader: Reader,
        window: Window,
        read: Callable[[Source, Window, OnDense], Iterable[P]],
        finish: Callable[[Iterator[P]], Iterator[pa.RecordBatch]],
        as_loaded: Callable[[Iterator[pa.RecordBatch]], Iterator[P]],
        reached: Callable[[P], datetime] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """A window by REST: of those that can have rows, and what was loaded of the others.

        `finish` makes pieces rows of the table, `as_loaded` makes pieces of rows that were loaded
        earlier.
        """
        assert self.log_source is not None
        owner = self.log_source.id_column
        # REST shows no rows of batch jobs' runs.
        no_jobs = {"batch_job_id": ""} if "batch_job_id" in self.table else {}

        def earlier(id: str, part: Window) -> Iterator[P]:
            return as_loaded(self.loaded_of(part, {owner: id, **no_jobs}))

        asked = reader.asked_one_by_one(window, reader.table.rows)
        alone = len(asked) == 1 < len(self.sources)
        yield from finish(
            self.one_by_one(asked, window, read, earlier, reached=reached, alone=alone)
        )
        if left := reader.left_alone(window, asked):
            yield from self.loaded_of(window, {owner: left, **no_jobs})

    # --- loading --------------------------------------------------------------------------------

    def load_from(
        self,
        reader: Reader,
        by_sql: Callable[[QueryPage, Owners], Iterable[pa.RecordBatch]],
        rest: Callable[[Window], Iterable[pa.RecordBatch]],
        **how: Any,
    ) -> dg.MaterializeResult:
        """`load_partitions` by SQL where that works, by REST elsewhere."""
        return self.load_partitions(
            lambda window: reader.read(window, by_sql, rest, self.loaded_of),
            owners=lambda stretch: reader.replaced(self.table, stretch),
            **how,
        )

    def load_partitions(
        self,
        read: Callable[[Window], Iterable[pa.RecordBatch]],
        *,
        order_by: str,
        measure: Measure,
        owners: Callable[[Window], Mapping[str, Sequence[str]]] = lambda stretch: {},
        states: Callable[[Window, bool], None] | None = None,
        settled: Callable[[Window], Collection[datetime]] | None = None,
        absent: tuple[type[errors.PostHogError], ...] = _ABSENT,
    ) -> dg.MaterializeResult:
        """Load every partition and give each its own row count and numbers.

        Only rows of the things that are read are replaced: what was loaded of a workflow or
        function stays when it is no longer selected, or was deleted since and PostHog serves its
        rows no more.

        A partition that PostHog has begun to delete and that has rows here is left as it is:
        reading it again would replace rows that exist nowhere else by fewer or none. So is
        everything when this server offers the rows to no key: what was loaded another way stays.

        The warehouse is opened once for each stretch of partitions; all numbers are reported in the
        connection that loaded the last one.

        Args:
            read: reads one stretch of time; called once per stretch.
            order_by: how the preview is ordered.
            measure: which numbers a partition gets.
            owners: of a stretch: the column that says whose a row is, and the ids that are
                replaced.
            states: called when all rows were read, with the earliest stretch and whether nothing
                could be read, before the last load: asks PostHog what else changed.
            settled: called after the last load; changes rows of any partition and gives their
                times. Those are recorded, too.
            absent: errors that say that the rows are offered to nobody, or not to this key: what
                was loaded stays, and a sentence says so.
        """
        context, warehouse, table = self.context, self.warehouse, self.table
        kept = self._expired()
        stretches = stretches_of({k: w for k, w in self.windows.items() if k not in kept})
        there, total, shown = self.there, LoadResult(), None
        unnamed = self.unnamed and bool(stretches) and not self._name_earlier_rows()
        partitions = dict(self.windows)
        with ExitStack() as last:
            if not stretches and not there:
                last.enter_context(warehouse.loading())
                warehouse.replace(table, [], window=next(iter(self.own.values())), scope=self.scope)
            elif not stretches:
                last.enter_context(warehouse.reading())
            for stretch, members in stretches:
                requests, since = self.client.requests_made, time.monotonic()
                ending = stretch is stretches[-1][0]
                whole = Window(stretches[0][0].start, stretch.end)
                after = partial(states, whole) if ending and states is not None else None
                with ExitStack() as one:
                    here = last if ending else one
                    try:
                        scope = {**self.scope, **owners(stretch)}
                        here.enter_context(warehouse.loading())
                        rows = self._rows(read, stretch, members, scope, after)
                        load = warehouse.replace(table, rows, window=stretch, scope=scope)
                    except absent as error:
                        self._unread(stretch, error)
                        load = LoadResult()
                        if not there:
                            load = warehouse.replace(table, [], window=stretch, scope=self.scope)
                    there = True
                    total += load
                    context.log.info(
                        f"{table.schema}.{table.name} {stretch}: {load.rows} rows in "
                        f"{len(members)} partitions, {self.client.requests_made - requests} "
                        f"requests, {time.monotonic() - since:.1f} s"
                    )
                    shown = loading.preview(
                        warehouse, table, project_id=self.project, window=stretch, order_by=order_by
                    )
            if settled is not None and stretches:
                changed = settled(Window(stretches[0][0].start, stretches[-1][0].end))
                partitions |= partitions_at(partitions_of(context), changed)
            if unnamed:
                self._name_earlier_rows()
            spent, url = self.spent(total), self.posthog.workflows_url
            if self.log_source is not None:
                url = self.log_source.page(self.posthog)
            return described(
                self, table, self.report, self.own, partitions, measure, spent, shown, url
            )

    def _rows(
        self,
        read: Callable[[Window], Iterable[pa.RecordBatch]],
        stretch: Window,
        members: Mapping[str, Window],
        scope: Mapping[str, Any],
        after: Callable[[bool], None] | None,
    ) -> Iterator[pa.RecordBatch]:
        loaded = {window: self.loaded[window] for window in members.values()}
        guarded = NothingLost(
            self.warehouse, self.table, loaded, scope, self.report, self.context.log.warning
        )
        yield from guarded.checked(named(self.table, read(stretch), self.catalog))
        if after is not None:
            after(bool(self.report.unread))

    def _name_earlier_rows(self) -> int:
        """Give the rows of earlier loads the names they lack; returns how many rows got one.

        Before the first load, so that the column and the names come in one transaction: a process
        that is killed leaves a table without the column, and the next run begins again. An engine
        that cannot add a column here (by dlt) fills it after the loads; where it is killed before
        that, the next run finds the rows without names.
        """
        columns = name_column(self.table)
        if columns is None:
            return 0
        owner, name = columns
        return self.warehouse.fill(
            self.table, name, by=owner, values=self.catalog, scope=self.scope
        )

    def _expired(self) -> set[str]:
        """Partitions that PostHog has begun to delete, and that are left as they are."""
        oldest = loading.server_now(self.client) - self.retention
        kept: set[str] = set()
        for key, window in self.windows.items():
            if window.start >= oldest:
                continue
            gone = (
                f"PostHog keeps these rows for {self.retention.days} days and has "
                f"{'deleted' if window.end <= oldest else 'begun to delete'} those of {key}"
            )
            if rows := self.loaded[window]:
                kept.add(key)
                said = f"{key} was left as it is ({rows} rows): {gone}."
                self.report.notes.append(said)
            elif window.end <= oldest:
                kept.add(key)
                said = f"{key} was not read, and nothing of it had been loaded: {gone}."
                self.report.unread.append((window, said))
            else:
                said = f"{key} may lack rows: {gone}."
                self.report.notes.append(said)
            self.context.log.warning(said)
        return kept

    def _unread(self, stretch: Window, error: errors.PostHogError) -> None:
        """Say that a stretch was not read; a gap where the rows are there and the key may not."""
        said = f"{stretch} was not read, what was loaded earlier stays: {error}"
        self.report.unread.append((stretch, said))
        self.context.log.warning(said)
        remedy = ""
        if isinstance(error, errors.NotOpenToKeys):
            remedy = "Give the key the scope query:read: PostHog's SQL shows these rows."
        elif isinstance(error, errors.MissingScope):
            remedy = f"Give the key the scope {error.scope}, then load these partitions again."
        if remedy:
            self.report.gaps.append(Gap(EVERYTHING, stretch, str(error), remedy))
