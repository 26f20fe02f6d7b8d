"""The PostgreSQL adapter: binary COPY in one transaction, partitions side by side.

Loads of different windows of a table run at the same time; loads that could touch the same rows
wait for each other, by advisory locks that end with the transaction.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from hog_dagster.warehouse._loading.conform import Batch, Scope
from hog_dagster.warehouse._loading.stage import Stage
from hog_dagster.warehouse._postgres.catalog import (
    advisory_key,
    check_names,
    describe_table,
    prepare,
    sql_type,
    table_ref,
)
from hog_dagster.warehouse._postgres.copy import COPY_END, COPY_START, encode
from hog_dagster.warehouse._postgres.errors import Deadlock, cannot_connect, translate
from hog_dagster.warehouse._postgres.read import as_csv, copy_batches, rows_to_arrow
from hog_dagster.warehouse._sql.conditions import Where, bound, ordering, percent, quote
from hog_dagster.warehouse.base import LoadResult, Warehouse, check_load, selected
from hog_dagster.warehouse.errors import (
    InvalidQuery,
    TableMissing,
    WarehouseBusy,
)
from hog_dagster.warehouse.schema import Column, Table, Window

__all__ = ["Postgres"]

_MOST_DAYS = 62
_NUMBER = "_hog_dagster_number"
_STAGE = '"_hog_dagster_stage"'
_ATTEMPTS = 3

_Load = Callable[[Connection[Any], Stage], tuple[int, int]]
"""Writes the stage within a transaction; returns rows landed and deleted."""


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
        try:
            parts = conninfo_to_dict(self._url)
        except psycopg.Error:
            raise ValueError(
                "the PostgreSQL URL cannot be read; it should look like "
                "postgresql://user:password@host:5432/database"
            ) from None
        host, port = parts.get("host") or "localhost", parts.get("port") or 5432
        self._location = f"postgresql://{host}:{port}/{parts.get('dbname') or ''}"

    def __repr__(self) -> str:
        return f"Postgres({self._location!r})"

    @property
    def location(self) -> str:
        return self._location

    def close(self) -> None:
        """Nothing stays open between calls."""

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
            where = Where.of("%s", table, window, fixed)
            sql = f"DELETE FROM {percent(table_ref(table))}{where.sql}"
            deleted = con.execute(sql.encode(), where.values).rowcount
            stored = {c.name: c.type for c in describe_table(con, table) or ()}
            self._copy(con, table_ref(table), stage, {n: stored[n] for n in table.column_names})
            return stage.rows, deleted

        keys, whole = _lock_keys(table, window), window is None and not fixed
        return self._run(table, batches, window, fixed, load, keys=keys, whole=whole)

    def upsert(
        self, table: Table, batches: Iterable[Batch], *, scope: Scope | None = None
    ) -> LoadResult:
        if not table.key:
            raise ValueError(f"{table.schema}.{table.name} declares no key to upsert by")
        fixed = check_load(table, None, scope)
        check_names(table)

        def load(con: Connection[Any], stage: Stage) -> tuple[int, int]:
            columns = ", ".join(f"{quote(c.name)} {sql_type(c.type)}" for c in table.columns)
            number = f"{_NUMBER} bigint GENERATED ALWAYS AS IDENTITY"
            con.execute(f"CREATE TEMP TABLE {_STAGE} ({columns}, {number}) ON COMMIT DROP".encode())
            self._copy(con, _STAGE, stage, {c.name: c.type for c in table.columns})
            keys = ", ".join(quote(name) for name in table.key)
            same = " AND ".join(f"t.{quote(name)} = s.{quote(name)}" for name in table.key)
            deleted = con.execute(
                f"DELETE FROM {table_ref(table)} t USING {_STAGE} s WHERE {same}".encode()
            ).rowcount
            names = ", ".join(quote(name) for name in table.column_names)
            landed = con.execute(
                f"INSERT INTO {table_ref(table)} ({names}) SELECT DISTINCT ON ({keys}) {names} "
                f"FROM {_STAGE} ORDER BY {keys}, {_NUMBER} DESC".encode()
            ).rowcount
            return landed, deleted

        return self._run(table, batches, None, fixed, load, keys=_lock_keys(table, None))

    def _copy(
        self, con: Connection[Any], target: str, stage: Stage, kinds: Mapping[str, str]
    ) -> None:
        names = ", ".join(quote(name) for name in kinds)
        statement = f"COPY {target} ({names}) FROM STDIN (FORMAT binary)"
        if not stage.rows:
            return
        with con.cursor() as cursor, cursor.copy(statement.encode()) as copy:
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
                with self._connected(table) as con, con.transaction():
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
        con.execute("SELECT set_config('lock_timeout', %s, true)", [f"{milliseconds}ms"])
        function = "pg_advisory_xact_lock" + ("" if keys.exclusive else "_shared")
        con.execute(f"SELECT {function}(%s)".encode(), [keys.table])
        for key in keys.days:
            con.execute("SELECT pg_advisory_xact_lock(%s)", [key])

    def _holder(self, keys: "_LockKeys") -> str | None:
        """Who holds the locks of a load, as the server sees it."""
        with self._connected(None) as con:
            row = con.execute(
                """
                SELECT a.pid, coalesce(a.client_addr::text, 'the server itself')
                FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                WHERE l.locktype = 'advisory' AND l.granted
                  AND (l.classid::bigint << 32) | l.objid::bigint = ANY(%s)
                """,
                [[keys.table, *keys.days]],
            ).fetchone()
        return f"the connection with server process {row[0]} from {row[1]}" if row else None

    # -- reads

    def read_batches(
        self,
        table: Table,
        *,
        columns: Sequence[str] | None = None,
        window: Window | None = None,
        scope: Scope | None = None,
        order_by: str | Sequence[str] | None = None,
        limit: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        names = selected(table, columns)
        where = Where.of("%s", table, window, check_load(table, window, scope))
        tail = percent(ordering(table, order_by, limit))
        with self._connected(table) as con, con.cursor() as cursor:
            stored = describe_table(con, table)
            if stored is None:
                raise TableMissing(
                    f"{self.table_name(table)} is not in {self.location}: nothing has landed in "
                    "it yet. Materialize its asset first"
                )
            have = {column.name for column in stored}
            kinds = {name: table.column(name).type for name in names}
            terms = ", ".join(as_csv(n, k) if n in have else "NULL" for n, k in kinds.items())
            sql = f"SELECT {percent(terms)} FROM {percent(table_ref(table))}{where.sql}{tail}"
            yield from copy_batches(cursor, sql, where.values, table, names)

    def count(
        self, table: Table, *, window: Window | None = None, scope: Scope | None = None
    ) -> int:
        where = Where.of("%s", table, window, check_load(table, window, scope))
        with self._connected(table) as con:
            if describe_table(con, table) is None:
                return 0
            sql = f"SELECT count(*) FROM {percent(table_ref(table))}{where.sql}"
            row = con.execute(sql.encode(), where.values).fetchone()
            return int(row[0]) if row else 0

    def count_by_day(
        self, table: Table, windows: Sequence[Window], *, scope: Scope | None = None
    ) -> dict[Window, int]:
        counts = dict.fromkeys(windows, 0)
        if not windows:
            return counts
        fixed = check_load(table, windows[0], scope)
        # One pass whatever the number of windows: count between all their ends, then add up.
        ends = sorted({end for window in windows for end in (window.start, window.end)})
        time_column = table.time_column or ""
        naive = table.column(time_column).type == "timestamp"
        where = Where.of("%s", table, Window(ends[0], ends[-1]), fixed)
        sql = (
            f"SELECT width_bucket({where.quoted(time_column)}, %s), count(*) "
            f"FROM {percent(table_ref(table))}{where.sql} GROUP BY 1"
        )
        with self._connected(table) as con:
            if describe_table(con, table) is None:
                return counts
            values = [[bound(end, naive) for end in ends], *where.values]
            buckets = dict(con.execute(sql.encode(), values).fetchall())
        for window in counts:
            first, last = ends.index(window.start), ends.index(window.end)
            counts[window] = sum(buckets.get(i + 1, 0) for i in range(first, last))
        return counts

    def describe(self, table: Table) -> list[Column] | None:
        with self._connected(table) as con:
            return describe_table(con, table)

    def query(self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> pa.Table:
        with self._connected(None) as con:
            con.execute("SET default_transaction_read_only = on")
            try:
                with con.cursor() as cursor:
                    cursor.execute(sql.encode(), params)
                    if cursor.description is None:
                        raise InvalidQuery("the statement returns no rows; query() only reads")
                    return rows_to_arrow(cursor)
            except psycopg.OperationalError:
                raise
            except psycopg.Error as error:
                raise InvalidQuery(f"PostgreSQL refuses the query: {error}") from error

    # -- the connection

    @contextmanager
    def _connected(self, table: Table | None) -> Iterator[Connection[Any]]:
        """A connection of its own for one operation, its errors translated."""
        try:
            con = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=max(2, int(self.connect_timeout)),
                application_name="hog_dagster",
            )
        except psycopg.Error as error:
            raise cannot_connect(self.location, error) from error
        place = f"{self.table_name(table)} in {self.location}" if table else self.location
        try:
            with con:
                con.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
                con.execute("SET TIME ZONE 'UTC'")
                yield con
        except psycopg.Error as error:
            key = table.key if table else ()
            raise translate(place, error, key=key, lock_timeout=self.lock_timeout) from error


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
