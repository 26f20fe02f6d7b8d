"""The fuzzy search of newer servers: substrings are exact, alike trigrams are similar.

Facts: PostHog's trigram search: results by relevance, `search_match_type` on each row, at most 200
characters.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from hog_dagster.sandbox.api import errors

__all__ = ["MAX_SEARCH", "search"]

MAX_SEARCH = 200
ALIKE = 0.3
Row = TypeVar("Row")


def search(
    rows: Iterable[Row],
    term: str,
    texts: Callable[[Row], Iterable[str | None]],
    *,
    exact_only: bool = True,
) -> list[tuple[Row, str]]:
    """(row, ``exact`` or ``similar``) by relevance.

    Args:
        exact_only: leave the similar ones out when there is an exact one.

    Raises:
        ApiError: 400 for a term that is too long.
    """
    if len(term) > MAX_SEARCH:
        raise errors.bad_input(f"Search query must be {MAX_SEARCH} characters or fewer.", "search")
    wanted = term.strip().lower()
    exact: list[tuple[float, Row]] = []
    similar: list[tuple[float, Row]] = []
    for row in rows:
        held = [text.lower() for text in texts(row) if text]
        score = max((_alike(wanted, text) for text in held), default=0.0)
        if any(wanted in text for text in held):
            exact.append((score, row))
        elif score >= ALIKE:
            similar.append((score, row))
    exact.sort(key=lambda item: -item[0])
    similar.sort(key=lambda item: -item[0])
    found = [(row, "exact") for _, row in exact]
    if not (exact and exact_only):
        found += [(row, "similar") for _, row in similar]
    return found


def _alike(left: str, right: str) -> float:
    one, two = _trigrams(left), _trigrams(right)
    return len(one & two) / len(one | two) if one | two else 0.0


def _trigrams(text: str) -> set[str]:
    found: set[str] = set()
    for word in text.split():
        padded = f"  {word} "
        found |= {padded[place : place + 3] for place in range(len(padded) - 2)}
    return found
