"""The fault matrix: whatever breaks, each action happens once, as the sandbox counts it."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.faults.cells import Result, cell
from tests.faults.columns import COLUMNS
from tests.faults.rows import ROWS, SKEWS

pytestmark = pytest.mark.integration

#: Cells that end in doubt, with a remedy: the server that could show the effect is gone.
IN_DOUBT = {
    ("server upgraded, before effect", "replay"),
}

CELLS = [(row, column) for row in ROWS for column in COLUMNS]
#: The normal suite takes each row once, with the columns by turns, and each column several times.
SOME = [
    (row, list(COLUMNS)[(index + index // len(COLUMNS)) % len(COLUMNS)])
    for index, row in enumerate(ROWS)
]


def examine(row: str, column: str, folder: Path) -> Result:
    with cell(column, folder, skew=SKEWS.get(row, timedelta(0))) as made:
        ROWS[row](made)
        made.check()
        made.carry_on()
        made.check()
        return made.result(row)


def test_the_normal_suite_has_each_row_and_each_column() -> None:
    assert {row for row, _ in SOME} == set(ROWS)
    assert {column for _, column in SOME} == set(COLUMNS)


@pytest.mark.parametrize(("row", "column"), SOME)
def test_an_action_happens_once_whatever_breaks(row: str, column: str, quick_folder: Path) -> None:
    settled(examine(row, column, quick_folder))


@pytest.mark.slow
@pytest.mark.parametrize(("row", "column"), CELLS)
def test_every_cell_of_the_matrix(
    row: str, column: str, quick_folder: Path, record_property: Callable[[str, Any], None]
) -> None:
    result = examine(row, column, quick_folder)
    record_property("cell", asdict(result))
    settled(result)


def settled(result: Result) -> None:
    if (result.row, result.column) in IN_DOUBT:
        assert result.outcome == "in doubt"
        assert result.remedy
    else:
        assert result.outcome == "once", result
