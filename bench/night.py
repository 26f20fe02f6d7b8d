"""The part "a night": what one day's refresh of a large project asks of PostHog.

By HogQL each job runs in a process of its own over HTTP, with 100 ms of latency, PostHog's limits
and one of its three query slots taken by somebody else. By REST the limits alone take two hours, so
that runs in this process on a virtual clock: sleeping moves the clock. Requests are those that the
sandbox counted, in both.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any

import dagster as dg

from bench.night_run import JOBS, QUIET, counted_opens, definitions, tags_of
from bench.night_world import build
from hog_dagster.posthog import PostHogClient
from hog_dagster.resources import PostHogResource
from hog_dagster.sandbox import Sandbox

__all__ = ["Night", "Nights", "VirtualClock", "by_hogql", "by_rest", "measured"]

LATENCY = 0.1
_AT = timedelta(days=1, hours=1, minutes=20)


@dataclass(frozen=True)
class Night:
    """What one night came to.

    Args:
        requests: of each job, as the sandbox counted them.
        refused: answers 429.
        seconds: of all jobs, by the clock that waits were on.
        processes: that ran steps.
        opens: of the warehouse.
        failed: steps and checks that failed.
    """

    requests: dict[str, int]
    refused: int
    seconds: float
    processes: int
    opens: int
    failed: list[str]

    @property
    def total(self) -> int:
        """All requests."""
        return sum(self.requests.values())


@dataclass(frozen=True)
class Nights:
    """What was measured.

    Args:
        hogql: nights in a row, by HogQL.
        rest: a night by REST, where every workflow ran.
        half: the same where half of them did not.
    """

    hogql: list[Night]
    rest: Night
    half: Night


def measured(nights: int) -> Nights:
    """Measure all of them.

    Args:
        nights: so many by HogQL.
    """
    by_query: list[Night] = []
    for night in by_hogql(nights):
        by_query.append(night)
        print(f"night {len(by_query)} of {nights}: {night}", file=sys.stderr)
    whole, half = by_rest(), by_rest(idle=0.5)
    print(f"by REST: {whole}; half idle: {half}", file=sys.stderr)
    return Nights(by_query, whole, half)


class VirtualClock:
    """A clock that moves when somebody sleeps; those who sleep at once sleep together.

    Args:
        now: where it starts.
    """

    def __init__(self, now: datetime) -> None:
        self._start, self._passed, self._lock = now, 0.0, Lock()

    def now(self) -> datetime:
        """This moment."""
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        """Seconds since it started."""
        return self._passed

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        until = self._passed + max(seconds, 0.0)
        with self._lock:
            self._passed = max(self._passed, until)
        time.sleep(0)  # Others have their turn.

    def advance(self, seconds: float) -> None:
        """As `sleep`."""
        self.sleep(seconds)


def by_hogql(nights: int = 1) -> Iterator[Night]:
    """Nights one after the other, each with a new day of rows and no change of definitions."""
    first = _today() - timedelta(days=nights)
    with _sandbox(first, latency=LATENCY) as sandbox, _folder() as folder:
        project = build(sandbox, before=first)
        sandbox.site.queries.others = 1
        for night in range(nights):
            day = first + timedelta(days=night)
            project.add_day(sandbox, day)
            sandbox.clock.set(day + _AT)
            jobs = {job: _in_a_process(sandbox, folder, first, day, job) for job in JOBS}
            yield Night(
                {job: found["requests"] for job, found in jobs.items()},
                sum(found["refused"] for found in jobs.values()),
                sum(found["seconds"] for found in jobs.values()),
                sum(found["processes"] for found in jobs.values()),
                sum(found["opens"] for found in jobs.values()),
                [text for found in jobs.values() for text in found["failed"]],
            )


def by_rest(*, idle: float = 0.0) -> Night:
    """One night of a key without query:read, on a virtual clock.

    Args:
        idle: the share of workflows that did not run.
    """
    day = _today() - timedelta(days=1)
    clock = VirtualClock(day)
    key = {"phx_rest": ["hog_flow:read", "hog_function:read", "insight:read", "group:read"]}
    key["phx_rest"] += ["person:read", "project:read"]
    sandbox = Sandbox(populate=False, clock=clock, keys=key, latency=LATENCY)
    transport = sandbox.transport()
    with _folder() as folder, dg.DagsterInstance.ephemeral() as instance:
        project = build(sandbox, before=day, idle=idle)
        project.add_day(sandbox, day)
        clock.sleep(_AT.total_seconds())

        class Virtual(PostHogResource):
            """The project in this process."""

            def _open(self) -> PostHogClient:
                return PostHogClient(
                    self.host,
                    self.api_key,
                    self.project_id,
                    max_wait=self.max_wait_seconds,
                    headroom=self.headroom,
                    rate_limit=folder,
                    transport=transport,
                    clock=clock,
                )

        posthog = Virtual(host=sandbox.url, api_key=sandbox.api_key, project_id="1")
        # One request at a time, so that nobody's sleep is another's timeout.
        built = definitions(folder, day.date().isoformat(), posthog, workers=1)
        requests: dict[str, int] = {}
        refused, failed, opened = 0, list[str](), counted_opens()
        begun = clock.monotonic()
        for job in JOBS:
            sandbox.reset_counts()
            found = built.resolve_job_def(JOBS[job]).execute_in_process(
                instance=instance,
                tags=tags_of(day.date().isoformat()) if job == "partitions" else {},
                run_config=QUIET,
                raise_on_error=False,
            )
            requests[job] = len(sandbox.requests)
            refused += sum(record.status == 429 for record in sandbox.requests)
            failed += [str(e.step_key) for e in found.all_events if e.is_step_failure]
        return Night(requests, refused, clock.monotonic() - begun, 1, len(opened), failed)


def _in_a_process(
    sandbox: Sandbox, folder: str, first: datetime, day: datetime, job: str
) -> dict[str, Any]:
    sandbox.reset_counts()
    given = {
        "url": sandbox.url,
        "key": sandbox.api_key,
        "folder": folder,
        "start": first.date().isoformat(),
        "day": day.date().isoformat(),
        "job": job,
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.night_run", json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DAGSTER_HOME": folder, "TMPDIR": folder},
    )
    if done.returncode:
        raise RuntimeError(f"{job} failed:\n{done.stderr[-2_000:]}")
    refused = sum(record.status == 429 for record in sandbox.requests)
    found = json.loads(done.stdout.splitlines()[-1])
    return {**found, "requests": len(sandbox.requests), "refused": refused}


def _today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@contextmanager
def _sandbox(now: datetime, **given: Any) -> Iterator[Sandbox]:
    with Sandbox(populate=False, now=now, **given) as sandbox:
        yield sandbox


@contextmanager
def _folder() -> Iterator[str]:
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="hog-night-", dir=memory) as folder:
        yield folder
