"""The ledger's database: its tables, and an engine for SQLite or PostgreSQL that is safe to share.

Facts: SQLite takes one writer at a time, so every writing transaction here begins IMMEDIATE (a
transaction that begins as a reader and then writes can fail at once, however long the busy
timeout); WAL lets readers go on beside a writer; `synchronous=FULL` keeps a committed row through a
power cut, which the rule "written before it is sent" needs. A bare `postgresql://` is psycopg2 to
SQLAlchemy 2.0 and psycopg 3 to 2.1, installed or not: the driver is named here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError

from hog_dagster.ledger.entries import LedgerUnavailable

__all__ = ["ACTS", "HISTORY", "LOCKS", "Database"]

#: Seconds a writer waits for the writer before it.
BUSY_SECONDS = 60
#: Any number, the same in every process: serialises the making of the tables on PostgreSQL.
SETUP_LOCK = 7_040_621_173


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An aware UTC datetime on both engines (SQLite keeps it without a zone)."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


METADATA = sa.MetaData()
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")

ACTS = sa.Table(
    "hog_dagster_acts",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column("project_id", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("workflow_id", sa.String(100), nullable=False),
    sa.Column("subject", sa.String(300), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Column("lease_until", UtcDateTime, nullable=False),
    sa.Column("request", sa.JSON, nullable=False),
    sa.Column("answer", sa.JSON, nullable=True),
    sa.Column("remote_id", sa.String(200), nullable=True),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("sent_at", UtcDateTime, nullable=True),
    sa.Column("server_sent_at", UtcDateTime, nullable=True),
    sa.Column("settled_at", UtcDateTime, nullable=True),
    sa.UniqueConstraint(
        "project_id", "kind", "workflow_id", "subject", name="hog_dagster_acts_natural_key"
    ),
    sa.Index("hog_dagster_acts_by_state", "state", "kind"),
)

HISTORY = sa.Table(
    "hog_dagster_act_history",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column("act_id", sa.BigInteger, nullable=False, index=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
)

LOCKS = sa.Table(
    "hog_dagster_locks",
    METADATA,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Column("token", sa.String(40), nullable=False),
    sa.Column("until", UtcDateTime, nullable=False),
)


def read_url(url: str | Path) -> URL:
    """The database URL meant by `url`: a path is a SQLite file, a bare `postgresql://` is read with
    the driver that is installed.

    Raises:
        ValueError: an engine that is not offered, or a database that lives in memory.
    """
    text = str(url)
    if "://" not in text:
        text = f"sqlite:///{Path(text).expanduser()}"
    try:
        parsed = make_url(text)
    except ArgumentError as error:
        raise ValueError(
            "The ledger's URL cannot be read. Give sqlite:///path/to/ledger.sqlite or "
            "postgresql://user:password@host:5432/database."
        ) from error
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername=f"postgresql+{_postgres_driver()}")
    engine = parsed.get_backend_name()
    if engine not in ("sqlite", "postgresql"):
        raise ValueError(
            f"The ledger cannot be kept in {engine!r}: give sqlite:///path/to/ledger.sqlite or "
            "postgresql://user:password@host:5432/database."
        )
    if engine == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ValueError(
            "A ledger in memory forgets what was sent when the process ends: name a file, "
            "sqlite:///path/to/ledger.sqlite."
        )
    return parsed


def _postgres_driver() -> str:
    """psycopg2, which dagster-postgres brings, or else psycopg 3, which our extra brings."""
    for driver in ("psycopg2", "psycopg"):
        if find_spec(driver) is not None:
            return driver
    raise ValueError(
        "A ledger in PostgreSQL needs a driver: install dagster-postgres or hog-dagster[postgres]."
    )


class Database:
    """The engine behind a ledger: tables made on first use, short transactions, the shared clock.

    Args:
        url: a SQLite path or URL, or a PostgreSQL URL.
    """

    def __init__(self, url: str | Path) -> None:
        self.url = read_url(url)
        self._ready = False
        self._engine = self._make_engine()

    @property
    def location(self) -> str:
        """Where the ledger is, without a password."""
        return self.url.render_as_string(hide_password=True)

    def _make_engine(self) -> Engine:
        if self.url.get_backend_name() == "postgresql":
            return sa.create_engine(
                self.url,
                pool_size=2,
                max_overflow=4,
                pool_pre_ping=True,
                connect_args={"connect_timeout": 20, "application_name": "hog_dagster ledger"},
            )
        engine = sa.create_engine(
            self.url, poolclass=sa.pool.NullPool, connect_args={"timeout": BUSY_SECONDS}
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

    def _make_tables(self) -> None:
        if self._ready:
            return
        if self.url.get_backend_name() == "sqlite":
            path = Path(str(self.url.database))
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.setup.lock", timeout=BUSY_SECONDS):
                with self._engine.connect() as connection:
                    driver: Any = connection.connection.driver_connection
                    driver.execute("PRAGMA journal_mode=WAL")
                with self._engine.begin() as connection:
                    METADATA.create_all(connection)
        else:
            with self._engine.begin() as connection:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(SETUP_LOCK)))
                METADATA.create_all(connection)
        self._ready = True

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One writing transaction: committed at the end, rolled back on an error.

        Raises:
            LedgerUnavailable: the database cannot be reached or written.
        """
        with self._told_plainly():
            self._make_tables()
            with self._engine.begin() as connection:
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One reading transaction; it never waits for a writer.

        Raises:
            LedgerUnavailable: the database cannot be reached or read.
        """
        with self._told_plainly():
            self._make_tables()
            with self._engine.connect().execution_options(hog_dagster_read=True) as connection:
                yield connection

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError, OSError) as error:
            reason = " ".join(str(getattr(error, "orig", None) or error).split())
            raise LedgerUnavailable(
                f"The ledger {self.location} cannot be used: {reason}. Nothing is sent without it. "
                "Check HOG_DAGSTER_LEDGER (or --url) and that the database runs and can be "
                "written; then run this again."
            ) from error

    def now(self, connection: Connection) -> datetime:
        """The clock all sharers of this ledger have in common: the database's own.

        A SQLite file is shared within one machine, so there it is the machine's clock.
        """
        if self.url.get_backend_name() == "postgresql":
            return connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
        return datetime.now(UTC)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()
