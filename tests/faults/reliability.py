"""The fault matrix as a table, in docs/reliability.md."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["filled", "table"]

Cells = Mapping[tuple[str, str], Mapping[str, Any]]


def table(cells: Cells, rows: Iterable[str], columns: Sequence[str]) -> list[str]:
    """The matrix in Markdown."""
    lines = [
        "| fault | " + " | ".join(columns) + " |",
        "| --- |" + " --- |" * len(columns),
    ]
    for row in rows:
        said = [_cell(cells.get((row, column))) for column in columns]
        lines.append(f"| {row} | " + " | ".join(said) + " |")
    return lines


def _cell(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return "-"
    if not cell["passed"]:
        return f"**FAILED** {cell['effects']}"
    return f"{cell['outcome']} ({cell['posts']}; {cell['messages']})"


def filled(page: str, matrix: Sequence[str]) -> str:
    """The page with the matrix in the place it has for it."""
    return re.sub(
        r"(<!-- matrix:.*?-->\n).*?(<!-- /matrix -->)",
        lambda found: f"{found[1]}\n" + "\n".join(matrix) + f"\n\n{found[2]}",
        page,
        flags=re.DOTALL,
    )
