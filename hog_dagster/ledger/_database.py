"""The ledger's database: an engine for SQLite or PostgreSQL that is safe to share, short
transactions, the shared clock.

Facts: SQLite takes one writer at a time, so every writing transaction here begins IMMEDIATE (a
transaction that begins as a reader and then writes can fail at once, however long the busy
timeout); WAL lets readers go on beside a writer; `synchronous=FULL` keeps a committed row through a
power cut, which the rule "written before it is sent" needs. On PostgreSQL a writer holds the
ledger's one row of `hog_dagster_ledger`, so writers take turns there as well. The errors of drivers
repeat values of rows.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from hog_dagster._shared.clock import SYSTEM_CLOCK, Clock
from hog_dagster.ledger._errors import LedgerError, LedgerUnavailable
from hog_dagster.ledger._migrations import VERSION, id_if_newest, upgrade
from hog_dagster.ledger._tables import META
from hog_dagster.ledger._urls import location_of, read_url

#: Seconds a writer waits for the writer before it.
BUSY_SECONDS = 60.0
#: Any number, the same in every process: serialises the making of the tables on PostgreSQL.
SETUP_LOCK = 7_040_621_173

# Statements of every transaction, put together once.
_WHICH = sa.select(META.c.ledger_id, META.c.version).with_for_update()
_COUNT = sa.update(META).values(sequence=META.c.sequence + sa.bindparam("number", type_=sa.Integer))


class Database:
    """The engine behind a ledger.

    Args:
        url: what `read_url` reads; None for a database in the memory of this process.
        clock: the present of a SQLite ledger; of a PostgreSQL one too, unless it is the machine's.
    """

    def __init__(self, url: str | Path | None, clock: Clock = SYSTEM_CLOCK) -> None:
        self.url: sa.URL = sa.URL.create("sqlite") if url is None else read_url(url)
        self.in_memory: bool = url is None
        self.clock = clock
        self.is_sqlite: bool = self.url.get_backend_name() == "sqlite"
        self._id = ""
        self._open: Connection | None = None
        self._engine = self._make_engine()

    @property
    def location(self) -> str:
        """Where the ledger is, without a password."""
        return "the memory of this process" if self.in_memory else location_of(self.url)

    @property
    def id(self) -> str:
        """The ledger's own id, made with its tables."""
        with self._plain_errors():
            self._set_up()
        return self._id

    @property
    def is_made(self) -> bool:
        """Whether its tables are there; none are made by asking.

        Raises:
            LedgerUnavailable: the database cannot be reached.
        """
        if self._id:
            return True
        if self.in_memory or (self.is_sqlite and not Path(str(self.url.database)).exists()):
            return False
        with self._plain_errors(), self._engine.connect() as connection:
            return sa.inspect(connection).has_table(META.name)

    @property
    def on_server_clock(self) -> bool:
        """Whether the present is asked of the database."""
        return not self.is_sqlite and self.clock is SYSTEM_CLOCK

    def _make_engine(self) -> Engine:
        if not self.is_sqlite:
            return self._make_postgres_engine()
        arguments: dict[str, Any] = {"timeout": BUSY_SECONDS}
        pool: type[sa.pool.Pool] = sa.pool.NullPool
        if self.in_memory:
            arguments, pool = {"check_same_thread": False}, sa.pool.StaticPool
        engine = sa.create_engine(
            self.url, poolclass=pool, hide_parameters=True, connect_args=arguments
        )

        @event.listens_for(engine, "connect")
        def _set_up(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # SQLAlchemy begins transactions, not the driver
            connection.execute("PRAGMA synchronous=FULL")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            reading = connection.get_execution_options().get("hog_dagster_read", False)
            connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

        return engine

    def _make_postgres_engine(self) -> Engine:
        options: dict[str, Any] = {
            "connect_timeout": 20,
            "application_name": "hog_dagster ledger",
            "client_encoding": "utf8",  # whatever the database's or the user's settings
        }
        if self.url.get_driver_name() == "psycopg":
            # Behind a pooler, what is prepared on one connection is not there on the next.
            options["prepare_threshold"] = None
        engine = sa.create_engine(
            self.url,
            pool_size=2,
            max_overflow=4,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={k: v for k, v in options.items() if k not in self.url.query},
        )
        busy = int(BUSY_SECONDS * 1000)

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            # A process that is suspended within a transaction must not keep the others out.
            connection.exec_driver_sql(
                f"SELECT set_config('lock_timeout', '{busy}', true), "
                f"set_config('idle_in_transaction_session_timeout', '{2 * busy}', true), "
                "set_config('DateStyle', 'ISO, YMD', true), set_config('TimeZone', 'UTC', true)"
            )

        return engine

    # --- setting up -----------------------------------------------------------------------------

    def _set_up(self) -> None:
        """Make the tables, or bring those of an older version up to date, once per object."""
        if self._id:
            return
        self._id = self._id_if_ready()
        if self._id:
            return
        if not self.is_sqlite or self.in_memory:
            self._id = self._upgraded()
            return
        path, why = Path(str(self.url.database)), ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.setup.lock", timeout=BUSY_SECONDS):
                with self._engine.connect() as connection:
                    driver: Any = connection.connection.driver_connection
                    driver.execute("PRAGMA journal_mode=WAL")
                self._id = self._upgraded()
        except OSError as error:
            why = " ".join(str(error).split())
        if why:
            raise LedgerUnavailable(self._cannot_be_used(why))

    def _id_if_ready(self) -> str:
        """The ledger's id when nothing is to be made: no lock is taken for that."""
        if self.in_memory or (self.is_sqlite and not Path(str(self.url.database)).exists()):
            return ""
        with self._engine.connect().execution_options(hog_dagster_read=True) as connection:
            if self.is_sqlite:
                driver: Any = connection.connection.driver_connection
                if driver.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                    return ""
            return id_if_newest(connection)

    def _upgraded(self) -> str:
        while True:
            with self._engine.begin() as connection:
                if not self.is_sqlite:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(SETUP_LOCK)))
                ledger_id = upgrade(connection, self.now(connection), self.location)
            if ledger_id:
                return ledger_id

    # --- transactions ---------------------------------------------------------------------------

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One writing transaction: committed at the end, rolled back on an error.

        Raises:
            LedgerUnavailable: the database cannot be reached or written.
            LedgerError: it is another ledger, or of another version, than when it was opened.
        """
        with self._plain_errors():
            self._set_up()
            with self._engine.begin() as connection:
                self._check_it_is_the_same(connection)
                self._open = connection if self.in_memory else None
                try:
                    yield connection
                finally:
                    self._open = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One reading transaction; it never waits for a writer.

        Raises:
            LedgerUnavailable: the database cannot be reached or read.
        """
        with self._plain_errors():
            self._set_up()
            if self._open is not None:  # one connection in memory: within its transaction
                yield self._open
                return
            with self._engine.connect().execution_options(hog_dagster_read=True) as connection:
                yield connection

    def _check_it_is_the_same(self, connection: Connection) -> None:
        row = connection.execute(_WHICH).one_or_none()
        if row is None or row.ledger_id != self._id or row.version != VERSION:
            raise LedgerError(
                f"The ledger {self.location} was replaced or upgraded since this process opened "
                "it. Nothing is sent: start the process again."
            )

    def count_changes(self, connection: Connection, number: int) -> None:
        """Let the ledger's sequence rise within the caller's transaction."""
        connection.execute(_COUNT, {"number": number})

    def sequence(self, connection: Connection) -> int:
        """How often the ledger changed."""
        return int(connection.execute(sa.select(META.c.sequence)).scalar_one())

    # --- errors, clock --------------------------------------------------------------------------

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        """Errors of the database become ours, with neither rows nor secrets in them or behind
        them.
        """
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            failure = self._plain(error)
        else:
            return
        try:
            raise failure from None
        finally:
            failure.__context__ = None  # the driver's error repeats values of rows

    def _plain(self, error: Exception) -> LedgerError:
        cause = getattr(error, "orig", None) or error
        broken = type(cause) is sqlite3.DatabaseError  # no database, or a damaged one
        unusable = broken or isinstance(error, OperationalError | InterfaceError)
        if isinstance(error, DBAPIError) and not unusable:
            code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
            what = type(cause).__name__ + (f" {code}" if code else "")
            return LedgerError(
                f"The ledger {self.location} did not take a statement ({what}). Nothing is sent. "
                "Its tables may have been changed by hand: compare them with those of a new ledger."
            )
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        text = " ".join(" ".join(line for line in lines if "DETAIL" not in line).split())
        if "statement pooling" in text:
            return LedgerError(
                f"The ledger {self.location} cannot be used: the pooler before it is in statement "
                "mode, which knows no transactions. Nothing is sent. Set pool_mode = transaction "
                "there, or name PostgreSQL itself."
            )
        if "server closed the connection unexpectedly" in text:  # all that psycopg2 lets one see
            text = (
                "PostgreSQL, or a pooler before it, closed the connection. A pooler in statement "
                "mode does that: set pool_mode = transaction there"
            )
        return LedgerUnavailable(self._cannot_be_used(text))

    def _cannot_be_used(self, why: str) -> str:
        for secret in (self.url.password, self.url.query.get("sslpassword")):
            if isinstance(secret, str) and secret:
                why = re.sub(re.escape(secret), "***", why)
        return (
            f"The ledger {self.location} cannot be used: {why}. Nothing is sent without it. "
            "Check HOG_DAGSTER_LEDGER (or --url) and that the database runs and can be "
            "written; then run this again."
        )

    def now(self, connection: Connection) -> datetime:
        """The clock all sharers of this ledger have in common: PostgreSQL's own.

        A SQLite file is shared within one machine, so there it is the machine's clock; and a clock
        that was passed in is used on both.
        """
        if self.on_server_clock:
            return connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
        return self.clock.now()

    def close(self) -> None:
        """Give the connections back. A ledger in memory is forgotten when nothing holds it."""
        if not self.in_memory:
            self._engine.dispose()
