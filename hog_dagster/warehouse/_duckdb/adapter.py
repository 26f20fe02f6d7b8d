"""The DuckDB adapter: one file, one writer at a time, readers in between.

Facts of DuckDB (1.4 to 2.0) it is built on: a process that writes keeps all others out of the file,
readers too; DDL, DELETE and INSERT share one transaction and roll back together; a primary key
makes loads four times slower and the file three times larger, so keys are checked by query instead.
"""

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from hog_dagster.warehouse._duckdb.catalog import (
    affected,
    arrow_reader,
    describe_table,
    held_elsewhere,
    holder_of,
    prepare,
    refuse_doubles,
    short_of_memory,
    stored_types,
    translated,
    unreadable,
)
from hog_dagster.warehouse._loading.conform import Batch, Scope
from hog_dagster.warehouse._loading.locks import DatabaseLock, Patience
from hog_dagster.warehouse._loading.shared import Shared
from hog_dagster.warehouse._loading.stage import Stage
from hog_dagster.warehouse._sql import Place, Statement, Statements, named
from hog_dagster.warehouse._sql import duckdb as sql
from hog_dagster.warehouse.base import (
    LoadResult,
    OpenTable,
    Warehouse,
    check_load,
    check_upsert,
    local_key,
)
from hog_dagster.warehouse.errors import (
    InvalidQuery,
    TableMissing,
    WarehouseBusy,
    WarehouseUnreadable,
    without_values,
)
from hog_dagster.warehouse.schema import Column, Table, Window

_SOURCE = "_hog_dagster_stage"
_NUMBER = "_hog_dagster_number"
# A load is one stream, and rows are buffered per thread until 122,880 make a row group: a second
# thread makes it no faster, only larger. Less memory than two groups costs a third more time
# (measured at 256 bytes a row), more than that saves nothing.
_GROUP_ROWS = 122_880
_LEAST_LOAD_MB, _MOST_LOAD_MB = 32, 256
_LOAD_THREADS = 1


_Load = Callable[[duckdb.DuckDBPyConnection], tuple[int, int]]
"""Does its work within a transaction; returns rows loaded and deleted."""


class DuckDB(Warehouse):
    """A warehouse in a DuckDB file.

    Args:
        path: the file; made, with its folder, at the first load.
        lock_timeout: seconds a load waits for other writers and readers to leave the file.
        read_timeout: seconds a read waits for a writer to leave the file.
        memory_limit: what DuckDB may use for reads, upserts and the check of keys; what needs
            more goes to disk. Rows are loaded with 32 to 256 MB, by how long they are, whatever
            their number.
        threads: threads DuckDB may use; its own default when None. Loads take one.
        spill_dir: where rows beyond 8 MB wait to be loaded; the system's temporary folder
            when None.
        on_wait: takes a sentence when others have held the file for 5 seconds, and whenever that
            time has doubled.

    The file is open only while a load or a read goes on, so that other processes get their turn.
    """

    kind = "duckdb"

    def __init__(
        self,
        path: str | Path,
        *,
        lock_timeout: float = 300.0,
        read_timeout: float = 60.0,
        memory_limit: str = "512MB",
        threads: int | None = None,
        spill_dir: str | Path | None = None,
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        if str(path).startswith((":memory:", "md:")) or not str(path):
            raise ValueError(f"{path!r} is not a file; give the path of a DuckDB file")
        self.path: Path = Path(path).expanduser().absolute()
        self.lock_timeout = lock_timeout
        self.read_timeout = read_timeout
        self.memory_limit = memory_limit
        self.threads = threads
        self.spill_dir = spill_dir
        self.on_wait = on_wait
        self._lock = DatabaseLock(self.path)
        self._described: set[Table] = set()
        self._shared = Shared()

    @property
    def location(self) -> str:
        return str(self.path)

    def stored_name(self, column: str) -> str:
        return column.lower()

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
        with Stage(table, window=window, scope=fixed, directory=self.spill_dir) as stage:
            stage.fill(batches)

            def load(con: duckdb.DuckDBPyConnection) -> tuple[int, int]:
                statements = Statements(sql.DIALECT, table)
                delete = statements.delete(window, fixed)
                con.execute(delete.sql, delete.values)
                deleted = affected(con)
                if stage.rows:
                    con.register(_SOURCE, stage.reader())
                    con.execute(sql.insert(table, _SOURCE))
                    con.unregister(_SOURCE)
                if stage.rows and table.key:
                    self._roomy(con)
                    local = local_key(table, window, fixed)
                    where = (window, fixed) if local else (None, {})
                    refuse_doubles(con, table, statements.doubled(*where))
                return stage.rows, deleted

            return self._run(table, stage, load, whole=window is None and not fixed)

    def upsert(
        self, table: Table, batches: Iterable[Batch], *, scope: Scope | None = None
    ) -> LoadResult:
        fixed = check_upsert(table, scope)
        with Stage(table, scope=fixed, directory=self.spill_dir) as stage:
            stage.fill(batches)

            def load(con: duckdb.DuckDBPyConnection) -> tuple[int, int]:
                if not stage.rows:
                    return 0, 0
                self._roomy(con)
                con.register(_SOURCE, stage.reader(number=_NUMBER))
                con.execute(sql.keep(_SOURCE))
                con.unregister(_SOURCE)
                statements = Statements(sql.DIALECT, table)
                con.execute(statements.take_replaced(f"{_SOURCE}_kept"))
                deleted = affected(con)
                con.execute(statements.insert_last(f"{_SOURCE}_kept", _NUMBER))
                return affected(con), deleted

            return self._run(table, stage, load)

    def fill(
        self, table: Table, column: str, *, by: str, values: Mapping[str, str], scope: Scope
    ) -> int:
        if not values:
            return 0
        fixed = check_load(table, None, scope)

        def load(con: duckdb.DuckDBPyConnection) -> tuple[int, int]:
            self._roomy(con)
            update = Statements(sql.DIALECT, table).fill(column, by, values, fixed)
            con.execute(update.sql, update.values)
            return affected(con), 0

        with Stage(table, directory=self.spill_dir) as stage:
            return self._run(table, stage, load).rows

    def _run(self, table: Table, stage: Stage, load: _Load, *, whole: bool = False) -> LoadResult:
        """Run a load in a transaction of its own; with more memory should the little not do.

        ``whole`` says that it replaces all rows of the table.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseUnreadable(f"cannot make the folder of {self.path}: {error}") from error
        # What the rows took on their way is DuckDB's to use: it has memory of its own.
        pa.default_memory_pool().release_unused()
        held = self._shared.writes  # Then nobody else has the file.
        lock = nullcontext() if held else self._lock.held(self.lock_timeout, say=self.on_wait)
        with lock, translated(self.location, table):
            started = time.monotonic()
            try:
                memory = _load_memory(stage)
                rows, deleted = self._transact(table, load, whole=whole, memory=memory)
            except duckdb.Error as error:
                if not short_of_memory(error):
                    raise
                memory = self.memory_limit
                rows, deleted = self._transact(table, load, whole=whole, memory=memory)
            return LoadResult(rows, stage.bytes, time.monotonic() - started, deleted)

    def _transact(self, table: Table, load: _Load, *, whole: bool, memory: str) -> tuple[int, int]:
        shared, con = self._shared, self._shared.con if self._shared.writes else None
        if con is None:
            con = self._connect(read_only=False, timeout=self.lock_timeout, memory=memory)
        try:
            con.execute(sql.BEGIN)
            try:
                prepare(con, table, described=table in self._described, whole=whole)
                done = load(con)
                con.execute(sql.COMMIT)
            except BaseException:
                with suppress(duckdb.Error):
                    con.execute(sql.ROLLBACK)
                raise
            self._described.add(table)
            if shared.keep and shared.con is None:
                self._roomy(con)
                con.execute(sql.threads(self.threads or os.cpu_count() or 1))
                shared.con, shared.writes = con, True
            return done
        finally:
            if con is not shared.con:
                con.close()

    def _roomy(self, con: duckdb.DuckDBPyConnection) -> None:
        """Lift the limit of a load's memory, for work that is not a stream."""
        con.execute(sql.memory_limit(self.memory_limit))

    # -- reads

    @contextmanager
    def _opened(self, table: Table) -> Iterator[OpenTable | None]:
        with self._reading(table) as con:
            stored = stored_types(con, table) if con is not None else None
            if con is None or stored is None:
                yield None
                return
            statements = Statements(sql.DIALECT, table, Place.of(table, stored))

            def terms(names: Sequence[str]) -> list[Any]:
                return [statements.term(one, cast=True).as_(one, quoted=True) for one in names]

            def batches(query: Statement, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
                schema = table.arrow_schema_of(names)
                for batch in arrow_reader(con.sql(query.sql, params=query.values)):
                    yield batch.cast(schema)

            def rows(one: Statement) -> Sequence[Sequence[Any]]:
                return con.execute(one.sql, one.values).fetchall()

            yield OpenTable(statements, rows, terms, batches)

    def read_named(self, path: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        return self.query(named(sql.DIALECT, path, columns))

    def describe(self, table: Table) -> list[Column] | None:
        with self._reading(table) as con:
            return None if con is None else describe_table(con, table)

    def query(
        self, statement: str, params: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> pa.Table:
        with self._reading(None) as con:
            if con is None:
                raise TableMissing(f"{self.location} does not exist yet: nothing has been loaded")
            try:
                if self._shared.writes and any(
                    one.type != duckdb.StatementType.SELECT
                    for one in con.extract_statements(statement)
                ):
                    raise InvalidQuery("the statement may write; query() only reads")
                relation = con.sql(statement, params=params)
                if relation is None:
                    raise InvalidQuery("the statement returns no rows; query() only reads")
                return relation.to_arrow_table()
            except duckdb.Error as error:
                failure = InvalidQuery(f"DuckDB refuses the query: {without_values(str(error))}")
            raise failure

    # -- opening the file

    def reading(self) -> AbstractContextManager[None]:
        return self._shared.reading(self._open_to_read)

    def loading(self) -> AbstractContextManager[None]:
        return self._shared.loading()

    @contextmanager
    def _reading(self, table: Table | None) -> Iterator[duckdb.DuckDBPyConnection | None]:
        """A read-only connection, or the shared one; None when there is no file yet."""
        if self._shared.con is not None:
            with translated(self.location, table):
                yield self._shared.con
            return
        con = self._open_to_read()
        try:
            if con is None:
                yield None
            else:
                with translated(self.location, table):
                    yield con
        finally:
            if con is not None:
                con.close()

    def _open_to_read(self) -> duckdb.DuckDBPyConnection | None:
        if not self.path.exists():
            return None
        # Readers queue with the writers, for the opening alone: a row of writers, each opening the
        # file as the last one closes it, would otherwise keep them out for good.
        # No lock file can be made on a read-only disk, where nobody writes either.
        with suppress(OSError), self._lock.held(self.read_timeout, note=False, say=self.on_wait):
            return self._connect(read_only=True, timeout=self.read_timeout)
        return self._connect(read_only=True, timeout=self.read_timeout)

    def _connect(
        self, *, read_only: bool, timeout: float, memory: str | None = None
    ) -> duckdb.DuckDBPyConnection:
        """Open the file, waiting while others (DuckDB's own lock tells) have it open."""
        config: dict[str, Any] = {
            "memory_limit": memory or self.memory_limit,
            "preserve_insertion_order": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        if not read_only:
            config["threads"] = str(_LOAD_THREADS)
        elif self.threads:
            config["threads"] = str(self.threads)
        deadline = time.monotonic() + timeout
        pause = 0.01
        holders = ""
        patience = Patience(lambda: f"{self.path} is held open by {holders}", self.on_wait)
        while True:
            try:
                con = duckdb.connect(str(self.path), read_only=read_only, config=config)
                con.execute(sql.SETTINGS)
                return con
            except duckdb.Error as error:
                if not held_elsewhere(error):
                    raise unreadable(self.path, error) from None
                if time.monotonic() > deadline:
                    raise WarehouseBusy(
                        f"{self.path} is held open by another connection; waited {timeout:g} s. "
                        f"Close it and try again. DuckDB says: {error}",
                        holder=holder_of(error),
                    ) from None
                holders = holder_of(error) or "another connection"
            patience.look()
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 1.5, 0.25)


def _load_memory(stage: Stage) -> str:
    """What DuckDB may use for a load: two row groups of such rows."""
    group = _GROUP_ROWS * stage.bytes // max(stage.rows, 1)
    return f"{min(max(2 * group // 2**20, _LEAST_LOAD_MB), _MOST_LOAD_MB)}MB"
