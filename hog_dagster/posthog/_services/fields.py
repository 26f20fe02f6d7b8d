"""From arguments of a method to parameters and bodies: what was given, once, in PostHog's form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

#: Explicit ids one rerun or cancellation may name.
MOST_IDS = 10_000


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def names(value: str | Iterable[str] | None) -> list[str]:
    """Names given as one text, with commas, or as several; each once."""
    several = value.split(",") if isinstance(value, str) else list(value or ())
    return list(dict.fromkeys(name.strip() for name in several if name.strip()))


def joined(value: str | Iterable[str] | None) -> str | None:
    """The same as one text with commas; None without any."""
    return ",".join(names(value)) or None


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
