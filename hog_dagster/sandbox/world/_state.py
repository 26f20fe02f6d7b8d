"""The world in a file, so that a sandbox remembers between starts what happened to whom."""

import os
import random
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from hog_dagster.sandbox.world._behaviour import SETTINGS
from hog_dagster.sandbox.world._logs import LogRow
from hog_dagster.sandbox.world._model import AssetRow, RunRow
from hog_dagster.sandbox.world._stores import ROWS
from hog_dagster.sandbox.world._world import World

VERSION = 3


class _Version(Struct):
    version: int


#: A world as it is written to the file.
_Saved: Any = msgspec.defstruct(
    "_Saved",
    [
        ("version", int),
        ("generation", str),
        ("random", dict[str, tuple[int, list[int], float | None]]),
        ("settings", dict[str, Any]),
        ("incident_start", datetime),
        ("incident_end", datetime | None),
        ("run_rows", list[tuple[str, RunRow]]),
        ("assets", list[tuple[str, AssetRow]]),
        ("logs", dict[str, list[LogRow]]),
        ("metrics", dict[str, list[tuple[str, str, str, int, int]]]),
        *ROWS.items(),
    ],
    kw_only=True,
)
#: What writes and reads its own rows.
_TABLES = ("run_rows", "assets", "logs", "metrics")
_PLAIN = ("incident_start", "incident_end", *ROWS)


def save_state(world: World, path: Path) -> None:
    """Write the world to `path`, whole or not at all."""
    with world.lock:
        saved = _Saved(
            version=VERSION,
            generation=world.generation,
            random={name: chance.getstate() for name, chance in _generators(world).items()},
            settings={name: getattr(world, name) for name in SETTINGS},
            **{name: getattr(world, name).dump() for name in _TABLES},
            **{name: getattr(world, name) for name in _PLAIN},
        )
        content = msgspec.json.encode(saved)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(content)
    os.replace(fresh, path)  # noqa: PTH105


def load_state(world: World, path: Path) -> bool:
    """Fill an empty world from `path`; False when there is no such file, ValueError for others."""
    if not path.exists():
        return False
    advice = "remove the file or name another with --state"
    try:
        content = path.read_bytes()
        found = msgspec.json.decode(content, type=_Version).version
        if found != VERSION:
            raise ValueError(
                f"{path} is a state of another version of the sandbox ({found}, not {VERSION}); "
                f"{advice}"
            )
        saved = msgspec.json.decode(content, type=_Saved)
    except msgspec.DecodeError as error:
        raise ValueError(
            f"{path} is not a state that this sandbox wrote ({error}); {advice}"
        ) from None
    if saved.generation != world.generation:
        raise ValueError(
            f"{path} holds a sandbox of generation {saved.generation!r}, not "
            f"{world.generation!r}; {advice}"
        )
    for name, chance in _generators(world).items():
        kind, state, gauss = saved.random[name]
        chance.setstate((kind, tuple(state), gauss))
    for name in _PLAIN:
        setattr(world, name, getattr(saved, name))
    for name in _TABLES:
        getattr(world, name).load(getattr(saved, name))
    for name, value in saved.settings.items():
        setattr(world, name, value)
    for job in world.rerun_jobs:
        for name in ("window_start", "window_end"):
            job.filter[name] = datetime.fromisoformat(str(job.filter[name]))
    world.refill_queue()
    return True


def _generators(world: World) -> dict[str, random.Random]:
    return {
        "ids": world.ids.random,
        "chance": world.chance,
        "run_rows": world.run_rows.random,
        "assets": world.assets.random,
    }
