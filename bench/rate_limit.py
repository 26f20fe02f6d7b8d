"""The rate limiter, measured: machines that drain requests through a scaled-down limit.

Run with ``python -m bench.rate_limit``; with ``--pyrate PYTHON`` it also measures PyrateLimiter's
PostgreSQL bucket, with the Python of an environment that has pyrate-limiter and psycopg[pool].

Every case sends the same requests by the same plain HTTP client to the same sandbox, which counts
as PostHog does, from processes that share nothing but the database (or the directory). Shown are
the 429 answers, the time compared with the floor (what a sliding window of that size needs at
least), and what a request costs in a process alone that never has to wait.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Drained", "drain", "floor_seconds"]

Limits = tuple[tuple[int, float], ...]
PROCESSES = 4
REQUESTS = 300
#: PostHog's two windows, smaller: a short one of 20 seconds and a long one of 60.
LIMITS: Limits = ((100, 20.0), (250, 60.0))

_OURS = """
from hog_dagster.posthog import Rate
from hog_dagster.posthog._rate_limit.limiter import RateLimiter
def made(where, limits):
    rates = [Rate(*rate) for rate in limits]
    limiter = RateLimiter("key", limits={"default": rates}, headroom=1.0, where=where)
    def take():
        return limiter.acquire("default", max_wait=600, on_wait=lambda *_: None)[0].done
    return take, limiter.close
"""
_PYRATE = """
from psycopg_pool import ConnectionPool
from pyrate_limiter import Limiter, PostgresBucket, Rate
def made(where, limits):
    pool = ConnectionPool(where, min_size=1, max_size=2, open=True)
    rates = [Rate(requests, int(seconds * 1000)) for requests, seconds in limits]
    limiter = Limiter(PostgresBucket(pool, "key", rates))
    def take():
        limiter.try_acquire("key", blocking=True)
        return lambda: None
    return take, pool.close
"""
_WORKER = """
import http.client, json, sys, tempfile, time
where, directory, address, requests, limits = sys.argv[1:6]
tempfile.tempdir = directory  # A machine of its own.
take, close = made(where, json.loads(limits))
name, port = address.split(":")
peer = http.client.HTTPConnection(name, int(port))
def send():
    peer.request("GET", "/api/users/@me/", headers={"Authorization": "Bearer phx_sandbox"})
    peer.getresponse().read()
print("ready", flush=True)
sys.stdin.readline()
spent = 0.0
for _ in range(int(requests)):
    began = time.perf_counter()
    done = take()
    spent += time.perf_counter() - began
    send()
    began = time.perf_counter()
    done()
    spent += time.perf_counter() - began
close()
print(spent, flush=True)
"""


@dataclass(frozen=True)
class Drained:
    """What one run took."""

    requests: int
    refused: int
    seconds: float
    floor: float

    @property
    def over(self) -> float:
        """How much longer than the floor, as a part of it."""
        return self.seconds / self.floor - 1


def floor_seconds(requests: int, limits: Limits) -> float:
    """The least time a client can take that knows the limits: full bursts as windows open."""
    sent: list[float] = []
    for n in range(requests):
        earliest = [sent[n - most] + seconds for most, seconds in limits if n >= most]
        sent.append(max([sent[-1] if sent else 0.0, *earliest]))
    return sent[-1]


def drain(
    python: str, code: str, where: str, *, requests: int = REQUESTS, processes: int = PROCESSES
) -> Drained:
    """Drain ``requests`` with ``processes`` through :data:`LIMITS`."""
    from hog_dagster.sandbox import Sandbox

    each = math.ceil(requests / processes)
    with (
        Sandbox("docs", limits={"default": LIMITS}, populate=False) as sandbox,
        tempfile.TemporaryDirectory() as folder,
    ):
        address = sandbox.url.partition("://")[2]
        workers = []
        for number in range(processes):
            own = Path(folder) / str(number)
            own.mkdir()
            given = [where or folder, str(own), address, str(each), json.dumps(LIMITS)]
            workers.append(_started([python, "-c", code + _WORKER, *given]))
        for worker in workers:
            _line(worker)
        began = time.perf_counter()
        for worker in workers:
            _go(worker)
        ended = [bool(_line(worker)) for worker in workers]
        seconds = time.perf_counter() - began  # Without the time that the processes take to end.
        if any(worker.wait() for worker in workers) or not all(ended):
            raise RuntimeError("a worker failed")
        statuses = [record.status for record in sandbox.requests]
    refused = statuses.count(429)
    return Drained(len(statuses), refused, seconds, floor_seconds(each * processes, LIMITS))


def cost_ms(python: str, code: str, where: str, requests: int = 400) -> float:
    """Milliseconds that the limiter adds to a request, alone and without any wait."""
    from hog_dagster.sandbox import Sandbox

    limits = ((480, 60.0), (4_800, 3_600.0))
    with (
        Sandbox("docs", limits=False, populate=False) as sandbox,
        tempfile.TemporaryDirectory() as folder,
    ):
        address = sandbox.url.partition("://")[2]
        given = [where or folder, folder, address, str(requests), json.dumps(limits)]
        worker = _started([python, "-c", code + _WORKER, *given])
        _line(worker)
        _go(worker)
        spent = float(_line(worker))
        worker.wait()
    return spent / requests * 1e3


def _started(command: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _line(worker: "subprocess.Popen[str]") -> str:
    assert worker.stdout is not None
    return worker.stdout.readline()


def _go(worker: "subprocess.Popen[str]") -> None:
    assert worker.stdin is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one run; 1 when ours got a 429 or took more than 5 % longer than the floor."""
    from bench.measure import postgres_server

    parser = argparse.ArgumentParser(prog="python -m bench.rate_limit", description=__doc__)
    parser.add_argument("--pyrate", metavar="PYTHON", help="an environment with pyrate-limiter")
    parser.add_argument("--rounds", type=int, default=3, help="runs of every case")
    given = parser.parse_args(arguments)
    wrong, floor = False, floor_seconds(REQUESTS, LIMITS)
    with postgres_server() as database:
        cases = {
            "files of one machine": (sys.executable, _OURS, ""),
            "PostgreSQL": (sys.executable, _OURS, database),
        }
        if given.pyrate:
            cases["PyrateLimiter's PostgreSQL bucket"] = (given.pyrate, _PYRATE, database)
        runs: dict[str, list[Drained]] = {name: [] for name in cases}
        costs: dict[str, list[float]] = {name: [] for name in cases}
        for number in range(given.rounds):
            for name, (python, code, where) in cases.items():
                key = f'"key-{number}"'
                costs[name].append(cost_ms(python, code.replace('"key"', key), where))
                key = f'"drained-{number}"'
                runs[name].append(drain(python, code.replace('"key"', key), where))
    print("|  | ms a request | requests | 429 answers | seconds | of the floor |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, drained in runs.items():
        seconds = statistics.median(run.seconds for run in drained)
        refused = sum(run.refused for run in drained)
        over = seconds / floor - 1
        requests = sum(run.requests for run in drained)
        cost = statistics.median(costs[name])
        print(f"| {name} | {cost:.2f} | {requests:,} | {refused} | {seconds:.1f} | {over:+.1%} |")
        if not name.startswith("Pyrate"):
            wrong = wrong or refused > 0 or over > 0.05
    print(f"\n{PROCESSES} processes, limits {LIMITS}, floor {floor:.1f} s.")
    return int(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
