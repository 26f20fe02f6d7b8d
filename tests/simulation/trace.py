"""The lines of a history: names instead of ids, so that equal histories give equal lines."""

import re
from collections.abc import Callable

__all__ = ["Trace"]

_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")


class Trace:
    """Collects lines when switched on; names every id by its first appearance."""

    def __init__(self, *, on: bool = True) -> None:
        self.on = on
        self.lines: list[str] = []
        self.clock: Callable[[], float] = lambda: 0.0
        self._names: dict[str, str] = {}
        self._numbers: dict[str, int] = {}

    def __call__(self, who: str, what: str) -> None:
        if not self.on:
            return
        now = self.clock()
        days, rest = divmod(now, 86400)
        hours, rest = divmod(rest, 3600)
        minutes, seconds = divmod(rest, 60)
        stamp = f"{int(days):>2}d {int(hours):02}:{int(minutes):02}:{seconds:06.3f}"
        self.lines.append(f"{stamp} {who:<12} {self.named(what)}")

    def name(self, identifier: str, kind: str) -> str:
        """Give an id a name of its kind: run 1, workflow 2."""
        key = identifier.lower()
        if key not in self._names:
            self._numbers[kind] = self._numbers.get(kind, 0) + 1
            self._names[key] = f"{kind}{self._numbers[kind]}"
        return self._names[key]

    def named(self, text: str) -> str:
        """The text with names for ids."""
        return _UUID.sub(lambda match: self.name(match.group(0), "id"), text)
