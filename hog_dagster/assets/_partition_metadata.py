"""The metadata of partitions that were loaded: each one's numbers, and those of the whole run."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from hog_dagster.assets import _loading as loading
from hog_dagster.assets._error_pages import partition_pages
from hog_dagster.assets._fourteen_days import days_until, fourteen_days
from hog_dagster.assets._owner_names import owner_of
from hog_dagster.assets._rankings import by_owner, names_of
from hog_dagster.assets._report import Report, gaps_metadata
from hog_dagster.assets._steps import Step
from hog_dagster.assets._summary import Measure, lag_seconds
from hog_dagster.warehouse import Table, Window


def described(
    step: Step,
    table: Table,
    report: Report,
    own: Mapping[str, Window],
    partitions: Mapping[str, Window],
    measure: Measure,
    spent: loading.Loaded,
    shown: dg.TableMetadataValue | None,
    url: str,
) -> dg.MaterializeResult:
    """Give each partition its numbers, and the run, of its `own` partitions, those of all."""
    warehouse, scope = step.warehouse, step.scope
    days = days_until(max(own.values()).end)
    wanted = list(dict.fromkeys([*partitions.values(), *days]))
    counts = warehouse.count_by_day(table, wanted, scope=scope)
    numbers = measure.numbers(warehouse, table, wanted, scope)
    by_day = {day: counts[day] for day in days}
    now, since = loading.server_now(step.client), min(own.values()).start
    of_run: dict[str, Any] = {
        "last_14_days": fourteen_days(by_day, {day: numbers[day] for day in days}),
        f"by_{owner_of(table)[1]}_in_this_run": by_owner(
            measure, warehouse, table, own.values(), scope
        ),
        "posthog/lag_seconds": lag_seconds(warehouse, table, since, now, scope),
        "posthog/rows_in_run": spent.load.rows,
        **loading.cost(spent),
        **loading.share_of_limits(step.client),
        **report.metadata(),
        "preview": shown,
    }
    names = names_of(warehouse, table, scope)
    pages = partition_pages(
        warehouse, table, step.posthog, measure.errors, partitions.values(), names, scope
    )
    of_partitions: dict[str, Mapping[str, Any]] = {}
    for key, window in sorted(partitions.items()):
        why = report.why_unread(window)
        found = gaps_metadata(report.gaps_in(window), names)
        if why is None or counts[window]:
            found = {
                "dagster/partition_row_count": counts[window],
                **numbers[window],
                **pages.get(window, {}),
                **found,
            }
        of_partitions[key] = found | ({"posthog/not_read": why} if why is not None else {})
    notes = [*report.notes, *(why for _, why in report.unread)]
    notes += [
        f"{names.get(gap.object, gap.object)} {gap.window} is missing: {gap.why}"
        for gap in report.gaps[:20]
        if not any(gap.why in said for _, said in report.unread)
    ]
    of_run = {key: value for key, value in of_run.items() if value is not None}
    record(step.context, of_partitions, own, of_run)
    return dg.MaterializeResult(
        metadata=loading.about(table, warehouse=warehouse, url=url, notes=notes)
    )


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
