"""Runs as tables: one row per run of a workflow or invocation of a hog function, as it stands now.

Facts: newer servers keep the rows of runs for 30 days. PostHog's SQL (scope query:read) shows when
a run was first due, its newest state and its batch job; `GET .../{id}/invocation_results/` (scopes
hog_flow:read and person:read) shows the newest state while its window has no end. What a partition
loaded can change later: runs that wait, and reruns. So runs that stood at `running` are asked for
again, and so are those that have rows since the partition began, until they are settled.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa

from hog_dagster.assets import _loading as loading
from hog_dagster.assets._function_tables import HOG_FUNCTION_RUNS
from hog_dagster.assets._hogql import INVOCATION_RESULTS
from hog_dagster.assets._log_sources import (
    HogFunctionLogSource,
    LogSource,
    Source,
    WorkflowLogSource,
)
from hog_dagster.assets._owner_names import named
from hog_dagster.assets._partition_loading import OnDense, PartitionStep, partition_step
from hog_dagster.assets._reader import RUNS_PER_QUERY, Reader
from hog_dagster.assets._redact import MessagePolicy
from hog_dagster.assets._run_rows import (
    masked,
    needs_upgrade,
    one_row_per_run,
    rows_of_page,
    run_row,
    upgrade,
)
from hog_dagster.assets._sql_pages import Owners
from hog_dagster.assets._sql_table import ReadBy
from hog_dagster.assets._steps import Results, Row
from hog_dagster.assets._summary import RUNS
from hog_dagster.assets._workflow_tables import WORKFLOW_RUNS
from hog_dagster.lineage import AssetOptions, HogFunctionSelection, WorkflowSelection
from hog_dagster.posthog import QueryPage, errors
from hog_dagster.warehouse import Table, Window

#: By REST, the maximum number of runs at `running` that one run of Dagster asks for again.
_DETAILS = 500
_BY_REST = (
    "Runs were read by REST, which does not show when a run was first due: a run that was run "
    "again, or waited, is in the partition of the earliest time that PostHog still had. With the "
    "scope query:read that is exact."
)
#: A log source's capability by REST.
_RESULTS = {"hog_flow": "invocation_results", "hog_function": "function_invocation_results"}


def build_workflow_runs_asset(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    selection: WorkflowSelection | None = None,
    messages: MessagePolicy = "mask",
    lookback: int = 0,
    read_by: ReadBy = "auto",
) -> dg.AssetsDefinition:
    """The asset `workflow_runs`: one row per run, on servers that keep results of runs.

    Needs the resources `posthog` (scopes hog_flow:read and query:read; without the latter
    person:read) and `warehouse`. PostHog keeps results for 30 days. On servers without them the
    table stays empty and the metadata says so. Requests: one per 50,000 runs and four; without
    query:read one per 500 runs since the partition began, and at least one per workflow.

    Args:
        partitions_def: daily or hourly, in UTC; a run is in the one of when it was first due.
        options: how the asset looks.
        selection: which workflows; all by default.
        messages: what happens to error texts; distinct ids are loaded only with `keep`.
        lookback: how many partitions before each of the run's are read again with it. Runs that
            were unfinished, or were run again, are read again whatever their partition.
        read_by: `auto` reads by PostHog's SQL where key and server let us, and by REST elsewhere;
            `rest` and `hogql` by that only.

    Returns:
        The assets definition; a backfill is one run.
    """
    source = WorkflowLogSource(selection or WorkflowSelection())
    return _build(source, WORKFLOW_RUNS, partitions_def, options, messages, lookback, read_by)


def build_hog_function_runs_asset(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    selection: HogFunctionSelection | None = None,
    messages: MessagePolicy = "mask",
    lookback: int = 0,
    read_by: ReadBy = "auto",
) -> dg.AssetsDefinition:
    """The asset `hog_function_runs`: one row per invocation; see `build_workflow_runs_asset`.

    Needs the scope query:read: no server was seen to list them by REST.

    Args:
        partitions_def, options, messages, lookback, read_by: as of `build_workflow_runs_asset`.
        selection: which functions; all but those that run in browsers by default.

    Returns:
        The asset, one partition per hour or day.
    """
    source = HogFunctionLogSource(selection or HogFunctionSelection())
    return _build(source, HOG_FUNCTION_RUNS, partitions_def, options, messages, lookback, read_by)


def _build(
    log_source: LogSource,
    table: Table,
    partitions_def: dg.TimeWindowPartitionsDefinition,
    options: AssetOptions | None,
    messages: MessagePolicy,
    lookback: int,
    read_by: ReadBy,
) -> dg.AssetsDefinition:
    owner = log_source.id_column

    def first(step: PartitionStep) -> dict[str, list[str]] | None:
        """What is there; None of a table that is to be changed first."""
        if needs_upgrade(step.warehouse, table):
            return None
        step.look()
        return _waiting(step, owner)

    @partition_step(
        table,
        partitions_def,
        options or AssetOptions(),
        group=log_source.name,
        deps=[log_source.catalog],
        lookback=lookback,
        log_source=log_source,
        metadata={"posthog/messages": messages, "posthog/read_by": read_by},
        first=first,
    )
    def runs(step: PartitionStep) -> Results:
        client, context, report = step.client, step.context, step.report
        waiting: Any = step.first
        if waiting is None:
            if gone := upgrade(step.warehouse, table, owner):
                report.notes.append(f"{gone} rows of runs that were there more than once are gone.")
            with step.warehouse.reading():
                waiting = first(step)
        reader = step.reader(INVOCATION_RESULTS, read_by)

        def batches(rows: Iterable[Row]) -> Iterator[pa.RecordBatch]:
            return masked(loading.arrow_batches(table, rows, project_id=step.project), messages)

        def by_sql(page: QueryPage, owners: Owners) -> Iterator[pa.RecordBatch]:
            return batches(rows_of_page(owner, page, owners, messages))

        def of_source(source: Source, part: Window, dense: OnDense) -> Iterator[Row]:
            for run in log_source.service(client).newest_states(
                source.id, start=part.start, end=part.end, on_dense=dense
            ):
                yield run_row(table, source.id, run, messages)

        def rest(window: Window) -> Iterator[pa.RecordBatch]:
            if not client.server.has(_RESULTS[log_source.kind]):
                raise errors.EndpointMissing(client.server.why_not(_RESULTS[log_source.kind]))
            if _BY_REST not in report.notes:
                report.notes.append(_BY_REST)
            yield from step.by_rest(reader, window, of_source, batches, loading.rows_in)

        keys = set(context.instance.get_materialized_partitions(context.asset_key))

        def loaded(first: datetime) -> bool:
            key = partitions_def.get_partition_key_for_timestamp(first.timestamp())
            return key in keys or key in context.partition_keys

        newer: list[Row] = []

        def states(window: Window, unread: bool) -> None:
            if unread:
                return
            found = _states_by_sql(reader, window, waiting, owner, messages)
            if not reader.usable:
                found = _states_by_rest(step, waiting, messages)
            newer.extend(loading.rows_in(named(table, batches(found), step.catalog)))

        def settled(window: Window) -> Collection[datetime]:
            since = min(loading.server_now(client), window.start) - step.retention
            since -= timedelta(days=1)
            return one_row_per_run(step.warehouse, table, owner, since, step.scope, newer, loaded)

        yield step.load_from(
            reader,
            by_sql,
            rest,
            order_by="-first_scheduled_at",
            measure=RUNS,
            states=states,
            settled=settled,
        )

    return runs


def _waiting(step: PartitionStep, owner: str) -> dict[str, list[str]]:
    """Owner -> its runs that stood at `running`, outside of what is read again."""
    if not step.there:
        return {}
    now, windows = loading.server_now(step.client), step.windows.values()
    start, end = min(w.start for w in windows), max(w.end for w in windows)
    outside = [Window(min(now, start) - step.retention, start)]
    if end < now + timedelta(days=1):
        outside.append(Window(end, now + timedelta(days=1)))
    found: dict[str, list[str]] = defaultdict(list)
    for window in outside:
        for row in loading.rows_in(step.loaded_of(window, {"status": "running"})):
            found[row[owner]].append(row["invocation_id"])
    return found


def _states_by_sql(
    reader: Reader,
    window: Window,
    waiting: Mapping[str, list[str]],
    owner: str,
    messages: MessagePolicy,
) -> Iterable[Row]:
    """States of runs that stood at `running`, and of those with rows since the window began; none
    where SQL does not work, or stops working here."""
    if not reader.usable:
        return []
    moved: Iterable[QueryPage] | None = reader.moved(window)
    if moved is None:
        moved = reader.states(lambda of, name, kind, ids: of.moved_sql(name, kind, ids, window))
    pages = [moved]
    ids = sorted({run for runs in waiting.values() for run in runs})
    for start in range(0, len(ids), RUNS_PER_QUERY):
        chunk = ids[start : start + RUNS_PER_QUERY]
        pages.append(reader.states(partial(_of_ids, chunk)))
    states: list[Row] = []
    try:
        for some in pages:
            for page in some:
                states += rows_of_page(owner, page, reader.owners, messages)
    except errors.PostHogError as error:
        reader.give_up(error, "States of unfinished runs and of reruns")
        return []
    return states


def _of_ids(run_ids: list[str], of: Any, name: str, kind: str, ids: Any) -> str:
    return of.ids_sql(name, kind, run_ids)


def _states_by_rest(
    step: PartitionStep, waiting: Mapping[str, list[str]], messages: MessagePolicy
) -> Iterator[Row]:
    """States of runs that stood at `running`: one request each."""
    assert step.log_source is not None
    read = {source.id for source in step.sources}
    asked = [(id, run) for id, runs in waiting.items() if id in read for run in runs]
    if len(asked) > _DETAILS:
        step.report.notes.append(
            f"{len(asked) - _DETAILS} unfinished runs were not asked for again: by REST that is a "
            "request each. With the scope query:read it is one per thousand."
        )
    service = step.log_source.service(step.client)
    for source, run in asked[:_DETAILS]:
        with suppress(errors.NotFound, errors.PermissionDenied, errors.InvalidRequest):
            yield run_row(step.table, source, service.invocation_result(source, run), messages)
