"""Which database is meant: SQLite paths and URLs, PostgreSQL URLs and libpq's `key=value` texts.

Facts: libpq's connection strings (PostgreSQL's manual, 34.1.1). SQLAlchemy reads a password with a
bare `@` in it as part of the host, and takes `?password=` for a parameter that is not secret. A
bare `postgresql://` is psycopg2 to SQLAlchemy 2.0 and psycopg 3 to 2.1, installed or not: the
driver is named here.
"""

import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

__all__ = ["default_url", "location_of", "read_url"]

#: Shown where a URL is wrong.
EXAMPLES = "sqlite:////path/to/ledger.sqlite or postgresql://user:password@host:5432/database"

_SQLITE = re.compile(r"sqlite(?:\+pysqlite)?://", re.IGNORECASE)
_SQLITE_PARAMETERS = re.compile(r".*\?[A-Za-z_]+=[^/\\]*")
#: libpq's parameters; a text that begins with one of them and `=` is no path.
_DSN_KEYS = frozenset(
    """
    host hostaddr port dbname user password passfile service servicefile require_auth requirepeer
    sslmode sslcert sslkey sslpassword sslrootcert sslcrl sslnegotiation sslcompression sslsni
    channel_binding options application_name fallback_application_name connect_timeout
    client_encoding keepalives keepalives_idle keepalives_interval keepalives_count
    tcp_user_timeout target_session_attrs load_balance_hosts gssencmode krbsrvname gsslib
    gssdelegation
    """.split()  # noqa: SIM905
)
_DSN_START = re.compile(r"\s*([a-z_]+)\s*=")
_DSN_PAIR = re.compile(
    r"\s*([A-Za-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?:\s+|$)"
)


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
    if _is_dsn(text):
        return _read_dsn(text)
    if found := _SQLITE.match(text):
        return _read_sqlite(text[found.end() :], environ)
    if "://" not in text:
        return _sqlite_file(text, environ)
    return _read_postgres(text)


def location_of(url: URL) -> str:
    """Where a database is, for people: no password, no parameters."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{url.database}"
    query_host = url.query.get("host", "")
    host = url.host or (query_host if isinstance(query_host, str) else ",".join(query_host))
    service = f"?service={url.query['service']}" if "service" in url.query else ""
    user = f"{url.username}@" if url.username else ""
    port = f":{url.port}" if url.port else ""
    return f"postgresql://{user}{host}{port}/{url.database or ''}{service}"


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


def _read_postgres(text: str) -> URL:
    scheme = text.partition("://")[0]
    engine, _, driver = scheme.partition("+")
    engine = engine.lower()
    if not engine:
        raise ValueError(f"The ledger's URL cannot be read. Give {EXAMPLES}.")
    if engine not in ("postgres", "postgresql"):
        name = engine if re.fullmatch(r"[a-z0-9_]{1,30}", engine) else "that"
        raise ValueError(f"The ledger cannot be kept in {name!r}: give {EXAMPLES}.")
    try:
        parsed = make_url("postgresql" + text[len(scheme) :])
        port_is_right = parsed.port is None or 0 < parsed.port < 65536
    except (ArgumentError, ValueError):
        parsed, port_is_right = None, False
    shown = (parsed.host or "", parsed.database or "", *parsed.query) if parsed else ()
    if parsed is None or not port_is_right or any("@" in part for part in shown):
        raise ValueError(
            f"The ledger's URL cannot be read. Give {EXAMPLES}, and in user and password write "
            "@ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25."
        )
    return _without_secrets_in_query(parsed, driver)


def _without_secrets_in_query(url: URL, driver: str) -> URL:
    query = dict(url.query)

    def taken(name: str, before: str | None) -> str | None:
        value = query.pop(name, None)
        return (value[-1] if isinstance(value, tuple) else value) or before

    user, password = taken("user", url.username), taken("password", url.password)
    url = url.set(username=user, password=password, database=taken("dbname", url.database))
    return url.set(drivername=f"postgresql+{driver or _postgres_driver()}", query=query)


def _is_dsn(text: str) -> bool:
    found = _DSN_START.match(text)
    return found is not None and found.group(1) in _DSN_KEYS


def _read_dsn(text: str) -> URL:
    values: dict[str, str] = {}
    at = 0
    while text[at:].strip():
        found = _DSN_PAIR.match(text, at)
        if found is None:
            raise ValueError(
                "The ledger's connection string cannot be read. Write it as libpq does: "
                "host=... port=... dbname=... user=... password='...'."
            )
        at = found.end()
        name = found.group(1)
        if name not in _DSN_KEYS:
            raise ValueError(f"The ledger's connection string has an unknown parameter {name!r}.")
        quoted = found.group(2)
        values[name] = re.sub(r"\\(.)", r"\1", found.group(3) if quoted is None else quoted)
    port = values.pop("port", "")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("The port in the ledger's connection string is no number of a port.")
    return URL.create(
        f"postgresql+{_postgres_driver()}",
        username=values.pop("user", None) or None,
        password=values.pop("password", None) or None,
        host=values.pop("host", None) or None,
        port=int(port) if port else None,
        database=values.pop("dbname", None) or None,
        query={name: value for name, value in values.items() if value},
    )


def _postgres_driver() -> str:
    """psycopg2, which dagster-postgres brings, or else psycopg 3, which our extra brings."""
    for driver in ("psycopg2", "psycopg"):
        if find_spec(driver) is not None:
            return driver
    raise ValueError(
        "A ledger in PostgreSQL needs a driver: install dagster-postgres or hog-dagster[postgres]."
    )
