"""Random faults in a random order: however it goes, nobody is acted on twice, and in the end once.

A run is a story of one order: several launches, each with faults, kills, company and lateness
drawn from a seed, then launches without faults until all is settled.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hog_dagster.actions._protocol import Step
from hog_dagster.sandbox import Sandbox
from tests.acting_kit import free_port, house_of
from tests.acts.cells import Cell
from tests.acts.columns import COLUMNS
from tests.acts.processes import KILL_POINTS, start
from tests.daemon_kit import IN_PROCESS, write_settings

#: 500 stories and a few more, in parts that processes of the test run share.
PARTS, STORIES = 51, 10

FAULTS: tuple[dict[str, Any], ...] = (
    {"cut": "before"},
    {"cut": "after"},
    {"cut": "during"},
    {"status": 500},
    {"status": 500, "effect": True},
    {"status": 502, "effect": True},
    {"status": 504},
    {"status": 429, "headers": {"Retry-After": "1"}},
    {"status": 401, "body": {"type": "authentication_error", "detail": "No."}},
    {"status": 403, "body": {"error": "This feature is not enabled"}},
    {"body": "<html>Bad gateway</html>", "effect": True},
    {"truncate": 7},
)


class Stage:
    """One sandbox per generation, one instance and one ledger, on which all stories are told."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        write_settings(folder, IN_PROCESS)
        self.folder = folder
        self.instance = stack.enter_context(dg.DagsterInstance.from_config(str(folder)))
        self.sandboxes: dict[str, Sandbox] = {}
        for generation in ("docs", "current"):
            skew = timedelta(hours=-3 if generation == "docs" else 3)
            sandbox = Sandbox(
                generation,
                populate=False,
                limits=False,
                now=datetime.now(UTC) + skew,
                port=free_port(),
            ).start()
            stack.callback(sandbox.stop)
            sandbox.world.add_person()
            self.sandboxes[generation] = sandbox

    def cell(self, dice: random.Random) -> Cell:
        column = COLUMNS[dice.choice(list(COLUMNS))]
        generations = ["docs", "current"] if column.name == "batch job" else [column.generation]
        sandbox = self.sandboxes[dice.choice(generations)]
        sandbox.clear_faults()
        sandbox.reset_counts()
        home = house_of(sandbox, self.instance, self.folder)
        return Cell(column, sandbox, home, self.folder, column.make(sandbox, dice.randint(1, 4)))


@pytest.fixture
def stage(quick_folder: Path) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(quick_folder, stack)


@pytest.fixture(scope="module")
def shared_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(tmp_path_factory.mktemp("stage"), stack)


def tell(stage: Stage, seed: int) -> Cell:
    """One story; the cell as it ended."""
    dice = random.Random(seed)
    cell = stage.cell(dice)
    world = cell.sandbox.world
    world.marker_lag = dice.choice([0.0, 0.5, 120.0, 500.0])
    world.rerun_lag = dice.choice([0.0, 120.0, 500.0])
    world.rerun_takes = dice.choice([0.0, 60.0])
    for _ in range(dice.randint(1, 4)):
        if dice.random() < 0.8:
            cell.fail(after=dice.randint(0, 2), **dice.choice(FAULTS))
        if dice.random() < 0.2:
            cell.sandbox.fail("GET", times=dice.randint(1, 2), after=dice.randint(0, 6), status=500)
        _launch(cell, dice)
        cell.check()
        cell.advance(dice.choice([0, 1, 30, 300, 700]))
    cell.sandbox.clear_faults()
    cell.leases_run_out()
    cell.run_monitoring_finds_the_dead()
    cell.carry_on()
    cell.check()
    return cell


def _launch(cell: Cell, dice: random.Random) -> None:
    how = dice.random()
    if how < 0.12:
        where = str(dice.choice(KILL_POINTS))
        process = start(cell.home, cell.dagster_home, cell.order, where, lock_wait=0.1)
        process.join(60)
        if dice.random() < 0.5:
            cell.run_monitoring_finds_the_dead()
    elif how < 0.18:
        several = [
            start(cell.home, cell.dagster_home, cell.order, lock_wait=dice.choice([0.0, 1.0]))
            for _ in range(2)
        ]
        for process in several:
            process.join(90)
    elif how < 0.3:
        _crash(cell, dice.choice(KILL_POINTS))
    else:
        cell.launch(lock_wait_seconds=0.1)


def _crash(cell: Cell, where: Step) -> None:
    """The op raises at some point, once."""

    def raise_there(step: Step, _workflow: str, _subject: str) -> None:
        if step is where:
            cell.home.on_step = None
            raise RuntimeError("a bug, or no memory left")

    cell.home.on_step = raise_there
    cell.launch(lock_wait_seconds=0.1)
    cell.home.on_step = None


def ended_well(cell: Cell, seed: int) -> str:
    effects = set(cell.effects().values())
    assert max(effects) <= 1, f"seed {seed}: acted twice"
    if cell.all_done():
        return "once"
    assert cell.remedy_is_named(), f"seed {seed}: {cell.effects()}, {cell.open_acts()}"
    return "in doubt"


@pytest.mark.parametrize("seed", range(10))
def test_a_random_story_ends_with_each_act_done_once(shared_stage: Stage, seed: int) -> None:
    assert ended_well(tell(shared_stage, seed), seed) == "once"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS))
def test_hundreds_of_random_stories_end_with_each_act_done_once(
    stage: Stage, part: int, record_property: Callable[[str, Any], None]
) -> None:
    told: dict[str, int] = {"stories": 0, "acts": 0, "launches": 0, "once": 0, "in doubt": 0}
    for seed in range(1000 + part * STORIES, 1000 + (part + 1) * STORIES):
        cell = tell(stage, seed)
        told["stories"] += 1
        told["acts"] += len(cell.effects())
        told["launches"] += len(cell.launches)
        told[ended_well(cell, seed)] += 1
    record_property("stories", told)
