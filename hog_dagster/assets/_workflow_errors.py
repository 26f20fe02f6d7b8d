"""The table `workflow_errors`: why runs failed, by workflow, step and message.

It is made from what was loaded into `workflow_runs` and `workflow_logs`, without a request to
PostHog. On servers without results of runs it is made from the log lines of level ERROR alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import dagster as dg

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
from hog_dagster.assets._partition_loading import PartitionStep, partition_step
from hog_dagster.assets._partition_metadata import record
from hog_dagster.assets._partitions import partition_windows, stretches_of
from hog_dagster.assets._rankings import names_of
from hog_dagster.assets._steps import Results
from hog_dagster.assets._workflow_tables import (
    WORKFLOW_ACTIONS,
    WORKFLOW_ERRORS,
    WORKFLOW_LOGS,
    WORKFLOW_RUNS,
)
from hog_dagster.lineage import AssetOptions
from hog_dagster.warehouse import LoadResult, Window


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
    table = WORKFLOW_ERRORS

    @partition_step(
        table,
        partitions_def,
        options or AssetOptions(),
        group="workflows",
        deps=[WORKFLOW_RUNS, WORKFLOW_LOGS, WORKFLOW_ACTIONS],
        first=_loaded,
    )
    def errors(step: PartitionStep) -> Results:
        windows, loaded = list(step.own.values()), step.first
        rows, total = list(_rows(step, loaded)), LoadResult()
        with step.warehouse.loading():
            for stretch, _ in stretches_of(step.own):
                inside = [r for r in rows if stretch.start <= r["partition_start"] < stretch.end]
                batches = loading.arrow_batches(table, inside, project_id=step.project)
                total += step.warehouse.replace(table, batches, window=stretch, scope=step.scope)
            shown = loading.preview(
                step.warehouse,
                table,
                project_id=step.project,
                window=Window(windows[0].start, windows[-1].end),
                order_by="-failed_runs",
                rows=10,
            )
        of_run = loading.cost(step.spent(total)) | ({"preview": shown} if shown else {})
        numbers = {key: _numbers(step, loaded, window) for key, window in step.own.items()}
        record(step.context, numbers, step.own, of_run)
        url = step.posthog.workflows_url
        yield dg.MaterializeResult(metadata=loading.about(table, warehouse=step.warehouse, url=url))

    return errors


class _Loaded(NamedTuple):
    """Errors of what was loaded: of runs, of log lines; names of workflows and of their steps."""

    failed: list[ErrorGroup]
    said: list[ErrorGroup]
    names: Mapping[str, str]
    steps: Mapping[tuple[str, str], str]


def _loaded(step: PartitionStep) -> _Loaded:
    step.own = partition_windows(step.context)
    warehouse, windows, scope = step.warehouse, list(step.own.values()), step.scope
    said = error_groups(warehouse, WORKFLOW_LOGS, LINES, windows, scope)
    failed = error_groups(warehouse, WORKFLOW_RUNS, RUNS, windows, scope)
    known = names_of(warehouse, step.table, scope)
    names = {id: name for id, name in known.items() if name != id}
    return _Loaded(_with_steps(failed, said), said, names, step_names(warehouse, step.project))


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


def _rows(step: PartitionStep, loaded: _Loaded) -> Iterator[dict[str, Any]]:
    """Rows of the table: an error of runs and the same one of log lines are one row."""
    runs, lines = ({one.key: one for one in groups} for groups in loaded[:2])
    for key in sorted({*runs, *lines}, key=lambda key: (key[3], *key[:3])):
        both = [one for one in (runs.get(key), lines.get(key)) if one is not None]
        one = both[0] + both[1] if len(both) == 2 else both[0]
        yield {
            "workflow_id": one.owner,
            "workflow_name": loaded.names.get(one.owner),
            "action_id": one.step,
            "action_name": loaded.steps.get((one.owner, one.step)),
            "partition_start": one.window.start,
            "message": one.message,
            "error_kind": one.kind,
            "failed_runs": runs[key].count if key in runs else 0,
            "log_lines": lines[key].count if key in lines else 0,
            "first_at": one.first,
            "last_at": one.last,
            "example_run_id": one.run,
            "example_url": step.posthog.workflow_url(one.owner, "logs"),
        }


def _numbers(step: PartitionStep, loaded: _Loaded, window: Window) -> dict[str, Any]:
    """The metadata of one partition: how many errors, and the most frequent ones."""
    runs, lines = ([one for one in of if one.window == window] for of in loaded[:2])
    most: dict[ErrorKey, ErrorGroup] = {}
    for one in (*runs, *lines):
        known = most.get(one.key)
        most[one.key] = one if known is None or one.count > known.count else known
    ranked = sorted(most.values(), key=lambda one: (-one.count, one.owner, one.message))
    link = partial(step.posthog.workflow_url, tab="logs")
    page = errors_page(ranked, loaded.names, loaded.steps, link)
    return {
        "dagster/partition_row_count": len(most),
        "posthog/failed_runs": sum(one.count for one in runs),
        "posthog/error_lines": sum(one.count for one in lines),
        **({"top_errors": page} if page is not None else {}),
    }
