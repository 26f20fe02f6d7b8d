"""The benchmark: log rows and events over HTTP into tables, against the raw limit and other tools.

Run with ``make bench`` or ``python -m bench --help``. Every run of a case is a process of its own;
the cases take turns, round by round, so that what else the machine does meets all of them; shown
are medians, and ratios within the run.
"""

import argparse
import json
import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import tables
from bench.log_server import LogSpec
from bench.measure import (
    Bench,
    Medians,
    log_server,
    manager_python,
    postgres_server,
    query_server,
)
from bench.night import measured

PARTS = ("throughput", "large", "requests", "latency", "events", "night")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="rows of the main table")
    parser.add_argument("--many", type=int, default=2_000_000, help="rows of the large cases")
    parser.add_argument(
        "--slow-rows",
        type=int,
        default=50_000,
        help="rows of dlt's default form, which takes minutes for more",
    )
    parser.add_argument("--events", type=int, default=2_000_000, help="events of a query")
    parser.add_argument("--rounds", type=int, default=5, help="runs of every case")
    parser.add_argument("--nights", type=int, default=10, help="nights in a row by HogQL")
    parser.add_argument("--quick", action="store_true", help="without the large cases and dlt")
    parser.add_argument("--only", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument(
        "--duckdb-pandas",
        nargs="?",
        const="make",
        metavar="PYTHON",
        help="measure the IO manager of dagster-duckdb-pandas too, which needs another pandas than "
        "we do: with the Python of an environment that has it, httpx and orjson; or, when none is "
        "named, in an environment made for this run with pip",
    )
    parser.add_argument("--json", type=Path, help="where all medians are written")
    parser.add_argument(
        "--write",
        type=Path,
        metavar="FILE",
        help="a Markdown file, such as docs/performance.md, whose part between the marks "
        "'<!-- tables: ... -->' and '<!-- /tables -->' is replaced by the tables",
    )
    return parser.parse_args(arguments)


def _specs(given: argparse.Namespace, parts: set[str]) -> list[LogSpec]:
    """The logs the server is to have; ids end in the number of rows."""
    specs = [LogSpec("warm-2000", 2_000, 10, 9), LogSpec("warm", 2_000, 10, 9)]
    numbers = {given.rows, given.slow_rows} | ({given.many} if "large" in parts else set())
    specs += [LogSpec(f"t10-{rows}", rows, 10) for rows in numbers]
    for ties, always, _ in tables.TIES:
        id = f"{'a' if always else 't'}{ties}-{given.rows}"
        if id not in (spec.id for spec in specs):
            specs.append(LogSpec(id, given.rows, ties, always=always))
    rows = tables.SLOW_LINK_ROWS
    return specs + [LogSpec(f"s{n}-{rows}", rows, 10, n) for n in range(tables.WORKFLOWS)]


def _heading(given: argparse.Namespace, started: float) -> str:
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} vCPU, {platform.machine()}, Python "
        f"{platform.python_version()}; load of the machine {started:.1f} at the start and "
        f"{os.getloadavg()[0]:.1f} at the end; {given.rounds} rounds"
    )


def write(path: Path, heading: str, shown: Sequence[Table]) -> None:
    """Replace the marked part of a Markdown file by the tables."""
    text = "\n\n".join([heading, *map(tables.markdown, shown)])
    old = path.read_text(encoding="utf-8")
    new, found = re.subn(
        r"(<!-- tables:.*?-->\n).*?(<!-- /tables -->)",
        lambda match: f"{match[1]}\n{text}\n\n{match[2]}",
        old,
        flags=re.DOTALL,
    )
    if not found:
        raise SystemExit(f"{path} has no marks '<!-- tables: ... -->' and '<!-- /tables -->'")
    path.write_text(new, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print one table after another, and at the end what they come to."""
    given = _arguments(arguments)
    parts = set(given.only) - ({"large", "night"} if given.quick else set())
    console = Console(width=120)
    started = os.getloadavg()[0]
    shown: list[Table] = []
    results: dict[str, Medians] = {}
    few = many = ratios = slow = events = None
    rows: dict[str, int] = {}
    nights = None

    def show(table: Table) -> None:
        console.print(table)
        shown.append(table)

    with (
        log_server(_specs(given, parts)) as url,
        postgres_server() as postgres,
        manager_python(given.duckdb_pandas) as manager,
    ):
        bench = Bench(url, postgres, given.rounds, manager)
        if "requests" in parts:
            table, ratios = tables.requests(bench, given.rows)
            show(table)
        if "latency" in parts:
            table, slow = tables.latency(bench)
            results["latency"] = slow
            show(table)
        if "throughput" in parts:
            rows = dict.fromkeys(("raw", *tables.OURS, "chain"), given.rows)
            if manager:
                rows["duckdb_pandas"] = given.rows
            if not given.quick:
                rows |= {"dlt_parquet": given.rows, "dlt_default": given.slow_rows}
            table, few = tables.throughput(bench, rows)
            results["throughput"] = few
            show(table)
        if "large" in parts:
            table, many = tables.throughput(bench, dict.fromkeys(("raw", *tables.OURS), given.many))
            results["large"] = many
            show(table)
        if "night" in parts:
            nights = measured(given.nights)
            show(tables.nights(nights))
        if few and many:
            show(tables.memory(few, many, (given.rows, given.many)))
        if "events" in parts:
            with query_server(given.events) as queries:
                table, events = tables.events(bench, queries, given.events)
            results["events"] = events
            show(table)
    said = tables.verdicts(few, many, ratios, slow, rows, nights)
    if events:
        said += tables.event_verdicts(events, given.events)
    shown.insert(0, tables.verdict_table(said))
    console.print(shown[0])
    heading = _heading(given, started)
    console.print(heading)
    if given.json:
        given.json.write_text(json.dumps({"heading": heading, **results}, indent=2))
    if given.write:
        write(given.write, heading, shown)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
