"""The table `workflow_errors`: why runs failed, by workflow, step and message.

It is made from what was loaded into `workflow_runs` and `workflow_logs`, without a request to
PostHog. On servers without results of runs it is made from the log lines of level ERROR alone.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import dagster as dg

from hog_dagster._dagster.failures import dagster_failures
from hog_dagster.assets import _loading as loading
from hog_dagster.assets._error_groups import (
    LINES,
    RUNS,
    ErrorGroup,
    ErrorKey,
    add_group,
    error_groups,
)
from hog_dagster.assets._error_pages import errors_page, step_names
from hog_dagster.assets._partition_loading import partition_windows, stretches_of
from hog_dagster.assets._partition_metadata import record
from hog_dagster.assets._project_hosts import opened_for
from hog_dagster.assets._rankings import names_of
from hog_dagster.assets._workflow_tables import (
    WORKFLOW_ACTIONS,
    WORKFLOW_ERRORS,
    WORKFLOW_LOGS,
    WORKFLOW_RUNS,
)
from hog_dagster.lineage import AssetOptions
from hog_dagster.resources import PostHogResource, WarehouseResource
from hog_dagster.warehouse import LoadResult, Warehouse, Window

__all__ = ["build_workflow_errors_asset"]


def build_workflow_errors_asset(
    partitions_def: dg.TimeWindowPartitionsDefinition, *, options: AssetOptions | None = None
) -> dg.AssetsDefinition:
    """The asset `workflow_errors`: errors of a partition by workflow, step and message.

    Needs the resources `posthog` (for the project and links) and `warehouse`. Requests: none. It
    reads what was loaded into `workflow_runs` and `workflow_logs`, so it can be materialized again
    for partitions that PostHog deleted long ago.

    Args:
        partitions_def: those of `workflow_runs` and `workflow_logs`.
        options: how the asset looks.

    Returns:
        The assets definition; a backfill is one run.
    """
    options = options or AssetOptions()
    table = WORKFLOW_ERRORS
    upstream = (WORKFLOW_RUNS, WORKFLOW_LOGS, WORKFLOW_ACTIONS)

    @loading.partitioned_asset(
        table,
        partitions_def,
        options,
        group="workflows",
        deps=[options.key(one.name) for one in upstream],
    )
    def errors(
        context: dg.AssetExecutionContext, posthog: PostHogResource, warehouse: WarehouseResource
    ) -> dg.MaterializeResult:
        started, own = time.monotonic(), partition_windows(context)
        scope = {"project_id": int(posthog.project_id)}
        with dagster_failures(), opened_for(warehouse, posthog) as opened:
            with opened.reading():
                windows = list(own.values())
                said = error_groups(opened, WORKFLOW_LOGS, LINES, windows, scope)
                failed = error_groups(opened, WORKFLOW_RUNS, RUNS, windows, scope)
                failed = _with_steps(failed, said)
                known = names_of(opened, table, scope)
                names = {id: name for id, name in known.items() if name != id}
                steps = step_names(opened, scope["project_id"])
            rows = list(_rows(failed, said, names, steps, posthog))
            with opened.loading():
                load = _replaced(opened, own, rows, scope)
                shown = loading.preview(
                    opened,
                    table,
                    project_id=scope["project_id"],
                    window=Window(windows[0].start, windows[-1].end),
                    order_by="-failed_runs",
                    rows=10,
                )
            of_partitions = {
                key: _numbers(window, failed, said, names, steps, posthog)
                for key, window in own.items()
            }
            of_run = loading.cost(loading.Loaded(load, 0, time.monotonic() - started))
            record(context, of_partitions, own, {**of_run, **({"preview": shown} if shown else {})})
            return dg.MaterializeResult(
                metadata=loading.about(table, warehouse=opened, url=posthog.workflows_url)
            )

    return errors


def _replaced(
    warehouse: Warehouse,
    own: Mapping[str, Window],
    rows: list[dict[str, Any]],
    scope: Mapping[str, Any],
) -> LoadResult:
    """Load the rows, a transaction for each stretch of partitions."""
    total = LoadResult()
    for stretch, _ in stretches_of(own):
        inside = [row for row in rows if stretch.start <= row["partition_start"] < stretch.end]
        batches = loading.arrow_batches(WORKFLOW_ERRORS, inside, project_id=scope["project_id"])
        total += warehouse.replace(WORKFLOW_ERRORS, batches, window=stretch, scope=scope)
    return total


def _with_steps(failed: Iterable[ErrorGroup], said: Iterable[ErrorGroup]) -> list[ErrorGroup]:
    """Errors of runs; one without a step gets the step of the log lines with the same text."""
    steps: dict[tuple[str, str, Window], str] = {}
    for line in said:  # Those with most lines come first.
        steps.setdefault((line.owner, line.message, line.window), line.step)
    found: dict[ErrorKey, ErrorGroup] = {}
    for one in failed:
        step = one.step or steps.get((one.owner, one.message, one.window), "")
        add_group(found, replace(one, step=step))
    return list(found.values())


def _rows(
    failed: Iterable[ErrorGroup],
    said: Iterable[ErrorGroup],
    names: Mapping[str, str],
    steps: Mapping[tuple[str, str], str],
    posthog: PostHogResource,
) -> Iterator[dict[str, Any]]:
    """Rows of the table: an error of runs and the same one of log lines are one row."""
    runs, lines = ({one.key: one for one in groups} for groups in (failed, said))
    for key in sorted({*runs, *lines}, key=lambda key: (key[3], *key[:3])):
        both = [one for one in (runs.get(key), lines.get(key)) if one is not None]
        one = both[0] + both[1] if len(both) == 2 else both[0]
        yield {
            "workflow_id": one.owner,
            "workflow_name": names.get(one.owner),
            "action_id": one.step,
            "action_name": steps.get((one.owner, one.step)),
            "partition_start": one.window.start,
            "message": one.message,
            "error_kind": one.kind,
            "failed_runs": runs[key].count if key in runs else 0,
            "log_lines": lines[key].count if key in lines else 0,
            "first_at": one.first,
            "last_at": one.last,
            "example_run_id": one.run,
            "example_url": posthog.workflow_url(one.owner, "logs"),
        }


def _numbers(
    window: Window,
    failed: Iterable[ErrorGroup],
    said: Iterable[ErrorGroup],
    names: Mapping[str, str],
    steps: Mapping[tuple[str, str], str],
    posthog: PostHogResource,
) -> dict[str, Any]:
    """The metadata of one partition: how many errors, and the most frequent ones."""
    runs, lines = ([one for one in of if one.window == window] for of in (failed, said))
    most: dict[ErrorKey, ErrorGroup] = {}
    for one in (*runs, *lines):
        known = most.get(one.key)
        most[one.key] = one if known is None or one.count > known.count else known
    ranked = sorted(most.values(), key=lambda one: (-one.count, one.owner, one.message))
    page = errors_page(ranked, names, steps, lambda id: posthog.workflow_url(id, "logs"))
    return {
        "dagster/partition_row_count": len(most),
        "posthog/failed_runs": sum(one.count for one in runs),
        "posthog/error_lines": sum(one.count for one in lines),
        **({"top_errors": page} if page is not None else {}),
    }
