"""Rules broken on purpose are found: a few here, all of them by `make mutants`."""

import pytest

from tests.simulation.mutants import MUTANTS, Mutant, found_by
from tests.simulation.states import deviations

BY_NAME = {mutant.name: mutant for mutant in MUTANTS}


def test_the_ledger_takes_entries_in_the_states_of_the_table_and_in_no_others() -> None:
    assert deviations() == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_can_be_made(mutant: Mutant) -> None:
    patches = mutant.make()
    for one in patches:
        one.start()
    for one in patches:
        one.stop()
    assert patches


@pytest.mark.parametrize(
    "name", ["release takes any state", "reopen takes any state", "a claim of a live run is taken"]
)
def test_the_table_of_states_finds(name: str) -> None:
    assert found_by(BY_NAME[name], histories=0).startswith("the table")


@pytest.mark.parametrize(
    "name", ["the mark is committed after the request", "max_reruns is exceeded by one"]
)
def test_a_history_finds(name: str) -> None:
    assert found_by(BY_NAME[name], histories=60).startswith("seed")
