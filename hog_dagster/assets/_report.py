"""What a reading says about itself: which way each part came, what is missing, and why.

A gap is a part of a table that could not be read. What was loaded there earlier stays; the gap
stands in the metadata of its partitions and fails their completeness check.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import dagster as dg

from hog_dagster.assets._loading import table_value
from hog_dagster.warehouse import Window

#: How a part was read.
Way = Literal["HogQL", "REST"]
#: The object of a gap that is the whole table's.
EVERYTHING = "all"
_ROWS_SHOWN = 50


@dataclass(frozen=True)
class Gap:
    """A part that could not be read of an object, or of `all`; the window is None of a snapshot."""

    object: str
    window: Window | None
    why: str
    remedy: str


@dataclass
class Report:
    """What one run of an asset has to say; readers add to it from several threads.

    `ways` says which part came which way, `unread` which parts this server or key does not offer at
    all, and why.
    """

    notes: list[str] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    ways: list[tuple[Window, Way]] = field(default_factory=list)
    unread: list[tuple[Window, str]] = field(default_factory=list)

    def came(self, window: Window, way: Way) -> None:
        """A part was read this way."""
        if self.ways:
            last, before = self.ways[-1]
            if before == way and last.end == window.start:
                self.ways[-1] = (Window(last.start, window.end), way)
                return
        self.ways.append((window, way))

    def metadata(self) -> dict[str, Any]:
        """`posthog/read_by`: HogQL, REST, or a line per part where both were needed."""
        ways = {way for _, way in self.ways}
        if not ways:
            return {}
        if len(ways) == 1:
            return {"posthog/read_by": ways.pop()}
        lines = [f"- {way}: {window}" for window, way in self.ways]
        return {"posthog/read_by": dg.MetadataValue.md("\n".join(lines))}

    def gaps_in(self, window: Window) -> list[Gap]:
        """The gaps that touch a window."""
        return [gap for gap in self.gaps if gap.window is None or _overlap(gap.window, window)]

    def why_unread(self, window: Window) -> str | None:
        """Why a window was not read at all; None when it was."""
        return next((why for part, why in self.unread if _overlap(part, window)), None)


def _overlap(one: Window, other: Window) -> bool:
    return one.start < other.end and other.start < one.end


def _joined(gaps: Iterable[Gap]) -> list[Gap]:
    """Gaps of one object that touch, as one."""
    joined: list[Gap] = []
    for gap in sorted(set(gaps), key=lambda gap: (gap.object, _place(gap))):
        last = joined.pop() if joined else None
        joined += [gap] if last is None else _pair(last, gap)
    return joined


def _pair(one: Gap, later: Gap) -> list[Gap]:
    if one.object != later.object or not (one.window and later.window):
        return [one, later]
    if one.window.end < later.window.start:
        return [one, later]
    end = max(one.window.end, later.window.end)
    return [replace(one, window=Window(one.window.start, end))]


def _place(gap: Gap) -> tuple[Window, ...]:
    return (gap.window,) if gap.window else ()


def labelled(id: str, names: Mapping[str, str | None]) -> str:
    """An object for people: `"Trial ending" (0196...)`, or the id alone where it has no name."""
    name = names.get(id)
    return f'"{name}" ({id})' if name else id


def gaps_metadata(
    gaps: Iterable[Gap], names: Mapping[str, str | None] | None = None
) -> dict[str, Any]:
    """Gaps as metadata: `posthog/gaps`, how many, and the table `gaps`."""
    listed = sorted(_joined(gaps), key=lambda gap: (_place(gap), gap.object))
    if not listed:
        return {}
    records = [
        {
            "object": (names or {}).get(gap.object) or gap.object,
            "window": str(gap.window or "as it is now"),
            "why": gap.why,
            "remedy": gap.remedy,
        }
        for gap in listed[:_ROWS_SHOWN]
    ]
    return {"posthog/gaps": len(listed), "gaps": table_value(records)}
