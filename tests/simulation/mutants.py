"""Deliberate faults, one at a time: each must be found by some history, or by the table of states.

`make mutants` prints the list: fault -> what found it. Each is a small patch of one rule.
"""

import argparse
import contextlib
import gc
import io
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.simulation import broken_rules as rules
from tests.simulation.history import run_history
from tests.simulation.states import deviations

__all__ = ["MUTANTS", "Mutant", "found_by"]

#: Trouble that says nothing about these rules.
NEVER = frozenset({"ledger swapped"})
#: Around the list on a page.
BEGIN, END = "<!-- mutants: written by make mutants WRITE=1 -->", "<!-- /mutants -->"


@dataclass(frozen=True)
class Mutant:
    """A fault: its name, where it comes from, and the patches that make it.

    Attributes:
        name: the rule, broken.
        make: the patches.
        kinds: orders that the histories are to be about, so that it is found sooner.
        generations: servers.
        test: the test that finds it where what else holds hides it from histories.
    """

    name: str
    make: Callable[[], rules.Patches]
    kinds: tuple[str, ...] = ("rerun", "replay", "batch_send", "schedule_create")
    generations: tuple[str, ...] = ("docs", "mid2026", "current")
    test: str = ""


MUTANTS: tuple[Mutant, ...] = (
    Mutant("release takes any state", lambda: rules.any_state("release")),
    Mutant("reopen takes any state", lambda: rules.any_state("reopen")),
    Mutant("mark_sent takes any state", lambda: rules.any_state("mark_sent")),
    Mutant("confirm takes any state", lambda: rules.any_state("confirm")),
    Mutant("refuse takes any state", lambda: rules.any_state("refuse")),
    Mutant("doubt takes any state", lambda: rules.any_state("doubt")),
    Mutant("resolve takes any state", rules.resolve_any_state),
    Mutant("a row's version is not compared", rules.no_version),
    Mutant("an action that a live run is sending counts as in doubt", rules.busy_is_in_doubt),
    Mutant("a claim of a live run is taken", rules.live_claims_are_taken),
    Mutant("an action sent by a dead run counts as not sent", rules.sent_is_granted),
    Mutant("rows that are new are not told from old ones", rules.remember_nothing, ("batch_send",)),
    Mutant("the mark is committed after the request", rules.marked_after),
    Mutant(
        "the workflow's lock is not taken",
        rules.no_lock,
        test="tests/actions/test_one_run_two_ways.py",
    ),
    Mutant("the grace time is not waited for", rules.no_grace),
    Mutant("grace by the machine's clock", rules.grace_by_local_clock),
    Mutant("a suspended process sends all the same", rules.suspended_unnoticed),
    Mutant("an interrupted request counts as not sent", rules.interrupted_is_released),
    Mutant("every 4xx is final", rules.final_4xx),
    Mutant(
        "every 4xx counts as not sent", lambda: rules.statuses(lambda s: 400 <= s < 500, "not_sent")
    ),
    Mutant("every 5xx counts as not sent", lambda: rules.statuses(lambda s: s >= 500, "not_sent")),
    Mutant(
        "a redirect counts as not sent",
        lambda: rules.statuses(lambda s: 300 <= s < 400, "not_sent"),
    ),
    Mutant(
        "408, 425, 460 and 499 count as not sent",
        lambda: rules.statuses(lambda s: s in (408, 425, 460, 499), "not_sent"),
    ),
    Mutant(
        "a 429 of a proxy counts as not sent",
        lambda: rules.statuses(lambda s: s == 429, "not_sent"),
    ),
    Mutant("a cut or a timeout counts as not sent", rules.lost_is_not_sent),
    Mutant("any status counts as queued", rules.any_200_is_queued, ("replay",), ("docs",)),
    Mutant(
        "markers are not read",
        rules.markers_unread,
        ("replay",),
        ("docs",),
        test="tests/actions/test_answers_of_proxies.py",
    ),
    Mutant("a new row that differs counts as none", rules.new_row_is_absent, ("batch_send",)),
    Mutant("any new row confirms", rules.any_row_confirms, ("batch_send",)),
    Mutant("only the newest batch job is read", rules.first_page_only, ("batch_send",)),
    Mutant(
        "a closed window is believed",
        rules.closed_window_believed,
        ("rerun", "rerun_function"),
        ("mid2026", "current"),
    ),
    Mutant(
        "a changed run counts as unchanged",
        rules.nothing_changes,
        ("rerun",),
        ("mid2026", "current"),
    ),
    Mutant(
        "PostHog's own count of reruns is ignored",
        rules.counts_of_posthog_ignored,
        ("rerun",),
        ("mid2026", "current"),
    ),
    Mutant(
        "max_reruns is exceeded by one",
        rules.max_reruns_plus_one,
        ("rerun",),
        ("mid2026", "current"),
    ),
    Mutant(
        "a finished job confirms every run",
        rules.finished_confirms_all,
        ("rerun",),
        ("mid2026", "current"),
        test="tests/actions/test_reruns_once.py",
    ),
    Mutant(
        "counts of a job that lost a page are believed",
        rules.failed_pages_unread,
        ("rerun",),
        ("mid2026", "current"),
        test="tests/actions/test_reruns_once.py",
    ),
    Mutant("any rerun job confirms", rules.first_job_is_ours, ("rerun",), ("mid2026", "current")),
    Mutant(
        "what a run has sent is not looked at",
        rules.sent_steps_unread,
        ("rerun",),
        ("mid2026", "current"),
    ),
    Mutant("a dry run reconciles", rules.dry_run_reconciles, ("rerun", "replay")),
    Mutant(
        "a replay does not see a rerun of the run", rules.replay_after_rerun, ("both",), ("docs",)
    ),
)


def found_by(mutant: Mutant, histories: int = 400, first: int = 1) -> str:
    """What finds a fault: a seed, the table of states, or nothing."""
    patches = mutant.make()
    kinds = dict.fromkeys(mutant.generations, mutant.kinds)
    for one in patches:
        one.start()
    try:
        if wrong := deviations():
            return f"the table of states and methods: {wrong[0]}"
        for number, seed in enumerate(range(first, first + histories), 1):
            if number % 20 == 0:
                gc.collect()
            try:
                outcome = run_history(
                    seed, kinds=_possible(kinds), generations=mutant.generations, never=NEVER
                )
            except Exception as error:
                return f"seed {seed} after {number} histories: {type(error).__name__}: {error}"
            if outcome.failed:
                return f"seed {seed} after {number} histories: {outcome.violations[0].rule}"
        if mutant.test and (test := _failing_test(mutant.test)):
            return f"{test}, and none of {histories} histories"
        return f"not found in {histories} histories"
    finally:
        for one in patches:
            one.stop()


def _failing_test(path: str) -> str:
    """The first test of a file that fails now; empty when none does."""
    failed: list[str] = []

    class Watch:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                failed.append(report.nodeid)

    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["-q", "-x", "-n", "0", "-p", "no:cacheprovider", path], plugins=[Watch()])
    return failed[0] if failed else ""


def _possible(kinds: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Orders that a server can be asked for."""
    never = {
        "docs": ("rerun", "rerun_function"),
        "mid2026": ("replay", "both"),
        "current": ("replay", "both"),
    }
    left = {name: tuple(k for k in some if k not in never[name]) for name, some in kinds.items()}
    return {name: some or ("batch_send",) for name, some in left.items()}


def main() -> int:
    arguments = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    arguments.add_argument("--histories", type=int, default=400)
    arguments.add_argument("--only", default="", help="a part of the name")
    arguments.add_argument("--write", type=Path, help="a page that gets the list as a table")
    given = arguments.parse_args()
    gc.freeze()
    gc.disable()
    missed = 0
    rows: list[tuple[str, str]] = []
    for mutant in MUTANTS:
        if given.only not in mutant.name:
            continue
        started = time.monotonic()
        what = found_by(mutant, given.histories)
        missed += what.startswith("not found")
        rows.append((mutant.name, what))
        print(f"{mutant.name:<58} {what}  ({time.monotonic() - started:.0f} s)", flush=True)
    print(f"{len(rows) - missed} of {len(rows)} found")
    if given.write:
        write_table(given.write, rows)
    return 0


def write_table(page: Path, rows: Sequence[tuple[str, str]]) -> None:
    """Put the list between the page's two marks."""
    before, rest = page.read_text("utf-8").split(BEGIN)
    lines = ["| rule, broken | what found it |", "| --- | --- |"]
    lines += [f"| {name} | {what.replace('|', ' ')} |" for name, what in rows]
    page.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    sys.exit(main())
