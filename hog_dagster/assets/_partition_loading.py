"""Loading partitions: neighbours in one go, each with its own numbers, late rows read again.

Facts: an asset (not an IO manager) can give each partition of a single-run backfill its own
metadata, by `context.add_asset_metadata(..., partition_key=...)`; a partition that is not the run's
is recorded by an `AssetMaterialization` event. PostHog's rows can arrive after their hour, and it
deletes them in the end.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow as pa

from hog_dagster.assets import _loading as loading
from hog_dagster.assets._nothing_lost import NothingLost
from hog_dagster.assets._owner_names import name_column, named
from hog_dagster.assets._partition_metadata import described
from hog_dagster.assets._rankings import names_of
from hog_dagster.assets._report import EVERYTHING, Gap, Report
from hog_dagster.assets._summary import Measure
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.resources import PostHogResource
from hog_dagster.warehouse import Column, LoadResult, Table, Warehouse, Window

__all__ = [
    "Before",
    "before_loading",
    "earlier_windows",
    "load_partitions",
    "partition_windows",
    "partitions_of",
    "stretches_of",
]

#: No key reads these rows by REST on this server.
_ABSENT = (errors.NotOpenToKeys, errors.EndpointMissing)


@dataclass(frozen=True)
class Before:
    """What a table held of a run's partitions before the run.

    Args:
        own: the run's partitions, oldest first.
        windows: those, and the ones before them that are read again.
        rows: of the project, in each of the windows.
        there: whether there is such a table.
        names: id of a workflow or function -> its name, as the catalog was loaded.
        unnamed: whether rows lack a name that the catalog has: a version loaded them that did not
            put names into the table, or they were loaded before the catalog.
    """

    own: Mapping[str, Window]
    windows: Mapping[str, Window]
    rows: Mapping[Window, int]
    there: bool
    names: Mapping[str, str] = field(default_factory=dict)
    unnamed: bool = False


def before_loading(
    context: dg.AssetExecutionContext,
    table: Table,
    warehouse: Warehouse,
    project_id: int,
    lookback: int = 0,
) -> Before:
    """Look at the table before a run.

    Args:
        context: of a run over one or many time-window partitions.
        table: the declared table.
        warehouse: the open warehouse.
        project_id: the project.
        lookback: how many partitions before each of the run's are read again with it.
    """
    cut, own = partitions_of(context), partition_windows(context)
    again = earlier_windows(cut, own, lookback)
    windows = dict(sorted((own | again).items(), key=lambda item: item[1]))
    stored = warehouse.describe(table)
    there = stored is not None
    # A table of an earlier version can lack the column that tells days apart.
    rows = dict.fromkeys(windows.values(), 0)
    if there:
        scope = {"project_id": project_id}
        rows = warehouse.count_by_day(table, list(windows.values()), scope=scope)
    known = names_of(warehouse, table, {"project_id": project_id})
    names = {id: name for id, name in known.items() if name != id}
    unnamed = _unnamed(warehouse, table, stored, names, project_id)
    return Before(own, windows, rows, there, names, unnamed)


def _unnamed(
    warehouse: Warehouse,
    table: Table,
    stored: Sequence[Column] | None,
    names: Mapping[str, str],
    project_id: int,
) -> bool:
    """Whether rows lack a name that is known.

    Rows are asked for, not only the column: a process that is killed between a load by dlt, which
    adds the column, and the filling leaves rows without names, and so does a load before the
    catalog's.
    """
    columns = name_column(table)
    if stored is None or columns is None or not names:
        return False
    owner, name = columns
    there = {warehouse.stored_name(column.name) for column in stored}
    if warehouse.stored_name(name) not in there:
        return True
    without = {"project_id": project_id, name: None, owner: list(names)}
    return warehouse.count(table, scope=without) > 0


def partition_windows(context: dg.AssetExecutionContext) -> dict[str, Window]:
    """The run's partitions and their windows, oldest first.

    Raises:
        dagster.DagsterInvariantViolationError: the asset is not partitioned by time windows.
    """
    partitions = partitions_of(context)
    windows: dict[str, Window] = {}
    for key in context.partition_keys:
        window = partitions.time_window_for_partition_key(key)
        windows[key] = Window(window.start, window.end)
    return dict(sorted(windows.items(), key=lambda item: item[1]))


def partitions_of(context: dg.AssetExecutionContext) -> dg.TimeWindowPartitionsDefinition:
    """The partitions of the run's asset.

    Raises:
        dagster.DagsterInvariantViolationError: the asset is not partitioned by time windows.
    """
    partitions = context.assets_def.partitions_def
    if not isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        raise dg.DagsterInvariantViolationError("these assets need time-window partitions")
    return partitions


def earlier_windows(
    partitions: dg.TimeWindowPartitionsDefinition, windows: Mapping[str, Window], count: int
) -> dict[str, Window]:
    """The partitions just before the given ones, `count` before each, those given left out.

    Args:
        partitions: of the asset.
        windows: partition key -> its window.
        count: how many before each; none reach back before the first partition.
    """
    found: dict[str, Window] = {}
    for window in windows.values():
        start = window.start
        for _ in range(count):
            before = partitions.get_prev_partition_window(start)
            if before is None:
                break
            (key,) = partitions.get_partition_keys_in_time_window(before)
            if key not in windows:
                found[key] = Window(before.start, before.end)
            start = before.start
    return found


def stretches_of(
    windows: Mapping[str, Window], *, longest: timedelta = timedelta(days=31)
) -> list[tuple[Window, dict[str, Window]]]:
    """Partitions as stretches of neighbours, each read and loaded in one go.

    One walk over fourteen days costs far fewer requests than fourteen walks; each stretch is still
    replaced in one transaction, so readers see old partitions or new ones.

    Args:
        windows: partition key -> its window, oldest first.
        longest: no stretch is longer.

    Returns:
        (stretch, partition key -> its window), oldest first.
    """
    stretches: list[tuple[Window, dict[str, Window]]] = []
    for key, window in windows.items():
        if stretches:
            stretch, members = stretches[-1]
            if stretch.end == window.start and window.end - stretch.start <= longest:
                members[key] = window
                stretches[-1] = (Window(stretch.start, window.end), members)
                continue
        stretches.append((window, {key: window}))
    return stretches


def load_partitions(
    context: dg.AssetExecutionContext,
    table: Table,
    batches: Callable[[Window], Iterable[pa.RecordBatch]],
    *,
    posthog: PostHogResource,
    warehouse: Warehouse,
    order_by: str,
    url: str,
    retention: timedelta,
    owners: Callable[[Window], Mapping[str, Sequence[str]]],
    measure: Measure,
    before: Before,
    report: Report | None = None,
    states: Callable[[Window, bool], None] | None = None,
    settled: Callable[[Window], Collection[datetime]] | None = None,
    absent: tuple[type[errors.PostHogError], ...] = _ABSENT,
) -> dg.MaterializeResult:
    """Load every partition of the run and give each its own row count and numbers.

    Only rows of the things that are read are replaced: what was loaded of a workflow or function
    stays when it is no longer selected, or was deleted since and PostHog serves its rows no more.

    A partition that PostHog has begun to delete and that has rows here is left as it is: reading it
    again would replace rows that exist nowhere else by fewer or none. So is everything when this
    server offers the rows to no key: what was loaded another way stays.

    The warehouse is opened once for each stretch of partitions; all numbers are told in the
    connection that loaded the last one.

    Args:
        context: of a run over one or many time-window partitions.
        table: the declared table.
        batches: reads one stretch of time; called once per stretch.
        posthog: for the project and the requests used.
        warehouse: the open warehouse.
        order_by: how the preview is ordered.
        url: where the data is in PostHog's UI.
        retention: how long PostHog keeps such rows.
        owners: of a stretch: the column that says whose a row is, and the ids that are replaced.
        measure: which numbers a partition gets.
        before: what the table held. Its partitions that are not the run's are recorded as
            materialized, too.
        report: what there is to say, looked at in the end: reading adds to it. A partition with a
            gap has it in its metadata; one that was not read at all has no number of rows.
        states: called when all rows were read, with the earliest stretch and whether nothing could
            be read, before the last load: asks PostHog what else changed.
        settled: called after the last load; changes rows of any partition and gives their times.
            Those are recorded, too.
        absent: errors that say that the rows are offered to nobody, or not to this key: what was
            loaded stays, and a sentence says so.

    Returns:
        The result; per-partition metadata was attached to the context, and what is of the whole
        run to its newest partition.
    """
    client, report = posthog.client, report or Report()
    scope: dict[str, Any] = {"project_id": int(posthog.project_id)}
    cut, own = partitions_of(context), before.own
    partitions = dict(before.windows)
    kept = _expired(context, before, client, retention, report)
    windows = {key: window for key, window in before.windows.items() if key not in kept}
    stretches, there = stretches_of(windows), before.there
    begun, started = client.requests_made, time.monotonic()
    total, shown = LoadResult(), None
    unnamed = before.unnamed and bool(stretches)
    if unnamed:
        unnamed = not _name_earlier_rows(warehouse, table, before, scope)
    with ExitStack() as last:
        if not stretches and not there:
            last.enter_context(warehouse.loading())
            warehouse.replace(table, [], window=next(iter(own.values())), scope=scope)
        elif not stretches:
            last.enter_context(warehouse.reading())
        for stretch, members in stretches:
            requests, since = client.requests_made, time.monotonic()
            ending = stretch is stretches[-1][0]
            whole = Window(stretches[0][0].start, stretch.end)

            def rows(
                stretch: Window = stretch,
                members: Mapping[str, Window] = members,
                read: Mapping[str, Any] = scope,
                ending: bool = ending,
                whole: Window = whole,
            ) -> Iterable[pa.RecordBatch]:
                loaded = {window: before.rows[window] for window in members.values()}
                guarded = NothingLost(warehouse, table, loaded, read, report, context.log.warning)
                yield from guarded.checked(named(table, batches(stretch), before.names))
                if ending and states is not None:
                    states(whole, bool(report.unread))

            with ExitStack() as one:
                here = last if ending else one
                try:
                    read = {**scope, **owners(stretch)}
                    here.enter_context(warehouse.loading())
                    load = warehouse.replace(table, rows(read=read), window=stretch, scope=read)
                except absent as error:
                    _unread(context, stretch, error, report)
                    load = LoadResult()
                    if not there:
                        load = warehouse.replace(table, [], window=stretch, scope=scope)
                there = True
                total += load
                context.log.info(
                    f"{table.schema}.{table.name} {stretch}: {load.rows} rows in {len(members)} "
                    f"partitions, {client.requests_made - requests} requests, "
                    f"{time.monotonic() - since:.1f} s"
                )
                shown = loading.preview(
                    warehouse,
                    table,
                    project_id=scope["project_id"],
                    window=stretch,
                    order_by=order_by,
                )
        if settled is not None and stretches:
            changed = settled(Window(stretches[0][0].start, stretches[-1][0].end))
            partitions |= _partitions_of(cut, changed)
        if unnamed:
            _name_earlier_rows(warehouse, table, before, scope)
        spent = loading.Loaded(total, client.requests_made - begun, time.monotonic() - started)
        return described(
            context, table, warehouse, posthog, partitions, own, measure, report, spent, shown, url
        )


def _name_earlier_rows(
    warehouse: Warehouse, table: Table, before: Before, scope: Mapping[str, Any]
) -> int:
    """Give the rows of earlier loads the names they lack; returns how many rows got one.

    Before the first load, so that the column and the names come in one transaction: a process that
    is killed leaves a table without the column, and the next run begins again. An engine that
    cannot add a column here (by dlt) fills it after the loads; where it is killed before that, the
    next run finds the rows without names.
    """
    columns = name_column(table)
    if columns is None:
        return 0
    owner, name = columns
    return warehouse.fill(table, name, by=owner, values=before.names, scope=scope)


def _expired(
    context: dg.AssetExecutionContext,
    before: Before,
    client: PostHogClient,
    retention: timedelta,
    report: Report,
) -> set[str]:
    """Partitions that PostHog has begun to delete, and that are left as they are."""
    oldest = loading.server_now(client) - retention
    kept: set[str] = set()
    for key, window in before.windows.items():
        if window.start >= oldest:
            continue
        gone = (
            f"PostHog keeps these rows for {retention.days} days and has "
            f"{'deleted' if window.end <= oldest else 'begun to delete'} those of {key}"
        )
        if before.rows[window]:
            kept.add(key)
            said = f"{key} was left as it is ({before.rows[window]} rows): {gone}."
            report.notes.append(said)
        elif window.end <= oldest:
            kept.add(key)
            said = f"{key} was not read, and nothing of it had been loaded: {gone}."
            report.unread.append((window, said))
        else:
            said = f"{key} may lack rows: {gone}."
            report.notes.append(said)
        context.log.warning(said)
    return kept


def _unread(
    context: dg.AssetExecutionContext, stretch: Window, error: errors.PostHogError, report: Report
) -> None:
    """Say that a stretch was not read; a gap where the rows are there and the key may not."""
    said = f"{stretch} was not read, what was loaded earlier stays: {error}"
    report.unread.append((stretch, said))
    context.log.warning(said)
    remedy = ""
    if isinstance(error, errors.NotOpenToKeys):
        remedy = "Give the key the scope query:read: PostHog's SQL shows these rows."
    elif isinstance(error, errors.MissingScope):
        remedy = f"Give the key the scope {error.scope}, then load these partitions again."
    if remedy:
        report.gaps.append(Gap(EVERYTHING, stretch, str(error), remedy))


def _partitions_of(
    cut: dg.TimeWindowPartitionsDefinition, times: Collection[datetime]
) -> dict[str, Window]:
    """The partitions that some moments lie in."""
    found: dict[str, Window] = {}
    for hour in sorted({moment.replace(minute=0, second=0, microsecond=0) for moment in times}):
        key = cut.get_partition_key_for_timestamp(hour.timestamp())
        if key not in found and cut.has_partition_key(key):
            window = cut.time_window_for_partition_key(key)
            found[key] = Window(window.start, window.end)
    return found
