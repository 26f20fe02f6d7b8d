"""Carries out the runs of a backfill, and shows rows, requests and time left: a line per table.

Facts: a run that is ended with its process has loaded nothing of its stretch, because a
partition is replaced in one transaction; Dagster keeps what a process of its own has not reported
as running, so it is reported as cancelled here.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import uuid4

import dagster as dg
from rich.live import Live
from rich.text import Text

from hog_dagster.cli import INTERRUPTED
from hog_dagster.cli._output import QUIET_RUN, Output, why_failed
from hog_dagster.posthog import PostHogClient
from hog_dagster.resources import watched_clients

_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"


@dataclass(frozen=True)
class Work:
    """One run: a table, and its partitions from the first to the last."""

    table: str
    key: dg.AssetKey
    first: str
    last: str

    @property
    def days(self) -> str:
        first, last = self.first[:10], self.last[:10]
        return first if first == last else f"{first} to {last}"

    @property
    def many(self) -> int:
        first, last = (date.fromisoformat(key[:10]) for key in (self.first, self.last))
        return (last - first).days + 1

    def keys(self, every: Collection[str]) -> list[str]:
        """Those of the partition keys that it reads."""
        return [key for key in every if self.first <= key <= self.last]


@dataclass
class Line:
    """How far one table is."""

    table: str
    runs: int
    guess: int
    done: int = 0
    rows: int = 0
    requests: int = 0
    days: str = ""


@dataclass
class Progress:
    """How far everything is; drawn as it goes on a terminal, else a line per run."""

    lines: dict[str, Line]
    say: Output
    clients: Sequence[PostHogClient]
    began: float = field(default_factory=time.monotonic)
    current: Line | None = None
    before: int = 0

    def start(self, work: Work) -> None:
        self.current, self.before = self.lines[work.table], self.used()
        self.current.days = work.days

    def end(self, work: Work, rows: int) -> None:
        line = self.lines[work.table]
        made = self.used() - self.before
        line.done, line.rows, line.requests = line.done + 1, line.rows + rows, line.requests + made
        line.days, self.current = "", None
        if not self.say.console.is_terminal and not self.say.json:
            self.say.line(f"{work.table} {work.days}: {rows:,} rows, {made:,} requests")

    def used(self) -> int:
        """Requests of all clients that runs have opened."""
        return sum(client.requests_made for client in self.clients)

    def free(self) -> str:
        """How many requests the key has left, for people."""
        usage = self.clients[-1].server.usage() if self.clients else []
        usage = [one for one in usage if one.bucket == "default"]
        if not usage:
            return ""
        tightest = min(usage, key=lambda one: one.free / one.allowed)
        span = {60.0: "this minute", 3600.0: "this hour"}.get(tightest.seconds, "")
        return f"{tightest.free:,} of {tightest.allowed:,} requests left {span}".rstrip()

    @property
    def requests(self) -> int:
        return sum(line.requests for line in self.lines.values()) + self.under_way

    @property
    def under_way(self) -> int:
        return self.used() - self.before if self.current is not None else 0

    @property
    def requests_left(self) -> int:
        return max(sum(line.guess for line in self.lines.values()) - self.requests, 0)

    def time_left(self) -> str:
        """For people; empty while there is nothing to go by."""
        runs = sum(line.runs for line in self.lines.values())
        done = sum(line.done for line in self.lines.values())
        took = time.monotonic() - self.began
        if done:
            seconds = round(took / done * (runs - done))
        elif self.requests and (left := self.requests_left):
            seconds = round(took / self.requests * left)
        else:
            return ""
        hours, minutes = seconds // 3600, seconds % 3600 // 60
        return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s"

    def __rich__(self) -> Text:
        """A line per table, and one for all of it; at most 60 columns."""
        text = Text(no_wrap=True, overflow="ellipsis")
        for line in self.lines.values():
            made = line.requests + (self.under_way if line is self.current else 0)
            bar = "#" * round(8 * line.done / line.runs)
            text.append(f"{line.table:<20} {bar:.<8} {line.done}/{line.runs}  ")
            text.append(f"{line.rows:,} rows  {made:,} req\n")
        left = self.requests_left
        parts = [f"{self.requests:,} requests used, about {left:,} to go", self.free()]
        if remaining := self.time_left():
            parts.append(f"{remaining} left")
        text.append("\n".join(part for part in parts if part))
        return text


def work_off(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    work: Sequence[Work],
    guess: Mapping[str, int],
    say: Output,
) -> int:
    """Carry out every run; 0 when everything loaded, 1 when a run failed. Ctrl-C ends the process
    at once, with 130. `guess` has the requests that the runs take, by table.
    """
    whole = defs.resolve_implicit_global_asset_job_def()
    tables = dict.fromkeys(one.table for one in work)
    lines = {
        name: Line(name, sum(1 for one in work if one.table == name), guess.get(name, 0))
        for name in tables
    }
    with (
        watched_clients() as clients,
        ThreadPoolExecutor(1, thread_name_prefix="backfill") as worker,
    ):
        progress = Progress(lines, say, clients)
        with _drawn(progress, say) as live, _pressed() as pressed:
            for one in work:
                # Without the asset's checks: they look at the newest days, and ask PostHog too.
                job = whole.get_subset(asset_selection={one.key}, asset_check_selection=set())
                run_id = str(uuid4())
                progress.start(one)
                run = worker.submit(
                    job.execute_in_process,
                    instance=instance,
                    run_id=run_id,
                    tags={
                        _RANGE_START: one.first,
                        _RANGE_END: one.last,
                        "hog_dagster/backfill": "true",
                        "hog_dagster/table": one.table,  # such a run has no target in the UI
                    },
                    run_config=QUIET_RUN,
                    raise_on_error=False,
                )
                _wait(run, pressed, lambda id=run_id: _stop(instance, id, live, progress, say))
                result = run.result()
                if not result.success:
                    why = why_failed(result) or "Dagster says why on the run's page"
                    _close(live)
                    say.error(
                        f"{one.table} {one.days} failed: {why} (run {run_id}). What "
                        "was loaded before is on record; the same command goes on from there."
                    )
                    return 1
                progress.end(one, _rows(result))
    for line in lines.values():
        say.line(f"{line.table:<20}  {line.rows:>12,} rows  {line.requests:>7,} requests")
    say.fields["tables"] = {
        line.table: {"rows": line.rows, "requests": line.requests} for line in lines.values()
    }
    say.text(f"Every day asked for has been loaded. {progress.requests:,} requests used.")
    return 0


@contextmanager
def _drawn(progress: Progress, say: Output) -> Iterator[Live | None]:
    if say.json or not say.console.is_terminal:
        yield None
        return
    with Live(progress, console=say.console, refresh_per_second=4, transient=True) as live:
        yield live


@contextmanager
def _pressed() -> Iterator[list[int]]:
    """Ctrl-C makes the list longer. (A run is in a thread of its own: in the main one, Dagster
    takes the signal and may drop it.)"""
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _wait(run: "Future[Any]", pressed: Sequence[int], stop: Callable[[], None]) -> None:
    while not run.done():
        wait([run], timeout=0.1)
        if pressed and not run.done():
            stop()
    if pressed:
        stop()


def _close(live: Live | None) -> None:
    if live is not None:
        live.stop()


def _stop(
    instance: dg.DagsterInstance, run_id: str, live: Live | None, progress: Progress, say: Output
) -> None:
    """End the process: what the run has not loaded by now is not there at all."""
    _close(live)
    record = instance.get_run_by_id(run_id)
    if record is not None and not record.is_finished:
        instance.report_run_canceled(record, message="hog-dagster backfill: Ctrl-C was pressed.")
    done = sum(line.done for line in progress.lines.values())
    runs = sum(line.runs for line in progress.lines.values())
    say.text(
        f"Stopped: {done} of {runs} runs are loaded, {progress.requests:,} requests used. The "
        "same command goes on with the days that were not loaded."
    )
    say.fields |= {"interrupted": True, "loaded": False}
    say.end()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def _rows(result: Any) -> int:
    """What a run wrote."""
    rows = 0
    for event in result.get_asset_materialization_events():
        metadata = event.step_materialization_data.materialization.metadata
        if "posthog/rows_in_run" in metadata:
            rows += int(metadata["posthog/rows_in_run"].value)
    return rows
