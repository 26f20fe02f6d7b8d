"""What a command prints: text for people, or one JSON object; progress and errors beside it.

Facts: a table that is piped into a file is to hold nothing but the table, so progress goes to
standard error.
"""

import json
import textwrap
from dataclasses import dataclass
from typing import Any

from rich.console import Console

__all__ = ["Output", "Progress", "Silent"]

#: Columns of text: no more than is pleasant to read.
WIDEST = 100


class Output:
    """Text for people, or one JSON object at the end.

    Attributes:
        told: what the JSON object holds.
    """

    def __init__(self, command: str, console: Console, as_json: bool) -> None:
        self.command = command
        self.console = console
        self.beside = Console(stderr=True)
        self.json = as_json
        self.told: dict[str, Any] = {}

    @property
    def width(self) -> int:
        """Columns of text."""
        return min(self.console.width, WIDEST)

    def text(self, text: str) -> None:
        """A sentence, on as many lines as it takes; a path or a command in it is not broken."""
        width = self.width
        self.line(textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False))

    def line(self, text: str) -> None:
        """A line as it is: part of a table, or a command to copy."""
        if not self.json:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def progress(self, text: str) -> None:
        """What goes on meanwhile, to standard error."""
        self.beside.print(text, markup=False, highlight=False, soft_wrap=True)

    def error(self, text: str) -> None:
        self.beside.print(
            f"hog-dagster {self.command}: {text}", markup=False, highlight=False, soft_wrap=True
        )

    def ask(self, text: str) -> str:
        return self.console.input(text, markup=False)

    def end(self) -> None:
        if self.json:
            print(json.dumps(self.told, default=str), file=self.console.file)


@dataclass
class Progress:
    """The engine's log, as progress."""

    say: Output

    def info(self, msg: str, /) -> None:
        self.say.progress(f"  {msg}")

    warning = error = info


class Silent:
    """A log that nobody reads: a dry run shows its table."""

    def info(self, msg: str, /) -> None:
        """Write nothing."""

    warning = error = info
