"""Which PostgreSQL database is meant: URLs, and libpq's `key=value` texts.

Facts: libpq's connection strings (PostgreSQL's manual, 34.1.1). SQLAlchemy reads a password with a
bare `@` in it as part of the host, and takes `?password=` for a parameter that is not secret. A
bare `postgresql://` is psycopg2 to SQLAlchemy 2.0 and psycopg 3 to 2.1, installed or not: the
driver is named here.
"""

import re
from importlib.util import find_spec

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

_EXAMPLE = "postgresql://user:password@host:5432/database"
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

_POSTGRES = re.compile(r"postgres(ql)?(\+\w+)?://|\s*(host|hostaddr|dbname|service)\s*=", re.I)


def is_postgres(url: str) -> bool:
    """Whether what is kept at this URL is kept in PostgreSQL."""
    return bool(_POSTGRES.match(url))


def read_postgres_url(text: str, what: str, examples: str = _EXAMPLE) -> URL:
    """The database that a `postgresql://` URL means, its driver named.

    Args:
        text: the URL.
        what: what is kept there, for errors: "The ledger".
        examples: what may be given instead, for errors.

    Raises:
        ValueError: it cannot be read, or names another engine. The error repeats nothing of it.
    """
    scheme = text.partition("://")[0]
    engine, _, driver = scheme.partition("+")
    engine = engine.lower()
    if not engine:
        raise ValueError(f"{what}'s URL cannot be read. Give {examples}.")
    if engine not in ("postgres", "postgresql"):
        name = engine if re.fullmatch(r"[a-z0-9_]{1,30}", engine) else "that"
        raise ValueError(f"{what} cannot be kept in {name!r}: give {examples}.")
    try:
        parsed = make_url("postgresql" + text[len(scheme) :])
        port_is_right = parsed.port is None or 0 < parsed.port < 65536
    except (ArgumentError, ValueError):
        parsed, port_is_right = None, False
    shown = (parsed.host or "", parsed.database or "", *parsed.query) if parsed else ()
    if parsed is None or not port_is_right or any("@" in part for part in shown):
        raise ValueError(
            f"{what}'s URL cannot be read. Give {examples}, and in user and password write "
            "@ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25."
        )
    return _without_secrets_in_query(parsed, driver, what)


def is_dsn(text: str) -> bool:
    """Whether the text is libpq's `host=... dbname=...`."""
    found = _DSN_START.match(text)
    return found is not None and found.group(1) in _DSN_KEYS


def read_dsn(text: str, what: str) -> URL:
    """The database that libpq's `host=... dbname=...` means. See :func:`read_postgres_url`."""
    values: dict[str, str] = {}
    at = 0
    while text[at:].strip():
        found = _DSN_PAIR.match(text, at)
        if found is None:
            raise ValueError(
                f"{what}'s connection string cannot be read. Write it as libpq does: "
                "host=... port=... dbname=... user=... password='...'."
            )
        at = found.end()
        name = found.group(1)
        if name not in _DSN_KEYS:
            raise ValueError(f"{what}'s connection string has an unknown parameter {name!r}.")
        quoted = found.group(2)
        values[name] = re.sub(r"\\(.)", r"\1", found.group(3) if quoted is None else quoted)
    port = values.pop("port", "")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{what}'s connection string has a port that is no number.")
    return URL.create(
        f"postgresql+{_postgres_driver(what)}",
        username=values.pop("user", None) or None,
        password=values.pop("password", None) or None,
        host=values.pop("host", None) or None,
        port=int(port) if port else None,
        database=values.pop("dbname", None) or None,
        query={name: value for name, value in values.items() if value},
    )


def where_is(url: URL) -> str:
    """Where a database is, for people: no password, no parameters."""
    query_host = url.query.get("host", "")
    host = url.host or (query_host if isinstance(query_host, str) else ",".join(query_host))
    service = f"?service={url.query['service']}" if "service" in url.query else ""
    user = f"{url.username}@" if url.username else ""
    port = f":{url.port}" if url.port else ""
    return f"postgresql://{user}{host}{port}/{url.database or ''}{service}"


def _without_secrets_in_query(url: URL, driver: str, what: str) -> URL:
    query = dict(url.query)

    def taken(name: str, before: str | None) -> str | None:
        value = query.pop(name, None)
        return (value[-1] if isinstance(value, tuple) else value) or before

    user, password = taken("user", url.username), taken("password", url.password)
    url = url.set(username=user, password=password, database=taken("dbname", url.database))
    return url.set(drivername=f"postgresql+{driver or _postgres_driver(what)}", query=query)


def _postgres_driver(what: str) -> str:
    """psycopg2, which dagster-postgres brings, or else psycopg 3, which our extra brings."""
    for driver in ("psycopg2", "psycopg"):
        if find_spec(driver) is not None:
            return driver
    raise ValueError(
        f"{what} in PostgreSQL needs a driver: install dagster-postgres or hog-dagster[postgres]."
    )
