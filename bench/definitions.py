"""How long a code location with 1,000 workflows and 300 hog functions takes to load.

Run with ``python -m bench.definitions``. What is timed is ``dagster definitions validate`` in a
process of its own: imports, definitions, the repository and its snapshot, as a code server does it.
Beside it, in turns: a location with one asset, and one with as many external assets and nothing
else, which is Dagster's own share. Shown are medians, and ratios within the run.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.table import Table

from hog_dagster.lineage import Destination, HogFunctionRecord, Snapshot, Trigger, WorkflowRecord

BARE = """\
import dagster as dg

@dg.asset
def one() -> None: ...

defs = dg.Definitions(assets=[one])
"""
SPECS = """\
import dagster as dg

specs = [dg.AssetSpec(f"asset_{n}", group_name=f"group_{n % 8}") for n in range(1_400)]
defs = dg.Definitions(assets=specs)
"""
OURS = """\
from datetime import date
from pathlib import Path
import dagster as dg
from hog_dagster import (
    DuckDBWarehouse, PostHogResource, build_posthog_definitions, load_posthog_snapshot
)
from hog_dagster.resources import LedgerResource

here = Path(__file__).parent
defs = build_posthog_definitions(
    posthog=PostHogResource(api_key=dg.EnvVar("POSTHOG_API_KEY"), project_id="1"),
    warehouse=DuckDBWarehouse(path=str(here / "warehouse.duckdb")),
    ledger=LedgerResource(url=f"sqlite:///{here / 'ledger.sqlite'}"),
    start_date=date(2026, 9, 1),
    snapshot=load_posthog_snapshot(here / "posthog.json"),
)
"""
LOCATIONS = {
    "bare": ("one asset", BARE),
    "specs": ("1,400 external assets, nothing else", SPECS),
    "ours": ("hog_dagster, 1,000 workflows and 300 hog functions", OURS),
}


def many(workflows: int = 1_000, hog_functions: int = 300) -> Snapshot:
    """A project with that many objects, 80 triggers and 50 destinations."""
    now = datetime.now(UTC)
    ends = [Destination("email"), *(Destination("webhook", f"hooks{n}.test") for n in range(29))]
    statuses = ("active",) * 7 + ("draft",) * 2 + ("archived",)
    parts = dict.fromkeys(("trigger", "actions", "edges", "variables", "name"), "0123456789ab")
    common = {"owner": "ada@example.com", "created_at": now, "updated_at": now, "parts": parts}
    return Snapshot(
        host="https://us.posthog.com",
        project_id=1,
        taken_at=now,
        workflows=tuple(
            WorkflowRecord(
                id=str(UUID(int=n * 7_919 + 1 << 64 | n)),
                name=f"Workflow {n}",
                description="Says hello to everybody who signs up.",
                status=statuses[n % 10],
                version=3,
                triggers=(Trigger("event", f"event {n % 80}"),),
                destinations=(ends[0], ends[n % 30]),
                steps=6,
                **common,
            )
            for n in range(workflows)
        ),
        hog_functions=tuple(
            HogFunctionRecord(
                id=str(UUID(int=n * 7_919 + 5 << 64 | n)),
                name=f"Function {n}",
                type="destination",
                enabled=True,
                template_id=f"template-t{n % 20}",
                triggers=(Trigger("event", f"event {n % 80}"),),
                **common,
            )
            for n in range(hog_functions)
        ),
    )


def load(path: Path, home: Path) -> tuple[float, float]:
    """Seconds of wall and of processor that one load takes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-f", str(path)],
        env={**os.environ, "DAGSTER_HOME": str(home), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    wall = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{path.name} does not load:\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime


def main() -> None:
    """Load each location in turn and show the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in LOCATIONS}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "dagster.yaml").touch()
        many().write(home / "posthog.json")
        for name, (_, source) in LOCATIONS.items():
            (home / f"{name}.py").write_text(source, encoding="utf-8")
        for _ in range(rounds):
            for name in LOCATIONS:
                taken[name].append(load(home / f"{name}.py", home))
    table = Table(title=f"dagster definitions validate, {rounds} rounds")
    for column in ("code location", "seconds", "of processor", "ratio", "of processor"):
        table.add_column(column, justify="left" if column == "code location" else "right")
    wall, cpu = (
        {name: statistics.median(run[which] for run in runs) for name, runs in taken.items()}
        for which in (0, 1)
    )
    for name, (what, _) in LOCATIONS.items():
        ratios = (f"{wall[name] / wall['bare']:.2f}", f"{cpu[name] / cpu['bare']:.2f}")
        table.add_row(what, f"{wall[name]:.2f}", f"{cpu[name]:.2f}", *ratios)
    Console().print(table)


if __name__ == "__main__":
    main()
