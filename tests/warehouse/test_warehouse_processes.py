"""Many processes on one warehouse: all load, nobody sees half, a killed one leaves nothing."""

import os
import random
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from warehouse_processes import (
    ROWS,
    context,
    day_number,
    hold_lock,
    open_warehouse,
    watch_days,
    write_days,
    write_for_ever,
)
from warehouse_tables import DAY, LOGS, PROJECT, log_rows

from hog_dagster.warehouse import DuckDB, Warehouse
from hog_dagster.warehouse.errors import WarehouseBusy

pytestmark = pytest.mark.integration

Place = tuple[str, str]


@pytest.fixture(params=["duckdb", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Kind and address of an empty warehouse, for processes to open."""
    if request.param == "duckdb":
        return "duckdb", str(tmp_path)
    return "postgres", request.getfixturevalue("postgres_url")


def test_eight_writers_of_their_own_days_all_land_while_readers_never_see_half(
    place: Place,
) -> None:
    writers, days_each = 8, 2
    with ProcessPoolExecutor(writers + 2, mp_context=context()) as pool:
        readers = [pool.submit(watch_days, *place, writers * days_each, 100.0) for _ in range(2)]
        writes = [
            pool.submit(
                write_days, *place, f"writer {n}", list(range(n, writers * days_each, writers))
            )
            for n in range(writers)
        ]
        assert [write.result() for write in writes] == [2 * days_each] * writers
        for reader in readers:
            looks, halves = reader.result()
            assert looks > 0
            assert halves == []
    with open_warehouse(*place) as warehouse:
        assert warehouse.count(LOGS) == writers * days_each * ROWS


def test_writers_of_one_day_take_turns_and_one_of_them_stands(place: Place) -> None:
    with ProcessPoolExecutor(4, mp_context=context()) as pool:
        writes = [pool.submit(write_days, *place, f"writer {n}", [0, 0]) for n in range(4)]
        assert [write.result() for write in writes] == [4] * 4
    with open_warehouse(*place) as warehouse:
        levels = warehouse.read(LOGS, columns=["level"]).column("level")
        assert len(levels) == ROWS
        assert len(levels.unique()) == 1


def kill_in_mid_load(place: Place, kills: int) -> None:
    """Kill a loading process again and again; after each, every day is one whole load."""
    days = 3
    dice = random.Random(20260301)
    forks = context()
    done: dict[int, int] = {}  # day -> the last load of it that was reported done
    load = 0
    with open_warehouse(*place) as warehouse:
        for _ in range(kills):
            ear, mouth = forks.Pipe(duplex=False)
            child = forks.Process(
                target=write_for_ever, args=(*place, days, load, mouth), daemon=True
            )
            child.start()
            mouth.close()
            # Up to two whole loads first, then somewhere in the middle of one.
            told = [ear.recv() for _ in range(2 * dice.randrange(3) + 1)]
            ear.poll(dice.uniform(0, 0.15))
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            child.join()
            with suppress(EOFError):
                while ear.poll():
                    told.append(ear.recv())
            ear.close()
            done.update({number % days: number for event, number in told if event == "done"})
            load = told[-1][1] + 1
            for day in range(days):
                assert_whole(warehouse, day, done.get(day))


def assert_whole(warehouse: Warehouse, day: int, done: int | None) -> None:
    """The day holds the rows of one load, no older than the last that was reported done."""
    if done is None and warehouse.describe(LOGS) is None:
        return
    rows = warehouse.read(LOGS, columns=["level"], window=day_number(day))
    versions = rows.column("level").unique().to_pylist()
    if done is None and not versions:
        return
    assert (rows.num_rows, len(versions)) == (ROWS, 1)
    assert done is None or int(versions[0].split()[1]) >= done


def test_a_process_killed_in_mid_load_leaves_whole_days(place: Place) -> None:
    kill_in_mid_load(place, kills=6)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_hundred_kills_in_mid_load_leave_whole_days(place: Place) -> None:
    kill_in_mid_load(place, kills=200)


# -- the lock of a DuckDB file


@pytest.fixture
def held(tmp_path: Path) -> "tuple[Path, int, Callable[[], None]]":
    """A DuckDB file with rows that another process is loading: its path, who, and its end."""
    path = tmp_path / "house.duckdb"
    DuckDB(path).replace(LOGS, [log_rows(3)], window=DAY, scope=PROJECT)
    forks = context()
    ear, mouth = forks.Pipe(duplex=False)
    child = forks.Process(target=hold_lock, args=(str(path), mouth), daemon=True)
    child.start()
    pid = ear.recv()

    def end() -> None:
        os.kill(pid, signal.SIGKILL)
        child.join()

    return path, pid, end


def test_whoever_waits_in_vain_is_told_who_holds_the_file(
    held: "tuple[Path, int, Callable[[], None]]",
) -> None:
    path, pid, end = held
    warehouse = DuckDB(path, lock_timeout=0.2, read_timeout=0.2)
    for wait in (
        lambda: warehouse.replace(LOGS, [], window=DAY, scope=PROJECT),
        lambda: warehouse.read(LOGS),
    ):
        with pytest.raises(WarehouseBusy, match=rf"house\.duckdb.*process {pid} on ") as caught:
            wait()
        assert caught.value.holder is not None
        assert caught.value.retryable
    end()
    assert warehouse.count(LOGS) == 3
    assert warehouse.replace(LOGS, [], window=DAY, scope=PROJECT).deleted == 3
