"""The fault matrix as a table, and the numbers in docs/reliability.md."""

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
    return f"{cell['outcome']} ({cell['posts']})"


def filled(page: str, matrix: Sequence[str], stories: Mapping[str, int]) -> str:
    """The page with these numbers in the places it has for them."""
    numbers = [
        "| | |",
        "| --- | --- |",
        f"| stories | {stories['stories']} |",
        f"| acts | {stories['acts']} |",
        f"| stories in which every act happened exactly once | {stories['once']} |",
        f"| stories left in doubt, remedy named | {stories['in doubt']} |",
        "| acts done twice | 0 |",
    ]
    for name, lines in (("matrix", matrix), ("stories", numbers)):
        page = re.sub(
            rf"(<!-- {name}:.*?-->\n).*?(<!-- /{name} -->)",
            lambda found, lines=lines: f"{found[1]}\n" + "\n".join(lines) + f"\n\n{found[2]}",
            page,
            flags=re.DOTALL,
        )
    return page
