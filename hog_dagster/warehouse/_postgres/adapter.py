"""The PostgreSQL adapter: binary COPY in one transaction, partitions side by side.

Loads of different windows of a table run at the same time; loads that could touch the same rows
wait for each other, by advisory locks that end with the transaction.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from hog_dagster.warehouse._loading.conform import Batch, Scope
from hog_dagster.warehouse._loading.shared import Shared
from hog_dagster.warehouse._loading.stage import Stage
from hog_dagster.warehouse._postgres.catalog import (
    NUMERIC,
    advisory_key,
    check_names,
    describe_table,
    numeric_types,
    prepare,
    takes,
    wire_types,
)
from hog_dagster.warehouse._postgres.copy import COPY_END, COPY_START, encode
from hog_dagster.warehouse._postgres.errors import Deadlock, cannot_connect, said, translate
from hog_dagster.warehouse._postgres.read import copy_batches, read_unusual_as_text, rows_to_arrow
from hog_dagster.warehouse._sql import Place, Statement, Statements, named
from hog_dagster.warehouse._sql import postgres as sql
from hog_dagster.warehouse._sql.definitions import Definitions
from hog_dagster.warehouse.base import (
    LoadResult,
    OpenTable,
    Warehouse,
    check_load,
    check_upsert,
)
from hog_dagster.warehouse.errors import (
    InvalidQuery,
    WarehouseBusy,
    WarehouseError,
    raise_plainly,
)
from hog_dagster.warehouse.schema import Column, Table, Window

_MOST_DAYS = 62
_NUMBER = "_hog_dagster_number"
_STAGE = "_hog_dagster_stage"
_ATTEMPTS = 3

_Load = Callable[[Connection[Any], Stage], tuple[int, int]]
"""Writes the stage within a transaction; returns rows loaded and deleted."""


class Postgres(Warehouse):
    """A warehouse in a PostgreSQL database (12 or newer). Needs the extra ``postgres``.

    Args:
        url: ``postgresql://user:password@host:5432/database``, or libpq's own form. The role
            needs CREATE on the database (or on an existing schema) and TEMPORARY for upserts.
        reader_role: a role that is granted SELECT on every table loaded, and USAGE on its schema.
        lock_timeout: seconds a load waits for another that touches the same rows.
        connect_timeout: seconds to wait for the server.
        spill_dir: where rows beyond 8 MB wait to be loaded; the system's temporary folder
            when None.
    """

    kind = "postgres"

    def __init__(
        self,
        url: str,
        *,
        reader_role: str | None = None,
        lock_timeout: float = 300.0,
        connect_timeout: float = 10.0,
        spill_dir: str | None = None,
    ) -> None:
        # SQLAlchemy's form names a driver; libpq knows none.
        scheme, separator, rest = url.partition("://")
        self._url = scheme.split("+")[0] + separator + rest
        self.reader_role = reader_role
        self.lock_timeout = lock_timeout
        self.connect_timeout = connect_timeout
        self.spill_dir = spill_dir
        self._shared = Shared()
        try:
            parts = conninfo_to_dict(self._url)
        except psycopg.Error:
            raise ValueError(
                "the PostgreSQL URL cannot be read; it should look like "
                "postgresql://user:password@host:5432/database"
            ) from None
        if "@" in str(parts.get("host") or ""):
            # A bare @ in the password: what follows it would be shown as the host.
            raise ValueError(
                "the PostgreSQL URL cannot be read; in user and password write @ as %40, / as %2F, "
                ": as %3A, ? as %3F, # as %23 and % as %25"
            )
        host, port = parts.get("host") or "localhost", parts.get("port") or 5432
        self._location = f"postgresql://{host}:{port}/{parts.get('dbname') or ''}"

    def __repr__(self) -> str:
        return f"Postgres({self._location!r})"

    @property
    def location(self) -> str:
        return self._location

    def holds(self, declared: str, stored: str) -> bool:
        return declared == stored or takes(declared, stored)

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
        check_names(table)

        def load(con: Connection[Any], stage: Stage) -> tuple[int, int]:
            delete = Statements(sql.DIALECT, table).delete(window, fixed)
            deleted = con.execute(delete.sql.encode(), delete.values).rowcount
            kinds = wire_types(con, table)
            self._copy(con, sql.table_ref(table), stage, {n: kinds[n] for n in table.column_names})
            return stage.rows, deleted

        keys, whole = _lock_keys(table, window), window is None and not fixed
        return self._run(table, batches, window, fixed, load, keys=keys, whole=whole)

    def upsert(
        self, table: Table, batches: Iterable[Batch], *, scope: Scope | None = None
    ) -> LoadResult:
        fixed = check_upsert(table, scope)
        check_names(table)

        def load(con: Connection[Any], stage: Stage) -> tuple[int, int]:
            create = Definitions(sql.PLAIN, table).create_temporary(_STAGE, _NUMBER)
            con.execute(create.encode())
            self._copy(con, _STAGE, stage, {c.name: c.type for c in table.columns})
            statements = Statements(sql.PLAIN, table)
            deleted = con.execute(statements.take_replaced(_STAGE).encode()).rowcount
            loaded = con.execute(statements.insert_last(_STAGE, _NUMBER).encode()).rowcount
            return loaded, deleted

        return self._run(table, batches, None, fixed, load, keys=_lock_keys(table, None))

    def fill(
        self, table: Table, column: str, *, by: str, values: Mapping[str, str], scope: Scope
    ) -> int:
        if not values:
            return 0
        fixed = check_load(table, None, scope)
        check_names(table)
        changed = 0

        def load(con: Connection[Any], stage: Stage) -> tuple[int, int]:
            nonlocal changed
            update = Statements(sql.DIALECT, table).fill(column, by, values, fixed)
            changed = con.execute(update.sql.encode(), update.values).rowcount
            return stage.rows, 0

        self._run(table, [], None, fixed, load, keys=_lock_keys(table, None))
        return changed

    def _copy(
        self, con: Connection[Any], target: str, stage: Stage, kinds: Mapping[str, str]
    ) -> None:
        if not stage.rows:
            return
        statement = sql.copy_from(target, list(kinds)).encode()
        with con.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(COPY_START)
            for batch in stage.batches():
                copy.write(encode(batch, kinds))
            copy.write(COPY_END)

    def _run(
        self,
        table: Table,
        batches: Iterable[Batch],
        window: Window | None,
        scope: Mapping[str, Any],
        load: _Load,
        *,
        keys: "_LockKeys",
        whole: bool = False,
    ) -> LoadResult:
        """Collect the rows, then run the load in one transaction (again after a deadlock).

        ``whole`` says that it replaces all rows of the table.
        """
        with Stage(table, window=window, scope=scope, directory=self.spill_dir) as stage:
            stage.fill(batches)
            started = time.monotonic()
            rows, deleted = self._transact(table, stage, load, keys, whole=whole)
            return LoadResult(rows, stage.bytes, time.monotonic() - started, deleted)

    def _transact(
        self, table: Table, stage: Stage, load: _Load, keys: "_LockKeys", *, whole: bool
    ) -> tuple[int, int]:
        attempt = 1
        while True:
            try:
                with self._connected(table, writes=True) as con:
                    self._lock(con, keys)
                    prepare(con, table, self.reader_role, whole=whole)
                    return load(con, stage)
            except Deadlock:
                if attempt == _ATTEMPTS:
                    raise
                attempt += 1
            except WarehouseBusy as busy:
                holder = self._holder(keys)
                if holder is None:
                    raise
                raise WarehouseBusy(f"{busy}. It is held by {holder}", holder=holder) from None

    def _lock(self, con: Connection[Any], keys: "_LockKeys") -> None:
        milliseconds = max(1, int(self.lock_timeout * 1000))
        con.execute(sql.LOCK_TIMEOUT.encode(), [f"{milliseconds}ms"])
        con.execute(sql.lock(shared=not keys.exclusive).encode(), [keys.table])
        for key in keys.days:
            con.execute(sql.lock(shared=False).encode(), [key])

    def _holder(self, keys: "_LockKeys") -> str | None:
        """Who holds the locks of a load, as the server sees it."""
        with self._connected(None) as con:
            row = con.execute(sql.HOLDER.encode(), [[keys.table, *keys.days]]).fetchone()
        return f"the connection with server process {row[0]} from {row[1]}" if row else None

    # -- reads

    @contextmanager
    def _opened(self, table: Table) -> Iterator[OpenTable | None]:
        with self._connected(table) as con:
            columns = describe_table(con, table)
            if columns is None:
                yield None
                return
            stored = {column.name: column.type for column in columns}
            statements = Statements(sql.DIALECT, table, Place.of(table, stored))

            def terms(names: Sequence[str]) -> list[Any]:
                return [sql.wire(statements, name) for name in names]

            def batches(query: Statement, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
                with con.cursor() as cursor:
                    copying = Statement(sql.copy_to(query.sql), query.values)
                    yield from copy_batches(cursor, copying, table, names)

            def rows(one: Statement) -> Sequence[Sequence[Any]]:
                return con.execute(one.sql.encode(), one.values).fetchall()

            yield OpenTable(statements, rows, terms, batches)

    def read_named(self, path: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        return self.query(named(sql.PLAIN, path, columns))

    def describe(self, table: Table) -> list[Column] | None:
        with self._connected(table) as con:
            return describe_table(con, table)

    def readable(self, table: Table, stored: Sequence[Column]) -> list[Column]:
        columns = super().readable(table, stored)
        numeric = [column.name for column in stored if column.type == NUMERIC]
        if not numeric:
            return columns
        with self._connected(table) as con:
            kinds = numeric_types(con, table, numeric)
        return [replace(one, type=kinds.get(one.name, one.type)) for one in columns]

    def query(
        self, statement: str, params: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> pa.Table:
        with self._connected(None) as con:
            try:
                with con.cursor() as cursor:
                    read_unusual_as_text(cursor)
                    cursor.execute(statement.encode(), params)
                    if cursor.description is None:
                        raise InvalidQuery("the statement returns no rows; query() only reads")
                    return rows_to_arrow(cursor)
            except (
                psycopg.OperationalError,
                psycopg.errors.UntranslatableCharacter,
                psycopg.errors.CharacterNotInRepertoire,
            ):
                raise
            except psycopg.Error as error:
                failure = InvalidQuery(f"PostgreSQL refuses the query: {said(error)}")
            raise failure

    # -- the connection

    def reading(self) -> AbstractContextManager[None]:
        return self._shared.reading(self._connect)

    def loading(self) -> AbstractContextManager[None]:
        return self._shared.loading()

    @contextmanager
    def _connected(self, table: Table | None, *, writes: bool = False) -> Iterator[Connection[Any]]:
        """One transaction for one operation, its errors translated, on a connection of its own or
        the shared one.

        Nothing is set for longer than the transaction: behind a pooler, the connection to the
        server is somebody else's at its end.
        """
        place = f"{self.table_name(table)} in {self.location}" if table else self.location
        con = self._connect() if self._shared.con is None else self._shared.con
        try:
            con.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            con.read_only = not writes
            with con.transaction():
                con.execute(sql.SETTINGS.encode())
                yield con
            if writes and self._shared.keep:
                self._shared.con = con
        except UnicodeDecodeError:
            failure = WarehouseError(
                f"{place}: there is text that is not UTF-8, in a database that says nothing of its "
                "encoding (SQL_ASCII). Only a database that was made with ENCODING 'UTF8' can be "
                "read safely"
            )
        except psycopg.Error as error:
            key = table.key if table else ()
            failure = translate(place, error, key=key, lock_timeout=self.lock_timeout)
        else:
            return
        finally:
            if con is not self._shared.con:
                con.close()
        raise_plainly(failure)

    def _connect(self) -> Connection[Any]:
        try:
            return psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=max(2, int(self.connect_timeout)),
                application_name="hog_dagster",
                # Statements are written in UTF-8, whatever the database's or the user's settings.
                client_encoding="utf8",
                # A statement prepared on one connection of a pooler is not there on the next.
                prepare_threshold=None,
            )
        except psycopg.Error as error:
            raise cannot_connect(self.location, error) from None


@dataclass(frozen=True)
class _LockKeys:
    table: int
    days: tuple[int, ...] = ()

    @property
    def exclusive(self) -> bool:
        """Whether the load may touch any row of the table."""
        return not self.days


def _lock_keys(table: Table, window: Window | None) -> _LockKeys:
    """The advisory locks of a load: the days of its window, or the table as a whole.

    Windows that overlap share a day, so their loads take turns; others run side by side.
    """
    name = f"{table.schema}.{table.name}"
    whole = advisory_key("table", name)
    if window is None:
        return _LockKeys(whole)
    first = window.start.date()
    days = (window.end - timedelta(microseconds=1)).date() - first
    if days.days >= _MOST_DAYS:
        return _LockKeys(whole)
    dates = [first + timedelta(days=n) for n in range(days.days + 1)]
    # In the order of their dates, so that two loads never wait for each other in a circle.
    return _LockKeys(whole, tuple(advisory_key("day", name, day.isoformat()) for day in dates))
