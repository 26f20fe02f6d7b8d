"""`hog-dagster backfill --from --to`: many days into the warehouse, with progress; resumes.

It materializes the partitioned assets of the project through Dagster, a stretch of days a run,
oldest first, because PostHog deletes the oldest days first. A day that Dagster has on record is not
read again, so an interrupted backfill goes on where it stopped.
"""

import logging
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import click
import dagster as dg
from rich.console import Console

from hog_dagster.assets import MESSAGE_TABLES, PARTITIONED_TABLES, RETENTION_DAYS, steps_of
from hog_dagster.cli._backfill_runs import Work, work_off
from hog_dagster.cli._output import Output
from hog_dagster.cli._plan import chosen_by
from hog_dagster.cli._project import Project, Usage, check_key, find_project, project_options
from hog_dagster.cli._project_size import measure, with_emails
from hog_dagster.cli._request_plan import Requests, of_run
from hog_dagster.posthog import PostHogClient
from hog_dagster.warehouse import Window

#: PostHog counts metrics over 31 days in one request; longer stretches save nothing.
MOST_DAYS = 31
#: Made of the rows of others, which are loaded first; it asks PostHog for nothing.
_ERRORS, _SOURCES = "workflow_errors", ("workflow_logs", "workflow_runs")
#: What can be read by day.
TABLES = (*PARTITIONED_TABLES, _ERRORS)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a day such as 2026-01-31") from None


@click.command(no_args_is_help=True)
@click.option("--from", "first", type=_day, required=True, metavar="DAY", help="First (UTC).")
@click.option("--to", "last", type=_day, required=True, metavar="DAY", help="Last, included.")
@click.option(
    "--tables",
    default=",".join(TABLES),
    metavar="NAMES",
    help=f"Comma-separated; all by default: {', '.join(TABLES)}.",
)
@click.option(
    "--days-per-run",
    type=click.IntRange(min=1),
    default=MOST_DAYS,
    show_default=True,
    help="Days read in one run; fewer take more requests, and lose less when interrupted.",
)
@click.option("--again", is_flag=True, help="Read days on record again too.")
@click.option("--estimate", "only_estimate", is_flag=True, help="Only say what it would take.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@project_options
def command(
    module: str | None,
    component: str | None,
    first: date,
    last: date,
    tables: str,
    days_per_run: int,
    again: bool,
    only_estimate: bool,
    as_json: bool,
) -> int:
    """Read many days of logs, metrics and runs into the warehouse.

    Days that Dagster has on record are not read again: after Ctrl-C the same command goes on where
    it stopped. Exit code 0: every day has been loaded.
    """
    if first > last:
        raise Usage(f"--from {first} is after --to {last}: swap them.")
    named = tuple(name.strip() for name in tables.split(",") if name.strip())
    if unknown := sorted(set(named) - set(TABLES)):
        raise Usage(
            f"--tables names {', '.join(unknown)}, which cannot be backfilled by day; "
            f"choose among {', '.join(TABLES)}."
        )
    warnings.simplefilter("ignore")
    logging.getLogger("dagster").setLevel(logging.ERROR)
    say = Output("backfill", Console(), as_json)
    project = find_project(module, component)
    try:
        backfill = _Backfill(project, say, first, last, named, days_per_run, again)
        return backfill.run(only_estimate)
    finally:
        say.end()


@dataclass
class _Backfill:
    project: Project
    say: Output
    first: date
    last: date
    asked: tuple[str, ...]
    days_per_run: int
    again: bool

    def run(self, only_estimate: bool) -> int:
        with _instance(self.project) as instance:
            with self.project.opened() as opened:
                said = self.project.said(opened)
                self.say.fields["project"] = said
                self.say.text(said)
                work = self.plan(instance)
                if not work:
                    self.say.text("Nothing is left to read; --again reads days on record again.")
                    self.say.fields["loaded"] = True
                    return 0
                guess = self.estimate(opened.posthog.client, work, instance)
                self.show(opened.posthog.client, guess, work)
            if only_estimate:
                return 0
            requests = {table: one.total for table, one in guess.items()}
            code = work_off(self.project.definitions, instance, work, requests, self.say)
            self.say.fields["loaded"] = code == 0
            return code

    def plan(self, instance: dg.DagsterInstance) -> list[Work]:
        """Every run, oldest days first."""
        today = datetime.now(UTC).date()
        work: list[Work] = []
        graph = self.project.definitions.resolve_asset_graph()
        for table in sorted(self.asked, key=lambda name: name == _ERRORS):
            key = self.project.table_key(table)
            if key is None and table in MESSAGE_TABLES and self.asked == TABLES:
                continue  # Most projects do not load messages.
            if key is None:
                self.say.text(f"{table} is left out: this project does not read it.")
                continue
            partitions = graph.get(key).partitions_def
            assert partitions is not None
            every = [day for day in partitions.get_partition_keys() if self.inside(day)]
            kept = RETENTION_DAYS.get(table)  # None: it is made of rows that are here for good.
            oldest = str(today - timedelta(days=kept)) if kept else ""
            if gone := [day for day in every if day < oldest]:
                self.say.text(
                    f"{table}: {len(gone)} days before {oldest} are left out; PostHog keeps these "
                    f"rows for {kept} days."
                )
            if not every:
                self.say.text(
                    f"{table} has no partition in these days: its partitions begin on "
                    f"{partitions.get_first_partition_key() or 'a day to come'} "
                    "(partitions.start_date)."
                )
            done = set() if self.again else set(instance.get_materialized_partitions(key))
            if table == _ERRORS:
                done -= {day for one in work if one.table in _SOURCES for day in one.keys(every)}
            wanted = [day for day in every if day >= oldest and day not in done]
            for first, last in steps_of(wanted, self.days_per_run):
                work.append(Work(table, key, first, last))
        return sorted(work, key=lambda item: (_place(item.table), item.first, item.table))

    def inside(self, key: str) -> bool:
        return str(self.first) <= key[:10] <= str(self.last)

    def tables(self, work: Sequence[Work]) -> list[str]:
        return [name for name in self.asked if any(one.table == name for one in work)]

    def estimate(
        self, client: PostHogClient, work: Sequence[Work], instance: dg.DagsterInstance
    ) -> dict[str, Requests]:
        """What each table takes, as `hog-dagster plan` computes it, of the days that are read."""
        end = date.fromisoformat(max(one.last for one in work)[:10]) + timedelta(days=1)
        days = Window(
            datetime.combine(date.fromisoformat(min(one.first for one in work)[:10]), time(), UTC),
            datetime.combine(end, time(), UTC),
        )
        check_key(client, self.say)
        now = client.server.read_clock().now()
        size, way, notes = measure(client, now, chosen=chosen_by(self.project), window=days)
        if way == "HogQL" and any(one.table in MESSAGE_TABLES for one in work):
            size = with_emails(client, size, days)
        for note in notes:
            self.say.text(note)
        guess: dict[str, Requests] = {}
        for one in work:
            took = of_run(size, way, one.table, one.many, catalogs=self.listed(instance, days.end))
            guess[one.table] = guess.get(one.table, Requests()) + took
        return guess

    def listed(self, instance: dg.DagsterInstance, since: datetime) -> bool:
        """Whether the catalogs have been loaded since the days: then PostHog is not asked again."""
        for table in ("workflows", "workflow_batch_jobs"):
            key = self.project.table_key(table)
            event = instance.get_latest_materialization_event(key) if key is not None else None
            if event is None or event.timestamp < since.timestamp():
                return False
        return True

    def show(
        self, client: PostHogClient, guess: Mapping[str, Requests], work: Sequence[Work]
    ) -> None:
        total = sum(guess.values(), Requests())
        seconds = _least_seconds(client, total)
        counts = {table: one.total for table, one in guess.items()}
        self.say.fields["estimate"] = {"requests": counts, "seconds": seconds}
        width = max(map(len, self.tables(work)))
        for table in self.tables(work):
            runs = sum(1 for one in work if one.table == table)
            many = f"{runs} run" + ("s" if runs > 1 else "")
            self.say.line(f"  {table:<{width}}  {many:>8}  ~{counts.get(table, 0):,} requests")
        least = timedelta(seconds=round(seconds))
        wait = f"takes at least {least}" if least else "needs no waiting"
        self.say.text(f"About {total.total:,} requests; under the key's rate limit that {wait}.")


def _place(table: str) -> int:
    """Tables that are made of rows of others come after those."""
    return {MESSAGE_TABLES[1]: 1, _ERRORS: 2}.get(table, 0)


def _least_seconds(client: PostHogClient, requests: Requests) -> float:
    """A window lets `free` requests through at once and `allowed` more each time it has passed."""
    waits = [0.0]
    for usage in client.server.usage():
        wanted = getattr(requests, usage.bucket, 0)
        if wanted > usage.free:
            waits.append(math.ceil((wanted - usage.free) / usage.allowed) * usage.seconds)
    return max(waits)


def _instance(project: Project) -> AbstractContextManager[dg.DagsterInstance]:
    """The Dagster instance that remembers which days were loaded; a Usage where there is none."""
    home = os.environ.get("DAGSTER_HOME", "").strip()
    folder = Path(home).expanduser()
    usual = (project.folder or Path.cwd()) / ".hog"
    if not home:
        raise Usage(
            "DAGSTER_HOME is not set, so nothing would remember which days were loaded: set it to "
            f"the Dagster home of this project, or write it in .env (DAGSTER_HOME={usual} is what "
            "hog-dagster dev uses)."
        )
    if not folder.is_absolute() or not folder.is_dir():
        why = "no folder" if folder.is_absolute() else "no absolute path"
        raise Usage(f"DAGSTER_HOME is {home}, which is {why}: correct it.")
    return dg.DagsterInstance.get()
