"""Which database is meant: SQLite paths and URLs, and PostgreSQL (:mod:`_postgres_urls`)."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.engine import URL

from hog_dagster._shared.postgres_urls import is_dsn, read_dsn, read_postgres_url, where_is

#: Shown where a URL is wrong.
EXAMPLES = "sqlite:////path/to/ledger.sqlite or postgresql://user:password@host:5432/database"

_SQLITE = re.compile(r"sqlite(?:\+pysqlite)?://", re.IGNORECASE)
_SQLITE_PARAMETERS = re.compile(r".*\?[A-Za-z_]+=[^/\\]*")


def default_url(environ: Mapping[str, str] | None = None) -> str:
    """Where the ledger is when nobody says: `HOG_DAGSTER_LEDGER`, else a file in `DAGSTER_HOME`,
    else one in `.hog` in the working directory.
    """
    environ = os.environ if environ is None else environ
    if url := environ.get("HOG_DAGSTER_LEDGER"):
        return url
    home = environ.get("DAGSTER_HOME")
    folder = Path(home).expanduser() if home else Path(".hog")
    return f"sqlite:///{folder.absolute() / 'hog_dagster_ledger.sqlite'}"


def read_url(url: str | Path, environ: Mapping[str, str] | None = None) -> URL:
    """The database that `url` means.

    A path, or `sqlite:///` with a path behind it, is a SQLite file; a relative path is taken from
    `DAGSTER_HOME`, or from the working directory when that is not set, and made absolute here.
    PostgreSQL is a URL, or libpq's `host=... dbname=...`.

    Raises:
        ValueError: an engine that is not offered, a database in memory, or a text that cannot be
            read. The error does not repeat what may be secret.
    """
    text = str(url)
    if is_dsn(text):
        return read_dsn(text, "The ledger")
    if found := _SQLITE.match(text):
        return _read_sqlite(text[found.end() :], environ)
    if "://" not in text:
        return _sqlite_file(text, environ)
    return read_postgres_url(text, "The ledger", EXAMPLES)


def location_of(url: URL) -> str:
    """Where a database is, for people: no password, no parameters."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{url.database}"
    return where_is(url)


def _read_sqlite(rest: str, environ: Mapping[str, str] | None) -> URL:
    if rest in ("", "/", "/:memory:"):
        raise ValueError(
            "A ledger in memory forgets what was sent when the process ends: name a file, "
            "sqlite:////path/to/ledger.sqlite."
        )
    if not rest.startswith("/"):
        raise ValueError(
            "A SQLite URL has three slashes before a path, four before an absolute one: "
            "sqlite:////path/to/ledger.sqlite."
        )
    if _SQLITE_PARAMETERS.fullmatch(rest):
        raise ValueError("A SQLite ledger takes no parameters: leave out what follows the `?`.")
    return _sqlite_file(rest[1:], environ)


def _sqlite_file(text: str, environ: Mapping[str, str] | None) -> URL:
    environ = os.environ if environ is None else environ
    if not text.strip() or "\x00" in text or text == ":memory:" or text.startswith("file:"):
        raise ValueError(f"The ledger's URL names no file. Give {EXAMPLES}.")
    path = Path(text).expanduser()
    if not path.is_absolute():
        home = environ.get("DAGSTER_HOME")
        path = (Path(home).expanduser() if home else Path()).absolute() / path
    return URL.create("sqlite", database=str(path))
