"""Servers from Debian's packages for the tests of make integration; each is skipped with a sentence
where it is not installed."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "integration" in Path(str(item.path)).parts:
            item.add_marker(pytest.mark.integration)
            item.add_marker(pytest.mark.timeout(600))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def program(name: str, package: str) -> str:
    """The path of a server, or the test is skipped."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")
    if found is None:
        pytest.skip(f"{name} is not here: apt-get install {package}")
    return found


def wait_until(ready: Callable[[], bool], server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        if server.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the server did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def other_user(*names: str) -> str | None:
    """A user to run a server as that refuses to run as root."""
    if os.getuid() != 0:
        return None
    known = {user.pw_name for user in pwd.getpwall()}
    return next(name for name in names if name in known)


@pytest.fixture
def pgbouncer(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[str]:
    """The URL of the test's database behind a pgbouncer with one connection to the server for
    everybody, in transaction mode or in the one that the test asks for."""
    mode = getattr(request, "param", "transaction")
    server = program("pgbouncer", "pgbouncer")
    parts = conninfo_to_dict(postgres_url)
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="hog-pgbouncer-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        log = folder / "pgbouncer.log"
        (folder / "pgbouncer.ini").write_text(
            f"""
[databases]
* = host={parts["host"]} port={parts.get("port") or 5432} user={parts["user"]}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 1
"""
        )
        command = [server, str(folder / "pgbouncer.ini")]
        if os.getuid() == 0:  # it does not run as root; PostgreSQL's user reaches its socket
            owner = pwd.getpwuid(Path(str(parts["host"])).stat().st_uid).pw_name
            command[1:1] = ["-u", owner]
        with log.open("wb") as out:
            running = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            wait_until(lambda: answers(port), running, log)
            yield f"postgresql://{parts['user']}@127.0.0.1:{port}/{parts['dbname']}"
        finally:
            running.terminate()
            running.wait(timeout=30)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[str]:
    """A MariaDB of this session, as SQLAlchemy's URL."""
    pytest.importorskip("pymysql", reason="pymysql is not installed: make integration brings it")
    server = program("mariadbd", "mariadb-server")
    install = program("mariadb-install-db", "mariadb-server")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="hog-mariadb-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        data, log = folder / "data", folder / "mariadb.log"
        data.mkdir()
        user = other_user("mysql", "nobody")
        owner = [f"--user={user}"] if user else []
        environment = {**os.environ, "TMPDIR": str(folder)}  # where that user may write
        if user:
            shutil.chown(data, user)
            shutil.chown(folder, user)
        subprocess.run(
            [
                install,
                "--no-defaults",
                f"--datadir={data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                *owner,
            ],
            check=True,
            capture_output=True,
            env=environment,
        )
        with log.open("wb") as out:
            running = subprocess.Popen(
                [
                    server,
                    "--no-defaults",
                    f"--datadir={data}",
                    f"--socket={folder}/mariadb.sock",
                    f"--port={port}",
                    "--bind-address=127.0.0.1",
                    "--character-set-server=utf8mb4",
                    "--skip-log-bin",
                    "--innodb-flush-log-at-trx-commit=0",
                    *owner,
                ],
                stdout=out,
                stderr=out,
                env=environment,
            )
        try:
            wait_until(lambda: answers(port), running, log)
            import pymysql

            con = pymysql.connect(host="127.0.0.1", port=port, user="root")
            with con, con.cursor() as cursor:
                cursor.execute("CREATE DATABASE warehouse")
                cursor.execute("CREATE USER hog@'127.0.0.1' IDENTIFIED BY 'hog'")
                cursor.execute("GRANT ALL ON *.* TO hog@'127.0.0.1'")
            yield f"mysql+pymysql://hog:hog@127.0.0.1:{port}/warehouse"
        finally:
            running.terminate()
            running.wait(timeout=60)
