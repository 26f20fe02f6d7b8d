"""Pacing, measured: four processes drain 2,000 requests through a scaled-down limit.

Run with ``python -m bench.pacing``. Counts the 429 answers of the sandbox (none are allowed) and
compares the time with the floor: the time a sliding window of that size needs at least.
"""

import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from hog_dagster.sandbox import Sandbox

PROCESSES = 4
REQUESTS = 2_000
#: PostHog's two windows, smaller: a short one of 2 seconds and a long one of 12.
LIMITS = ((100, 2.0), (500, 12.0))

WORKER = """
import sys, time
from hog_dagster.posthog import PostHogClient
url, directory, requests = sys.argv[1], sys.argv[2], int(sys.argv[3])
limits = {"default": %r}
with PostHogClient(
    url, "phx_sandbox", 1, limits=limits, headroom=1.0, pacing_dir=directory, max_wait=600
) as client:
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(requests):
        client.server.key()
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


def floor_seconds(requests: int, limits: tuple[tuple[int, float], ...]) -> float:
    """The least time a client can take that knows the limits: full bursts as windows open."""
    sent: list[float] = []
    for n in range(requests):
        earliest = [sent[n - most] + seconds for most, seconds in limits if n >= most]
        sent.append(max([sent[-1] if sent else 0.0, *earliest]))
    return sent[-1]


def drain(processes: int = PROCESSES, requests: int = REQUESTS) -> Drained:
    """Drain ``requests`` with ``processes`` through :data:`LIMITS`."""
    each = math.ceil(requests / processes)
    with (
        Sandbox("docs", limits={"default": LIMITS}, populate=False) as sandbox,
        tempfile.TemporaryDirectory() as directory,
    ):
        command = [
            sys.executable,
            "-c",
            WORKER % (list(LIMITS),),
            sandbox.url,
            directory,
            str(each),
        ]
        workers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        started = time.perf_counter()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        codes = [worker.wait() for worker in workers]
        seconds = time.perf_counter() - started
        if any(codes):
            raise RuntimeError(f"a worker failed: exit codes {codes}")
        statuses = [record.status for record in sandbox.requests]
    return Drained(
        len(statuses), statuses.count(429), seconds, floor_seconds(each * processes, LIMITS)
    )


def main() -> int:
    """Print one run; 1 when there was a 429 or it took more than 10 % longer than the floor."""
    run = drain()
    print(
        f"{run.requests} requests by {PROCESSES} processes through {LIMITS}: {run.refused} x 429, "
        f"{run.seconds:.1f} s, floor {run.floor:.1f} s, {run.over:+.1%}"
    )
    return int(run.refused > 0 or run.over > 0.10)


if __name__ == "__main__":
    raise SystemExit(main())
