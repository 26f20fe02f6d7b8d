"""Collects the cells of the whole fault matrix, prints it, puts it into docs/reliability.md."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.columns import COLUMNS
from tests.faults.reliability import filled, table
from tests.faults.rows import ROWS

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """A folder in memory where the machine has one: many small databases are written."""
    memory = Path("/dev/shm")
    place = str(memory) if memory.is_dir() and os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="hog-faults-", dir=place) as folder:
        yield Path(folder)


class Collected:
    """What tests reported; with several processes, in the one that leads them."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str], dict[str, Any]] = {}
        self.failed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call":
            return
        properties = dict(report.user_properties)
        if cell := properties.get("cell"):
            assert isinstance(cell, dict)
            self.cells[cell["row"], cell["column"]] = {**cell, "passed": report.passed}
        self.failed += report.failed

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self.cells:
            return
        terminalreporter.section("fault matrix")
        matrix = table(self.cells, ROWS, list(COLUMNS))
        for line in matrix:
            terminalreporter.write_line(line)
        whole = len(self.cells) == len(ROWS) * len(COLUMNS)
        if whole and not self.failed:
            page = PAGE.read_text(encoding="utf-8")
            PAGE.write_text(filled(page, matrix), encoding="utf-8")
            terminalreporter.write_line(f"written to {PAGE}")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Collected(), "fault-matrix")
