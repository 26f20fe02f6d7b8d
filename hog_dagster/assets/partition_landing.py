"""Landing partitions: neighbours in one go, each with its own numbers, late rows read again.

Facts: an asset (not an IO manager) can give each partition of a single-run backfill its own
metadata, by `context.add_asset_metadata(..., partition_key=...)`; a partition that is not the run's
is recorded by an `AssetMaterialization` event. PostHog's rows can arrive after their hour, and it
deletes them in the end.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg
import pyarrow as pa

from hog_dagster.assets import landing
from hog_dagster.assets.fortnight import days_until, fortnight
from hog_dagster.assets.rankings import by_owner
from hog_dagster.assets.summary import Measure, lag_seconds
from hog_dagster.posthog import errors
from hog_dagster.resources import PostHogResource
from hog_dagster.warehouse import LoadResult, Table, Warehouse, Window

__all__ = ["earlier_windows", "land_partitions", "partition_windows", "stretches_of"]


def partition_windows(context: dg.AssetExecutionContext) -> dict[str, Window]:
    """The run's partitions and their windows, oldest first.

    Raises:
        dagster.DagsterInvariantViolationError: the asset is not partitioned by time windows.
    """
    partitions = _partitions(context)
    windows: dict[str, Window] = {}
    for key in context.partition_keys:
        window = partitions.time_window_for_partition_key(key)
        windows[key] = Window(window.start, window.end)
    return dict(sorted(windows.items(), key=lambda item: item[1]))


def _partitions(context: dg.AssetExecutionContext) -> dg.TimeWindowPartitionsDefinition:
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
    notes: Sequence[str] = (),
    lookback: int = 0,
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
        notes: sentences for the reader of the run, looked at in the end: reading may add to them.
        lookback: how many partitions before each of the run's are read again with it, for rows
            that arrived late. They are recorded as materialized, too.

    Returns:
        The result; per-partition metadata was attached to the context, and what is of the whole
        run to its newest partition.
    """
    client = posthog.client
    scope = {"project_id": int(posthog.project_id)}
    read = {**scope, **owners}
    own, counts = partition_windows(context), dict[str, int]()
    again = earlier_windows(_partitions(context), own, lookback)
    windows = dict(sorted((own | again).items(), key=lambda item: item[1]))
    partitions = dict(windows)
    left: list[str] = []
    expired = [w for w in windows.values() if w.start < landing.server_now(client) - retention]
    landed_before = warehouse.count_by_day(table, expired, scope=scope) if expired else {}
    for key, window in list(windows.items()):
        if rows := landed_before.get(window, 0):
            counts[key] = rows
            del windows[key]
            left.append(
                f"{key} was left as it is ({rows} rows): PostHog keeps these rows for "
                f"{retention.days} days and has begun to delete that day's."
            )
            context.log.warning(left[-1])
    total, shown = landing.Landed(LoadResult(0, 0, 0.0, 0), 0, 0.0), None
    for stretch, members in stretches_of(windows):
        requests, started = client.requests_made, time.monotonic()
        try:
            load = warehouse.replace(table, batches(stretch), window=stretch, scope=read)
        except (errors.NotOpenToKeys, errors.EndpointMissing) as error:
            left.append(f"{stretch} was not read, what landed earlier stays: {error}")
            context.log.warning(left[-1])
            load = LoadResult(0, 0, 0.0, 0)
            if warehouse.describe(table) is None:
                load = warehouse.replace(table, [], window=stretch, scope=read)
        seconds = time.monotonic() - started
        landed = landing.Landed(load, client.requests_made - requests, seconds)
        total = _sum(total, landed)
        by_window = warehouse.count_by_day(table, list(members.values()), scope=scope)
        counts |= {key: by_window[window] for key, window in members.items()}
        context.log.info(
            f"{table.schema}.{table.name} {stretch}: {load.rows} rows in {len(members)} "
            f"partitions, {landed.requests} requests, {landed.seconds:.1f} s"
        )
        shown = landing.preview(
            warehouse, table, project_id=scope["project_id"], window=stretch, order_by=order_by
        )
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
        "preview": shown,
    }
    _record(
        context,
        {
            key: {"dagster/partition_row_count": counts[key], **numbers[window]}
            for key, window in sorted(partitions.items())
        },
        own,
        {key: value for key, value in of_run.items() if value is not None},
    )
    return dg.MaterializeResult(
        metadata=landing.about(table, warehouse=warehouse, url=url, notes=[*notes, *left])
    )


def _ranked(table: Table) -> str:
    return "by_workflow" if "workflow_id" in table else "by_function"


def _record(
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
