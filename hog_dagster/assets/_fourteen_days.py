"""Fourteen days at a glance: a table of small bar charts, as Markdown.

Facts: Dagster's UI shows Markdown metadata in place, tables of GitHub's kind included, and no
Mermaid; block characters are seen in any theme, in a terminal and where images are not allowed.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from hog_dagster.assets._summary import Numbers
from hog_dagster.warehouse import Window

DAYS = 14
_BARS = "▁▂▃▄▅▆▇█"
_NOTHING = "·"


def days_until(end: datetime) -> list[Window]:
    """The fourteen UTC days of which the last one holds the moment just before `end`."""
    last = (end.astimezone(UTC) - timedelta(microseconds=1)).date()
    return [Window.day(last - timedelta(days=back)) for back in range(DAYS - 1, -1, -1)]


def bars(values: Sequence[float | None], *, top: float | None = None) -> str:
    """One block per value, its height from nothing to the greatest value, or to `top`.

    What is unknown and what is nothing is a dot.

    Example:
        >>> bars([0, 1, 4, 8])
        '·▁▄█'
    """
    top = top or max((value for value in values if value), default=0)
    return "".join(
        _BARS[min(len(_BARS), max(1, round(value / top * len(_BARS)))) - 1] if value else _NOTHING
        for value in values
    )


def fourteen_days(
    rows: Mapping[Window, int], numbers: Mapping[Window, Numbers]
) -> dg.MarkdownMetadataValue | None:
    """Rows and numbers of each day, oldest first: a bar per day, the last day, and all of the days;
    None when no day has a row."""
    if not any(rows.values()):
        return None
    last = max(rows).start
    lines = [
        f"| | to {last:%Y-%m-%d} | last day | {len(rows)} days |",
        "|---|---|---:|---:|",
        _line("rows", list(rows.values())),
    ]
    for key in dict.fromkeys(key for of in numbers.values() for key in of):
        values = [numbers[day].get(key) for day in rows]
        name = key.partition("/")[2].replace("_", " ")
        lines.append(_rate(name, values, numbers) if key.endswith("_rate") else _line(name, values))
    return dg.MetadataValue.md("\n".join(lines))


def _line(name: str, values: Sequence[float | None]) -> str:
    total = sum(value or 0 for value in values)
    return f"| {name} | {bars(values)} | {values[-1] or 0:,} | {total:,} |"


def _rate(name: str, values: Sequence[float | None], numbers: Mapping[Window, Numbers]) -> str:
    """Of a rate, all of the days are weighed by their runs."""
    succeeded, failed = (
        sum(of.get(f"posthog/{what}", 0) for of in numbers.values())
        for what in ("succeeded", "failed")
    )
    whole = succeeded / (succeeded + failed) if succeeded + failed else None
    last, in_all = ("" if v is None else f"{v:.2%}" for v in (values[-1], whole))
    return f"| {name} | {bars(values, top=1.0)} | {last} | {in_all} |"
