"""Log lines of runs, every one once, in daily or hourly partitions.

Facts: `GET .../{id}/logs/` gives 500 rows a page, newest first, with no cursor but time and no
tie-breaker; the client's walk makes every row come once. PostHog keeps logs for 90 days. Lines of
runs of a batch job are filed under the job and are not served by this endpoint, but by SQL, which
is the first choice.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from hog_dagster.assets import _loading as loading
from hog_dagster.assets._hogql import LOG_ENTRIES, only_levels
from hog_dagster.assets._log_sources import LogSource, Source, WorkflowLogSource
from hog_dagster.assets._owner_names import name_column
from hog_dagster.assets._partition_loading import OnDense, PartitionStep, partition_step
from hog_dagster.assets._redact import MessagePolicy, redact_messages
from hog_dagster.assets._sql_pages import Owners, arrow_columns
from hog_dagster.assets._sql_table import ReadBy
from hog_dagster.assets._steps import Results
from hog_dagster.assets._summary import LINES
from hog_dagster.assets._workflow_tables import WORKFLOW_LOGS
from hog_dagster.lineage import AssetOptions, WorkflowSelection
from hog_dagster.posthog import QueryPage, errors
from hog_dagster.warehouse import Table, Window, repeated

_TIME = pa.timestamp("us", "UTC")


def build_workflow_logs_asset(
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    options: AssetOptions | None = None,
    selection: WorkflowSelection | None = None,
    messages: MessagePolicy = "mask",
    level: str | None = None,
    lookback: int = 0,
    read_by: ReadBy = "auto",
) -> dg.AssetsDefinition:
    """The asset `workflow_logs`: one row per log line.

    Needs the resources `posthog` (scopes hog_flow:read and query:read) and `warehouse`. Requests:
    one per 50,000 lines and two; without query:read about one per 500 lines, and at least one per
    workflow, whatever the number of partitions in the run.

    Args:
        partitions_def: daily or hourly, in UTC.
        options: how the asset looks.
        selection: which workflows; all by default.
        messages: what happens to the text, which can hold names and e-mail addresses: `mask` takes
            them out, `keep` loads them, `drop` loads an empty text.
        level: only these levels, comma-separated (`WARN,ERROR`); all by default.
        lookback: how many partitions before each of the run's are read again with it, for lines
            that arrived late.
        read_by: `auto` reads by PostHog's SQL where key and server let us, lines of batch jobs'
            runs included, and by REST elsewhere; `rest` and `hogql` by that only.

    Returns:
        The assets definition; a backfill is one run.
    """
    source = WorkflowLogSource(selection or WorkflowSelection())
    return build_logs_asset(
        source, WORKFLOW_LOGS, partitions_def, options, messages, level, lookback, read_by
    )


def build_logs_asset(
    log_source: LogSource,
    table: Table,
    partitions_def: dg.TimeWindowPartitionsDefinition,
    options: AssetOptions | None,
    messages: MessagePolicy,
    level: str | None,
    lookback: int,
    read_by: ReadBy,
) -> dg.AssetsDefinition:
    """The asset of a log source's log lines; see `build_workflow_logs_asset`."""

    @partition_step(
        table,
        partitions_def,
        options or AssetOptions(),
        group=log_source.name,
        deps=[log_source.catalog],
        lookback=lookback,
        log_source=log_source,
        metadata={"posthog/messages": messages, "posthog/read_by": read_by},
    )
    def logs(step: PartitionStep) -> Results:
        finish = partial(_finished, table, log_source.id_column, step.project, messages)
        reader = step.reader(LOG_ENTRIES, read_by, only_levels(level))

        def by_sql(page: QueryPage, owners: Owners) -> Iterator[pa.RecordBatch]:
            yield finish(_lines_of_page(page, owners))

        def lines(source: Source, part: Window, dense: OnDense) -> Iterator[pa.RecordBatch]:
            for batch in log_source.service(step.client).log_batches(
                source.id, after=part.start, before=part.end, level=level, on_dense=dense
            ):
                found = pc.call_function("unique", [batch.column("log_source_id")]).to_pylist()
                if found != [source.id]:
                    raise errors.MalformedResponse(
                        f"The logs of {source.id} hold lines of another source."
                    )
                yield batch

        def finished(pieces: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for piece in pieces:
                loaded_before = "log_source_id" not in piece.schema.names
                yield piece if loaded_before else finish(_lines_of_batch(piece))

        def rest(window: Window) -> Iterator[pa.RecordBatch]:
            return step.by_rest(reader, window, lines, finished, iter, reached=_oldest)

        yield step.load_from(reader, by_sql, rest, order_by="-timestamp", measure=LINES)

    return logs


#: Columns of log lines before they are a table's: whose, which batch job's, and the line.
Lines = Mapping[str, pa.Array]


def _lines_of_batch(batch: pa.RecordBatch) -> Lines:
    """Lines by REST, which are of no batch job."""
    lines = dict(zip(batch.schema.names, batch.columns, strict=True))
    lines["source_id"] = lines.pop("log_source_id")
    lines["batch_job_id"] = repeated("", pa.string(), batch.num_rows)
    return lines


def _oldest(lines: pa.RecordBatch) -> datetime:
    return lines.column("timestamp")[lines.num_rows - 1].as_py()


def _lines_of_page(page: QueryPage, owners: Owners) -> Lines:
    """Lines by SQL, where levels come as they were stored, and rows twice until they are merged."""
    columns = arrow_columns(page, {"timestamp": _TIME})
    columns["level"] = pc.call_function("utf8_upper", [columns["level"]])
    lines = pa.table(columns)
    if repeated := _repeated(lines):
        lines = lines.take(pa.array(sorted(set(range(len(lines))) - repeated)))
    source, job = owners.resolved(lines.column("log_source_id").combine_chunks())
    ours = lines.append_column("source_id", source).append_column("batch_job_id", job)
    ours = ours.filter(pc.call_function("is_valid", [source])).combine_chunks()
    return {name: _array(ours.column(name)) for name in ours.column_names}


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _repeated(lines: pa.Table) -> set[int]:
    """Places of rows that were there before; those are of one run and instant."""
    if len(lines) < 2:
        return set()
    same = [
        pc.call_function("equal", [lines.column(name)[1:], lines.column(name)[:-1]])
        for name in ("timestamp", "instance_id", "log_source_id")
    ]
    adjacent = pc.call_function("and", [pc.call_function("and", same[:2]), same[2]])
    if not pc.call_function("any", [adjacent]).as_py():
        return set()
    seen: set[tuple[Any, ...]] = set()
    repeated: set[int] = set()
    for place, row in enumerate(zip(*(column.to_pylist() for column in lines), strict=True)):
        if row in seen:
            repeated.add(place)
        seen.add(row)
    return repeated


def _finished(
    table: Table, id_column: str, project_id: int, messages: MessagePolicy, lines: Lines
) -> pa.RecordBatch:
    """Lines as rows of the table, their text under the policy."""
    columns = {
        **lines,
        id_column: lines["source_id"],
        "message": redact_messages(lines["message"], messages),
    }
    constants: dict[str, Any] = {"project_id": project_id, "_loaded_at": loading.now()}
    if (columns_of := name_column(table)) is not None:
        constants[columns_of[1]] = None
    return loading.stamped(table, columns, constants)
