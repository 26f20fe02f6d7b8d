"""One line of `hog-dagster doctor`: what was looked at, what was found, what to do about it.

Facts: none; how a row is judged is said where it is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.table import Table
from rich.text import Text

__all__ = ["Row", "State", "as_table", "failed"]

#: ``ok`` works; ``off`` cannot be used here and nobody asked for it; ``warn`` deserves a look;
#: ``fail`` was asked for and cannot work; ``info`` says something.
State = Literal["ok", "off", "warn", "fail", "info"]

_STYLES = {"ok": "green", "off": "dim", "warn": "yellow", "fail": "bold red", "info": "cyan"}


@dataclass(frozen=True, slots=True)
class Row:
    """What was found.

    Attributes:
        state: how it stands.
        what: what was looked at.
        found: what was found.
        remedy: what to do; empty when there is nothing to do.
    """

    state: State
    what: str
    found: str
    remedy: str = ""


def failed(rows: Iterable[Row]) -> bool:
    """Whether something that was asked for cannot work."""
    return any(row.state == "fail" for row in rows)


def as_table(rows: Iterable[Row]) -> Table:
    """The rows as a table; what to do stands below what was found."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("what", no_wrap=True)
    table.add_column("found", overflow="fold")
    for row in rows:
        found = Text(row.found)
        if row.remedy:
            found.append(f"\n-> {row.remedy}", style="" if row.state == "off" else "bold")
        style = _STYLES[row.state]
        table.add_row(Text(row.state, style=style), row.what, found, end_section=False)
    return table
