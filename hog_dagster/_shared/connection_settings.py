"""How PostHog is reached, where neither code nor YAML says it: from the environment.

HOG_DAGSTER_RATE_LIMIT          where the use of the rate limit is counted: a postgresql:// URL, for
                                all machines that name the same database, or a directory, for the
                                processes of one machine; default the ledger's database when that is
                                PostgreSQL, else a directory of the user's
HOG_DAGSTER_CA_FILE             PEM file of the certificate authorities that are trusted
HOG_DAGSTER_CLIENT_CERTIFICATE  PEM file of a certificate and its private key, which are shown
"""

import re
from collections.abc import Mapping
from typing import TypedDict

__all__ = ["ConnectionSettings", "connection_settings", "is_postgres"]

_POSTGRES = re.compile(r"postgres(ql)?(\+\w+)?://|\s*(host|hostaddr|dbname|service)\s*=", re.I)

#: How files that hold a ledger end.
_SQLITE = (".sqlite", ".sqlite3", ".db")


class ConnectionSettings(TypedDict):
    """Arguments of :class:`~hog_dagster.posthog.PostHogClient`."""

    rate_limit: str | None
    ca_file: str | None
    client_certificate: str | None


def is_postgres(url: str) -> bool:
    """Whether a ledger at this URL is kept in PostgreSQL."""
    return bool(_POSTGRES.match(url))


def connection_settings(
    environ: Mapping[str, str],
    *,
    rate_limit: str | None = None,
    ca_file: str | None = None,
    client_certificate: str | None = None,
) -> ConnectionSettings:
    """What was given, and else what the environment says.

    Args:
        environ: the environment.
        rate_limit: as given; a ``sqlite:`` URL or the path of a SQLite file, as of a ledger, stands
            for this machine alone.
        ca_file: as given.
        client_certificate: as given.
    """

    def variable(name: str) -> str:
        return environ.get(name, "").strip()

    where = rate_limit or variable("HOG_DAGSTER_RATE_LIMIT")
    if not where and is_postgres(variable("HOG_DAGSTER_LEDGER")):
        where = variable("HOG_DAGSTER_LEDGER")
    if rate_limit and (rate_limit.startswith("sqlite") or rate_limit.endswith(_SQLITE)):
        where = ""
    return {
        "rate_limit": where or None,
        "ca_file": ca_file or variable("HOG_DAGSTER_CA_FILE") or None,
        "client_certificate": client_certificate
        or variable("HOG_DAGSTER_CLIENT_CERTIFICATE")
        or None,
    }
