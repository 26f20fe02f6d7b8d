"""Landing partitions: neighbours in one go, each with its own numbers, late rows read again.

Facts: an asset (not an IO manager) can give each partition of a single-run backfill its own
metadata, by `context.add_asset_metadata(..., partition_key=...)`; a partition that is not the run's
is recorded by an `AssetMaterialization` event. PostHog's rows can arrive after their hour, and it
deletes them in the end.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow as pa

from hog_dagster.assets import landing
from hog_dagster.assets._nothing_lost import NothingLost
from hog_dagster.assets._report import EVERYTHING, Gap, Report, gaps_metadata
from hog_dagster.assets.fortnight import days_until, fortnight
from hog_dagster.assets.rankings import by_owner, names_of
from hog_dagster.assets.summary import Measure, lag_seconds
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.resources import PostHogResource
from hog_dagster.warehouse import LoadResult, Table, Warehouse, Window

__all__ = [
    "earlier_windows",
    "land_partitions",
    "partition_windows",
    "partitions_of",
    "record",
    "stretches_of",
]


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
    """Partitions as stretches of neighbours, each read and landed in one go.

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


def land_partitions(
    context: dg.AssetExecutionContext,
    table: Table,
    batches: Callable[[Window], Iterable[pa.RecordBatch]],
    *,
    posthog: PostHogResource,
    warehouse: Warehouse,
    order_by: str,
    url: str,
    retention: timedelta,
    owners: Mapping[str, Sequence[str]],
    measure: Measure,
    report: Report | None = None,
    lookback: int = 0,
    unsettled: Callable[[Window, bool], Collection[datetime]] | None = None,
) -> dg.MaterializeResult:
    """Land every partition of the run and give each its own row count and numbers.

    Only rows of the things that are read are replaced: what landed of a workflow or function stays
    when it is no longer selected, or was deleted since and PostHog serves its rows no more.

    A partition that PostHog has begun to delete and that has rows here is left as it is: reading it
    again would replace rows that exist nowhere else by fewer or none. So is everything when this
    server offers the rows to no key: what landed another way stays.

    Args:
        context: of a run over one or many time-window partitions.
        table: the declared table.
        batches: reads one stretch of time; called once per stretch.
        posthog: for the project and the requests used.
        warehouse: the open warehouse.
        order_by: how the preview is ordered.
        url: where the data is in PostHog's UI.
        retention: how long PostHog keeps such rows.
        owners: the column that says whose a row is, and the ids of those that are read.
        measure: which numbers a partition gets.
        report: what there is to say, looked at in the end: reading adds to it. A partition with a
            gap has it in its metadata; one that was not read at all has no number of rows.
        lookback: how many partitions before each of the run's are read again with it, for rows
            that arrived late. They are recorded as materialized, too.
        unsettled: called after that with the earliest stretch and whether nothing could be read;
            changes rows of any partition and gives their times. Those are recorded, too.

    Returns:
        The result; per-partition metadata was attached to the context, and what is of the whole
        run to its newest partition.
    """
    client, report = posthog.client, report or Report()
    scope = {"project_id": int(posthog.project_id)}
    read = {**scope, **owners}
    cut, own = partitions_of(context), partition_windows(context)
    again = earlier_windows(cut, own, lookback)
    windows = dict(sorted((own | again).items(), key=lambda item: item[1]))
    partitions = dict(windows)
    kept = _expired(context, table, windows, warehouse, client, retention, scope, report)
    windows = {key: window for key, window in windows.items() if key not in kept}
    if not windows and warehouse.describe(table) is None:
        warehouse.replace(table, [], window=next(iter(own.values())), scope=read)
    total, shown = landing.Landed(LoadResult(0, 0, 0.0, 0), 0, 0.0), None
    for stretch, members in stretches_of(windows):
        requests, started = client.requests_made, time.monotonic()
        guarded = NothingLost(warehouse, table, members.values(), read, report, context.log.warning)
        try:
            rows = guarded.checked(batches(stretch))
            load = warehouse.replace(table, rows, window=stretch, scope=read)
        except (errors.NotOpenToKeys, errors.EndpointMissing) as error:
            _unread(context, stretch, error, report)
            load = LoadResult(0, 0, 0.0, 0)
            if warehouse.describe(table) is None:
                load = warehouse.replace(table, [], window=stretch, scope=read)
        seconds = time.monotonic() - started
        landed = landing.Landed(load, client.requests_made - requests, seconds)
        total = _sum(total, landed)
        context.log.info(
            f"{table.schema}.{table.name} {stretch}: {load.rows} rows in {len(members)} "
            f"partitions, {landed.requests} requests, {landed.seconds:.1f} s"
        )
        shown = landing.preview(
            warehouse, table, project_id=scope["project_id"], window=stretch, order_by=order_by
        )
    if unsettled is not None and windows:
        requests, started = client.requests_made, time.monotonic()
        whole = Window(min(windows.values()).start, max(w.end for w in windows.values()))
        changed = unsettled(whole, bool(report.unread))
        partitions |= _partitions_of(cut, changed)
        seconds = time.monotonic() - started
        nothing = LoadResult(0, 0, 0.0, 0)
        total = _sum(total, landing.Landed(nothing, client.requests_made - requests, seconds))
    counts = warehouse.count_by_day(table, list(partitions.values()), scope=scope)
    days = days_until(max(own.values()).end)
    numbers = measure.numbers(warehouse, table, [*partitions.values(), *days], scope)
    by_day = warehouse.count_by_day(table, days, scope=scope)
    now, since = landing.server_now(client), min(own.values()).start
    of_run: dict[str, Any] = {
        "summary": fortnight(by_day, {day: numbers[day] for day in days}),
        _ranked(table): by_owner(measure, warehouse, table, own.values(), scope),
        "posthog/lag_seconds": lag_seconds(warehouse, table, since, now, scope),
        "posthog/rows_in_run": total.load.rows,
        **landing.cost(total),
        **report.metadata(),
        "preview": shown,
    }
    names = names_of(warehouse, table, scope) if report.gaps else {}
    of_partitions: dict[str, Mapping[str, Any]] = {}
    for key, window in sorted(partitions.items()):
        why = report.why_unread(window)
        if why is not None and not counts[window]:
            gaps = gaps_metadata(report.gaps_in(window), names)
            of_partitions[key] = {"posthog/not_read": why, **gaps}
            continue
        of_partitions[key] = {
            "dagster/partition_row_count": counts[window],
            **numbers[window],
            **gaps_metadata(report.gaps_in(window), names),
            **({"posthog/not_read": why} if why is not None else {}),
        }
    notes = [*report.notes, *(why for _, why in report.unread)]
    notes += [f"{gap.object} {gap.window} is missing: {gap.why}" for gap in report.gaps[:20]]
    record(
        context,
        of_partitions,
        own,
        {key: value for key, value in of_run.items() if value is not None},
    )
    return dg.MaterializeResult(
        metadata=landing.about(table, warehouse=warehouse, url=url, notes=notes)
    )


def _expired(
    context: dg.AssetExecutionContext,
    table: Table,
    windows: Mapping[str, Window],
    warehouse: Warehouse,
    client: PostHogClient,
    retention: timedelta,
    scope: Mapping[str, Any],
    report: Report,
) -> set[str]:
    """Partitions that PostHog has begun to delete, and that are left as they are."""
    oldest = landing.server_now(client) - retention
    expired = {key: window for key, window in windows.items() if window.start < oldest}
    if not expired:
        return set()
    landed = warehouse.count_by_day(table, list(expired.values()), scope=scope)
    kept: set[str] = set()
    for key, window in expired.items():
        gone = (
            f"PostHog keeps these rows for {retention.days} days and has "
            f"{'deleted' if window.end <= oldest else 'begun to delete'} those of {key}"
        )
        if landed[window]:
            kept.add(key)
            said = f"{key} was left as it is ({landed[window]} rows): {gone}."
            report.notes.append(said)
        elif window.end <= oldest:
            kept.add(key)
            said = f"{key} was not read, and nothing had landed of it: {gone}."
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
    said = f"{stretch} was not read, what landed earlier stays: {error}"
    report.unread.append((stretch, said))
    context.log.warning(said)
    if isinstance(error, errors.NotOpenToKeys):
        remedy = "Give the key the scope query:read: PostHog's SQL shows these rows."
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


def _ranked(table: Table) -> str:
    return "by_workflow" if "workflow_id" in table else "by_function"


def record(
    context: dg.AssetExecutionContext,
    of_partitions: Mapping[str, Mapping[str, Any]],
    own: Mapping[str, Window],
    of_run: Mapping[str, Any],
) -> None:
    """Give each partition its numbers, those that are not the run's by an event of their own.

    What is the whole run's goes with its newest partition only, so that it adds up over partitions.
    """
    newest = max(own, key=lambda key: own[key])
    for key, numbers in of_partitions.items():
        if key in own:
            metadata = {**of_run, **numbers} if key == newest else numbers
            context.add_asset_metadata(metadata, asset_key=context.asset_key, partition_key=key)
        else:
            context.log_event(
                dg.AssetMaterialization(context.asset_key, partition=key, metadata=numbers)
            )


def _sum(one: landing.Landed, other: landing.Landed) -> landing.Landed:
    load = LoadResult(
        rows=one.load.rows + other.load.rows,
        bytes=one.load.bytes + other.load.bytes,
        seconds=one.load.seconds + other.load.seconds,
        deleted=one.load.deleted + other.load.deleted,
    )
    return landing.Landed(load, one.requests + other.requests, one.seconds + other.seconds)
