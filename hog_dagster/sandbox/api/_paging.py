"""The three ways in which lists are paged: by offset, by number, by cursor.

Facts: Django REST framework's pagination and recorded cursors of a real server. A cursor is a time
and how many rows of that very time to skip, at most 1,000; rows that all share one time are skipped
by number alone. The database keeps to no order among rows of one time: it is another one on the
first page than on those behind it.
"""

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from urllib.parse import parse_qs, urlencode

from hog_dagster.sandbox.api import errors
from hog_dagster.sandbox.api._calls import Answer, Call

MOST_SKIPPED = 1_000

Rows = list[dict[str, Any]]


def page(call: Call, rows: list[Any], *, default: int = 100, maximum: int | None = None) -> Answer:
    """DRF's limit/offset page over `rows`, with its links and its silent corrections."""
    limit = _whole(call.param("limit"), default, least=1)
    if maximum is not None:
        limit = min(limit, maximum)
    offset = _whole(call.param("offset"), 0, least=0)
    before, after = offset - limit, offset + limit
    following = call.link(limit=limit, offset=after) if after < len(rows) else None
    previous = call.link(limit=limit, offset=before if before > 0 else None) if offset else None
    return _counted(rows, following, previous, rows[offset:after])


def numbered_page(
    call: Call,
    rows: Sequence[Any],
    size: int,
    number: int,
    shown: Callable[[Any], dict[str, Any]] = lambda row: row,
) -> Answer:
    """A page by number, of so many rows; 404 beyond the last."""
    pages = max(1, -(-len(rows) // size))
    if number > pages:
        raise errors.not_found("Invalid page.")
    following = call.link(page=number + 1) if number < pages else None
    previous = call.link(page=number - 1) if number > 1 else None
    start = size * (number - 1)
    held = [shown(row) for row in rows[start : start + size]]
    return _counted(rows, following, previous, held)


def _counted(
    rows: Sequence[Any], following: str | None, previous: str | None, shown: list[Any]
) -> Answer:
    count = len(rows)
    return Answer({"count": count, "next": following, "previous": previous, "results": shown})


def _whole(text: str | None, default: int, *, least: int) -> int:
    try:
        value = int(text) if text is not None else default
    except ValueError:
        return default
    return default if value < least else value


@dataclass(frozen=True)
class Cursor:
    """Where a page begins: beyond `position`, `offset` rows on, looking back when `reverse`."""

    offset: int = 0
    reverse: bool = False
    position: str | None = None

    @property
    def moved(self) -> bool:
        return self.position is not None or self.offset > 0


def cursor_page(call: Call, rows: Rows, size: int) -> Answer:
    """One page of `rows` (newest first): next, previous and results."""
    cursor = _read(call.param("cursor"))
    if cursor.moved:
        rows = [row for _, tied in groupby(rows, _position) for row in reversed([*tied])]
    ordered = rows[::-1] if cursor.reverse else rows
    if cursor.position is not None:
        edge = datetime.fromisoformat(cursor.position)
        ordered = [
            row
            for row in ordered
            if (row["created_at"] > edge if cursor.reverse else row["created_at"] < edge)
        ]
    window = ordered[cursor.offset : cursor.offset + size + 1]
    page = window[:size]
    beyond = _position(window[-1]) if len(window) > size else None
    if cursor.reverse:
        page = page[::-1]
        after, before = cursor.position, beyond
        has_next, has_previous = cursor.moved, beyond is not None
    else:
        after, before = beyond, cursor.position
        has_next, has_previous = beyond is not None, cursor.moved

    def link(*, back: bool) -> str:
        """The page before or behind this one, as `own` edge and the `other` say."""
        rows, own, other = (page, before, after) if back else (page[::-1], after, before)
        compare = own
        if page and cursor.reverse != back and cursor.offset:
            compare = _position(rows[0])
        offset, position = _marker(rows, compare)
        if page and position is None:
            if not (has_next if back else has_previous):
                offset = size
            else:
                offset, position = cursor.offset + size if cursor.reverse == back else 0, other
        return _link(call, Cursor(offset, back, position if page else own))

    following = link(back=False) if has_next else None
    previous = link(back=True) if has_previous else None
    return Answer({"next": following, "previous": previous, "results": page})


def _marker(page: Sequence[dict[str, Any]], compare: str | None) -> tuple[int, str | None]:
    """(rows to skip, time to start from), from the page's edge inwards; None when all are tied."""
    for skipped, row in enumerate(page):
        if _position(row) != compare:
            return skipped, _position(row)
    return len(page), None


def _position(row: dict[str, Any]) -> str:
    return str(row["created_at"])


def _read(text: str | None) -> Cursor:
    if not text:
        return Cursor()
    try:
        decoded = b64decode(text.encode("ascii")).decode("ascii")
        tokens = parse_qs(decoded, keep_blank_values=True)
        offset = int(tokens.get("o", ["0"])[0])
        reverse = bool(int(tokens.get("r", ["0"])[0]))
        position = tokens["p"][0] if "p" in tokens else None
        if offset < 0:
            raise ValueError
        if position is not None:
            datetime.fromisoformat(position)
    except (ValueError, TypeError, Error):
        raise errors.not_found("Invalid cursor") from None
    return Cursor(min(offset, MOST_SKIPPED), reverse, position)


def _link(call: Call, cursor: Cursor) -> str:
    tokens: dict[str, str] = {}
    if cursor.offset:
        tokens["o"] = str(cursor.offset)
    if cursor.reverse:
        tokens["r"] = "1"
    if cursor.position is not None:
        tokens["p"] = cursor.position
    return call.link(cursor=b64encode(urlencode(tokens).encode("ascii")).decode("ascii"))
