"""The same with the ledger in PostgreSQL, as in production."""

from pathlib import Path

import pytest

from tests.acts.cells import cell
from tests.acts.rows import ROWS


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("two operators", "replay"),
        ("kill -9, after answer", "batch job"),
    ],
)
def test_an_act_happens_once_with_a_ledger_in_postgresql(
    row: str, column: str, quick_folder: Path, postgres_url: str
) -> None:
    with cell(column, quick_folder) as made:
        made.home.ledger_url = postgres_url
        ROWS[row](made)
        made.carry_on()
        assert made.result(row).outcome == "once"
