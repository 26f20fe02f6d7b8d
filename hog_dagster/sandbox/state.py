"""The world in a file, so that a sandbox remembers between starts what happened to whom."""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from hog_dagster.sandbox.logs import LogRow
from hog_dagster.sandbox.model import (
    BatchJob,
    BatchSend,
    Person,
    Replay,
    RerunJob,
    Run,
    Schedule,
    TestSend,
    Workflow,
)
from hog_dagster.sandbox.world import World

__all__ = ["load", "save"]

VERSION = 1


class Saved(Struct, kw_only=True):
    """A world as it is written to the file."""

    version: int = VERSION
    generation: str
    seed: int
    random: tuple[int, list[int], float | None]
    workflows: list[Workflow] = []
    schedules: list[Schedule] = []
    batch_jobs: list[BatchJob] = []
    runs: list[Run] = []
    people: list[Person] = []
    events: list[str] = []
    logs: dict[str, list[LogRow]] = {}
    metrics: dict[str, list[tuple[str, str, str, int, int]]] = {}
    happened: list[Replay] = []
    batch_sends: list[BatchSend] = []
    test_sends: list[TestSend] = []
    rerun_jobs: list[RerunJob] = []
    busy: list[str] = []
    blocked_runs_flag: bool = True
    incident_start: datetime
    incident_end: datetime | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def save(world: World, path: Path) -> None:
    """Write the world to `path`, whole or not at all."""
    with world.lock:
        kind, state, gauss = world.ids.random.getstate()
        saved = Saved(
            generation="current" if world.newer else "docs",
            seed=world.seed,
            random=(kind, list(state), gauss),
            workflows=list(world.workflows.values()),
            schedules=list(world.schedules.values()),
            batch_jobs=list(world.batch_jobs.values()),
            runs=list(world.runs.values()),
            people=world.people,
            events=sorted(world.events),
            logs=world.logs.dump(),
            metrics=world.metrics.dump(),
            happened=world.happened,
            batch_sends=world.sent,
            test_sends=world.test_sends,
            rerun_jobs=world.rerun_jobs,
            busy=sorted(world.busy),
            blocked_runs_flag=world.blocked_runs_flag,
            incident_start=world.incident_start,
            incident_end=world.incident_end,
            extra=world.extra,
        )
        content = msgspec.json.encode(saved)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(content)
    os.replace(fresh, path)  # noqa: PTH105


def load(world: World, path: Path) -> bool:
    """Fill an empty world from `path`; False when there is no such file.

    Raises:
        ValueError: the file is no state of a sandbox, or of one of the other generation.
    """
    if not path.exists():
        return False
    try:
        saved = msgspec.json.decode(path.read_bytes(), type=Saved)
    except msgspec.DecodeError as error:
        raise ValueError(
            f"{path} is not a state that this sandbox wrote ({error}); "
            "remove the file or name another with --state"
        ) from None
    generation = "current" if world.newer else "docs"
    if saved.generation != generation:
        raise ValueError(
            f"{path} holds a sandbox of generation {saved.generation!r}, not {generation!r}; "
            "remove the file or name another with --state"
        )
    kind, state, gauss = saved.random
    world.ids.random.setstate((kind, tuple(state), gauss))
    world.workflows = {row.id: row for row in saved.workflows}
    world.schedules = {row.id: row for row in saved.schedules}
    world.batch_jobs = {row.id: row for row in saved.batch_jobs}
    world.runs = {row.invocation_id: row for row in saved.runs}
    world.people = saved.people
    world.events = set(saved.events)
    world.logs.load(saved.logs)
    world.metrics.load(saved.metrics)
    world.happened, world.sent = saved.happened, saved.batch_sends
    world.test_sends, world.rerun_jobs = saved.test_sends, saved.rerun_jobs
    for job in world.rerun_jobs:
        for name in ("window_start", "window_end"):
            job.filter[name] = datetime.fromisoformat(str(job.filter[name]))
    world.busy = set(saved.busy)
    world.blocked_runs_flag = saved.blocked_runs_flag
    world.incident_start, world.incident_end = saved.incident_start, saved.incident_end
    world.extra = saved.extra
    return True
