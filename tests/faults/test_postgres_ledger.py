"""The same with the ledger in PostgreSQL, as in production."""

from pathlib import Path

import pytest

from tests.faults.cells import cell
from tests.faults.columns import RESUMES
from tests.faults.rows import ROWS

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("two operators", "replay"),
        ("kill -9, outcome, before commit", "batch job"),
        ("kill -9, sent, after commit", RESUMES),
    ],
)
def test_an_action_happens_once_with_a_ledger_in_postgresql(
    row: str, column: str, quick_folder: Path, postgres_url: str
) -> None:
    with cell(column, quick_folder) as made:
        made.home.ledger_url = postgres_url
        ROWS[row](made)
        made.carry_on()
        assert made.result(row).outcome == "once"
