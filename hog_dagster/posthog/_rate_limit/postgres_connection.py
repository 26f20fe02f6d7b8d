"""One connection to PostgreSQL that keeps no state of a session, so that any pooler may be between.

Facts: a pooler in transaction mode may carry each transaction by another session: no setting, lock,
prepared statement or LISTEN outlives one. A text of several statements is one transaction and one
round trip, so that the database never waits for this process while it holds a lock.

SQLAlchemy, which knows the drivers, is imported when a connection is made, not with this module.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any

from hog_dagster.posthog.errors import ConfigurationError

_CONNECT = {
    **{"connect_timeout": 5, "application_name": "hog_dagster rate limit"},
    # A server that is gone without a word is noticed by these.
    **{"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3},
    "tcp_user_timeout": 10_000,
}
#: What holds for one transaction: a commit that a crash forgets is a request too many, no more; and
#: nobody waits for ever.
_LOCALLY = (
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE; "
    "SELECT set_config('synchronous_commit', 'off', true), "
    "set_config('lock_timeout', '5000', true), set_config('statement_timeout', '10000', true), "
    "set_config('extra_float_digits', '3', true)"
)


class StoreAway(Exception):
    """The database cannot be used now; the text says why, without a secret."""


class NoTables(StoreAway):
    """The tables are not there."""


class NotAllowed(StoreAway):
    """The role may not do this."""


class Connection:
    """Opened when it is first used, and again when it broke or the process was forked. Not safe to
    use from several threads at once.

    Raises:
        ConfigurationError: the URL cannot be read, or there is no driver.
    """

    def __init__(self, url: str) -> None:
        from hog_dagster._shared.postgres_urls import is_dsn, read_dsn, read_postgres_url, where_is

        what, why = "The rate limit", ""
        try:
            self._url = read_dsn(url, what) if is_dsn(url) else read_postgres_url(url, what)
        except ValueError as error:
            why = str(error)
        if why:
            raise ConfigurationError(f"{why} It is rate_limit, or HOG_DAGSTER_RATE_LIMIT.")
        self.location = where_is(self._url)
        self._open: Any = None
        self._owner = 0
        self._several_results = False

    def run(self, *statements: str) -> list[Any]:
        """Rows of the last of the statements, which are one transaction and one round trip.

        Raises:
            StoreAway: nothing was carried out.
        """
        # Sent as one text, they are a transaction without BEGIN and COMMIT.
        text = "; ".join((_LOCALLY, *statements))
        if self._owner != os.getpid():
            self._open = None  # It belongs to the process that this one was forked from.
        while True:
            fresh = self._open is None
            try:
                return self._run(text)
            except Exception as error:
                failure = self._failure(error)
                self.close()
            # A connection that was idle may have been closed by the server or a pooler: one is
            # opened again, once.
            if fresh or type(failure) is not StoreAway:
                break
        failure.__context__ = None  # The driver's error repeats the statement.
        raise failure

    def _run(self, text: str) -> list[Any]:
        if self._open is None:
            self._open = self._connect()
            self._owner = os.getpid()
        cursor = self._open.cursor()
        try:
            cursor.execute(text)
            while self._several_results and cursor.nextset():
                pass
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            cursor.close()

    def _connect(self) -> Any:
        dialect: Any = self._url.get_dialect()()
        positional, options = dialect.create_connect_args(self._url)
        options = {**_CONNECT, **options}
        # psycopg 3 gives the result of each statement, psycopg2 that of the last.
        self._several_results = self._url.get_driver_name() == "psycopg"
        if self._several_results:
            options["prepare_threshold"] = None
        made = dialect.import_dbapi().connect(*positional, **options)
        made.autocommit = True
        return made

    def _failure(self, error: Exception) -> StoreAway:
        cause = getattr(error, "orig", None) or error
        code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
        if code == "42P01":
            return NoTables("its tables are not there")
        if code == "42501":
            return NotAllowed("the role may not read, write or make the tables of the rate limit")
        lines = [line for line in str(cause).strip().splitlines() if "DETAIL" not in line]
        said = " ".join(" ".join(lines[:2]).split()) or type(cause).__name__
        for secret in (self._url.password, self._url.query.get("sslpassword")):
            if isinstance(secret, str) and secret:
                said = re.sub(re.escape(secret), "***", said)
        return StoreAway(said)

    def close(self) -> None:
        """Close the connection; it can be opened again."""
        if self._open is not None and self._owner == os.getpid():
            with contextlib.suppress(Exception):  # It may be broken already.
                self._open.close()
        self._open = None
