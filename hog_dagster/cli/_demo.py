"""`hog-dagster demo`: the main job, end to end, through Dagster, against a local PostHog sandbox.

It uses the default code location (`hog_dagster.definitions`), a Dagster home and a DuckDB file
under `.hog/demo`, so `hog-dagster dev` shows its runs afterwards. In the sandbox an outage of ten
minutes made runs fail. The sandbox keeps its world and its first moment in the home too: a second
run of the demo finds everything done, changes no table and sends nothing.
"""

import logging
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table as RichTable

from hog_dagster._shared.home import make_home
from hog_dagster.cli._demo_sandbox import (
    DAYS,
    DEMO_HOME,
    began_at,
    demo_environment,
    first_day,
    send_moment,
    start_sandbox,
)
from hog_dagster.cli._output import QUIET_RUN, counted, why_failed

if TYPE_CHECKING:
    import dagster as dg

    from hog_dagster.sandbox import Sandbox

_PARTITIONED = ("workflow_metrics", "workflow_logs", "hog_function_metrics", "hog_function_logs")
_AFTER_RUNS = ("workflow_runs", "workflow_errors")
_SNAPSHOTS = ("workflows", "workflow_actions", "workflow_edges", "workflow_schedules")
#: Why a run is executed a second time.
_AGAIN = ("rerun", "replay")
_OTHERS = ("hog_functions", "group_types", "groups", "insights")
_ACTIONS = ("workflow_batch_jobs", "blocked_runs", "replays", "batch_sends")


@click.command()
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEMO_HOME,
    show_default=True,
    help="The Dagster home.",
)
@click.option(
    "--generation",
    type=click.Choice(["current", "mid2026", "docs"]),
    default="current",
    show_default=True,
    help="Which PostHog the sandbox plays: current and mid2026 rerun failed runs, docs (April and "
    "May 2026) replays blocked ones.",
)
def command(home: Path, generation: str) -> int:
    """Do the main job, end to end, against a local PostHog sandbox."""
    console = Console()
    warnings.simplefilter("ignore")
    home = make_home(home)
    with start_sandbox(home, generation) as sandbox:
        os.environ.update(demo_environment(home, sandbox))
        logging.disable(logging.ERROR)  # the summary says what failed; the UI has every line
        console.print(f"A PostHog sandbox ({generation} generation) runs at {sandbox.url}")
        return _Demo(console, home, sandbox).run()


class _Failed(Exception):
    """A step of the demo failed; the text says what."""


class _Demo:
    def __init__(self, console: Console, home: Path, sandbox: "Sandbox") -> None:
        self.console = console
        self.home = home
        self.sandbox = sandbox
        self.replays, self.sends = Counter[str](), Counter[str]()

    def run(self) -> int:
        import dagster as dg

        from hog_dagster.definitions import defs

        self.defs = defs
        try:
            before = self.digests()
            with dg.DagsterInstance.get() as instance:
                self.instance = instance
                self.materialize("The catalog of workflows", _SNAPSHOTS)
                self.materialize("Hog functions, groups and insights", _OTHERS)
                days = self.partitions()
                for table in _PARTITIONED:
                    self.materialize(f"{table}, {DAYS} days", (table,), days)
                self.tick_sensor("failed_runs_sensor")
                self.tick_schedules()
                self.sandbox.clock.advance(300)  # PostHog's own work is done by then
                for table in _AFTER_RUNS:
                    self.materialize(f"{table}, {DAYS} days", (table,), days)
                self.materialize("Actions", _ACTIONS)
        except _Failed as failure:
            self.console.print(f"[bold red]The demo failed:[/] {failure}")
            return 1
        self.summary(before, self.digests())
        return 0

    # -- steps ---------------------------------------------------------------------------------

    def partitions(self) -> tuple[str, str]:
        """The first and the last of the fourteen complete days before the sandbox's today."""
        first = first_day(self.sandbox.clock.now())
        return str(first), str(first + timedelta(days=DAYS - 1))

    def materialize(
        self, title: str, tables: tuple[str, ...], partitions: tuple[str, str] | None = None
    ) -> None:
        """Run an asset job over these tables, one run for all partitions."""
        import dagster as dg

        tags = {}
        if partitions:
            tags = {
                "dagster/asset_partition_range_start": partitions[0],
                "dagster/asset_partition_range_end": partitions[1],
            }
        with self.console.status(f"{title} ..."):
            job = self.defs.resolve_implicit_global_asset_job_def()
            result = job.execute_in_process(
                instance=self.instance,
                asset_selection=[dg.AssetKey(["posthog", table]) for table in tables],
                run_config=QUIET_RUN,
                tags=tags,
                raise_on_error=False,
            )
        if not result.success:
            raise _Failed(f"{title}: {_why(result)}")
        rows = 0
        for event in result.get_asset_materialization_events():
            metadata: Mapping[str, Any] = event.step_materialization_data.materialization.metadata
            for name in ("dagster/row_count", "dagster/partition_row_count"):
                if name in metadata:
                    rows += int(metadata[name].value)
                    break
        self.console.print(f"[green]done[/]  {title}: {rows:,} rows")

    def tick_sensor(self, name: str) -> None:
        """Evaluate the sensor once and run what it requests."""
        import dagster as dg

        sensor = self.defs.get_sensor_def(name)
        with (
            self.console.status(f"{name} looks for failed runs ..."),
            dg.build_sensor_context(
                instance=self.instance,
                repository_def=self.defs.get_repository_def(),
                sensor_name=name,
                resources=dict(self.defs.resources or {}),
            ) as context,
        ):
            tick = sensor.evaluate_tick(context)
        self.carry_out(sensor, tick, self.replays)

    def tick_schedules(self) -> None:
        """Evaluate every batch-job schedule at its newest moment and run what it requests."""
        import dagster as dg

        moment = send_moment(self.home)  # the same in every run of the demo
        for schedule in self.defs.schedules or []:
            if isinstance(schedule, dg.ScheduleDefinition) and schedule.name.startswith(
                "batch_job"
            ):
                context = dg.build_schedule_context(
                    instance=self.instance,
                    scheduled_execution_time=moment,
                    repository_def=self.defs.get_repository_def(),
                )
                tick = schedule.evaluate_tick(context)
                self.carry_out(schedule, tick, self.sends, f" for {moment:%d %b %H:%M}")

    def carry_out(self, definition: Any, tick: Any, counts: Counter[str], when: str = "") -> None:
        """Run what a tick of a sensor or schedule requests, and add up what became of it."""
        requests = list(tick.run_requests or [])
        said = tick.skip_message or f"requested {len(requests)} run(s){when}"
        self.console.print(f"[green]done[/]  {definition.name}: {said}", soft_wrap=True)
        for request in requests:
            counts.update(self.run_job(request.job_name or definition.job.name, request))

    def run_job(self, name: str, request: "dg.RunRequest") -> Mapping[str, int]:
        """Run a requested job in this process and return the counts it reports."""
        with self.console.status(f"{name} ..."):
            result = self.defs.resolve_job_def(name).execute_in_process(
                instance=self.instance,
                run_config={**(request.run_config or {}), **QUIET_RUN},
                tags=dict(request.tags),
                raise_on_error=False,
            )
        if not result.success:
            raise _Failed(f"{name}: {_why(result)}")
        from hog_dagster.actions import Outcome

        outcomes = {str(outcome) for outcome in Outcome}
        counts: dict[str, int] = {}
        left: list[tuple[int, str]] = []
        for event in result.all_node_events:
            if event.is_successful_output:
                left += _left(event.step_output_data.metadata)
                for key, value in event.step_output_data.metadata.items():
                    if key in outcomes and isinstance(value.value, int):
                        counts[key] = value.value
        shown = counted(counts, "nothing to do")
        self.console.print(f"[green]done[/]  {name}: {shown}")
        for count, why in left:
            self.console.print(f"      left {count}: {why}", highlight=False, soft_wrap=True)
        return counts

    # -- summary -------------------------------------------------------------------------------

    def digests(self) -> dict[str, tuple[int, Any]]:
        """Row count and content hash of every table, loading times left out."""
        import duckdb

        path = self.home / "warehouse.duckdb"
        if not path.exists():
            return {}
        try:
            connection = duckdb.connect(str(path), read_only=True)
        except duckdb.Error as error:
            raise _Failed(
                f"{path} cannot be opened as a DuckDB database ({error}). Move it away, or give "
                "another folder with --home."
            ) from None
        with connection:
            names = connection.execute(
                "select table_name from information_schema.tables "
                "where table_schema = 'posthog' order by 1"
            ).fetchall()
            found: dict[str, tuple[int, Any]] = {}
            for (name,) in names:
                loaded = duckdb.StarExpression(exclude=["_loaded_at"])
                rows = connection.table(f"posthog.{name}").select(loaded)  # noqa: F841 (read below)
                digest = connection.sql("select count(*), bit_xor(hash(rows)) from rows").fetchall()
                found[name] = digest[0]
            return found

    def summary(
        self, before: Mapping[str, tuple[int, Any]], after: Mapping[str, tuple[int, Any]]
    ) -> None:
        """Print what stands now."""
        table = RichTable(title="\nTables in schema posthog", title_justify="left")
        table.add_column("table")
        table.add_column("rows", justify="right")
        table.add_column("since the last run")
        for name, digest in after.items():
            if name not in before:
                change = "new"
            else:
                change = "unchanged" if before[name] == digest else "changed"
            table.add_row(name, f"{digest[0]:,}", change)
        self.console.print(table)
        lines = {
            "Runs": counted(self.replays, "nothing to run again"),
            "Batch jobs": counted(self.sends, "nothing to send"),
            "Really happened in PostHog": self.effects(),
            "Requests used": f"{len(self.sandbox.requests):,} (limit 480 a minute, 4,800 an hour)",
            "DuckDB file": str(self.home / "warehouse.duckdb"),
            "Open the UI": "make dev   (or: hog-dagster dev)",
        }
        width = max(len(name) for name in lines)
        for name, text in lines.items():
            self.console.print(f"[bold]{name:<{width}}[/]  {text}", highlight=False, soft_wrap=True)

    def effects(self) -> str:
        """What PostHog did, in all runs of this demo: executions and messages, not requests."""
        world = self.sandbox.world
        since = began_at(self.home)
        again = Counter(
            one.invocation_id for one in world.executions if one.cause in _AGAIN and one.at >= since
        )
        mails = Counter(
            (one.invocation_id, one.action_id)
            for one in world.messages
            if one.kind == "email" and one.invocation_id in again
        )
        twice = {
            "once each": not again or max(again.values()) == 1,
            "none twice": not mails or max(mails.values()) == 1,
        }
        said = [name if true else f"NOT {name}" for name, true in twice.items()]
        return (
            f"batch jobs: {len(world.batch_sends)}; runs run again: {len(again)}, {said[0]}; "
            f"e-mails of these runs: {mails.total():,}, {said[1]}"
        )


def _left(metadata: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """The runs that a job left, and why: rows of its table."""
    for record in metadata["table"].records if "table" in metadata else ():
        if record.data.get("what") == "left":
            yield record.data["runs"], record.data["which"]


def _why(result: Any) -> str:
    return why_failed(result) or "the run failed; `hog-dagster dev` shows it"
