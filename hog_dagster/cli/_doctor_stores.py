"""What `hog-dagster doctor` finds out about the warehouse, the ledger and the Dagster home.

Facts: nothing is made and nothing is written: what is not there yet is judged by whether it could
be made.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from hog_dagster._shared.home import default_home
from hog_dagster.ledger import META, Ledger, LedgerError, State, location_of, read_url
from hog_dagster.posthog import Row
from hog_dagster.resources import DuckDBWarehouse, PostgresWarehouse
from hog_dagster.warehouse import DuckDB, errors

_CONNECT_S = 5
_OPEN = ((State.SENT, "sent, no outcome yet"), (State.IN_DOUBT, "in doubt"))
_ADOPT = (
    "Nothing is sent until HOG_DAGSTER_LEDGER names the ledger that was used before, or until "
    "`hog-dagster ledger adopt` accepts this one."
)
_PRIVILEGES = """
SELECT has_database_privilege(current_database(), 'CREATE')
       OR coalesce((SELECT has_schema_privilege(oid, 'CREATE')
                    FROM pg_namespace WHERE nspname = 'posthog'), false) AS may_write,
       pg_is_in_recovery() AS standby
"""


def store_rows(warehouse: Any, ledger_url: str, host: str, project_id: int) -> Iterator[Row]:
    """The rows on warehouse, ledger and home. The Dagster instance remembers a ledger for the host
    and the project."""
    yield warehouse_row(warehouse)
    home = os.environ.get("DAGSTER_HOME", "").strip()
    row = ledger_row(ledger_url)
    yield row
    yield _home_row(home)
    if row.status != "fail" and home and _has_history(Path(home).expanduser()):
        yield _pairing_row(ledger_url, host, project_id)


def warehouse_row(warehouse: Any) -> Row:
    """Whether the warehouse is there and can be written."""
    remedy = (
        "Name a DuckDB file or a postgresql:// URL that can be written: warehouse in the YAML, "
        "or HOG_DAGSTER_WAREHOUSE."
    )
    try:
        if isinstance(warehouse, PostgresWarehouse):
            return _postgres_row(warehouse.url)
        if isinstance(warehouse, DuckDBWarehouse):
            return _duckdb_row(Path(warehouse.path).expanduser().absolute())
        with warehouse.open() as opened:
            return Row("warehouse", "ok", f"{opened.location}; not written to for a try")
    except errors.WarehouseUnavailable as error:
        return Row("warehouse", "fail", _line(error), "Start it, or wait; then run this again.")
    except (errors.WarehouseError, ValueError, OSError, ModuleNotFoundError) as error:
        return Row("warehouse", "fail", _line(error), remedy)


def _duckdb_row(path: Path) -> Row:
    if path.exists():
        with DuckDB(path, lock_timeout=_CONNECT_S, read_timeout=_CONNECT_S) as warehouse:
            warehouse.query("SELECT 1")
    refused = _refusal(path)
    if refused:
        return Row("warehouse", "fail", f"DuckDB {path}: {refused}", "Choose another path.")
    there = "" if path.exists() else ", made at the first load"
    return Row("warehouse", "ok", f"DuckDB {path}, can be written{there}")


def _postgres_row(url: str) -> Row:
    from hog_dagster.warehouse import Postgres

    with Postgres(url, connect_timeout=_CONNECT_S) as warehouse:
        response = warehouse.query(_PRIVILEGES).to_pylist()[0]
        where = warehouse.location
    if response["standby"]:
        return Row("warehouse", "fail", f"{where} is a standby", "Name the primary server.")
    if not response["may_write"]:
        return Row(
            "warehouse",
            "fail",
            f"{where}: the role may not make tables",
            "GRANT CREATE ON DATABASE to it, or make the schema posthog and grant CREATE on that.",
        )
    return Row("warehouse", "ok", f"{where}, can be written")


def ledger_row(url: str) -> Row:
    """Whether the ledger is there and can be written, and whether actions are in doubt."""
    remedy = "Set HOG_DAGSTER_LEDGER to a sqlite:/// or postgresql:// URL that can be written."
    try:
        parsed = read_url(url)
    except ValueError as error:
        return Row("ledger", "fail", _line(error), remedy)
    where = location_of(parsed)
    try:
        if parsed.get_backend_name() == "sqlite":
            path = Path(str(parsed.database)).absolute()
            refused = _refusal(path)
            if refused:
                return Row("ledger", "fail", f"{path}: {refused}", remedy)
            if not path.exists():
                return Row("ledger", "ok", f"{where}, made at the first action")
        if not _has_tables(parsed):
            return Row("ledger", "ok", f"{where}, tables made or upgraded at the first action")
        with Ledger(url) as ledger:
            counted = Counter(
                entry.state for entry in ledger.entries(state=[State.SENT, State.IN_DOUBT])
            )
    except (SQLAlchemyError, LedgerError, OSError, ModuleNotFoundError) as error:
        reason = getattr(error, "orig", None) or error
        return Row("ledger", "fail", f"{where}: {_line(reason)}", remedy)
    if not counted:
        return Row("ledger", "ok", f"{where}, no action in doubt")
    command = f"hog-dagster ledger --url {shlex.quote(where)}"
    said = ", ".join(f"{counted[state]} {words}" for state, words in _OPEN if counted[state])
    return Row(
        "ledger",
        "warn",
        f"{where}, actions: {said}",
        "The job reconcile_actions reads what became of them. "
        f"List them: {command} list --in-doubt; decide what PostHog cannot tell: "
        f'{command} resolve NUMBER --as confirmed|not-sent --reason "..."',
    )


def _has_history(home: Path) -> bool:
    """Whether a Dagster instance was used there before, so that opening it makes nothing new."""
    settings = home / "dagster.yaml"
    try:
        elsewhere = settings.exists() and "storage:" in settings.read_text(encoding="utf-8")
    except OSError:
        return False
    return elsewhere or (home / "history" / "runs.db").exists()


def _pairing_row(url: str, host: str, project_id: int) -> Row:
    """Whether the Dagster instance used this ledger for the project before."""
    import dagster as dg

    from hog_dagster.jobs import known_pairing, pairing_refusal

    try:
        with dg.DagsterInstance.get() as instance:
            known = known_pairing(instance, host, project_id)
            if known is None:
                found = "none yet; the first run that sends something remembers its ledger"
                return Row("ledger pairing", "ok", found)
            if not ledger_is_made(url):
                found = f"Dagster remembers {known.get('location')}, and there is no ledger here"
                return Row("ledger pairing", "fail", found, _ADOPT)
            with Ledger(url) as ledger:
                why = pairing_refusal(instance, ledger, host, project_id)
    except (dg.DagsterError, SQLAlchemyError, LedgerError, OSError) as error:
        return Row("ledger pairing", "warn", f"could not be read: {_line(error)}")
    if why:
        return Row("ledger pairing", "fail", why, _ADOPT)
    return Row("ledger pairing", "ok", "Dagster used this ledger for this project before")


def ledger_is_made(url: str) -> bool:
    """Whether there is a ledger at this address already; none is made by asking."""
    parsed = read_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).exists():
        return False
    return _has_tables(parsed)


def _has_tables(url: sa.URL) -> bool:
    options = {} if url.get_backend_name() == "sqlite" else {"connect_timeout": _CONNECT_S}
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool, connect_args=options)
    try:
        with engine.connect() as connection:
            return sa.inspect(connection).has_table(META.name)
    finally:
        engine.dispose()


def _home_row(home: str) -> Row:
    if not home:
        return Row(
            "Dagster home",
            "warn",
            f"DAGSTER_HOME is not set; files go to {default_home()}",
            "Set it, so that Dagster remembers runs and all processes share one home.",
        )
    path = Path(home).expanduser()
    refused = _refusal(path / "any")
    if not path.is_absolute() or refused:
        why = refused or "it is not an absolute path"
        return Row("Dagster home", "fail", f"{home}: {why}", "Set DAGSTER_HOME to a folder.")
    return Row("Dagster home", "ok", str(path))


def _refusal(path: Path) -> str:
    """Why a file cannot be written or made; empty when it can."""
    if path.is_dir():
        return "it is a folder, not a file"
    if path.exists():
        return "" if os.access(path, os.W_OK) else "this user may not write it"
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        return f"{folder} is a file, not a folder"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"this user may not write in {folder}"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
