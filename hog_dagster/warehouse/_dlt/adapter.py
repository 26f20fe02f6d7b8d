"""The dlt adapter: the same tables in the engines that dlt loads (BigQuery, Snowflake, Redshift,
Databricks, ClickHouse, Delta Lake and others). Needs the extra ``dlt``.

A load is one dlt run: rows go to a staging dataset, then the rows of the window and scope are
deleted and the new ones inserted by dlt's merge with a ``destination_scope``. Where the engine has
transactions (DuckDB, PostgreSQL, Snowflake, Redshift, SQL Server) or one commit per merge (Delta),
readers see the old rows or the new ones. What dlt cannot promise:

- New columns are added in a step of their own, before the rows: a load that fails afterwards leaves
  the empty column behind.
- Engines without transactions across statements (ClickHouse, Athena, Dremio) show the gap between
  delete and insert, and an interrupted load leaves it. The next load of the window closes it.
- Nothing is locked at the destination. Loads take turns on one machine by a lock file; loads of one
  table from several machines must be kept apart by Dagster (a concurrency pool of one).
- A key is checked within the rows of a load, not against rows outside its window.
"""

import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Set before dlt reads it: a library tells nobody that it was used.
os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")

import dlt
import pyarrow as pa
from dlt.common.destination import Destination
from packaging.version import Version

from hog_dagster.warehouse._dlt.client import (
    LAKE,
    ROW_ID,
    as_text,
    dialect_of,
    file_format,
    leaving_sql,
    same_key_sql,
    schema_name,
    statements_of,
    stored_column_name,
    stored_name,
    translated,
    with_row_ids,
    without,
)
from hog_dagster.warehouse._dlt.lake import delta_columns, delta_table, open_delta
from hog_dagster.warehouse._dlt.queries import query_lake, query_sql
from hog_dagster.warehouse._dlt.tables import (
    arrow_tables,
    column_hints,
    last_of_each_key,
    refuse_bad_json,
    refuse_other_types,
    rows_to_batch,
    stored_as,
    stored_column,
)
from hog_dagster.warehouse._loading.conform import Batch, Scope
from hog_dagster.warehouse._loading.locks import DatabaseLock
from hog_dagster.warehouse._loading.stage import Stage
from hog_dagster.warehouse._sql import Statement, named
from hog_dagster.warehouse.base import (
    LoadResult,
    OpenTable,
    Warehouse,
    check_load,
    check_upsert,
    missing,
)
from hog_dagster.warehouse.errors import (
    InvalidQuery,
    InvalidRows,
    TableMissing,
    WarehouseError,
)
from hog_dagster.warehouse.schema import Column, Table, Window

# Windows and scopes are replaced by dlt's `destination_scope`, which older versions do not heed.
if Version(dlt.__version__) < Version("1.31"):
    raise ImportError(f"hog_dagster needs dlt 1.31 or newer, and this is {dlt.__version__}")

_READ_ROWS = 5_000
# dlt's active pipeline is one per process.
_ONE_AT_A_TIME = threading.RLock()


@dataclass(frozen=True)
class _Run:
    """A load about to run: its pipeline, the rows its window and scope hold now, and which rows
    are to leave, as conditions for dlt: those, or those whose key arrives."""

    pipeline: Any
    rows: int
    leaving: str
    same_key: str


class Dlt(Warehouse):
    """A warehouse in one of dlt's destinations.

    Args:
        destination: dlt's name of it ("bigquery", "snowflake", "filesystem"), or a destination
            object such as ``dlt.destinations.postgres(...)``.
        table_format: "delta" for tables on the ``filesystem`` destination; None elsewhere.
        lock_timeout: seconds a load waits for another on this machine.
        work_dir: where dlt keeps the files of a load while it runs; they are removed after it, or
            before the next. Default: a folder of the user's in the temporary directory.
        options: what the destination takes: ``credentials``, ``bucket_url`` and so on. What is
            left out is read from dlt's own configuration (environment, ``.dlt/secrets.toml``).

    The table's schema becomes dlt's dataset. Names are written as dlt writes them (snake case).
    """

    retypes = False

    def __init__(
        self,
        destination: Any,
        *,
        table_format: str | None = None,
        lock_timeout: float = 300.0,
        work_dir: str | Path | None = None,
        **options: Any,
    ) -> None:
        if isinstance(destination, str):
            destination = Destination.from_reference(destination, **options)
        self._destination = destination
        self.kind: str = str(destination.destination_name)
        if self.kind == "filesystem" and table_format != "delta":
            raise ValueError(
                "the filesystem destination needs table_format='delta': plain files cannot be "
                "replaced as a whole"
            )
        self.table_format = table_format
        self.lock_timeout = lock_timeout
        user = os.getuid() if hasattr(os, "getuid") else "user"
        self._work = Path(work_dir or Path(tempfile.gettempdir()) / f"hog_dagster-dlt-{user}")
        self._location: str | None = None

    def __repr__(self) -> str:
        return f"Dlt({self.kind!r})"

    @property
    def location(self) -> str:
        """The destination as dlt describes it, without credentials."""
        if self._location is None:
            with (
                tempfile.TemporaryDirectory(prefix="hog_dagster-dlt-") as folder,
                translated(self.kind, None),
                _ONE_AT_A_TIME,
            ):
                pipeline = self._pipeline("hog_dagster", "hog_dagster_read", Path(folder))
                config = pipeline.destination_client().config  # not connected yet
                place = str(config) if self._is_lake else config.data_location()
            self._location = f"{self.kind}: {place}"
        return self._location

    def stored_name(self, column: str) -> str:
        return dlt.Schema("hog_dagster").naming.normalize_identifier(column).lower()

    def holds(self, declared: str, stored: str) -> bool:
        return stored_as(declared, stored)

    @property
    def _is_lake(self) -> bool:
        return self.table_format is not None

    # -- loads

    def replace(
        self,
        table: Table,
        batches: Iterable[Batch],
        *,
        window: Window | None = None,
        scope: Scope | None = None,
    ) -> LoadResult:
        fixed = check_load(table, window, scope)
        with Stage(table, window=window, scope=fixed) as stage:
            stage.fill(batches)
            doubled = last_of_each_key(table, stage)[0] if table.key else 0
            if doubled:
                raise InvalidRows(
                    f"{self.table_name(table)}: {doubled} keys ({', '.join(table.key)}) stand in "
                    "more than one row; nothing was written"
                )
            refuse_bad_json(table, stage)
            with self._loading(table, window, fixed) as run:
                started = time.monotonic()
                rows = stage.batches()
                hints: dict[str, Any] = {"columns": self._hints(table)}
                how: dict[str, Any] = {"disposition": "merge", "strategy": "delete-insert"}
                if self._is_lake:
                    how["strategy"] = "cdc"
                    rows = with_row_ids(rows)
                    hints["primary_key"] = [ROW_ID]
                how["destination_scope"] = run.leaving
                self._run_pipeline(run.pipeline, table, rows, how, hints)
            return LoadResult(stage.rows, stage.bytes, time.monotonic() - started, run.rows)

    def upsert(
        self, table: Table, batches: Iterable[Batch], *, scope: Scope | None = None
    ) -> LoadResult:
        fixed = check_upsert(table, scope)
        with Stage(table, scope=fixed) as stage:
            stage.fill(batches)
            refuse_bad_json(table, stage)
            _, older = last_of_each_key(table, stage)
            with self._loading(table, None, {}) as run:
                started = time.monotonic()
                how = {"disposition": "merge", "strategy": "upsert"}
                if not self._is_lake:
                    # dlt remembers the scope of the load before, so this one states its own.
                    how["strategy"] = "delete-insert"
                    how["destination_scope"] = run.same_key
                hints = {"columns": self._hints(table), "primary_key": list(table.key)}
                rows = without(stage.batches(), older)
                rows = with_row_ids(rows) if self._is_lake else rows
                self._run_pipeline(run.pipeline, table, rows, how, hints)
                loaded = stage.rows - len(older)
                with run.pipeline.destination_client() as client:
                    replaced = run.rows + loaded - self._count(client, table, None, {})
            return LoadResult(loaded, stage.bytes, time.monotonic() - started, replaced)

    def fill(
        self, table: Table, column: str, *, by: str, values: Mapping[str, str], scope: Scope
    ) -> int:
        if self._is_lake or not values:
            return 0
        fixed = check_load(table, None, scope)
        with self._client(table.schema, table) as client:
            stored = self._stored(client, table)
            if stored is None or column not in {one.name for one in stored}:
                return 0
            statements = statements_of(client, table, {one.name: one.type for one in stored})
            empty = self._count(client, table, None, {**fixed, column: None, by: list(values)})
            update = statements.fill(column, by, values, fixed)
            with client.sql_client.begin_transaction():
                client.sql_client.execute_sql(as_text(update.sql, client))
            return empty

    def _hints(self, table: Table) -> dict[str, Any]:
        by_alchemy = self._destination.destination_type.endswith("sqlalchemy")
        return column_hints(table, json_as_text=by_alchemy)

    def _run_pipeline(
        self,
        pipeline: Any,
        table: Table,
        rows: Iterator[pa.RecordBatch],
        how: dict[str, Any],
        hints: dict[str, Any],
    ) -> None:
        schema = table.arrow_schema
        if self._is_lake:
            schema = schema.append(pa.field(ROW_ID, pa.string()))

        def source() -> Iterator[pa.Table]:
            yield from arrow_tables(schema, rows)

        hints |= {"write_disposition": how, "table_format": self.table_format}
        resource: Any = dlt.resource(source, name=table.name, **hints)
        pipeline.run(
            resource,
            schema=dlt.Schema(schema_name(table)),
            loader_file_format=file_format(pipeline.destination),
        )

    # -- reads

    @contextmanager
    def _opened(self, table: Table) -> Iterator[OpenTable | None]:
        with self._client(table.schema, table) as client:
            yield self._open(client, table)

    def _open(self, client: Any, table: Table) -> OpenTable | None:
        stored = self._stored(client, table)
        if stored is None:
            return None
        statements = statements_of(client, table, {c.name: c.type for c in stored})
        if self._is_lake:
            return open_delta(delta_table(client, table), statements)

        def rows(statement: Statement) -> list[Sequence[Any]]:
            with client.sql_client.execute_query(as_text(statement.sql, client)) as cursor:
                return list(cursor.fetchall())

        def batches(query: Statement, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
            with client.sql_client.execute_query(as_text(query.sql, client)) as cursor:
                while rows := cursor.fetchmany(_READ_ROWS):
                    yield rows_to_batch(table, names, rows)

        def terms(names: Sequence[str]) -> list[Any]:
            return [statements.term(name) for name in names]

        return OpenTable(statements, rows, terms, batches)

    def _count(
        self, client: Any, table: Table, window: Window | None, scope: Mapping[str, Any]
    ) -> int:
        """How many rows there are, while a load is going on."""
        there = self._open(client, table)
        return int(there.rows(there.statements.count(window, scope))[0][0]) if there else 0

    def _missing(self, table: Table) -> TableMissing:
        return missing(self.table_name(table), self.kind)

    def read_named(self, path: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        if self._is_lake:
            return self.query(named(LAKE, path, columns))
        with self._client("hog_dagster") as client:
            dialect = dialect_of(client)
        return self.query(named(dialect, path, columns))

    def describe(self, table: Table) -> list[Column] | None:
        with self._client(table.schema, table) as client:
            return self._stored(client, table)

    def query(
        self, statement: str, params: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> pa.Table:
        if statement.lstrip(" (\n\t").split(maxsplit=1)[0].upper() not in ("SELECT", "WITH"):
            raise InvalidQuery("query() only reads: begin with SELECT or WITH")
        if self._is_lake:
            return query_lake(self.kind, self._client, statement, params)
        return query_sql(self.kind, self._client, statement, params)

    def _stored(self, client: Any, table: Table) -> list[Column] | None:
        """The destination's own columns of the table; None when it has no such table."""
        if self._is_lake:
            return delta_columns(client, table)
        if not client.is_storage_initialized():
            return None
        ((_, columns),) = client.get_storage_tables([stored_name(client, table.name)])
        if not columns:
            return None
        return [stored_column(name, hints) for name, hints in columns.items()]

    # -- pipelines

    def _pipeline(self, dataset: str, name: str, folder: Path) -> Any:
        return dlt.pipeline(
            name, pipelines_dir=str(folder), destination=self._destination, dataset_name=dataset
        )

    @contextmanager
    def _loading(
        self, table: Table, window: Window | None, scope: Mapping[str, Any]
    ) -> Iterator["_Run"]:
        """A pipeline for one load, in an empty folder, while no other load runs here.

        dlt keeps unfinished loads and would finish them later, over newer rows; the folder is
        emptied so that a load that was killed is simply gone.
        """
        place = self._place(table)
        with self._turn(place), _ONE_AT_A_TIME, translated(self.kind, table):
            shutil.rmtree(place, ignore_errors=True)
            try:
                pipeline = self._pipeline(table.schema, schema_name(table), place)
                with pipeline.destination_client() as client:
                    stored = self._stored(client, table)
                    physical = {n: stored_column_name(client, n) for n in table.column_names}
                    if len(set(physical.values())) < len(physical):
                        raise WarehouseError(
                            f"{self.table_name(table)}: dlt would give two columns one name: "
                            f"{', '.join(physical.values())}"
                        )
                    refuse_other_types(table, stored or (), physical)
                    rows = self._count(client, table, window, scope)
                    kinds = None if stored is None else {c.name: c.type for c in stored}
                    statements = statements_of(client, table, kinds)
                    leaving = leaving_sql(client, statements, window, scope)
                    same_key = same_key_sql(client, table)
                yield _Run(pipeline, rows, leaving, same_key)
            finally:
                shutil.rmtree(place, ignore_errors=True)

    def _place(self, table: Table | None) -> Path:
        """The folder of a table's loads; of all loads where the destination is a single file."""
        words = self.location
        if self.kind != "duckdb" and table is not None:
            words += f"|{table.schema}|{table.name}"
        return self._work / hashlib.blake2b(words.encode(), digest_size=8).hexdigest()

    @contextmanager
    def _turn(self, place: Path) -> Iterator[None]:
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        with DatabaseLock(place).held(self.lock_timeout):
            yield

    @contextmanager
    def _client(self, dataset: str, table: Table | None = None) -> Iterator[Any]:
        """dlt's client of the destination, for a read."""
        with ExitStack() as held:
            held.enter_context(translated(self.kind, table))
            if self.kind == "duckdb":
                held.enter_context(self._turn(self._place(table)))  # its file takes one process
            folder = held.enter_context(tempfile.TemporaryDirectory(prefix="hog_dagster-dlt-"))
            with _ONE_AT_A_TIME:
                pipeline = self._pipeline(dataset, "hog_dagster_read", Path(folder))
                client = held.enter_context(pipeline.destination_client())
            yield client
