"""The rate limit of many machines: processes that share nothing but a PostgreSQL database."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from rate_limit_kit import KEY, Hands, on_another_machine

from bench.rate_limit import floor_seconds
from hog_dagster.posthog import PostHogClient, Rate, RateLimitEvent, errors
from hog_dagster.posthog._rate_limit import shared_store
from hog_dagster.posthog._rate_limit.limiter import RateLimiter, TooLong
from hog_dagster.posthog._rate_limit.postgres_connection import Connection
from hog_dagster.posthog._rate_limit.shared_store import TRY_AGAIN_S, SharedStore
from hog_dagster.sandbox import Sandbox

Limits = tuple[tuple[int, float], ...]
WORKER = """
import json, sys, tempfile
from hog_dagster.posthog import PostHogClient
url, database, directory, requests, limits = sys.argv[1:6]
tempfile.tempdir = directory  # A machine of its own.
said = []
with PostHogClient(
    url, "phx_sandbox", 1, limits={"default": json.loads(limits)}, headroom=1.0,
    rate_limit=database, on_rate_limit=lambda event: said.append(event.kind),
) as client:
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(requests)):
        client.server.key()
    print(client.requests_made, *set(said), flush=True)
"""


def start(code: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def ask(limiter: RateLimiter, max_wait: float = 0.0):
    return limiter.acquire("default", max_wait=max_wait, on_wait=lambda *_: None)


def drained(database: str, folder: Path, limits: Limits, each: int) -> tuple[list[int], float]:
    """What four machines get that send ``each`` requests: statuses, and seconds over all."""
    with Sandbox("docs", limits={"default": limits}, populate=False) as sandbox:
        workers = []
        for number in range(4):
            (folder / str(number)).mkdir()
            given = (sandbox.url, database, str(folder / str(number)), str(each))
            workers.append(start(WORKER, *given, json.dumps(limits)))
        for worker in workers:
            assert line(worker) == "ready"
        began = time.monotonic()
        for worker in workers:
            go(worker)
        assert [line(worker).split()[0] for worker in workers] == [str(each)] * 4
        seconds = time.monotonic() - began
        for worker in workers:
            worker.communicate(timeout=10)
        return [record.status for record in sandbox.requests], seconds


@pytest.mark.integration
def test_processes_on_machines_of_their_own_get_no_429(postgres_url: str, tmp_path: Path) -> None:
    limits = ((40, 1.0), (100, 4.0))
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(postgres_url, autocommit=True) as con:
        # Some databases are set so; what others committed meanwhile must be seen all the same.
        con.execute(
            f'ALTER DATABASE "{name}" SET default_transaction_isolation = "serializable"'.encode()
        )
    statuses, seconds = drained(postgres_url, tmp_path, limits, 30)
    assert statuses == [200] * 120
    # Responses take as long as a window here, on a busy machine.
    assert seconds < floor_seconds(120, limits) * 2 + 1


@pytest.mark.slow
def test_processes_on_machines_of_their_own_lose_less_than_a_twentieth_of_the_limit(
    postgres_url: str, tmp_path: Path
) -> None:
    limits = ((100, 10.0), (200, 30.0))
    statuses, seconds = drained(postgres_url, tmp_path, limits, 125)
    assert statuses == [200] * 500
    assert seconds < floor_seconds(500, limits) * 1.05


HOLDER = """
import os, sys
from hog_dagster.posthog import Rate
from hog_dagster.posthog._rate_limit import postgres_sql, postgres_store
from hog_dagster.posthog._rate_limit.limiter import RateLimiter
postgres_sql.IN_FLIGHT_S, postgres_store.BLOCK_S = 0.5, 5.0
limiter = RateLimiter("key", limits={"default": [Rate(60, 2.0)]}, headroom=1, where=sys.argv[1])
for _ in range(12):
    slot, _ = limiter.acquire("default", max_wait=5, on_wait=lambda *_: None)
    slot.done()
print(len(limiter._store._database._buckets["default"].block), flush=True)
sys.stdin.readline()
"""


def test_the_block_of_a_process_killed_in_the_middle_comes_back(postgres_url: str) -> None:
    holder = start(HOLDER, postgres_url)
    assert int(line(holder)) > 0
    limiter = RateLimiter(
        "key", limits={"default": [Rate(60, 2.0)]}, headroom=1, where=postgres_url
    )
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    for _ in range(120):  # Two whole windows.
        ask(limiter, 10)[0].done()
    for _ in range(60):  # Of which the last ones can only be had once all came back.
        _, waited = ask(limiter, 10)
        assert waited < 3
    limiter.close()


def disconnect(postgres_server: str, database: str, *, allow: bool) -> None:
    name = database.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(postgres_server, autocommit=True) as con:
        con.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {allow}'.encode())
        con.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )


def test_while_the_database_is_away_each_machine_keeps_to_its_share(
    postgres_server: str, postgres_url: str, tmp_path: Path
) -> None:
    clock, said = Hands(), []
    limits = {"default": [Rate(12, 60.0)]}
    made = []
    for number in range(3):
        with on_another_machine(tmp_path / str(number)):
            made.append(
                RateLimiter(
                    "key",
                    limits=limits,
                    headroom=1,
                    where=postgres_url,
                    clock=clock,
                    on_change=said.append,
                )
            )
    for _ in range(2):  # The first time, a machine does not know of those that come after it.
        for limiter in made:
            ask(limiter)[0].done()
            ask(limiter)[0].done()
        clock.advance(61)
    disconnect(postgres_server, postgres_url, allow=False)
    for limiter in made:
        for _ in range(4):  # A third of 12.
            ask(limiter)[0].done()
        with pytest.raises(TooLong):
            ask(limiter)
        clock.advance(0.001)
    assert len(said) == 3  # One sentence each.
    assert "1/3 of the limits, because 3 machines used the key" in said[0]
    assert "It is tried again every 10 s" in said[0]
    clock.advance(TRY_AGAIN_S)
    with pytest.raises(TooLong):
        ask(made[0])
    assert len(said) == 3
    # It comes back by itself, and is told what was sent meanwhile.
    disconnect(postgres_server, postgres_url, allow=True)
    clock.advance(TRY_AGAIN_S)
    for limiter in made:
        with contextlib.suppress(TooLong):
            ask(limiter)
    assert said[3:] == [said[3]] * 3
    assert "again" in said[3]
    assert made[0].usage()[0].used >= 12
    with pytest.raises(TooLong):
        ask(made[0])
    clock.advance(61)
    assert ask(made[0])[1] == 0
    for limiter in made:
        limiter.close()


def test_a_database_that_never_was_there_is_said_once_and_without_its_password(
    tmp_path: Path,
) -> None:
    clock, said = Hands(), []
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        url = f"postgresql://me:s3cr3t@127.0.0.1:{port}/limits"
        with on_another_machine(tmp_path):
            limiter = RateLimiter(
                "key",
                limits={"default": [Rate(2, 60.0)]},
                headroom=1,
                where=url,
                clock=clock,
                on_change=said.append,
            )
        for _ in range(2):
            ask(limiter)[0].done()
        with pytest.raises(TooLong):
            ask(limiter)
        assert [line.used for line in limiter.usage()] == [2]
        limiter.hold("default", 5)
        limiter.close()
    (sentence,) = said
    assert f"postgresql://me@127.0.0.1:{port}/limits" in sentence
    assert "all of the limits, because no other machine was seen" in sentence
    assert "s3cr3t" not in sentence


def test_threads_do_not_try_in_turn_to_reach_a_database_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    first = threading.Event()

    def connect(self: Connection) -> None:
        tried.append(1)
        first.wait(10)  # The others ask meanwhile.
        raise OSError("nobody answers")

    monkeypatch.setattr(Connection, "_connect", connect)
    with on_another_machine(tmp_path):
        limiter = RateLimiter("key", where="postgresql://me@127.0.0.1:1/none")
    threads = [threading.Thread(target=ask, args=(limiter,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    store = limiter._store
    assert isinstance(store, SharedStore)
    end = time.monotonic() + 10
    while store._database._of("default").asking < 8 and time.monotonic() < end:
        time.sleep(0.005)
    first.set()
    for thread in threads:
        thread.join(20)
    assert len(tried) == 1
    assert limiter.usage()[0].used == 8


def test_a_role_that_may_not_make_tables_is_told_so(
    postgres_server: str, postgres_url: str, tmp_path: Path
) -> None:
    said: list[str] = []
    with psycopg.connect(postgres_url, autocommit=True) as con:
        con.execute("DROP SCHEMA public CASCADE")
        con.execute("CREATE SCHEMA public")
        con.execute(
            "DO $$ BEGIN CREATE ROLE nobody_special LOGIN; EXCEPTION WHEN "
            "duplicate_object THEN NULL; END $$"
        )
        con.execute("GRANT USAGE ON SCHEMA public TO nobody_special")
    url = postgres_url.replace("//postgres:@", "//nobody_special:@")
    assert url != postgres_url
    with on_another_machine(tmp_path):
        limiter = RateLimiter("key", where=url, on_change=said.append)
    ask(limiter)
    assert "may not read, write or make the tables" in said[0]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_both_drivers_do(postgres_url: str, driver: str) -> None:
    url = postgres_url.replace("postgresql://", f"postgresql+{driver}://")
    limiter = RateLimiter(
        "key", limits={"default": [Rate(30, 60.0)]}, headroom=1, where=url, on_change=pytest.fail
    )
    for _ in range(30):
        ask(limiter)[0].done()
    with pytest.raises(TooLong):
        ask(limiter)
    assert limiter.usage()[0].used == 30
    limiter.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_opens_a_connection_of_its_own(postgres_url: str) -> None:
    limiter = RateLimiter("key", where=postgres_url, on_change=pytest.fail)
    for _ in range(3):
        ask(limiter)[0].done()
    child = os.fork()
    if child == 0:
        for _ in range(5):
            ask(limiter)[0].done()
        limiter.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    for _ in range(3):
        ask(limiter)[0].done()
    limiter.close()
    assert limiter.usage()[0].used == 11


def test_no_state_of_a_session_outlives_a_transaction(postgres_url: str) -> None:
    """What a pooler in transaction mode needs: the next transaction may have another session."""
    limiter = RateLimiter("key", where=postgres_url, on_change=pytest.fail)
    for _ in range(20):
        ask(limiter)[0].done()
    store = limiter._store
    assert isinstance(store, SharedStore)
    with store._database._db._open.cursor() as cursor:
        for question, answer in (
            ("SELECT current_setting('synchronous_commit')", "on"),
            ("SELECT current_setting('statement_timeout')", "0"),
            ("SELECT current_setting('lock_timeout')", "0"),
            ("SELECT count(*) FROM pg_prepared_statements", 0),
            ("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", 0),
        ):
            cursor.execute(question)
            assert cursor.fetchone() == (answer,)
    limiter.close()


@pytest.fixture
def pooler(postgres_url: str) -> Iterator[str]:
    """A pgbouncer in transaction mode, with two connections to the database."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    base, _, query = postgres_url.partition("?")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Not in pytest's own folder, which is closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="hog-pooler-"))
    folder.chmod(0o755)
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\nlimits = {query} dbname={base.rpartition('/')[2]} user=postgres\n"
        "[pgbouncer]\npool_mode = transaction\ndefault_pool_size = 2\nauth_type = any\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
    )
    # It refuses to run as root, and only the server's own user may reach its socket.
    owner = Path(query.partition("=")[2]).owner()
    as_user = ["-u", owner] if os.getuid() == 0 else []
    running = subprocess.Popen([program, "-q", *as_user, str(settings)])
    try:
        end = time.monotonic() + 10
        while time.monotonic() < end and running.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
        yield f"postgresql://me:none@127.0.0.1:{port}/limits"
    finally:
        running.terminate()
        running.wait(10)
        shutil.rmtree(folder)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_pooler_in_transaction_mode_may_be_between(pooler: str, driver: str) -> None:
    url = pooler.replace("postgresql://", f"postgresql+{driver}://")
    limiters = [
        RateLimiter(
            "key",
            limits={"default": [Rate(60, 60.0)]},
            headroom=1,
            where=url,
            on_change=pytest.fail,
        )
        for _ in range(5)  # More than there are connections.
    ]
    for _ in range(6):
        for limiter in limiters:
            ask(limiter)[0].done()
    for limiter in limiters:
        limiter.close()
    assert limiters[0].usage()[0].used == 30
    limiters[0].close()


def test_an_event_tells_of_a_database_that_is_away(tmp_path: Path) -> None:
    told: list[RateLimitEvent] = []
    with (
        Sandbox("docs", limits=False, populate=False) as sandbox,
        on_another_machine(tmp_path),
        PostHogClient(
            sandbox.url,
            KEY,
            1,
            rate_limit="postgresql://me:s3cr3t@127.0.0.1:1/none",
            on_rate_limit=told.append,
        ) as client,
    ):
        client.server.key()
        client.server.key()
    assert [event.kind for event in told] == ["store"]
    assert "s3cr3t" not in told[0].message


@pytest.mark.parametrize(
    "where",
    [
        "postgresql://me:p@ss:s3cr3t@host/db",
        "postgresql://me:s3cr3t@host:port/db",
        "mysql://me:s3cr3t@host/db",
        "sqlite:////tmp/s3cr3t.sqlite",
        "host=h password=s3cr3t nonsense",
    ],
)
def test_a_place_that_cannot_be_read_is_refused_without_its_secret(where: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        RateLimiter("key", where=where)
    assert "s3cr3t" not in str(caught.value)
    assert "HOG_DAGSTER_RATE_LIMIT" in str(caught.value)
    assert caught.value.__context__ is None or "s3cr3t" not in str(caught.value.__context__)


def test_the_machine_has_one_id_for_all_its_processes(tmp_path: Path, postgres_url: str) -> None:
    with on_another_machine(tmp_path / "a"):
        one, two = (SharedStore("k", postgres_url, Hands(), pytest.fail) for _ in range(2))
    with on_another_machine(tmp_path / "b"):
        other = SharedStore("k", postgres_url, Hands(), pytest.fail)
    ids = [store._database._machine for store in (one, two, other)]
    assert ids[0] == ids[1] != ids[2]
    assert shared_store.is_shared(postgres_url)
    assert shared_store.is_shared("host=db dbname=ledger")
    assert not shared_store.is_shared("/var/lib/limits")
