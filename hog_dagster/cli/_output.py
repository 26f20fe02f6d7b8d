"""What a command prints: text for people, or one JSON object; progress and errors beside it.

Facts: a table that is piped into a file is to hold nothing but the table, so progress goes to
standard error.
"""

import json
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Timer
from typing import Any

from rich.console import Console
from rich.text import Text

#: Run config of runs whose lines of Dagster nobody reads: what failed is said in the end.
QUIET_RUN = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
#: Columns of text: no more than is pleasant to read.
WIDEST = 100
#: Seconds of silence after which a command says what it waits for.
PATIENCE_S = 5.0


class Output:
    """Text for people, or one JSON object of `fields` at the end."""

    def __init__(self, command: str, console: Console, as_json: bool) -> None:
        self.command = command
        self.console = console
        self.beside = Console(stderr=True)
        self.json = as_json
        self.fields: dict[str, Any] = {}

    @property
    def width(self) -> int:
        """Columns of text."""
        return min(self.console.width, WIDEST)

    def text(self, text: str, *, first: int = 0, indent: int = 0, style: str = "") -> None:
        """A sentence, on as many lines as it takes; a path or a command in it is not broken.
        `style` is of its first word."""
        lines = textwrap.wrap(
            text,
            self.width,
            initial_indent=" " * first,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        shown = Text("\n".join(lines))
        shown.stylize(style, 0, len(text.partition(" ")[0]))
        self.line(shown)

    def line(self, text: str | Text) -> None:
        """A line as it is: part of a table, or a command to copy."""
        if not self.json:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def progress(self, text: str) -> None:
        """What goes on meanwhile, to standard error."""
        self.beside.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def waiting_for(self, host: str) -> Iterator[None]:
        """Around requests: says once, on standard error, that a server takes long to respond."""
        timer = Timer(
            PATIENCE_S, self.progress, [f"Waiting for {host}, which has not responded yet."]
        )
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def error(self, text: str) -> None:
        self.beside.print(
            f"hog-dagster {self.command}: {text}", markup=False, highlight=False, soft_wrap=True
        )

    def ask(self, text: str) -> str:
        return self.console.input(text, markup=False)

    def end(self) -> None:
        if self.json:
            print(json.dumps(self.fields, default=str), file=self.console.file)


def counted(counts: Mapping[Any, int], nothing: str = "") -> str:
    """`12 confirmed, 3 in doubt`; what is counted as 0 is left out."""
    said = [f"{n:,} {str(name).replace('_', ' ')}" for name, n in counts.items() if n]
    return ", ".join(said) or nothing


def why_failed(result: Any) -> str:
    """Why a run in this process failed; empty where its events do not tell."""
    for event in result.all_events:
        if event.is_failure and event.event_specific_data is not None:
            failure = getattr(event.event_specific_data, "user_failure_data", None)
            text = failure.description if failure is not None else ""
            error = getattr(event.event_specific_data, "error", None)
            if not text and error is not None:
                text = str(getattr(error.cause or error, "message", error))
            if text:
                return " ".join(text.split()).rstrip(".")
    return ""


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
