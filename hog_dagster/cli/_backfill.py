"""`hog-dagster backfill --from --to`: many days into the warehouse, with a bar and an estimate.

It materializes the partitioned assets of the default code location through Dagster, a stretch of
days a run, oldest first, because PostHog deletes the oldest days first. A day that Dagster has on
record is not read again, so an interrupted backfill goes on where it stopped.
"""

import argparse
import logging
import math
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import uuid4

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable

from hog_dagster.assets.families import Family, HogFunctionFamily, Source, WorkflowFamily
from hog_dagster.assets.landing import server_now
from hog_dagster.assets.partitions import PARTITIONED_TABLES, RETENTION_DAYS, steps_of
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.resources import PostHogResource

__all__ = ["Estimate", "add_arguments", "estimate", "run"]

_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"
_PAGE = 500
_INTERRUPTED = 130  # what a shell says of a command that Ctrl-C ended
# Dagster's own lines would push the bar away; what fails is said in the end.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2026-01-31") from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--from", dest="first", type=_day, required=True, help="first day (UTC)")
    parser.add_argument("--to", dest="last", type=_day, required=True, help="last day, included")
    parser.add_argument(
        "--tables",
        default=",".join(PARTITIONED_TABLES),
        help=f"comma-separated; all by default: {', '.join(PARTITIONED_TABLES)}",
    )
    parser.add_argument("--days-per-run", type=int, default=7, help="days read in one go (7)")
    parser.add_argument("--again", action="store_true", help="read days on record again too")
    parser.add_argument("--estimate", action="store_true", help="only say what it would take")


@dataclass(frozen=True)
class Estimate:
    """What a backfill asks of PostHog: requests by table, and the time they take at least.

    `seconds` is the time in which the key's limits let that many requests through, when nobody else
    uses the key.
    """

    requests: dict[str, int]
    seconds: float

    @property
    def total(self) -> int:
        """All requests."""
        return sum(self.requests.values())


def estimate(
    client: PostHogClient, tables: Sequence[str], stretches: Sequence[tuple[date, date]]
) -> Estimate:
    """Estimate a backfill before it starts. Costs one request per list and one per source of logs.

    Metrics are exact: one request per workflow and step, and per hog function, for each stretch.
    Logs are guessed from how fast the newest lines came; runs from the same rate. All of that
    is by REST; HogQL takes far fewer.

    Args:
        client: an open client.
        tables: the tables to fill.
        stretches: (first day, last day) of each run.
    """
    requests: dict[str, int] = {}
    for family, prefix in ((WorkflowFamily(), "workflow"), (HogFunctionFamily(), "hog_function")):
        wanted = [name for name in tables if name.startswith(f"{prefix}_")]
        if not wanted:
            continue
        sources = family.sources(client)
        by_time = _pages(client, family, sources, stretches) if _by_time(wanted) else 0
        steps = sum(1 + len(source.steps) for source in sources)
        for name in wanted:
            requests[name] = steps * len(stretches) if name.endswith("_metrics") else by_time
    total = sum(requests.values())
    return Estimate(requests, _least_seconds(client, total))


def _by_time(tables: Sequence[str]) -> bool:
    return any(not name.endswith("_metrics") for name in tables)


def _pages(
    client: PostHogClient,
    family: Family,
    sources: Sequence[Source],
    stretches: Sequence[tuple[date, date]],
) -> int:
    """How many pages of log lines there may be; none where the server serves none to keys."""
    days = sum((last - first).days + 1 for first, last in stretches)
    pages = 0
    for source in sources:
        try:
            rate = _lines_a_day(client, family, source.id)
        except errors.NotOpenToKeys:
            return 0
        pages += math.ceil(rate * days / _PAGE) + len(stretches)
    return pages


def _lines_a_day(client: PostHogClient, family: Family, source_id: str) -> float:
    now = server_now(client)
    lines = family.service(client).logs(source_id, after=now - timedelta(days=90), before=now)
    page = list(islice(lines, _PAGE // 2))  # the walk is lazy: this costs one request
    if len(page) < 2:
        return float(len(page))
    span = (page[0].timestamp - page[-1].timestamp).total_seconds()
    return len(page) / max(span, 60.0) * 86_400


def _least_seconds(client: PostHogClient, requests: int) -> float:
    """A window lets `free` requests through at once and `allowed` more each time it has passed."""
    waits = [0.0]
    for usage in client.server.usage():
        if usage.bucket == "default" and requests > usage.free:
            waits.append(math.ceil((requests - usage.free) / usage.allowed) * usage.seconds)
    return max(waits)


def run(args: argparse.Namespace) -> int:
    """Run the backfill.

    Returns:
        0 when every day landed, 1 when a run failed (the text says which and how to go on), 130
        when Ctrl-C ended it.
    """
    if args.first > args.last:
        raise ValueError(f"--from {args.first} is after --to {args.last}: swap them.")
    if args.days_per_run < 1:
        raise ValueError(f"--days-per-run is {args.days_per_run}; give 1 or more.")
    tables = [name.strip() for name in args.tables.split(",") if name.strip()]
    if unknown := sorted(set(tables) - set(PARTITIONED_TABLES)):
        raise ValueError(
            f"--tables names {', '.join(unknown)}, which cannot be backfilled by day; "
            f"choose among {', '.join(PARTITIONED_TABLES)}."
        )
    warnings.simplefilter("ignore")
    logging.getLogger("dagster").setLevel(logging.ERROR)
    from hog_dagster.definitions import defs

    console = Console()
    with dg.DagsterInstance.get() as instance:
        work = _plan(defs, instance, tables, args, console)
        if not work:
            console.print("Every day asked for is on record already; --again reads them again.")
            return 0
        posthog = (defs.resources or {})["posthog"]
        with dg.build_resources({"posthog": posthog}) as built:
            _print_estimate(console, built.posthog, work)
        return 0 if args.estimate else _work_off(defs, instance, work, console)


Work = list[tuple[str, str, str]]


def _plan(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    tables: Sequence[str],
    args: argparse.Namespace,
    console: Console,
) -> Work:
    """(table, first key, last key) of every run, oldest days first."""
    today = datetime.now(UTC).date()
    work: Work = []
    for table in tables:
        key = dg.AssetKey(["posthog", table])
        graph = defs.resolve_asset_graph()
        if not graph.has(key):
            console.print(f"{table} is left out: this code location does not read it.")
            continue
        partitions = graph.get(key).partitions_def
        assert partitions is not None
        every = [day for day in partitions.get_partition_keys() if _inside(day, args)]
        oldest = str(today - timedelta(days=RETENTION_DAYS[table]))
        if gone := [day for day in every if day < oldest]:
            console.print(
                f"{table}: {len(gone)} days before {oldest} are left out; PostHog keeps these rows "
                f"for {RETENTION_DAYS[table]} days."
            )
        done = set() if args.again else set(instance.get_materialized_partitions(key))
        wanted = [day for day in every if day >= oldest and day not in done]
        for first, last in steps_of(wanted, args.days_per_run):
            work.append((table, first, last))
    return sorted(work, key=lambda item: (item[1], item[0]))


def _inside(key: str, args: argparse.Namespace) -> bool:
    return str(args.first) <= key[:10] <= str(args.last)


def _print_estimate(console: Console, posthog: PostHogResource, work: Work) -> None:
    tables = sorted({table for table, _, _ in work})
    stretches = sorted(
        {(date.fromisoformat(first[:10]), date.fromisoformat(last[:10])) for _, first, last in work}
    )
    guess = estimate(posthog.client, tables, stretches)
    shown = RichTable(title="Estimate", title_justify="left")
    shown.add_column("table")
    shown.add_column("runs", justify="right")
    shown.add_column("requests, about", justify="right")
    for table in tables:
        runs = sum(1 for name, _, _ in work if name == table)
        shown.add_row(table, str(runs), f"{guess.requests.get(table, 0):,}")
    console.print(shown)
    console.print(
        f"{guess.total:,} requests; under the key's limits that takes at least "
        f"{timedelta(seconds=round(guess.seconds))}."
    )


def _work_off(
    defs: dg.Definitions, instance: dg.DagsterInstance, work: Work, console: Console
) -> int:
    whole = defs.resolve_implicit_global_asset_job_def()
    columns: list[Any] = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    ]
    with (
        Progress(*columns, console=console) as progress,
        ThreadPoolExecutor(1, thread_name_prefix="backfill") as worker,
        _presses() as pressed,
    ):
        bar = progress.add_task("backfill", total=len(work))
        for table, first, last in work:
            days = f"{table} {first[:10]} to {last[:10]}"
            progress.update(bar, description=days)
            # Without the asset's checks: those look at the newest days, and ask PostHog as well.
            job = whole.get_subset(
                asset_selection={dg.AssetKey(["posthog", table])}, asset_check_selection=set()
            )
            run_id = str(uuid4())
            run = worker.submit(
                job.execute_in_process,
                instance=instance,
                run_id=run_id,
                tags={_RANGE_START: first, _RANGE_END: last, "hog_dagster/backfill": "true"},
                run_config=_QUIET,
                raise_on_error=False,
            )
            _wait(run, pressed, instance, run_id, console)
            if not run.result().success:
                console.print(
                    f"[bold red]{days} failed:[/] run {run_id}. Days before it in the list are on "
                    "record; the same command goes on from there."
                )
                return 1
            progress.advance(bar)
            if pressed:
                console.print(f"Stopped after {days}; the same command goes on from there.")
                return _INTERRUPTED
    console.print("Every day asked for has landed.")
    return 0


@contextmanager
def _presses() -> Iterator[list[int]]:
    """Ctrl-C only makes the list longer: once ends the backfill after the run under way, twice at
    once. (The run is in a thread of its own: in the main one, Dagster takes the signal and may
    drop it.)"""
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _wait(
    run: "Future[Any]",
    pressed: Sequence[int],
    instance: dg.DagsterInstance,
    run_id: str,
    console: Console,
) -> None:
    """Wait for a run, or end the process at the second Ctrl-C: what the run has not landed by then
    is not there at all."""
    told = False
    while not run.done():
        wait([run], timeout=0.2)
        if len(pressed) > 1:
            _stop_now(instance, run_id, console)
        if pressed and not told:
            console.print("Stopping when these days have landed; Ctrl-C again stops at once.")
            told = True


def _stop_now(instance: dg.DagsterInstance, run_id: str, console: Console) -> None:
    record = instance.get_run_by_id(run_id)
    if record is not None:
        instance.report_run_canceled(record, message="Ctrl-C was pressed twice.")
    console.print("Stopped. The same command goes on with the days that have not landed.")
    sys.stdout.flush()
    os._exit(_INTERRUPTED)
