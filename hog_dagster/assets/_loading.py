"""What all table assets share: their spec, loading rows in the warehouse, the metadata afterwards.

Facts: `dagster/row_count`, `dagster/partition_row_count`, `dagster/column_schema` and
`dagster/table_name` are the keys Dagster's UI reads; numbers under a stable key are plotted over
materializations.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pyarrow as pa

from hog_dagster._dagster.resources import takes_resources
from hog_dagster._shared.secrets import HIDDEN, PERSONAL_COLUMN, mask_text
from hog_dagster.lineage import AssetOptions
from hog_dagster.posthog import LIMITS, PostHogClient
from hog_dagster.warehouse import LoadResult, Table, Warehouse, Window, repeated
from hog_dagster.warehouse.errors import TableMissing

#: Rows per Arrow batch when rows come as dicts.
BATCH_ROWS = 2_000
#: More columns than this do not fit on the page beside one another.
_PREVIEW_COLUMNS = 7
#: Columns a preview leaves out: long JSON, and what is the same in every row.
_NOT_IN_PREVIEW = frozenset({"project_id", "partition_start", "_loaded_at", "_raw"})


@dataclass(frozen=True)
class Loaded:
    """What one load came to, and what it cost: HTTP requests and seconds in all."""

    load: LoadResult
    requests: int
    seconds: float


def table_spec(
    table: Table,
    options: AssetOptions,
    *,
    group: str,
    deps: Sequence[dg.AssetKey] = (),
    partitions_def: dg.PartitionsDefinition | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> dg.AssetSpec:
    """The spec of the asset that loads a table: description, columns, names, kinds, tags, owners;
    freshness policy and automation condition as the options say."""
    return dg.AssetSpec(
        key=options.key(table.name),
        description=table.description,
        group_name=options.group_for(group),
        deps=list(deps),
        kinds={"posthog", options.warehouse_kind, "table"},
        owners=list(options.owners),
        tags=dict(options.tags),
        partitions_def=partitions_def,
        **freshness_of(options, partitions_def),
        metadata={
            "dagster/table_name": f"{table.schema}.{table.name}",
            "dagster/storage_kind": options.warehouse_kind,
            "dagster/column_schema": column_schema(table),
            **_cut_by(table, partitions_def),
            **(metadata or {}),
        },
    )


def freshness_of(
    options: AssetOptions, partitions_def: dg.PartitionsDefinition | None = None
) -> dict[str, Any]:
    """When an asset is stale, and when it is materialized by itself."""
    freshness = options.freshness(partitions_def)
    if freshness is None:
        return {}
    partitioned = partitions_def is not None
    return {
        "freshness_policy": freshness.freshness_policy(),
        "automation_condition": freshness.automation_condition(partitioned=partitioned),
    }


def table_assets(
    options: AssetOptions,
    *,
    name: str,
    specs: Sequence[dg.AssetSpec],
    backfill_policy: dg.BackfillPolicy | None = None,
    **more: Any,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """A decorator: the function is the step that loads tables; `more` is of `dg.multi_asset`."""
    steps, named = options.steps, options.named(name)
    if steps.backfill_policy and any(spec.partitions_def is not None for spec in specs):
        backfill_policy = steps.backfill_policy
    return takes_resources(
        dg.multi_asset,
        options.prefix,
        execute=steps.execute,
        name=f"{steps.op_name}_{named}" if steps.op_name else named,
        specs=specs,
        op_tags=dict(steps.op_tags),
        pool=steps.pool or options.pool,
        retry_policy=options.retry_policy,
        backfill_policy=backfill_policy,
        **more,
    )


def _cut_by(table: Table, partitions_def: dg.PartitionsDefinition | None) -> dict[str, str]:
    """What Dagster's database IO managers, and ours, load a partition of the table by."""
    if partitions_def is None or table.time_column is None:
        return {}
    return {"partition_expr": table.time_column}


def column_schema(table: Table) -> dg.TableSchema:
    """The table's columns as Dagster shows them, with their descriptions."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type,
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=not table.required(column)),
            )
            for column in table.columns
        ]
    )


def now() -> datetime:
    """This moment, in UTC: what `_loaded_at` holds."""
    return datetime.now(UTC)


def server_now(client: PostHogClient) -> datetime:
    """This moment by PostHog's clock, as far as its responses show it; ours before any answer."""
    return client.server.clock.now()


def json_text(value: Any) -> str | None:
    """A value as JSON text with sorted names, so that equal values load as equal text."""
    if value is None:
        return None
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def arrow_batches(
    table: Table, rows: Iterable[Mapping[str, Any]], *, project_id: int
) -> Iterator[pa.RecordBatch]:
    """Rows given as mappings, as batches of the declared schema, project and loading time filled.

    Values of JSON columns may be given as Python values.
    """
    loaded_at = now()
    as_json = [column.name for column in table.columns if column.type == "json"]

    def complete() -> Iterator[dict[str, Any]]:
        for row in rows:
            found = {"project_id": project_id, "_loaded_at": loaded_at, **row}
            for name in as_json:
                if not isinstance(found.get(name), str):
                    found[name] = json_text(found.get(name))
            yield found

    return _batched(table, complete())


def _batched(table: Table, rows: Iterable[Mapping[str, Any]]) -> Iterator[pa.RecordBatch]:
    rows = iter(rows)
    while pending := list(itertools.islice(rows, BATCH_ROWS)):
        yield pa.RecordBatch.from_pylist(pending, schema=table.arrow_schema)


def stamped(
    table: Table, columns: Mapping[str, pa.Array], constants: Mapping[str, Any]
) -> pa.RecordBatch:
    """Columns as a batch in the declared schema; what they lack is filled with constants."""
    rows, arrays = len(next(iter(columns.values()))), []
    for column in table.arrow_schema:
        if column.name in constants:
            arrays.append(repeated(constants[column.name], column.type, rows))
        else:
            arrays.append(columns[column.name].cast(column.type))
    return pa.RecordBatch.from_arrays(arrays, schema=table.arrow_schema)


def whole_batches(table: Table, rows: Iterable[Mapping[str, Any]]) -> Iterator[pa.RecordBatch]:
    """Rows that have every column already, JSON as text, as batches."""
    return _batched(table, ({name: row.get(name) for name in table.column_names} for row in rows))


#: Columns that are filled when all rows of a load are known.
_FILLED = frozenset(
    {"project_id", "workflow_name", "function_name", "deleted_seen_at", "_loaded_at"}
)


def row_of(table: Table, model: Any, **special: Any) -> dict[str, Any]:
    """An object of PostHog as a row: a column that is not given is its field of that name."""
    names = [name for name in table.column_names if name not in special and name not in _FILLED]
    return {**{name: getattr(model, name) for name in names}, **special}


def loaded_before(
    warehouse: Warehouse,
    table: Table,
    window: Window | None,
    scope: Mapping[str, Any],
    columns: Sequence[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """The rows that were loaded earlier, as batches; none when nothing has been loaded yet."""
    with suppress(TableMissing):
        yield from warehouse.read_batches(table, columns=columns, window=window, scope=scope)


def rows_before(
    warehouse: Warehouse,
    table: Table,
    *,
    scope: Mapping[str, Any],
    columns: Sequence[str] | None = None,
    **read: Any,
) -> list[dict[str, Any]]:
    """The rows that were loaded earlier; none when nothing has been loaded yet."""
    try:
        return warehouse.read(table, columns=columns, scope=scope, **read).to_pylist()
    except TableMissing:
        return []


def table_value(records: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Records of the same columns as a table for the UI."""
    return dg.MetadataValue.table(
        records=[dg.TableRecord(dict(record)) for record in records],
        schema=dg.TableSchema(columns=[dg.TableColumn(name) for name in records[0]]),
    )


def rows_in(batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    """The rows of batches."""
    for batch in batches:
        yield from batch.to_pylist()


def preview(
    warehouse: Warehouse,
    table: Table,
    *,
    project_id: int,
    window: Window | None = None,
    order_by: str | None = None,
    rows: int = 5,
) -> dg.TableMetadataValue | None:
    """The first rows as a table for the UI; None when there are none. Long text is cut, columns
    that hold nothing in these rows are left out, and so are secrets and what is a person's, by the
    column's name or by what it looks like: this is kept in Dagster's event log."""
    columns = [
        column.name
        for column in table.columns
        if column.name not in _NOT_IN_PREVIEW and column.type != "json"
    ]
    found = warehouse.read(
        table,
        columns=columns,
        window=window,
        scope={"project_id": project_id},
        order_by=order_by,
        limit=rows,
    )
    listed = found.to_pylist()
    if not listed:
        return None
    filled = [name for name in columns if any(row[name] not in (None, "") for row in listed)]
    # A name says more than an id, and there is room for one of them.
    hidden = {f"{name.removesuffix('_name')}_id" for name in filled if name.endswith("_name")}
    filled = [name for name in filled if name not in hidden]
    shown = filled[:_PREVIEW_COLUMNS]
    return table_value([{name: _shown(name, row[name]) for name in shown} for row in listed])


def _shown(column: str, value: Any) -> str | int | float | bool | None:
    """A cell as the event log may keep it: no secret, and nothing of a person."""
    if value is not None and PERSONAL_COLUMN.search(column):
        return HIDDEN
    return _short(mask_text(value) if isinstance(value, str) else value)


def _short(value: Any) -> str | int | float | bool | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, str) and len(value) > 120:
        return value[:117] + "..."
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def about(
    table: Table, *, warehouse: Warehouse, url: str, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """The metadata that is the same for every partition: which table, where it and its data are."""
    metadata: dict[str, Any] = {
        "dagster/table_name": warehouse.table_name(table),
        "dagster/column_schema": column_schema(table),
        "posthog/url": dg.MetadataValue.url(url),
        "posthog/warehouse": warehouse.location,
    }
    if notes:
        metadata["posthog/notes"] = dg.MetadataValue.md("\n".join(f"- {note}" for note in notes))
    return metadata


def share_of_limits(client: PostHogClient) -> dict[str, int | float]:
    """What the run has asked of PostHog so far, and the largest share of an hour's limit that is.

    Of a run whose steps go on in several processes: this process's part.
    """
    asked = client.requests_by_limit
    hour = {
        bucket: rate.requests
        for bucket, rates in LIMITS.items()
        for rate in rates
        if rate.seconds == 3_600
    }
    share = max((asked.get(bucket, 0) / most for bucket, most in hour.items()), default=0.0)
    return {
        "posthog/requests_of_run": sum(asked.values()),
        "posthog/share_of_hour": round(share, 4),
    }


def cost(loaded: Loaded) -> dict[str, int | float]:
    """What a load cost, as metadata."""
    return {
        "posthog/requests": loaded.requests,
        "posthog/seconds": round(loaded.seconds, 3),
        "posthog/bytes": loaded.load.bytes,
    }
