"""Simulated histories: whatever fails, nothing happens twice, nothing is lost, all ends settled."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.history import collecting_rarely, run_history

#: The histories of `make test` and, after them, of `make integration`, in parts that processes of
#: the test run share.
PARTS, MORE, SEEDS = 4, 10, 50
ROOT = Path(__file__).parents[2]


def told(seed: int, **options: object) -> str:
    """The trace of a seed that failed, for the message of an assertion."""
    outcome = run_history(seed, trace=True, **options)  # type: ignore[arg-type]
    return "\n".join([f"make simulate SEED={seed}", *outcome.lines[-80:]])


@pytest.mark.parametrize(
    "part",
    [
        *range(PARTS),
        *(pytest.param(n, marks=pytest.mark.integration) for n in range(PARTS, PARTS + MORE)),
    ],
)
def test_no_history_breaks_a_promise(part: int) -> None:
    with collecting_rarely():
        for seed in range(1 + part * SEEDS, 1 + (part + 1) * SEEDS):
            outcome = run_history(seed)
            assert not outcome.violations, told(seed)


def test_no_history_on_postgresql_breaks_a_promise(postgres_url: str) -> None:
    for seed in range(1, 21):
        outcome = run_history(seed, url=postgres_url)
        assert not outcome.violations, told(seed, url=postgres_url)


@pytest.mark.parametrize("seed", [3, 17, 44, 101])
def test_a_seed_tells_the_same_history_line_by_line(seed: int) -> None:
    first, again = (run_history(seed, trace=True).lines for _ in range(2))
    assert len(first) > 10
    assert first == again


def test_a_history_on_postgresql_is_the_one_in_memory(postgres_url: str) -> None:
    for seed in (3, 17):
        there = run_history(seed, trace=True, url=postgres_url).lines
        assert there == run_history(seed, trace=True).lines


@pytest.mark.parametrize("seed", [5, pytest.param(23, marks=pytest.mark.integration)])
def test_a_history_does_not_depend_on_the_order_of_sets(seed: int) -> None:
    traces = [
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", str(seed)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        for hashes in ("1", "2")
    ]
    assert "quiet from here on" in traces[0]
    assert traces[0] == traces[1]


def test_histories_have_effects_faults_and_all_kinds_of_orders() -> None:
    counts = sum((run_history(seed).counts for seed in range(1, 41)), start=Counter[str]())
    for name in (
        "effect: rerun",
        "effect: replay",
        "effect: batch_send",
        "effect: schedule_create",
        "fault: killed",
        "fault: interrupted",
        "fault: page before",
        "fault: page after",
        "fault: timeout after",
    ):
        assert counts[name] > 0, name
