"""The world in a file, so that a sandbox remembers between starts what happened to whom."""

import os
import random
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from hog_dagster.sandbox.world._behaviour import SETTINGS
from hog_dagster.sandbox.world._logs import LogRow
from hog_dagster.sandbox.world._model import (
    AssetRow,
    BatchJob,
    BatchSend,
    Execution,
    Person,
    Replay,
    RerunJob,
    Run,
    RunRow,
    Schedule,
    SentMessage,
    TestSend,
    Workflow,
)
from hog_dagster.sandbox.world._world import World

__all__ = ["load_state", "save_state"]

VERSION = 2
Random = tuple[int, list[int], float | None]


class _Version(Struct):
    version: int


class Saved(Struct, kw_only=True):
    """A world as it is written to the file."""

    version: int = VERSION
    generation: str
    seed: int
    random: dict[str, Random]
    workflows: list[Workflow] = []
    schedules: list[Schedule] = []
    batch_jobs: list[BatchJob] = []
    runs: list[Run] = []
    run_rows: list[tuple[str, RunRow]] = []
    assets: list[tuple[str, AssetRow]] = []
    executions: list[Execution] = []
    messages: list[SentMessage] = []
    people: list[Person] = []
    events: list[str] = []
    logs: dict[str, list[LogRow]] = {}
    metrics: dict[str, list[tuple[str, str, str, int, int]]] = {}
    happened: list[Replay] = []
    batch_sends: list[BatchSend] = []
    test_sends: list[TestSend] = []
    rerun_jobs: list[RerunJob] = []
    settings: dict[str, Any] = field(default_factory=dict)
    incident_start: datetime
    incident_end: datetime | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def save_state(world: World, path: Path) -> None:
    """Write the world to `path`, whole or not at all."""
    with world.lock:
        saved = Saved(
            generation=world.generation,
            seed=world.seed,
            random={name: _state(chance) for name, chance in _generators(world).items()},
            workflows=list(world.workflows.values()),
            schedules=list(world.schedules.values()),
            batch_jobs=list(world.batch_jobs.values()),
            runs=list(world.runs.values()),
            run_rows=world.run_rows.dump(),
            assets=world.assets.dump(),
            executions=world.executed,
            messages=world.sent_messages,
            people=world.people,
            events=sorted(world.events),
            logs=world.logs.dump(),
            metrics=world.metrics.dump(),
            happened=world.happened,
            batch_sends=world.sent,
            test_sends=world.test_sends,
            rerun_jobs=world.rerun_jobs,
            settings={name: getattr(world, name) for name in SETTINGS},
            incident_start=world.incident_start,
            incident_end=world.incident_end,
            extra=world.extra,
        )
        content = msgspec.json.encode(saved)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(content)
    os.replace(fresh, path)  # noqa: PTH105


def load_state(world: World, path: Path) -> bool:
    """Fill an empty world from `path`; False when there is no such file.

    Raises:
        ValueError: the file is no state of a sandbox, or of one of the other generation.
    """
    if not path.exists():
        return False
    try:
        content = path.read_bytes()
        found = msgspec.json.decode(content, type=_Version).version
        if found != VERSION:
            raise ValueError(
                f"{path} is a state of another version of the sandbox ({found}, not {VERSION}); "
                "remove the file or name another with --state"
            )
        saved = msgspec.json.decode(content, type=Saved)
    except msgspec.DecodeError as error:
        raise ValueError(
            f"{path} is not a state that this sandbox wrote ({error}); "
            "remove the file or name another with --state"
        ) from None
    if saved.generation != world.generation:
        raise ValueError(
            f"{path} holds a sandbox of generation {saved.generation!r}, not "
            f"{world.generation!r}; remove the file or name another with --state"
        )
    for name, chance in _generators(world).items():
        kind, state, gauss = saved.random[name]
        chance.setstate((kind, tuple(state), gauss))
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
    world.run_rows.load(saved.run_rows)
    world.assets.load(saved.assets)
    world.executed, world.sent_messages = saved.executions, saved.messages
    for name, value in saved.settings.items():
        setattr(world, name, value)
    world.incident_start, world.incident_end = saved.incident_start, saved.incident_end
    world.extra = saved.extra
    world.refill_queue()
    return True


def _generators(world: World) -> dict[str, random.Random]:
    return {
        "ids": world.ids.random,
        "chance": world.chance,
        "run_rows": world.run_rows.random,
        "assets": world.assets.random,
    }


def _state(chance: random.Random) -> Random:
    kind, state, gauss = chance.getstate()
    return kind, list(state), gauss
