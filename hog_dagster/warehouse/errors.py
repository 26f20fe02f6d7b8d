"""Errors of the warehouse, sorted by what the caller can do about them.

Every message names the table or file concerned and the remedy; none holds a password or row values.
"""

import re
from typing import NoReturn

__all__ = [
    "InvalidQuery",
    "InvalidRows",
    "SchemaConflict",
    "TableMissing",
    "WarehouseBusy",
    "WarehouseError",
    "WarehouseUnavailable",
    "WarehouseUnreadable",
    "raise_plainly",
    "without_values",
]


class WarehouseError(Exception):
    """Base of all warehouse errors. After one, the tables hold what they held before.

    ``retryable`` says whether the same call may succeed later with nothing changed.
    """

    retryable = False


class WarehouseUnavailable(WarehouseError):
    """The database cannot be reached now (server down, connection lost, disk full): try later."""

    retryable = True


class WarehouseBusy(WarehouseUnavailable):
    """Another process held the database for longer than the timeout: try later.

    ``holder`` describes it ("process 4711 on host etl-1"), or is None when it cannot be known.
    """

    def __init__(self, message: str, *, holder: str | None = None) -> None:
        super().__init__(message)
        self.holder = holder


class WarehouseUnreadable(WarehouseError):
    """The database is not one, is not ours to open, or was written by another version."""


class TableMissing(WarehouseError):
    """The table does not exist: nothing has been loaded into it yet."""


class SchemaConflict(WarehouseError):
    """The table in the database and the declared one differ in a way no rule widens."""


class InvalidRows(WarehouseError):
    """The rows do not fit the declared table, window, scope or key. Nothing was written."""


class InvalidQuery(WarehouseError):
    """The database refused the SQL of ``query``."""


def raise_plainly(failure: WarehouseError) -> NoReturn:
    """Raise an error with nothing behind it: Dagster stores the whole chain of errors, and those
    of drivers quote values of rows."""
    try:
        raise failure
    finally:
        failure.__context__ = None


# What databases quote of rows: 'text', "text" after a colon, a key in brackets, bytes.
_QUOTED = re.compile(r"'(?:[^']|'')*'|(?<=: )\".*\"|=\([^)]*\)|(?<=: )0x[0-9a-f ]+", re.DOTALL)


def without_values(text: str) -> str:
    """The first line of a database's error, without what it quotes: that may be a row's value."""
    line = (text.strip().splitlines() or [""])[0]
    return _QUOTED.sub("(value)", line)[:500]
