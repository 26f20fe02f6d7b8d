"""What a rerun asks for, the same for workflows and hog functions; checked before it is sent.

Facts: PostHog's rerun serializer: a window of 30 days at most, at most 10,000 ids, and a default
status (failed) that silently passes over other runs, named or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from hog_dagster.posthog._pagination.windows import check_window, iso, to_us

__all__ = ["MOST_IDS", "chosen_ids", "names", "rerun_body"]

#: Explicit ids one rerun or cancellation may name.
MOST_IDS = 10_000
_LONGEST_S = 30 * 86_400


def rerun_body(
    *,
    invocation_ids: Iterable[str] | None,
    window_start: datetime,
    window_end: datetime,
    status: str | Iterable[str],
    error_kind: str | Iterable[str] | None,
    error_message_contains: str | None,
    max_attempts: int | None,
    max_count: int | None,
) -> dict[str, Any]:
    """The body of POST .../{id}/rerun/.

    Raises:
        ValueError: no ids in an explicit list, too many, or a window over 30 days.
    """
    start, end = check_window(window_start, window_end)
    if (end - start).total_seconds() > _LONGEST_S:
        raise ValueError("a rerun's window may be 30 days long at most; ask for parts of it")
    chosen = {
        "window_start": iso(to_us(start)),
        "window_end": iso(to_us(end)),
        "status": names(status),
        "invocation_ids": chosen_ids(invocation_ids, "rerun"),
        "error_kind": names(error_kind) or None,
        "error_message_contains": error_message_contains,
        "max_attempts": max_attempts,
        "max_count": max_count,
    }
    return {"filter": {name: value for name, value in chosen.items() if value is not None}}


def names(value: str | Iterable[str] | None) -> list[str]:
    """Names given as one text, with commas, or as several; each once."""
    given = value.split(",") if isinstance(value, str) else list(value or ())
    return list(dict.fromkeys(name.strip() for name in given if name.strip()))


def chosen_ids(ids: Iterable[str] | None, what: str) -> list[str] | None:
    """Explicit ids, each once; None when none were named.

    Raises:
        TypeError: one text instead of a list.
        ValueError: an empty list, or more than PostHog takes.
    """
    if ids is None:
        return None
    if isinstance(ids, str):
        raise TypeError(f"{what}: invocation_ids is one text; give a list of ids")
    chosen = list(dict.fromkeys(ids))
    if not chosen:
        raise ValueError(f"{what}: invocation_ids is empty; None would mean every run")
    if len(chosen) > MOST_IDS:
        raise ValueError(f"{what}: {len(chosen)} ids; PostHog takes {MOST_IDS} at once")
    return chosen
