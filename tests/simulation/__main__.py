"""`make simulate SEEDS=n [FIRST=n] [JOBS=n]`: many histories; `SEED=n`: one, with its trace."""

import argparse
import gc
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation.history import Outcome, run_history

PART = 100


def main() -> int:
    arguments = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    arguments.add_argument("--seeds", type=int, default=1000)
    arguments.add_argument("--first", type=int, default=1)
    arguments.add_argument("--jobs", type=int, default=2)
    arguments.add_argument("--seed", type=int)
    arguments.add_argument("--keep-going", action="store_true", help="show all that fail")
    arguments.add_argument("--folder", type=Path, default=Path(".hog"))
    given = arguments.parse_args()
    if given.seed is not None:
        return one(given.seed)
    return many(given)


def one(seed: int) -> int:
    """Print the history of a seed."""
    outcome = run_history(seed, trace=True)
    print("\n".join(outcome.lines))
    return int(outcome.failed)


def part(first: int, count: int) -> tuple[list[tuple[int, list[str]]], Counter[str]]:
    """Run some histories; the seeds that failed and why, and counts of what happened."""
    failed, counts = [], Counter[str]()
    gc.freeze()
    gc.disable()
    for seed in range(first, first + count):
        if seed % 20 == 0:
            gc.collect()
        try:
            outcome = run_history(seed)
        except Exception as error:
            failed.append((seed, [f"[harness] {type(error).__name__}: {error}"]))
            continue
        counts += outcome.counts
        if outcome.failed:
            failed.append((seed, [str(violation) for violation in outcome.violations]))
    return failed, counts


def many(given: argparse.Namespace) -> int:
    """Run many histories, and say what was found."""
    started = time.monotonic()
    failed: list[tuple[int, list[str]]] = []
    counts: Counter[str] = Counter()
    done = 0
    firsts = range(given.first, given.first + given.seeds, PART)
    sizes = [min(PART, given.first + given.seeds - first) for first in firsts]
    with ProcessPoolExecutor(given.jobs) as pool:
        for size, (bad, some) in zip(sizes, pool.map(part, firsts, sizes), strict=True):
            done += size
            counts += some
            failed += bad
            rate = done / (time.monotonic() - started)
            print(f"\r{done} histories, {rate:.1f} a second, {len(failed)} failed", end="")
            if failed and not given.keep_going:
                pool.shutdown(cancel_futures=True)
                break
    print()
    for name in sorted(counts):
        print(f"  {counts[name]:>8}  {name}")
    if not failed:
        return 0
    rules = Counter(why[0].partition("]")[0] + "]" for _, why in failed)
    print("failed by rule:", dict(rules))
    for seed, why in sorted(failed)[:20]:
        print(f"seed {seed}: {why[0]}")
    first = min(failed)[0]
    given.folder.mkdir(exist_ok=True)
    path = given.folder / f"simulation-{first}.txt"
    outcome: Outcome = run_history(first, trace=True)
    path.write_text("\n".join(outcome.lines) + "\n")
    print(f"The trace of seed {first} is in {path}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
