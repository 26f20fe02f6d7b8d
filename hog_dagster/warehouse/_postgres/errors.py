"""PostgreSQL's errors as the warehouse's; messages carry the server's sentence, not row values."""

import re

import psycopg

from hog_dagster.warehouse.errors import (
    InvalidRows,
    WarehouseBusy,
    WarehouseError,
    WarehouseUnavailable,
    WarehouseUnreadable,
    without_values,
)

# libpq gives no code for a refused connection, only its sentence.
_NO_ENTRY = ("authentication failed", "does not exist", "no pg_hba.conf entry", "not permitted")


def said(error: psycopg.Error) -> str:
    """What the server says, without the values it quotes."""
    return without_values(error.diag.message_primary or str(error)) or type(error).__name__


class Deadlock(WarehouseUnavailable):
    """The server ended this transaction to free another: the same load may follow at once."""


def cannot_connect(location: str, error: psycopg.Error) -> WarehouseError:
    """Why the server could not be reached, and what to do."""
    text = " ".join(str(error).split())
    if any(words in text for words in _NO_ENTRY):
        return WarehouseUnreadable(
            f"{location} lets nobody in with this user and password, or has no such database: "
            f"{text}"
        )
    return WarehouseUnavailable(f"{location} cannot be reached: {text}")


def translate(
    place: str, error: psycopg.Error, *, key: tuple[str, ...] = (), lock_timeout: float = 0
) -> WarehouseError:
    """An error of a statement, for the table (with its key) or database ``place``."""
    # The primary message alone: the detail quotes the row.
    text = said(error)
    if isinstance(error, psycopg.errors.UntranslatableCharacter):
        names = re.findall(r'encoding "(\w+)"', text)
        return InvalidRows(
            f"{place}: the database keeps its text in {names[-1] if names else 'another encoding'}"
            ", which lacks characters of the rows; nothing was written. Load into a database that "
            "was made with ENCODING 'UTF8'"
        )
    if isinstance(error, psycopg.errors.CharacterNotInRepertoire):
        return WarehouseError(
            f"{place}: there is text that is not of the encoding the database says it has (one "
            "made with ENCODING 'SQL_ASCII' takes anything). Only a database that was made with "
            "ENCODING 'UTF8' can be read safely"
        )
    if isinstance(
        error, (psycopg.errors.FeatureNotSupported, psycopg.errors.NumericValueOutOfRange)
    ) and ("infinity" in text or "infinite" in text):
        return WarehouseError(
            f"{place}: a moment is infinite, which is no value outside PostgreSQL. Read the table "
            "without that column, or put null or a date in its place"
        )
    if isinstance(error, psycopg.errors.DeadlockDetected):
        return Deadlock(f"{place}: {text}")
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return WarehouseBusy(
            f"{place} is being loaded by another process; waited {lock_timeout:g} s. Wait for it "
            "to end, or raise lock_timeout_seconds"
        )
    if "statement pooling" in text:
        return WarehouseUnreadable(
            f"{place}: the pooler before it is in statement mode, which knows no transactions, so "
            "that no load could be whole. Set pool_mode = transaction there, or name PostgreSQL "
            "itself"
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return WarehouseUnreadable(f"{place}: {text}. Grant the role what it lacks")
    if isinstance(error, psycopg.errors.UniqueViolation):
        return InvalidRows(
            f"{place}: a key ({', '.join(key)}) would stand in more than one row; nothing was "
            "written"
        )
    if isinstance(error, (psycopg.DataError, psycopg.IntegrityError)):
        return InvalidRows(f"{place}: PostgreSQL refuses the rows: {text}; nothing was written")
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return WarehouseUnavailable(f"{place}: {text}")
    return WarehouseError(f"{place}: {text}")
