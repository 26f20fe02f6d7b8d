"""An IO manager: users' own data frames into the same warehouse, and our tables as their inputs.

Facts: Dagster's metadata names for where a frame goes are those of its own database IO managers
(`schema`, `partition_expr`, `columns`), and they are kept here; `dagster/table_name` and
`dagster/column_schema` are what its UI reads. `AssetExecutionContext.get()` reaches the running
asset, to which a row count per partition can be attached.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field

from hog_dagster._dagster.failures import dagster_failures, final
from hog_dagster.io_manager._frames import FRAMES, Rows, from_arrow, kind_of, to_rows
from hog_dagster.io_manager._partition_filter import Dimension, Slice, dimensions, slices
from hog_dagster.resources import WarehouseResource
from hog_dagster.warehouse import (
    Column,
    LoadResult,
    Table,
    Warehouse,
    arrow_filter,
    conform,
    to_arrow,
)
from hog_dagster.warehouse.errors import InvalidRows, TableMissing
from hog_dagster.warehouse.schema import arrow_type, common_type

# Types whose values are texts, so that a partition's key may be one of them.
_TEXTS = re.compile(r'text|varchar.*|character.*|char.*|"char"|bpchar.*|name|citext|uuid|enum.*')


class WarehouseIOManager(dg.ConfigurableIOManager):
    """Stores data frames of assets in the warehouse and loads tables as inputs of assets.

    Frames are of pandas, polars, Arrow, or of any library that gives its frames out as Arrow
    (``__arrow_c_stream__``). Each partition (or, without partitions, the whole table)
    is replaced in one transaction; columns are matched by name. An input is the frame its
    annotation asks for, with the rows of its partitions only; PostHog's tables are inputs like any
    other.

    Metadata of an asset:

    - `partition_expr`: the column by which a partitioned asset is cut; for several dimensions a
      mapping of dimension to column. Moments are compared as moments, in whatever time zone.
    - `schema`, or `dagster/table_name` ("schema.table"): where it goes. By default the last part of
      the asset key is the table, the one before it the schema.
    - `dagster/column_schema`: a `TableSchema` whose types are all of ours (text, bigint, integer,
      double, boolean, timestamptz, timestamp, date, json, bytes, decimal(p,s)) declares the
      columns, and a frame with others is refused. Without it columns are taken from the frames:
      new ones are added, missing ones are null.
    - `primary_key`: columns that together identify a row; a frame that holds a key twice is
      refused.

    Metadata of an input (`dg.AssetIn(metadata=...)`): `columns`, the columns to load.

    Example:
        .. code-block:: python

            warehouse = DuckDBWarehouse(path="warehouse.duckdb")

            @dg.asset(partitions_def=days, metadata={"partition_expr": "day"},
                      ins={"logs": dg.AssetIn(["posthog", "workflow_logs"])})
            def errors_a_day(context, logs: pd.DataFrame) -> pd.DataFrame:
                ...

            defs = dg.Definitions(
                assets=[errors_a_day],
                resources={
                    "warehouse": warehouse,
                    "io_manager": WarehouseIOManager(warehouse=warehouse),
                },
            )
    """

    warehouse: dg.ResourceDependency[WarehouseResource]
    default_schema: str = Field(
        default="public", description="Schema of assets whose key has only one part."
    )
    default_frame: str = Field(
        default="pandas",
        description=f"What inputs without an annotation are loaded as: {', '.join(FRAMES)}.",
    )

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Replace the asset's table, or the run's partitions of it, by the frame.

        Raises:
            dagster.Failure: the frame does not fit; nothing was written.
            hog_dagster.warehouse.errors.WarehouseError: the warehouse is busy or not reachable.
        """
        if not context.has_asset_key:
            raise final(
                "WarehouseIOManager stores assets only; give the outputs of ops another IO manager"
            )
        if obj is None:
            raise final(
                f"{context.asset_key.to_user_string()} returned None where a frame belongs; "
                "annotate it `-> None` if it stores nothing"
            )
        with dagster_failures(), self.warehouse.open() as opened:
            self._store(context, opened, obj)

    def _store(self, context: dg.OutputContext, opened: Warehouse, frame: Any) -> None:
        metadata = context.definition_metadata
        schema, name = self._place(context.asset_key, metadata)
        rows = to_rows(frame, f"{schema}.{name}")
        parts = _parts(context, metadata)
        keys = list(context.asset_partition_keys) if parts else []
        columns = _declared(metadata) or _evolved(
            opened, (schema, name), rows, metadata, whole=not parts
        )
        have = {column.name: column for column in columns}
        for dimension in parts:
            if dimension.column not in have:
                kind = "timestamptz" if dimension.by_time else "text"
                have[dimension.column] = Column(dimension.column, kind)
        wanted, of_key = slices(parts, have, keys) if parts else ([Slice(None, {})], {})
        table = Table(
            name,
            tuple(have.values()),
            key=tuple(_plain(metadata.get("primary_key")) or ()),
            time_column=_time_column(parts, have),
            schema=schema,
        )
        done = _replace(opened, table, rows, wanted)
        self._record(context, opened, table, done, of_key)

    def _record(
        self,
        context: dg.OutputContext,
        opened: Warehouse,
        table: Table,
        done: LoadResult,
        of_key: Mapping[str, Slice],
    ) -> None:
        """Row counts of the table or of each partition, the columns and the table's name."""
        facts: dict[str, Any] = {
            "dagster/table_name": opened.table_name(table),
            "dagster/column_schema": _column_schema(table),
        }
        if not of_key:
            facts["dagster/row_count"] = done.rows
        elif len(of_key) == 1:
            facts["dagster/partition_row_count"] = done.rows
        else:
            running = dg.AssetExecutionContext.get()
            for key, rows in _counts(opened, table, of_key).items():
                running.add_asset_metadata(
                    {"dagster/partition_row_count": rows},
                    asset_key=context.asset_key,
                    partition_key=key,
                )
        context.add_output_metadata(facts)

    def load_input(self, context: dg.InputContext) -> Any:
        """The rows of the input's partitions, or the whole table, as the annotated frame.

        Raises:
            dagster.Failure: the table is not there, has no such column, or the annotation is no
                frame.
            hog_dagster.warehouse.errors.WarehouseError: the warehouse is busy or not reachable.
        """
        annotation = context.dagster_type.typing_type
        kind = self.default_frame if annotation is Any else kind_of(annotation)
        if kind is None or (isinstance(kind, str) and kind not in FRAMES):
            raise final(
                f"the input {context.name} is annotated {annotation}, and tables are loaded as "
                f"{', '.join(FRAMES.values())}, or as a class that has from_arrow"
            )
        with dagster_failures(), self.warehouse.open() as opened:
            return from_arrow(self._load(context, opened), kind)

    def _load(self, context: dg.InputContext, opened: Warehouse) -> pa.Table:
        above = context.upstream_output
        metadata = above.definition_metadata if above is not None else {}
        schema, name = self._place(context.asset_key, metadata)
        columns, types = _declared(metadata), {}
        if columns is None:
            stored = opened.describe(_unknown(schema, name))
            if stored is None and _reads_itself(context):
                return _nothing(context)
            if stored is None:
                raise TableMissing(
                    f"{schema}.{name} is not in {opened.location}: nothing has been loaded into it "
                    f"yet. Materialize {context.asset_key.to_user_string()} first"
                )
            columns = opened.readable(_unknown(schema, name), stored)
            types = {column.name: column.type for column in stored}
        have = {column.name: column for column in columns}
        chosen = _plain(context.definition_metadata.get("columns"))
        parts = _parts(context, metadata)
        if missing := [part.column for part in parts if part.column not in have]:
            raise InvalidRows(
                f"{schema}.{name} has no column {', '.join(missing)}, by which it is partitioned"
            )
        for part in parts:
            if have[part.column].type == "text":
                _refuse_unknown_type(f"{schema}.{name}", part.column, types.get(part.column))
        keys = list(context.asset_partition_keys) if parts else []
        wanted, _ = slices(parts, have, keys) if parts else ([Slice(None, {})], {})
        table = Table(name, tuple(columns), time_column=_time_column(parts, have), schema=schema)
        if (keys or not parts) and opened.describe(table) is None and _reads_itself(context):
            return _nothing(context, table)
        found = [
            opened.read(table, columns=chosen, window=one.window, scope=one.scope)
            for one in (wanted if keys or not parts else ())
        ]
        names = list(chosen) if chosen is not None else list(table.column_names)
        return pa.concat_tables(found) if found else table.arrow_schema_of(names).empty_table()

    def _place(self, key: dg.AssetKey, metadata: Mapping[str, Any]) -> tuple[str, str]:
        """Schema and table of an asset."""
        named = _plain(metadata.get("dagster/table_name"))
        if isinstance(named, str) and "." in named:
            schema, name = named.split(".")[-2:]
            return schema, name
        schema = _plain(metadata.get("schema"))
        if not schema:
            schema = key.path[-2] if len(key.path) > 1 else self.default_schema
        return str(schema), key.path[-1]


_TIMES = ("timestamptz", "timestamp")


def _plain(value: Any) -> Any:
    """A value of metadata without Dagster's wrapping."""
    return getattr(value, "value", value) if isinstance(value, dg.MetadataValue) else value


def _parts(
    context: dg.OutputContext | dg.InputContext, metadata: Mapping[str, Any]
) -> list[Dimension]:
    """The dimensions of the asset's partitions; none without partitions."""
    if not context.has_asset_partitions:
        return []
    expression = metadata.get("partition_expr")
    return dimensions(
        context.asset_partitions_def, _plain(expression), context.asset_key.to_user_string()
    )


def _time_column(parts: Sequence[Dimension], columns: Mapping[str, Column]) -> str | None:
    """The column of moments by which the table is cut."""
    for part in parts:
        if part.by_time and columns[part.column].type in _TIMES:
            return part.column
    return None


def _schema_of(metadata: Mapping[str, Any]) -> dg.TableSchema | None:
    schema = _plain(metadata.get("dagster/column_schema"))
    return schema if isinstance(schema, dg.TableSchema) else None


def _declared(metadata: Mapping[str, Any]) -> list[Column] | None:
    """The columns an asset declares; None when the types in its schema are not all ours."""
    schema = _schema_of(metadata)
    if schema is None or not schema.columns:
        return None
    if not all(_is_ours(column.type) for column in schema.columns):
        return None
    return [
        Column(c.name, c.type, c.description or "", nullable=c.constraints.nullable)
        for c in schema.columns
    ]


def _unknown(schema: str, name: str) -> Table:
    """A table of which nothing but the name is known."""
    return Table(name, (Column("_", "text"),), schema=schema)


def _refuse_unknown_type(table: str, column: str, kind: str | None) -> None:
    """InvalidRows for a partition column whose values only look like a partition's key as text."""
    if kind is None or _TEXTS.fullmatch(kind):
        return
    raise InvalidRows(
        f"{table} is partitioned by column {column}, which is {kind} in the database: partitions "
        "cannot be told apart by it. Name another column in partition_expr, or give this one a "
        "type of text, number, date or timestamp"
    )


def _reads_itself(context: dg.InputContext) -> bool:
    """Whether the asset that is about to run depends on itself: on its partition before."""
    return context.asset_key in context.step_context.get_output_asset_keys()


def _nothing(context: dg.InputContext, table: Table | None = None) -> pa.Table:
    """An input of a table that does not exist yet: its columns, as far as they are known."""
    chosen = _plain(context.definition_metadata.get("columns"))
    if table is not None:
        return table.arrow_schema_of(chosen or list(table.column_names)).empty_table()
    return pa.schema([(name, pa.string()) for name in chosen or ()]).empty_table()


def _evolved(
    opened: Warehouse,
    place: tuple[str, str],
    rows: Rows,
    metadata: Mapping[str, Any],
    *,
    whole: bool,
) -> list[Column]:
    """The columns the table has and those the frame adds; a stored column keeps its type, unless
    the frame's is another and nothing is lost by it: all rows are replaced, or it holds none.
    Stored columns of the database's own types that the frame lacks are left to the database."""
    words = _schema_of(metadata)
    said = {c.name: c.description or "" for c in words.columns} if words else {}
    stored = {opened.stored_name(c.name): c for c in opened.describe(_unknown(*place)) or ()}
    columns = []
    for column in rows.columns:
        old = stored.pop(opened.stored_name(column.name), None)
        kind = column.type
        if old is not None:
            kept = column.name in rows.untyped or (kind == "text" and old.type == "json")
            if kept:
                kind = opened.readable(_unknown(*place), [old])[0].type
            elif not (whole and opened.retypes):
                kind = _together(opened, column.type, old.type)
        columns.append(Column(column.name, kind, said.get(column.name, "")))
    return [*columns, *(column for column in stored.values() if _is_ours(column.type))]


def _is_ours(kind: str) -> bool:
    """Whether a type is one of those that columns are declared with."""
    try:
        arrow_type(kind)
    except ValueError:
        return False
    return True


def _together(opened: Warehouse, arriving: str, stored: str) -> str:
    """The type of a column whose frame brings another type than the one it has: the narrowest that
    holds both where the engine can widen a column, else the frame's or the stored one, which the
    load tries by value or refuses with the remedy."""
    if opened.holds(arriving, stored):
        return arriving
    if (wider := common_type(stored, arriving)) is not None:
        return wider if opened.retypes else stored
    # Numbers, and moments with a zone and without, are tried by value.
    numeric = [
        kind in ("bigint", "integer", "double") or kind.startswith("decimal")
        for kind in (arriving, stored)
    ]
    return stored if all(numeric) or {arriving, stored} <= set(_TIMES) else arriving


def _replace(opened: Warehouse, table: Table, rows: Rows, wanted: Sequence[Slice]) -> LoadResult:
    """Replace each slice by its rows, each in a transaction of its own."""
    if len(wanted) == 1:
        return opened.replace(table, rows.batches, window=wanted[0].window, scope=wanted[0].scope)
    whole = pa.concat_tables(
        conform(table, to_arrow(table, batch), window=None, scope={}) for batch in rows.batches
    )
    chosen = [whole.filter(arrow_filter(table, one.window, one.scope)) for one in wanted]
    if sum(part.num_rows for part in chosen) != whole.num_rows:
        raise InvalidRows(
            f"{table.schema}.{table.name}: the frame holds rows of none of the run's partitions, "
            "which the next run would double"
        )
    loads = [
        opened.replace(table, [part], window=one.window, scope=one.scope)
        for one, part in zip(wanted, chosen, strict=True)
    ]
    return sum(loads, LoadResult())


def _counts(opened: Warehouse, table: Table, of_key: Mapping[str, Slice]) -> dict[str, int]:
    """How many rows each partition has now."""
    windows = [one.window for one in of_key.values() if one.window is not None and not one.scope]
    if len(windows) == len(of_key):
        found = opened.count_by_day(table, windows)
        return {key: found[one.window] for key, one in of_key.items() if one.window is not None}
    return {
        key: opened.count(table, window=one.window, scope=one.scope) for key, one in of_key.items()
    }


def _column_schema(table: Table) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type,
                description=column.description or None,
                constraints=dg.TableColumnConstraints(nullable=not table.required(column)),
            )
            for column in table.columns
        ]
    )
